"""What every chapter promises its reader: the same parts, in the same order, all linked."""

import ast
import builtins
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from cyclegan_course.exercises import REGISTRY

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
CHAPTERS = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
BUILDING = [name for name in CHAPTERS if 1 <= int(name[:2]) <= 5]  # those that build CycleGAN
BOX = ("You will be able to", "Reading", "Exercises", "Computing", "Needs")


@cache
def cells(name: str) -> list[NotebookNode]:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells


def texts(name: str) -> list[str]:
    return [cell.source for cell in cells(name) if cell.cell_type == "markdown"]


def section(name: str, title: str) -> str:
    (found,) = (text for text in texts(name) if text.startswith(f"## {title}\n"))
    return found


def pictures(cell: NotebookNode) -> list[dict]:
    """The metadata of each picture among a cell's outputs."""
    return [
        output["metadata"].get(kind, {})
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
        if kind.startswith("image/")
    ]


def test_the_five_chapters_that_build_cyclegan_are_there():
    assert [name[:2] for name in BUILDING] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_first_cell_has_the_title_and_the_box(name):
    first = cells(name)[0].source
    assert re.match(rf"# {int(name[:2])}\. \S", first)
    for row in BOX:
        assert f"| **{row}** |" in first


def test_set_up_is_the_same_everywhere():
    found = {
        next(cell.source for cell in cells(name) if cell.cell_type == "code") for name in CHAPTERS
    }
    assert len(found) == 1
    assert "google.colab" in found.pop()


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_figure_has_its_words_and_its_caption(name):
    number = 0
    for cell, following in pairwise(cells(name)):
        shown = pictures(cell)
        for metadata in shown:
            assert len(metadata.get("alt", "")) >= 25, cell.source
        if shown:
            number += 1
            caption = f"**Figure {int(name[:2])}.{number}.** "
            assert following.source.startswith(caption), f"no {caption} after:\n{cell.source}"
    captions = [text for text in texts(name) if text.startswith("**Figure ")]
    assert len(captions) == number


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_prediction_is_asked_for_before_the_surprise_and_shown_after_it(name):
    asked = [i for i, cell in enumerate(cells(name)) if "**Predict first.**" in cell.source]
    assert len(asked) >= 2
    for i in asked:
        assert cells(name)[i + 1].source.startswith('guess = ""  # ')
    shown = sum("Your guess:" in cell.source for cell in cells(name) if cell.cell_type == "code")
    assert shown == len(asked)


@pytest.mark.parametrize("name", CHAPTERS)
def test_summary_quiz_and_references(name):
    assert len(re.findall(r"^\d\. ", section(name, "Summary"), flags=re.M)) == 5
    quiz = section(name, "Quiz")
    assert re.findall(r"^\*\*(\d)\. ", quiz, flags=re.M) == ["1", "2", "3"]
    assert quiz.count("<details><summary>Answer</summary>\n\n") == quiz.count("</details>") == 3
    references = re.findall(
        r"^- .*?\*.+?\*.*\b(?:19|20)\d\d\b", section(name, "Further reading"), re.M
    )
    assert len(references) >= 2


@pytest.mark.parametrize("name", CHAPTERS)
def test_last_lines_lead_on_and_back(name):
    last = texts(name)[-1].rstrip().splitlines()[-1]
    place = CHAPTERS.index(name)
    wanted = [CHAPTERS[i] for i in (place - 1, place + 1) if 0 <= i < len(CHAPTERS)]
    for neighbour in wanted:
        title = cells(neighbour)[0].source.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({neighbour}.ipynb)" in last
    assert "(vocabulary.ipynb)" in last
    assert place == 0 or "(00_start_here.ipynb)" in last


def test_the_map_lists_every_chapter_that_is_written():
    rows = dict(
        re.findall(r"^\| \*?\*?(\d\d)\*?\*? \| (.*?) \|", section(CHAPTERS[0], "The map"), re.M)
    )
    assert len(rows) == 14
    for name in CHAPTERS[1:]:
        title = cells(name)[0].source.splitlines()[0].split(". ", 1)[1]
        assert rows[name[:2]] == f"[{title}]({name}.ipynb)"


def test_vocabulary_is_in_order_and_names_only_what_exists():
    words, symbols = (section("vocabulary", title) for title in ("Words", "Symbols and names"))
    rows = re.findall(r"^\| (.+?) \| .+ \| \[(\d+)\]\((.+?)\) \|$", words, flags=re.M)
    assert len(rows) >= 40
    assert [row[0].casefold() for row in rows] == sorted(row[0].casefold() for row in rows)
    assert all(int(chapter) == int(target[:2]) for _, chapter, target in rows)
    package = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (NOTEBOOKS.parent / "cyclegan_course").glob("*.py")
    )
    names = re.findall(r"`(\w+)`", symbols)
    assert len(set(names)) >= 15
    assert not [name for name in names if not re.search(rf"\b{name}\b", package)]


# Exercises --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDING)
def test_each_of_the_five_chapters_has_three_to_six_exercises(name):
    chapter = str(int(name[:2]))
    assert 3 <= sum(number.split(".")[0] == chapter for number in REGISTRY) <= 6


@pytest.mark.parametrize("name", BUILDING)
def test_an_exercise_is_set_where_its_answer_is_used(name):
    sources = [cell.source for cell in cells(name)]
    for i, source in enumerate(sources):
        if source.startswith("@exercise("):
            number = re.match(r'@exercise\("([\d.]+)"\)', source)[1]
            title = f"### Exercise {number}: {REGISTRY[number].title}"
            assert title in sources[i - 1], f"{title!r} must stand above its stub"
            used = REGISTRY[number].reference.__name__
            later = [cell.source for cell in cells(name)[i + 1 :] if cell.cell_type == "code"]
            assert any(re.search(rf"\b{used}\b", source) for source in later), f"{used} is not used"


def known_above(name: str, end: int) -> set[str]:
    """Names that a notebook's cells have defined before the cell of that place runs."""
    known = set(dir(builtins))
    for cell in cells(name)[:end]:
        if cell.cell_type != "code":
            continue
        source = re.sub(r"^(\s*)[!%].*$", r"\1pass", cell.source, flags=re.M)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                known |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
    return known


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_solution_that_is_pasted_into_its_cell_knows_every_name(name):
    for place, cell in enumerate(cells(name)):
        if cell.source.startswith("@exercise("):
            number = re.match(r'@exercise\("([\d.]+)"\)', cell.source)[1]
            tree = ast.parse(REGISTRY[number].solution)
            nodes = list(ast.walk(tree))
            names = [node for node in nodes if isinstance(node, ast.Name)]
            own = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
            own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
            own |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
            assert used - own <= known_above(name, place), number


def test_the_course_has_enough_exercises_and_mistakes():
    assert len(REGISTRY) >= 20
    assert sum(len(task.mistakes) for task in REGISTRY.values()) >= 40
