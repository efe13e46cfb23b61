"""How much fits on a slide of 1280 x 720, and how text, lists, tables and code are cut to fit.

All heights are estimates in pixels; tests/test_slides.py measures the result in a browser.
"""

import math
import re
from collections.abc import Iterator

from markdown_it import MarkdownIt

ROOM = 570  # pixels below the title of a slide
PICTURE, CAPTION = 440, 130  # pixels of a figure that stands alone, and of the words below it
PROSE = 260  # characters of a paragraph that are shown
CODE, STUB, OUTPUT = 14, 20, 12  # lines that are shown
MARKDOWN = MarkdownIt("commonmark").enable("table")


def blocks_of(text: str) -> Iterator[tuple[str, str]]:
    """(kind, source) of every heading, paragraph, list, table and so on, as Markdown has them."""
    lines = text.splitlines()
    for token in MARKDOWN.parse(text):
        if token.level == 0 and token.map and token.nesting >= 0:
            yield token.type.removesuffix("_open"), "\n".join(lines[slice(*token.map)]).strip()


def shorten(paragraph: str, limit: int = PROSE) -> str:
    """The first sentences of a paragraph, as many as `limit` characters allow, at least one."""
    sentences = re.split(r"(?<=[.?!:])\s+(?=[*`$\"(]*[A-Z0-9])", paragraph)
    shown = sentences[0]
    for sentence in sentences[1:]:
        if length(f"{shown} {sentence}") > limit or shown.count("$") % 2:
            break
        shown += f" {sentence}"
    return shown if shown.count("$") % 2 == 0 else paragraph


def fitted(kind: str, block: str) -> list[str]:
    """A block in pieces that fit: long code is cut off, lists and tables are divided evenly."""
    if kind == "fence":
        return [shorten_code(block, CODE)]
    if kind not in ("bullet_list", "ordered_list", "table"):
        return [block]
    if kind == "table":  # each piece keeps the head
        head, rows = block.splitlines()[:2], block.splitlines()[2:]
    else:
        head, rows = [], re.split(r"\n(?=(?:[-*]|\d+\.) )", block)
    size = sum(map(height, rows))
    limit = size / math.ceil(size / (ROOM - 120))
    parts: list[list[str]] = [[]]
    for row in rows:
        if parts[-1] and sum(map(height, [*parts[-1], row])) > limit + 30:
            parts.append([])
        parts[-1].append(row)
    return ["\n".join([*head, *part]) for part in parts]


def fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def shorten_code(fence: str, limit: int) -> str:
    """A fenced block of at most `limit` lines, that about what is left out included."""
    lines = fence.splitlines()
    if len(lines) - 2 <= limit:
        return fence
    left = len(lines) - 2 - (limit - 1)
    mark = "# " if lines[0].endswith("python") else ""
    return "\n".join([*lines[:limit], f"{mark}... {left} more lines in the chapter", lines[-1]])


def length(text: str) -> int:
    """Characters as they are read: a command of TeX counts as one."""
    return len(re.sub(r"[{}$^_*`]", "", re.sub(r"\\[a-zA-Z]+", "x", text)))


def height_of_lines(count: int) -> int:
    """Pixels of lines of code."""
    return 26 * count


def height(block: str) -> int:
    """Estimated pixels of a block of Markdown, or of one row of a table or a list."""
    lines = block.splitlines()
    if block.startswith("```"):
        return 38 + height_of_lines(sum(len(line) // 100 + 1 for line in lines[1:-1]))
    if block.startswith("$$"):
        return 100 + 60 * block.count("aligned")
    if block.startswith("|"):
        return sum(14 + 29 * math.ceil(length(line) / 88) for line in lines)
    return 16 + sum(40 * math.ceil(max(length(line), 1) / 80) for line in lines)
