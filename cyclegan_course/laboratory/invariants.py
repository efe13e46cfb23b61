"""The invariants of chapter 9, asked of a whole recipe: which of them does a training break?

The invariants themselves are exercises (`exercises/chapter_09.py`); each asks one part. Here it is
said which part of a `Recipe` each of them gets, by the name of its function, so that any of them
can be put to any bug.
"""

from collections.abc import Callable, Iterable

from torch import nn

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.probes import one_step
from cyclegan_course.laboratory.recipe import Recipe, small_discriminator
from cyclegan_course.networks import ResnetBlock, receptive_field

Invariant = Callable[..., bool]


def _field() -> int:
    """The side in pixels that the small discriminator should see, from its plan."""
    n_layers = small_discriminator.keywords["n_layers"]
    return receptive_field([(4, 2)] * n_layers + [(4, 1)] * 2)


def _first(net: nn.Module, kind: type[nn.Module]) -> nn.Module:
    return next(module for module in net.modules() if isinstance(module, kind))


def _block(recipe: Recipe) -> Callable[[int], nn.Module]:
    # The small generator halves the picture once: its blocks are twice as wide as its edge.
    return lambda channels: _first(recipe.make_generator(ngf=channels // 2), ResnetBlock)


def _norm(recipe: Recipe) -> Callable[[int], nn.Module]:
    return lambda channels: _first(recipe.make_generator(ngf=channels), nn.InstanceNorm2d)


def _form(recipe: Recipe) -> Callable[..., tuple]:
    """The generators' losses of a step, read from what it records."""

    def form(model, real_A, real_B, objective):
        _, terms = one_step(recipe.step, model, real_A, real_B, objective)
        return terms, None

    return form


# The invariants by name: what of a recipe each one is called with.
PARTS: dict[str, Callable[[Recipe], tuple]] = {
    "sees_exactly": lambda recipe: (recipe.make_discriminator, _field()),
    "adds_to_its_input": lambda recipe: (_block(recipe),),
    "keeps_the_scale": lambda recipe: (_norm(recipe),),
    "cycles_train_both": lambda recipe: (recipe.step,),
    "identity_is_free": lambda recipe: (_form(recipe),),
    "discriminators_learn_alone": lambda recipe: (recipe.step,),
    "batches_are_fresh": lambda recipe: (recipe.make_batches,),
    "pools_are_apart": lambda recipe: (recipe.make_pools,),
    "schedule_is_sound": lambda recipe: (recipe.schedule,),
}

# Which bugs each invariant is there to catch.
CATCHES: dict[str, tuple[str, ...]] = {
    "sees_exactly": ("one_layer_more", "one_halving_more"),
    "adds_to_its_input": ("relu_after_sum",),
    "keeps_the_scale": ("gain_around_zero",),
    "cycles_train_both": ("detached_cycle", "own_cycle_only"),
    "identity_is_free": ("swapped_identity",),
    "discriminators_learn_alone": ("kept_gradients",),
    "batches_are_fresh": ("wrong_range", "frozen_augmentation", "same_row"),
    "pools_are_apart": ("one_pool",),
    "schedule_is_sound": ("below_zero", "off_by_one"),
}


def verdicts(invariants: Iterable[Invariant], recipe: Recipe) -> dict[str, bool]:
    """Ask every invariant of the part of a recipe that it is about.

    Args:
        invariants: functions with the names of `PARTS`.
        recipe: of the small shape, right or with a bug. Nothing is trained.

    Returns:
        By the invariant's name, True where it holds.

    Raises:
        CourseError: for an invariant of another name.
    """
    found = {}
    for invariant in invariants:
        if invariant.__name__ not in PARTS:
            raise CourseError(
                f"There is no part of a recipe for {invariant.__name__!r}: name the function one "
                f"of {', '.join(PARTS)}."
            )
        found[invariant.__name__] = bool(invariant(*PARTS[invariant.__name__](recipe)))
    return found
