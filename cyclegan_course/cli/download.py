"""`cyclegan-course download`: the classic sets."""

import argparse
import shlex
from pathlib import Path

from cyclegan_course.cli.commands import Commands
from cyclegan_course.downloads import SETS, data_folder, download, find_downloaded
from cyclegan_course.errors import CourseError


def add(commands: Commands) -> None:
    """Add the command `download`."""
    command = commands.add_parser(
        "download", help="download a classic set of the CycleGAN paper, horse2zebra for instance"
    )
    command.set_defaults(run=_download)
    command.add_argument("name", nargs="?", metavar="NAME", help="the set; see --list")
    command.add_argument(
        "--folder", type=Path, help="where to put the set (default: the user's cache folder)"
    )
    command.add_argument(
        "--keep-archive", action="store_true", help="keep the zip archive beside the set"
    )
    command.add_argument("--list", action="store_true", help="list the sets and what is there")


def _download(options: argparse.Namespace) -> int:
    if options.list:
        print(table(options.folder))
        return 0
    if options.name is None:
        raise CourseError("Name a set to download; `cyclegan-course download --list` shows them.")
    folder = download(options.name, options.folder, options.keep_archive)
    data = options.name if options.folder is None else str(folder)
    print(f"{options.name} is in {folder}")
    if SETS[options.name].needs == ("trainA", "trainB"):
        print(f"cyclegan-course train --data {shlex.quote(data)}")
    return 0


def table(folder: Path | None = None) -> str:
    """The sets, one a line: name, size of the archive, domains, and whether it is there."""
    lines = [f"{'name':<22} {'archive':>8}  {'here':<7}  domains A, B"]
    for name, data_set in SETS.items():
        size = f"{data_set.size / 1e6:,.0f} MB" if data_set.size else "?"
        lines.append(f"{name:<22} {size:>8}  {_state(name, folder):<7}  {data_set.about}")
    return "\n".join([*lines, "", f"They are kept in {folder or data_folder()}"])


def _state(name: str, folder: Path | None) -> str:
    try:
        return "yes" if find_downloaded(name, folder) else "no"
    except CourseError:
        return "damaged"
