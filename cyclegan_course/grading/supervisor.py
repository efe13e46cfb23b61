"""Has notebooks run by workers, and starts another where one had to be ended."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cyclegan_course.grading import nursery
from cyclegan_course.grading.nursery import Nursery
from cyclegan_course.grading.processes import Family
from cyclegan_course.grading.results import STATES, Result, exercise_seed
from cyclegan_course.grading.watched import (
    MEGABYTE,
    PATIENCE,
    Ended,
    Limits,
    Worker,
    make_environment,
)

LARGEST_NOTEBOOK = 50 * MEGABYTE

# What is said of an exercise whose worker had to be ended, or ended itself.
SAID = {
    "time limit": "The answer takes too long: is there a loop that does not end?",
    "memory limit": "The answer needs too much memory.",
    "disk limit": "The answer writes too much to the disk.",
    "process limit": "The answer starts too many processes.",
    "process ended": "The answer ends the whole process.",
    "tampered": "The answer interferes with the grader.",
}


@dataclass
class NotebookReport:
    """What became of one notebook."""

    results: dict[str, Result] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class Supervisor:
    """Runs notebooks under limits.

    Args:
        limits: for each notebook.
        chapters: those that count, None for all.
        closed: folders that no notebook may read, where the system has no better protection.
    """

    def __init__(
        self, limits: Limits, chapters: list[int] | None, closed: tuple[Path, ...] = ()
    ) -> None:
        self.limits, self.chapters, self.closed = limits, chapters, closed
        self.family, self.stop = Family(), threading.Event()
        self.landlock: int | None = None  # known when the first worker has started
        self._nursery: Nursery | None = None
        self._nursery_folder: tempfile.TemporaryDirectory | None = None

    def __enter__(self) -> "Supervisor":
        if nursery.is_possible():
            self._nursery_folder = _temporary_folder()
            environment = make_environment(Path(self._nursery_folder.name))
            with self.family.lock:
                self._nursery = Nursery(environment)
                self.family.add(self._nursery.pid)
            try:
                self._nursery.wait()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._nursery is not None:
            self._nursery.close()
            self._nursery_folder.cleanup()

    def launch(self, folder: Path, environment: dict[str, str], pipes: list[int]) -> int:
        """Start a worker; its process number.

        Args:
            folder: that it starts in.
            environment: all of it.
            pipes: its standard input, output and error.
        """
        with self.family.lock:
            if self._nursery is not None:
                number = self._nursery.fork(folder, environment, pipes)
            else:
                standard = dict(zip(("stdin", "stdout", "stderr"), pipes, strict=True))
                command = [sys.executable, "-P", "-m", f"{__package__}.worker"]
                # A session of its own: it can be ended with its group, and Ctrl-C is not for it.
                number = subprocess.Popen(
                    command, cwd=folder, env=environment, start_new_session=True, **standard
                ).pid
            self.family.add(number)
        return number

    def grade(self, content: bytes, name: str, seed: int) -> NotebookReport:
        """Grade the exercises of a notebook.

        Args:
            content: of the file.
            name: of the file, for the report.
            seed: of the run.

        Raises:
            Stopped: after `stop` was set.
            CourseError: if no worker can be started here.
        """
        report = NotebookReport()
        if len(content) > LARGEST_NOTEBOOK:
            size = len(content) / MEGABYTE
            report.remarks.append(
                f"{name}: {size:.0f} MB are too large for a notebook. Clear its outputs."
            )
            return report
        deadline = time.monotonic() + self.limits.minutes * 60
        while True:
            settled = {number: result.state for number, result in report.results.items()}
            with self._worker(content, settled) as worker:
                if self._follow(worker, report, name, seed, deadline):
                    return report

    def _follow(
        self, worker: "Worker", report: NotebookReport, name: str, seed: int, deadline: float
    ) -> bool:
        """Note what a worker says; False if another one has to go on."""
        left: list[str] = []
        current, until, known = None, deadline, False

        def note(number: str, state: str, **more: Any) -> None:
            own_seed = exercise_seed(seed, number)
            report.results[number] = Result(state, notebook=name, seed=own_seed, **more)
            if number in left:
                left.remove(number)

        try:
            while True:
                message = worker.hear(min(until, deadline))
                kind = message["kind"]
                if kind == "unreadable":
                    report.remarks.append(f"{name}: {message['message']}")
                    return True
                if kind == "done":
                    return True
                if kind == "found" and not known:
                    known = True
                    left = [n for n in message["numbers"] if n not in report.results]
                    for number, text in message["unreadable"].items():
                        note(number, "unreadable", message=f"The cell cannot be read: {text}")
                elif kind == "begin":
                    current = message["number"]
                    until = time.monotonic() + self.limits.seconds * PATIENCE
                    worker.begin()
                elif kind == "ready" and message["number"] == current:
                    worker.say(seed=exercise_seed(seed, current))
                elif kind == "outcome" and message["number"] == current:
                    note(current, **_checked(message))
                    if report.results[current].state == "tampered":
                        return not left
                    current, until = None, deadline
        except Ended as end:
            reason = str(end)
        except (KeyError, TypeError, ValueError, AttributeError):
            reason = "tampered"  # no worker says such a thing of its own
        # Between two exercises it is something that an earlier answer has left running.
        guilty = current if current in left else left[0] if left else None
        if guilty is None:
            report.remarks.append(f"{name}: the notebook could not be read ({reason}).")
            return True
        note(guilty, reason, message=SAID[reason])
        if time.monotonic() >= deadline:
            for number in list(left):
                note(number, "time limit", message="No time was left for this exercise.")
        return not left

    def run_whole(self, content: bytes, name: str) -> list[str]:
        """Run all cells of a notebook in order; sentences on what failed."""
        if len(content) > LARGEST_NOTEBOOK:
            return []
        deadline = time.monotonic() + self.limits.minutes * 60
        failed, index = [], 0
        with self._worker(content, {}, whole=True) as worker:
            try:
                while (message := worker.hear(deadline))["kind"] not in ("done", "unreadable"):
                    if message["kind"] == "cell":
                        index = int(message["index"])
                    elif message["kind"] == "failed":
                        failed.append(f"code cell {index} fails: {str(message['error'])[:200]}")
            except Ended as end:
                failed.append(f"code cell {index} ends the run ({end})")
            except (KeyError, TypeError, ValueError):
                failed.append(f"code cell {index} interferes with the grader")
        if len(failed) > 5:
            failed = [*failed[:5], f"{len(failed) - 5} more code cells fail"]
        return [f"{name}: {sentence}." for sentence in failed]

    @contextmanager
    def _worker(
        self, content: bytes, settled: dict[str, str], whole: bool = False
    ) -> Iterator["Worker"]:
        with _temporary_folder() as made:
            folder = Path(made).resolve()
            task = {
                "folder": str(folder),
                "notebook": str(folder / "notebook.ipynb"),
                "closed": [str(path) for path in self.closed],
                "settled": settled,
                "chapters": self.chapters,
                "whole": whole,
                "memory": self.limits.memory,
                "file_size": self.limits.disk,
                "cpu_seconds": int(self.limits.minutes * 60 * 2) + 60,
            }
            (folder / "notebook.ipynb").write_bytes(content)
            worker = Worker(self.launch, self.family.end, self.limits, self.stop, folder, task)
            try:
                self.landlock = worker.start()
                yield worker
            finally:
                worker.end()


def _temporary_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(
        prefix="cyclegan-course-grading-", ignore_cleanup_errors=True
    )


def _checked(message: dict) -> dict:
    """The parts of an outcome, whatever the worker's process was made to send."""
    if message["state"] not in STATES:
        raise KeyError(message["state"])
    return {
        "state": message["state"],
        "message": str(message["message"]),
        "table": tuple((str(name), str(text)) for name, text in message.get("table", ())),
        "hidden": bool(message.get("hidden")),
        "mistake": str(message.get("mistake", "")),
    }
