"""Figures of the adversarial game: densities, slopes, orbits and clouds."""

from collections.abc import Mapping

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE
from cyclegan_course.toys.clouds import ring_centres
from cyclegan_course.toys.gan import STD, point_gan_gradients

# Colour, line and words of each loss of G, the same in every figure.
LOSSES = {
    "vanilla": (ORANGE, "--", "saturating: log(1 - D)"),
    "non_saturating": (BLUE, "-", "non-saturating: -log D"),
    "lsgan": (GREEN, "-.", "LSGAN: (score - 1)²"),
}


SHORTEST, LONGEST, PUSH_SCALE = 0.03, 2.5, 0.4  # of the arrows of `stepper`, in units of x


def densities_and_D(x: Tensor, p_data: Tensor, p_g: Tensor, curves: Mapping[str, Tensor]) -> Figure:
    """Two densities above, and below what a discriminator says at each place.

    Args:
        x, p_data, p_g: places and the densities there, each (N,).
        curves: what D says by the words for the legend, each (N,), from 0 to 1; the first one is
            drawn as a broad pale line, so that another one can lie on it.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.2), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        _density(top, x, p_data, BLUE, "-", "data")
        _density(top, x, p_g, ORANGE, "--", "fakes")
        top.set_ylabel("density")
        top.legend()
        looks = [{"color": GREY, "linewidth": 7, "alpha": 0.5}, {"color": DARK, "linestyle": "-"}]
        looks += [{"color": GREEN, "linestyle": "--"}, {"color": PURPLE, "linestyle": ":"}]
        for (words, values), look in zip(curves.items(), looks, strict=False):
            bottom.plot(x, values, label=words, **look)
        bottom.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        bottom.set_ylim(-0.05, 1.05)
        bottom.set_ylabel("D: 1 real, 0 fake")
        bottom.set_xlabel("x")
        bottom.legend()
    return figure


def _density(axis: Axes, x: Tensor, p: Tensor, colour: str, line: str, words: str) -> None:
    axis.fill_between(x, p, color=colour, alpha=0.15, linewidth=0)
    axis.plot(x, p, line, color=colour, label=words)


def slopes_of_G(score: Tensor, slopes: Mapping[str, Tensor]) -> Figure:
    """Size of the slope that each loss gives to G: over the raw score, and over D.

    For the two logarithmic losses D = sigmoid(score); for LSGAN the score itself plays the part
    of D, so the right panel shows its slope for scores from 0 to 1.

    Args:
        score: raw scores in rising order, (N,).
        slopes: the derivative by the score of each loss (keys of `LOSSES`), each (N,).
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for name, values in slopes.items():
            colour, line, words = LOSSES[name]
            D = score if name == "lsgan" else torch.sigmoid(score)
            left.plot(score, values.abs(), line, color=colour, label=words)
            inside = (D > -1e-4) & (D < 1 + 1e-4)
            right.plot(D[inside], values.abs()[inside], line, color=colour, label=words)
        left.set_ylim(-0.08, 3)
        left.set_xlabel("raw score of a fake")
        left.set_ylabel("size of the slope for G")
        right.legend(fontsize=9)
        right.set_xlabel("D(x'), for LSGAN the score")
        for axis, where, words in ((left, score[0] + 0.3, "D is sure: fake"), (right, 0.02, "")):
            axis.axvspan(axis.get_xlim()[0], score[0] + 5 if words else 0.1, color=GREY, alpha=0.12)
            axis.text(where, 0.15, words, fontsize=9)
    return figure


def travel(paths: Mapping[str, Tensor], goal: float, starts: float) -> Figure:
    """Where a fake is after each step, one line for each loss; steps are drawn logarithmically.

    Args:
        paths: places by loss (keys of `LOSSES`), one for each step, from step 0.
        goal: place at which D can no longer tell.
        starts: place of all of them at step 0.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 3), layout="constrained")
        axis = figure.subplots()
        for name, path in paths.items():
            colour, line, words = LOSSES[name]
            steps = torch.arange(1, len(path))
            axis.plot(steps, path[1:], line, color=colour, label=words)
            axis.plot(steps[-1], path[-1], "o", color=colour)
            axis.annotate(
                f"{len(path) - 1:,}", (steps[-1], path[-1]), (0, 6), textcoords="offset points"
            )
        axis.axhline(goal, color=GREY, linestyle=":")
        axis.set_xscale("log")
        axis.set_ylim(starts - 0.2, goal + 1.2)
        axis.set_xlabel("steps of G, from one number on the axis to the next ten times as many")
        axis.set_ylabel("place of the fake")
        axis.legend(loc="center", bbox_to_anchor=(0.66, 0.5), fontsize=9)
    return figure


def point_gan(
    panels: Mapping[str, tuple[Tensor, Mapping[str, float]]], limit: float = 1.8
) -> Figure:
    """Paths of the point GAN on the field of directions in which both players push.

    Args:
        panels: by title, a path (steps + 1, 2) and the `penalty` or `noise` that its field has.
        limit: half the side of each panel.
    """
    line = torch.linspace(-limit, limit, 13, dtype=torch.float64)
    psi, theta = torch.meshgrid(line, line, indexing="ij")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.45 * len(panels), 2.9), layout="constrained")
        for axis, (title, (path, terms)) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0],
            panels.items(),
            strict=True,
        ):
            slope_G, slope_D = point_gan_gradients(theta, psi, **terms)
            axis.quiver(theta, psi, -slope_G, -slope_D, color=GREY, alpha=0.8, width=0.006)
            axis.plot(path[:, 0], path[:, 1], color=BLUE, linewidth=1)
            axis.plot(*path[0], "o", color=ORANGE)
            axis.plot(*path[-1], "s", color=ORANGE)
            axis.plot(0, 0, "x", color=DARK, markersize=8)
            axis.set_xlim(-limit, limit)
            axis.set_ylim(-limit, limit)
            axis.set_aspect("equal")
            axis.grid(False)
            axis.set_title(title)
            axis.set_xlabel("θ, the fake")
        figure.axes[0].set_ylabel("ψ, slope of D")
    return figure


def clouds(
    panels: Mapping[str, Tensor], *, columns: int = 0, limit: float = 3.0, height: float = 2.3
) -> Figure:
    """Fakes in the plane, with a circle around each of the ring's eight centres.

    Args:
        panels: points (N, 2) by title.
        columns: panels in a row; 0 for all in one row.
        limit: half the side of each panel.
        height: of a panel in inches.
    """
    columns = columns or len(panels)
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(height * columns, (height + 0.45) * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for axis, (title, points) in zip(axes, panels.items(), strict=False):
            for centre in ring_centres():
                axis.add_patch(
                    Circle(centre.tolist(), 3 * STD, fill=False, edgecolor=BLUE, linewidth=1.3)
                )
            axis.plot(*points.T, ".", color=ORANGE, markersize=2.5, alpha=0.35)
            axis.set_title(title)
        for axis in figure.axes:
            axis.set_xlim(-limit, limit)
            axis.set_ylim(-limit, limit)
            axis.set_aspect("equal")
            axis.grid(False)
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in figure.axes[len(panels) :]:
            axis.set_visible(False)
    return figure


def stepper(
    x: Tensor, p_data: Tensor, p_g: Tensor, D: Tensor, fakes: Tensor, pushes: Tensor, title: str
) -> Figure:
    """A GAN on a line: both densities, D's answer everywhere, and the way each fake is pushed.

    Args:
        x, p_data, p_g, D: places, and there the densities and D's answer, each (N,).
        fakes: places of some fakes, (M,).
        pushes: how strongly each is pushed: minus the slope of G's loss by its place, (M,).
        title: above the picture.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.9), layout="constrained")
        axis, strip = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _density(axis, x, 0.9 * p_data / p_data.max(), BLUE, "-", "data")
        _density(axis, x, 0.9 * p_g / p_g.max(), ORANGE, "--", "fakes")
        axis.plot(x, D, color=DARK, linestyle="-.", linewidth=2.2, label="D")
        axis.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        axis.set_ylim(-0.25, 1.35)
        axis.set_yticks([0, 0.5, 1])
        axis.set_ylabel("D: 1 real, 0 fake")
        axis.set_title(title)
        axis.legend(loc="upper center", ncols=3, fontsize=9)
        rows = torch.arange(len(fakes)) / max(len(fakes) - 1, 1)
        strip.plot(fakes, rows, "o", color=ORANGE, markersize=5)
        for place, push, row in zip(fakes.tolist(), pushes.tolist(), rows.tolist(), strict=True):
            length = max(-LONGEST, min(LONGEST, PUSH_SCALE * push))
            if abs(length) < SHORTEST:  # its head alone would look like a push
                continue
            strip.annotate(
                "",
                (place + length, row),
                (place, row),
                arrowprops={"arrowstyle": "->", "color": DARK, "shrinkA": 0, "shrinkB": 0},
            )
        strip.set_ylim(-0.2, 1.2)
        strip.set_yticks([])
        strip.grid(False)
        strip.set_xlim(float(x[0]), float(x[-1]))
        strip.set_xlabel("x. The arrows: how strongly each fake is pushed, and which way")
    return figure
