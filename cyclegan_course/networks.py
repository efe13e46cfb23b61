"""The two kinds of network of CycleGAN: a ResNet generator and a PatchGAN discriminator.

Both follow the reference recipe of Zhu, Park, Isola and Efros, "Unpaired Image-to-Image
Translation using Cycle-Consistent Adversarial Networks", ICCV 2017 (appendix 7.2). Images are
float tensors of shape (N, 3, H, W) with values in [-1, 1].
"""

import itertools
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]


class ResnetBlock(nn.Module):
    """x + F(x), where F is two 3x3 convolutions at constant width and size.

    There is no activation after the sum: a ReLU there would cut off what is negative in x.
    (He et al. 2016; Johnson et al. 2016 for reflection padding in image generators.)

    Args:
        channels: width of input and output, shape (N, channels, H, W).
        norm: makes the normalisation layer for a number of channels.
    """

    def __init__(self, channels: int, norm: NormLayer = nn.InstanceNorm2d) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            norm(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


class ResnetGenerator(nn.Module):
    """A picture of one domain in, a picture of the other domain out.

    An edge convolution, `n_down` halvings that double the width, `n_blocks` residual blocks,
    `n_down` doublings, an edge convolution and tanh. The defaults are the reference for 256 px:
    11,378,179 parameters with 9 blocks, 7,837,699 with 6 (the choice for 128 px).

    ReLU is not in place: InstanceNorm returns a view, and an in-place ReLU makes autograd copy it.

    Args:
        in_channels, out_channels: colour channels of the two domains.
        ngf: width after the first convolution.
        n_blocks: number of residual blocks.
        n_down: number of halvings; H and W must be multiples of 2**n_down.
        edge_kernel: size (odd) of the first and the last convolution.
        norm: makes the normalisation layer for a number of channels.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H, W), values in [-1, 1].
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        ngf: int = 64,
        n_blocks: int = 9,
        n_down: int = 2,
        edge_kernel: int = 7,
        norm: NormLayer = nn.InstanceNorm2d,
    ) -> None:
        super().__init__()
        edge_pad = edge_kernel // 2
        widths = [ngf * 2**level for level in range(n_down + 1)]

        layers: list[nn.Module] = [
            nn.ReflectionPad2d(edge_pad),
            nn.Conv2d(in_channels, ngf, edge_kernel),
            norm(ngf),
            nn.ReLU(),
        ]
        for narrow, wide in itertools.pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, kernel_size=3, stride=2, padding=1),
                norm(wide),
                nn.ReLU(),
            ]
        layers += [ResnetBlock(widths[-1], norm) for _ in range(n_blocks)]
        for narrow, wide in reversed(list(itertools.pairwise(widths))):
            layers += [
                nn.ConvTranspose2d(
                    wide, narrow, kernel_size=3, stride=2, padding=1, output_padding=1
                ),
                norm(narrow),
                nn.ReLU(),
            ]
        layers += [
            nn.ReflectionPad2d(edge_pad),
            nn.Conv2d(ngf, out_channels, edge_kernel),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class PatchDiscriminator(nn.Module):
    """A score for every overlapping patch of a picture: is this patch of the domain?

    4x4 convolutions: `n_layers` with stride 2, then two with stride 1. With three layers each
    score sees 70x70 pixels, and a 256 px picture gives a 30x30 map (Isola et al. 2017, PatchGAN).
    The scores are raw numbers, without a sigmoid: each loss brings its own.

    Args:
        in_channels: colour channels.
        ndf: width after the first convolution; it doubles per layer, up to 8 * ndf.
        n_layers: number of stride-2 convolutions; 3 gives the 70x70 PatchGAN.
        norm: makes the normalisation layer for a number of channels.

    Shapes: (N, in_channels, H, W) -> (N, 1, h, w); h = H/8 - 2 for three layers.
    """

    def __init__(
        self,
        in_channels: int = 3,
        ndf: int = 64,
        n_layers: int = 3,
        norm: NormLayer = nn.InstanceNorm2d,
    ) -> None:
        super().__init__()
        widths = [ndf * min(2**level, 8) for level in range(n_layers + 1)]
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, ndf, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for level, (narrow, wide) in enumerate(itertools.pairwise(widths), start=1):
            layers += [
                nn.Conv2d(
                    narrow, wide, kernel_size=4, stride=2 if level < n_layers else 1, padding=1
                ),
                norm(wide),
                nn.LeakyReLU(0.2),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, kernel_size=4, stride=1, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class LayoutInstanceNorm(nn.Module):
    """`nn.InstanceNorm2d` without parameters that keeps channels_last where the input has it.

    The library's norm views the input as one picture of N * C channels, which puts channels_last
    back into rows (pytorch issue 72341). Computes in float32.

    Args:
        channels: unused, so that the signature is that of `nn.InstanceNorm2d`.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        var, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        return ((exact - mean) * torch.rsqrt(var + self.eps)).to(x.dtype)


class FoldedConv2d(nn.Conv2d):
    """A convolution to few channels, computed as one to `kernel width` times as many.

    Matrix hardware works on blocks of channels, and three outputs leave it nearly idle. So each
    column of the kernel becomes a convolution of its own, all in one call, and their results are
    added, each shifted by its column:

        y[o, h, w] = sum over j of z[o, j, h, w + j],  z[o, j] = x convolved with W[o, :, :, j]

    Same parameters and result as `nn.Conv2d`; stride, dilation and groups 1, no padding.
    """

    def forward(self, x: Tensor) -> Tensor:
        out, channels, height, width = self.weight.shape
        columns = self.weight.permute(0, 3, 1, 2).reshape(out * width, channels, height, 1)
        z = F.conv2d(x, columns).unflatten(1, (out, width))
        size = x.shape[-1] - width + 1
        y = sum(z[:, :, j, :, j : j + size] for j in range(width))
        return y if self.bias is None else y + self.bias[:, None, None]


class MirrorPad2d(nn.Module):
    """`nn.ReflectionPad2d` of slices: equal, and its backward pass on a GPU is deterministic.

    The library's backward adds into the same place from many threads, in an order that changes.

    Args:
        pad: pixels on each side, less than the height and the width of the input.
    """

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return _mirror(_mirror(x, self.pad, dim=-1), self.pad, dim=-2)


def _mirror(x: Tensor, pad: int, dim: int) -> Tensor:
    size = x.shape[dim]
    before = x.narrow(dim, 1, pad).flip(dim)
    after = x.narrow(dim, size - 1 - pad, pad).flip(dim)
    return torch.cat([before, x, after], dim)


class LibraryPad2d(nn.Module):
    """`nn.ReflectionPad2d` that `torch.compile` leaves to the library's own kernel.

    On a CPU the loop that the compiler writes for its backward pass goes number by number, and
    takes more time than compiling saves elsewhere. Padding is exact in any precision, so here it
    stays in that of its input; autocast on a CPU would make float32 of it.

    Args:
        pad: pixels on each side, less than the height and the width of the input.
    """

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        return _library_pad(x, self.pad)


@torch.library.custom_op("cyclegan_course::reflection_pad", mutates_args=())
def _library_pad(x: Tensor, pad: int) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return F.pad(x, [pad] * 4, mode="reflect").contiguous(memory_format=_layout(x))


@torch.library.custom_op("cyclegan_course::reflection_pad_backward", mutates_args=())
def _library_pad_backward(gradient: Tensor, pad: int) -> Tensor:
    like = _resized(gradient, -pad)
    with torch.autocast(gradient.device.type, enabled=False):
        back = torch.ops.aten.reflection_pad2d_backward(gradient, like, [pad] * 4)
        return back.contiguous(memory_format=_layout(gradient))


# What comes out, for the compiler: shape, precision and layout.
@_library_pad.register_fake
def _(x: Tensor, pad: int) -> Tensor:
    return _resized(x, pad)


@_library_pad_backward.register_fake
def _(gradient: Tensor, pad: int) -> Tensor:
    return _resized(gradient, -pad)


def _resized(x: Tensor, pad: int) -> Tensor:
    *outer, height, width = x.shape
    shape = (*outer, height + 2 * pad, width + 2 * pad)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_layout(x))


def _layout(x: Tensor) -> torch.memory_format:
    in_rows = x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last)
    return torch.contiguous_format if in_rows else torch.channels_last


def _keep_for_backward(ctx, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.pad = inputs[1]


def _pad_gradient(ctx, gradient: Tensor) -> tuple[Tensor, None]:
    return _library_pad_backward(gradient, ctx.pad), None


_library_pad.register_autograd(_pad_gradient, setup_context=_keep_for_backward)


def dead_biases(net: nn.Module) -> list[nn.Parameter]:
    """Biases that cannot change the output: an instance norm follows and takes the mean away.

    Their gradient is 0 but for rounding noise, which Adam, dividing by its size, would follow.
    """
    chains = [module for module in net.modules() if isinstance(module, nn.Sequential)]
    return [
        layer.bias
        for chain in chains
        for layer, after in itertools.pairwise(chain)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        and isinstance(after, nn.InstanceNorm2d | LayoutInstanceNorm)
        and layer.bias is not None
    ]


def init_weights(
    net: nn.Module, std: float = 0.02, generator: torch.Generator | None = None
) -> nn.Module:
    """Draw every convolution's weights from N(0, std) and set its bias to 0, in place.

    The reference draws the gain of a normalisation layer around 1; InstanceNorm here has none.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def count_parameters(net: nn.Module) -> int:
    """Number of trained numbers in the network."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def receptive_field(convolutions: Iterable[tuple[int, int]]) -> int:
    """Side in pixels of what one output sees, from (kernel, stride) of each layer in order.

    Walking back from one output, a layer widens the field r to (r - 1) * stride + kernel.
    """
    field = 1
    for kernel, stride in reversed(list(convolutions)):
        field = (field - 1) * stride + kernel
    return field


def convolutions_of(net: nn.Module) -> list[tuple[int, int]]:
    """(kernel, stride) of every convolution of a plain chain such as `PatchDiscriminator`."""
    return [(m.kernel_size[0], m.stride[0]) for m in net.modules() if isinstance(m, nn.Conv2d)]


def receptive_field_by_autograd(net: nn.Module, size: int = 256) -> tuple[int, int]:
    """Height and width in pixels of the input region that the central output depends on.

    The score in the middle of the map is differentiated by the input; the region is where the
    gradient is not zero. An instance norm mixes statistics of the whole picture into every
    score, so build the network with `norm=nn.Identity` to see the convolutions alone.

    Args:
        net: maps (1, 3, size, size) to a score map; its field must fit inside the picture.
    """
    parameter = next(net.parameters())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, size, size, generator=generator).to(parameter).requires_grad_()
    scores = net(x)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    touched = x.grad[0].abs().sum(0) > 0
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
