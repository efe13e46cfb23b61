"""Checking an answer for a grade: with the published inputs, then with inputs nobody has seen."""

from collections.abc import Callable
from dataclasses import replace

from cyclegan_course.exercises.checking import Outcome, assess
from cyclegan_course.exercises.learner import given_answer
from cyclegan_course.exercises.registry import Exercise, get

# How the sentence begins for an answer that only hidden inputs showed to be wrong.
HIDDEN = "Right for the published inputs, wrong for others."


def grade_answer(task: Exercise, answer: Callable | None, seed: int) -> Outcome:
    """Check an answer, given in a notebook that has run, as `assess` does and with hidden inputs.

    Args:
        answer: the learner's own function, None if the notebook defines none.
        seed: the hidden inputs follow from it; learners do not know it.
    """
    if answer is None:
        return Outcome("not attempted", "The notebook gives no answer to this exercise.")
    outcome = assess(task, answer)
    if outcome.status != "passed":
        return outcome
    hidden = assess(task.drawn(seed), answer)
    if hidden.status == "passed":
        return hidden
    return replace(
        hidden,
        status="wrong",
        message=f"{HIDDEN} {hidden.message}",
    )


def certify(number: str, seed: int) -> None:
    """Raise AssertionError unless the answer of this session passes; for other graders' tests.

    Raises:
        AssertionError: with the sentence for the learner.
        CourseError: if there is no such exercise.
    """
    task = get(number)
    outcome = grade_answer(task, given_answer(number), seed)
    if outcome.status != "passed":
        raise AssertionError(f"Exercise {number}: {outcome.status}. {outcome.message}")
