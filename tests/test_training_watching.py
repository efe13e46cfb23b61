"""Watching a run: progress, samples, measures, the folder that explains itself, TensorBoard."""

import csv
import re
import shlex
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from training_toys import CPU, TINY, write_pictures

from cyclegan_course import cli, metrics
from cyclegan_course.datasets import Source
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.training import Config, loop, run_folder, samples, train
from cyclegan_course.training.watching import (
    Audience,
    ProgressBar,
    RecentRate,
    TensorBoard,
    TimeLeft,
    Watcher,
    clock,
)

ROW = {name: 0.5 for name in ("G_AB", "G_BA", "cycle_A", "cycle_B", "D_A", "D_B")}


def row(step, seconds):
    return {"step": step, "seconds": seconds, **ROW}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return Config(
        data=str(write_pictures(tmp_path_factory.mktemp("pictures") / "noise")), steps=3, **TINY
    )


def run_it(config, folder=None, *watchers, progress=False, resume=False):
    return train(config, folder, device=CPU, progress=progress, resume=resume, watchers=watchers)


class Diary(Watcher):
    """Writes down what it is told; asks for a stop after a step."""

    def __init__(self, stop_after=None):
        self.told = []
        self.stop_after = stop_after

    def begin(self, title, progress):
        self.told.append(("begin", title, progress))

    def resumed(self, record, measures):
        self.told.append(("resumed", [one["step"] for one in record]))

    def losses(self, row, progress, images_per_second):
        self.told.append(("losses", row["step"], progress, images_per_second))
        self.stop_requested = row["step"] == self.stop_after

    def samples(self, grid, step):
        self.told.append(("samples", tuple(grid.shape), step))

    def measures(self, row):
        self.told.append(("measures", row["step"]))

    def say(self, sentence):
        self.told.append(("say", sentence))

    def end(self):
        self.told.append(("end",))

    def of(self, event):
        return [facts for name, *facts in self.told if name == event]


class Broken(Watcher):
    def losses(self, row, progress, images_per_second):
        raise RuntimeError("no place to draw")

    samples = measures = losses


class TestPace:
    def test_rate_is_that_of_the_last_moments(self):
        rate = RecentRate(window=5.0)
        assert rate(0.0, 0) is None
        slow = [rate(second, second) for second in range(1, 11)]
        assert slow == pytest.approx([1.0] * 10)
        fast = [rate(10 + second, 10 + 7 * second) for second in range(1, 11)]
        assert fast[4:] == pytest.approx([7.0] * 6)  # what lies 5 seconds back is forgotten

    def test_rate_across_a_gap_longer_than_the_window(self):
        rate = RecentRate(window=5.0)
        rate(0.0, 0)
        assert rate(100.0, 300) == pytest.approx(3.0)

    def test_time_left_of_a_run_of_minutes_is_exact_also_after_a_resume(self):
        config = Config(minutes=10.0)
        left = TimeLeft()
        for seconds in (300.0, 300.5, 310.0, 400.0):
            assert left(seconds, loop.run_progress(config, 1, seconds)) == pytest.approx(
                600 - seconds
            )

    def test_time_left_of_a_run_of_steps_follows_its_speed(self):
        left = TimeLeft()
        # 1000 steps: 500 of them took 500 s, on another machine; here each takes 2 s.
        assert left(500.0, 0.5) == pytest.approx(500)
        for step in range(501, 601):
            last = left(500.0 + 2 * (step - 500), step / 1000)
        assert last == pytest.approx(2 * 400)

    def test_time_left_is_unknown_before_there_is_progress(self):
        assert TimeLeft()(0.0, 0.0) is None
        assert [clock(seconds) for seconds in (None, 25, 5000)] == ["?", "00:25", "1:23:20"]


class TestProgressBar:
    def test_a_log_of_a_day_has_some_hundred_lines_and_the_last_one(self, capsys):
        bar = ProgressBar()
        day = 24 * 3600
        bar.begin("painting", 0.0)
        for second in range(0, day, 2):
            bar.losses(row(second, second), second / day, 24.06)
        bar.losses(row(day, day), 1.0, 24.06)
        bar.end()
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert out == ""
        assert "\r" not in err
        assert 100 < len(lines) < 600
        assert lines[0].startswith("painting   0%, ? left, step 0, 24.1 images/s, G 0.50 0.50")
        assert lines[-1].startswith(f"painting 100%, 00:00 left, step {day},")

    def test_a_terminal_gets_a_bar(self, monkeypatch, capsys):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        bar = ProgressBar()
        bar.begin("painting", 0.5)
        bar.losses(row(60, 60.0), 0.6, 24.0)
        bar.say("A sentence.")
        bar.end()
        out, err = capsys.readouterr()
        assert "painting  60%|" in err
        assert "00:40 left, step 60, 24.0 images/s" in err
        assert out.count("A sentence.") == 1

    def test_a_run_shows_one_unless_another_watcher_speaks(self, config, capsys):
        run_it(config, progress=True)
        assert "noise 100%, 00:00 left, step 3" in capsys.readouterr().err
        diary = Diary()
        diary.speaks = True
        run_it(config, None, diary, progress=True)
        assert "step" not in capsys.readouterr().err

    def test_a_run_without_watchers_is_silent(self, config, tmp_path, capsys):
        run_it(config, tmp_path / "run")
        assert capsys.readouterr() == ("", "")


class TestWatchers:
    def test_are_told_everything_in_order(self, config, tmp_path):
        diary = Diary()
        run = run_it(config, tmp_path / "run", diary)
        assert diary.of("begin") == [["noise", 0.0]]
        (step, progress, speed), *_ = diary.of("losses")
        assert (step, progress) == (1, pytest.approx(1 / 3))
        assert speed > 0
        assert diary.of("samples")[-1] == [(3, 6 * 26 + 2, 3 * 26 + 2), 3]
        assert diary.of("measures") == [[one["step"]] for one in run.measures]
        assert diary.told[-1] == ("end",)
        assert not diary.of("resumed")

    def test_a_resumed_run_tells_what_was_before(self, config, tmp_path):
        first = run_it(config, tmp_path / "run")
        diary = Diary()
        run_it(replace(config, steps=4), tmp_path / "run", diary, resume=True)
        assert diary.of("begin") == [["noise", 0.75]]
        assert diary.of("resumed") == [[[one["step"] for one in first.record]]]

    def test_one_that_asks_for_a_stop_ends_the_run_after_the_step_with_all_saved(
        self, config, tmp_path
    ):
        diary = Diary(stop_after=1)
        run = run_it(replace(config, steps=10**6), tmp_path / "run", diary)
        assert (run.steps, run.finished, run.stopped_by) == (1, False, "stop button")
        assert diary.of("say")[-1][0].startswith("Stopped at step 1.")
        names = {file.name for file in (tmp_path / "run" / "checkpoints").iterdir()}
        assert "step_000000001.safetensors" in names
        assert (tmp_path / "run" / "generator" / "noise_AB.safetensors").exists()

    def test_a_broken_one_is_reported_once_and_changes_nothing(self, config, recwarn):
        plain = run_it(config)
        diary = Diary()
        diary.speaks = True
        run = run_it(config, None, Broken(), diary)
        said = [sentence for (sentence,) in diary.of("say") if sentence.startswith("Broken")]
        assert said == ["Broken failed; the training goes on. RuntimeError('no place to draw')"]
        for key, value in plain.model.state_dict().items():
            assert torch.equal(value, run.model.state_dict()[key])
        assert not recwarn.list

    def test_a_broken_one_with_nobody_to_say_it_is_a_warning(self, config):
        with pytest.warns(UserWarning, match="Broken failed; the training goes on") as caught:
            run_it(config, None, Broken())
        assert len([one for one in caught if "Broken" in str(one.message)]) == 1

    def test_ctrl_c_in_a_watcher_is_no_fault_of_it(self):
        class Interrupted(Watcher):
            def end(self):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Audience([Interrupted()]).end()

    def test_slow_looks_come_less_often(self, config, monkeypatch, tmp_path):
        """Each step and each look takes a time of its own on a clock of ours."""
        now = [0.0]
        monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))

        def taking(seconds, function):
            def call(*arguments, **keywords):
                now[0] += seconds
                return function(*arguments, **keywords)

            return call

        monkeypatch.setattr(loop.FastStep, "__call__", taking(10.0, loop.FastStep.__call__))
        monkeypatch.setattr(samples, "sample_grid", taking(6.0, samples.sample_grid))
        monkeypatch.setattr(samples, "measure_held_out", taking(0.1, samples.measure_held_out))
        diary = Diary()
        every = {"sample_every": 10.0, "measure_every": 20.0, "save_every": 1e9}
        run_it(replace(config, steps=30, **every), tmp_path / "run", diary)
        # Samples take 6 of every 60 seconds; measures come when they were asked for.
        assert [step for _, step in diary.of("samples")] == [1, 7, 13, 19, 25, 30]
        assert [step for (step,) in diary.of("measures")] == [*range(2, 31, 2)]


def source_of(A, B):
    pictures = [np.full((*size, 3), 128, np.uint8) for size in (A, B)]
    rng = np.random.default_rng(0)
    A, B = ([rng.integers(0, 256, one.shape, np.uint8)] for one in pictures)
    return Source("x", "A", "B", A, B, A, B)


class Shift(nn.Module):
    """Brightens by a constant."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, pictures):
        return pictures + self.by


class TestSamples:
    def test_rows_are_start_there_and_back_for_each_domain(self):
        pictures = {
            name: [np.full((48, 48, 3), level, np.uint8)] * 3
            for name, level in (("A", 100), ("B", 150))
        }
        source = Source("x", "A", "B", pictures["A"], pictures["B"], pictures["A"], pictures["B"])
        grid = samples.sample_grid({"G_AB": Shift(0.1), "G_BA": Shift(-0.3)}, source, CPU)
        assert grid.shape == (3, 6 * 50 + 2, 3 * 50 + 2)
        middles = grid[0, 26::50, 26]
        a, b = 100 / 127.5 - 1, 150 / 127.5 - 1
        expected = [a, a + 0.1, a - 0.2, b, b - 0.3, b - 0.2]
        assert middles.tolist() == pytest.approx(expected, abs=1e-6)

    def test_sizes_may_differ_and_counts_too(self):
        source = source_of((40, 75), (64, 52))
        grid = samples.sample_grid({"G_AB": Shift(0), "G_BA": Shift(0)}, source, CPU)
        assert grid.shape == (3, 6 * 42 + 2, 42 + 2)

    def test_one_held_out_picture_of_each_domain_can_be_measured(self):
        source = source_of((40, 75), (64, 52))
        generators = {"G_AB": Shift(0.0), "G_BA": Shift(0.0)}
        values = samples.measure_held_out(generators, source, CPU)
        assert values["reconstruction_A"] == values["reconstruction_B"] == 0
        a = picture_to_tensor(source.test_A[0][:, 17:57])[None]
        b = picture_to_tensor(np.ascontiguousarray(source.test_B[0][12:52, 6:46]))[None]
        assert values["distance_AB"] == pytest.approx(metrics.sliced_wasserstein(a, b))
        assert values["distance_BA"] == pytest.approx(metrics.sliced_wasserstein(b, a))

    def test_score_is_the_mean_of_both_directions(self):
        values = {"step": 9, "distance_AB": 0.2, "distance_BA": 0.4, "reconstruction_A": 0.1}
        assert samples.score(values, "distance") == pytest.approx(0.3)
        assert samples.score(values, "reconstruction") == pytest.approx(0.1)


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "my run"
    run_it(config, folder)
    return folder


class TestRunFolder:
    def test_readme_names_every_file_and_every_column(self, folder):
        text = (folder / "README.md").read_text()
        for entry in folder.iterdir():
            assert f"`{entry.name}" in text or entry.name == "README.md"
        for table in ("losses.csv", "metrics.csv"):
            with (folder / table).open(newline="") as stream:
                columns = next(csv.reader(stream))
            assert set(columns) >= {"step", "seconds"}
            for column in columns[2:]:
                assert f"`{column}`" in text
        assert str(folder.parent) not in text

    def test_its_commands_are_understood(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        commands = re.findall("^cyclegan-course .*", (folder / "README.md").read_text(), re.M)
        assert len(commands) == 3
        for command in commands:
            options = cli.make_parser().parse_args(shlex.split(command)[1:])
            named = {str(value) for value in vars(options).values()}
            assert named & {"my run", "['my run']"}

    def test_its_python_runs(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        (code,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
        names = {"picture": Image.new("RGB", (40, 40))}
        exec(code, names)
        assert names["run"].finished
        assert names["translation"].size == (40, 40)

    def test_readme_of_a_folder_of_pictures_says_what_is_held_out(self, config):
        text = run_folder.readme(replace(config, data="there/cats", lambda_identity=0.0), "run")
        assert "set aside and never trained on" in text
        assert "run on cats" in text
        assert "idt_A" not in text
        assert "there/" not in text

    def test_tables_take_rows_of_different_columns(self, tmp_path):
        state = SimpleNamespace(record=[{"step": 1, "a": 2}, {"step": 2, "b": 3}], measures=[])
        run_folder.write_tables(state, tmp_path)
        assert (tmp_path / "losses.csv").read_text() == "step,a,b\n1,2,\n2,,3\n"
        assert not (tmp_path / "metrics.csv").exists()


class TestTensorBoard:
    def test_where_it_is_missing_a_sentence_says_what_to_do(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
        with pytest.raises(CourseError, match="pip install"):
            TensorBoard(tmp_path)

    def test_holds_losses_measures_and_samples_by_step(self, config, tmp_path):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        folder = tmp_path / "run"
        run_it(config, folder, TensorBoard(folder))
        run = run_it(replace(config, steps=4), folder, TensorBoard(folder), resume=True)
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        for name, rows in (("loss/cycle_A", run.record), ("held_out/distance_AB", run.measures)):
            kept = {one.step: one.value for one in events.Scalars(name)}
            assert kept == {one["step"]: pytest.approx(one[name.split("/")[1]]) for one in rows}
        picture = events.Images("held_out/translations")[-1]
        assert (picture.step, picture.width, picture.height) == (4, 80, 158)
