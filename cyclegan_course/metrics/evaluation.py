"""Translators against the truth, where there is one, and against the target domain."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan_course import worlds
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.metrics.baselines import reinhard
from cyclegan_course.metrics.correspondence import own_scene
from cyclegan_course.metrics.distribution import (
    frechet_by_pictures,
    frechet_distance,
    kernel_distance,
)
from cyclegan_course.metrics.features import FeatureNetwork
from cyclegan_course.metrics.fidelity import PSNR_CEILING, blur, l1, psnr, ssim
from cyclegan_course.metrics.intervals import (
    Interval,
    jackknife_interval,
    mean_interval,
    share_interval,
    wasserstein_interval,
)
from cyclegan_course.metrics.table import Row
from cyclegan_course.metrics.wasserstein import sliced_wasserstein

Translate = Callable[[Tensor], Tensor]

# Of fewer pictures no interval is given: it would claim more than so few can tell.
FEWEST_FOR_INTERVALS = 5


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
    rows = []
    translators = (translator_AB, translator_BA)
    for task, translator in zip(tasks_of_world(world, count, size), translators, strict=True):
        methods = task.baselines() | {
            "CycleGAN": translated(translator, task.source, batch_size),
            "truth": None,
        }
        for method, fake in methods.items():
            if fake is None:
                rows.append(measure(task.direction, method, task.truth, task.reference))
            else:
                rows.append(measure(task.direction, method, fake, task.reference, task.truth))
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
    """One row: `fake` against its `truth`, if there is one, and against the `reference` set.

    `measure_fully` adds correspondence, reconstruction, KID, FID and the intervals.
    """
    scores = {} if truth is None else picture_scores(fake, truth)
    means = {name: values.mean().item() for name, values in scores.items()}
    return Row(direction, method, **means, distance=sliced_wasserstein(fake, reference))


def picture_scores(fake: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Every measure of likeness to the truth, one value a picture: name to (N,).

    Both (N, 3, H, W) in [-1, 1]. The names are those of `Row`; PSNR is at most `PSNR_CEILING`.
    """
    pairs = (("", (fake, truth)), ("blurred_", (blur(fake), blur(truth))))
    scores = {}
    for prefix, pair in pairs:
        scores[f"{prefix}psnr"] = psnr(*pair, reduction="none").clamp_max(PSNR_CEILING)
        scores[f"{prefix}ssim"] = ssim(*pair, reduction="none")
        scores[f"{prefix}l1"] = l1(*pair, reduction="none")
    return scores


@dataclass(frozen=True)
class Task:
    """One direction on fixed pictures: what is translated, and what the result is compared with.

    Attributes:
        direction: such as "A to B".
        source: (N, 3, H, W), the pictures to translate.
        truth: (N, 3, H, W), what each should become; None where nobody knows.
        reference: (M, 3, H, W), pictures of the target domain, of no scene of the source.
        real: up to N other real pictures of the target domain, whose distance to the reference is
            the floor of all distances: for a world its truth. None if there are none to spare.
        features: network of KID and FID, or None for neither.
        reference_features: (M, D), its view of the reference.
    """

    direction: str
    source: Tensor
    truth: Tensor | None
    reference: Tensor
    real: Tensor | None
    features: FeatureNetwork | None = None
    reference_features: Tensor | None = None

    def baselines(self) -> dict[str, Tensor]:
        """What a translator has to beat, by name: (N, 3, H, W) each."""
        return {"untouched": self.source, "Reinhard": reinhard(self.source, self.reference)}

    def floor(self) -> Row | None:
        """The row of real pictures of the target domain against the reference."""
        if self.real is None:
            return None
        method = "truth" if self.truth is not None else "real"
        values = _distances(self, self.real)
        return _row(self.direction, method, values)


def tasks_of_world(
    world: str, count: int, size: int, features: FeatureNetwork | None = None, start: int = 0
) -> tuple[Task, Task]:
    """Open the seal: both directions of a world, scenes as `evaluate_translation` says.

    Args:
        start: the first held-out scene; from another one on, scenes for choices, so that those of
            the tables decide nothing.
    """
    pairs = worlds.open_sealed_pairs(world, count, size, start)
    sides = [pictures_to_tensor(side) for side in pairs]
    others = [
        pictures_to_tensor(worlds.held_out(world, domain, count, size, start + count))
        for domain in "AB"
    ]
    (real_A, real_B), (other_A, other_B) = sides, others
    return (
        _task("A to B", real_A, real_B, other_B, real_B, features),
        _task("B to A", real_B, real_A, other_A, real_A, features),
    )


def tasks_of_pictures(
    test_A: Tensor,
    test_B: Tensor,
    more_A: Tensor | None = None,
    more_B: Tensor | None = None,
    features: FeatureNetwork | None = None,
) -> tuple[Task, Task]:
    """Both directions between two sets without a pairing, (N, 3, H, W) and (M, 3, H, W).

    `more_A`, `more_B`: further real pictures of each domain, from which as many as are translated
    are the floor of the distances (a floor of fewer pictures would lie too high).
    """
    spare = {
        "A": None if more_A is None else more_A[: len(test_B)],
        "B": None if more_B is None else more_B[: len(test_A)],
    }
    return (
        _task("A to B", test_A, None, test_B, spare["B"], features),
        _task("B to A", test_B, None, test_A, spare["A"], features),
    )


def measure_fully(
    task: Task,
    method: str,
    fake: Tensor,
    rec: Tensor | None = None,
    step: int | None = None,
    seed: int = 0,
) -> Row:
    """One row with every number that applies, and its 95 % interval.

    Args:
        fake: (N, 3, H, W), the translations of `task.source`, in its order.
        rec: (N, 3, H, W), the translations translated back, for the reconstruction.
        step: of the training, if it is to be told.
        seed: of the bootstrap.
    """
    values: dict[str, Interval] = {}
    if task.truth is not None:
        for name, scores in picture_scores(fake, task.truth).items():
            values[name] = _of_pictures(scores, seed)
    hits = own_scene(fake, task.source if task.truth is None else task.truth)
    values["correspondence"] = share_interval(hits)
    if rec is not None:
        values["reconstruction"] = _of_pictures(l1(rec, task.source, reduction="none"), seed)
    return _row(task.direction, method, values | _distances(task, fake), step)


def translated(translator: Translate, source: Tensor, batch_size: int = 8) -> Tensor:
    """Translate a few pictures at a time: a full set does not fit beside a full-size network."""
    with torch.no_grad():
        fakes = [translator(batch).to(source.device) for batch in source.split(batch_size)]
    return torch.cat(fakes)


def _task(
    direction: str,
    source: Tensor,
    truth: Tensor | None,
    reference: Tensor,
    real: Tensor | None,
    features: FeatureNetwork | None,
) -> Task:
    seen = None if features is None else features(reference)
    return Task(direction, source, truth, reference, real, features, seen)


def _of_pictures(scores: Tensor, seed: int) -> Interval:
    few = len(scores) < FEWEST_FOR_INTERVALS
    return Interval(scores.mean().item()) if few else mean_interval(scores, seed)


def _distances(task: Task, fake: Tensor) -> dict[str, Interval]:
    """The distances of two sets: sliced Wasserstein, and KID and FID if there are features."""
    smaller = min(len(fake), len(task.reference))
    few = smaller < FEWEST_FOR_INTERVALS
    value = sliced_wasserstein(fake, task.reference)
    values = {
        "distance": Interval(value) if few else wasserstein_interval(fake, task.reference, value)
    }
    if task.features is None or smaller < 2:
        return values
    seen, reference = task.features(fake), task.reference_features
    for name, statistic, quicker in (
        ("kid", kernel_distance, kernel_distance),
        ("fid", frechet_distance, frechet_by_pictures),
    ):
        value = statistic(seen, reference)
        interval = jackknife_interval(quicker, seen, reference, value=value) if not few else None
        values[name] = interval or Interval(value)
    return values


def _row(direction: str, method: str, values: dict[str, Interval], step: int | None = None) -> Row:
    intervals = {
        name: (each.low, each.high) for name, each in values.items() if each.low is not None
    }
    means = {name: each.value for name, each in values.items()}
    return Row(direction, method, **means, intervals=intervals, step=step)
