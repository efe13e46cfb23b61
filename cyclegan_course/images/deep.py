"""Pictures of 16 bits a channel, which Pillow cuts to 8 as soon as they have colours.

Pillow's decoders meet the whole 16 bits and keep one byte of each value: the high one. Told that
the file has the other byte order, they keep the low one. So two passes give all 16 bits, for each
compression that Pillow knows, and no other decoder has to see the file. Only layouts of TIFF that
Pillow does not know go to tifffile.
"""

import io
import logging
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from cyclegan_course.images.photo import Photo, scale_to_16_bit

# tifffile reports oddities of a file to a log that would be printed; they are errors or nothing.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_BITS, _PHOTOMETRIC, _PLANAR = 258, 262, 284  # tags of a TIFF
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def read_deep(image: Image.Image | None, data: bytes) -> Photo | None:
    """The picture at 16 bits a channel, its colours not converted; None if it has 8.

    Args:
        image: the file opened by Pillow, its pixels not loaded; None if Pillow does not know it.
        data: all bytes of the file.

    Returns:
        The photo as it lies in the file: neither its orientation nor its profile is applied.
    """
    if image is None:
        return _from_tifffile(data)
    if image.format == "TIFF" and image.tag_v2.get(_PLANAR, 1) == 2:
        return _from_tifffile(data) if max(image.tag_v2.get(_BITS, (1,))) > 8 else None
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _gray(image)
    modes = {_rawmode(tile) for tile in image.tile}
    if modes == {"LA;16B"}:
        return _gray_with_alpha(image)
    if modes and modes <= {f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in "LBN"}:
        return _colour(image, data)
    return None


def _rawmode(tile: tuple) -> str:
    """How the bytes of a tile are to be read, in Pillow's words: "RGB;16B" for instance."""
    arguments = tile[3]
    return arguments if isinstance(arguments, str) else arguments[0]


def _set_rawmode(image: Image.Image, rawmode: str) -> None:
    tiles = []
    for tile in image.tile:
        arguments = rawmode if isinstance(tile[3], str) else (rawmode, *tile[3][1:])
        make = getattr(type(tile), "_make", tuple)  # newer versions of Pillow name the fields
        tiles.append(make((*tile[:3], arguments)))
    image.tile = tiles
    image.load()  # here, because numpy keeps the errors of a decoder to itself


def _colour(image: Image.Image, data: bytes) -> Photo:
    rawmode = _rawmode(image.tile[0])
    with Image.open(io.BytesIO(data), formats=(image.format,)) as again:
        _set_rawmode(again, rawmode[:-1] + _SWAPPED[rawmode[-1]])
        low = np.asarray(again)
    image.load()
    values = np.asarray(image).astype(np.uint16) << 8 | low
    alpha = values[..., 3] if values.shape[2] == 4 else None
    clear = image.info.get("transparency")
    if alpha is None and isinstance(clear, tuple):  # one colour that stands for transparent
        alpha = np.where((values == clear).all(axis=2), 0, 65535).astype(np.uint16)
    return Photo(np.ascontiguousarray(values[..., :3]), _opaque_is_none(alpha), ("16-bit",))


def _gray_with_alpha(image: Image.Image) -> Photo:
    _set_rawmode(image, "RGBA")  # the four bytes of a pixel: gray high, low, alpha high, low
    high_low = np.asarray(image).astype(np.uint16)
    gray, alpha = high_low[..., 0] << 8 | high_low[..., 1], high_low[..., 2] << 8 | high_low[..., 3]
    return Photo(_three(gray), _opaque_is_none(alpha), ("gray", "16-bit"))


def _gray(image: Image.Image) -> Photo:
    image.load()
    # A 16-bit gray file of big-endian order has the mode "I;16B".
    is_16_bit = image.mode.startswith("I;16")
    values, clear = np.asarray(image), image.info.get("transparency")
    gray = scale_to_16_bit(values, is_16_bit)
    if is_16_bit and image.format == "TIFF":
        bits = max(image.tag_v2.get(_BITS, (16,)))
        if bits < 16:  # 12 bits, which Pillow does not scale
            gray = (gray.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)
        if image.tag_v2.get(_PHOTOMETRIC) == 0:  # 0 is white, which Pillow minds for 8 bits only
            gray = 65535 - gray
    alpha = None
    if is_16_bit and isinstance(clear, int):  # one gray that stands for transparent
        alpha = np.where(values == clear, 0, 65535).astype(np.uint16)
    return Photo(
        _three(gray), _opaque_is_none(alpha), ("gray", "16-bit" if is_16_bit else "32-bit")
    )


def _from_tifffile(data: bytes) -> Photo | None:
    """A TIFF of floating-point colours, of planes, or of gray with alpha."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        height, width, channels = page.imagelength, page.imagewidth, page.samplesperpixel
        limit = 2 * (Image.MAX_IMAGE_PIXELS or float("inf"))
        if height * width > limit:
            raise Image.DecompressionBombError(f"{height * width} pixels")
        values = page.asarray()
        planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    if page.photometric not in (
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.MINISBLACK,
    ) or channels not in (1, 2, 3, 4):
        raise ValueError("a kind of TIFF that is not known here")
    values = values.reshape(channels, height, width) if planar else values
    values = values.transpose(1, 2, 0) if planar else values.reshape(height, width, channels)
    is_colour = channels >= 3
    colours = 3 if is_colour else 1
    rgb = scale_to_16_bit(values[..., :colours])
    alpha = scale_to_16_bit(values[..., -1]) if channels in (2, 4) else None
    bits = f"{page.bitspersample}-bit"
    notes = (bits,) if is_colour else ("gray", bits)
    rgb = np.ascontiguousarray(rgb) if is_colour else _three(rgb[..., 0])
    return Photo(rgb, _opaque_is_none(alpha), notes)


def _three(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def _opaque_is_none(alpha: np.ndarray | None) -> np.ndarray | None:
    if alpha is None or (alpha == np.iinfo(alpha.dtype).max).all():
        return None
    return np.ascontiguousarray(alpha)


# --- writing -----------------------------------------------------------------------------------


def write_png(photo: Photo, path: Path) -> None:
    """Write a 16-bit photo as PNG, colour type 2 or 6 (PNG specification, third edition).

    Pillow writes no colours of 16 bits. Each row is stored as its difference from the one above
    (filter type 2), which makes smooth pictures smaller.
    """
    values = _with_alpha(photo).astype(">u2")
    height, width, channels = values.shape
    rows = values.view(np.uint8).reshape(height, -1)
    rows = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint8))
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in (
            (b"IHDR", header),
            (b"sRGB", b"\0"),
            (b"IDAT", zlib.compress(filtered.tobytes())),
            (b"IEND", b""),
        ):
            checksum = struct.pack(">I", zlib.crc32(kind + content))
            file.write(struct.pack(">I", len(content)) + kind + content + checksum)


def write_tiff(photo: Photo, path: Path) -> None:
    """Write a photo of either depth as TIFF, losslessly compressed."""
    with open(path, "wb") as file:
        tifffile.imwrite(
            file,
            _with_alpha(photo),
            photometric="rgb",
            compression="zlib",
            extrasamples=None if photo.alpha is None else ["unassalpha"],
            metadata=None,
            software=False,
        )


def _with_alpha(photo: Photo) -> np.ndarray:
    return photo.rgb if photo.alpha is None else np.dstack([photo.rgb, photo.alpha])
