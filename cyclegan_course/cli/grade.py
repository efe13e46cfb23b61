"""`cyclegan-course grade`: folders of submitted notebooks."""

import argparse
import sys
from pathlib import Path

from cyclegan_course.cli.commands import Commands

GIGABYTE = 2**30


def add(commands: Commands) -> None:
    """Add the command `grade`."""
    command = commands.add_parser("grade", help="grade the exercises of submitted notebooks")
    command.set_defaults(run=_grade)
    command.add_argument(
        "submissions",
        type=Path,
        metavar="SUBMISSIONS",
        help="folder with one notebook, or one folder of notebooks, for each student",
    )
    command.add_argument(
        "--out", type=Path, default=Path("grades"), help="folder of results (default: grades)"
    )
    command.add_argument(
        "--chapters",
        type=_chapters,
        metavar="2,3",
        help="chapters that count (default: all that somebody handed in)",
    )
    command.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="most processor time of one exercise (default: 60)",
    )
    command.add_argument(
        "--minutes", type=float, default=5, help="longest time of one notebook (default: 5)"
    )
    command.add_argument(
        "--memory",
        type=float,
        default=3,
        metavar="GIB",
        help="most memory of one notebook in GiB (default: 3)",
    )
    command.add_argument("--jobs", type=int, default=1, help="submissions at a time (default: 1)")
    command.add_argument(
        "--whole",
        action="store_true",
        help="also run all cells of each notebook, and report those that fail",
    )
    command.add_argument(
        "--seed", type=int, help="of the hidden inputs (default: random, and kept with the results)"
    )


def _chapters(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of chapters like 2,3") from error


def _grade(options: argparse.Namespace) -> int:
    from cyclegan_course.grading import pages, tables
    from cyclegan_course.grading.folder import Settings, grade_folder
    from cyclegan_course.grading.watched import Limits

    limits = Limits(options.seconds, options.minutes, int(options.memory * GIGABYTE))
    settings = Settings(limits, options.chapters, options.whole, options.jobs, options.seed)
    try:
        graded, others = grade_folder(options.submissions, options.out, settings)
    except KeyboardInterrupt:
        print("What is graded is kept: the same command goes on from there.", file=sys.stderr)
        raise
    for name in others:
        print(f"cyclegan-course: {name} is no notebook and no folder: left out.", file=sys.stderr)
    numbers = tables.numbers_of(graded, options.chapters)
    tables.write_grades(graded, numbers, options.out / "grades.csv")
    tables.write_details(graded, numbers, options.out / "details.csv")
    pages.write_pages(graded, numbers, options.out)
    print(f"{len(graded)} students, {len(numbers)} exercises: {options.out / 'index.html'}")
    return 0
