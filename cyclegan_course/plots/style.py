"""The look of every figure, and the way to show one.

White ground and dark text read alike in a light and a dark notebook; the colours are told apart by
colour-blind readers.
"""

import io

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclegan_course.display import publish

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


def bare(axis: Axes, *, spines: bool = False) -> Axes:
    """The axes without grid and ticks, and without spines unless they are asked for."""
    axis.grid(False)
    axis.set_xticks([])
    axis.set_yticks([])
    if not spines:
        axis.spines[:].set_visible(False)
    return axis


def figure_bytes(figure: Figure, dpi: int = 100, quality: int = 92) -> bytes:
    """The figure as a PNG file, or as a JPEG file if it holds pictures.

    A PNG of a photograph is five times as large, and a notebook holds many. Quality 92 without
    colour subsampling leaves no traces that could be taken for a network's. Less than 90, with
    subsampling, takes a third of the room; it does for pictures that are shown enlarged.
    """
    stream = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if any(axis.images for axis in figure.axes):
            options = {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
            options["optimize"] = True
            figure.savefig(stream, format="jpeg", dpi=dpi, pil_kwargs=options)
        else:
            figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def show(figure: Figure, alt: str, dpi: int = 100, quality: int = 92) -> None:
    """Show a figure in the notebook, with `alt`, a text for those who do not see it.

    In a plain script the text is printed. `dpi` and `quality` as for `figure_bytes`.
    """
    publish(alt, image=figure_bytes(figure, dpi, quality))
