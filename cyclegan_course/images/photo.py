"""A picture with all that a file may hold of it: 8 or 16 bits a channel, transparency."""

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms


@dataclass(frozen=True)
class Photo:
    """An upright sRGB picture at its own depth, with its transparency.

    Attributes:
        rgb: (H, W, 3), uint8 or uint16, RGB in sRGB; 255 or 65535 is white.
        alpha: (H, W) of the same type, 0 for transparent; None if all of it is opaque.
        notes: what was unusual about the file, in words: "gray", "16-bit", "transparent",
            "CMYK", "animated (the first frame)", ...
        format: of the file it was read from, "JPEG" for instance; "" if it is from elsewhere.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    format: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as Pillow says it."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def white(self) -> int:
        """The value of full light: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)


def to_depth(values: np.ndarray, dtype: type) -> np.ndarray:
    """uint8 <-> uint16, so that white stays white: times 257, or divided by 257 and rounded."""
    if values.dtype == dtype:
        return values
    if dtype == np.uint16:
        return values.astype(np.uint16) * 257
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def over_white(photo: Photo) -> np.ndarray:
    """The photo's (H, W, 3) in its own type, transparent parts laid over white, rounded."""
    if photo.alpha is None:
        return photo.rgb
    white = photo.white
    alpha = photo.alpha[..., None].astype(np.uint64)
    mixed = photo.rgb * alpha + white * (white - alpha)
    return ((mixed + white // 2) // white).astype(photo.rgb.dtype)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as an 8-bit sRGB picture of mode "RGB", transparent parts over white.

    16-bit gray is scaled, not clipped; an embedded colour profile is converted. The result
    carries no metadata.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        gray = scale_to_16_bit(np.asarray(image), image.mode.startswith("I;16"))
        return Image.fromarray(to_depth(gray, np.uint8)).convert("RGB")
    picture, alpha = split(image)
    if alpha is not None:
        picture = Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    picture.info = {}
    return picture


def split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """An 8-bit image of any mode as its colours in sRGB (mode "RGB") and its alpha (mode "L")."""
    profile = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    return _to_srgb(image, profile), alpha


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To mode "RGB", through the embedded ICC profile where there is a usable one."""
    plain = image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    if profile:
        # A profile that is broken or made for another mode is ignored, as browsers do.
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            # sRGB to sRGB would only add rounding errors.
            if not ImageCms.getProfileDescription(source).startswith("sRGB"):
                target = ImageCms.createProfile("sRGB")
                return ImageCms.profileToProfile(plain, source, target, outputMode="RGB")
    # convert() of an RGB image is a copy: the caller's image is never handed back.
    return plain.convert("RGB")


def scale_to_16_bit(values: np.ndarray, is_16_bit: bool = False) -> np.ndarray:
    """Values of more than 8 bits as uint16, 65535 being white.

    16-bit files always use 65535 as white. 32-bit integers and floats have no agreed white: the
    smallest usual one that holds the maximum is taken (1 for floats, 255, 65535), or else the
    maximum itself. What is below 0 or not a number becomes black.
    """
    if is_16_bit or (values.dtype.kind in "ui" and values.dtype.itemsize == 2):
        return np.ascontiguousarray(values, dtype=np.uint16)
    is_float = values.dtype.kind == "f"
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    usual = (1.0, 255.0, 65535.0) if is_float else (255.0, 65535.0)
    top = max(values.max(), 0)
    white = next((w for w in usual if top <= w), top)
    return (values / white * 65535).round().clip(0, 65535).astype(np.uint16)
