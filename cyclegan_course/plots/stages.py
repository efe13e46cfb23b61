"""The stages of one run: how near to the truth, and how like the other domain."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patheffects import withStroke

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D")
Point = tuple[float, float]


def perception_distortion(
    paths: Mapping[str, Sequence[Point]],
    labels: Mapping[str, Sequence[str]],
    points: Mapping[str, Point] | None = None,
    pictures: Mapping[str, Picture] | None = None,
    *,
    distance: str = "distance to the paintings",
) -> Figure:
    """The plane of Blau and Michaeli (2018): error to the truth across, distance of the sets up.

    Both axes get better towards the lower left: PSNR grows to the left.

    Args:
        paths: name, and (PSNR, distance) of its points in order; arrows lead along.
        labels: name of a path, and a text for each of its points ("" for none).
        points: single methods.
        pictures: by the label of a point; they stand in a row above, under the same label.
        distance: what the vertical axis shows.
    """
    for name, path in paths.items():
        if len(path) != len(labels[name]):
            raise CourseError(f"The path {name!r} needs one label for each of its points.")
    pictures = pictures or {}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.9 + (1.2 if pictures else 0)), layout="constrained")
        if pictures:
            above, below = figure.subfigures(2, 1, height_ratios=(1.2, 3.9))
            _row(above, pictures)
        else:
            below = figure
        axis = below.subplots()
        for i, (name, path) in enumerate(paths.items()):
            _path(axis, name, np.array(path), labels[name], i)
        for name, place in (points or {}).items():
            axis.plot(*place, "*", color=DARK, markersize=11)
            axis.annotate(name, place, (7, 5), textcoords="offset points")
        axis.margins(0.1)
        axis.invert_xaxis()
        axis.set_ylim(bottom=0)
        axis.set(xlabel="PSNR to the truth (dB): nearer to the left", ylabel=distance)
        axis.legend(loc="upper left")
    return figure


def _path(axis: Axes, name: str, path: np.ndarray, labels: Sequence[str], number: int) -> None:
    colour, marker = COLOURS[number], MARKERS[number]
    beside = (7, 7) if number == 0 else (7, -15)  # so that the labels of two paths keep apart
    axis.plot(*path.T, marker=marker, color=colour, label=name, linewidth=1.2, markersize=7)
    for start, end in pairwise(path):
        middle = (start + end) / 2
        axis.annotate(
            "",
            middle + 0.04 * (end - start),
            middle,
            arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0},
        )
    for place, text in zip(path, labels, strict=True):
        note = axis.annotate(text, place, beside, textcoords="offset points", fontsize=9)
        note.set(color=colour, path_effects=[withStroke(linewidth=3, foreground="white")])


def _row(figure: SubFigure, pictures: Mapping[str, Picture]) -> None:
    axes = figure.subplots(1, len(pictures))
    for axis, (label, picture) in zip(np.atleast_1d(axes), pictures.items(), strict=True):
        bare(axis).imshow(picture_array(picture), interpolation="nearest")
        axis.set_title(label, fontsize=9)


def stage_figure(
    pictures: Mapping[str, Picture],
    steps: Sequence[int],
    measures: Mapping[str, Sequence[float]],
    now: int,
) -> Figure:
    """One stage of a run: its picture beside others, and where it stands on each curve.

    Args:
        pictures: by title, in a row.
        steps: of all stages.
        measures: title of a panel, and a value for each stage.
        now: the step of the stage that is shown, one of `steps`.
    """
    place = list(steps).index(now)
    with matplotlib.rc_context(STYLE | {"axes.titlesize": 9, "font.size": 9}):
        figure = Figure(figsize=(9.4, 4.2), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        _row(above, pictures)
        at = np.arange(len(steps))
        for axis, (title, values) in zip(
            below.subplots(1, len(measures)), measures.items(), strict=True
        ):
            axis.plot(at, values, ".-", color=GREY, linewidth=1.2)
            axis.plot(place, values[place], "o", color=ORANGE, markersize=9)
            axis.annotate(
                f"{values[place]:.3g}",
                (place, values[place]),
                (0, 8),
                textcoords="offset points",
                ha="center",
                color=ORANGE,
                weight="bold",
            )
            axis.set_title(title)
            axis.margins(y=0.3)
            axis.set_xticks(at, [_short(step) for step in steps], fontsize=7)
            axis.set_xlabel("step")
    return figure


def _short(step: int) -> str:
    return f"{step / 1000:g}k" if step >= 1000 else str(step)
