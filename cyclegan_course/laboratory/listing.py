"""The article's listing, in this course's own code, and its repair in stages.

As printed, the listing does not run: a block is not defined, and nothing updates a weight.
`STAGES["as printed"]` has the block and an optimizer added. Each later stage mends some faults
more, and the last one is the minute of chapter 5. `listing_checks` has the tests that find them.

All stages are trained in the small shape of chapter 5; the printed shape is the default of
`ListingDiscriminator`, and `ResnetGenerator(n_blocks=6)`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from cyclegan_course.cyclegan import (
    CycleGAN,
    GeneratorLosses,
    Objective,
    Translations,
    frozen,
    generator_losses,
    training_step,
)
from cyclegan_course.laboratory.bugs.data import FromZeroToOne
from cyclegan_course.laboratory.recipe import (
    Recipe,
    reference_schedule,
    small_discriminator,
)
from cyclegan_course.networks import PatchDiscriminator


class ListingDiscriminator(PatchDiscriminator):
    """The stride-2 layers, and straight to the scores: the layer of stride 1 is missing.

    The defaults are the printed shape: 662,977 parameters, a score sees 46x46 pixels, and a 256 px
    picture gives 31x31 scores. The PatchGAN of the paper sees 70x70 and gives 30x30.

    Args:
        ndf: width after the first convolution; it doubles with each layer.
        n_layers: number of stride-2 convolutions.
    """

    def __init__(self, ndf: int = 64, n_layers: int = 3) -> None:
        super().__init__(ndf=ndf, n_layers=n_layers)
        # Ahead of the last convolution stand the missing one, its norm and its LeakyReLU.
        width = ndf * 2 ** (n_layers - 1)
        self.layers = nn.Sequential(*self.layers[:-4], nn.Conv2d(width, 1, 4, padding=1))


class OneOfEach(CycleGAN):
    """One generator for both directions and one discriminator for both domains."""

    def __init__(
        self,
        make_generator: Callable[[], nn.Module],
        make_discriminator: Callable[[], nn.Module],
        seed: int = 0,
    ) -> None:
        super().__init__(make_generator, make_discriminator, seed)
        self.G_BA, self.D_A = self.G_AB, self.D_B

    def generator_parameters(self) -> list[nn.Parameter]:
        return [*self.G_AB.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        return [*self.D_B.parameters()]


@dataclass(frozen=True)
class TwoWeights(Objective):
    """`lambda_cycle` is the listing's lambda_A, for both cycles; nothing reads `lambda_B`."""

    lambda_identity: float = 0.0
    lambda_B: float = 10.0


def raw_logarithm(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Translations]:
    """The generators' terms with mean log(1 - D(fake)) on scores without a sigmoid.

    Goodfellow et al. 2014, equation 1, where D gives a probability. A raw score above 1 makes it
    the logarithm of a negative number.
    """
    terms, made = generator_losses(model, real_A, real_B, objective)
    terms["G_AB"] = torch.log(1 - model.D_B(made.fake_B)).mean()
    terms["G_BA"] = torch.log(1 - model.D_A(made.fake_A)).mean()
    return terms, made


def generators_only(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    pool_A: Callable[[Tensor], Tensor],
    pool_B: Callable[[Tensor], Tensor],
    objective: Objective,
    form: GeneratorLosses = generator_losses,
) -> dict[str, Tensor]:
    """A training step that forgets the discriminators. Called like `cyclegan.training_step`."""
    with frozen(model.discriminator_parameters()):
        terms, _ = form(model, real_A, real_B, objective)
        optimizer_G.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
    optimizer_G.step()
    return {name: term.detach() for name, term in terms.items()}


def constant(step: int, steps: int) -> float:
    """No schedule."""
    return 1.0


Changes = dict[str, object]
_PRINTED: Changes = {
    "pool_size": 0,
    "objective": TwoWeights(adversarial="vanilla"),
    "make_discriminator": partial(ListingDiscriminator, ndf=32, n_layers=2),
    "make_model": OneOfEach,
    "make_batches": FromZeroToOne,
    "schedule": constant,
    "step": partial(generators_only, form=raw_logarithm),
}
# What each stage changes in the one before it.
_REPAIRS: dict[str, Changes] = {
    "as printed": {},
    "sigmoid": {"step": generators_only},
    "stable loss": {"objective": TwoWeights()},
    "trained D": {"step": training_step},
    "two of each": {"make_model": CycleGAN, "objective": Objective(lambda_identity=0.0)},
    "missing layer": {"make_discriminator": small_discriminator},
    "right range": {"make_batches": Recipe.make_batches},
    "chapter 5": {
        "pool_size": Recipe.pool_size,
        "schedule": reference_schedule,
        "objective": Objective(),
    },
}


def _stage(name: str) -> Callable[[int], Recipe]:
    changes = dict(_PRINTED)
    for stage, repair in _REPAIRS.items():
        changes |= repair
        if stage == name:
            break
    return lambda seed: replace(Recipe(seed=seed), **changes)


STAGES: dict[str, Callable[[int], Recipe]] = {name: _stage(name) for name in _REPAIRS}


class _FromZeroToOne(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.net((x + 1) / 2) - 1


def in_their_range(recipe: Recipe, model: CycleGAN) -> CycleGAN:
    """The model with pictures in [-1, 1] at both ends, whatever it was trained on.

    Networks that were trained on [0, 1] are fed [0, 1] and their output is read as [0, 1], so that
    a stage is not judged worse for the way in which it is measured.
    """
    if recipe.make_batches is FromZeroToOne:
        model.G_AB, model.G_BA = _FromZeroToOne(model.G_AB), _FromZeroToOne(model.G_BA)
    return model
