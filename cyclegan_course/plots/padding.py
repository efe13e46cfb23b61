"""Where two libraries put the zeros of a strided convolution, and what they crop afterwards."""

from collections.abc import Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE, bare

Sides = Mapping[str, tuple[int, int]]


def strided_padding(pads: Sides, crops: Sides, size: int = 8) -> Figure:
    """One row of pixels through a halving, and through a doubling (kernel 3, stride 2).

    Args:
        pads: for each library the zeros before and after the pixels of a convolution.
        crops: for each library the outputs of a transposed convolution cropped at start and end.
        size: pixels of the picture; a half of it goes into the doubling.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for level, (name, (before, after)) in enumerate(pads.items()):
            y = -2.6 * level
            places = range(-before, size + after)
            _pixels(left, y, places, lambda i: 0 <= i < size, name)
            for number, start in enumerate(range(-before, size + after - 2, 2)):
                _window(left, y + 0.62 + 0.22 * (number % 2), start, (BLUE, ORANGE)[number % 2])
        left.set_title("halving: pixels, zeros (grey), and the window of each output")
        full = size + 1
        for level, (name, (start, end)) in enumerate(crops.items()):
            kept = range(start, full - end)
            _pixels(right, -2.6 * level, range(full), kept.__contains__, name, cropped=True)
        right.set_title(f"doubling: the {full} outputs, and which one is cropped")
        for axis in (left, right):
            axis.set_xlim(-1.6, size + 1.6)
            axis.set_ylim(-3.2, 1.7)
            axis.set_aspect("equal")
    return figure


def _pixels(axis: Axes, y: float, places: range, kept, name: str, cropped: bool = False) -> None:
    bare(axis)
    axis.text(-1.4, y + 1.25, name, color=DARK, weight="bold")
    for i in places:
        inside = kept(i)
        face = "white" if inside else "#d9d9d9"
        axis.add_patch(Rectangle((i - 0.45, y - 0.45), 0.9, 0.9, facecolor=face, edgecolor=GREY))
        if inside or cropped:
            axis.text(i, y, str(i), ha="center", va="center", color=DARK if inside else GREY)
        if cropped and not inside:
            axis.plot([i - 0.45, i + 0.45], [y - 0.45, y + 0.45], color=ORANGE)
            axis.plot([i - 0.45, i + 0.45], [y + 0.45, y - 0.45], color=ORANGE)


def _window(axis: Axes, y: float, start: int, colour: str) -> None:
    """A bracket over three pixels, with a dot over the middle one."""
    axis.plot([start - 0.4, start + 2.4], [y, y], color=colour, linewidth=2.5)
    axis.plot(start + 1, y, "o", color=colour, markersize=6)
