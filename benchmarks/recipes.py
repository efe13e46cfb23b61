"""Which recipe for the shipped weights: short runs of each choice, measured before the long run.

    uv run python benchmarks/recipes.py                # ten minutes on one core
    uv run python benchmarks/recipes.py --tables       # print the table, train nothing

Writes `data/laboratory/recipes.csv`, one row a run and direction. The runs have the size and the
data of the long ones and a smaller generator. They are measured on held-out scenes that are in no
other table, so that no table is measured on scenes that chose its weights. Runs that the table has
already are not made again.
"""

import argparse
from pathlib import Path

from cyclegan_course import environment
from cyclegan_course.laboratory.results import FOLDER, Results
from cyclegan_course.laboratory.stored import train_and_keep
from cyclegan_course.training import preset

WORLDS = ("restoration",)
SHAPE = {"size": 64, "load_size": 128, "ngf": 24, "n_blocks": 4, "edge_kernel": 5}
LENGTH = {"steps": 700, "lr": 1e-3, "compile": "off"}
MEASURED = {"size": 128, "count": 24, "start": 1000}
CHOICES: dict[str, dict] = {
    "as in the paper": {},
    "a tenth of both": {"lambda_cycle": 1.0, "lambda_identity": 0.5},
    "a tenth of the cycle": {"lambda_cycle": 1.0},
    "D of two halvings": {"n_layers": 2},
    "D of two halvings, identity 15": {"n_layers": 2, "lambda_identity": 15.0},
    "G without halving": {"n_layers": 2, "lambda_identity": 10.0, "n_down": 0},
}


def table_of(results: Results) -> str:
    """Every run, in Markdown."""
    digits = {"psnr": 2, "ssim": 3, "blurred_psnr": 2, "distance": 3}
    lines = [f"| world | direction | | {' | '.join(digits)} |", "|---|---|---|" + "---|" * 4]
    for row in results.rows:
        cells = " | ".join(f"{row[measure]:.{places}f}" for measure, places in digits.items())
        lines.append(f"| {row['world']} | {row['direction']} | {row['name']} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--tables", action="store_true", help="only print the table")
    options = parser.parse_args()
    if options.tables:
        print(table_of(Results("recipes", options.out)))
        return
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    for world in options.worlds:
        for name, changes in CHOICES.items():
            settings = preset("minute", data=world, **(SHAPE | LENGTH | changes))
            train_and_keep(options.out / "recipes.csv", name, settings, **MEASURED)


if __name__ == "__main__":
    main()
