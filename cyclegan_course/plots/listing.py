"""Figures of the article's listing: what a score costs, what each stage of the repair paints."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cyclegan_course.plots.curves import running_mean
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, STYLE, bare

_LINES = ((ORANGE, "-"), (GREEN, "--"), (BLUE, "-."), (GREY, ":"))


def price_of_a_score(
    losses: Mapping[str, Callable[[float], float]], low: float = -3.0, high: float = 6.0
) -> Figure:
    """What a generator pays for a score of its fake, a curve for each loss.

    Scores for which a loss is not a number are shaded.

    Args:
        losses: name, then score to loss.
        low, high: the scores that are shown.
    """
    scores = np.linspace(low, high, 1 + round(200 * (high - low)))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.0), layout="constrained")
        axis = figure.subplots()
        for (name, loss), (colour, style) in zip(losses.items(), _LINES, strict=False):
            values = np.array([loss(float(score)) for score in scores])
            axis.plot(scores, values, style, color=colour, label=name)
            if np.isnan(values).any():
                first = scores[np.isnan(values)][0]
                axis.axvspan(first, high, color=colour, alpha=0.12, linewidth=0)
                axis.text(
                    *(high, -1.9, f"{name}: not a number "), color=colour, ha="right", fontsize=9
                )
        axis.axhline(0, color=DARK, linewidth=0.8)
        axis.set(xlabel="score of the fake", ylabel="what G pays", ylim=(-7, 10), xlim=(low, high))
        axis.legend(fontsize=9, loc="lower left")
    return figure


def story(
    columns: Mapping[str, Sequence[Picture]],
    row_labels: Sequence[str],
    *,
    real: Sequence[str] = (),
    height: float = 0.93,
) -> Figure:
    """The same scenes in each column, from stage to stage.

    Args:
        columns: title of a column (may have line breaks), then a picture for each row.
        row_labels: of the rows.
        real: titles of the columns that no network made; their titles are grey.
        height: of a picture in inches.
    """
    rows = len(row_labels)
    size = 0.3 + (height + 0.03) * len(columns), 0.55 + (height + 0.03) * rows
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        figure.set_layout_engine("compressed", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for j, (title, pictures) in enumerate(columns.items()):
            axes[0, j].set_title(title, fontsize=9, color=GREY if title in real else DARK)
            for axis, picture in zip(axes[:, j], pictures, strict=True):
                bare(axis).imshow(picture_array(picture), interpolation="nearest")
        for axis, label in zip(axes[:, 0], row_labels, strict=True):
            axis.set_ylabel(label, fontsize=9)
    return figure


def loss_beside_pictures(
    records: Mapping[str, Sequence[float]],
    pictures: Mapping[str, Sequence[Picture]],
    loss: str,
) -> Figure:
    """A loss of each run against the step, and beside it what each run paints at the end.

    Args:
        records: name of a run, then its loss in each step.
        pictures: name of a row, then its pictures; a row for each run, others in between.
        loss: what it is called.
    """
    count = len(next(iter(pictures.values())))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 0.4 + 1.0 * len(pictures)), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
        axis = left.subplots()
        colours = dict(zip(records, _LINES, strict=False))
        for name, values in records.items():
            colour, style = colours[name]
            steps = np.arange(1, len(values) + 1)
            axis.plot(steps, values, color=colour, alpha=0.2, linewidth=1)
            axis.plot(steps, running_mean(values, 0.9), style, color=colour, label=name)
        axis.set(xlabel="step", ylabel=loss, ylim=(0, None))
        axis.legend(fontsize=9)
        grid = right.subplots(len(pictures), count, squeeze=False)
        for row, (name, shown) in zip(grid, pictures.items(), strict=True):
            for cell, picture in zip(row, shown, strict=True):
                bare(cell).imshow(picture_array(picture), interpolation="nearest")
            colour = colours.get(name, (DARK, ""))[0]
            row[0].set_ylabel(name, color=colour, fontsize=9)
    return figure


def staircase(passed: Mapping[str, Mapping[str, bool]]) -> Figure:
    """Which test each stage passes: tests in rows, stages in columns.

    Args:
        passed: name of a stage, then name of a test.
    """
    stages, tests = list(passed), list(next(iter(passed.values())))
    with matplotlib.rc_context(STYLE):
        size = 3.2 + 0.74 * len(stages), 0.9 + 0.29 * len(tests)
        figure = Figure(figsize=size, layout="constrained")
        axis = bare(figure.subplots())
        table = np.array([[passed[stage][test] for stage in stages] for test in tests])
        for (i, j), good in np.ndenumerate(table):
            new = good and (j == 0 or not table[i, j - 1])
            look = {"color": BLUE if new else "#cfe3f1"} if good else {"color": "#f6d9c6"}
            axis.add_patch(Rectangle((j + 0.03, i + 0.05), 0.94, 0.9, linewidth=0, **look))
            text = "mended" if new else "passes" if good else "fails"
            axis.text(
                *(j + 0.5, i + 0.52, text),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if new else DARK,
            )
        axis.set(xlim=(0, len(stages)), ylim=(len(tests), 0))
        axis.set_yticks(np.arange(len(tests)) + 0.5, tests)
        broken = [stage.replace(" ", "\n", 1) for stage in stages]
        axis.set_xticks(np.arange(len(stages)) + 0.5, broken, fontsize=9)
        axis.tick_params(length=0, labeltop=True, labelbottom=False)
    return figure
