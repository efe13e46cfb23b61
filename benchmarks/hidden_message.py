"""The hidden message of chapter 8: trainings on the world `grey`, and what their way back can read.

    uv run python benchmarks/hidden_message.py       # about 9 minutes on one core

Trains with no noise in the cycle and with noise of two strengths, three seeds each: the minute of
chapter 5, but on `grey` and with 1500 steps. Writes into `data/laboratory/hidden_message`:
`robustness.csv` (the reconstruction after each disturbance), `quality.csv` (the translation against
the sealed truth, and the message), the generators of one seed, and `record.json`. What
`quality.csv` has already is not trained again (delete both tables to begin anew).
"""

import argparse
import csv
import json
import time
from pathlib import Path

import torch

from cyclegan_course import environment, metrics
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.laboratory import hidden_message
from cyclegan_course.laboratory.hidden_message import (
    DISTURBANCES,
    FOLDER,
    SHOWN,
    SIZE,
    TRAININGS,
    Scenes,
)
from cyclegan_course.laboratory.recipe import Recipe, small_generator, train, training_step
from cyclegan_course.laboratory.scores import COUNT, tasks
from cyclegan_course.laboratory.variants import noisy_cycle
from cyclegan_course.translate.weights import save_generator

STEPS = 1500
ANGLES = (0.0, -120.0)  # the message is measured between red and blue
Rows = list[dict[str, str | float]]


def recipe(training: str, seed: int) -> Recipe:
    """Of one training; all trainings of a seed share their pictures and their first weights."""
    sigma = TRAININGS[training]
    step = noisy_cycle(sigma) if sigma else training_step
    return Recipe(world="grey", size=SIZE, steps=STEPS, seed=seed, step=step)


def robustness(model: CycleGAN, scenes: Scenes) -> Rows:
    """The reconstruction after each disturbance, and from the true grey picture."""
    with torch.no_grad():
        fake_B = model.G_AB(scenes.A).clamp(-1, 1)
    rows = [
        row
        for name in DISTURBANCES
        for row in hidden_message.reconstruction_curve(model.G_BA, fake_B, scenes, name)
    ]
    truth = hidden_message.reconstruction(model.G_BA, scenes.B, scenes)
    return [*rows, {"disturbance": "truth", "strength": 0} | truth]


def quality(model: CycleGAN, scenes: Scenes) -> dict[str, float]:
    """The translation to grey against the sealed truth and other grey pictures, and the message."""
    task = tasks("grey", SIZE)[0]
    fake_B = metrics.evaluation.translated(model.G_AB, task.source).clamp(-1, 1)
    scores = metrics.picture_scores(fake_B, task.truth)
    message = hidden_message.message(model.G_AB, scenes, ANGLES)
    return {
        **{name: scores[name].mean().item() for name in ("psnr", "ssim", "l1")},
        "distance": metrics.sliced_wasserstein(fake_B, task.reference),
        **hidden_message.loudness(message, scenes.roofs),
    }


def store(folder: Path, training: str, seed: int, model: CycleGAN, seconds: float) -> None:
    """Measure a trained model and add its rows to both tables; weights of the seed SHOWN only.

    `seconds` of the processor: on a busy machine the clock says little.
    """
    scenes = hidden_message.open_scenes(COUNT)
    key = {"training": training, "seed": seed}
    add(folder / "robustness.csv", [key | row for row in robustness(model, scenes)])
    add(folder / "quality.csv", [key | quality(model, scenes) | {"seconds": round(seconds, 1)}])
    if seed == SHOWN:
        name = hidden_message.weights_name(training)
        shape = {**small_generator.keywords}
        card = {
            "domain_A": "landscape with roofs of any hue",
            "domain_B": "the landscape in grey",
            "generator": shape,
            "working_size": SIZE,
            "trained": f"benchmarks/hidden_message.py, {training}, seed {seed}, {STEPS} steps",
        }
        save_generator(folder / name, name, model.G_AB, model.G_BA, card)


def add(file: Path, rows: Rows) -> None:
    """Append rows to a table; the first ones bring its head."""
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        if stream.tell() == 0:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})


def done(folder: Path) -> set[tuple[str, int]]:
    """(training, seed) of what the tables have."""
    if not (folder / "quality.csv").is_file():
        return set()
    return {(row["training"], row["seed"]) for row in hidden_message.stored("quality", folder)}


def write_record(folder: Path) -> None:
    """Machine, versions and times beside the tables."""
    rows = hidden_message.stored("quality", folder)
    record = {
        "command": "python benchmarks/hidden_message.py",
        "machine": environment.machine(),
        "torch": torch.__version__,
        "steps": STEPS,
        "seeds": sorted({row["seed"] for row in rows}),
        "processor_seconds": {
            f"{row['training']}, seed {row['seed']}": row["seconds"] for row in rows
        },
    }
    text = json.dumps(record, indent=2) + "\n"
    (folder / "record.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--trainings", nargs="+", default=list(TRAININGS), choices=TRAININGS)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for training in options.trainings:
            if (training, seed) in done(options.out):
                continue
            began = time.process_time()
            model = train(recipe(training, seed)).model
            seconds = time.process_time() - began
            store(options.out, training, seed, model, seconds)
            print(f"{training}, seed {seed}: {seconds:.0f} s of the processor", flush=True)
            write_record(options.out)


if __name__ == "__main__":
    main()
