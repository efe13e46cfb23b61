"""What happens inside a training step: who learns from which term, and what the image pool does."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE

Flow = Mapping[str, Mapping[str, float]]  # term -> network -> size of the gradient


def gradient_flow(all_paths: Flow, kept: Flow) -> Figure:
    """Which term sends a gradient into which network, before and after blocking.

    Args:
        all_paths: size of the gradient from each term (rows) in each network (columns), with
            nothing frozen and nothing detached.
        kept: the same in the real step. A cell that is not 0 before and 0 here is shown as blocked.
    """
    terms, networks = list(all_paths), list(next(iter(all_paths.values())))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 0.36 * len(terms) + 0.7), layout="constrained")
        axis = figure.subplots()
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.set_xlim(0, len(networks))
        axis.set_ylim(len(terms), 0)
        for i, term in enumerate(terms):
            for j, network in enumerate(networks):
                look, words = _cell(all_paths[term][network], kept[term][network])
                axis.add_patch(Rectangle((j + 0.03, i + 0.07), 0.94, 0.86, **look))
                axis.text(j + 0.5, i + 0.5, words, ha="center", va="center", fontsize=9)
        axis.set_xticks(np.arange(len(networks)) + 0.5, networks)
        axis.set_yticks(np.arange(len(terms)) + 0.5, terms)
        axis.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    return figure


def _cell(before: float, after: float) -> tuple[dict, str]:
    if before == 0:
        return {"facecolor": "#f4f4f4", "edgecolor": "none"}, "·"
    if after == 0:
        return {
            "facecolor": "#fbe9dd",
            "edgecolor": ORANGE,
            "hatch": "///",
            "alpha": 0.55,
        }, "blocked"
    return {"facecolor": "#cfe3f1", "edgecolor": BLUE}, f"{after:.2g}"


def pool_history(made: Sequence[int], given: Sequence[int], size: int) -> Figure:
    """What an image pool gives the discriminator: when each of its pictures was made.

    Args:
        made: the step at which each fake went in, one for every step from 0 on.
        given: the step at which the fake that came out had been made.
        size: of the pool, for the distribution in theory.
    """
    made, given = np.asarray(made), np.asarray(given)
    old = given < made
    ages = (made - given)[old & (made > 10 * size)]  # the beginning knows no great age
    first = made < 8 * size
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        fresh, stored = first & ~old, first & old
        left.plot(made[fresh], given[fresh], ".", color=BLUE, markersize=4, label="fresh")
        left.plot(
            made[stored], given[stored], "x", color=ORANGE, markersize=4.5, label="out of the pool"
        )
        left.axvline(size, color=GREY, linestyle=":", label="the pool is full")
        left.set(xlabel="step", ylabel="step at which the fake was made")
        left.set_title("what the discriminator is shown")
        left.legend(fontsize=9, loc="upper left")
        edges = 1 + np.linspace(0, 10 * size, 21)
        right.hist(ages, edges, density=True, color=ORANGE, alpha=0.45, label="counted")
        age = np.arange(1, 10 * size + 1)
        leaves = 1 / (2 * size)  # the probability to be taken out, in each step
        right.plot(age, leaves * (1 - leaves) ** (age - 1), "--", color=DARK, label="in theory")
        right.set(xlabel="age of an old fake in steps", ylabel="share per step")
        right.set_title(f"ages of the old ones: on average {ages.mean():.0f} steps")
        right.legend(fontsize=9)
    return figure


def forgetting(
    scores: Mapping[str, np.ndarray],
    extent: float,
    real: np.ndarray,
    visited: np.ndarray,
    now: np.ndarray,
) -> Figure:
    """Score maps of discriminators over the plane: where does each say "real"?

    Args:
        scores: by title, score maps (rows from bottom to top) over [-extent, extent] squared.
        extent: half of the side of the square.
        real: real points (N, 2).
        visited: places where the fakes have been, (M, 2).
        now: fakes of now, (K, 2).
    """
    side = [-extent, extent]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.1 * len(scores), 3.9), layout="constrained")
        axes = figure.subplots(1, len(scores), sharey=True)
        for axis, (title, values) in zip(axes, scores.items(), strict=True):
            axis.grid(False)
            ticks = np.linspace(*side, len(values))
            shades = axis.contourf(
                ticks, ticks, values, np.linspace(0, 1, 11), cmap="cividis", extend="both"
            )
            axis.contour(ticks, ticks, values, [0.5], colors="white", linewidths=2)
            axis.plot(*visited.T, "o", color="white", markersize=3.5, label="fakes of before")
            axis.plot(*now.T, "x", color=ORANGE, markersize=7, label="fakes of now")
            axis.plot(*real.T, ".", color="black", markersize=3, label="real")
            axis.set_title(title)
            axis.set_aspect("equal")
        axes[0].legend(
            fontsize=8, loc="lower left", frameon=True, facecolor="#bbbbbb", framealpha=0.9
        )
        bar = figure.colorbar(shades, ax=list(axes), shrink=0.9)
        bar.set_label("score: 0 fake, 1 real")
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1])
    return figure
