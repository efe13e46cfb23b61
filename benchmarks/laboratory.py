"""The stored results of chapters 8 and 9: each cell of the grid and each bug, trained, measured.

    uv run python benchmarks/laboratory.py grid               # about an hour on one core
    uv run python benchmarks/laboratory.py grid --world painting --groups terms
    uv run python benchmarks/laboratory.py bugs               # about half an hour on one core

    uv run python benchmarks/laboratory.py grid --tables      # print the table, train nothing

Writes into `data/laboratory`: `grid.csv` and `bugs.csv`, one row a run and direction with its
seconds, a strip of pictures of each run of seed 1, and `record.json` with machine and versions of
the newest runs. Runs that the table has already are not made again (delete the file to begin anew).
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

from cyclegan_course import environment, worlds
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.images import tensor_to_picture
from cyclegan_course.laboratory import grid, stored
from cyclegan_course.laboratory.bugs import BUGS
from cyclegan_course.laboratory.recipe import Recipe, train
from cyclegan_course.laboratory.results import FOLDER, Results, picture_name
from cyclegan_course.laboratory.scores import scores, tasks
from cyclegan_course.laboratory.stored import SHOWN, add_rows, has_run

Job = tuple[str, Recipe, Callable[[CycleGAN], CycleGAN]]


def grid_jobs(groups: list[str], world: str, seed: int) -> list[Job]:
    """Every cell of some groups once; `full` is in all of them."""
    cells = {}
    for group in groups:
        cells |= grid.recipes(group, world, seed)
    return [(name, recipe, lambda model: model) for name, recipe in cells.items()]


def bug_jobs(seed: int) -> list[Job]:
    """Every bug, and each repaired recipe once."""
    repaired = {bug.repaired: bug.right(seed) for bug in BUGS.values()}
    jobs = [(name, recipe, lambda model: model) for name, recipe in repaired.items()]
    return jobs + [(bug.name, bug.wrong(seed), bug.deploy) for bug in BUGS.values()]


def strip(model: CycleGAN, recipe: Recipe, shown: Sequence[int]) -> Image.Image:
    """A row of A to B above a row of B to A, of the held-out scenes `shown`."""
    ways = zip((model.G_AB, model.G_BA), tasks(recipe.world, recipe.size), strict=True)
    rows = [stored.strip(net, task.source, shown) for net, task in ways]
    return tensor_to_picture(torch.cat(rows, dim=1))


def run(folder: Path, table: str, jobs: list[Job], draw: bool) -> int:
    """Train and measure what the table does not have yet; each run is written as it ends.

    Returns:
        The number of new runs.
    """
    file = folder / f"{table}.csv"
    new = 0
    for name, recipe, deploy in jobs:
        key = {"world": recipe.world, "name": name, "seed": recipe.seed}
        if has_run(file, key):
            continue
        began = time.perf_counter()
        model = deploy(train(recipe).model)
        seconds = round(time.perf_counter() - began, 1)
        rows = [key | row for row in scores(model, recipe.world, recipe.size)]
        if draw:  # first: what the table has is not made again
            pictures = folder / table
            pictures.mkdir(exist_ok=True)
            strip(model, recipe, SHOWN).save(
                pictures / picture_name(name, recipe.world), optimize=True
            )
        add_rows(file, [row | {"seconds": seconds} for row in rows])
        new += 1
        print(f"{recipe.world}, {name}, seed {recipe.seed}: {seconds:.0f} s", flush=True)
    return new


def table_of(results: Results, world: str) -> str:
    """Mean over the seeds with the 95 % interval, in Markdown."""
    columns = {"psnr": 2, "ssim": 3, "distance": 3, "reconstruction": 3}
    ways = ("A to B", "B to A")
    head = " | ".join(f"{measure}, {way}" for way in ways for measure in columns)
    lines = [f"| | seeds | {head} |", "|---|---|" + "---|" * (len(ways) * len(columns))]
    for name in results.names(world):
        cells = [
            f"{found.value:.{digits}f} ± {found.high - found.value:.{digits}f}"
            if (found := results.interval(name, measure, way, world)).high is not None
            else f"{found.value:.{digits}f}"
            for way in ways
            for measure, digits in columns.items()
        ]
        seeds = len(results.by_seed(name, "psnr", world=world))
        lines.append(f"| {name} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=("grid", "bugs"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--groups", nargs="+", default=list(grid.CELLS), choices=grid.CELLS)
    parser.add_argument("--world", default="night", choices=worlds.WORLDS)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--tables", action="store_true", help="only print the table")
    options = parser.parse_args()
    if options.tables:
        print(table_of(Results(options.table, options.out), options.world))
        return
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    new = 0
    for seed in options.seeds:
        jobs = (
            grid_jobs(options.groups, options.world, seed)
            if options.table == "grid"
            else bug_jobs(seed)
        )
        new += run(options.out, options.table, jobs, draw=seed == 1)
    if new:
        write_record(options.out, options.table)


def write_record(folder: Path, table: str) -> None:
    """Machine and versions beside the tables, and the seeds that each table has by now."""
    seeds: dict[str, set[int]] = {}
    for row in Results(table, folder).rows:
        seeds.setdefault(row["world"], set()).add(row["seed"])
    record = folder / "record.json"
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    known[table] = {
        "command": f"python benchmarks/laboratory.py {table}",
        "machine": environment.machine(),
        "torch": torch.__version__,
        "seeds": {world: sorted(found) for world, found in seeds.items()},
        "seconds": "of the clock, for one training; other work ran beside most of them",
    }
    record.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
