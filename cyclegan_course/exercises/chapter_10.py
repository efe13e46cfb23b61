"""Exercises of chapter 10: one question to each of the five applications.

How far does a tone curve go, where lies the error of a painting, where are the scratches, is the
enlarged picture consistent with the small one, and how much of an edit was made?
"""

from collections.abc import Callable
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan_course.exercises.registry import Exercise, Mistake, register


def _pictures(*shape: int, seed: int) -> Tensor:
    """Random pictures in [-1, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _drawn(rng: np.random.Generator, *shape: int, most: float = 1.0) -> Tensor:
    """Random numbers in [-most, most]."""
    return torch.from_numpy(rng.uniform(-most, most, shape)).float()


# 10.1 -----------------------------------------------------------------------------------------


def fitted_curves(source: Tensor, reference: Tensor, knots: int) -> np.ndarray:
    """A tone curve for each channel, from two sets of pictures that show different scenes.

    Take `knots` shares from 0 to 1 at equal steps, 0 and 1 among them. The quantile of all of the
    source's pixels at a share is sent to the quantile of all of the reference's pixels at the same
    share, channel by channel. Between the knots the curve is straight.

    Args:
        source: (N, 3, H, W), [-1, 1].
        reference: (M, 3, H', W'), [-1, 1], pictures of other scenes in the other domain.
        knots: how many shares, at least 2.

    Returns:
        (3, 256), float64: for each channel the new value of each of 256 levels from -1 to 1.
    """
    shares, levels = np.linspace(0, 1, knots), np.linspace(-1, 1, 256)
    curves = []
    for c in range(3):
        old = np.quantile(source[:, c].numpy(), shares)
        new = np.quantile(reference[:, c].numpy(), shares)
        curves.append(np.interp(levels, old, new))
    return np.stack(curves)


def _fitted_curves_cases() -> list[tuple]:
    day = _pictures(2, 3, 6, 6, seed=0)
    other = _pictures(3, 3, 6, 6, seed=1)
    shift = torch.tensor([0.3, 0.0, -0.3]).reshape(1, 3, 1, 1)
    brightness = torch.tensor([-0.3, 0.0, 0.3]).reshape(3, 1, 1, 1)
    return [
        (0.8 * day, 0.4 * day.flip(0).flip(-1) - 0.5, 3),
        (0.6 * day + shift / 3, 0.5 * other**3 + shift, 5),
        (0.6 * other + brightness, 0.4 * day - 0.4 + shift, 9),
    ]


def _fitted_curves_drawn(rng: np.random.Generator) -> list[tuple]:
    def pictures() -> Tensor:  # each with a brightness of its own, all with the same cast
        count, height, width = rng.integers([2, 5, 5], [4, 8, 8]).tolist()
        brightness, cast = _drawn(rng, count, 1, 1, 1), _drawn(rng, 1, 3, 1, 1)
        return 0.5 * _drawn(rng, count, 3, height, width) + 0.2 * (brightness + cast)

    return [(pictures(), pictures(), int(rng.integers(3, 10))) for _ in range(3)]


def _curves(function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """Wrong curves channel by channel: `function(levels, old values, new values)`."""

    def wrong(source, reference, knots):
        levels = np.linspace(-1, 1, 256)
        channels = [(source[:, c].numpy(), reference[:, c].numpy()) for c in range(3)]
        return np.stack([function(levels, *pair, knots) for pair in channels])

    return wrong


def _quantiles(values: np.ndarray, knots: int) -> np.ndarray:
    return np.quantile(values, np.linspace(0, 1, knots))


def _curve_turned(levels, old, new, knots):
    return np.interp(levels, _quantiles(new, knots), _quantiles(old, knots))


def _curve_by_place(levels, old, new, knots):
    old, new = old.ravel(), new.ravel()
    count = min(len(old), len(new))
    order = np.argsort(old[:count])
    return np.interp(levels, old[:count][order], new[:count][order])


def _curve_of_mean_quantiles(levels, old, new, knots):
    ends = [
        np.mean([_quantiles(picture, knots) for picture in pictures], axis=0)
        for pictures in (old, new)
    ]
    return np.interp(levels, *ends)


def _curve_two_knots(levels, old, new, knots):
    return np.interp(levels, _quantiles(old, 2), _quantiles(new, 2))


def _curve_mean_and_spread(levels, old, new, knots):
    return (levels - old.mean()) / old.std() * new.std() + new.mean()


def _curve_levels_from_0(levels, old, new, knots):
    return np.interp(np.linspace(0, 1, 256), _quantiles(old, knots), _quantiles(new, knots))


def _one_curve(source, reference, knots):
    ends = [_quantiles(pictures.numpy(), knots) for pictures in (source, reference)]
    return np.stack([np.interp(np.linspace(-1, 1, 256), *ends)] * 3)


register(
    Exercise(
        number="10.1",
        title="a tone curve without pairs",
        reference=fitted_curves,
        cases=_fitted_curves_cases,
        drawn_cases=_fitted_curves_drawn,
        hints=(
            "Nothing may ask which picture belongs to which. The quantiles of a channel of the "
            "whole set: np.quantile(source[:, c].numpy(), shares).",
            "np.interp(x, old, new) draws straight lines from knot to knot; x are the 256 levels, "
            "np.linspace(-1, 1, 256).",
            "For each channel: np.interp(levels, old, new), with old and new the quantiles of the "
            "two sets. np.stack puts the three together.",
        ),
        mistakes={
            "turns the curve": Mistake(
                _curves(_curve_turned),
                "The curve goes the wrong way: it turns night into day. In np.interp(levels, old, "
                "new) the source's quantiles come first.",
            ),
            "pairs by place": Mistake(
                _curves(_curve_by_place),
                "The pixels of the two sets are paired by their place, but the sets show different "
                "scenes: what stands at the same place has nothing in common. Sort each set by "
                "itself; that is what quantiles do.",
            ),
            "means of quantiles": Mistake(
                _curves(_curve_of_mean_quantiles),
                "The quantiles are taken picture by picture and then averaged. That forgets how "
                "much the pictures of a set differ. Take the quantiles of all pixels together.",
            ),
            "ends only": Mistake(
                _curves(_curve_two_knots),
                "Only the darkest and the brightest values are matched, which makes a straight "
                "line. Use all the shares: np.linspace(0, 1, knots).",
            ),
            "mean and deviation": Mistake(
                _curves(_curve_mean_and_spread),
                "This matches mean and standard deviation, a straight line as Reinhard's. A curve "
                "matches the quantiles.",
            ),
            "levels from 0": Mistake(
                _curves(_curve_levels_from_0),
                "The 256 levels run from 0 to 1 here. The tensors' black is -1: "
                "np.linspace(-1, 1, 256).",
            ),
            "one curve for all channels": Mistake(
                _one_curve,
                "This is one curve for the three channels together. Night takes more away from "
                "red than from blue: fit each channel by itself.",
            ),
        },
    )
)


# 10.2 -----------------------------------------------------------------------------------------


def split_error(fake: Tensor, truth: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """The mean squared error of each picture in two parts: content and strokes.

    Cut the error fake - truth into squares of block x block pixels. The coarse part is the mean
    square of the squares' means, one mean for each channel: wrong colours, wrong content. The fine
    part is the mean square of what is left when each square has lost its mean: strokes and
    textures. The two add up to the mean squared error exactly.

    Args:
        fake, truth: (N, C, H, W); H and W are multiples of `block`.
        block: side of a square in pixels.

    Returns:
        (coarse, fine), each (N,): one value for each picture.
    """
    error = fake - truth
    coarse = F.avg_pool2d(error, block).square().mean(dim=(1, 2, 3))
    return coarse, error.square().mean(dim=(1, 2, 3)) - coarse


def _split_error_cases() -> list[tuple]:
    truth = torch.zeros(1, 1, 2, 4)
    error = torch.tensor([[0.2, 0.2, 0.3, -0.3], [0.2, 0.2, -0.3, 0.3]]).reshape(1, 1, 2, 4)
    large = _pictures(2, 3, 3, 8, 12, seed=0)
    return [(truth + error, truth, 2), (*large, 4), (large[0] * 0.3, large[1] * 0.5, 2)]


def _split_error_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(count: int, channels: int) -> tuple:
        block, rows, columns = rng.integers(2, 5, size=3).tolist()
        shape = count, channels, block * rows, block * columns
        return _drawn(rng, *shape), _drawn(rng, *shape), block

    return [case(1, 1), case(2, 3), case(3, 3)]


def _total(error: Tensor) -> Tensor:
    return error.square().mean(dim=(1, 2, 3))


def _split_swapped(fake, truth, block):
    return split_error(fake, truth, block)[::-1]


def _split_of_the_set(fake, truth, block):
    error = fake - truth
    coarse = F.avg_pool2d(error, block).square().mean()
    return coarse, error.square().mean() - coarse


def _split_squares_first(fake, truth, block):
    coarse = F.avg_pool2d((fake - truth).square(), block).mean(dim=(1, 2, 3))
    return coarse, _total(fake - truth) - coarse


def _split_absolute_first(fake, truth, block):
    coarse = _total(F.avg_pool2d((fake - truth).abs(), block))
    return coarse, _total(fake - truth) - coarse


def _split_one_side(fake, truth, block):
    means = F.avg_pool2d(fake, block)
    coarse = _total(means.repeat_interleave(block, -1).repeat_interleave(block, -2) - truth)
    return coarse, _total(fake - truth) - coarse


def _split_picks(fake, truth, block):
    coarse = _total((fake - truth)[..., ::block, ::block])
    return coarse, _total(fake - truth) - coarse


def _split_keeps_the_whole(fake, truth, block):
    return split_error(fake, truth, block)[0], _total(fake - truth)


def _split_roots(fake, truth, block):
    coarse, fine = split_error(fake, truth, block)
    return coarse.sqrt(), fine.sqrt()


register(
    Exercise(
        number="10.2",
        title="content and strokes",
        reference=split_error,
        cases=_split_error_cases,
        drawn_cases=_split_error_drawn,
        hints=(
            "Subtract first. F.avg_pool2d(error, block) gives the mean of each square.",
            "Squares without their means: what they have lost is exactly the coarse part. So the "
            "fine part is the mean squared error minus the coarse part.",
            "coarse = F.avg_pool2d(error, block).square().mean(dim=(1, 2, 3))",
        ),
        mistakes={
            "swaps the parts": Mistake(
                _split_swapped,
                "The two parts are swapped: the coarse one, that of the means, comes first.",
            ),
            "one value for the set": Mistake(
                _split_of_the_set,
                "This is one number for all pictures together. Use .mean(dim=(1, 2, 3)), one "
                "value for each picture.",
            ),
            "squares before it averages": Mistake(
                _split_squares_first,
                "The error is squared before the means are taken, so nothing can cancel and the "
                "coarse part is the whole error. Average inside a square first, then square: a "
                "bright stroke and a dark one beside it then make 0.",
            ),
            "drops the signs": Mistake(
                _split_absolute_first,
                "The mean is taken of the *absolute* error, so strokes that are too bright and "
                "strokes that are too dark add up. With their signs they cancel.",
            ),
            "averages one side": Mistake(
                _split_one_side,
                "Only `fake` is averaged, and compared with a truth that has all its strokes. "
                "They then count as wrong content. Take the mean of the error, so of both.",
            ),
            "picks one pixel": Mistake(
                _split_picks,
                "This takes one pixel of each square, strokes and all. The content is the *mean* "
                "of the square: F.avg_pool2d.",
            ),
            "fine part is the whole": Mistake(
                _split_keeps_the_whole,
                "The second value is the whole error. Take the coarse part away: the two must "
                "add up to the mean squared error.",
            ),
            "takes roots": Mistake(
                _split_roots,
                "These are roots of mean squares. They no longer add up: leave the squares.",
            ),
        },
    )
)


# 10.3 -----------------------------------------------------------------------------------------


def scratch_mask(pictures: Tensor, side: int, threshold: float) -> Tensor:
    """Where a picture has a scratch or dust: where it differs much from its surroundings.

    Turn each picture grey (the mean of its channels). A pixel belongs to a scratch if its grey
    value differs from the median of the side x side pixels around it by more than the threshold,
    up or down. Outside the picture the edge is repeated.

    Args:
        pictures: (N, 3, H, W), [-1, 1].
        side: odd; side of the window in pixels, wider than twice a scratch.
        threshold: in the units of the pictures, where white minus black is 2.

    Returns:
        (N, 1, H, W), bool.
    """
    grey = pictures.mean(dim=1, keepdim=True)
    padded = F.pad(grey, (side // 2,) * 4, mode="replicate")
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # (N, 1, H, W, side, side)
    return (grey - windows.flatten(-2).median(dim=-1).values).abs() > threshold


def _scratch_mask_cases() -> list[tuple]:
    # The ground rises to the right, as a sky does; one bright and one dark scratch.
    ground = torch.linspace(-0.3, 0.3, 6).expand(1, 3, 5, 6).clone()
    ground[..., 2, 1:5] += 0.6
    ground[..., 4, 0] -= 0.6
    noise = 0.25 * _pictures(2, 3, 12, 12, seed=0)
    noise[..., 3:9, 5] += 0.7
    noise[..., 7, 2:11] -= 0.7
    noise[0] += torch.tensor([0.5, 0.0, -0.5]).reshape(3, 1, 1)
    return [(ground, 3, 0.3), (noise, 5, 0.4), (_pictures(2, 3, 9, 14, seed=3), 3, 0.3)]


def _scratch_mask_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(pictures: Tensor, side: int) -> tuple:
        # Colours in whole 64ths and thresholds between the 192nds: no grey value is so close to
        # the threshold that rounding could decide.
        threshold = (int(rng.integers(50, 80)) + 0.5) / 192
        return (pictures * 64).round() / 64, side, threshold

    sky = _drawn(rng, 2, 3, 12, 11, most=0.15) + torch.linspace(-0.3, 0.3, 11)
    column, row = rng.integers(3, 8, size=2).tolist()
    sky[..., 3:9, column] += 0.5
    sky[..., row, 2:] -= 0.5
    return [case(sky, 5), case(_drawn(rng, 2, 3, 9, 13), 3), case(_drawn(rng, 1, 3, 8, 10), 5)]


def _difference(pictures: Tensor, side: int, mode: str = "replicate") -> Tensor:
    """From the median of the window, with the edge treated in some way."""
    padded = F.pad(pictures, (side // 2,) * 4, mode=mode)
    windows = padded.unfold(2, side, 1).unfold(3, side, 1)
    return pictures - windows.flatten(-2).median(dim=-1).values


def _grey(pictures: Tensor) -> Tensor:
    return pictures.mean(dim=1, keepdim=True)


def _scratch_bright_only(pictures, side, threshold):
    return _difference(_grey(pictures), side) > threshold


def _scratch_turned(pictures, side, threshold):
    return ~scratch_mask(pictures, side, threshold)


def _scratch_from_mean(pictures, side, threshold):
    grey = _grey(pictures)
    padded = F.pad(grey, (side // 2,) * 4, mode="replicate")
    return (grey - F.avg_pool2d(padded, side, stride=1)).abs() > threshold


def _scratch_from_the_whole(pictures, side, threshold):
    grey = _grey(pictures)
    middle = grey.flatten(1).median(dim=1).values.reshape(-1, 1, 1, 1)
    return (grey - middle).abs() > threshold


def _scratch_any_channel(pictures, side, threshold):
    return (_difference(pictures, side).abs() > threshold).any(dim=1, keepdim=True)


def _scratch_zeros_outside(pictures, side, threshold):
    return _difference(_grey(pictures), side, mode="constant").abs() > threshold


def _scratch_rows(pictures, side, threshold):
    grey = _grey(pictures)
    windows = F.pad(grey, (side // 2, side // 2, 0, 0), mode="replicate").unfold(3, side, 1)
    return (grey - windows.median(dim=-1).values).abs() > threshold


register(
    Exercise(
        number="10.3",
        title="where the scratches are",
        reference=scratch_mask,
        cases=_scratch_mask_cases,
        drawn_cases=_scratch_mask_drawn,
        hints=(
            "pictures.mean(dim=1, keepdim=True) is grey, (N, 1, H, W). Repeat its edge with "
            'F.pad(grey, (side // 2,) * 4, mode="replicate").',
            "padded.unfold(2, side, 1).unfold(3, side, 1) are all windows, (N, 1, H, W, side, "
            "side). Flatten the last two and take .median(dim=-1).values.",
            "(grey - median).abs() > threshold",
        ),
        mistakes={
            "bright scratches only": Mistake(
                _scratch_bright_only,
                "This finds what is brighter than its surroundings. Scratches and dust may be "
                "dark too: take the absolute difference.",
            ),
            "marks the rest": Mistake(
                _scratch_turned,
                "The mask is turned over: True has to stand at the scratches.",
            ),
            "takes the mean": Mistake(
                _scratch_from_mean,
                "This compares with the *mean* of the window. A scratch pulls the mean towards "
                "itself, so it hides, and its neighbours look different. The median does not "
                "move as long as the scratch covers less than half of the window.",
            ),
            "median of the whole picture": Mistake(
                _scratch_from_the_whole,
                "This compares with one median of the whole picture, and finds every bright "
                "sky and dark meadow. The surroundings are a window around each pixel.",
            ),
            "any channel": Mistake(
                _scratch_any_channel,
                "Each channel is judged by itself and one is enough. A scratch changes all three; "
                "noise in one channel does not make one. Take the mean of the channels first.",
            ),
            "zeros outside": Mistake(
                _scratch_zeros_outside,
                "Outside the picture this finds zeros, a medium grey, and marks pixels at the "
                'edge. Repeat the edge: mode="replicate".',
            ),
            "rows only": Mistake(
                _scratch_rows,
                "The window is one row high. A scratch that runs along the row fills it and is "
                "its own median. Take windows of side x side.",
            ),
        },
    )
)


# 10.4 -----------------------------------------------------------------------------------------


def make_consistent(fake: Tensor, small: Tensor) -> Tensor:
    """Bring an enlarged picture into agreement with the small one it was made from.

    Reduced again, by the mean of each block of k x k pixels, the enlarged picture should give the
    small one. What is missing is added to all pixels of the block alike.

    Args:
        fake: (N, 3, k h, k w), [-1, 1].
        small: (N, 3, h, w), [-1, 1], what the camera gave.

    Returns:
        (N, 3, k h, k w): its block means are `small`. It may leave [-1, 1] a little; do not clamp.
    """
    k = fake.shape[-1] // small.shape[-1]
    missing = small - F.avg_pool2d(fake, k)
    return fake + missing.repeat_interleave(k, dim=-2).repeat_interleave(k, dim=-1)


def _make_consistent_cases() -> list[tuple]:
    fake = torch.tensor([[0.0, 0.2, 0.5, 0.5], [0.4, 0.2, 0.5, 0.9]]).expand(1, 3, 2, 4)
    return [
        (fake.clone(), torch.tensor([0.4, 0.5]).expand(1, 3, 1, 2).clone()),
        (_pictures(2, 3, 8, 12, seed=0), _pictures(2, 3, 2, 3, seed=1)),
        (0.5 * _pictures(1, 3, 12, 6, seed=2), 0.5 * _pictures(1, 3, 4, 2, seed=3)),
    ]


def _make_consistent_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(k: int) -> tuple:
        count, height, width = rng.integers([1, 2, 2], [3, 5, 5]).tolist()
        fake = _drawn(rng, count, 3, k * height, k * width)
        return fake, _drawn(rng, count, 3, height, width)

    return [case(2), case(3), case(4)]


def _enlarged(small: Tensor, k: int) -> Tensor:
    return small.repeat_interleave(k, dim=-2).repeat_interleave(k, dim=-1)


def _factor(fake: Tensor, small: Tensor) -> int:
    return fake.shape[-1] // small.shape[-1]


def _consistent_wrong_sign(fake, small):
    return 2 * fake - make_consistent(fake, small)


def _consistent_small_added(fake, small):
    return fake + _enlarged(small, _factor(fake, small))


def _consistent_small_alone(fake, small):
    return _enlarged(small, _factor(fake, small))


def _consistent_tiled(fake, small):
    k = _factor(fake, small)
    return fake + (small - F.avg_pool2d(fake, k)).repeat(1, 1, k, k)


def _consistent_picked(fake, small):
    k = _factor(fake, small)
    return fake + _enlarged(small - fake[..., ::k, ::k], k)


def _consistent_smooth(fake, small):
    k = _factor(fake, small)
    missing = small - F.avg_pool2d(fake, k)
    return fake + F.interpolate(missing, scale_factor=k, mode="bilinear")


def _consistent_divided(fake, small):
    k = _factor(fake, small)
    return fake + _enlarged(small - F.avg_pool2d(fake, k), k) / k**2


def _consistent_clamped(fake, small):
    return make_consistent(fake, small).clamp(-1, 1)


register(
    Exercise(
        number="10.4",
        title="consistent with the small picture",
        reference=make_consistent,
        cases=_make_consistent_cases,
        drawn_cases=_make_consistent_drawn,
        hints=(
            "How many times larger: k = fake.shape[-1] // small.shape[-1]. Reduced again: "
            "F.avg_pool2d(fake, k).",
            "small - F.avg_pool2d(fake, k) is what each block lacks on average. Every pixel of "
            "the block gets it.",
            "missing.repeat_interleave(k, dim=-2).repeat_interleave(k, dim=-1) has the size of "
            "`fake`.",
        ),
        mistakes={
            "wrong sign": Mistake(
                _consistent_wrong_sign,
                "The difference has the wrong sign: the picture moves away from the small one. "
                "Missing is small minus reduced.",
            ),
            "adds the small picture": Mistake(
                _consistent_small_added,
                "The small picture itself is added. Add what is *missing*: small minus "
                "F.avg_pool2d(fake, k).",
            ),
            "keeps the small picture alone": Mistake(
                _consistent_small_alone,
                "This is the small picture in large pixels. It is consistent, but all that the "
                "generator knew is gone: add the difference to `fake`.",
            ),
            "tiles": Mistake(
                _consistent_tiled,
                ".repeat lays k x k copies of the whole small picture side by side. Each of its "
                "pixels has to fill its own block: repeat_interleave.",
            ),
            "reduces by picking": Mistake(
                _consistent_picked,
                "The picture is reduced by taking one pixel of each block. The camera takes the "
                "mean of the block: F.avg_pool2d(fake, k).",
            ),
            "enlarges smoothly": Mistake(
                _consistent_smooth,
                "The difference is enlarged with a smooth kernel, so a block also gets what its "
                "neighbours lack, and its mean is not the small pixel. Give each block its own "
                "difference: repeat_interleave.",
            ),
            "shares the difference out": Mistake(
                _consistent_divided,
                "The difference is divided among the pixels of the block. It is a difference of "
                "*means*: to move a mean by d, every pixel moves by d.",
            ),
            "clamps": Mistake(
                _consistent_clamped,
                "The result is clamped to [-1, 1], and the means of the clamped blocks are wrong "
                "again. The chapter clamps when it shows and measures.",
            ),
        },
    )
)


# 10.5 -----------------------------------------------------------------------------------------


def change_made(fake: Tensor, source: Tensor, truth: Tensor, region: Tensor) -> tuple[float, float]:
    """How much of the asked change was made, and how much changed that had to stay.

    The asked change is a = truth - source, the change that was made m = fake - source. The share
    that was made is sum(m a) / sum(a a) over all pixels of the region, in all pictures together:
    0 for the untouched source, 1 for the truth, negative for a change in the wrong direction.

    Args:
        fake, source, truth: (N, 3, H, W), [-1, 1], of the same scenes.
        region: (N, 1, H, W), bool: where the share is looked at, as at roofs or at trees. A
            picture may have nothing there.

    Returns:
        (made, spilled), two numbers. `spilled` is the root mean square of m over all pixels, in
        the region or not, where the truth equals the source in all three channels.
    """
    asked, made = truth - source, fake - source
    share = (made * asked * region).sum() / (asked.square() * region).sum()
    stays = (truth == source).all(dim=1, keepdim=True).expand_as(made)
    return float(share), float(made[stays].square().mean().sqrt())


def _edited(strength: float, noise: float, seed: int) -> tuple[Tensor, ...]:
    """Roofs repainted up to some strength, with noise: fake, source, truth and region."""
    source = _pictures(3, 3, 6, 8, seed=seed)
    truth = source.clone()
    truth[:2, :, 1:3, 1:4] = _pictures(2, 3, 2, 3, seed=seed + 1)  # no roof in the third
    truth[:2, 2, 1, 1] = source[:2, 2, 1, 1]  # one channel may keep its value
    truth[:, :, 4:, 5:] *= -0.5  # a tree
    region = torch.zeros(3, 1, 6, 8, dtype=torch.bool)
    region[:2, :, 1:3, 1:4] = True
    fake = source + strength * (truth - source)
    return fake + noise * _pictures(3, 3, 6, 8, seed=seed + 2), source, truth, region


def _change_made_cases() -> list[tuple]:
    # Halfway, and 0.1 too bright where nothing was asked.
    source = torch.zeros(1, 3, 2, 2)
    truth = torch.tensor([[0.8, 0.0], [0.0, -0.4]]).expand(1, 3, 2, 2).clone()
    fake = torch.tensor([[0.4, 0.1], [0.1, -0.2]]).expand(1, 3, 2, 2).clone()
    region = torch.tensor([[True, False], [False, True]]).reshape(1, 1, 2, 2)
    return [(fake, source, truth, region), _edited(0.6, 0.2, 0), _edited(-0.2, 0.1, 10)]


def _change_made_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(least: float, most: float) -> tuple:
        strength, noise = rng.uniform([least, 0.1], [most, 0.3]).tolist()
        places = tuple(rng.integers([6, 8]).tolist())  # the roof and the tree stand elsewhere
        edited = _edited(strength, noise, seed=int(rng.integers(2**31)))
        return tuple(each.roll(places, dims=(-2, -1)) for each in edited)

    return [case(0.2, 0.8), case(-0.6, -0.1), case(0.8, 1.2)]


def _share(fake, source, truth, region) -> float:
    return change_made(fake, source, truth, region)[0]


def _spilled(fake, source, truth, region) -> float:
    return change_made(fake, source, truth, region)[1]


def _edit_any_change(fake, source, truth, region):
    sizes = [((other - source).square() * region).sum().sqrt() for other in (fake, truth)]
    return sizes[0] / sizes[1], _spilled(fake, source, truth, region)


def _edit_error_left(fake, source, truth, region):
    left, asked = (((other - truth).square() * region).sum() for other in (fake, source))
    return 1 - left / asked, _spilled(fake, source, truth, region)


def _edit_mean_of_shares(fake, source, truth, region):
    rows = zip(fake.split(1), source.split(1), truth.split(1), region.split(1), strict=True)
    share = fmean(_share(*row) for row in rows)
    return share, _spilled(fake, source, truth, region)


def _edit_all_pixels(fake, source, truth, region):
    everywhere = torch.ones_like(region)
    return _share(fake, source, truth, everywhere), _spilled(fake, source, truth, region)


def _edit_spill_outside_region(fake, source, truth, region):
    outside = (fake - source)[(~region).expand_as(fake)]
    return _share(fake, source, truth, region), outside.square().mean().sqrt()


def _edit_spill_by_channel(fake, source, truth, region):
    stays = (fake - source)[truth == source]
    return _share(fake, source, truth, region), stays.square().mean().sqrt()


def _edit_spill_over_all(fake, source, truth, region):
    stays = (truth == source).all(dim=1, keepdim=True)
    spilled = ((fake - source) * stays).square().mean().sqrt()
    return _share(fake, source, truth, region), spilled


def _edit_no_root(fake, source, truth, region):
    share, spilled = change_made(fake, source, truth, region)
    return share, spilled**2


register(
    Exercise(
        number="10.5",
        title="asked for, and not asked for",
        reference=change_made,
        cases=_change_made_cases,
        drawn_cases=_change_made_drawn,
        hints=(
            "Two differences are enough: asked = truth - source, made = fake - source. Multiply "
            "by `region` and sum: what lies outside then counts 0.",
            "What has to stay: (truth == source).all(dim=1, keepdim=True), a mask (N, 1, H, W). "
            ".expand_as(made) gives it three channels, and made[mask] takes the pixels.",
            "share = (made * asked * region).sum() / (asked.square() * region).sum(), and "
            "made[stays].square().mean().sqrt()",
        ),
        mistakes={
            "counts any change": Mistake(
                _edit_any_change,
                "This compares how *large* the two changes are. Noise is a large change too. "
                "Multiply the change that was made by the one asked for: only what points the "
                "same way counts.",
            ),
            "measures the error that is left": Mistake(
                _edit_error_left,
                "This is 1 minus the squared error that is left. Half of the change would give "
                "0.75. Asked is the share: sum(m a) / sum(a a).",
            ),
            "mean of shares": Mistake(
                _edit_mean_of_shares,
                "The share is taken picture by picture and then averaged. A picture with nothing "
                "in the region gives 0 / 0. Sum over all pictures first, divide once.",
            ),
            "forgets the region": Mistake(
                _edit_all_pixels,
                "The share runs over all pixels, so roofs and trees are mixed. Multiply by "
                "`region` in both sums.",
            ),
            "takes other edits for spill": Mistake(
                _edit_spill_outside_region,
                "What lies outside the region is counted as spilled. With the roofs as the "
                "region, the trees are outside, and they were asked to change. Spilled is what "
                "changed where the truth equals the source.",
            ),
            "judges channels": Mistake(
                _edit_spill_by_channel,
                "Equality is judged channel by channel. A roof that turns from red to blue may "
                "keep its green: the pixel was asked to change all the same. All three channels "
                "must be equal: .all(dim=1, keepdim=True).",
            ),
            "averages over all pixels": Mistake(
                _edit_spill_over_all,
                "The sum is right, but it is divided by the number of *all* values. Divide by the "
                "number of those that had to stay.",
            ),
            "forgets the root": Mistake(
                _edit_no_root,
                "The second value is a mean square. Take the root, so that it has the unit of the "
                "pictures.",
            ),
        },
    )
)
