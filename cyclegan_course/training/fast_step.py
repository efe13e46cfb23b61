"""The training step once more, made fast: the same gradients as `cyclegan.training_step`.

Read `cyclegan.training_step` first: it says what is computed. Here only the order changes.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from cyclegan_course import environment, losses
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.training.config import Config
from cyclegan_course.training.state import State


class FastStep:
    """One call is one training step.

    Args:
        state: its networks, optimizers and pools are changed by each step.
        config: the objective, precision and compilation are taken from it.
        gather: given the fresh fakes of this process, returns those of all processes, in order;
            the pool is one for all.
        average_gradients: called between backward and the optimizers' steps.
    """

    def __init__(self, state: State, config: Config) -> None:
        self.state = state
        self.config = config
        self.objective = Objective(config.lambda_cycle, config.lambda_identity, config.adversarial)
        self.device = state.pool_A.pictures.device
        self.draw = torch.Generator(self.device)

    def __call__(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """Train on one batch; (N, 3, H, W) in [-1, 1] each, on the state's device.

        Returns:
            Every loss term by name, detached, still on the device.
        """
        state = self.state
        with autocast(self.config.precision, self.device):
            terms_G, fake_A, fake_B = generator_side(state.model, real_A, real_B, self.objective)
            draws_A, draws_B = self.pool_draws(len(real_A))
            shown_A, shown_B = state.pool_A(fake_A, draws_A), state.pool_B(fake_B, draws_B)
            terms_D = discriminator_side(
                state.model, real_A, real_B, shown_A, shown_B, self.objective
            )
        terms = terms_G | terms_D
        state.optimizer_G.zero_grad(set_to_none=True)
        state.optimizer_D.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        state.optimizer_G.step()
        state.optimizer_D.step()
        return {name: term.detach() for name, term in terms.items()}

    def pool_draws(self, count: int) -> Tensor:
        """Random numbers of this step for both pools, (2, count, 2): a function of seed and step."""
        seed = np.random.SeedSequence([self.config.seed, 2, self.state.step])
        self.draw.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        return torch.rand(2, count, 2, device=self.device, generator=self.draw)


def generator_side(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """`cyclegan.generator_losses` with 4 calls of generators where that has 6.

    Instance norm treats each picture alone, so pictures may share a call.

    Returns:
        The terms by name, then fake_A and fake_B, detached.
    """
    count = len(real_A)
    if objective.lambda_identity > 0:
        fake_B, idt_B = model.G_AB(torch.cat([real_A, real_B])).split(count)
        fake_A, idt_A = model.G_BA(torch.cat([real_B, real_A])).split(count)
    else:
        fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    terms = {
        "G_AB": losses.generator_loss(_as_judge(model.D_B)(fake_B), objective.adversarial),
        "G_BA": losses.generator_loss(_as_judge(model.D_A)(fake_A), objective.adversarial),
        "cycle_A": objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A),
        "cycle_B": objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B),
    }
    if objective.lambda_identity > 0:
        terms["idt_A"] = objective.lambda_identity * losses.identity_loss(idt_A, real_A)
        terms["idt_B"] = objective.lambda_identity * losses.identity_loss(idt_B, real_B)
    return terms, fake_A.detach(), fake_B.detach()


def discriminator_side(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    fake_A: Tensor,
    fake_B: Tensor,
    objective: Objective,
) -> dict[str, Tensor]:
    """`cyclegan.discriminator_losses` with real and fake pictures in one call."""
    terms = {}
    for name, D, real, fake in (
        ("D_A", model.D_A, real_A, fake_A),
        ("D_B", model.D_B, real_B, fake_B),
    ):
        score_real, score_fake = D(torch.cat([real, fake.to(real.dtype)])).split(len(real))
        terms[name] = 0.5 * losses.discriminator_loss(score_real, score_fake, objective.adversarial)
    return terms


def _as_judge(D: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """The discriminator with frozen parameters: gradients flow through it, not into it."""
    fixed = {name: parameter.detach() for name, parameter in D.named_parameters()}
    return lambda pictures: functional_call(D, fixed, (pictures,))


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where that is asked for, or faster and left to choose."""
    use_bf16 = precision == "bfloat16" or (
        precision == "auto" and environment.has_fast_bfloat16(device)
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=use_bf16)
