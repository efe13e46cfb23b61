"""Point clouds in the plane, and the small networks that work on them.

Points are float32 tensors of shape (N, 2).
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
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


class ManyMLPs(nn.Module):
    """`mlp` several times side by side, each run with weights of its own.

    The runs share nothing: with a sum of their losses, each gets its own gradients. One
    multiplication for all of them takes hardly longer than for one.

    Args:
        widths: of the layers, as in `mlp`.
        generators: one for each run; where it is the same one, its numbers go to run after run.

    Shapes: (runs, N, widths[0]) or (N, widths[0]) -> (runs, N, widths[-1]).
    """

    def __init__(self, *widths: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in itertools.pairwise(widths):
            drawn = [torch.randn(inputs, outputs, generator=each) for each in generators]
            self.weights.append(nn.Parameter(torch.stack(drawn) * (2 / inputs) ** 0.5))
            self.biases.append(nn.Parameter(torch.zeros(len(generators), 1, outputs)))

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(len(self.weights[0]), -1, -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, F.leaky_relu(x, 0.2) if layer else x, weight)
        return x


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
