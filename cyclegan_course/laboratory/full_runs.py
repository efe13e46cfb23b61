"""The stored full runs of chapter 6: what they cost, their curves, how their pictures changed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.table import Row, row_from_dict

FOLDER = Path(__file__).resolve().parents[2] / "data" / "full_runs"
RECORD, LOSSES, MEASURES = "record.json", "losses.csv", "metrics.csv"


@dataclass(frozen=True)
class FullRun:
    """One stored run.

    Attributes:
        name: of its generators.
        folder: holds `losses.csv` and `metrics.csv` as a run's folder does, with fewer rows, and
            the pictures.
        record: `command`, `machine`, `date`, `versions`, `steps`, `minutes`, `images_per_second`,
            `memory` (bytes, None where it was not measured), `stages`, `pictures` and more.
        stages: measures of both directions at some steps, in the order of the steps.
        final: measures of the last and the best generators beside the baselines.
    """

    name: str
    folder: Path
    record: dict
    stages: list[Row]
    final: list[Row]

    @property
    def losses(self) -> Path:
        return self.folder / LOSSES

    @property
    def measures(self) -> Path:
        return self.folder / MEASURES

    def pictures(self, direction: str) -> dict[str, list[np.ndarray]]:
        """What was shown of a direction, "AB" or "BA": rows of uint8 (side, side, 3), by label.

        Inputs first, then the translations of each stage, then, in a world, the truth. Nothing
        where no picture of the data may be shown.
        """
        labels = self.record["pictures"].get(direction, [])
        if not labels:
            return {}
        sheet = np.asarray(Image.open(self.folder / f"{direction}.jpg").convert("RGB"))
        side = len(sheet) // len(labels)
        rows = sheet.reshape(len(labels), side, -1, side, 3).swapaxes(1, 2)
        return {label: list(row) for label, row in zip(labels, rows, strict=True)}


def stored_runs(folder: Path = FOLDER) -> list[str]:
    """Names of the stored runs."""
    return sorted(file.parent.name for file in folder.glob(f"*/{RECORD}"))


def open_run(name: str, folder: Path = FOLDER) -> FullRun:
    """A stored run by its name.

    Raises:
        CourseError: if there is no such run.
    """
    file = folder / name / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(stored_runs(folder)) or "none is stored"
        raise CourseError(
            f"There is no stored full run {name!r} ({names}): python benchmarks/full_run.py makes "
            "them, see benchmarks/README.md."
        ) from error
    rows = {part: [row_from_dict(row) for row in record[part]] for part in ("stages", "final")}
    return FullRun(name, file.parent, record, **rows)
