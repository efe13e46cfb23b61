"""`cyclegan-course translate`: pictures, or folders of them."""

import argparse
import sys
from pathlib import Path

from cyclegan_course.cli.commands import Commands
from cyclegan_course.errors import CourseError
from cyclegan_course.translate import load_translator, resolve_target, translate_files


def add(commands: Commands) -> None:
    """Add the command `translate`."""
    command = commands.add_parser("translate", help="translate pictures, or folders of them")
    command.set_defaults(run=_translate)
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--to",
        default="painting",
        help="painting (default), photograph, night, day, monet, monet:reverse, ... or the folder "
        "of a training run",
    )
    command.add_argument("--out", type=Path, default=Path("translated"), help="folder of results")
    command.add_argument(
        "--working-size",
        type=_pixels,
        help="longest side at which pictures are translated; 'full' for their own size",
    )


def _pixels(text: str) -> int | str:
    return text if text == "full" else int(text)


def _translate(options: argparse.Namespace) -> int:
    translator = load_translator(*resolve_target(options.to))
    failures = 0
    for path, result in translate_files(
        options.pictures, translator, options.out, options.working_size
    ):
        if isinstance(result, CourseError):
            failures += 1
            print(f"cyclegan-course: {result}", file=sys.stderr)
        else:
            print(f"{path} -> {result}")
    return 1 if failures else 0
