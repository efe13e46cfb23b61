"""A process that has imported the course, from which workers are forked; for Linux.

The imports take most of the time of a small notebook. Here they are made once for all. The process
itself runs nothing of any notebook; each worker is a copy of it that has done nothing else yet.
Elsewhere `fork` is missing (Windows) or unsafe beside system libraries (macOS), and each worker
imports for itself.
"""

import array
import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cyclegan_course.errors import CourseError

LARGEST = 100_000  # bytes of a request


def is_possible() -> bool:
    """Whether this system can fork workers."""
    return platform.system() == "Linux"


class Nursery:
    """The process, seen from outside.

    Args:
        environment: its environment, for the imports.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(other.fileno())],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is the grader's alone
        )
        other.close()
        self.pid = self._process.pid

    def wait(self) -> None:
        """Wait until the imports are made.

        Raises:
            CourseError: if they fail.
        """
        if self._socket.recv(100):
            return
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "it was ended"
        raise CourseError(
            f"No notebook can be run here ({reason}). See whether `cyclegan-course doctor` works."
        )

    def fork(self, folder: Path, environment: dict[str, str], pipes: list[int]) -> int:
        """A new worker; its process number.

        Args:
            folder: that it starts in.
            environment: in place of the nursery's own.
            pipes: its standard input, output and error.

        Raises:
            CourseError: if the nursery has ended.
        """
        request = json.dumps({"folder": str(folder), "environment": environment}).encode()
        rights = array.array("i", pipes)
        answer = b""
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendmsg(
                [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL
            )
            answer = self._socket.recv(100)
        if not answer:
            raise CourseError(
                "The process that starts the others was ended. What is graded is kept: the same "
                "command goes on from there."
            )
        return int(answer)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()


def main(number: int) -> None:
    """Fork a worker for each request, until the other side closes the socket."""
    from cyclegan_course.grading import worker

    connection = socket.socket(fileno=number)
    worker.make_imports()
    connection.send(b"ready")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker that has ended
    while True:
        request, pipes, _, _ = socket.recv_fds(connection, LARGEST, 3)
        if not request:
            return
        process = os.fork()
        if process == 0:
            try:
                connection.close()
                _become_worker(json.loads(request), pipes)
                worker.main()
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                with contextlib.suppress(Exception):
                    sys.stderr.flush()
                os._exit(1)
        for pipe in pipes:
            os.close(pipe)
        connection.send(str(process).encode())


def _become_worker(request: dict, pipes: list[int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for target, pipe in enumerate(pipes):
        os.dup2(pipe, target)
        os.close(pipe)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    tempfile.tempdir = None  # found anew, in the new environment


if __name__ == "__main__":
    main(int(sys.argv[1]))
