"""What every measure asks of the pictures that it is given."""

from typing import Literal

from torch import Tensor

from cyclegan_course.errors import CourseError

Reduction = Literal["mean", "none"]


def checked(images: Tensor) -> Tensor:
    """The pictures in float32, or a CourseError that says what is wrong with them."""
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise CourseError(
            f"A set of pictures must have the shape (N, 3, H, W), but this one has "
            f"{tuple(images.shape)}: add the first dimension with picture[None], or convert to RGB."
        )
    if not images.is_floating_point():
        raise CourseError(
            f"Pictures must be float tensors in [-1, 1], but these are {images.dtype}: "
            "use images / 127.5 - 1 for 0 to 255."
        )
    images = images.detach().float()
    if not images.isfinite().all():
        raise CourseError(
            "A picture contains NaN or infinity, so it cannot be measured: the network that made "
            "it has diverged, so use an earlier checkpoint or a lower learning rate."
        )
    if images.abs().max() > 1.001:
        raise CourseError(
            f"Pictures must lie in [-1, 1], but values go from {images.min():.2f} to "
            f"{images.max():.2f}: use images * 2 - 1 for [0, 1], or images.clamp(-1, 1)."
        )
    return images


def checked_pair(fake: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if fake.shape != truth.shape:
        raise CourseError(
            f"Translations of shape {tuple(fake.shape)} cannot be compared with truths of shape "
            f"{tuple(truth.shape)}: both sets must have the same pictures at the same size."
        )
    return checked(fake), checked(truth)


def reduced(values: Tensor, reduction: Reduction) -> Tensor:
    return values if reduction == "none" else values.mean()
