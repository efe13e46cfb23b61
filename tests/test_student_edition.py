"""scripts/student_edition.py: exercises work in it, and solutions cannot be read."""

import ast
import csv
import importlib
import inspect
import json
import os
import platform
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY, get

ROOT = Path(__file__).resolve().parent.parent
# Known mistakes tried in the edition: a number of cases, a class with a stub of its own, networks.
TRIED = ("0.1", "2.1", "2.3", "6.2")

# What runs in the edition. It is given the answers as text, since the edition holds none.
SESSION = """
import json, sys
from pathlib import Path

import cyclegan_course
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY, assess, exercise, hint, progress, solution

answers, tried, folder = json.load(sys.stdin)
assert Path(cyclegan_course.__file__).resolve().is_relative_to(Path(folder).resolve())

def said(action, *inputs):
    try:
        action(*inputs)
    except CourseError as error:
        return str(error)

def define(text, number):
    names = dict(vars(sys.modules[REGISTRY[number].reference.__module__]), exercise=exercise)
    exec(text, names)
    return names[REGISTRY[number].reference.__name__]

report = {
    "cells": {number: task.cell for number, task in REGISTRY.items()},
    "closed": [said(solution, number) for number in REGISTRY],
    "draws": [number for number, task in REGISTRY.items() if task.drawn_cases is not None],
    "grading": said(REGISTRY["2.1"].drawn, 1),
    "hints": {number: list(task.hints) for number, task in REGISTRY.items()},
}
for number in tried:
    task = REGISTRY[number]
    assert define(task.cell, number) is task.reference
    for name, mistake in task.mistakes.items():
        outcome = assess(task, mistake.function)
        assert (outcome.mistake, outcome.message) == (name, mistake.message)
    assert define(f'@exercise("{number}")\\n{answers[number]}', number) is not task.reference
print("TRIED")
exercise("2.1")(lambda size, kernel, stride, padding: size // stride)
for _ in range(4):
    hint("2.1")
progress(2)
Path(folder, "report.json").write_text(json.dumps(report), encoding="utf-8")
"""


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("student_edition")


@pytest.fixture(scope="module")
def out(script, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("für die Übung")
    assert script.main(["--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def edition(script, out) -> Path:
    return out / script.NAME


def run_in(edition: Path, code: str, given: str = "") -> subprocess.CompletedProcess:
    """A fresh Python that finds the package of the edition and no other."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=edition,
        env=os.environ | {"PYTHONPATH": str(edition), "PYTHONUTF8": "1"},
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def session(edition) -> tuple[str, dict]:
    """What a session in the edition prints, and its report."""
    answers = {number: get(number).solution for number in TRIED}
    result = run_in(edition, SESSION, json.dumps([answers, TRIED, str(edition)]))
    assert result.returncode == 0, result.stderr
    report = edition / "report.json"
    found = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    return result.stdout, found


def test_stub_wrong_and_right_answers_are_told_apart(session):
    printed = session[0].split("TRIED")[0].splitlines()
    assert [line[0] for line in printed] == ["○", "✓"] * len(TRIED)


def test_a_wrong_answer_is_named_and_hints_go_on_to_their_end(session):
    printed = session[0].split("TRIED")[1]
    assert get("2.1").mistakes["divides the size"].message in printed
    assert "Hint 1 of 3 for 2.1: " + get("2.1").hints[0] in printed
    assert "There are no more hints for 2.1.\n" in printed
    assert "0 of 5 passed" not in printed
    assert "1 of 5 passed" in printed  # 2.3; the wrong answer to 2.1 came last


def test_solutions_are_closed_and_hidden_inputs_are_not_there(session):
    report = session[1]
    assert len(report["closed"]) == len(REGISTRY)
    assert all("closed the solutions" in sentence for sentence in report["closed"])
    assert report["draws"] == []
    assert "not with a student edition" in report["grading"]
    assert report["hints"] == {number: list(task.hints) for number, task in REGISTRY.items()}


def test_every_exercise_is_set_as_in_the_whole_course(session, edition):
    assert session[1]["cells"] == {number: task.cell for number, task in REGISTRY.items()}
    stubs = {task.cell for task in REGISTRY.values()}
    notebooks = [nbformat.read(file, 4) for file in (edition / "notebooks").glob("*.ipynb")]
    set_here = {
        cell.source
        for notebook in notebooks
        for cell in notebook.cells
        if cell.source.startswith("@exercise(")
    }
    assert set_here == stubs


def body_lines(function) -> set[str]:
    """The lines of a function or class that a stub leaves out, if they are long enough to tell."""
    source = textwrap.dedent(inspect.getsource(function))
    (definition,) = ast.parse(source).body
    members = definition.body if isinstance(definition, ast.ClassDef) else [definition]
    lines = source.splitlines()
    return {
        line.strip()
        for member in members
        if isinstance(member, ast.FunctionDef)
        for statement in member.body[ast.get_docstring(member) is not None :]
        for line in lines[statement.lineno - 1 : statement.end_lineno]
        if len(line.strip()) >= 25
    }


def test_no_source_of_an_exercise_is_in_it(edition):
    exercises = edition / "cyclegan_course" / "exercises"
    assert not list(exercises.glob("chapter_*.py"))
    assert not (exercises / "draws.py").exists()
    assert not (edition / "tests").exists()
    outside = {  # what the package itself is made of may be read, and so may chapters
        line.strip()
        for place, ending in (("cyclegan_course", "*.py"), ("notebooks", "*.ipynb"))
        for file in (ROOT / place).rglob(ending)
        if not file.name.startswith("chapter_")
        for line in readable(file).splitlines()
    }
    hints = "\n".join(hint for task in REGISTRY.values() for hint in task.hints)
    kept = {number: body_lines(task.reference) - outside for number, task in REGISTRY.items()}
    kept = {number: {line for line in lines if line not in hints} for number, lines in kept.items()}
    assert sum(map(bool, kept.values())) > len(REGISTRY) // 2  # there is something to look for
    text = b"\n".join(
        file.read_bytes()
        for file in edition.rglob("*")
        if file.suffix in {".py", ".pyc", ".md", ".ipynb", ".csv", ".json", ".txt"}
    )
    found = [(n, line) for n, lines in kept.items() for line in lines if line.encode() in text]
    assert not found


def readable(file: Path) -> str:
    """The text of a module, or the code and prose of a notebook."""
    if file.suffix == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells)
    return file.read_text(encoding="utf-8")


def test_drawn_cases_and_what_only_they_need_are_gone(script):
    source = """
import numpy as np
from cyclegan_course.exercises.draws import normal, uniform

def _noise(rng):
    return normal(rng, 3)

def _drawn(rng):
    return [(_noise(rng),)]

def _cases():
    return [(uniform(np.random.default_rng(0), 0, 1, 2),)]

register(Exercise(number="0.1", cases=_cases, hints=("Think.",), drawn_cases=_drawn))
"""
    closed_module = importlib.import_module("closed_exercises").closed_module
    closed = ast.unparse(closed_module(source, hints=False))
    assert "import uniform" in closed
    assert "import numpy" in closed
    for gone in ("_drawn", "_noise", "normal", "drawn_cases", "Think"):
        assert gone not in closed
    with pytest.raises(CourseError, match="with the number as plain text"):
        closed_module('Exercise(number=f"{1}.2")', hints=True)


def test_a_chapter_runs_in_it_from_top_to_bottom(edition, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(edition))
    monkeypatch.syspath_prepend(ROOT / "scripts")
    execute = importlib.import_module("execute_notebooks").execute
    path = edition / "notebooks" / "00_start_here.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.source == get("0.1").cell:
            cell.source = f'@exercise("0.1")\n{get("0.1").solution}'
        if cell.source == get("0.2").cell:
            cell.source = cell.source.replace("    ...", "    return 0")
    where = "import cyclegan_course\n\nprint(cyclegan_course.__file__.replace('\\\\', '/'))"
    notebook.cells.append(nbformat.v4.new_code_cell(where))
    copy = path.with_name("try.ipynb")
    nbformat.write(notebook, copy)
    try:
        executed, _ = execute(copy)
    finally:
        copy.unlink()
    assert edition.resolve().as_posix() in executed.cells[-1].outputs[0].text
    shown = [str(cell.get("outputs")) for cell in executed.cells]
    assert any("Exercise 0.1" in text and "passed" in text for text in shown)
    assert any("Exercise 0.2" in text and "not right yet" in text for text in shown)


def test_the_whole_course_grades_a_notebook_that_was_made_in_it(edition, tmp_path):
    name = "02_patchgan_discriminator.ipynb"
    notebook = nbformat.read(edition / "notebooks" / name, as_version=4)
    for cell in notebook.cells:
        if cell.source == get("2.1").cell:
            cell.source = f'@exercise("2.1")\n{get("2.1").solution}'
        if cell.source == get("2.2").cell:
            cell.source = cell.source.replace("    ...", "    return 70")
    submission = tmp_path / "submissions" / "ada" / name
    submission.parent.mkdir(parents=True)
    nbformat.write(notebook, submission)
    command = [sys.executable, "-m", "cyclegan_course", "grade", "submissions", "--seed", "3"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    with (tmp_path / "grades" / "grades.csv").open(encoding="utf-8-sig", newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert [row[f"2.{i}"] for i in range(1, 6)] == ["1", "0", "0", "0", "0"]
    assert row["2.2 state"] == "wrong"
    assert row["2.3 state"] == "not attempted"


def test_environment_files_ask_for_the_python_of_the_edition(edition):
    version = ".".join(platform.python_version_tuple()[:2])
    project = tomllib.loads((edition / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f"=={version}.*"
    assert project["dependencies"] == whole["dependencies"]
    assert f"  - python={version}\n" in (edition / "environment.yml").read_text(encoding="utf-8")
    assert f"**Python {version}**" in (edition / "README.md").read_text(encoding="utf-8")


def test_another_python_is_refused_in_one_sentence(edition):
    other = "import importlib.util\nimportlib.util.MAGIC_NUMBER = b'other'\n"
    result = run_in(edition, other + "import cyclegan_course.exercises")
    assert "CourseError: This student edition is made for Python 3." in result.stderr
    assert "bad magic number" not in result.stderr


def test_links_lead_somewhere_and_badges_are_gone(script, tmp_path):
    edition = script.make_edition(tmp_path, "0,2", hints=False)
    names = sorted(path.name for path in (edition / "notebooks").iterdir())
    assert names == ["00_start_here.ipynb", "02_patchgan_discriminator.ipynb", "vocabulary.ipynb"]
    pages = [*edition.rglob("*.ipynb"), *edition.rglob("*.md")]
    for page in pages:
        text = readable(page)
        assert "Open in Colab" not in text, page
        assert script.without_dead_links(text, lambda link, p=page: (p.parent / link).exists()) == (
            text
        )
    start = readable(edition / "notebooks" / "00_start_here.ipynb")
    assert "(02_patchgan_discriminator.ipynb)" in start
    assert "(01_adversarial_loss.ipynb)" not in start
    modules = sorted(file.name for file in edition.rglob("chapter_*"))
    assert modules == ["chapter_00.pyc", "chapter_02.pyc"]
    code = "from cyclegan_course.exercises import *\nhint('2.1')\n"
    result = run_in(edition, code + "exercise('2.1')(lambda *inputs: 0)")
    assert "There are no more hints for 2.1.\n" in result.stdout
    assert "hint(" not in result.stdout


def test_the_zip_holds_the_folder(out, edition):
    with zipfile.ZipFile(out / f"{edition.name}.zip") as archive:
        zipped = {name for name in archive.namelist() if not name.endswith("/")}
    files = {f.relative_to(out).as_posix() for f in edition.rglob("*") if f.is_file()}
    assert zipped == {file for file in files if "__pycache__" not in file}


def test_an_edition_that_is_there_stays_and_wrong_chapters_are_named(script, out, tmp_path, capsys):
    assert script.main(["--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    for chapters in ("2,x", "99"):
        assert script.main(["--out", str(tmp_path / "new"), "--chapters", chapters]) == 1
        assert "numbers from 0 to 13" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
