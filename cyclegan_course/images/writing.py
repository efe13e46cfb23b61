"""Saving pictures and photos."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.images import deep
from cyclegan_course.images.convert import to_array
from cyclegan_course.images.files import shown, whole_file
from cyclegan_course.images.photo import Photo, over_white, to_depth

_SAVE_OPTIONS = {
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "quality": 95},
}
_DEEP = {".png": deep.write_png, ".tif": deep.write_tiff, ".tiff": deep.write_tiff}
_NO_ALPHA = (".jpg", ".jpeg")
PHOTO_SUFFIXES = (*_SAVE_OPTIONS, ".tif", ".tiff")
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}  # limits of the formats


def save_picture(picture: Image.Image | np.ndarray, path: str | os.PathLike) -> Path:
    """Save as .jpg/.jpeg (quality 95), .png (lossless) or .webp (quality 95); returns the path.

    Missing parent folders are made. The file appears under its name only when it is whole.
    Raises CourseError for another suffix and for a place that cannot be written.
    """
    path = Path(path).expanduser()
    _check(path, tuple(_SAVE_OPTIONS))
    image = Image.fromarray(to_array(picture))
    _check_size(path, image.size)
    return _save_8_bit(image, path)


def save_photo(photo: Photo, path: str | os.PathLike) -> Path:
    """Save a photo, with all that the format of the name can hold; returns the path.

    .png, .tif and .tiff keep 16 bits and transparency; .webp 8 bits and transparency; .jpg and
    .jpeg 8 bits over white. `what_is_lost` says it in a sentence. As careful as `save_picture`,
    and raises the same errors.
    """
    path = Path(path).expanduser()
    _check(path, PHOTO_SUFFIXES)
    _check_size(path, photo.size)
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff") or (photo.white > 255 and suffix in _DEEP):
        with whole_file(path) as temporary:
            _DEEP[suffix](photo, temporary)
        return path
    if photo.alpha is None or suffix in _NO_ALPHA:
        return _save_8_bit(Image.fromarray(to_depth(over_white(photo), np.uint8)), path)
    rgba = np.dstack([to_depth(photo.rgb, np.uint8), to_depth(photo.alpha, np.uint8)])
    return _save_8_bit(Image.fromarray(rgba), path)


def what_is_lost(photo: Photo, path: str | os.PathLike) -> str:
    """One sentence on what a file of this name cannot keep of the photo; "" if nothing is lost."""
    suffix = Path(path).suffix.lower()
    lost = []
    if photo.white > 255 and suffix not in _DEEP:
        lost.append("8 of the 16 bits")
    if photo.alpha is not None and suffix in _NO_ALPHA:
        lost.append("the transparency")
    if not lost:
        return ""
    return f"{shown(path)} loses {' and '.join(lost)}; .png or .tif would keep everything."


def _check(path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix.lower() not in suffixes:
        raise CourseError(
            f"{shown(path)} cannot be saved: the name has to end in {', '.join(suffixes)}."
        )


def _check_size(path: Path, size: tuple[int, int]) -> None:
    if max(size) > _LONGEST_SIDE.get(path.suffix.lower(), max(size)):
        raise CourseError(
            f"{shown(path)} cannot hold {size[0]} x {size[1]} pixels: give it the suffix .png."
        )


def _save_8_bit(image: Image.Image, path: Path) -> Path:
    options = _SAVE_OPTIONS[path.suffix.lower()]
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        image.save(file, **options)
    return path
