"""`cyclegan-course grade` on made-up submissions: graded as they should be, nobody is harmed."""

import csv
import json
import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from submissions import (
    ATTACKS,
    HEAD,
    NUMBERS,
    TOOLS,
    WRONG,
    answer,
    answers,
    attack,
    body,
    hard_coded,
    notebook,
    write,
)

from cyclegan_course.cli import main
from cyclegan_course.grading import landlock

LINUX = platform.system() == "Linux"
ALL = dict.fromkeys(NUMBERS, "passed")

# Against a system without Landlock these need another protection than Python's: docs say so.
PAST_PYTHON = {"torch.save", "C library", "C fork", "C kill", "dir_fd", "limits"}


def ten_and_more(precious: Path) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Student: (files, states that are expected of the exercises)."""
    loop = body("while True: pass")
    flood = body("while True: print('x' * 10**6)")
    hog = body("rows = [bytearray(10**7) for _ in range(10**6)]")
    tamper = body(
        "import cyclegan_course.exercises.checking as checking",
        "checking.assess = checking.compare = lambda *a, **k: None",
        "return 0",
    )
    deep = "x = " + "(" * 100_000
    return {
        "01 right": ({"02.ipynb": notebook(HEAD, *answers())}, ALL),
        "02 wrong": (
            {"02.ipynb": notebook(HEAD, WRONG, *answers("2.1"))},
            ALL | {"2.1": "wrong"},
        ),
        "03 partly done": (
            {"02.ipynb": notebook(HEAD, answer("2.1"), f'@exercise("2.2")\n{stub("2.2")}')},
            dict.fromkeys(NUMBERS, "missing") | {"2.1": "passed", "2.2": "not attempted"},
        ),
        "04 infinite loop": (
            {"02.ipynb": notebook(HEAD, "while True:\n    pass", loop, *answers("2.1"))},
            ALL | {"2.1": "time limit"},
        ),
        "05 memory hog": (
            {"02.ipynb": notebook(HEAD, hog, *answers("2.1"))},
            ALL | {"2.1": "memory limit"},
        ),
        "06 syntax error": (
            {"02.ipynb": notebook(HEAD, '@exercise("2.1")\ndef f(:\n', "x = (", *answers("2.1"))},
            ALL | {"2.1": "unreadable"},
        ),
        "07 deleted cells": (
            {"02.ipynb": notebook(HEAD, *answers("2.2", "2.5"))},
            ALL | {"2.2": "missing", "2.5": "missing"},
        ),
        "08 hard-coded": (
            {"02.ipynb": notebook(HEAD, *hard_coded(), *answers("2.1"))},
            ALL | {"2.1": "wrong"},
        ),
        "09 writes outside": (
            {"02.ipynb": notebook(HEAD, TOOLS, attack("open", precious, 1), *answers("2.1"))},
            ALL | {"2.1": "wrong"},
        ),
        "10 empty": ({"02.ipynb": notebook()}, dict.fromkeys(NUMBERS, "missing")),
        "no json": ({"02.ipynb": "{"}, dict.fromkeys(NUMBERS, "missing")),
        "no notebook": ({"report.txt": "Hello"}, dict.fromkeys(NUMBERS, "missing")),
        "odd json": ({"02.ipynb": '{"cells": [3]}'}, dict.fromkeys(NUMBERS, "missing")),
        "deep": ({"02.ipynb": notebook(deep, HEAD, *answers())}, ALL),
        "print flood": (
            {"02.ipynb": notebook(HEAD, flood, *answers("2.1"))},
            ALL | {"2.1": "time limit"},
        ),
        "exits": (
            {
                "02.ipynb": notebook(
                    HEAD,
                    body("raise SystemExit"),
                    '@exercise("2.2")\ndef field_size(convolutions):\n    exit()',
                    '@exercise("2.4")\ndef patch_box(*a):\n    import os; os._exit(0)',
                    *answers("2.1", "2.2", "2.4"),
                )
            },
            ALL | {"2.1": "wrong", "2.2": "wrong", "2.4": "process ended"},
        ),
        "tampers": (
            {"02.ipynb": notebook(HEAD, tamper, *answers("2.1"))},
            ALL | {"2.1": "tampered"},
        ),
        "李雷 (Müller) <b>_77_assignsubmission_file_": (
            {
                "a/chapter two.ipynb": notebook(HEAD, WRONG, answer("2.2")),
                "b/chapter two.ipynb": notebook(HEAD, *answers("2.2")),
                ".ipynb_checkpoints/chapter two.ipynb": "{",
            },
            ALL,
        ),
    }


def stub(number: str) -> str:
    from cyclegan_course.exercises import get

    return get(number).stub


@dataclass
class Class:
    """A class that was graded: the folders, the table, and what was expected."""

    out: Path
    rows: dict[str, dict[str, str]]
    expected: dict[str, dict[str, str]]
    precious: Path
    before: set[int]


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a class")
    precious = folder / "precious"
    write(precious, {"old": "kept"})
    students = ten_and_more(precious)
    for student, (files, _) in students.items():
        write(folder / "submissions" / student, files)
    write(folder / "submissions", {"notes.pdf": "no notebook"})
    before = children()
    command = ["grade", str(folder / "submissions"), "--out", str(folder / "grades")]
    assert main([*command, "--seconds", "4", "--memory", "2", "--jobs", "3", "--seed", "5"]) == 0
    rows = {row["submission"]: row for row in table(folder / "grades" / "grades.csv")}
    expected = {student: states for student, (_, states) in students.items()}
    return Class(folder / "grades", rows, expected, precious, before)


@pytest.mark.parametrize("student", ten_and_more(Path("x")))
def test_each_submission_gets_what_it_deserves(graded, student):
    row, expected = graded.rows[student], graded.expected[student]
    assert {number: row[f"{number} state"] for number in NUMBERS} == expected
    assert [row[number] for number in NUMBERS] == [
        str(int(expected[number] == "passed")) for number in NUMBERS
    ]
    assert row["points"] == str(list(expected.values()).count("passed"))
    assert row["possible"] == "5"


def test_nothing_outside_was_touched_and_nothing_is_left_running(graded):
    assert {path.name: path.read_text() for path in graded.precious.iterdir()} == {"old": "kept"}
    assert children() <= graded.before


def test_details_name_the_reason_and_the_hidden_seed(graded):
    rows = table(graded.out / "details.csv")
    assert len(rows) == len(graded.rows) * len(NUMBERS)
    found = {(row["submission"], row["exercise"]): row for row in rows}
    hard = found["08 hard-coded", "2.1"]
    assert hard["remark"].startswith("Right for the published inputs, wrong for others.")
    assert int(hard["hidden seed"]) > 0
    assert "SyntaxError" in found["06 syntax error", "2.1"]["remark"]
    assert "Not allowed while grading" in found["09 writes outside", "2.1"]["remark"] or LINUX


def test_pages_say_it_in_words_and_give_no_hidden_input_away(graded):
    index = (graded.out / "index.html").read_text(encoding="utf-8")
    assert "<script" not in index
    assert "李雷 (Müller) &lt;b&gt;" in index
    for row in graded.rows.values():
        page = (graded.out / row["page"]).read_text(encoding="utf-8")
        assert f"<strong>{row['points']} of 5 exercises passed.</strong>" in page
        seeds = {r["hidden seed"] for r in table(graded.out / "details.csv")} - {""}
        assert not [seed for seed in seeds if seed in page]
    hard = (graded.out / graded.rows["08 hard-coded"]["page"]).read_text(encoding="utf-8")
    assert "Right for the published inputs, wrong for others." in hard
    assert "One of the published inputs" not in hard
    wrong = (graded.out / graded.rows["02 wrong"]["page"]).read_text(encoding="utf-8")
    assert "One of the published inputs" in wrong


# --- attacks -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """Each attack as an answer of its own, and all of them in cells of one notebook run whole."""
    folder = tmp_path_factory.mktemp("attacks")
    precious = folder / "precious"
    write(precious, {"old": "kept"})
    usable = [name for name in ATTACKS if landlock.version() >= 6 or name not in PAST_PYTHON]
    server = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(server.getsockname())
    port = server.getsockname()[1]
    for name in usable:
        cells = notebook(HEAD, TOOLS, attack(name, precious, port), answer("2.2"))
        write(folder / "submissions", {f"{name}.ipynb": cells})
    plain = [ATTACKS[name].format(precious=str(precious), port=port) for name in usable]
    plain += [f"!touch {precious}/new", "1 / 0", "raise SystemExit", f"%cd {precious}"]
    write(folder / "all in one", {"whole.ipynb": notebook(HEAD, TOOLS, *plain, answer("2.1"))})
    before, rows = children(), {}
    for handed_in, more in (("submissions", ["--jobs", "2"]), ("all in one", ["--whole"])):
        out = folder / f"grades of {handed_in}"
        command = ["grade", str(folder / handed_in), "--out", str(out), "--chapters", "2", *more]
        assert main(command) == 0
        rows |= {row["student"]: row for row in table(out / "grades.csv")}
    for waiting in (server, datagrams):
        waiting.setblocking(False)
    return folder, rows, before, server, datagrams


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_and_the_next_exercise_is_graded(attacked, name):
    _, rows, *_ = attacked
    if name not in rows:
        pytest.skip("needs Landlock of Linux 6.12 or newer")
    # In C an error is a number, no exception: the answer is right, and the attack failed.
    if not name.startswith("C "):
        assert rows[name]["2.1 state"] == "wrong"
    assert rows[name]["2.2 state"] == "passed"


def test_attacks_leave_no_trace(attacked):
    folder, _, before, server, datagrams = attacked
    files = {path.name: path.read_text() for path in (folder / "precious").iterdir()}
    assert files == {"old": "kept"}
    assert os.access(folder / "precious" / "old", os.R_OK)
    assert children() <= before
    with pytest.raises(BlockingIOError):
        server.accept()
    with pytest.raises(BlockingIOError):
        datagrams.recv(10)


def test_a_whole_run_goes_on_behind_failing_cells_and_names_them(attacked):
    _, rows, *_ = attacked
    row = rows["whole"]
    assert row["2.1 state"] == "passed"
    assert "code cell 3 fails: PermissionError" in row["remarks"]


# --- a second run --------------------------------------------------------------------------------


def test_a_second_run_grades_only_what_is_new(graded, tmp_path, capsys):
    submissions, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(graded.out.parent / "submissions", submissions)
    shutil.copytree(graded.out, out)
    right = next((out / "results").glob("01-right-*.json"))
    # Proof that it is read again and not made again.
    content = json.loads(right.read_text(encoding="utf-8"))
    right.write_text(json.dumps(content | {"student": "One"}), encoding="utf-8")
    write(submissions, {"10 empty/02.ipynb": notebook(HEAD, answer("2.2"))})
    command = ["grade", str(submissions), "--out", str(out)]
    assert main(command) == 0
    count = len(graded.rows)
    assert f"{count - 1} of {count} are graded already" in capsys.readouterr().out
    rows = {row["submission"]: row for row in table(out / "grades.csv")}
    assert rows["01 right"]["student"] == "One"
    assert rows["10 empty"]["2.2"] == "1"
    seeds = {r["hidden seed"] for r in table(out / "details.csv") if r["exercise"] == "2.2"}
    assert len(seeds - {""}) == 1, "all students get the same hidden inputs"
    assert main([*command, "--seed", "3"]) == 1
    assert "holds results of the seed" in capsys.readouterr().err
