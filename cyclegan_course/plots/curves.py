"""The losses of a training run, and the measures of its held-out pictures."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.pictures import picture_array
from cyclegan_course.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

# What a loss_curves panel shows: title, and the columns of the record with their line styles.
# Solid belongs to the direction A to B or to domain B, dashed to the other one.
PANELS = {
    "generators: fooling the discriminators": {"G_AB": (BLUE, "-"), "G_BA": (ORANGE, "--")},
    "discriminators: telling real from fake": {"D_B": (BLUE, "-"), "D_A": (ORANGE, "--")},
    "generators: cycle and identity": {
        "cycle_A": (BLUE, "-"),
        "cycle_B": (ORANGE, "--"),
        "idt_B": (GREEN, "-."),
        "idt_A": (PURPLE, ":"),
        "nce_A": (BLUE, "-"),
        "nce_B": (GREEN, "-"),
    },
}
CONTENT = list(PANELS)[2]
CONTENT_OF_CUT = "generator: patches and identity"
# The same for the measures of held-out pictures, see `training.samples.measure_held_out`.
MEASURES = {
    "distance to the other domain": {"distance_AB": (BLUE, "-"), "distance_BA": (ORANGE, "--")},
    "there and back: mean difference": {
        "reconstruction_A": (GREEN, "-"),
        "reconstruction_B": (PURPLE, "--"),
    },
}
ROWS_OF_SAMPLES = ("A", "A to B", "and back", "B", "B to A", "and back")
ROWS_OF_CUT = ROWS_OF_SAMPLES[:2]
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
    rows = _rows(record, "losses")
    if not 0 <= smooth < 1:
        raise CourseError(f"smooth must be from 0 to below 1, not {smooth}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        for axis, title in zip(figure.subplots(1, 3), PANELS, strict=True):
            _losses_panel(axis, title, rows, smooth, lsgan)
    return figure


def measure_curves(measures: Sequence[dict] | str | os.PathLike) -> Figure:
    """What a training run measured of its held-out pictures, in two panels; lower is better.

    Args:
        measures: `Run.measures`, or the path of a run's `metrics.csv`.

    Raises:
        CourseError: for a file that cannot be read, or when nothing was measured.
    """
    rows = _rows(measures, "measures")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        panels = {title: lines for title, lines in MEASURES.items() if set(lines) & set(rows[0])}
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            _measures_panel(axis, rows, lines)
            axis.set_title(title)
            axis.set_ylim(bottom=0)
    return figure


def run_figure(
    record: Sequence[dict],
    measures: Sequence[dict],
    grid: Tensor | None = None,
    *,
    smooth: float = 0.9,
    lsgan: bool = True,
) -> Figure:
    """A run at a glance: its sample grid, its losses, its measures. Any of them may be missing.

    Args:
        record: rows of losses, as `Run.record`.
        measures: rows of measures, as `Run.measures`.
        grid: from `training.samples.sample_grid`, (3, H, W) in [-1, 1].
        smooth, lsgan: as for `loss_curves`.
    """
    with matplotlib.rc_context(STYLE | {"axes.titlesize": 9, "font.size": 9}):
        # Fixed margins: a layout that measures the text takes longer than all the drawing.
        figure = Figure(figsize=(11, 5.2))
        left = figure.add_gridspec(1, 1, left=0.06, right=0.475, top=0.98, bottom=0.02)
        right = figure.add_gridspec(
            2, 2, left=0.53, right=0.99, top=0.94, bottom=0.09, wspace=0.22, hspace=0.42
        )
        one_way = bool(record) and "G_BA" not in record[0]
        rows = ROWS_OF_CUT if one_way else ROWS_OF_SAMPLES
        _samples_panel(figure.add_subplot(left[0]), grid, rows)
        for place, title in enumerate([*PANELS, "held-out pictures"]):
            axis = figure.add_subplot(right[place])
            axis.set_title(title)
            if title in PANELS and record:
                _losses_panel(axis, title, record, smooth, lsgan)
            elif title not in PANELS and measures:
                # Distances and differences are of different sizes; one logarithmic axis holds both.
                _measures_panel(
                    axis, measures, {k: v for p in MEASURES.values() for k, v in p.items()}
                )
                axis.set_yscale("log")
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_formatter("")
                bottom, top = axis.get_ylim()
                axis.set_ylim(bottom, top * (top / bottom) ** 0.4)  # room for the legend
                axis.legend(fontsize=7, ncols=2, loc="upper center", columnspacing=1.0)
            else:
                bare(axis).text(0.5, 0.5, "nothing yet", ha="center", va="center", color=GREY)
    return figure


def _samples_panel(axis: Axes, grid: Tensor | None, rows: Sequence[str]) -> None:
    bare(axis)
    if grid is None:
        axis.text(0.5, 0.5, "the first samples come soon", ha="center", va="center", color=GREY)
        return
    picture = picture_array(grid)
    axis.imshow(picture, interpolation="nearest" if len(picture) < 400 else "auto")
    height = len(picture) / len(rows)
    axis.set_yticks([height * (row + 0.5) for row in range(len(rows))], rows)
    axis.tick_params(length=0)


def _losses_panel(axis: Axes, title: str, rows: Sequence[dict], smooth: float, lsgan: bool) -> None:
    """One of `PANELS`, of the terms that there are: faint as recorded, strong smoothed."""
    steps = [row["step"] for row in rows]
    highest = 0.0
    for name, (colour, style) in PANELS[title].items():
        if name not in rows[0]:
            continue
        values = np.array([row[name] for row in rows])
        axis.plot(steps, values, color=colour, alpha=0.2, linewidth=1)
        means = running_mean(values, smooth)
        axis.plot(steps, means, style, color=colour, label=name)
        highest = max(highest, means[len(means) // 10 :].max())
    if lsgan and title != CONTENT:
        axis.axhline(LSGAN_GUESSING, color=GREY, linestyle=":", label="guessing")
    axis.set_title(CONTENT_OF_CUT if title == CONTENT and "nce_A" in rows[0] else title)
    axis.set_xlabel("step")
    axis.set_ylim(0, 1.3 * max(highest, LSGAN_GUESSING))
    axis.legend(fontsize=8, ncols=2)


def _measures_panel(axis: Axes, rows: Sequence[dict], lines: dict) -> None:
    steps = [row["step"] for row in rows]
    for name, (colour, style) in lines.items():
        if name not in rows[0]:
            continue
        axis.plot(steps, [row[name] for row in rows], style, color=colour, marker=".", label=name)
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.legend(fontsize=8)


def running_mean(values: np.ndarray, smooth: float) -> np.ndarray:
    """Exponentially weighted mean of the values so far; weights sum to 1 from the first one on."""
    weight = total = 0.0
    means = []
    for value in values:
        total = smooth * total + (1 - smooth) * float(value)
        weight = smooth * weight + (1 - smooth)
        means.append(total / weight)
    return np.array(means)


def _rows(source: Sequence[dict] | str | os.PathLike, what: str) -> list[dict]:
    rows = _read_rows(Path(source)) if isinstance(source, str | os.PathLike) else list(source)
    if not rows:
        raise CourseError(f"The record of the {what} is empty: train for at least one step first.")
    return rows


def _read_rows(file: Path) -> list[dict[str, float]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return [{key: float(row[key]) for key in row} for row in csv.DictReader(stream)]
    except OSError as error:
        raise CourseError(
            f"The record {str(file)!r} cannot be read ({error.strerror}): give the losses.csv or "
            "the metrics.csv in the folder of a run."
        ) from error
    except (TypeError, ValueError) as error:
        raise CourseError(
            f"The record {str(file)!r} is damaged ({error}): every row must hold numbers."
        ) from error
