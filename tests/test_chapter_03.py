"""Chapter 3: its modules, and its claims by closed forms, autograd and second implementations."""

import itertools
import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn
from torch.nn import functional as F

from cyclegan_course.exercises import chapter_03
from cyclegan_course.networks import ResnetBlock, ResnetGenerator, count_parameters, init_weights
from cyclegan_course.plots import figure_bytes
from cyclegan_course.plots import generator as drawings
from cyclegan_course.toys.exchange import exchange
from cyclegan_course.toys.short_fit import short_fit
from cyclegan_course.toys.spectrum import checkerboard_peak, power_spectrum


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


# The answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [1, 2, 4])
def test_reflection_equals_torch_in_value_and_gradient(pad):
    results = []
    for function in (chapter_03.reflect_pad, lambda x, p: F.pad(x, (p,) * 4, mode="reflect")):
        x = noise(2, 3, 5, 6, dtype=torch.float64).requires_grad_()
        y = function(x, pad)
        (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
        results.append((y.detach(), x.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_instance_norm_gradient_is_the_closed_form():
    # dL/dx = (g - mean(g) - y mean(g y)) / sqrt(v + eps), with means over each channel's pixels.
    x = noise(2, 3, 7, 5, dtype=torch.float64).requires_grad_()
    g = noise(2, 3, 7, 5, seed=1, dtype=torch.float64)
    y = chapter_03.instance_norm(x)
    (y * g).sum().backward()
    y = y.detach()
    scale = (x.detach().var((2, 3), unbiased=False, keepdim=True) + 1e-5).rsqrt()
    expected = g - g.mean((2, 3), keepdim=True) - y * (g * y).mean((2, 3), keepdim=True)
    torch.testing.assert_close(x.grad, scale * expected)


@pytest.mark.parametrize(("ngf", "n_blocks"), [(64, 9), (64, 6), (8, 0), (16, 3)])
def test_count_equals_the_network(ngf, n_blocks):
    with torch.device("meta"):
        net = ResnetGenerator(ngf=ngf, n_blocks=n_blocks)
    assert chapter_03.generator_parameters(ngf, n_blocks) == count_parameters(net)


def test_up_stage_equals_the_generators():
    net = init_weights(ResnetGenerator(ngf=4, n_blocks=0, n_down=1), generator=seeded(0))
    theirs = net.layers[7:10]
    mine = chapter_03.up_stage(8, 4)
    mine[0].load_state_dict(theirs[0].state_dict())
    x = noise(1, 8, 5, 7)
    torch.testing.assert_close(mine(x), theirs(x), rtol=0, atol=0)


# The claims -------------------------------------------------------------------------------------


def test_zero_padding_pulls_both_bright_and_dark_to_the_middle():
    kernel = torch.full((1, 1, 3, 3), 1 / 9)
    for value in (0.8, -0.8):
        flat = torch.full((1, 1, 8, 8), value)
        corner = F.conv2d(F.pad(flat, (1,) * 4), kernel)[0, 0, 0, 0]
        assert corner == pytest.approx(value * 4 / 9)  # five of nine pixels are 0
        assert F.conv2d(chapter_03.reflect_pad(flat, 1), kernel).allclose(flat)


def test_gradient_of_one_norm_levels_off_and_that_of_a_chain_does_not():
    grain, direction = noise(1, 3, 24, 24, dtype=torch.float64), noise(1, 3, 24, 24, seed=1)
    chain = init_weights(ResnetGenerator(ngf=4, n_blocks=2), generator=seeded(0)).double()
    spreads = np.array([1.0, 1e-3, 1e-5, 1e-7])
    gains = []
    for net in (chapter_03.instance_norm, chain):
        gradient = []
        for spread in spreads:
            x = (spread * grain).requires_grad_()
            (net(x) * direction).sum().backward()
            gradient.append(x.grad.norm().item())
        gains.append(np.array(gradient) / gradient[0])
    assert gains[0] == pytest.approx(np.sqrt((1 + 1e-5) / (spreads**2 + 1e-5)), rel=0.1)
    assert gains[0].max() < 1 / np.sqrt(1e-5)
    slope = np.diff(np.log(gains[1])) / np.diff(np.log(spreads))
    assert slope == pytest.approx([-1, -1, -1], abs=0.15)


def test_only_eps_inside_the_root_has_a_gradient_on_a_flat_picture():
    finite = []
    for norm in (chapter_03.instance_norm, chapter_03._eps_outside_the_root):
        flat = torch.full((1, 1, 4, 4), 0.25, requires_grad=True)
        y = norm(flat)
        (y * noise(1, 1, 4, 4)).sum().backward()
        assert y.isfinite().all()
        finite.append(bool(flat.grad.isfinite().all()))
    assert finite == [True, False]


def test_block_with_relu_before_the_sum_only_adds():
    x = noise(1, 4, 8, 8)
    with torch.no_grad():
        block = init_weights(chapter_03._ReluBeforeTheSum(4), std=0.5, generator=seeded(0))
        assert (block(x) >= x).all()
        right = chapter_03.ResnetBlock(4)
        right.load_state_dict(block.state_dict())
        assert (right(x) < x).float().mean() > 0.3


def test_bias_in_front_of_instance_norm_does_nothing():
    net = init_weights(ResnetGenerator(ngf=4, n_blocks=1), std=0.3, generator=seeded(0)).double()
    x = noise(1, 3, 16, 16, dtype=torch.float64)
    net(x).square().sum().backward()
    biases = [m.bias.grad for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert max(bias.abs().max() for bias in biases[:-1]) < 1e-9 < biases[-1].abs().max()


def test_even_overlap_is_even_only_with_equal_weights():
    def ripple(kernel: int, weights: torch.Tensor, resize: bool) -> float:
        flat = torch.ones(1, 4, 12, 12)
        if resize:
            out = F.conv2d(F.interpolate(flat, scale_factor=2), weights.transpose(0, 1))
        else:
            out = F.conv_transpose2d(flat, weights, stride=2)
        out = out[..., 6:-6, 6:-6]
        return float(out.std() / out.abs().mean())

    for kernel in (3, 4):
        equal, random = torch.ones(4, 1, kernel, kernel), noise(4, 1, kernel, kernel)
        assert (ripple(kernel, equal, resize=False) < 1e-6) == (kernel == 4)
        assert ripple(kernel, random, resize=False) > 0.1
        assert ripple(kernel, random, resize=True) < 1e-5


# Exchanging parts, fitting ----------------------------------------------------------------------


def test_exchange_replaces_one_kind_and_leaves_the_original():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.ReLU()))
    other = exchange(net, nn.ReLU, lambda old: nn.Tanh())
    assert [type(m) for m in other.modules()].count(nn.Tanh) == 2
    assert [type(m) for m in net.modules()].count(nn.ReLU) == 2
    assert torch.equal(other[0].weight, net[0].weight)
    assert other[0].weight is not net[0].weight
    assert isinstance(exchange(nn.ReLU(), nn.ReLU, lambda old: nn.Tanh()), nn.Tanh)


def test_exchange_hands_over_the_old_layer():
    net = init_weights(ResnetGenerator(ngf=4, n_blocks=2), generator=seeded(0))
    other = exchange(net, ResnetBlock, lambda old: old.residual)
    x = noise(1, 16, 8, 8)
    torch.testing.assert_close(other.layers[10](x), net.layers[10](x) - x)
    assert not any(isinstance(module, ResnetBlock) for module in other.modules())


def test_short_fit_learns_and_is_repeatable():
    x = noise(8, 1, 4, 4)
    runs = []
    for _ in range(2):
        net = nn.Conv2d(1, 1, 1)
        nn.init.zeros_(net.weight)
        nn.init.zeros_(net.bias)
        runs.append(short_fit(net, x, 2 * x, steps=200, lr=0.05, seed=3, batch=2))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 200
    assert net.weight.item() == pytest.approx(2, abs=0.1)


# The spectrum -----------------------------------------------------------------------------------


def test_spectrum_of_a_wave_has_its_power_at_its_frequency():
    row = torch.arange(32)
    wave = torch.cos(2 * torch.pi * 5 * row / 32)[:, None].expand(32, 32)[None, None]
    power = power_spectrum(wave)
    assert power.shape == (32, 32)
    strongest = {divmod(int(i), 32) for i in power.flatten().topk(2).indices}
    assert strongest == {(16 + 5, 16), (16 - 5, 16)}


def test_spectrum_does_not_depend_on_brightness():
    x = noise(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(power_spectrum(x), power_spectrum(x + 7))
    assert power_spectrum(torch.full((1, 3, 16, 16), 0.7)).max() < 1e-9


def test_spectrum_is_numpys():
    x = noise(1, 1, 20, 24, dtype=torch.float64)
    window = np.outer(*(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n) for n in (20, 24)))
    array = x[0, 0].numpy()
    centred = (array - (array * window).sum() / window.sum()) * window
    expected = np.fft.fftshift(np.abs(np.fft.fft2(centred)) ** 2)
    assert power_spectrum(x).numpy() == pytest.approx(expected)


def test_peak_tells_a_checkerboard_from_noise_and_from_stripes():
    plain = noise(16, 1, 32, 32)
    index = torch.arange(32)
    board = (-1.0) ** (index[:, None] + index)
    stripes = ((-1.0) ** index)[:, None].expand(32, 32)
    assert 0.3 < checkerboard_peak(power_spectrum(plain)) < 3
    assert checkerboard_peak(power_spectrum(plain + board)) > 50
    assert checkerboard_peak(power_spectrum(plain + stripes)) < 3


# Figures ----------------------------------------------------------------------------------------


def drawn(figure):
    before = dict(matplotlib.rcParams)
    FigureCanvasAgg(figure).draw()
    assert dict(matplotlib.rcParams) == before
    assert figure.get_figwidth() <= 10
    return figure


def test_ladder_names_every_stage():
    figure = drawn(drawings.shape_ladder([("in", 3, 64), ("middle", 16, 32), ("out", 3, 64)]))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"in", "middle", "out", "16\n32×32"} <= set(texts)


def test_border_errors_share_one_range():
    maps = {"one": np.full((8, 8), 0.1), "two": np.full((8, 8), 0.4)}
    profiles = {name: np.stack([error[0], error[0] / 2]) for name, error in maps.items()}
    figure = drawn(drawings.border_errors(maps, profiles))
    assert [axis.collections[0].get_clim() for axis in figure.axes[:2]] == [(0, 0.4)] * 2
    means = {line.get_label(): line.get_ydata() for line in figure.axes[2].lines}
    assert means["two"] == pytest.approx(np.full(8, 0.3))


def test_lines_hold_what_was_given():
    spread = np.logspace(0, -3, 4)
    gain = drawn(drawings.gradient_gain(spread, {"net": 1 / spread}, spread * 0 + 1))
    lines = {line.get_label(): line for line in gain.axes[0].lines}
    assert lines["net"].get_ydata() == pytest.approx(1 / spread)
    losses = np.linspace(1, 0, 20)[None].repeat(3, 0)
    fit = drawn(drawings.fit_curves({"a": losses}))
    mean = next(line for line in fit.axes[0].lines if line.get_label() == "a")
    assert mean.get_ydata()[0] == pytest.approx(losses[0, :5].mean())
    assert mean.get_xdata()[-1] == 20


def test_overlap_writes_the_products():
    figure = drawn(drawings.overlap({"x": np.array([2, 1, 2]), "y": np.array([2, 2, 2])}))
    texts = [text.get_text() for text in figure.axes[2].texts]
    assert texts == ["4", "2", "4", "2", "1", "2", "4", "2", "4"]


def test_pictures_with_spectra_peaks_and_views():
    x = noise(1, 3, 16, 16).clamp(-1, 1)
    drawn(drawings.spectra({"a": (x[0], power_spectrum(x)), "b": (x[0], power_spectrum(x))}))
    kinds = {"one": [1.0, 10.0], "two": [3.0]}
    figure = drawn(drawings.peaks({"left": kinds, "right": kinds}, "peak"))
    assert [axis.get_title() for axis in figure.axes] == ["left", "right"]
    flat = torch.ones(1, 1, 16, 16)
    view = drawings.upsampling_view(np.array([3, 3]), flat[0, 0].numpy(), power_spectrum(flat), "t")
    assert figure_bytes(drawn(view)).startswith(b"\x89PNG")
    drawn(drawings.feature_maps({"s": np.zeros((2, 8, 8))}, x[0], x[0]))


# The notebook -----------------------------------------------------------------------------------


def test_figures_are_numbered_in_order_and_have_text_for_those_who_do_not_see_them():
    file = Path(__file__).resolve().parent.parent / "notebooks" / "03_resnet_generator.ipynb"
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    captions = 0
    for cell, following in itertools.pairwise(cells):
        for output in cell.get("outputs", []):
            kinds = [kind for kind in output.get("data", {}) if kind.startswith("image/")]
            if kinds:
                captions += 1
                assert "".join(following["source"]).startswith(f"**Figure 3.{captions}.**")
                assert len(output["metadata"][kinds[0]]["alt"]) > 40
    assert captions == 13
