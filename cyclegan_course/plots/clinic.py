"""The loss-curve clinic: the curves of its patients on the same axes, and the opened answers."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cyclegan_course.display import data_uri
from cyclegan_course.errors import CourseError
from cyclegan_course.plots.curves import LSGAN_GUESSING, running_mean
from cyclegan_course.plots.pictures import jpeg_bytes
from cyclegan_course.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE

Record = Sequence[Mapping[str, float]]

# A row of panels: its title, the top of its axis, and for each kind of term its colour and its two
# columns. Solid is the direction A to B or domain B, dashed the other one.
ROWS = {
    "adversarial": (1.3, {"G": (BLUE, "G_AB", "G_BA"), "D": (ORANGE, "D_B", "D_A")}),
    "cycle and identity": (
        0.8,
        {"cycle": (GREEN, "cycle_A", "cycle_B"), "idt": (PURPLE, "idt_B", "idt_A")},
    ),
}


def clinic_curves(
    patients: Mapping[str, Record],
    rows: Sequence[str] = tuple(ROWS),
    *,
    behind: Record | None = None,
    smooth: float = 0.8,
) -> Figure:
    """The smoothed loss terms of some runs, a column each, all on the same axes.

    A curve that leaves the panel at the top, later than in the first tenth, gets a triangle there.

    Args:
        patients: title of a column, and rows with `step` and the terms of `clinic.TERMS`.
        rows: which of `ROWS`.
        behind: another run, drawn in grey behind each.
        smooth: weight of the past in the running mean, from 0 (none) to below 1.

    Raises:
        CourseError: if there is no run.
    """
    if not patients:
        raise CourseError("There is no run to draw: give at least one.")
    count, chosen = len(patients), {row: ROWS[row] for row in rows}
    with matplotlib.rc_context(STYLE | {"font.size": 9}):
        figure = Figure(
            figsize=(max(1.75 * count, 6.5), 0.5 + 2.0 * len(chosen)), layout="constrained"
        )
        axes = figure.subplots(len(chosen), count, sharex=True, sharey="row", squeeze=False)
        for column, (title, record) in zip(axes.T, patients.items(), strict=True):
            column[0].set_title(title, fontsize=13, weight="bold")
            for axis, (top, kinds) in zip(column, chosen.values(), strict=True):
                if behind is not None:
                    _lines(axis, behind, {k: (GREY, *c[1:]) for k, c in kinds.items()}, smooth, top)
                _lines(axis, record, kinds, smooth, top)
                axis.set_ylim(0, top)
                if "G" in kinds:
                    axis.axhline(LSGAN_GUESSING, color=GREY, linestyle=":", linewidth=1.2)
            column[-1].set_xlabel("step")
        for axis, (title, (_, kinds)) in zip(axes[:, 0], chosen.items(), strict=True):
            axis.set_ylabel(title)
            for kind, (colour, *_) in kinds.items():
                axis.plot([], [], color=colour, label=kind)
            axis.legend(loc="upper right", fontsize=8, ncols=2, handlelength=1.2)
    return figure


def _lines(axis: Axes, record: Record, kinds: Mapping, smooth: float, top: float) -> None:
    steps = [row["step"] for row in record]
    for colour, *columns in kinds.values():
        for name, style in zip(columns, ("-", "--"), strict=True):
            values = running_mean(np.array([row[name] for row in record]), smooth)
            axis.plot(steps, values, style, color=colour, linewidth=1.4)
            # Every run begins high, so the first tenth is no sign of anything.
            late = slice(len(steps) // 10, None)
            for step, value in zip(steps[late], values[late], strict=True):
                if not value <= top:
                    axis.plot(step, 0.96 * top, "^", color=colour, markersize=5)
                    break


class Answer(NamedTuple):
    """What is behind a letter.

    Attributes:
        title: letter and diagnosis.
        picture: the run's translations, one strip.
        scores: lines of text.
        sign, treatment: as in `clinic.Patient`.
    """

    title: str
    picture: Image.Image
    scores: Sequence[str]
    sign: str
    treatment: str


def folded_answers(answers: Sequence[Answer], given: Image.Image, words: str) -> str:
    """The opened answers as HTML, folded until the reader clicks on `words`.

    Args:
        given: the pictures that all of them translated, in the layout of the strips.
    """
    parts = [_strip("What all of them were given", given)]
    for answer in answers:
        lines = "<br>".join(map(escape, answer.scores))
        parts.append(
            _strip(answer.title, answer.picture, lines)
            + f"<p><b>Sign:</b> {escape(answer.sign)}<br>"
            f"<b>Treatment:</b> {escape(answer.treatment)}</p>"
        )
    return f"<details><summary>{escape(words)}</summary>{''.join(parts)}</details>"


def _strip(title: str, picture: Image.Image, beside: str = "") -> str:
    # Small pictures, enlarged by the browser: a tenth of the bytes of a figure of this size.
    style = "width:400px;max-width:100%;image-rendering:pixelated"
    image = f'<img alt="{escape(title)}" style="{style}" src="{data_uri(jpeg_bytes(picture))}">'
    row = '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:center">'
    return f"<p><b>{escape(title)}</b></p>{row}{image}<span>{beside}</span></div>"
