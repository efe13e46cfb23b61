"""What tells two domains apart: single numbers of a patch, and how well each of them decides.

A PatchGAN discriminator judges patches. Before one is trained, it helps to know how far plain
statistics go: where one number tells A from B, the discriminator finds it within a few steps.
"""

import torch
import torch.nn.functional as F
from scipy.stats import mannwhitneyu
from torch import Tensor

from cyclegan_course.metrics.checks import checked

PATCH = 32


def patch_statistics(images: Tensor, side: int = PATCH) -> dict[str, Tensor]:
    """Statistics of every patch of `side` x `side` pixels, cut without overlap.

    `images` (N, 3, H, W) in [-1, 1]. Returns name to (patches,), for values in [0, 1]:
    brightness (mean of R, G and B), contrast (its deviation), fine detail (mean absolute
    difference of brightness to its 3x3 mean), colour (mean of largest minus smallest channel), blue
    minus red, and red pixels: the share whose red exceeds both other channels by 0.25.
    """
    values = (checked(images) + 1) / 2
    grey = values.mean(dim=1, keepdim=True)
    around = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    red, green, blue = values.split(1, dim=1)
    maps = {
        "brightness": grey,
        "fine detail": (grey - around).abs(),
        "colour": values.amax(dim=1, keepdim=True) - values.amin(dim=1, keepdim=True),
        "blue minus red": blue - red,
        "red pixels": (red - torch.maximum(green, blue) > 0.25).float(),
    }
    found = {name: F.avg_pool2d(each, side).flatten() for name, each in maps.items()}
    square = F.avg_pool2d(grey.square(), side).flatten()
    found["contrast"] = (square - found["brightness"].square()).clamp_min(0).sqrt()
    return found


def telling(one: Tensor, other: Tensor) -> float:
    """How often a threshold on one number would be right: from 0.5 (chance) to 1 (always).

    The probability that a random value of `one` (n,) lies on its own side of a random value of
    `other` (m,), the area under the ROC curve, with the sides named so that it is at least 0.5.
    """
    share = mannwhitneyu(one.numpy(), other.numpy()).statistic / (len(one) * len(other))
    return float(max(share, 1 - share))


def telling_scores(images: Tensor, others: Tensor, side: int = PATCH) -> dict[str, float]:
    """`telling` for each of `patch_statistics` of two sets, the best first."""
    a, b = patch_statistics(images, side), patch_statistics(others, side)
    scores = {name: telling(a[name], b[name]) for name in a}
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
