"""`cyclegan-course inspect`: what is in two folders of pictures, before training on them."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from cyclegan_course.cli.commands import Commands
from cyclegan_course.errors import CourseError
from cyclegan_course.images import shown, write_text
from cyclegan_course.inspection import inspect_data


def add(commands: Commands) -> None:
    """Add the command `inspect`."""
    command = commands.add_parser(
        "inspect", help="report on two folders of pictures before training on them"
    )
    command.set_defaults(run=_inspect)
    command.add_argument(
        "data", nargs="?", metavar="DATA", help="folder with trainA and trainB, or a downloaded set"
    )
    add_two_folders(command)
    command.add_argument(
        "--size", type=int, default=256, help="short side that is to be trained on (default: 256)"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="also write it as JSON")


def add_two_folders(command: argparse.ArgumentParser) -> None:
    """Add the options that name any two folders."""
    command.add_argument("--data-A", metavar="FOLDER", help="any folder of pictures of A")
    command.add_argument("--data-B", metavar="FOLDER", help="any folder of pictures of B")


def chosen_data(data: str | None, options: argparse.Namespace) -> str | tuple[str, str] | None:
    """What the options name: one place, or two folders; None if nothing.

    Raises:
        CourseError: for both at once, and for one of two folders.
    """
    A, B = options.data_A, options.data_B
    if A is None and B is None:
        return data
    if A is None or B is None:
        raise CourseError("Name both folders: --data-A PHOTOS --data-B PAINTINGS.")
    if data is not None:
        raise CourseError(f"Name {data!r} or the two folders of --data-A and --data-B, not both.")
    return A, B


def _inspect(options: argparse.Namespace) -> int:
    data = chosen_data(options.data, options)
    if data is None:
        raise CourseError("Name what to inspect: a folder, or two with --data-A and --data-B.")
    bar = partial(tqdm, desc="reading pictures", disable=not sys.stderr.isatty(), leave=False)
    report = inspect_data(data, options.size, bar)
    print(report)
    if options.json is not None:
        write_text(json.dumps(report.to_dict(), indent=2) + "\n", options.json)
        print(f"\nwritten: {shown(options.json)}")
    return 0
