"""Exercises of chapter 3: the parts of the ResNet generator."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cyclegan_course.exercises.draws import normal
from cyclegan_course.exercises.registry import Exercise, Mistake, register


def _filled(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a module and set its parameters, in their order, to the same numbers each time."""
    with torch.random.fork_rng(devices=[]):
        module = make()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# 3.1 ------------------------------------------------------------------------------------------


def reflect_pad(x: Tensor, pad: int) -> Tensor:
    """Extend pictures on all four sides by their mirror image.

    The mirror stands on the outermost pixel, which is not repeated: 1 2 3 becomes 2 1 2 3 2.

    Args:
        x: shape (N, C, H, W).
        pad: pixels to add on each side, from 1 to min(H, W) - 1.

    Returns:
        Shape (N, C, H + 2 * pad, W + 2 * pad).
    """
    left = x[..., 1 : pad + 1].flip(-1)
    right = x[..., -pad - 1 : -1].flip(-1)
    x = torch.cat([left, x, right], dim=-1)
    top = x[..., 1 : pad + 1, :].flip(-2)
    bottom = x[..., -pad - 1 : -1, :].flip(-2)
    return torch.cat([top, x, bottom], dim=-2)


def _reflect_pad_cases() -> list[tuple]:
    return [
        (torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 1),
        (torch.arange(20.0).reshape(1, 1, 4, 5), 1),
        (_noise(2, 3, 6, 5), 3),
    ]


def _reflect_pad_drawn(rng: np.random.Generator) -> list[tuple]:
    shapes = rng.integers([1, 1, 4, 4], [4, 4, 9, 9], (3, 4)).tolist()
    return [(normal(rng, *shape), int(rng.integers(2, min(shape[2:])))) for shape in shapes]


def _repeats_the_edge(x, pad):
    x = torch.cat([x[..., :pad].flip(-1), x, x[..., -pad:].flip(-1)], dim=-1)
    return torch.cat([x[..., :pad, :].flip(-2), x, x[..., -pad:, :].flip(-2)], dim=-2)


def _replicates(x, pad):
    return F.pad(x, (pad,) * 4, mode="replicate")


def _pads_with_zeros(x, pad):
    return F.pad(x, (pad,) * 4)


def _wraps_around(x, pad):
    return F.pad(x, (pad,) * 4, mode="circular")


def _pads_the_width_only(x, pad):
    return F.pad(x, (pad, pad, 0, 0), mode="reflect")


def _does_not_flip(x, pad):
    x = torch.cat([x[..., 1 : pad + 1], x, x[..., -pad - 1 : -1]], dim=-1)
    return torch.cat([x[..., 1 : pad + 1, :], x, x[..., -pad - 1 : -1, :]], dim=-2)


def _gradient_flows_back(answer: Callable) -> str | None:
    x = _noise(1, 1, 3, 4).requires_grad_()
    answer(x, 1).sum().backward()  # raises where the result is cut off from x
    return None


register(
    Exercise(
        number="3.1",
        title="padding by reflection",
        reference=reflect_pad,
        cases=_reflect_pad_cases,
        drawn_cases=_reflect_pad_drawn,
        extra=_gradient_flows_back,
        hints=(
            "Do one axis, then the same for the other one. x[..., 1:3] are columns 1 and 2 of "
            "every row; torch.cat joins tensors along one dimension.",
            "The left margin is made of columns 1 to pad, in reverse order: "
            "x[..., 1 : pad + 1].flip(-1).",
            "The right margin is made of the pad columns before the last one: "
            "x[..., -pad - 1 : -1].flip(-1). Rows work alike, with x[..., 1 : pad + 1, :] and "
            "flip(-2), on what you have after the columns, so that the corners are filled too.",
        ),
        mistakes={
            "repeats the edge": Mistake(
                _repeats_the_edge,
                "The outermost pixel appears twice: 1 2 3 has become 1 1 2 3 3. The mirror stands "
                "on that pixel, so start the margin one pixel further in.",
            ),
            "replicates": Mistake(
                _replicates,
                "The margin repeats the outermost pixel. A reflection goes back into the picture: "
                "1 2 3 becomes 2 1 2 3 2.",
            ),
            "pads with zeros": Mistake(
                _pads_with_zeros,
                "The margin is 0. In pictures from -1 to 1 this is a middle-grey frame; fill it "
                "with the picture's own pixels.",
            ),
            "wraps around": Mistake(
                _wraps_around,
                "The left margin comes from the right side of the picture, as if it were a "
                "cylinder. Take it from the same side, in reverse order.",
            ),
            "pads the width only": Mistake(
                _pads_the_width_only,
                "Only columns were added. Do the same for the rows, along the last dimension but "
                "one.",
            ),
            "does not flip": Mistake(
                _does_not_flip,
                "The margin has the right pixels in the wrong order: a mirror image runs "
                "backwards. Use flip.",
            ),
        },
    )
)


# 3.2 ------------------------------------------------------------------------------------------


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Shift and scale every channel of every picture to mean 0 and variance about 1.

    y = (x - m) / sqrt(v + eps), where m is the mean and v the variance (the sum of squares
    divided by the number of pixels) of that one channel of that one picture.

    Args:
        x: shape (N, C, H, W).
        eps: keeps the root away from 0.

    Returns:
        The same shape.
    """
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = x.var(dim=(2, 3), unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


def _instance_norm_cases() -> list[tuple]:
    x = torch.tensor([1.0, 3.0, 5.0, 7.0, 0.0, 0.0, 0.0, 8.0])
    return [
        (torch.stack([x, 10 - 2 * x]).reshape(2, 2, 2, 2),),
        (0.003 * _noise(2, 3, 6, 5),),
        (_noise(1, 2, 4, 4), 0.1),
        (torch.full((1, 1, 4, 4), 0.25),),
    ]


def _instance_norm_drawn(rng: np.random.Generator) -> list[tuple]:
    n, c, *sides = rng.integers([2, 2, 3, 3], [5, 5, 8, 8]).tolist()
    # A power of 2: however it is computed, no rounding leaves anything of a flat picture.
    flat = torch.full((2, 1, 4, 4), float(rng.choice([-1, 1])) / 2 ** int(rng.integers(0, 6)))
    return [
        (rng.uniform(0.5, 2) * normal(rng, n, c, *sides) + normal(rng, n, c, 1, 1),),
        (0.003 * normal(rng, n, c, *sides),),
        (normal(rng, n, c, *sides), float(rng.uniform(0.05, 0.5))),
        (flat,),
    ]


def _over_the_batch_too(x, eps=1e-5):
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


def _over_the_channels_too(x, eps=1e-5):
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


def _unbiased(x, eps=1e-5):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


def _eps_outside_the_root(x, eps=1e-5):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), False, keepdim=True)
    return (x - mean) / (torch.sqrt(variance) + eps)


def _forgets_the_root(x, eps=1e-5):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), False, keepdim=True)
    return (x - mean) / (variance + eps)


def _forgets_eps(x, eps=1e-5):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), False, keepdim=True)
    return (x - mean) / torch.sqrt(variance)


def _does_not_center(x, eps=1e-5):
    return x / torch.sqrt(x.var((2, 3), False, keepdim=True) + eps)


def _gradient_flows_through_the_statistics(answer: Callable) -> str | None:
    weights = _noise(1, 2, 4, 4)
    gradients = []
    for norm in (answer, instance_norm):
        x = _noise(1, 2, 4, 4).requires_grad_()
        (norm(x) * weights).sum().backward()
        gradients.append(x.grad)
    if torch.allclose(*gradients, atol=1e-4):
        return None
    return (
        "The values are right, but their gradient is not: mean and variance depend on x too, so "
        "compute them without detach and without no_grad."
    )


register(
    Exercise(
        number="3.2",
        title="instance normalisation",
        reference=instance_norm,
        cases=_instance_norm_cases,
        drawn_cases=_instance_norm_drawn,
        extra=_gradient_flows_through_the_statistics,
        hints=(
            "One mean and one variance for each picture and each channel: over which of the four "
            "dimensions do you sum?",
            "x.mean(dim=(2, 3), keepdim=True) has the shape (N, C, 1, 1), which fits x by "
            "broadcasting. The variance has the same shape.",
            "x.var(dim=(2, 3), unbiased=False, keepdim=True) divides by the number of pixels. "
            "eps is added to the variance, inside the root.",
        ),
        mistakes={
            "over the batch too": Mistake(
                _over_the_batch_too,
                "This is batch normalisation: the pictures of a batch share one mean and one "
                "variance. Leave dimension 0 out.",
            ),
            "over the channels too": Mistake(
                _over_the_channels_too,
                "All channels of a picture share one mean and one variance: that is layer "
                "normalisation. Leave dimension 1 out.",
            ),
            "unbiased": Mistake(
                _unbiased,
                "The variance is divided by the number of pixels minus 1, as torch.var does unless "
                "told otherwise. Pass unbiased=False.",
            ),
            "eps outside the root": Mistake(
                _eps_outside_the_root,
                "eps stands outside the root. It belongs to the variance, inside: at variance 0 "
                "the slope of the root alone is infinite, and the gradient becomes NaN or far too "
                "large.",
            ),
            "forgets the root": Mistake(
                _forgets_the_root,
                "You divide by the variance. Divide by its square root, so that the result has "
                "variance 1.",
            ),
            "forgets eps": Mistake(
                _forgets_eps,
                "Without eps a flat picture gives 0 / 0, which is NaN. Add eps to the variance.",
            ),
            "does not center": Mistake(
                _does_not_center,
                "The spread is right, but the mean is still there. Subtract it first.",
            ),
        },
    )
)


# 3.3 ------------------------------------------------------------------------------------------


class ResnetBlock(nn.Module):
    """x + F(x). F is: reflection padding 1, 3x3 convolution with bias, instance norm, ReLU,
    and once more padding, convolution and norm, without a ReLU at the end.

    Args:
        channels: of input and output.

    Shapes: (N, channels, H, W) -> the same.
    """

    def __init__(self, channels: int) -> None:
        """Make the layers: nn.ReflectionPad2d, nn.Conv2d, nn.InstanceNorm2d, nn.ReLU."""
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """What comes in, plus what the layers make of it."""
        return x + self.residual(x)


def _resnet_block_cases() -> list[tuple]:
    return [(1, _noise(1, 1, 4, 4)), (3, _noise(2, 3, 6, 5))]


def _resnet_block_drawn(rng: np.random.Generator) -> list[tuple]:
    several, height, width = rng.integers([4, 4, 4], [7, 8, 8]).tolist()
    return [(c, normal(rng, 2, c, height, width)) for c in (2, several)]


def _run_block(answer: Callable, channels: int, x: Tensor) -> dict:
    block = _filled(lambda: answer(channels))
    numbers = sum(parameter.numel() for parameter in block.parameters())
    return {"output": block(x).detach(), "parameters": numbers}


class _ReluAfterTheSum(ResnetBlock):
    def forward(self, x):
        return torch.relu(x + self.residual(x))


class _ReluBeforeTheSum(ResnetBlock):
    def forward(self, x):
        return x + torch.relu(self.residual(x))


class _NoSkip(ResnetBlock):
    def forward(self, x):
        return self.residual(x)


class _ZeroPadding(ResnetBlock):
    def __init__(self, channels):
        super().__init__(channels)
        self.residual[0] = self.residual[4] = nn.ZeroPad2d(1)


class _NoSecondNorm(ResnetBlock):
    def __init__(self, channels):
        super().__init__(channels)
        self.residual = self.residual[:6]


class _BatchNorm(ResnetBlock):
    def __init__(self, channels):
        super().__init__(channels)
        for place in (2, 6):
            self.residual[place] = nn.BatchNorm2d(channels)


class _NoBias(ResnetBlock):
    def __init__(self, channels):
        super().__init__(channels)
        for place in (1, 5):
            self.residual[place] = nn.Conv2d(channels, channels, 3, bias=False)


class _OneConvolution(ResnetBlock):
    def __init__(self, channels):
        super().__init__(channels)
        self.residual = self.residual[:3]


register(
    Exercise(
        number="3.3",
        title="the residual block",
        reference=ResnetBlock,
        cases=_resnet_block_cases,
        drawn_cases=_resnet_block_drawn,
        run=_run_block,
        hints=(
            "Put the seven layers into one nn.Sequential and keep it: self.residual = ...",
            "forward is one line. The input comes back unchanged, and something is added to it.",
            "In __init__: super().__init__(), then nn.Sequential(nn.ReflectionPad2d(1), "
            "nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels), nn.ReLU(), ...) and "
            "the first three once more. In forward: return x + self.residual(x).",
        ),
        mistakes={
            "ReLU after the sum": Mistake(
                _ReluAfterTheSum,
                "A ReLU after the sum cuts off what is negative in x, so the block cannot pass its "
                "input on unchanged. Return the plain sum.",
            ),
            "ReLU before the sum": Mistake(
                _ReluBeforeTheSum,
                "With a ReLU at its end, F(x) is never negative: the block can only add light and "
                "never take any away. End F with the norm.",
            ),
            "no skip": Mistake(
                _NoSkip,
                "x itself is missing: this returns F(x) alone. Return x plus F(x).",
            ),
            "zero padding": Mistake(
                _ZeroPadding,
                "The border is padded with zeros. Use nn.ReflectionPad2d(1) before each "
                "convolution, and padding=0 in it.",
            ),
            "no norm after the second convolution": Mistake(
                _NoSecondNorm,
                "The second convolution has no norm behind it, so what is added to x can have any "
                "size. End F with nn.InstanceNorm2d.",
            ),
            "batch norm": Mistake(
                _BatchNorm,
                "This is batch norm, which mixes the pictures of a batch and has a gain and a "
                "shift to train. Use nn.InstanceNorm2d.",
            ),
            "no bias": Mistake(
                _NoBias,
                "The convolutions have no bias. Instance norm would remove it anyway, but the "
                "reference has it, and its weights could not be loaded.",
            ),
            "one convolution": Mistake(
                _OneConvolution,
                "There is only one convolution. A block has two, with a ReLU between them.",
            ),
        },
    )
)


# 3.4 ------------------------------------------------------------------------------------------


def up_stage(wide: int, narrow: int) -> nn.Sequential:
    """One stage on the way up: a transposed 3x3 convolution, instance norm, ReLU.

    Its stride is 2, and it doubles height and width exactly.

    Args:
        wide: channels that come in.
        narrow: channels that go out.

    Returns:
        A network with shapes (N, wide, H, W) -> (N, narrow, 2 * H, 2 * W).
    """
    return nn.Sequential(
        nn.ConvTranspose2d(wide, narrow, kernel_size=3, stride=2, padding=1, output_padding=1),
        nn.InstanceNorm2d(narrow),
        nn.ReLU(),
    )


def _up_stage_cases() -> list[tuple]:
    return [(1, 1, torch.tensor([[[[1.0, -2.0], [3.0, 0.5]]]])), (4, 2, _noise(2, 4, 5, 3))]


def _up_stage_drawn(rng: np.random.Generator) -> list[tuple]:
    sizes = rng.integers([5, 1, 3, 3], [9, 5, 7, 7], (2, 4)).tolist()
    return [(wide, narrow, normal(rng, 2, wide, *sides)) for wide, narrow, *sides in sizes]


def _run_up(answer: Callable, wide: int, narrow: int, x: Tensor) -> dict:
    stage = _filled(lambda: answer(wide, narrow))
    numbers = sum(parameter.numel() for parameter in stage.parameters())
    return {"output": stage(x).detach(), "parameters": numbers}


def _up_with(**settings) -> Callable[[int, int], nn.Sequential]:
    def stage(wide, narrow):
        return nn.Sequential(
            nn.ConvTranspose2d(wide, narrow, **settings), nn.InstanceNorm2d(narrow), nn.ReLU()
        )

    return stage


def _resize_and_convolve(wide, narrow):
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.ReflectionPad2d(1),
        nn.Conv2d(wide, narrow, 3),
        nn.InstanceNorm2d(narrow),
        nn.ReLU(),
    )


def _up_with_batch_norm(wide, narrow):
    layers = up_stage(wide, narrow)
    return nn.Sequential(layers[0], nn.BatchNorm2d(narrow), layers[2])


def _up_without_norm(wide, narrow):
    layers = up_stage(wide, narrow)
    return nn.Sequential(layers[0], layers[2])


def _up_without_relu(wide, narrow):
    return up_stage(wide, narrow)[:2]


register(
    Exercise(
        number="3.4",
        title="twice the size",
        reference=up_stage,
        cases=_up_stage_cases,
        drawn_cases=_up_stage_drawn,
        run=_run_up,
        hints=(
            "Three layers in an nn.Sequential: nn.ConvTranspose2d, nn.InstanceNorm2d, nn.ReLU.",
            "The length that comes out is (H - 1) * stride - 2 * padding + kernel_size + "
            "output_padding. With stride 2 and kernel 3: which paddings give 2 * H?",
            "padding=1 and output_padding=1: (H - 1) * 2 - 2 + 3 + 1 = 2 * H.",
        ),
        mistakes={
            "no output padding": Mistake(
                _up_with(kernel_size=3, stride=2, padding=1),
                "The result is one pixel short, 2 * H - 1: two input lengths lead to the same "
                "output length when a convolution halves. Say which one with output_padding=1.",
            ),
            "no padding": Mistake(
                _up_with(kernel_size=3, stride=2, output_padding=1),
                "The result is two pixels too large, 2 * H + 2. Cut off one on each side with "
                "padding=1.",
            ),
            "no padding at all": Mistake(
                _up_with(kernel_size=3, stride=2),
                "The result has 2 * H + 1 pixels. padding=1 takes away two, output_padding=1 adds "
                "one.",
            ),
            "kernel of 4": Mistake(
                _up_with(kernel_size=4, stride=2, padding=1),
                "A 4x4 kernel with padding 1 doubles too, and its overlap is even. But the "
                "reference has 3x3 kernels, and its weights would not fit.",
            ),
            "resizes and convolves": Mistake(
                _resize_and_convolve,
                "Enlarging and then convolving doubles too, without a checkerboard. It is "
                "another layer, though: here the transposed convolution is asked for.",
            ),
            "batch norm": Mistake(
                _up_with_batch_norm,
                "This is batch norm, which has a gain and a shift to train, and which mixes the "
                "pictures of a batch. Use nn.InstanceNorm2d.",
            ),
            "no norm": Mistake(
                _up_without_norm,
                "The norm is missing: instance norm stands between the convolution and the ReLU.",
            ),
            "no ReLU": Mistake(
                _up_without_relu,
                "The ReLU at the end is missing.",
            ),
        },
    )
)


# 3.5 ------------------------------------------------------------------------------------------


def generator_parameters(ngf: int, n_blocks: int) -> int:
    """Number of trained numbers in the ResNet generator, by arithmetic alone.

    A k x k convolution from a to b channels has k * k * a * b weights and b biases, also if it is
    transposed. Instance norm has none. The layers: a 7x7 convolution from 3 to ngf channels; two
    3x3 ones to 2 * ngf and 4 * ngf; n_blocks blocks of two 3x3 ones each at 4 * ngf; two transposed
    3x3 ones back to 2 * ngf and ngf; a 7x7 one to 3 channels.
    """

    def convolution(kernel: int, inputs: int, outputs: int) -> int:
        return kernel * kernel * inputs * outputs + outputs

    total = convolution(7, 3, ngf) + convolution(7, ngf, 3)
    total += convolution(3, ngf, 2 * ngf) + convolution(3, 2 * ngf, 4 * ngf)
    total += n_blocks * 2 * convolution(3, 4 * ngf, 4 * ngf)
    total += convolution(3, 4 * ngf, 2 * ngf) + convolution(3, 2 * ngf, ngf)
    return total


def _generator_parameters_cases() -> list[tuple]:
    return [(1, 0), (64, 9), (64, 6), (32, 4)]


def _generator_parameters_drawn(rng: np.random.Generator) -> list[tuple]:
    return [tuple(rng.integers([2, 1], [100, 13]).tolist()) for _ in range(4)]


def _forgets_the_biases(ngf, n_blocks):
    # Biases: ngf, 2 ngf and 4 ngf on the way down, 2 ngf, ngf and 3 on the way up.
    return generator_parameters(ngf, n_blocks) - 10 * ngf - 3 - n_blocks * 8 * ngf


def _counts_the_norms(ngf, n_blocks):
    # A gain and a shift for each channel behind every convolution but the last.
    return generator_parameters(ngf, n_blocks) + 2 * (10 * ngf + n_blocks * 8 * ngf)


def _one_convolution_per_block(ngf, n_blocks):
    return generator_parameters(ngf, n_blocks) - n_blocks * (9 * 16 * ngf**2 + 4 * ngf)


def _blocks_at_ngf(ngf, n_blocks):
    change = 2 * (9 * ngf**2 + ngf) - 2 * (9 * 16 * ngf**2 + 4 * ngf)
    return generator_parameters(ngf, n_blocks) + n_blocks * change


def _forgets_the_way_up(ngf, n_blocks):
    return generator_parameters(ngf, n_blocks) - 9 * 10 * ngf**2 - 3 * ngf


def _edges_of_3_by_3(ngf, n_blocks):
    return generator_parameters(ngf, n_blocks) - 2 * (49 - 9) * 3 * ngf


register(
    Exercise(
        number="3.5",
        title="counting parameters",
        reference=generator_parameters,
        cases=_generator_parameters_cases,
        drawn_cases=_generator_parameters_drawn,
        hints=(
            "Write a helper for one convolution: kernel * kernel * inputs * outputs + outputs. "
            "Then add up the layers.",
            "Each block holds two convolutions from 4 * ngf to 4 * ngf channels.",
            "For ngf=64 without blocks: 9,472 + 73,856 + 295,168 on the way down, 295,040 + 73,792 "
            "+ 9,411 on the way up. Each block adds 1,180,160.",
        ),
        mistakes={
            "forgets the biases": Mistake(
                _forgets_the_biases,
                "The biases are missing: every convolution has one for each of its output "
                "channels.",
            ),
            "counts the norms": Mistake(
                _counts_the_norms,
                "You have counted a gain and a shift for each norm. nn.InstanceNorm2d has none "
                "unless affine=True is passed, and the reference does not.",
            ),
            "one convolution per block": Mistake(
                _one_convolution_per_block,
                "A residual block has two convolutions, and you have counted one.",
            ),
            "blocks at the first width": Mistake(
                _blocks_at_ngf,
                "The blocks do not work at ngf channels: two halvings come before them, and each "
                "doubles the width, to 4 * ngf.",
            ),
            "forgets the way up": Mistake(
                _forgets_the_way_up,
                "The two transposed convolutions are missing: from 4 * ngf to 2 * ngf, and from "
                "there to ngf.",
            ),
            "edges of 3x3": Mistake(
                _edges_of_3_by_3,
                "The first and the last convolution are 7x7: 49 weights for each pair of channels.",
            ),
        },
    )
)
