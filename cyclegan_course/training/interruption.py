"""Stopping between two steps when somebody asks for it, and never in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StopRequest:
    """Whether the run shall end after the step it is in, and who asked for it first."""

    requested: bool = False
    reason: str = ""

    def ask(self, reason: str) -> None:
        if not self.requested:
            self.requested, self.reason = True, reason


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block, Ctrl-C, the notebook's stop button and SIGTERM ask for a stop.

    A second Ctrl-C interrupts at once, as ever. SIGTERM never does: a cluster, or torchrun, may
    send it more than once, and after Ctrl-C too. Outside the main thread Python takes no signals,
    so there they are left alone.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    interrupts = 0

    def on_signal(number: int, frame: object) -> None:
        nonlocal interrupts
        stop.ask(signal.Signals(number).name)
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts > 1:
            raise KeyboardInterrupt

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: it was set by something other than Python, and cannot be given back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
