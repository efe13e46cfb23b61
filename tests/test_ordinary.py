"""The ordinary tools: closed forms, second implementations, and the record of their settings."""

import csv
import inspect
import json

import numpy as np
import pytest
import torch
from skimage.exposure import match_histograms
from torch import Tensor

from cyclegan_course import ordinary, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.laboratory.results import FOLDER
from cyclegan_course.ordinary import TOOLS


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Uniform noise in [-1, 1] on the 256 levels of a picture."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator) / 127.5 - 1


def flat(*colour: float, size: int = 24) -> Tensor:
    """One picture of one colour, given in [0, 1], rounded to the 256 levels."""
    levels = (torch.tensor(colour) * 255).round().reshape(1, 3, 1, 1)
    return (levels / 127.5 - 1).expand(1, 3, size, size).clone()


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_every_tool_keeps_shape_and_range_and_its_input(name):
    images, source, reference = noise(2, 3, 32, 24), noise(2, 3, 32, 32), noise(3, 3, 16, 16)
    before = images.clone()
    for tool in TOOLS[name]:
        made = tool(images, source, reference)
        assert made.shape == images.shape
        assert made.dtype == torch.float32
        assert made.abs().max() <= 1 + 1e-6
        assert torch.equal(images, before)


def test_every_application_has_a_tool_of_its_own():
    assert tuple(TOOLS) == worlds.APPLICATIONS
    for tools in TOOLS.values():
        assert len({tool.name for tool in tools}) == len(tools) >= 1


# --- tone curves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.2])
def test_a_gamma_is_found_from_sets_that_are_no_pairs(gamma):
    one = noise(20, 3, 48, 48, seed=1)
    other = 2 * ((noise(20, 3, 48, 48, seed=2) + 1) / 2) ** gamma - 1
    curves = ordinary.tone_curves(one, other)
    wanted = 2 * np.linspace(0, 1, 256) ** gamma - 1
    assert curves.shape == (3, 256)
    assert np.abs(curves - wanted)[:, 16:].max() < 0.03  # a root is steep at black


def test_curves_never_fall_and_equal_sets_need_none():
    images = noise(4, 3, 32, 32)
    curves = ordinary.tone_curves(images, noise(4, 3, 32, 32, seed=1).abs())
    assert (np.diff(curves) >= 0).all()
    same = ordinary.tone_curve(images, images, images)
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0)


def test_pooled_pixels_are_moved_as_scikit_image_moves_one_picture():
    source, reference = noise(1, 3, 40, 40), noise(1, 3, 40, 40, seed=3).pow(3)
    made = ordinary.tone_curve(source, source, reference)[0]
    levels = [((x[0] + 1) * 127.5).round().permute(1, 2, 0).numpy() for x in (source, reference)]
    wanted = match_histograms(*levels, channel_axis=2) / 127.5 - 1
    assert np.abs(made.permute(1, 2, 0).numpy() - wanted).max() < 1e-4


def test_one_curve_for_all_keeps_a_dark_picture_darker():
    source = torch.cat([flat(0.2, 0.2, 0.2), flat(0.8, 0.8, 0.8)])
    reference = torch.cat([flat(0.4, 0.4, 0.4), flat(0.6, 0.6, 0.6)])
    made = ordinary.tone_curve(source, source, reference)
    torch.testing.assert_close(made, reference, atol=0.01, rtol=0)


def test_no_curve_beats_the_one_fitted_to_the_pairs():
    source, other = noise(2, 3, 40, 40), noise(2, 3, 40, 40, seed=1)
    truth = 0.5 * source.pow(3) + 0.2 * other
    best = ordinary.apply_curves(source, ordinary.best_curves(source, truth))
    error = (best - truth).square().mean()
    for made in (
        source,
        0.5 * source.pow(3),  # the curve of the mean, but not of these very pixels
        ordinary.tone_curve(source, source, truth),
    ):
        assert error < (made - truth).square().mean()
    pure = ordinary.apply_curves(source, ordinary.best_curves(source, source.pow(3)))
    torch.testing.assert_close(pure, source.pow(3), atol=0.005, rtol=0)


# --- filters --------------------------------------------------------------------------------------


def test_a_median_takes_away_a_scratch_and_keeps_an_edge():
    clean = flat(0.3, 0.5, 0.7)
    clean[..., 12:] = flat(0.9, 0.9, 0.9)[..., 12:]
    scratched = clean.clone()
    scratched[..., 4] = 1.0  # one pixel wide
    made = ordinary.clean(scratched, clean, clean, median=3, strength=0)
    torch.testing.assert_close(made, clean, atol=0.01, rtol=0)
    kept = ordinary.clean(scratched, scratched, scratched, median=1, strength=0)
    torch.testing.assert_close(kept, scratched, atol=0.01, rtol=0)


def test_non_local_means_takes_away_most_of_the_noise():
    generator = torch.Generator().manual_seed(0)
    clean = flat(0.3, 0.5, 0.7, size=48)
    noisy = clean + 0.1 * torch.randn(1, 1, 48, 48, generator=generator)
    made = ordinary.clean(noisy.clamp(-1, 1), noisy.clamp(-1, 1), clean, median=1, strength=0.2)
    assert (made - clean).square().mean() < 0.1 * (noisy - clean).square().mean()


def test_fading_is_undone():
    clean = noise(6, 3, 32, 32, seed=5)
    faded = 0.8 * clean + 0.1
    made = ordinary.clean(faded, faded, noise(6, 3, 32, 32, seed=6), median=1, strength=0)
    assert (made - clean).abs().mean() < 0.02 < (faded - clean).abs().mean()


def test_the_filter_of_painting_flattens_texture_and_keeps_an_edge():
    picture = noise(1, 3, 32, 32) * 0.1
    picture[..., 16:] += 0.8
    made = ordinary.curve_and_filter(picture, picture, picture, median=1, smooth=0.1)
    assert made[..., 4:12].std() < 0.5 * picture[..., 4:12].std()
    assert (made[..., 20:28].mean() - made[..., 4:12].mean()) > 0.7


# --- enlarging ------------------------------------------------------------------------------------


def test_lanczos_sees_only_the_means_over_blocks():
    picture = noise(1, 3, 32, 32)
    blocks = picture.reshape(1, 3, 8, 4, 8, 4).mean(dim=(3, 5))
    same_means = blocks.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    one, other = (ordinary.lanczos(x, x, x) for x in (picture, same_means))
    assert (one - other).abs().max() < 0.03  # rounding of the small picture to 8 bits
    constant = flat(0.2, 0.4, 0.6)
    torch.testing.assert_close(
        ordinary.lanczos(constant, constant, constant), constant, atol=0.01, rtol=0
    )


def test_unsharp_mask_adds_what_a_blur_takes_away():
    from scipy.ndimage import gaussian_filter

    picture = 0.5 * noise(1, 3, 32, 32)
    made = ordinary.sharpen(picture, picture, picture, radius=1.5, amount=0.5)[0].numpy()
    values = picture[0].numpy()
    soft = np.stack([gaussian_filter(channel, 1.5, mode="reflect") for channel in values])
    wanted = np.clip(values + 0.5 * (values - soft), -1, 1)
    assert np.abs(made - wanted).max() < 1e-3


# --- colour ---------------------------------------------------------------------------------------


def test_the_hue_rule_turns_red_and_leaves_grey_green_and_pale_alone():
    red, grey, green, pale = (
        flat(0.8, 0.1, 0.1),
        flat(0.5, 0.5, 0.5),
        flat(0.1, 0.7, 0.2),
        flat(0.9, 0.8, 0.8),
    )
    made = ordinary.recolour(
        torch.cat([red, grey, green, pale]), red, red, width=0.05, saturation=0.5, hue=2 / 3
    )
    torch.testing.assert_close(made[:1], flat(0.1, 0.1, 0.8), atol=1e-5, rtol=0)
    torch.testing.assert_close(made[1:], torch.cat([grey, green, pale]), atol=1e-5, rtol=0)


def test_hues_on_both_sides_of_red_are_red():
    orange_red, pink_red = flat(0.8, 0.15, 0.1), flat(0.8, 0.1, 0.15)
    for picture in (orange_red, pink_red):
        made = ordinary.recolour(picture, picture, picture, 0.05, 0.5, 2 / 3)
        assert made[0, 2, 0, 0] > made[0, 0, 0, 0] + 1


def test_roofs_turn_blue_in_the_world_that_it_is_for():
    source = pictures_to_tensor(worlds.held_out("editing", "A", 3, 48, start=2000))
    truth = pictures_to_tensor(worlds.held_out("editing", "B", 3, 48, start=2000))
    (tool,) = TOOLS["editing"]
    made = tool(source, source, truth)
    assert (made - truth).square().mean() < 0.7 * (source - truth).square().mean()


# --- the record of the settings -------------------------------------------------------------------


def test_the_chosen_settings_are_the_best_of_the_record():
    with (FOLDER / "ordinary.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for world, tools in TOOLS.items():
        for tool in tools:
            own = [row for row in rows if (row["world"], row["tool"]) == (world, tool.name)]
            tried = [json.loads(row["settings"]) for row in own]
            assert tried == json.loads(json.dumps(tool.settings())), tool.name
            best = tried[int(np.argmax([float(row["psnr"]) for row in own]))]
            chosen = inspect.signature(tool.run).parameters
            assert {name: chosen[name].default for name in best} == best, tool.name


def test_wrong_input_is_refused_in_a_sentence():
    with pytest.raises(CourseError, match=r"\[-1, 1\]"):
        ordinary.tone_curve(noise(1, 3, 16, 16) * 3, noise(1, 3, 16, 16), noise(1, 3, 16, 16))
