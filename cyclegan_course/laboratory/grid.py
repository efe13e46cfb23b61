"""The cells of the stored grid of chapter 8: each one change to the minute of chapter 5.

`CELLS[group][name](seed)` is the recipe of a run. The cell `BASE` is the unchanged recipe and is
part of every group.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from cyclegan_course.cyclegan import Objective
from cyclegan_course.laboratory import variants
from cyclegan_course.laboratory.recipe import (
    Recipe,
    small_discriminator,
    small_generator,
)
from cyclegan_course.laboratory.variants import ResizeConv2d, ShuffleConv2d, small_generator_with

BASE = "full"
Cell = Callable[[int], Recipe]


def _cell(**changes) -> Cell:
    return lambda seed: replace(Recipe(seed=seed), **changes)


def _normalised(norm: Callable[[int], nn.Module], **changes) -> Cell:
    return _cell(
        make_generator=partial(small_generator, norm=norm),
        make_discriminator=partial(small_discriminator, norm=norm),
        **changes,
    )


_NO_ADVERSARIAL = {"G_AB": 0.0, "G_BA": 0.0}

CELLS: dict[str, dict[str, Cell]] = {
    "terms": {
        "adversarial only": _cell(objective=Objective(0.0, 0.0)),
        "adversarial + identity": _cell(objective=Objective(0.0, 5.0)),
        "adversarial + cycle": _cell(objective=Objective(10.0, 0.0)),
        BASE: _cell(),
        "cycle only": _cell(
            objective=Objective(10.0, 0.0), step=variants.weighted(**_NO_ADVERSARIAL)
        ),
        "cycle + identity": _cell(step=variants.weighted(**_NO_ADVERSARIAL)),
        "cycle A to B to A only": _cell(step=variants.weighted(cycle_B=0.0)),
        "cycle B to A to B only": _cell(step=variants.weighted(cycle_A=0.0)),
    },
    "lambda": {
        "lambda 1": _cell(objective=Objective(lambda_cycle=1.0)),
        BASE: _cell(),
        "lambda 100": _cell(objective=Objective(lambda_cycle=100.0)),
    },
    "pool": {BASE: _cell(), "no pool": _cell(pool_size=0)},
    "loss": {
        BASE: _cell(),
        "vanilla": _cell(objective=Objective(adversarial="vanilla")),
        "non-saturating": _cell(objective=Objective(adversarial="non_saturating")),
        "hinge": _cell(objective=Objective(adversarial="hinge")),
    },
    "norm": {
        BASE: _cell(),
        "batch norm, batch 1": _normalised(nn.BatchNorm2d),
        "batch norm, batch 8": _normalised(nn.BatchNorm2d, batch=8, steps=40),
        "no norm": _normalised(lambda channels: nn.Identity()),
    },
    "batch": {
        BASE: _cell(),
        "batch 8, as many pictures": _cell(batch=8, steps=40),
        "batch 8, as many steps": _cell(batch=8),
    },
    "upsampling": {
        BASE: _cell(),
        "transposed, kernel 4": _cell(make_generator=small_generator_with(variants.transposed_4)),
        "nearest + convolution": _cell(
            make_generator=small_generator_with(partial(ResizeConv2d, mode="nearest"))
        ),
        "bilinear + convolution": _cell(
            make_generator=small_generator_with(partial(ResizeConv2d, mode="bilinear"))
        ),
        "pixel shuffle": _cell(make_generator=small_generator_with(ShuffleConv2d)),
    },
}


def recipes(group: str, world: str, seed: int) -> dict[str, Recipe]:
    """The recipes of a group by name, on one world."""
    return {name: replace(cell(seed), world=world) for name, cell in CELLS[group].items()}
