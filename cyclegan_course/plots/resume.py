"""What a stopped training needs to go on: figures of chapter 6."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, STYLE

MEGABYTE = 1e6
_LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, ":", "^"))
_COLOURS = {"weights": BLUE, "Adam": ORANGE, "pool": GREEN}


def moves_after_stop(
    before: Sequence[float], after: Mapping[str, Sequence[float]], stop: int
) -> Figure:
    """How far the weights move in each step around a stop.

    Args:
        before: moves of the last steps before the stop, in learning rates.
        after: moves of the first steps after it, for each way to go on.
        stop: number of steps that were made before it.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.0), layout="constrained")
        axis = figure.subplots()
        steps = range(stop - len(before) + 1, stop + 1)
        axis.plot(steps, before, color=DARK, marker="o", markersize=4, label="before the stop")
        for (name, moves), (colour, style, marker) in zip(after.items(), _LINES, strict=False):
            steps = range(stop + 1, stop + 1 + len(moves))
            axis.plot(steps, moves, style, marker=marker, markersize=4, color=colour, label=name)
        axis.axvline(stop + 0.5, color=GREY, linestyle=":")
        axis.text(stop + 0.4, 1.12, "stop ", color=DARK, fontsize=9, ha="right", va="top")
        axis.set(xlabel="step", ylabel="move of a weight (rms)\nin learning rates", ylim=(0, 1.15))
        axis.legend(fontsize=9)
    return figure


def checkpoint_parts(sizes: Mapping[str, int]) -> Figure:
    """What a checkpoint is made of.

    Args:
        sizes: bytes of each part by its name. A name with "weights", "Adam" or "pool" in it gets
            the colour of its kind.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.5 + 0.36 * len(sizes)), layout="constrained")
        axis = figure.subplots()
        values = [size / MEGABYTE for size in sizes.values()]
        colours = [
            next((colour for word, colour in _COLOURS.items() if word in name), GREY)
            for name in sizes
        ]
        bars = axis.barh(list(sizes), values, color=colours, height=0.7)
        axis.bar_label(bars, labels=[f" {value:.2f} MB" for value in values], fontsize=9)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.set_axisbelow(True)
        axis.set(xlabel="megabytes", xlim=(0, 1.15 * max(values)))
    return figure
