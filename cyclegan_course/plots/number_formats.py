"""How numbers lie in a computer: formats of floating point, and the order in memory."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

FORMAT_COLOURS = {"float32": BLUE, "bfloat16": ORANGE, "float16": GREEN}


def spacing(steps: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """How coarse each format is, over the whole of its range.

    Args:
        steps: by the format's name, numbers from small to large, and the distance from each to
            the next number of the format, relative to it.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.6), layout="constrained")
        axis = figure.subplots()
        styles = {"float32": "-", "bfloat16": "-", "float16": "--"}
        for name, (values, distance) in steps.items():
            axis.loglog(values, distance, styles[name], color=FORMAT_COLOURS[name], label=name)
            axis.loglog(values[-1], distance[-1], "|", color=FORMAT_COLOURS[name], markersize=14)
        axis.set(xlabel="size of the number", ylabel="distance to the next one / size")
        axis.set_ylim(3e-8, 3)
        axis.legend(loc="center right", bbox_to_anchor=(1.0, 0.35))
    return figure


def magnitudes(values: np.ndarray, limits: Mapping[str, float], what: str) -> Figure:
    """How large the numbers of a tensor are, on a logarithmic axis, beside limits of a format.

    Args:
        values: any numbers; their sign is dropped, and so are zeros.
        limits: two positions to mark, by their words, the smaller one first.
        what: the label of the axis.
    """
    sizes = np.log10(np.abs(values[values != 0]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.0), layout="constrained")
        axis = figure.subplots()
        axis.set_axisbelow(True)
        heights, *_ = axis.hist(sizes, bins=np.arange(-10, 1.01, 0.1), color=BLUE, alpha=0.7)
        sides = ("right", ORANGE), ("left", PURPLE)  # on which side of its line the words stand
        for (words, limit), (side, colour) in zip(limits.items(), sides, strict=True):
            place, below = np.log10(limit), (sizes < np.log10(limit)).mean()
            text = f" {words}: \n {below:.1%} are below "
            axis.axvline(place, color=colour)
            axis.text(
                place, 1.32 * heights.max(), text, ha=side, va="top", fontsize=9, color=colour
            )
        axis.set_ylim(0, 1.35 * heights.max())
        axis.set(xlabel=f"{what}, as a power of ten", ylabel="count")
        axis.set_yticks([])
    return figure


def dead_biases(
    sizes: Mapping[str, Sequence[float]], walks: Mapping[str, Sequence[float]]
) -> Figure:
    """Biases in front of a norm: the size of their gradients, and the way that Adam moves them.

    Args:
        sizes: by name, mean size of the gradient of each layer's parameters, in their order.
        walks: by name, mean distance from the start after each step, in learning rates.
    """
    colours = (BLUE, ORANGE, GREEN, PURPLE)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, values), colour, marker in zip(sizes.items(), colours, "osD^", strict=False):
            left.semilogy(range(1, len(values) + 1), values, marker, color=colour, label=name)
        left.set(
            xlabel="convolution, from the first to the last", ylabel="mean size of the gradient"
        )
        left.set_title("gradients")
        left.set_ylim(bottom=1e-12)
        left.legend(fontsize=8.5, loc="lower center")
        for (name, values), colour, style in zip(
            walks.items(), (BLUE, ORANGE, DARK), ("-", "-", "--"), strict=False
        ):
            right.plot(range(len(values)), values, style, color=colour, label=name)
        right.set(xlabel="step", ylabel="mean distance in learning rates")
        right.set_title("what Adam makes of them")
        right.legend(fontsize=8.5)
    return figure


def memory_order(orders: Mapping[str, Sequence[tuple[int, int]]], channels: int) -> Figure:
    """In which order a small picture's numbers lie in memory.

    Args:
        orders: by title, (channel, pixel) of every place in memory.
        channels: number of channels, each with its own colour.
    """
    colours = (ORANGE, GREEN, BLUE, PURPLE)[:channels]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 0.95 * len(orders)), layout="constrained")
        axes = figure.subplots(len(orders), 1, squeeze=False)[:, 0]
        for axis, (title, order) in zip(axes, orders.items(), strict=True):
            bare(axis)
            for place, (channel, pixel) in enumerate(order):
                axis.add_patch(
                    Rectangle((place, 0), 0.94, 0.9, facecolor=colours[channel], edgecolor=GREY)
                )
                axis.text(
                    place + 0.47, 0.45, str(pixel), ha="center", va="center", color="white",
                    fontsize=10,
                )  # fmt: skip
            axis.set(xlim=(-0.2, len(order)), ylim=(-0.1, 1.0))
            axis.set_title(title, loc="left", fontsize=9.5)
    return figure
