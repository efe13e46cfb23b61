"""Is it the right picture? Each translation against its own truth, pixel by pixel."""

import math

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchvision.transforms.v2.functional import gaussian_blur

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.checks import Reduction, checked, checked_pair, reduced

SSIM_WINDOW = 11
# Rounding to 8 bits makes an error of 1/12 level squared on average: 58.92 dB. Pictures nearer than
# that look equal, and without this ceiling one equal pair would make the mean over a set infinite.
PSNR_CEILING = 10 * math.log10(12 * 255**2)


def psnr(fake: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Peak signal-to-noise ratio in dB, data range 2: 10 log10(4 / mean squared difference).

    Both (N, 3, H, W) in [-1, 1]. Returns one value per picture, shape (N,), with
    `reduction="none"`, else their mean. Equal pictures give infinity.
    """
    fake, truth = checked_pair(fake, truth)
    values = peak_signal_noise_ratio(
        fake, truth, data_range=2.0, reduction="none", dim=(1, 2, 3)
    ).reshape(-1)
    return reduced(values, reduction)


def ssim(fake: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Structural similarity, at most 1 (Wang et al. 2004: Gaussian window 11x11, sigma 1.5).

    Both (N, 3, H, W) in [-1, 1], at least 11 pixels a side. The mean runs over the places where
    the window lies inside the picture, and over the channels. Returns (N,) with
    `reduction="none"`, else the mean over pictures.

    The pictures are brought to [0, 1] first. SSIM compares local means by their ratio, which
    depends on where 0 lies: it is defined with black at 0.
    """
    fake, truth = checked_pair(fake, truth)
    if min(fake.shape[-2:]) < SSIM_WINDOW:
        raise CourseError(
            f"SSIM looks through a window of {SSIM_WINDOW}x{SSIM_WINDOW} pixels, but the pictures "
            f"have {fake.shape[-2]}x{fake.shape[-1]}: use larger pictures."
        )
    # A few pictures at a time: torchmetrics holds five copies of what it is given.
    chunks = zip(fake.split(8), truth.split(8), strict=True)
    return reduced(torch.cat([_ssim_inside(f, t) for f, t in chunks]), reduction)


def _ssim_inside(fake: Tensor, truth: Tensor) -> Tensor:
    """Mean of the SSIM map away from the edges: (N,).

    The mean that torchmetrics 1.9 returns includes the edges, where the window sees mirrored
    pixels; scikit-image leaves them out, and so does this.
    """
    fake, truth = (fake + 1) / 2, (truth + 1) / 2
    _, similarity = structural_similarity_index_measure(
        fake, truth, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    edge = SSIM_WINDOW // 2
    return similarity[..., edge:-edge, edge:-edge].mean(dim=(1, 2, 3))


def l1(fake: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Mean absolute difference for pictures in [0, 1]: mean |fake - truth| / 2.

    Both (N, 3, H, W) in [-1, 1]. Returns (N,) with `reduction="none"`, else the mean.
    """
    fake, truth = checked_pair(fake, truth)
    return reduced((fake - truth).abs().mean(dim=(1, 2, 3)) / 2, reduction)


def blur(images: Tensor, sigma: float | None = None) -> Tensor:
    """Gaussian blur of (N, 3, H, W) in [-1, 1]; `sigma` in pixels, the window reaches 3 sigma.

    Without `sigma` it is the smaller side / 32: 4 pixels at 128, so that a blurred score means the
    same at every size.
    """
    images = checked(images)
    side = min(images.shape[-2:])
    sigma = side / 32 if sigma is None else sigma
    if sigma <= 0 or math.ceil(3 * sigma) >= side:
        raise CourseError(
            f"A blur of sigma {sigma:g} does not suit pictures of {side} pixels: sigma must be "
            "above 0, and 3 sigma less than the smaller side."
        )
    window = 2 * math.ceil(3 * sigma) + 1
    # Along one side and then along the other: the same sums, in so many fewer products.
    return gaussian_blur(gaussian_blur(images, [window, 1], sigma), [1, window], sigma)
