"""The generators' losses with a fault. Same call and same names as `cyclegan.generator_losses`."""

from torch import Tensor

from cyclegan_course import losses
from cyclegan_course.cyclegan import CycleGAN, Objective, Translations, generator_losses


def detached_cycle(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Translations]:
    """The cycles start from detached fakes, so each trains only its second generator."""
    terms, made = generator_losses(model, real_A, real_B, objective)
    rec_A, rec_B = model.G_BA(made.fake_B.detach()), model.G_AB(made.fake_A.detach())
    terms["cycle_A"] = objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A)
    terms["cycle_B"] = objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B)
    return terms, made._replace(rec_A=rec_A, rec_B=rec_B)


def swapped_identity(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Translations]:
    """The identity terms use the other generator: each is told to leave its own input alone."""
    terms, made = generator_losses(model, real_A, real_B, objective)
    if objective.lambda_identity > 0:
        weight = objective.lambda_identity
        terms["idt_A"] = weight * losses.identity_loss(model.G_AB(real_A), real_A)
        terms["idt_B"] = weight * losses.identity_loss(model.G_BA(real_B), real_B)
    return terms, made
