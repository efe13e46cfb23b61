"""Figures of chapter 3: what a generator's layers do, and what is missing without one of them."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

_LOOKS = (
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": ORANGE, "linestyle": "--", "marker": "s"},
    {"color": GREEN, "linestyle": "-.", "marker": "^"},
    {"color": PURPLE, "linestyle": ":", "marker": "D"},
)


def shape_ladder(stages: Sequence[tuple[str, int, int]]) -> Figure:
    """The shapes that a picture takes on its way through a network.

    Each stage is a box: as tall as the root of the picture's side, as broad as the root of
    the number of channels.

    Args:
        stages: (name, channels, side in pixels) in the order of the network.
    """
    gap = 7.0
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.9), layout="constrained")
        axis = figure.subplots()
        axis.set_axis_off()
        tallest = max(side for _, _, side in stages)
        left = 0.0
        for name, channels, side in stages:
            if left:
                arrow = {"arrowstyle": "->", "color": DARK}
                axis.annotate("", (left - 0.6, 0), (left - gap + 0.6, 0), arrowprops=arrow)
            width, height = 1.1 * channels**0.5, 20 * (side / tallest) ** 0.5
            colour = BLUE if channels <= 3 else GREEN  # a picture, or features
            corner = (left, -height / 2)
            axis.add_patch(Rectangle(corner, width, height, facecolor=colour, alpha=0.35))
            axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour))
            middle, shape = left + width / 2, f"{channels}\n{side}×{side}"
            axis.text(middle, 11, name, ha="center", va="bottom", fontsize=9)
            axis.text(middle, -11, shape, ha="center", va="top", fontsize=9)
            left += width + gap
        axis.set_xlim(-6, left)
        axis.set_ylim(-18.5, 16)
    return figure


def border_errors(maps: Mapping[str, np.ndarray], profiles: Mapping[str, np.ndarray]) -> Figure:
    """Error maps side by side, and the error over the distance from the border.

    Args:
        maps: name and mean error at every pixel, (H, W), drawn in one range.
        profiles: name and errors (seeds, distances); each seed is drawn faint, their mean strong.
    """
    highest = max(float(np.max(error)) for error in maps.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 2.7), layout="constrained")
        widths = [1.0] * len(maps) + [1.7]
        *left, right = figure.subplots(1, len(maps) + 1, width_ratios=widths)
        for axis, (name, error) in zip(left, maps.items(), strict=True):
            drawn = _squares(axis, error, cmap="viridis", vmin=0, vmax=highest)
            axis.set_title(name)
        figure.colorbar(drawn, ax=left, location="right", aspect=25, label="mean error")
        for (name, errors), look in zip(profiles.items(), _LOOKS, strict=False):
            distance = np.arange(errors.shape[1])
            for line in errors:
                right.plot(distance, line, color=look["color"], alpha=0.25, linewidth=1)
            right.plot(distance, errors.mean(0), label=name, markersize=5, **look)
        right.set_xlabel("distance from the border in pixels")
        right.set_ylabel("mean error")
        right.set_ylim(0)
        right.legend()
    return figure


def gradient_gain(
    spread: np.ndarray, lines: Mapping[str, np.ndarray], theory: np.ndarray
) -> Figure:
    """How much a gradient grows, over the spread of the picture's values, on two log axes.

    Args:
        spread: standard deviations.
        lines: name and gain at each of them.
        theory: the gain of one layer by its formula.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axis = figure.subplots()
        axis.loglog(spread, theory, color=GREY, linewidth=5, alpha=0.5, label="formula, one layer")
        for (name, gain), look in zip(lines.items(), _LOOKS, strict=False):
            axis.loglog(spread, gain, label=name, markersize=5, **look)
        axis.axvline(2 / 255, color=DARK, linestyle=":", linewidth=1)
        axis.text(2 / 255, axis.get_ylim()[1], " one grey level", va="top", fontsize=9)
        axis.invert_xaxis()
        axis.set_xlabel("σ, the spread of the values in the picture (flatter to the right)")
        axis.set_ylabel("gradient, relative to σ = 1")
        axis.legend(loc="upper left")
    return figure


def fit_curves(curves: Mapping[str, np.ndarray], ylabel: str = "mean absolute error") -> Figure:
    """Losses of short fits: one strong line for each kind, a faint one for each seed.

    Args:
        curves: name and losses (seeds, steps).
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axis = figure.subplots()
        for (name, losses), look in zip(curves.items(), _LOOKS, strict=False):
            smooth = np.stack([_moving_mean(line, 5) for line in losses])
            steps = np.arange(5, losses.shape[1] + 1)
            for line in smooth:
                axis.plot(steps, line, color=look["color"], alpha=0.25, linewidth=1)
            axis.plot(steps, smooth.mean(0), label=name, markevery=10, markersize=5, **look)
        axis.set_xlabel("step")
        axis.set_ylabel(ylabel)
        axis.set_ylim(0)
        axis.legend()
    return figure


def _moving_mean(values: np.ndarray, count: int) -> np.ndarray:
    return np.convolve(values, np.full(count, 1 / count), mode="valid")


def overlap(counts: Mapping[str, np.ndarray]) -> Figure:
    """How many products each output pixel is the sum of: bars for rows, squares for pictures.

    Args:
        counts: name and how many kernel entries meet at each pixel of a row, (length,).
    """
    highest = max(int(np.max(row)) for row in counts.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(counts), 4.0), layout="constrained")
        rows = figure.subplots(2, len(counts), height_ratios=[1, 2], squeeze=False)
        for (name, row), above, below in zip(counts.items(), *rows, strict=True):
            colours = [ORANGE if value < max(row) else BLUE for value in row]
            above.bar(np.arange(len(row)), row, color=colours)
            above.set_title(name)
            above.set_ylim(0, highest + 0.4)
            above.set_yticks(range(highest + 1))
            above.set_xticks([])
            above.set_axisbelow(True)
            _squares(below, np.outer(row, row), cmap="Blues", vmin=0, vmax=highest**2)
            for i, j in np.ndindex(len(row), len(row)):
                value = int(row[i] * row[j])
                light = value > 0.6 * highest**2
                look = {"ha": "center", "va": "center", "fontsize": 8}
                below.text(j + 0.5, i + 0.5, value, color="white" if light else DARK, **look)
        rows[0, 0].set_ylabel("in a row")
        rows[1, 0].set_ylabel("in a picture")
    return figure


def spectra(columns: Mapping[str, tuple[Picture, Tensor]]) -> Figure:
    """Pictures above their spectra, with a ring around the corner where a checkerboard shows.

    Args:
        columns: name, a picture, and the power of it or of several like it (H, W), frequency 0 in
            the middle, as `toys.spectrum.power_spectrum` gives it. All are drawn in one range.
    """
    powers = [_decibels(power) for _, power in columns.values()]
    top = max(float(power.max()) for power in powers)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.0 * len(columns), 4.0), layout="constrained")
        rows = figure.subplots(2, len(columns), squeeze=False)
        for i, (name, (picture, _)) in enumerate(columns.items()):
            rows[0, i].imshow(picture_array(picture), interpolation="nearest")
            rows[0, i].set_title(name)
            bare(rows[0, i], spines=True)
            _draw_spectrum(rows[1, i], powers[i], top)
        rows[1, 0].set_ylabel("spectrum")
    return figure


def _decibels(power: Tensor) -> np.ndarray:
    return 10 * np.log10(power.double().numpy() + 1e-12)


def _draw_spectrum(axis: Axes, decibels: np.ndarray, top: float) -> None:
    # Once more at the other ends, so that the corner frequency is seen at all four corners.
    whole = np.pad(decibels, ((0, 1), (0, 1)), mode="wrap")
    rows, columns = (np.linspace(-0.5, 0.5, length) for length in whole.shape)
    look = {"cmap": "magma", "vmin": top - 50, "vmax": top, "shading": "nearest"}
    axis.pcolormesh(columns, rows, whole, **look)
    axis.set_aspect("equal")
    for x in (-0.5, 0.5):
        for y in (-0.5, 0.5):
            axis.plot(x, y, "o", mfc="none", mec="#56B4E9", markersize=14, mew=1.6, clip_on=False)
    axis.grid(False)
    axis.set_xticks([-0.5, 0, 0.5], ["½", "0", "½"])
    axis.set_yticks([-0.5, 0, 0.5], ["½", "0", "½"])
    axis.set_xlabel("periods a pixel")


def peaks(groups: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str) -> Figure:
    """Measured values as points on a log axis, in groups; the means as short lines.

    Args:
        groups: name of a group, then name and values of each of its kinds.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(groups) + 1.2, 3.4), layout="constrained")
        axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axis, (group, kinds) in zip(axes, groups.items(), strict=True):
            for i, (values, look) in enumerate(zip(kinds.values(), _LOOKS * 3, strict=False)):
                axis.plot([i] * len(values), values, look["marker"], color=look["color"], alpha=0.8)
                mean = float(np.exp(np.mean(np.log(values))))
                axis.plot([i - 0.3, i + 0.3], [mean, mean], color=look["color"])
            axis.set_yscale("log")
            axis.axhline(1, color=GREY, linestyle=":")
            axis.set_title(group)
            axis.set_xticks(range(len(kinds)), list(kinds), rotation=20 if len(kinds) > 4 else 0)
            axis.set_xlim(-0.6, len(kinds) - 0.4)
        axes[0].set_ylabel(ylabel)
    return figure


def upsampling_view(counts: np.ndarray, output: np.ndarray, power: Tensor, title: str) -> Figure:
    """What one upsampling layer makes of a flat picture: overlap, output, spectrum.

    Args:
        counts: kernel entries that meet at each pixel of a row.
        output: what comes out, (H, W), drawn from its lowest to its highest value, or over a range
            of 0.02 around its mean where it is flatter than that.
        power: of the output, frequency 0 in the middle.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.0), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.3, 1, 1])
        figure.suptitle(title, fontsize=10)
        left.bar(
            np.arange(len(counts)),
            counts,
            color=[ORANGE if value < max(counts) else BLUE for value in counts],
        )
        left.set_yticks(range(int(max(counts)) + 1))
        left.grid(False, axis="x")
        left.set_axisbelow(True)
        left.set_title("overlap along a row")
        left.set_xlabel("output pixel")
        half = max(float(np.ptp(output)) / 2, 0.01)
        centre = float(output.max() + output.min()) / 2
        _squares(middle, output, cmap="gray", vmin=centre - half, vmax=centre + half)
        middle.set_title("a flat picture comes out as")
        decibels = _decibels(power)
        _draw_spectrum(right, decibels, max(float(decibels.max()), -60.0))
        right.set_title("its spectrum")
    return figure


def feature_maps(stages: Mapping[str, np.ndarray], picture: Picture, result: Picture) -> Figure:
    """A picture, some feature maps at each stage of a network, and what comes out.

    Args:
        stages: name and maps (count, height, width), each drawn from its 1st to its 99th
            percentile.
    """
    count = max(len(maps) for maps in stages.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.4 * (len(stages) + 2), 1.35 * count + 0.3), layout="constrained")
        axes = figure.subplots(count, len(stages) + 2, squeeze=False)
        for axis in axes.flat:
            bare(axis)
        for column, end, name in ((0, picture, "in"), (-1, result, "out")):
            axes[count // 2, column].imshow(picture_array(end))
            axes[count // 2, column].set_title(name)
        for column, (name, maps) in enumerate(stages.items(), start=1):
            axes[0, column].set_title(name)
            for row, values in enumerate(maps):
                low, high = np.percentile(values, [1, 99])
                axes[row, column].imshow(values, cmap="gray", vmin=low, vmax=high)
    return figure


def _squares(axis: Axes, values: np.ndarray, **look) -> QuadMesh:
    """An array as squares, row 0 on top: unlike a picture, it is stored without loss."""
    drawn = axis.pcolormesh(values, edgecolors="none", antialiased=False, **look)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    bare(axis, spines=True)
    return drawn
