"""Make an edition of the course without readable solutions, for a lab to hand out.

    uv run python scripts/student_edition.py                          # all chapters
    uv run python scripts/student_edition.py --chapters 0,1,2 --no-hints
    uv run --python 3.13 python scripts/student_edition.py            # for a lab with Python 3.13

It becomes one folder and a zip of it. The exercises check themselves in it as they do in the whole
course, known mistakes included. Their modules are bytecode, which belongs to one version of Python:
the one that runs this script. docs/instructors/student_edition.md says what this protects against.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from closed_exercises import EXERCISES, PYTHON, write_exercises
from handing_out import chapter_of, chosen_notebooks, for_handing_out, without_dead_links

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
NAME = f"cyclegan-course-student-python{PYTHON}"

README = """# CycleGAN course: edition for students

Made for **Python {python}**. In this folder, with [uv](https://docs.astral.sh/uv/):

```bash
uv run jupyter lab notebooks/{first}
```

The same with pip:

```bash
python{python} -m venv .venv         # Windows: py -{python} -m venv .venv
source .venv/bin/activate          # Windows: .venv\\Scripts\\activate
pip install -e .
jupyter lab notebooks/{first}
```

The same with conda:

```bash
conda env create -f environment.yml
conda activate cyclegan-course
pip install --no-deps --no-build-isolation -e .
jupyter lab notebooks/{first}
```

The cells of an exercise check your answer when you run them. {help} If an answer is not right yet,
the chapter goes on with the course's own version. `solution("2.1")` is closed in this edition.

Chapters: {chapters}.

Code: MIT, see [LICENSE](LICENSE). Texts, figures and weights: CC BY 4.0, see
[LICENSE-TEXT.md](LICENSE-TEXT.md).
"""


def write_edition(folder: Path, notebooks: Sequence[Path], hints: bool) -> None:
    """Write the whole edition into an empty folder."""
    rubbish = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")
    sources = [path.name for path in (ROOT / EXERCISES).glob("chapter_*.py")]
    package = shutil.ignore_patterns("__pycache__", "*.pyc", *sources)
    shutil.copytree(ROOT / "cyclegan_course", folder / "cyclegan_course", ignore=package)
    for part in (ROOT / "data").iterdir():  # what was downloaded into it stays here
        if part.is_file():
            copy(part.relative_to(ROOT), folder)
        elif part.name != "downloads":
            shutil.copytree(part, folder / "data" / part.name, ignore=rubbish)
    for measured in (ROOT / "benchmarks").glob("*.csv"):  # tables that chapters show
        copy(measured.relative_to(ROOT), folder)
    for name in (
        "LICENSE",
        "LICENSE-TEXT.md",
        "postBuild",
        ".gitignore",
        "requirements/tested.txt",
    ):
        copy(Path(name), folder)
    for name, old, new in (
        ("pyproject.toml", r"^requires-python = .*$", f'requires-python = "=={PYTHON}.*"'),
        ("environment.yml", r"^  - python=.*$", f"  - python={PYTHON}"),
    ):
        text, count = re.subn(old, new, (ROOT / name).read_text(encoding="utf-8"), flags=re.M)
        assert count == 1, f"{name} has another form than scripts/student_edition.py knows"
        (folder / name).write_text(text, encoding="utf-8")

    numbers = {chapter_of(path) for path in notebooks} - {None}
    write_exercises(folder / EXERCISES, numbers, hints)

    first = notebooks[0].name
    readme = README.format(
        python=PYTHON,
        first=first,
        chapters=", ".join(map(str, sorted(numbers))),
        help='If you are stuck: `hint("2.1")` gives a hint, each call one more.'
        if hints
        else "There are no hints in this edition.",
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")

    target = folder / "notebooks"
    target.mkdir()
    names = {path.name for path in notebooks}
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for_handing_out(notebook, lambda link: link in names or (target / link).exists())
        text = nbformat.writes(notebook, indent=1).rstrip("\n") + "\n"
        (target / path.name).write_text(text, encoding="utf-8")
    for page in [folder / "LICENSE-TEXT.md", *(folder / "data").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        page.write_text(
            without_dead_links(text, lambda link, page=page: (page.parent / link).exists()),
            encoding="utf-8",
        )


def copy(path: Path, folder: Path) -> None:
    """Copy a file of the course to the same place in another folder."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / path, folder / path)


def make_edition(out: Path, chapters: str | None = None, hints: bool = True) -> Path:
    """Make the folder and its zip; returns the folder.

    Raises:
        CourseError: if there is one already, or a chapter does not exist.
    """
    notebooks = chosen_notebooks(chapters)
    target = out / NAME
    archive = out / f"{NAME}.zip"
    for there in (target, archive):
        if there.exists():
            raise CourseError(f"{there} exists already; delete it or choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch) / NAME
        folder.mkdir()
        write_edition(folder, notebooks, hints)
        zipped = shutil.make_archive(str(folder), "zip", root_dir=scratch, base_dir=NAME)
        folder.rename(target)
        Path(zipped).rename(archive)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Make an edition; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make an edition without readable solutions.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "student_edition")
    parser.add_argument("--chapters", help="numbers with commas between them (default: all)")
    parser.add_argument("--keep-hints", dest="hints", action="store_true", help="(default)")
    parser.add_argument("--no-hints", dest="hints", action="store_false", help="close them too")
    parser.set_defaults(hints=True)
    options = parser.parse_args(arguments)
    try:
        folder = make_edition(options.out, options.chapters, options.hints)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Student edition for Python {PYTHON}: {folder}, and {folder.name}.zip beside it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
