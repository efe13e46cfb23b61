"""The stored trainings of the hallucination: what each translation shows, and what follows.

A row is the translation of one held-out day: method, share_B (the share of nights with a moon in
domain B), seed, and what `hallucination.measure` gives.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import mannwhitneyu

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.hallucination import FOLDER, SIZE, THRESHOLD
from cyclegan_course.laboratory.results import t_interval
from cyclegan_course.metrics import Interval


def stored(folder: Path | None = None) -> list[dict]:
    """The rows of all stored trainings: method, share_B and seed, and what `measure` gives."""
    file = (folder or FOLDER) / "scenes.csv"
    if not file.is_file():
        raise CourseError(
            f"There is no table {file.name}: make it with python benchmarks/hallucination.py"
        )
    with file.open(newline="", encoding="utf-8") as stream:
        return [_typed(row) for row in csv.DictReader(stream)]


def _typed(row: dict[str, str]) -> dict:
    whole = {key: int(row[key]) for key in ("seed", "scene", "present")}
    numbers = {
        key: float(row[key]) if row[key] else None
        for key in ("share_B", "evidence", "error", "reconstruction")
    }
    return {"method": row["method"]} | whole | numbers


def rates(rows: Sequence[Mapping], method: str = "cyclegan") -> dict[float, dict[int, dict]]:
    """Shares of pictures by share_B and seed.

    Returns:
        share_B -> seed -> hallucinated, the share of days without the sun whose translation shows
        a moon; and vanished, the share of days with the sun whose translation shows none.
    """
    found: dict[float, dict[int, dict]] = {}
    runs = dict.fromkeys((r["share_B"], r["seed"]) for r in rows if r["method"] == method)
    if not runs:
        raise CourseError(f"There are no stored trainings of {method!r}.")
    for share, seed in sorted(runs):
        run = [r for r in rows if (r["method"], r["share_B"], r["seed"]) == (method, share, seed)]
        shown = {p: [r["evidence"] > THRESHOLD for r in run if r["present"] == p] for p in (0, 1)}
        found.setdefault(share, {})[seed] = {
            "hallucinated": float(np.mean(shown[0])),
            "vanished": 1 - float(np.mean(shown[1])),
        }
    return found


def interval(of_seeds: Mapping[int, Mapping], what: str) -> Interval:
    """Mean of one rate over the seeds, with its 95 % interval."""
    return t_interval([rate[what] for rate in of_seeds.values()])


def means(
    rows: Sequence[Mapping], what: str, present: int, method: str = "cyclegan"
) -> dict[float, dict[int, float]]:
    """Mean over the scenes of "evidence", "error" or "reconstruction": share_B -> seed -> mean.

    Args:
        present: 1 for the sources that show the sun, 0 for the others.
    """
    found: dict[float, dict[int, list[float]]] = {}
    for row in rows:
        if (row["method"], row["present"]) == (method, present):
            found.setdefault(row["share_B"], {}).setdefault(row["seed"], []).append(row[what])
    return {
        share: {seed: float(np.mean(found[share][seed])) for seed in sorted(found[share])}
        for share in sorted(found)
    }


def reconstruction_tells(rows: Sequence[Mapping], share: float) -> dict[int, float]:
    """Does the error of there and back betray an invented moon? By seed, for CycleGAN.

    Among days without a sun: the chance that a translation with a moon comes back worse than one
    without (the area under the ROC curve). 1 is a perfect warning, 1/2 a coin. A seed in which all
    translations show a moon, or none does, is left out.
    """
    found = {}
    days = [r for r in rows if (r["method"], r["share_B"], r["present"]) == ("cyclegan", share, 0)]
    for seed in sorted({row["seed"] for row in days}):
        run = [row for row in days if row["seed"] == seed]
        invented, honest = (
            np.array([r["reconstruction"] for r in run if (r["evidence"] > THRESHOLD) == moon])
            for moon in (True, False)
        )
        if len(invented) and len(honest):
            wins = mannwhitneyu(invented, honest).statistic
            found[seed] = float(wins / (len(invented) * len(honest)))
    return found


def strip_name(method: str, share: float) -> str:
    """The file of the stored pictures of a training."""
    return f"{method}_{round(100 * share):03d}.png"


def strips(method: str, share: float, folder: Path | None = None) -> np.ndarray:
    """Stored pictures: uint8 (rows, scenes, SIZE, SIZE, 3).

    Rows: days without the sun, their translations, their reconstructions; the same with the sun;
    and the true nights, without the moon and with it. A method without a way back has black rows
    in the place of the reconstructions.
    """
    file = (folder or FOLDER) / strip_name(method, share)
    if not file.is_file():
        raise CourseError(f"There are no stored pictures {file.name}.")
    with Image.open(file) as image:
        sheet = np.asarray(image.convert("RGB"))
    rows, columns = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
    return sheet.reshape(rows, SIZE, columns, SIZE, 3).swapaxes(1, 2)
