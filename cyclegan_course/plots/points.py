"""Clouds of points in the plane, and arrows that say where each point goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, STYLE

Points = np.ndarray | Tensor


@dataclass(frozen=True)
class Arrows:
    """One panel of `arrow_panels`.

    Args:
        title: above the panel.
        start, end: (N, 2), the two ends of each arrow.
        right: bool (N,), whether an arrow leads where it should. Without it, all look alike.
    """

    title: str
    start: Points
    end: Points
    right: Sequence[bool] | np.ndarray | Tensor | None = None


def arrow_panels(
    panels: Sequence[Arrows],
    centres_A: Points,
    centres_B: Points,
    *,
    columns: int = 3,
    height: float = 3.3,
) -> Figure:
    """Arrows in panels of one scale, over two rings whose clumps carry their numbers.

    Right arrows are green and end in a dot, wrong ones are orange and end in a cross.

    Args:
        panels: what to draw.
        centres_A, centres_B: (K, 2), centres of the clumps. Row k of both is a pair.
        columns: panels in a row.
        height: of a panel in inches.
    """
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    with matplotlib.rc_context(STYLE):
        size = (height * columns, (height + 0.3) * rows + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, panel in zip(axes, panels, strict=False):
            _draw_arrows(axis, panel)
            _number_clumps(axis, centres_A, centres_B)
            axis.set_title(panel.title)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        if any(panel.right is not None for panel in panels):
            _explain_arrows(figure)
    return figure


def cloud_panels(
    real_A: Points, real_B: Points, start: Points, end: Points, *, height: float = 3.6
) -> Figure:
    """Left what training sees, two clouds. Right the sealed pairing, as arrows."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.2 * height, height + 0.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _square(left)
        left.scatter(*_array(real_A).T, s=9, color=BLUE, marker="o", label="A")
        left.scatter(*_array(real_B).T, s=11, color=ORANGE, marker="^", label="B")
        left.legend(loc="upper right", fontsize=9, markerscale=1.6)
        left.set_title("what training sees")
        _draw_arrows(right, Arrows("", start, end))
        right.set_title("the sealed pairing")
    return figure


def share_dots(
    shares: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float]],
    chance: float,
    *,
    label: str = "share of right correspondences",
) -> Figure:
    """One line for each way of training, one dot for each seed, and the mean with its interval.

    Args:
        shares: by name, one number from 0 to 1 for each seed.
        intervals: by name, the interval of the mean.
        chance: marked with a dotted line.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.48 * len(shares) + 0.9), layout="constrained")
        axis = figure.subplots()
        for line, (name, values) in enumerate(shares.items()):
            values = np.asarray(values)
            axis.scatter(values, line + _spread(values), s=18, color=BLUE, alpha=0.55, linewidth=0)
            low, high = intervals[name]
            axis.plot([low, high], [line, line], color=ORANGE, linewidth=2.5)
            axis.plot(values.mean(), line, "D", color=ORANGE, markeredgecolor="white", markersize=8)
            axis.text(1.04, line, f"{values.mean():.2f}", va="center")
        axis.axvline(chance, color=GREY, linestyle=":")
        axis.text(chance, -0.75, " chance", color=DARK, fontsize=9, va="center")
        axis.set_yticks(range(len(shares)), shares)
        axis.set_ylim(len(shares) - 0.5, -1.05)
        axis.set_xlim(-0.04, 1.12)
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.set_xlabel(label)
        axis.grid(axis="y", visible=False)
    return figure


def turned_ring(
    panel: Arrows,
    centres_A: Points,
    centres_B: Points,
    curves: Mapping[str, Sequence[float]],
    angles: Sequence[float],
    angle: float,
) -> Figure:
    """Left the arrows at one angle, right every number against the angle, that angle marked.

    Args:
        panel: arrows at this angle.
        curves: by name, one number for each of `angles` (degrees).
        angle: the one that is marked.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
        _draw_arrows(left, panel)
        _number_clumps(left, centres_A, centres_B)
        left.set_title(panel.title)
        place = list(angles).index(angle)
        looks = zip("os^D", ["-", "--", "-.", ":"], [GREEN, ORANGE, BLUE, DARK], strict=True)
        for (name, values), (marker, line, colour) in zip(curves.items(), looks, strict=False):
            right.plot(angles, values, line, color=colour, label=f"{name}: {values[place]:.2f}")
            right.plot(angle, values[place], marker, color=colour, markersize=7)
        right.axvline(angle, color=GREY, linewidth=1)
        right.set_xlabel("angle in degrees")
        right.set_xticks(range(0, 361, 60))
        right.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, fontsize=9)
    return figure


def _draw_arrows(axis: Axes, panel: Arrows) -> None:
    start, end = _array(panel.start), _array(panel.end)
    _square(axis)
    groups = [(np.ones(len(start), bool), BLUE, "o")]
    if panel.right is not None:
        right = np.asarray(panel.right, bool)
        groups = [(right, GREEN, "o"), (~right, ORANGE, "x")]
    for chosen, colour, marker in groups:
        if not chosen.any():
            continue
        steps = (end - start)[chosen]
        axis.quiver(
            *start[chosen].T,
            *steps.T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004,
            headwidth=5,
            color=colour,
            alpha=0.55,
        )
        axis.scatter(*end[chosen].T, s=16, color=colour, marker=marker, linewidth=1.2, zorder=3)
    axis.scatter(*start.T, s=5, color=GREY, zorder=3)


def _number_clumps(axis: Axes, centres_A: Points, centres_B: Points) -> None:
    for centres, factor in ((_array(centres_A), 0.68), (_array(centres_B), 1.25)):
        for number, place in enumerate(centres):
            axis.text(
                *(factor * place),
                str(number),
                fontsize=9,
                ha="center",
                va="center",
                fontweight="bold",
            )


def _explain_arrows(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=GREEN, marker="o", markersize=4, label="arrives at its true partner"),
        Line2D([], [], color=ORANGE, marker="x", markersize=6, label="arrives at another clump"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)


def _square(axis: Axes, reach: float = 2.85) -> None:
    axis.set_aspect("equal")
    axis.set_axisbelow(True)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(-reach, reach)
    axis.set_xticks([-2, -1, 0, 1, 2])
    axis.set_yticks([-2, -1, 0, 1, 2])


def _spread(values: np.ndarray, step: float = 0.07) -> np.ndarray:
    """Vertical offsets that keep equal values (to two digits) apart, symmetric around 0."""
    offsets = np.zeros(len(values))
    rounded = np.round(values, 2)
    for value in np.unique(rounded):
        (places,) = np.nonzero(rounded == value)
        wide = min(step, 0.7 / len(places))
        offsets[places] = wide * (np.arange(len(places)) - (len(places) - 1) / 2)
    return offsets


def _array(points: Points) -> np.ndarray:
    return points.detach().numpy() if isinstance(points, Tensor) else np.asarray(points)
