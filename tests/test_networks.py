"""Counts, shapes and receptive fields against closed forms and autograd."""

import pytest
import torch
from torch import nn

from cyclegan_course.networks import (
    PatchDiscriminator,
    ResnetBlock,
    ResnetGenerator,
    convolutions_of,
    count_parameters,
    init_weights,
    receptive_field,
    receptive_field_by_autograd,
)


@pytest.mark.parametrize(("n_blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_generator_has_the_references_number_of_parameters(n_blocks, parameters):
    assert count_parameters(ResnetGenerator(n_blocks=n_blocks)) == parameters


def test_discriminator_has_the_references_number_of_parameters():
    # 4x4 kernels, widths 3-64-128-256-512-1, a bias per channel.
    expected = sum(
        16 * a * b + b for a, b in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    )
    assert count_parameters(PatchDiscriminator()) == expected == 2_764_737


@pytest.mark.parametrize(
    ("n_down", "height", "width"), [(0, 33, 27), (1, 34, 28), (2, 64, 36), (3, 48, 40)]
)
def test_generator_keeps_the_size_and_stays_within_range(n_down, height, width):
    net = ResnetGenerator(ngf=4, n_blocks=1, n_down=n_down)
    out = net(torch.rand(2, 3, height, width) * 2 - 1)
    assert out.shape == (2, 3, height, width)
    assert out.abs().max() <= 1


def test_generator_is_deaf_to_brightness_and_contrast_of_its_input():
    # Away from the border, InstanceNorm after the first convolution removes a*x + b (a > 0).
    torch.manual_seed(0)
    net = init_weights(ResnetGenerator(ngf=8, n_blocks=1)).double()
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(net(x), net(0.5 * x + 0.1), atol=2e-2, rtol=0)


def test_residual_block_adds_and_has_no_activation_after_the_sum():
    block = ResnetBlock(4)
    x = -torch.ones(1, 4, 8, 8)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    torch.testing.assert_close(block(x), x)  # a ReLU after the sum would give 0


def test_discriminator_map_is_30_by_30_at_256_pixels():
    with torch.inference_mode():
        assert PatchDiscriminator(ndf=4)(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 30, 30)


@pytest.mark.parametrize(("n_layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_field_by_arithmetic_and_by_autograd(n_layers, field):
    net = init_weights(
        PatchDiscriminator(ndf=2, n_layers=n_layers, norm=lambda _: nn.Identity()),
        std=0.5,
        generator=torch.Generator().manual_seed(0),
    ).double()
    assert receptive_field(convolutions_of(net)) == field
    assert receptive_field_by_autograd(net, size=2 * field + 32) == (field, field)


def test_instance_norm_lets_every_pixel_reach_every_score():
    net = init_weights(PatchDiscriminator(ndf=2), std=0.5).double()
    assert min(receptive_field_by_autograd(net, size=128)) > 120


def test_receptive_field_of_other_ladders():
    # The article's: three stride-2 layers, then the output. The tutorials': four, then two.
    assert receptive_field([(4, 2)] * 3 + [(4, 1)]) == 46
    assert receptive_field([(4, 2)] * 3 + [(4, 1)] * 2) == 70
    assert receptive_field([]) == 1


def test_init_weights_draws_the_references_distribution():
    net = init_weights(ResnetGenerator(), generator=torch.Generator().manual_seed(1))
    weights = torch.cat(
        [m.weight.flatten() for m in net.modules() if hasattr(m, "weight") and m.weight is not None]
    )
    assert abs(float(weights.detach().mean())) < 1e-4
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=1e-3)
    assert all(
        (m.bias == 0).all() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    )


def test_init_weights_is_repeatable():
    nets = [
        init_weights(PatchDiscriminator(ndf=4), generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    ]
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_flat_picture_gives_numbers(value):
    net = init_weights(ResnetGenerator(ngf=8, n_blocks=2))
    x = torch.full((1, 3, 32, 32), value, requires_grad=True)
    out = net(x)
    out.square().mean().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
