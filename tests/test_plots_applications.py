"""The figures of the applications: what stands where."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.applications import (
    LOOKS,
    at_a_glance,
    near_and_alike,
    place_in_picture,
    telling_apart,
)
from cyclegan_course.plots.style import BLUE, ORANGE, figure_bytes

SCORES = {"brightness": 0.9, "colour": 0.55}


def test_bars_start_at_chance_and_end_at_the_score():
    figure = telling_apart(SCORES, "brightness", [0.1, 0.2], [0.8, 0.9])
    bars = figure.axes[0].patches
    assert [bar.get_x() for bar in bars] == [0.5, 0.5]
    assert [bar.get_x() + bar.get_width() for bar in bars] == pytest.approx([0.9, 0.55])
    words = [text.get_text().strip() for text in figure.axes[0].texts]
    assert words == ["0.90", "0.55"]
    with pytest.raises(CourseError, match="brightness, colour"):
        telling_apart(SCORES, "hue", [0.1], [0.2])


def test_the_square_is_framed_where_it_is_and_shown_as_every_method_shows_it():
    whole = np.zeros((32, 40, 3), np.uint8)
    crops = {"input": np.full((8, 8, 3), 10, np.uint8), "truth": np.full((8, 8, 3), 200, np.uint8)}
    figure = place_in_picture(whole, (4, 12, 8), crops, title="scene 3")
    first, *others = figure.axes
    frame = first.patches[-1]
    assert (frame.get_x(), frame.get_y(), frame.get_width()) == (11.5, 3.5, 8)
    assert to_hex(frame.get_edgecolor()).lower() == ORANGE.lower()
    assert [axis.get_title() for axis in figure.axes] == ["scene 3", "input", "truth"]
    for axis, crop in zip(others, crops.values(), strict=True):
        assert np.array_equal(axis.images[0].get_array(), crop)


def test_gains_stand_in_the_row_of_their_world_with_their_interval():
    panel = {
        "night": {"tool": (1.0, 0.5, 1.5), "long run": (3.0, 2.0, 4.0)},
        "editing": {"tool": (-1.0, -1.5, -0.5), "long run": (0.0, -1.0, 1.0)},
    }
    figure = at_a_glance({"PSNR (dB)": panel, "SSIM": panel})
    assert len(figure.axes) == 2
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["night", "editing"]
    marks = [line for line in axis.lines if line.get_marker() in {mark for mark, _ in LOOKS}]
    found = [(line.get_xdata()[0], round(line.get_ydata()[0])) for line in marks]
    assert found == [(1.0, 0), (3.0, 0), (-1.0, 1), (0.0, 1)]
    bars = [tuple(line.get_xdata()) for line in axis.lines if line.get_linewidth() == 3]
    assert bars == [(0.5, 1.5), (2.0, 4.0), (-1.5, -0.5), (-1.0, 1.0)]
    assert axis.yaxis_inverted()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["tool", "long run"]
    with pytest.raises(CourseError, match="5 methods"):
        at_a_glance({"x": {"night": {str(i): (0, 0, 0) for i in range(6)}}})


def test_the_plane_joins_the_runs_and_draws_the_truth_as_a_line():
    points = {
        "untouched": (20.0, 0.3),
        "short": (18.0, 0.2),
        "long": (21.0, 0.05),
        "truth": (0.0, 0.02),
    }
    axis = near_and_alike({"painting": points}, training=["short", "long"]).axes[0]
    path = axis.lines[-1]
    assert np.allclose(path.get_xydata(), [(18, 0.2), (21, 0.05)])
    assert to_hex(path.get_color()).lower() == BLUE.lower()
    assert any(list(line.get_ydata()) == [0.02, 0.02] for line in axis.lines)
    assert {text.get_text() for text in axis.texts} == set(points)
    figure = near_and_alike({"painting": points, "superres": points}, training=["long"])
    assert len(figure.axes) == 2
    assert figure_bytes(figure)[:4] == b"\x89PNG"
