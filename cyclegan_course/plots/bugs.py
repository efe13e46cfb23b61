"""Figures of the bug hunt: what each invariant catches, what each bug costs, how it looks."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics import Interval
from cyclegan_course.plots.curves import running_mean
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

_PASSED = {"facecolor": "#cfe3f1", "edgecolor": "none"}
_CAUGHT = {"facecolor": ORANGE, "edgecolor": "none"}
_WORD = {"color": "white", "fontsize": 7}
_LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, ":"))
_MARKERS = ("o", "s")


def catch_table(
    judged: Mapping[str, Mapping[str, bool | None]], words: Mapping[str, str] | None = None
) -> Figure:
    """Which invariant catches which fault: a row for each variant of the code.

    Args:
        judged: name of a variant, then name of an invariant, then what it says: True for right
            (pale), False for faulty (dark), None where there is no part that it could judge.
        words: what stands for the name of a variant.
    """
    names, invariants = list(judged), list(next(iter(judged.values())))
    with matplotlib.rc_context(STYLE):
        size = 5.2 + 0.56 * len(invariants), 1.3 + 0.25 * len(names)
        figure = Figure(figsize=size, layout="constrained")
        axis = bare(figure.subplots())
        axis.set(xlim=(0, len(invariants)), ylim=(len(names), 0))
        for i, name in enumerate(names):
            for j, invariant in enumerate(invariants):
                said = judged[name][invariant]
                if said is None:
                    continue
                look = _PASSED if said else _CAUGHT
                axis.add_patch(Rectangle((j + 0.04, i + 0.06), 0.92, 0.88, **look))
                if not said:
                    axis.text(j + 0.5, i + 0.52, "caught", ha="center", va="center", **_WORD)
        axis.set_yticks(np.arange(len(names)) + 0.5, [(words or {}).get(n, n) for n in names])
        axis.set_xticks(
            np.arange(len(invariants)) + 0.5, invariants, rotation=35, ha="left", fontsize=9
        )
        axis.tick_params(length=0, labeltop=True, labelbottom=False)
    return figure


def cost_forest(
    costs: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    better: Mapping[str, int],
    reach: Mapping[str, float],
) -> Figure:
    """Differences to the repaired recipe with their intervals; a panel for each measure.

    Filled where the interval leaves 0 out, hollow and grey where it holds 0. Right is better in
    every panel. What lies beyond `reach` is drawn as an arrow with its number.

    Args:
        costs: name of a bug, then measure, then direction, then the difference.
        better: for each measure +1 if higher is better, -1 if lower is.
        reach: the largest difference that is drawn to scale, for each measure.
    """
    names, measures = list(costs), list(better)
    with matplotlib.rc_context(STYLE):
        size = 1.7 + 2.0 * len(measures), 1.1 + 0.34 * len(names)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axis, measure in zip(axes, measures, strict=True):
            for i, name in enumerate(names):
                for j, interval in enumerate(costs[name][measure].values()):
                    _difference(axis, interval, i - 0.16 + 0.32 * j, j, reach[measure])
            axis.axvline(0, color=DARK, linewidth=1)
            axis.set_xlim(*(1.08 * better[measure] * reach[measure] * np.array([-1, 1])))
            axis.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
            axis.set_title(f"{measure}\n← worse      better →")
            axis.grid(False, axis="y")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        directions = list(costs[names[0]][measures[0]])
        for (colour, _), marker, label in zip(_LINES, _MARKERS, directions, strict=False):
            axes[0].plot([], [], marker, color=colour, label=label)
        axes[0].plot([], [], "o", color=GREY, markerfacecolor="white", label="may be chance")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _difference(axis: Axes, interval: Interval, y: float, number: int, reach: float) -> None:
    low, high = (v if v is not None else interval.value for v in (interval.low, interval.high))
    value = interval.value
    shown = np.isfinite(value) and (low > 0 or high < 0) and low < high
    colour = _LINES[number][0] if shown or not np.isfinite(value) else GREY
    if not np.isfinite(value):
        axis.text(0, y, "no finite pictures", color=colour, fontsize=8, va="center", ha="center")
        return
    if abs(value) <= reach:
        axis.plot(np.clip([low, high], -reach, reach), [y, y], color=colour, linewidth=2)
        face = colour if shown else "white"
        axis.plot(value, y, _MARKERS[number], color=colour, markerfacecolor=face, markersize=5)
        return
    end = np.copysign(reach, value)
    axis.annotate(
        "", (end, y), (0.8 * end, y), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2}
    )
    words = f"{value:+.2g}".replace("-", "−")
    axis.text(0.6 * end, y, words, color=colour, fontsize=8, va="center", ha="center")


def picture_strips(rows: Mapping[str, Picture], *, width: float = 7.2) -> Figure:
    """Strips of pictures under each other, each with its name at the left.

    Args:
        rows: name, and a picture of several scenes side by side; all of one shape.
        width: of a strip in inches.
    """
    arrays, high = _same_shape(rows, width)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width + 2.1, (high + 0.06) * len(rows)), layout="compressed")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        _draw_strips(figure, arrays)
    return figure


def case(rows: Mapping[str, Picture], seeds: Mapping[str, Sequence[Mapping[int, float]]]) -> Figure:
    """One bug beside its repair: strips of pictures, and below them the scores of every seed.

    Args:
        rows: as for `picture_strips`.
        seeds: title of a panel, and the scores by seed, first repaired, then with the bug.
    """
    arrays, high = _same_shape(rows, 2.7)
    above = (high + 0.06) * len(rows)
    with matplotlib.rc_context(STYLE | {"font.size": 9}):
        figure = Figure(figsize=(7.2, above + 1.9), layout="constrained")
        top, below = figure.subfigures(2, 1, height_ratios=(above, 1.9))
        _draw_strips(top, arrays)
        axes = below.subplots(1, len(seeds), squeeze=False)[0]
        for axis, (title, (right, wrong)) in zip(axes, seeds.items(), strict=True):
            for seed in right.keys() & wrong.keys():
                ends = [right[seed], wrong[seed]]
                axis.plot([0, 1], ends, "-", color=GREY, linewidth=1)
                axis.plot(0, ends[0], "o", color=BLUE, markersize=5)
                axis.plot(1, ends[1], "s", color=ORANGE, markersize=5)
            axis.set_xticks([0, 1], ["repaired", "bug"])
            axis.set(xlim=(-0.4, 1.4), title=title)
            axis.grid(False, axis="x")
            axis.margins(y=0.15)
    return figure


def _same_shape(rows: Mapping[str, Picture], width: float) -> tuple[dict[str, np.ndarray], float]:
    """The strips as arrays, and their height in inches at a width."""
    arrays = {name: picture_array(picture) for name, picture in rows.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1:
        raise CourseError("Strips must be of one shape, and there must be at least one.")
    tall, wide = shapes.pop()[:2]
    return arrays, width * tall / wide


def _draw_strips(figure: Figure | SubFigure, arrays: Mapping[str, np.ndarray]) -> None:
    axes = figure.subplots(len(arrays), 1, squeeze=False)[:, 0]
    for axis, (name, array) in zip(axes, arrays.items(), strict=True):
        bare(axis).imshow(array, interpolation="nearest")
        axis.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)


def beside(
    records: Mapping[str, Sequence[dict]], terms: Sequence[str], *, smooth: float = 0.9
) -> Figure:
    """The same loss terms of several runs, a panel for each term: faint as recorded, smoothed.

    Args:
        records: name of a run, and its record (rows with `step` and the terms).
        terms: what the panels show.
        smooth: weight of the past in the running mean.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(terms), 2.7), layout="constrained")
        axes = figure.subplots(1, len(terms), squeeze=False)[0]
        for axis, term in zip(axes, terms, strict=True):
            shown = []
            for (name, record), (colour, style) in zip(records.items(), _LINES, strict=False):
                steps = [row["step"] for row in record]
                values = np.array([row[term] for row in record])
                axis.plot(steps, values, color=colour, alpha=0.15, linewidth=0.8)
                smoothed = running_mean(values, smooth)
                axis.plot(steps, smoothed, style, color=colour, label=name)
                shown += list(smoothed[len(values) // 10 :])
            axis.set(title=term, xlabel="step", ylim=(0, 1.25 * max(shown)))
        axes[0].legend()
    return figure


def factors(schedules: Mapping[str, Callable[[int, int], float]], steps: int) -> Figure:
    """The factor of the learning rate in every step: the whole run, and its last steps.

    Args:
        schedules: name, and a function of (step, steps).
        steps: length of the run.
    """
    at = np.arange(steps)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
        for (name, factor), (colour, style) in zip(schedules.items(), _LINES, strict=False):
            values = np.array([factor(int(step), steps) for step in at])
            left.plot(at, values, style, color=colour, label=name)
            right.plot(at[-6:], values[-6:], style, marker="o", markersize=4, color=colour)
        least = 1.6 * schedules[next(iter(schedules))](steps - 6, steps)
        right.set(ylim=(-0.3 * least, least), title="the last six steps", xlabel="step")
        left.set(xlabel="step", ylabel="factor of the learning rate")
        left.legend(fontsize=9)
        for axis in (left, right):
            axis.axhline(0, color=DARK, linewidth=1)
    return figure
