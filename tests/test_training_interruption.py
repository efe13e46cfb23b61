"""Stopping: Ctrl-C once and twice, SIGTERM, the notebook's stop button, in threads too."""

import os
import signal
import textwrap
import threading
from pathlib import Path

import pytest
import safetensors.torch
from jupyter_client import KernelManager
from training_toys import TINY, StopAfter, assert_same_weights, run_it, write_pictures

from cyclegan_course.training import Config, FastStep
from cyclegan_course.training.checkpoints import checkpoint_files, read_checkpoint
from cyclegan_course.training.interruption import stop_requests

PATIENCE = 120.0  # seconds until something that hangs fails the test


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture
def config(data, monkeypatch):
    monkeypatch.setattr("cyclegan_course.training.loop.LOG_EVERY", 0.0)  # after every step
    return Config(data=str(data), **TINY, steps=6)


class TestRequests:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_asks_and_interrupts_nothing(self, number):
        with stop_requests() as stop:
            assert not stop.requested
            signal.raise_signal(number)
            assert stop.requested
            assert stop.reason == signal.Signals(number).name

    def test_a_second_ctrl_c_interrupts_at_once(self):
        with stop_requests():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    @pytest.mark.parametrize(
        "numbers",
        [
            (signal.SIGINT, signal.SIGTERM, signal.SIGTERM),  # torchrun sends both
            (signal.SIGTERM, signal.SIGTERM),
            (signal.SIGTERM, signal.SIGINT),
        ],
    )
    def test_other_orders_do_not_interrupt(self, numbers):
        with stop_requests() as stop:
            for number in numbers:
                signal.raise_signal(number)
            assert stop.reason == numbers[0].name

    def test_a_first_ctrl_c_after_the_stop_button_does_not_interrupt(self):
        with stop_requests() as stop:
            stop.ask("stop button")
            signal.raise_signal(signal.SIGINT)
            assert stop.reason == "stop button"

    def test_the_handlers_of_before_come_back(self):
        def mine(number, frame):
            pass

        before = signal.signal(signal.SIGTERM, mine)
        try:
            with pytest.raises(ZeroDivisionError), stop_requests():
                raise ZeroDivisionError
            assert signal.getsignal(signal.SIGTERM) is mine
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_outside_the_main_thread_signals_are_left_alone(self):
        found = []

        def work():
            with stop_requests() as stop:
                found.append((signal.getsignal(signal.SIGINT), stop.requested))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(PATIENCE)
        assert found == [(signal.getsignal(signal.SIGINT), False)]


def at_step(monkeypatch, step, action):
    """Do something in the middle of a step of the trainer."""
    real = FastStep.__call__

    def call(self, *arguments):
        if self.state.step + 1 == step:
            action()
        return real(self, *arguments)

    monkeypatch.setattr(FastStep, "__call__", call)


def steps_on_disk(folder):
    return [read_checkpoint(file)[0]["step"] for file in checkpoint_files(folder)]


class TestRun:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_step_is_finished_and_everything_saved(self, tmp_path, config, monkeypatch, number):
        with monkeypatch.context() as patch:
            at_step(patch, 3, lambda: signal.raise_signal(number))
            stopped = run_it(config, tmp_path)
        assert (stopped.steps, stopped.finished) == (3, False)
        assert stopped.stopped_by == signal.Signals(number).name
        assert steps_on_disk(tmp_path) == [3]
        assert (tmp_path / "generator").is_dir()
        assert_same_weights(run_it(config, tmp_path, resume=True), run_it(config))

    def test_the_stop_button(self, tmp_path, config):
        stopped = run_it(config, tmp_path, watchers=[StopAfter(2)])
        assert (stopped.stopped_by, stopped.steps) == ("stop button", 2)
        assert_same_weights(run_it(config, tmp_path, resume=True), run_it(config))

    def test_a_keyboard_interrupt_in_a_step_leaves_whole_files(self, tmp_path, config, monkeypatch):
        def interrupt():
            raise KeyboardInterrupt  # as a second Ctrl-C does

        config = Config(**vars(config) | {"save_every": 0})
        with monkeypatch.context() as patch:
            at_step(patch, 4, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run_it(config, tmp_path)
        assert [read_checkpoint(file)[0]["step"] for file in checkpoint_files(tmp_path)] == [
            3,
            2,
            1,
        ]
        assert_same_weights(run_it(config, tmp_path, resume=True), run_it(config))

    def test_a_keyboard_interrupt_in_a_write_leaves_whole_files(
        self, tmp_path, config, monkeypatch
    ):
        config = Config(**vars(config) | {"save_every": 0})
        real, calls = safetensors.torch.save_file, []

        def save_file(tensors, path, metadata):
            calls.append(path)
            real(tensors, path, metadata)
            if len(calls) == 4:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(safetensors.torch, "save_file", save_file)
            with pytest.raises(KeyboardInterrupt):
                run_it(config, tmp_path)
        assert [read_checkpoint(file)[0]["step"] for file in checkpoint_files(tmp_path)] == [
            3,
            2,
            1,
        ]
        assert not list(tmp_path.rglob("*.part"))
        assert_same_weights(run_it(config, tmp_path, resume=True), run_it(config))

    def test_in_another_thread(self, tmp_path, config):
        runs = []
        thread = threading.Thread(target=lambda: runs.append(run_it(config, tmp_path)))
        thread.start()
        thread.join(PATIENCE)
        assert runs[0].finished
        assert_same_weights(runs[0], run_it(config))


CELL = """
import time
from pathlib import Path
from cyclegan_course.training import Config, FastStep
from cyclegan_course.training.interruption import StopRequest
from training_toys import run_it

config, folder = Config(**{config!r}), Path({folder!r})
real_step, real_ask, asked = FastStep.__call__, StopRequest.ask, []

def ask(self, reason):
    asked.append(reason)
    real_ask(self, reason)

def call(self, *arguments):
    if self.state.step == 2:
        print("ready", flush=True)
        ends = time.monotonic() + {patience}
        while not asked and time.monotonic() < ends:
            time.sleep(0.01)
    return real_step(self, *arguments)

StopRequest.ask, FastStep.__call__ = ask, call
run = run_it(config, folder)
print("ended", run.stopped_by, run.steps, run.finished, flush=True)
"""


def test_the_stop_button_of_a_notebook(tmp_path, config):
    """Interrupting the kernel is what that button does: the cell ends by itself, all is saved."""
    manager = KernelManager(kernel_name="python3")
    here = str(Path(__file__).parent)
    paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    manager.start_kernel(env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        code = textwrap.dedent(CELL).format(
            config=vars(config), folder=str(tmp_path), patience=PATIENCE
        )
        printed = []

        def read(message):
            kind, content = message["msg_type"], message["content"]
            if kind in ("stream", "error"):
                printed.append(content.get("text") or "\n".join(content["traceback"]))
                if "ready" in printed[-1]:
                    manager.interrupt_kernel()

        reply = client.execute_interactive(code, output_hook=read, timeout=PATIENCE)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", "".join(printed)
    assert "ended SIGINT 3 False" in "".join(printed)
    assert_same_weights(run_it(config, tmp_path, resume=True), run_it(config))
