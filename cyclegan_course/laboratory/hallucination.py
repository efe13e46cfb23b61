"""Hallucination: a translation shows what its target domain usually shows, not what is there.

The scenes of `night`, each drawn with the sun in the picture and with the sun outside: by night,
with a moon and without. The twins differ in nothing else. In domain A (day) half of the pictures
show the sun; in domain B (night) a share shows the moon, which you choose. The adversarial loss
asks that the translations show a moon as often as domain B does, so with unequal shares it asks for
an invention (Cohen, Luck and Honari 2018, on brain tumours).

Pictures are (N, 3, H, W) in [-1, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.laboratory.results import FOLDER as LABORATORY
from cyclegan_course.scenes import Scene, draw_scene, make_scene
from cyclegan_course.worlds import HELD_OUT_SEED

FOLDER = LABORATORY / "hallucination"
SIZE = 32  # of the stored trainings
SHARE_A = 0.5  # of the pictures of domain A show the feature
SHARES_B = (0.0, 0.5, 1.0)  # never, as often as in A, always
SHOWN = 1  # the seed whose pictures are stored
THRESHOLD = 0.5  # of the evidence: half way from a night without a moon to one with it
RADIUS = 0.085  # of the sun and the moon: large, so that they can be seen at 32 pixels
SKY = 0.45  # the upper part of a picture, in which the detector looks


# --- pictures -------------------------------------------------------------------------------------


def has_feature(count: int, share: float) -> list[bool]:
    """Which of `count` pictures show the feature: a share of them, evenly spread."""
    if not 0 <= share <= 1:
        raise CourseError(f"The share is {share}: choose 0 to 1.")
    return [int((i + 1) * share) > int(i * share) for i in range(count)]


def with_sun(scene: Scene, present: bool) -> Scene:
    """The scene with a large sun in the picture, or far above it; by night it is the moon."""
    x, y, _ = scene.sun
    return replace(scene, sun=(x, y if present else -0.9, RADIUS))


@cache  # the trainings of one process share their scenes
def drawn(seed: int, present: bool, night: bool, size: int = SIZE) -> np.ndarray:
    """A scene with the sun (or moon) or without it: read-only uint8 (size, size, 3)."""
    picture = draw_scene(with_sun(make_scene(seed), present), size, night=night)
    picture.flags.writeable = False
    return picture


def training_pictures(domain: str, share: float, count: int, size: int = SIZE) -> list[np.ndarray]:
    """Unpaired pictures of a domain: day of scenes 0, 2, 4..., night of scenes 1, 3, 5...

    Args:
        domain: "A" (day) or "B" (night).
        share: of the pictures that show the feature, 0 to 1.

    Returns:
        uint8 arrays (size, size, 3).
    """
    if domain not in ("A", "B"):
        raise CourseError(f"There is no domain {domain!r}: choose A or B.")
    night = domain == "B"
    return [
        drawn(int(night) + 2 * i, present, night, size)
        for i, present in enumerate(has_feature(count, share))
    ]


class Twins(NamedTuple):
    """Scenes, each without the feature (index 0) and with it (1): day A, night B."""

    A: tuple[Tensor, Tensor]
    B: tuple[Tensor, Tensor]


def open_twins(count: int, size: int = SIZE, start: int = 0) -> Twins:
    """Open the seal: both twins of held-out scenes, in both domains. For evaluation only."""
    seeds = range(HELD_OUT_SEED + start, HELD_OUT_SEED + start + count)

    def both(night: bool) -> tuple[Tensor, Tensor]:
        without, present = (
            pictures_to_tensor([drawn(seed, shown, night, size) for seed in seeds])
            for shown in (False, True)
        )
        return without, present

    return Twins(both(night=False), both(night=True))


# --- the detector ---------------------------------------------------------------------------------


def brightest_disc(images: Tensor) -> Tensor:
    """The grey of the brightest disc of the moon's size in the sky: (N), -1 to 1.

    The mean over the channels, averaged over a disc of `RADIUS`, largest over all its places in the
    upper part `SKY` of the picture. A star is bright but small, so it counts little.
    """
    size = images.shape[-1]
    sky = images[:, :, : round(SKY * size)].mean(dim=1, keepdim=True)
    reach = round(RADIUS * size)
    offsets = torch.arange(-reach, reach + 1)
    disc = (offsets[:, None] ** 2 + offsets[None] ** 2 <= (RADIUS * size) ** 2).float()
    means = F.conv2d(sky, (disc / disc.sum())[None, None])
    return means.amax(dim=(1, 2, 3))


@dataclass(frozen=True)
class Detector:
    """Says how much of a moon a night picture shows, wherever it is.

    Attributes:
        dark, bright: mean `brightest_disc` of true nights without a moon, and with one.
    """

    dark: float
    bright: float

    def evidence(self, images: Tensor) -> Tensor:
        """0 is a usual night without a moon, 1 a usual night with one: (N)."""
        return (brightest_disc(images) - self.dark) / (self.bright - self.dark)

    def errors(
        self, nights: tuple[Tensor, Tensor], disturb: Callable[[Tensor], Tensor]
    ) -> dict[str, float]:
        """Errors on true nights that something happened to.

        Args:
            nights: true pictures without a moon and with one.
            disturb: what happens to them before the detector sees them.

        Returns:
            false alarms, the share of nights without a moon in which one is found; and misses, the
            share of those with a moon in which none is.
        """
        found = [self.evidence(disturb(pictures)) > THRESHOLD for pictures in nights]
        return {
            "false alarms": found[0].float().mean().item(),
            "misses": 1 - found[1].float().mean().item(),
        }


@cache
def calibrated(count: int = 50, size: int = SIZE) -> Detector:
    """The detector, calibrated on true nights of training scenes; none of them is held out."""
    ends = (
        brightest_disc(pictures_to_tensor(training_pictures("B", share, count, size))).mean()
        for share in (0.0, 1.0)
    )
    return Detector(*(end.item() for end in ends))


def measure(
    G_AB: nn.Module, twins: Twins, detector: Detector, G_BA: nn.Module | None = None
) -> list[dict]:
    """Translate every scene with and without the sun: a row for each picture.

    Keys: scene; present, whether the source shows the sun; evidence of a moon in the translation;
    error, the mean absolute difference from the sealed truth for pictures in [0, 1]; and
    reconstruction, the same from the source after the way back, None for a model without one.
    """
    rows = []
    for present in (0, 1):
        with torch.no_grad():
            fakes = G_AB(twins.A[present]).clamp(-1, 1)
            recs = None if G_BA is None else G_BA(fakes).clamp(-1, 1)
        errors = (fakes - twins.B[present]).abs().mean((1, 2, 3)) / 2
        backs = None if recs is None else (recs - twins.A[present]).abs().mean((1, 2, 3)) / 2
        for i, found in enumerate(detector.evidence(fakes).tolist()):
            rows.append(
                {
                    "scene": i,
                    "present": present,
                    "evidence": found,
                    "error": errors[i].item(),
                    "reconstruction": None if backs is None else backs[i].item(),
                }
            )
    return rows
