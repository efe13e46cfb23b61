"""Intervals: do they cover as often as they say, and are the closed forms met?"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from cyclegan_course import metrics
from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.distribution import frechet_by_pictures, kernel_distance
from cyclegan_course.metrics.intervals import (
    Interval,
    jackknife_interval,
    mean_interval,
    paired_interval,
    picture_potentials,
    potentials_1d,
    share_interval,
    wasserstein_interval,
)
from cyclegan_course.metrics.wasserstein import sliced_wasserstein, wasserstein_1d


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covers(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def binomial_margin(level: float, trials: int) -> float:
    """What the observed coverage may be off by chance: three standard deviations."""
    return 3 * math.sqrt(level * (1 - level) / trials)


# --- means over pictures ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda g: torch.randn(60, generator=g), 0.0),
        (lambda g: torch.rand(60, generator=g) ** 2, 1 / 3),
    ],
    ids=["normal", "skewed"],
)
def test_the_interval_of_a_mean_covers_it_in_95_of_100_draws(draw, mean):
    g, trials = generator(1), 300
    hits = sum(covers(mean_interval(draw(g), seed=t, resamples=500), mean) for t in range(trials))
    # 500 resamples and BCa's own error cost up to a point and a half.
    assert abs(hits / trials - 0.945) < binomial_margin(0.95, trials)


def test_the_interval_of_a_mean_is_near_students_for_normal_values():
    values = torch.randn(200, generator=generator()).double()
    low, high = stats.t.interval(0.95, 199, values.mean(), values.std() / 200**0.5)
    found = mean_interval(values)
    assert found.value == pytest.approx(float(values.mean()))
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_the_same_seed_gives_the_same_interval():
    values = torch.rand(30, generator=generator())
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval(torch.full((9,), 2.5)) == (2.5, 2.5, 2.5)


def test_pairing_narrows_the_difference_of_two_translators():
    g = generator(2)
    scene = 3 * torch.randn(60, generator=g)  # some scenes are harder, for both alike
    a = scene + 0.5 + 0.1 * torch.randn(60, generator=g)
    b = scene + 0.1 * torch.randn(60, generator=g)
    paired, one = paired_interval(a, b), mean_interval(a)
    assert covers(paired, 0.5)
    assert paired.low > 0
    assert paired.high - paired.low < 0.2 * (one.high - one.low)
    assert paired == mean_interval(a.double() - b.double())


# --- shares -------------------------------------------------------------------------------------


def test_a_share_has_wilsons_interval():
    hits = torch.tensor([True] * 45 + [False] * 15)
    p, n, z = 0.75, 60, stats.norm.ppf(0.975)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert share_interval(hits) == pytest.approx((p, centre - half, centre + half))
    full = share_interval(torch.ones(60, dtype=torch.bool))
    assert full.value == full.high == 1
    assert full.low == pytest.approx(0.94, abs=0.005)


# --- two sets -----------------------------------------------------------------------------------


def pairs_of_sets(shift: float, trials: int, count: int = 30, width: int = 6, seed: int = 0):
    g = generator(seed)
    for _ in range(trials):
        yield (
            torch.randn(count, width, generator=g),
            shift + torch.randn(count, width, generator=g),
        )


def mean_wasserstein(a: Tensor, b: Tensor) -> float:
    return wasserstein_1d(a, b).mean().item()


@pytest.mark.parametrize("statistic", [kernel_distance, frechet_by_pictures, mean_wasserstein])
def test_the_jackknife_covers_what_a_distance_is_on_average(statistic):
    average = np.mean([statistic(a, b) for a, b in pairs_of_sets(0.7, 600, seed=1)])
    trials = 150
    hits = sum(
        covers(jackknife_interval(statistic, a, b), average) for a, b in pairs_of_sets(0.7, trials)
    )
    assert abs(hits / trials - 0.95) < binomial_margin(0.95, trials)


def test_resampled_sets_lie_further_apart_than_the_sets():
    """Why sets are not resampled: their bootstrap hardly ever covers, the jackknife does."""
    g, trials = generator(5), 20
    average = np.mean([frechet_by_pictures(a, b) for a, b in pairs_of_sets(0.0, 600, seed=1)])
    lows = []
    for a, b in pairs_of_sets(0.0, trials):
        resampled = [
            frechet_by_pictures(*(s[torch.randint(len(s), (len(s),), generator=g)] for s in (a, b)))
            for _ in range(60)
        ]
        lows.append(np.quantile(resampled, 0.025))
        assert np.mean(resampled) > 1.2 * frechet_by_pictures(a, b)
    assert np.mean(np.array(lows) < average) < 0.5


def test_the_jackknife_of_a_difference_of_means_is_exact():
    ((a, b),) = pairs_of_sets(0.5, 1, count=15, width=1)
    found = jackknife_interval(lambda x, y: (x.mean() - y.mean()).item(), a, b)
    welch = stats.ttest_ind(a[:, 0].numpy(), b[:, 0].numpy(), equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-4)


def test_potentials_have_slope_one_and_give_the_wasserstein_distance():
    g = generator(3)
    a, b = torch.randn(50, 4, generator=g), 0.5 + 2 * torch.randn(80, 4, generator=g)
    at_a, at_b = potentials_1d(a, b)
    excess = at_a.mean(dim=0) - at_b.mean(dim=0)
    expected = [stats.wasserstein_distance(a[:, k].numpy(), b[:, k].numpy()) for k in range(4)]
    np.testing.assert_allclose(excess.numpy(), expected, rtol=1e-4)
    points, heights = torch.cat([a, b]), torch.cat([at_a, at_b])
    order = points.argsort(dim=0)
    rise = heights.gather(0, order).diff(dim=0).abs()
    run = points.gather(0, order).diff(dim=0)
    assert (rise <= run + 1e-5).all()


def test_picture_potentials_add_up_to_the_distance():
    g = generator(4)
    images = torch.rand(6, 3, 40, 40, generator=g) * 2 - 1
    reference = (torch.rand(6, 3, 40, 40, generator=g) * 2 - 1) * 0.5
    options = {"patches": 20, "projections": 16}
    a, b = picture_potentials(images, reference, **options)
    assert (len(a), len(b)) == (6, 6)
    distance = sliced_wasserstein(images, reference, **options)
    assert (a.mean() - b.mean()).item() == pytest.approx(distance, rel=1e-4)


def test_the_interval_of_the_wasserstein_distance_covers_its_average():
    """Patches stand for themselves here: small pictures, each with its own brightness."""

    def draw(g: torch.Generator, level: float) -> Tensor:
        brightness = level + 0.15 * torch.randn(12, 3, 1, 1, generator=g)
        return (brightness + 0.2 * torch.randn(12, 3, 16, 16, generator=g)).clamp(-1, 1)

    g, trials = generator(6), 80
    sets = [(draw(g, 0.2), draw(g, -0.2)) for _ in range(trials)]
    values = [sliced_wasserstein(a, b, patches=16, projections=16) for a, b in sets]
    average = np.mean(values)
    found = [wasserstein_interval(a, b, v) for (a, b), v in zip(sets, values, strict=True)]
    hits = sum(covers(interval, average) for interval in found)
    assert abs(hits / trials - 0.95) < binomial_margin(0.95, trials)


def test_the_lower_end_of_a_distance_is_not_negative():
    pictures = torch.rand(8, 3, 16, 16, generator=generator()) * 2 - 1
    found = wasserstein_interval(pictures, pictures.flip(0))
    assert found.value == 0
    assert found.low == 0


# --- wrong input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_interval(torch.ones(1)), "at least 2"),
        (lambda: mean_interval(torch.ones(3, 3)), "one finite number a picture"),
        (lambda: mean_interval(torch.tensor([1.0, math.inf])), "finite"),
        (lambda: paired_interval(torch.ones(3), torch.ones(4)), "same pictures"),
        (lambda: share_interval(torch.ones(0, dtype=torch.bool)), "yes or no"),
        (
            lambda: jackknife_interval(kernel_distance, torch.ones(2, 3), torch.ones(9, 3)),
            "too small for an interval",
        ),
    ],
)
def test_what_has_no_interval_is_named(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_metrics_module_is_the_source_of_the_values():
    """The interval's value is the measure itself, not another estimate of it."""
    g = generator(7)
    a, b = (torch.rand(5, 3, 24, 24, generator=g) * 2 - 1 for _ in range(2))
    assert wasserstein_interval(a, b).value == metrics.sliced_wasserstein(a, b)
