"""`networks.ResnetGenerator` and `networks.PatchDiscriminator` as Keras models.

Pictures are (N, H, W, C) with values in [-1, 1]; height and width are free.
"""

from collections.abc import Callable

from cyclegan_course.keras_port.framework import keras, tf
from cyclegan_course.keras_port.layers import (
    ReflectionPad2D,
    convolution,
    doubling,
    halving,
    instance_norm,
)

Norm = Callable[[tf.Tensor], tf.Tensor]
Resize = Callable[[tf.Tensor, int], tf.Tensor]
relu = keras.ops.relu


def resnet_block(x: tf.Tensor, norm: Norm = instance_norm) -> tf.Tensor:
    """x + F(x), where F is two 3x3 convolutions at constant width and size."""
    channels = x.shape[-1]
    y = relu(norm(convolution(ReflectionPad2D(1)(x), channels, 3)))
    y = norm(convolution(ReflectionPad2D(1)(y), channels, 3))
    return x + y


def resnet_generator(
    in_channels: int = 3,
    out_channels: int = 3,
    ngf: int = 64,
    n_blocks: int = 9,
    n_down: int = 2,
    edge_kernel: int = 7,
    norm: Norm = instance_norm,
    halve: Resize = halving,
    double: Resize = doubling,
) -> keras.Model:
    """The generator with the keywords of `ResnetGenerator`, as a model card has them.

    `norm`, `halve` and `double` are layers as functions of tensors, to be exchanged in experiments.
    Shapes: (N, H, W, in_channels) -> (N, H, W, out_channels), values in [-1, 1].
    """
    widths = [ngf * 2**level for level in range(n_down + 1)]
    picture = keras.Input((None, None, in_channels))
    x = ReflectionPad2D(edge_kernel // 2)(picture)
    x = relu(norm(convolution(x, ngf, edge_kernel)))
    for wide in widths[1:]:
        x = relu(norm(halve(x, wide)))
    for _ in range(n_blocks):
        x = resnet_block(x, norm)
    for narrow in reversed(widths[:-1]):
        x = relu(norm(double(x, narrow)))
    x = ReflectionPad2D(edge_kernel // 2)(x)
    x = keras.ops.tanh(convolution(x, out_channels, edge_kernel))
    return keras.Model(picture, x)


def patch_discriminator(
    in_channels: int = 3,
    ndf: int = 64,
    n_layers: int = 3,
    norm: Norm = instance_norm,
    slope: float = 0.2,
) -> keras.Model:
    """The discriminator with the keywords of `PatchDiscriminator`, and the slope of leaky ReLU.

    Shapes: (N, H, W, in_channels) -> (N, h, w, 1); h = H/8 - 2 for three layers.
    """
    widths = [ndf * min(2**level, 8) for level in range(n_layers + 1)]
    picture = keras.Input((None, None, in_channels))
    x = convolution(picture, ndf, kernel=4, stride=2, pad=1)
    x = keras.ops.leaky_relu(x, slope)
    for level, wide in enumerate(widths[1:], start=1):
        x = norm(convolution(x, wide, kernel=4, stride=2 if level < n_layers else 1, pad=1))
        x = keras.ops.leaky_relu(x, slope)
    return keras.Model(picture, convolution(x, 1, kernel=4, pad=1))
