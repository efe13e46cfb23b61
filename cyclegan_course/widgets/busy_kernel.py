"""Widgets that answer while a cell runs.

A kernel takes up a widget's message when the cell is over: a click on a button would wait until
then. (JupyterLab 4.4 and ipykernel 7 have a thread for such messages, "subshells", but ipykernel
7.4 sends a widget's messages to where its cell runs.) `answer_widgets` takes them up in between, as
jupyter-ui-poll does; called often in a long loop, it makes the widgets live.
"""

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any


def running_kernel() -> Any:
    """The Jupyter kernel that runs this code, None in a script, a terminal or another thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)


def answer_widgets(kernel: Any) -> None:
    """Take up the messages of widgets that wait while this kernel runs a cell.

    Everything else that waits, as the next cells to run, stays for later, in its order. Call it
    from the kernel's main thread, in a cell.
    """
    socket, later = _inbox(kernel)
    for parts in iter(partial(_next, socket), None):
        with contextlib.suppress(Exception):  # not a message that can be read: the kernel's affair
            if _answered(kernel, parts):
                continue
        later(parts)


def _inbox(kernel: Any) -> tuple[Any, Callable[[list], None]]:
    """Where the messages for the main thread wait, and how to have one taken up after the cell."""
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is not None:  # ipykernel 7: another thread has read the message and passed it on
        socket = thread.manager._shell_channel_to_main.to_socket
        return socket, partial(kernel.io_loop.add_callback, kernel.shell_main, None)
    return kernel.shell_stream.socket, partial(kernel.schedule_dispatch, kernel.dispatch_shell)


def _next(socket: Any) -> list | None:
    import zmq

    try:
        return socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None


def _answered(kernel: Any, parts: list) -> bool:
    """Hand a message to its widget, if it is for one."""
    session = kernel.session
    idents, message = session.feed_identities(parts, copy=False)
    # Only the header is looked at first: a message that is read whole cannot be read again.
    kind = session.unpack(message[1].bytes)["msg_type"]
    if kind not in ("comm_open", "comm_msg", "comm_close"):
        return False
    whole = session.deserialize(message, copy=False)
    kernel.shell_handlers[kind](kernel.shell_stream, idents, whole)
    return True
