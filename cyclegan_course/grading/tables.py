"""The results as CSV: a line for each student, and a line for each student and exercise."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from cyclegan_course.exercises.registry import REGISTRY, order
from cyclegan_course.grading.results import Graded, Result
from cyclegan_course.images.files import whole_file

MISSING = Result("missing", "There is no cell for this exercise.")


def numbers_of(all_graded: Sequence[Graded], chapters: Iterable[int] | None) -> list[str]:
    """The exercises that count: of the chapters named, or of all that anybody handed in."""
    if chapters is None:
        chapters = {order(number)[0] for graded in all_graded for number in graded.results}
    wanted = set(chapters)
    return sorted((number for number in REGISTRY if order(number)[0] in wanted), key=order)


def result_of(graded: Graded, number: str) -> Result:
    """What became of an exercise; "missing" if the submission has no cell for it."""
    return graded.results.get(number, MISSING)


def points_of(graded: Graded, numbers: Iterable[str]) -> int:
    """One point for each exercise that passed."""
    return sum(result_of(graded, number).points for number in numbers)


def write_grades(all_graded: Sequence[Graded], numbers: Sequence[str], path: Path) -> None:
    """A line for each student: points, then each exercise as 1 or 0, then each one's state."""
    head = ["student", "submission", "points", "possible", *numbers]
    head += [f"{number} state" for number in numbers] + ["remarks", "page"]
    lines = []
    for graded in all_graded:
        found = [result_of(graded, number) for number in numbers]
        lines.append(
            [graded.student, graded.key, points_of(graded, numbers), len(numbers)]
            + [result.points for result in found]
            + [result.state for result in found]
            + [" ".join(graded.remarks), f"students/{graded.page}.html"]
        )
    _write([head, *lines], path)


def write_details(all_graded: Sequence[Graded], numbers: Sequence[str], path: Path) -> None:
    """A line for each student and exercise, with what an instructor needs to look into it."""
    head = ["student", "submission", "notebook", "exercise", "title", "points", "state"]
    head += ["remark", "known mistake", "hidden seed"]
    lines = []
    for graded in all_graded:
        for number in numbers:
            found = result_of(graded, number)
            lines.append(
                [
                    *(graded.student, graded.key, found.notebook, number, REGISTRY[number].title),
                    *(found.points, found.state, found.message, found.mistake),
                    "" if found is MISSING else found.seed,
                ]
            )
    _write([head, *lines], path)


def _write(lines: list[list], path: Path) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[_harmless(entry) for entry in line] for line in lines])
    with whole_file(path) as temporary:
        # The mark at the beginning tells Excel that it is UTF-8; other programs pass over it.
        temporary.write_bytes(text.getvalue().encode("utf-8-sig", errors="replace"))


def _harmless(entry: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    if isinstance(entry, str) and entry.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{entry}"
    return entry
