"""The Chinese entry says what the English one says, and cannot fall behind unseen."""

import re
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from test_project import ROOT

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
WORDS, CHINESE_WORDS = ROOT / "notebooks" / "vocabulary.ipynb", ROOT / "docs/vocabulary.zh-CN.md"
HAN = re.compile(r"[\u4e00-\u9fff]")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
TRADITIONAL = set("圖網絡訓練學習與數據這個們為對應門開實驗讓還沒說時間")
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")


def text_of(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    return path.read_text(encoding="utf-8")


def commands(path: Path) -> list[tuple[str, list[str]]]:
    """Each block of code: its language, its lines without comments."""
    return [
        (language, [line for line in re.sub(r"\s*#.*", "", code).splitlines() if line])
        for language, code in FENCE.findall(text_of(path))
    ]


def parts(path: Path) -> list[str]:
    """The text before the first heading of the second level, and of each section."""
    return re.split(r"^## ", FENCE.sub("", text_of(path)), flags=re.MULTILINE)


def links(text: str) -> set[str]:
    found = {one or other for one, other in LINK.findall(text)}
    return {link for link in found if not link.startswith("#")}


def rows(text: str) -> list[list[str]]:
    """The cells of each table row, without the rows of headings."""
    lines = [line.strip()[1:-1].split("|") for line in text.splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line] for line in lines]
    dashes = [i for i, line in enumerate(lines) if not "".join(line).strip("-: ")]
    return [row for i, row in enumerate(cells) if i not in dashes and i + 1 not in dashes]


def table(path: Path, number: int) -> list[list[str]]:
    """The rows of the table in a section: 1 for words, 2 for symbols."""
    return rows(parts(path)[number])


# --- the page that one reads first ---------------------------------------------------------------


def test_commands_are_the_same():
    assert commands(CHINESE) == commands(ENGLISH)
    assert len(commands(CHINESE)) >= 7


def test_sections_are_the_same_in_number_and_in_what_they_link_to():
    assert len(parts(CHINESE)) == len(parts(ENGLISH))
    for number, (ours, theirs) in enumerate(zip(parts(CHINESE), parts(ENGLISH), strict=True)):
        missing = links(theirs) - links(ours) - {CHINESE.name}
        # The list of papers is not translated: the last section links to the English one.
        assert missing == set(), (number, ours.splitlines()[0])
    assert "](README.md#licence-and-sources)" in parts(CHINESE)[-1]


def test_chapters_are_the_same():
    chapter = re.compile(r"^\| (\d\d) \| \[(.+?)\]\((\S+?)\) \|", flags=re.MULTILINE)
    ours, theirs = (chapter.findall(text_of(path)) for path in (CHINESE, ENGLISH))
    assert len(theirs) >= 14
    for (number, title, target), (wanted, english, place) in zip_longest(ours, theirs):
        assert (number, target) == (wanted, place)
        assert title.endswith(f"（{english}）"), title  # so that one finds it in the course
        assert HAN.search(title)


def test_items_and_paragraphs_are_the_same_in_number():
    for ours, theirs in zip(parts(CHINESE)[1:-1], parts(ENGLISH)[1:-1], strict=True):
        for what in (r"^- \*\*", r"^\*\*", r"^\| ", r"^<img "):
            counts = [len(re.findall(what, part, flags=re.MULTILINE)) for part in (ours, theirs)]
            assert counts[0] == counts[1], (what, ours.splitlines()[0])


def test_names_in_code_are_the_same():
    """File names, options and commands within a sentence."""
    name = re.compile(r"`([^`\n]+)`")
    for ours, theirs in zip(parts(CHINESE), parts(ENGLISH), strict=True):
        # A command may be broken over two lines in one of the texts.
        found = [set(name.findall(re.sub(r"\s*\n\s*", " ", part))) for part in (ours, theirs)]
        assert found[0] == found[1], ours.splitlines()[0]


def test_each_page_links_to_the_other():
    assert f"]({ENGLISH.name})" in parts(CHINESE)[0]
    assert f"]({CHINESE.name})" in parts(ENGLISH)[0]
    assert "](docs/vocabulary.zh-CN.md)" in parts(CHINESE)[0]


# --- words ---------------------------------------------------------------------------------------


def test_every_word_is_there_in_the_same_order():
    ours, theirs = table(CHINESE_WORDS, 1), table(WORDS, 1)
    assert len(theirs) >= 100
    assert [row[0] for row in ours] == [row[0] for row in theirs]
    assert [row[0].casefold() for row in ours] == sorted(row[0].casefold() for row in ours)


def test_every_word_has_a_term_an_explanation_and_the_same_chapter():
    for ours, theirs in zip(table(CHINESE_WORDS, 1), table(WORDS, 1), strict=True):
        english, term, explanation, chapter = ours
        assert HAN.search(term) or term == english, english
        assert HAN.search(explanation), english
        number, target = re.fullmatch(r"\[(\d+)\]\((.+)\)", theirs[-1]).groups()
        assert chapter == f"[{number}](../notebooks/{target})", english


def test_one_term_stands_for_one_word():
    terms = [row[1] for row in table(CHINESE_WORDS, 1)]
    assert len(set(terms)) == len(terms)


def test_symbols_are_the_same():
    ours, theirs = table(CHINESE_WORDS, 2), table(WORDS, 2)
    assert len(theirs) >= 15
    assert [row[:3] for row in ours] == [row[:3] for row in theirs]
    assert all(HAN.search(row[-1]) for row in ours)


def test_names_in_explanations_are_the_same():
    for number in (1, 2):
        for ours, theirs in zip(table(CHINESE_WORDS, number), table(WORDS, number), strict=True):
            names = [sorted(re.findall(r"`(\w+)`", " ".join(row))) for row in (ours, theirs)]
            assert names[0] == names[1], ours[0]


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHINESE, CHINESE_WORDS], ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = text_of(path)
    assert len(links(text)) >= 14
    headings = {title.strip().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}
    for one, other in LINK.findall(text):
        place, _, section = (one or other).partition("#")
        if place.startswith("https://"):
            continue
        if place:
            target = (path.parent / unquote(place)).resolve()
            assert target.is_file(), place
        else:
            assert unquote(section) in headings, section


@pytest.mark.parametrize("path", [CHINESE, CHINESE_WORDS], ids=lambda path: path.name)
def test_no_line_ends_within_a_paragraph(path):
    """Markdown makes a space of it, which has no place between two Chinese letters."""
    text = FENCE.sub("\n\n", text_of(path))
    assert not re.findall(r"[^\n|>]\n(?![\n#|<-]|$).+", text)


@pytest.mark.parametrize("path", [CHINESE, CHINESE_WORDS], ids=lambda path: path.name)
def test_typography(path):
    """Chinese marks in Chinese text; a space beside Latin letters; simplified characters."""
    text = re.sub(r"`[^`\n]+`|\$[^$\n]+\$|\]\([^)]+\)", "`", FENCE.sub("", text_of(path)))
    assert not re.findall(r"[\u4e00-\u9fff][,;:?!]", text)
    assert not re.findall(r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]", text)
    assert not set(text) & TRADITIONAL
