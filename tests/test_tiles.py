"""Huge pictures in strips: the result is that of the picture in one piece."""

import itertools
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.networks import (
    FoldedConv2d,
    LayoutInstanceNorm,
    PatchDiscriminator,
    ResnetBlock,
    ResnetGenerator,
    init_weights,
)
from cyclegan_course.translate import load_translator, tiles
from cyclegan_course.translate.rows import height_after, output_rows, span_before, strips
from cyclegan_course.translate.seams import (
    blended_tiles,
    seam_visibility,
    tile_edges,
    with_statistics_of,
)
from cyclegan_course.translate.tiles import translate_in_strips


def generator(seed: int = 0, **shape) -> ResnetGenerator:
    """Double precision, weights and biases far from zero, so that no term can be forgotten."""
    rng = torch.Generator().manual_seed(seed)
    net = ResnetGenerator(**{"ngf": 4, "n_blocks": 2, "n_down": 2, "edge_kernel": 7, **shape})
    init_weights(net, std=0.3, generator=rng)
    for parameter in net.parameters():
        if parameter.ndim == 1:
            parameter.data.normal_(generator=rng)
    return net.double().eval().requires_grad_(False)


def gradient(height: int, width: int) -> torch.Tensor:
    y = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, dtype=torch.float64).expand(height, width)
    return torch.stack([x, y, (x + y) / 2])[None]


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=rng) * 2 - 1


def photograph(height: int, width: int) -> torch.Tensor:
    picture = Image.fromarray(np.asarray(worlds.photographs()["china"]))
    return picture_to_tensor(picture.resize((width, height)))[None].double()


PICTURES = (gradient, noise, photograph)


# --- rows of a network ---------------------------------------------------------------------------

MODULES = {
    "reflection": [nn.ReflectionPad2d(3)],
    "3x3": [nn.ReflectionPad2d(1), nn.Conv2d(3, 5, 3)],
    "7x7": [nn.ReflectionPad2d(3), nn.Conv2d(3, 5, 7)],
    "folded": [nn.ReflectionPad2d(3), FoldedConv2d(3, 5, 7)],
    "zeros": [nn.Conv2d(3, 5, 5, padding=2)],
    "half": [nn.Conv2d(3, 5, 3, stride=2, padding=1)],
    "double": [nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1, output_padding=1)],
    "double, 4x4": [nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)],
    "triple": [nn.ConvTranspose2d(3, 5, 5, stride=3, padding=1)],
    "chain": [
        nn.ReflectionPad2d(2),
        nn.Conv2d(3, 4, 5),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
        nn.Tanh(),
    ],
}


@pytest.mark.parametrize("modules", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("height", [4, 10, 11])
def test_any_rows_of_the_output(modules, height):
    """Every span of rows, from the rows that it needs, equals these rows of the whole output."""
    net = nn.Sequential(*modules).double().requires_grad_(False)
    x = noise(height, 12)
    whole = net(x)
    assert height_after(modules, height) == whole.shape[2]
    for span in itertools.combinations(range(whole.shape[2] + 1), 2):
        first, last = span_before(modules, span, height)
        assert 0 <= first < last <= height
        part = output_rows(modules, x[:, :, first:last], span, height)
        assert (part - whole[:, :, slice(*span)]).abs().max() < 1e-12, span


def test_no_more_rows_than_needed():
    """In the middle of a picture a 3x3 convolution needs one row more on each side."""
    modules = MODULES["3x3"]
    assert span_before(modules, (10, 20), 100) == (9, 21)
    assert span_before(modules, (0, 20), 100) == (0, 21)
    assert span_before(modules, (90, 100), 100) == (89, 100)
    assert span_before(MODULES["half"], (10, 20), 100) == (19, 40)
    assert span_before(MODULES["double"], (10, 20), 100) == (5, 11)


@pytest.mark.parametrize(("height", "rows"), [(10, 3), (10, 10), (10, 100), (1, 1), (9, 3)])
def test_strips_cover_every_row_once(height, rows):
    spans = list(strips(height, rows))
    assert [row for span in spans for row in range(*span)] == list(range(height))
    assert all(last - first <= rows for first, last in spans)


def test_unknown_module():
    with pytest.raises(CourseError, match="MaxPool2d"):
        span_before([nn.MaxPool2d(2)], (0, 1), 8)


# --- pictures in strips --------------------------------------------------------------------------


@pytest.mark.parametrize("n_down", [0, 1, 2, 3])
@pytest.mark.parametrize("edge_kernel", [3, 7])
@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_equal_to_one_piece(n_down, edge_kernel, n_blocks):
    """Every shape of the generator, sides from the smallest on, strips from one row on."""
    net = generator(n_down=n_down, edge_kernel=edge_kernel, n_blocks=n_blocks)
    for height, width in ((32, 32), (72, 40), (40, 88)):
        x = noise(height, width)
        whole = net(x)
        assert whole.std() > 0.1
        for rows, in_memory in itertools.product((1, 8, 20, 1000), (0, 2**30)):
            result = translate_in_strips(net, x, rows, in_memory)
            assert (result - whole).abs().max() < 1e-10, (height, width, rows)


@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_that_show_seams(picture):
    """Smooth gradients show a seam most; noise has other statistics in no place; a photograph."""
    net = generator(1)
    x = picture(96, 64)
    whole = net(x)
    result = translate_in_strips(net, x, rows=16)
    assert (result - whole).abs().max() < 1e-10
    tiles = blended_tiles(net, x, tile=32, overlap=0)
    assert (tiles - whole).abs().mean() > 0.02  # the case is not trivial


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (400, 16), (50, 34)])
def test_one_halving_of_sides_that_are_no_multiple_of_four(size):
    net, x = generator(n_down=1), noise(*size)
    assert (translate_in_strips(net, x, 7) - net(x)).abs().max() < 1e-10


def test_norms_of_the_fast_step():
    net, x = generator(norm=LayoutInstanceNorm), noise(32, 32)
    assert (translate_in_strips(net, x, 8) - net(x)).abs().max() < 1e-10


@pytest.mark.parametrize("mean", [0, 1e3, -1e7])
def test_statistics_of_strips_are_those_of_the_map(mean):
    """Strips of unequal height and unequal contents; a mean that drowns sums of squares."""
    y = (noise(40, 30) + torch.linspace(-2, 2, 40).double()[:, None]) + mean
    statistics = tiles._Statistics()
    for span in ((0, 1), (1, 17), (17, 39), (39, 40)):
        statistics.add(y[:, :, slice(*span)])
    norm = statistics.norm(nn.InstanceNorm2d(3, eps=1e-5))
    var, expected = torch.var_mean(y, dim=(2, 3), correction=0, keepdim=True)
    assert norm.mean == pytest.approx(expected, rel=1e-14)
    assert norm.scale == pytest.approx(torch.rsqrt(var + 1e-5), rel=1e-8)


def test_a_flat_channel_has_no_negative_variance():
    statistics = tiles._Statistics()
    for rows in (1, 3, 7):
        statistics.add(torch.full((1, 2, rows, 5), 0.1))
    assert (statistics.squares >= 0).all()


def test_single_precision_and_the_picture_is_left_as_it_is():
    net, x = generator().float(), noise(64, 48).float()
    before = x.clone()
    result = translate_in_strips(net, x, 16)
    assert result.dtype == torch.float32
    assert (result - net(x)).abs().max() < 1e-4
    assert torch.equal(x, before)


def test_nan_stays_nan():
    net = generator()
    net.layers[1].weight.fill_(torch.nan)
    assert translate_in_strips(net, noise(32, 32), 8).isnan().all()


def test_other_networks_are_refused():
    x = noise(32, 32)
    with pytest.raises(CourseError, match="Only a ResnetGenerator"):
        translate_in_strips(PatchDiscriminator(), x, 8)
    with pytest.raises(CourseError, match="without parameters"):
        translate_in_strips(generator(norm=lambda c: nn.InstanceNorm2d(c, affine=True)), x, 8)
    with pytest.raises(CourseError, match="without parameters"):
        translate_in_strips(generator(norm=nn.Identity), x, 8)


# --- the temporary file --------------------------------------------------------------------------


def test_files_are_used_only_for_what_is_large_and_are_closed(monkeypatch):
    """Two maps of 16 x 12 pixels, 16 channels and 8 bytes: 49152 bytes."""
    opened = []
    make = tempfile.TemporaryFile

    def spy(*args, **options):
        opened.append(make(*args, **options))
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", spy)
    net, x = generator(), noise(64, 48)
    translate_in_strips(net, x, 16, in_memory=49152)
    assert opened == []
    translate_in_strips(net, x, 16, in_memory=49151)
    assert len(opened) == 2
    assert all(file.closed for file in opened)


def test_a_full_disk_is_one_sentence(monkeypatch):
    class Full:
        def __init__(self):
            self.closed = False

        def seek(self, _place):
            pass

        def write(self, _data):
            raise OSError(28, "No space left on device")

        def close(self):
            self.closed = True
            raise OSError(28, "No space left on device")  # what was still to be written

    files = []
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: files.append(Full()) or files[-1])
    with pytest.raises(CourseError, match=r"0\.0 GB.*No space left.*working size"):
        translate_in_strips(generator(), noise(64, 48), 16, in_memory=0)
    assert all(file.closed for file in files)


# --- what goes wrong without the strips ----------------------------------------------------------


def test_tiles_of_a_network_without_norms_fit_together():
    """A halo as wide as the receptive field is enough where nothing looks at the whole picture."""
    net = generator(norm=nn.Identity, n_blocks=1)
    for parameter in net.parameters():
        parameter.mul_(0.3)  # tanh must not hide differences
    x = noise(96, 128)
    whole = net(x)
    cut = blended_tiles(net, x, tile=64, overlap=48, blend=False)
    assert (cut - whole).abs().max() < 1e-12
    too_little = blended_tiles(net, x, tile=64, overlap=4, blend=False)
    assert (too_little - whole).abs().max() > 1e-3


@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize(("tile", "overlap"), [(32, 0), (32, 8), (48, 16), (500, 32)])
def test_tiles_that_change_nothing_give_the_picture(tile, overlap, blend):
    """The weights of a pixel add up to one wherever it lies."""
    x = noise(80, 112)
    result = blended_tiles(nn.Identity(), x, tile, overlap, blend)
    assert (result - x).abs().max() < 1e-12


def test_tile_edges():
    assert tile_edges(100, 100, 20) == tile_edges(60, 100, 20) == []
    assert tile_edges(180, 100, 20) == [90]
    assert tile_edges(200, 100, 0) == [100]
    assert tile_edges(200, 100, 20) == [90, 140]  # from 0, 80 and, to end with the picture, 100


@pytest.mark.parametrize("overlap", [-1, 32, 40])
def test_overlap_of_a_whole_tile(overlap):
    with pytest.raises(CourseError, match="overlap"):
        blended_tiles(nn.Identity(), noise(64, 64), 32, overlap)


def test_statistics_of_the_whole_picture_make_tiles_fit():
    """It is the statistics: with those of the whole picture even tiles agree with it."""
    net, x = generator(n_blocks=1), photograph(96, 128)
    fixed = with_statistics_of(net, x)
    whole = net(x)
    assert (fixed(x) - whole).abs().max() < 1e-10
    cut = blended_tiles(fixed, x, tile=64, overlap=48, blend=False)
    assert (cut - whole).abs().max() < 1e-10
    assert (blended_tiles(net, x, 64, 48, blend=False) - whole).abs().mean() > 0.02
    assert any(isinstance(module, nn.InstanceNorm2d) for module in net.modules())  # a copy


def test_seam_visibility_is_the_ratio_of_steps():
    """Rows that grow by 1 and, across the seam, by 3."""
    steps = torch.ones(40)
    steps[0], steps[20] = 0, 3
    picture = steps.cumsum(0)[None, None, :, None].expand(1, 3, 40, 40)
    assert seam_visibility(picture, [20], []) == pytest.approx(3)
    assert seam_visibility(picture, [10, 20], []) == pytest.approx(2)
    assert seam_visibility(picture.transpose(2, 3), [], [20]) == pytest.approx(3)
    assert seam_visibility(picture, [], []) == 1


def test_shipped_generator_on_a_photograph(monkeypatch):
    """What chapter 11 shows: tiles that go alone are far off, strips are not."""
    monkeypatch.delenv("CYCLEGAN_COURSE_WEIGHTS", raising=False)
    net = load_translator("painting", device="cpu").net
    x = photograph(192, 256).float()
    with torch.inference_mode():
        results = {
            "in one piece": net(x),
            "tiles, cut": blended_tiles(net, x, tile=64, overlap=32, blend=False),
            "tiles, blended": blended_tiles(net, x, tile=64, overlap=32),
            "strips": translate_in_strips(net, x, rows=64),
        }
    whole = results["in one piece"]
    off = {way: float((result - whole).abs().mean() * 127.5) for way, result in results.items()}
    assert off["strips"] < 0.01
    assert off["tiles, cut"] > 5
    assert off["tiles, blended"] > 5
    edges = tile_edges(192, 64), tile_edges(256, 64)
    seams = {way: seam_visibility(result, *edges) for way, result in results.items()}
    assert seams["strips"] == pytest.approx(seams["in one piece"], rel=1e-3)
    assert seams["tiles, cut"] > 1.5 * seams["strips"]


def test_residual_block_is_what_the_strips_expect():
    """The strips take a block apart: if it gets another form, they have to follow."""
    block, x = ResnetBlock(4).double(), noise(8, 8)
    x = torch.cat([x, x[:, :1]], dim=1)
    kinds = [type(module) for module in block.residual]
    half = [nn.ReflectionPad2d, nn.Conv2d, nn.InstanceNorm2d]
    assert kinds == [*half, nn.ReLU, *half]
    assert torch.equal(block(x), x + block.residual(x))


def test_limit_of_memory_is_below_what_the_course_promises():
    assert tiles.IN_MEMORY <= 2**29
