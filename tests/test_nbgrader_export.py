"""scripts/nbgrader_export.py: what nbgrader releases, and how it grades what comes back."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY, Exercise, get

ROOT = Path(__file__).resolve().parent.parent
NAME = "02_patchgan_discriminator"
needs_nbgrader = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None,
    reason="nbgrader is not installed: uv run --group nbgrader pytest",
)
MARKED = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)\n *### END SOLUTION$", re.M | re.S)


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("nbgrader_export")


@pytest.fixture(scope="module")
def course(script, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("a lab") / "nbgrader"
    options = ["--out", str(folder), "--chapters", "2", "--seed", "481516", "--points", "2"]
    assert script.main(options) == 0
    return folder


@pytest.mark.parametrize("number", REGISTRY)
def test_taking_out_the_marked_lines_leaves_the_cell_of_the_course(script, number):
    marked = script.marked_solution(REGISTRY[number])
    assert MARKED.sub(r"\1...", marked) == REGISTRY[number].cell
    task = REGISTRY[number]
    if task.blanks is None:
        assert MARKED.sub(r"\2", marked) == f'@exercise("{number}")\n{task.solution}'


def test_a_stub_with_a_gap_inside_a_line_is_refused(script):
    two_gaps = "def order(number):\n    parts = ...\n    return parts"
    task = Exercise("0.9", "", get("0.1").reference, list, (), {}, blanks=two_gaps)
    with pytest.raises(CourseError, match=r"Exercise 0\.9 cannot be exported"):
        script.marked_solution(task)


def test_every_chapter_is_exported_with_each_of_its_exercises(script, tmp_path, capsys):
    assert script.main(["--out", str(tmp_path / "all")]) == 0
    seed = re.search(r"hidden seed (\d+)", capsys.readouterr().out)[1]
    tested = []
    for path in (tmp_path / "all" / "source").glob("*/*.ipynb"):
        assert path.parent.name == path.stem
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        ids = [cell.metadata.nbgrader.grade_id for cell in notebook.cells if is_marked(cell)]
        assert len(set(ids)) == len(ids)
        for cell, following in zip(notebook.cells, notebook.cells[1:], strict=False):
            if number := script.exercise_number(cell):
                assert f'certify("{number}", seed={seed})' in following.source
                tested.append(number)
        setup = [cell for cell in notebook.cells if is_marked(cell)][:2]
        assert [cell.metadata.nbgrader.locked for cell in setup] == [True, True]
        assert "from cyclegan_course.exercises import" in setup[-1].source
    assert sorted(tested) == sorted(REGISTRY)


def is_marked(cell) -> bool:
    return "nbgrader" in cell.metadata


def test_nothing_is_written_over_and_what_cannot_be_is_said(script, course, tmp_path, capsys):
    (course / "gradebook.db").touch()
    assert script.main(["--out", str(course)]) == 1
    assert "exists already, perhaps with a gradebook" in capsys.readouterr().err
    assert (course / "gradebook.db").exists()
    (course / "gradebook.db").unlink()
    for wrong, sentence in {
        ("--chapters", "2,40"): "write numbers from 0 to 13",
        ("--points", "0"): "--points must be above 0",
    }.items():
        assert script.main(["--out", str(tmp_path / "new"), *wrong]) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


# With nbgrader itself ---------------------------------------------------------------------------


def nbgrader(course: Path, *arguments: str) -> str:
    """Run an nbgrader command in the course folder; it needs its own scripts on the PATH."""
    home = course.parent
    environment = os.environ | {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "JUPYTER_CONFIG_DIR": str(home / "jupyter config"),
        "JUPYTER_DATA_DIR": str(home / "jupyter data"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [sys.executable, "-m", "nbgrader", *arguments]
    result = subprocess.run(
        command, cwd=course, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def released(course) -> nbformat.NotebookNode:
    nbgrader(course, "generate_assignment", NAME)
    return nbformat.read(course / "release" / NAME / f"{NAME}.ipynb", as_version=4)


@needs_nbgrader
def test_what_is_released_has_the_course_s_cells_and_gives_nothing_away(script, released):
    numbers = [number for cell in released.cells if (number := script.exercise_number(cell))]
    assert numbers == ["2.1", "2.2", "2.3", "2.4", "2.5"]
    for cell in released.cells:
        if number := script.exercise_number(cell):
            assert cell.source == REGISTRY[number].cell
    text = nbformat.writes(released)
    for given_away in ("SOLUTION", "HIDDEN", "certify", "481516", "Open in Colab", "(03_resnet"):
        assert given_away not in text, given_away
    original = nbformat.read(ROOT / "notebooks" / f"{NAME}.ipynb", as_version=4).cells
    plain = [cell.source for cell in released.cells if not is_marked(cell)]
    assert set(plain[5:-1]) >= {c.source for c in original[5:-1] if c.source.startswith("show(")}


def wrong(number: str) -> str:
    """A known mistake as a learner would have written it: a function that calls it."""
    task = get(number)
    name = next(iter(task.mistakes.values())).function.__name__
    module = task.reference.__module__
    body = f"from {module} import {name}\n    return {name}(*inputs)"
    return f'@exercise("{number}")\ndef answer(*inputs):\n    {body}'


def right(number: str) -> str:
    return f'@exercise("{number}")\n{get(number).solution}'


MEMORISED = """\
@exercise("2.1")
def output_size(size, kernel, stride, padding):
    known = {(256, 4): 128, (32, 4): 31, (9, 4): 4, (7, 3): 3, (10, 4): 4}
    return known.get((size, kernel), 0)"""

WARNS = """\
@exercise("2.1")
def output_size(size, kernel, stride, padding):
    import sys
    print("a warning", file=sys.stderr)
    return (size + 2 * padding - kernel) // stride + 1"""


@needs_nbgrader
def test_right_wrong_and_partly_right_answers_get_their_points(script, course, released):
    numbers = ("2.1", "2.2", "2.3", "2.4", "2.5")
    answers = {
        "right": {number: right(number) for number in numbers} | {"2.1": WARNS},
        "wrong": {number: wrong(number) for number in numbers},
        "half": {
            "2.1": MEMORISED,
            "2.2": right("2.2"),
            "2.3": "def (",
            "2.4": right("2.4"),
            "2.5": None,  # deleted
        },
    }
    expected = {"right": 10, "wrong": 0, "half": 4}
    for student, cells in answers.items():
        # The exercises with what grades them, and not the chapter's trainings between them.
        kept = []
        for cell in released.cells:
            number = script.exercise_number(cell) if cell.cell_type == "code" else None
            if is_marked(cell) and (number is None or cells[number] is not None):
                kept.append(nbformat.from_dict(cell))
                kept[-1].source = cells[number] if number else cell.source
        if student == "half":  # a learner who writes over a test gains nothing
            assert kept[3].metadata.nbgrader.grade_id == "test-2-1"
            kept[3].source = "1"
            assert kept.pop().metadata.nbgrader.grade_id == "test-2-5"
        target = course / "submitted" / student / NAME / f"{NAME}.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(cells=kept, metadata=released.metadata), target)

    from nbgrader.api import Gradebook

    nbgrader(course, "autograde", NAME)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert gradebook.find_assignment(NAME).max_score == 10
        for student, score in expected.items():
            submission = gradebook.find_submission(NAME, student)
            assert submission.score == score, student
            # Where a test was deleted, nbgrader asks a person to look.
            assert submission.needs_manual_grade == (student == "half")

    nbgrader(course, "generate_feedback", NAME)
    pages = {
        student: (course / "feedback" / student / NAME / f"{NAME}.html").read_text(encoding="utf-8")
        for student in answers
    }
    assert "Right for the published inputs, wrong for others." in pages["half"]
    assert next(iter(get("2.1").mistakes.values())).message[:40] in pages["wrong"]
