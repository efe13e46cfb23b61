"""Colour against shape (chapter 10): each half of the world `editing`, trained and measured alone.

    uv run python benchmarks/editing.py       # about ten minutes on one idle core

Five trainings of each edit (see `laboratory.editing_trainings`), three seeds; the longer one, which
costs as much as a CycleGAN, with seed 1 alone. Writes into
`data/laboratory/editing`: `zones.csv`, how much of the asked change was made, zone by zone;
`sets.csv`, the distance of the translations, as a set, to other pictures of B; `blend.csv` and
`push.csv`, what the discriminators of the unpaired trainings pay for on the way; strips of pictures
of seed 1; and `record.json`. Runs that `zones.csv` has already are not made again.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from cyclegan_course import environment, metrics
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.images import tensor_to_picture
from cyclegan_course.laboratory import editing, editing_trainings
from cyclegan_course.laboratory.editing import FOLDER, SIZE, Truth, picture_name
from cyclegan_course.laboratory.editing_trainings import TRAININGS
from cyclegan_course.laboratory.recipe import train
from cyclegan_course.laboratory.stored import SHOWN, add_rows, strip

COUNT = 32  # held-out scenes
STEPS = 320
SCENES = 200  # of each domain
MOMENTS = (40, 80, 160, 320)  # steps after which the discriminator is asked
ALPHAS = tuple(i / 10 for i in range(11))
EDITS = ("colour", "shape")
Rows = list[dict]


def distances(model: CycleGAN, truth: Truth, others: Tensor) -> dict[str, float]:
    """Sliced Wasserstein distance to other pictures of B: translations, inputs and truth."""
    with torch.no_grad():
        fake = model.G_AB(truth.A).clamp(-1, 1)
    sets = {"translated": fake, "untouched": truth.A, "truth": truth.B}
    return {name: metrics.sliced_wasserstein(images, others) for name, images in sets.items()}


def payments(D: torch.nn.Module, truth: Truth) -> Rows:
    """What D asks along the straight line to the truth, and for parts of the change alone."""
    pictures = {f"{alpha:g}": editing_trainings.half_way(truth, alpha) for alpha in ALPHAS}
    if "both leaves" in truth.zones:
        pictures["leaves that stay"] = editing_trainings.pasted(truth, ("both leaves",))
        pictures["outline"] = editing_trainings.pasted(truth, ("only round", "only conifer"))
    with torch.no_grad():
        return [
            {"picture": name, "cost": editing_trainings.adversarial_cost(D, images).mean().item()}
            for name, images in pictures.items()
        ]


def run(folder: Path, edit: str, training: str, seed: int) -> float:
    """Train, measure and store one run.

    Returns:
        Seconds of the processor for the training, without the drawing of its pictures.
    """
    truth = editing.open_truth(edit, COUNT)
    key = {"edit": edit, "training": training, "seed": seed}
    asked: dict[str, Rows] = {"blend": [], "push": []}

    def watch(step: int, model: CycleGAN) -> None:
        if training == "unpaired" and step in MOMENTS:
            here = key | {"step": step}
            asked["blend"] += [here | row for row in payments(model.D_B, truth)]
            asked["push"].append(here | editing_trainings.push(model.D_B, truth))

    began = time.process_time()
    model = train(editing_trainings.recipe(edit, training, seed, STEPS, SCENES), watch).model
    seconds = round(time.process_time() - began, 1)
    others = editing.open_truth(edit, COUNT, start=COUNT).B
    if seed == 1:
        row = tensor_to_picture(strip(model.G_AB, truth.A, SHOWN))
        row.save(folder / picture_name(edit, training), optimize=True)
    for table, rows in asked.items():
        if rows:
            add_rows(folder / f"{table}.csv", rows)
    add_rows(folder / "sets.csv", [key | distances(model, truth, others)])
    scored = editing.model_scores(model, truth)
    add_rows(folder / "zones.csv", [key | row | {"seconds": seconds} for row in scored])
    return seconds


def write_record(folder: Path) -> None:
    """Machine, versions and times beside the tables."""
    rows = editing.stored("zones", folder)
    seconds = {f"{r['edit']}, {r['training']}, seed {r['seed']}": r["seconds"] for r in rows}
    record = {
        "command": "python benchmarks/editing.py",
        "machine": environment.machine(),
        "torch": torch.__version__,
        "size": SIZE,
        "steps": STEPS,
        "scenes": SCENES,
        "held_out_scenes": COUNT,
        "scenes_in_the_strips": SHOWN,
        "seeds": sorted({row["seed"] for row in rows}),
        "processor_seconds": seconds,
    }
    text = json.dumps(record, indent=2) + "\n"
    (folder / "record.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--edits", nargs="+", default=EDITS, choices=EDITS)
    parser.add_argument("--trainings", nargs="+", default=TRAININGS, choices=TRAININGS)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for edit in options.edits:
            for training in options.trainings:
                known = (edit, training, seed) in editing.runs(options.out)
                if known or (training.endswith("longer") and seed != 1):
                    continue
                seconds = run(options.out, edit, training, seed)
                print(f"{edit}, {training}, seed {seed}: {seconds:.0f} s", flush=True)
                write_record(options.out)


if __name__ == "__main__":
    main()
