"""Chapter 10: its functions against closed forms, the worlds and the ordinary tools."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import median_filter
from torch import Tensor

from cyclegan_course import worlds
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_10 import (
    change_made,
    fitted_curves,
    make_consistent,
    scratch_mask,
    split_error,
)
from cyclegan_course.images import picture_to_tensor, pictures_to_tensor
from cyclegan_course.ordinary import apply_curves, tone_curves
from cyclegan_course.painter import paint


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def enlarged(pictures: Tensor, k: int) -> Tensor:
    return F.interpolate(pictures, scale_factor=k, mode="nearest")


def mean_square(pictures: Tensor) -> Tensor:
    return pictures.square().mean(dim=(1, 2, 3))


# 10.1: a tone curve without pairs ----------------------------------------------------------------


def test_fitted_curves_find_the_curve_that_made_the_set():
    """What a rising curve does to a set, its quantiles undo, whatever the order of the pixels."""
    day = random(3, 3, 40, 40, seed=0)
    shuffled = torch.randperm(3 * 1600, generator=torch.Generator().manual_seed(1))
    night = (0.5 * (day + 1) ** 2 - 1).movedim(1, 0).reshape(3, -1)[:, shuffled]
    night = night.reshape(3, 3, 40, 40).movedim(0, 1)
    levels = np.linspace(-1, 1, 256)
    for curve in fitted_curves(day, night, 65):
        assert np.abs(curve - (0.5 * (levels + 1) ** 2 - 1)).max() < 0.01


def test_two_knots_make_the_straight_line_between_the_ends():
    day, night = random(2, 3, 8, 8, seed=0), 0.3 * random(4, 3, 5, 7, seed=1) - 0.5
    levels = np.linspace(-1, 1, 256)
    for c, curve in enumerate(fitted_curves(day, night, 2)):
        (a, b), (p, q) = ((float(s[:, c].min()), float(s[:, c].max())) for s in (day, night))
        inside = (levels >= a) & (levels <= b)
        assert curve[inside] == pytest.approx(p + (levels[inside] - a) / (b - a) * (q - p))


def test_fitted_curves_rise_and_are_nearly_those_of_the_ordinary_tool():
    day, night = (
        pictures_to_tensor(worlds.training_pictures("night", domain, 6, 48)[:]) for domain in "AB"
    )
    own, tool = fitted_curves(day, night, 129), tone_curves(day, night)
    assert (np.diff(own, axis=1) >= 0).all()
    sent = [apply_curves(day, curves) for curves in (own, tool)]
    assert (sent[0] - sent[1]).abs().mean() < 0.02
    assert (sent[0] - day).abs().mean() > 0.5


def test_the_order_of_the_pictures_says_nothing():
    day, night = random(4, 3, 6, 6, seed=0), random(5, 3, 6, 6, seed=1)
    np.testing.assert_allclose(
        fitted_curves(day, night, 9), fitted_curves(day.flip(0), night.flip(0, -1), 9)
    )


def test_no_curve_beats_the_mean_of_the_truth_at_each_level():
    """The bound that the chapter draws for all curves: E[truth | level] has the least error."""
    pairs = worlds.open_sealed_pairs("night", 4, 48)
    day, night = (pictures_to_tensor(side) for side in pairs)
    heap = [
        pictures_to_tensor(worlds.training_pictures("night", domain, 6, 48)[:]) for domain in "AB"
    ]
    bound = 0.0
    for c in range(3):
        level, value = pairs[0][..., c].ravel(), night[:, c].numpy().ravel()
        sums = np.bincount(level, value, 256) / np.bincount(level, minlength=256).clip(1)
        bound += np.square(sums[level] - value).mean() / 3
    for curves in (fitted_curves(*heap, 17), fitted_curves(day, night, 17), tone_curves(*heap)):
        assert (apply_curves(day, curves) - night).square().mean() > bound


# 10.2: content and strokes -----------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 4])
def test_the_two_parts_are_those_of_two_pictures(block):
    """Pythagoras: block means, and what is left of the picture without them."""
    fake, truth = random(2, 3, 3, 8, 12, seed=0)
    coarse, fine = split_error(fake, truth, block)
    error = fake - truth
    means = enlarged(F.avg_pool2d(error, block), block)
    torch.testing.assert_close(coarse, mean_square(means))
    torch.testing.assert_close(fine, mean_square(error - means), atol=1e-6, rtol=1e-5)


def test_a_wrong_colour_is_coarse_and_a_checkerboard_is_fine():
    truth, places = random(1, 3, 8, 8, seed=0), torch.arange(8)
    board = 0.3 * (1.0 - 2.0 * ((places[:, None] + places) % 2))
    for error, wanted in ((torch.tensor(0.2), (0.04, 0.0)), (board, (0.0, 0.09))):
        found = [float(part) for part in split_error(truth + error, truth, 4)]
        assert found == pytest.approx(wanted, abs=1e-6)


def test_strokes_elsewhere_cost_twice_what_no_strokes_cost():
    """Independent strokes of variance v: 2 v (1 - 1 / k^2), and half of it for none at all."""
    strokes = random(2, 64, 1, 32, 32, seed=0)
    twice, once = (
        split_error(fake, strokes[1], 4)[1].mean() for fake in (strokes[0], 0 * strokes[0])
    )
    assert twice == pytest.approx(2 / 3 * (1 - 1 / 16), rel=0.02)
    assert twice / once == pytest.approx(2, rel=0.02)


def test_a_second_painting_has_the_content_right_and_the_strokes_elsewhere():
    photos, paintings = worlds.open_sealed_pairs("painting", 3, 48)
    photo, truth = pictures_to_tensor(photos), pictures_to_tensor(paintings)
    again = torch.stack(
        [picture_to_tensor(paint(each, seed=99 + i)) for i, each in enumerate(photos)]
    )
    (coarse, fine), (coarse_photo, fine_photo) = (
        split_error(pictures, truth, 8) for pictures in (again, photo)
    )
    assert (coarse < 0.6 * coarse_photo).all()
    assert fine.mean() > fine_photo.mean()


# 10.3: where the scratches are -------------------------------------------------------------------


@pytest.mark.parametrize("side", [3, 5])
def test_scratch_mask_is_that_with_the_median_of_scipy(side):
    pictures = random(2, 3, 11, 14, seed=0)
    grey = pictures.mean(dim=1).numpy()
    medians = np.stack([median_filter(one, size=side, mode="nearest") for one in grey])
    wanted = torch.from_numpy(np.abs(grey - medians) > 0.3)[:, None]
    assert scratch_mask(pictures, side, 0.3).equal(wanted)
    assert 0 < wanted.float().mean() < 1


def test_a_line_on_a_slope_is_found_whole_and_an_edge_and_a_slope_are_not():
    slope = torch.linspace(-0.5, 0.5, 24).expand(1, 3, 24, 24)
    edge = torch.where(torch.arange(24) > 11, 0.8, -0.8).expand(1, 3, 24, 24)
    for ground in (slope, edge):
        assert not scratch_mask(ground, 5, 0.3).any()
    for height in (0.6, -0.6):
        line = slope.clone()
        line[..., 5] += height
        mask = scratch_mask(line, 5, 0.3)
        assert mask[..., 5].all()
        assert mask.sum() == 24


def test_in_the_world_of_damage_the_mask_holds_few_pixels_and_much_of_the_error():
    damaged, clean = (
        pictures_to_tensor(side) for side in worlds.open_sealed_pairs("restoration", 4, 96)
    )
    mask = scratch_mask(damaged, 5, 0.4)
    error = (damaged - clean).square().mean(dim=1, keepdim=True)
    area, share = mask.float().mean(), error[mask].sum() / error.sum()
    assert 0.005 < area < 0.08
    assert share > 5 * area
    # On the clean pictures it finds far less: texture is weaker than damage.
    assert scratch_mask(clean, 5, 0.4).float().mean() < 0.7 * area


def test_an_answer_with_scipy_is_accepted():
    def with_scipy(pictures, side, threshold):
        grey = pictures.mean(dim=1, keepdim=True)
        medians = median_filter(grey.numpy(), size=(1, 1, side, side), mode="nearest")
        return (grey - torch.from_numpy(medians)).abs() > threshold

    assert assess(REGISTRY["10.3"], with_scipy).status == "passed"


# 10.4: consistent with the small picture ---------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4])
def test_consistent_pictures_give_the_small_one_and_stay_as_they_are(k):
    fake, small = random(2, 3, 4 * k, 6 * k, seed=0), random(2, 3, 4, 6, seed=1)
    made = make_consistent(fake, small)
    torch.testing.assert_close(F.avg_pool2d(made, k), small, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(make_consistent(made, small), made, atol=1e-6, rtol=1e-5)


def test_it_is_the_projection_and_never_moves_away_from_the_truth():
    """|fake - truth|^2 = |made - truth|^2 + |fake - made|^2, so every picture gains or stays."""
    truth = random(4, 3, 8, 12, seed=0)
    small = F.avg_pool2d(truth, 4)
    for seed, strength in ((1, 0.05), (2, 1.0)):
        fake = truth + strength * random(4, 3, 8, 12, seed=seed)
        made = make_consistent(fake, small)
        torch.testing.assert_close(
            mean_square(fake - truth), mean_square(made - truth) + mean_square(fake - made)
        )
        # No other picture that is consistent is nearer to `fake`.
        other = make_consistent(random(4, 3, 8, 12, seed=9), small)
        assert (mean_square(fake - made) < mean_square(fake - other)).all()
        # Clamping is a projection too: the truth lies in [-1, 1].
        clamped = made.clamp(-1, 1)
        assert (mean_square(clamped - truth) <= mean_square(made - truth) + 1e-7).all()


def test_what_it_gains_is_the_coarse_part_of_the_error():
    truth, fake = random(2, 3, 3, 8, 8, seed=4)
    coarse, fine = split_error(fake, truth, 4)
    made = make_consistent(fake, F.avg_pool2d(truth, 4))
    torch.testing.assert_close(mean_square(made - truth), fine, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(mean_square(made - fake), coarse, atol=1e-6, rtol=1e-5)


def test_the_bicubic_input_of_the_world_gains_in_every_scene():
    large, sharp = (pictures_to_tensor(s) for s in worlds.open_sealed_pairs("superres", 6, 64))
    small = ((F.avg_pool2d(sharp, 4) + 1) * 127.5).round() / 127.5 - 1  # the camera rounds
    made = make_consistent(large, small).clamp(-1, 1)
    assert (mean_square(made - sharp) < mean_square(large - sharp)).all()


# 10.5: asked for, and not asked for --------------------------------------------------------------


def edited_scene(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    source = random(3, 3, 8, 8, seed=seed)
    truth = source.clone()
    truth[:2, :, 1:4, 1:4] = random(2, 3, 3, 3, seed=seed + 1)
    region = (truth != source).any(dim=1, keepdim=True)
    return source, truth, region


@pytest.mark.parametrize("t", [-0.5, 0.0, 0.3, 1.0, 2.0])
def test_part_of_the_way_is_that_part_and_spills_nothing(t):
    source, truth, region = edited_scene(0)
    made, spilled = change_made(source + t * (truth - source), source, truth, region)
    assert float(made) == pytest.approx(t, abs=1e-6)
    assert float(spilled) == 0


def test_what_spills_is_counted_where_nothing_was_asked_alone():
    source, truth, region = edited_scene(3)
    fake = torch.where(region, truth, source + 0.25)
    made, spilled = change_made(fake, source, truth, region)
    assert float(made) == pytest.approx(1)
    assert float(spilled) == pytest.approx(0.25)
    # Another region asks another question, and what spills stays what it is.
    part = region.clone()
    part[..., 2:, :] = False
    assert float(change_made(fake, source, truth, part)[1]) == pytest.approx(0.25)


def test_noise_is_no_change_that_was_asked_for():
    source, truth, region = (x.repeat(1, 1, 8, 8) for x in edited_scene(5))
    fake = source + random(*source.shape, seed=8)
    made, spilled = change_made(fake, source, truth, region)
    assert abs(float(made)) < 0.1
    assert float(spilled) == pytest.approx(3**-0.5, rel=0.02)  # uniform in [-1, 1]


def test_the_share_is_the_slope_of_least_squares():
    source, truth, region = edited_scene(7)
    fake = source + 0.6 * (truth - source) + 0.3 * random(3, 3, 8, 8, seed=9)
    mask = region.expand_as(source)
    asked, done = ((x - source)[mask][:, None] for x in (truth, fake))
    slope = torch.linalg.lstsq(asked, done).solution
    assert float(change_made(fake, source, truth, region)[0]) == pytest.approx(slope.item())


def test_the_world_asks_at_few_pixels():
    source, truth = (pictures_to_tensor(s) for s in worlds.open_sealed_pairs("editing", 4, 64))
    stays = (source == truth).all(dim=1, keepdim=True)
    assert 0.6 < stays.float().mean() < 0.98
    made, spilled = change_made(truth, source, truth, ~stays)
    assert (float(made), float(spilled)) == (1, 0)


# The exercises -----------------------------------------------------------------------------------


def test_other_right_answers_are_accepted():
    def from_two_pictures(fake, truth, block):
        error = fake - truth
        means = enlarged(F.avg_pool2d(error, block), block)
        return mean_square(means), mean_square(error - means)

    def with_torch(source, reference, knots):
        shares, levels = torch.linspace(0, 1, knots), np.linspace(-1, 1, 256)
        old, new = (
            torch.quantile(side.movedim(1, 0).flatten(1), shares, dim=1)
            for side in (source, reference)
        )
        return np.stack([np.interp(levels, old[:, c], new[:, c]) for c in range(3)])

    def with_interpolate(fake, small):
        k = fake.shape[-1] // small.shape[-1]
        reduced = F.interpolate(fake, scale_factor=1 / k, mode="area")
        return fake + enlarged(small - reduced, k)

    def with_masks(fake, source, truth, region):
        where = region.expand_as(fake)
        asked, made = (truth - source)[where], (fake - source)[where]
        stays = ((truth - source).abs().amax(dim=1, keepdim=True) == 0).float()
        spilled = (((fake - source) ** 2 * stays).sum() / (3 * stays.sum())) ** 0.5
        return float(asked @ made / (asked @ asked)), float(spilled)

    answers = {
        "10.1": with_torch,
        "10.2": from_two_pictures,
        "10.4": with_interpolate,
        "10.5": with_masks,
    }
    for number, answer in answers.items():
        outcome = assess(REGISTRY[number], answer)
        assert outcome.status == "passed", f"{number}: {outcome.message}"


def test_the_chapter_has_one_exercise_for_each_application():
    numbers = [number for number in REGISTRY if number.startswith("10.")]
    assert len(numbers) == len(worlds.APPLICATIONS)
    for number in numbers:
        assert assess(REGISTRY[number], REGISTRY[number].reference).status == "passed"
        assert 4 <= len(REGISTRY[number].mistakes) <= 8
