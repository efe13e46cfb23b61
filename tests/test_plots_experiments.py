"""The figures of the stored experiments: what stands where, in which colour."""

import csv

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.results import Results, picture_name
from cyclegan_course.laboratory.scores import MEASURES
from cyclegan_course.plots.experiments import (
    comparison,
    corners,
    differences,
    scores_by_cell,
    strips,
)
from cyclegan_course.plots.style import BLUE, GREY, ORANGE

SSIM = {"full": (0.50, 0.52, 0.51), "low": (0.30, 0.33, 0.31), "same": (0.51, 0.51, 0.51)}
WAYS = ("A to B", "B to A")


@pytest.fixture
def results(tmp_path):
    """Three runs of three seeds; a `distance` of 1 - SSIM; every other measure is 1."""
    rows = [
        {"world": "night", "name": name, "seed": seed, "direction": way, "seconds": 1}
        | dict.fromkeys(MEASURES, 1.0)
        | {"ssim": value, "distance": round(1 - value, 5)}
        for name, values in SSIM.items()
        for seed, value in enumerate(values, 1)
        for way in WAYS
    ]
    with (tmp_path / "grid.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "grid").mkdir()
    for level, name in enumerate(SSIM):
        array = np.full((16, 48, 3), 10 * level, np.uint8)
        array[:8, 8:16] = 200  # the second scene of A to B
        array[8:, 40:] = 100  # the last scene of B to A
        Image.fromarray(array).save(tmp_path / "grid" / picture_name(name, "night"))
    return Results("grid", tmp_path)


def marks(axis, kind):
    """The lines of an axis that are drawn with this mark, as (x values, y, colour)."""
    return [
        (list(line.get_xdata()), float(np.mean(line.get_ydata())), to_hex(line.get_color()))
        for line in axis.lines
        if line.get_marker() == kind
    ]


def test_scores_show_every_seed_of_every_run(results):
    figure = scores_by_cell(results, list(SSIM), ("ssim", "distance"))
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == list(SSIM)
    for kind, colour in (("o", BLUE), ("s", ORANGE)):
        drawn = marks(first, kind)
        assert [tuple(x) for x, _, _ in drawn] == list(SSIM.values())
        assert {c for *_, c in drawn} == {colour.lower()}
        assert [round(y) for _, y, _ in drawn] == [0, 1, 2]  # in their own rows


def test_better_is_always_to_the_right(results):
    figure = scores_by_cell(results, list(SSIM), ("ssim", "distance"))
    ssim, distance = (axis.get_xlim() for axis in figure.axes)
    assert ssim[0] < ssim[1]
    assert distance[0] > distance[1]
    right = differences(results, ["low"], "full", ("distance",)).axes[0].get_xlim()
    assert right[0] > right[1]


def test_interval_bars_end_where_the_interval_ends(results):
    axis = scores_by_cell(results, ["full"], ("ssim",)).axes[0]
    found = results.interval("full", "ssim")
    bars = [tuple(line.get_xdata()) for line in axis.lines if line.get_linewidth() == 4]
    assert bars == [(found.low, found.high)] * 2


def test_colour_of_a_difference_is_its_verdict(results):
    axis = differences(results, ["low", "same"], "full", ("ssim",)).axes[0]
    (worse, unclear) = marks(axis, "o")
    assert worse[0] == [pytest.approx(results.difference("low", "full", "ssim").value)]
    assert (worse[2], unclear[2]) == (ORANGE.lower(), GREY.lower())
    better = marks(differences(results, ["full"], "low", ("ssim",)).axes[0], "s")
    assert better[0][2] == BLUE.lower()
    # A distance that falls is better, though its difference is negative.
    nearer = marks(differences(results, ["full"], "low", ("distance",)).axes[0], "s")
    assert nearer[0][0][0] < 0
    assert nearer[0][2] == BLUE.lower()


def test_a_run_without_finite_pictures_says_so(results):
    for row in results.rows:
        if row["name"] == "low":
            row["ssim"] = float("nan")
    axis = differences(results, ["low", "same"], "full", ("ssim",)).axes[0]
    assert [text.get_text().strip() for text in axis.texts] == ["failed", "failed"]
    assert len(marks(axis, "o")) == 1


def test_strips_are_cut_into_scenes_of_both_directions(results):
    upper, lower = strips(results, "low")
    assert len(upper) == len(lower) == 6
    assert all(tile.shape == (8, 8, 3) for tile in upper + lower)
    assert [int(tile.mean()) for tile in upper] == [10, 200, 10, 10, 10, 10]
    assert [int(tile.mean()) for tile in lower] == [10, 10, 10, 10, 10, 100]


def test_corners_put_runs_between_inputs_and_truths(results):
    def flat(level):
        return [np.full((8, 8, 3), level, np.uint8)] * 3

    figure = corners(results, ["full", "same"], [flat(1), flat(2)], [flat(3), flat(4)], scenes=3)
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["input", "full", "same", "truth"]
    levels = [int(axis.images[0].get_array().mean()) for axis in figure.axes if axis.images]
    assert levels == [
        *[1] * 3,
        *[2] * 3,
        0,
        200,
        0,
        0,
        0,
        0,
        20,
        200,
        *[20] * 4,
        *[3] * 3,
        *[4] * 3,
    ]


def test_comparison_joins_the_seeds_and_states_the_verdict(results):
    pictures = {"input": strips(results, "full")[0], "truth": strips(results, "low")[0]}
    figure = comparison(results, ("full", "low"), pictures, ("ssim", "distance"), "B to A")
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["SSIM ↑", "distance ↓"]
    joined = [tuple(line.get_ydata()) for line in panels[0].lines if len(line.get_xdata()) == 2]
    assert joined == list(zip(SSIM["full"], SSIM["low"], strict=True))
    said = panels[0].get_xlabel()
    assert said.startswith("−0.20")
    assert said.endswith("worse")
    assert to_hex(panels[0].xaxis.label.get_color()) == ORANGE.lower()


def test_what_cannot_be_drawn_is_one_sentence(results):
    with pytest.raises(CourseError, match="two different runs"):
        comparison(results, ("full", "full"), {"input": strips(results, "full")[0]}, ("ssim",))
    with pytest.raises(CourseError, match="list of names is empty"):
        differences(results, [], "full", ("ssim",))
