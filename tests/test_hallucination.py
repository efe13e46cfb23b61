"""Hallucination: twins, detector, rates, what is stored, and the figures."""

import csv
import dataclasses
import json
from pathlib import Path

import hallucination as benchmark
import numpy as np
import pytest
import torch
from torch import nn

from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.laboratory import hallucination as hn
from cyclegan_course.laboratory import hallucination_results as results
from cyclegan_course.laboratory.recipe import train
from cyclegan_course.plots import hallucination as plots
from cyclegan_course.plots.style import figure_bytes
from cyclegan_course.scenes import draw_scene, make_scene

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def twins():
    return hn.open_twins(8)


@pytest.fixture(scope="module")
def detector():
    return hn.calibrated(12)


@pytest.fixture(scope="module")
def rows():
    return results.stored()


class Always(nn.Module):
    """Translates every picture of a batch to given ones."""

    def __init__(self, pictures):
        super().__init__()
        self.pictures = pictures

    def forward(self, images):
        return self.pictures


# --- pictures -------------------------------------------------------------------------------------


def test_twins_differ_in_the_sun_alone():
    scene = make_scene(5)
    without, present = hn.with_sun(scene, False), hn.with_sun(scene, True)
    for field in dataclasses.fields(scene):
        if field.name != "sun":
            assert getattr(without, field.name) == getattr(present, field.name)
    assert without.sun[0] == present.sun[0] == scene.sun[0]  # the light comes from the same side
    assert without.sun[1] + without.sun[2] < 0, "above the upper edge"


@pytest.mark.parametrize("night", [False, True])
def test_the_ground_of_twins_is_the_same(night):
    for seed in range(20):
        if make_scene(seed).lake is None:  # a lake mirrors the sky
            without, present = (hn.drawn(seed, shown, night) for shown in (False, True))
            assert np.array_equal(without[24:], present[24:])
            assert not np.array_equal(without[:16], present[:16])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_shares_are_exact_and_evenly_spread(share):
    shown = hn.has_feature(40, share)
    assert sum(shown) == 40 * share
    for start in range(0, 40, 4):
        assert sum(shown[start : start + 4]) == 4 * share


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(CourseError, match="choose 0 to 1"):
        hn.has_feature(4, share)


def test_training_pictures_are_unpaired():
    A, B = hn.training_pictures("A", 0.5, 4), hn.training_pictures("B", 1.0, 4)
    for i in range(4):
        day = draw_scene(hn.with_sun(make_scene(2 * i), i % 2 == 1), hn.SIZE)
        night = draw_scene(hn.with_sun(make_scene(2 * i + 1), True), hn.SIZE, night=True)
        assert np.array_equal(A[i], day)
        assert np.array_equal(B[i], night)
    with pytest.raises(CourseError, match="choose A or B"):
        hn.training_pictures("C", 0.5, 4)


# --- the detector ---------------------------------------------------------------------------------


def night_with_disc(x, y, radius, bright=0.9, dark=-0.6, size=32):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return torch.where(inside, bright, dark)[None, None].expand(1, 3, size, size)


@pytest.mark.parametrize(("x", "y"), [(5, 5), (16, 9), (27, 4)])
def test_a_large_disc_is_found_wherever_it_is_in_the_sky(x, y):
    found = hn.brightest_disc(night_with_disc(x, y, radius=3.5))
    assert torch.allclose(found, torch.tensor([0.9]))


def test_a_small_star_counts_by_its_area():
    star = night_with_disc(16, 7, radius=0.5)  # one pixel
    reach = round(hn.RADIUS * 32)
    ring = range(-reach, reach + 1)
    area = sum(a * a + b * b <= (hn.RADIUS * 32) ** 2 for a in ring for b in ring)
    assert area > 12
    assert hn.brightest_disc(star).item() == pytest.approx(-0.6 + 1.5 / area, abs=1e-5)


def test_the_ground_does_not_count():
    lit_window = night_with_disc(16, 25, radius=4.0)
    assert hn.brightest_disc(lit_window).item() == pytest.approx(-0.6)


def test_evidence_is_0_and_1_on_the_mean_of_what_it_was_calibrated_with(detector):
    for share, value in ((0.0, 0.0), (1.0, 1.0)):
        nights = pictures_to_tensor(hn.training_pictures("B", share, 12))
        assert detector.evidence(nights).mean().item() == pytest.approx(value, abs=1e-4)


def test_the_detector_never_errs_on_true_held_out_nights(twins, detector):
    assert detector.errors(twins.B, lambda images: images) == {"false alarms": 0, "misses": 0}
    gone = detector.errors(twins.B, lambda images: torch.full_like(images, -1.0))
    assert gone == {"false alarms": 0, "misses": 1}
    swapped = detector.errors(twins.B[::-1], lambda images: images)
    assert swapped == {"false alarms": 1, "misses": 1}


def test_measure_of_an_honest_and_of_two_blind_translators(twins, detector):
    for night, wrong in ((0, "vanished"), (1, "hallucinated")):
        found = hn.measure(Always(twins.B[night]), twins, detector)
        named = [{"method": "cyclegan", "share_B": 0.5, "seed": 1} | row for row in found]
        rate = results.rates(named)[0.5][1]
        assert rate.pop(wrong) == 1
        assert list(rate.values()) == [0]
        right = [row for row in found if row["present"] == night]
        assert max(row["error"] for row in right) == 0
        assert min(row["error"] for row in found if row["present"] != night) > 0
        assert {row["reconstruction"] for row in found} == {None}


def test_measure_takes_the_way_back(twins, detector):
    found = hn.measure(Always(twins.B[0]), twins, detector, Always(twins.A[0]))
    back = [[row["reconstruction"] for row in found if row["present"] == p] for p in (0, 1)]
    assert max(back[0]) == 0
    expected = (twins.A[0] - twins.A[1]).abs().mean((1, 2, 3)) / 2
    assert back[1] == pytest.approx(expected.tolist())


# --- rates ----------------------------------------------------------------------------------------


def made_up(evidence, present, seed=1, share=1.0):
    return [
        {"method": "cyclegan", "share_B": share, "seed": seed, "scene": i, "present": present,
         "evidence": value, "error": 0.0, "reconstruction": value / 10}
        for i, value in enumerate(evidence)
    ]  # fmt: skip


def test_rates_and_interval_by_hand():
    table = made_up([0.9, 0.2, 0.6, 0.1], 0) + made_up([0.9, 0.9, 0.1, 0.9], 1)
    table += made_up([0.9, 0.9, 0.9, 0.1], 0, seed=2) + made_up([0.9] * 4, 1, seed=2)
    found = results.rates(table)[1.0]
    assert found[1] == {"hallucinated": 0.5, "vanished": 0.25}
    assert found[2] == {"hallucinated": 0.75, "vanished": 0.0}
    ends = results.interval(found, "hallucinated")
    assert ends.value == pytest.approx(0.625)
    # Student's t of one degree of freedom at 97.5 % is 12.706; s / sqrt(2) of the two is 0.125.
    assert ends.high - ends.value == pytest.approx(12.7062 * 0.125, rel=1e-4)
    assert results.means(table, "reconstruction", 0)[1.0][1] == pytest.approx(0.045)
    with pytest.raises(CourseError, match="no stored trainings of 'cut'"):
        results.rates(table, "cut")


def test_what_the_way_back_tells_by_hand():
    # Reconstruction is a tenth of the evidence here: every invented moon comes back worse.
    table = made_up([0.9, 0.2, 0.6, 0.1], 0)
    assert results.reconstruction_tells(table, 1.0) == {1: 1.0}
    for row in table:
        row["reconstruction"] = -row["evidence"]
    assert results.reconstruction_tells(table, 1.0) == {1: 0.0}
    for row in table:
        row["reconstruction"] = 0.5
    assert results.reconstruction_tells(table, 1.0) == {1: 0.5}
    assert results.reconstruction_tells(made_up([0.9, 0.8], 0), 1.0) == {}, "all have a moon"


# --- what is stored -------------------------------------------------------------------------------


def test_every_training_is_stored_whole(rows):
    for method in {row["method"] for row in rows}:
        found = results.rates(rows, method)
        assert tuple(found) == hn.SHARES_B
        for of_seeds in found.values():
            assert len(of_seeds) >= 3
    keys = [(r["method"], r["share_B"], r["seed"], r["present"], r["scene"]) for r in rows]
    assert len(keys) == len(set(keys)) == len({k[:3] for k in keys}) * 2 * benchmark.COUNT


def test_cyclegan_invents_and_removes_what_the_shares_ask_for(rows):
    never, balanced, always = (results.rates(rows)[share] for share in hn.SHARES_B)
    for seed in balanced:
        assert always[seed]["hallucinated"] > balanced[seed]["hallucinated"] + 0.3
        assert never[seed]["vanished"] > balanced[seed]["vanished"] + 0.3


def test_the_way_back_betrays_nothing(rows):
    tells = results.reconstruction_tells(rows, 1.0)
    assert len(tells) >= 3
    assert max(tells.values()) < 0.65
    backs, errors = (
        results.means(rows, what, present=0)[1.0] for what in ("reconstruction", "error")
    )
    assert all(backs[seed] < 0.75 * errors[seed] for seed in backs)


def test_the_stored_detector_table_is_what_the_detector_gives(twins):
    with (hn.FOLDER / "detector.csv").open(newline="", encoding="utf-8") as stream:
        stored = {row["true pictures"]: row for row in csv.DictReader(stream)}
    assert list(stored) == list(benchmark.DISTURBANCES)
    for word in ("false alarms", "misses"):
        assert float(stored["as they are"][word]) == 0
    few = hn.calibrated().errors(twins.B, benchmark.DISTURBANCES["as they are"])
    assert few == {"false alarms": 0, "misses": 0}


def test_the_record_names_every_training(rows):
    record = json.loads((hn.FOLDER / "record.json").read_text(encoding="utf-8"))
    trained = {(r["method"], r["share_B"], r["seed"]) for r in rows}
    names = {f"{method}, share {share}, seed {seed}" for method, share, seed in trained}
    assert set(record["processor_seconds"]) == names
    assert record["steps"] == benchmark.STEPS


def test_stored_pictures_end_with_the_truth(rows, twins):
    for method in {row["method"] for row in rows}:
        for share in hn.SHARES_B:
            strips = results.strips(method, share)
            assert strips.shape == (8, benchmark.STRIP, hn.SIZE, hn.SIZE, 3)
            for present in (0, 1):
                for i in range(len(twins.A[0])):
                    truth = hn.drawn(hn.HELD_OUT_SEED + i, bool(present), True)
                    assert np.array_equal(strips[6 + present, i], truth)


def test_missing_files_are_one_sentence(tmp_path):
    with pytest.raises(CourseError, match=r"python benchmarks/hallucination\.py"):
        results.stored(tmp_path)
    with pytest.raises(CourseError, match=r"no stored pictures cut_050\.png"):
        results.strips("cut", 0.5, tmp_path)


# --- the benchmark --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", benchmark.METHODS)
def test_a_tiny_training_of_each_method(method, twins, detector, tmp_path):
    recipe = dataclasses.replace(benchmark.recipe(method, 1.0, 1, scenes=4), steps=2)
    run = train(recipe)
    found = hn.measure(run.model.G_AB, twins, detector, getattr(run.model, "G_BA", None))
    assert len(found) == 2 * len(twins.A[0])
    assert all((row["reconstruction"] is None) == (method == "cut") for row in found)
    key = {"method": method, "share_B": 1.0, "seed": 1}
    benchmark.add_rows(tmp_path / "scenes.csv", [key | row for row in found])
    assert benchmark.done(tmp_path) == {(method, 1.0, 1)}
    read = results.stored(tmp_path)
    assert [row["evidence"] for row in read] == pytest.approx(
        [row["evidence"] for row in found], abs=1e-4
    )
    benchmark.sheet(run.model, twins, 3).save(tmp_path / results.strip_name(method, 1.0))
    strips = results.strips(method, 1.0, tmp_path)
    assert strips.shape[:2] == (8, 3)
    for row, truth in ((0, twins.A[0]), (3, twins.A[1]), (6, twins.B[0]), (7, twins.B[1])):
        assert np.array_equal(pictures_to_tensor(list(strips[row])), truth[:3])


def test_trainings_of_a_seed_share_their_pictures_of_A():
    first = [benchmark.recipe("cyclegan", share, 1, scenes=4).make_batches for share in (0.0, 1.0)]
    (A0, B0), (A1, B1) = (batches.args for batches in first)
    assert all(np.array_equal(a, b) for a, b in zip(A0, A1, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(B0, B1, strict=True))


# --- figures --------------------------------------------------------------------------------------


def test_the_figures_show_the_rows(rows):
    words = {"hallucinated": "a moon that is not there", "vanished": "a moon that is missing"}
    figure = plots.rates_figure(rows, words)
    found = results.rates(rows)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    for what, word in words.items():
        means = [100 * results.interval(of_seeds, what).value for of_seeds in found.values()]
        assert lines[word].get_ydata() == pytest.approx(means)
    assert len(figure.axes) == len({row["method"] for row in rows})
    figure = plots.evidence_figure(rows, "cyclegan", ("no sun", "sun"))
    assert len(figure.axes) == len(hn.SHARES_B)
    assert figure_bytes(figure)[:4] == b"\x89PNG"


def test_the_table_of_pictures_has_every_kind():
    strips = {share: results.strips("cyclegan", share) for share in hn.SHARES_B}
    figure = plots.strips_figure(strips, ("no sun", "sun"), range(4))
    assert len(figure.axes) == 2 * (2 + len(hn.SHARES_B))
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape == (hn.SIZE, 4 * hn.SIZE, 3)
    assert np.array_equal(picture[:, : hn.SIZE], strips[0.0][0, 0])
