"""What a learner calls: the decorator, hints, solutions, the table of progress."""

import html
from collections import Counter
from collections.abc import Callable

from cyclegan_course.display import in_notebook, print_anywhere, publish
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises.checking import Outcome, Status, assess
from cyclegan_course.exercises.registry import REGISTRY, Exercise, get, order

# Of this session: the last answer to each exercise and its result, and how many hints were taken.
_answers: dict[str, Callable] = {}
_status: dict[str, Status] = {}
_hints: Counter[str] = Counter()

# Colours that hold on light and on dark ground; the sign says it without colour.
_LOOK: dict[Status, tuple[str, str]] = {
    "passed": ("✓", "#009E73"),
    "wrong": ("✗", "#D55E00"),
    "not attempted": ("○", "#888888"),
}


def exercise(number: str) -> Callable[[Callable], Callable]:
    """Decorator that checks an answer where it is defined.

    Returns the learner's own function if it is right, the course's version otherwise, so that the
    chapter goes on.

    Raises:
        CourseError: if there is no such exercise.
    """
    if callable(number):
        raise CourseError('Write the number behind the decorator: @exercise("0.1").')
    task = get(number)

    def check(answer: Callable) -> Callable:
        outcome = assess(task, answer)
        _answers[number] = answer
        _status[number] = outcome.status
        _show_outcome(task, outcome)
        return answer if outcome.status == "passed" else task.reference

    return check


def given_answer(number: str) -> Callable | None:
    """The learner's own last answer to an exercise in this session, right or wrong."""
    return _answers.get(get(number).number)


def hint(number: str) -> None:
    """Show the next hint of an exercise; each call goes one further."""
    task = get(number)
    taken = _hints[number]
    if taken == len(task.hints):
        answer = "" if task.closed else f' The answer: solution("{number}").'
        _say(f"There are no more hints for {number}.{answer}")
        return
    _hints[number] += 1
    _say(f"Hint {taken + 1} of {len(task.hints)} for {number}: {task.hints[taken]}")


def solution(number: str) -> None:
    """Show the course's own version of an exercise."""
    source = get(number).solution
    if not in_notebook():
        print_anywhere(source)
        return
    from IPython.display import Code, display

    display(Code(source, language="python"))


def progress(chapter: int | None = None) -> None:
    """Show the exercises of a chapter with their state in this session.

    Args:
        chapter: its number; without one, every chapter that was worked on in this session, or the
            whole course if none was.

    Raises:
        CourseError: if the chapter has no exercises.
    """
    begun = {order(number)[0] for number in [*_status, *_hints]} if chapter is None else {chapter}
    numbers = sorted(
        (number for number in REGISTRY if not begun or order(number)[0] in begun), key=order
    )
    if not numbers:
        having = sorted({order(number)[0] for number in REGISTRY})
        raise CourseError(
            f"There are no exercises of chapter {chapter!r}; the chapters with exercises are "
            f"{', '.join(map(str, having))}."
        )
    rows = [
        (number, REGISTRY[number].title, _status.get(number, "not attempted"), str(_hints[number]))
        for number in numbers
    ]
    done = sum(row[2] == "passed" for row in rows)
    heading = ("exercise", "title", "state", "hints")
    width = max(len(row[1]) for row in [heading, *rows])
    lines = [f"{a:<8}  {b:<{width}}  {c:<13}  {d:>5}" for a, b, c, d in [heading, *rows]]
    summary = f"{done} of {len(rows)} passed"
    cells = "".join(
        f"<tr><td>{number}</td><td style='text-align:left'>{html.escape(title)}</td>"
        f"<td style='text-align:left'><span style='color:{_LOOK[state][1]}'>{_LOOK[state][0]}"
        f"</span> {state}</td><td>{hints}</td></tr>"
        for number, title, state, hints in rows
    )
    head = "".join(f"<th style='text-align:left'>{word}</th>" for word in heading)
    publish(
        "\n".join([*lines, summary]),
        html=f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table><p>{summary}</p>",
    )


def _say(text: str) -> None:
    publish(text, html=f"<p>{html.escape(text)}</p>")


def _show_outcome(task: Exercise, outcome: Outcome) -> None:
    sign, colour = _LOOK[outcome.status]
    state = "not right yet" if outcome.status == "wrong" else outcome.status
    head = f"Exercise {task.number}, {task.title}: {state}."
    notes = [] if outcome.status == "not attempted" else [outcome.message]
    if outcome.status != "passed":
        notes.append("The chapter goes on with the course's own version.")
    if outcome.status == "wrong" and task.hints:
        notes.append(f'Help: hint("{task.number}").')
    note = " ".join(notes)
    width = max((len(name) for name, _ in outcome.table), default=0)
    lines = [f"{sign} {head} {note}"]
    lines += [f"    {name:<{width}}  {text}" for name, text in outcome.table]
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left; white-space:nowrap'>{html.escape(name)}</th>"
        f"<td style='text-align:left'><code>{html.escape(text)}</code></td></tr>"
        for name, text in outcome.table
    )
    publish(
        "\n".join(lines),
        html=(
            f"<div style='border-left:4px solid {colour}; padding-left:0.8em'>"
            f"<span style='color:{colour}'>{sign}</span> <b>{html.escape(head)}</b> "
            f"{html.escape(note)}" + (f"<table>{rows}</table>" if rows else "") + "</div>"
        ),
    )
