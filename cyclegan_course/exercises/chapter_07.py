"""Exercises of chapter 7: PSNR, the Fréchet and kernel distances, correspondence, the bootstrap,
and which stages of a run are worth keeping."""

from bisect import bisect
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cyclegan_course.exercises.draws import normal, uniform
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _sizes(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    """Different whole numbers from low to high, both included."""
    return rng.choice(np.arange(low, high + 1), count, replace=False).tolist()


# 7.1 ------------------------------------------------------------------------------------------


def psnr(fake: Tensor, truth: Tensor, data_range: float) -> Tensor:
    """Peak signal-to-noise ratio of each picture in decibel: 10 log10(R^2 / MSE).

    Args:
        fake, truth: (N, C, H, W).
        data_range: R, the difference between white and black: 2 for [-1, 1], 255 for bytes.

    Returns:
        (N,): one value for each picture. The mean square runs over its pixels and channels.
    """
    error = (fake - truth).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / error)


def _psnr_cases() -> list[tuple]:
    truth = torch.tensor([0.0, 0.5, -0.5, 1.0, 0.2, -1.0, 0.4, 0.0]).reshape(2, 1, 2, 2)
    error = torch.tensor([0.1, -0.1, 0.1, 0.1, 0.0, 0.4, 0.0, 0.0]).reshape(2, 1, 2, 2)
    noise = _normal(3, 3, 4, 4, seed=0).float()
    return [
        (truth + error, truth, 2.0),
        (255 * (truth + error).clamp(0, 1), 255 * truth.clamp(0, 1), 255.0),
        (0.3 * noise, torch.zeros_like(noise), 1.0),
    ]


def _drawn_psnr_cases(rng: np.random.Generator) -> list[tuple]:
    """Pictures of unlike quality, in ranges of which none is 1."""
    cases = []
    for data_range in (2.0, 255.0, round(rng.uniform(3, 99), 1)):
        n, c, *sides = _sizes(rng, 2, 6, 4)
        truth = uniform(rng, 0, data_range, n, c, *sides)
        spread = uniform(rng, 0.03, 0.3, n, 1, 1, 1) * data_range
        cases.append((truth + spread * normal(rng, *truth.shape), truth, data_range))
    return cases


def _mse(fake: Tensor, truth: Tensor) -> Tensor:
    return (fake - truth).square().mean(dim=(1, 2, 3))


def _psnr_of_the_set(fake, truth, data_range):
    return 10 * torch.log10(data_range**2 / (fake - truth).square().mean())


def _psnr_without_range(fake, truth, data_range):
    return 10 * torch.log10(1 / _mse(fake, truth))


def _psnr_range_not_squared(fake, truth, data_range):
    return 10 * torch.log10(data_range / _mse(fake, truth))


def _psnr_absolute(fake, truth, data_range):
    return 10 * torch.log10(data_range**2 / (fake - truth).abs().mean(dim=(1, 2, 3)))


def _psnr_natural(fake, truth, data_range):
    return 10 * torch.log(data_range**2 / _mse(fake, truth))


def _psnr_twenty(fake, truth, data_range):
    return 20 * torch.log10(data_range**2 / _mse(fake, truth))


def _psnr_upside_down(fake, truth, data_range):
    return 10 * torch.log10(_mse(fake, truth) / data_range**2)


register(
    Exercise(
        number="7.1",
        title="PSNR with a data range",
        reference=psnr,
        cases=_psnr_cases,
        drawn_cases=_drawn_psnr_cases,
        hints=(
            "First the mean squared difference of each picture: .mean(dim=(1, 2, 3)) leaves the "
            "first dimension alone.",
            "The logarithm is to base 10: torch.log10.",
            "10 * torch.log10(data_range**2 / error)",
        ),
        mistakes={
            "one value for the set": Mistake(
                _psnr_of_the_set,
                "This is one number for all pictures together: the mean runs over the first "
                "dimension too. One bad picture then hides the others. Use "
                ".mean(dim=(1, 2, 3)), one value for each picture.",
            ),
            "forgets the data range": Mistake(
                _psnr_without_range,
                "The data range is missing, or taken as 1. Pictures in [-1, 1] have a range of 2: "
                "without it every value is 10 log10(4) = 6.02 dB too low.",
            ),
            "does not square the range": Mistake(
                _psnr_range_not_squared,
                "The range must be squared: the error is a squared difference, and the two must "
                "have the same unit.",
            ),
            "takes absolute differences": Mistake(
                _psnr_absolute,
                "This uses the mean absolute difference (L1). PSNR is made of the mean *squared* "
                "difference.",
            ),
            "uses the natural logarithm": Mistake(
                _psnr_natural,
                "torch.log is the natural logarithm. Decibels count in powers of ten: torch.log10.",
            ),
            "counts twice": Mistake(
                _psnr_twenty,
                "The values are twice too large. It is 20 log10 of R over the *root* of the error, "
                "or 10 log10 of R^2 over the error.",
            ),
            "turns the ratio over": Mistake(
                _psnr_upside_down,
                "The sign is wrong: signal over noise, so R^2 stands above and the error below. "
                "Higher must be better.",
            ),
        },
    )
)


# 7.2 ------------------------------------------------------------------------------------------


def frechet_gaussians(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Squared Fréchet distance of two normal distributions.

        |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2))

    The root is that of a matrix. Its trace is the sum of the square roots of the eigenvalues of
    `cov_a @ cov_b`, which are real and not negative (rounding may say otherwise).

    Args:
        mean_a, mean_b: (d,).
        cov_a, cov_b: covariance matrices (d, d).

    Returns:
        A scalar.
    """
    eigenvalues = torch.linalg.eigvals(cov_a @ cov_b).real.clamp_min(0)
    return (
        (mean_a - mean_b).square().sum()
        + torch.trace(cov_a)
        + torch.trace(cov_b)
        - 2 * eigenvalues.sqrt().sum()
    )


def _covariance(root: Tensor) -> Tensor:
    return root @ root.T + 0.1 * torch.eye(len(root), dtype=torch.float64)


def _frechet_cases() -> list[tuple]:
    one = torch.tensor([1.0]).double(), torch.tensor([[4.0]]).double()
    other = torch.tensor([3.0]).double(), torch.tensor([[9.0]]).double()
    turned = torch.tensor([[2.0, 1.2], [1.2, 1.0]]).double()
    upright = torch.tensor([[0.5, -0.4], [-0.4, 2.0]]).double()
    shift = torch.tensor([0.5, -1.0]).double()
    return [
        (*one, *other),
        (torch.zeros(2).double(), turned, shift, upright),
        (
            _normal(5, seed=1),
            _covariance(_normal(5, 5, seed=2)),
            _normal(5, seed=3),
            _covariance(_normal(5, 5, seed=4)),
        ),
    ]


def _drawn_frechet_cases(rng: np.random.Generator) -> list[tuple]:
    def gaussian(d: int) -> tuple[Tensor, Tensor]:
        spread = rng.uniform(0.3, 2)
        return normal(rng, d).double(), _covariance(spread * normal(rng, d, d).double())

    return [(*gaussian(d), *gaussian(d)) for d in (1, *_sizes(rng, 2, 7, 2))]


def _root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T


def _frechet(mean_term: Tensor, cov_a: Tensor, cov_b: Tensor, cross: Tensor) -> Tensor:
    return mean_term + torch.trace(cov_a) + torch.trace(cov_b) - cross


def _trace_of_root(cov_a: Tensor, cov_b: Tensor) -> Tensor:
    return torch.linalg.eigvals(cov_a @ cov_b).real.clamp_min(0).sqrt().sum()


def _frechet_no_root(mean_a, cov_a, mean_b, cov_b):
    gap = (mean_a - mean_b).square().sum()
    return _frechet(gap, cov_a, cov_b, 2 * torch.trace(cov_a @ cov_b))


def _frechet_elementwise(mean_a, cov_a, mean_b, cov_b):
    gap = (mean_a - mean_b).square().sum()
    return _frechet(gap, cov_a, cov_b, 2 * torch.trace((cov_a @ cov_b).sqrt()))


def _frechet_separate_roots(mean_a, cov_a, mean_b, cov_b):
    gap = (mean_a - mean_b).square().sum()
    return _frechet(gap, cov_a, cov_b, 2 * torch.trace(_root(cov_a) @ _root(cov_b)))


def _frechet_without_two(mean_a, cov_a, mean_b, cov_b):
    gap = (mean_a - mean_b).square().sum()
    return _frechet(gap, cov_a, cov_b, _trace_of_root(cov_a, cov_b))


def _frechet_mean_not_squared(mean_a, cov_a, mean_b, cov_b):
    gap = (mean_a - mean_b).norm()
    return _frechet(gap, cov_a, cov_b, 2 * _trace_of_root(cov_a, cov_b))


def _frechet_without_means(mean_a, cov_a, mean_b, cov_b):
    return _frechet(torch.zeros(()), cov_a, cov_b, 2 * _trace_of_root(cov_a, cov_b))


def _frechet_means_alone(mean_a, cov_a, mean_b, cov_b):
    return (mean_a - mean_b).square().sum()


def _frechet_root_of_all(mean_a, cov_a, mean_b, cov_b):
    return frechet_gaussians(mean_a, cov_a, mean_b, cov_b).sqrt()


register(
    Exercise(
        number="7.2",
        title="the Fréchet distance of two normal distributions",
        reference=frechet_gaussians,
        cases=_frechet_cases,
        drawn_cases=_drawn_frechet_cases,
        hints=(
            "Four parts: the squared distance of the means, two traces, and minus twice the trace "
            "of the root of the product.",
            "torch.linalg.eigvals(cov_a @ cov_b) gives complex numbers: take .real, and "
            ".clamp_min(0) against rounding.",
            "The last part is 2 * eigenvalues.sqrt().sum(); the first one is "
            "(mean_a - mean_b).square().sum().",
        ),
        mistakes={
            "no root": Mistake(
                _frechet_no_root,
                "The root of the product is missing. With it, two equal distributions are at "
                "distance 0; without it they are not.",
            ),
            "root of each entry": Mistake(
                _frechet_elementwise,
                "This takes the root of every entry of the product. The root of a matrix M is the "
                "matrix whose product with itself is M: take the roots of its eigenvalues.",
            ),
            "roots of both, then the product": Mistake(
                _frechet_separate_roots,
                "The root of a product is not the product of the roots, unless the two matrices "
                "commute. Multiply first, then take the root.",
            ),
            "forgets the 2": Mistake(
                _frechet_without_two,
                "The root counts twice: in one dimension a^2 + b^2 - 2ab = (a - b)^2, with the "
                "standard deviations a and b.",
            ),
            "does not square the means' distance": Mistake(
                _frechet_mean_not_squared,
                "The distance of the means is squared: .square().sum(), not .norm().",
            ),
            "forgets the means": Mistake(
                _frechet_without_means,
                "The covariances are right, but the distance of the means is missing.",
            ),
            "forgets the covariances": Mistake(
                _frechet_means_alone,
                "This is the means alone. Two sets with equal means and different spread would be "
                "at distance 0.",
            ),
            "root of the whole": Mistake(
                _frechet_root_of_all,
                "This is the distance itself. FID is its square: no root around the whole.",
            ),
        },
    )
)


# 7.3 ------------------------------------------------------------------------------------------


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two sets of features, without bias: what KID is.

    The kernel is k(u, v) = (u . v / d + 1)^3, with d the number of features. No vector is compared
    with itself: the mean over a set with itself runs over n (n - 1) pairs.

    Args:
        x: (n, d), n at least 2.
        y: (m, d), m at least 2.

    Returns:
        A scalar: mean k(x, x') + mean k(y, y') - 2 mean k(x, y). It may be negative.
    """
    n, m, d = len(x), len(y), x.shape[1]
    xx, yy, xy = ((u @ v.T / d + 1) ** 3 for u, v in ((x, x), (y, y), (x, y)))
    within_x = (xx.sum() - xx.diagonal().sum()) / (n * (n - 1))
    within_y = (yy.sum() - yy.diagonal().sum()) / (m * (m - 1))
    return within_x + within_y - 2 * xy.mean()


def _mmd_cases() -> list[tuple]:
    small = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).double()
    return [
        (small, small + 0.5),
        (_normal(6, 4, seed=0), _normal(5, 4, seed=1) + 0.3),
        (_normal(7, 3, seed=2), 1.5 * _normal(9, 3, seed=3)),
    ]


def _drawn_mmd_cases(rng: np.random.Generator) -> list[tuple]:
    """In the last one both sets hold nearly the same vectors, so the result is below 0."""
    cases = []
    for spread, shift in ((1.0, rng.uniform(0.3, 1)), (rng.uniform(1.3, 2), 0.0)):
        n, m, d = _sizes(rng, 3, 9, 3)
        cases.append((normal(rng, n, d).double(), spread * normal(rng, m, d).double() + shift))
    n, d = _sizes(rng, 2, 8, 2)
    x = normal(rng, n, d).double()
    return [*cases, (x, x.flip(0) + 0.01 * normal(rng, n, d).double())]


def _mmd(x: Tensor, y: Tensor, **changed) -> Tensor:
    """`squared_mmd` with parts of it done in another way."""
    d = x.shape[1]
    kernel = changed.get("kernel", lambda u, v: (u @ v.T / d + 1) ** 3)
    within = changed.get(
        "within", lambda k: (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))
    )
    cross = changed.get("cross", -2.0)
    return within(kernel(x, x)) + within(kernel(y, y)) + cross * kernel(x, y).mean()


def _mmd_diagonal(x, y):
    return _mmd(x, y, within=torch.mean)


def _mmd_divides_by_n_squared(x, y):
    return _mmd(x, y, within=lambda k: (k.sum() - k.diagonal().sum()) / len(k) ** 2)


def _mmd_divides_the_diagonal_in(x, y):
    return _mmd(x, y, within=lambda k: k.sum() / (len(k) * (len(k) - 1)))


def _mmd_cross_added(x, y):
    return _mmd(x, y, cross=2.0)


def _mmd_cross_once(x, y):
    return _mmd(x, y, cross=-1.0)


def _mmd_without_d(x, y):
    return _mmd(x, y, kernel=lambda u, v: (u @ v.T + 1) ** 3)


def _mmd_squared_kernel(x, y):
    return _mmd(x, y, kernel=lambda u, v: (u @ v.T / u.shape[1] + 1) ** 2)


def _mmd_without_one(x, y):
    return _mmd(x, y, kernel=lambda u, v: (u @ v.T / u.shape[1]) ** 3)


def _mmd_clamped(x, y):
    return squared_mmd(x, y).clamp_min(0)


register(
    Exercise(
        number="7.3",
        title="the kernel distance, without bias",
        reference=squared_mmd,
        cases=_mmd_cases,
        drawn_cases=_drawn_mmd_cases,
        hints=(
            "Three matrices of kernel values: x with x (n, n), y with y (m, m), x with y (n, m). "
            "All pairs at once: (u @ v.T / d + 1) ** 3.",
            "In the first two leave the diagonal out: matrix.sum() - matrix.diagonal().sum(), "
            "divided by n * (n - 1).",
            "The third one keeps all its pairs: - 2 * xy.mean().",
        ),
        mistakes={
            "keeps the diagonal": Mistake(
                _mmd_diagonal,
                "A vector is compared with itself, which makes the two sets look more unlike than "
                "they are: this is the biased estimate. Leave the diagonals out.",
            ),
            "divides by n squared": Mistake(
                _mmd_divides_by_n_squared,
                "The diagonal is left out of the sum, but it still counts as pairs: there are "
                "n (n - 1) of them, not n^2.",
            ),
            "counts fewer pairs than it sums": Mistake(
                _mmd_divides_the_diagonal_in,
                "The sum is divided by n (n - 1), but it still holds the diagonal.",
            ),
            "adds the cross term": Mistake(
                _mmd_cross_added,
                "The cross term has the wrong sign: sets that agree must come out near 0.",
            ),
            "takes the cross term once": Mistake(
                _mmd_cross_once,
                "The cross term counts twice, as in (a - b)^2 = a^2 + b^2 - 2ab.",
            ),
            "does not divide by d": Mistake(
                _mmd_without_d,
                "The product is not divided by the number of features. KID does it, so that the "
                "kernel does not explode with them.",
            ),
            "squares the kernel": Mistake(
                _mmd_squared_kernel,
                "The kernel has power 2 here. KID takes 3, so that it also sees skewness.",
            ),
            "forgets the 1": Mistake(
                _mmd_without_one,
                "The + 1 is missing: without it the kernel holds third moments alone, and no "
                "means or variances.",
            ),
            "cuts off at 0": Mistake(
                _mmd_clamped,
                "Negative values are cut off. An unbiased estimate must be allowed to fall below "
                "0: for equal distributions its mean is 0, so half of the values are negative.",
            ),
        },
    )
)


# 7.4 ------------------------------------------------------------------------------------------


def matched_share(fake: Tensor, truth: Tensor) -> float:
    """Correspondence: the share of translations that are most like their own truth.

    Alike means correlated: each row is shifted to mean 0 and scaled to length 1, so that neither
    brightness nor contrast counts. Then the product of two rows is their correlation.

    Args:
        fake, truth: (N, D), what was measured of each picture; row i of both is the same scene.

    Returns:
        From 0 to 1. A translator that ignores its input gets 1 / N on average.
    """
    fake, truth = (rows - rows.mean(dim=1, keepdim=True) for rows in (fake, truth))
    fake, truth = (rows / rows.norm(dim=1, keepdim=True) for rows in (fake, truth))
    nearest = (fake @ truth.T).argmax(dim=1)
    return (nearest == torch.arange(len(fake))).double().mean().item()


def _matched_cases() -> list[tuple]:
    tiny = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]])
    cases = [(10 - 2 * tiny.flip(0), tiny)]
    for seed in (0, 1):
        truth = _normal(12, 6, seed=seed).float()
        noise = _normal(12, 6, seed=seed + 10).float()
        gain, offset = (_normal(12, 1, seed=seed + s).float() for s in (20, 30))
        cases.append((_translated(truth, noise, gain, offset), truth + 1.0))
    return cases


def _translated(truth: Tensor, noise: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    return (truth + 0.9 * noise) * (0.3 + gain.abs()) + 2 * offset


def _drawn_matched_cases(rng: np.random.Generator) -> list[tuple]:
    """Of prime numbers of pictures: a share of 13 is none of 17, nor a plain fraction."""
    cases = []
    for n in rng.permutation([11, 13, 17, 19]).tolist():
        truth, noise = normal(rng, 2, n, int(rng.integers(6, 11)))
        fake = _translated(truth, noise, *normal(rng, 2, n, 1))
        cases.append((fake, truth + float(rng.uniform(0.5, 1.5))))
    return cases


def _rows(rows: Tensor, centre: bool = True) -> Tensor:
    rows = rows - rows.mean(dim=1, keepdim=True) if centre else rows
    return rows / rows.norm(dim=1, keepdim=True)


def _share(nearest: Tensor) -> float:
    return (nearest == torch.arange(len(nearest))).double().mean().item()


def _matched_from_the_truth(fake, truth):
    return _share((_rows(fake) @ _rows(truth).T).argmax(dim=0))


def _matched_farthest(fake, truth):
    return _share((_rows(fake) @ _rows(truth).T).argmin(dim=1))


def _matched_not_centred(fake, truth):
    return _share((_rows(fake, centre=False) @ _rows(truth, centre=False).T).argmax(dim=1))


def _matched_by_distance(fake, truth):
    return _share(torch.cdist(fake, truth).argmin(dim=1))


def _matched_not_scaled(fake, truth):
    fake, truth = (rows - rows.mean(dim=1, keepdim=True) for rows in (fake, truth))
    return _share((fake @ truth.T).argmax(dim=1))


def _matched_mean_correlation(fake, truth):
    return (_rows(fake) * _rows(truth)).sum(dim=1).mean().item()


def _matched_centres_columns(fake, truth):
    fake, truth = (_rows(rows - rows.mean(dim=0), centre=False) for rows in (fake, truth))
    return _share((fake @ truth.T).argmax(dim=1))


register(
    Exercise(
        number="7.4",
        title="correspondence",
        reference=matched_share,
        cases=_matched_cases,
        drawn_cases=_drawn_matched_cases,
        hints=(
            "rows.mean(dim=1, keepdim=True) is the mean of each picture. Subtract it, then divide "
            "by rows.norm(dim=1, keepdim=True).",
            "fake @ truth.T holds all correlations: row i belongs to translation i.",
            "The place of the largest one in each row is .argmax(dim=1). How often is it i? "
            "Compare with torch.arange(len(fake)).",
        ),
        mistakes={
            "asks the truths": Mistake(
                _matched_from_the_truth,
                "This asks for each truth which translation is nearest. Ask the other way round: "
                "take the largest value in each *row*, dim=1.",
            ),
            "takes the least alike": Mistake(
                _matched_farthest,
                "This takes the smallest correlation, so the least alike. Correlation is largest "
                "for pictures that are alike: argmax.",
            ),
            "does not take the mean away": Mistake(
                _matched_not_centred,
                "The means are not taken away, so brightness counts. A translation into the night "
                "would be matched with the darkest truths.",
            ),
            "takes the mean of the columns": Mistake(
                _matched_centres_columns,
                "The mean is taken over the pictures (dim=0). Take away the mean of each picture: "
                "dim=1.",
            ),
            "does not scale": Mistake(
                _matched_not_scaled,
                "The rows are not scaled to length 1: the truth with the largest contrast then "
                "attracts everybody.",
            ),
            "measures plain distance": Mistake(
                _matched_by_distance,
                "Plain distance sees brightness and contrast, which a translation is meant to "
                "change. Centre and scale the rows, and correlate.",
            ),
            "returns the mean correlation": Mistake(
                _matched_mean_correlation,
                "This is how strongly each translation correlates with its own truth. Whether "
                "another truth would suit it better is not asked.",
            ),
        },
    )
)


# 7.5 ------------------------------------------------------------------------------------------


def bootstrap_difference(
    scores_a: Tensor, scores_b: Tensor, draws: int, generator: torch.Generator
) -> tuple[float, float]:
    """A 95 % interval of the mean of scores_a - scores_b, by the bootstrap over pictures.

    In each draw take N pictures at random, *with* replacement, the same ones for a and b, and
    take the mean of their differences. The interval goes from the 2.5 % to the 97.5 % quantile
    of these means.

    Args:
        scores_a, scores_b: (N,), of two translators on the same pictures.
        draws: how often.
        generator: of the random numbers: `torch.randint(N, (draws, N), generator=generator)`.

    Returns:
        (low, high).
    """
    difference = scores_a - scores_b
    places = torch.randint(len(difference), (draws, len(difference)), generator=generator)
    means = difference[places].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low, high


def _bootstrap_cases() -> list[tuple]:
    """Differences near -0.6 or near 1.4, of scores that differ more than that."""
    cases = []
    for count, seed in ((40, 0), (90, 1)):
        scores_b = 22 + 1.3 * _normal(count, seed=seed)
        apart = _two_heaps(0.05 * _normal(count, seed=seed + 5))
        cases.append((scores_b + 0.4 + apart, scores_b, 4000))
    return cases


def _two_heaps(noise: Tensor) -> Tensor:
    """Half of the numbers around -1, half around 1; an even number of them."""
    return torch.tensor([-1.0, 1.0]).double().repeat(len(noise) // 2) + noise


def _drawn_bootstrap_cases(rng: np.random.Generator) -> list[tuple]:
    """Scores in any unit. Means of heaps that are too narrow would come in steps, so they are not.

    The mean difference is several times its error, and never that of the published cases.
    """
    cases = []
    for side in (1, -1):
        count, unit = 2 * int(rng.integers(20, 51)), rng.uniform(1, 4)
        level, mean = rng.uniform(-30, 30), side * rng.uniform(0.8, 1.6)
        scores_b, noise = normal(rng, 2, count).double()
        one = 1.3 * scores_b + mean + _two_heaps(0.3 * noise)
        cases.append((unit * one + level, unit * 1.3 * scores_b + level, 4000))
    return cases


# With 4,000 draws the width is known to about 1 %. The known mistakes fall into different bins.
_WIDTHS = (0.0, 0.05, 0.75, 0.93, 1.07, 1.4, 2.8, 5.5, 100.0)


def _run_bootstrap(answer: Callable, scores_a: Tensor, scores_b: Tensor, draws: int) -> dict | None:
    """Where the interval lies and how wide it is, whatever random numbers were drawn."""
    found = answer(scores_a, scores_b, draws, torch.Generator().manual_seed(0))
    if is_blank(found):
        return found
    low, high = (float(end) for end in found)
    difference = scores_a - scores_b
    error = float(difference.std(correction=0)) / len(difference) ** 0.5
    mean = float(difference.mean())
    off = ((low + high) / 2 - mean) / error
    width = (high - low) / (2 * 1.96 * error)
    place = bisect(_WIDTHS, abs(width))
    return {
        "ends in order": low <= high,
        "middle": f"mean difference {mean:.2f}"
        if abs(off) < 0.3
        else f"too {'high' if off > 0 else 'low'}",
        "width": "right"
        if place == 4
        else "wrong: {} to {} times that".format(*_WIDTHS[place - 1 : place + 1]),
    }


def _quantiles(means: Tensor, tail: float = 0.025) -> tuple[float, float]:
    return tuple(means.quantile(torch.tensor([tail, 1 - tail], dtype=means.dtype)).tolist())


def _bootstrap_without_replacement(scores_a, scores_b, draws, generator):
    difference = scores_a - scores_b
    places = torch.stack(
        [torch.randperm(len(difference), generator=generator) for _ in range(draws)]
    )
    return _quantiles(difference[places].mean(dim=1))


def _bootstrap_of_the_values(scores_a, scores_b, draws, generator):
    return _quantiles(scores_a - scores_b)


def _bootstrap_deviation(scores_a, scores_b, draws, generator):
    difference = scores_a - scores_b
    mean, spread = float(difference.mean()), float(difference.std())
    return mean - 1.96 * spread, mean + 1.96 * spread


def _bootstrap_unpaired(scores_a, scores_b, draws, generator):
    n = len(scores_a)
    one, other = (torch.randint(n, (draws, n), generator=generator) for _ in range(2))
    return _quantiles(scores_a[one].mean(dim=1) - scores_b[other].mean(dim=1))


def _bootstrap_90(scores_a, scores_b, draws, generator):
    difference = scores_a - scores_b
    places = torch.randint(len(difference), (draws, len(difference)), generator=generator)
    return _quantiles(difference[places].mean(dim=1), tail=0.05)


def _bootstrap_b_minus_a(scores_a, scores_b, draws, generator):
    return bootstrap_difference(scores_b, scores_a, draws, generator)


def _bootstrap_high_low(scores_a, scores_b, draws, generator):
    return bootstrap_difference(scores_a, scores_b, draws, generator)[::-1]


def _bootstrap_of_one(scores_a, scores_b, draws, generator):
    n = len(scores_a)
    places = torch.randint(n, (draws, n), generator=generator)
    return _quantiles(scores_a[places].mean(dim=1))


register(
    Exercise(
        number="7.5",
        title="the interval of a difference",
        reference=bootstrap_difference,
        cases=_bootstrap_cases,
        drawn_cases=_drawn_bootstrap_cases,
        run=_run_bootstrap,
        hints=(
            "Subtract first. Then only the differences are drawn, and the pairs stay together.",
            "difference[places] with places of shape (draws, N) has a row for each draw; the mean "
            "of each row is .mean(dim=1).",
            "means.quantile(0.025) and means.quantile(0.975) are the two ends; .item() turns them "
            "into numbers.",
        ),
        mistakes={
            "draws without replacement": Mistake(
                _bootstrap_without_replacement,
                "The interval has no width: N of N pictures without replacement are always the "
                "same pictures. Draw with replacement: torch.randint, not torch.randperm.",
            ),
            "quantiles of the values": Mistake(
                _bootstrap_of_the_values,
                "These are the quantiles of the differences: how far single pictures lie apart. "
                "Asked is how well their *mean* is known. Take the quantiles of the drawn means.",
            ),
            "forgets the root of N": Mistake(
                _bootstrap_deviation,
                "This is the mean plus and minus 1.96 standard deviations: how far single "
                "pictures lie apart. A mean over N of them is known sqrt(N) times better.",
            ),
            "breaks the pairs": Mistake(
                _bootstrap_unpaired,
                "a and b are drawn separately, so easy pictures of one meet hard pictures of the "
                "other, and the interval is far too wide. Draw the same pictures for both.",
            ),
            "takes 90 %": Mistake(
                _bootstrap_90,
                "These are the quantiles 5 % and 95 %, an interval of 90 %. For 95 % cut off "
                "2.5 % at each end.",
            ),
            "takes b minus a": Mistake(
                _bootstrap_b_minus_a,
                "The sign is turned over: this is the interval of b - a.",
            ),
            "swaps the ends": Mistake(
                _bootstrap_high_low,
                "The ends are swapped: return (low, high).",
            ),
            "looks at one translator": Mistake(
                _bootstrap_of_one,
                "This is the interval of scores_a alone: scores_b is never subtracted.",
            ),
        },
    )
)


# 7.6 ------------------------------------------------------------------------------------------


def undominated(distortion: Tensor, distance: Tensor) -> Tensor:
    """Which stages are worth keeping, if both numbers count and lower is better.

    A stage is *dominated* if another one is at least as good in both and better in one. Nobody
    would choose it, whatever the two are worth to them.

    Args:
        distortion, distance: (N,).

    Returns:
        (N,) of bool: True where no other stage dominates.
    """
    other_x, other_y = distortion[:, None], distance[:, None]  # rows: the others
    at_least_as_good = (other_x <= distortion) & (other_y <= distance)
    better_in_one = (other_x < distortion) | (other_y < distance)
    return ~(at_least_as_good & better_in_one).any(dim=0)


def _undominated_cases() -> list[tuple]:
    tiny = torch.tensor([1.0, 2.0, 3.0, 2.5, 1.0]), torch.tensor([5.0, 3.0, 1.0, 4.0, 6.0])
    equal = torch.tensor([2.0, 2.0, 1.0, 3.0]), torch.tensor([2.0, 2.0, 3.0, 2.0])
    noisy = [_normal(30, seed=seed) for seed in (0, 1)]
    return [tiny, equal, (noisy[0], noisy[1] - 0.7 * noisy[0])]


def _drawn_undominated_cases(rng: np.random.Generator) -> list[tuple]:
    """On a coarse grid many are equal in one number. In the second set each stands there twice."""
    n, m, k = _sizes(rng, 6, 30, 3)
    coarse, twice = (torch.from_numpy(rng.integers(0, 6, (2, size))).float() for size in (n, m))
    x, y = normal(rng, 2, k)
    return [tuple(coarse), tuple(twice.repeat(1, 2)), (x, y - float(rng.uniform(0.4, 0.9)) * x)]


def _undominated_marks_the_bad(distortion, distance):
    return ~undominated(distortion, distance)


def _undominated_best_of_each(distortion, distance):
    return (distortion == distortion.min()) | (distance == distance.min())


def _undominated_higher(distortion, distance):
    return undominated(-distortion, -distance)


def _undominated_strict(distortion, distance):
    other_x, other_y = distortion[:, None], distance[:, None]
    return ~((other_x < distortion) & (other_y < distance)).any(dim=0)


def _undominated_itself(distortion, distance):
    others = (distortion[:, None] <= distortion) & (distance[:, None] <= distance)
    return ~(others & ~torch.eye(len(distortion), dtype=torch.bool)).any(dim=0)


def _undominated_sum(distortion, distance):
    total = distortion + distance
    return total == total.min()


def _undominated_neighbours(distortion, distance):
    keep = torch.ones(len(distortion), dtype=torch.bool)
    for i in range(1, len(distortion)):
        keep[i] = not (distortion[i - 1] <= distortion[i] and distance[i - 1] <= distance[i])
    return keep


register(
    Exercise(
        number="7.6",
        title="stages worth keeping",
        reference=undominated,
        cases=_undominated_cases,
        drawn_cases=_drawn_undominated_cases,
        hints=(
            "Compare every stage with every other one: distortion[:, None] <= distortion is a "
            "table (N, N), with the others in rows.",
            "Dominated by another: its two numbers are both <=, and at least one of them is <.",
            "~(at_least_as_good & better_in_one).any(dim=0)",
        ),
        mistakes={
            "marks the dominated": Mistake(
                _undominated_marks_the_bad,
                "This marks the dominated stages. Asked are the others: turn it over with ~.",
            ),
            "best in one number": Mistake(
                _undominated_best_of_each,
                "Only the best stage of each number is marked. A stage in between may be second "
                "in both, and nobody dominates it.",
            ),
            "takes higher for better": Mistake(
                _undominated_higher,
                "This takes higher for better. Distortion and distance are errors: lower is "
                "better.",
            ),
            "asks for better in both": Mistake(
                _undominated_strict,
                "This asks the other stage to be better in *both* numbers. Equal in one and "
                "better in the other is enough to dominate.",
            ),
            "equals dominate each other": Mistake(
                _undominated_itself,
                "Two equal stages remove each other. To dominate, one must be better in at least "
                "one of the numbers.",
            ),
            "adds the two": Mistake(
                _undominated_sum,
                "This adds the two numbers, as if one unit of each were worth the same. The "
                "question is which stages are best for *some* worth.",
            ),
            "looks at the one before": Mistake(
                _undominated_neighbours,
                "Each stage is compared with the one before it alone. Any other stage may "
                "dominate it.",
            ),
        },
    )
)
