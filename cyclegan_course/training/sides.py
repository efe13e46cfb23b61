"""The losses of both sides as `FastStep` computes them: fewer calls, the same gradients.

A generators' side takes (model, real_A, real_B, objective, *positions) and returns its terms by
name and the fakes by their domain, detached. A discriminators' side takes (model, reals, fakes,
objective), both by their domain, and returns its terms. Discriminators are frozen by
`as_judge` in the one and trained in the other, so both sides may share one backward pass.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cyclegan_course import cut, cyclegan, losses
from cyclegan_course.cut import CUT, ContrastiveObjective
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.training.config import Config

Terms = dict[str, Tensor]
Pictures = dict[str, Tensor]


class Sides(NamedTuple):
    """What a method computes in a step, and with which weights."""

    objective: Objective | ContrastiveObjective
    generators: Callable[..., tuple[Terms, Pictures]]
    discriminators: Callable[..., Terms]


def sides_of(config: Config, batched: bool) -> Sides:
    """The sides of a run's method.

    Args:
        batched: pictures share calls; otherwise the textbook's calls one by one.
    """
    discriminators = discriminator_side if batched else textbook_discriminator_side
    if config.method == "cut":
        contrastive = ContrastiveObjective(
            config.lambda_nce, config.lambda_nce_identity, config.adversarial
        )
        return Sides(contrastive, cut_generator_side, discriminators)
    objective = Objective(config.lambda_cycle, config.lambda_identity, config.adversarial)
    generators = generator_side if batched else textbook_generator_side
    return Sides(objective, generators, discriminators)


def generator_side(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[Terms, Pictures]:
    """`cyclegan.generator_losses` with 4 calls of generators where that has 6.

    Instance norm treats each picture alone, so pictures may share a call.
    """
    count = len(real_A)
    if objective.lambda_identity > 0:
        fake_B, idt_B = model.G_AB(torch.cat([real_A, real_B])).split(count)
        fake_A, idt_A = model.G_BA(torch.cat([real_B, real_A])).split(count)
    else:
        fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    terms = {
        "G_AB": losses.generator_loss(as_judge(model.D_B)(fake_B), objective.adversarial),
        "G_BA": losses.generator_loss(as_judge(model.D_A)(fake_A), objective.adversarial),
        "cycle_A": objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A),
        "cycle_B": objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B),
    }
    if objective.lambda_identity > 0:
        terms["idt_A"] = objective.lambda_identity * losses.identity_loss(idt_A, real_A)
        terms["idt_B"] = objective.lambda_identity * losses.identity_loss(idt_B, real_B)
    return terms, {"A": fake_A.detach(), "B": fake_B.detach()}


def textbook_generator_side(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[Terms, Pictures]:
    """`cyclegan.generator_losses` as it is."""
    terms, made = cyclegan.generator_losses(_judged(model), real_A, real_B, objective)
    return terms, {"A": made.fake_A.detach(), "B": made.fake_B.detach()}


def cut_generator_side(
    model: CUT,
    real_A: Tensor,
    real_B: Tensor,
    objective: ContrastiveObjective,
    *positions: Tensor,
) -> tuple[Terms, Pictures]:
    """`cut.generator_losses`, in which pictures share calls already."""
    terms, fake_B = cut.generator_losses(_judged(model), real_A, real_B, objective, positions)
    return terms, {"B": fake_B.detach()}


def discriminator_side(
    model: nn.Module, reals: Pictures, fakes: Pictures, objective: Objective | ContrastiveObjective
) -> Terms:
    """`textbook_discriminator_side` with real and fake pictures in one call."""
    terms = {}
    for domain, fake in fakes.items():
        real, D = reals[domain], getattr(model, f"D_{domain}")
        scores = D(torch.cat([real, fake.to(real.dtype)])).split(len(real))
        loss = losses.discriminator_loss(*scores, objective.adversarial)
        terms[f"D_{domain}"] = 0.5 * loss
    return terms


def textbook_discriminator_side(
    model: nn.Module, reals: Pictures, fakes: Pictures, objective: Objective | ContrastiveObjective
) -> Terms:
    """`cyclegan.discriminator_losses`, or that of `cut`, as it is."""
    if isinstance(model, CUT):
        return cut.discriminator_losses(model, reals["B"], fakes["B"], objective)
    pictures = reals["A"], reals["B"], fakes["A"], fakes["B"]
    return cyclegan.discriminator_losses(model, *pictures, objective)


def as_judge(D: nn.Module) -> Callable[[Tensor], Tensor]:
    """The discriminator with frozen parameters: gradients flow through it, not into it."""
    fixed = {name: parameter.detach() for name, parameter in D.named_parameters()}
    return lambda pictures: functional_call(D, fixed, (pictures,))


def _judged(model: CycleGAN | CUT) -> SimpleNamespace:
    """The model's parts by name, its discriminators as judges."""
    parts = {
        name: as_judge(part) if name in ("D_A", "D_B") else part
        for name, part in model.named_children()
    }
    return SimpleNamespace(**parts, taps=getattr(model, "taps", None))
