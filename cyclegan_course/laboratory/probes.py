"""What the invariants of chapter 9 are asked with: parts so small that the answer is known before.

A right training step, fed with these, has to do something that can be said without running it.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN, Objective

NETWORKS = ("G_AB", "G_BA", "D_A", "D_B")
SIDE = 8  # of the numbered pictures, in pixels


def moves(
    step: Callable[..., dict[str, Tensor]],
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    objective: Objective,
    learning_rate: float = 0.1,
) -> dict[str, float]:
    """Make one step on a copy of the model, and say how far each network moved.

    Plain gradient descent, so that no gradient means no move; no pools.

    Args:
        step: called like `cyclegan.training_step`.
        model: is left as it is. One network may stand in two places, each moves for itself.
        real_A, real_B: (N, 3, H, W) in [-1, 1].

    Returns:
        For "G_AB", "G_BA", "D_A" and "D_B" the largest change of one of its parameters.
    """
    moved, _ = one_step(step, model, real_A, real_B, objective, learning_rate)
    return {name: _distance(getattr(model, name), getattr(moved, name)) for name in NETWORKS}


def one_step(
    step: Callable[..., dict[str, Tensor]],
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    objective: Objective,
    learning_rate: float = 0.1,
) -> tuple[CycleGAN, dict[str, Tensor]]:
    """The step that `moves` makes: the copy afterwards, and the terms that the step gave."""
    moved = copy.deepcopy(model)
    for name in NETWORKS:  # one by one, or a network in two places would be one copy in two places
        setattr(moved, name, copy.deepcopy(getattr(model, name)))
    optimizers = (
        torch.optim.SGD(parameters, lr=learning_rate)
        for parameters in (moved.generator_parameters(), moved.discriminator_parameters())
    )
    terms = step(
        moved, real_A, real_B, *optimizers, lambda fakes: fakes, lambda fakes: fakes, objective
    )
    return moved, terms


def _distance(before: nn.Module, after: nn.Module) -> float:
    return max(
        (new - old).abs().max().item()
        for old, new in zip(before.parameters(), after.parameters(), strict=True)
    )


def numbered_pictures(count: int) -> list[np.ndarray]:
    """Pictures that tell which one they are, and whether somebody has mirrored them.

    The first row is black on the left and white on the right; each row below is one binary digit
    of the number, black for 0 and white for 1. `number_of` and `is_mirrored` read it.

    Args:
        count: at most 128.

    Returns:
        uint8 arrays (8, 8, 3) with the values 0 and 255; picture i has the number i.
    """
    return [_numbered(number) for number in range(count)]


def _numbered(number: int) -> np.ndarray:
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    picture[0, SIDE // 2 :] = 255
    for digit in range(SIDE - 1):
        picture[digit + 1] = 255 * (number >> digit & 1)
    return picture


def number_of(image: Tensor) -> int:
    """The number of a picture (3, 8, 8) of `numbered_pictures`, in whatever range its values."""
    digits = image[0, 1:, 0] > _middle(image)
    return sum(int(digit) << place for place, digit in enumerate(digits))


def is_mirrored(image: Tensor) -> bool:
    """Whether a picture (3, 8, 8) of `numbered_pictures` has been mirrored left to right."""
    return bool(image[0, 0, 0] > _middle(image))


def _middle(image: Tensor) -> Tensor:
    return (image.min() + image.max()) / 2
