"""Figures of chapter 13: likenesses of patches, CUT beside CycleGAN, both on every world."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.results import BETTER, Results, verdict
from cyclegan_course.metrics import Interval
from cyclegan_course.plots.curves import running_mean
from cyclegan_course.plots.experiments import TITLES, VERDICTS
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, STYLE, bare

LIKENESS_COLOURS = "cividis"  # made for colour-blind readers; yellow is alike
MARKS = ("o", "s", "D", "^")


def likeness_table(likeness: Tensor, temperature: float) -> Figure:
    """Likenesses of a few patches, the shares that a softmax makes of them, and the loss.

    Args:
        likeness: (S, S), row s the patch s of the translation against each patch of the input.
        temperature: divides the likenesses before the softmax.
    """
    count = len(likeness)
    shares = torch.softmax(likeness / temperature, dim=1)
    losses = -torch.log_softmax(likeness / temperature, dim=1).diagonal()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 1.3 + 0.5 * count), layout="constrained")
        left, right, last = figure.subplots(1, 3, width_ratios=(count, count, 1.6))
        _numbers(left, likeness, (-1, 1), "{:.2f}", "likeness q · k")
        left.set_ylabel("patch of the translation")
        _numbers(right, shares, (0, 1), "{:.0%}", f"softmax of likeness / {temperature:.4g}")
        for axis in (left, right):
            axis.set_xlabel("patch of the input")
        bare(last).set(xlim=(-1, 1), ylim=(count - 0.5, -0.5), title="loss")
        for row, loss in enumerate(losses):
            last.text(0, row, f"{loss:.2f}", ha="center", va="center")
        last.set_xlabel(f"mean {losses.mean():.2f}\n(log {count} = {np.log(count):.2f})")
    return figure


def _numbers(axis: Axes, table: Tensor, ends: tuple, form: str, title: str) -> None:
    bare(axis).imshow(table.numpy(), cmap=LIKENESS_COLOURS, vmin=ends[0], vmax=ends[1])
    half = sum(ends) / 2
    for row, values in enumerate(table.tolist()):
        for column, value in enumerate(values):
            colour = DARK if value > half else "white"
            words = form.format(value)
            axis.text(column, row, words, ha="center", va="center", color=colour)
        frame = Rectangle((row - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5)
        axis.add_patch(frame)
    axis.set_xticks(range(len(table)), range(1, len(table) + 1))
    axis.set_yticks(range(len(table)), range(1, len(table) + 1))
    axis.tick_params(length=0)
    axis.set_title(title)


def likeness_maps(
    rows: Mapping[str, tuple[Picture, Sequence[Tensor]]],
    real: Picture,
    place: tuple[float, float],
    titles: Sequence[str],
) -> Figure:
    """How alike one patch of a translation is to every place of its input, layer by layer.

    Args:
        rows: by their words, such as "before training": the translation, and for each layer the
            likenesses (h, w), from -1 to 1.
        real: the input.
        place: row and column of the patch, as shares from 0 to 1 of the picture's side.
        titles: one for each layer.
    """
    columns = 2 + len(titles)
    with matplotlib.rc_context(STYLE | {"axes.titlesize": 9, "font.size": 9}):
        figure = Figure(figsize=(1.72 * columns + 0.9, 2.02 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes, (words, (made, maps)) in zip(grid, rows.items(), strict=True):
            axes[0].set_ylabel(words)
            for axis, picture, title in zip(
                axes, (real, made), ("input", "translation"), strict=False
            ):
                array = picture_array(picture)
                bare(axis).imshow(array, interpolation="nearest")
                axis.set_title(title)
                _ring(axis, place, array.shape[:2], "white" if title == "translation" else GREY)
            for axis, likeness, title in zip(axes[2:], maps, titles, strict=True):
                image = bare(axis).imshow(
                    likeness.numpy(), cmap=LIKENESS_COLOURS, vmin=0, vmax=1, interpolation="nearest"
                )
                _ring(axis, place, tuple(likeness.shape), ORANGE)
                rank = own_rank(likeness, place)
                axis.set_title(f"{title}\nrank {rank} of {likeness.numel()}")
        figure.colorbar(image, ax=grid[:, -1].tolist(), label="likeness", shrink=0.85)
    return figure


def _cell(place: tuple[float, float], shape: tuple[int, int]) -> tuple[int, int]:
    """The row and column of a map in which a place of the picture lies."""
    row, column = (
        min(int(share * side), side - 1) for share, side in zip(place, shape, strict=True)
    )
    return row, column


def own_rank(likeness: Tensor, place: tuple[float, float]) -> int:
    """1 if no place of the map (h, w) is more alike than the one at `place`, 2 if one is, ..."""
    return int((likeness > likeness[_cell(place, tuple(likeness.shape))]).sum()) + 1


def _ring(axis: Axes, place: tuple[float, float], shape: tuple[int, int], colour: str) -> None:
    row, column = _cell(place, shape)
    for edge, width in ((DARK, 3.4), (colour, 1.8)):
        ring = Circle((column, row), 0.07 * shape[1], fill=False, edgecolor=edge, linewidth=width)
        axis.add_patch(ring)


def beside_cyclegan(
    records: Mapping[str, Sequence[dict]], patches: int, *, smooth: float = 0.7
) -> Figure:
    """Losses of CUT beside those of CycleGAN: the two adversarial ones, and CUT's PatchNCE.

    Args:
        records: of a run called "CUT" and of others: rows with `step` and the terms.
        patches: S, whose logarithm is what features that say nothing would pay.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        looks = zip(records.items(), ((ORANGE, "--"), (BLUE, "-"), (GREEN, "-.")), strict=False)
        for (name, record), (colour, style) in looks:
            for axis, term in ((left, "G_AB"), (middle, "D_B")):
                _curve(axis, record, term, name, colour, style, smooth)
        for axis, title in ((left, "G_AB: fooling D_B"), (middle, "D_B: telling real from fake")):
            axis.set(title=title, xlabel="step")
            axis.set_ylim(0, None)
            axis.axhline(0.25, color=GREY, linestyle=":", label="guessing")
            axis.legend(fontsize=8)
        for term, colour, style in (("nce_A", BLUE, "-"), ("nce_B", GREEN, "--")):
            _curve(right, records["CUT"], term, term, colour, style, smooth)
        right.axhline(np.log(patches), color=GREY, linestyle=":", label=f"log {patches}")
        right.set(title="CUT: PatchNCE", xlabel="step")
        right.set_ylim(0, None)
        right.legend(fontsize=8)
    return figure


def _curve(axis: Axes, record: Sequence[dict], term: str, label: str, *look) -> None:
    colour, style, smooth = look
    steps, values = [row["step"] for row in record], np.array([row[term] for row in record])
    axis.plot(steps, values, color=colour, alpha=0.2, linewidth=1)
    axis.plot(steps, running_mean(values, smooth), style, color=colour, label=label)


def world_differences(
    results: Results,
    worlds: Sequence[str],
    names: Sequence[str],
    base: str,
    measures: Sequence[str],
) -> Figure:
    """Mean paired difference of each run to `base` in every world, with its 95 % interval.

    A panel for each measure, turned so that better lies to the right; a row for each world; a mark
    for each run. Blue where the interval says better, orange where it says worse, grey and hollow
    where it holds 0.
    """
    if not worlds or not names:
        raise CourseError("There is nothing to compare: name at least one world and one run.")
    shifts = np.linspace(-0.26, 0.26, len(names)) if len(names) > 1 else [0.0]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 1.1 + 0.62 * len(worlds)), layout="constrained")
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        axes[0].set_yticks(range(len(worlds)), worlds)
        axes[0].set_ylim(len(worlds) - 0.5, -0.5)
        for axis, measure in zip(axes, measures, strict=True):
            axis.grid(False, axis="y")
            axis.tick_params(axis="y", length=0)
            axis.axvline(0, color=DARK, linewidth=1)
            for y, world in enumerate(worlds):
                if y % 2:
                    axis.axhspan(y - 0.5, y + 0.5, color="#f4f4f4", zorder=0)
                for name, mark, shift in zip(names, MARKS, shifts, strict=False):
                    found = results.difference(name, base, measure, world=world)
                    _difference(axis, found, measure, y + shift, mark)
            if BETTER[measure] < 0:
                axis.invert_xaxis()
            axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.set_title(f"{TITLES[measure]}, minus {base}")
            axis.set_xlabel("better →", loc="right", fontsize=8, color=GREY)
        entries = [
            Line2D([], [], marker=mark, color=DARK, linestyle="none", label=name)
            for name, mark in zip(names, MARKS, strict=False)
        ] + [Line2D([], [], color=c, linewidth=4, label=word) for word, c in VERDICTS.items()]
        figure.legend(handles=entries, loc="outside upper right", ncols=len(entries), fontsize=8.5)
    return figure


def _difference(axis: Axes, found: Interval, measure: str, y: float, mark: str) -> None:
    said = verdict(found, measure)
    if not np.isfinite(found.value):
        axis.text(0, y, " failed", va="center", color=ORANGE, fontsize=8)
        return
    colour = VERDICTS.get(said, GREY)
    if found.low is not None:
        axis.plot([found.low, found.high], [y, y], color=colour, linewidth=3, alpha=0.4)
    face = colour if said in ("better", "worse") else "white"
    axis.plot(found.value, y, mark, color=colour, markerfacecolor=face, markersize=6)


def pictures_by_world(rows: Mapping[str, Mapping[str, Sequence[Picture]]]) -> Figure:
    """Rows of translations, a group of columns for each world.

    Args:
        rows: words of the row -> world -> its pictures; all rows have the same worlds, and a world
            the same number of pictures in every row.
    """
    worlds = list(next(iter(rows.values())))
    counts = [len(next(iter(rows.values()))[world]) for world in worlds]
    ratios = [r for count in counts for r in [*[1.0] * count, 0.1]][:-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.1 + 0.92 * sum(ratios), 0.3 + 0.92 * len(rows)))
        figure.set_layout_engine("compressed", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        grid = figure.subplots(
            len(rows), len(ratios), squeeze=False, gridspec_kw={"width_ratios": ratios}
        )
        for number, (words, of_worlds) in enumerate(rows.items()):
            axes = grid[number]
            axes[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=9)
            first = 0
            for world, count in zip(worlds, counts, strict=True):
                for axis, picture in zip(axes[first:], of_worlds[world], strict=False):
                    bare(axis).imshow(picture_array(picture), interpolation="nearest")
                if number == 0:
                    axes[first].set_title(world, loc="left", fontsize=10)
                for gap in axes[first + count : first + count + 1]:
                    bare(gap)
                first += count + 1
    return figure
