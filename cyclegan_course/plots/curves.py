"""The losses of a training run."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE

# What a loss_curves panel shows: title, and the columns of the record with their line styles.
# Solid belongs to the direction A to B or to domain B, dashed to the other one.
PANELS = {
    "generators: fooling the discriminators": {"G_AB": (BLUE, "-"), "G_BA": (ORANGE, "--")},
    "discriminators: telling real from fake": {"D_B": (BLUE, "-"), "D_A": (ORANGE, "--")},
    "generators: cycle and identity": {
        "cycle_A": (BLUE, "-"),
        "cycle_B": (ORANGE, "--"),
        "idt_B": (GREEN, "-"),
        "idt_A": (PURPLE, "--"),
    },
}
LSGAN_GUESSING = 0.25  # a score of 1/2 for everything: (1/2)^2, for G as for D


def loss_curves(
    record: Sequence[dict] | str | os.PathLike, *, smooth: float = 0.9, lsgan: bool = True
) -> Figure:
    """The losses of a training run in three panels: faint as recorded, strong smoothed.

    The axes are scaled for what comes after the first tenth of the record, so that the first
    steps, whose losses can be ten times as large, do not press everything else flat.

    Args:
        record: `Run.record`, or the path of a run's `losses.csv`: rows with `step` and the terms.
        smooth: weight of the past in the running mean, from 0 (none) to below 1.
        lsgan: mark the value of a discriminator that only guesses (true for LSGAN alone).

    Raises:
        CourseError: for a file that cannot be read, or a record without rows.
    """
    rows = _read_losses(Path(record)) if isinstance(record, str | os.PathLike) else list(record)
    if not rows:
        raise CourseError("The record of the losses is empty: train for at least one step first.")
    if not 0 <= smooth < 1:
        raise CourseError(f"smooth must be from 0 to below 1, not {smooth}.")
    steps = [row["step"] for row in rows]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        for axis, (title, lines) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
            highest = 0.0
            for name, (colour, style) in lines.items():
                if name not in rows[0]:
                    continue
                values = np.array([row[name] for row in rows])
                axis.plot(steps, values, color=colour, alpha=0.2, linewidth=1)
                means = running_mean(values, smooth)
                axis.plot(steps, means, style, color=colour, label=name)
                highest = max(highest, means[len(means) // 10 :].max())
            if lsgan and title != list(PANELS)[2]:
                axis.axhline(LSGAN_GUESSING, color=GREY, linestyle=":", label="guessing")
            axis.set_title(title)
            axis.set_xlabel("step")
            axis.set_ylim(0, 1.3 * max(highest, LSGAN_GUESSING))
            axis.legend(fontsize=8, ncols=2)
    return figure


def running_mean(values: np.ndarray, smooth: float) -> np.ndarray:
    """Exponentially weighted mean of the values so far; weights sum to 1 from the first one on."""
    weight = total = 0.0
    means = []
    for value in values:
        total = smooth * total + (1 - smooth) * float(value)
        weight = smooth * weight + (1 - smooth)
        means.append(total / weight)
    return np.array(means)


def _read_losses(file: Path) -> list[dict[str, float]]:
    try:
        with file.open(newline="") as stream:
            return [{key: float(row[key]) for key in row} for row in csv.DictReader(stream)]
    except OSError as error:
        raise CourseError(
            f"The record {str(file)!r} cannot be read ({error.strerror}): give the losses.csv in "
            "the folder of a run."
        ) from error
    except (TypeError, ValueError) as error:
        raise CourseError(
            f"The record {str(file)!r} is damaged ({error}): every row must hold numbers."
        ) from error
