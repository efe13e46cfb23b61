"""The commands as a learner types them."""

import json
import shlex
import signal
import zlib

import numpy as np
import pytest
from PIL import Image

from cyclegan_course import cli
from cyclegan_course.cli import main
from cyclegan_course.cli.train import command_for
from cyclegan_course.errors import CourseError
from cyclegan_course.training import FastStep, preset

TINY = [
    "--size",
    "32",
    "--blocks",
    "1",
    "--ngf",
    "4",
    "--ndf",
    "4",
    "--layers",
    "2",
    "--edge-kernel",
    "3",
]


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--data", "editing", "--steps", "2", "--out", "run", *TINY]
    assert main(arguments) == 0
    return tmp_path / "run"


def picture(path, size=(45, 31)):
    # Of one name everywhere, but no two names alike: A and B must differ.
    rng = np.random.default_rng(zlib.crc32(f"{path.parent.name}/{path.name}".encode()))
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def folders_of_pictures(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(2):
            picture(folder / name / f"{index}.jpg")


def test_train_then_translate_keeps_the_size(run_folder, tmp_path, capsys):
    assert (run_folder / "checkpoints" / "step_000000002.safetensors").exists()
    capsys.readouterr()
    assert main(["translate", str(picture(tmp_path / "my cat.png")), "--to", "run"]) == 0
    (result,) = (tmp_path / "translated").iterdir()
    assert Image.open(result).size == (45, 31)
    assert str(result.name) in capsys.readouterr().out


def test_train_on_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders_of_pictures(tmp_path / "mine", "trainA", "trainB")
    assert main(["train", "--data", "mine", "--name", "cats", "--steps", "1", *TINY]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("cats-")
    assert (folder / "generator" / "cats_AB.safetensors").exists()


def test_resume_goes_on_with_the_runs_own_settings(run_folder, capsys):
    assert main(["train", "--resume", str(run_folder), "--steps", "4"]) == 0
    assert "4 steps" in capsys.readouterr().out
    assert main(["train", "--resume", str(run_folder), "--ngf", "8"]) == 1
    assert "keeps its settings" in capsys.readouterr().err


def test_every_training_option_is_a_setting():
    names = [name for _, name, _, _ in cli.train.TRAIN_OPTIONS]
    assert sorted(names) == sorted(entry for entry in cli.train.Config.__dataclass_fields__)


def test_evaluate_prints_and_writes_a_table(run_folder, tmp_path, capsys):
    table = tmp_path / "table.json"
    capsys.readouterr()
    arguments = ["evaluate", "run", "--count", "2", "--size", "32", "--out", str(table)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    rows = json.loads(table.read_text())["rows"]
    methods = {row["method"] for row in rows}
    assert methods == {"untouched", "Reinhard", "last", "best", "truth"}
    assert all(row["direction"].startswith("editing ") for row in rows)
    assert "SSIM" in printed


def test_evaluate_on_a_folder_without_truth(run_folder, tmp_path, capsys):
    folders_of_pictures(tmp_path / "mine", "trainA", "trainB", "testA", "testB")
    assert main(["evaluate", "run", "--data", "mine", "--count", "2", "--size", "24"]) == 0
    assert "untouched" in capsys.readouterr().out


def test_evaluate_finds_the_folder_that_a_run_was_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folders_of_pictures(tmp_path / "mine", "trainA", "trainB")
    assert main(["train", "--data", "mine", "--steps", "1", "--out", "run", *TINY]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--count", "2", "--size", "24"]) == 0
    assert "mine A to B" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 7},
        {"data": "my pictures", "size": 96, "load_size": 128, "minutes": 9.5, "name": "x"},
        {"minutes": 2.5, "lr": 1 / 3, "data": "my folder"},
        {"steps": 7, "deterministic": True, "compile": "off", "ema": 0.999, "keep": 1},
        {"steps": 7, "load_size": 70, "save_every": 0.0, "best": "reconstruction"},
    ],
)
def test_the_command_of_a_configuration_gives_it_back(changes, monkeypatch):
    config = preset("small", **changes)
    seen = []

    def stand_in(config, folder, **options):
        seen.append(config)
        raise CourseError("that is enough")

    monkeypatch.setattr(cli.train, "train", stand_in)
    assert main(shlex.split(command_for(config))[1:]) == 1
    assert seen == [config]


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stopped_run_is_saved_and_says_so_in_its_status(name, status, run_folder, monkeypatch):
    real_step = FastStep.__call__

    def stop(step, *arguments):
        signal.raise_signal(signal.Signals[name])
        return real_step(step, *arguments)

    monkeypatch.setattr(FastStep, "__call__", stop)
    assert main(["train", "--resume", str(run_folder), "--steps", "9"]) == status
    assert (run_folder / "checkpoints" / "step_000000003.safetensors").exists()


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --data nowhere --steps 1", "no folder 'nowhere'"),
        ("train --size 31 --steps 1", "size 31 does not work"),
        ("train --resume nowhere", "holds no run"),
        ("translate nothing.jpg --to nonsense", "nonsense"),
        ("evaluate nonsense", "nonsense"),
        ("evaluate --count 1", "at least 2"),
    ],
)
def test_mistakes_get_one_sentence_and_status_1(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 1
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_one_bad_picture_does_not_stop_the_others(run_folder, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("hello")
    good = picture(tmp_path / "good.png")
    capsys.readouterr()
    assert main(["translate", str(tmp_path / "text.jpg"), str(good), "--to", "run"]) == 1
    out, err = capsys.readouterr()
    assert "good.png ->" in out
    assert "text.jpg" in err
