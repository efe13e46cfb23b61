"""A training that is killed with kill -9, at any moment, continues to the same weights.

The trainings run in processes of their own, forked from one that has imported everything: starting
Python with torch for each of them would take a minute. Moments are drawn with a seed; where in a
step or a write they fall is different on each machine, what must come out is not.
"""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from tqdm import tqdm
from training_toys import TINY, run_it, write_pictures

from cyclegan_course.training import Config, FastStep
from cyclegan_course.training import checkpoints as checkpoints_module
from cyclegan_course.training.checkpoints import (
    checkpoint_file,
    checkpoint_files,
    read_checkpoint,
)
from cyclegan_course.training.interruption import StopRequest
from cyclegan_course.training.watching import Watcher

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")

MOMENTS = 30
STEPS = 16
PATIENCE = 120.0  # seconds until a process that hangs fails the test


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    data = write_pictures(tmp_path_factory.mktemp("data"))
    # A checkpoint after every step: much of the time is then spent in writing them.
    return Config(data=str(data), **TINY, steps=STEPS, save_every=0, keep=2)


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cyclegan_course.training", "pytest", "test_training_kill"])
    return context


@pytest.fixture(scope="module")
def straight(config, processes, tmp_path_factory):
    """The weights of a run that nobody stopped, made in such a process, and the seconds it took."""
    folder = tmp_path_factory.mktemp("straight")
    begin(processes, training, config, folder)  # the first one waits for the imports
    began = time.perf_counter()
    folder = tmp_path_factory.mktemp("straight")
    begin(processes, training, config, folder)
    return final_tensors(folder), time.perf_counter() - began


def begin(context, function, *arguments, wait=True):
    process = context.Process(target=function, args=arguments)
    process.start()
    if wait:
        process.join(PATIENCE)
        assert process.exitcode is not None, "the training hangs"
    return process


def final_tensors(folder):
    header, tensors = read_checkpoint(checkpoint_file(folder, STEPS))
    assert header["step"] == STEPS
    return {key: value for key, value in tensors.items() if key not in ("record", "measures")}


def assert_same(tensors, others):
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        assert torch.equal(value, others[name]), name


def steps_written(folder):
    """The steps of the checkpoints that a training told were written."""
    log = folder / "written"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def wait_for_checkpoints(process, folder, count):
    while len(steps_written(folder)) < count and process.is_alive():
        time.sleep(0.001)


def unfinished(folder):
    return [file for file in folder.rglob(".*") if file.is_file()]


# --- what runs in the other processes -----------------------------------------------------------


def prepare():
    torch.set_num_threads(1)
    # tqdm's lock for several processes would stay in the system when this one is killed.
    tqdm.set_lock(threading.RLock())


def training(config, folder):
    """A training that writes down each checkpoint after it is written."""
    prepare()
    real = checkpoints_module.add_checkpoint

    def add(folder, state, config, *, best=False):
        file = real(folder, state, config, best=best)
        with open(folder / "written", "a", encoding="utf-8") as log:
            log.write(f"{state.step}\n")
        return file

    checkpoints_module.add_checkpoint = add
    run_it(config, folder, resume=True)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_a_write(config, folder, where, step):
    """A training that dies at a certain place of writing the checkpoint of a step."""
    name = checkpoint_file(folder, step).name
    if where == "half of the bytes":
        real_save = checkpoints_module.safetensors.torch.save_file

        def save_file(tensors, path, metadata):
            real_save(tensors, path, metadata)
            if f'"step": {step},' in metadata["run"]:
                data = path.read_bytes()
                path.write_bytes(data[: len(data) // 2])
                die()

        checkpoints_module.safetensors.torch.save_file = save_file
    elif where == "before the renaming":
        real_replace = os.replace

        def rename(source, target):
            if Path(target).name == name:
                die()
            real_replace(source, target)

        os.replace = rename
    else:
        real_prune = checkpoints_module.prune

        def prune(file, keep):
            if file.name == name:
                die()
            real_prune(file, keep)

        checkpoints_module.prune = prune
    training(config, folder)


def waiting_for_a_signal(config, folder, step, result):
    """A training that waits in a step until a signal has come, and tells how it ended."""
    real_ask, real_step, asked = StopRequest.ask, FastStep.__call__, []

    def ask(self, reason):
        asked.append(reason)
        real_ask(self, reason)

    def call(self, *arguments):
        if self.state.step == step:
            result.put("ready")
            ends = time.monotonic() + PATIENCE
            while not asked and time.monotonic() < ends:
                time.sleep(0.005)
        return real_step(self, *arguments)

    StopRequest.ask, FastStep.__call__ = ask, call
    prepare()
    run = run_it(config, folder, resume=True)
    result.put((run.stopped_by, run.finished, run.steps))


def on_a_small_disk(config, folder, size, result):
    """A training that may not write files of more than some bytes, as on a full disk."""
    import resource

    said = []

    class Said(Watcher):
        def say(self, sentence):
            said.append(sentence)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    prepare()
    try:
        run_it(config, folder, resume=True, watchers=[Said()])
        result.put((said, "finished"))
    except BaseException as error:
        result.put((said, f"{type(error).__name__}: {error}"))


# --- the tests ----------------------------------------------------------------------------------


def test_killed_at_random_moments(config, processes, straight, tmp_path):
    weights, seconds = straight
    rng = random.Random(9)
    killed = in_a_write = tries = 0
    while killed < MOMENTS:
        tries += 1
        assert tries <= 3 * MOMENTS, "the trainings end before they can be killed"
        folder = tmp_path / str(tries)
        process = begin(processes, training, config, folder, wait=False)
        wait_for_checkpoints(process, folder, rng.randint(0, STEPS))
        process.join(rng.uniform(0.0, 2 * seconds / STEPS))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:  # it was at its end already
            continue
        killed += 1
        in_a_write += bool(unfinished(folder))

        # Whatever has the name of a checkpoint is whole, and nothing that was written is lost.
        on_disk = [read_checkpoint(file)[0]["step"] for file in checkpoint_files(folder)]
        newest = max(on_disk, default=0)
        assert newest >= max(steps_written(folder), default=0)
        (folder / "written").unlink(missing_ok=True)
        begin(processes, training, config, folder)
        assert_same(final_tensors(folder), weights)
        made_again = steps_written(folder)
        assert made_again == list(range(min(newest + 1, STEPS), STEPS + 1))
    print(f"{killed} trainings were killed, {in_a_write} of them while they wrote a file")


@pytest.mark.parametrize(
    "where", ["half of the bytes", "before the renaming", "before the older are removed"]
)
def test_killed_in_a_write(config, processes, straight, tmp_path, where):
    """Four times in a row, the later ones while what the earlier ones left lies around."""
    for step in (1, 2, 3, 10):
        process = begin(processes, killed_in_a_write, config, tmp_path, where, step)
        assert process.exitcode == -signal.SIGKILL
        on_disk = [read_checkpoint(file)[0]["step"] for file in checkpoint_files(tmp_path)]
        written = where == "before the older are removed"
        assert max(on_disk, default=0) == (step if written else step - 1)
        assert bool(unfinished(tmp_path)) == (not written)
    begin(processes, training, config, tmp_path)
    assert_same(final_tensors(tmp_path), straight[0])
    assert len(checkpoint_files(tmp_path)) == config.keep


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(config, processes, straight, tmp_path, number):
    result = processes.Queue()
    process = begin(processes, waiting_for_a_signal, config, tmp_path, 7, result, wait=False)
    assert result.get(timeout=PATIENCE) == "ready"
    os.kill(process.pid, number)
    assert result.get(timeout=PATIENCE) == (signal.Signals(number).name, False, 8)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert read_checkpoint(checkpoint_files(tmp_path)[0])[0]["step"] == 8
    begin(processes, training, config, tmp_path)
    assert_same(final_tensors(tmp_path), straight[0])


def test_a_disk_that_is_really_full(config, processes, straight, tmp_path):
    """The last checkpoint cannot be written either: a sentence, and the earlier one is whole."""
    begin(processes, killed_in_a_write, config, tmp_path, "before the renaming", 5)
    for file in unfinished(tmp_path):
        file.unlink()
    before = checkpoint_file(tmp_path, 4).read_bytes()
    result = processes.Queue()
    begin(processes, on_a_small_disk, config, tmp_path, len(before) // 2, result, wait=False)
    said, ended = result.get(timeout=PATIENCE)
    assert len([sentence for sentence in said if "could not be written" in sentence]) == 1
    assert ended.startswith("CourseError: The checkpoint")
    assert "free some disk space" in ended
    assert checkpoint_file(tmp_path, 4).read_bytes() == before
    assert not unfinished(tmp_path)
    begin(processes, training, config, tmp_path)
    assert_same(final_tensors(tmp_path), straight[0])
