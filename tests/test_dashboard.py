"""The dashboard: what it shows, what it leaves behind, and a stop button in a busy kernel."""

import threading
import time
from dataclasses import replace
from itertools import pairwise
from queue import Empty
from types import SimpleNamespace

import pytest
import torch
from jupyter_client.manager import start_new_kernel
from matplotlib.figure import Figure
from training_toys import CPU, TINY, write_pictures

from cyclegan_course import plots
from cyclegan_course.display import WIDGET_VIEW
from cyclegan_course.training import Config, train
from cyclegan_course.widgets import Dashboard, busy_kernel, dashboard

TERMS = ("G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B")


def row(step, seconds):
    return {"step": step, "seconds": seconds} | {name: 0.5 + 1 / step for name in TERMS}


def measured(step, value):
    names = ("distance_AB", "distance_BA", "reconstruction_A", "reconstruction_B")
    return {"step": step, "seconds": float(step)} | dict.fromkeys(names, value)


@pytest.fixture
def outputs(shell, monkeypatch):
    """As in a notebook, with a kernel that brings no messages; what was displayed, in order."""
    sent = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda **message: sent.append(message))
    monkeypatch.setattr(dashboard, "running_kernel", lambda: "a kernel")
    monkeypatch.setattr(dashboard, "answer_widgets", lambda kernel: None)
    return sent


@pytest.fixture
def drawn(monkeypatch):
    """What every picture was drawn from; none takes any time."""
    calls = []

    def draw(record, measures, grid, *, lsgan):
        calls.append((list(record), list(measures), grid))
        return Figure(figsize=(1, 1))

    monkeypatch.setattr(dashboard, "run_figure", draw)
    return calls


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = write_pictures(tmp_path_factory.mktemp("pictures") / "noise")
    return Config(data=str(folder), steps=3, **TINY)


def last_of_each_place(sent):
    places = {message["transient"]["display_id"]: message for message in sent}
    return list(places.values())


class TestInANotebook:
    def test_button_ends_the_run_after_the_step_with_all_saved(
        self, outputs, monkeypatch, config, tmp_path, capsys
    ):
        board, asked = Dashboard(), []

        def click_when_asked_again(kernel):
            asked.append(kernel)
            if len(asked) == 3:
                board._controls.button.click()

        monkeypatch.setattr(dashboard, "answer_widgets", click_when_asked_again)
        config = replace(config, steps=10**6)
        run = train(config, tmp_path / "run", device=CPU, watchers=[board])
        assert (run.steps, run.finished, run.stopped_by) == (2, False, "stop button")
        names = {file.name for file in (tmp_path / "run" / "checkpoints").iterdir()}
        assert "step_000000002.safetensors" in names
        line, _ = last_of_each_place(outputs)
        assert "ended early" in line["data"]["text/plain"]
        assert line["data"]["text/plain"].count("Stopped at step 2.") == 1
        assert "step" not in capsys.readouterr().err  # no second progress bar

    def test_while_it_runs_there_are_controls_and_at_the_end_none(self, outputs, config):
        train(config, device=CPU, watchers=[Dashboard()])
        controls, *_ = outputs
        assert WIDGET_VIEW in controls["data"]
        assert "stop button" in controls["data"]["text/plain"]
        line, picture = last_of_each_place(outputs)
        assert set(line["data"]) == {"text/plain", "text/html"}
        assert line["data"]["text/plain"].startswith("noise: 100 %, finished at step 3, after")
        assert set(picture["data"]) == {"text/plain", "text/html", "image/jpeg"}
        words = picture["metadata"]["image/jpeg"]["alt"]
        assert words == picture["data"]["text/plain"]
        assert words.startswith("Training of noise. Held-out pictures in rows: A, A to B")
        assert "Losses at step 3: G_AB" in words

    def test_line_has_progress_time_left_and_speed(self, outputs, drawn):
        board = Dashboard()
        board.begin("<noise>", 0.0)
        board.losses(row(60, 60.0), 0.25, 24.04)
        line = board._controls.line.value
        assert "&lt;noise&gt;: 25 %, step 60, 01:00 so far, 03:00 left, 24.0 images/s" in line
        assert '<progress max="1" value="0.2500" aria-label="share of the training"' in line

    def test_button_says_that_it_was_heard(self, outputs):
        board = Dashboard()
        board.begin("noise", 0.0)
        assert not board.stop_requested
        board._controls.button.click()
        assert board.stop_requested
        assert board._controls.button.disabled
        assert board._controls.button.description == "Stopping"

    def test_sentences_appear_once_before_during_and_after_the_run(self, outputs, drawn):
        board = Dashboard()
        board.say("before <the> run")
        board.begin("noise", 0.0)
        board.say("during")
        assert board._controls.line.value.count("before &lt;the&gt; run<br>during") == 1
        board.losses(row(1, 1.0), 1.0, 1.0)
        board.end()
        board.say("after")
        line, _ = last_of_each_place(outputs)
        assert line["data"]["text/plain"].split("\n")[1:] == ["before <the> run", "during", "after"]

    def test_a_resumed_run_shows_all_of_its_curves(self, outputs, drawn):
        board = Dashboard()
        board.begin("noise", 0.5)
        board.resumed([row(1, 1.0), row(2, 2.0)], [measured(1, 0.3)])
        board.losses(row(3, 3.0), 0.6, 1.0)
        board.measures(measured(3, 0.2))
        board.end()
        record, measures, _ = drawn[-1]
        assert [one["step"] for one in record] == [1, 2, 3]
        assert [one["step"] for one in measures] == [1, 3]

    def test_drawing_takes_a_small_share_of_the_time(self, outputs, monkeypatch):
        now, drawings = [0.0], []

        def draw(*_, **__):
            drawings.append(now[0])
            now[0] += 0.5
            return Figure(figsize=(1, 1))

        monkeypatch.setattr(dashboard, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        monkeypatch.setattr(dashboard, "run_figure", draw)
        board = Dashboard()
        board.begin("noise", 0.0)
        for step in range(1, 201):
            now[0] += 0.5
            board.losses(row(step, now[0]), step / 200, 1.0)
        assert len(drawings) > 5
        assert 0.5 * len(drawings) <= dashboard.DRAW_SHARE * now[0] + 0.5
        gaps = [b - a for a, b in pairwise(drawings)]
        assert min(gaps) >= dashboard.DRAW_EVERY

    def test_first_samples_are_shown_at_once(self, outputs, drawn):
        board = Dashboard()
        board.begin("noise", 0.0)
        board.losses(row(1, 1.0), 0.1, 1.0)
        assert not drawn
        grid = torch.zeros(3, 12, 8)
        board.samples(grid, 1)
        assert drawn[-1][2] is grid

    def test_a_kernel_that_cannot_be_asked_does_not_stop_the_run(
        self, outputs, monkeypatch, config
    ):
        def fail(kernel):
            raise AttributeError("no such kernel")

        monkeypatch.setattr(dashboard, "answer_widgets", fail)
        assert train(config, device=CPU, watchers=[Dashboard()]).finished
        line, _ = last_of_each_place(outputs)
        assert line["data"]["text/plain"].count("use the notebook's own stop button") == 1


def test_in_a_script_the_run_has_its_progress_bar(config, capsys):
    run = train(config, device=CPU, watchers=[Dashboard()])
    assert run.finished
    out, err = capsys.readouterr()
    assert out.splitlines() == list(run.source.notes)
    assert "noise 100%, 00:00 left, step 3" in err


def test_no_kernel_is_found_in_a_terminal_or_in_another_thread(shell):
    assert busy_kernel.running_kernel() is None
    shell.kernel = "a kernel"
    assert busy_kernel.running_kernel() == "a kernel"
    found = []
    thread = threading.Thread(target=lambda: found.append(busy_kernel.running_kernel()))
    thread.start()
    thread.join()
    assert found == [None]


class TestFigure:
    def test_shows_grid_losses_and_measures(self):
        record = [row(step, step) for step in (1, 2, 3)]
        measures = [measured(1, 0.3), measured(3, 0.2)]
        figure = plots.run_figure(record, measures, torch.zeros(3, 62, 32))
        samples, *panels = figure.axes
        assert [label.get_text() for label in samples.get_yticklabels()] == [
            "A", "A to B", "and back", "B", "B to A", "and back",
        ]  # fmt: skip
        lines = {line.get_label(): line for panel in panels for line in panel.get_lines()}
        assert set(lines) >= {*TERMS, *measures[0]} - {"step", "seconds"}
        assert list(lines["distance_BA"].get_xdata()) == [1, 3]
        assert list(lines["distance_BA"].get_ydata()) == [0.3, 0.2]

    def test_what_is_missing_is_left_out(self):
        figure = plots.run_figure([], [])
        assert not any(axis.get_lines() for axis in figure.axes)
        plots.figure_bytes(figure)

    def test_measures_of_a_file_are_those_of_the_run(self, tmp_path, config):
        run = train(config, tmp_path / "run", device=CPU, progress=False)
        of_file, of_run = (
            [line.get_ydata().tolist() for axis in figure.axes for line in axis.get_lines()]
            for figure in (
                plots.measure_curves(tmp_path / "run" / "metrics.csv"),
                plots.measure_curves(run.measures),
            )
        )
        assert of_file == of_run
        assert len(of_run) == 4


# The module alone, by its file: the kernel need not load the whole package, with torch.
BEGIN = f"""
import runpy, time, ipywidgets
busy = runpy.run_path({busy_kernel.__file__!r})
"""
RUN = """
clicks = []
button = ipywidgets.Button()
button.on_click(clicks.append)
until = time.monotonic() + 60
while not clicks and time.monotonic() < until:
    busy["answer_widgets"](busy["running_kernel"]())
    time.sleep(0.01)
print("clicks:", len(clicks))
"""


@pytest.fixture(scope="module")
def client():
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def messages(client, until, timeout=60):
    """Messages of the kernel, up to the first one for which `until` holds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            message = client.get_iopub_msg(timeout=1)
        except Empty:
            continue
        yield message
        if until(message):
            return
    pytest.fail("the kernel did not answer")


def idle(request):
    return lambda message: (
        message["msg_type"] == "status"
        and message["content"]["execution_state"] == "idle"
        and message["parent_header"].get("msg_id") == request
    )


def is_button(message):
    state = message["content"].get("data", {}).get("state", {})
    return message["msg_type"] == "comm_open" and state.get("_model_name") == "ButtonModel"


def click(client, button, **header):
    content = {"comm_id": button, "data": {"method": "custom", "content": {"event": "click"}}}
    message = client.session.msg("comm_msg", content)
    message["header"].update(header)
    client.shell_channel.send(message)


def printed(found):
    return "".join(m["content"]["text"] for m in found if m["msg_type"] == "stream")


def test_button_ends_the_run_while_the_cell_runs_and_later_cells_wait(client):
    list(messages(client, idle(client.execute(BEGIN))))
    run = client.execute(RUN)
    *_, opened = messages(client, is_button)
    later = [client.execute(f"print('cell {n}')") for n in (1, 2)]
    click(client, opened["content"]["comm_id"])
    assert "clicks: 1" in printed(messages(client, idle(run)))
    after = [printed(messages(client, idle(request))) for request in later]
    assert after == ["cell 1\n", "cell 2\n"]


def test_button_answers_on_a_subshell_too(client):
    """JupyterLab sends the messages of widgets there."""
    list(messages(client, idle(client.execute(BEGIN))))
    request = client.session.msg("create_subshell_request")
    client.control_channel.send(request)
    subshell = client.get_control_msg(timeout=20)["content"].get("subshell_id")
    if subshell is None:
        pytest.skip("this kernel has no subshells")
    run = client.execute(RUN)
    *_, opened = messages(client, is_button)
    click(client, opened["content"]["comm_id"], subshell_id=subshell)
    assert "clicks: 1" in printed(messages(client, idle(run)))
