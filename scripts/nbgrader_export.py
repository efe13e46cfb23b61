"""Make a course folder for nbgrader: each chapter an assignment, each exercise graded by itself.

    uv run --group nbgrader python scripts/nbgrader_export.py                  # all chapters
    uv run --group nbgrader python scripts/nbgrader_export.py --chapters 2,3 --points 5

In the new folder, `nbgrader generate_assignment 02_patchgan_discriminator` makes the version for
learners, and `nbgrader autograde` grades what they hand in. The exercise cells are those of the
course; behind each stands a test with hidden inputs that follow from the seed of this export.
docs/instructors/nbgrader.md leads through it.
"""

import argparse
import re
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from handing_out import chosen_notebooks, for_handing_out
from nbformat import NotebookNode

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import Exercise, get

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
IMPORTS_EXERCISES = "from cyclegan_course.exercises import"

# stderr: nbgrader gives no points where anything is written there, be it only a warning.
TEST = """\
# Your instructor's check of exercise {number}.
### BEGIN HIDDEN TESTS
import contextlib
import io

from cyclegan_course.exercises.grading import certify

with contextlib.redirect_stderr(io.StringIO()):
    certify("{number}", seed={seed})
### END HIDDEN TESTS"""

CONFIG = '''\
"""Settings of nbgrader for the CycleGAN course. Run nbgrader in this folder."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "cyclegan_course"
# What replaces a solution: then each exercise reads as it does in the course.
c.ClearSolutions.code_stub = {"python": "..."}
# Autograding runs whole chapters. Seconds for one cell; some of them train a network.
c.Execute.timeout = 600
c.Execute.kernel_name = "python3"
'''


def marked_solution(task: Exercise) -> str:
    """The cell of an exercise with its solution, marked so that nbgrader can make the stub of it.

    Raises:
        CourseError: if the stub is not the solution with `...` in place of whole lines.
    """
    parts = re.split(r"^([ ]*)\.\.\.$", task.stub, flags=re.M)
    texts, indents = parts[::2], parts[1::2]
    pattern = re.escape(texts[0]) + "".join(rf"(.+?){re.escape(text)}" for text in texts[1:])
    match = re.fullmatch(pattern, task.solution, flags=re.S)
    if match is None or not indents:
        raise CourseError(
            f"Exercise {task.number} cannot be exported: its stub is not its solution with lines "
            "that hold `...` alone in place of what is to be written."
        )
    marked = texts[0]
    for indent, body, text in zip(indents, match.groups(), texts[1:], strict=True):
        marked += f"{indent}{BEGIN}\n{body}\n{indent}{END}{text}"
    return f'@exercise("{task.number}")\n{marked}'


def exercise_number(cell: NotebookNode) -> str | None:
    """The number of the exercise that a cell sets, if it sets one."""
    match = re.match(r'@exercise\("([\d.]+)"\)\n', cell.source)
    return match[1] if match and cell.cell_type == "code" else None


def mark(cell: NotebookNode, grade_id: str, *, solution: bool = False, points: float = 0) -> None:
    """Say to nbgrader what a cell is: a solution to write, a test with points, or fixed code."""
    cell.metadata["nbgrader"] = {
        "cell_type": "code",
        "grade": bool(points),
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    } | ({"points": points} if points else {})


def for_nbgrader(notebook: NotebookNode, seed: int, points: float) -> NotebookNode:
    """A chapter as nbgrader's source: solutions marked, each with its test; set-up cells locked.

    Args:
        notebook: the chapter; it is changed.
        seed: of the hidden inputs.
        points: for each exercise.
    """
    for_handing_out(notebook, lambda link: False)
    cells = []
    before_exercises = True  # the set-up cells: without their imports nothing can be graded
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        if before_exercises:
            mark(cell, f"setup-{sum('nbgrader' in cell.metadata for cell in cells) + 1}")
            before_exercises = IMPORTS_EXERCISES not in cell.source
        if number := exercise_number(cell):
            name = number.replace(".", "-")
            cell.source = marked_solution(get(number))
            mark(cell, f"exercise-{name}", solution=True)
            test = nbformat.v4.new_code_cell(TEST.format(number=number, seed=seed))
            test["id"] = f"test-{name}"
            mark(test, f"test-{name}", points=points)
            cells.append(test)
    notebook.cells = cells
    return notebook


def export(out: Path, chapters: str | None, seed: int, points: float) -> list[str]:
    """Write the course folder; returns the names of the assignments.

    Raises:
        CourseError: if the folder exists, or a chapter does not.
    """
    if out.exists():
        raise CourseError(
            f"{out} exists already, perhaps with a gradebook; move it away or choose another --out."
        )
    if not (points > 0 and seed >= 0):
        raise CourseError("--points must be above 0, and --seed 0 or a larger whole number.")
    names = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / out.name
        for path in chosen_notebooks(chapters):
            notebook = nbformat.read(path, as_version=4)
            if not any(exercise_number(cell) for cell in notebook.cells):
                continue
            for_nbgrader(notebook, seed, points)
            target = folder / "source" / path.stem / path.name
            target.parent.mkdir(parents=True)
            nbformat.write(notebook, target)
            names.append(path.stem)
        (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
        folder.rename(out)
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the course; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make a course folder for nbgrader.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "nbgrader")
    parser.add_argument("--chapters", help="numbers with commas between them (default: all)")
    parser.add_argument("--seed", type=int, help="of the hidden inputs (default: drawn)")
    parser.add_argument("--points", type=float, default=1.0, help="for each exercise (default: 1)")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    try:
        names = export(options.out, options.chapters, seed, options.points)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(names)} assignments in {options.out}; hidden seed {seed}.")
    print(f"Next, in that folder: nbgrader generate_assignment {names[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
