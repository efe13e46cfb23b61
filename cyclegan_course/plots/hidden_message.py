"""Figures of the hidden message: tables of pictures, robustness of the way back, and the cost."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.hidden_message import CHANCE, by_training
from cyclegan_course.laboratory.results import t_interval
from cyclegan_course.metrics import Interval
from cyclegan_course.plots.own_pictures import amplified
from cyclegan_course.plots.pictures import picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE, bare

COLOURS = {"plain": ORANGE, "noise 10": BLUE}
NAMES = {"plain": "trained as usual", "noise 10": "trained with noise in the cycle"}
AXES = {
    "noise": "noise, levels of 255",
    "blur": "blur, sigma in pixels",
    "bits": "bits a channel",
    "jpeg": "quality of a JPEG file",
    "tint": "tint taken away, share",
}


def strip(images: Sequence[Tensor | np.ndarray]) -> np.ndarray:
    """Pictures side by side as one array (H, N * W, 3)."""
    return np.concatenate([picture_array(image) for image in images], axis=1)


def residual(fakes: Tensor, truths: Tensor, factor: float = 8.0) -> list[np.ndarray]:
    """The differences of two sets of pictures (N, 3, H, W), made stronger around mid grey."""
    pairs = zip(fakes, truths, strict=True)
    return [amplified(picture_array(a), picture_array(b), factor) for a, b in pairs]


def picture_table(
    rows: Mapping[str, Sequence[Tensor | np.ndarray]], height: float = 0.95
) -> Figure:
    """Rows of pictures of the same scenes, each with its words at the left.

    Args:
        rows: words, and as many pictures in every row.
        height: of a picture in inches.
    """
    counts = {len(row) for row in rows.values()}
    if len(counts) != 1 or 0 in counts:
        raise CourseError("Every row of the table needs the same number of pictures, at least one.")
    strips = [strip(row) for row in rows.values()]
    wide, tall = strips[0].shape[1], strips[0].shape[0]
    width, room = height * wide / tall, 1.35  # inches of the pictures, and of the words
    size = (width + room, (height + 0.06) * len(rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        figure.subplots_adjust(room / size[0], 0, 1, 1, hspace=0.03)
        axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axis, words, picture in zip(axes, rows, strips, strict=True):
            bare(axis).imshow(picture, interpolation="nearest")
            axis.set_ylabel(words, rotation=0, ha="right", va="center", labelpad=6)
    return figure


def robustness_curves(rows: Sequence[dict], names: Sequence[str] = tuple(AXES)) -> Figure:
    """The error of the roofs' hue against how strongly the translation was disturbed.

    A thin line is a seed, a thick one the mean over the seeds. Dotted: hues by chance.

    Args:
        rows: of the stored table "robustness".
        names: disturbances, a panel each.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.25 * len(names), 3.2), layout="constrained")
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, names, strict=True):
            strengths = list(
                dict.fromkeys(row["strength"] for row in rows if row["disturbance"] == name)
            )
            at = np.arange(len(strengths))
            for training, colour in COLOURS.items():
                errors = _errors(rows, name, training, strengths)
                axis.plot(at, errors.T, color=colour, alpha=0.45, linewidth=1)
                axis.plot(
                    at, errors.mean(0), "o-", color=colour, linewidth=2.4, label=NAMES[training]
                )
            axis.axhline(CHANCE, color=DARK, linestyle=":", linewidth=1.2)
            axis.set_xticks(at, [f"{strength:g}" for strength in strengths])
            axis.set(xlabel=AXES[name], ylim=(0, 118))
        axes[0].set_ylabel("error of the roofs' hue, degrees")
        axes[0].text(0, CHANCE + 2, "a guess", color=DARK, fontsize=9)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _errors(
    rows: Sequence[dict], name: str, training: str, strengths: Sequence[float]
) -> np.ndarray:
    """Hue errors, (seeds, strengths)."""
    found = [
        by_training(rows, "hue_error", disturbance=name, strength=strength)[training]
        for strength in strengths
    ]
    return np.array([[of_seed[seed] for of_seed in found] for seed in found[0]])


def cost_figure(rows: Sequence[dict], measures: Mapping[str, str]) -> Figure:
    """Two trainings of each seed, joined by a line, and the interval of their difference.

    Args:
        rows: of the stored table "quality".
        measures: name in the table, and the title of its panel.
    """
    plain, cured = COLOURS
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.7 * len(measures), 3.1), layout="constrained")
        axes = figure.subplots(1, len(measures), squeeze=False)[0]
        for axis, (measure, title) in zip(axes, measures.items(), strict=True):
            values = by_training(rows, measure)
            pairs = [
                (values[plain][seed], values[cured][seed])
                for seed in sorted(values[plain].keys() & values[cured].keys())
            ]
            for before, after in pairs:
                axis.plot((0, 1), (before, after), color=GREY, linewidth=1.2, zorder=1)
                axis.scatter((0, 1), (before, after), color=[*COLOURS.values()], s=40, zorder=2)
            difference = t_interval([after - before for before, after in pairs])
            axis.set_xticks((0, 1), ("as usual", "noise"))
            axis.set(title=title, xlim=(-0.35, 1.35), xlabel=_words(difference))
            axis.margins(y=0.2)
            axis.grid(False, axis="x")
    return figure


def _words(difference: Interval) -> str:
    """The difference with its interval: two digits of the difference, at most four decimals."""
    decimals = min(4, max(0, 1 - int(np.floor(np.log10(abs(difference.value) or 1)))))
    text = f"{difference.value:+.{decimals}f}"
    if difference.low is not None:
        text += f" ({difference.low:+.{decimals}f} to {difference.high:+.{decimals}f})"
    return text.replace("-", "−")
