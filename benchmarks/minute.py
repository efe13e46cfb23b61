"""Chapter 5's minute of training, with several seeds and with parts of the recipe left out.

    uv run python benchmarks/minute.py            # about 10 minutes on one core

Writes `minute.csv` beside this file, one row a run, direction and method, and prints the table of
`benchmarks/README.md`. Every run makes the same 320 steps on the `night` world as chapter 5, and is
measured on 32 held-out scenes against the sealed truth.
"""

import csv
import sys
import time
from functools import partial
from pathlib import Path
from statistics import mean

import torch

from cyclegan_course import environment, metrics, worlds
from cyclegan_course.cyclegan import CycleGAN, Objective, training_step
from cyclegan_course.datasets import ImagePool, UnpairedBatches
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.training import learning_rate_factor

WORLD, SIZE, SCENES, STEPS, LEARNING_RATE, COUNT = "night", 48, 400, 320, 2e-3, 32
SEEDS = (1, 2, 3, 4, 5)
VARIANTS = {
    "as in chapter 5": {},
    "without the pool": {"pool_size": 0},
    "beta1 = 0.9": {"beta1": 0.9},
}
COLUMNS = ("psnr", "ssim", "l1", "distance")
BLURRED = ("blurred_psnr", "blurred_ssim", "blurred_l1")
KEPT = ("direction", "method", *COLUMNS[:3], *BLURRED, "distance")  # in `minute.csv`


def train_minute(seed: int, pool_size: int = 50, beta1: float = 0.5) -> CycleGAN:
    """The networks after the minute of chapter 5."""
    model = CycleGAN(
        partial(ResnetGenerator, ngf=16, n_blocks=3, n_down=1, edge_kernel=3),
        partial(PatchDiscriminator, ndf=32, n_layers=2),
        seed=seed,
    )
    heaps = (worlds.training_pictures(WORLD, domain, SCENES, SIZE) for domain in "AB")
    batches = UnpairedBatches(*heaps, SIZE, seed=seed)
    optimizer_G, optimizer_D = (
        torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=(beta1, 0.999))
        for parameters in (model.generator_parameters(), model.discriminator_parameters())
    )
    pools = ImagePool(pool_size, seed), ImagePool(pool_size, seed + 1)
    for step in range(STEPS):
        for group in optimizer_G.param_groups + optimizer_D.param_groups:
            group["lr"] = LEARNING_RATE * learning_rate_factor(step / STEPS)
        training_step(model, *batches(step), optimizer_G, optimizer_D, *pools, Objective())
    return model


def run() -> list[dict]:
    """One row for each variant, seed, direction and method."""
    rows = []
    for name, changes in VARIANTS.items():
        for seed in SEEDS:
            began = time.perf_counter()
            model = train_minute(seed, **changes)
            seconds = time.perf_counter() - began
            for row in metrics.evaluate_translation(WORLD, model.G_AB, model.G_BA, COUNT, SIZE):
                values = {key: getattr(row, key) for key in KEPT}
                rows.append({"variant": name, "seed": seed} | values)
            print(f"{name}, seed {seed}: {seconds:.0f} s", file=sys.stderr)
    return rows


def table(rows: list[dict]) -> str:
    """Mean and range over the seeds, in Markdown; the baselines are the same for every seed."""
    lines = ["| direction | | PSNR | SSIM | L1 | distance |", "|---|---|---|---|---|---|"]
    for direction in ("A to B", "B to A"):
        for name in ("untouched", "Reinhard", *VARIANTS):
            method = "CycleGAN" if name in VARIANTS else name
            variant = name if name in VARIANTS else next(iter(VARIANTS))
            chosen = [
                row
                for row in rows
                if (row["direction"], row["method"], row["variant"]) == (direction, method, variant)
            ]
            cells = []
            for column in COLUMNS:
                values = [row[column] for row in chosen]
                digits = 2 if column == "psnr" else 3
                text = f"{mean(values):.{digits}f}"
                if method == "CycleGAN":
                    text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
                cells.append(text)
            lines.append(f"| {direction} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    environment.prepare_threads()
    rows = run()
    file = Path(__file__).with_suffix(".csv")
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{environment.machine()}, torch {torch.__version__}")
    print(table(rows))


if __name__ == "__main__":
    main()
