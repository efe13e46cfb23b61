"""Reading any picture file safely; tensor <-> picture.

Three forms of the same picture pass through the course:

- **picture**: `PIL.Image.Image` of mode "RGB";
- **array**: numpy uint8, (H, W, 3), RGB;
- **tensor**: float32, (3, H, W), range [-1, 1], RGB, the range of the generator's tanh.

Everything that a learner can put right (a missing file, a broken one, a full disk) is a
`CourseError`.
"""

import contextlib
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms

from cyclegan_course.errors import CourseError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

# Only these decoders may see a file: some of Pillow's others start programs (EPS: Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

_SAVE_OPTIONS = {
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "quality": 95},
}
# Names of files that are still being written: by `whole_file`, and by safetensors' `save_file`,
# which writes to a name of its own before it gives the file the name that was asked for.
_UNFINISHED = (f".{'?' * 32}.part", ".tmp??????")
_LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}  # limits of the formats

# What makes a picture upright, by the value of its EXIF entry "orientation" (1: it is upright).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,  # Pillow counts anticlockwise
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# --- reading -----------------------------------------------------------------------------------


def read_picture(path: str | os.PathLike) -> Image.Image:
    """Read any picture file as an upright RGB picture with 8 bits a channel, in sRGB.

    The content decides about the format, not the suffix. The EXIF orientation is applied; of an
    animation the first frame is taken; transparent parts are laid over **white**; 16-bit gray is
    scaled, not clipped; an embedded colour profile is converted to sRGB (a broken one is
    ignored). The result carries no metadata: no orientation to apply twice, no place of the photo.

    Raises CourseError for a file that is missing, a folder, empty, forbidden, not a picture,
    truncated, or so large that Pillow takes it for a decompression bomb.
    """
    path = Path(path).expanduser()
    data = _read_bytes(path)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            image.load()
            return to_rgb(_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise CourseError(
            f"{path} has too many pixels to be read safely (the limit is about {limit} million): "
            "make it smaller first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file."
        ) from error
    except Image.UnidentifiedImageError as error:
        raise CourseError(
            f"{path} is not a picture that can be read: open it in a picture program and save it "
            "as JPEG or PNG (HEIC files of a phone need this too)."
        ) from error
    except MemoryError as error:
        raise CourseError(f"{path} does not fit into memory: make it smaller first.") from error
    except Exception as error:  # the decoders raise a dozen kinds of error for broken files
        raise CourseError(
            f"{path} is damaged or cut off ({error}): copy or download it again, or leave it out."
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; an unreadable EXIF block turns nothing."""
    # ImageOps.exif_transpose also writes a new EXIF block, and fails where one odd entry beside
    # the orientation cannot be written; here nothing is to be written.
    with contextlib.suppress(Exception):
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
        return image if turn is None else image.transpose(turn)
    return image


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise CourseError(f"{path} is a folder, not a picture: name one file in it.")
        if not path.exists():
            raise CourseError(
                f"There is no file {path} (looked in {Path.cwd()}): check the name and the folder."
            )
        if not path.is_file():  # a pipe or a device would be read for ever
            raise CourseError(f"{path} is not an ordinary file: give the name of a picture file.")
        data = path.read_bytes()
    except PermissionError as error:
        raise CourseError(
            f"{path} may not be read: change the file's permissions, or copy it to your own folder."
        ) from error
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}): check the disk.") from error
    if not data:
        raise CourseError(f"{path} is empty (0 bytes): copy or download it again.")
    return data


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as an 8-bit sRGB picture of mode "RGB", transparent parts over white."""
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image, profile = _gray_to_8_bit(image), None
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    picture = _to_srgb(image, profile)
    if alpha is not None:
        picture = Image.composite(picture, Image.new("RGB", picture.size, "white"), alpha)
    picture.info = {}
    return picture


def _gray_to_8_bit(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits, scaled to 0..255 by the range that the values need.

    16-bit files always use 65535 as white (65535 / 257 = 255). 32-bit integers and floats have
    no agreed white: the smallest usual one that holds the maximum is taken (1 for floats, 255,
    65535), or else the maximum itself.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0, neginf=0)
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        top = max(values.max(), 0)
        white = next((w for w in usual if top <= w), top)
    return Image.fromarray((values / white * 255).round().clip(0, 255).astype(np.uint8))


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


def find_pictures(folder: str | os.PathLike) -> list[Path]:
    """All picture files in `folder` and below, sorted by their path; possibly none.

    A picture is what ends in one of `PICTURE_SUFFIXES`, in upper or lower case. Hidden files and
    folders are skipped (`.ipynb_checkpoints`, macOS's `._` companions). Links to folders are not
    followed. Raises CourseError if the folder is missing or may not be read.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise CourseError(
            f"There is no folder {folder} (looked in {Path.cwd()}): check the name of the folder."
        )
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder: give the folder that holds the pictures.")

    def refuse(error: OSError) -> None:
        raise CourseError(f"The folder {error.filename} may not be read: change its permissions.")

    found = []
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(here, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(PICTURE_SUFFIXES)
        ]
    # as_posix: the same order on Windows, where paths compare without case
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


# --- picture <-> array <-> tensor --------------------------------------------------------------


def to_array(picture: Image.Image | np.ndarray) -> np.ndarray:
    """A picture of any mode, or an array, as uint8 (H, W, 3) RGB. An array is checked, not copied.

    Raises CourseError for an array of another shape or type, or without pixels.
    """
    if isinstance(picture, Image.Image):
        rgb = picture if picture.mode == "RGB" else to_rgb(picture)
        return np.array(rgb)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise CourseError(
            f"A picture array has the shape (H, W, 3) and the type uint8, this one {array.shape} "
            f"and {array.dtype}: convert it first."
        )
    return array


def picture_to_tensor(picture: Image.Image | np.ndarray) -> torch.Tensor:
    """Picture or uint8 array (H, W, 3) -> float32 tensor (3, H, W) in [-1, 1]: x / 127.5 - 1."""
    array = np.ascontiguousarray(to_array(picture).transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(array) / 127.5 - 1


def tensor_to_picture(tensor: torch.Tensor) -> Image.Image:
    """Tensor (3, H, W) or (1, 3, H, W) in [-1, 1] -> picture; values outside are clipped.

    Rounds to the nearest of the 256 values, so `tensor_to_picture(picture_to_tensor(p))` is p
    exactly. Raises CourseError for another shape, for integers, and for NaN or infinity.
    """
    shape = tuple(tensor.shape)
    if len(shape) == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.is_floating_point():
        raise CourseError(
            "A picture is made from a floating-point tensor of shape (3, H, W) or (1, 3, H, W), "
            f"this one has {shape} and {tensor.dtype}: take one picture, values in [-1, 1]."
        )
    values = tensor.detach().to("cpu", torch.float32)
    if not torch.isfinite(values).all():
        raise CourseError(
            "The tensor holds NaN or infinite values, so there is no picture to show: the network "
            "that made it has diverged. Go back to an earlier checkpoint or a lower learning rate."
        )
    levels = ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


# --- writing -----------------------------------------------------------------------------------


def save_picture(picture: Image.Image | np.ndarray, path: str | os.PathLike) -> Path:
    """Save as .jpg/.jpeg (quality 95), .png (lossless) or .webp (quality 95); returns the path.

    Missing parent folders are made. The file appears under its name only when it is whole.
    Raises CourseError for another suffix and for a place that cannot be written.
    """
    path = Path(path).expanduser()
    options = _SAVE_OPTIONS.get(path.suffix.lower())
    if options is None:
        raise CourseError(
            f"{path} cannot be saved: the name has to end in {', '.join(_SAVE_OPTIONS)}."
        )
    image = Image.fromarray(to_array(picture))
    if max(image.size) > _LONGEST_SIDE.get(path.suffix.lower(), max(image.size)):
        raise CourseError(
            f"{path} cannot hold {image.width} x {image.height} pixels: give it the suffix .png."
        )
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        image.save(file, **options)
    return path


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file that is either whole or absent: `with whole_file(path) as temporary: ...`.

    The block writes to `temporary`, a new name in the same folder; at its end the file is flushed
    to the disk and moved to `path` in one step (`os.replace`). If the block fails or is
    interrupted, an older file at `path` stays as it was and the temporary one is removed; a
    process that is killed leaves it behind (see `remove_unfinished`). Any OSError becomes a
    CourseError.
    """
    path = Path(path).expanduser()
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise CourseError(f"{path} is a folder: give the name of a file.")
        try:
            yield temporary
            # Without this a power cut after the renaming may leave the new name on empty blocks.
            with open(temporary, "r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # KeyboardInterrupt too: no half-written file stays behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(
            f"{path} cannot be written ({reason}): choose a folder that is yours, on a disk with "
            "free space."
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make a renaming in the folder last through a power cut, where the platform can."""
    with contextlib.suppress(OSError):  # Windows and some network disks cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_unfinished(folder: str | os.PathLike) -> list[Path]:
    """Remove what killed processes left of files that they were writing in `folder` and below.

    Call it only while nobody writes there. Returns the files that were removed.
    """
    found = [file for name in _UNFINISHED for file in Path(folder).rglob(name) if file.is_file()]
    for file in found:
        with contextlib.suppress(OSError):
            file.unlink()
    return [file for file in found if not file.exists()]


def write_text(text: str, path: str | os.PathLike) -> None:
    """Write a text file that is either whole or absent: UTF-8, the same line ends everywhere."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
