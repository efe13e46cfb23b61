"""Hallucination of chapter 13: translators of unbalanced domains, and what they show that is not.

    uv run python benchmarks/hallucination.py                    # CycleGAN, 9 runs
    uv run python benchmarks/hallucination.py --methods cut

Short trainings from day to night: the sun is in half of the pictures of A, the moon in none, half
or all of those of B; three seeds each. Writes into `data/laboratory/hallucination`: `scenes.csv`
(what the translation of each held-out scene shows, without and with the sun), `detector.csv`
(errors of the detector on true pictures), pictures of one seed, and `record.json`. What
`scenes.csv` has already is not trained again.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclegan_course import cut, environment, metrics
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import UnpairedBatches
from cyclegan_course.images import tensor_to_picture
from cyclegan_course.laboratory import hallucination, hallucination_results
from cyclegan_course.laboratory.hallucination import (
    FOLDER,
    SHARE_A,
    SHARES_B,
    SHOWN,
    SIZE,
    Twins,
)
from cyclegan_course.laboratory.hidden_message import with_noise
from cyclegan_course.laboratory.recipe import Recipe, train
from cyclegan_course.laboratory.stored import add_rows

STEPS = 400
SCENES = 200  # training pictures of each domain
COUNT = 64  # held-out scenes, each without and with the sun
STRIP = 8  # scenes among the stored pictures
METHODS = ("cyclegan", "cut")
DECIMALS = 4  # of what is stored

# What the detector must stand on true pictures, from harmless to more than a translator does.
DISTURBANCES: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda images: images,
    "blurred, sigma 1": lambda images: metrics.blur(images, 1.0),
    "noise of 20 levels": lambda images: with_noise(images, 20.0),
    "darker by 20 levels": lambda images: images - 20 / 127.5,
    "brighter by 20 levels": lambda images: images + 20 / 127.5,
    "half the contrast": lambda images: (
        images.mean((2, 3), keepdim=True) + 0.5 * (images - images.mean((2, 3), keepdim=True))
    ),
}


def own_batches(A: list, B: list, *ignored, **options) -> UnpairedBatches:
    """Batches of these pictures in the place of the world's own."""
    size = ignored[-1]
    return UnpairedBatches(A, B, size, **options)


def cut_step(generator: torch.Generator, model: cut.CUT, *arguments) -> dict[str, Tensor]:
    """A step of CUT, called like that of CycleGAN: only the pool of fake B is used."""
    real_A, real_B, optimizer_G, optimizer_D, _, pool_B, _ = arguments
    positions = model.draw_positions(*real_A.shape[2:], generator)
    objective = cut.ContrastiveObjective()
    return cut.training_step(
        model, real_A, real_B, optimizer_G, optimizer_D, pool_B, objective, positions
    )


def recipe(method: str, share: float, seed: int, size: int = SIZE, scenes: int = SCENES) -> Recipe:
    """Of one training; those of a seed share the scenes and, of one method, the first weights."""
    A = hallucination.training_pictures("A", SHARE_A, scenes, size)
    B = hallucination.training_pictures("B", share, scenes, size)
    parts = {}
    if method == "cut":
        generator = torch.Generator().manual_seed(seed)
        parts = {"make_model": cut.CUT, "step": partial(cut_step, generator), "pool_size": 0}
    batches = partial(own_batches, A, B)
    return Recipe(size=size, scenes=scenes, steps=STEPS, seed=seed, make_batches=batches, **parts)


def sheet(model: CycleGAN | cut.CUT, twins: Twins, count: int = STRIP) -> Image.Image:
    """The pictures that `hallucination.strips` reads again."""
    rows = []
    with torch.no_grad():
        for present in (False, True):
            real_A = twins.A[present][:count]
            fake_B = model.G_AB(real_A).clamp(-1, 1)
            back = getattr(model, "G_BA", None)
            rows += [real_A, fake_B, torch.full_like(fake_B, -1) if back is None else back(fake_B)]
    rows += [truth[:count] for truth in twins.B]
    strips = [[np.asarray(tensor_to_picture(image)) for image in row] for row in rows]
    return Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in strips]))


def done(folder: Path) -> set[tuple[str, float, int]]:
    """(method, share_B, seed) of what the table has."""
    if not (folder / "scenes.csv").is_file():
        return set()
    rows = hallucination_results.stored(folder)
    return {(row["method"], row["share_B"], row["seed"]) for row in rows}


def write_detector(folder: Path, twins: Twins) -> None:
    """The table of the detector's errors on true pictures."""
    file = folder / "detector.csv"
    file.unlink(missing_ok=True)
    add_rows(
        file,
        [
            {"true pictures": name, **hallucination.calibrated().errors(twins.B, disturb)}
            for name, disturb in DISTURBANCES.items()
        ],
        DECIMALS,
    )


def write_record(folder: Path, key: str, seconds: float) -> None:
    """Machine, versions and times beside the tables."""
    file = folder / "record.json"
    old = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    times = old.get("processor_seconds", {}) | {key: round(seconds, 1)}
    record = {
        "command": "python benchmarks/hallucination.py --methods cyclegan cut",
        "machine": environment.machine(),
        "torch": torch.__version__,
        "steps": STEPS,
        "training_scenes": SCENES,
        "held_out_scenes": COUNT,
        "processor_seconds": dict(sorted(times.items())),
    }
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["cyclegan"], choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES_B))
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    twins = hallucination.open_twins(COUNT)
    write_detector(options.out, twins)
    for method in options.methods:
        for seed in options.seeds:
            for share in options.shares:
                if (method, share, seed) in done(options.out):
                    continue
                setting = recipe(method, share, seed)
                began = time.process_time()
                model = train(setting).model
                seconds = time.process_time() - began
                rows = hallucination.measure(
                    model.G_AB, twins, hallucination.calibrated(), getattr(model, "G_BA", None)
                )
                key = {"method": method, "share_B": share, "seed": seed}
                add_rows(options.out / "scenes.csv", [key | row for row in rows], DECIMALS)
                if seed == SHOWN:
                    name = hallucination_results.strip_name(method, share)
                    sheet(model, twins).save(options.out / name, optimize=True)
                write_record(options.out, f"{method}, share {share}, seed {seed}", seconds)
                print(f"{method}, share {share}, seed {seed}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
