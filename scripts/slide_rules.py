"""From the cells of a chapter to slides: what is shown, shortened, or put into the notes.

The rules stand in docs/instructors/slides.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from nbformat import NotebookNode
from slide_space import (
    CAPTION,
    CODE,
    OUTPUT,
    PICTURE,
    ROOM,
    STUB,
    blocks_of,
    fenced,
    fitted,
    height,
    height_of_lines,
    shorten,
    shorten_code,
)

SKIPPED_SECTIONS = ("Set-up",)
SKIPPED_PROSE = ("**Next:**", "If you are stuck")
FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
SKIPPED_CODE = re.compile(
    r"# On Colab|import |from \w[\w.]* import|(?:hint|solution|progress)\(", re.MULTILINE
)
PREDICT = "**Predict first.**"
QUESTION = re.compile(
    r"\*\*\d+\. (.+?)\*\*\s+(.*?)<details>.*?</summary>(.*?)</details>", re.DOTALL
)


@dataclass
class Slide:
    """One screen. `body` and `hidden` hold blocks of Markdown; `hidden` ones come at a click."""

    title: str
    level: int = 2  # 1: the chapter; 2: opens a section; 3: goes on with it, below
    body: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    full: bool = False  # nothing may be added: a figure, a prediction

    def room(self) -> int:
        """Estimated pixels that are left."""
        return 0 if self.full else ROOM - sum(map(height, self.body))


def slides_of(cells: Sequence[NotebookNode]) -> list[Slide]:
    """The slides of a chapter, in order; the first is its title."""
    deck: list[Slide] = []
    skipping = False
    for cell in cells:
        if cell.cell_type == "markdown":
            section = re.match(r"## (.+)", cell.source)
            if section:
                skipping = section[1] in SKIPPED_SECTIONS
            if not skipping:
                _add_prose(deck, cell.source)
        elif cell.cell_type == "code" and not skipping:
            _add_code(deck, cell)
    return [slide for slide in deck if slide.body or slide.level == 2]


# --- prose ---------------------------------------------------------------------------------------


def _add_prose(deck: list[Slide], source: str) -> None:
    source = without_links(source)
    if source.startswith("## Quiz"):
        deck += _quiz(source)
        return
    folded = [f"{title}: {text.strip()}" for title, text in FOLDED.findall(source)]
    for kind, block in blocks_of(FOLDED.sub("", source)):
        if kind == "heading":
            marks, title = block.split(maxsplit=1)
            deck.append(Slide(title, level=min(len(marks), 3)))
        elif not block or block.startswith(SKIPPED_PROSE):
            continue
        elif deck[-1].level == 1 and kind == "table":
            _add_aims(deck[-1], block)
        elif block.startswith(PREDICT):
            deck.append(Slide("Predict first", 3, [block.removeprefix(PREDICT).strip()], full=True))
        elif block.startswith("**Figure ") and deck[-1].full:
            deck[-1].body.append(shorten(block))
            _note(deck[-1], block)
        elif kind == "paragraph" and not block.startswith("$$"):
            _place(deck, shorten(block))
            _note(deck[-1], block)
        else:
            for part in fitted(kind, block):
                _place(deck, part)
    deck[-1].notes += folded


def without_links(text: str) -> str:
    """Drop badges, and keep only the words of links to other files: a deck stands alone."""
    text = re.sub(r"\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)[ \t]*", "", text)
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)\s]+\)", r"\1", text)


def _add_aims(slide: Slide, table: str) -> None:
    """The box of a chapter: its aims are shown, the rest of it goes into the notes."""
    for name, value in re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", table, re.MULTILINE):
        if name.startswith("You will"):
            slide.body.append(f"**{name}**")
            slide.body.append("\n".join(f"- {aim.strip()}" for aim in value.split(";")))
        else:
            slide.notes.append(f"{name}: {value}.")


def _quiz(source: str) -> list[Slide]:
    found = QUESTION.findall(source)
    return [
        Slide(
            f"Quiz, question {number} of {len(found)}",
            2 if number == 1 else 3,
            [f"**{question}**", *filter(None, [more.strip()])],
            hidden=[answer.strip()],
        )
        for number, (question, more, answer) in enumerate(found, start=1)
    ]


def _note(slide: Slide, block: str) -> None:
    if block not in slide.body:
        slide.notes.append(block)


# --- code and its outputs ------------------------------------------------------------------------


def _add_code(deck: list[Slide], cell: NotebookNode) -> None:
    source = re.sub(r"^ *print\(\"Your guess:\".*\n?", "", cell.source, flags=re.MULTILINE)
    if source.startswith('guess = ""'):
        options = source.partition("#")[2].strip()
        deck[-1].body += [f"*{options}*"] if options else []
        return
    picture = next(filter(None, map(_picture, cell.outputs)), None)
    said = [block for output in cell.outputs for block in _words(output)]
    if picture:
        if deck[-1].room() < 280 + CAPTION:
            deck.append(Slide(_topic(deck), 3))
        space = min(PICTURE, deck[-1].room() - CAPTION)
        deck[-1].body.append(picture.replace("<img", f'<img style="height: {space}px"'))
        deck[-1].full = True
    elif source.startswith("@exercise("):
        lines = (deck[-1].room() - height("```\n```")) // height_of_lines(1)
        stub = shorten_code(fenced("python", source), lines if lines >= 16 else STUB)
        tasks = (one.title for one in reversed(deck) if one.title.startswith("Exercise "))
        title = next(tasks, deck[-1].title)
        if deck[-1].title != title:
            deck.append(Slide(title, 3))
        _place(deck, stub, title)
        deck[-1].full = True
    elif said or not SKIPPED_CODE.match(source):
        # Code that makes a figure or a table is left out: its result says more to a class.
        if not any("text/markdown" in output.get("data", {}) for output in cell.outputs):
            _place(deck, shorten_code(fenced("python", source), CODE))
        for block in said:
            _place(deck, block)


def _picture(output: NotebookNode) -> str:
    for kind, data in output.get("data", {}).items():
        if kind in ("image/png", "image/jpeg"):
            alt = output.metadata.get(kind, {}).get("alt", "")
            alt = alt.replace("&", "&amp;").replace('"', "&quot;").replace("\n", " ")
            data = data.replace("\n", "")
            return f'<img class="figure" alt="{alt}" src="data:{kind};base64,{data}">'
    return ""


def _words(output: NotebookNode) -> list[str]:
    """What an output says in text; marks of exercises and progress bars are not shown."""
    data = output.get("data", {})
    if "text/markdown" in data:
        return [part for block in blocks_of(data["text/markdown"]) for part in fitted(*block)]
    text = ""
    if output.output_type == "stream" and output.name == "stdout":
        lines = [line for line in output.text.splitlines() if "Your guess:" not in line]
        text = "\n".join(lines).strip("\n")
    elif output.output_type == "error":
        text = f"{output.ename}: {output.evalue.splitlines()[0]}"
    elif set(data) == {"text/plain"}:
        text = data["text/plain"]
    return [shorten_code(fenced("text", text), OUTPUT)] if text.strip() else []


# --- where it goes ------------------------------------------------------------------------------


def _topic(deck: Sequence[Slide]) -> str:
    """The title under which a section goes on after an exercise, a prediction or a full slide."""
    asides = ("Predict first", "Exercise ")
    return next(slide.title for slide in reversed(deck) if not slide.title.startswith(asides))


def _place(deck: list[Slide], block: str, title: str = "") -> None:
    """Put a block on the last slide, or, where it does not fit, on a new one below."""
    if deck[-1].full or (deck[-1].body and deck[-1].room() < height(block)):
        deck.append(Slide(title or _topic(deck), 3))
    deck[-1].body.append(block)
