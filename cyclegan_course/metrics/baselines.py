"""What a translator has to beat: a colour transfer that has learned nothing."""

import warnings

import torch
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor

from cyclegan_course.metrics.checks import checked


def reinhard(images: Tensor, reference: Tensor) -> Tensor:
    """Colour transfer: each picture takes the mean and deviation of the reference pictures.

    After Reinhard et al. 2001, in CIELAB (D65) in place of their l-alpha-beta. Every picture's
    channels get the mean and the standard deviation that a reference picture has on average; what
    leaves the range of sRGB is clipped. `images` (N, 3, H, W) and `reference` (M, 3, H', W') in
    [-1, 1]; returns (N, 3, H, W) in [-1, 1].
    """
    source, target = _lab(checked(images)), _lab(checked(reference))
    mean, deviation = _mean_and_deviation(source)
    new_mean, new_deviation = (stat.mean(dim=0) for stat in _mean_and_deviation(target))
    moved = (source - mean) / deviation.clamp_min(1e-6) * new_deviation + new_mean
    with warnings.catch_warnings():  # skimage warns that it clips; here clipping is meant
        warnings.simplefilter("ignore", UserWarning)
        rgb = torch.from_numpy(lab2rgb(moved.numpy()))
    return (rgb.clamp(0, 1) * 2 - 1).permute(0, 3, 1, 2).to(images.device, torch.float32)


def _lab(images: Tensor) -> Tensor:
    """CIELAB in double precision: (N, H, W, 3) on the CPU."""
    rgb = (images.cpu().double().permute(0, 2, 3, 1) + 1) / 2
    return torch.from_numpy(rgb2lab(rgb.numpy()))


def _mean_and_deviation(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Per picture and channel: two tensors (N, 1, 1, 3)."""
    deviation, mean = torch.std_mean(lab, dim=(1, 2), keepdim=True, correction=0)
    return mean, deviation
