"""`cyclegan-course evaluate`: trained generators against the sealed truth."""

import argparse
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from cyclegan_course import worlds
from cyclegan_course.cli.commands import Commands
from cyclegan_course.comparison import Comparison, compare
from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.features import FEATURES
from cyclegan_course.metrics.table import format_by_metric, write_csv, write_json
from cyclegan_course.translate import available_names

ENOUGH = 50
PARTS = ("translated", "reference")
WRITERS = {".csv": lambda found, path: write_csv(found.rows, path)}
WRITERS |= {".json": lambda found, path: write_json(found.rows, path, found.protocol)}


def add(commands: Commands) -> None:
    """Add the command `evaluate`."""
    command = commands.add_parser(
        "evaluate",
        help="measure trained generators against the sealed truth",
        description="Measure trained generators, the last and the best of each run, beside the "
        "baselines. The table is printed, and written to evaluation.csv and evaluation.json.",
    )
    command.set_defaults(run=_evaluate)
    command.add_argument(
        "names",
        nargs="*",
        metavar="RUN",
        help="folders of runs, or shipped names (default: those of the worlds)",
    )
    command.add_argument("--data", help="world, or folder with testA and testB, to measure on")
    command.add_argument("--count", type=int, default=64, help="held-out pictures per domain")
    command.add_argument("--size", type=int, default=128, help="their size in pixels")
    command.add_argument(
        "--features",
        choices=(*FEATURES, "none"),
        default="course",
        help="network behind KID and FID",
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    command.add_argument(
        "--out",
        type=Path,
        help="folder for evaluation.csv and evaluation.json, or a file that ends in .csv or .json "
        "(default: the folder of each run)",
    )


def _evaluate(options: argparse.Namespace) -> int:
    if options.count < 2:
        raise CourseError("Measure on at least 2 pictures: --count 64 is the usual number.")
    if options.size < 16:
        raise CourseError("Measure at 16 pixels or more: --size 128 is the usual size.")
    names = options.names or [name for name in available_names() if name in worlds.WORLDS]
    if not names:
        raise CourseError("There are no shipped weights to measure; give the folder of a run.")
    files = _files(options.out, names)
    found = compare(
        names,
        options.data,
        options.count,
        options.size,
        options.features,
        options.seed,
        partial(tqdm, desc="measuring", disable=None),  # no bar in a log file
    )
    print(format_by_metric(found.rows))
    print(_legend(found))
    for sentence in _warnings(found):
        print(f"cyclegan-course: {sentence}", file=sys.stderr)
    for file in files:
        WRITERS[file.suffix](found, file)
        print(file)
    return 0


def _files(out: Path | None, names: list[str]) -> list[Path]:
    """Where the table is written to."""
    if out is not None and out.suffix in WRITERS:
        return [out]
    if out is not None and out.suffix and not out.is_dir():
        raise CourseError(f"{out} must be a folder, or a file that ends in .csv or .json.")
    runs = [Path(name).expanduser() for name in names if name not in available_names()]
    folders = [out] if out is not None else runs
    return [folder / f"evaluation{suffix}" for folder in folders for suffix in WRITERS]


def _legend(found: Comparison) -> str:
    lines = ["\n± is half the width of the 95 % interval over pictures."]
    if any(row.seeds for row in found.rows):
        lines.append("In brackets: from the lowest to the highest of the seeds.")
    if found.protocol["features"]:
        lines.append(f"KID and FID through {found.protocol['features']}.")
    return " ".join(lines)


def _warnings(found: Comparison) -> list[str]:
    """One sentence for each set of pictures that is too small to tell small differences."""
    counts = {
        label: [facts[way][part] for way in ("A to B", "B to A") for part in PARTS]
        for label, facts in found.protocol["data"].items()
    }
    return [
        f"{label} was measured on as few as {min(some)} pictures: with fewer than {ENOUGH} the "
        "intervals are wide, and distances are larger than between larger sets."
        for label, some in counts.items()
        if min(some) < ENOUGH
    ]
