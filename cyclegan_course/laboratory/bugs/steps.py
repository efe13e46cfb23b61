"""Training steps with a fault. Same call and same result as `cyclegan.training_step`."""

from collections.abc import Callable

import torch
from torch import Tensor

from cyclegan_course.cyclegan import (
    CycleGAN,
    Objective,
    discriminator_losses,
    frozen,
    generator_losses,
)


def own_cycle_only(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    pool_A: Callable[[Tensor], Tensor],
    pool_B: Callable[[Tensor], Tensor],
    objective: Objective,
) -> dict[str, Tensor]:
    """Each generator gets a loss of its own, with one cycle term only, the one that it begins.

    So G_BA is never told by cycle_A to find the way back, nor G_AB by cycle_B.
    """
    with frozen(model.discriminator_parameters()):
        terms_G, made = generator_losses(model, real_A, real_B, objective)
        mine = (("G_AB", "cycle_A", "idt_B"), ("G_BA", "cycle_B", "idt_A"))
        optimizer_G.zero_grad(set_to_none=True)
        for net, names in zip((model.G_AB, model.G_BA), mine, strict=True):
            loss = sum(terms_G[name] for name in names if name in terms_G)
            loss.backward(inputs=list(net.parameters()), retain_graph=True)
    optimizer_G.step()

    fake_A, fake_B = pool_A(made.fake_A.detach()), pool_B(made.fake_B.detach())
    terms_D = discriminator_losses(model, real_A, real_B, fake_A, fake_B, objective)
    optimizer_D.zero_grad(set_to_none=True)
    sum(terms_D.values()).backward()
    optimizer_D.step()
    return {name: term.detach() for name, term in (terms_G | terms_D).items()}


def kept_gradients(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    pool_A: Callable[[Tensor], Tensor],
    pool_B: Callable[[Tensor], Tensor],
    objective: Objective,
) -> dict[str, Tensor]:
    """Both `zero_grad` at the beginning and nothing frozen.

    What the generators' backward pass leaves in the discriminators is added to their own gradient.
    """
    optimizer_G.zero_grad(set_to_none=True)
    optimizer_D.zero_grad(set_to_none=True)
    terms_G, made = generator_losses(model, real_A, real_B, objective)
    sum(terms_G.values()).backward()
    optimizer_G.step()

    fake_A, fake_B = pool_A(made.fake_A.detach()), pool_B(made.fake_B.detach())
    terms_D = discriminator_losses(model, real_A, real_B, fake_A, fake_B, objective)
    sum(terms_D.values()).backward()
    optimizer_D.step()
    return {name: term.detach() for name, term in (terms_G | terms_D).items()}
