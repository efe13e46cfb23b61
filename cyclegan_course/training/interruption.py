"""Stopping between two steps when somebody asks for it, and never in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StopRequest:
    """Whether the run shall end after the step it is in, and who asked for it."""

    requested: bool = False
    reason: str = ""

    def ask(self, reason: str) -> None:
        if not self.requested:
            self.requested, self.reason = True, reason


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block, Ctrl-C, the notebook's stop button and SIGTERM ask for a stop.

    A second Ctrl-C interrupts at once, as ever. Outside the main thread signals are left alone.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: object) -> None:
        if number == signal.SIGINT and stop.requested:
            raise KeyboardInterrupt
        stop.ask(signal.Signals(number).name)

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
