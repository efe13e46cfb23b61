"""Figures, one module for each kind of thing that is drawn.

Every function returns a matplotlib `Figure`; `show(figure, alt)` puts it into the notebook.
"""

from cyclegan_course.plots.curves import loss_curves, measure_curves, run_figure, running_mean
from cyclegan_course.plots.pictures import Picture, picture_array, picture_grid, picture_row
from cyclegan_course.plots.style import STYLE, figure_bytes, show

__all__ = [
    "STYLE",
    "Picture",
    "figure_bytes",
    "loss_curves",
    "measure_curves",
    "picture_array",
    "picture_grid",
    "picture_row",
    "run_figure",
    "running_mean",
    "show",
]
