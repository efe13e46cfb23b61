"""What Python refuses in the process that runs a submission, on every system.

An audit hook, which stays for the life of the process. It stops what plain Python code does; what
libraries do in C, like `torch.save`, passes it by and is for Landlock.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

REFUSED = "Not allowed while grading: {}."

# Names from Python's table of audit events. Programs: none at all, since what they do is not seen.
_PROGRAMS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.startfile/2",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
    "webbrowser.open",
    "_winapi.CreateProcess",
}
_NETWORK = {
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.getnameinfo",
    "socket.sendmsg",
    "socket.sendto",
}
_SYSTEM = {
    "resource.prlimit",
    "resource.setrlimit",
    "winreg.CreateKey",
    "winreg.DeleteKey",
    "winreg.DeleteValue",
    "winreg.SetValue",
}
# Which of an event's arguments are paths that it changes.
_CHANGES = {
    "os.chflags": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.link": (0, 1),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.removexattr": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.setxattr": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.utime": (0,),
}
_READS = {"os.chdir": (0,), "os.listdir": (0,), "os.scandir": (0,)}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def install(own: Path, closed: Sequence[Path]) -> None:
    """From now on refuse changes outside a folder, programs, the network, signals to others.

    Args:
        own: the folder in which everything is allowed.
        closed: folders that may not even be read.
    """
    sys.addaudithook(_make_hook(os.path.realpath(own), [os.path.realpath(path) for path in closed]))


def _make_hook(own: str, closed: list[str]) -> Callable[[str, tuple], None]:
    realpath, process = os.path.realpath, os.getpid()
    devices = {realpath(os.devnull), os.devnull}
    busy = False  # finding out where a path leads opens nothing, but may raise events of its own

    def below(path: str, folder: str) -> bool:
        return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)

    def check(path: object, changes: bool) -> None:
        nonlocal busy
        if busy or path is None or isinstance(path, int):  # a file that is open already
            return
        busy = True
        try:
            place = realpath(os.fsdecode(path))
        finally:
            busy = False
        if below(place, own) or place in devices:
            return
        if changes:
            raise PermissionError(REFUSED.format(f"to change {path!r}"))
        if any(below(place, folder) for folder in closed):
            raise PermissionError(REFUSED.format(f"to read {path!r}"))

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            text = isinstance(mode, str) and any(sign in mode for sign in "wax+")
            check(path, text or bool((flags or 0) & _WRITING))
        elif event in _CHANGES:
            for index in _CHANGES[event]:
                check(arguments[index], True)
        elif event in _READS:
            for index in _READS[event]:
                check(arguments[index], False)
        elif event in _PROGRAMS:
            raise PermissionError(REFUSED.format("to start a program"))
        elif event in _NETWORK:
            raise PermissionError(REFUSED.format("to use the network"))
        elif event in _SYSTEM:
            raise PermissionError(REFUSED.format("to change limits or settings of the system"))
        elif event in ("os.kill", "os.killpg", "signal.pthread_kill") and arguments[0] != process:
            raise PermissionError(REFUSED.format("to send signals to other processes"))

    return hook
