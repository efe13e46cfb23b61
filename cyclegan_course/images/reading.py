"""Reading any picture file, and saying in one sentence what is wrong with it."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from cyclegan_course.errors import CourseError
from cyclegan_course.images import deep, profiles
from cyclegan_course.images.convert import photo_to_picture
from cyclegan_course.images.files import shown
from cyclegan_course.images.photo import Photo, split

# Only these decoders may see a file: some of Pillow's others start programs (EPS: Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
_KINDS = {kind: kind for kind in FORMATS} | {"MPO": "JPEG"}
_MANY = {"TIFF": "several pages (the first)", "MPO": ""}  # an MPO holds companions of one photo
_MODES = {
    "1": "black and white",
    "L": "gray",
    "LA": "gray",
    "P": "palette",
    "CMYK": "CMYK",
    "LAB": "LAB",
}

# What makes a picture upright, by the value of its EXIF entry "orientation" (1: it is upright).
_TURNS = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: np.rot90(values, -1),  # numpy counts anticlockwise
    7: lambda values: values[::-1, ::-1].swapaxes(0, 1),
    8: lambda values: np.rot90(values),
}


def read_picture(path: str | os.PathLike) -> Image.Image:
    """Read any picture file as an upright RGB picture with 8 bits a channel, in sRGB.

    As `read_photo`, with transparent parts laid over **white** and 16 bits rounded to 8. The
    result carries no metadata: no orientation to apply twice, no place of the photo.
    """
    return photo_to_picture(read_photo(path))


def read_photo(path: str | os.PathLike) -> Photo:
    """Read any picture file, upright and in sRGB, at its own depth and with its transparency.

    The content decides about the format, not the suffix. The EXIF orientation is applied; of an
    animation the first frame is taken; 32-bit and floating-point values are scaled to 16 bits.
    An embedded colour profile is converted to sRGB (a broken one is ignored); at 16 bits only
    profiles of a matrix and curves are, which is what cameras and programs embed: with another
    one the picture is read at 8 bits, and `notes` says so.

    Raises CourseError for a file that is missing, a folder, empty, forbidden, not a picture,
    truncated, or so large that Pillow takes it for a decompression bomb.
    """
    path = Path(path).expanduser()
    return decode_photo(read_bytes(path), path)


def decode_photo(data: bytes, path: Path) -> Photo:
    """`read_photo` from the bytes of a file, which is named `path` in what is said of it."""
    with one_sentence(path):
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.UnidentifiedImageError:
            photo = deep.read_deep(None, data)
            if photo is None:
                raise
            return replace(photo, format="TIFF")
        with image:
            photo = deep.read_deep(image, data)
            if photo is None:
                photo = _read_8_bit(image)
            else:
                photo = profiles.to_srgb(photo, image.info.get("icc_profile"))
            photo = replace(photo, notes=_notes(image, photo), format=_KINDS[image.format])
            return _upright(photo, _orientation(image))


def _read_8_bit(image: Image.Image) -> Photo:
    image.load()
    rgb, alpha = split(image)
    if alpha is None or alpha.getextrema() == (255, 255):
        return Photo(np.asarray(rgb))
    return Photo(np.asarray(rgb), np.asarray(alpha))


def _notes(image: Image.Image, photo: Photo) -> tuple[str, ...]:
    """What is unusual about the file, in words, each thing once."""
    notes = [*photo.notes, _MODES.get(image.mode, "")]
    if photo.white == 255 and _has_more_bits(image):
        notes.append("more than 8 bits, read at 8")
    if photo.alpha is not None:
        notes.append("transparent")
    if image.info.get("icc_profile"):
        notes.append("colour profile")
    if _orientation(image) in _TURNS:
        notes.append("turned upright")
    with contextlib.suppress(Exception):  # looking for a second frame that is broken
        if getattr(image, "is_animated", False):
            notes.append(_MANY.get(image.format, "animated (the first frame)"))
    return tuple(dict.fromkeys(note for note in notes if note))


def _has_more_bits(image: Image.Image) -> bool:
    return image.format == "TIFF" and max(image.tag_v2.get(258, (1,))) > 8


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation; None where the EXIF block cannot be read."""
    # ImageOps.exif_transpose also writes a new EXIF block, and fails where one odd entry beside
    # the orientation cannot be written; here nothing is to be written.
    with contextlib.suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation)
    return None


def _upright(photo: Photo, orientation: int | None) -> Photo:
    turn = _TURNS.get(orientation)
    if turn is None:
        return photo
    alpha = None if photo.alpha is None else np.ascontiguousarray(turn(photo.alpha))
    return replace(photo, rgb=np.ascontiguousarray(turn(photo.rgb)), alpha=alpha)


@contextlib.contextmanager
def one_sentence(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises for the file into a CourseError of one sentence."""
    try:
        yield
    except CourseError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise CourseError(
            f"{shown(path)} has too many pixels to be read safely (the limit is about {limit} "
            "million): make it smaller first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust "
            "the file."
        ) from error
    except Image.UnidentifiedImageError as error:
        raise CourseError(
            f"{shown(path)} is not a picture that can be read: open it in a picture program and "
            "save it as JPEG or PNG (HEIC files of a phone need this too)."
        ) from error
    except MemoryError as error:
        raise CourseError(
            f"{shown(path)} does not fit into memory: make it smaller first."
        ) from error
    except Exception as error:  # the decoders raise a dozen kinds of error for broken files
        reason = " ".join(str(error).split())[:100]
        raise CourseError(
            f"{shown(path)} is damaged or cut off ({reason}): copy or download it again, or leave "
            "it out."
        ) from error


def read_bytes(path: Path) -> bytes:
    """All bytes of an ordinary file; raises CourseError where there is none that can be read."""
    name = shown(path)
    try:
        if path.is_dir():
            raise CourseError(f"{name} is a folder, not a picture: name one file in it.")
        if not path.exists():
            if path.is_symlink():
                raise CourseError(
                    f"{name} is a link to a file that is not there: copy the file itself."
                )
            raise CourseError(
                f"There is no file {name} (looked in {Path.cwd()}): check the name and the folder."
            )
        if not path.is_file():  # a pipe or a device would be read for ever
            raise CourseError(f"{name} is not an ordinary file: give the name of a picture file.")
        data = path.read_bytes()
    except PermissionError as error:
        raise CourseError(
            f"{name} may not be read: change the file's permissions, or copy it to your own folder."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CourseError(
            f"{name} cannot be read ({reason}): check the name and the disk."
        ) from error
    if not data:
        raise CourseError(f"{name} is empty (0 bytes): copy or download it again.")
    return data
