"""The command line: one module a command, each with `add`, which describes its options."""

import argparse
import io
import sys
from collections.abc import Sequence

from cyclegan_course import environment
from cyclegan_course.cli import (
    doctor,
    download,
    evaluate,
    export,
    grade,
    inspect,
    train,
    translate,
)
from cyclegan_course.errors import CourseError

COMMANDS = (inspect, train, translate, evaluate, export, grade, download, doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0; 1 if something failed; 130 if interrupted by Ctrl-C and 143 by SIGTERM (128 + the signal).
    """
    _print_anything()
    options = make_parser().parse_args(arguments)
    environment.prepare_threads()
    try:
        return options.run(options)
    except CourseError as error:
        print(f"cyclegan-course: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cyclegan-course: stopped.", file=sys.stderr)
        return 130


def _print_anything() -> None:
    """A letter that the console cannot write becomes an escape, and does not end the command.

    Windows gives a program whose output goes to a file or a pipe the code page of the system.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the chosen one's function is in `run` of what it returns."""
    parser = argparse.ArgumentParser(
        prog="cyclegan-course", description="Unpaired image-to-image translation with CycleGAN."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser
