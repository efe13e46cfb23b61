"""A test for each fault of the article's listing: questions that right code answers with yes.

`CHECKS[name](recipe)` is true where the fault is not there, and `MENDED[stage]` says which checks a
stage of `listing.STAGES` is the first to pass.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import torch
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.laboratory.recipe import Recipe, small_discriminator, two_adams
from cyclegan_course.networks import convolutions_of, receptive_field

_FINITE, _FLOOR = "the loss of a score of 2 is a number", "the loss has a floor"
_TRAINED = "a step changes D"
_TWO_G, _TWO_D = "each direction has a generator", "each domain has a discriminator"
_WEIGHTS, _FIELD = "every weight changes the loss", "D sees as much as a PatchGAN"
_RANGE, _POOL = "pictures have the range of tanh", "D is shown old fakes too"
_DECAY, _IDENTITY = "the learning rate falls", "there is an identity term"

MENDED: dict[str, tuple[str, ...]] = {
    "as printed": (),
    "sigmoid": (_FINITE,),
    "stable loss": (_FLOOR,),
    "trained D": (_TRAINED,),
    "two of each": (_TWO_G, _TWO_D, _WEIGHTS),
    "missing layer": (_FIELD,),
    "right range": (_RANGE,),
    "chapter 5": (_POOL, _DECAY, _IDENTITY),
}


def _probe(recipe: Recipe) -> tuple[CycleGAN, dict[str, Tensor]]:
    """A fresh model after one step on noise of 24 px, and the terms of that step."""
    model = recipe.make_model(recipe.make_generator, recipe.make_discriminator, seed=recipe.seed)
    optimizers = two_adams(model, recipe.learning_rate, recipe.beta1, recipe.factor_D)
    generator = torch.Generator().manual_seed(recipe.seed)
    real_A, real_B = torch.rand(2, 1, 3, 24, 24, generator=generator)
    pools = recipe.make_pools(recipe.pool_size, recipe.seed)
    return model, recipe.step(model, real_A, real_B, *optimizers, *pools, recipe.objective)


class _Says(nn.Module):
    """A discriminator with the same score for every picture."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.tensor(score))

    def forward(self, x: Tensor) -> Tensor:
        return self.score + 0 * x.mean((1, 2, 3))


def adversarial_term(recipe: Recipe, score: float) -> float:
    """What G_AB pays in a recipe when D gives its fake this raw score."""
    return _probe(replace(recipe, make_discriminator=partial(_Says, score)))[1]["G_AB"].item()


def unused_weights(recipe: Recipe) -> list[str]:
    """The weights of the objective, other than 0, that can be doubled without any effect."""

    def total(objective: Objective) -> Tensor:
        return sum(_probe(replace(recipe, objective=objective))[1].values())

    weights = {
        field.name: value
        for field in fields(recipe.objective)
        if isinstance(value := getattr(recipe.objective, field.name), float) and value
    }
    before = total(recipe.objective)
    return [
        name
        for name, value in weights.items()
        if total(replace(recipe.objective, **{name: 2 * value})) == before
    ]


def _trains_D(recipe: Recipe) -> bool:
    untouched = recipe.make_model(recipe.make_generator, recipe.make_discriminator, recipe.seed)
    before, after = (m.discriminator_parameters() for m in (untouched, _probe(recipe)[0]))
    return any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def _shows_old_fakes(recipe: Recipe) -> bool:
    pool = recipe.make_pools(recipe.pool_size, recipe.seed)[0]
    fakes = torch.arange(200.0).view(200, 1, 1, 1, 1)
    return any(not torch.equal(pool(fake), fake) for fake in fakes)


def _reaches_below_zero(recipe: Recipe) -> bool:
    black = [torch.zeros(24, 24, 3, dtype=torch.uint8).numpy()]
    real_A, _ = recipe.make_batches(black, black, 24, batch=1, seed=0)(0)
    return real_A.min().item() == -1.0


def _field(recipe: Recipe) -> int:
    return receptive_field(convolutions_of(recipe.make_discriminator()))


def _model(recipe: Recipe) -> CycleGAN:
    return recipe.make_model(recipe.make_generator, recipe.make_discriminator)


CHECKS: dict[str, Callable[[Recipe], bool]] = {
    _FINITE: lambda recipe: torch.tensor(adversarial_term(recipe, 2.0)).isfinite().item(),
    _FLOOR: lambda recipe: adversarial_term(recipe, 1000.0) > adversarial_term(recipe, 1.0),
    _TRAINED: _trains_D,
    _TWO_G: lambda recipe: (model := _model(recipe)).G_AB is not model.G_BA,
    _TWO_D: lambda recipe: (model := _model(recipe)).D_A is not model.D_B,
    _WEIGHTS: lambda recipe: not unused_weights(recipe),
    _FIELD: lambda recipe: (
        _field(recipe) >= receptive_field(convolutions_of(small_discriminator()))
    ),
    _RANGE: _reaches_below_zero,
    _POOL: _shows_old_fakes,
    _DECAY: lambda recipe: recipe.schedule(recipe.steps - 1, recipe.steps) < 0.1,
    _IDENTITY: lambda recipe: "idt_A" in _probe(recipe)[1],
}
