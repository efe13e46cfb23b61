"""The stored runs of the loss-curve clinic of chapter 8: six patients, three seeds each.

    OMP_NUM_THREADS=1 python benchmarks/clinic.py      # about 6 minutes on one idle core

Writes into `data/laboratory/clinic`: `curves.csv`, the loss terms as means over 4 steps;
`scores.csv`, one row a run and direction, measured against the sealed pairs; a strip of pictures
of each patient's first seed; `record.json` with machine, versions and time. Runs that are stored
already are not made again (delete the folder to begin anew).
"""

import argparse
import csv
import json
import time
from pathlib import Path

import torch
from laboratory import strip

from cyclegan_course import environment
from cyclegan_course.laboratory import clinic, clinic_results
from cyclegan_course.laboratory.recipe import train
from cyclegan_course.laboratory.scores import scores

EVERY = 4  # steps to a stored point
MEASURES = ("psnr", "ssim", "distance", "correspondence", "reconstruction")


def stored_runs(file: Path) -> set[tuple[str, str]]:
    """(patient, seed) of every run in a table."""
    if not file.exists():
        return set()
    with file.open(newline="", encoding="utf-8") as stream:
        return {(row["patient"], row["seed"]) for row in csv.DictReader(stream)}


def append(file: Path, rows: list[dict]) -> None:
    """Add rows to a table; numbers with four digits."""
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        if stream.tell() == 0:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def run(folder: Path, patient: clinic.Patient, seed: int) -> None:
    """Train, measure and store one run."""
    began = time.process_time()
    trained = train(patient.recipe(seed))
    seconds = round(time.process_time() - began, 1)
    key = {"patient": patient.name, "seed": seed}
    curves = [
        key | row | {"step": int(row["step"])} for row in clinic.thinned(trained.record, EVERY)
    ]
    measured = [
        key
        | {"direction": row["direction"]}
        | {name: row[name] for name in MEASURES}
        | {"seconds": seconds}
        for row in scores(trained.model, "night", clinic.SIZE)
    ]
    if seed == 1:
        picture = strip(trained.model, trained.recipe, clinic_results.SHOWN)
        picture.save(folder / f"{patient.name}.png", optimize=True)
    append(folder / "curves.csv", curves)
    append(folder / "scores.csv", measured)  # last: a run counts as stored when this is written
    print(f"{patient.name}, seed {seed}: {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--patients", nargs="+", default=list(clinic.PATIENTS))
    parser.add_argument("--out", type=Path, default=clinic_results.FOLDER)
    options = parser.parse_args()
    environment.prepare_threads()
    options.out.mkdir(parents=True, exist_ok=True)
    done = stored_runs(options.out / "scores.csv")
    for seed in options.seeds:
        for name in options.patients:
            if (name, str(seed)) not in done:
                run(options.out, clinic.PATIENTS[name], seed)
    record = {
        "machine": environment.machine(),
        "torch": torch.__version__,
        "seeds": options.seeds,
        "size": clinic.SIZE,
        "seconds": "processor time of the training alone",
    }
    (options.out / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
