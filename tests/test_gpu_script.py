"""The one script for a GPU: its commands are understood, and one failure does not lose the rest."""

import sys
from pathlib import Path

import distil
import equal_time
import full_run
import gpu
import gpu_speed
import pytest

from cyclegan_course.cli import make_parser
from cyclegan_course.cli.train import changes_of
from cyclegan_course.networks import ResnetGenerator, count_parameters
from cyclegan_course.training import preset

PARSERS = {
    "gpu_speed.py": gpu_speed.parser,
    "equal_time.py": equal_time.parser,
    "full_run.py": full_run.parser,
    "../scripts/distil.py": distil.parser,
}


def planned(is_try=False, scale=1.0):
    return gpu.steps(Path("/out"), Path("/data"), scale, is_try)


class TestPlan:
    @pytest.mark.parametrize("is_try", [False, True])
    def test_every_command_is_understood(self, is_try):
        seen = set()
        for step in planned(is_try):
            first, *rest = step.command
            if first == "-m":
                make_parser().parse_args(rest[1:])
            else:
                PARSERS[first]().parse_args(rest)
                assert (gpu.HERE / first).resolve().is_file()
            seen.add(first)
        assert seen == {"-m", *PARSERS}

    def test_the_runs_are_the_reference(self):
        for step in planned():
            if step.command[0] in ("equal_time.py", "full_run.py"):
                options = PARSERS[step.command[0]]().parse_args(step.command[1:])
                config = preset(options.preset, **changes_of(options))
                assert (config.size, config.n_blocks, config.ngf, config.n_down) == (256, 9, 64, 2)
                assert config.minutes == 10
                assert config.compile == "on"

    def test_equal_times_are_2_5_and_10_minutes(self):
        assert [share * 10 for share in equal_time.SHARES] == [2, 5, 10]

    def test_what_is_shipped_is_at_most_6_megabytes(self):
        net = ResnetGenerator(n_blocks=9, ngf=gpu.SMALL_NGF)
        assert 2 * count_parameters(net) < 6e6  # two bytes in half precision

    def test_only_what_may_be_shown_is(self):
        shown = {step.name: "--show" in step.command for step in planned() if step.part == "runs"}
        assert shown == {"painting": False, "photo2monet": True, "horse2zebra": False}
        (monet,) = [step for step in planned() if step.name == "photo2monet"]
        assert "testA" not in monet.command

    def test_it_fits_the_time_that_it_names(self):
        assert sum(step.minutes for step in planned()) <= gpu.WHOLE
        half = [PARSERS[s.command[0]]().parse_args(s.command[1:]) for s in planned(scale=0.5)[:3]]
        assert [options.minutes for options in half] == [7.5, 5, 5]

    def test_parts(self):
        assert {step.part for step in planned()} == set(gpu.PARTS)


class TestRunning:
    def plan(self, *codes):
        """Steps that run a line of Python each."""
        return [
            gpu.Step("speed", f"step_{i}", ["x.py", code], 0.01) for i, code in enumerate(codes)
        ]

    @pytest.fixture(autouse=True)
    def run_lines(self, monkeypatch):
        run = gpu.subprocess.run
        monkeypatch.setattr(
            gpu.subprocess,
            "run",
            lambda command, **options: run([sys.executable, "-c", command[-1]], **options),
        )

    def test_one_that_fails_is_named_and_the_others_run(self, tmp_path):
        plan = self.plan("print('fine')", "raise OSError('no disk')", "print('fine too')")
        said = gpu.run_all(plan, tmp_path)
        assert said["step_0"].startswith("done in")
        assert said["step_1"] == "failed: OSError: no disk"
        assert said["step_2"].startswith("done in")
        assert "- step_1: failed: OSError: no disk" in (tmp_path / "report.md").read_text()
        assert (tmp_path / "logs" / "step_2.txt").read_text() == "fine too\n"

    def test_what_is_done_is_not_done_again(self, tmp_path):
        gpu.run_all(self.plan("print(1)", "raise OSError"), tmp_path)
        said = gpu.run_all(self.plan("raise OSError", "print(2)"), tmp_path)
        assert said["step_0"] == "was done before"
        assert said["step_1"].startswith("done in")

    def test_one_that_takes_too_long_is_ended(self, tmp_path):
        (step,) = self.plan("import time; time.sleep(600)")
        assert gpu.run_step(step, tmp_path, 1.0) == "ended after 1 s, its limit"

    def test_reports_come_together(self, tmp_path):
        code = f"import pathlib; p = pathlib.Path({str(tmp_path / 'step_0')!r}); p.mkdir(); "
        code += "(p / 'report.md').write_text('| a table |')"
        gpu.run_all(self.plan(code), tmp_path)
        assert "## step_0\n\n| a table |" in (tmp_path / "report.md").read_text()


class TestCommand:
    def call(self, monkeypatch, *arguments):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
        ran = []
        monkeypatch.setattr(gpu, "run_step", lambda step, *_: ran.append(step.name) or "done")
        return gpu.main(), ran

    def test_without_a_gpu(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
        assert self.call(monkeypatch, "--out", str(tmp_path)) == (1, [])
        assert "--try" in capsys.readouterr().out

    def test_a_set_that_is_not_there_is_left_out(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
        (tmp_path / "horse2zebra").mkdir()
        arguments = ["--out", str(tmp_path / "out"), "--data", str(tmp_path)]
        code, ran = self.call(monkeypatch, *arguments)
        assert code == 0
        assert ran == [
            "speed",
            "painting",
            "horse2zebra",
            "small_painting",
            "small_painting_measured",
        ]
        assert "photo2monet: left out" in capsys.readouterr().out

    def test_chosen_parts(self, monkeypatch, tmp_path):
        arguments = ["--try", "--out", str(tmp_path), "--parts", "speed", "equal"]
        assert self.call(monkeypatch, *arguments) == (0, ["speed", "equal_time"])
