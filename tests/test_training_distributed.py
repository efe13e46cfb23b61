"""Several processes: the same run as one, one writer, one stop, one sentence; torchrun."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image

from cyclegan_course import environment
from cyclegan_course.datasets import UnpairedBatches
from cyclegan_course.errors import CourseError
from cyclegan_course.training import Config, FastStep, build_state, distributed, launcher, train
from cyclegan_course.training.checkpoints import checkpoint_files
from cyclegan_course.training.distributed import Workers, joined
from cyclegan_course.training.watching import Watcher

CPU = torch.device("cpu")
TINY = Config(
    size=32,
    n_blocks=1,
    ngf=4,
    ndf=4,
    edge_kernel=3,
    n_layers=2,
    precision="float32",
    compile="off",
    batch=4,
    pool_size=5,
    steps=6,
    sample_every=1e9,
    measure_every=1e9,
    save_every=1e9,
)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# --- several processes in one test ---------------------------------------------------------------


class Together:
    """Processes of one run, each of which calls `function(out, *arguments)`.

    This process keeps their store, as torchrun does. `out` is a folder for each to write into.
    """

    def __init__(self, out, function, *arguments, size=2):
        # A server that has imported torch once and forks: a process then starts in no time.
        method = "spawn" if sys.platform == "win32" else "forkserver"
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["cyclegan_course.training"])
        self.out = out
        out.mkdir(exist_ok=True)
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.processes = [
            context.Process(
                target=_one_of_them, args=(rank, size, self.store.port, out, function, arguments)
            )
            for rank in range(size)
        ]
        for process in self.processes:
            process.start()

    def end(self):
        """Wait for all; their exit codes and how each ended."""
        for process in self.processes:
            process.join(100)
        alive = [process for process in self.processes if process.is_alive()]
        for process in alive:
            process.kill()
        assert not alive, "a process hangs"
        endings = [self.out / f"ending_{rank}" for rank in range(len(self.processes))]
        return [file.read_text() if file.exists() else "" for file in endings]

    def saved(self, name):
        return [torch.load(self.out / f"{name}_{rank}") for rank in range(len(self.processes))]


def _one_of_them(rank, size, port, out, function, arguments):
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    torch.set_num_threads(1)
    try:
        function(out, *arguments)
        ending = "well"
    except BaseException as error:
        ending = f"{type(error).__name__}: {error}"
    (out / f"ending_{rank}").write_text(ending)


def save(out, name, value):
    torch.save(value, out / f"{name}_{os.environ.get('RANK', '0')}")


# --- the step ------------------------------------------------------------------------------------


def steps(out, count, lr, dtype):
    with joined() as workers:
        state = build_state(TINY, CPU)
        state.model.to(dtype)
        for pool in (state.pool_A, state.pool_B):
            pool.pictures = pool.pictures.to(dtype)
        step = FastStep(state, TINY, workers=workers)
        state.set_learning_rate(lr)
        mine = workers.share(TINY.batch)
        for number in range(count):
            generator = torch.Generator().manual_seed(number)
            pictures = torch.rand(2, TINY.batch, 3, 32, 32, generator=generator, dtype=dtype)
            real_A, real_B = 2 * pictures[:, mine] - 1
            step(real_A, real_B)
            state.step += 1
    named = dict(state.model.named_parameters())
    save(out, "weights", {name: p.detach() for name, p in named.items()})
    save(out, "gradients", {name: p.grad for name, p in named.items() if p.grad is not None})
    save(out, "pools", [state.pool_A.pictures, state.pool_B.pictures])


def steps_of_two_and_of_one(folder, *arguments):
    both = Together(folder / "two", steps, *arguments)
    one = folder / "one"
    one.mkdir()
    steps(one, *arguments)
    assert both.end() == ["well", "well"]
    return both, lambda name: torch.load(one / f"{name}_0")


def relative(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("count", [1, 4], ids=["pool is filled", "pool is full"])
def test_gradients_equal_those_of_one_process_with_the_whole_batch(tmp_path, count):
    # Without learning, so that gradients are compared at equal weights.
    both, one = steps_of_two_and_of_one(tmp_path, count, 0.0, torch.float32)
    expected = one("gradients")
    assert len(expected) > 20
    for found in both.saved("gradients"):
        assert found.keys() == expected.keys()
        assert max(relative(found[name], expected[name]) for name in expected) < 1e-5
    # After 1 step there are 4 pictures in the pool for 5, after 4 steps it has exchanged some.
    filled = int((one("pools")[0].abs().sum((1, 2, 3)) > 0).sum())
    assert filled == (4 if count == 1 else 5)
    for found in both.saved("pools"):
        torch.testing.assert_close(found, one("pools"), rtol=0, atol=1e-5)


def test_what_two_processes_learn_is_what_one_learns(tmp_path):
    # In float64, where nothing turns a rounding error into one that can be seen.
    both, one = steps_of_two_and_of_one(tmp_path, 8, 1e-3, torch.float64)
    expected = one("weights")
    start = build_state(TINY, CPU).model.state_dict()
    assert max(relative(expected[name], start[name].double()) for name in expected) > 0.01
    for found in both.saved("weights"):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def messages(out):
    with joined() as workers:
        mean = torch.nn.Parameter(torch.zeros(2, 3))
        without = torch.nn.Parameter(torch.zeros(4))
        # Strides of channels_last, and another precision for a term, as in the training.
        mean.grad = torch.full((3, 2), float(workers.rank)).T
        terms = {"a": torch.tensor(2.0 * workers.rank), "b": torch.ones((), dtype=torch.bfloat16)}
        terms = workers.average_gradients([mean, without], terms)
        save(
            out,
            "messages",
            {
                "gradient": mean.grad,
                "without": without.grad,
                "terms": terms,
                "pictures": workers.gather(torch.full((2, 1), workers.rank)),
                "agreed": workers.agree(workers.rank == 1, 100.0 + workers.rank / 3),
            },
        )
    with joined() as workers:  # a script may train more than once
        save(out, "again", workers.agree(False, float(workers.rank)))


def test_messages(tmp_path):
    both = Together(tmp_path, messages)
    assert both.end() == ["well", "well"]
    for found in both.saved("messages"):
        assert torch.equal(found["gradient"], torch.full((2, 3), 0.5))
        assert found["without"] is None
        assert {name: float(term) for name, term in found["terms"].items()} == {"a": 1.0, "b": 1.0}
        assert found["pictures"].flatten().tolist() == [0, 0, 1, 1]
        assert found["agreed"] == (True, 100.0)
    assert both.saved("again") == [(False, 0.0)] * 2


def test_alone_nothing_happens(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as workers:
        assert workers == Workers(0, 1)
        assert not dist.is_initialized()
        assert workers.is_first
        assert workers.share(3) == slice(0, 3)
        pictures, terms = torch.rand(2, 3), {"a": torch.ones(())}
        assert workers.gather(pictures) is pictures
        assert workers.average_gradients([], terms) is terms
        assert workers.agree(True, 1.5) == (True, 1.5)
        assert workers.device() == environment.best_device()
        workers.require_equal(step=1)


def test_shares_show_each_picture_once_in_an_epoch():
    colours = [np.full((24, 24, 3), colour, dtype=np.uint8) for colour in range(12)]
    batches = UnpairedBatches(colours, colours, size=24, batch=4, seed=3)
    shares = [Workers(rank, 2).share(4) for rank in range(2)]
    seen = []
    for step in range(3):
        real_A, _ = batches(step)
        seen += [int(127.5 * (float(row.mean()) + 1) + 0.5) for s in shares for row in real_A[s]]
    assert sorted(seen) == list(range(12))


@pytest.mark.parametrize(
    ("batch", "size", "words"),
    [(3, 2, "batch 2 or 4"), (1, 2, "choose batch 2."), (10, 4, "batch 8 or 12")],
)
def test_a_batch_that_cannot_be_shared_gets_a_sentence(batch, size, words):
    with pytest.raises(CourseError, match=words):
        Workers(0, size).share(batch)


# --- the run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A configuration with pictures that cost nothing to draw."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name in ("trainA", "trainB"):
        (folder / name).mkdir()
        for index in range(6):
            pixels = random.integers(0, 256, (36, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return replace(TINY, data=str(folder))


class StopAt(Watcher):
    """Asks for a stop when it sees the sample of a step."""

    def __init__(self, step):
        self.step = step

    def samples(self, grid, step):
        self.stop_requested = step == self.step


def one_run(config, folder, stop_at=None, resume=False):
    watchers = []
    if stop_at is not None:
        config, watchers = replace(config, sample_every=0.0), [StopAt(stop_at)]
    return train(config, folder, device=CPU, progress=False, resume=resume, watchers=watchers)


def one_of_many_runs(out, config, folder, *arguments):
    written = []

    def look(event, arguments):
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.link"):
            writes = event != "open" or set(str(arguments[1])) & set("wax+")
            if writes and str(folder) in str(arguments[0]):
                written.append(f"{event} {arguments[0]}")

    sys.addaudithook(look)  # nothing removes it, but this process ends
    run = one_run(config, folder, *arguments)
    save(out, "written", written)
    save(out, "run", [run.steps, run.finished, run.stopped_by, run.record, run.is_first])
    save(out, "weights", run.model.state_dict())


# Of float32, after some steps: where a gradient is all rounding, Adam's step is as long as any, and
# a picture that crosses the kink of a rectifier makes it visible. In float64 nothing is left of it,
# see above.
ROUNDING = 1e-2


def difference(weights, expected):
    """How far two runs' weights are apart, relative to the way that they went."""
    start = build_state(TINY, CPU).model.state_dict()
    weights, expected, start = (
        torch.cat([value.flatten() for value in each.values()])
        for each in (weights, expected, start)
    )
    return relative(weights - start, expected - start)


def names(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_run_of_two_processes_is_the_run_of_one(tmp_path, tiny):
    both = Together(tmp_path / "two", one_of_many_runs, tiny, tmp_path / "run_2")
    one = one_run(tiny, tmp_path / "run_1")
    assert both.end() == ["well", "well"]
    weights, expected = both.saved("weights"), one.model.state_dict()
    assert difference(weights[0], weights[1]) == 0
    assert difference(weights[0], expected) < ROUNDING
    first, second = both.saved("run")
    assert first[:3] == second[:3] == [6, True, ""]
    assert (first[-1], second[-1]) == (True, False)
    # What is recorded are the means of both.
    for found in zip(first[3], one.record, strict=False):  # how many depends on the time
        assert found[0]["D_A"] == pytest.approx(found[1]["D_A"], rel=1e-4)
        assert found[0]["cycle_B"] == pytest.approx(found[1]["cycle_B"], rel=1e-4)
    # One writer, and all that one process alone would have written.
    writes = both.saved("written")
    assert any("os.rename" in write for write in writes[0])
    assert writes[1] == []
    assert names(tmp_path / "run_2") == names(tmp_path / "run_1")


def test_a_run_goes_on_with_another_number_of_processes(tmp_path, tiny):
    whole = Together(tmp_path / "whole", one_of_many_runs, tiny, tmp_path / "run")
    assert whole.end() == ["well", "well"]
    expected = whole.saved("weights")[0]

    for number in (1, 2):  # stopped halfway with two processes, by what only the first one sees
        folder = tmp_path / f"run_{number}"
        half = Together(tmp_path / f"half_{number}", one_of_many_runs, tiny, folder, 3)
        assert half.end() == ["well", "well"]
        stopped = [run[:3] for run in half.saved("run")]
        assert stopped == [[3, False, "stop button"], [3, False, "another process"]]
    one_run(tiny, tmp_path / "run_3", stop_at=3)

    one = one_run(tiny, tmp_path / "run_1", resume=True)
    assert one.steps == 6
    assert difference(one.model.state_dict(), expected) < ROUNDING
    for number, bound in ((2, 0.0), (3, ROUNDING)):
        folder = tmp_path / f"run_{number}"
        both = Together(tmp_path / f"on_{number}", one_of_many_runs, tiny, folder, None, True)
        assert both.end() == ["well", "well"]
        assert [run[:2] for run in both.saved("run")] == [[6, True], [6, True]]
        assert difference(both.saved("weights")[0], expected) <= bound


def endless(out, config, folder):
    class Began(Watcher):
        def samples(self, grid, step):
            (out / "began").touch()

    config = replace(config, steps=10**6, sample_every=0.0)
    run = train(config, folder, device=CPU, progress=False, watchers=[Began()])
    save(out, "run", [run.steps, run.finished, run.stopped_by])


def wait_for(there, seconds=60):
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


@POSIX
def test_a_signal_to_one_process_stops_all_at_the_same_step(tmp_path, tiny):
    both = Together(tmp_path / "out", endless, tiny, tmp_path / "run")
    wait_for((tmp_path / "out" / "began").exists)
    os.kill(both.processes[1].pid, signal.SIGTERM)
    assert both.end() == ["well", "well"]
    first, second = both.saved("run")
    assert first == [second[0], False, "another process"]
    assert second[1:] == [False, "SIGTERM"]
    assert checkpoint_files(tmp_path / "run")[0].stem == f"step_{first[0]:09d}"


# --- failures ------------------------------------------------------------------------------------


def fails(out, kind):
    with joined() as workers:
        if kind == "sentence" and not workers.is_first:
            raise CourseError("What is wrong, and what to do.")
        if kind == "all alike":
            raise CourseError("What is wrong, and what to do.")
        if kind == "mistake" and workers.is_first:
            raise ValueError("not foreseen")
        if kind == "killed" and not workers.is_first:
            os._exit(9)
        if kind == "differ":
            workers.require_equal(step=3, pictures_of_A=5 + workers.rank)
        workers.agree(False, 0.0)


SENTENCE = "CourseError: What is wrong, and what to do."


@pytest.mark.parametrize(
    ("kind", "endings"),
    [
        ("sentence", ["SystemExit: 1", SENTENCE]),
        ("all alike", [SENTENCE, "SystemExit: 1"]),
        ("mistake", ["SystemExit: 1", "ValueError: not foreseen"]),
        ("killed", ["", "CourseError: Another process of this run ended"]),
        ("differ", ["CourseError: .* differ in their pictures of A .5, 6.", "SystemExit: 1"]),
    ],
)
def test_if_one_fails_all_end_and_one_says_why(tmp_path, kind, endings):
    found = sorted(Together(tmp_path, fails, kind).end())
    for ending, expected in zip(found, sorted(endings), strict=True):
        assert re.match(expected + "$" if expected.endswith("1") else expected, ending) or (
            ending == expected
        )


def test_more_processes_than_gpus_get_a_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(CourseError, match="3 GPUs for 4 processes"), joined():
        pass


@pytest.mark.parametrize(
    ("chosen", "by_torchrun", "threads"),
    [("", False, 4), ("1", True, 4), ("1", False, None), ("3", True, None)],
)
def test_processes_share_the_processors(monkeypatch, chosen, by_torchrun, threads):
    found = []
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: by_torchrun)
    monkeypatch.setattr(environment, "usable_cpus", lambda: 9)
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    distributed._share_processors(2)
    assert found == ([] if threads is None else [threads])


# --- torchrun ------------------------------------------------------------------------------------


@POSIX
def test_torchrun_stops_at_sigterm_and_the_run_goes_on(tmp_path, tiny, capsys):
    endless, folder = replace(tiny, steps=10**6, sample_every=0.2), tmp_path / "run"
    over = threading.Event()

    def terminate():
        while not over.wait(0.1):
            if any((folder / "samples").glob("*.png")):
                return os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    try:
        assert launcher.launch(endless, folder, 2) is False
    finally:
        over.set()
        thread.join()
    said = capsys.readouterr().out
    stopped = re.findall(r"Stopped at step (\d+)", said)
    assert len(stopped) == 1, said
    assert "Traceback" not in said
    step = int(stopped[0])
    assert checkpoint_files(folder)[0].stem == f"step_{step:09d}"
    assert one_run(replace(endless, steps=step + 2), folder, resume=True).steps == step + 2


def stand_in(monkeypatch, script):
    """A child that behaves as torchrun and costs no second."""

    def start(folder, processes):
        return subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    monkeypatch.setattr(launcher, "_torchrun", start)


class TestLaunch:
    def test_a_failure_has_the_childs_sentence(self, tmp_path, monkeypatch, capsys):
        script = "print('step 1'); print('cyclegan-course: The disk is full.'); raise SystemExit(1)"
        stand_in(monkeypatch, script)
        with pytest.raises(CourseError, match=r"^The disk is full\.$"):
            launcher.launch(TINY, tmp_path / "run", 2)
        assert "step 1" in capsys.readouterr().out

    def test_an_end_without_a_word_gets_a_sentence(self, tmp_path, monkeypatch):
        stand_in(monkeypatch, "raise SystemExit(3)")
        with pytest.raises(CourseError, match="exit status 3"):
            launcher.launch(TINY, tmp_path / "run", 2)

    @POSIX
    def test_a_stop_is_passed_on_and_waited_for(self, tmp_path, monkeypatch, capsys):
        script = (
            "import os, signal, sys, time\n"
            "def stop(*_): print('saved', flush=True); sys.exit(1)\n"
            "signal.signal(signal.SIGINT, stop)\n"
            "os.kill(os.getppid(), signal.SIGINT)\n"
            "time.sleep(60)"
        )
        stand_in(monkeypatch, script)
        assert launcher.launch(TINY, tmp_path / "run", 2) is False
        assert "saved" in capsys.readouterr().out

    def test_settings_are_refused_before_anything_starts(self, tmp_path, monkeypatch):
        with pytest.raises(CourseError, match="batch 3 or 6"):
            launcher.launch(TINY, tmp_path / "run", 3)
        assert not (tmp_path / "run").exists()
        stand_in(monkeypatch, "")
        assert launcher.launch(TINY, tmp_path / "run", 2)
        with pytest.raises(CourseError, match="other settings"):
            launcher.launch(replace(TINY, ngf=8), tmp_path / "run", 2, resume=True)
        assert launcher.run_folder.load_config(tmp_path / "run") == TINY
        longer = replace(TINY, steps=9)
        assert launcher.launch(longer, tmp_path / "run", 2, resume=True)
        assert launcher.run_folder.load_config(tmp_path / "run") == longer
