"""Two heaps of one's own pictures: their colours, tiles and their statistics, sizes of errors."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE

DOMAIN_COLOURS = (BLUE, ORANGE)


def lab_pixels(pictures: Sequence[np.ndarray], count: int = 2000, seed: int = 0) -> np.ndarray:
    """Random pixels of some pictures in CIELAB: (count, 3), L from 0 to 100, a* and b*.

    Every picture gives the same number, so that large ones do not outweigh the others.

    Args:
        pictures: uint8 (H, W, 3), sizes may differ.
        count: pixels in all; rounded down to a multiple of the number of pictures, at least one
            of each.
        seed: of the draw.
    """
    from skimage.color import rgb2lab

    if len(pictures) == 0:
        raise CourseError("There is no picture to take colours from: the list is empty.")
    rng = np.random.default_rng(seed)
    each = max(1, count // len(pictures))
    flat = [np.asarray(picture).reshape(-1, 3) for picture in pictures]
    pixels = np.concatenate([rows[rng.integers(len(rows), size=each)] for rows in flat])
    return rgb2lab(pixels)


def colour_clouds(lab: Mapping[str, np.ndarray], most: int = 1500) -> Figure:
    """The colours of two domains: a cloud in the plane of hue and chroma, and how light they are.

    Args:
        lab: by the domain's name, pixels in CIELAB, (n, 3), as `lab_pixels` makes them.
        most: points to draw of each domain.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        bins = np.linspace(0, 100, 26)
        for (name, pixels), colour in zip(lab.items(), DOMAIN_COLOURS, strict=True):
            drawn = pixels[:most]
            left.scatter(drawn[:, 1], drawn[:, 2], s=4, alpha=0.3, linewidths=0, color=colour)
            a, b = pixels[:, 1:].mean(axis=0)
            left.plot(a, b, "X", markersize=13, color=colour, markeredgecolor="white", label=name)
            right.hist(
                pixels[:, 0], bins, density=True, histtype="step", linewidth=2, color=colour,
                label=name,
            )  # fmt: skip
            right.axvline(pixels[:, 0].mean(), color=colour, linestyle=":")
        reach = 1.1 * max(np.abs(pixels[:, 1:]).max() for pixels in lab.values())
        left.axhline(0, color=GREY, linewidth=0.8)
        left.axvline(0, color=GREY, linewidth=0.8)
        left.set(
            xlim=(-reach, reach),
            ylim=(-reach, reach),
            xlabel="a*: green to red",
            ylabel="b*: blue to yellow",
            title="hue and strength of colour",
        )
        left.set_aspect("equal")
        left.legend(loc="lower right", fontsize=9, title="mean of")
        right.set(xlabel="L*: black to white", ylabel="share of the pixels", title="lightness")
        right.set_yticks([])
        right.legend(fontsize=9)
    return figure


def amplified(result: np.ndarray, wanted: np.ndarray, factor: float = 8.0) -> np.ndarray:
    """The difference of two pictures, made stronger around mid grey: uint8 of the same shape.

    Grey is equal; brighter and darker, and coloured, is what `result` has too much or too little
    of, `factor` times.
    """
    difference = np.asarray(result, np.float64) - np.asarray(wanted, np.float64)
    return np.rint(127.5 + factor * difference).clip(0, 255).astype(np.uint8)


def tile_statistics(tiles: np.ndarray, whole: np.ndarray, merged: np.ndarray) -> Figure:
    """What an instance norm finds in each tile of a picture, and in the whole of it.

    Args:
        tiles: (T, 2), mean and standard deviation of one channel in each tile.
        whole: (2,), the same of the picture in one piece.
        merged: (2,), computed from the tiles alone.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.6), layout="constrained")
        axis = figure.subplots()
        axis.plot(*tiles.T, "o", color=ORANGE, markersize=9, label="each tile alone")
        axis.plot(*whole, "X", color=BLUE, markersize=13, label="the picture in one piece")
        axis.plot(
            *merged, "o", markersize=21, markerfacecolor="none", markeredgecolor=DARK,
            markeredgewidth=1.6, label="merged from the tiles",
        )  # fmt: skip
        top = 1.15 * max(tiles[:, 1].max(), whole[1], merged[1])
        axis.set(xlabel="mean of the channel", ylabel="standard deviation", ylim=(0, top))
        axis.legend(
            fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=1.5,
            handletextpad=1.2,
        )  # fmt: skip
    return figure


def error_sizes(errors: Mapping[str, float], limits: Mapping[str, float]) -> Figure:
    """Errors of very different size, on a logarithmic axis, beside limits.

    Args:
        errors: largest difference by its cause, in the range [-1, 1] of a network's output. 0 is
            drawn as the smallest value of the axis; what is within the smaller limit is blue.
        limits: one or two vertical lines by their words, the smaller one first.
    """
    smallest = 1e-8
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.1 + 0.42 * len(errors)), layout="constrained")
        axis = figure.subplots()
        allowed = min(limits.values())
        values = [max(value, smallest) for value in errors.values()]
        colours = [BLUE if value <= allowed else ORANGE for value in values]
        bars = axis.barh(list(errors), values, color=colours, height=0.62, left=0)
        labels = axis.bar_label(
            bars, labels=[f"{value:.1g}" for value in errors.values()], fontsize=9, padding=5
        )
        for label in labels:
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        # The words of the smaller limit stand on its left, those of the larger on its right.
        for (words, place), side in zip(limits.items(), ("right", "left"), strict=False):
            axis.axvline(place, color=DARK, linestyle=":", zorder=0)
            axis.text(place, -0.62, f" {words} ", ha=side, va="bottom", fontsize=8.5, color=DARK)
        axis.set_ylim(len(errors) - 0.5, -0.6)
        axis.set_xscale("log")
        axis.set_xlim(smallest, 10)
        axis.grid(axis="y", visible=False)
        axis.set_axisbelow(True)
        axis.set(xlabel="largest difference from torch, in the range from -1 to 1")
    return figure
