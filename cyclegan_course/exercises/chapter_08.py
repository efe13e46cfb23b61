"""Exercises of chapter 8: a paired interval, ablations, checkerboards, the hidden message."""

import math
from collections.abc import Callable
from statistics import mean, stdev

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN, Objective, Translations, generator_losses
from cyclegan_course.exercises.draws import four_lines, line, two_batches, uniform
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.exercises.stand_ins import FourLines, Line
from cyclegan_course.losses import cycle_consistency_loss, generator_loss

# What the answers are checked with ---------------------------------------------------------------


class Stripes(nn.Module):
    """A disturbance without chance: columns become brighter and darker in turns.

    Args:
        strength: what is added to the even columns and taken from the odd ones.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, pictures: Tensor) -> Tensor:
        """Shapes: (N, 3, H, W) -> the same."""
        signs = 1.0 - 2.0 * (torch.arange(pictures.shape[-1]) % 2)
        return pictures + self.strength * signs

    def __repr__(self) -> str:
        return f"stripes of {self.strength:g}"


def _pictures(*shape: int, seed: int) -> Tensor:
    """Random pictures in [-1, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _stripes(rng: np.random.Generator) -> Stripes:
    """Stripes of either sign that can be seen."""
    return Stripes(float(rng.choice([-1, 1]) * rng.uniform(0.3, 0.7)))


def _gradient(net: nn.Module) -> Tensor:
    """The gradients of a network's parameters in one row, 0 where there is none."""
    return torch.stack([torch.zeros(()) if p.grad is None else p.grad for p in net.parameters()])


# 8.1 ------------------------------------------------------------------------------------------


def paired_difference(one: dict[int, float], other: dict[int, float]) -> tuple[float, float, float]:
    """How much better or worse one recipe scores, with a 95 % interval over the seeds.

    Two runs of one seed see the same pictures in the same order, so compare them with each other:
    d = one - other for each seed, n of them. With s the standard deviation of d and t the 0.975
    quantile of Student's distribution with n - 1 degrees of freedom, the interval is

        mean(d) -+ t * s / sqrt(n)

    Args:
        one, other: a score by seed, of two recipes. The same seeds, at least two, in any order.

    Returns:
        (mean, low, high).
    """
    d = [one[seed] - other[seed] for seed in one]
    n = len(d)
    reach = float(stats.t.ppf(0.975, n - 1)) * stdev(d) / math.sqrt(n)
    return mean(d), mean(d) - reach, mean(d) + reach


def _paired_difference_cases() -> list[tuple]:
    return [
        ({1: 20.0, 2: 22.0, 3: 21.5}, {1: 19.0, 2: 21.5, 3: 20.0}),
        (
            {1: 0.31, 2: 0.82, 3: 0.55, 4: 0.47, 5: 0.64},
            {5: 0.77, 4: 0.53, 3: 0.62, 2: 0.81, 1: 0.39},
        ),
    ]


def _drawn_paired_difference_cases(rng: np.random.Generator) -> list[tuple]:
    """Two to eight seeds of any number, which matter more than the recipe, in another order."""
    cases = []
    for n in (int(rng.integers(2, 5)), int(rng.integers(5, 9))):
        seeds = rng.choice(100, n, replace=False)
        of_seed = rng.uniform(5, 30) + rng.normal(0, 2, n)
        one, other = (
            dict(zip(seeds.tolist(), (of_seed + rng.normal(shift, 0.5, n)).tolist(), strict=True))
            for shift in (0.0, rng.normal(0, 1))
        )
        cases.append((one, dict(reversed(other.items()))))
    return cases


def _with_reach(reach: Callable[[list[float]], float]) -> Callable:
    """`paired_difference` with another half width, computed from the differences."""

    def wrong(one, other):
        d = [one[seed] - other[seed] for seed in one]
        return mean(d), mean(d) - reach(d), mean(d) + reach(d)

    return wrong


def _t(df: int, level: float = 0.975) -> float:
    return float(stats.t.ppf(level, df))


def _unpaired(one, other):
    n = len(one)
    middle = mean(one.values()) - mean(other.values())
    spread = math.sqrt(stdev(one.values()) ** 2 + stdev(other.values()) ** 2)
    reach = _t(2 * n - 2) * spread / math.sqrt(n)
    return middle, middle - reach, middle + reach


def _pairs_by_place(one, other):
    pairs = zip(one.values(), other.values(), strict=True)
    return paired_difference(dict(enumerate(a - b for a, b in pairs)), dict.fromkeys(range(9), 0.0))


def _other_minus_one(one, other):
    return paired_difference(other, one)


def _deviation_with_n(d):
    return _t(len(d) - 1) * stdev(d) * math.sqrt((len(d) - 1) / len(d)) / math.sqrt(len(d))


register(
    Exercise(
        number="8.1",
        title="a difference between two recipes",
        reference=paired_difference,
        cases=_paired_difference_cases,
        drawn_cases=_drawn_paired_difference_cases,
        tolerance=1e-4,
        hints=(
            "Subtract first: d = [one[seed] - other[seed] for seed in one]. From here on only d "
            "counts.",
            "`mean` and `stdev` of the module statistics take a list; `stdev` divides by n - 1, "
            "as it should.",
            "The quantile is stats.t.ppf(0.975, n - 1), and the reach to each side is that times "
            "stdev(d) / math.sqrt(n).",
        ),
        mistakes={
            "unpaired": Mistake(
                _unpaired,
                "The two spreads are added, as if the runs had nothing in common. What a seed "
                "does to both recipes then counts as doubt. Subtract seed by seed, and take the "
                "spread of the differences.",
            ),
            "pairs by place": Mistake(
                _pairs_by_place,
                "The scores are paired in the order in which they are stored, and in the second "
                "case that pairs seed 1 with seed 5. Look each one up by its seed: other[seed].",
            ),
            "turns the sign": Mistake(
                _other_minus_one,
                "The sign is turned over: this is `other` minus `one`.",
            ),
            "forgets the root of n": Mistake(
                _with_reach(lambda d: _t(len(d) - 1) * stdev(d)),
                "This is how far single runs lie apart. Asked is how well their *mean* is known: "
                "divide by the square root of n.",
            ),
            "divides by n": Mistake(
                _with_reach(lambda d: _t(len(d) - 1) * stdev(d) / len(d)),
                "The spread is divided by n. The mean of n values is known sqrt(n) times better, "
                "not n times.",
            ),
            "takes 1.96": Mistake(
                _with_reach(lambda d: 1.96 * stdev(d) / math.sqrt(len(d))),
                "1.96 belongs to a spread that is known. From three runs it is only guessed, and "
                "the quantile of Student's distribution is 4.3: stats.t.ppf(0.975, n - 1).",
            ),
            "deviation with n": Mistake(
                _with_reach(_deviation_with_n),
                "The standard deviation is divided by n inside, which is too small: the mean was "
                "fitted to the same values. Divide by n - 1, as statistics.stdev does.",
            ),
            "n degrees of freedom": Mistake(
                _with_reach(lambda d: _t(len(d)) * stdev(d) / math.sqrt(len(d))),
                "The quantile is that of n degrees of freedom. One of them went into the mean: "
                "n - 1 are left.",
            ),
            "cuts 5 % at each end": Mistake(
                _with_reach(lambda d: _t(len(d) - 1, 0.95) * stdev(d) / math.sqrt(len(d))),
                "The quantile 0.95 cuts 5 % at each end, which makes an interval of 90 %. For "
                "95 % take the quantile 0.975.",
            ),
        },
    )
)


# 8.2 ------------------------------------------------------------------------------------------


def ablated(terms: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    """The generators' terms with some of them switched off, or made weaker or stronger.

    A term whose name is in `weights` is multiplied by that weight; the others stay as they are. A
    weight of 0 switches a term off, and it still appears, as 0. The dictionary that came in is not
    changed.

    Args:
        terms: scalars by name, as `generator_losses` gives them: "G_AB", "G_BA", "cycle_A", ...
        weights: factors by name of a term.

    Raises:
        ValueError: if `weights` has a name that is no term. A misspelt name would otherwise
            train the whole objective under the label of an ablation.
    """
    unknown = sorted(weights.keys() - terms.keys())
    if unknown:
        raise ValueError(f"there is no term {', '.join(unknown)}; there are {', '.join(terms)}")
    return {name: weights.get(name, 1.0) * term for name, term in terms.items()}


def _terms(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(v, requires_grad=True) for name, v in values.items()}


def _ablated_cases() -> list[tuple]:
    six = {"G_AB": 0.5, "G_BA": 0.3, "cycle_A": 2.0, "cycle_B": 4.0, "idt_A": 1.5, "idt_B": 1.25}
    return [
        (_terms(G_AB=0.5, G_BA=0.3, cycle_A=2.0, cycle_B=4.0), {"cycle_B": 0.0}),
        (_terms(**six), {"idt_B": 0.1, "G_BA": 3.0}),
        (_terms(**six), {"cycle_b": 0.0}),
    ]


def _drawn_ablated_cases(rng: np.random.Generator) -> list[tuple]:
    names = ["G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B"]

    def terms(count: int = 6) -> dict[str, Tensor]:
        return _terms(**dict(zip(names, rng.uniform(0.2, 5, count).tolist(), strict=False)))

    def weights(*values: float) -> dict[str, float]:
        return dict(zip(rng.permutation(names).tolist(), values, strict=False))

    weak, strong = rng.uniform(0.1, 0.7), rng.uniform(1.5, 4)
    wrong = str(rng.choice(["cycle_b", "g_ab", "G_A", "idt", "cycle_AB", "D_A"]))
    return [
        (terms(), weights(0.0, strong)),
        (terms(), weights(weak, 0.0, strong)),
        (terms(), weights(weak) | {wrong: 0.0}),
        (terms(4), {names[0]: strong, names[4 + rng.integers(2)]: weak}),
    ]


def _run_ablated(answer: Callable, terms: dict[str, Tensor], weights: dict[str, float]):
    """The terms, and what a change of each of the old ones does to the sum that is trained."""
    before = dict(terms)
    misspelt = bool(weights.keys() - terms.keys())
    try:
        found = answer(terms, weights)
    except (ValueError, KeyError) as error:
        if misspelt:
            return {"stops with": type(error).__name__}
        raise
    if not isinstance(found, dict):
        return found
    total = sum(found.values())
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()
    felt = {name: 0.0 if t.grad is None else t.grad.item() for name, t in before.items()}
    same = terms.keys() == before.keys() and all(terms[n] is t for n, t in before.items())
    return {
        "terms": found,
        "weight that the training feels": felt,
        "the dictionary that came in": "as it was" if same else "changed",
    }


def _known(terms, weights):
    """The check that most of the mistakes share with the reference."""
    if weights.keys() - terms.keys():
        raise ValueError
    return weights


def _ablated_as_one_sum(terms, weights):
    return sum(ablated(terms, weights).values())


def _ablated_rest_off(terms, weights):
    weights = _known(terms, weights)
    return {name: weights.get(name, 0.0) * term for name, term in terms.items()}


def _ablated_drops(terms, weights):
    return {name: t for name, t in ablated(terms, weights).items() if weights.get(name, 1) != 0}


def _ablated_only_the_named(terms, weights):
    return {name: weight * terms[name] for name, weight in _known(terms, weights).items()}


def _ablated_in_place(terms, weights):
    for name, weight in _known(terms, weights).items():
        terms[name] = weight * terms[name]
    return terms


def _ablated_numbers(terms, weights):
    return {name: term.detach() for name, term in ablated(terms, weights).items()}


def _ablated_by_place(terms, weights):
    factors = [*_known(terms, weights).values(), *[1.0] * len(terms)]
    return {name: f * term for f, (name, term) in zip(factors, terms.items(), strict=False)}


def _ablated_stumbles(terms, weights):
    changed = {name: weight * terms[name] for name, weight in weights.items()}
    return terms | changed


def _ablated_overlooks(terms, weights):
    return {name: weights.get(name, 1.0) * term for name, term in terms.items()}


register(
    Exercise(
        number="8.2",
        title="terms switched off",
        reference=ablated,
        cases=_ablated_cases,
        drawn_cases=_drawn_ablated_cases,
        run=_run_ablated,
        hints=(
            "Make a new dictionary with the names of `terms`; weights.get(name, 1.0) is the "
            "weight, or 1 where none is given.",
            "The names that are no terms: weights.keys() - terms.keys(). If there are any: raise "
            "ValueError(...).",
            "return {name: weights.get(name, 1.0) * term for name, term in terms.items()}",
        ),
        mistakes={
            "one sum": Mistake(
                _ablated_as_one_sum,
                "This is one number, the sum. The step adds the terms itself, and the record "
                "keeps each of them: return a dictionary.",
            ),
            "switches the others off": Mistake(
                _ablated_rest_off,
                "Every term that `weights` does not name is multiplied by 0. Those are the ones "
                "to leave alone: their weight is 1.",
            ),
            "drops what is off": Mistake(
                _ablated_drops,
                "A term of weight 0 is missing. It stays in the dictionary as 0, so that every "
                "run has the same columns in its record.",
            ),
            "keeps only the named": Mistake(
                _ablated_only_the_named,
                "Only the terms that `weights` names come back. Go through `terms`: the others "
                "belong to the objective too.",
            ),
            "writes into the input": Mistake(
                _ablated_in_place,
                "The result is right, but the dictionary that came in is changed too. Whoever "
                "made it still needs it: make a new one.",
            ),
            "loses the graph": Mistake(
                _ablated_numbers,
                "The values are right, but the graph behind them is gone (detach, item or float "
                "does that), so nothing is trained. Multiply the tensors themselves.",
            ),
            "goes by place": Mistake(
                _ablated_by_place,
                "The weights are dealt out in order, so the first one hits the first term "
                "whatever its name. Look each weight up by the name of the term.",
            ),
            "stumbles over a misspelt name": Mistake(
                _ablated_stumbles,
                "A misspelt name does stop it, but with a KeyError that says little. Look for "
                "such names first, and raise a ValueError that names them.",
            ),
            "overlooks a misspelt name": Mistake(
                _ablated_overlooks,
                'A name that is no term passes without a word, like "cycle_b" here: the run is '
                "then called an ablation and trains everything. Raise a ValueError.",
            ),
        },
    )
)


# 8.3 ------------------------------------------------------------------------------------------


def checkerboard(images: Tensor, window: int = 8) -> float:
    """How strongly pictures alternate from pixel to pixel, like the fields of a chess board.

    Multiply pixel (row, column) by (-1)^(row + column). Take the mean over each window, the
    absolute value of each such mean, and the mean of these. A regular pattern adds up within a
    window; what has no such pattern nearly cancels.

    Args:
        images: (N, C, H, W).
        window: side of the square windows in pixels. They do not overlap, and H and W are
            multiples of it. Each channel has windows of its own.

    Returns:
        A number in units of the pictures' range; 0 for pictures of one colour.
    """
    rows, columns = (torch.arange(n) for n in images.shape[-2:])
    signs = 1.0 - 2.0 * ((rows[:, None] + columns) % 2)
    return F.avg_pool2d(images * signs, window).abs().mean().item()


def _board(height: int, width: int) -> Tensor:
    return 1.0 - 2.0 * ((torch.arange(height)[:, None] + torch.arange(width)) % 2)


def _checkerboard_cases() -> list[tuple]:
    board = _board(4, 4)
    turned = torch.where(torch.arange(4) < 2, board, -board)  # two halves of opposite phase
    return [
        (0.25 - 0.5 * board.reshape(1, 1, 4, 4), 2),
        (turned.reshape(1, 1, 4, 4), 2),
        (_pictures(2, 3, 8, 12, seed=0), 4),
        (torch.cat([_pictures(1, 1, 8, 8, seed=1), -_pictures(1, 1, 8, 8, seed=1)], dim=1), 8),
    ]


def _drawn_checkerboard_cases(rng: np.random.Generator) -> list[tuple]:
    """Boards of unlike strength and phase, on grounds with noise."""
    cases = []
    for window in rng.choice([2, 4, 6, 8], 3, replace=False).tolist():
        sides = (window * rng.choice([1, 2, 3, 4], 2, replace=False)).tolist()
        n, c = rng.integers(2, 4, 2).tolist()
        boards = uniform(rng, -0.6, 0.6, n, c, 1, 1) * _board(*sides)
        cases.append((boards + uniform(rng, -0.7, 0.7, n, c, *sides) + 0.2, window))
    return cases


def _signed(images: Tensor, by: str = "both") -> Tensor:
    """Pictures times (-1) to the power of row, column or their sum."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in images.shape[-2:]), indexing="ij")
    power = {"both": rows + columns, "rows": rows, "columns": columns}[by]
    return images * (1.0 - 2.0 * (power % 2))


def _checkerboard_of(by: str) -> Callable:
    return lambda images, window=8: F.avg_pool2d(_signed(images, by), window).abs().mean().item()


def _checkerboard_absolute_first(images, window=8):
    return F.avg_pool2d(_signed(images).abs(), window).mean().item()


def _checkerboard_one_window(images, window=8):
    return _signed(images).mean(dim=(-2, -1)).abs().mean().item()


def _checkerboard_signed(images, window=8):
    return F.avg_pool2d(_signed(images), window).mean().item()


def _checkerboard_everything(images, window=8):
    return _signed(images).mean().abs().item()


def _checkerboard_sliding(images, window=8):
    return F.avg_pool2d(_signed(images), window, stride=1).abs().mean().item()


def _checkerboard_sum(images, window=8):
    return window**2 * checkerboard(images, window)


def _checkerboard_grey(images, window=8):
    return checkerboard(images.mean(dim=1, keepdim=True), window)


def _checkerboard_no_signs(images, window=8):
    return F.avg_pool2d(images, window).abs().mean().item()


register(
    Exercise(
        number="8.3",
        title="a measure of checkerboards",
        reference=checkerboard,
        cases=_checkerboard_cases,
        drawn_cases=_drawn_checkerboard_cases,
        hints=(
            "Row + column is even on the white fields and odd on the black ones: "
            "(rows[:, None] + columns) % 2 is a table (H, W) of 0 and 1.",
            "1 - 2 * that table is +1 and -1. Multiply the pictures by it; it fits every picture "
            "and channel.",
            "F.avg_pool2d(signed, window) is the mean of each window. Then .abs(), then .mean().",
        ),
        mistakes={
            "signs of the rows": Mistake(
                _checkerboard_of("rows"),
                "The sign changes from row to row only, so this finds horizontal stripes. On a "
                "chess board it changes with row *plus* column.",
            ),
            "signs of the columns": Mistake(
                _checkerboard_of("columns"),
                "The sign changes from column to column only, so this finds vertical stripes. On "
                "a chess board it changes with row *plus* column.",
            ),
            "absolute value first": Mistake(
                _checkerboard_absolute_first,
                "The absolute value is taken of each pixel, and then nothing can cancel: this is "
                "the mean of |x|. First the mean of a window, then the absolute value.",
            ),
            "one window": Mistake(
                _checkerboard_one_window,
                "One window covers the whole picture. Patterns that are out of step, as in the "
                "second case, cancel each other. Take windows of the given size.",
            ),
            "no absolute value": Mistake(
                _checkerboard_signed,
                "The absolute value is missing, so two windows out of step cancel each other, "
                "and the number can be negative.",
            ),
            "absolute value last": Mistake(
                _checkerboard_everything,
                "The absolute value comes after the mean over everything. Take it of the mean of "
                "each window.",
            ),
            "windows overlap": Mistake(
                _checkerboard_sliding,
                "The windows move on by one pixel and overlap. Without a stride, avg_pool2d lays "
                "them side by side.",
            ),
            "sum of the window": Mistake(
                _checkerboard_sum,
                "This is the sum over a window, so it grows with the window. Take the mean.",
            ),
            "channels averaged": Mistake(
                _checkerboard_grey,
                "The channels are averaged first. A pattern in colour, up in one channel and down "
                "in another, would be missed.",
            ),
            "no signs": Mistake(
                _checkerboard_no_signs,
                "Nothing alternates in sign, so this measures brightness. Multiply by "
                "(-1)^(row + column) first.",
            ),
        },
    )
)


# 8.4 ------------------------------------------------------------------------------------------


def eight_bits(pictures: Tensor) -> Tensor:
    """What is left of pictures after they were saved as 8-bit files and read again.

    A file holds whole numbers from 0 to 255. -1 is written as 0 and 1 as 255; what lies between is
    rounded to the nearest level, and what lies beyond is cut off.

    Args:
        pictures: float, any shape, about [-1, 1].

    Returns:
        The same shape and type, in [-1, 1].
    """
    levels = ((pictures + 1) * 127.5).round().clamp(0, 255)
    return levels / 127.5 - 1


def _eight_bits_cases() -> list[tuple]:
    few = torch.tensor([-1.0, -0.999, -0.3, 0.001, 0.2, 0.9975, 1.0, 1.2, -1.03])
    return [(few,), (1.05 * _pictures(2, 3, 5, 7, seed=3),)]


def _drawn_eight_bits_cases(rng: np.random.Generator) -> list[tuple]:
    """Levels within the range and beyond, each off by less than what rounds the other way.

    A value half-way between two levels may go to either, as the last bit of the arithmetic falls.
    """
    cases = []
    for shape in ((12,), (3, *rng.integers(4, 9, 2).tolist())):
        levels = rng.integers(-9, 265, shape)
        levels.flat[:3] = rng.integers(-9, 0), rng.integers(256, 265), rng.integers(1, 255)
        off = rng.choice([-1, 1], shape) * rng.uniform(0.05, 0.45, shape)
        cases.append((torch.from_numpy((levels + off) / 127.5 - 1).float(),))
    return cases


def _eight_bits_truncated(pictures):
    return ((pictures + 1) * 127.5).floor().clamp(0, 255) / 127.5 - 1


def _eight_bits_unclamped(pictures):
    return ((pictures + 1) * 127.5).round() / 127.5 - 1


def _eight_bits_wrapped(pictures):
    return ((pictures + 1) * 127.5).round().remainder(256) / 127.5 - 1


def _eight_bits_levels(pictures):
    return ((pictures + 1) * 127.5).round().clamp(0, 255)


def _eight_bits_unit_range(pictures):
    return (pictures * 255).round().clamp(0, 255) / 255


def _eight_bits_fine(pictures):
    return (pictures * 255).round().clamp(-255, 255) / 255


def _eight_bits_about_zero(pictures):
    return (pictures * 127.5).round().clamp(-127.5, 127.5) / 127.5


def _eight_bits_256(pictures):
    return ((pictures + 1) * 128).round().clamp(0, 255) / 128 - 1


def _eight_bits_halved(pictures):
    return ((pictures + 1) * 127.5).round().clamp(0, 255) / 255


register(
    Exercise(
        number="8.4",
        title="saved in 8 bits",
        reference=eight_bits,
        cases=_eight_bits_cases,
        drawn_cases=_drawn_eight_bits_cases,
        hints=(
            "There are 255 steps from -1 to 1. So (pictures + 1) * 127.5 runs from 0 to 255.",
            "Round to whole numbers with .round(), and keep them within 0 and 255 with .clamp.",
            "Back: levels / 127.5 - 1.",
        ),
        mistakes={
            "truncates": Mistake(
                _eight_bits_truncated,
                "The fraction is cut off (floor, int or a cast to uint8 does that), so every "
                "picture becomes half a level darker. Round to the nearest level.",
            ),
            "does not clamp": Mistake(
                _eight_bits_unclamped,
                "Values beyond -1 and 1 survive. A file has no level below 0 or above 255: clamp.",
            ),
            "wraps around": Mistake(
                _eight_bits_wrapped,
                "Values beyond the range come out at its other end: a cast to uint8 counts on "
                "from 255 to 0. Clamp before the cast.",
            ),
            "stays in levels": Mistake(
                _eight_bits_levels,
                "These are the levels, 0 to 255. The networks want [-1, 1]: / 127.5 - 1.",
            ),
            "takes [0, 1]": Mistake(
                _eight_bits_unit_range,
                "This takes the pictures for [0, 1], and everything below 0 turns to 0. They "
                "are in [-1, 1]: add 1 and multiply by 127.5.",
            ),
            "511 levels": Mistake(
                _eight_bits_fine,
                "This rounds to multiples of 1/255. The range [-1, 1] is 2 wide, so that makes "
                "511 levels; a file has 256. One level is 2/255.",
            ),
            "rounds about 0": Mistake(
                _eight_bits_about_zero,
                "Here 0 is a level. With an even number of levels from -1 to 1 it lies between "
                "two of them: add 1 before you round.",
            ),
            "divides by 128": Mistake(
                _eight_bits_256,
                "With 128 the value 1 becomes level 256, which a file does not have. 256 levels "
                "have 255 steps between them: 127.5.",
            ),
            "returns [0, 1]": Mistake(
                _eight_bits_halved,
                "The result is in [0, 1]. Pictures here are in [-1, 1]: / 127.5 - 1.",
            ),
        },
    )
)


# 8.5 ------------------------------------------------------------------------------------------


def reconstructed(
    go: Callable[[Tensor], Tensor],
    back: Callable[[Tensor], Tensor],
    real: Tensor,
    disturb: Callable[[Tensor], Tensor],
) -> Tensor:
    """There and back, with the translated picture disturbed on the way.

    After the disturbance the picture is clamped to [-1, 1], the range that a picture has.

    Args:
        go: translates into the other domain, G_AB for a picture of A.
        back: translates back, G_BA for a picture of A.
        real: (N, 3, H, W) in [-1, 1].
        disturb: changes pictures a little: noise, blur, rounding.

    Returns:
        (N, 3, H, W), to be compared with `real`.
    """
    fake = go(real)
    return back(disturb(fake).clamp(-1, 1))


def _reconstructed_cases() -> list[tuple]:
    small = torch.tensor([[0.5, -0.2], [0.3, -0.6], [0.9, 0.4]]).reshape(1, 3, 1, 2)
    return [
        (Line(1.6, -0.1), Line(0.6, 0.1), small, Stripes(0.25)),
        (Line(0.8, 0.1), Line(-1.5, 0.2), _pictures(2, 3, 4, 6, seed=4), Stripes(-0.5)),
    ]


def _drawn_reconstructed_cases(rng: np.random.Generator) -> list[tuple]:
    """The way there is steep, so that the clamp has work to do."""
    cases = []
    for _ in range(2):
        shape = (int(rng.integers(1, 4)), 3, *rng.integers(2, 7, 2).tolist())
        go = Line(float(rng.choice([-1, 1]) * rng.uniform(1.1, 1.8)), float(rng.uniform(-0.2, 0.2)))
        cases.append((go, line(rng), uniform(rng, -1, 1, *shape), _stripes(rng)))
    return cases


def _reconstructed_disturbs_the_input(go, back, real, disturb):
    return back(go(disturb(real).clamp(-1, 1)))


def _reconstructed_disturbs_the_result(go, back, real, disturb):
    return disturb(back(go(real))).clamp(-1, 1)


def _reconstructed_disturbs_both(go, back, real, disturb):
    return reconstructed(go, back, disturb(real).clamp(-1, 1), disturb)


def _reconstructed_undisturbed(go, back, real, disturb):
    return back(go(real).clamp(-1, 1))


def _reconstructed_unclamped(go, back, real, disturb):
    return back(disturb(go(real)))


def _reconstructed_clamps_first(go, back, real, disturb):
    return back(disturb(go(real).clamp(-1, 1)))


def _reconstructed_clamps_the_end(go, back, real, disturb):
    return back(disturb(go(real))).clamp(-1, 1)


def _reconstructed_wrong_way(go, back, real, disturb):
    return reconstructed(back, go, real, disturb)


def _reconstructed_never_back(go, back, real, disturb):
    return disturb(go(real)).clamp(-1, 1)


def _reconstructed_go_twice(go, back, real, disturb):
    return reconstructed(go, go, real, disturb)


register(
    Exercise(
        number="8.5",
        title="a disturbed way back",
        reference=reconstructed,
        cases=_reconstructed_cases,
        drawn_cases=_drawn_reconstructed_cases,
        hints=(
            "Three things happen in a row: go, disturb, back. Which of them gets the translated "
            "picture?",
            "fake = go(real) is the picture that is disturbed: disturb(fake).clamp(-1, 1).",
            "return back(disturb(fake).clamp(-1, 1))",
        ),
        mistakes={
            "disturbs the input": Mistake(
                _reconstructed_disturbs_the_input,
                "The input is disturbed. A message, if there is one, is hidden later, in the "
                "translated picture: disturb go(real).",
            ),
            "disturbs the result": Mistake(
                _reconstructed_disturbs_the_result,
                "The disturbance comes after the way back, so `back` has read the message "
                "already. Disturb the picture before `back` sees it.",
            ),
            "disturbs twice": Mistake(
                _reconstructed_disturbs_both,
                "The input is disturbed as well as the translated picture. Then nobody can say "
                "which of the two did the harm. Change one thing: the translated picture.",
            ),
            "does not disturb": Mistake(
                _reconstructed_undisturbed,
                "Nothing is disturbed: `disturb` is never applied to the translated picture.",
            ),
            "does not clamp": Mistake(
                _reconstructed_unclamped,
                "The disturbed picture leaves [-1, 1]. No file or screen can hold that, and a "
                "message could survive there: clamp it before the way back.",
            ),
            "clamps too early": Mistake(
                _reconstructed_clamps_first,
                "The clamp comes before the disturbance, which then leaves [-1, 1] again. Clamp "
                "what `disturb` returns.",
            ),
            "clamps too late": Mistake(
                _reconstructed_clamps_the_end,
                "The clamp comes after the way back. It is the disturbed picture that has to be "
                "one that a file can hold: clamp before `back`.",
            ),
            "goes the wrong way": Mistake(
                _reconstructed_wrong_way,
                "This begins with `back`. The picture is of the domain that `go` starts from.",
            ),
            "never goes back": Mistake(
                _reconstructed_never_back,
                "This is the disturbed translation. Translate it back to compare it with `real`.",
            ),
            "goes twice": Mistake(
                _reconstructed_go_twice,
                "`go` is used for both ways. The way back is the other network.",
            ),
        },
    )
)


# 8.6 ------------------------------------------------------------------------------------------


def disturbed_losses(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    objective: Objective,
    disturb: Callable[[Tensor], Tensor],
) -> tuple[dict[str, Tensor], Translations]:
    """The generators' losses with both cycles disturbed between the way there and the way back.

    Only the cycle terms change: they go through `disturb(fake)`. The discriminators still see the
    fakes as they are, and the identity terms stay. Use `generator_losses` for all that stays, and
    `cycle_consistency_loss`.

    Args:
        model: holds the four networks G_AB, G_BA, D_A and D_B.
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        objective: has the weight `objective.lambda_cycle`.
        disturb: changes pictures a little; gradients go through it.

    Returns:
        What `generator_losses` returns: the terms by name, already weighted, and the pictures.
    """
    terms, made = generator_losses(model, real_A, real_B, objective)
    rec_A, rec_B = model.G_BA(disturb(made.fake_B)), model.G_AB(disturb(made.fake_A))
    cycle_A = objective.lambda_cycle * cycle_consistency_loss(rec_A, real_A)
    cycle_B = objective.lambda_cycle * cycle_consistency_loss(rec_B, real_B)
    return terms | {"cycle_A": cycle_A, "cycle_B": cycle_B}, made


def _disturbed_model() -> FourLines:
    return FourLines(
        Line(0.7, 0.2), Line(1.2, -0.1), Line(1.5, 0.3, colours=True), Line(-0.8, 0.6, colours=True)
    )


def _disturbed_losses_cases() -> list[tuple]:
    one, two = _pictures(2, 1, 3, 1, 2, seed=5), _pictures(2, 2, 3, 4, 6, seed=6)
    return [
        (_disturbed_model(), *one, Objective(10.0, 5.0), Stripes(0.3)),
        (_disturbed_model(), *two, Objective(3.0, 0.0), Stripes(-0.4)),
    ]


def _drawn_disturbed_losses_cases(rng: np.random.Generator) -> list[tuple]:
    def objective(identity: float) -> Objective:
        return Objective(float(rng.uniform(2, 12)), identity)

    return [
        (four_lines(rng, colours=True), *two_batches(rng), objective(identity), _stripes(rng))
        for identity in (float(rng.uniform(1, 6)), 0.0)
    ]


def _run_disturbed_losses(answer: Callable, model: CycleGAN, *inputs) -> dict | None:
    found = answer(model, *inputs)
    if is_blank(found):
        return found
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError("return two things: the dictionary of the terms, and the pictures made")
    terms, made = found
    sum(terms.values()).backward()
    return {
        "terms": terms,
        "fake_A for D_A": made.fake_A,
        "fake_B for D_B": made.fake_B,
        "gradient of G_AB": _gradient(model.G_AB),
        "gradient of G_BA": _gradient(model.G_BA),
    }


def _with_cycles(
    rec_A: Callable[..., Tensor], rec_B: Callable[..., Tensor], lambda_cycle: float | None = None
) -> Callable:
    """`disturbed_losses` with other reconstructions, each from (model, real, fake, disturb)."""

    def wrong(model, real_A, real_B, objective, disturb):
        terms, made = generator_losses(model, real_A, real_B, objective)
        weight = objective.lambda_cycle if lambda_cycle is None else lambda_cycle
        found_A = rec_A(model, real_A, made.fake_B, disturb)
        found_B = rec_B(model, real_B, made.fake_A, disturb)
        return terms | {
            "cycle_A": weight * cycle_consistency_loss(found_A, real_A),
            "cycle_B": weight * cycle_consistency_loss(found_B, real_B),
        }, made

    return wrong


_losses_detached = _with_cycles(
    lambda m, real, fake, disturb: m.G_BA(disturb(fake.detach())),
    lambda m, real, fake, disturb: m.G_AB(disturb(fake.detach())),
)
_losses_input = _with_cycles(
    lambda m, real, fake, disturb: m.G_BA(m.G_AB(disturb(real))),
    lambda m, real, fake, disturb: m.G_AB(m.G_BA(disturb(real))),
)
_losses_result = _with_cycles(
    lambda m, real, fake, disturb: disturb(m.G_BA(fake)),
    lambda m, real, fake, disturb: disturb(m.G_AB(fake)),
)
_losses_both = _with_cycles(
    lambda m, real, fake, disturb: m.G_BA(disturb(m.G_AB(disturb(real)))),
    lambda m, real, fake, disturb: m.G_AB(disturb(m.G_BA(disturb(real)))),
)
_losses_one_cycle = _with_cycles(
    lambda m, real, fake, disturb: m.G_BA(disturb(fake)),
    lambda m, real, fake, disturb: m.G_AB(fake),
)
_losses_unweighted = _with_cycles(
    lambda m, real, fake, disturb: m.G_BA(disturb(fake)),
    lambda m, real, fake, disturb: m.G_AB(disturb(fake)),
    lambda_cycle=1.0,
)


def _losses_target(model, real_A, real_B, objective, disturb):
    terms, made = generator_losses(model, real_A, real_B, objective)
    cycle = {
        "cycle_A": (model.G_BA(disturb(made.fake_B)), disturb(real_A)),
        "cycle_B": (model.G_AB(disturb(made.fake_A)), disturb(real_B)),
    }
    return terms | {
        name: objective.lambda_cycle * cycle_consistency_loss(*pair) for name, pair in cycle.items()
    }, made


def _losses_discriminators(model, real_A, real_B, objective, disturb):
    terms, made = disturbed_losses(model, real_A, real_B, objective, disturb)
    adversarial = {
        "G_AB": generator_loss(model.D_B(disturb(made.fake_B))),
        "G_BA": generator_loss(model.D_A(disturb(made.fake_A))),
    }
    return terms | adversarial, made


def _losses_hands_on(model, real_A, real_B, objective, disturb):
    terms, made = disturbed_losses(model, real_A, real_B, objective, disturb)
    return terms, made._replace(fake_A=disturb(made.fake_A), fake_B=disturb(made.fake_B))


def _losses_added(model, real_A, real_B, objective, disturb):
    terms, made = disturbed_losses(model, real_A, real_B, objective, disturb)
    clean, _ = generator_losses(model, real_A, real_B, objective)
    return terms | {name: terms[name] + clean[name] for name in ("cycle_A", "cycle_B")}, made


def _losses_alone(model, real_A, real_B, objective, disturb):
    terms, made = disturbed_losses(model, real_A, real_B, objective, disturb)
    return {name: terms[name] for name in ("cycle_A", "cycle_B")}, made


register(
    Exercise(
        number="8.6",
        title="noise in the cycle",
        reference=disturbed_losses,
        cases=_disturbed_losses_cases,
        drawn_cases=_drawn_disturbed_losses_cases,
        run=_run_disturbed_losses,
        hints=(
            "terms, made = generator_losses(model, real_A, real_B, objective) gives everything; "
            "only two of the terms are to be replaced. made.fake_B and made.fake_A are the fakes.",
            "rec_A = model.G_BA(disturb(made.fake_B)); the other way: swap A and B.",
            'terms | {"cycle_A": ..., "cycle_B": ...} is the dictionary with two terms replaced; '
            "each is objective.lambda_cycle * cycle_consistency_loss(rec_A, real_A). Return "
            "`made` as it is.",
        ),
        mistakes={
            "detaches": Mistake(
                _losses_detached,
                "The values are right, but the fakes are detached before they are disturbed. "
                "Then only the way back learns, and the one that hides the message never hears "
                "of the noise.",
            ),
            "disturbs the input": Mistake(
                _losses_input,
                "The real picture is disturbed before it is translated. The message is written "
                "after that, and arrives whole: disturb the fake.",
            ),
            "disturbs the result": Mistake(
                _losses_result,
                "The reconstruction is disturbed, after the message was read. Disturb the fake, "
                "before the way back.",
            ),
            "disturbs twice": Mistake(
                _losses_both,
                "The real picture is disturbed as well as the fake. Only what lies between the "
                "two generators can carry a message: disturb the fake alone.",
            ),
            "disturbs one cycle": Mistake(
                _losses_one_cycle,
                "Only cycle_A is disturbed. The other generator can still hide what it likes: "
                "both cycles.",
            ),
            "disturbs the target": Mistake(
                _losses_target,
                "The reconstruction is compared with a disturbed picture. The aim stays the "
                "real picture itself.",
            ),
            "the generators' terms see it": Mistake(
                _losses_discriminators,
                "The discriminators score disturbed fakes, so a generator would learn to make "
                "pictures that look real only with the noise on top. Leave those terms as they "
                "are.",
            ),
            "hands disturbed fakes on": Mistake(
                _losses_hands_on,
                "The terms are right, but the pictures that go on to the discriminators are "
                "disturbed. They would learn to see the noise. Return `made` as it is.",
            ),
            "forgets the weight": Mistake(
                _losses_unweighted,
                "The weight is missing: each cycle term is objective.lambda_cycle times the loss.",
            ),
            "adds to the clean cycle": Mistake(
                _losses_added,
                "The clean cycle is still there, and the disturbed one is added to it. A message "
                "would go on paying for the clean half. Replace the term.",
            ),
            "returns the cycles alone": Mistake(
                _losses_alone,
                "Only the two cycle terms come back, so nothing else would be trained. Return "
                "all the terms, with these two replaced.",
            ),
        },
    )
)
