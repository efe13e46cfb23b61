"""Runs compared as a learner compares them: tables, files, protocols and mistakes."""

import csv
import json
import math
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_course import comparison
from cyclegan_course.cli import main
from cyclegan_course.comparison import compare, measure_stages
from cyclegan_course.contenders import contenders
from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.distribution import frechet_by_pictures, frechet_distance
from cyclegan_course.metrics.evaluation import (
    FEWEST_FOR_INTERVALS,
    measure_fully,
    tasks_of_pictures,
    tasks_of_world,
)
from cyclegan_course.metrics.features import load_features
from cyclegan_course.metrics.table import COLUMNS, row_from_dict

TINY = shlex.split("--size 32 --blocks 1 --ngf 4 --ndf 4 --layers 2 --edge-kernel 3 --steps 2")
QUICK = ["--count", "5", "--size", "32"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs on a world that differ in the seed, each with a best checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (1, 2):
        out = ["--out", str(folder / f"seed{seed}"), "--seed", str(seed)]
        assert main(["train", "--data", "editing", "--measure-every", "0", *out, *TINY]) == 0
    return folder


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """Copies of the runs, in the working folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(folder, **counts):
    """Folders of random pictures of several sizes."""
    rng = np.random.default_rng(len(str(folder)))
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            shape = (40 + 3 * index, 50, 3)
            level = 90 if name.endswith("A") else 160
            pixels = rng.integers(level - 80, level + 80, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def evaluated(arguments, folder):
    """The content of evaluation.json after a command that must succeed."""
    assert main(["evaluate", *arguments]) == 0
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))


# --- one run ------------------------------------------------------------------------------------


def test_last_against_best_beside_the_baselines(runs, capsys):
    content = evaluated(["seed1", *QUICK], runs / "seed1")
    rows = [row_from_dict(row) for row in content["rows"]]
    for direction in ("editing A to B", "editing B to A"):
        found = {row.method: row for row in rows if row.direction == direction}
        assert list(found) == ["untouched", "Reinhard", "last", "best", "truth"]
        assert found["last"].step == 2
        assert found["best"].step in (1, 2)
        assert found["last"].reconstruction > 0
        assert found["untouched"].reconstruction is None
        assert found["truth"].psnr is None
        for row in found.values():
            for name, (low, high) in row.intervals.items():
                assert low <= getattr(row, name) <= high, (row.method, name)
            assert {"distance", "kid", "fid"} <= set(row.intervals)
    printed = capsys.readouterr().out
    assert "blurred SSIM" in printed
    assert "last" in printed


def test_csv_and_json_say_the_same_and_hold_no_nan(runs):
    content = evaluated(["seed1", *QUICK], runs / "seed1")
    with open(runs / "seed1" / "evaluation.csv", encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(content["rows"])
    for line, row in zip(read, content["rows"], strict=True):
        assert set(line) == set(row)
        for key, value in row.items():
            assert line[key] == ("" if value is None else str(value))
    assert {f"{name}{end}" for name in COLUMNS for end in ("", "_low", "_high")} < set(read[0])
    assert "NaN" not in (runs / "seed1" / "evaluation.json").read_text()


def test_the_protocol_is_enough_to_measure_again_and_names_no_folder_of_this_machine(runs):
    content = evaluated(["seed1", *QUICK, "--seed", "7"], runs / "seed1")
    protocol = content["protocol"]
    assert protocol["size"] == 32
    assert protocol["data"]["editing"]["A to B"] == {"translated": 5, "reference": 5, "floor": 5}
    assert "seed 7" in protocol["intervals"]["means"]
    assert protocol["features"] == load_features().label
    last, best = protocol["generators"]
    assert (last["method"], best["method"]) == ("last", "best")
    assert last["config"]["seed"] == 1
    assert len(last["sha256"]["AB"]) == 64
    assert {"torch", "cyclegan-course"} <= set(protocol["versions"])
    assert str(runs) not in json.dumps(content)


def test_measuring_twice_gives_the_same_numbers(runs):
    first, second = (compare(["seed1"], count=5, size=32, seed=3).rows for _ in range(2))
    assert first == second
    other = compare(["seed1"], count=5, size=32, seed=4).rows
    assert [row.psnr for row in other] == [row.psnr for row in first]
    assert [row.intervals.get("psnr") for row in other] != [
        row.intervals.get("psnr") for row in first
    ]


def test_a_run_that_goes_on_has_only_its_best(runs):
    shutil.rmtree(runs / "seed1" / "generator")
    assert [one.kind for one in contenders("seed1")] == ["best"]
    shutil.rmtree(runs / "seed2" / "best")
    assert [one.kind for one in contenders("seed2")] == ["last"]


def test_best_alone_knows_the_settings_of_its_run(runs):
    (one,) = contenders("seed1/best")
    assert (one.kind, one.config.seed, one.data) == ("best", 1, "editing")


# --- several runs -------------------------------------------------------------------------------


def test_runs_that_differ_in_the_seed_are_summed_up(runs, capsys):
    content = evaluated(["seed1", "seed2", *QUICK, "--out", "both"], runs / "both")
    rows = [row_from_dict(row) for row in content["rows"] if row["direction"].endswith("A to B")]
    assert [row.method for row in rows] == [
        "untouched",
        "Reinhard",
        "seed1, last",
        "seed1, best",
        "seed2, last",
        "mean of 2 seeds, last",
        "seed2, best",
        "mean of 2 seeds, best",
        "truth",
    ]
    by_method = {row.method: row for row in rows}
    one, two = (by_method[f"seed{seed}, last"] for seed in (1, 2))
    both = by_method["mean of 2 seeds, last"]
    assert both.seeds == 2
    for name in COLUMNS:
        values = [getattr(row, name) for row in (one, two)]
        assert getattr(both, name) == pytest.approx(sum(values) / 2)
        assert both.intervals[name] == (min(values), max(values))
    assert "lowest to the highest" in capsys.readouterr().out
    assert not (runs / "seed1" / "evaluation.json").exists()


def test_runs_with_other_settings_are_not_summed_up(runs):
    config = json.loads((runs / "seed2" / "config.json").read_text())
    (runs / "seed2" / "config.json").write_text(json.dumps(config | {"lambda_cycle": 3.0}))
    rows = compare(["seed1", "seed2"], count=2, size=32, features="none").rows
    assert not any(row.seeds for row in rows)


def test_without_features_there_is_neither_kid_nor_fid(runs, capsys):
    content = evaluated(["seed1", *QUICK, "--features", "none"], runs / "seed1")
    assert {row["kid"] for row in content["rows"]} == {None}
    assert content["protocol"]["features"] is None
    assert "FID" not in capsys.readouterr().out


# --- folders without a truth --------------------------------------------------------------------


def test_unequal_counts_have_a_floor_of_other_real_pictures(runs, capsys):
    fill(runs / "mine", trainA=6, trainB=9, testA=5, testB=7)
    content = evaluated(["seed1", "--data", "mine", *QUICK[2:]], runs / "seed1")
    facts = content["protocol"]["data"]["mine"]
    assert facts["A to B"] == {"translated": 5, "reference": 7, "floor": 5}
    assert facts["B to A"] == {"translated": 7, "reference": 5, "floor": 6}
    assert "training pictures" in facts["pictures"]
    methods = [row["method"] for row in content["rows"]]
    assert methods[:5] == ["untouched", "Reinhard", "last", "best", "real"]
    rows = [row_from_dict(row) for row in content["rows"]]
    assert {row.psnr for row in rows} == {None}
    assert rows[0].correspondence == 1  # what is untouched shows its own scene
    assert rows[2].correspondence is not None
    out, err = capsys.readouterr()
    assert "PSNR" not in out
    assert "as few as 5 pictures" in err
    assert err.count("\n") - err.count("\r") <= 2


@pytest.mark.parametrize("counts", [{"testA": 1, "testB": 1}, {"testA": 1, "testB": 8}, {}])
def test_one_picture_or_no_test_folder_still_gives_a_table(counts, runs, capsys):
    fill(runs / "few", trainA=3, trainB=3, **counts)
    content = evaluated(["seed1", "--data", "few", "--size", "32"], runs / "seed1")
    for row in content["rows"]:
        assert math.isfinite(row["distance"])
        if not counts or counts["testB"] == 1:
            assert row["distance_low"] is None
    assert "pictures" in capsys.readouterr().err


def test_a_run_on_a_folder_is_measured_on_it(runs):
    fill(runs / "mine", trainA=9, trainB=9)
    assert main(["train", "--data", "mine", "--out", "own", *TINY]) == 0
    content = evaluated(["own", "--size", "24"], runs / "own")
    assert content["rows"][0]["direction"] == "mine A to B"
    config = content["protocol"]["generators"][0]["config"]
    assert config["data"] == "mine"
    shutil.rmtree(runs / "mine")
    assert main(["evaluate", "own"]) == 1


# --- parts --------------------------------------------------------------------------------------


def test_both_ways_to_the_frechet_distance_agree():
    g = torch.Generator().manual_seed(0)
    for n, m, d in ((12, 9, 40), (60, 50, 8)):
        a, b = torch.randn(n, d, generator=g), 0.3 + 1.5 * torch.randn(m, d, generator=g)
        assert frechet_by_pictures(a, b) == pytest.approx(frechet_distance(a, b), rel=1e-3)


def test_the_right_translation_is_better_by_every_measure():
    task, _ = tasks_of_world("night", 8, 64, load_features())
    truth = measure_fully(task, "truth", task.truth, rec=task.source)
    copy = measure_fully(task, "copy", task.source, rec=task.source)
    for name in ("psnr", "ssim", "blurred_psnr", "blurred_ssim"):
        assert getattr(truth, name) > getattr(copy, name)
    for name in ("l1", "blurred_l1", "distance", "kid", "fid"):
        assert getattr(truth, name) < getattr(copy, name)
    assert truth.reconstruction == copy.reconstruction == 0


def test_few_pictures_have_values_and_no_intervals():
    pictures = torch.rand(FEWEST_FOR_INTERVALS - 1, 3, 32, 32) * 2 - 1
    task, _ = tasks_of_pictures(pictures, pictures.flip(-1), features=load_features())
    row = measure_fully(task, "copy", pictures, rec=pictures)
    assert set(row.intervals) == {"correspondence"}  # Wilson's is right for any number
    assert row.kid is not None
    assert task.floor() is None


def test_stages_come_in_the_order_of_their_steps(runs):
    for step, run in ((10, "seed2"), (2, "seed1")):
        shutil.copytree(run, runs / "stages" / f"step_{step:05d}")
        card = runs / "stages" / f"step_{step:05d}" / "generator" / "editing.json"
        content = json.loads(card.read_text())
        content["trained"]["steps"] = step
        card.write_text(json.dumps(content))
    rows = measure_stages("stages", count=5, size=32)
    assert [(row.direction, row.step) for row in rows] == [
        ("editing A to B", 2),
        ("editing A to B", 10),
        ("editing B to A", 2),
        ("editing B to A", 10),
    ]
    assert all(row.psnr and row.reconstruction and row.correspondence is not None for row in rows)
    assert all(row.kid is None for row in rows)
    with pytest.raises(CourseError, match="no stages"):
        measure_stages("seed1")


# --- mistakes -----------------------------------------------------------------------------------


def damage(runs):
    (runs / "seed1" / "best" / "generator" / "editing_AB.safetensors").write_bytes(b"cut off")


def no_generators(runs):
    shutil.rmtree(runs / "seed1" / "generator")
    shutil.rmtree(runs / "seed1" / "best")


def no_config(runs):
    (runs / "seed1" / "config.json").write_text("{")


def moved_data(runs):
    config = json.loads((runs / "seed1" / "config.json").read_text())
    (runs / "seed1" / "config.json").write_text(json.dumps(config | {"data": "gone"}))


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (damage, "seed1", "damaged"),
        (no_generators, "seed1", "no trained generator"),
        (no_config, "seed1", "holds no run"),
        (moved_data, "seed1", "with --data"),
        (None, "seed1 --data nowhere", "no folder 'nowhere'"),
        (None, "seed1 --out table.xlsx", "ends in .csv or .json"),
        (None, "seed1 --count 1", "at least 2"),
        (None, "seed1 --size 8", "16 pixels"),
        (None, "seed1/samples", "no trained generator"),
    ],
)
def test_mistakes_get_one_sentence_and_nothing_is_written(spoil, arguments, words, runs, capsys):
    if spoil is not None:
        spoil(runs)
    capsys.readouterr()
    before = sorted(runs.rglob("*"))
    assert main(["evaluate", *arguments.split()]) == 1
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
    assert sorted(runs.rglob("*")) == before


def test_an_empty_test_folder_is_as_none(runs):
    fill(runs / "mine", trainA=9, trainB=9)
    (runs / "mine" / "testA").mkdir()
    round_ = comparison.compare(["seed1"], data="mine", count=4, size=32, features="none")
    assert round_.protocol["data"]["mine"]["A to B"]["translated"] >= 1
