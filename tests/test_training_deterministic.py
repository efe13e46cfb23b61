"""Runs that give equal weights, and the padding that lets them."""

import pytest
import torch
from torch import nn

from cyclegan_course import networks
from cyclegan_course.training.config import Config
from cyclegan_course.training.deterministic import deterministic_mode
from cyclegan_course.training.fast_step import FastStep
from cyclegan_course.training.levers import Levers
from cyclegan_course.training.state import build_state


def settings_of_torch():
    return (
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def trained_weights(device, deterministic=True, **changes):
    config = Config(
        size=32, n_blocks=2, n_down=2, ngf=8, ndf=8, n_layers=2, steps=9, pool_size=2,
        deterministic=deterministic, **changes,
    )  # fmt: skip
    with deterministic_mode(deterministic):
        state = build_state(config, device)
        step = FastStep(state, config)
        generator = torch.Generator().manual_seed(0)
        for _ in range(6):
            pictures = torch.rand(2, 1, 3, 32, 32, generator=generator).to(device) * 2 - 1
            step(*pictures)
            state.step += 1
    return state.model.state_dict()


class TestPadding:
    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    @pytest.mark.parametrize("pad", [1, 3])
    @pytest.mark.parametrize("size", [(4, 4), (5, 8), (9, 7)])
    @pytest.mark.parametrize("layer", [networks.MirrorPad2d, networks.LibraryPad2d])
    def test_output_and_gradient_are_the_librarys(self, layer, size, pad, memory_format):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
        x = x.contiguous(memory_format=memory_format).requires_grad_()
        found, expected = layer(pad)(x), nn.ReflectionPad2d(pad)(x)
        assert torch.equal(found, expected)
        assert found.is_contiguous(memory_format=memory_format)
        # Whole numbers, so that the order of a sum cannot matter.
        weight = torch.randint(-99, 99, found.shape, generator=generator).double()
        gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)]
        assert torch.equal(*gradients)

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
    def test_librarys_kernel_tells_the_compiler_what_comes_out(self, dtype, memory_format):
        x = torch.randn(2, 4, 5, 6).to(dtype).contiguous(memory_format=memory_format)
        x.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            padded = networks.LibraryPad2d(1)(x)
            padded.float().sum().backward()
        assert padded.dtype == x.grad.dtype == dtype
        torch.library.opcheck(networks._library_pad, (x, 1))
        torch.library.opcheck(networks._library_pad_backward, (padded.detach(), 1))

    def test_has_no_state(self):
        plain = networks.ResnetGenerator(ngf=4, n_blocks=1)
        assert not networks.MirrorPad2d(3).state_dict()
        assert not any("pad" in key for key in plain.state_dict())


class TestMode:
    @pytest.mark.parametrize("before", [0, 1])
    def test_holds_within_and_is_undone_after(self, before):
        torch.set_deterministic_debug_mode(before)
        try:
            torch.backends.cudnn.benchmark = True
            outside = settings_of_torch()
            with deterministic_mode(True):
                assert torch.are_deterministic_algorithms_enabled()
                assert not torch.is_deterministic_algorithms_warn_only_enabled()
                assert not torch.backends.cudnn.benchmark
            assert settings_of_torch() == outside
            with pytest.raises(KeyError), deterministic_mode(True):
                raise KeyError
            assert settings_of_torch() == outside
        finally:
            torch.set_deterministic_debug_mode(0)
            torch.backends.cudnn.benchmark = False

    def test_off_changes_nothing(self):
        outside = settings_of_torch()
        with deterministic_mode(False):
            assert settings_of_torch() == outside

    def test_padding_is_replaced_on_request_only(self):
        for deterministic in (False, True):
            config = Config(size=32, n_blocks=1, ngf=4, ndf=4, steps=1, deterministic=deterministic)
            state = build_state(config, torch.device("cpu"))
            kinds = [type(layer) for layer in FastStep(state, config, Levers()).model.modules()]
            assert kinds.count(networks.MirrorPad2d) == (8 if deterministic else 0)
            assert kinds.count(nn.ReflectionPad2d) == (0 if deterministic else 8)


class TestRuns:
    def test_two_runs_are_equal(self):
        one, other = (trained_weights(torch.device("cpu")) for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_mode_leaves_the_mathematics(self):
        """Six steps apart by rounding only; another seed is far away."""
        cpu = torch.device("cpu")
        one, other, seed = (
            torch.cat([value.flatten() for value in weights.values()])
            for weights in (
                trained_weights(cpu, precision="float32"),
                trained_weights(cpu, precision="float32", deterministic=False),
                trained_weights(cpu, precision="float32", seed=1),
            )
        )
        assert (one - other).norm() < 0.05 * one.norm()
        assert (one - seed).norm() > one.norm()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_two_runs_on_a_gpu_are_equal(self, precision):
        cuda = torch.device("cuda")
        one, other = (trained_weights(cuda, precision=precision) for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)
