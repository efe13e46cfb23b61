"""A worker seen from outside: what it says, and whether it keeps to its limits."""

import contextlib
import json
import os
import platform
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

import cyclegan_course
from cyclegan_course.errors import CourseError
from cyclegan_course.grading.processes import size_of, usage_of

POLL = 0.1  # seconds between looks at memory
PATIENCE = 5
LOOK_AT_DISK = 1.0
START = 600  # seconds that a worker may take for its imports, on a very busy machine
LONGEST_LINE = 200_000  # bytes of one message
MOST_MESSAGES = 5_000
MOST_PROCESSES = 16
MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What a notebook may use.

    Args:
        seconds: processor time of one exercise: the same on a busy machine. It may also take
            PATIENCE times as long by the clock.
        minutes: wall time of one notebook, and once more of a run of all its cells.
        memory: bytes.
        disk: bytes of all files that it writes.
    """

    seconds: float = 60
    minutes: float = 5
    memory: int = 3 * 2**30
    disk: int = 500 * MEGABYTE


class Ended(Exception):
    """The worker is at its end; the message is a state, "process ended" for instance."""


class Stopped(Exception):
    """The whole grading is to stop."""


class Worker:
    """A running worker, seen from outside.

    Args:
        launch: starts a process, see `Supervisor.launch`.
        end: kills one and all that it started.
        limits: that it is held to.
        stop: set when everything is to stop.
        folder: the worker's own.
        task: what it is told first.
    """

    def __init__(
        self,
        launch: Callable[[Path, dict[str, str], list[int]], int],
        end: Callable[[int], None],
        limits: Limits,
        stop: threading.Event,
        folder: Path,
        task: dict,
    ) -> None:
        self._end, self._limits, self._stop, self._folder = end, limits, stop, folder
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=100)
        self._next_look = time.monotonic()
        self._heard = 0
        self._begun: float | None = None
        environment = make_environment(folder)
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        with open(folder / "start.txt", "wb") as errors:
            pipes = [theirs_in, theirs_out, errors.fileno()]
            self._pid = launch(folder / "work", environment, pipes)
        os.close(theirs_in)
        os.close(theirs_out)
        threading.Thread(target=self._read, args=(os.dup(self._from),), daemon=True).start()
        self.say(**task)

    def start(self) -> int:
        """Wait until it is ready; the version of Landlock that holds it.

        Raises:
            CourseError: if it does not get there.
        """
        try:
            return int(self.hear(time.monotonic() + START)["landlock"])
        except Ended as end:
            said = (self._folder / "start.txt").read_text(encoding="utf-8", errors="replace")
            lines = said.strip().splitlines()
            reason = lines[-1] if lines else str(end)
            raise CourseError(
                f"No notebook can be run here ({reason}). See whether `cyclegan-course doctor` "
                "works."
            ) from end

    def say(self, **content: Any) -> None:
        """Send it a line."""
        with contextlib.suppress(OSError):  # it has ended; `hear` says so
            os.write(self._to, json.dumps(content).encode() + b"\n")

    def begin(self) -> None:
        """From now on count the processor time of an exercise."""
        self._begun = usage_of(self._pid).seconds

    def hear(self, deadline: float) -> dict:
        """The next message.

        Raises:
            Ended: if there is none, or a limit is passed.
            Stopped: after the supervisor's `stop` was set.
        """
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                line = self._lines.get(timeout=POLL)
                break
            except queue.Empty:
                self._look(deadline)
        self._heard += 1
        try:
            message = json.loads(line or b"")
            if self._heard < MOST_MESSAGES and isinstance(message, dict):
                return message
        except (ValueError, RecursionError):
            pass
        raise Ended("process ended")

    def end(self) -> None:
        """Kill it with all that it started, and wait for the end."""
        self._end(self._pid)
        os.close(self._to)
        os.close(self._from)

    def _look(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise Ended("time limit")
        used = usage_of(self._pid)
        if self._begun is not None and used.seconds - self._begun > self._limits.seconds:
            raise Ended("time limit")
        if used.memory > self._limits.memory:
            raise Ended("memory limit")
        if used.processes > MOST_PROCESSES:
            raise Ended("process limit")
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_AT_DISK
            if size_of(self._folder) > self._limits.disk:
                raise Ended("disk limit")

    def _read(self, number: int) -> None:
        with open(number, "rb") as pipe, contextlib.suppress(OSError):
            while line := pipe.readline(LONGEST_LINE):
                self._lines.put(line)
        self._lines.put(None)


def make_environment(folder: Path) -> dict[str, str]:
    """Environment of a worker: nothing of the grader's but what Python needs to start.

    Args:
        folder: its own; the folders for home, temporary files and settings are made in it.
    """
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "LANG")
    own = {name: folder / name for name in ("home", "work", "temporary", "settings", "plots")}
    for path in own.values():
        path.mkdir()
    for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # seconds to make anew
        (own["plots"] / fonts.name).write_bytes(fonts.read_bytes())
    home, temporary, settings = (str(own[name]) for name in ("home", "temporary", "settings"))
    found = {name: os.environ[name] for name in kept if name in os.environ}
    if platform.system() == "Windows":
        found |= {"APPDATA": settings, "LOCALAPPDATA": settings}
    root = str(Path(cyclegan_course.__file__).resolve().parent.parent)
    return found | {
        "CUDA_VISIBLE_DEVICES": "",  # the same numbers on every machine
        "HOME": home,
        "IPYTHONDIR": settings,
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(own["plots"]),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": root,
        "PYTHONUTF8": "1",
        "TEMP": temporary,
        "TMP": temporary,
        "TMPDIR": temporary,
        "USERPROFILE": home,
        "XDG_CACHE_HOME": settings,
        "XDG_CONFIG_HOME": settings,
    }
