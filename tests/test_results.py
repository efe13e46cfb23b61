"""The stored results of the laboratory: tables read back, intervals over seeds, verdicts."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory import grid
from cyclegan_course.laboratory.bugs import BUGS
from cyclegan_course.laboratory.results import BETTER, Results, picture_name, t_interval, verdict
from cyclegan_course.laboratory.scores import MEASURES
from cyclegan_course.metrics import Interval


def write(folder: Path, rows: list[dict], table: str = "grid") -> Results:
    """A table as `benchmarks/laboratory.py` writes it: a measure that was not found is empty."""
    filled = [
        {"world": "night", "name": "full", "seed": 1, "direction": "A to B"}
        | dict.fromkeys(MEASURES, 0.0)
        | {"seconds": 9.5}
        | row
        for row in rows
    ]
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(filled[0]))
        writer.writeheader()
        writer.writerows(filled)
    return Results(table, folder)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Four runs of two recipes on one world, one of another; one of them failed."""
    return write(
        tmp_path,
        [
            {"name": "full", "seed": 1, "psnr": 20.0},
            {"name": "full", "seed": 1, "direction": "B to A", "psnr": 30.0},
            {"name": "full", "seed": 2, "psnr": 21.0},
            {"name": "full", "seed": 3, "psnr": 23.0},
            {"name": "no pool", "seed": 3, "psnr": 22.0, "ssim": None},
            {"name": "no pool", "seed": 2, "psnr": 20.5, "ssim": 0.5},
            {"name": "full", "seed": 1, "psnr": 10.0, "world": "painting"},
        ],
    )


# Reading a table ---------------------------------------------------------------------------------


def test_a_measure_is_found_by_world_name_direction_and_seed(results):
    assert results.by_seed("full", "psnr") == {1: 20.0, 2: 21.0, 3: 23.0}
    assert results.by_seed("full", "psnr", "B to A") == {1: 30.0}
    assert results.by_seed("full", "psnr", world="painting") == {1: 10.0}
    assert results.names() == ["full", "no pool"]
    assert results.names("painting") == ["full"]


def test_rows_are_typed(results):
    row = results.rows[0]
    assert isinstance(row["seed"], int)
    assert row["seconds"] == 9.5
    assert row["name"] == "full"
    assert all(isinstance(row[name], float) for name in MEASURES)


def test_an_empty_field_is_nan_and_makes_the_difference_fail(results):
    found = results.by_seed("no pool", "ssim")
    assert math.isnan(found[3])
    assert found[2] == 0.5
    difference = results.difference("no pool", "full", "ssim")
    assert math.isnan(difference.value)
    assert difference.low is None
    assert verdict(difference, "ssim") == "failed"


def test_a_missing_table_is_a_sentence_with_the_command(tmp_path):
    with pytest.raises(CourseError, match=r"no stored results grid\.csv.*laboratory\.py grid"):
        Results("grid", tmp_path)


def test_an_unknown_run_is_a_sentence_with_the_known_ones(results):
    with pytest.raises(CourseError, match="no runs 'pool' on night: choose one of full, no pool"):
        results.by_seed("pool", "psnr")
    with pytest.raises(CourseError, match="no runs 'no pool' on painting: choose one of full"):
        results.interval("no pool", "psnr", world="painting")


def test_pictures_are_found_by_name_and_world(results):
    (results.folder / "grid").mkdir()
    Image.new("RGB", (12, 4), (10, 20, 30)).save(results.folder / "grid" / "night_no_pool.png")
    picture = results.pictures("no pool")
    assert (picture.size, picture.mode, picture.getpixel((0, 0))) == ((12, 4), "RGB", (10, 20, 30))


def test_names_of_pictures_are_plain_and_never_the_same():
    names = {name for cells in grid.CELLS.values() for name in cells} | set(BUGS)
    files = {picture_name(name, world) for name in names for world in ("night", "painting")}
    assert len(files) == 2 * len(names)
    assert picture_name("batch norm, batch 1", "night") == "night_batch_norm_batch_1.png"
    assert not {c for file in files for c in file} & set(' ,+/\\:*?"<>|')


# Intervals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_t_interval_is_that_of_scipy(n, level):
    values = np.random.default_rng(n).normal(3.0, 2.0, n)
    wanted = stats.t.interval(level, n - 1, values.mean(), stats.sem(values))
    found = t_interval(values.tolist(), level)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(wanted)


def test_t_interval_of_three_by_hand():
    """1, 2, 3: mean 2, deviation 1, and Student's quantile of 2 degrees of freedom is 4.303."""
    found = t_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx((2.0, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_t_interval_covers_as_often_as_it_says(n):
    """And 1.96 in the place of the quantile would not: of 3 runs it covers 81 of 100."""
    trials = 1500
    draws = np.random.default_rng(n).normal(7.0, 2.0, (trials, n))
    found = np.array([t_interval(row.tolist()) for row in draws])
    covered = np.mean((found[:, 1] <= 7) & (found[:, 2] >= 7))
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))
    reach = 1.96 * draws.std(axis=1, ddof=1) / math.sqrt(n)
    naive = np.mean(np.abs(draws.mean(axis=1) - 7) <= reach)
    exact = 2 * stats.t.cdf(1.96, n - 1) - 1
    assert naive == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / trials))
    assert naive < 0.9


def test_equal_values_have_an_interval_of_no_width():
    assert t_interval([0.25, 0.25, 0.25]) == Interval(0.25, 0.25, 0.25)


@pytest.mark.parametrize("values", [[2.5], [2.5, math.nan], [math.nan, math.nan], [1.0, math.inf]])
def test_where_no_interval_can_be_given_there_is_none(values):
    found = t_interval(values)
    assert (found.low, found.high) == (None, None)
    assert found.value == pytest.approx(np.mean(values), nan_ok=True)


def test_interval_and_difference_are_over_the_seeds(results):
    assert results.interval("full", "psnr") == t_interval([20.0, 21.0, 23.0])
    assert results.interval("full", "psnr", "B to A") == Interval(30.0)
    # Only seeds 2 and 3 are in both: 20.5 - 21 and 22 - 23.
    assert results.difference("no pool", "full", "psnr") == t_interval([-0.5, -1.0])
    turned = results.difference("full", "no pool", "psnr")
    assert turned == t_interval([0.5, 1.0])


def test_difference_is_scipys_paired_test(tmp_path):
    numbers = np.random.default_rng(0).normal(20, 1, (2, 5)).round(5)
    results = write(
        tmp_path,
        [
            {"name": name, "seed": seed, "distance": numbers[place, seed]}
            for seed in range(5)
            for place, name in enumerate(("full", "no pool"))
        ],
    )
    found = results.difference("no pool", "full", "distance")
    test = stats.ttest_rel(numbers[1], numbers[0])
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval()))
    assert (verdict(found, "distance") == "no difference shown") == (test.pvalue >= 0.05)


# Verdicts ----------------------------------------------------------------------------------------


def test_every_measure_has_a_side_that_is_better():
    assert set(BETTER) == set(MEASURES)
    assert set(BETTER.values()) == {-1, 1}
    assert {name for name, sign in BETTER.items() if sign > 0} == {
        "psnr",
        "ssim",
        "blurred_psnr",
        "correspondence",
    }


@pytest.mark.parametrize(
    ("difference", "measure", "wanted"),
    [
        (Interval(1.0, 0.5, 1.5), "psnr", "better"),
        (Interval(-1.0, -1.5, -0.5), "psnr", "worse"),
        (Interval(1.0, 0.5, 1.5), "distance", "worse"),
        (Interval(-1.0, -1.5, -0.5), "kid", "better"),
        (Interval(1.0, -0.1, 2.1), "ssim", "no difference shown"),
        (Interval(1.0, 0.0, 2.0), "ssim", "no difference shown"),
        (Interval(-1.0, -2.0, 0.0), "l1", "no difference shown"),
        (Interval(0.0, 0.0, 0.0), "l1", "no difference shown"),
        (Interval(1.0), "psnr", "one seed"),
        (Interval(math.nan), "psnr", "failed"),
        (Interval(math.inf), "psnr", "failed"),
    ],
)
def test_verdict(difference, measure, wanted):
    assert verdict(difference, measure) == wanted


def test_a_difference_that_is_not_there_is_shown_in_five_of_100():
    """Two sides of 2.5 %: as often better as worse."""
    trials = 1500
    draws = np.random.default_rng(1).normal(size=(trials, 4))
    verdicts = [verdict(t_interval(row.tolist()), "psnr") for row in draws]
    margin = 4 * math.sqrt(0.025 * 0.975 / trials)
    for side in ("better", "worse"):
        assert verdicts.count(side) / trials == pytest.approx(0.025, abs=margin)
