"""Networks with a fault. Each is used like its right counterpart and raises no error."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.networks import NormLayer, PatchDiscriminator, ResnetBlock, ResnetGenerator


def one_layer_more(
    ndf: int = 64, n_layers: int = 3, norm: NormLayer = nn.InstanceNorm2d
) -> PatchDiscriminator:
    """`n_layers` counted without the first convolution: 142 pixels are seen in place of 70.

    Of the small shape (`n_layers=2`), 70 in place of 34.
    """
    return PatchDiscriminator(ndf=ndf, n_layers=n_layers + 1, norm=norm)


def one_halving_more(
    ndf: int = 64, n_layers: int = 3, norm: NormLayer = nn.InstanceNorm2d
) -> PatchDiscriminator:
    """Stride 2 also in the last layer but one: 94 pixels are seen in place of 70.

    As many layers and parameters as the right one has; the map of scores is half as large.
    """
    net = PatchDiscriminator(ndf=ndf, n_layers=n_layers, norm=norm)
    last_but_one = [layer for layer in net.layers if isinstance(layer, nn.Conv2d)][-2]
    last_but_one.stride = (2, 2)
    return net


class ReluAfterSum(ResnetBlock):
    """ReLU(x + F(x)): what is negative in x cannot pass."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


def with_relu_after_sum(make: Callable[..., ResnetGenerator], **shape: Any) -> ResnetGenerator:
    """A generator whose residual blocks are `ReluAfterSum`.

    Args:
        make: builds the generator.
        shape: passed on to it.
    """
    net = make(**shape)
    for place, layer in enumerate(net.layers):
        if isinstance(layer, ResnetBlock):
            net.layers[place] = ReluAfterSum(layer.residual[1].in_channels)
    return net


def gain_around_one(channels: int) -> nn.InstanceNorm2d:
    """An instance norm with a trained gain, drawn from N(1, 0.02) as the reference does."""
    norm = nn.InstanceNorm2d(channels, affine=True)
    return _draw_gain(norm, 1.0)


def gain_around_zero(channels: int) -> nn.InstanceNorm2d:
    """The gain drawn from N(0, 0.02), like a weight: each norm shrinks its input fiftyfold."""
    norm = nn.InstanceNorm2d(channels, affine=True)
    return _draw_gain(norm, 0.0)


def _draw_gain(norm: nn.InstanceNorm2d, mean: float) -> nn.InstanceNorm2d:
    generator = torch.Generator().manual_seed(norm.num_features)
    nn.init.normal_(norm.weight, mean, 0.02, generator=generator)
    return norm
