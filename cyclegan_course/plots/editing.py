"""Colour against shape: where an edit changes a picture, how much of it was made, what D pays."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from cyclegan_course.laboratory.editing import Truth, by_seed
from cyclegan_course.plots.pictures import picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE

ZONE_COLOURS = {
    "roofs": BLUE,
    "both leaves": GREEN,
    "only round": ORANGE,
    "only conifer": PURPLE,
}
# Words in the figures for the trainings, and their marks.
TRAININGS = {
    "one pixel, paired": ("pairs, one pixel", "s", GREY),
    "paired": ("pairs, whole generator", "o", GREEN),
    "unpaired": ("CycleGAN, no pairs", "D", ORANGE),
}
EDITS = {"colour": ("o", BLUE), "shape": ("s", ORANGE)}


def zone_pictures(truth: Truth) -> list[np.ndarray]:
    """Each scene of `truth.A` in faint grey, with its zones in colours: uint8 (H, W, 3)."""
    found = []
    for index, image in enumerate(truth.A):
        grey = picture_array(image).mean(axis=2, keepdims=True)
        picture = np.repeat(150 + 0.4 * grey, 3, axis=2)
        for zone, colour in ZONE_COLOURS.items():
            if zone in truth.zones:
                picture[truth.zones[zone][index].numpy()] = 255 * np.array(to_rgb(colour))
        found.append(picture.round().clip(0, 255).astype(np.uint8))
    return found


def done_figure(
    rows: Sequence[dict],
    zones: Mapping[str, tuple[str, str]],
    trainings: Sequence[str] = tuple(TRAININGS),
) -> Figure:
    """Share of the asked change that was made: a group for each zone, a mark for each seed.

    Args:
        rows: of the stored table "zones"; the direction A to B is drawn.
        zones: words for a group, and the edit and zone that it shows.
        trainings: which, in the order from left to right.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        axis = figure.subplots()
        for place, (edit, zone) in enumerate(zones.values()):
            for number, training in enumerate(trainings):
                words, mark, colour = TRAININGS[training]
                where = {"edit": edit, "zone": zone, "training": training}
                values = [*by_seed(rows, "done", direction="A to B", **where).values()]
                x = place + 0.24 * (number - (len(trainings) - 1) / 2)
                axis.bar(x, np.mean(values), 0.21, color=colour, alpha=0.35)
                axis.plot(
                    [x] * len(values),
                    values,
                    mark,
                    color=colour,
                    markersize=5,
                    label=words if not place else None,
                )
        axis.axhline(0, color=DARK, linewidth=1)
        axis.axhline(1, color=DARK, linewidth=1, linestyle=":")
        right = len(zones) - 0.45
        axis.text(right, 1, " the truth", va="center", fontsize=9)
        axis.text(right, 0, " untouched", va="center", fontsize=9)
        axis.set_xticks(range(len(zones)), list(zones))
        axis.set(ylabel="share of the change made", xlim=(-0.5, right), ylim=(None, 1.05))
        axis.grid(False, axis="x")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def blend_figure(rows: Sequence[dict], step: int) -> Figure:
    """What D pays for an edit: on the way to the truth, and for all of it as the training goes on.

    Left the cost along the straight line from the untouched picture to the truth, the start drawn
    as 0. Right what the whole way saves. A thin line is a seed, a thick one the mean.

    Args:
        rows: of the stored table "blend".
        step: of the training, after which D was asked for the left half.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        for edit, (mark, colour) in EDITS.items():
            alphas, costs = blend_costs(rows, edit, step)
            _seeds_and_mean(left, alphas, costs, edit, mark, colour)
            _seeds_and_mean(right, *rewards(rows, edit), edit, mark, colour)
        for axis in (left, right):
            axis.axhline(0, color=DARK, linewidth=1)
        left.set(
            title=f"after {step} steps",
            xlabel="share of the way from the untouched picture to the truth",
            ylabel="cost, minus that of\nthe untouched picture",
        )
        right.set(title="all the way", xlabel="steps of the training", ylabel="what D pays for it")
        left.legend()
    return figure


def _seeds_and_mean(
    axis: Axes, x: np.ndarray, seeds: np.ndarray, words: str, mark: str, colour: str
) -> None:
    axis.plot(x, seeds.T, color=colour, linewidth=1, alpha=0.5)
    axis.plot(x, seeds.mean(axis=0), mark + "-", color=colour, linewidth=2.6, label=words)


def rewards(rows: Sequence[dict], edit: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps (K,), and how much the truth costs less than the untouched picture (seeds, K)."""
    steps = sorted({row["step"] for row in rows if row["edit"] == edit})
    saved = [-blend_costs(rows, edit, step)[1][:, -1] for step in steps]
    return np.array(steps), np.stack(saved, axis=1)


def blend_costs(rows: Sequence[dict], edit: str, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Alphas (K,), and the costs along the line minus that of its start (seeds, K)."""
    found = [row for row in rows if row["edit"] == edit and row["step"] == step]
    names = [name for name in dict.fromkeys(row["picture"] for row in found) if _is_number(name)]
    columns = [by_seed(found, "cost", picture=name) for name in names]
    costs = np.array([[column[seed] for column in columns] for seed in sorted(columns[0])])
    return np.array(names, dtype=float), costs - costs[:, :1]


def _is_number(name: str) -> bool:
    return name.replace(".", "", 1).isdigit()


def cut_strip(strip: Tensor | np.ndarray) -> list[np.ndarray]:
    """The square pictures of a stored strip."""
    array = np.asarray(strip)
    return np.split(array, array.shape[1] // array.shape[0], axis=1)
