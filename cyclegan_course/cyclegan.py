"""CycleGAN: two generators, two discriminators, and the one training step.

The objective (Zhu et al. 2017, equation 3), with the identity term of section 5.2:

    min over G_AB, G_BA, max over D_A, D_B of
      L_GAN(G_AB, D_B, A, B) + L_GAN(G_BA, D_A, B, A)
      + lambda_cycle * (|G_BA(G_AB(a)) - a| + |G_AB(G_BA(b)) - b|)
      + lambda_identity * (|G_BA(a) - a| + |G_AB(b) - b|)

The paper writes G: X -> Y and F: Y -> X with D_Y and D_X for the same four networks. Here a name
ends in the domain that a picture belongs to: fake_B = G_AB(real_A) is scored by D_B, and
rec_A = G_BA(fake_B) is compared with real_A. Note that idt_B = G_AB(real_B) lives in domain B;
the reference code calls the same picture idt_A.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cyclegan_course import losses
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator, init_weights


@dataclass(frozen=True)
class Objective:
    """The weights of the terms; the defaults are the reference recipe's."""

    lambda_cycle: float = 10.0
    lambda_identity: float = 5.0
    adversarial: losses.Adversarial = "lsgan"


class CycleGAN(nn.Module):
    """The four networks. G_AB: A -> B, G_BA: B -> A; D_A and D_B score pictures of A and of B."""

    def __init__(
        self,
        make_generator: Callable[[], nn.Module] = ResnetGenerator,
        make_discriminator: Callable[[], nn.Module] = PatchDiscriminator,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.G_AB = init_weights(make_generator(), generator=generator)
        self.G_BA = init_weights(make_generator(), generator=generator)
        self.D_A = init_weights(make_discriminator(), generator=generator)
        self.D_B = init_weights(make_discriminator(), generator=generator)

    def generator_parameters(self) -> list[nn.Parameter]:
        return [*self.G_AB.parameters(), *self.G_BA.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        return [*self.D_A.parameters(), *self.D_B.parameters()]


class Translations(NamedTuple):
    """The pictures that one generator step makes, each (N, 3, H, W) in [-1, 1]."""

    fake_B: Tensor
    rec_A: Tensor
    fake_A: Tensor
    rec_B: Tensor


@contextmanager
def frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Within the block, gradients flow through these parameters but not into them."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def generator_losses(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Translations]:
    """The generators' side of the objective, each term already weighted.

    Returns:
        The terms by name (their sum is what both generators minimise together, so each of them
        receives the gradient of both cycles), and the pictures made on the way.
    """
    fake_B = model.G_AB(real_A)
    rec_A = model.G_BA(fake_B)
    fake_A = model.G_BA(real_B)
    rec_B = model.G_AB(fake_A)

    terms = {
        "G_AB": losses.generator_loss(model.D_B(fake_B), objective.adversarial),
        "G_BA": losses.generator_loss(model.D_A(fake_A), objective.adversarial),
        "cycle_A": objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A),
        "cycle_B": objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B),
    }
    if objective.lambda_identity > 0:
        idt_A, idt_B = model.G_BA(real_A), model.G_AB(real_B)
        terms["idt_A"] = objective.lambda_identity * losses.identity_loss(idt_A, real_A)
        terms["idt_B"] = objective.lambda_identity * losses.identity_loss(idt_B, real_B)
    return terms, Translations(fake_B, rec_A, fake_A, rec_B)


GeneratorLosses = Callable[
    [CycleGAN, Tensor, Tensor, Objective], tuple[dict[str, Tensor], Translations]
]


def discriminator_losses(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    fake_A: Tensor,
    fake_B: Tensor,
    objective: Objective,
) -> dict[str, Tensor]:
    """The discriminators' side, times 1/2 as in the reference: D then learns slower than G.

    The fakes are detached here: whatever is passed in, no gradient reaches a generator.
    """
    kind = objective.adversarial
    return {
        "D_A": 0.5 * losses.discriminator_loss(model.D_A(real_A), model.D_A(fake_A.detach()), kind),
        "D_B": 0.5 * losses.discriminator_loss(model.D_B(real_B), model.D_B(fake_B.detach()), kind),
    }


def training_step(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    pool_A: Callable[[Tensor], Tensor],
    pool_B: Callable[[Tensor], Tensor],
    objective: Objective,
    generator_losses: GeneratorLosses = generator_losses,
) -> dict[str, Tensor]:
    """One step of both sides, in the reference's order: generators first, then discriminators.

    Args:
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        pool_A, pool_B: take the fresh fakes, give the fakes to show the discriminator
            (see `datasets.ImagePool`).
        generator_losses: another form of the generators' side, for experiments.

    Returns:
        Every loss term by name, detached, still on the device: reading a number would make the
        device wait.
    """
    with frozen(model.discriminator_parameters()):
        terms_G, made = generator_losses(model, real_A, real_B, objective)
        optimizer_G.zero_grad(set_to_none=True)
        sum(terms_G.values()).backward()
    optimizer_G.step()

    fake_A, fake_B = pool_A(made.fake_A.detach()), pool_B(made.fake_B.detach())
    terms_D = discriminator_losses(model, real_A, real_B, fake_A, fake_B, objective)
    optimizer_D.zero_grad(set_to_none=True)
    sum(terms_D.values()).backward()
    optimizer_D.step()
    return {name: term.detach() for name, term in (terms_G | terms_D).items()}
