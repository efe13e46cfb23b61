"""What hidden inputs are drawn from: random tensors, and networks that are random lines."""

import numpy as np
import torch
from torch import Tensor

from cyclegan_course.exercises.stand_ins import FourLines, Line


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float32."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Numbers from low to high, float32."""
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))


def line(rng: np.random.Generator, colours: bool = False) -> Line:
    """A line whose slope is of either sign and neither flat nor steep."""
    slope = rng.choice([-1, 1]) * rng.uniform(0.4, 1.4)
    return Line(float(slope), float(rng.uniform(-0.4, 0.4)), colours)


def four_lines(rng: np.random.Generator, colours: bool = False) -> FourLines:
    """Two generators and two discriminators; `colours` is for the latter."""
    return FourLines(line(rng), line(rng), line(rng, colours), line(rng, colours))


def two_batches(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """real_A and real_B: 2 to 4 pictures of a few pixels, (N, 3, H, W) in [-1, 1]."""
    shape = (int(rng.integers(2, 5)), 3, *rng.integers(2, 7, 2).tolist())
    return uniform(rng, -1, 1, *shape), uniform(rng, -1, 1, *shape)
