"""What an exercise is, and where all of them are found."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cyclegan_course.errors import CourseError


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners give, and the sentence that helps them out of it."""

    function: Callable
    message: str


def call(function: Callable, *inputs: Any) -> Any:
    """The default way to run an answer: call it."""
    return function(*inputs)


def is_blank(result: Any) -> bool:
    """Whether an answer returned nothing: no `return`, or the `...` of a stub."""
    return result is None or result is Ellipsis or result is NotImplemented


@dataclass(frozen=True)
class Exercise:
    """One exercise, whole.

    Args:
        number: "0.1": chapter and place in it.
        title: a few words.
        reference: the course's own function (or class). Its docstring is the task: shapes, ranges.
        cases: makes the inputs to check with, a list of argument tuples, afresh at every call and
            the same each time. The first ones are shown to the learner: keep them small.
        hints: from a nudge to nearly the answer.
        mistakes: known wrong answers by a short name, at least two.
        drawn_cases: makes other inputs from a random generator, of the same form and within what
            the docstring promises. Whoever grades uses them with a seed that learners do not
            know, so that an answer written for the published inputs alone does not pass.
        run: how to get a result from an answer and one case; by default `answer(*case)`. For a
            class, build it and call it; for a stochastic answer, seed it. What `is_blank` is handed
            on as it is.
        extra: for what results alone do not show. Takes the answer; returns a sentence for the
            learner, or None.
        tolerance: largest difference between results, relative to max(1, expected).
        changes_inputs: whether a right answer may write into what it is given.
        blanks: stub in place of the one made from the reference, as source text, for exercises
            with gaps to fill in.
        closed: whether the solution is kept from learners, as `scripts/student_edition.py` does.
    """

    number: str
    title: str
    reference: Callable
    cases: Callable[[], Sequence[tuple]]
    hints: tuple[str, ...]
    mistakes: dict[str, Mistake]
    drawn_cases: Callable[[np.random.Generator], Sequence[tuple]] | None = None
    run: Callable[..., Any] = call
    extra: Callable[[Callable], str | None] | None = None
    tolerance: float = 1e-5
    changes_inputs: bool = False
    blanks: str | None = field(default=None, repr=False)
    closed: bool = False

    def drawn(self, seed: int) -> "Exercise":
        """The same exercise with the inputs that follow from a seed, in place of the published.

        Raises:
            CourseError: if it can draw none, as in a student edition.
        """
        draw = self.drawn_cases
        if draw is None:
            raise CourseError(
                f"Exercise {self.number} has no hidden inputs here; grade with the full course, "
                "not with a student edition."
            )
        return replace(self, cases=lambda: draw(np.random.default_rng(seed)))

    @property
    def solution(self) -> str:
        """Source of the reference.

        Raises:
            CourseError: if it is closed.
        """
        if self.closed:
            raise CourseError(
                f"Your instructor has closed the solutions, so {self.number} is yours to find."
            )
        return textwrap.dedent(inspect.getsource(self.reference)).strip()

    @property
    def stub(self) -> str:
        """Source of the stub: the reference with `...` in place of what follows each docstring."""
        if self.blanks is not None:
            return textwrap.dedent(self.blanks).strip()
        lines = self.solution.splitlines()
        (definition,) = ast.parse(self.solution).body
        functions = (
            [node for node in definition.body if isinstance(node, ast.FunctionDef)]
            if isinstance(definition, ast.ClassDef)
            else [definition]
        )
        for function in reversed(functions):
            documented = ast.get_docstring(function) is not None
            body = function.body[1:] if documented else function.body
            if body:  # from the line after the docstring (comments too) to the function's end
                head = function.body[0].end_lineno if documented else body[0].lineno - 1
                lines[head : function.end_lineno] = [" " * (function.col_offset + 4) + "..."]
        return "\n".join(lines)

    @property
    def cell(self) -> str:
        """The notebook cell that sets the exercise."""
        return f'@exercise("{self.number}")\n{self.stub}'


REGISTRY: dict[str, Exercise] = {}


def register(exercise: Exercise) -> Exercise:
    """Add an exercise; a number can be taken once."""
    if exercise.number in REGISTRY:
        raise ValueError(f"exercise {exercise.number} is already registered")
    REGISTRY[exercise.number] = exercise
    return exercise


def get(number: str) -> Exercise:
    """The exercise of that number.

    Raises:
        CourseError: if there is none.
    """
    if number not in REGISTRY:
        raise CourseError(
            f"There is no exercise {number!r}; write the number in quotes, one of "
            f"{', '.join(sorted(REGISTRY, key=order))}."
        )
    return REGISTRY[number]


def order(number: str) -> tuple[int, ...]:
    """Sorting key: 2.10 comes after 2.9."""
    return tuple(int(part) for part in number.split("."))
