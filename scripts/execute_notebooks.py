"""Execute notebooks and store their outputs.

    uv run python scripts/execute_notebooks.py                    # all of them
    uv run python scripts/execute_notebooks.py notebooks/00*.ipynb
    uv run python scripts/execute_notebooks.py --check            # execute, write nothing

Each notebook runs from its first cell in a fresh kernel and in its own folder. It is written when
all of its cells have run, whole or not at all; the first cell that fails ends everything with exit
status 1. What is written depends only on the code: no times of execution, no widget state.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from cyclegan_course.images import write_text

ROOT = Path(__file__).resolve().parent.parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# As kernels report it, without the version of Python, which differs between machines.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(Exception):
    """A notebook that cannot be executed or stored; the message says which, where and why."""


def execute(path: Path, timeout: float = 600.0) -> tuple[NotebookNode, float | None]:
    """Run every cell of a notebook in a fresh kernel of this Python.

    Args:
        path: of the notebook; it is read, not written.
        timeout: seconds that one cell may take.

    Returns:
        The notebook with its outputs, tidied, and the kernel's peak memory in GiB (None where
        the system does not tell).

    Raises:
        NotebookError: if it is no notebook, a cell fails or is too slow, or the kernel dies.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise NotebookError(f"{path} is not a notebook that can be read: {error}") from error
    name_cells(notebook)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.resolve().parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=50"],  # the kernel's own remarks are not for the reader
    )
    number = 0  # of the code cell, as a reader sees it in brackets
    # setup_kernel keeps what it starts, and ends it whatever happens inside.
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            number += 1
            try:
                client.execute_cell(cell, index, execution_count=number)
            except CellExecutionError as error:
                what = f"{error.ename}: {COLOUR_CODES.sub('', error.evalue)}"
                raise NotebookError(describe(path, index, number, cell.source, what)) from error
            except CellTimeoutError as error:
                what = f"it took longer than {timeout:g} s"
                raise NotebookError(describe(path, index, number, cell.source, what)) from error
            except DeadKernelError as error:
                what = "the kernel died, perhaps for lack of memory"
                raise NotebookError(describe(path, index, number, cell.source, what)) from error
        memory = peak_memory(client.km)
    notebook.metadata["language_info"] = dict(LANGUAGE)
    tidy(notebook)
    refuse_local_paths(path, notebook)
    nbformat.validate(notebook)
    return notebook, memory


def describe(path: Path, index: int, number: int, source: str, what: str) -> str:
    """The message on a failed cell: where it stands, its code, what happened."""
    code = "\n".join(f"    {line}" for line in source.splitlines())
    return f"{path}: cell {index + 1}, code cell [{number}], failed: {what}\n{code}"


def name_cells(notebook: NotebookNode) -> None:
    """Bring the notebook to format 4.5, with ids that a second run does not change."""
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)
    taken = {cell.get("id") for cell in notebook.cells}
    for index, cell in enumerate(notebook.cells):
        if cell.get("id"):
            continue
        name = f"cell-{index + 1:03d}"
        while name in taken:
            name += "x"
        taken.add(name)
        cell["id"] = name


def tidy(notebook: NotebookNode) -> None:
    """Take out what differs between two runs of the same code, or has no use on paper.

    A widget's view needs the widget's state, which is large and not stored, so the view goes and
    the text or picture that stands beside it stays. A picture is stored once, with its words in the
    metadata: its second form as HTML, which gives the words to JupyterLab, goes.
    """
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for key in ("execution", "ExecuteTime", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if len(output.get("data", {})) > 1:
                output["data"].pop(WIDGET_VIEW, None)
                output["metadata"].pop(WIDGET_VIEW, None)
                if output["data"].get("text/html", "").startswith("<img "):
                    output["data"].pop("text/html")


def refuse_local_paths(path: Path, notebook: NotebookNode) -> None:
    """Outputs must read the same for everybody, so none may name this machine's folders."""
    for index, cell in enumerate(notebook.cells):
        # A picture holds no paths, and its letters could spell one by chance.
        texts = str(
            [
                {key: value for key, value in output.items() if key != "data"}
                | {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
                for output in cell.get("outputs", [])
            ]
        )
        for folder in (str(ROOT), str(Path.home())):
            if len(folder) > 1 and f"{folder}{os.sep}" in texts.replace("\\\\", "\\"):
                raise NotebookError(
                    f"{path}: the output of cell {index + 1} names a folder of this machine, "
                    f"{folder}; print relative paths (Path.relative_to) or file names."
                )


def peak_memory(kernel_manager) -> float | None:
    """Largest resident memory of the kernel so far in GiB, where Linux tells; otherwise None."""
    try:
        status = Path(f"/proc/{kernel_manager.provisioner.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20
    except (AttributeError, OSError, TypeError):
        return None


def write_whole(path: Path, notebook: NotebookNode) -> None:
    """Write as one whole: an interruption leaves the old notebook."""
    write_text(nbformat.writes(notebook, indent=1).rstrip("\n") + "\n", path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the notebooks that are named; returns the exit status."""
    parser = argparse.ArgumentParser(description="Execute notebooks and store their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in notebooks/")
    parser.add_argument("--check", action="store_true", help="execute only, write nothing")
    parser.add_argument(
        "--timeout", type=float, default=600.0, help="seconds for one cell (default: 600)"
    )
    options = parser.parse_args(arguments)
    # Kernels inherit this; see conftest.py for why it matters. A value set on purpose stays.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    paths = options.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not paths:
        print("There are no notebooks in notebooks/.", file=sys.stderr)
        return 1
    for path in paths:
        began = time.perf_counter()
        try:
            notebook, memory = execute(path, options.timeout)
        except NotebookError as error:
            print(error, file=sys.stderr)
            return 1
        if not options.check:
            write_whole(path, notebook)
        memory_text = "" if memory is None else f"  {memory:4.1f} GiB"
        action = "checked" if options.check else "written"
        print(f"{time.perf_counter() - began:6.1f} s{memory_text}  {action}  {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
