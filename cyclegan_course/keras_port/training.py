"""One training step of CycleGAN with GradientTape: the counterpart of `cyclegan.training_step`.

PyTorch stores gradients at the parameters, and `frozen` keeps them away from the discriminators.
A tape gives the gradients of the variables it is asked for and stores nothing, so there is nothing
to freeze and nothing to set to zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cyclegan_course.cyclegan import Objective, Translations
from cyclegan_course.keras_port import losses
from cyclegan_course.keras_port.framework import keras, tf

Pool = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class KerasCycleGAN:
    """The four networks, as in `cyclegan.CycleGAN`."""

    G_AB: keras.Model
    G_BA: keras.Model
    D_A: keras.Model
    D_B: keras.Model

    def generator_variables(self) -> list:
        return [*self.G_AB.trainable_variables, *self.G_BA.trainable_variables]

    def discriminator_variables(self) -> list:
        return [*self.D_A.trainable_variables, *self.D_B.trainable_variables]


def adam(learning_rate: float = 2e-4) -> keras.optimizers.Adam:
    """Adam with the betas of CycleGAN and the epsilon of PyTorch; Keras' default is 1e-7.

    Even then the two are not the same: PyTorch adds epsilon to sqrt(v / (1 - beta_2^t)), Keras to
    sqrt(v), which makes it larger by 1 / sqrt(1 - beta_2^t), 32 times in the first step (Kingma
    and Ba 2015, the end of section 2, call it epsilon hat).
    """
    return keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8)


def generator_losses(
    model: KerasCycleGAN, real_A: tf.Tensor, real_B: tf.Tensor, objective: Objective
) -> tuple[dict[str, tf.Tensor], Translations]:
    """As `cyclegan.generator_losses` with LSGAN: the weighted terms, and the pictures made."""
    fake_B = model.G_AB(real_A)
    rec_A = model.G_BA(fake_B)
    fake_A = model.G_BA(real_B)
    rec_B = model.G_AB(fake_A)

    terms = {
        "G_AB": losses.generator_loss(model.D_B(fake_B)),
        "G_BA": losses.generator_loss(model.D_A(fake_A)),
        "cycle_A": objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A),
        "cycle_B": objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B),
    }
    if objective.lambda_identity > 0:
        idt_A, idt_B = model.G_BA(real_A), model.G_AB(real_B)
        terms["idt_A"] = objective.lambda_identity * losses.identity_loss(idt_A, real_A)
        terms["idt_B"] = objective.lambda_identity * losses.identity_loss(idt_B, real_B)
    return terms, Translations(fake_B, rec_A, fake_A, rec_B)


def discriminator_losses(
    model: KerasCycleGAN,
    real_A: tf.Tensor,
    real_B: tf.Tensor,
    fake_A: tf.Tensor,
    fake_B: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """As `cyclegan.discriminator_losses` with LSGAN; no gradient reaches a generator."""
    fake_A, fake_B = tf.stop_gradient(fake_A), tf.stop_gradient(fake_B)
    return {
        "D_A": 0.5 * losses.discriminator_loss(model.D_A(real_A), model.D_A(fake_A)),
        "D_B": 0.5 * losses.discriminator_loss(model.D_B(real_B), model.D_B(fake_B)),
    }


def training_step(
    model: KerasCycleGAN,
    real_A: tf.Tensor,
    real_B: tf.Tensor,
    optimizer_G: keras.optimizers.Optimizer,
    optimizer_D: keras.optimizers.Optimizer,
    pool_A: Pool,
    pool_B: Pool,
    objective: Objective,
) -> dict[str, tf.Tensor]:
    """One step of both sides: generators first, then discriminators.

    Args:
        real_A, real_B: (N, H, W, 3) in [-1, 1], not a pair.
        pool_A, pool_B: take the fresh fakes, give the fakes to show the discriminator.

    Returns:
        Every loss term by name.
    """
    with tf.GradientTape() as tape:
        terms_G, made = generator_losses(model, real_A, real_B, objective)
        total = sum(terms_G.values())
    variables = model.generator_variables()
    optimizer_G.apply(tape.gradient(total, variables), variables)

    fake_A, fake_B = pool_A(made.fake_A), pool_B(made.fake_B)
    with tf.GradientTape() as tape:
        terms_D = discriminator_losses(model, real_A, real_B, fake_A, fake_B)
        total = sum(terms_D.values())
    variables = model.discriminator_variables()
    optimizer_D.apply(tape.gradient(total, variables), variables)
    return terms_G | terms_D
