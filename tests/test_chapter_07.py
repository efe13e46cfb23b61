"""Chapter 7: its measures against closed forms and other libraries, its claims, its figures."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import scipy.linalg
import torch
from matplotlib.figure import Figure
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from cyclegan_course import metrics, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_07 import (
    bootstrap_difference,
    frechet_gaussians,
    matched_share,
    psnr,
    squared_mmd,
    undominated,
)
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.metrics.distribution import frechet_distance, kernel_distance
from cyclegan_course.painter import paint
from cyclegan_course.plots.measuring import (
    against_count,
    along_ladder,
    paired_scores,
    rank_table,
    ranks,
    seeds_and_pictures,
    two_normals,
)
from cyclegan_course.plots.stages import perception_distortion, stage_figure


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The chapter's measures --------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "data_range"), [(1.0, 2.0), (127.5, 255.0)])
def test_psnr_is_that_of_scikit_image_and_of_the_package(scale, data_range):
    truth = normal(3, 3, 8, 8, seed=0).clamp(-1, 1)
    fake = (truth + 0.1 * normal(3, 3, 8, 8, seed=1)).clamp(-1, 1)
    own = psnr(scale * fake, scale * truth, data_range)
    for value, one, other in zip(own, fake, truth, strict=True):
        wanted = peak_signal_noise_ratio(other.numpy(), one.numpy(), data_range=2.0)
        assert value.item() == pytest.approx(wanted)
    torch.testing.assert_close(own.float(), metrics.psnr(fake, truth, reduction="none"))


def test_a_decibel_is_eleven_percent_of_the_error_and_half_of_it_are_six():
    truth, error = torch.zeros(1, 3, 8, 8).double(), 0.1 * normal(1, 3, 8, 8, seed=0)
    gains = [
        psnr(truth + share * error, truth, 2.0) - psnr(error, truth, 2.0) for share in (0.89, 0.5)
    ]
    assert torch.cat(gains).tolist() == pytest.approx([1, 6], abs=0.03)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_frechet_distance_is_that_with_the_root_of_scipy(d):
    root = [normal(d, d + 2, seed=seed) for seed in (1, 2)]
    cov_a, cov_b = (part @ part.T for part in root)
    mean_a, mean_b = normal(d, seed=3), normal(d, seed=4)
    product = scipy.linalg.sqrtm((cov_a @ cov_b).numpy()).real
    wanted = (mean_a - mean_b).square().sum() + torch.trace(cov_a + cov_b) - 2 * np.trace(product)
    found = frechet_gaussians(mean_a, cov_a, mean_b, cov_b)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)


def test_frechet_distance_of_one_feature_is_the_formula_of_the_chapter():
    one = torch.tensor([1.5]).double(), torch.tensor([[0.25]]).double()
    other = torch.tensor([0.0]).double(), torch.tensor([[1.0]]).double()
    assert frechet_gaussians(*one, *other).item() == pytest.approx(1.5**2 + (0.5 - 1) ** 2)
    assert frechet_gaussians(*one, *one).item() == pytest.approx(0, abs=1e-12)


def test_frechet_distance_of_few_pictures_stays_a_number():
    """A covariance of 4 vectors with 9 features has no full rank."""
    sets = [normal(4, 9, seed=seed) for seed in (0, 1)]
    moments = [(rows.mean(dim=0), torch.cov(rows.T)) for rows in sets]
    found = frechet_gaussians(*moments[0], *moments[1])
    assert found.isfinite()
    assert found.item() == pytest.approx(frechet_distance(*sets), rel=1e-4)


def test_other_right_roots_are_accepted():
    def with_scipy(mean_a, cov_a, mean_b, cov_b):
        root = torch.from_numpy(scipy.linalg.sqrtm((cov_a @ cov_b).numpy()).real)
        gap = mean_a - mean_b
        return gap @ gap + torch.trace(cov_a + cov_b - 2 * root)

    def symmetric(mean_a, cov_a, mean_b, cov_b):
        values, vectors = torch.linalg.eigh(cov_a)
        root_a = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
        middle = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp_min(0).sqrt().sum()
        return (mean_a - mean_b).pow(2).sum() + cov_a.trace() + cov_b.trace() - 2 * middle

    for answer in (with_scipy, symmetric):
        assert assess(REGISTRY["7.2"], answer).status == "passed"


def test_squared_mmd_is_the_double_loop_and_the_packages():
    x, y = normal(5, 3, seed=0), normal(4, 3, seed=1) + 0.2

    def kernel(u: Tensor, v: Tensor) -> float:
        return (sum(float(a) * float(b) for a, b in zip(u, v, strict=True)) / 3 + 1) ** 3

    within = [
        sum(kernel(u, v) for i, u in enumerate(z) for j, v in enumerate(z) if i != j)
        / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    across = sum(kernel(u, v) for u in x for v in y) / 20
    assert squared_mmd(x, y).item() == pytest.approx(sum(within) - 2 * across)
    assert kernel_distance(x, y) == pytest.approx(sum(within) - 2 * across)


def test_fid_of_few_is_too_high_and_kid_is_not():
    """Both sets are standard normal, so both true distances are 0. 200 draws of 8 vectors."""
    draws = [(normal(8, 3, seed=2 * i), normal(8, 3, seed=2 * i + 1)) for i in range(200)]
    kid = torch.stack([squared_mmd(*pair) for pair in draws])
    assert abs(kid.mean()) < 4 * kid.std() / 200**0.5
    assert (kid < 0).any()
    moments = [[(rows.mean(dim=0), torch.cov(rows.T)) for rows in pair] for pair in draws]
    fid = torch.stack([frechet_gaussians(*a, *b) for a, b in moments])
    # The means alone give 3 features x (1/8 + 1/8) on average.
    assert fid.mean() > 0.75


def test_correspondence_is_blind_to_brightness_and_contrast_and_sees_the_scene():
    truth = normal(20, 30, seed=0)
    assert matched_share(3 * truth + 5, truth) == 1
    assert matched_share(-truth, truth) == 0
    assert matched_share(truth.roll(1, dims=0), truth) == 0
    guessing = [matched_share(normal(20, 30, seed=s), truth) for s in range(1, 201)]
    assert np.mean(guessing) == pytest.approx(1 / 20, abs=4 * (0.05 * 0.95 / 4000) ** 0.5)


def test_bootstrap_covers_and_is_as_wide_as_the_normal_interval():
    generator, covered, widths = torch.Generator().manual_seed(0), 0, []
    for seed in range(300):
        common = 3 * normal(40, seed=seed)
        low, high = bootstrap_difference(
            common + 0.5 + normal(40, seed=1000 + seed), common, 400, generator
        )
        covered += low <= 0.5 <= high
        widths.append(high - low)
    # Of 40 values the percentile interval covers about 94 %; four binomial deviations of 300.
    assert 0.88 < covered / 300 < 0.99
    assert np.mean(widths) == pytest.approx(2 * NormalDist().inv_cdf(0.975) / 40**0.5, rel=0.06)


def test_other_right_bootstraps_are_accepted():
    def with_numpy(scores_a, scores_b, draws, generator):
        numbers = np.random.default_rng(0)
        difference = (scores_a - scores_b).numpy()
        means = [numbers.choice(difference, len(difference)).mean() for _ in range(draws)]
        return tuple(np.percentile(means, [2.5, 97.5]))

    def pairs_drawn_together(scores_a, scores_b, draws, generator):
        n = len(scores_a)
        places = torch.randint(n, (draws, n), generator=generator)
        means = scores_a[places].mean(dim=1) - scores_b[places].mean(dim=1)
        return float(means.quantile(0.025)), float(means.quantile(0.975))

    for answer in (with_numpy, pairs_drawn_together):
        assert assess(REGISTRY["7.5"], answer).status == "passed"


def test_undominated_is_what_some_weights_or_a_loop_would_choose():
    x, y = normal(40, seed=0), normal(40, seed=1)
    kept = undominated(x, y)
    for i in range(40):
        better = [x[j] <= x[i] and y[j] <= y[i] and (x[j] < x[i] or y[j] < y[i]) for j in range(40)]
        assert bool(kept[i]) != any(better)
    for weight in (0.01, 0.3, 0.7, 0.99):
        assert kept[(weight * x + (1 - weight) * y).argmin()]
    assert 1 < kept.sum() < 40


# What the chapter claims -------------------------------------------------------------------------


def test_a_second_painting_pays_three_decibels_for_looking_like_one():
    """E |b' - b|^2 = 2 V, and (1 + 1/k) V for the mean of k; here with the course's painter."""
    photos, paintings = worlds.open_sealed_pairs("painting", 6, 48)
    truth = torch.stack([picture_to_tensor(picture) for picture in paintings])
    again = torch.stack(
        [
            torch.stack([picture_to_tensor(paint(photo, seed=77 + 100 * k + i)) for k in range(4)])
            for i, photo in enumerate(photos)
        ]
    )
    errors = {k: float((again[:, :k].mean(dim=1) - truth).square().mean()) for k in (1, 2, 4)}
    for k in (2, 4):
        gain = 10 * math.log10(errors[1] / errors[k])
        assert gain == pytest.approx(10 * math.log10(2 / (1 + 1 / k)), abs=0.2)
    source = torch.stack([picture_to_tensor(picture) for picture in photos])
    assert abs(metrics.psnr(again[:, 0], truth) - metrics.psnr(source, truth)) < 1


# The figures -------------------------------------------------------------------------------------


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_two_normals_shows_both_parts_and_their_sum():
    figure = two_normals(1.5, 0.5)
    assert [bar.get_width() for bar in figure.axes[1].patches] == [2.25, 0.25]
    assert "2.50" in figure.axes[1].get_title()
    for line in figure.axes[0].lines:  # densities
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)


def test_against_count_draws_the_mean_of_the_repetitions():
    table = np.array([[1.0, 3.0], [0.0, 1.0]])
    axis = against_count([4, 8], {"FID": table, "KID": table}).axes[1]
    assert list(axis.lines[0].get_ydata()) == [2.0, 0.5]
    assert axis.get_title() == "KID"


def test_along_ladder_marks_what_breaks_the_order_and_no_rounding():
    axis = along_ladder({"one": [0, 2, 1, 3], "two": [5, 5, 5 - 1e-9, 5]}, list("abcd")).axes
    assert [len(line.get_xdata()) for line in axis[0].lines] == [4, 3, 1]
    assert list(axis[0].lines[2].get_xdata()) == [2]
    assert len(axis[1].lines[2].get_xdata()) == 0
    with pytest.raises(CourseError, match="one value for each rung"):
        along_ladder({"one": [1, 2]}, list("abc"))


def test_ranks_share_the_better_place():
    assert ranks(np.array([3.0, 1.0, 1.0, 2.0])).tolist() == [4, 1, 1, 3]


def test_rank_table_colours_by_rank_in_the_direction_of_each_measure():
    values = {
        "a": {"up": 2.0, "down": 0.1234},
        "b": {"up": 1.0, "down": None},
        "c": {"up": math.inf, "down": -0.5},
    }
    figure = rank_table(values, {"up": True, "down": False}, decimals={"down": 3})
    shown = figure.axes[0].collections[0].get_array()
    assert shown[:, 0].tolist() == [2, 3, 1]
    assert shown[0, 1] == 2
    assert shown[2, 1] == 1
    assert np.ma.getmaskarray(shown)[1, 1]
    assert texts(figure) == ["2.00", "0.123", "1.00", "–", "∞", "−0.500"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["up\n↑", "down\n↓"]


def test_paired_scores_show_both_intervals_and_the_gain():
    figure = paired_scores(
        {"one": [20.0, 22.0], "two": [20.5, 22.5]},
        {"one": (20.2, 21.8), "two": (20.7, 22.3)},
        (0.4, 0.6),
        "PSNR (dB)",
    )
    assert texts(figure) == ["21.00", "21.50", "+0.50"]
    intervals = [
        tuple(line.get_ydata())
        for axis in figure.axes
        for line in axis.lines
        if line.get_linewidth() == 4
    ]
    assert intervals == [(20.2, 21.8), (20.7, 22.3), (0.4, 0.6)]


def test_seeds_have_a_row_for_each_recipe_and_one_for_the_pictures():
    axis = seeds_and_pictures({"a": [1.0, 2.0], "b": [3.0]}, (1.4, 1.6), "dB").axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()][:2] == ["a", "b"]
    assert list(axis.lines[0].get_xdata()) == [1.0, 2.0]
    assert list(axis.lines[1].get_xdata()) == [1.5, 1.5]
    assert list(axis.lines[-1].get_xdata()) == [1.4, 1.6]


def test_plane_has_psnr_growing_to_the_left_and_all_labels():
    picture = torch.zeros(3, 8, 8)
    figure = perception_distortion(
        {"run": [(20, 0.3), (21, 0.2)], "means": [(22, 0.1)]},
        {"run": ["50", "150"], "means": ["k = 1"]},
        {"photograph": (20.5, 0.25)},
        {"step 50": picture, "truth": picture},
    )
    plane = figure.axes[-1]
    assert plane.xaxis_inverted()
    assert plane.get_ylim()[0] == 0
    assert {"50", "150", "k = 1", "photograph"} <= set(texts(figure))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["step 50", "truth"]
    with pytest.raises(CourseError, match="one label for each"):
        perception_distortion({"run": [(20, 0.3)]}, {"run": []})


def test_stage_figure_marks_the_stage_on_every_curve():
    figure = stage_figure(
        {"input": torch.zeros(3, 8, 8)},
        [50, 1500],
        {"PSNR (dB)": [20.0, 21.0], "distance": [0.3, 0.1]},
        1500,
    )
    assert [axis.lines[1].get_ydata().item() for axis in figure.axes[1:]] == [21.0, 0.1]
    assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ["50", "1.5k"]
