"""Translators against the truth, where there is one, and against the target domain."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from cyclegan_course import worlds
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.metrics.baselines import reinhard
from cyclegan_course.metrics.fidelity import PSNR_CEILING, blur, l1, psnr, ssim
from cyclegan_course.metrics.table import Row
from cyclegan_course.metrics.wasserstein import sliced_wasserstein

Translate = Callable[[Tensor], Tensor]


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
