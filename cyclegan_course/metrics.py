"""Measuring translation against the sealed truth.

Two questions, two kinds of number:

- *Is it the right picture?* `psnr`, `ssim` and `l1` compare a translation with its own truth. Exact
  brush strokes or stars cannot be learned from unpaired pictures, so each is also taken after a
  `blur`, which leaves the content and drops the details.
- *Does it look like the other domain?* `sliced_wasserstein` compares two sets of pictures, with no
  pairing at all.

`reinhard` is the baseline to beat: a colour transfer that has learned nothing.

Everywhere a set of pictures is a float tensor (N, 3, H, W), RGB, in [-1, 1]. Anything else (another
shape, a value out of range, NaN) raises `CourseError`.
"""

import csv
import io
import json
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchvision.transforms.v2.functional import gaussian_blur

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor, write_text

Reduction = Literal["mean", "none"]
Translate = Callable[[Tensor], Tensor]

SSIM_WINDOW = 11
PATCH = 7
COARSEST = 16
# Rounding to 8 bits makes an error of 1/12 level squared on average: 58.92 dB. Pictures nearer than
# that look equal, and without this ceiling one equal pair would make the mean over a set infinite.
PSNR_CEILING = 10 * math.log10(12 * 255**2)


def psnr(fake: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Peak signal-to-noise ratio in dB, data range 2: 10 log10(4 / mean squared difference).

    Both (N, 3, H, W) in [-1, 1]. Returns one value per picture, shape (N,), with
    `reduction="none"`, else their mean. Equal pictures give infinity.
    """
    fake, truth = _pair(fake, truth)
    values = peak_signal_noise_ratio(
        fake, truth, data_range=2.0, reduction="none", dim=(1, 2, 3)
    ).reshape(-1)
    return _reduce(values, reduction)


def ssim(fake: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Structural similarity, at most 1 (Wang et al. 2004: Gaussian window 11x11, sigma 1.5).

    Both (N, 3, H, W) in [-1, 1], at least 11 pixels a side. The mean runs over the places where
    the window lies inside the picture, and over the channels. Returns (N,) with
    `reduction="none"`, else the mean over pictures.
    """
    fake, truth = _pair(fake, truth)
    if min(fake.shape[-2:]) < SSIM_WINDOW:
        raise CourseError(
            f"SSIM looks through a window of {SSIM_WINDOW}x{SSIM_WINDOW} pixels, but the pictures "
            f"have {fake.shape[-2]}x{fake.shape[-1]}: use larger pictures."
        )
    # A few pictures at a time: torchmetrics holds five copies of what it is given.
    chunks = zip(fake.split(8), truth.split(8), strict=True)
    return _reduce(torch.cat([_ssim_inside(f, t) for f, t in chunks]), reduction)


def _ssim_inside(fake: Tensor, truth: Tensor) -> Tensor:
    """Mean of the SSIM map away from the edges: (N,).

    The mean that torchmetrics 1.9 returns includes the edges, where the window sees mirrored
    pixels; scikit-image leaves them out, and so does this.
    """
    _, similarity = structural_similarity_index_measure(
        fake, truth, sigma=1.5, data_range=2.0, reduction="none", return_full_image=True
    )
    edge = SSIM_WINDOW // 2
    return similarity[..., edge:-edge, edge:-edge].mean(dim=(1, 2, 3))


def l1(fake: Tensor, truth: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Mean absolute difference for pictures in [0, 1]: mean |fake - truth| / 2.

    Both (N, 3, H, W) in [-1, 1]. Returns (N,) with `reduction="none"`, else the mean.
    """
    fake, truth = _pair(fake, truth)
    return _reduce((fake - truth).abs().mean(dim=(1, 2, 3)) / 2, reduction)


def blur(images: Tensor, sigma: float | None = None) -> Tensor:
    """Gaussian blur of (N, 3, H, W) in [-1, 1]; `sigma` in pixels, the window reaches 3 sigma.

    Without `sigma` it is the smaller side / 32: 4 pixels at 128, so that a blurred score means the
    same at every size.
    """
    images = _checked(images)
    side = min(images.shape[-2:])
    sigma = side / 32 if sigma is None else sigma
    if sigma <= 0 or math.ceil(3 * sigma) >= side:
        raise CourseError(
            f"A blur of sigma {sigma:g} does not suit pictures of {side} pixels: sigma must be "
            "above 0, and 3 sigma less than the smaller side."
        )
    return gaussian_blur(images, 2 * math.ceil(3 * sigma) + 1, sigma)


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
    images, reference = _checked(images), _checked(reference).to(images.device)
    if images.shape[1:] != reference.shape[1:] or min(images.shape[-2:]) < COARSEST:
        raise CourseError(
            f"The sets hold pictures of {tuple(images.shape[-2:])} and "
            f"{tuple(reference.shape[-2:])} pixels (height, width): bring both to one size of at "
            f"least {COARSEST} x {COARSEST}."
        )
    generator = torch.Generator().manual_seed(seed)
    distances = {}
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
        distances[min(height, width)] = wasserstein_1d(a, b).mean().item()
    return distances


def sliced_wasserstein(images: Tensor, reference: Tensor, **options: int) -> float:
    """Mean of `sliced_wasserstein_levels` over the levels; the options are the same."""
    levels = sliced_wasserstein_levels(images, reference, **options)
    return sum(levels.values()) / len(levels)


def reinhard(images: Tensor, reference: Tensor) -> Tensor:
    """Colour transfer: each picture takes the mean and deviation of the reference pictures.

    After Reinhard et al. 2001, in CIELAB (D65) in place of their l-alpha-beta. Every picture's
    channels get the mean and the standard deviation that a reference picture has on average; what
    leaves the range of sRGB is clipped. `images` (N, 3, H, W) and `reference` (M, 3, H', W') in
    [-1, 1]; returns (N, 3, H, W) in [-1, 1].
    """
    source, target = _lab(_checked(images)), _lab(_checked(reference))
    mean, deviation = _mean_and_deviation(source)
    new_mean, new_deviation = (stat.mean(dim=0) for stat in _mean_and_deviation(target))
    moved = (source - mean) / deviation.clamp_min(1e-6) * new_deviation + new_mean
    with warnings.catch_warnings():  # skimage warns that it clips; here clipping is meant
        warnings.simplefilter("ignore", UserWarning)
        rgb = torch.from_numpy(lab2rgb(moved.numpy()))
    return (rgb.clamp(0, 1) * 2 - 1).permute(0, 3, 1, 2).to(images.device, torch.float32)


@dataclass(frozen=True)
class Row:
    """One line of the table: means over the pictures; None where there is no truth to compare with.

    `psnr` and `blurred_psnr` in dB, `l1` and `blurred_l1` in [0, 1], `distance` the sliced
    Wasserstein distance to pictures of the target domain.
    """

    direction: str
    method: str
    psnr: float | None
    ssim: float | None
    l1: float | None
    blurred_psnr: float | None
    blurred_ssim: float | None
    blurred_l1: float | None
    distance: float


# The columns of the table, with their decimals (0: words).
_COLUMNS = {"direction": 0, "method": 0, "PSNR (dB)": 2, "SSIM": 3, "L1": 4}
_COLUMNS |= {"blurred PSNR (dB)": 2, "blurred SSIM": 3, "blurred L1": 4, "distance": 4}


def evaluate_translation(
    world: str,
    translator_AB: Translate,
    translator_BA: Translate,
    count: int = 48,
    size: int = 128,
    batch_size: int = 8,
) -> list[Row]:
    """Open the seal: both directions of a world, measured against the truth and the baselines.

    Held-out scenes 0 to count - 1 are translated and compared with their truth. The next `count`
    scenes, as the target domain shows them, are the reference of the distance and of Reinhard's
    colours: they are of no scene that is translated. The row "truth" is the floor of the distance:
    two sets of the target domain. A translator takes (n, 3, size, size) in [-1, 1], n at most
    `batch_size`, and returns the same shape. PSNR counts as at most 58.92 dB (8-bit rounding).
    """
    real_A, real_B = (_tensor(side) for side in worlds.open_sealed_pairs(world, count, size))
    directions = (
        ("A to B", translator_AB, real_A, real_B, "B"),
        ("B to A", translator_BA, real_B, real_A, "A"),
    )
    rows = []
    for direction, translator, source, truth, domain in directions:
        reference = _tensor(worlds.held_out(world, domain, count, size, start=count))
        methods = {
            "untouched": source,
            "Reinhard": reinhard(source, reference),
            "CycleGAN": _translate(translator, source, batch_size),
        }
        rows += [measure(direction, *method, reference, truth) for method in methods.items()]
        rows.append(measure(direction, "truth", truth, reference))
    return rows


def evaluate_unpaired(
    fake: Tensor, reference: Tensor, source: Tensor | None = None, direction: str = "A to B"
) -> list[Row]:
    """Where there is no truth, as with folders of photographs: rows with the distance alone.

    `fake` (N, 3, H, W) are the translations, `reference` (M, 3, H, W) pictures of the target
    domain; with `source` (N, 3, H, W), the pictures before translation, the baselines come too.
    """
    methods = {}
    if source is not None:
        methods = {"untouched": source, "Reinhard": reinhard(source, reference)}
    methods["CycleGAN"] = fake
    return [measure(direction, *method, reference) for method in methods.items()]


def measure(
    direction: str, method: str, fake: Tensor, reference: Tensor, truth: Tensor | None = None
) -> Row:
    """One row: `fake` against its `truth`, if there is one, and against the `reference` set."""
    scores: list[float | None] = [None] * 6
    if truth is not None:
        sharp, blurred = _scores(fake, truth), _scores(blur(fake), blur(truth))
        scores = [*sharp, *blurred]
    return Row(direction, method, *scores, sliced_wasserstein(fake, reference))


def format_table(rows: Iterable[Row]) -> str:
    """The rows as an aligned Markdown table; '-' where there is no value."""
    columns = []
    values = zip(*(astuple(row) for row in rows), strict=True)
    for (heading, decimals), column in zip(_COLUMNS.items(), values, strict=True):
        cells = [heading, *(_cell(value, decimals) for value in column)]
        width = max(map(len, cells))
        cells.insert(1, "-" * (width - 1) + ":" if decimals else "-" * width)
        columns.append([cell.rjust(width) if decimals else cell.ljust(width) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows as CSV in UTF-8 with a heading; a missing value is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(text.getvalue(), path)


def write_json(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows as a JSON list of objects; a missing value is null."""
    write_text(json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False) + "\n", path)


def _checked(images: Tensor) -> Tensor:
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


def _pair(fake: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if fake.shape != truth.shape:
        raise CourseError(
            f"Translations of shape {tuple(fake.shape)} cannot be compared with truths of shape "
            f"{tuple(truth.shape)}: both sets must have the same pictures at the same size."
        )
    return _checked(fake), _checked(truth)


def _reduce(values: Tensor, reduction: Reduction) -> Tensor:
    return values if reduction == "none" else values.mean()


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


def _lab(images: Tensor) -> Tensor:
    """CIELAB in double precision: (N, H, W, 3) on the CPU."""
    rgb = (images.cpu().double().permute(0, 2, 3, 1) + 1) / 2
    return torch.from_numpy(rgb2lab(rgb.numpy()))


def _mean_and_deviation(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Per picture and channel: two tensors (N, 1, 1, 3)."""
    deviation, mean = torch.std_mean(lab, dim=(1, 2), keepdim=True, correction=0)
    return mean, deviation


def _tensor(pictures: Iterable) -> Tensor:
    return torch.stack([picture_to_tensor(picture) for picture in pictures])


def _translate(translator: Translate, source: Tensor, batch_size: int) -> Tensor:
    """Translate a few pictures at a time: a full set does not fit beside a full-size network."""
    with torch.no_grad():
        fakes = [translator(batch).to(source.device) for batch in source.split(batch_size)]
    return torch.cat(fakes)


def _scores(fake: Tensor, truth: Tensor) -> list[float]:
    decibels = psnr(fake, truth, reduction="none").clamp_max(PSNR_CEILING).mean()
    return [value.item() for value in (decibels, ssim(fake, truth), l1(fake, truth))]


def _cell(value: str | float | None, decimals: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{decimals}f}" if decimals else str(value)
