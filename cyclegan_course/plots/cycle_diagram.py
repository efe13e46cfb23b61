"""Which generator gets which picture, and what is compared with what, in one figure."""

from collections.abc import Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, ORANGE, PURPLE, STYLE

# Where each picture stands: column and row, in units of a picture and the gap beside it.
PLACES = {
    ("real_A", "real_A"): (0.0, 0),
    ("fake_B", "G_AB(real_A)"): (1.0, 0),
    ("rec_A", "G_BA(fake_B)"): (2.0, 0),
    ("real_B", "real_B"): (0.0, 1),
    ("fake_A", "G_BA(real_B)"): (1.0, 1),
    ("rec_B", "G_AB(fake_A)"): (2.0, 1),
    ("real_B", "given to G_AB"): (3.25, 0),
    ("idt_B", "G_AB(real_B)"): (4.25, 0),
    ("real_A", "given to G_BA"): (3.25, 1),
    ("idt_A", "G_BA(real_A)"): (4.25, 1),
}
ARROWS = [  # column, row, generator
    (0.0, 0, "G_AB"),
    (1.0, 0, "G_BA"),
    (3.25, 0, "G_AB"),
    (0.0, 1, "G_BA"),
    (1.0, 1, "G_AB"),
    (3.25, 1, "G_BA"),
]
COMPARED = [  # from column, to column, row, term
    (0.0, 2.0, 0, "cycle_A"),
    (0.0, 2.0, 1, "cycle_B"),
    (3.25, 4.25, 0, "idt_B"),
    (3.25, 4.25, 1, "idt_A"),
]
LOOK = {"G_AB": (BLUE, "-"), "G_BA": (ORANGE, "--")}
SIDE, ACROSS, DOWN = 1.0, 1.75, 2.35


def cycle_diagram(pictures: Mapping[str, Picture]) -> Figure:
    """The generator step as a picture, made of pictures.

    Args:
        pictures: square ones by name: real_A, real_B, fake_A, fake_B, rec_A, rec_B, idt_A, idt_B.

    Raises:
        CourseError: if one of them is missing.
    """
    if missing := {name for name, _ in PLACES} - set(pictures):
        raise CourseError(f"The diagram needs these pictures too: {', '.join(sorted(missing))}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 5.3))
        axis = figure.add_axes((0.005, 0.005, 0.99, 0.99))
        axis.set_axis_off()
        axis.set_xlim(-0.15, 4.25 * ACROSS + SIDE + 0.15)
        axis.set_ylim(-DOWN - 1.02, SIDE + 0.62)
        axis.set_aspect("equal")
        for (name, origin), (column, row) in PLACES.items():
            _picture(axis, picture_array(pictures[name]), name, origin, column, row)
        for column, row, generator in ARROWS:
            _arrow(axis, generator, column, row)
        for first, last, row, term in COMPARED:
            _comparison(axis, first, last, row, term)
        for row, judge in enumerate(("D_B", "D_A")):
            _judge(axis, judge, row)
    return figure


def _corner(column: float, row: int) -> tuple[float, float]:
    """Lower left corner of a picture."""
    return column * ACROSS, -row * DOWN


def _picture(axis: Axes, pixels: object, name: str, origin: str, column: float, row: int) -> None:
    x, y = _corner(column, row)
    axis.imshow(pixels, extent=(x, x + SIDE, y, y + SIDE), interpolation="auto", zorder=2)
    axis.text(x + SIDE / 2, y + SIDE + 0.08, name, ha="center", fontsize=10, fontweight="bold")
    if origin not in (name, "given to G_AB", "given to G_BA"):
        axis.text(x + SIDE / 2, y - 0.13, origin, ha="center", va="center", fontsize=8)


def _arrow(axis: Axes, generator: str, column: float, row: int) -> None:
    colour, line = LOOK[generator]
    x, y = _corner(column, row)
    start, end = (x + SIDE + 0.06, y + SIDE / 2), (x + ACROSS - 0.06, y + SIDE / 2)
    look = {"arrowstyle": "-|>", "color": colour, "linestyle": line, "linewidth": 2}
    axis.annotate("", end, start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0})
    middle = (start[0] + end[0]) / 2
    axis.text(middle, y + SIDE / 2 + 0.1, generator, ha="center", color=colour, fontweight="bold")


def _comparison(axis: Axes, first: float, last: float, row: int, term: str) -> None:
    """A bracket below from one picture to another."""
    left, bottom = _corner(first, row)
    right = _corner(last, row)[0] + SIDE / 2
    left, low = left + SIDE / 2, bottom - 0.42
    top = bottom - 0.22
    axis.plot([left, left, right, right], [top, low, low, top], color=GREEN, linewidth=1.6)
    axis.text(
        (left + right) / 2,
        low - 0.06,
        f"{term}: mean absolute difference",
        ha="center",
        va="top",
        fontsize=9,
        color=DARK,
    )


def _judge(axis: Axes, judge: str, row: int) -> None:
    """The discriminator's question above the picture that it scores."""
    x, y = _corner(1.0, row)
    question = f"{judge}: is it of {judge[-1]}?"
    axis.annotate(
        question,
        (x + SIDE / 2, y + SIDE + 0.22),
        (x + SIDE / 2, y + SIDE + 0.5),
        ha="center",
        va="center",
        fontsize=9,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": PURPLE},
        arrowprops={"arrowstyle": "<|-", "color": PURPLE, "shrinkA": 6, "shrinkB": 0},
    )
