"""Linux Landlock: a process gives up rights for good, and so do all that it starts.

No privilege is needed. The rights are those of landlock(7), in the versions ("ABI") that kernels
from 5.13 on know. The numbers of the system calls are the same on every architecture.
"""

import ctypes
import os
import platform
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION = 1  # flag of CREATE_RULESET: only tell the version
PATH_BENEATH = 1
NO_NEW_PRIVILEGES = 38  # prctl

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
OF_VERSION_1 = (1 << 13) - 1  # the four above, and: remove, make (files, folders, links, devices)
TCP_BIND, TCP_CONNECT = 1 << 0, 1 << 1
OTHERS_SOCKETS, OTHERS_SIGNALS = 1 << 0, 1 << 1
READ = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # what _pack_ means; Python 3.14 wants it said
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Version of Landlock that this kernel offers; 0 without it, and on other systems."""
    if platform.system() != "Linux":
        return 0
    return max(0, _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION)))


def confine(read: Iterable[Path], write: Iterable[Path]) -> int:
    """Give up, in this thread and all that it starts, every right to files but those listed.

    Call it while the process has one thread. From version 4 on there is also no TCP, and from
    version 6 on no signal to a process outside.

    Args:
        read: files and folders (with all below) that may be read and run.
        write: files and folders (with all below) in which everything is allowed.

    Returns:
        The version of Landlock; 0: nothing was given up, since the system has none.

    Raises:
        OSError: if the system refuses.
    """
    level = version()
    if level == 0:
        return 0
    files = OF_VERSION_1
    files |= REFER if level >= 2 else 0
    files |= TRUNCATE if level >= 3 else 0
    files |= IOCTL_DEVICE if level >= 5 else 0
    rules = _Ruleset(
        files,
        TCP_BIND | TCP_CONNECT if level >= 4 else 0,
        OTHERS_SOCKETS | OTHERS_SIGNALS if level >= 6 else 0,
    )
    size = 8 if level < 4 else 16 if level < 6 else 24
    ruleset = _checked(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    try:
        for paths, rights in ((read, READ), (write, files)):
            for path in paths:
                _allow(ruleset, path, rights & files)
        if ctypes.CDLL(None, use_errno=True).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs")
        _checked(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return level


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not on this machine
        return
    try:
        rights &= ~0 if path.is_dir() else OF_FILES
        rule = _PathBeneath(rights, place)
        _checked(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def _checked(*arguments: object) -> int:
    result = _call(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result


def _call(*arguments: object) -> int:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
