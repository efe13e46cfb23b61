"""Made-up submissions to chapter 2, honest and dishonest, for the tests of the grader."""

import json
from pathlib import Path

from cyclegan_course.exercises import get

NUMBERS = ["2.1", "2.2", "2.3", "2.4", "2.5"]
HEAD = """import torch
from torch import Tensor, nn
from cyclegan_course.exercises import exercise, hint, progress
import cyclegan_course.plots as plots
%matplotlib inline"""
WRONG = """@exercise("2.1")
def output_size(size, kernel, stride, padding):
    return size // stride"""
HARD_CODED = """@exercise("2.1")
def output_size(size, kernel, stride, padding):
    return TABLE[size, kernel, stride, padding]"""

# What an answer might try against others, to be put in front of a right one. {precious}: a folder.
ATTACKS = {
    "open": "open({precious!r} + '/new', 'w').write('x')",
    "overwrite": "open({precious!r} + '/old', 'r+').truncate(0)",
    "os.open": "os.open({precious!r} + '/new', os.O_WRONLY | os.O_CREAT)",
    "dir_fd": "os.open('new', os.O_WRONLY | os.O_CREAT, dir_fd=os.open({precious!r}, os.O_RDONLY))",
    "pathlib": "pathlib.Path({precious!r}, 'new').write_text('x')",
    "rmtree": "shutil.rmtree({precious!r})",
    "remove": "os.remove({precious!r} + '/old')",
    "rename": "os.rename({precious!r} + '/old', {precious!r} + '/new')",
    "steal": "os.rename({precious!r} + '/old', 'mine')",
    "chmod": "os.chmod({precious!r} + '/old', 0)",
    "torch.save": "torch.save(torch.zeros(3), {precious!r} + '/new')",
    "symlink": "os.symlink({precious!r}, 'link'), open('link/new', 'w').write('x')",
    "relative": "open(os.path.relpath({precious!r}) + '/new', 'w').write('x')",
    "magic": "get_ipython().system('touch ' + {precious!r} + '/new')",
    "subprocess": "subprocess.run(['touch', {precious!r} + '/new'])",
    "C library": "ctypes.CDLL(None).open(({precious!r} + '/new').encode(), 0o101, 0o600)",
    "C fork": "_fork_in_c({precious!r} + '/new')",
    "network": "socket.create_connection(('127.0.0.1', {port}), timeout=2).send(b'x')",
    "datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "kill parent": "os.kill(os.getppid(), 9)",
    "C kill": "ctypes.CDLL(None).kill(os.getppid(), 9)",
    "limits": "__import__('resource').setrlimit(7, (10**6, 10**6))",
    "read": "SECRETS.append(open({precious!r} + '/old').read())",
    "list": "SECRETS.append(os.listdir({precious!r}))",
}
TOOLS = """import ctypes, os, pathlib, shutil, socket, subprocess
SECRETS = []
def _fork_in_c(path):
    if ctypes.CDLL(None).fork() == 0:
        os.setsid()
        try:
            ctypes.CDLL(None).open(path.encode(), 0o101, 0o600)
            __import__('time').sleep(600)
        finally:
            os._exit(0)
"""


def notebook(*cells: str) -> str:
    """A notebook file with these code cells, between two of text."""
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# Chapter\n", "Überschrift"]}
    code = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{i}",
            "metadata": {},
            "outputs": [],
            "source": cell.splitlines(keepends=True),
        }
        for i, cell in enumerate(cells)
    ]
    whole = {"cells": [text, *code, text], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, ensure_ascii=False)


def answer(number: str) -> str:
    """A cell with the right answer."""
    return f'@exercise("{number}")\n{get(number).solution}'


def answers(*but: str) -> list[str]:
    """Cells with right answers to all exercises of chapter 2 but some."""
    return [answer(number) for number in NUMBERS if number not in but]


def body(*lines: str) -> str:
    """A cell whose answer to 2.1 does something first, and is right then."""
    inside = "\n".join(f"    {line}" for line in lines)
    return (
        '@exercise("2.1")\ndef output_size(size, kernel, stride, padding):\n'
        f"{inside}\n    return (size + 2 * padding - kernel) // stride + 1"
    )


def attack(name: str, precious: Path, port: int) -> str:
    """A cell: an answer to 2.1 that is right only if the attack raises nothing."""
    return body(ATTACKS[name].format(precious=str(precious), port=port))


def hard_coded() -> list[str]:
    """Cells: the published inputs in a table, and an answer that looks into it."""
    task = get("2.1")
    table = {case: task.reference(*case) for case in task.cases()}
    return [f"TABLE = {table!r}", HARD_CODED]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files by their path within a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
