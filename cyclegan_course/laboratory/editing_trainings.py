"""The short trainings of `editing`, colour against shape, and what their discriminators pay for.

The trainings of each edit: from unpaired or from paired pictures, by the generator of chapter 5 or
by one that sees a single pixel. Pictures are (N, 3, H, W) in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import UnpairedBatches
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.editing import SIZE, Truth, paired_pictures, unpaired_pictures
from cyclegan_course.laboratory.recipe import Recipe

TRAININGS = ("paired", "unpaired", "one pixel, paired", "one pixel, unpaired", "paired, longer")
LONGER = 4  # times as many steps


class PairedBatches:
    """As `UnpairedBatches`, but B is the same scene, cut and mirrored alike."""

    def __init__(self, A: Sequence, B: Sequence, size: int, batch: int = 1, seed: int = 0) -> None:
        self.one, self.other = (UnpairedBatches(x, x, size, batch, seed) for x in (A, B))

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        # Equal lists and seeds draw equal crops; of each the half that follows the order of A.
        return self.one(step)[0], self.other(step)[0]


class PixelGenerator(nn.Module):
    """A translator that sees one pixel: x + f(x), f three convolutions of 1 x 1.

    Whatever it learns is a table from colour to colour; no neighbour can help it.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 3, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W), values in [-1, 1]."""
        # f is started by `init_weights` as good as 0; ten times itself, it learns in a minute.
        return (x + 10 * self.layers(x)).clamp(-1, 1)


def paired_step(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    *_: object,
) -> dict[str, Tensor]:
    """Supervised learning in the place of `cyclegan.training_step`: the L1 to the truth, no D."""
    terms = {
        "G_AB": F.l1_loss(model.G_AB(real_A), real_B),
        "G_BA": F.l1_loss(model.G_BA(real_B), real_A),
    }
    optimizer_G.zero_grad(set_to_none=True)
    sum(terms.values()).backward()
    optimizer_G.step()
    return {name: term.detach() for name, term in terms.items()}


def recipe(
    edit: str, training: str, seed: int, steps: int = 320, scenes: int = Recipe.scenes
) -> Recipe:
    """The minute of chapter 5 on one edit, with the parts that a training replaces.

    Args:
        edit: a key of `EDITS`.
        training: one of `TRAININGS`.
        seed, steps, scenes: as in `Recipe`; "paired, longer" makes LONGER times as many steps.
    """
    if training not in TRAININGS:
        raise CourseError(f"There is no training {training!r}: choose one of {TRAININGS}.")
    paired = not training.endswith("unpaired")
    found = Recipe(
        world="editing",
        size=SIZE,
        steps=steps * LONGER if training.endswith("longer") else steps,
        seed=seed,
        scenes=scenes,
        make_batches=partial(_batches, edit, paired, scenes),
    )
    if paired:
        found = replace(found, step=paired_step)
    return replace(found, make_generator=PixelGenerator) if "pixel" in training else found


def _batches(edit: str, paired: bool, count: int, A: object, B: object, size: int, **options: int):
    """Batches of one edit; the pictures A and B of the whole world are left aside."""
    if paired:
        return PairedBatches(*paired_pictures(edit, count, size), size, **options)
    return UnpairedBatches(
        *(unpaired_pictures(edit, domain, count, size) for domain in "AB"), size, **options
    )


# --- what the discriminator pays for --------------------------------------------------------------


def adversarial_cost(D: nn.Module, pictures: Tensor) -> Tensor:
    """What a generator pays for each picture, (D(x) - 1)^2, the mean over the map: (N,)."""
    return (D(pictures) - 1).square().flatten(1).mean(dim=1)


def half_way(truth: Truth, alpha: float) -> Tensor:
    """Each pixel that share of the way from A to B: the straight line between the two."""
    return truth.A + alpha * (truth.B - truth.A)


def pasted(truth: Truth, zones: Sequence[str]) -> Tensor:
    """A, but with the true pixels of B in some zones."""
    where = torch.stack([truth.zones[zone] for zone in zones]).any(dim=0)
    return torch.where(where[:, None], truth.B, truth.A)


def push(D: nn.Module, truth: Truth) -> dict[str, float]:
    """Where D pushes the untouched pictures A, by the downhill gradient of the adversarial cost.

    Keys: cosine, between that push and the asked change over the changed pixels; per_pixel, the
    mean size of the push on a changed pixel over that on any pixel, 1 if D does not care where.
    """
    pictures = truth.A.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(adversarial_cost(D, pictures).sum(), pictures)
    where = truth.zones["changed"]
    moved, asked = (x.movedim(1, -1)[where] for x in (-gradient, truth.B - truth.A))
    size = gradient.square().sum(dim=1).sqrt()
    return {
        "cosine": F.cosine_similarity(moved.flatten(), asked.flatten(), dim=0).item(),
        "per_pixel": (size[where].mean() / size.mean()).item(),
    }
