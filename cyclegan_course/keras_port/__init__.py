"""CycleGAN in Keras 3 on TensorFlow, for readers who come from there: the same numbers as PyTorch.

    from cyclegan_course import keras_port
    net, card, _ = load_generator("painting")              # PyTorch, the shipped weights
    model = keras_port.resnet_generator(**card["generator"])
    keras_port.carry_over(net, model)
    keras_port.to_torch(model(keras_port.to_keras(x)))     # net(x), but for rounding

`framework` imports Keras and TensorFlow, `layout` moves pictures and weights between the two
layouts, `layers` holds what Keras has under another name or with another padding, `networks`,
`losses` and `training` are the counterparts of the modules of the same names in the course
(`training` of `cyclegan_course.cyclegan`). Nothing else in the course needs TensorFlow; install it
with the extra `keras`. Importing this without it raises CourseError.
"""

from cyclegan_course.keras_port.framework import keras, tf
from cyclegan_course.keras_port.layers import (
    ReflectionPad2D,
    convolution,
    doubling,
    halving,
    instance_norm,
)
from cyclegan_course.keras_port.layout import (
    carry_over,
    from_torch_order,
    in_torch_order,
    to_keras,
    to_torch,
)
from cyclegan_course.keras_port.networks import patch_discriminator, resnet_generator
from cyclegan_course.keras_port.training import KerasCycleGAN, adam, training_step

__all__ = [
    "KerasCycleGAN",
    "ReflectionPad2D",
    "adam",
    "carry_over",
    "convolution",
    "doubling",
    "from_torch_order",
    "halving",
    "in_torch_order",
    "instance_norm",
    "keras",
    "patch_discriminator",
    "resnet_generator",
    "tf",
    "to_keras",
    "to_torch",
    "training_step",
]
