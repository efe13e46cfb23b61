"""The stored results of the article's listing in chapter 9: each stage of its repair, measured.

    uv run python benchmarks/listing.py                  # 24 runs

Writes into `data/laboratory`: `listing.csv` (one row a run and direction), a strip of pictures of
each stage's first seed, and `listing.json` with machine, versions and time. Runs that the table
has already are not made again (delete the file to begin anew).
"""

import argparse
import csv
import json
from functools import partial
from pathlib import Path

import torch
from laboratory import Job, run

from cyclegan_course import environment
from cyclegan_course.laboratory.listing import STAGES, in_their_range
from cyclegan_course.laboratory.results import FOLDER


def jobs(seed: int) -> list[Job]:
    """Every stage; all are measured in the range that they were trained on."""
    recipes = {name: stage(seed) for name, stage in STAGES.items()}
    return [(name, recipe, partial(in_their_range, recipe)) for name, recipe in recipes.items()]


def record(folder: Path) -> dict:
    """Machine, versions, and what the table says of seeds and time."""
    with (folder / "listing.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["direction"] == "A to B"]
    return {
        "machine": environment.machine(),
        "torch": torch.__version__,
        "seeds": sorted({int(row["seed"]) for row in rows}),
        "seconds of training": round(sum(float(row["seconds"]) for row in rows)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        run(options.out, "listing", jobs(seed), draw=seed == 1)
    text = json.dumps(record(options.out), indent=2) + "\n"
    (options.out / "listing.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
