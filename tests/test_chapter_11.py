"""Chapter 11: its functions equal the package's, its claims hold, its figures show their data."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import lab2rgb
from torch import nn

from cyclegan_course import duplicates
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises.chapter_11 import (
    Halving,
    at_own_size,
    blend_weights,
    merge_statistics,
    near_duplicates,
    over_white,
    unit_range,
)
from cyclegan_course.images import Photo, photo_to_picture, photo_to_tensor
from cyclegan_course.networks import ResnetGenerator
from cyclegan_course.plots.own_pictures import (
    amplified,
    colour_clouds,
    error_sizes,
    lab_pixels,
    tile_statistics,
)
from cyclegan_course.translate.translator import Translator


def random_pixels(shape: tuple[int, ...], dtype: type, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(np.iinfo(dtype).max, size=shape, dtype=dtype, endpoint=True)


# The chapter's functions equal the package's -----------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unit_range_equals_the_packages_for_every_value(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    rgb = np.stack([levels, levels[::-1], levels], axis=-1)[None]
    expected = photo_to_tensor(Photo(rgb)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(unit_range(rgb), expected, rtol=0, atol=2e-7)
    assert unit_range(levels)[[0, -1]].tolist() == [-1.0, 1.0]


def test_over_white_equals_the_packages_in_every_pixel():
    # Every pair of a colour and an alpha.
    alpha, gray = np.mgrid[:256, :256].astype(np.uint8)
    rgb = np.stack([gray, 255 - gray, gray], axis=-1)
    expected = np.asarray(photo_to_picture(Photo(rgb, alpha)))
    assert np.array_equal(over_white(rgb, alpha), expected)


def test_near_duplicates_equal_the_packages():
    heap = list(random_pixels((12, 24, 24, 3), np.uint8))
    heap += [heap[2][:, ::-1], (heap[5] * 0.5 + 60).astype(np.uint8), 255 - heap[7], heap[9]]
    rows = duplicates.fingerprints(heap)
    expected = [tuple(pair) for pair in duplicates.near_pairs(rows).tolist()]
    luminance = np.stack(heap).astype(np.float64) @ [0.299, 0.587, 0.114]
    assert near_duplicates(luminance) == expected == [(2, 12), (5, 13), (9, 15)]


@pytest.mark.parametrize("size", [(32, 32), (33, 35), (17, 50), (18, 19)])
@pytest.mark.parametrize("n_down", [1, 2])
def test_at_own_size_equals_the_translators(size, n_down):
    shape = {"ngf": 4, "n_blocks": 1, "n_down": n_down, "edge_kernel": 3}
    torch.manual_seed(0)
    translator = Translator(ResnetGenerator(**shape), {"generator": shape}, device="cpu")
    x = torch.rand(1, 3, *size) * 2 - 1
    with torch.inference_mode():
        found = at_own_size(translator.net, x, 2**n_down)
    torch.testing.assert_close(found, translator.translate_tensor(x), rtol=0, atol=1e-5)


def test_at_own_size_asks_for_no_more_than_is_needed():
    seen = []
    x = torch.arange(3 * 9 * 14, dtype=torch.float32).reshape(1, 3, 9, 14)
    found = at_own_size(lambda picture: seen.append(picture.shape) or picture, x, 4)
    assert seen == [(1, 3, 12, 16)]
    assert torch.equal(found, x)
    assert at_own_size(Halving(), x, 4).shape == x.shape


@pytest.mark.parametrize("tile", [4, 5, 16])
def test_merged_statistics_are_those_of_the_whole_map(tile):
    x = torch.randn(1, 6, 16, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = x.cumsum(dim=3)  # so that the tiles differ
    pieces = [piece for row in x.split(tile, 2) for piece in row.split(tile, 3)]
    found = [torch.var_mean(piece, dim=(0, 2, 3), correction=0) for piece in pieces]
    merged = merge_statistics(
        torch.tensor([piece[0, 0].numel() for piece in pieces], dtype=torch.float64),
        torch.stack([mean for _, mean in found]),
        torch.stack([variance for variance, _ in found]),
    )
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(merged, (mean, variance), rtol=1e-12, atol=1e-12)
    normed = (x - merged[0][:, None, None]) / (merged[1][:, None, None] + 1e-5).sqrt()
    torch.testing.assert_close(normed, F.instance_norm(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("tile", "step", "length"), [(8, 4, 32), (9, 5, 40), (16, 16, 64)])
def test_blend_weights_share_every_place(tile, step, length):
    starts = [min(start, length - tile) for start in range(0, length - tile + step, step)]
    weights = blend_weights(starts, tile, length)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    for row, start in zip(weights, starts, strict=True):
        assert (row[start : start + tile] > 0).all()
        assert np.count_nonzero(row) == tile
    values = np.random.default_rng(0).random(length)  # what all tiles agree on stays
    np.testing.assert_allclose((weights * values).sum(axis=0), values)


# What the chapter claims -------------------------------------------------------------------------


def test_sixteen_bits_in_eight_wrap_around():
    assert np.uint16(300).astype(np.uint8) == 44


def test_first_norm_takes_scale_and_shift_of_the_input_away():
    torch.manual_seed(0)
    first = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 8, 7), nn.InstanceNorm2d(8))
    first, x = first.double(), torch.rand(1, 3, 24, 24, dtype=torch.float64) * 2 - 1
    first[2].eps = 0.0
    torch.testing.assert_close(first((x + 1) / 2), first(x), rtol=0, atol=1e-10)


def test_first_map_of_a_huge_picture_takes_three_gigabytes():
    assert 4096 * 3072 * 64 * torch.finfo(torch.float32).bits / 8 == pytest.approx(3.2e9, rel=0.01)


def test_a_tile_of_plain_sky_gets_the_contrast_of_a_whole_picture():
    generator = torch.Generator().manual_seed(0)
    sky = 0.01 * torch.randn(1, 1, 16, 16, generator=generator)
    wood = torch.randn(1, 1, 16, 16, generator=generator)
    together = F.instance_norm(torch.cat([sky, wood], dim=3))
    assert F.instance_norm(sky).std() > 50 * together[..., :16].std()


# The figures -------------------------------------------------------------------------------------


def test_lab_pixels_are_pixels_of_the_pictures_each_counting_the_same():
    red = np.full((4, 4, 3), (200, 10, 10), np.uint8)
    blue = np.full((40, 60, 3), (10, 10, 200), np.uint8)
    rgb = np.rint(lab2rgb(lab_pixels([red, blue], count=100)) * 255).astype(int)
    values, counts = np.unique(rgb, axis=0, return_counts=True)
    assert values.tolist() == [[10, 10, 200], [200, 10, 10]]
    assert counts.tolist() == [50, 50]
    assert np.array_equal(lab_pixels([blue], 10), lab_pixels([blue], 10))
    with pytest.raises(CourseError, match="no picture"):
        lab_pixels([])


def test_colour_clouds_show_both_domains_and_their_means():
    rng = np.random.default_rng(0)
    lab = {name: rng.normal((50, a, 5), 4, size=(200, 3)) for name, a in (("A", -20), ("B", 30))}
    left, right = colour_clouds(lab, most=120).axes
    assert [len(cloud.get_offsets()) for cloud in left.collections] == [120, 120]
    means = {line.get_label(): line.get_xydata()[0] for line in left.lines}
    for name, pixels in lab.items():
        assert means[name] == pytest.approx(pixels[:, 1:].mean(axis=0))
    assert right.get_xlabel().startswith("L*")
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["A", "B"]


def test_amplified_is_grey_where_nothing_differs():
    wanted = random_pixels((5, 6, 3), np.uint8)
    assert np.unique(amplified(wanted, wanted)).tolist() == [128]
    brighter = np.full((2, 2, 3), 110, np.uint8)
    darker = np.full((2, 2, 3), 100, np.uint8)
    assert amplified(brighter, darker, 2)[0, 0, 0] == 148  # 127.5 + 20, rounded to even
    assert amplified(darker, brighter, 100).max() == 0
    assert amplified(Image.fromarray(brighter), darker, 2).dtype == np.uint8


def test_tile_statistics_draws_tiles_whole_and_merged():
    tiles = np.array([[0.0, 1.0], [2.0, 0.5], [3.0, 2.0]])
    axis = tile_statistics(tiles, np.array([1.0, 1.5]), np.array([1.0, 1.5])).axes[0]
    dots, cross, circle = axis.lines
    assert np.array_equal(dots.get_xydata(), tiles)
    assert np.array_equal(cross.get_xydata(), circle.get_xydata())
    assert axis.get_ylim()[0] == 0


def bars(figure: Figure) -> dict[str, tuple[float, tuple]]:
    (axis,) = figure.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    return {
        name: (bar.get_width(), bar.get_facecolor())
        for name, bar in zip(names, axis.patches, strict=True)
    }


def test_error_sizes_tells_what_is_allowed_by_colour():
    errors = {"none": 0.0, "small": 9e-4, "large": 0.5}
    figure = error_sizes(errors, {"allowed": 1e-3, "level": 8e-3})
    found = bars(figure)
    assert found["small"][0] == pytest.approx(9e-4)
    assert found["none"][0] > 0
    assert found["none"][1] == found["small"][1] != found["large"][1]
    texts = {text.get_text().strip() for text in figure.axes[0].texts}
    assert {"allowed", "level", "0", "0.0009", "0.5"} <= texts
