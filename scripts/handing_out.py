"""The chapters' notebooks for a class: which ones, and without ways to what is not handed out.

Used by student_edition.py and nbgrader_export.py.
"""

import re
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
BADGE = re.compile(r"\[!\[Open in [^\]]*\]\([^)]*\)\]\([^)]*\)[ \n]*")
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^)\s]+)\)")


def chapter_of(notebook: Path) -> int | None:
    """The number of a chapter's notebook; None for the vocabulary and the appendix."""
    return int(notebook.name[:2]) if notebook.name[:2].isdigit() else None


def chosen_notebooks(chapters: str | None) -> list[Path]:
    """The notebooks of some chapters ("1,2,5") and the vocabulary; of all, the appendix too.

    Raises:
        CourseError: if a chapter does not exist.
    """
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if chapters is None:
        return notebooks
    known = {chapter_of(path) for path in notebooks} - {None}
    try:
        wanted = {int(part) for part in chapters.split(",")}
    except ValueError:
        wanted = {-1}
    if not wanted <= known:
        raise CourseError(
            f"{chapters!r} does not name chapters; write numbers from {min(known)} to {max(known)} "
            "with commas between them, like 1,2,5."
        )
    return [path for path in notebooks if chapter_of(path) in wanted or path.stem == "vocabulary"]


def for_handing_out(notebook: NotebookNode, exists: Callable[[str], bool]) -> NotebookNode:
    """Take out the badges, which open the whole course, and links to what is not handed out.

    Args:
        exists: whether a relative link leads to a file that is handed out as well.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_dead_links(BADGE.sub("", cell.source), exists)
    return notebook


def without_dead_links(markdown: str, exists: Callable[[str], bool]) -> str:
    """The same text, where a link to a missing file has become its words."""

    def keep_or_words(match: re.Match[str]) -> str:
        target = match[2].split("#")[0]
        elsewhere = re.match(r"[a-z]+:", target)
        return match[0] if not target or elsewhere or exists(target) else match[1]

    return LINK.sub(keep_or_words, markdown)
