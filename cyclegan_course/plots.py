"""Figures, all in one look: white ground, dark text, colours that colour-blind readers tell apart.

Every function returns a matplotlib `Figure`; `show(figure, alt)` puts it into the notebook.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from cyclegan_course.display import publish
from cyclegan_course.errors import CourseError
from cyclegan_course.images import tensor_to_picture, to_array

Picture = np.ndarray | Image.Image | Tensor

# Okabe and Ito (2008), Color Universal Design: distinct for every common kind of colour blindness.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
DARK, GREY = "#222222", "#888888"

STYLE = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are alike everywhere
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": DARK,
    "axes.titlecolor": DARK,
    "text.color": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}

# What a loss_curves panel shows: title, and the columns of the record with their line styles.
# Solid belongs to the direction A to B or to domain B, dashed to the other one.
PANELS = {
    "generators: fooling the discriminators": {"G_AB": (BLUE, "-"), "G_BA": (ORANGE, "--")},
    "discriminators: telling real from fake": {"D_B": (BLUE, "-"), "D_A": (ORANGE, "--")},
    "generators: cycle and identity": {
        "cycle_A": (BLUE, "-"),
        "cycle_B": (ORANGE, "--"),
        "idt_B": (GREEN, "-"),
        "idt_A": (PURPLE, "--"),
    },
}
LSGAN_GUESSING = 0.25  # a score of 1/2 for everything: (1/2)^2, for G as for D


def picture_array(picture: Picture) -> np.ndarray:
    """A uint8 array (H, W, 3) from an array, a picture, or a tensor (3, H, W) in [-1, 1]."""
    if isinstance(picture, Tensor):
        picture = tensor_to_picture(picture)
    return to_array(picture)


def picture_row(
    pictures: Sequence[Picture], titles: Sequence[str] = (), *, height: float = 2.2
) -> Figure:
    """Pictures side by side, each under its title. `height` of a picture in inches."""
    return picture_grid([list(pictures)], titles, height=height)


def picture_grid(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    *,
    height: float = 1.6,
) -> Figure:
    """Rows of pictures, with titles above the columns and labels at the left of the rows.

    Args:
        rows: pictures (arrays, PIL pictures or tensors); rows may differ in length.
        titles: one for each column, or none.
        row_labels: one for each row, or none.
        height: of a picture in inches; the widths follow from the first row's shapes.

    Raises:
        CourseError: if there is no picture, or titles and labels do not fit their number.
    """
    arrays = [[picture_array(picture) for picture in row] for row in rows]
    columns = max((len(row) for row in arrays), default=0)
    if not columns:
        raise CourseError("There is no picture to show: the list of pictures is empty.")
    for what, given, wanted in (("titles", titles, columns), ("labels", row_labels, len(arrays))):
        if given and len(given) != wanted:
            raise CourseError(f"There are {len(given)} {what} for {wanted} pictures: give as many.")
    longest = max(arrays, key=len)
    widths = [array.shape[1] / array.shape[0] for array in longest]
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    label_room = 0.25 if row_labels else 0.0
    size = (
        height * sum(widths) + 0.08 * columns + label_room,
        (height + 0.08) * len(arrays) + 0.2 * lines,
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        axes = figure.subplots(
            len(arrays), columns, squeeze=False, gridspec_kw={"width_ratios": widths}
        )
        for i, row in enumerate(arrays):
            for j, axis in enumerate(axes[i]):
                axis.grid(False)
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
                if j < len(row):
                    # Enlarged pixels stay sharp squares; large pictures are reduced smoothly.
                    axis.imshow(row[j], interpolation="nearest" if len(row[j]) < 128 else "auto")
                if i == 0 and titles:
                    axis.set_title(titles[j])
                if j == 0 and row_labels:
                    axis.set_ylabel(row_labels[i])
    return figure


def loss_curves(
    record: Sequence[dict] | str | os.PathLike, *, smooth: float = 0.9, lsgan: bool = True
) -> Figure:
    """The losses of a training run in three panels: faint as recorded, strong smoothed.

    The axes are scaled for what comes after the first tenth of the record, so that the first
    steps, whose losses can be ten times as large, do not press everything else flat.

    Args:
        record: `Run.record`, or the path of a run's `losses.csv`: rows with `step` and the terms.
        smooth: weight of the past in the running mean, from 0 (none) to below 1.
        lsgan: mark the value of a discriminator that only guesses (true for LSGAN alone).

    Raises:
        CourseError: for a file that cannot be read, or a record without rows.
    """
    rows = _read_losses(Path(record)) if isinstance(record, str | os.PathLike) else list(record)
    if not rows:
        raise CourseError("The record of the losses is empty: train for at least one step first.")
    if not 0 <= smooth < 1:
        raise CourseError(f"smooth must be from 0 to below 1, not {smooth}.")
    steps = [row["step"] for row in rows]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        for axis, (title, lines) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
            highest = 0.0
            for name, (colour, style) in lines.items():
                if name not in rows[0]:
                    continue
                values = np.array([row[name] for row in rows])
                axis.plot(steps, values, color=colour, alpha=0.2, linewidth=1)
                means = running_mean(values, smooth)
                axis.plot(steps, means, style, color=colour, label=name)
                highest = max(highest, means[len(means) // 10 :].max())
            if lsgan and title != list(PANELS)[2]:
                axis.axhline(LSGAN_GUESSING, color=GREY, linestyle=":", label="guessing")
            axis.set_title(title)
            axis.set_xlabel("step")
            axis.set_ylim(0, 1.3 * max(highest, LSGAN_GUESSING))
            axis.legend(fontsize=8, ncols=2)
    return figure


def running_mean(values: np.ndarray, smooth: float) -> np.ndarray:
    """Exponentially weighted mean of the values so far; weights sum to 1 from the first one on."""
    weight = total = 0.0
    means = []
    for value in values:
        total = smooth * total + (1 - smooth) * float(value)
        weight = smooth * weight + (1 - smooth)
        means.append(total / weight)
    return np.array(means)


def _read_losses(file: Path) -> list[dict[str, float]]:
    try:
        with file.open(newline="") as stream:
            return [{key: float(row[key]) for key in row} for row in csv.DictReader(stream)]
    except OSError as error:
        raise CourseError(
            f"The record {str(file)!r} cannot be read ({error.strerror}): give the losses.csv in "
            "the folder of a run."
        ) from error
    except (TypeError, ValueError) as error:
        raise CourseError(
            f"The record {str(file)!r} is damaged ({error}): every row must hold numbers."
        ) from error


def figure_bytes(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as a PNG file, or as a JPEG file if it holds pictures.

    A PNG of a photograph is five times as large, and a notebook holds many. Quality 92 without
    colour subsampling leaves no traces that could be taken for a network's.
    """
    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if any(axis.images for axis in figure.axes):
            options = {"quality": 92, "subsampling": 0, "optimize": True}
            figure.savefig(stream, format="jpeg", dpi=dpi, pil_kwargs=options)
        else:
            figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def show(figure: Figure, alt: str, dpi: int = 100) -> None:
    """Show a figure in the notebook, with `alt`, a text for those who do not see it.

    In a plain script the text is printed.
    """
    publish(alt, image=figure_bytes(figure, dpi))
