"""Faults that published code has, each as a small variant that runs and looks plausible.

`BUGS` holds them by name. A bug replaces one part of a `Recipe`; its repair is to put the right
part back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.laboratory import recipe as right
from cyclegan_course.laboratory.bugs import data, losses, networks, schedules, steps
from cyclegan_course.laboratory.recipe import Recipe
from cyclegan_course.laboratory.variants import step_with


@dataclass(frozen=True)
class Bug:
    """A fault.

    Attributes:
        name: key in `BUGS`.
        title: the fault in a few words.
        where: the part of the code that holds it.
        changes: fields of `Recipe` and what the faulty code has there.
        base: fields that bug and repair share, where the minute of chapter 5 would not do.
        repaired: name of the recipe without the fault; several bugs may share it.
        deploy: what the same fault does when the trained networks are used.
    """

    name: str
    title: str
    where: str
    changes: dict[str, Any]
    base: dict[str, Any]
    repaired: str
    deploy: Callable[[CycleGAN], CycleGAN]

    def right(self, seed: int) -> Recipe:
        """The recipe without the fault."""
        return replace(Recipe(seed=seed), **self.base)

    def wrong(self, seed: int) -> Recipe:
        """The recipe with the fault."""
        return replace(self.right(seed), **self.changes)


def _bug(
    name: str,
    title: str,
    where: str,
    base: dict[str, Any] | None = None,
    repaired: str = "minute of chapter 5",
    deploy: Callable[[CycleGAN], CycleGAN] = lambda model: model,
    **changes: Any,
) -> Bug:
    return Bug(name, title, where, changes, base or {}, repaired, deploy)


_FEW = {"base": {"scenes": 16}, "repaired": "minute with 16 scenes"}


BUGS: dict[str, Bug] = {
    bug.name: bug
    for bug in (
        _bug(
            "one_layer_more",
            "A discriminator with one layer too many: 142 pixels called 70",
            "discriminator",
            make_discriminator=partial(networks.one_layer_more, ndf=32, n_layers=2),
        ),
        _bug(
            "one_halving_more",
            "One halving too many: 94 pixels called 70",
            "discriminator",
            make_discriminator=partial(networks.one_halving_more, ndf=32, n_layers=2),
        ),
        _bug(
            "relu_after_sum",
            "ReLU after the sum of a residual block",
            "generator",
            make_generator=partial(networks.with_relu_after_sum, right.small_generator),
        ),
        _bug(
            "gain_around_zero",
            "Gain of the norm drawn around 0 in place of 1",
            "generator",
            base={"make_generator": partial(right.small_generator, norm=networks.gain_around_one)},
            repaired="minute with a trained gain",
            make_generator=partial(right.small_generator, norm=networks.gain_around_zero),
        ),
        _bug(
            "detached_cycle",
            "The cycle starts from a detached fake",
            "generators' losses",
            step=step_with(losses.detached_cycle),
        ),
        _bug(
            "own_cycle_only",
            "Each generator is trained by its own cycle term only",
            "training step",
            step=steps.own_cycle_only,
        ),
        _bug(
            "swapped_identity",
            "The identity terms use the other generator",
            "generators' losses",
            step=step_with(losses.swapped_identity),
        ),
        _bug(
            "kept_gradients",
            "Discriminators not frozen, and their gradients not set to zero in time",
            "training step",
            step=steps.kept_gradients,
        ),
        _bug(
            "wrong_range",
            "Pictures in [0, 1] for a generator that ends in tanh",
            "data",
            deploy=data.fed_from_zero_to_one,
            make_batches=data.FromZeroToOne,
        ),
        _bug(
            "frozen_augmentation",
            "Each picture is mirrored once and kept like that",
            "data",
            **_FEW,
            make_batches=data.FrozenAugmentation,
        ),
        _bug(
            "same_row",
            "A and B are always taken from the same row",
            "data",
            **_FEW,
            make_batches=data.SameRow,
        ),
        _bug(
            "one_pool",
            "One image pool for both domains",
            "image pool",
            make_pools=data.one_pool,
        ),
        _bug(
            "below_zero",
            "A decay that runs below 0",
            "schedule",
            schedule=schedules.below_zero,
        ),
        _bug(
            "off_by_one",
            "A schedule that counts from 1",
            "schedule",
            schedule=schedules.off_by_one,
        ),
    )
}
