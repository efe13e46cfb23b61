"""Chapter 2: boxes and sizes against autograd and torch, what a judge can see, its figures."""

import base64
import copy
import html
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch import nn

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import chapter_02 as ch
from cyclegan_course.networks import (
    PatchDiscriminator,
    count_parameters,
    init_weights,
    receptive_field,
    receptive_field_by_autograd,
)
from cyclegan_course.plots import receptive_field as plots
from cyclegan_course.widgets.field_inspector import field_inspector

LADDER = {1: 16, 2: 34, 3: 70, 4: 142, 5: 286}


def layers_of(net):
    return [
        (layer.kernel_size[0], layer.stride[0], layer.padding[0])
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]


def judge(n_layers=3, norm=lambda _: nn.Identity(), ndf=2):
    """Without norms, in double precision, with weights large enough that no gradient vanishes."""
    net = PatchDiscriminator(ndf=ndf, n_layers=n_layers, norm=norm).double()
    return init_weights(net, std=0.5, generator=torch.Generator().manual_seed(0))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chain(strides, ndf):
    widths = [3, *(ndf * 2**level for level in range(len(strides) - 1)), 1]
    return nn.Sequential(
        *(
            nn.Conv2d(a, b, 4, stride, 1)
            for a, b, stride in zip(widths, widths[1:], strides, strict=False)
        )
    )


# Sizes and fields -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", LADDER)
def test_ladder_by_the_exercise(n_layers):
    assert ch.field_size([(4, 2)] * n_layers + [(4, 1)] * 2) == LADDER[n_layers]


def test_field_of_random_chains_equals_the_box_and_the_package():
    rng = np.random.default_rng(0)
    for _ in range(30):
        layers = [tuple(map(int, rng.integers((1, 1, 0), (6, 4, 3)))) for _ in range(4)]
        pairs = [(kernel, stride) for kernel, stride, _ in layers]
        top, left, bottom, right = ch.patch_box(3, 5, layers)
        assert bottom - top == right - left == ch.field_size(pairs) == receptive_field(pairs)


def test_sizes_of_random_convolutions_are_those_of_torch():
    rng = np.random.default_rng(1)
    for _ in range(30):
        size, kernel, stride, padding = map(int, rng.integers((8, 1, 1, 0), (40, 8, 4, 4)))
        x = torch.zeros(1, 1, size)
        real = nn.functional.conv1d(x, torch.zeros(1, 1, kernel), None, stride, padding)
        assert ch.output_size(size, kernel, stride, padding) == real.shape[-1]


@pytest.mark.parametrize(
    ("strides", "field", "side", "parameters"),
    [
        ([2, 2, 2, 1], 46, 31, 662_977),  # the article
        ([2, 2, 2, 1, 1], 70, 30, 2_764_737),  # pix2pix and CycleGAN
        ([2, 2, 2, 2, 1], 94, 15, 2_764_737),  # many tutorials
    ],
)
def test_the_three_that_are_called_patchgan(strides, field, side, parameters):
    assert count_parameters(chain(strides, 64)) == parameters
    small = init_weights(chain(strides, 2), 0.5, torch.Generator().manual_seed(0)).double()
    assert receptive_field_by_autograd(small) == (field, field)
    assert ch.field_size([(4, stride) for stride in strides]) == field
    assert small(noise(1, 3, 256, 256)).shape[-2:] == (side, side)


# Boxes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_layers", "size"), [(1, 24), (2, 48), (3, 72)])
def test_every_box_is_the_support_of_the_gradient(n_layers, size):
    net = judge(n_layers)
    layers = layers_of(net)
    x = noise(1, 3, size, size - 8).requires_grad_()
    scores = net(x)[0, 0]
    for row in range(scores.shape[0]):
        for column in range(scores.shape[1]):
            (gradient,) = torch.autograd.grad(scores[row, column], x, retain_graph=True)
            touched = (gradient[0] != 0).any(0)
            top, left, bottom, right = ch.patch_box(row, column, layers)
            expected = torch.zeros_like(touched)
            expected[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
            assert torch.equal(touched, expected)


def test_a_patch_alone_gets_the_score_that_it_has_in_the_map():
    net = judge()
    strict = copy.deepcopy(net)
    for layer in strict.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding = (0, 0)
    x = noise(1, 3, 112, 104)
    with torch.no_grad():
        scores = net(x)[0, 0]
        for row in ch.inner_cells(112, ch.SEVENTY):
            for column in ch.inner_cells(104, ch.SEVENTY):
                top, left, bottom, right = ch.patch_box(row, column, ch.SEVENTY)
                alone = strict(x[:, :, top:bottom, left:right])
                assert alone.shape == (1, 1, 1, 1)
                torch.testing.assert_close(alone[0, 0, 0, 0], scores[row, column])


def crop_difference(net):
    x = noise(1, 3, 192, 192)
    with torch.no_grad():
        part, whole = net(x[:, :, 32:160, 24:152])[0, 0], net(x)[0, 0]
    return (part - whole[4:18, 3:17]).abs() / whole.std()


def test_map_of_a_crop_differs_from_the_crop_of_the_map_just_where_padding_is_seen():
    inner = ch.inner_cells(128, ch.SEVENTY)
    assert inner == [3, 4, 5, 6, 7, 8, 9, 10]
    equal = crop_difference(judge()) < 1e-9
    expected = torch.zeros(14, 14, dtype=torch.bool)
    expected[3:11, 3:11] = True
    assert torch.equal(equal, expected)


def test_with_instance_norm_every_score_of_the_crop_differs():
    assert crop_difference(judge(norm=nn.InstanceNorm2d)).min() > 1e-9


# What a judge cannot see ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_layers", "bar", "blind"), [(1, 15, True), (1, 8, False), (2, 33, True)]
)
def test_a_bar_as_wide_as_the_field_makes_the_map_a_sum_of_its_panes(n_layers, bar, blind):
    # With patches that touch one pane only, f(l, r) + f(l', r') - f(l, r') - f(l', r) = 0.
    net = judge(n_layers)
    panes = noise(4, 3, 32, 24, seed=2)

    def mean(left, right):
        grey = torch.zeros(3, 32, bar, dtype=torch.float64)
        return net(torch.cat([panes[left], grey, panes[right]], -1)[None]).mean().item()

    rest = mean(0, 2) + mean(1, 3) - mean(0, 3) - mean(1, 2)
    assert (abs(rest) < 1e-9) == blind


# Figures ----------------------------------------------------------------------------------------


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def words_of(axis):
    return [text.get_text() for text in axis.texts]


def test_cone_counts_what_each_layer_needs():
    (axis,) = plots.cone([(4, 2), (4, 1), (4, 1)]).axes
    assert {"1 score", "4 numbers", "7 numbers", "16 pixels"} <= set(words_of(axis))
    pixels = axis.collections[0].get_offsets()
    assert pixels[:, 0].tolist() == list(range(16))
    score = axis.collections[-1].get_offsets()
    assert score[:, 0].tolist() == [7.5]  # above the middle of its field


def test_squares_of_the_fields_are_centred_and_as_large_as_said():
    picture = np.zeros((40, 40, 3), np.uint8)
    (axis,) = plots.nested_fields([picture], [{"a": 10, "b": 60}]).axes
    frames = [(p.get_x(), p.get_y(), p.get_width()) for p in axis.patches]
    assert (14.5, 14.5, 10) in frames
    assert (-10.5, -10.5, 60) in frames
    assert axis.get_xlim()[0] < -10.5


def test_region_stands_at_its_place_in_the_score_map():
    figure = plots.score_maps(
        [np.zeros((192, 192, 3), np.uint8)], [torch.zeros(22, 22)], (48, 64, 144, 160)
    )
    frame = figure.axes[1].patches[-1]
    # The first cell whose middle lies beyond pixel 64 is the seventh: 8 * 7 - 23 + 35 = 68.
    assert 6 < frame.get_x() < 7
    assert frame.get_width() == pytest.approx(96 / 8)


def test_other_figures_can_be_drawn():
    picture = np.full((64, 64, 3), 99, np.uint8)
    gradient = torch.zeros(3, 32, 32)
    gradient[:, 8:16, 8:16] = 1.0
    for figure in (
        plots.gradient_support({"one": gradient, "two": gradient}, (8, 8, 16, 16)),
        plots.patch_view(picture, torch.rand(6, 6), box70, (0, 5)),
        plots.map_differences({"none": torch.zeros(4, 4)}, [None]),
        plots.accuracy_dots({"bar": {"16": [0.5, 0.5], "34": [1.0]}}, 0.5),
    ):
        assert drawn(figure).std() > 0


# The inspector ----------------------------------------------------------------------------------


def box70(row, column):
    return ch.patch_box(row, column, ch.SEVENTY)


@pytest.fixture
def output(shell):
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:, 64:] = 200
    scores = torch.linspace(-0.2, 1.2, 140).view(10, 14)
    with capture_output() as captured:
        field_inspector(picture, scores, box70, "a <map> & more", start=(4, 6))
    (output,) = captured.outputs
    return output


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def script_data(output):
    ((_, image),) = [item for item in Elements(output.data["text/html"]).found if item[0] == "img"]
    return json.loads(re.search(r"const d = (\{.*\});\n", html.unescape(image["onload"])).group(1))


def picture_in(source):
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[-1])))


def test_inspector_without_scripts_is_a_plain_figure(output):
    elements = Elements(output.data["text/html"]).found
    assert [tag for tag, _ in elements] == ["div", "img"]
    assert elements[1][1]["alt"] == "a <map> & more" == output.data["text/plain"]
    still = elements[1][1]["src"].split(",")[1]
    assert still == output.data["image/jpeg"].strip()
    assert picture_in(still).width > 600


def test_inspector_hands_the_script_a_box_a_score_and_a_colour_for_every_cell(output):
    data = script_data(output)
    assert (data["height"], data["width"], data["start"]) == (96, 128, [4, 6])
    for row in range(10):
        for column in range(14):
            box = tuple(
                data[name][place]
                for name, place in zip(
                    ("tops", "lefts", "bottoms", "rights"), (row, column, row, column), strict=True
                )
            )
            assert box == box70(row, column)
    assert data["scores"][0] == "-0.20"
    assert len(data["scores"]) == len(data["colours"]) == 140
    assert data["colours"][0] != data["colours"][70] != data["colours"][-1]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in data["colours"])
    shown = picture_in(data["src"])
    assert shown.size == (128, 96)
    assert shown.getpixel((100, 50)) == (200, 200, 200)


def test_inspector_shows_all_of_the_padding_that_is_seen(output):
    data = script_data(output)
    assert data["margin"] >= -min(data["tops"] + data["lefts"])
    assert data["margin"] >= max(data["bottoms"]) - data["height"]
    assert data["margin"] >= max(data["rights"]) - data["width"]


@pytest.mark.parametrize(
    ("scores", "start", "words"),
    [
        (torch.zeros(1, 1, 4, 4), (0, 0), "one map"),
        (torch.zeros(4, 4), (4, 0), "no cell"),
        (torch.zeros(4, 4), (0, -1), "no cell"),
    ],
)
def test_inspector_says_what_is_wrong(scores, start, words):
    with pytest.raises(CourseError, match=words):
        field_inspector(np.zeros((48, 48, 3), np.uint8), scores, box70, "x", start=start)


def test_inspector_prints_its_words_in_a_script(capsys):
    field_inspector(np.zeros((48, 48, 3), np.uint8), torch.zeros(4, 4), box70, "a map")
    assert capsys.readouterr().out == "a map\n"
