"""`cyclegan-course doctor`: the environment report."""

import argparse

from cyclegan_course import environment
from cyclegan_course.cli.commands import Commands


def add(commands: Commands) -> None:
    """Add the command `doctor`."""
    command = commands.add_parser("doctor", help="print the environment report")
    command.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    print(environment.report())
    return 0
