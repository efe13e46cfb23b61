"""The figures of chapter 9 show what they are given: verdicts, intervals, seeds, schedules."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics import Interval
from cyclegan_course.plots.bugs import (
    beside,
    case,
    catch_table,
    cost_forest,
    factors,
    picture_strips,
)
from cyclegan_course.plots.style import GREY, ORANGE, figure_bytes


def strip(value: int, scenes: int = 3) -> np.ndarray:
    return np.full((8, 8 * scenes, 3), value, dtype=np.uint8)


def forest(**intervals: Interval):
    """One measure, one direction, a row for each interval."""
    costs = {name: {"m": {"A to B": interval}} for name, interval in intervals.items()}
    return cost_forest(costs, {"m": +1}, {"m": 1.0}).axes[0]


def markers(axis) -> list:
    """The drawn means, without the lines of the legend, which are empty."""
    return [
        line
        for line in axis.lines
        if line.get_marker() in ("o", "s") and len(line.get_xdata()) == 1
    ]


def test_catch_table_marks_what_is_caught_and_leaves_out_what_cannot_be_asked():
    judged = {"right": {"one": True, "two": True}, "bug": {"one": False, "two": None}}
    axis = catch_table(judged, {"bug": "a longer name"}).axes[0]
    cells = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    words = [text.get_text() for text in axis.texts]
    assert words == ["caught"]
    assert [to_hex(cell.get_facecolor()).upper() == ORANGE for cell in cells] == [
        False,
        False,
        True,
    ]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["right", "a longer name"]


def test_an_interval_that_holds_0_is_hollow_and_one_that_does_not_is_filled():
    axis = forest(chance=Interval(0.1, -0.2, 0.4), effect=Interval(-0.5, -0.6, -0.4))
    chance, effect = markers(axis)
    assert chance.get_markerfacecolor() == "white"
    assert chance.get_color() == GREY
    assert effect.get_markerfacecolor() == effect.get_color() != GREY
    assert effect.get_xdata()[0] == -0.5


def test_one_seed_shows_no_effect():
    (only,) = markers(forest(once=Interval(-0.9)))
    assert only.get_markerfacecolor() == "white"


def test_what_is_out_of_reach_is_said_in_numbers_and_what_is_not_finite_in_words():
    axis = forest(ruin=Interval(-11.2, -13.0, -9.0), broken=Interval(math.nan))
    words = [text.get_text() for text in axis.texts if text.get_text()]
    assert words == ["−11", "no finite pictures"]
    assert not markers(axis)
    assert all(np.abs(line.get_xdata()).max(initial=0) <= 1 for line in axis.lines)


@pytest.mark.parametrize("sign", [+1, -1])
def test_right_is_better_whatever_the_measure(sign):
    costs = {"bug": {"m": {"A to B": Interval(0.3, 0.2, 0.4)}}}
    left, right = cost_forest(costs, {"m": sign}, {"m": 1.0}).axes[0].get_xlim()
    assert (right - left) * sign > 0
    assert left == -right


def test_strips_stand_under_their_names():
    figure = picture_strips({"input": strip(0), "translated": strip(200)})
    assert [axis.get_ylabel() for axis in figure.axes] == ["input", "translated"]
    assert [int(axis.images[0].get_array().max()) for axis in figure.axes] == [0, 200]


@pytest.mark.parametrize("rows", [{}, {"one": strip(0, 2), "two": strip(0, 3)}])
def test_strips_must_be_of_one_shape(rows):
    with pytest.raises(CourseError, match="one shape"):
        picture_strips(rows)


def test_case_joins_the_two_trainings_of_each_seed_that_both_have():
    repaired, faulty = {1: 20.0, 2: 21.0, 3: 22.0}, {2: 19.0, 1: 20.5}
    figure = case({"repaired": strip(0)}, {"PSNR": (repaired, faulty)})
    axis = next(axis for axis in figure.axes if axis.get_title() == "PSNR")
    pairs = sorted(list(line.get_ydata()) for line in axis.lines if len(line.get_xdata()) == 2)
    assert pairs == [[20.0, 20.5], [21.0, 19.0]]


def test_runs_beside_each_other_are_told_apart_by_colour_and_by_line():
    records = {
        "X": [{"step": i, "G": 1.0} for i in range(1, 21)],
        "Y": [{"step": i, "G": 2.0} for i in range(1, 21)],
    }
    (axis,) = beside(records, ["G"]).axes
    strong = [line for line in axis.lines if line.get_label() in records]
    assert [set(line.get_ydata().round(6)) for line in strong] == [{1.0}, {2.0}]
    assert len({line.get_color() for line in strong}) == 2
    assert len({line.get_linestyle() for line in strong}) == 2
    assert axis.get_ylim()[1] > 2


def test_factors_are_those_of_every_step():
    steps = 40
    schedules = {
        "right": lambda step, steps: 1 - step / steps,
        "wrong": lambda step, steps: 1 - 2 * step / steps,
    }
    left, right = factors(schedules, steps).axes
    drawn = [line for line in left.lines if line.get_label() in schedules]
    for line, schedule in zip(drawn, schedules.values(), strict=True):
        assert list(line.get_ydata()) == [schedule(step, steps) for step in range(steps)]
    assert list(right.lines[0].get_xdata()) == list(range(steps - 6, steps))


def test_figures_can_be_stored():
    assert figure_bytes(picture_strips({"one": strip(9)})).startswith(b"\xff\xd8")  # pictures: JPEG
    assert figure_bytes(catch_table({"bug": {"one": False}})).startswith(b"\x89PNG")
