"""A short training as a record of its parts: replace one, and you have an experiment or a bug.

    recipe = Recipe(seed=1)                               # the minute of chapter 5
    without_pool = dataclasses.replace(recipe, pool_size=0)
    run = train(without_pool)

The defaults are the minute of chapter 5: the small shape of `small_generator` and
`small_discriminator`, 320 steps on 48 px scenes of `night`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from torch import Tensor, nn

from cyclegan_course import worlds
from cyclegan_course.cyclegan import CycleGAN, Objective, training_step
from cyclegan_course.datasets import ImagePool, UnpairedBatches
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.training import learning_rate_factor

Batches = Callable[[int], tuple[Tensor, Tensor]]
Pool = Callable[[Tensor], Tensor]

small_generator = partial(ResnetGenerator, ngf=16, n_blocks=3, n_down=1, edge_kernel=3)
small_discriminator = partial(PatchDiscriminator, ndf=32, n_layers=2)


def two_pools(size: int, seed: int) -> tuple[Pool, Pool]:
    """One history of fakes for each domain: (pool_A, pool_B)."""
    return ImagePool(size, seed), ImagePool(size, seed + 1)


def two_adams(
    model: CycleGAN, learning_rate: float, beta1: float, factor_D: float
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """One Adam for both generators, one for both discriminators."""
    betas = (beta1, 0.999)
    return (
        torch.optim.Adam(model.generator_parameters(), lr=learning_rate, betas=betas),
        torch.optim.Adam(
            model.discriminator_parameters(), lr=learning_rate * factor_D, betas=betas
        ),
    )


def reference_schedule(step: int, steps: int) -> float:
    """The factor of the learning rate in a step, counted from 0."""
    return learning_rate_factor(step / steps)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a short training.

    Attributes:
        world, size, scenes: the pictures, `scenes` of each domain.
        steps, batch: of the training.
        seed: of the weights, the batches and the pools.
        learning_rate, beta1: of Adam; `factor_D` multiplies the discriminators' learning rate.
        pool_size: of the history of fakes; 0 for none.
        objective: the weights of the terms.
        make_generator, make_discriminator: build one network.
        make_model: builds the four, from two makers and a seed.
        make_batches: from A, B, size, batch and seed to the batch of each step.
        make_pools: from size and seed to (pool_A, pool_B).
        schedule: (step, steps) to the factor of the learning rate.
        step: one training step, called like `cyclegan.training_step`.
    """

    world: str = "night"
    size: int = 48
    scenes: int = 400
    steps: int = 320
    batch: int = 1
    seed: int = 0
    learning_rate: float = 2e-3
    beta1: float = 0.5
    factor_D: float = 1.0
    pool_size: int = 50
    objective: Objective = field(default_factory=Objective)
    make_generator: Callable[[], nn.Module] = small_generator
    make_discriminator: Callable[[], nn.Module] = small_discriminator
    make_model: Callable[..., CycleGAN] = CycleGAN
    make_batches: Callable[..., Batches] = UnpairedBatches
    make_pools: Callable[[int, int], tuple[Pool, Pool]] = two_pools
    schedule: Callable[[int, int], float] = reference_schedule
    step: Callable[..., dict[str, Tensor]] = training_step


@dataclass(frozen=True)
class Run:
    """A finished short training: the networks, and every loss term of every step.

    The networks are in evaluation mode: batch norm uses the statistics kept in training.
    """

    recipe: Recipe
    model: CycleGAN
    record: list[dict[str, float]]


Watch = Callable[[int, CycleGAN], None]


# Drawing the pictures takes a quarter of a short training; runs of one process share them.
_heap = cache(worlds.training_pictures)


def train(recipe: Recipe, watch: Watch = lambda step, model: None) -> Run:
    """Train from scratch on the CPU.

    Args:
        watch: called after each step with the number of steps made and the model.
    """
    model = recipe.make_model(recipe.make_generator, recipe.make_discriminator, seed=recipe.seed)
    heaps = (_heap(recipe.world, domain, recipe.scenes, recipe.size) for domain in "AB")
    batches = recipe.make_batches(*heaps, recipe.size, batch=recipe.batch, seed=recipe.seed)
    optimizers = two_adams(model, recipe.learning_rate, recipe.beta1, recipe.factor_D)
    full = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    pools = recipe.make_pools(recipe.pool_size, recipe.seed)
    record = []
    for step in range(recipe.steps):
        factor = recipe.schedule(step, recipe.steps)
        for optimizer, rates in zip(optimizers, full, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        terms = recipe.step(model, *batches(step), *optimizers, *pools, recipe.objective)
        record.append({"step": step + 1} | {name: term.item() for name, term in terms.items()})
        watch(step + 1, model)
    return Run(recipe, model.eval(), record)
