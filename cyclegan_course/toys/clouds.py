"""Point clouds in the plane, and the small networks that work on them.

Points are float32 tensors of shape (N, 2).
"""

import itertools

import torch
from torch import Tensor, nn


def mlp(*widths: int, generator: torch.Generator | None = None) -> nn.Sequential:
    """Linear layers of these widths with LeakyReLU(0.2) between them.

    Weights are drawn from N(0, 2 / fan_in) (He et al. 2015), biases are 0.

    Shapes: (N, widths[0]) -> (N, widths[-1]).
    """
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        nn.init.normal_(linear.weight, 0.0, (2 / inputs) ** 0.5, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def ring_of_gaussians(
    count: int,
    modes: int = 8,
    radius: float = 2.0,
    std: float = 0.05,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Points around `modes` centres that stand evenly on a circle: float32 (count, 2)."""
    mode = torch.randint(modes, (count,), generator=generator)
    noise = torch.randn(count, 2, generator=generator)
    return ring_centres(modes, radius)[mode] + std * noise


def ring_centres(modes: int = 8, radius: float = 2.0) -> Tensor:
    """The centres of `ring_of_gaussians`: float32 (modes, 2), the first one at (radius, 0)."""
    angles = 2 * torch.pi * torch.arange(modes) / modes
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)
