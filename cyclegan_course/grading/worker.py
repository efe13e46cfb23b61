"""The process in which one notebook runs: `python -m cyclegan_course.grading.worker`.

It gets its task on standard input and answers on standard output, one JSON object a line. What the
notebook prints goes nowhere. First the process gives up its rights, then it imports the course,
then it runs what the notebook says.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cyclegan_course
from cyclegan_course.grading import guard, landlock

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev")


class Talk:
    """The two pipes to the supervisor, taken away from standard input and output."""

    def __init__(self) -> None:
        self._in, self._out = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)

    def hear(self) -> dict:
        """The next line from the supervisor."""
        return json.loads(self._in.readline())

    def say(self, kind: str, **content: Any) -> None:
        """Send one line to it."""
        line = json.dumps({"kind": kind, **content}).encode() + b"\n"
        while line:  # a raw pipe may take a part
            line = line[self._out.write(line) :]


def main() -> None:
    """Do one task, then end without waiting for anything that the notebook left behind."""
    talk = Talk()
    task = talk.hear()
    own = Path(task["folder"])
    level = landlock.confine(readable(), [own, Path(os.devnull)])
    make_imports()
    shell = _make_shell()
    from cyclegan_course.grading import session

    work = session.Session(shell, talk, task)
    _limit(task["memory"], task["file_size"], task["cpu_seconds"])
    guard.install(own, [Path(path) for path in task["closed"]])
    os.dup2(0, 2)  # what was said up to here is the grader's own error, and is kept
    talk.say("started", landlock=level)
    work.run()
    talk.say("done")
    os._exit(0)


def readable() -> Iterator[Path]:
    """What any Python program needs, and the course with its data; no home, no submissions."""
    yield from (Path(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, *SYSTEM))
    yield from (Path(p) for p in sys.path if p.endswith(("site-packages", "dist-packages")))
    package = Path(cyclegan_course.__file__).resolve().parent
    yield package
    if (package.parent / "pyproject.toml").exists():  # the repository
        yield package.parent / "data"
        yield package.parent / "pyproject.toml"


def make_imports() -> None:
    """Import what takes long, without doing anything with it."""

    import cyclegan_course.grading.session  # noqa: F401


def _make_shell() -> "InteractiveShell":
    """A notebook's session without a front-end, and without the kernel's sockets."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.cache_size = 0  # keep no outputs
    return InteractiveShell.instance(config=config)


def _limit(memory: int, file_size: int, cpu_seconds: int) -> None:
    """Limits that the system itself holds, where it has them; the supervisor watches as well.

    Args:
        memory: bytes of data besides those that the imports took.
        file_size: bytes of one file.
        cpu_seconds: processor time; ends the process even if nobody watches any more.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": file_size, "RLIMIT_CPU": cpu_seconds}
    status = Path("/proc/self/status")
    if status.exists():
        used = next(
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmData")
        )
        limits["RLIMIT_DATA"] = int(used.split()[1]) * 1024 + memory
    for name, value in limits.items():
        _, hard = resource.getrlimit(getattr(resource, name))
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(getattr(resource, name), (value, value))


if __name__ == "__main__":
    main()
