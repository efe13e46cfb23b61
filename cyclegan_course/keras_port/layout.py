"""Pictures and weights from PyTorch's layout to TensorFlow's, and back.

Pictures: (N, C, H, W) against (N, H, W, C). Kernels: both libraries compute a correlation, so no
kernel is turned round; only the axes change places.

    convolution             (out, in, kh, kw) -> (kh, kw, in, out)
    transposed convolution  (in, out, kh, kw) -> (kh, kw, out, in)

Both are the same permutation, 2 3 1 0.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course.errors import CourseError
from cyclegan_course.keras_port.framework import keras, tf

TO_KERAS, TO_TORCH = (2, 3, 1, 0), (3, 2, 0, 1)


def to_keras(x: Tensor) -> tf.Tensor:
    """(N, C, H, W) of PyTorch -> (N, H, W, C) of TensorFlow, same values and precision."""
    return tf.convert_to_tensor(x.detach().permute(0, 2, 3, 1).contiguous().numpy())


def to_torch(x: tf.Tensor) -> Tensor:
    """(N, H, W, C) of TensorFlow -> (N, C, H, W) of PyTorch, same values and precision."""
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).contiguous()


def from_torch_order(arrays: Iterable[np.ndarray | Tensor]) -> list[np.ndarray]:
    """Weights or gradients, in the order of `net.parameters()`, in the layout of Keras.

    Kernels (four axes) are permuted, biases (one axis) stay.
    """
    return [_permuted(np.asarray(array), TO_KERAS) for array in arrays]


def in_torch_order(arrays: Iterable[tf.Tensor | keras.Variable]) -> list[np.ndarray]:
    """The inverse: in the order of `model.trainable_variables`, in the layout of PyTorch."""
    return [_permuted(array.numpy(), TO_TORCH) for array in arrays]


def carry_over(net: nn.Module, model: keras.Model) -> keras.Model:
    """Give a Keras model the weights of a PyTorch network with the same convolutions.

    Both list kernel and bias of each layer, from the input to the output.

    Returns:
        The model.

    Raises:
        CourseError: if number or shapes of the weights differ.
    """
    given = from_torch_order(parameter.detach() for parameter in net.parameters())
    wanted: Sequence = model.trainable_variables
    shapes = [array.shape for array in given], [tuple(weight.shape) for weight in wanted]
    if shapes[0] != shapes[1]:
        pairs = zip(*shapes, strict=False)
        place = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
        fault = (
            f"{len(given)} weights for {len(wanted)}"
            if place is None
            else f"weight {place} is {shapes[0][place]} and not {shapes[1][place]}"
        )
        raise CourseError(
            f"The network does not fit the Keras model ({fault}): build both with the same widths "
            "and numbers of layers."
        )
    for weight, array in zip(wanted, given, strict=True):
        weight.assign(array)
    return model


def _permuted(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return array.transpose(axes) if array.ndim == 4 else array
