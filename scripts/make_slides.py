"""Make slides from chapters: one file of HTML each, shown with reveal.js, without a network.

    uv run --group site python scripts/make_slides.py                            # all chapters
    uv run --group site python scripts/make_slides.py notebooks/05_*.ipynb
    uv run --group site python scripts/make_slides.py --out FOLDER --reveal FOLDER_OR_ADDRESS

The decks use the stored outputs; nothing is executed. reveal.js and MathJax lie in packages of the
group `site` and are put beside the decks, so the folder can be carried on a stick. `--reveal` takes
another copy of reveal.js: a folder with `dist/reveal.js`, or an address. What a slide shows is
decided in scripts/slide_rules.py; how to present: docs/instructors/slides.md.
"""

import argparse
import importlib.util
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode

from cyclegan_course.errors import CourseError
from cyclegan_course.images.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
REVEAL = ("sphinx_revealjs", "_static/revealjs")  # package, folder in it
MATHJAX = ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js")
REVEAL_FILES = ("dist/reveal.js", "dist/reveal.css", "dist/theme/white.css")
REVEAL_FILES += ("plugin/notes/notes.js",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the decks; the exit code is 0, or 1 with the reason printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides", metavar="FOLDER")
    parser.add_argument("--reveal", metavar="FOLDER_OR_ADDRESS", help="a copy of reveal.js")
    options = parser.parse_args(arguments)
    chapters = options.chapters or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    try:
        prefix = provide_libraries(options.out, options.reveal)
        for chapter in chapters:
            count = make_deck(chapter, options.out, prefix)
            print(f"{options.out / chapter.stem}.html: {count} slides")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def provide_libraries(out: Path, reveal: str | None = None) -> str:
    """Put MathJax and, unless it has an address, reveal.js into `out`; returns where reveal.js is.

    Raises:
        CourseError: if a package is missing, or the folder is not a copy of reveal.js 4 or 5.
    """
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_inside(*MATHJAX), out / "mathjax.js")
    if reveal and re.match(r"https?://", reveal):
        return reveal.rstrip("/")
    folder = Path(reveal) if reveal else _inside(*REVEAL)
    missing = [name for name in REVEAL_FILES if not (folder / name).is_file()]
    if missing:
        raise CourseError(
            f"{folder} has no {missing[0]}. Name the folder of reveal.js 4 or 5 that holds dist "
            "and plugin."
        )
    for part in ("dist", "plugin/notes"):
        skipped = shutil.ignore_patterns("*.map", "*.esm.js")
        shutil.copytree(folder / part, out / "reveal.js" / part, ignore=skipped, dirs_exist_ok=True)
    return "reveal.js"


def _inside(package: str, path: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None:
        raise CourseError(
            f"Slides need the package {package.replace('_', '-')}. Run this script with "
            '"uv run --group site python scripts/make_slides.py".'
        )
    return Path(found.origin).parent / path


def make_deck(chapter: Path, out: Path, reveal: str = "reveal.js") -> int:
    """Write the deck of one chapter, whole or not at all, and return its number of slides.

    Raises:
        CourseError: if `chapter` is no notebook that can be read.
    """
    try:
        cells = nbformat.read(chapter, as_version=4).cells
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise CourseError(f"{chapter} is not a notebook that can be read: {error}") from error
    exporter = SlidesExporter(
        template_name="slides_template",
        extra_template_basedirs=[str(ROOT / "scripts")],
        reveal_url_prefix=reveal,
        reveal_theme="white",
        mathjax_url="mathjax.js",
        exclude_anchor_links=True,
    )
    name = {"metadata": {"name": _title(cells)}}
    deck = as_notebook(cells)
    html, _ = exporter.from_notebook_node(deck, resources=name)
    file = out / f"{chapter.stem}.html"
    with whole_file(file) as part:
        part.write_text(html, encoding="utf-8")
    return sum("slide" in cell.metadata.slideshow.slide_type for cell in deck.cells)


def as_notebook(cells: Sequence[NotebookNode]) -> NotebookNode:
    """The slides of a chapter as a notebook with the marks that nbconvert's slides go by."""
    from slide_rules import slides_of

    marked = []
    for slide in slides_of(cells):
        mark = "#" if slide.level == 1 else "##"
        page = "\n\n".join([f"{mark} {slide.title}", *slide.body])
        marked.append((page, "slide" if slide.level < 3 else "subslide"))
        if slide.notes:
            marked.append(("\n\n".join(slide.notes), "notes"))
        marked += [(block, "fragment") for block in slide.hidden]
    made = [
        nbformat.v4.new_markdown_cell(
            text, id=f"part-{number}", metadata={"slideshow": {"slide_type": kind}}
        )
        for number, (text, kind) in enumerate(marked, start=1)
    ]
    return nbformat.v4.new_notebook(cells=made)


def _title(cells: Sequence[NotebookNode]) -> str:
    found = re.search(r"^# (.+)$", cells[0].source if cells else "", re.MULTILINE)
    return found[1] if found else "Chapter"


if __name__ == "__main__":
    sys.exit(main())
