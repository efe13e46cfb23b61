"""The benchmarks' arithmetic and their guards; nothing here asserts a time."""

import csv
import math
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import pairwise

import feature_candidates
import feature_choice
import gpu_speed as gpu
import pytest
import torch
import train_step

Shape, TEXTBOOK, FAST = train_step.Shape, train_step.TEXTBOOK, train_step.FAST
SMALL = Shape(size=32, batch=2, n_blocks=1, ngf=4)
CPU = torch.device("cpu")


def row(variant, turn, ms, shape=SMALL, **more):
    found = {"ms": [ms, ms, ms], "memory": 2**30, "warm_up": 1.0, "notes": []}
    return {"shape": shape, "variant": variant, "round": turn} | found | more


class TestCounting:
    @pytest.mark.parametrize(("size", "blocks", "gflop"), [(128, 6, 338.3), (256, 9, 1879.2)])
    def test_operations_of_the_reference_step(self, size, blocks, gflop):
        """shared/anchors: 1,879 GFLOP at 256 px with 9 blocks, 338 at 128 px with 6."""
        assert train_step.step_flops(Shape(size, 1, blocks)) / 1e9 == pytest.approx(gflop, abs=0.1)

    def test_they_grow_with_the_batch(self):
        one, four = (train_step.step_flops(Shape(32, batch, 1, 4)) for batch in (1, 4))
        assert four == 4 * one

    def test_rates_of_matrix_products(self):
        rates = train_step.matrix_rates(CPU, side=64)
        assert set(rates) <= {"float32", "bfloat16"}
        assert all(rate > 0 for rate in rates.values())


class TestVariants:
    def test_every_lever_stands_alone(self):
        for name, variant in train_step.variants("cpu").items():
            if name.endswith(" alone"):
                on = [v for v in asdict(variant.levers).values() if v not in (False, "float32")]
                assert len(on) == 1, name

    def test_a_gpu_has_more_of_them(self, monkeypatch):
        monkeypatch.setattr(train_step.environment, "has_fast_bfloat16", lambda device: True)
        here, there = set(train_step.variants("cpu")), set(train_step.variants("cuda"))
        assert {"cuda graph alone", "tf32 alone", "bfloat16 alone"} <= there
        assert "keep memory alone" in here - there
        assert any("TF32" in name for name in there - here)

    @pytest.mark.parametrize(
        "name",
        [
            TEXTBOOK,
            "fast step, no lever",
            FAST,
            train_step.FAST_FROM_DEVICE,
            f"{FAST}, pictures from a list",
        ],
    )
    def test_a_measurement(self, name):
        found = train_step.do_job(train_step.Job("cpu", SMALL, name, seconds=0.01))
        assert len(found["ms"]) >= 3
        assert all(ms > 0 for ms in found["ms"])
        if sys.platform != "win32":
            assert found["memory"] > 2**24  # in bytes: more than 16 MiB, whatever the unit there

    @pytest.mark.parametrize("is_allowed", [False, True])
    def test_the_fast_step_can_choose_its_kernels_afterwards(self, is_allowed):
        """torch raises an error where older and newer names for TF32 were both used."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        before = cudnn.allow_tf32, matmul.allow_tf32
        try:
            train_step.allow_tf32(is_allowed)
            with cudnn.flags(enabled=True, benchmark=True, allow_tf32=not is_allowed):
                assert cudnn.allow_tf32 is not is_allowed
            assert (cudnn.allow_tf32, matmul.allow_tf32) == (is_allowed, is_allowed)
        finally:
            cudnn.allow_tf32, matmul.allow_tf32 = before

    def test_a_step_that_fell_back_is_no_measurement(self, monkeypatch):
        """Without a compiler the trainer goes on; a row "compiled" must not be that."""
        make = train_step.FastStep.__init__

        def falls_back(self, *arguments, **options):
            make(self, *arguments, **options)
            self.notes.append("torch.compile does not work here")

        monkeypatch.setattr(train_step.FastStep, "__init__", falls_back)
        with pytest.raises(RuntimeError, match="does not work here"):
            train_step.do_job(train_step.Job("cpu", SMALL, FAST, 0.01))

    def test_a_profile(self, tmp_path):
        file = tmp_path / "profile.txt"
        train_step.do_job(train_step.Job("cpu", SMALL, FAST, 0.01, str(file)))
        assert "convolution" in file.read_text()

    def test_losses_that_are_no_numbers_are_no_measurement(self, monkeypatch):
        broken = lambda *arguments: (lambda: {"G_AB": torch.tensor(math.nan)}, [])  # noqa: E731
        monkeypatch.setattr(train_step, "make_step", broken)
        with pytest.raises(RuntimeError, match="no longer numbers"):
            train_step.do_job(train_step.Job("cpu", SMALL, FAST, 0.01))


class TestTable:
    def test_ratios_are_of_the_same_round(self):
        rows = [row(TEXTBOOK, 0, 100), row(FAST, 0, 50), row(TEXTBOOK, 1, 300), row(FAST, 1, 100)]
        rows += [row(TEXTBOOK, 2, 200), row(FAST, 2, 80)]
        line = train_step.summarise(rows, SMALL, FAST, 10**9, [{"float32": 1e11}])
        assert line.ratio == 2.5
        assert line.ratio_range == (2, 3)
        assert (line.ms, line.ms_range) == (80, (50, 100))
        assert line.images_per_second == pytest.approx(2 * SMALL.batch / 0.08)
        assert line.share == pytest.approx(1e9 / 0.08 / 1e11)

    def test_a_round_without_the_textbook_gives_no_ratio(self):
        line = train_step.summarise([row(FAST, 1, 50)], SMALL, FAST, 10**9, [])
        assert (line.ratio, line.share) == (None, None)

    def test_failures_stand_in_it(self):
        rows = [
            row(TEXTBOOK, 0, 100),
            {"shape": SMALL, "variant": FAST, "round": 0, "error": "out of | memory"},
        ]
        text = train_step.tables(rows, [{"float32": 1e11, "bfloat16": 2e11}], "command")
        assert f"| {FAST} | out of / memory |" in text
        assert "of the bfloat16 rate" in text
        widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
        assert widths == {7}

    def test_csv(self, tmp_path):
        file = tmp_path / "table.csv"
        failed = {"shape": SMALL, "variant": FAST, "round": 0, "error": "no"}
        train_step.write_csv([row(TEXTBOOK, 0, 100), failed], file)
        first, second = csv.DictReader(file.read_text().splitlines())
        assert (first["ms"], first["batch"], second["error"], second["ms"]) == (
            "100",
            "2",
            "no",
            "",
        )


class TestRounds:
    def measured(self, monkeypatch, answer, minutes=1.0):
        jobs = []

        def run_job(job, limit):
            jobs.append(job.variant or "rates")
            return answer(job)

        monkeypatch.setattr(train_step, "run_job", run_job)
        plan = [(SMALL, [TEXTBOOK, FAST])]
        found = train_step.measure(
            "cpu", plan, 2, 1.0, time.monotonic() + 60 * minutes, say=lambda sentence: None
        )
        rows = [len(rows) for rows, _ in found]
        return jobs, rows

    def test_the_main_variants_of_every_shape_come_first(self):
        plan = train_step.make_plan("cpu", [32, 64], [1, 2], None, ngf=4)
        shapes = [shape for shape, _ in plan]
        assert len(set(shapes[:4])) == 4
        assert [names for _, names in plan[:4]] == [list(train_step.MAIN)] * 4
        assert shapes[4] == shapes[0]
        assert {*train_step.MAIN, *plan[4][1]} == set(train_step.variants("cpu"))

    def test_variants_take_turns(self, monkeypatch):
        jobs, rows = self.measured(monkeypatch, lambda job: {"ms": [1.0]})
        assert jobs == ["rates", TEXTBOOK, FAST] * 2
        assert rows[-1] == 4

    def test_what_failed_is_not_tried_again(self, monkeypatch):
        jobs, _ = self.measured(
            monkeypatch, lambda job: {"error": "no"} if job.variant == FAST else {"ms": [1.0]}
        )
        assert jobs.count(FAST) == 1
        assert jobs.count(TEXTBOOK) == 2

    def test_nothing_begins_after_the_deadline(self, monkeypatch):
        assert self.measured(monkeypatch, lambda job: {"ms": [1.0]}, minutes=0)[0] == []

    def run_instead(self, monkeypatch, code, limit):
        """`run_job` with a process that does something else."""
        run = subprocess.run
        monkeypatch.setattr(
            train_step.subprocess,
            "run",
            lambda command, **options: run([sys.executable, "-c", code], **options),
        )
        return train_step.run_job(train_step.Job("cpu", SMALL, TEXTBOOK), limit)

    def test_the_last_line_is_what_was_measured(self, monkeypatch):
        code = "print('a warning'); print('{\"ms\": [1.0]}')"
        assert self.run_instead(monkeypatch, code, 60) == {"ms": [1.0]}

    def test_a_process_that_fails_gives_a_sentence(self, monkeypatch):
        found = self.run_instead(monkeypatch, "raise MemoryError('too little')", 60)
        assert found == {"error": "MemoryError: too little"}

    def test_a_process_that_takes_too_long_is_ended(self, monkeypatch):
        found = self.run_instead(monkeypatch, "import time; time.sleep(600)", 1)
        assert found == {"error": "took longer than 1 s"}


class TestGpuScript:
    SHAPES = (Shape(256, 1, 9), Shape(256, 4, 9), Shape(128, 1, 6))

    def results(self, ms_first, ms_fourth):
        first, fourth, _ = self.SHAPES
        found = gpu.Results("cuda", list(self.SHAPES))
        found.rates = [{"float32": 5e13, "bfloat16": 8e14}]
        found.rows = [
            row(TEXTBOOK, 0, 20.0, first),
            row(FAST, 0, ms_first, first),
            row(f"{FAST}, deterministic", 0, 0.1, first),  # not what a run is judged by
            row(FAST, 0, ms_fourth, fourth),
        ]
        return found

    def test_targets(self):
        values = self.results(5.0, 16.0).values()
        assert values["ratio"] == 4
        assert values["minutes"] == pytest.approx(5e-3 * 266_800 / 60)
        assert values["share"] == pytest.approx(1879.2e9 / 5e-3 / 8e14, rel=1e-3)
        assert values["best_share"] == pytest.approx(4 * 1879.2e9 / 16e-3 / 8e14, rel=1e-3)

    def test_reached_and_missed(self):
        report = self.results(5.0, 16.0).report("command")
        assert report.count("| reached |") == 4
        report = self.results(10.0, 100.0).report("command")
        assert report.count("| missed |") == 4

    def test_not_measured(self):
        report = gpu.Results("cuda", list(self.SHAPES)).report("command")
        assert report.count("not measured") == 4

    def test_a_failure_does_not_lose_the_rest(self, monkeypatch, tmp_path):
        def broken(*arguments):
            raise OSError("the disk is gone")

        monkeypatch.setattr(gpu, "run_piece", broken)
        monkeypatch.setattr(gpu, "run_tests", broken)
        monkeypatch.setattr(gpu, "run_job", broken)
        monkeypatch.setattr(gpu, "make_plan", lambda *options: [(SMALL, [TEXTBOOK, FAST])])
        answer = {"ms": [4.0], "memory": 2**30, "warm_up": 1.0, "notes": []}
        monkeypatch.setattr(
            train_step,
            "run_job",
            lambda job, limit: answer if job.shape else {"float32": 1e11, "bfloat16": 2e11},
        )
        found = gpu.run_all(tmp_path, "cpu", [32], [1, 2], ngf=4, minutes=1)
        says = {name: piece["says"] for name, piece in found.pieces.items()}
        for name in ("resume", "deterministic", "loop", "cut", "tests", "profile"):
            assert says[name] == "failed: the disk is gone"
        assert found.pieces["table"]["good"]
        names = {"report.md", "results.json", "train_step_cpu.csv"}
        assert {file.name for file in tmp_path.iterdir()} == names

    def test_interrupted_and_resumed(self):
        found = gpu.resume_piece(CPU, SMALL)
        assert found["good"], found
        assert "stopped at step 5" in found["says"]

    def test_equal_runs_of_cut_are_equal(self):
        found = gpu.cut_piece(CPU, SMALL, minutes=0.03)
        assert found["good"]
        assert found["difference"] == 0
        assert set(found["costs"]) == {"cyclegan", "cut"}
        assert found["says"].startswith("two runs of CUT differ by 0.0e+00")

    def test_without_pytest_or_a_gpu(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
        assert "pytest is not installed" in gpu.run_tests(tmp_path, 1)["says"]
        if not torch.cuda.is_available():
            monkeypatch.setattr(sys, "argv", ["gpu_speed.py"])
            assert gpu.main() == 1
            assert "no GPU" in capsys.readouterr().out


class TestFeatureChoice:
    @staticmethod
    def mean_colours(pictures):
        """Features that see nothing but the mean of each channel: (N, 3)."""
        return pictures.mean(dim=(2, 3))

    def ladder(self, kind):
        found = {name: (name, sets) for _, name, sets, _ in feature_choice.photograph_ladders([])}
        reference = next(feature_choice.photograph_ladders([]))[3]
        return "six photographs", *found[kind], reference

    def test_features_are_judged_by_what_they_see(self):
        colour, noise = self.ladder("colour"), self.ladder("noise")
        for row in feature_choice.judge("means", self.mean_colours, colour):
            assert float(row["spearman"]) == 1.0, row
            assert row["features"] == 3
        upside_down = (*colour[:2], colour[2][::-1], colour[3])
        for row in feature_choice.judge("means", self.mean_colours, upside_down):
            assert float(row["spearman"]) == -1.0, row
        course = feature_candidates.load_features()
        for row in feature_choice.judge("course", course, noise):
            assert float(row["spearman"]) == 1.0, row

    def test_every_ladder_starts_undamaged(self):
        undamaged = self.ladder("noise")[2][0]
        for pictures, kind, sets, _ in feature_choice.photograph_ladders([]):
            assert pictures == "six photographs"
            if kind != "diversity":
                assert len(sets) == len(feature_choice.AMOUNTS)
            assert (sets[0] - undamaged).abs().max() < 1e-4, kind
            for milder, worse in pairwise(sets):
                assert not torch.equal(milder, worse), kind

    def test_table_has_the_mean_and_the_smallest(self):
        keys = ("candidate", "features", "pictures", "ladder", "distance", "spearman")
        rows = [
            dict(zip(keys, ("one", 3, pictures, "main", "KID", rho), strict=True))
            for pictures, rho in (("night", "0.5"), ("painting", "1.0"), ("my cats", "-1.0"))
        ]
        lines = feature_choice.table(rows).splitlines()
        assert lines[0] == "| ladder |  | one (3) |"
        assert lines[2:] == [
            "| worlds: main | KID | 0.75 (0.50) |",
            "| photographs: main | KID | -1.00 (-1.00) |",
        ]
