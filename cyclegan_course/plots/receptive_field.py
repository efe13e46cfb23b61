"""What a score of the PatchGAN sees: cones, boxes, score maps and the places where maps differ.

A box is (top, left, bottom, right) in pixels of the picture, bottom and right not included; what
lies outside the picture belongs to the zero padding.
"""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from cyclegan_course.networks import receptive_field
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

Box = tuple[int, int, int, int]
SCORE_COLOURS = "cividis"  # made for colour-blind readers; dark is a low score, yellow a high one
SCORE_RANGE = (0.0, 1.0)  # the labels of LSGAN: fake and real
_PADDING = "#d9d9d9"
_LINES = [  # boxes told apart by colour and by line
    (ORANGE, "-"),
    (BLUE, "--"),
    (GREEN, "-."),
    (PURPLE, ":"),
    (DARK, "-"),
]


def cone(convolutions: Sequence[tuple[int, int]]) -> Figure:
    """All that one output of a chain of convolutions depends on, along one side.

    Args:
        convolutions: (kernel, stride) of each layer, the one that sees the picture first. No
            padding: the picture is just as large as what the output sees.
    """
    field = receptive_field(convolutions)
    places = [np.arange(field, dtype=float)]  # of each number in pixels, from the pixels up
    for kernel, stride in convolutions:
        below = places[-1]
        starts = range(0, len(below) - kernel + 1, stride)
        places.append(np.array([below[i : i + kernel].mean() for i in starts]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.9 * len(places)), layout="constrained")
        axis = bare(figure.subplots())
        for level, xs in enumerate(places):
            axis.scatter(xs, [level] * len(xs), marker="s", s=70, color=BLUE, zorder=2)
            words = "1 score" if level == len(convolutions) else f"{len(xs)} numbers"
            axis.text(field + 0.5, level, words if level else f"{len(xs)} pixels", va="center")
            if level == 0:
                continue
            kernel, stride = convolutions[level - 1]
            axis.text(-1, level - 0.5, f"kernel {kernel}, stride {stride}", ha="right", va="center")
            for i, x in enumerate(xs):
                below = places[level - 1][i * stride : i * stride + kernel]
                axis.plot([[x] * kernel, below], [level, level - 1], color=GREY, lw=0.8, zorder=1)
        axis.set_xlim(-4.5, field + 3)
        axis.set_ylim(-0.4, len(convolutions) + 0.4)
    return figure


def nested_fields(
    pictures: Sequence[Picture], fields: Sequence[Mapping[str, int]], titles: Sequence[str] = ()
) -> Figure:
    """Squares of what the score in the middle sees, around the middle of each picture.

    Args:
        pictures: one for each panel.
        fields: for each panel the side of each square in pixels, by its label.
        titles: one for each panel, or none.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.0 * len(pictures), 4.4), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08)
        axes = figure.subplots(1, len(pictures), squeeze=False)[0]
        for k, (axis, picture, squares) in enumerate(zip(axes, pictures, fields, strict=True)):
            array = picture_array(picture)
            height, width = array.shape[:2]
            bare(axis).imshow(array)
            styled = zip(squares.items(), _LINES, strict=False)
            for n, ((label, side), (colour, line)) in enumerate(styled):
                top, left = (height - side) / 2, (width - side) / 2
                _frame(axis, (top, left, top + side, left + side), colour, line)
                # Labels stand above and below in turn, so that those of small squares do not meet.
                axis.text(
                    width / 2 - 0.5,
                    (top if n % 2 == 0 else top + side) - 0.5,
                    label,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=colour,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
                )
            reach = max(0.0, (max(squares.values()) - min(height, width)) / 2) + 8
            axis.set_xlim(-reach, width + reach)
            axis.set_ylim(height + reach, -reach)
            if titles:
                axis.set_title(titles[k])
    return figure


def gradient_support(gradients: Mapping[str, Tensor], box: Box) -> Figure:
    """How strongly one score depends on every pixel, on a logarithmic scale.

    Args:
        gradients: gradient of one score by the picture, (3, H, W), by title.
        box: what the convolutions alone let the score see; drawn as a frame.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.1 * len(gradients) + 0.8, 4.0), layout="constrained")
        axes = figure.subplots(1, len(gradients), squeeze=False)[0]
        strengths = [gradient.abs().amax(0).detach().numpy() for gradient in gradients.values()]
        highest = max(strength.max() for strength in strengths)
        norm = LogNorm(highest * 1e-5, highest)
        for axis, title, strength in zip(axes, gradients, strengths, strict=True):
            colours = matplotlib.colormaps["magma"].with_extremes(bad="white", under="white")
            image = bare(axis).imshow(
                np.where(strength > 0, strength, np.nan), norm=norm, cmap=colours
            )
            _frame(axis, box, BLUE, "--")
            axis.spines[:].set_visible(True)
            axis.set_title(title)
        figure.colorbar(image, ax=list(axes), label="size of the gradient (white: none)")
    return figure


def score_maps(
    pictures: Sequence[Picture], maps: Sequence[Tensor], region: Box | None = None
) -> Figure:
    """Pictures, and under each its score map.

    Args:
        pictures: of one size.
        maps: the scores, (h, w), of each.
        region: a part of the pictures to frame, in the pictures and at its place in the maps.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.1 * len(pictures) + 0.8, 4.4), layout="constrained")
        axes = figure.subplots(2, len(pictures), squeeze=False)
        for above, below, picture, scores in zip(*axes, pictures, maps, strict=True):
            array = picture_array(picture)
            bare(above).imshow(array)
            image = _score_image(bare(below), scores)
            if region is not None:
                _frame(above, region, "white", "--")
                # Cells are spaced evenly, and the middle of the map sees the middle of the picture.
                factor, middle = array.shape[0] / (len(scores) + 2), array.shape[0] / 2
                inside = [(v - middle) / factor + len(scores) / 2 for v in region]
                _frame(below, tuple(inside), "white", "--")
        axes[0, 0].set_ylabel("picture")
        axes[1, 0].set_ylabel("score map")
        figure.colorbar(image, ax=list(axes[1]), label="0 fake, 1 real", shrink=0.9)
    return figure


def patch_view(
    picture: Picture, scores: Tensor, box_of: Callable[[int, int], Box], cell: tuple[int, int]
) -> Figure:
    """A picture with the box of one cell, the score map with that cell, and the patch alone.

    Args:
        picture: (H, W) pixels.
        scores: (h, w), one number for each cell.
        box_of: gives the box of a cell from its row and column.
        cell: row and column.
    """
    array, box = picture_array(picture), box_of(*cell)
    height, width = array.shape[:2]
    margin = max(-box_of(0, 0)[0], 0) + 2
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for axis in (left, middle, right):
            bare(axis)
        left.set_facecolor(_PADDING)
        left.imshow(array)
        _frame(left, box, ORANGE, "-")
        left.set_xlim(-margin, width + margin)
        left.set_ylim(height + margin, -margin)
        left.set_title("picture (grey: padding)")
        _score_image(middle, scores)
        row, column = cell
        _frame(middle, (row, column, row + 1, column + 1), "white", "-")
        middle.set_title(f"map of {scores.shape[0]} x {scores.shape[1]} scores")
        right.set_facecolor(_PADDING)
        right.imshow(array)
        right.set_xlim(box[1] - 0.5, box[3] - 0.5)
        right.set_ylim(box[2] - 0.5, box[0] - 0.5)
        right.set_title(f"its patch: score {float(scores[row, column]):.2f}")
    return figure


def map_differences(differences: Mapping[str, Tensor], frames: Sequence[Box | None]) -> Figure:
    """Where two score maps differ, on a logarithmic scale; white where they are equal.

    Args:
        differences: absolute differences (h, w) by title.
        frames: for each a block of cells (top, left, bottom, right) to frame, or None.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7 * len(differences) + 0.9, 3.9), layout="constrained")
        axes = figure.subplots(1, len(differences), squeeze=False)[0]
        colours = matplotlib.colormaps["magma_r"].with_extremes(under="white")
        items = zip(axes, differences.items(), frames, strict=True)
        for axis, (title, difference), frame in items:
            values = np.maximum(difference.numpy(), 1e-9)
            image = bare(axis).imshow(values, norm=LogNorm(1e-5, 1), cmap=colours)
            axis.spines[:].set_visible(True)
            axis.set_title(title)
            if frame is not None:
                _frame(axis, frame, BLUE, "--")
        figure.colorbar(image, ax=list(axes), label="difference (white: below 0.00001)")
    return figure


def accuracy_dots(results: Mapping[str, Mapping[str, Sequence[float]]], chance: float) -> Figure:
    """One dot for each training run: how often it was right.

    Args:
        results: shares from 0 to 1 of the runs, by panel title and by name of the judge.
        chance: share of a judge that guesses; drawn as a line.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(results), 3.0), layout="constrained")
        axes = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
        for axis, (title, judges) in zip(axes, results.items(), strict=True):
            axis.axhline(chance, color=GREY, linestyle=":", label="guessing")
            for x, shares in enumerate(judges.values()):
                spread = (np.arange(len(shares)) - (len(shares) - 1) / 2) * 0.12
                axis.plot(x + spread, shares, "o", color=BLUE, markersize=7)
            axis.set_xticks(range(len(judges)), list(judges))
            axis.set_xlim(-0.6, len(judges) - 0.4)
            axis.set_ylim(0.4, 1.05)
            axis.grid(axis="x", visible=False)
            axis.set_xlabel("field of the judge in pixels")
            axis.set_title(title)
        axes[0].set_ylabel("share of right answers")
        axes[0].legend(loc="center left", fontsize=9)
    return figure


def _score_image(axis: Axes, scores: Tensor):
    return axis.imshow(scores.numpy(), cmap=SCORE_COLOURS, vmin=SCORE_RANGE[0], vmax=SCORE_RANGE[1])


def _frame(axis: Axes, box: Sequence[float], colour: str, line: str) -> None:
    """A frame around a box; matplotlib puts the middle of pixel 0 at 0, hence the half pixel."""
    top, left, bottom, right = box
    corner = (left - 0.5, top - 0.5)
    size = (right - left, bottom - top)
    # A wider line below, so that the frame is readable on light and on dark ground.
    ground = DARK if colour == "white" else "white"
    for edge, style, width in ((ground, "-", 3.2), (colour, line, 1.8)):
        axis.add_patch(
            Rectangle(corner, *size, fill=False, edgecolor=edge, linestyle=style, linewidth=width)
        )
