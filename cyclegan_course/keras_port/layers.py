"""The layers of CycleGAN in Keras that need a second look, as functions of tensors (N, H, W, C).

Each gives the numbers of the PyTorch layer named in its first line. Every kernel is drawn from
N(0, 0.02) and every bias is 0, as `networks.init_weights` has it; Keras' own default is Glorot's
uniform distribution.
"""

from cyclegan_course.keras_port.framework import keras, tf

layers = keras.layers
INITIAL_STD = 0.02
EPSILON = 1e-5  # of torch's instance norm; Keras' default is 1e-3


@keras.saving.register_keras_serializable(package="cyclegan_course")
class ReflectionPad2D(layers.Layer):
    """`nn.ReflectionPad2d(pad)`: the mirror stands on the edge pixel, which is not repeated.

    Keras' `ops.pad` calls this "reflect"; its "symmetric" repeats the edge pixel.
    """

    def __init__(self, pad: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.pad = pad

    def call(self, x: tf.Tensor) -> tf.Tensor:
        sides = [self.pad, self.pad]
        return keras.ops.pad(x, [[0, 0], sides, sides, [0, 0]], mode="reflect")

    def get_config(self) -> dict:
        return {**super().get_config(), "pad": self.pad}


def _initial() -> keras.initializers.Initializer:
    # A new one for each layer: one initializer draws the same numbers for every equal shape.
    return keras.initializers.RandomNormal(stddev=INITIAL_STD)


def convolution(x: tf.Tensor, channels: int, kernel: int, stride: int = 1, pad: int = 0):
    """`nn.Conv2d(in, channels, kernel, stride, padding=pad)`: zeros on all four sides.

    Keras' "same" would put them where the size asks for, and more at the end than at the start.
    """
    if pad:
        x = layers.ZeroPadding2D(pad)(x)
    return layers.Conv2D(channels, kernel, strides=stride, kernel_initializer=_initial())(x)


def halving(x: tf.Tensor, channels: int) -> tf.Tensor:
    """`nn.Conv2d(in, channels, 3, stride=2, padding=1)`: (N, H, W, in) -> (N, H/2, W/2, channels).

    On an even size "same" pads 0 at the start and 1 at the end: every window lies one pixel later.
    """
    return convolution(x, channels, kernel=3, stride=2, pad=1)


def doubling(x: tf.Tensor, channels: int) -> tf.Tensor:
    """`nn.ConvTranspose2d(in, channels, 3, stride=2, padding=1, output_padding=1)`.

    (N, H, W, in) -> (N, 2 H, 2 W, channels). All that the kernels reach is 2 H + 1 rows. PyTorch
    crops the first one; "same" crops the last one.
    """
    x = layers.Conv2DTranspose(channels, 3, strides=2, kernel_initializer=_initial())(x)
    return layers.Cropping2D(((1, 0), (1, 0)))(x)


def instance_norm(x: tf.Tensor) -> tf.Tensor:
    """`nn.InstanceNorm2d(channels)`: each channel of each picture to mean 0 and variance 1.

    One group per channel (groups=-1); both divide by the biased variance, the mean of squares.
    """
    return layers.GroupNormalization(groups=-1, epsilon=EPSILON, center=False, scale=False)(x)
