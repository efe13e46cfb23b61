"""What measures see: two distributions, growing sets, known orders, ranks, intervals, seeds."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, STYLE, bare

Interval = tuple[float, float]


def two_normals(mean: float, spread: float) -> Figure:
    """A standard normal distribution, one with this mean and spread, and the parts of their FID."""
    x = np.linspace(-6, 6, 400)

    def density(m: float, s: float) -> np.ndarray:
        return np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
        for label, colour, style, values in (
            ("real: mean 0, spread 1", BLUE, "-", density(0, 1)),
            (f"fake: mean {mean:g}, spread {spread:g}", ORANGE, "--", density(mean, spread)),
        ):
            left.plot(x, values, style, color=colour, label=label)
            left.fill_between(x, values, color=colour, alpha=0.12)
        left.set(xlabel="value of one feature", ylim=(0, 0.95), yticks=[])
        left.legend(fontsize=9, loc="upper left")
        parts = {"of the means": mean**2, "of the spreads": (spread - 1) ** 2}
        bars = right.barh(list(parts), list(parts.values()), color=[GREEN, ORANGE], height=0.5)
        right.bar_label(bars, fmt=" %.2f", color=DARK)
        right.invert_yaxis()
        right.grid(False, axis="y")
        right.set(xlim=(0, 5), title=f"squared distance: {sum(parts.values()):.2f}")
    return figure


def against_count(counts: Sequence[int], values: Mapping[str, np.ndarray]) -> Figure:
    """Estimates against the number of pictures: mean, and where 80 % of the repetitions lie.

    Args:
        counts: pictures in each set.
        values: title of a panel, and (len(counts), repetitions).
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(values), 2.9), layout="constrained")
        axes = figure.subplots(1, len(values), squeeze=False)[0]
        for axis, (title, table), colour in zip(
            axes, values.items(), (ORANGE, BLUE) * len(values), strict=False
        ):
            low, high = np.quantile(table, (0.1, 0.9), axis=1)
            axis.fill_between(counts, low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(counts, np.mean(table, axis=1), "o-", color=colour)
            axis.axhline(0, color=DARK, linestyle=":", linewidth=1.2)
            axis.set_xscale("log", base=2)
            axis.set_xticks(counts, [str(count) for count in counts])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.set(title=title, xlabel="pictures in each set")
    return figure


def along_ladder(values: Mapping[str, Sequence[float]], rungs: Sequence[str]) -> Figure:
    """What each measure says of sets in a known order, a panel for each measure.

    Rungs that a measure puts at least as high as the one before are filled blue; where it breaks
    the order they are hollow and orange. The first rung must be the best.

    Args:
        values: title of a panel (one value for each rung); lower is better.
        rungs: names, best first; they are numbered on the axis.
    """
    if any(len(row) != len(rungs) for row in values.values()):
        raise CourseError("Every measure needs one value for each rung of the ladder.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.5 * len(values), 2.5), layout="constrained")
        at = np.arange(len(rungs))
        for axis, (title, row) in zip(
            figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True
        ):
            row = np.asarray(row, float)
            least = 1e-5 * abs(row).max()  # less is rounding
            broken = np.diff(row, prepend=-np.inf) < -least
            axis.plot(at, row, "-", color=GREY, linewidth=1.2)
            axis.plot(at[~broken], row[~broken], "o", color=BLUE)
            axis.plot(at[broken], row[broken], "s", color=ORANGE, markerfacecolor="white")
            ends = 1.15 * min(0, row.min()), 1.15 * max(0, row.max())
            axis.set(title=title, xlabel="rung: best to worst", ylim=ends)
            axis.set_xticks(at, [str(i + 1) for i in at])
    return figure


def rank_table(
    values: Mapping[str, Mapping[str, float | None]],
    higher_is_better: Mapping[str, bool],
    *,
    decimals: Mapping[str, int] | None = None,
) -> Figure:
    """Methods in rows, measures in columns; the colour is the rank, from best (pale) to worst.

    Args:
        values: method, then measure, then number (None: cannot be measured).
        higher_is_better: for each measure, in the order of the columns.
        decimals: of the numbers in each column, 2 where it is not said.
    """
    methods, measures = list(values), list(higher_is_better)
    table = np.array([[_or_nan(values[m].get(c)) for c in measures] for m in methods])
    places = np.full_like(table, np.nan)
    for j, measure in enumerate(measures):
        column = -table[:, j] if higher_is_better[measure] else table[:, j]
        known = ~np.isnan(column)
        places[known, j] = ranks(np.round(column[known], (decimals or {}).get(measure, 2)))
    with matplotlib.rc_context(STYLE):
        size = 1.9 + 1.05 * len(measures), 0.75 + 0.36 * len(methods)
        figure = Figure(figsize=size, layout="constrained")
        axis = bare(figure.subplots())
        axis.set_facecolor("#eeeeee")  # of what cannot be measured
        at = [np.arange(length + 1) - 0.5 for length in reversed(table.shape)]
        known = np.ma.masked_invalid(places)
        axis.pcolormesh(*at, known, cmap="cividis_r", vmin=1, vmax=len(methods))
        axis.invert_yaxis()
        for i, j in np.ndindex(table.shape):
            text = "–" if np.isnan(table[i, j]) else _shown(table[i, j], decimals, measures[j])
            dark = places[i, j] > 0.5 * len(methods)
            axis.text(j, i, text, ha="center", va="center", color="white" if dark else DARK)
        arrows = ["↑" if higher_is_better[measure] else "↓" for measure in measures]
        axis.set_xticks(
            range(len(measures)), [f"{m}\n{a}" for m, a in zip(measures, arrows, strict=True)]
        )
        axis.set_yticks(range(len(methods)), methods)
        axis.tick_params(length=0, labeltop=True, labelbottom=False)
        axis.set_xticks(np.arange(0.5, len(measures) - 1), minor=True)
        axis.set_yticks(np.arange(0.5, len(methods) - 1), minor=True)
        axis.grid(True, which="minor", color="white", linewidth=2)
        axis.tick_params(which="minor", length=0)
    return figure


def ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value, the smallest first, from 1; equal values have the same place."""
    return 1 + (values[:, None] > values).sum(axis=1)


def paired_scores(
    scores: Mapping[str, Sequence[float]],
    means: Mapping[str, Interval],
    difference: Interval,
    unit: str,
) -> Figure:
    """Two translators on the same pictures: each alone (left), and their differences (right).

    Args:
        scores: name, and one value for each picture; two of them.
        means: name, and the interval of its mean.
        difference: interval of the mean of (second - first).
        unit: of the values.
    """
    (one, first), (two, second) = ((name, np.asarray(values)) for name, values in scores.items())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], np.stack([first, second]), "-", color=GREY, linewidth=0.6, alpha=0.6)
        for x, (name, values) in enumerate(((one, first), (two, second))):
            left.plot(np.full(len(values), x), values, ".", color=GREY, markersize=4)
            side = 0.12 if x else -0.12
            _interval(left, x + side, values.mean(), means[name], (BLUE, GREEN)[x])
        left.set(xlim=(-0.5, 1.5), ylabel=unit, title="each mean, with its interval")
        left.set_xticks([0, 1], [one, two])
        gains = second - first
        spread = np.random.default_rng(0).uniform(-0.08, 0.08, len(gains))
        right.plot(spread, gains, ".", color=GREY, markersize=4)
        _interval(right, 0.3, gains.mean(), difference, ORANGE)
        right.axhline(0, color=DARK, linestyle=":", linewidth=1.2)
        right.set(xlim=(-0.5, 0.7), ylabel=unit, title="the differences, with that of their mean")
        right.set_xticks([0.1], [f"{two} − {one}"])
        for axis in (left, right):
            axis.grid(False, axis="x")
    return figure


def seeds_and_pictures(
    seeds: Mapping[str, Sequence[float]], of_pictures: Interval, unit: str
) -> Figure:
    """Trainings that differ in their seed, a row for each recipe, above an interval over pictures.

    Args:
        seeds: recipe, and the score of each of its trainings.
        of_pictures: how far the mean of one training's score is known: (low, high).
        unit: of the scores.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 0.7 + 0.42 * (len(seeds) + 1)), layout="constrained")
        axis = figure.subplots()
        for y, values in enumerate(seeds.values()):
            axis.plot(values, np.full(len(values), y), "o", color=BLUE, alpha=0.75)
            axis.plot([np.mean(values)] * 2, [y - 0.3, y + 0.3], color=DARK, linewidth=2)
        y = len(seeds)
        axis.plot(of_pictures, [y, y], color=ORANGE, linewidth=5, solid_capstyle="butt")
        axis.set_yticks(range(y + 1), [*seeds, "one training, interval over pictures"])
        axis.set_ylim(y + 0.6, -0.6)
        axis.grid(False, axis="y")
        axis.set_xlabel(unit)
    return figure


def _interval(axis, x: float, mean: float, ends: Interval, colour: str) -> None:
    axis.plot([x, x], ends, color=colour, linewidth=4, solid_capstyle="butt")
    axis.plot(x, mean, "D", color=colour, markeredgecolor="white", markersize=8)
    beside, side = (x - 0.06, "right") if x < 0 else (x + 0.06, "left")
    text = f"{mean:+.2f}" if colour == ORANGE else f"{mean:.2f}"
    axis.text(beside, mean, text, va="center", ha=side)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _shown(value: float, decimals: Mapping[str, int] | None, measure: str) -> str:
    if np.isinf(value):
        return "∞"
    return f"{value:.{(decimals or {}).get(measure, 2)}f}".replace("-", "−")
