"""Colour profiles of 16-bit pictures: to sRGB without going through 8 bits.

Pillow's ImageCms (LittleCMS) converts 8 bits a channel only. The profiles that cameras and
programs embed (Adobe RGB, Display P3, ProPhoto, gray) are a curve a channel and a matrix, or a
curve alone (ICC.1:2022, annex F), which is computed here. Any other profile goes through Pillow.
"""

import contextlib
import functools
import io
import struct
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from cyclegan_course.images.photo import Photo, split, to_depth

_ROWS = 256  # converted at a time: floating-point values take much memory


def to_srgb(photo: Photo, profile: bytes | None) -> Photo:
    """The 16-bit photo in sRGB; a profile that is broken or made for another mode is ignored.

    A profile of tables is applied at 8 bits, and what the values have below 8 bits is added
    again: the error stays below one 8-bit level where the profile does not stretch colours.
    """
    if not profile:
        return photo
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, struct.error):
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(opened).startswith("sRGB"):
            return photo
        is_gray = "gray" in photo.notes
        if opened.profile.xcolor_space.strip() != ("GRAY" if is_gray else "RGB"):
            return photo
        tags = _tags(profile)
        if b"A2B0" in tags or profile[20:24] != b"XYZ ":
            return _by_tables(photo, profile, is_gray)
        if is_gray:
            curves, matrix = [_curve(tags[b"kTRC"])] * 3, np.eye(3, dtype=np.float32)
        else:
            curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
            matrix = _from_xyz() @ _to_xyz(tags)
        return replace(photo, rgb=_convert(photo.rgb, curves, matrix))
    return photo


def _convert(rgb: np.ndarray, curves: list[np.ndarray], matrix: np.ndarray) -> np.ndarray:
    """uint16 (H, W, 3) through a curve a channel, a matrix on light, and sRGB's own curve."""
    result = np.empty_like(rgb)
    for start in range(0, len(rgb), _ROWS):
        rows = rgb[start : start + _ROWS]
        light = np.stack([curve[rows[..., i]] for i, curve in enumerate(curves)], axis=-1)
        light = (light @ matrix.T).clip(0, 1)
        encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        result[start : start + _ROWS] = (encoded * 65535).round()
    return result


def _by_tables(photo: Photo, profile: bytes, is_gray: bool) -> Photo:
    coarse = to_depth(photo.rgb, np.uint8)
    image = Image.fromarray(np.ascontiguousarray(coarse[..., 0]) if is_gray else coarse)
    image.info["icc_profile"] = profile
    converted = to_depth(np.asarray(split(image)[0]), np.uint16).astype(np.int32)
    fine = photo.rgb.astype(np.int32) - to_depth(coarse, np.uint16)
    rgb = (converted + fine).clip(0, 65535).astype(np.uint16)
    return replace(photo, rgb=rgb, notes=(*photo.notes, "colour profile applied at 8 bits"))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The profile's tags: their contents by their four letters (ICC.1:2022, section 7.3)."""
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(min(count, 100))]
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _to_xyz(tags: dict[bytes, bytes]) -> np.ndarray:
    """The matrix (3, 3) from linear red, green and blue to XYZ of the connection space."""
    columns = [_fixed(tags[name], 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return np.array(columns, np.float32).T


@functools.cache
def _from_xyz() -> np.ndarray:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return np.linalg.inv(_to_xyz(_tags(srgb)))


def _fixed(tag: bytes, offset: int, count: int) -> list[float]:
    return [value / 65536 for value in struct.unpack_from(f">{count}i", tag, offset)]


def _curve(tag: bytes) -> np.ndarray:
    """What each of the 65536 values is in light, from 0 to 1 (ICC.1:2022, 10.6 and 10.18)."""
    x = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.array(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count == 0:
            y = x
        elif count == 1:
            y = x ** (points[0] / 256)
        else:
            y = np.interp(x, np.linspace(0, 1, count), points / 65535)
    elif tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        g, a, b, c, d, e, f = _parameters(kind, tag)
        y = np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    else:
        raise ValueError("an unknown kind of curve")
    return y.clip(0, 1).astype(np.float32)


def _parameters(kind: int, tag: bytes) -> tuple[float, ...]:
    """The seven numbers of the longest parametric curve that equals this one."""
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(kind)
    if count is None:
        raise ValueError("an unknown kind of curve")
    g, *rest = _fixed(tag, 12, count)
    if kind == 0:
        return g, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):  # constant below -b / a
        a, b = rest[:2]
        c = rest[2] if kind == 2 else 0.0
        return g, a, b, 0.0, -b / a, c, c
    if kind == 3:
        return g, *rest, 0.0, 0.0
    return g, *rest
