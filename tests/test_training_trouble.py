"""Numbers that are none stop a run before they are saved; a lack of memory says what to lower."""

import math
import re
import shlex
import sys
from dataclasses import replace

import pytest
import torch
from training_toys import CPU, TINY, StopAfter, assert_same_weights, run_it, write_pictures

from cyclegan_course import cli
from cyclegan_course.errors import CourseError
from cyclegan_course.training import Config, FastStep, build_state, trouble
from cyclegan_course.training.checkpoints import checkpoint_file, checkpoint_files, read_checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture
def config(data, monkeypatch):
    monkeypatch.setattr("cyclegan_course.training.loop.LOG_EVERY", 0.0)  # after every step
    return Config(data=str(data), **TINY, steps=6, save_every=0)


def spoil_after(monkeypatch, step, spoil):
    """After a step of the trainer, do something to its state or to its losses."""
    real = FastStep.__call__

    def call(self, *arguments):
        terms = real(self, *arguments)
        return (spoil(self.state, terms) or terms) if self.state.step + 1 == step else terms

    monkeypatch.setattr(FastStep, "__call__", call)


def nan_loss(state, terms):
    return terms | {"cycle_B": torch.tensor(math.nan)}


def nan_weight(state, terms):
    with torch.no_grad():
        next(state.model.D_A.parameters()).view(-1)[0] = math.nan


def huge_weight(state, terms):
    with torch.no_grad():
        next(state.model.G_BA.parameters()).view(-1)[0] = 1e30


def infinite_moment(state, terms):
    next(iter(state.optimizer_G.state.values()))["exp_avg_sq"].view(-1)[0] = math.inf


def nan_fake(state, terms):
    state.pool_A.pictures.view(-1)[0] = math.nan


class TestNonFinite:
    @pytest.mark.parametrize(
        ("spoil", "named"),
        [
            (nan_loss, "the loss cycle_B is no longer a number"),
            (nan_weight, "the network D_A is no longer a number"),
            (huge_weight, "the network G_BA is no longer a number"),
            (infinite_moment, "the generators' optimizer is no longer a number"),
            (nan_fake, "the pool of fakes of A is no longer a number"),
        ],
    )
    @pytest.mark.parametrize("logged", [True, False])
    def test_the_run_stops_names_it_and_saves_nothing_of_it(
        self, tmp_path, config, monkeypatch, spoil, named, logged
    ):
        if not logged:
            if spoil is nan_loss:
                pytest.skip("losses are read when they are logged")
            monkeypatch.setattr("cyclegan_course.training.loop.LOG_EVERY", 1e9)
        spoil_after(monkeypatch, 4, spoil)
        with pytest.raises(CourseError, match=f"At step 4 {named}") as caught:
            run_it(config, tmp_path)
        assert "the last good checkpoint, step 3" in str(caught.value)
        for file in checkpoint_files(tmp_path):
            _, tensors = read_checkpoint(file)
            floats = [value for value in tensors.values() if value.is_floating_point()]
            states = [value for value in floats if value.dtype != torch.float64]  # no tables
            assert all(torch.isfinite(value).all() for value in states)
        assert [int(file.stem[-1]) for file in checkpoint_files(tmp_path)] == [3, 2, 1]

    def test_the_command_that_it_names_really_works(self, tmp_path, config, monkeypatch):
        """The step blows up at this learning rate, and not at the one that is advised."""

        def too_fast(state, terms):
            if float(state.optimizer_G.param_groups[0]["lr"]) > 0.6 * config.lr:
                nan_weight(state, terms)

        folder = tmp_path / "a run"
        spoil_after(monkeypatch, 3, too_fast)
        with pytest.raises(CourseError) as caught:
            run_it(config, folder)
        command = re.search(r"(cyclegan-course train .*?) \(in Python", str(caught.value)).group(1)
        words = shlex.split(command)
        assert words[:2] == ["cyclegan-course", "train"]
        assert cli.main(words[1:]) == 0
        assert read_checkpoint(checkpoint_file(folder, 6))[0]["config"]["lr"] == 0.0005

    def test_the_call_that_it_names_really_works(self, tmp_path, config):
        """A learning rate that really blows the weights up."""
        run_it(config, tmp_path, watchers=[StopAfter(2)])
        with pytest.raises(CourseError, match=r"lr=5e\+24.*resume=True"):
            run_it(replace(config, lr=1e25), tmp_path, resume=True)
        assert run_it(replace(config, lr=5e-4), tmp_path, resume=True).finished

    def test_to_go_back_further_the_named_files_are_deleted(self, tmp_path, config, monkeypatch):
        with monkeypatch.context() as patch:
            spoil_after(patch, 4, nan_loss)
            with pytest.raises(CourseError) as caught:
                run_it(replace(config, measure_every=0), tmp_path)
        named = re.search(r"delete (.*) in its checkpoints", str(caught.value)).group(1)
        for name in named.split(" and "):
            (tmp_path / "checkpoints" / name).unlink()
        resumed = run_it(replace(config, measure_every=0), tmp_path, resume=True)
        assert_same_weights(resumed, run_it(config))

    def test_without_a_checkpoint_the_advice_is_to_start_again(self, tmp_path, config, monkeypatch):
        spoil_after(monkeypatch, 1, nan_loss)
        with pytest.raises(CourseError, match=r"no checkpoint yet: start again .*--lr 0\.0005"):
            run_it(config, tmp_path)
        with pytest.raises(CourseError, match=r"lower learning rate \(lr=0\.0005\)"):
            run_it(config)

    @pytest.mark.parametrize("changes", [{}, {"pool_size": 0}, {"ema": 0.9}])
    def test_a_finite_state_has_no_bad_parts(self, config, changes):
        state = build_state(replace(config, **changes), CPU)
        assert trouble.non_finite_parts(trouble.state_tensors(state)) == []

    def test_every_part_can_be_named(self, config):
        state = build_state(replace(config, ema=0.9), CPU)
        FastStep(state, config)(*torch.rand(2, 1, 3, 24, 24))
        tensors = trouble.state_tensors(state)
        bad = {
            name: torch.full_like(value, math.nan)
            for name, value in tensors.items()
            if value.is_floating_point()
        }
        named = trouble.non_finite_parts(bad)
        assert [name for name in named if not name.startswith("the ")] == []
        assert len(named) == 4 + 1 + 2 + 2


def lack_of(kind):
    return {
        "cpu": RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4"),
        "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"),
        "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        "mps": RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
        "python": MemoryError(),
    }[kind]


class TestMemory:
    @pytest.mark.parametrize("kind", ["cpu", "windows", "cuda", "cublas", "mps", "python"])
    def test_a_step_without_memory_says_what_to_lower(self, config, monkeypatch, kind):
        def fail(*_arguments):
            raise lack_of(kind)

        monkeypatch.setattr(FastStep, "__call__", fail)
        config = replace(config, batch=5)
        with (
            pytest.raises(CourseError, match=r"batch of 2 instead of 5 \(--batch 2\)"),
            trouble.out_of_memory(config, CPU),
        ):
            run_it(config)

    @pytest.mark.parametrize(
        ("kind", "numbers"),
        [("cpu", "8.0 GiB more were asked for"), ("cuda", "2.50 GiB more were asked for")],
    )
    def test_it_says_how_much_was_asked_for(self, config, kind, numbers):
        with pytest.raises(CourseError, match=numbers), trouble.out_of_memory(config, CPU):
            raise lack_of(kind)

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("CUDA error: an illegal memory access was encountered"),
            RuntimeError("unsupported memory format option"),
            ValueError("out of memory"),
            CourseError("not enough memory"),
        ],
    )
    def test_other_errors_pass(self, config, error):
        with pytest.raises(type(error)) as caught, trouble.out_of_memory(config, CPU):
            raise error
        assert caught.value is error

    @pytest.mark.parametrize(
        ("changes", "advice"),
        [
            ({"batch": 16}, "--batch 8"),
            ({"batch": 3}, "--batch 1"),
            ({"size": 256, "n_down": 2}, "--size 180"),
            ({"size": 128, "load_size": 143, "n_down": 2}, "--size 88 --load-size 99"),
            ({"size": 32, "ngf": 64}, "--ngf 32"),
            ({"size": 24, "ngf": 1}, "more memory"),
        ],
    )
    def test_advice(self, changes, advice):
        config = Config(**({"data": "painting", "steps": 1, "n_down": 1} | changes))
        text = trouble.smaller(config)
        assert advice in text
        lowered = {
            flag.replace("-", "_"): int(value)
            for flag, value in re.findall(r"--([\w-]+) (\d+)", text)
        }
        smaller = replace(config, **lowered)  # the advised settings are ones that work

        def memory(c):
            return c.batch * c.size**2 * c.ngf

        if lowered:
            assert 0.3 <= memory(smaller) / memory(config) <= 0.5

    def test_the_tensors_of_the_failed_step_are_given_back(self, config):
        """A notebook keeps the last error; it must not keep the memory that was too small."""
        kept = []

        class Big:
            def __del__(self):
                kept.append("gone")

        def step():
            big = Big()  # noqa: F841
            raise lack_of("cuda")

        with pytest.raises(CourseError) as caught, trouble.out_of_memory(config, CPU):
            step()
        assert kept == ["gone"]
        assert caught.value is not None

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_a_real_lack_on_a_gpu(self, config):
        cuda = torch.device("cuda")
        with (
            pytest.raises(CourseError, match=r"GiB more were asked for, .* of the GPU's"),
            trouble.out_of_memory(config, cuda),
        ):
            torch.empty(1 << 50, dtype=torch.uint8, device=cuda)

    @pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
    def test_a_real_lack_on_the_cpu(self, config):
        with (
            pytest.raises(CourseError, match=r"1048576\.0 GiB more were asked for"),
            trouble.out_of_memory(config, CPU),
        ):
            torch.empty(1 << 50, dtype=torch.uint8)
