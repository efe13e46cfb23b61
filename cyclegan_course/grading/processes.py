"""Memory and life of a process and of all that it started."""

import contextlib
import ctypes
import os
import platform
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_GONE = (psutil.Error, ProcessLookupError)
_SUBREAPER = 36  # prctl: processes that lose their parent become children of this one


@dataclass(frozen=True)
class Usage:
    """Of several processes together: bytes of memory, seconds of processor time, their number."""

    memory: int
    seconds: float
    processes: int


class Family:
    """The processes that a grader started, so that none of theirs outlives them.

    On Linux a process that hides from its parent, in a session of its own, comes back to the grader
    when its parent ends, and is found there. Elsewhere such a process can escape.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._mine: set[int] = set()
        self._before = {child.pid for child in psutil.Process().children()}
        if platform.system() == "Linux":
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)

    def add(self, pid: int) -> None:
        """Name a process that was started on purpose; hold `lock` from before it starts."""
        self._mine.add(pid)

    def end(self, pid: int) -> None:
        """Kill a process and all that it started."""
        for _ in range(20):  # a process may start another while it is being killed
            tree = list(members(pid))
            for process in tree:
                with contextlib.suppress(*_GONE):
                    process.kill()
            if hasattr(os, "killpg"):
                with contextlib.suppress(*_GONE, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            if not tree:
                break
            psutil.wait_procs(tree, timeout=0.2)
        self._end_orphans()
        self._mine.discard(pid)

    def _end_orphans(self) -> None:
        with self.lock:
            for child in psutil.Process().children():
                if child.pid not in self._mine | self._before:
                    for process in members(child.pid):
                        with contextlib.suppress(*_GONE):
                            process.kill()
                    with contextlib.suppress(*_GONE, psutil.TimeoutExpired):
                        child.wait(0.5)


def members(pid: int) -> Iterator[psutil.Process]:
    """A process and all below it that still run."""
    with contextlib.suppress(*_GONE):
        first = psutil.Process(pid)
        for process in [*first.children(recursive=True), first]:
            with contextlib.suppress(*_GONE):
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process


def usage_of(pid: int) -> Usage:
    """What a process and all below it use now."""
    memory, seconds, processes = 0, 0.0, 0
    for process in members(pid):
        with contextlib.suppress(*_GONE), process.oneshot():
            times = process.cpu_times()
            memory += process.memory_info().rss
            seconds += times.user + times.system
            processes += 1
    return Usage(memory, seconds, processes)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder and below, as far as they can be seen."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_size
    return total
