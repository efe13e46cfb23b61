"""`explore`: the controls, what they redraw, and what stays without a kernel."""

import base64

import ipywidgets
import pytest
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure

from cyclegan_course import widgets
from cyclegan_course.display import WIDGET_VIEW
from cyclegan_course.errors import CourseError


def shown(monkeypatch, **arguments):
    """What `explore` publishes: its output, its controls by label, and the live picture."""
    boxes = []
    monkeypatch.setattr(
        ipywidgets, "VBox", lambda children: boxes.append(ipywidgets.Box(children)) or boxes[-1]
    )
    with capture_output() as captured:
        widgets.explore(**arguments)
    (output,) = captured.outputs
    row, picture = boxes[-1].children
    assert output.data[WIDGET_VIEW]["model_id"] == boxes[-1].model_id
    return output, {control.description: control for control in row.children}, picture


def test_moving_a_control_draws_again_with_all_values(shell, monkeypatch):
    calls = []

    def draw(**values):
        calls.append(values)
        return Figure(figsize=(1, 1))

    output, controls, picture = shown(
        monkeypatch,
        draw=draw,
        alt=lambda steps, **others: f"after <{steps}>",
        start={"steps": 5},
        steps=[0, 5, 10],
        learning_rate=[0.1, 0.01],
        loss=["lsgan", "hinge"],
        world=["a", "b", "c", "d", "e"],
    )
    assert calls == [{"steps": 5, "learning_rate": 0.1, "loss": "lsgan", "world": "a"}]
    assert isinstance(controls["loss"], ipywidgets.ToggleButtons)
    assert isinstance(controls["world"], ipywidgets.Dropdown)
    controls["steps"].value = 10
    controls["loss"].value = "hinge"
    controls["learning rate"].value = 0.01
    assert calls[-1] == {"steps": 10, "learning_rate": 0.01, "loss": "hinge", "world": "a"}
    assert len(calls) == 4
    assert 'alt="after &lt;10&gt;"' in picture.value
    assert output.data["text/plain"] == "after <5>"


def test_first_state_is_a_plain_picture_and_the_live_one_is_the_same(shell, monkeypatch):
    output, _, picture = shown(
        monkeypatch, draw=lambda n: Figure(figsize=(n, 1)), alt="a figure", n=[2, 3]
    )
    assert output.metadata["image/png"]["alt"] == "a figure"
    assert output.data["image/png"].strip() in picture.value
    assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")


def test_a_button_acts_then_draws(shell, monkeypatch):
    state = {"steps": 0}

    def step():
        state["steps"] += 1

    _, controls, picture = shown(
        monkeypatch,
        draw=lambda: Figure(figsize=(1, 1)),
        alt=lambda: f"after {state['steps']}",
        actions={"one step": step},
    )
    controls["one step"].click()
    controls["one step"].click()
    assert "after 2" in picture.value


def test_an_error_is_a_sentence_in_place_of_the_picture_and_can_be_left_again(shell, monkeypatch):
    def draw(n):
        if n == 3:
            raise CourseError("Three is <too> many.")
        return Figure(figsize=(1, 1))

    _, controls, picture = shown(monkeypatch, draw=draw, alt="x", n=[2, 3])
    controls["n"].value = 3
    assert "Three is &lt;too&gt; many." in picture.value
    assert "<img" not in picture.value
    controls["n"].value = 2
    assert "<img" in picture.value


def test_a_start_that_does_not_exist_is_a_sentence():
    with pytest.raises(CourseError, match="cannot start at 4"):
        widgets.explore(lambda n: Figure(), alt="x", start={"n": 4}, n=[2, 3])


def test_in_a_script_the_words_are_printed(capsys):
    widgets.explore(lambda n: Figure(), alt=lambda n: f"{n} lines", n=[2, 3])
    assert capsys.readouterr().out == "2 lines\n"
