"""How far a number would move with other pictures of the same kind: 95 % intervals.

A measure of 60 pictures is an estimate: another 60 pictures give another number. Each function here
gives the value with both ends of an interval that holds, in 95 of 100 such draws, what the measure
is on average. What decides is which pictures are drawn; a training with another seed varies too,
and only other trainings show it.

- `mean_interval`: of a mean over pictures (PSNR, SSIM, L1, reconstruction): the bootstrap.
- `paired_interval`: of the difference of two translators on the same pictures. Most of what varies
  from picture to picture is common to both and cancels, so it is much narrower than the two
  intervals of its sides suggest.
- `share_interval`: of a share of pictures (correspondence), by Wilson's formula.
- `jackknife_interval`: of any statistic of two sets (FID, KID).
- `wasserstein_interval`: of the sliced Wasserstein distance.

Why no bootstrap for the distances of two sets: a resampled set holds some pictures twice and lacks
others, so it lies further from the other set than a fresh set would, and all resampled distances
are too large. The jackknife leaves pictures out and draws none twice. What an interval of a
distance covers is its average over draws of the same numbers of pictures; that average itself
falls with the numbers (not KID's), so compare distances of equal numbers only.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.wasserstein import projected_patches, sliced_wasserstein

LEVEL = 0.95
RESAMPLES = 10_000


class Interval(NamedTuple):
    """A measured value and the ends of its 95 % interval, None where none can be given."""

    value: float
    low: float | None = None
    high: float | None = None


def mean_interval(values: Tensor, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Of the mean of (N,) values, one a picture, N at least 2: the BCa bootstrap (Efron 1987).

    BCa corrects the plain percentile interval for skewness, which PSNR near its ceiling and errors
    near 0 have. Values that are all equal give an interval of no width.
    """
    numbers = _column(values)
    mean = float(numbers.mean())
    if np.ptp(numbers) == 0:
        return Interval(mean, mean, mean)
    found = stats.bootstrap(
        (numbers,),
        np.mean,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def paired_interval(
    values: Tensor, others: Tensor, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Of the mean of `values - others`, both (N,), of two translators on the same N pictures.

    The two differ beyond chance where the interval leaves out 0.
    """
    if values.shape != others.shape:
        raise CourseError(
            f"{tuple(values.shape)} values cannot be paired with {tuple(others.shape)}: measure "
            "both translators on the same pictures."
        )
    return mean_interval(values.double() - others.double(), seed, resamples)


def share_interval(hits: Tensor) -> Interval:
    """Of the share of True among (N,) booleans (Wilson 1927).

    A resampling of 60 hits in 60 pictures would give 1 to 1; Wilson gives 0.94 to 1.
    """
    if hits.ndim != 1 or not len(hits):
        raise CourseError(f"A share needs (N,) yes or no, not the shape {tuple(hits.shape)}.")
    count, total = int(hits.sum()), len(hits)
    found = stats.binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    return Interval(count / total, float(found.low), float(found.high))


def jackknife_interval(
    statistic: Callable[[Tensor, Tensor], float],
    a: Tensor,
    b: Tensor,
    groups: int = 20,
    value: float | None = None,
) -> Interval:
    """Of `statistic(a, b)`, a number of two independent sets (N, ...) and (M, ...).

    The statistic is taken again without each of `groups` groups of pictures of `a`, then of `b`
    (a group is a single picture if there are fewer). How much these numbers vary gives the
    standard error of each set's part (delete-a-group jackknife: Efron and Stein 1981, Shao and Tu
    1995), the two add as variances, and Student's t gives the width. `value`: the statistic of the
    whole sets, if it is known.
    """
    value = statistic(a, b) if value is None else value
    parts = [
        _left_out([statistic(a[keep], b) for keep in _without_each(len(a), groups)]),
        _left_out([statistic(a, b[keep]) for keep in _without_each(len(b), groups)]),
    ]
    return _around(value, parts)


def wasserstein_interval(images: Tensor, reference: Tensor, value: float | None = None) -> Interval:
    """Of `sliced_wasserstein(images, reference)`, sets as there; `value` if it is known already.

    By the central limit theorem of optimal transport (del Barrio and Loubes 2019): the variance of
    the distance is that of the Kantorovich potential over each set, see `picture_potentials`. That
    takes one pass and no resampling. The lower end is at least 0.
    """
    value = sliced_wasserstein(images, reference) if value is None else value
    potentials = picture_potentials(images, reference)
    parts = [(each.var().item() / len(each), len(each) - 1) for each in potentials]
    value, low, high = _around(value, parts)
    return Interval(value, max(0.0, low), high)


def picture_potentials(
    images: Tensor, reference: Tensor, patches: int = 64, projections: int = 32
) -> tuple[Tensor, Tensor]:
    """What each picture adds to the sliced Wasserstein distance of its set: (N,) and (M,).

    The distance is the difference of their means: mean of the first minus mean of the second. By
    default fewer patches and projections are taken than for the distance itself: they settle the
    spread between pictures well enough, and it takes seconds less.
    """
    a, b = torch.zeros(len(images)), torch.zeros(len(reference))
    levels = list(projected_patches(images, reference, patches, projections))
    for _, one, other in levels:
        potential, other_potential = potentials_1d(one, other)
        a += potential.reshape(len(images), -1).mean(dim=1).cpu() / len(levels)
        b += other_potential.reshape(len(reference), -1).mean(dim=1).cpu() / len(levels)
    return a, b


def potentials_1d(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Kantorovich potential at the points of (n, K) and (m, K), column by column: same shapes.

    The potential is the function of slope 1 or -1 whose mean over `a` exceeds that over `b` most
    (Kantorovich and Rubinstein); the excess is the first Wasserstein distance. Its slope is -1
    where a larger share of `a` than of `b` lies below, and 1 where a smaller share does.
    """
    n, m = len(a), len(b)
    # Columns become rows: sums along neighbours in memory are many times faster.
    points, order = torch.cat([a, b]).T.contiguous().sort(dim=1)
    # Whole numbers, so that equal shares are equal: each point of a weighs m, each of b n.
    weights = torch.where(order < n, m, -n)
    slope = -weights.cumsum(dim=1)[:, :-1].sign()
    rise = (slope * points.diff(dim=1)).cumsum(dim=1, dtype=torch.float64).to(a.dtype)
    height = torch.cat([torch.zeros_like(points[:, :1]), rise], dim=1)
    back = torch.empty_like(height).scatter_(1, order, height).T
    return back[:n], back[n:]


def _column(values: Tensor) -> np.ndarray:
    numbers = values.detach().cpu().double().numpy()
    if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
        raise CourseError(
            f"An interval needs one finite number a picture, of at least 2 pictures, not "
            f"the shape {tuple(values.shape)}: measure more pictures."
        )
    return numbers


def _without_each(count: int, groups: int) -> list[Tensor]:
    """For each group, the indices of all others; groups hold every `groups`-th picture."""
    if count < 3:
        raise CourseError(
            f"A set of {count} picture(s) is too small for an interval: take at least 3."
        )
    index = torch.arange(count)
    groups = min(groups, count)
    return [index[index % groups != group] for group in range(groups)]


def _left_out(values: Sequence[float]) -> tuple[float, int]:
    """Jackknife variance and its degrees of freedom."""
    numbers = np.asarray(values)
    groups = len(numbers)
    return float((groups - 1) * numbers.var()), groups - 1


def _around(value: float, parts: Sequence[tuple[float, int]]) -> Interval:
    """The interval of a sum of independent parts with these variances and degrees of freedom."""
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Interval(value, value, value)
    # Welch and Satterthwaite's degrees of freedom.
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5
    return Interval(value, value - half, value + half)
