"""The one kind of error that is meant for the learner."""


class CourseError(Exception):
    """Something the learner can put right.

    The message is one sentence or two: what is wrong, and what to do about it. The command line
    prints it without a traceback, and so does a notebook, through `_render_traceback_`.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython calls this in place of its own formatting: the learner sees the sentence alone.
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]
