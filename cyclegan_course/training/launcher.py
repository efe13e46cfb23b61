"""A run on several processes, started from a notebook or a script."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from codecs import getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path

from cyclegan_course import environment
from cyclegan_course.errors import CourseError
from cyclegan_course.training import run_folder
from cyclegan_course.training.checkpoints import refuse_other_settings
from cyclegan_course.training.config import Config
from cyclegan_course.training.distributed import Workers
from cyclegan_course.training.interruption import StopRequest, stop_requests

# torchrun, without the log and the traceback that it prints when it is interrupted or a process
# fails: the process has said why.
_TORCHRUN = """
import logging, sys
try:
    from torch.distributed import run
    logging.disable()
    run.main()
except BaseException as error:
    if type(error).__name__ in ("ChildFailedError", "SignalException", "KeyboardInterrupt"):
        sys.exit(1)
    raise
"""
SAVING_TIME = 300  # seconds that torchrun leaves to its processes to end and save


def launch(config: Config, folder: Path, processes: int, *, resume: bool = False) -> bool:
    """Train with several processes on this machine; `distributed` says what they do together.

    Starts torchrun with the command line's own `train`, as a child process (a notebook's process
    must not be forked), and shows what it writes. Ctrl-C, the notebook's stop button and SIGTERM
    end the run after the step it is in, with everything saved.

    Args:
        config: as for `train`; its batch is that of all processes together.
        folder: of the run, as for `train`; all that a `Run` would hold is written there.
        processes: one for each GPU, or parts of the CPU.
        resume: continue from the newest whole checkpoint in `folder`.

    Returns:
        Whether the run came to its end; False if it was stopped.

    Raises:
        CourseError: for whatever `train` raises one for, with its sentence.
    """
    Workers(size=processes).share(config.batch)
    if resume:
        refuse_other_settings(run_folder.load_config(folder), config, folder)
    run_folder.prepare_folder(folder, resume=resume)
    run_folder.write_config(config, folder)
    with stop_requests() as stop, _torchrun(folder, processes) as child:
        tail = _show(child, stop)
    if child.returncode == 0:
        return True
    sentences = re.findall(r"^cyclegan-course: (?!stopped\.)(.+)$", tail, re.MULTILINE)
    if sentences:
        raise CourseError(sentences[0])
    if stop.requested:
        return False
    raise CourseError(
        f"The processes ended before the run did (exit status {child.returncode}); what they wrote "
        f"is shown above. The last checkpoint in {str(folder)!r} is whole: resume the run."
    )


def _torchrun(folder: Path, processes: int) -> subprocess.Popen:
    threads = max(1, environment.usable_cpus() // processes)
    torchrun = [sys.executable, "-c", _TORCHRUN, "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [*torchrun, "-m", "cyclegan_course", "train", "--resume", str(folder)],
        env={"OMP_NUM_THREADS": str(threads)}
        | os.environ
        # On Windows a pipe else gets the system's code page; it is read as UTF-8 here.
        | {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SAVING_TIME), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Ctrl-C in a terminal reaches every process of a session; the children get it from here.
        start_new_session=True,
    )


def _show(child: subprocess.Popen, stop: StopRequest) -> str:
    """Show what the child writes until it ends, pass a stop on to it; returns its last words."""
    tail, passed_on = "", False
    try:
        for text in _pieces(child):
            sys.stdout.write(text)
            sys.stdout.flush()
            tail = (tail + text)[-10_000:]
            if stop.requested and not passed_on:
                passed_on = True
                _pass_on(stop, child)
        child.wait()
    except BaseException:  # a second Ctrl-C: no more waiting, here or there
        child.terminate()
        raise
    return tail


def _pieces(child: subprocess.Popen) -> Iterator[str]:
    """What the child writes, as it comes; every now and then "" meanwhile."""
    pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        while piece := os.read(child.stdout.fileno(), 1 << 16):
            pieces.put(piece)
        pieces.put(b"")

    threading.Thread(target=read, daemon=True).start()
    decode = getincrementaldecoder("utf-8")(errors="replace").decode
    while True:
        try:
            piece = pieces.get(timeout=0.2)
        except queue.Empty:
            yield ""
            continue
        if not piece:
            return
        yield decode(piece)


def _pass_on(stop: StopRequest, child: subprocess.Popen) -> None:
    windows = sys.platform == "win32"
    child.send_signal(signal.CTRL_C_EVENT if windows else signal.Signals[stop.reason])
