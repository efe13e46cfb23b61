"""The grader's parts: who handed in what, what has to run, tables and pages."""

import csv
import json

import pytest
from submissions import answer, notebook, write

from cyclegan_course.cli import main
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY
from cyclegan_course.grading import pages, tables
from cyclegan_course.grading.plan import NotebookError, code_cells, make_plan
from cyclegan_course.grading.results import Graded, Result, exercise_seed, load, save
from cyclegan_course.grading.submissions import Submission, find_submissions
from cyclegan_course.grading.tampering import Watch

# --- submissions ---------------------------------------------------------------------------------


def test_moodle_canvas_and_plain_names(tmp_path):
    files = [
        "Anna Müller_123_assignsubmission_file_/02 patch.ipynb",
        "Anna Müller_123_assignsubmission_file_/__MACOSX/02 patch.ipynb",
        "Anna Müller_124_assignsubmission_file/deep/er/03.IPYNB",
        "curiemarie_77_901_02.ipynb",
        "curiemarie_LATE_77_902_03-1.ipynb",
        "李雷.ipynb",
        "Nobody/readme.txt",
        ".hidden.ipynb",
        "archive.zip",
    ]
    write(tmp_path, dict.fromkeys(files, "{}"))
    found, others = find_submissions(tmp_path)
    assert others == ["archive.zip"]
    assert [(one.student, [path.name for path in one.notebooks]) for one in found] == [
        ("Anna Müller", ["02 patch.ipynb"]),
        ("Anna Müller", ["03.IPYNB"]),
        ("curiemarie", ["curiemarie_77_901_02.ipynb", "curiemarie_LATE_77_902_03-1.ipynb"]),
        ("Nobody", []),
        ("李雷", ["李雷.ipynb"]),
    ]


def test_pages_differ_also_on_disks_that_fold_case_and_accents():
    keys = ["Anna", "anna", "Änna", "A\u0308nna", "李雷", "韩梅梅", "a/b", "CON", "x" * 300]
    names = [Submission(key, key, ()).page for key in keys]
    assert len({name.casefold() for name in names}) == len(keys)
    assert all(name.isascii() and len(name) < 60 and "/" not in name for name in names)


def test_a_link_to_someone_elses_notebook_is_left_out(tmp_path):
    write(tmp_path, {"Anna/02.ipynb": "{}", "Ben/other.txt": ""})
    try:
        (tmp_path / "Ben" / "02.ipynb").symlink_to(tmp_path / "Anna" / "02.ipynb")
    except OSError:
        pytest.skip("no links on this system")
    found, _ = find_submissions(tmp_path)
    assert {one.student: len(one.notebooks) for one in found} == {"Anna": 1, "Ben": 0}


def test_a_folder_without_submissions_is_refused(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(CourseError, match="no "):
            find_submissions(folder)
    write(tmp_path, {"Anna.ipynb": "{}"})
    for wrong in (["--out", str(tmp_path / "x")], ["--chapters", "99"], ["--jobs", "0"]):
        out = ["--out", str(tmp_path.parent / "elsewhere")] if "--out" not in wrong else []
        assert main(["grade", str(tmp_path), *out, *wrong]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "x").exists()


# --- plan ----------------------------------------------------------------------------------------


def sources(cells, number):
    plan = make_plan(cells)
    return [plan.statements[index].source for index in plan.needed(number)]


def test_an_answer_brings_what_it_names_and_nothing_else():
    cells = [
        "import torch\nfrom torch import nn\nimport cyclegan_course.plots as plots",
        "%matplotlib inline\n!echo slow\nslow = [torch.rand(10**9) for _ in range(100)]",
        "STEP = 2\nTABLE = {}\nTABLE['a'] = STEP\nprint(TABLE)\ntorch.compile = None",
        "def helper(x: nn.Module):\n    size = slow_name = 3\n    return TABLE[x], size",
        '@exercise("2.1")\ndef output_size(size, slow):\n    return helper(size)',
    ]
    assert sources(cells, "2.1") == [
        "from torch import nn",
        "STEP = 2",
        "TABLE = {}",
        "TABLE['a'] = STEP",
        "def helper(x: nn.Module):\n    size = slow_name = 3\n    return (TABLE[x], size)",
        "def output_size(size, slow):\n    return helper(size)",
    ]


def test_the_last_answer_counts_and_earlier_ones_do_not_run():
    one = '@exercise("2.1")\ndef f():\n    return 1'
    two = '@exercise(number="2.1")\n@torch.no_grad()\ndef f():\n    return 2'
    other = '@exercise("2.2")\ndef g():\n    return f()'
    assert sources([one, two, other], "2.1") == ["@torch.no_grad()\ndef f():\n    return 2"]
    assert [text[-1] for text in sources([one, two, other], "2.2")] == ["2", ")"]


def test_a_helper_below_its_use_is_found():
    cells = ['@exercise("2.1")\ndef f():\n    return g()', "def g():\n    return 1"]
    assert len(sources(cells, "2.1")) == 2


def test_a_cell_that_cannot_be_read_is_told_by_its_number():
    broken = '@exercise("2.2")\ndef f(:\n    pass'
    plan = make_plan(["x = (", answer("2.1"), broken])
    assert list(plan.places) == ["2.1"]
    assert plan.unreadable["2.2"].startswith("SyntaxError in line 2 of the cell")
    assert make_plan([broken, answer("2.2")]).unreadable == {}


def test_what_is_no_exercise_is_none():
    odd = ['@exercise("2")\ndef a(): pass', "@exercise(x)\ndef b(): pass", "@exercise\ndef c(): 1"]
    assert make_plan(odd).places == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 1}', '{"cells": [{}]}', "[" * 10**5])
def test_what_is_no_notebook_is_told_in_a_sentence(text):
    with pytest.raises(NotebookError, match="not a notebook"):
        code_cells(text.encode())


def test_cells_as_text_or_as_lines_with_a_byte_order_mark():
    text = notebook("a\nb", "")
    assert code_cells(b"\xef\xbb\xbf" + text.encode()) == ["a\nb", ""]
    whole = json.loads(text)
    whole["cells"][1]["source"] = "a\nb"
    assert code_cells(json.dumps(whole).encode()) == ["a\nb", ""]


# --- tampering -----------------------------------------------------------------------------------


def test_tampering_is_seen_and_its_undoing_too(monkeypatch):
    from cyclegan_course.exercises import checking

    watch = Watch()
    assert watch.changes() == []
    with monkeypatch.context() as patch:
        patch.setattr(checking, "compare", lambda *a, **k: None)
        assert watch.changes() == ["cyclegan_course.exercises.checking.compare"]
    with monkeypatch.context() as patch:
        patch.setattr(checking.compare, "__code__", (lambda *a, **k: None).__code__)
        assert "compare" in watch.changes()
    assert watch.changes() == []
    task = REGISTRY["2.1"]
    old = task.tolerance
    object.__setattr__(task, "tolerance", 1e9)
    try:
        assert watch.changes() == ["exercise 2.1"]
    finally:
        object.__setattr__(task, "tolerance", old)


# --- results, tables, pages ----------------------------------------------------------------------


def make_graded(**results):
    found = {number.replace("_", ".")[1:]: result for number, result in results.items()}
    return Graded("=cmd()", "=cmd() <script>", "page", "x", found, ["+1 <i>"], 1.5)


def test_results_are_kept_and_junk_is_graded_anew(tmp_path):
    graded = make_graded(e2_1=Result("wrong", "No.", (("found", "3"),), True, "name", "a", 7))
    save(graded, tmp_path)
    assert load("page", tmp_path) == graded
    for junk in ("", "{}", "[]", '{"results": 3}', '{"results": {"2.1": {}}}'):
        (tmp_path / "results" / "page.json").write_text(junk, encoding="utf-8")
        assert load("page", tmp_path) is None


def test_the_better_result_of_two_notebooks_counts():
    graded = make_graded()
    for state in ("not attempted", "wrong", "passed", "unreadable"):
        graded.add("2.1", Result(state))
    assert graded.results["2.1"].state == "passed"


def test_seeds_differ_between_exercises_and_runs():
    seeds = {exercise_seed(run, number) for run in range(3) for number in REGISTRY}
    assert len(seeds) == 3 * len(REGISTRY)


def test_tables_hold_no_formula_and_open_as_utf_8(tmp_path):
    graded = [make_graded(e2_1=Result("passed"), e3_1=Result("wrong", "=1+1"))]
    numbers = tables.numbers_of(graded, None)
    assert {number[0] for number in numbers} == {"2", "3"}
    tables.write_grades(graded, numbers, tmp_path / "grades.csv")
    tables.write_details(graded, numbers, tmp_path / "details.csv")
    for name in ("grades.csv", "details.csv"):
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\xef\xbb\xbf")
        cells = [
            cell for row in csv.reader(content.decode("utf-8-sig").splitlines()) for cell in row
        ]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_pages_escape_what_students_write():
    text = "<script>alert(1)</script>"
    result = Result("wrong", text, ((text, text),), notebook=f"{text}.ipynb")
    for page in (
        pages.student_page(make_graded(e2_1=result), ["2.1"]),
        pages.index_page([make_graded(e2_1=result)], ["2.1"]),
    ):
        assert "<script" not in page
        assert "<i>" not in page
        assert 'lang="en"' in page
        assert page.count("<h1>") == 1
        assert page.count("<table") == page.count("<caption>")
