"""Does it look like the other domain? The sliced Wasserstein distance of two sets of pictures."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.checks import checked

PATCH = 7
COARSEST = 16


def laplacian_pyramid(images: Tensor, coarsest: int = COARSEST) -> list[Tensor]:
    """Split pictures into details of each size: a list of (N, 3, h, w), finest first.

    Each level holds what is lost by halving the picture (Burt and Adelson 1983, with bilinear
    resampling in place of their five-tap filter, so that any size works); the last is the smallest
    picture itself. Its smaller side is at least `coarsest` pixels. Enlarging and adding gives the
    picture back.
    """
    levels = []
    while min(images.shape[-2:]) >= 2 * coarsest:
        half = [side // 2 for side in images.shape[-2:]]
        small = F.interpolate(images, half, mode="bilinear", antialias=True)
        levels.append(images - F.interpolate(small, images.shape[-2:], mode="bilinear"))
        images = small
    return [*levels, images]


def wasserstein_1d(a: Tensor, b: Tensor) -> Tensor:
    """First Wasserstein distance between the columns of (n, K) and (m, K): shape (K,).

    In one dimension the best transport pairs the sorted values: the distance is the mean absolute
    difference of the quantiles. With n != m the shorter column is interpolated between its
    quantiles, up to the longer one.
    """
    count = max(len(a), len(b))
    return (_quantiles(a, count) - _quantiles(b, count)).abs().mean(dim=0)


def sliced_wasserstein_levels(
    images: Tensor,
    reference: Tensor,
    patches: int = 128,
    projections: int = 256,
    seed: int = 0,
) -> dict[int, float]:
    """Distance between two sets of pictures, one number per level of the Laplacian pyramid.

    After Karras et al. 2018 (appendix on the sliced Wasserstein distance of Laplacian patches; the
    distance is by Rabin et al. 2011): 7x7x3 patches, projected on random unit vectors, sorted,
    mean absolute difference. Two departures. They normalise each set by its own mean and
    deviation, which hides a wrong colour: here both sets are normalised by the reference's, per
    level and channel, so the unit is one standard deviation of the reference and fine texture
    counts as much as colour. And all pictures of both sets are cut at the same `patches` random
    places, so the order of the pictures does not matter and equal sets are at distance 0. The
    distance is not symmetric: the reference gives the unit.

    `images` (N, 3, H, W) and `reference` (M, 3, H, W), at least 16 pixels a side. N and M may
    differ, but compare only distances of the same N and M: small sets lie further apart. Returns
    {smaller side of the level in pixels: distance}, finest first.
    """
    return {
        side: wasserstein_1d(a, b).mean().item()
        for side, a, b in projected_patches(images, reference, patches, projections, seed)
    }


def projected_patches(
    images: Tensor,
    reference: Tensor,
    patches: int = 128,
    projections: int = 256,
    seed: int = 0,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """What the sliced Wasserstein distance sorts, for each level of the pyramid.

    Yields the smaller side of the level in pixels and the projected patches of both sets,
    (N * patches, projections) and (M * patches, projections), those of one picture together.
    """
    images, reference = checked(images), checked(reference).to(images.device)
    if images.shape[1:] != reference.shape[1:] or min(images.shape[-2:]) < COARSEST:
        raise CourseError(
            f"The sets hold pictures of {tuple(images.shape[-2:])} and "
            f"{tuple(reference.shape[-2:])} pixels (height, width): bring both to one size of at "
            f"least {COARSEST} x {COARSEST}."
        )
    generator = torch.Generator().manual_seed(seed)
    pyramids = zip(laplacian_pyramid(images), laplacian_pyramid(reference), strict=True)
    for level, reference_level in pyramids:
        height, width = level.shape[-2:]
        rows = torch.randint(height - PATCH + 1, (patches,), generator=generator)
        columns = torch.randint(width - PATCH + 1, (patches,), generator=generator)
        directions = torch.randn(3 * PATCH * PATCH, projections, generator=generator)
        directions = F.normalize(directions, dim=0).to(level.device)
        # A mean would cancel in the difference. One step of 8 bits (2 / 255) keeps flat levels
        # from dividing by zero.
        unit = reference_level.std(dim=(0, 2, 3), keepdim=True).clamp_min(2 / 255)
        a, b = (
            _patches_at(each / unit, rows, columns) @ directions
            for each in (level, reference_level)
        )
        yield min(height, width), a, b


def sliced_wasserstein(images: Tensor, reference: Tensor, **options: int) -> float:
    """Mean of `sliced_wasserstein_levels` over the levels; the options are the same."""
    levels = sliced_wasserstein_levels(images, reference, **options)
    return sum(levels.values()) / len(levels)


def _quantiles(values: Tensor, count: int) -> Tensor:
    """Sorted columns of (n, K), interpolated to `count` midpoint quantiles: (count, K)."""
    ordered = values.sort(dim=0).values
    if len(ordered) == count:
        return ordered
    return F.interpolate(ordered.T[None], count, mode="linear")[0].T


def _patches_at(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The patches of every picture at the given places: (N * places, 3 * PATCH * PATCH)."""
    windows = images.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # a view: nothing is copied yet
    return windows[:, :, rows, columns].transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
