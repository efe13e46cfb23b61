"""What goes into a translator and comes out of it: depth, transparency and size of a picture."""

import os
from dataclasses import replace

import numpy as np
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.images import Photo, read_photo, to_array
from cyclegan_course.images.photo import over_white, scale_to_16_bit, split, to_depth


def to_photo(picture: Image.Image | np.ndarray | Photo | str | os.PathLike) -> Photo:
    """A file's path, a picture of any mode, or a uint8 array (H, W, 3) as a photo.

    Gray of more than 8 bits (modes "I;16", "I", "F") becomes 16-bit.
    """
    if isinstance(picture, Photo):
        return picture
    if isinstance(picture, str | os.PathLike):
        return read_photo(picture)
    if not isinstance(picture, Image.Image):
        return Photo(to_array(picture))
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        gray = scale_to_16_bit(np.asarray(picture), picture.mode.startswith("I;16"))
        return Photo(np.dstack([gray] * 3))
    rgb, alpha = split(picture)
    return Photo(np.asarray(rgb), None if alpha is None else np.asarray(alpha))


def to_picture(photo: Photo) -> Image.Image:
    """A photo with 8 bits a channel, "RGB", or "RGBA" if it has transparency."""
    channels = photo.rgb if photo.alpha is None else np.dstack([photo.rgb, photo.alpha])
    return Image.fromarray(to_depth(channels, np.uint8))


def check_working_size(chosen: int | str | None, default: int) -> int:
    """The working size in pixels; 0 for full resolution."""
    if chosen is None:
        return default
    if chosen == "full":
        return 0
    if isinstance(chosen, bool) or not isinstance(chosen, int) or chosen < 0:
        raise CourseError(
            f'The working size is a number of pixels such as 256, 0 or "full", not {chosen!r}.'
        )
    return chosen


def reduced_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Width and height when the longest side is reduced to `longest`; 0 changes nothing."""
    scale = longest / max(size)
    if longest == 0 or scale >= 1:
        return size
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def resize(photo: Photo, size: tuple[int, int], filter: Image.Resampling) -> Photo:
    """The photo over white at another size (width, height), at its own depth, without alpha."""
    rgb = over_white(photo)
    if photo.size == size:
        return replace(photo, rgb=rgb, alpha=None)
    if rgb.dtype == np.uint8:
        return Photo(np.asarray(Image.fromarray(rgb).resize(size, filter)))
    # Pillow has no colours of 16 bits, but it has the same filters for single floats.
    channels = [
        Image.fromarray(rgb[..., c].astype(np.float32)).resize(size, filter) for c in range(3)
    ]
    values = np.dstack([np.asarray(channel) for channel in channels])
    return Photo(values.round().clip(0, photo.white).astype(rgb.dtype))
