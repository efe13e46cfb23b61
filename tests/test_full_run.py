"""A full run told afterwards: stages, pictures, record; stored, and read back for chapter 6."""

import csv
import re
from dataclasses import replace

import full_run
import numpy as np
import pytest
from training_toys import TINY, StopAfter, run_it, write_pictures

from cyclegan_course import environment, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import write_text
from cyclegan_course.laboratory import full_runs
from cyclegan_course.training import Config

SETTINGS = TINY | {"data": "editing", "steps": 8}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run of 8 steps with its report; measured on 6 scenes."""
    folder = tmp_path_factory.mktemp("runs") / "editing"
    config = Config(**SETTINGS, save_every=0)
    run_it(config, folder / "run", stages=full_run.SHARES)
    write_text('{"memory": 1073741824}', folder / "run" / full_run.COSTS)
    report = full_run.tell(config, folder / "run", folder, 6, 24, ())
    return report, full_runs.open_run("editing", folder.parent)


class TestStored:
    def test_facts(self, told):
        _, run = told
        assert (run.record["steps"], run.record["memory"]) == (8, 2**30)
        assert run.record["machine"] == environment.machine()
        assert run.record["threads"] == full_run.torch.get_num_threads()
        with run.losses.open(newline="") as stream:
            *_, last = csv.DictReader(stream)
        rate = 2 * 8 / float(last["seconds"])
        assert run.record["images_per_second"] == pytest.approx(rate, rel=0.01)
        assert run.record["command"].startswith("python benchmarks/full_run.py --data editing")
        assert [moment["step"] for moment in run.record["moments"]] == [1, 2, 4, 8]

    def test_stages_of_both_directions(self, told):
        _, run = told
        assert [(row.direction, row.step) for row in run.stages] == [
            (f"editing {direction}", step)
            for direction in ("A to B", "B to A")
            for step in (1, 2, 4, 8)
        ]
        assert all(row.psnr and row.distance and row.intervals["psnr"] for row in run.stages)

    def test_the_last_stage_is_the_last_generator(self, told):
        _, run = told
        stage = next(row for row in run.stages if row.step == 8)
        last = next(row for row in run.final if row.method.startswith("last"))
        assert (stage.psnr, stage.distance) == (last.psnr, last.distance)

    def test_baselines_stand_beside_them(self, told):
        _, run = told
        methods = {row.method for row in run.final}
        assert {"untouched", "Reinhard", "last", "truth"} <= methods

    def test_pictures_are_input_stages_and_truth(self, told):
        _, run = told
        photos, truths = worlds.open_sealed_pairs("editing", max(full_run.SCENES) + 1, 24)
        for direction, first, last in (("AB", photos, truths), ("BA", truths, photos)):
            rows = run.pictures(direction)
            assert list(rows) == ["input", "step 1", "step 2", "step 4", "step 8", "truth"]
            for label, pictures in (("input", first), ("truth", last)):
                for shown, scene in zip(rows[label], full_run.SCENES, strict=True):
                    off = np.abs(shown.astype(int) - np.asarray(pictures[scene]).astype(int))
                    assert off.mean() < 6, label  # JPEG
            assert all(p.shape == (24, 24, 3) for row in rows.values() for p in row)

    def test_curves_are_those_of_the_run(self, told):
        _, run = told
        with run.losses.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows[-1]["step"] == "8"
        assert {"G_AB", "cycle_A", "D_B"} <= set(rows[0])
        assert run.measures.exists()

    def test_report(self, told):
        report, run = told
        assert re.search(r"8 steps in 0\.\d minutes, [\d.]+ images/s, 1\.00 GiB at most\.", report)
        assert "| editing A to B | step 4 " in report
        assert run.record["command"] in report

    def test_no_path_of_this_machine_is_in_it(self, told):
        _, run = told
        assert str(run.folder.parent) not in (run.folder / full_runs.RECORD).read_text()

    def test_names(self, told):
        _, run = told
        assert full_runs.stored_runs(run.folder.parent) == ["editing"]
        with pytest.raises(CourseError, match=r"no stored full run 'night' \(editing\)"):
            full_runs.open_run("night", run.folder.parent)


class TestWhatMayBeShown:
    def test_of_a_folder_nothing(self, tmp_path):
        config = Config(**SETTINGS | {"data": str(write_pictures(tmp_path / "photos"))})
        source = full_run.open_source(config.data, config.loaded_size)
        assert full_run.shown_pictures(config, source, 24, ()) == {}
        assert "--show" not in full_run.command_of(config, source.name, ())

    def test_what_was_allowed(self, tmp_path):
        config = Config(**SETTINGS | {"data": str(write_pictures(tmp_path / "photos"))})
        source = full_run.open_source(config.data, config.loaded_size)
        found = full_run.shown_pictures(config, source, 24, ("photographs", "testB"))
        assert set(found) == {"AB", "BA"}
        assert len(found["AB"]["input"]) == len(full_run.PHOTOGRAPHS)
        own = [full_run.middle_square(picture, 24) for picture in source.test_A]
        assert not any(np.array_equal(a, b) for a in own for b in found["AB"]["input"])
        assert "truth" not in found["AB"]
        expected = [full_run.middle_square(picture, 24) for picture in source.test_B]
        assert np.array_equal(found["BA"]["input"], expected)
        command = full_run.command_of(config, source.name, ("photographs", "testB"))
        assert command.endswith("--show photographs testB")
        assert str(tmp_path) not in command

    def test_a_run_without_pictures_has_none(self, told, tmp_path):
        _, run = told
        nothing = replace(run, record=run.record | {"pictures": {}})
        assert nothing.pictures("AB") == {}


class TestThinning:
    @pytest.mark.parametrize("count", [2, 3, 10, 300])
    def test_first_and_last_stay(self, count):
        rows = [{"step": i} for i in range(1000)]
        kept = full_run.thinned(rows, count)
        assert len(kept) == count
        assert (kept[0], kept[-1]) == (rows[0], rows[-1])
        gaps = np.diff([row["step"] for row in kept])
        assert gaps.max() - gaps.min() <= 1

    def test_few_rows_stay_as_they_are(self):
        rows = [{"step": 1}, {"step": 2}]
        assert full_run.thinned(rows, 5) == rows

    def test_empty_cells_stay_empty(self, tmp_path):
        write_text("step,distance_AB\n1,\n2,0.123456789\n", tmp_path / "one.csv")
        full_run.copy_curve(tmp_path / "one.csv", tmp_path / "two.csv")
        assert (tmp_path / "two.csv").read_text() == "step,distance_AB\n1,\n2,0.12346\n"


def test_memory_is_told_of_whole_runs_only(tmp_path):
    device, config = full_run.torch.device("cpu"), Config(**SETTINGS)
    full_run.train_in_stages(config, tmp_path / "whole", device)
    assert full_run.costs_of(tmp_path / "whole", 1)["memory"] > 2**24
    run_it(config, tmp_path / "gone on with", watchers=[StopAfter(3)])
    full_run.train_in_stages(config, tmp_path / "gone on with", device)
    costs = full_run.costs_of(tmp_path / "gone on with", 1)
    assert (costs["memory"], costs["steps"]) == (None, 8)


def test_a_stopped_run_is_not_told_of(tmp_path, monkeypatch):
    stopped = run_it(Config(**SETTINGS))
    monkeypatch.setattr(
        full_run, "train", lambda *_, **__: replace(stopped, steps=3, finished=False)
    )
    with pytest.raises(KeyboardInterrupt):
        full_run.train_in_stages(Config(**SETTINGS), tmp_path, full_run.torch.device("cpu"))
    assert not (tmp_path / full_run.COSTS).exists()
