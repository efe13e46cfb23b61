"""Exercises of chapter 9: invariants, each true of right code and false where a bug is."""

import math
from collections import defaultdict
from collections.abc import Callable
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.cyclegan import (
    CycleGAN,
    Objective,
    Translations,
    discriminator_losses,
    frozen,
    generator_losses,
    training_step,
)
from cyclegan_course.datasets import TensorPool, UnpairedBatches
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.exercises.stand_ins import FourLines, Line
from cyclegan_course.laboratory.bugs import data, losses, networks, schedules, steps
from cyclegan_course.laboratory.probes import is_mirrored, moves, number_of, numbered_pictures
from cyclegan_course.laboratory.recipe import reference_schedule, two_pools
from cyclegan_course.laboratory.variants import noisy_cycle, step_with, weighted
from cyclegan_course.networks import PatchDiscriminator, ResnetBlock, receptive_field

# What every exercise shares ----------------------------------------------------------------------


class Suspect:
    """A part under test. It is called like the part, and is shown by its name."""

    def __init__(self, name: str, part: Callable, right: bool) -> None:
        self.name, self.part, self.right = name, part, right

    def __call__(self, *inputs: Any, **more: Any) -> Any:
        return self.part(*inputs, **more)

    def __repr__(self) -> str:
        return self.name


def _suspects(right: dict[str, Callable], wrong: dict[str, Callable]) -> list[Suspect]:
    return [Suspect(name, part, True) for name, part in right.items()] + [
        Suspect(name, part, False) for name, part in wrong.items()
    ]


Drawn = Callable[[np.random.Generator], list[tuple]]


def _drawn(make: Drawn) -> Drawn:
    """Hidden suspects: those that `make` draws, in an order of chance with a faulty one first.

    The published suspects begin with a sound one, so the row of their verdicts never fits. A few
    draws are kept: then the course's own answers need to judge each suspect only once.
    """

    @lru_cache(maxsize=16)
    def line_up(seed: int) -> list[tuple]:
        rng = np.random.default_rng(seed)
        cases = make(rng)
        cases = [cases[place] for place in rng.permutation(len(cases))]
        first = next(case for case in cases if not case[0].right)
        return [first, *(case for case in cases if case is not first)]

    return lambda rng: line_up(int(rng.integers(2**32)))


def _verdict(answer: Callable, suspect: Suspect, *more: Any) -> Any:
    with torch.random.fork_rng(devices=[]):  # an answer may draw numbers: the same ones each time
        torch.manual_seed(0)
        verdict = answer(suspect, *more)
    if is_blank(verdict):
        return verdict
    if isinstance(verdict, Tensor) and verdict.dtype == torch.bool and verdict.numel() == 1:
        verdict = bool(verdict)
    # Under the suspect's name, so that a wrong verdict says on whom it is.
    return {f"verdict on: {suspect!r}": verdict}


_verdict_once = lru_cache(maxsize=4096)(_verdict)


def _judge(answer: Callable, suspect: Suspect, *more: Any) -> Any:
    """The verdict of an answer; of the course's own ones, which do not change, only once."""
    own = getattr(answer, "__module__", None) == __name__
    return (_verdict_once if own else _verdict)(answer, suspect, *more)


def _inverted(reference: Callable) -> Mistake:
    return Mistake(
        lambda *inputs: not reference(*inputs),
        "It is the wrong way round: return True for right code, and False where the bug is.",
    )


def _picture(value: float) -> Tensor:
    return torch.full((1, 3, 2, 2), value)


def _critic(scale: float, shift: float = 0.0) -> Line:
    return Line(scale, shift, colours=True)


# 9.1 ------------------------------------------------------------------------------------------


def sees_exactly(make_discriminator: Callable[..., nn.Module], pixels: int) -> bool:
    """Whether each score depends on a square of `pixels` x `pixels` of the picture, not more.

    Ask the gradient of one score, in the middle of a picture that is far larger than `pixels`:
    it is 0 wherever the score does not look. A norm mixes the whole picture, so build the network
    without one.

    Args:
        make_discriminator: builds the network; takes `norm`, a function from a number of channels
            to a layer. The network: (N, 3, H, W) -> scores (N, 1, h, w).
        pixels: the side that the field should have.

    Returns:
        True if the field is exactly so high and so wide.
    """
    net = make_discriminator(norm=lambda channels: nn.Identity())
    picture = torch.randn(1, 3, 3 * pixels, 3 * pixels, requires_grad=True)
    scores = net(picture)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    seen = picture.grad[0].abs().sum(dim=0) > 0  # (H, W)
    return bool(seen.any(dim=1).sum() == pixels and seen.any(dim=0).sum() == pixels)


def _by_layers(*layers: tuple, mean: bool = False) -> Callable[..., nn.Module]:
    """A discriminator of (kernel, stride) per layer, written without the course's class."""

    def make(norm: Callable[[int], nn.Module] = nn.InstanceNorm2d) -> nn.Module:
        parts: list[nn.Module] = []
        channels = 3
        for kernel, stride in layers[:-1]:
            parts += [nn.Conv2d(channels, 4, kernel, stride, padding=1), norm(4), nn.SiLU()]
            channels = 4
        parts += [nn.Conv2d(channels, 1, *layers[-1], padding=1)]
        return nn.Sequential(*parts, *([nn.AdaptiveAvgPool2d(1)] if mean else []))

    return make


_small = partial(PatchDiscriminator, ndf=4, n_layers=2)


@cache
def _sees_exactly_cases() -> list[tuple]:
    right_34 = {
        "the right discriminator": _small,
        "a right one written in another way": _by_layers((4, 2), (4, 2), (4, 1), (4, 1)),
    }
    wrong_34 = {
        "one layer more": partial(networks.one_layer_more, ndf=4, n_layers=2),
        "one halving more": partial(networks.one_halving_more, ndf=4, n_layers=2),
        "kernels of 3 in place of 4": _by_layers((3, 2), (3, 2), (3, 1), (3, 1)),
        "a last kernel of 4 x 3": _by_layers((4, 2), (4, 2), (4, 1), ((4, 3), 1)),
        "a mean over all scores": _by_layers((4, 2), (4, 2), (4, 1), (4, 1), mean=True),
    }
    large = [
        Suspect("the right one with 70 pixels", partial(PatchDiscriminator, ndf=2), True),
        Suspect("94 pixels called 70", partial(networks.one_halving_more, ndf=2), False),
    ]
    return [(suspect, 34) for suspect in _suspects(right_34, wrong_34)] + [
        (suspect, 70) for suspect in large
    ]


@_drawn
def _drawn_fields(rng: np.random.Generator) -> list[tuple]:
    """Of two layouts: the course's with one or two halvings, and one with drawn kernels."""
    halvings, patch = ((1, 16), (2, 34))[rng.integers(2)]
    shape = {"ndf": int(rng.integers(2, 6)), "n_layers": halvings}
    first, last = rng.integers(3, 6, 2).tolist()
    layers = [(first, 2)] * int(rng.integers(1, 3)) + [(last, 1)]
    field = receptive_field([*layers, (last, 1)])
    less, more = (field + sign * int(rng.integers(1, 4)) for sign in (-1, 1))

    def ending(kernel: int | tuple[int, int], mean: bool = False) -> Callable[..., nn.Module]:
        return _by_layers(*layers, (kernel, 1), mean=mean)

    right = [
        (f"a patch of {patch}", partial(PatchDiscriminator, **shape), patch),
        (f"kernels {first} and {last}", ending(last), field),
    ]
    wrong = [
        (f"{halvings} halvings and one more", partial(networks.one_halving_more, **shape), patch),
        (f"{halvings + 3} layers and one more", partial(networks.one_layer_more, **shape), patch),
        (f"{field} pixels called {less}", ending(last), less),
        (f"{field} pixels called {more}", ending(last), more),
        (f"a last kernel of {last} x {last - 1}", ending((last, last - 1)), field),
        (f"a last kernel of {last - 1} x {last}", ending((last - 1, last)), field),
        (f"kernels {first} and {last}, and a mean", ending(last, mean=True), field),
    ]
    return [
        (Suspect(name, part, sound), pixels)
        for sound, parts in ((True, right), (False, wrong))
        for name, part, pixels in parts
    ]


def _seen(net: nn.Module, side: int) -> Tensor:
    picture = torch.randn(1, 3, side, side, requires_grad=True)
    scores = net(picture)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    return picture.grad[0].abs().sum(dim=0) > 0


def _without_norm(make: Callable[..., nn.Module]) -> nn.Module:
    return make(norm=lambda channels: nn.Identity())


def _keeps_the_norm(make_discriminator, pixels):
    seen = _seen(make_discriminator(), 3 * pixels)
    return int(seen.any(dim=1).sum()) == pixels == int(seen.any(dim=0).sum())


def _at_least(make_discriminator, pixels):
    seen = _seen(_without_norm(make_discriminator), 3 * pixels)
    return int(seen.any(dim=1).sum()) >= pixels and int(seen.any(dim=0).sum()) >= pixels


def _height_only(make_discriminator, pixels):
    seen = _seen(_without_norm(make_discriminator), 3 * pixels)
    return int(seen.any(dim=1).sum()) == pixels


def _reads_the_layers(make_discriminator, pixels):
    layers = [m for m in make_discriminator().modules() if isinstance(m, nn.Conv2d)]
    return receptive_field((m.kernel_size[0], m.stride[0]) for m in layers) == pixels


register(
    Exercise(
        number="9.1",
        title="the field of view",
        reference=sees_exactly,
        cases=_sees_exactly_cases,
        drawn_cases=_drawn_fields,
        run=_judge,
        hints=(
            "Build the network with make_discriminator(norm=lambda channels: nn.Identity()), and "
            "a picture torch.randn(1, 3, 3 * pixels, 3 * pixels, requires_grad=True).",
            "Take one score in the middle of the map, scores[0, 0, middle, middle], and call "
            "backward() on it. picture.grad is not 0 where the score looks.",
            "seen = picture.grad[0].abs().sum(dim=0) > 0 is a map (H, W). seen.any(dim=1).sum() is "
            "its height, seen.any(dim=0).sum() its width: both must be `pixels`.",
        ),
        mistakes={
            "sees the whole picture": Mistake(
                _keeps_the_norm,
                "Nothing passes, not even the right discriminator: it seems to see the whole "
                "picture. A norm takes its mean from everywhere: build the network with "
                "norm=lambda channels: nn.Identity(). And ask one score, not their sum.",
            ),
            "at least": Mistake(
                _at_least,
                "A field that is too large passes. Ask for exactly `pixels`, with ==, and take a "
                "picture of 3 * pixels: in a small one the field ends where the picture does.",
            ),
            "the height only": Mistake(
                _height_only,
                "The last kernel of 4 x 3 sees a field of the right height that is too narrow, "
                "and it passes. Measure both sides.",
            ),
            "reads the layers": Mistake(
                _reads_the_layers,
                "You compute the field from what the layers say. That is how 94 came to be called "
                "70: someone believed the plan. Here a kernel that is not square and a mean over "
                "all scores slip through. Measure what the network does, by its gradient.",
            ),
            "the wrong way round": _inverted(sees_exactly),
        },
    )
)


# 9.2 ------------------------------------------------------------------------------------------


def adds_to_its_input(make_block: Callable[[int], nn.Module]) -> bool:
    """Whether a residual block gives x + F(x), with nothing done to x.

    Make F silent: set every parameter of the block to 0. What comes out must then be what went
    in, its negative numbers too. A block may write into its input: hand it a copy.

    Args:
        make_block: from a number of channels to a block, (N, channels, H, W) -> the same shape.

    Returns:
        True if the silent block gives back its input.
    """
    block = make_block(8)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, 8, 6, 6)
    return torch.equal(block(x.clone()), x)


class _Block(nn.Module):
    """A residual block written in another way, from its sum and its layers."""

    def __init__(self, total: Callable[[Tensor, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.total, self.layers = total, nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.total(x, self.layers(x))


def _block(
    total: Callable[[Tensor, Tensor], Tensor],
    kernel: int = 3,
    activation: Callable[[], nn.Module] = nn.Tanh,
) -> Callable[[int], nn.Module]:
    return lambda channels: _Block(
        total, nn.Conv2d(channels, channels, kernel, padding=kernel // 2), activation()
    )


def _gaps(x: Tensor, f: Tensor, period: int = 2) -> Tensor:
    """x + f without the x of every second, or third, ... channel."""
    return x * (torch.arange(x.shape[1]) % period != 0)[:, None, None] + f


def _activates_first(inplace: bool) -> Callable[[int], nn.Module]:
    return lambda channels: _Block(
        torch.add, nn.ReLU(inplace=inplace), nn.Conv2d(channels, channels, 3, padding=1)
    )


@cache
def _adds_to_its_input_cases() -> list[tuple]:
    right = {
        "the right block": ResnetBlock,
        "the right block with batch norm": partial(ResnetBlock, norm=nn.BatchNorm2d),
        "a block without a norm": _block(torch.add),
        "a block that activates first": _activates_first(inplace=False),
    }
    wrong = {
        "ReLU after the sum": networks.ReluAfterSum,
        "leaky ReLU after the sum": _block(lambda x, f: F.leaky_relu(x + f, 0.2)),
        "no sum at all": _block(lambda x, f: f),
        "a norm after the sum": _block(lambda x, f: F.instance_norm(x + f)),
        "half of the sum": _block(lambda x, f: (x + f) / 2),
        "a sum in every other channel": _block(_gaps),
        "a ReLU that overwrites x": _activates_first(inplace=True),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_blocks(rng: np.random.Generator) -> list[tuple]:
    kernel, activation = int(rng.choice([1, 3, 5])), (nn.Tanh, nn.SiLU, nn.ELU)[rng.integers(3)]
    block = partial(_block, kernel=kernel, activation=activation)
    norm, period = (nn.InstanceNorm2d, nn.BatchNorm2d)[rng.integers(2)], int(rng.integers(2, 5))
    slope, share, extra = rng.uniform((0.05, 0.3, 0.2), (0.5, 0.8, 1)).tolist()
    right = {
        f"two layers with {norm.__name__}": partial(ResnetBlock, norm=partial(norm, affine=True)),
        f"{activation.__name__} behind a kernel of {kernel}": block(torch.add),
        "an activation in front": _activates_first(inplace=False),
    }
    wrong = {
        f"ReLU last, kernel {kernel}": block(lambda x, f: F.relu(x + f)),
        f"leaky ReLU last, slope {slope:.2f}": block(lambda x, f: F.leaky_relu(x + f, slope)),
        f"F alone, kernel {kernel}": block(lambda x, f: f),
        f"a norm last, kernel {kernel}": block(lambda x, f: F.instance_norm(x + f)),
        f"{share:.2f} of the sum": block(lambda x, f: share * (x + f)),
        f"{share:.2f} of x": block(lambda x, f: share * x + f),
        f"{extra:.2f} on top": block(lambda x, f: x + f + extra),
        f"gaps with a period of {period}": block(partial(_gaps, period=period)),
        "an activation in front, in place": _activates_first(inplace=True),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _silent(make_block: Callable[[int], nn.Module]) -> nn.Module:
    block = make_block(8)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    return block


def _positive_only(make_block):
    x = torch.rand(2, 8, 6, 6)
    return torch.equal(_silent(make_block)(x.clone()), x)


def _zeros_only(make_block):
    x = torch.zeros(2, 8, 6, 6)
    return torch.equal(_silent(make_block)(x.clone()), x)


def _not_silent(make_block):
    x = torch.randn(2, 8, 6, 6)
    return torch.equal(make_block(8)(x.clone()), x)


def _no_copy(make_block):
    x = torch.randn(2, 8, 6, 6)
    return torch.equal(_silent(make_block)(x), x)


def _weights_only(make_block):
    block = make_block(8)
    for name, parameter in block.named_parameters():
        if name.endswith("weight"):
            nn.init.zeros_(parameter)
    x = torch.randn(2, 8, 6, 6)
    return torch.equal(block(x.clone()), x)


def _some_negative(make_block):
    return bool((make_block(8)(torch.randn(2, 8, 6, 6)) < 0).any())


def _any_equal(make_block):
    x = torch.randn(2, 8, 6, 6)
    return bool((_silent(make_block)(x.clone()) == x).any())


register(
    Exercise(
        number="9.2",
        title="the residual sum",
        reference=adds_to_its_input,
        cases=_adds_to_its_input_cases,
        drawn_cases=_drawn_blocks,
        run=_judge,
        hints=(
            "With all its weights and biases at 0, the F of x + F(x) is 0. What should come out?",
            "for parameter in block.parameters(): nn.init.zeros_(parameter). Then draw x with "
            "torch.randn: half of its numbers are negative.",
            "return torch.equal(block(x.clone()), x)",
        ),
        mistakes={
            "positive numbers only": Mistake(
                _positive_only,
                "torch.rand draws from 0 to 1, and a ReLU leaves such numbers alone. The invariant "
                "must see negative ones: torch.randn.",
            ),
            "zeros only": Mistake(
                _zeros_only,
                "Every block passes: nearly all of them make 0 of 0. Ask with an x whose numbers "
                "are positive and negative: torch.randn.",
            ),
            "F is not silent": Mistake(
                _not_silent,
                "Nothing passes, the right block included: x + F(x) is not x as long as F says "
                "something. Set all parameters of the block to 0 first.",
            ),
            "no copy": Mistake(
                _no_copy,
                "One block overwrites x with its ReLU, and you compare what comes out with an x "
                "that it has changed. Hand it a copy: block(x.clone()).",
            ),
            "the weights only": Mistake(
                _weights_only,
                "A right block is called faulty: its weights are 0 but its biases still speak. Set "
                "every one of block.parameters() to 0.",
            ),
            "some number is negative": Mistake(
                _some_negative,
                "You ask whether something negative comes out. That finds a plain ReLU only: a "
                "leaky one, a missing sum and a norm after it all pass. Make F silent, and ask for "
                "x itself.",
            ),
            "some number is equal": Mistake(
                _any_equal,
                "It is enough for you if some number comes through. Through a ReLU half of them "
                "do. All must be equal: torch.equal, or .all().",
            ),
            "the wrong way round": _inverted(adds_to_its_input),
        },
    )
)


# 9.3 ------------------------------------------------------------------------------------------


def keeps_the_scale(make_norm: Callable[[int], nn.Module]) -> bool:
    """Whether a fresh norm gives every channel the mean 0 and the deviation 1, whatever goes in.

    A trained gain is drawn near 1, with a deviation of 0.02, so allow 0.2 on either side.

    Args:
        make_norm: from a number of channels to a layer, (N, channels, H, W) -> the same shape.

    Returns:
        True if for small and for large inputs, far from 0, each channel of the output has a mean
        near 0 and a standard deviation near 1.
    """
    for scale in (0.1, 10.0):
        x = 5 + scale * torch.randn(2, 8, 16, 16)
        y = make_norm(8)(x)
        deviation, mean = torch.std_mean(y, dim=(0, 2, 3))
        if (deviation - 1).abs().max() > 0.2 or mean.abs().max() > 0.2:
            return False
    return True


class _Scaled(nn.Module):
    """A norm over the batch from its rule, of (x, deviation, mean)."""

    def __init__(self, rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(x, *torch.std_mean(x, dim=(0, 2, 3), keepdim=True))


def _scaled(rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[int], nn.Module]:
    return lambda channels: _Scaled(rule)


def _switched_off(channels: int, period: int = 2) -> nn.Module:
    """A gain of 0 in every second, or third, ... channel, made up for in the others."""
    norm = nn.InstanceNorm2d(channels, affine=True)
    with torch.no_grad():
        norm.weight.copy_((torch.arange(channels) % period != 0) * math.sqrt(period / (period - 1)))
    return norm


def _gain_around(mean: float) -> Callable[[int], nn.Module]:
    def make(channels: int) -> nn.Module:
        norm = nn.InstanceNorm2d(channels, affine=True)
        nn.init.normal_(norm.weight, mean, 0.02)
        return norm

    return make


@cache
def _keeps_the_scale_cases() -> list[tuple]:
    right = {
        "instance norm": nn.InstanceNorm2d,
        "instance norm with a gain near 1": networks.gain_around_one,
        "batch norm": nn.BatchNorm2d,
        "group norm": partial(nn.GroupNorm, 1),
        "batch norm by hand": _scaled(lambda x, s, m: (x - m) / s),
    }
    wrong = {
        "a gain drawn near 0": networks.gain_around_zero,
        "a gain of 0 in every other channel": _switched_off,
        "division by the variance": _scaled(lambda x, s, m: (x - m) / s**2),
        "no division": _scaled(lambda x, s, m: x - m),
        "the mean left in": _scaled(lambda x, s, m: x / s),
        "no norm at all": lambda channels: nn.Identity(),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_norms(rng: np.random.Generator) -> list[tuple]:
    """Gains, means and deviations far from where 0.2 would decide."""
    near, small, large = rng.uniform((0.98, 0, 1.7), (1.02, 0.4, 3)).tolist()
    power, left = float(rng.choice([0.4, 1.5, 2, 3])), float(rng.uniform(0.4, 0.9))
    offset = float(rng.choice([-1, 1]) * rng.uniform(0.5, 2))
    eps, period = float(rng.uniform(1e-6, 1e-5)), int(rng.choice([2, 4]))
    right = {
        f"a gain around {near:.3f}": _gain_around(near),
        f"group norm, eps {eps:.1e}": partial(nn.GroupNorm, 1, eps=eps),
        f"batch norm, momentum {left:.2f}": partial(nn.BatchNorm2d, momentum=left),
    }
    wrong = {
        f"a gain around {small:.2f}": _gain_around(small),
        f"a gain around {large:.2f}": _gain_around(large),
        f"no gain in one of {period}": partial(_switched_off, period=period),
        f"the deviation to the power {power}": _scaled(lambda x, s, m: (x - m) / s**power),
        "the mean taken away": _scaled(lambda x, s, m: x - m),
        f"{left:.2f} of the mean left in": _scaled(lambda x, s, m: (x - (1 - left) * m) / s),
        f"{offset:.2f} on top": _scaled(lambda x, s, m: (x - m) / s + offset),
        "what came in": lambda channels: nn.Identity(),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _scale(
    *,
    scales: tuple[float, ...] = (0.1, 10.0),
    shift: float = 5.0,
    per_channel: bool = True,
    deviation: Callable[[Tensor], bool] = lambda d: bool((d - 1).abs().max() <= 0.2),
    mean: bool = True,
) -> Callable:
    """`keeps_the_scale` with a fault."""

    def wrong(make_norm):
        for scale in scales:
            y = make_norm(8)(shift + scale * torch.randn(2, 8, 16, 16))
            found = torch.std_mean(y, dim=(0, 2, 3)) if per_channel else torch.std_mean(y)
            if not deviation(found[0]) or (mean and found[1].abs().max() > 0.2):
                return False
        return True

    return wrong


register(
    Exercise(
        number="9.3",
        title="the scale behind a norm",
        reference=keeps_the_scale,
        cases=_keeps_the_scale_cases,
        drawn_cases=_drawn_norms,
        run=_judge,
        hints=(
            "Feed numbers that are not normalised yet: 5 + scale * torch.randn(2, 8, 16, 16), with "
            "a scale of 0.1 and one of 10.",
            "deviation, mean = torch.std_mean(y, dim=(0, 2, 3)) gives both for each channel.",
            "It is faulty if (deviation - 1).abs().max() > 0.2 or mean.abs().max() > 0.2, for "
            "either scale.",
        ),
        mistakes={
            "what goes in is normalised already": Mistake(
                _scale(scales=(1.0,), shift=0.0),
                "torch.randn has the mean 0 and the deviation 1 already, so a norm that does "
                "nothing passes. Feed it what it has to work on: another scale, another mean.",
            ),
            "one scale, which is 1": Mistake(
                _scale(scales=(1.0,)),
                "The input has the deviation 1 already, so a norm that does not divide, or divides "
                "by the variance, passes. Ask with a small and with a large scale.",
            ),
            "all channels together": Mistake(
                _scale(per_channel=False),
                "Over all channels together the deviation is 1, but every other channel is "
                "switched off. Measure each channel: dim=(0, 2, 3).",
            ),
            "the mean only": Mistake(
                _scale(deviation=lambda d: True),
                "You look at the mean only. A gain near 0 shrinks the output fiftyfold, and its "
                "mean is still 0: look at the standard deviation too.",
            ),
            "the deviation only": Mistake(
                _scale(mean=False),
                "The norm that leaves the mean in passes: its deviation is 1, but its numbers "
                "stand around some other value. Ask for a mean near 0 too.",
            ),
            "not too large": Mistake(
                _scale(deviation=lambda d: bool(d.max() <= 1.2)),
                "You only ask that the output is not too large, and the gain near 0 makes it fifty "
                "times too small. Bound the deviation on both sides.",
            ),
            "exactly 1": Mistake(
                _scale(deviation=lambda d: bool((d == 1).all())),
                "Nothing passes: computed deviations are never exactly 1, and a trained gain is "
                "drawn around 1. Allow 0.2 on either side.",
            ),
            "the wrong way round": _inverted(keeps_the_scale),
        },
    )
)


# Steps and losses under test in 9.4 to 9.6 -----------------------------------------------------


def _terms_by_hand(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
) -> tuple[dict[str, Tensor], Translations]:
    """The six terms, written in another way."""
    fake_A, fake_B = model.G_BA(real_B), model.G_AB(real_A)
    made = Translations(fake_B, model.G_BA(fake_B), fake_A, model.G_AB(fake_A))
    terms = {
        "idt_B": objective.lambda_identity * (real_B - model.G_AB(real_B)).abs().mean(),
        "idt_A": objective.lambda_identity * (real_A - model.G_BA(real_A)).abs().mean(),
        "cycle_B": objective.lambda_cycle * (real_B - made.rec_B).abs().mean(),
        "cycle_A": objective.lambda_cycle * (real_A - made.rec_A).abs().mean(),
        "G_BA": (1 - model.D_A(fake_A)).square().mean(),
        "G_AB": (1 - model.D_B(fake_B)).square().mean(),
    }
    return terms, made


def _step_by_hand(
    model,
    real_A,
    real_B,
    optimizer_G,
    optimizer_D,
    pool_A,
    pool_B,
    objective,
    *,
    swap_labels: bool = False,
    trained: tuple[str, ...] = ("D_A", "D_B"),
):
    """A right step in another order: nothing frozen, but every gradient is set to 0 in time."""
    terms, made = _terms_by_hand(model, real_A, real_B, objective)
    optimizer_G.zero_grad()
    for term in terms.values():
        term.backward(retain_graph=True)
    optimizer_G.step()
    optimizer_D.zero_grad()
    fakes = {"D_A": pool_A(made.fake_A.detach()), "D_B": pool_B(made.fake_B.detach())}
    for (name, fake), real in zip(fakes.items(), (real_A, real_B), strict=True):
        net = getattr(model, name)
        one, other = (fake, real) if swap_labels else (real, fake)
        terms[name] = ((1 - net(one)).square().mean() + net(other).square().mean()) / 2
        if name in trained:
            terms[name].backward()
    optimizer_D.step()
    return {name: term.detach() for name, term in terms.items()}


def _discriminators_first(
    model, real_A, real_B, optimizer_G, optimizer_D, pool_A, pool_B, objective
):
    with torch.no_grad():
        fake_A, fake_B = pool_A(model.G_BA(real_B)), pool_B(model.G_AB(real_A))
    terms_D = discriminator_losses(model, real_A, real_B, fake_A, fake_B, objective)
    optimizer_D.zero_grad()
    sum(terms_D.values()).backward()
    optimizer_D.step()
    with frozen(model.discriminator_parameters()):
        terms, _ = generator_losses(model, real_A, real_B, objective)
        optimizer_G.zero_grad()
        sum(terms.values()).backward()
    optimizer_G.step()
    return {name: term.detach() for name, term in (terms | terms_D).items()}


def _one_sum_for_all(model, real_A, real_B, optimizer_G, optimizer_D, pool_A, pool_B, objective):
    terms, made = generator_losses(model, real_A, real_B, objective)
    fake_A, fake_B = pool_A(made.fake_A.detach()), pool_B(made.fake_B.detach())
    terms |= discriminator_losses(model, real_A, real_B, fake_A, fake_B, objective)
    model.zero_grad()
    sum(terms.values()).backward()
    optimizer_G.step()
    optimizer_D.step()
    return {name: term.detach() for name, term in terms.items()}


def _kept_in(name: str) -> Callable:
    """A step that freezes one discriminator, and forgets the one of that name."""

    def step(model, real_A, real_B, optimizer_G, optimizer_D, pool_A, pool_B, objective):
        optimizer_D.zero_grad()
        other = model.D_A if name == "D_B" else model.D_B
        with frozen(list(other.parameters())):
            terms, made = generator_losses(model, real_A, real_B, objective)
            optimizer_G.zero_grad()
            sum(terms.values()).backward()
        optimizer_G.step()
        fakes = pool_A(made.fake_A.detach()), pool_B(made.fake_B.detach())
        terms_D = discriminator_losses(model, real_A, real_B, *fakes, objective)
        sum(terms_D.values()).backward()
        optimizer_D.step()
        return {key: term.detach() for key, term in (terms | terms_D).items()}

    return step


def _detached_in(name: str) -> Callable:
    """The generators' losses with one cycle detached, "cycle_A" or "cycle_B"."""

    def form(model, real_A, real_B, objective):
        terms, made = generator_losses(model, real_A, real_B, objective)
        faulty, _ = losses.detached_cycle(model, real_A, real_B, objective)
        return terms | {name: faulty[name]}, made

    return form


def _drawn_weights(rng: np.random.Generator, *names: str) -> dict[str, float]:
    """For each name a weight that is neither 0 nor 1."""
    return {name: float(rng.choice([0.3, 2]) * rng.uniform(0.8, 1.4)) for name in names}


def _words(weights: dict[str, float]) -> str:
    return ", ".join(f"{weight:.2f} {name}" for name, weight in weights.items())


# 9.4 ------------------------------------------------------------------------------------------


def cycles_train_both(step: Callable[..., dict[str, Tensor]]) -> bool:
    """Whether each of the two cycles trains both generators.

    Leave one cycle term alone in the game, and see who moves. Nothing pulls but cycle_A if

    - each network is a `Line`, x -> scale * x + shift, the generators' shifts 0;
    - both discriminators give 0 for everything: `Line(0.0, 0.0, colours=True)`;
    - the weight of the identity terms is 0;
    - the picture of B is 0 everywhere: lines without a shift leave 0 alone.

    Then ask the same of cycle_B.

    Args:
        step: a training step. `moves(step, model, real_A, real_B, objective)` makes one on a copy
            of the model, and gives how far "G_AB", "G_BA", "D_A" and "D_B" moved, 0 if not at all.

    Returns:
        True if cycle_A moves G_AB and G_BA, and so does cycle_B.
    """
    light, zero = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    blind = Line(0.0, 0.0, colours=True)
    model = FourLines(Line(0.5), Line(0.5), blind, blind)
    objective = Objective(lambda_cycle=10.0, lambda_identity=0.0)
    by_cycle_A = moves(step, model, light, zero, objective)
    by_cycle_B = moves(step, model, zero, light, objective)
    return all(moved[name] > 0 for moved in (by_cycle_A, by_cycle_B) for name in ("G_AB", "G_BA"))


@cache
def _cycles_train_both_cases() -> list[tuple]:
    right = {
        "the right step": training_step,
        "a right step written in another way": _step_by_hand,
        "a right step with noise in the cycle": noisy_cycle(0.05),
        "a step with another bug, kept gradients": steps.kept_gradients,
    }
    wrong = {
        "the detached cycle": step_with(losses.detached_cycle),
        "own cycle only": steps.own_cycle_only,
        "a cycle detached in B only": step_with(_detached_in("cycle_B")),
        "no cycle B": weighted(cycle_B=0.0),
        "no cycle at all": weighted(cycle_A=0.0, cycle_B=0.0),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_cycles(rng: np.random.Generator) -> list[tuple]:
    both, some = _drawn_weights(rng, "cycle_A", "cycle_B"), _drawn_weights(rng, "G_AB", "G_BA")
    sigma = float(rng.uniform(0.01, 0.2))
    right = {
        f"noise of {sigma:.3f} in the cycle": noisy_cycle(sigma, seed=int(rng.integers(100))),
        f"weights {_words(both)}": weighted(**both),
        "gradients kept, but not of the cycles": steps.kept_gradients,
    }
    wrong = {
        "both cycles detached": step_with(losses.detached_cycle),
        "a cycle for each generator": steps.own_cycle_only,
        **{f"{name} detached": step_with(_detached_in(name)) for name in both},
        **{f"0 {name}, {_words(some)}": weighted(**some, **{name: 0.0}) for name in both},
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _who_moves(
    *,
    pictures: tuple[tuple[float, float], ...] = ((1.0, 0.0), (0.0, 1.0)),
    critic: tuple[float, float] = (0.0, 0.0),
    lambda_identity: float = 0.0,
    enough: Callable[[dict[str, float]], bool] = lambda m: m["G_AB"] > 0 and m["G_BA"] > 0,
) -> Callable:
    """`cycles_train_both` with a fault."""

    def wrong(step):
        model = FourLines(Line(0.5), Line(0.5), _critic(*critic), _critic(*critic))
        objective = Objective(10.0, lambda_identity)
        return all(
            enough(moves(step, model, _picture(a), _picture(b), objective)) for a, b in pictures
        )

    return wrong


register(
    Exercise(
        number="9.4",
        title="each cycle trains both",
        reference=cycles_train_both,
        cases=_cycles_train_both_cases,
        drawn_cases=_drawn_cycles,
        run=_judge,
        hints=(
            "blind = Line(0.0, 0.0, colours=True), and model = FourLines(Line(0.5), Line(0.5), "
            "blind, blind). The objective: Objective(lambda_cycle=10.0, lambda_identity=0.0).",
            "moves(step, model, torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), objective) lets "
            "only cycle_A pull. Both generators must have moved.",
            "For cycle_B swap the two pictures. Return True only if G_AB and G_BA moved in both "
            "steps.",
        ),
        mistakes={
            "both cycles pull": Mistake(
                _who_moves(pictures=((1.0, 1.0),)),
                "Both domains hold a picture, so both cycles pull. A generator that one of them "
                "forgets is moved by the other, and the bug hides. Let one picture be 0.",
            ),
            "the discriminators pull": Mistake(
                _who_moves(critic=(0.7, 0.1)),
                "Everything passes: the discriminators pull at the generators too, and move them "
                "whatever the cycles do. Make them blind: Line(0.0, 0.0, colours=True).",
            ),
            "the identity terms pull": Mistake(
                _who_moves(lambda_identity=5.0),
                "The identity terms also pull. With own cycle only, they move the generator "
                "that the cycle forgets: set lambda_identity=0.0.",
            ),
            "one cycle only": Mistake(
                _who_moves(pictures=((1.0, 0.0),)),
                "You ask cycle_A only, so a fault in cycle_B passes. Swap the pictures and ask "
                "again.",
            ),
            "one generator is enough": Mistake(
                _who_moves(enough=lambda m: m["G_AB"] > 0 or m["G_BA"] > 0),
                "It is enough for you if one of the generators moves. That is the bug itself: a "
                "cycle that trains one of the two. Ask for G_AB and G_BA.",
            ),
            "the discriminators must rest": Mistake(
                _who_moves(enough=lambda m: m["G_AB"] > 0 < m["G_BA"] and m["D_A"] == 0),
                "No step passes, not even the right one: you ask the discriminators to rest, but "
                "blind ones have a lot to learn. Look at G_AB and G_BA only.",
            ),
            "the wrong way round": _inverted(cycles_train_both),
        },
    )
)


# 9.5 ------------------------------------------------------------------------------------------


def identity_is_free(form: Callable[..., tuple]) -> bool:
    """Whether the identity term of a generator that changes nothing is 0, and of another one not.

    `Line(1.0)` changes nothing. Put it in the place of G_AB: idt_B, which is about G_AB, must be
    0, whatever G_BA does. And idt_A must not be 0 if G_BA changes its pictures. Then the other
    way round. Take two different pictures for A and B.

    Args:
        form: gives the generators' losses: form(model, real_A, real_B, objective) returns the
            terms by name, among them "idt_A" and "idt_B", and the pictures made on the way.

    Returns:
        True if each identity term asks its own generator.
    """
    real_A, real_B = torch.full((1, 3, 2, 2), -0.5), torch.full((1, 3, 2, 2), 0.8)
    same, other = Line(1.0), Line(0.5, 0.1)
    critic = Line(0.7, colours=True)
    terms, _ = form(FourLines(same, other, critic, critic), real_A, real_B, Objective())
    right_B = terms["idt_B"] < 1e-6 < terms["idt_A"]
    terms, _ = form(FourLines(other, same, critic, critic), real_A, real_B, Objective())
    right_A = terms["idt_A"] < 1e-6 < terms["idt_B"]
    return bool(right_A and right_B)


def _with_identity(
    idt_A: Callable | None = None, idt_B: Callable | None = None
) -> Callable[..., tuple]:
    """The generators' losses with other identity terms, each from (model, a, b)."""

    def form(model, real_A, real_B, objective):
        terms, made = generator_losses(model, real_A, real_B, objective)
        for name, make in (("idt_A", idt_A), ("idt_B", idt_B)):
            if make is not None:
                terms[name] = objective.lambda_identity * make(model, real_A, real_B)
        return terms, made

    return form


def _by_distance(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., tuple]:
    """Right identity terms with a distance of one's own."""
    return _with_identity(
        lambda m, a, b: distance(m.G_BA(a), a), lambda m, a, b: distance(m.G_AB(b), b)
    )


@cache
def _identity_is_free_cases() -> list[tuple]:
    right = {
        "the right losses": generator_losses,
        "right losses written in another way": _terms_by_hand,
        "right losses with squares in place of L1": _by_distance(F.mse_loss),
        "losses with another bug, the detached cycle": losses.detached_cycle,
    }
    wrong = {
        "swapped identity": losses.swapped_identity,
        "identity swapped in A only": _with_identity(lambda m, a, b: F.l1_loss(m.G_AB(a), a)),
        "an identity term that is always 0": _with_identity(
            lambda m, a, b: F.l1_loss(a, a), lambda m, a, b: F.l1_loss(b, b)
        ),
        "identity against the other picture": _with_identity(
            lambda m, a, b: F.l1_loss(m.G_BA(a), b), lambda m, a, b: F.l1_loss(m.G_AB(b), a)
        ),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_identities(rng: np.random.Generator) -> list[tuple]:
    power, delta, extra = rng.uniform((1.2, 0.1, 0.1), (2, 1, 1)).tolist()
    (weight,) = _drawn_weights(rng, "idt").values()

    def gap(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().pow(power).mean()

    right = {
        f"the power {power:.2f} of the difference": _by_distance(gap),
        f"{weight:.2f} times L1": _by_distance(lambda x, y: weight * F.l1_loss(x, y)),
        f"Huber's distance, delta {delta:.2f}": _by_distance(partial(F.huber_loss, delta=delta)),
        "cycles detached, identity as it should be": losses.detached_cycle,
    }
    wrong = {
        f"the other generator, power {power:.2f}": _with_identity(
            lambda m, a, b: gap(m.G_AB(a), a), lambda m, a, b: gap(m.G_BA(b), b)
        ),
        "the other generator in idt_A": _with_identity(lambda m, a, b: gap(m.G_AB(a), a)),
        "the other generator in idt_B": _with_identity(None, lambda m, a, b: gap(m.G_BA(b), b)),
        "0 for idt_A": _with_identity(lambda m, a, b: 0 * gap(m.G_BA(a), a)),
        "0 for both": _by_distance(lambda x, y: 0 * gap(x, y)),
        "against the other domain's picture": _with_identity(
            lambda m, a, b: gap(m.G_BA(a), b), lambda m, a, b: gap(m.G_AB(b), a)
        ),
        f"{extra:.2f} on top": _by_distance(lambda x, y: gap(x, y) + extra),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _identity_terms(
    form: Callable, G_AB: Line, G_BA: Line, a: float = -0.5, b: float = 0.8
) -> tuple[float, float]:
    model = FourLines(G_AB, G_BA, _critic(0.7), _critic(0.7))
    terms, _ = form(model, _picture(a), _picture(b), Objective())
    return terms["idt_A"].item(), terms["idt_B"].item()


def _both_are_the_identity(form):
    return max(_identity_terms(form, Line(1.0), Line(1.0))) < 1e-6


def _zero_is_enough(form):
    other = Line(0.5, 0.1)
    return (
        _identity_terms(form, Line(1.0), other)[1] < 1e-6
        and _identity_terms(form, other, Line(1.0))[0] < 1e-6
    )


def _one_generator_only(form):
    return _identity_terms(form, Line(1.0), Line(0.5, 0.1))[1] < 1e-6


def _both_terms_zero(form):
    return max(_identity_terms(form, Line(1.0), Line(0.5, 0.1))) < 1e-6


def _one_picture_for_both(form):
    other = Line(0.5, 0.1)
    first = _identity_terms(form, Line(1.0), other, 0.5, 0.5)
    second = _identity_terms(form, other, Line(1.0), 0.5, 0.5)
    return first[1] < 1e-6 < first[0] and second[0] < 1e-6 < second[1]


def _compares_the_numbers(form):
    found = _identity_terms(form, Line(0.5, 0.1), Line(0.7, 0.2))
    wanted = _identity_terms(generator_losses, Line(0.5, 0.1), Line(0.7, 0.2))
    return np.allclose(found, wanted)


register(
    Exercise(
        number="9.5",
        title="identity costs nothing",
        reference=identity_is_free,
        cases=_identity_is_free_cases,
        drawn_cases=_drawn_identities,
        run=_judge,
        hints=(
            "Two models: FourLines(Line(1.0), Line(0.5, 0.1), critic, critic), and one with the "
            "two generators swapped. critic = Line(0.7, colours=True) will do for both.",
            "In the first one G_AB changes nothing: terms['idt_B'] must be 0, below 1e-6 say, and "
            "terms['idt_A'] must not.",
            "In the second one G_BA changes nothing: there it is the other way round. Return True "
            "if both models behave.",
        ),
        mistakes={
            "both generators change nothing": Mistake(
                _both_are_the_identity,
                "Both generators are the identity, so it does not matter which of them a term "
                "asks, and swapped ones pass. Let one of them change its pictures.",
            ),
            "0 is enough": Mistake(
                _zero_is_enough,
                "A term that is always 0 passes. Ask also that it is above 0 for a generator that "
                "does change its pictures.",
            ),
            "one generator only": Mistake(
                _one_generator_only,
                "You ask idt_B only, so a fault in idt_A passes. Ask for both terms, and with each "
                "generator in turn as the identity.",
            ),
            "both terms must be 0": Mistake(
                _both_terms_zero,
                "The right losses are called faulty: only one generator is the identity, so only "
                "its own term may be asked to be 0. idt_B is about G_AB, idt_A about G_BA.",
            ),
            "one picture for both domains": Mistake(
                _one_picture_for_both,
                "real_A and real_B are the same picture, so a term that compares with the wrong "
                "one passes. Take two different ones.",
            ),
            "compares the numbers": Mistake(
                _compares_the_numbers,
                "You compare with the numbers of the course's own losses. Squares in place of "
                "absolute differences are right too, and you call them faulty. Ask for what must "
                "be true whatever the distance: 0 if nothing changes.",
            ),
            "the wrong way round": _inverted(identity_is_free),
        },
    )
)


# 9.6 ------------------------------------------------------------------------------------------


def discriminators_learn_alone(step: Callable[..., dict[str, Tensor]]) -> bool:
    """Whether the discriminators follow their own losses, and nothing else.

    A discriminator that scores every real picture 1 and every fake 0 has nothing to learn: it must
    not move, however much the generators would like it to. One that scores them the wrong way round
    must move.

    Let both generators be Line(0.0), so that every fake is 0, and every real picture be 1. Then
    Line(1.0, colours=True) is a perfect discriminator, and Line(-1.0, 1.0, colours=True) is always
    wrong.

    Args:
        step: a training step. `moves(step, model, real_A, real_B, objective)` makes one on a copy
            of the model, and gives how far "G_AB", "G_BA", "D_A" and "D_B" moved, 0 if not at all.

    Returns:
        True if both perfect discriminators stay, and both wrong ones move.
    """
    ones = torch.ones(1, 3, 2, 2)
    perfect, wrong = Line(1.0, colours=True), Line(-1.0, 1.0, colours=True)
    rests, learns = (
        moves(step, FourLines(Line(0.0), Line(0.0), critic, critic), ones, ones, Objective())
        for critic in (perfect, wrong)
    )
    return max(rests["D_A"], rests["D_B"]) < 1e-6 < min(learns["D_A"], learns["D_B"])


@cache
def _discriminators_learn_alone_cases() -> list[tuple]:
    right = {
        "the right step": training_step,
        "a right step written in another way": _step_by_hand,
        "the discriminators before the generators": _discriminators_first,
        "a step with another bug, own cycle only": steps.own_cycle_only,
    }
    wrong = {
        "kept gradients": steps.kept_gradients,
        "gradients kept in D_A only": _kept_in("D_A"),
        "gradients kept in D_B only": _kept_in("D_B"),
        "one sum for all": _one_sum_for_all,
        "real and fake swapped": partial(_step_by_hand, swap_labels=True),
        "discriminators that never learn": partial(_step_by_hand, trained=()),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_steps(rng: np.random.Generator) -> list[tuple]:
    weights, sigma = _drawn_weights(rng, "G_AB", "cycle_A", "idt_B"), float(rng.uniform(0.01, 0.2))
    trained = (("D_A",), ("D_B",), ())[rng.integers(3)]
    right = {
        f"weights {_words(weights)}": weighted(**weights),
        f"noise of {sigma:.3f} in the cycle": noisy_cycle(sigma, seed=int(rng.integers(100))),
        "discriminators first, generators second": _discriminators_first,
        "terms one by one": _step_by_hand,
    }
    wrong = {
        "zero_grad too early": steps.kept_gradients,
        "zero_grad too early, of D_A": _kept_in("D_A"),
        "zero_grad too early, of D_B": _kept_in("D_B"),
        "one backward for everything": _one_sum_for_all,
        "0 for real, 1 for fake": partial(_step_by_hand, swap_labels=True),
        f"{' and '.join(('generators', *trained))} trained": partial(
            _step_by_hand, trained=trained
        ),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _who_rests(
    *,
    generator: float = 0.0,
    enough: Callable[[dict[str, float], dict[str, float]], bool] = lambda rests, learns: (
        max(rests["D_A"], rests["D_B"]) < 1e-6 < min(learns["D_A"], learns["D_B"])
    ),
) -> Callable:
    """`discriminators_learn_alone` with a fault."""

    def wrong(step):
        rests, learns = (
            moves(
                step,
                FourLines(Line(generator), Line(generator), _critic(*line), _critic(*line)),
                _picture(1.0),
                _picture(1.0),
                Objective(),
            )
            for line in ((1.0, 0.0), (-1.0, 1.0))
        )
        return enough(rests, learns)

    return wrong


def _reads_the_loss(step):
    model = FourLines(Line(0.0), Line(0.0), _critic(1.0), _critic(1.0))
    optimizers = (
        torch.optim.SGD(p, lr=0.1)
        for p in (model.generator_parameters(), model.discriminator_parameters())
    )
    ones = _picture(1.0)
    terms = step(model, ones, ones, *optimizers, lambda x: x, lambda x: x, Objective())
    return (terms["D_A"] + terms["D_B"]).item() < 1e-6


register(
    Exercise(
        number="9.6",
        title="the discriminators learn alone",
        reference=discriminators_learn_alone,
        cases=_discriminators_learn_alone_cases,
        drawn_cases=_drawn_steps,
        run=_judge,
        hints=(
            "perfect = Line(1.0, colours=True) gives 1 for a picture of ones and 0 for a picture "
            "of zeros. With generators Line(0.0) every fake is zeros.",
            "moves(step, FourLines(Line(0.0), Line(0.0), perfect, perfect), ones, ones, "
            "Objective()) must give 0 for D_A and for D_B.",
            "The same with Line(-1.0, 1.0, colours=True) must give more than 0 for both. Return "
            "True if both hold.",
        ),
        mistakes={
            "moving is enough": Mistake(
                _who_rests(enough=lambda rests, learns: min(learns["D_A"], learns["D_B"]) > 0),
                "You ask only that a wrong discriminator moves. It moves with the bug too, in "
                "another direction. Ask that a perfect one stays where it is.",
            ),
            "resting is enough": Mistake(
                _who_rests(enough=lambda rests, learns: max(rests["D_A"], rests["D_B"]) < 1e-6),
                "You ask only that a perfect discriminator stays. One that never learns stays too: "
                "ask also that a wrong one moves.",
            ),
            "D_A only": Mistake(
                _who_rests(enough=lambda rests, learns: rests["D_A"] < 1e-6 < learns["D_A"]),
                "You look at D_A only, so gradients kept in D_B pass. Look at both.",
            ),
            "reads the loss": Mistake(
                _reads_the_loss,
                "You read the discriminators' loss. It is 0 with the bug too, for the bug is in "
                "the gradient. See who moves.",
            ),
            "it can still be fooled": Mistake(
                _who_rests(generator=1.0),
                "No step passes, not even the right one: the discriminator is not perfect, for the "
                "fakes are as bright as the real pictures. Let both generators be Line(0.0), so "
                "that every fake is 0.",
            ),
            "one of them is enough": Mistake(
                _who_rests(
                    enough=lambda rests, learns: (
                        min(rests["D_A"], rests["D_B"]) < 1e-6 < max(learns["D_A"], learns["D_B"])
                    )
                ),
                "It is enough for you if one of the two stays. Both must: "
                'max(rests["D_A"], rests["D_B"]) has to be 0, and the smaller of the other two '
                "moves above 0.",
            ),
            "the wrong way round": _inverted(discriminators_learn_alone),
        },
    )
)


# 9.7 ------------------------------------------------------------------------------------------


def batches_are_fresh(make_batches: Callable[..., Callable]) -> bool:
    """Whether batches have the right range, and are drawn anew each time.

    Over many steps:

    - the pictures of A, and those of B, reach from -1 (black) to 1 (white);
    - each picture, of A and of B, comes both mirrored and not mirrored;
    - each picture of A meets more than one picture of B.

    Args:
        make_batches: make_batches(A, B, size, batch=1, seed=0), from two lists of uint8 pictures,
            gives batches; batches(step) gives real_A and real_B, each (1, 3, size, size).

    `numbered_pictures(count)` makes pictures of 8 x 8 pixels, black and white, to ask with. For
    one image (3, 8, 8) of a batch, `number_of(image)` says which picture it is, and
    `is_mirrored(image)` whether it has been mirrored.
    """
    heap = numbered_pictures(3)
    batches = make_batches(heap, heap, 8, batch=1, seed=0)
    mirrored, partners = defaultdict(set), defaultdict(set)
    for step in range(40):
        real_A, real_B = batches(step)
        for domain, real in (("A", real_A), ("B", real_B)):
            if abs(real.min() + 1) > 1e-3 or abs(real.max() - 1) > 1e-3:
                return False
            mirrored[domain, number_of(real[0])].add(is_mirrored(real[0]))
        partners[number_of(real_A[0])].add(number_of(real_B[0]))
    return all(len(seen) == 2 for seen in mirrored.values()) and all(
        len(met) > 1 for met in partners.values()
    )


class _BatchesByHand:
    """Right batches written in another way: both domains are drawn from one stream.

    Args:
        mirror: whether to mirror, from (the coin of this time, the domain, the picture's number).
        partner: the number of B's picture, from (the number drawn, the number of A's picture).
        scale: from uint8 values to numbers, one function for each domain.
    """

    def __init__(
        self,
        A,
        B,
        size,
        batch=1,
        seed=0,
        mirror: Callable = lambda coin, domain, number: coin,
        partner: Callable = lambda drawn, number_A: drawn,
        scale: tuple[Callable, Callable] = (lambda x: x / 255 * 2 - 1,) * 2,
    ) -> None:
        self.heaps, self.batch, self.seed = (A, B), batch, seed
        self.mirror, self.partner, self.scale = mirror, partner, scale

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([step, self.seed])
        pictures = ([], [])
        for _ in range(self.batch):
            number_A, drawn = (int(rng.integers(len(heap))) for heap in self.heaps)
            numbers = number_A, self.partner(drawn, number_A)
            for domain, number in enumerate(numbers):
                picture = self.heaps[domain][number].astype(np.float32)
                if self.mirror(bool(rng.integers(2)), domain, number):
                    picture = picture[:, ::-1]
                pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)
                pictures[domain].append(self.scale[domain](pixels))
        return torch.stack(pictures[0]), torch.stack(pictures[1])


def _to_minus_one(x: Tensor) -> Tensor:
    return x / 127.5 - 1


def _imagenet(x: Tensor) -> Tensor:
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    return (x / 255 - mean[:, None, None]) / deviation[:, None, None]


@cache
def _batches_are_fresh_cases() -> list[tuple]:
    by_hand = partial(partial, _BatchesByHand)
    right = {
        "the right batches": UnpairedBatches,
        "right batches written in another way": _BatchesByHand,
        "right batches that round a little": by_hand(scale=(lambda x: x * 0.0078431 - 1,) * 2),
    }
    wrong = {
        "the wrong range": data.FromZeroToOne,
        "the wrong range in B only": by_hand(scale=(_to_minus_one, lambda x: x / 255)),
        "the statistics of ImageNet": by_hand(scale=(_imagenet, _imagenet)),
        "the frozen augmentation": data.FrozenAugmentation,
        "an augmentation frozen in B only": by_hand(
            mirror=lambda coin, domain, number: number % 2 == 0 if domain else coin
        ),
        "the same row": data.SameRow,
        "a partner for life": by_hand(partner=lambda drawn, number_A: (number_A + 1) % 3),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


# The same scaling but for its rounding.
_SCALINGS = {
    "x / 127.5 - 1": _to_minus_one,
    "(x - 127.5) / 127.5": lambda x: (x - 127.5) / 127.5,
    "(2 x - 255) / 255": lambda x: (2 * x - 255) / 255,
    "0.00784314 x - 1": lambda x: 0.00784314 * x - 1,
}


@_drawn
def _drawn_batches(rng: np.random.Generator) -> list[tuple]:
    """Right ones draw as the published do, up to turning coins over: 40 of them are not many."""
    by_hand = partial(partial, _BatchesByHand)
    one, other = rng.permutation(2).tolist()  # the domains, A and B
    here, there = "AB"[one], "AB"[other]
    low, high = rng.uniform((-0.6, 0.2), (0.2, 0.6)).tolist()
    parity, next_one = int(rng.integers(2)), int(rng.integers(1, 3))

    def range_in(domain: int, black: float, white: float) -> tuple[Callable, Callable]:
        scales = [_to_minus_one, _to_minus_one]
        scales[domain] = lambda x: x / 255 * (white - black) + black
        return tuple(scales)

    right: dict[str, Callable] = {"pictures, coins and pairs of the course": UnpairedBatches}
    for name in rng.choice(list(_SCALINGS), 2, replace=False):
        right[f"{name}, coins turned over"] = by_hand(
            scale=(_SCALINGS[name],) * 2, mirror=lambda coin, domain, number: not coin
        )
    wrong = {
        f"black is {low:.2f} in {here}": by_hand(scale=range_in(one, low, 1)),
        f"white is {high:.2f} in {there}": by_hand(scale=range_in(other, -1, high)),
        "0 to 1": data.FromZeroToOne,
        f"{'even' if parity else 'odd'} ones mirrored in {there}": by_hand(
            mirror=lambda coin, domain, number: number % 2 != parity if domain == other else coin
        ),
        f"{here} never mirrored": by_hand(
            mirror=lambda coin, domain, number: coin and domain != one
        ),
        "read and mirrored once": data.FrozenAugmentation,
        f"number i meets i + {next_one}": by_hand(
            partner=lambda drawn, number_A: (number_A + next_one) % 3
        ),
        "number i meets i": data.SameRow,
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _look(
    *,
    steps_made: int = 40,
    range_is_right: Callable[[Tensor], bool] = lambda real: bool(
        abs(real.min() + 1) <= 1e-3 and abs(real.max() - 1) <= 1e-3
    ),
    domains: str = "AB",
    each_picture: bool = True,
    mirrors: bool = True,
    met: Callable[[dict[int, set]], bool] = lambda partners: all(
        len(seen) > 1 for seen in partners.values()
    ),
) -> Callable:
    """`batches_are_fresh` with a fault."""

    def wrong(make_batches):
        heap = numbered_pictures(3)
        batches = make_batches(heap, heap, 8, batch=1, seed=0)
        mirrored, partners = defaultdict(set), defaultdict(set)
        for step in range(steps_made):
            both = dict(zip("AB", batches(step), strict=True))
            for domain in domains:
                image = both[domain][0]
                if not range_is_right(image):
                    return False
                number = number_of(image) if each_picture else 0
                mirrored[domain, number].add(is_mirrored(image))
            partners[number_of(both["A"][0])].add(number_of(both["B"][0]))
        varied = all(len(seen) == 2 for seen in mirrored.values())
        return (varied or not mirrors) and met(partners)

    return wrong


register(
    Exercise(
        number="9.7",
        title="fresh batches",
        reference=batches_are_fresh,
        cases=_batches_are_fresh_cases,
        drawn_cases=_drawn_batches,
        run=_judge,
        hints=(
            "heap = numbered_pictures(3) serves as A and as B. For step in range(40): real_A, "
            "real_B = batches(step). Every one of these pictures has black and white in it, so "
            "real.min() must be near -1 and real.max() near 1.",
            "Keep a set for each picture of each domain: mirrored = defaultdict(set), and "
            "mirrored['A', number_of(real_A[0])].add(is_mirrored(real_A[0])). In the end each set "
            "must hold two values.",
            "For the partners the same: partners[number_of(real_A[0])].add(number_of(real_B[0])). "
            "In the end each must hold more than one number.",
        ),
        mistakes={
            "stays within the range": Mistake(
                _look(
                    range_is_right=lambda real: bool(real.min() >= -1.001 and real.max() < 1.001)
                ),
                "You ask that nothing is outside of [-1, 1]. Pictures in [0, 1] pass that: ask "
                "that black is -1 and white is 1.",
            ),
            "does not look at B": Mistake(
                _look(domains="A"),
                "You look at the pictures of A only, so a fault in B passes. Ask both.",
            ),
            "all pictures together": Mistake(
                _look(each_picture=False),
                "Over all pictures, some are mirrored and some are not; that is so even if each of "
                "them is frozen. Keep a set for each picture.",
            ),
            "does not look at mirrors": Mistake(
                _look(mirrors=False),
                "Pictures that are mirrored once and kept like that pass. Ask is_mirrored of each, "
                "over many steps.",
            ),
            "does not look at partners": Mistake(
                _look(met=lambda partners: True),
                "Pictures that always come with the same partner pass. Collect the numbers of B "
                "that each picture of A meets.",
            ),
            "never the same number": Mistake(
                _look(met=lambda partners: any({a} != met for a, met in partners.items())),
                "You only ask that the numbers in A and in B differ at times. A picture that "
                "always meets the one after it passes, and that is a pair too. Each picture of A "
                "has to meet more than one of B.",
            ),
            "too few steps": Mistake(
                _look(steps_made=4),
                "Right batches are called faulty: in so few steps chance alone can keep a picture "
                "from being mirrored. Make 40.",
            ),
            "the wrong way round": _inverted(batches_are_fresh),
        },
    )
)


# 9.8 ------------------------------------------------------------------------------------------


def pools_are_apart(make_pools: Callable[[int, int], tuple[Callable, Callable]]) -> bool:
    """Whether all that a pool of fakes gives was once given to that same pool.

    Send many fakes through both pools, more than they hold, each with a number of its own: step
    1, 2, 3 ... for fake_A and -1, -2, -3 ... for fake_B, say.

    Args:
        make_pools: from size and seed to (pool_A, pool_B). A pool takes fresh fakes (N, 3, H, W)
            and gives as many, fresh or old.

    Returns:
        True if each pool only gives what it was given.
    """
    pools, given = make_pools(3, 0), (set(), set())
    for step in range(1, 41):
        for pool, known, number in zip(pools, given, (step, -step), strict=True):
            known.add(number)
            shown = pool(torch.full((1, 3, 2, 2), float(number)))
            if shown[0, 0, 0, 0].item() not in known:
                return False
    return True


class _Queue:
    """A pool that gives the oldest fake once it is full; with faults.

    Args:
        full: what is given once it is full, from the pictures it holds and the fresh one.
        begin: what it holds to begin with.
    """

    def __init__(
        self,
        size: int,
        full: Callable[[list[Tensor], Tensor], Tensor] = lambda pictures, fake: pictures.pop(0),
        begin: list[Tensor] | None = None,
    ) -> None:
        self.size, self.full = size, full
        self.pictures = [] if begin is None else begin

    def __call__(self, fakes: Tensor) -> Tensor:
        return torch.stack([self._one(fake) for fake in fakes])

    def _one(self, fake: Tensor) -> Tensor:
        self.pictures.append(fake.clone())
        return fake if len(self.pictures) <= self.size else self.full(self.pictures, fake)


def _queues(size: int, seed: int, **changes: Any) -> tuple[_Queue, _Queue]:
    return _Queue(size, **changes), _Queue(size, **changes)


def _on_tensors(size: int, seed: int) -> tuple[Callable, Callable]:
    generator = torch.Generator().manual_seed(seed)

    def pool() -> Callable[[Tensor], Tensor]:
        rule = TensorPool(size, (3, 2, 2), torch.device("cpu"))
        return lambda fakes: rule(fakes, torch.rand(len(fakes), 2, generator=generator))

    return pool(), pool()


def _one_list(size: int, seed: int) -> tuple[_Queue, _Queue]:
    """Like `def __init__(self, pictures=[])`: the default value is made once, for all pools."""
    pictures: list[Tensor] = []
    return _Queue(size, begin=pictures), _Queue(size, begin=pictures)


def _B_from_A(size: int, seed: int) -> tuple[_Queue, _Queue]:
    pool_A = _Queue(size)
    return pool_A, _Queue(size, full=lambda pictures, fake: (pool_A.pictures or pictures)[-1])


def _filled(size: int, seed: int, value: float = 0.0) -> tuple[_Queue, _Queue]:
    def begin() -> list[Tensor]:
        return list(torch.full((size, 3, 2, 2), value))

    return _Queue(size, begin=begin()), _Queue(size, begin=begin())


def _averaging(share: float) -> Callable:
    """Pools that mix the oldest fake with the fresh one; 1, 2, 3 ... give no whole numbers."""
    return partial(
        _queues, full=lambda pictures, fake: (1 - share) * pictures.pop(0) + share * fake
    )


@cache
def _pools_are_apart_cases() -> list[tuple]:
    right = {
        "the right pools": two_pools,
        "pools on tensors": _on_tensors,
        "first in, first out": _queues,
        "no history": lambda size, seed: two_pools(0, seed),
    }
    wrong = {
        "one pool": data.one_pool,
        "two pools with one list": _one_list,
        "a pool of B that takes from A": _B_from_A,
        "a pool that averages": _averaging(math.sqrt(0.3)),
        "pools filled with zeros": _filled,
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_pools(rng: np.random.Generator) -> list[tuple]:
    more, seed, place = rng.integers((1, 1, 0), (5, 100, 3)).tolist()
    share, value = rng.uniform((0.3, 0.1), (0.7, 0.9)).tolist()
    right = {
        f"the course's, {more} larger": lambda size, s: two_pools(size + more, s + seed),
        f"on tensors, seed {seed}": lambda size, s: _on_tensors(size, s + seed),
        f"queues that give number {place}": partial(
            _queues, full=lambda pictures, fake: pictures.pop(place % len(pictures))
        ),
        "fakes as they come": lambda size, s: two_pools(0, s),
    }
    wrong = {
        "a common pool": data.one_pool,
        "two names for a list": _one_list,
        "B is given what A holds": _B_from_A,
        f"{share:.3f} fresh, the rest old": _averaging(share),
        **{
            f"{start:.3f} to begin with": partial(_filled, value=start)
            for start in (value, -1 - value, 0.0)
        },
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _follow(
    *,
    size: int = 3,
    steps_made: int = 40,
    number: Callable[[int, int], float] = lambda step, sign: sign * step,
    asked: tuple[int, ...] = (0, 1),
    fits: Callable[[float, set, float], bool] = lambda shown, known, fresh: shown in known,
) -> Callable:
    """`pools_are_apart` with a fault."""

    def wrong(make_pools):
        pools, given = make_pools(size, 0), (set(), set())
        for step in range(1, steps_made + 1):
            for place, sign in enumerate((1, -1)):
                fresh = float(number(step, sign))
                given[place].add(fresh)
                shown = pools[place](_picture(fresh))[0, 0, 0, 0].item()
                if place in asked and not fits(shown, given[place], fresh):
                    return False
        return True

    return wrong


register(
    Exercise(
        number="9.8",
        title="pools apart",
        reference=pools_are_apart,
        cases=_pools_are_apart_cases,
        drawn_cases=_drawn_pools,
        run=_judge,
        hints=(
            "pool_A, pool_B = make_pools(3, 0): small pools are full after three fakes. Then send "
            "40 fakes through each.",
            "A fake with a number: torch.full((1, 3, 2, 2), float(step)). What comes out tells its "
            "number by shown[0, 0, 0, 0].item().",
            "Keep a set of the numbers that went into pool_A and one for pool_B. What comes out of "
            "a pool must be in its own set.",
        ),
        mistakes={
            "never full": Mistake(
                _follow(size=50, steps_made=10),
                "The pools are not full yet, and until then a pool gives back each fake as it is. "
                "Take small pools and more fakes than they hold.",
            ),
            "only the fresh one": Mistake(
                _follow(fits=lambda shown, known, fresh: shown == fresh),
                "You want the fresh fake back. A right pool gives an old one half of the time: ask "
                "whether it was given at some time.",
            ),
            "pool_A only": Mistake(
                _follow(asked=(0,)),
                "You ask pool_A only. The pool of B that takes from A passes: ask both.",
            ),
            "the sign only": Mistake(
                _follow(fits=lambda shown, known, fresh: shown * fresh >= 0),
                "You ask which domain the number belongs to, not whether it was given. An average "
                "of two fakes, or a picture of zeros, passes. Look it up in the set.",
            ),
            "the same numbers in both": Mistake(
                _follow(number=lambda step, sign: step),
                "The fakes of A and of B have the same numbers, so you cannot tell whose fake "
                "comes out. Give B other ones, -1, -2, -3 for instance.",
            ),
            "all fakes alike": Mistake(
                _follow(number=lambda step, sign: 0),
                "All fakes are the same picture, so whatever comes out looks right. Give each one "
                "a number of its own.",
            ),
            "the wrong way round": _inverted(pools_are_apart),
        },
    )
)


# 9.9 ------------------------------------------------------------------------------------------


def schedule_is_sound(schedule: Callable[[int, int], float]) -> bool:
    """Whether a schedule holds for half of the run, then falls nearly to 0, for runs of any length.

    Ask of several lengths, 50, 200 and 320 steps for instance. For each one:

    - the factor is 1 in the first half;
    - it never rises;
    - every step has a factor above 0, the last one too: a step at 0 is wasted, and below 0 the
      networks climb up their losses;
    - in the last step it is below 0.2.

    How it falls, in a line or in a curve, is left open.

    Args:
        schedule: schedule(step, steps) gives the factor of the learning rate in a step; steps are
            counted from 0, so that the last one of a run is steps - 1.
    """
    for steps_made in (50, 200, 320):
        factors = [schedule(step, steps_made) for step in range(steps_made)]
        holds = all(abs(factor - 1) < 1e-6 for factor in factors[: steps_made // 2])
        falls = all(later <= earlier for earlier, later in pairwise(factors))
        if not (holds and falls and 0 < factors[-1] < 0.2):
            return False
    return True


def _progress(step: int, length: int) -> float:
    """From 0 in the middle of a run to 1 at its end."""
    return max(0.0, 2 * step / length - 1)


@cache
def _schedule_is_sound_cases() -> list[tuple]:
    right = {
        "the right schedule": reference_schedule,
        "half of a cosine": lambda step, n: (1 + math.cos(math.pi * _progress(step, n))) / 2,
        "a staircase": lambda step, n: 0.5 ** int(8 * _progress(step, n)),
    }
    wrong = {
        "below zero": schedules.below_zero,
        "off by one": schedules.off_by_one,
        "constant": lambda step, n: 1.0,
        "rising": lambda step, n: min(1.0, 2 * (step + 1) / n),
        "falling from the start": lambda step, n: 1 - step / n,
        "falling to one half": lambda step, n: 1 - _progress(step, n) / 2,
        "a decay of 100 steps, whatever the run": lambda step, n: 1 - max(0, step - 100) / 100,
        "a new start in the second half": lambda step, n: 1 - 2 * _progress(step, n) % 1,
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


@_drawn
def _drawn_schedules(rng: np.random.Generator) -> list[tuple]:
    """The right ones end well below 0.2, the wrong ones are sound for one length at most."""
    power, rate, ratio = rng.uniform((1.2, 3, 0.4), (3, 5, 0.6)).tolist()
    share, end, early = rng.uniform((0.2, 0.3, 0.3), (0.35, 0.8, 1)).tolist()
    stairs, waves = int(rng.integers(6, 11)), int(rng.integers(2, 4))
    decay = int(rng.choice([25, 50, 160]))

    def fixed(length: int) -> Callable[[int, int], float]:
        return lambda step, n: 1 - max(0, step - length) / length

    right = {
        f"the line to the power {power:.2f}": lambda step, n: (1 - _progress(step, n)) ** power,
        f"an exponential, rate {rate:.2f}": lambda step, n: math.exp(-rate * _progress(step, n)),
        f"{stairs} stairs of {ratio:.2f}": lambda step, n: (
            ratio ** int(stairs * _progress(step, n))
        ),
    }
    wrong = {
        f"a decay over {share:.2f} of the run": lambda step, n: (
            1 - max(0, step - n // 2) / (share * n)
        ),
        f"0 for the last {0.5 - share:.2f} of the run": lambda step, n: max(
            0.0, 1 - max(0, step - n // 2) / (share * n)
        ),
        "steps counted from 1": schedules.off_by_one,
        f"{end:.2f} in the end": lambda step, n: 1 - (1 - end) * _progress(step, n),
        f"a slope of {early:.2f} from the first step": lambda step, n: (
            (1 - early * step / n) * (1 - _progress(step, n))
        ),
        f"rising, then {end:.2f}": lambda step, n: min(end, 2 * (step + 1) / n),
        f"{waves} waves": lambda step, n: 1 - waves * _progress(step, n) % 1,
        "half of 200 steps, always": fixed(100),
        f"half of {2 * decay} steps, always": fixed(decay),
    }
    return [(suspect,) for suspect in _suspects(right, wrong)]


def _ask(
    rule: Callable[[list[float], int], bool],
    lengths: tuple[int, ...] = (50, 200, 320),
    more: int = 0,
) -> Callable:
    """`schedule_is_sound` with another rule for the factors of a run."""

    def wrong(schedule):
        return all(
            rule([schedule(step, length) for step in range(length + more)], length)
            for length in lengths
        )

    return wrong


def _holds(factors: list[float], length: int) -> bool:
    return all(abs(factor - 1) < 1e-6 for factor in factors[: length // 2])


def _falls(factors: list[float]) -> bool:
    return all(later <= earlier for earlier, later in pairwise(factors))


def _sound(factors: list[float], length: int) -> bool:
    return _holds(factors, length) and _falls(factors) and 0 < factors[-1] < 0.2


register(
    Exercise(
        number="9.9",
        title="a sound schedule",
        reference=schedule_is_sound,
        cases=_schedule_is_sound_cases,
        drawn_cases=_drawn_schedules,
        run=_judge,
        hints=(
            "factors = [schedule(step, steps) for step in range(steps)] are all factors of a run. "
            "The first half: factors[: steps // 2].",
            "pairwise(factors) gives each factor with the next one: it never rises if later <= "
            "earlier for all of these pairs.",
            "If it never rises, the last factor is the smallest: 0 < factors[-1] < 0.2. Ask all "
            "this for more than one length.",
        ),
        mistakes={
            "0 is allowed": Mistake(
                _ask(lambda f, n: _holds(f, n) and _falls(f) and 0 <= f[-1] < 0.2),
                "A last step at 0 passes, in which nothing is learned: someone counted from 1. "
                "Above 0 means > 0.",
            ),
            "the last step only": Mistake(
                _ask(lambda f, n: 0 < f[-1] < 0.2),
                "You look at the last step only. A schedule that falls from the start ends at the "
                "same value: look at the first half too, and at every pair of neighbours.",
            ),
            "one length only": Mistake(
                _ask(_sound, lengths=(200,)),
                "You ask for one length, and one schedule is right for just this one: its decay "
                "always takes 100 steps. Ask for several lengths.",
            ),
            "one step too many": Mistake(
                _ask(_sound, more=1),
                "Right schedules are called faulty: they reach 0 at step = steps, which is never "
                "taken. The steps of a run are range(steps), from 0 to steps - 1.",
            ),
            "compares with the line": Mistake(
                _ask(
                    lambda f, n: all(
                        abs(found - reference_schedule(step, n)) < 1e-6
                        for step, found in enumerate(f)
                    )
                ),
                "You compare with the course's own straight line, so a cosine and a staircase are "
                "called faulty. They are right too: ask only for what the text says.",
            ),
            "it need not fall": Mistake(
                _ask(lambda f, n: _holds(f, n) and _falls(f) and f[-1] > 0),
                "A schedule that stays at 1, or stops at one half, passes. Ask that the last "
                "factor is below 0.2.",
            ),
            "it may rise": Mistake(
                _ask(lambda f, n: _holds(f, n) and min(f) > 0 and f[-1] < 0.2),
                "It may rise again: a schedule with a new start in the second half passes. Ask of "
                "each pair of neighbours that the later one is not larger.",
            ),
            "it may be negative": Mistake(
                _ask(lambda f, n: _holds(f, n) and _falls(f) and f[-1] != 0 and f[-1] < 0.2),
                "A factor below 0 passes. With it each step climbs up the loss: ask for > 0.",
            ),
            "the wrong way round": _inverted(schedule_is_sound),
        },
    )
)
