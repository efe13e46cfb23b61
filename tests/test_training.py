"""The run: schedule, folder, checkpoints, interruption, exact continuation."""

import copy
import csv
import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.training import (
    Config,
    FastStep,
    learning_rate_factor,
    loop,
    preset,
    run_progress,
    train,
)
from cyclegan_course.training.watching import Watcher
from cyclegan_course.translate import load_translator

TINY = {
    "data": "editing",
    "size": 32,
    "n_blocks": 1,
    "ngf": 4,
    "ndf": 4,
    "edge_kernel": 3,
    "n_layers": 2,
    "precision": "float32",
}
CPU = torch.device("cpu")


def tiny_train(folder=None, **changes):
    return train(Config(**(TINY | {"steps": 3} | changes)), folder, device=CPU, progress=False)


def weights(run):
    return {key: value.clone() for key, value in run.model.state_dict().items()}


def before_each_step(monkeypatch, action):
    """Call `action(step)` before each step of the trainer; what it returns is the step's terms."""
    real_step = FastStep.__call__

    def call(step, *arguments):
        return action(step) or real_step(step, *arguments)

    monkeypatch.setattr(FastStep, "__call__", call)


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


class TestSchedule:
    def test_constant_then_linear_to_zero(self):
        assert [learning_rate_factor(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]

    def test_progress_is_whichever_limit_is_nearer(self):
        assert run_progress(Config(steps=10), 5, 1e9) == 0.5
        assert run_progress(Config(minutes=1), 10**9, 15) == 0.25
        assert run_progress(Config(steps=10, minutes=1), 1, 45) == 0.75
        assert run_progress(Config(steps=10), 11, 0) == 1

    def test_learning_rate_reaches_the_optimizers(self, monkeypatch):
        seen = []

        def spy(step):
            for optimizer in (step.state.optimizer_G, step.state.optimizer_D):
                seen.append(float(optimizer.param_groups[0]["lr"]))

        before_each_step(monkeypatch, spy)
        tiny_train(steps=4, lr=1e-3)
        assert seen == [pytest.approx(lr) for lr in (1e-3, 1e-3, 1e-3, 5e-4) for _ in "GD"]


class TestConfig:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({}, "how long"),
            ({"steps": 0}, "larger than 0"),
            ({"minutes": -1.0}, "larger than 0"),
            ({"steps": 1, "size": 33}, "multiple of 2"),
            ({"steps": 1, "size": 8}, "at least 24"),
            ({"steps": 1, "size": 64, "load_size": 60}, "smaller than the crops"),
            ({"steps": 1, "adversarial": "wgan"}, "lsgan"),
            ({"steps": 1, "precision": "half"}, "bfloat16"),
            ({"steps": 1, "compile": "yes"}, "auto, on, off"),
            ({"steps": 1, "best": "fid"}, "distance"),
            ({"steps": 1, "ema": 1.0}, "less than 1"),
            ({"steps": 1, "keep": 0}, "larger than 0"),
            ({"steps": 1, "save_every": -1.0}, "negative"),
        ],
    )
    def test_bad_settings_get_a_sentence(self, changes, words):
        with pytest.raises(CourseError, match=words):
            Config(**changes)

    def test_reference_preset_is_the_papers(self):
        config = preset("reference", data="horses")
        assert (config.size, config.loaded_size, config.n_blocks, config.ngf) == (256, 286, 9, 64)
        assert (config.lr, config.lambda_cycle, config.lambda_identity) == (2e-4, 10, 5)
        assert (config.ndf, config.pool_size, config.batch, config.n_down) == (64, 50, 1, 2)

    def test_a_given_length_replaces_the_presets(self):
        assert preset("minute", steps=5).minutes is None
        assert preset("reference", minutes=5.0).steps is None
        with pytest.raises(CourseError, match="minute, small, reference"):
            preset("huge")


class TestRun:
    def test_same_seed_same_weights_and_another_seed_others(self):
        assert same(weights(tiny_train()), weights(tiny_train()))
        assert not same(weights(tiny_train()), weights(tiny_train(seed=1)))

    def test_training_lowers_the_cycle_loss(self):
        record = tiny_train(steps=60, lr=2e-3, lambda_identity=0.0).record
        first, last = record[0], record[-1]
        assert last["cycle_A"] + last["cycle_B"] < 0.7 * (first["cycle_A"] + first["cycle_B"])

    def test_folder_explains_itself(self, tmp_path):
        run = tiny_train(tmp_path / "run")
        folder = tmp_path / "run"
        assert json.loads((folder / "config.json").read_text())["size"] == 32
        with (folder / "losses.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["step"]) for row in rows] == [r["step"] for r in run.record]
        assert rows[-1].keys() >= {"G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A"}
        grid = np.asarray(Image.open(folder / "samples" / "step_0000003.png"))
        assert grid.shape == (6 * 34 + 2, 6 * 34 + 2, 3)
        assert not list(folder.rglob("*.part"))

    def test_average_follows_the_generators(self, monkeypatch):
        plain = tiny_train(steps=3)
        seen = []
        before_each_step(monkeypatch, lambda step: seen.append(copy.deepcopy(step.state.model)))
        run = tiny_train(steps=3, ema=0.75)
        assert same(weights(plain), weights(run))  # the average changes nothing in the training
        for name in ("G_AB", "G_BA"):
            after = [getattr(model, name).state_dict() for model in [*seen[1:], run.model]]
            for key, value in run.generators[name].state_dict().items():
                expected = after[0][key]
                for state in after[1:]:
                    expected = 0.75 * expected + 0.25 * state[key]
                torch.testing.assert_close(value, expected)

    def test_generator_is_ready_to_translate(self, tmp_path):
        run = tiny_train(tmp_path / "run", name="mine")
        translator = load_translator(tmp_path / "run", "BA")
        x = torch.rand(1, 3, 32, 32) * 2 - 1
        expected = run.model.G_BA.half().float()(x)
        torch.testing.assert_close(translator.translate_tensor(x), expected, atol=1e-6, rtol=0)
        card = translator.card
        assert card["name"] == "mine"
        assert card["trained"]["steps"] == 3
        assert card["trained"]["config"]["seed"] == 0

    def test_stopped_and_resumed_equals_uninterrupted(self, tmp_path, monkeypatch):
        straight = weights(tiny_train(steps=6, pool_size=2))
        config = Config(**(TINY | {"steps": 6, "pool_size": 2}))

        def stop_in_the_fourth(step):
            if step.state.step == 3:
                signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            before_each_step(patch, stop_in_the_fourth)
            stopped = train(config, tmp_path / "run", device=CPU, progress=False)
        assert not stopped.finished
        assert stopped.stopped_by == "SIGINT"
        assert stopped.steps == 4  # the step that was under way is made, not half made
        resumed = train(config, tmp_path / "run", device=CPU, progress=False, resume=True)
        assert resumed.finished
        assert resumed.steps == 6
        assert same(straight, weights(resumed))
        with (tmp_path / "run" / "losses.csv").open(newline="") as stream:
            steps = [int(row["step"]) for row in csv.DictReader(stream)]
        assert steps == sorted(set(steps))
        assert steps[0] == 1
        assert steps == [row["step"] for row in resumed.record]

    def test_a_finished_run_that_is_resumed_stays_as_it_is(self, tmp_path, monkeypatch):
        tiny_train(tmp_path / "run")
        card = tmp_path / "run" / "generator" / "editing.json"
        before = card.read_bytes()
        monkeypatch.setattr(loop.run_folder.environment, "machine", lambda: "another machine")
        config = Config(**(TINY | {"steps": 3}))
        assert train(config, tmp_path / "run", device=CPU, progress=False, resume=True).finished
        assert card.read_bytes() == before
        weights_file = card.with_name("editing_BA.safetensors")
        whole = weights_file.read_bytes()
        older = before.replace(b'"steps": 3,', b'"steps": 2,')
        assert older != before
        # Generators that are not those of the last step, or not whole, are written again.
        for damage in (
            lambda: card.write_bytes(older),
            lambda: weights_file.write_bytes(whole[:-9]),
            weights_file.unlink,
            card.unlink,
        ):
            card.write_bytes(before)
            damage()
            train(config, tmp_path / "run", device=CPU, progress=False, resume=True)
            assert weights_file.read_bytes() == whole
            assert "another machine" in card.read_text()

    def test_a_second_run_does_not_overwrite_the_first(self, tmp_path):
        tiny_train(tmp_path / "run")
        with pytest.raises(CourseError, match="already holds a run"):
            tiny_train(tmp_path / "run")

    def test_resume_with_other_settings_is_refused(self, tmp_path):
        tiny_train(tmp_path / "run")
        before = (tmp_path / "run" / "config.json").read_text()
        config = Config(**(TINY | {"steps": 3, "lambda_cycle": 3.0}))
        with pytest.raises(CourseError, match="lambda_cycle"):
            train(config, tmp_path / "run", device=CPU, progress=False, resume=True)
        assert (tmp_path / "run" / "config.json").read_text() == before

    def test_unwritable_output(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(CourseError, match="Cannot write"):
            tiny_train(tmp_path / "file" / "run")

    def test_flat_pictures_train_without_nan(self, tmp_path):
        for name, value in (("trainA", 0), ("trainB", 255)):
            (tmp_path / name).mkdir()
            Image.new("RGB", (40, 40), (value,) * 3).save(tmp_path / name / "flat.png")
        run = tiny_train(data=str(tmp_path), steps=4)
        assert all(np.isfinite(list(row.values())).all() for row in run.record)

    def test_samples_are_handed_over(self):
        seen = []
        config = Config(**(TINY | {"steps": 2}))
        train(
            config,
            device=CPU,
            progress=False,
            on_sample=lambda grid, step: seen.append((grid.shape, step)),
        )
        assert seen == [((3, 6 * 34 + 2, 6 * 34 + 2), 2)]


class TestStages:
    """The generators that a run keeps on its way."""

    SHARES = (0, 0.5, 0.6, 1)  # of 6 steps: 0, 3, 4 (the first that is not before 3.6), 6

    def kept(self, folder):
        """Both weights files of each stage, by its step."""
        return {
            int(stage.name.removeprefix("step_")): [
                (stage / "generator" / f"editing_{way}.safetensors").read_bytes()
                for way in ("AB", "BA")
            ]
            for stage in sorted((folder / "stages").iterdir())
        }

    def run(self, folder, **options):
        config = Config(**(TINY | {"steps": 6}))
        return train(config, folder, device=CPU, progress=False, stages=self.SHARES, **options)

    def test_each_is_what_a_run_stopped_there_leaves_behind(self, tmp_path, monkeypatch):
        self.run(tmp_path / "whole")
        stages = self.kept(tmp_path / "whole")
        assert list(stages) == [0, 3, 4, 6]
        assert stages[0] != stages[3]

        def stop(step):
            if step.state.step == 3:
                signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            before_each_step(patch, stop)
            self.run(tmp_path / "stopped")
        generator = tmp_path / "stopped" / "generator"
        assert stages[4] == [
            (generator / f"editing_{way}.safetensors").read_bytes() for way in ("AB", "BA")
        ]
        assert list(self.kept(tmp_path / "stopped")) == [0, 3, 4]
        self.run(tmp_path / "stopped", resume=True)
        assert self.kept(tmp_path / "stopped") == stages

    def test_they_change_nothing_in_the_training(self, tmp_path):
        assert same(weights(self.run(tmp_path)), weights(tiny_train(steps=6)))

    def test_without_room_for_one_the_run_goes_on(self, tmp_path, monkeypatch):
        write = loop.run_folder.write_generators

        def full(config, source, state, folder):
            if "stages" in folder.parts:
                raise CourseError("The disk is full.")
            write(config, source, state, folder)

        monkeypatch.setattr(loop.run_folder, "write_generators", full)
        said = []
        listener = Watcher()
        listener.say = said.append
        assert self.run(tmp_path, watchers=[listener]).finished
        assert said == ["The disk is full. The run goes on without this stage."] * 4
