"""Pictures in rows and grids."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.images import tensor_to_picture, to_array
from cyclegan_course.plots.style import STYLE, bare

Picture = np.ndarray | Image.Image | Tensor


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
        (height + 0.08) * len(arrays) + (0.12 + 0.17 * lines if lines else 0.0),
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="compressed")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        axes = figure.subplots(
            len(arrays), columns, squeeze=False, gridspec_kw={"width_ratios": widths}
        )
        for i, row in enumerate(arrays):
            for j, axis in enumerate(axes[i]):
                bare(axis)
                if j < len(row):
                    # Enlarged pixels stay sharp squares; large pictures are reduced smoothly.
                    axis.imshow(row[j], interpolation="nearest" if len(row[j]) < 128 else "auto")
                if i == 0 and titles:
                    axis.set_title(titles[j])
                if j == 0 and row_labels:
                    axis.set_ylabel(row_labels[i])
    return figure


def jpeg_bytes(picture: Image.Image) -> bytes:
    """As a JPEG file, which is small and, at this quality, looks the same."""
    stream = io.BytesIO()
    picture.save(stream, "jpeg", quality=92, subsampling=0, optimize=True)
    return stream.getvalue()
