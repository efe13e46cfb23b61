"""The set-up cell on Colab and Kaggle, imitated: a Python without the course, outside of it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient
from toy_wheels import wheel

from cyclegan_course import hosted
from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = sysconfig.get_path("purelib")
COLAB_DRIVE = """\
def mount(place):
    import pathlib
    pathlib.Path(place, "MyDrive").mkdir(parents=True)
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python of its own with pip. It can be given packages; it knows none and not the course."""
    folder = tmp_path_factory.mktemp("bare") / "python"
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(python: Path, code: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, "-c", code],
        env=kept | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


# Installing what is missing ---------------------------------------------------------------------


def install(python: Path, wheels: Path, *requirements: str) -> subprocess.CompletedProcess:
    options = ["--no-index", "--find-links", str(wheels)]
    code = (
        "from cyclegan_course import hosted\n"
        f"hosted.add_missing({list(requirements)!r}, {options!r})"
    )
    return run(python, code, PYTHONPATH=str(ROOT))


def version(python: Path, name: str) -> str:
    return run(python, f"import {name}; print({name}.version)").stdout.strip()


def test_the_missing_is_added_and_the_rest_keeps_its_version(bare_python, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    wheel(old, "toy_host", "1.0")
    assert install(bare_python, old, "toy_host").returncode == 0
    wheel(new, "toy_host", "2.0")
    wheel(new, "toy_extra", "3.0", requires="toy_host")
    done = install(bare_python, new, "toy-host>=0.5", "Toy.Extra>=2.0")
    assert done.returncode == 0, done.stderr
    assert version(bare_python, "toy_extra") == "3.0"
    assert version(bare_python, "toy_host") == "1.0"


def test_what_would_replace_a_package_of_the_host_is_refused(bare_python, tmp_path):
    wheel(tmp_path, "toy_torch", "1.0")
    assert install(bare_python, tmp_path, "toy_torch").returncode == 0
    wheel(tmp_path, "toy_torch", "2.0")
    wheel(tmp_path, "toy_greedy", "1.0", requires="toy_torch>=2")
    done = install(bare_python, tmp_path, "toy_greedy")
    assert "CourseError: The packages toy-greedy could not be installed" in done.stderr
    assert version(bare_python, "toy_torch") == "1.0"
    assert version(bare_python, "toy_greedy") == ""


def test_without_a_network_one_sentence_says_what_to_do(bare_python, tmp_path):
    done = install(bare_python, tmp_path, "toy_unknown>=1")
    last = done.stderr.strip().splitlines()[-1]
    assert "toy-unknown could not be installed" in last
    assert "switch on Internet" in last


def test_nothing_is_asked_of_pip_when_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was called"))
    hosted.add_missing(hosted.dependencies(ROOT / "pyproject.toml"))


def test_everything_but_the_notebook_of_its_own_is_asked_for():
    names = {hosted._name(line) for line in hosted.dependencies(ROOT / "pyproject.toml")}
    assert {"torch", "torchmetrics", "ipywidgets", "scikit-image"} <= names
    assert "jupyterlab" not in names


def test_before_installing_only_the_standard_library_is_imported(bare_python):
    done = run(bare_python, "from cyclegan_course import hosted", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr


# Google Drive -----------------------------------------------------------------------------------


def test_drive_becomes_the_current_folder(monkeypatch, tmp_path):
    mounted = []
    colab = ModuleType("google.colab")
    colab.drive = ModuleType("google.colab.drive")
    colab.drive.mount = mounted.append
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(hosted, "DRIVE", tmp_path / "drive")
    monkeypatch.chdir(tmp_path)
    folder = hosted.work_on_drive()
    assert mounted == [str(tmp_path / "drive")]
    assert Path.cwd() == folder == tmp_path / "drive" / "MyDrive" / "cyclegan-course"


def test_drive_elsewhere_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    with pytest.raises(CourseError, match="from Colab only"):
        hosted.work_on_drive()


# The set-up cell itself -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """An imitation of a host: libraries are there, the course is not; a repository to clone.

    The libraries are those of this Python, by PYTHONPATH: the `.pth` file by which an editable
    installation names the course is not read from there.
    """
    if shutil.which("git") is None:
        pytest.skip("git is not installed: on Colab and Kaggle it is.")
    folder = tmp_path_factory.mktemp("host")
    published = folder / "published"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
    )
    if listed.returncode != 0:
        pytest.skip("This is no clone of the repository, so its files are not known.")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (published / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, published / name)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=published, check=True)
    google = folder / "libraries" / "google" / "colab"
    google.mkdir(parents=True)
    for file in (google.parent / "__init__.py", google / "__init__.py"):
        file.write_text("", encoding="utf-8")
    (google / "drive.py").write_text(COLAB_DRIVE, encoding="utf-8")
    return folder


def chapter_0_until_figure_2(extra: str = "") -> nbformat.NotebookNode:
    """The first cells of chapter 0, then a look at where the course came from."""
    notebook = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
    end = next(i for i, c in enumerate(notebook.cells) if c.source.startswith("**Figure 0.2.**"))
    look = "import cyclegan_course, json, os, subprocess, sys\n" + extra
    look += (
        "\ncode = 'import cyclegan_course; print(cyclegan_course.__file__)'\n"
        "child = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "print(json.dumps([cyclegan_course.__file__, child.stdout.strip(), os.getcwd()]))"
    )
    notebook.cells = [*notebook.cells[:end], nbformat.v4.new_code_cell(look)]
    return notebook


def execute(notebook, host: Path, home: Path, first: str = "", **environment: str) -> list[str]:
    """Run it as the host would, in an empty working folder; returns what the last cell printed."""
    work = home / "content"
    work.mkdir(parents=True)
    if first:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CYCLEGAN_")}
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    client.create_kernel_manager()
    # -S: without `site`, the editable installation's pointer to the course is not followed.
    client.km.kernel_spec.argv[:1] = [sys.executable, "-S"]
    libraries = os.pathsep.join([str(host / "libraries"), LIBRARIES])
    client.execute(
        env=kept
        | {
            "HOME": str(home),
            "USERPROFILE": str(home),
            "PYTHONPATH": libraries,
            "OMP_NUM_THREADS": "1",
            "CYCLEGAN_COURSE_REPOSITORY": (host / "published").as_uri(),
        }
        | environment
    )
    text = notebook.cells[-1].outputs[-1]["text"]
    return json.loads(text.splitlines()[-1])


def printed(notebook) -> str:
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.get("text", "") for out in outputs)


def test_on_kaggle_the_course_is_cloned_and_found_by_new_processes_too(host, tmp_path):
    notebook = chapter_0_until_figure_2()
    here, child, _ = execute(notebook, host, tmp_path, KAGGLE_KERNEL_RUN_TYPE="Interactive")
    clone = str(tmp_path / "cyclegan-course")
    assert here.startswith(clone)
    assert child.startswith(clone)
    assert "The course is here. It computes" in printed(notebook)
    shown = [
        kind for c in notebook.cells for o in c.get("outputs", []) for kind in o.get("data", {})
    ]
    assert sum(kind.startswith("image/") for kind in shown) == 2


def test_on_colab_results_go_to_drive_when_asked_and_the_cell_can_be_run_again(host, tmp_path):
    notebook = chapter_0_until_figure_2()
    set_up = next(cell for cell in notebook.cells if "google.colab" in cell.source)
    drive = tmp_path / "drive"
    begin = "    hosted.prepare()"
    assert begin in set_up.source
    set_up.source = set_up.source.replace(
        begin,
        f"    hosted.DRIVE = hosted.Path({str(drive)!r})\n    hosted.prepare(keep_on_drive=True)",
    )
    again = nbformat.from_dict(set_up).copy()
    again.source = again.source.replace("hosted.prepare(keep_on_drive=True)", "hosted.prepare()")
    notebook.cells.insert(notebook.cells.index(set_up) + 1, again)
    here, _, work = execute(notebook, host, tmp_path / "home", first="import google.colab")
    assert here.startswith(str(tmp_path / "home" / "cyclegan-course"))
    assert Path(work) == drive / "MyDrive" / "cyclegan-course"
    assert not list(Path(work).iterdir())


def test_when_git_cannot_reach_the_course_the_cell_says_so(host, tmp_path):
    cell = next(
        cell.source
        for cell in chapter_0_until_figure_2().cells
        if cell.source.startswith("# On Colab and Kaggle")
    )
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        f"InteractiveShell.instance(colors='nocolor').run_cell({cell!r})"
    )
    done = run(
        Path(sys.executable),
        code,
        HOME=str(tmp_path),
        KAGGLE_KERNEL_RUN_TYPE="Interactive",
        CYCLEGAN_COURSE_REPOSITORY=(tmp_path / "nowhere").as_uri(),
    )
    assert "AssertionError: No course: switch on Internet" in done.stdout + done.stderr
