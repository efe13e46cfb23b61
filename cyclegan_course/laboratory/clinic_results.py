"""The stored runs of the loss-curve clinic, as `benchmarks/clinic.py` writes them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.clinic import SIZE
from cyclegan_course.laboratory.results import FOLDER as LABORATORY

FOLDER = LABORATORY / "clinic"
SHOWN = (0, 3, 5, 9, 12)  # held-out scenes in the strips of pictures


def stored_curves(folder: Path = FOLDER) -> dict[tuple[str, int], list[dict[str, float]]]:
    """(name of the patient, seed) to its record: rows with `step` and the `TERMS`, unweighted.

    Raises:
        CourseError: if the file is missing.
    """
    curves: dict[tuple[str, int], list[dict[str, float]]] = {}
    for row in _rows(folder / "curves.csv"):
        key = row.pop("patient"), int(row.pop("seed"))
        curves.setdefault(key, []).append({name: float(value) for name, value in row.items()})
    return curves


def stored_scores(folder: Path = FOLDER) -> list[dict]:
    """A row for each run and direction: patient, seed, direction, and the measures of `scores`.

    Raises:
        CourseError: if the file is missing.
    """
    texts = ("patient", "direction")
    return [
        {name: value if name in texts else float(value or "nan") for name, value in row.items()}
        for row in _rows(folder / "scores.csv")
    ]


def pictures(name: str, folder: Path = FOLDER) -> Image.Image:
    """The scenes `SHOWN` as a patient of seed 1 translates them: A to B above B to A."""
    return Image.open(folder / f"{name}.png").convert("RGB")


def given() -> Image.Image:
    """The scenes `SHOWN` before they are translated: by day above by night."""
    rows = [
        np.concatenate(worlds.held_out("night", domain, max(SHOWN) + 1, SIZE)[list(SHOWN)], axis=1)
        for domain in "AB"
    ]
    return Image.fromarray(np.concatenate(rows))


def mean_score(rows: Sequence[Mapping], name: str, measure: str, direction: str) -> float:
    """Mean of a measure over the seeds of a patient; `rows` as from `stored_scores`."""
    return mean(
        row[measure] for row in rows if (row["patient"], row["direction"]) == (name, direction)
    )


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        raise CourseError(
            f"There are no stored runs {file.name} of the clinic: make them with "
            "python benchmarks/clinic.py"
        )
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
