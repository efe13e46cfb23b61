"""Picture <-> array <-> photo <-> tensor."""

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.images.photo import Photo, over_white, to_depth, to_rgb


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


def pictures_to_tensor(pictures: Iterable[Image.Image | np.ndarray]) -> torch.Tensor:
    """Pictures or arrays (H, W, 3) of one size -> float32 (N, 3, H, W) in [-1, 1]."""
    return torch.stack([picture_to_tensor(picture) for picture in pictures])


def tensor_to_picture(tensor: torch.Tensor) -> Image.Image:
    """Tensor (3, H, W) or (1, 3, H, W) in [-1, 1] -> picture; values outside are clipped.

    Rounds to the nearest of the 256 values, so `tensor_to_picture(picture_to_tensor(p))` is p
    exactly. Raises CourseError for another shape, for integers, and for NaN or infinity.
    """
    return Image.fromarray(_levels(tensor, np.uint8))


def photo_to_picture(photo: Photo) -> Image.Image:
    """The photo with 8 bits a channel, transparent parts over white."""
    return Image.fromarray(to_depth(over_white(photo), np.uint8))


def photo_to_tensor(photo: Photo) -> torch.Tensor:
    """Photo -> float32 tensor (3, H, W) in [-1, 1], transparent parts over white.

    Both depths are kept to the last value: `tensor_to_photo` gives the same `rgb` back.
    """
    rgb = np.ascontiguousarray(photo.rgb.transpose(2, 0, 1), dtype=np.float32)
    tensor = torch.from_numpy(rgb).div_(photo.white / 2).sub_(1)
    if photo.alpha is not None:
        # In [-1, 1] white is 1: x over white is 1 + alpha * (x - 1).
        alpha = torch.from_numpy(photo.alpha.astype(np.float32)).div_(photo.white)
        tensor.sub_(1).mul_(alpha).add_(1)
    return tensor


def tensor_to_photo(
    tensor: torch.Tensor,
    dtype: type[np.uint8] | type[np.uint16] = np.uint8,
    alpha: np.ndarray | None = None,
) -> Photo:
    """Tensor (3, H, W) or (1, 3, H, W) in [-1, 1] -> photo; values outside are clipped.

    Args:
        dtype: np.uint8 or np.uint16.
        alpha: (H, W), uint8 or uint16, of the picture that was translated; brought to `dtype`.

    Raises CourseError as `tensor_to_picture` does, and for an alpha of another size.
    """
    rgb = _levels(tensor, dtype)
    if alpha is not None and alpha.shape != rgb.shape[:2]:
        raise CourseError(
            f"The transparency has {alpha.shape} pixels and the picture {rgb.shape[:2]}: give one "
            "of the picture's size."
        )
    return Photo(rgb, None if alpha is None else to_depth(alpha, dtype))


def _levels(tensor: torch.Tensor, dtype: type) -> np.ndarray:
    """Tensor (3, H, W) or (1, 3, H, W) in [-1, 1] -> (H, W, 3) of uint8 or uint16."""
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
    white = int(np.iinfo(dtype).max)
    levels = ((values + 1) * (white / 2)).round_().clamp_(0, white)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy()).astype(dtype)
