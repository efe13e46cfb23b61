"""`cyclegan-course evaluate`: trained generators against the sealed truth."""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from cyclegan_course import metrics, worlds
from cyclegan_course.cli.commands import Commands
from cyclegan_course.datasets import FOLDERS, middle_square, open_source
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.training import load_config
from cyclegan_course.translate import Translator, available_names, load_translator


def add(commands: Commands) -> None:
    """Add the command `evaluate`."""
    command = commands.add_parser(
        "evaluate", help="measure trained generators against the sealed truth"
    )
    command.set_defaults(run=_evaluate)
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="shipped names or run folders (default: worlds)"
    )
    command.add_argument("--data", help="world, or folder with testA and testB, to measure on")
    command.add_argument("--count", type=int, default=64, help="held-out pictures per domain")
    command.add_argument("--size", type=int, default=128, help="their size in pixels")
    command.add_argument("--out", type=Path, help="also write the table, as .csv or .json")


def _evaluate(options: argparse.Namespace) -> int:
    if options.count < 2:
        raise CourseError("Measure on at least 2 pictures: --count 48 is the usual number.")
    names = options.names or [name for name in available_names() if name in worlds.WORLDS]
    if not names:
        raise CourseError("There are no shipped weights to measure; give the folder of a run.")
    rows: list[metrics.Row] = []
    for name in tqdm(names, desc="measuring", disable=len(names) == 1):
        rows += evaluate(name, options.data, options.count, options.size)
    print(metrics.format_table(rows))
    if options.out is not None:
        write = {".csv": metrics.write_csv, ".json": metrics.write_json}.get(options.out.suffix)
        if write is None:
            raise CourseError(f"{options.out} must end in .csv or .json.")
        write(rows, options.out)
    return 0


def evaluate(name: str, data: str | None, count: int, size: int) -> list[metrics.Row]:
    """The table's rows for one trained pair of generators, in both directions.

    Args:
        name: a shipped name or the folder of a run.
        data: world or folder to measure on; by default the world that the pair was trained on.

    Raises:
        CourseError: if there is nothing to measure on.
    """
    G_AB, G_BA = load_translator(name, "AB"), load_translator(name, "BA")
    data = data or _trained_on(name, G_AB)
    if data in worlds.WORLDS:
        rows = metrics.evaluate_translation(
            data, G_AB.translate_tensor, G_BA.translate_tensor, count, size
        )
    else:
        rows = _evaluate_folder(data, G_AB, G_BA, count, size)
    return [replace(row, direction=f"{G_AB.name} {row.direction}") for row in rows]


def _trained_on(name: str, translator: Translator) -> str:
    """The data of a run, with its folder's path, or of a shipped pair, whose card has the name."""
    if (Path(name) / "config.json").exists():
        return load_config(Path(name)).data
    return translator.card.get("trained", {}).get("config", {}).get("data", translator.name)


def _evaluate_folder(
    data: str, G_AB: Translator, G_BA: Translator, count: int, size: int
) -> list[metrics.Row]:
    if not Path(data).is_dir():
        raise CourseError(
            f"{G_AB.name!r} was trained on pictures that are not here; name a folder that holds "
            f"{', '.join(FOLDERS)} with --data."
        )
    source = open_source(data, size)
    test_A, test_B = (
        torch.stack(
            [picture_to_tensor(middle_square(picture, size)) for picture in pictures[:count]]
        )
        for pictures in (source.test_A, source.test_B)
    )
    rows = []
    for direction, translator, real, target in (
        ("A to B", G_AB, test_A, test_B),
        ("B to A", G_BA, test_B, test_A),
    ):
        fake = torch.cat([translator.translate_tensor(picture[None]) for picture in real])
        rows += metrics.evaluate_unpaired(fake, target, real, direction)
    return rows
