"""The losses of CycleGAN as functions of TensorFlow tensors. All are means, and scalars.

`keras.losses.mean_squared_error` is a mean over the last axis alone: of score maps (N, h, w, 1) it
leaves (N, h, w). The class `keras.losses.MeanSquaredError` takes the mean of that, as here.
"""

from cyclegan_course.keras_port.framework import keras, tf

ops = keras.ops


def discriminator_loss(score_real: tf.Tensor, score_fake: tf.Tensor) -> tf.Tensor:
    """LSGAN: mean (D(x) - 1)^2 + mean D(G(z))^2 (Mao et al. 2017, with labels 0 and 1)."""
    return ops.mean(ops.square(score_real - 1.0)) + ops.mean(ops.square(score_fake))


def generator_loss(score_fake: tf.Tensor) -> tf.Tensor:
    """LSGAN: mean (D(G(z)) - 1)^2."""
    return ops.mean(ops.square(score_fake - 1.0))


def cycle_consistency_loss(rec: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Mean |G_BA(G_AB(a)) - a| (Zhu et al. 2017, equation 2)."""
    return ops.mean(ops.abs(rec - real))


def identity_loss(idt: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Mean |G_AB(b) - b| (Zhu et al. 2017, section 5.2)."""
    return ops.mean(ops.abs(idt - real))
