"""Checkpoints: everything in them, whole or absent, checked, pruned, the best kept; full disks."""

import copy
import csv
import errno
import itertools
import json
import math
import os
import random
import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from training_toys import CPU, TINY, StopAfter, assert_same_weights, run_it, write_pictures

from cyclegan_course.errors import CourseError
from cyclegan_course.training import Config, FastStep, build_state, samples
from cyclegan_course.training import checkpoints as checkpoints_module
from cyclegan_course.training.checkpoints import (
    BEST,
    add_checkpoint,
    checkpoint_file,
    checkpoint_files,
    checkpoints_of,
    load_checkpoint,
    read_checkpoint,
    resume,
    save_checkpoint,
    state_tensors,
)
from cyclegan_course.training.watching import Watcher
from cyclegan_course.translate import load_translator


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture
def config(data, monkeypatch):
    monkeypatch.setattr("cyclegan_course.training.loop.LOG_EVERY", 0.0)  # after every step
    return Config(data=str(data), **TINY, steps=6, save_every=0)


class Said(Watcher):
    def __init__(self):
        self.sentences = []

    def say(self, sentence):
        self.sentences.append(sentence)


def make_state(config, steps=3):
    """A state with everything in it: filled pools, optimizers that have stepped, rows."""
    state = build_state(config, CPU)
    step = FastStep(state, config)
    generator = torch.Generator().manual_seed(7)
    for _ in range(steps):
        pictures = torch.rand(2, 1, 3, config.size, config.size, generator=generator) * 2 - 1
        step(*pictures)
        state.step += 1
        state.update_average()
    state.seconds = 1 / 3
    state.record = [{"step": 1, "seconds": 0.1, "G_AB": 1 / 7}, {"step": 3, "seconds": 0.2}]
    state.measures = [{"step": 3, "seconds": 0.3, "distance_AB": math.pi}]
    return state


def assert_same_state(one, other):
    tensors, others = state_tensors(one), state_tensors(other)
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        assert torch.equal(value, others[name]), name
    for name in ("step", "seconds", "record", "measures"):
        assert getattr(one, name) == getattr(other, name)


class TestContents:
    @pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"pool_size": 0}])
    def test_everything_comes_back(self, tmp_path, config, changes):
        config = replace(config, **changes)
        state = make_state(config)
        save_checkpoint(checkpoint_file(tmp_path, 3), state, config)
        fresh = build_state(replace(config, seed=5), CPU)
        assert resume(tmp_path, fresh, config) == []
        assert_same_state(fresh, state)
        assert isinstance(fresh.record[0]["step"], int)

    def test_a_state_before_the_first_step(self, tmp_path, config):
        state = build_state(config, CPU)
        save_checkpoint(checkpoint_file(tmp_path, 0), state, config)
        fresh = build_state(replace(config, seed=5), CPU)
        resume(tmp_path, fresh, config)
        assert_same_state(fresh, state)

    def test_random_numbers_of_torch_go_on(self, tmp_path, config):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            torch.rand(5)
            save_checkpoint(checkpoint_file(tmp_path, 3), make_state(config), config)
            expected = torch.rand(4)
            torch.manual_seed(4)
            resume(tmp_path, build_state(config, CPU), config)
            assert torch.equal(torch.rand(4), expected)

    def test_header_says_what_it_was_made_with(self, tmp_path, config):
        save_checkpoint(tmp_path / "a.safetensors", make_state(config), config)
        with safe_open(tmp_path / "a.safetensors", framework="pt") as opened:
            header = opened.metadata()
        run = json.loads(header["run"])
        assert header["format"] == "1"
        assert len(header["sha256"]) == 64
        assert run["config"]["size"] == 24
        assert run["versions"]["torch"] == torch.__version__ or "+" in torch.__version__

    def test_a_long_record_does_not_make_the_header_long(self, tmp_path, config):
        state = make_state(config)
        state.record = [{"step": i, "seconds": i / 3, "G_AB": i / 7} for i in range(50_000)]
        file = checkpoint_file(tmp_path, 3)
        save_checkpoint(file, state, config)
        assert int.from_bytes(file.read_bytes()[:8], "little") < 50_000
        fresh = build_state(config, CPU)
        resume(tmp_path, fresh, config)
        assert fresh.record == state.record

    def test_nothing_is_unpickled(self, tmp_path, config, monkeypatch):
        save_checkpoint(checkpoint_file(tmp_path, 3), make_state(config), config)
        monkeypatch.setattr("pickle.Unpickler", None)
        monkeypatch.setattr("pickle.loads", None)
        monkeypatch.setattr(torch, "load", None)
        assert resume(tmp_path, build_state(config, CPU), config) == []

    def test_a_learning_rate_that_is_a_tensor_stays_that_tensor(self, tmp_path, config):
        # A recorded step has its address; it must neither be replaced nor keep the file's value.
        save_checkpoint(checkpoint_file(tmp_path, 3), make_state(config), config)
        fresh = build_state(config, CPU)
        lr = torch.tensor(0.25)
        group = fresh.optimizer_G.param_groups[0]
        group["lr"] = lr
        resume(tmp_path, fresh, config)
        assert fresh.optimizer_G.param_groups[0]["lr"] is lr
        fresh.set_learning_rate(0.125)
        assert float(lr) == 0.125

    def test_moments_lie_in_memory_as_their_parameters_do(self, tmp_path, config):
        # A fused update walks through both without a look at their strides.
        state = make_state(config)
        save_checkpoint(checkpoint_file(tmp_path, 3), state, config)
        fresh = build_state(config, CPU)
        fresh.model.to(memory_format=torch.channels_last)
        resume(tmp_path, fresh, config)
        for parameter, entry in fresh.optimizer_G.state.items():
            assert entry["exp_avg"].stride() == parameter.stride()
        assert_same_state(fresh, state)

    def test_the_file_may_be_read_by_whom_other_new_files_may(self, tmp_path, config):
        save_checkpoint(tmp_path / "a.safetensors", make_state(config), config)
        (tmp_path / "other").touch()
        modes = [(tmp_path / name).stat().st_mode for name in ("a.safetensors", "other")]
        assert modes[0] == modes[1]

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_from_a_gpu_to_the_cpu_and_back(self, tmp_path, config):
        cuda = torch.device("cuda")
        state = build_state(config, cuda)
        FastStep(state, config)(*torch.rand(2, 1, 3, 24, 24, device=cuda))
        state.step = 1
        save_checkpoint(checkpoint_file(tmp_path / "gpu", 1), state, config)
        expected = torch.rand(4, device=cuda)
        on_cpu = build_state(config, CPU)
        resume(tmp_path / "gpu", on_cpu, config)
        save_checkpoint(checkpoint_file(tmp_path / "cpu", 1), on_cpu, config)
        back = build_state(config, cuda)
        resume(tmp_path / "cpu", back, config)
        for name, value in state_tensors(back).items():
            assert torch.equal(value, state_tensors(state)[name]), name
        resume(tmp_path / "gpu", back, config)
        assert torch.equal(torch.rand(4, device=cuda), expected)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file, place=-1):
    changed = bytearray(file.read_bytes())
    changed[place] ^= 1
    file.write_bytes(changed)


def empty(file):
    file.write_bytes(b"")


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path, config):
        """Checkpoints of steps 3, 4 and 5."""
        state = make_state(config)
        for state.step in (3, 4, 5):
            add_checkpoint(tmp_path, state, config)
        return tmp_path

    @pytest.mark.parametrize("damage", [truncate, flip, empty])
    def test_a_damaged_newest_is_named_and_the_one_before_taken(self, folder, config, damage):
        damage(checkpoint_file(folder, 5))
        state = build_state(config, CPU)
        sentences = " ".join(resume(folder, state, config))
        assert state.step == 4
        assert "step_000000005.safetensors' is damaged" in sentences
        assert "step_000000004.safetensors, step 4" in sentences

    def test_all_damaged(self, folder, config):
        for file in checkpoint_files(folder):
            truncate(file)
        with pytest.raises(CourseError, match="start a new run") as caught:
            resume(folder, build_state(config, CPU), config)
        assert all(f"step_00000000{step}" in str(caught.value) for step in (3, 4, 5))

    def test_the_best_is_the_last_resort(self, folder, config):
        shutil.copy(checkpoint_file(folder, 3), folder / "checkpoints" / BEST)
        for file in checkpoint_files(folder):
            truncate(file)
        state = build_state(config, CPU)
        assert BEST in resume(folder, state, config)[-1]
        assert state.step == 3

    def test_a_best_later_than_the_others_is_taken_first(self, folder, config):
        os.replace(checkpoint_file(folder, 5), folder / "checkpoints" / BEST)
        assert list(checkpoints_of(folder).values()) == [5, 4, 3]
        state = build_state(config, CPU)
        assert resume(folder, state, config) == []
        assert state.step == 5

    def test_an_unreadable_best_is_tried_last(self, folder):
        empty(folder / "checkpoints" / BEST)
        assert list(checkpoints_of(folder).values()) == [5, 4, 3, -1]

    def test_every_flipped_byte_is_found(self, folder, config):
        """In the header, in the tensors, in the checksum itself: no change passes as whole."""
        file = checkpoint_file(folder, 5)
        good = file.read_bytes()
        header = 8 + int.from_bytes(good[:8], "little")
        rng = random.Random(0)
        places = rng.sample(range(header), 60) + rng.sample(range(header, len(good)), 60)
        for place in [*places, 0, 7, 8, header - 1, header, len(good) - 1]:
            flip(file, place)
            with pytest.raises(CourseError, match="is damaged"):
                read_checkpoint(file)
            file.write_bytes(good)
        read_checkpoint(file)

    def test_another_format_is_not_guessed_at(self, tmp_path, config, monkeypatch):
        monkeypatch.setattr(checkpoints_module, "FORMAT", "2")
        save_checkpoint(tmp_path / "a.safetensors", make_state(config), config)
        monkeypatch.undo()
        with pytest.raises(CourseError, match="its format is 2, not 1"):
            read_checkpoint(tmp_path / "a.safetensors")

    def test_a_safetensors_file_of_something_else(self, tmp_path, config):
        file = checkpoint_file(tmp_path, 1)
        file.parent.mkdir()
        safetensors.torch.save_file({"a": torch.zeros(3)}, file)
        with pytest.raises(CourseError, match="start a new run"):
            resume(tmp_path, build_state(config, CPU), config)

    def test_a_disk_that_cannot_be_read(self, folder, config, monkeypatch):
        real = safe_open

        def failing(file, **options):
            if file.name == "step_000000005.safetensors":
                raise OSError(errno.EIO, "Input/output error")
            return real(file, **options)

        monkeypatch.setattr(checkpoints_module, "safe_open", failing)
        state = build_state(config, CPU)
        assert "Input/output error" in resume(folder, state, config)[0]
        assert state.step == 4

    def test_damaged_later_ones_go_when_the_run_has_gone_on(self, folder, config):
        flip(checkpoint_file(folder, 5))
        state = build_state(config, CPU)
        resume(folder, state, config)
        add_checkpoint(folder, state, config)  # of step 4, from where the run goes on
        assert [file.name[-13:-12] for file in checkpoint_files(folder)] == ["4", "3"]

    def test_no_checkpoint_is_a_fresh_start(self, tmp_path, config):
        state = build_state(config, CPU)
        assert resume(tmp_path, state, config) == []
        assert state.step == 0

    def test_train_goes_on_from_the_one_before_to_the_same_weights(self, tmp_path, config):
        whole = run_it(config)
        run_it(replace(config, steps=6), tmp_path)
        for step in (6, 5):
            flip(checkpoint_file(tmp_path, step))
        assert read_checkpoint(checkpoint_file(tmp_path, 4))[0]["step"] == 4
        resumed = run_it(config, tmp_path, resume=True)
        assert_same_weights(whole, resumed)
        read_checkpoint(checkpoint_file(tmp_path, 6))


class TestSettings:
    def test_those_that_differ_are_named(self, tmp_path, config):
        save_checkpoint(checkpoint_file(tmp_path, 3), make_state(config), config)
        other = replace(config, batch=2, seed=3, steps=100, keep=1)
        with pytest.raises(
            CourseError, match=r"other settings: batch 1 \(now 2\), seed 0"
        ) as caught:
            resume(tmp_path, build_state(other, CPU), other)
        assert "steps" not in str(caught.value)

    def test_another_learning_rate_is_said(self, tmp_path, config):
        save_checkpoint(checkpoint_file(tmp_path, 3), make_state(config), config)
        (said,) = resume(tmp_path, build_state(config, CPU), replace(config, lr=2e-4))
        assert said == "From step 3 on the learning rate is 0.0002; it was 0.001."

    def test_another_version_of_torch_is_said(self, tmp_path, config, monkeypatch):
        versions = {"torch": "2.11.0", "cyclegan-course": "0.1.0"}
        monkeypatch.setattr(checkpoints_module, "_versions", lambda: versions)
        save_checkpoint(checkpoint_file(tmp_path, 3), make_state(config), config)
        monkeypatch.undo()
        (said,) = resume(tmp_path, build_state(config, CPU), config)
        assert "written with torch 2.11.0" in said

    def test_networks_of_another_version(self, tmp_path, config, monkeypatch):
        state = make_state(config)
        save_checkpoint(checkpoint_file(tmp_path, 3), state, config)
        fresh = build_state(replace(config, ngf=4), CPU)
        with pytest.raises(CourseError, match="does not fit the networks"):
            load_checkpoint(checkpoint_file(tmp_path, 3), fresh, config)


class TestKept:
    def test_the_newest_k_are_kept(self, tmp_path, config):
        run_it(replace(config, keep=2), tmp_path)
        assert [read_checkpoint(file)[0]["step"] for file in checkpoint_files(tmp_path)] == [6, 5]

    def test_the_older_go_only_when_the_new_one_is_there(self, tmp_path, config, monkeypatch):
        state = make_state(config)
        add_checkpoint(tmp_path, state, replace(config, keep=1))
        state.step = 4
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full_disk)
            with pytest.raises(CourseError, match="The one before it is still whole"):
                add_checkpoint(tmp_path, state, replace(config, keep=1))
        assert [file.stem for file in checkpoint_files(tmp_path)] == ["step_000000003"]
        add_checkpoint(tmp_path, state, replace(config, keep=1))
        assert [file.stem for file in checkpoint_files(tmp_path)] == ["step_000000004"]

    @pytest.mark.parametrize("links", [True, False])
    def test_the_best_is_kept_whole(self, tmp_path, config, monkeypatch, links):
        distances = iter([0.9, 0.5, 0.1, 0.3, 0.2, 0.4])  # step 3 is the best
        seen = []

        def measures(generators, *_args, **_options):
            seen.append(copy.deepcopy(generators["G_AB"].state_dict()))
            return dict.fromkeys(("distance_AB", "distance_BA"), next(distances))

        monkeypatch.setattr(samples, "measure_held_out", measures)
        if not links:
            monkeypatch.setattr(os, "link", full_disk)
        run_it(replace(config, measure_every=0, keep=2), tmp_path)
        header, tensors = read_checkpoint(tmp_path / "checkpoints" / BEST)
        assert header["step"] == 3
        for name, value in seen[2].items():
            assert torch.equal(tensors[f"model.G_AB.{name}"], value)
        assert [read_checkpoint(file)[0]["step"] for file in checkpoint_files(tmp_path)] == [6, 5]
        # Its generators are ready to translate with, beside the last ones.
        best, last = (load_translator(folder, "AB") for folder in (tmp_path / "best", tmp_path))
        assert best.card["trained"]["steps"] == 3
        assert last.card["trained"]["steps"] == 6

    def test_killed_between_its_two_names_the_best_is_not_lost(self, tmp_path, config, monkeypatch):
        state = make_state(config)
        add_checkpoint(tmp_path, state, config)
        state.step = 4
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints_module, "_add_name", interrupt)
            with pytest.raises(KeyboardInterrupt):
                add_checkpoint(tmp_path, state, config, best=True)
        fresh = build_state(config, CPU)
        assert resume(tmp_path, fresh, config) == []
        assert fresh.step == 4
        assert read_checkpoint(tmp_path / "checkpoints" / BEST)[0]["step"] == 4

    def test_the_best_so_far_counts_over_a_resume(self, tmp_path, config, monkeypatch):
        distances = iter([0.5, 0.3, 0.4, 0.35, 0.45, 0.31])
        monkeypatch.setattr(
            samples, "measure_held_out", lambda *_args, **_options: {"distance_AB": next(distances)}
        )
        config = replace(config, measure_every=0)
        run_it(config, tmp_path, watchers=[StopAfter(3)])
        run_it(config, tmp_path, resume=True)
        assert read_checkpoint(tmp_path / "checkpoints" / BEST)[0]["step"] == 2


class TestTime:
    @pytest.mark.parametrize(("takes", "expected"), [(1.0, 50.0), (0.1, 10.0)])
    def test_a_slow_disk_is_written_to_less_often(
        self, tmp_path, config, monkeypatch, takes, expected
    ):
        """The clock is ours: a step takes 1 s, writing what the test says."""
        clock = Clock()
        monkeypatch.setattr("cyclegan_course.training.loop.time", clock)
        monkeypatch.setattr(FastStep, "__call__", clock.passes(1.0, fake_step))
        written = []

        def write(folder, state, config, *, best=False):
            written.append((clock.now, best))
            clock.now += takes

        monkeypatch.setattr(checkpoints_module, "add_checkpoint", write)
        run_it(replace(config, steps=400, save_every=10.0, measure_every=1e9), tmp_path)
        scheduled = [moment for moment, best in written if not best][:-1]
        gaps = [later - earlier for earlier, later in itertools.pairwise(scheduled)]
        assert len(gaps) >= 5
        assert all(expected <= gap <= expected + 1 + takes for gap in gaps)


class Clock:
    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def passes(self, seconds, function):
        def call(*arguments):
            self.now += seconds
            return function(*arguments)

        return call


def fake_step(*_arguments):
    names = ("G_AB", "G_BA", "cycle_A", "cycle_B", "D_A", "D_B")
    return {name: torch.tensor(0.5) for name in names}


def interrupt(*_args, **_options):
    raise KeyboardInterrupt


def full_disk(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


class TestFullDisk:
    def test_the_run_warns_once_and_goes_on(self, tmp_path, config, monkeypatch):
        real, tries = safetensors.torch.save_file, []

        def full_for_a_while(tensors, path, metadata):
            tries.append(path)
            if 2 <= len(tries) <= 4:
                path.write_bytes(b"half")
                full_disk()
            real(tensors, path, metadata)

        monkeypatch.setattr(safetensors.torch, "save_file", full_for_a_while)
        said = Said()
        run = run_it(config, tmp_path, watchers=[said])
        assert run.finished
        assert_same_weights(run, run_it(config))
        warnings = [text for text in said.sentences if "could not be written" in text]
        assert len(warnings) == 1
        assert "No space left on device" in warnings[0]
        assert "goes on and tries it again later" in warnings[0]
        steps = [read_checkpoint(file)[0]["step"] for file in checkpoint_files(tmp_path)]
        assert steps == [6, 5, 1]  # of steps 2, 3 and 4 the disk was full
        assert not list(tmp_path.rglob("*.part"))

    def test_while_it_is_full_the_earlier_one_is_whole(self, tmp_path, config, monkeypatch):
        run_it(replace(config, steps=6), tmp_path, watchers=[StopAfter(2)])
        before = checkpoint_file(tmp_path, 2).read_bytes()
        monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
        with pytest.raises(CourseError, match=r"could not be written .*free some disk space"):
            run_it(config, tmp_path, resume=True)
        assert checkpoint_file(tmp_path, 2).read_bytes() == before
        monkeypatch.undo()
        resumed = run_it(config, tmp_path, resume=True)
        assert_same_weights(resumed, run_it(config))

    def test_a_stop_that_cannot_save_says_so(self, tmp_path, config, monkeypatch):
        monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
        with pytest.raises(CourseError, match="could not be written"):
            run_it(config, tmp_path, watchers=[StopAfter(1)])


class TestTables:
    def test_rows_after_the_checkpoint_are_gone(self, tmp_path, config):
        run_it(config, tmp_path, watchers=[StopAfter(5)])
        for step in (5, 4):
            flip(checkpoint_file(tmp_path, step))
        run_it(config, tmp_path, resume=True)
        with (tmp_path / "losses.csv").open(newline="") as stream:
            steps = [int(row["step"]) for row in csv.DictReader(stream)]
        assert steps == [1, 2, 3, 4, 5, 6]
