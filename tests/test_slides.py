"""Slides made from the chapters: what is on them without a browser, whether it fits with one."""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import NotebookNode

for needed in ("markdown_it", "sphinx_revealjs", "sphinx-mathjax-offline"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed: uv sync --group site", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import make_slides  # noqa: E402
import slide_rules  # noqa: E402
import slide_space  # noqa: E402

CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FIGURE = re.compile(r"^\*\*Figure \d+\.\d+\.\*\*", re.MULTILINE)


@cache
def cells(chapter: str) -> list[NotebookNode]:
    return nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4).cells


@cache
def slides(chapter: str) -> list[slide_rules.Slide]:
    return slide_rules.slides_of(cells(chapter))


def prose(chapter: str) -> list[str]:
    return [cell.source for cell in cells(chapter) if cell.cell_type == "markdown"]


def everything(slide: slide_rules.Slide) -> str:
    return "\n".join([slide.title, *slide.body, *slide.hidden, *slide.notes])


# --- what is on the slides -----------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_deck_starts_with_the_title_and_has_the_sections_in_order(chapter):
    first, *others = slides(chapter)
    assert (first.level, f"# {first.title}") == (1, prose(chapter)[0].splitlines()[0])
    assert "**You will be able to**" in first.body
    assert any(note.startswith("Computing: ") for note in first.notes)
    wanted = re.findall(r"^## (.+)$", "\n\n".join(prose(chapter)), flags=re.MULTILINE)
    found = [slide.title.split(", question")[0] for slide in others if slide.level == 2]
    assert found == [title for title in wanted if title != "Set-up"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_is_on_one_slide_with_its_caption_and_words(chapter):
    captions = [FIGURE.match(text)[0] for text in prose(chapter) if FIGURE.match(text)]
    shown = [slide for slide in slides(chapter) if any("<img" in part for part in slide.body)]
    assert len(captions) == len(shown) > 0
    for caption, slide in zip(captions, shown, strict=True):
        picture, words = slide.body[-2:]
        assert re.search(r'alt="[^"]{25,}" src="data:image/(png|jpeg);base64,', picture)
        assert words.startswith(caption)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_prediction_stands_alone_before_what_it_asks_for(chapter):
    asked = [slide for slide in slides(chapter) if slide.title == "Predict first"]
    assert len(asked) == sum("**Predict first.**" in text for text in prose(chapter)) > 0
    for slide in asked:
        assert not any("<img" in part or "```" in part for part in slide.body)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_is_a_task_with_its_stub(chapter):
    numbers = re.findall(r"^### Exercise ([\d.]+): ", "\n\n".join(prose(chapter)), flags=re.M)
    stubs = {}
    for slide in slides(chapter):
        for part in slide.body:
            if part.startswith("```python\n@exercise("):
                number = re.match(r'```python\n@exercise\("([\d.]+)"\)', part)[1]
                stubs[number] = slide
    assert sorted(stubs) == sorted(numbers)
    for number, slide in stubs.items():
        assert slide.title.startswith(f"Exercise {number}: ")
        assert "def " in slide.body[-1] or "class " in slide.body[-1]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_answers_of_the_quiz_come_later(chapter):
    quiz = [slide for slide in slides(chapter) if slide.title.startswith("Quiz, question")]
    assert len(quiz) == 3
    for slide in quiz:
        assert slide.body[0].startswith("**")
        assert len(slide.hidden[0]) > 20
        assert slide.hidden[0] not in "\n".join(slide.body)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_only_a_notebook_needs_is_left_out(chapter):
    text = "\n".join(map(everything, slides(chapter)))
    for unwanted in (
        "On Colab and Kaggle this",
        "colab-badge",
        "Your guess:",
        'guess = ""',
        ".ipynb)",
    ):
        assert unwanted not in text
    assert not re.search(r"^(hint|progress|solution)\(", text, flags=re.MULTILINE)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_sentence_of_the_chapter_is_lost(chapter):
    """What a slide shortens stands in its notes."""
    text = "\n".join(map(everything, slides(chapter)))
    section, sources = "", []
    for source in prose(chapter)[1:]:
        heading = re.match(r"## (.+)", source)
        section = heading[1] if heading else section
        sources += [source] if section not in ("Set-up", "Quiz") else []
    paragraphs = [
        block.removeprefix(slide_rules.PREDICT).strip()
        for source in map(slide_rules.without_links, sources)
        for kind, block in slide_space.blocks_of(source)
        if kind == "paragraph" and not block.startswith(slide_rules.SKIPPED_PROSE)
    ]
    assert len(paragraphs) > 10
    assert [block for block in paragraphs if block not in text] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_long_code_and_output_are_cut_and_say_so(chapter):
    fences = [part for slide in slides(chapter) for part in slide.body if part.startswith("```")]
    lengths = [len(part.splitlines()) - 2 for part in fences]
    assert max(lengths) <= slide_space.STUB
    code = [cell.source for cell in cells(chapter) if cell.cell_type == "code"]
    said = "".join(fences).count("more lines in the chapter")
    assert said or max(len(source.splitlines()) for source in code) <= slide_space.STUB


def test_code_that_is_cut_says_how_much_is_left():
    lines = [f"x = {i}" for i in range(30)]
    short = slide_space.shorten_code(slide_space.fenced("python", "\n".join(lines)), 14)
    shown = short.splitlines()[1:-1]
    assert shown[:-1] == lines[:13]
    assert shown[-1] == "# ... 17 more lines in the chapter"
    assert slide_space.shorten_code(short, 14) == short


def test_a_paragraph_is_cut_after_whole_sentences():
    text = "It halves. It is 4 x 4. " + "It has many more things to say. " * 20
    short = slide_space.shorten(text.strip(), limit=60)
    assert short == "It halves. It is 4 x 4. It has many more things to say."
    assert (
        slide_space.shorten("One sentence that is long.", limit=5) == "One sentence that is long."
    )
    formula = "Let $a. B$ be one. Then " + "it goes on and on. " * 20
    assert slide_space.shorten(formula.strip(), limit=20).count("$") == 2


def test_a_long_table_is_divided_and_keeps_its_head():
    rows = [f"| {i} | {'word ' * 30} |" for i in range(20)]
    table = "\n".join(["| a | b |", "|---|---|", *rows])
    parts = slide_space.fitted("table", table)
    assert len(parts) > 1
    assert all(part.startswith("| a | b |\n|---|---|\n") for part in parts)
    assert [row for part in parts for row in part.splitlines()[2:]] == rows
    assert all(slide_space.height(part) <= slide_space.ROOM for part in parts)


# --- the file ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decks(tmp_path_factory) -> Path:
    """Every deck, in a folder with a space and Chinese letters."""
    out = tmp_path_factory.mktemp("decks") / "my slides 课程"
    assert make_slides.main(["--out", str(out)]) == 0
    return out


def test_each_chapter_has_its_deck_and_the_libraries_lie_beside(decks):
    names = {path.name for path in decks.iterdir()}
    assert names == {f"{chapter}.html" for chapter in CHAPTERS} | {"reveal.js", "mathjax.js"}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_deck_fetches_nothing_and_has_every_slide(decks, chapter):
    page = BeautifulSoup((decks / f"{chapter}.html").read_text(encoding="utf-8"), "html.parser")
    assert page.html["lang"] == "en"
    assert page.title.get_text().startswith(slides(chapter)[0].title)
    leaves = [part for part in page.find_all("section") if not part.find("section")]
    assert len(leaves) == len(slides(chapter))
    assert len(page.select("aside.notes")) == sum(bool(slide.notes) for slide in slides(chapter))
    assert len(page.select("div.fragment")) == 3
    tags = [*page.find_all(src=True), *page.find_all("link", href=True)]
    addresses = [tag.get("src") or tag["href"] for tag in tags]
    local = [address for address in addresses if not address.startswith("data:")]
    assert local
    assert [address for address in local if not (decks / address).is_file()] == []


def test_another_copy_of_reveal_can_be_named(tmp_path, capsys):
    notebook = str(ROOT / "notebooks" / f"{CHAPTERS[0]}.ipynb")
    address = "https://example.org/reveal.js@5"
    assert make_slides.main([notebook, "--out", str(tmp_path), "--reveal", address + "/"]) == 0
    html = (tmp_path / f"{CHAPTERS[0]}.html").read_text(encoding="utf-8")
    assert f'src="{address}/dist/reveal.js"' in html
    assert not (tmp_path / "reveal.js").exists()
    assert make_slides.main([notebook, "--out", str(tmp_path), "--reveal", str(tmp_path)]) == 1
    assert "has no dist/reveal.js" in capsys.readouterr().err


def test_what_is_no_notebook_is_refused(tmp_path, capsys):
    junk = tmp_path / "junk.ipynb"
    junk.write_text("{", encoding="utf-8")
    assert make_slides.main([str(junk), "--out", str(tmp_path / "out")]) == 1
    assert "junk.ipynb is not a notebook that can be read" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.html"))


# --- in a browser --------------------------------------------------------------------------------

MEASURE = """
() => {
  const found = [];
  for (const slide of Reveal.getSlides()) {
    const { h, v } = Reveal.getIndices(slide);
    Reveal.slide(h, v, 99);
    const top = slide.getBoundingClientRect();
    const places = [...slide.querySelectorAll("*")]
      .filter((part) => !part.closest("aside, mjx-assistive-mml"))
      .map((part) => part.getBoundingClientRect())
      .filter((place) => place.width > 1 && place.height > 1);
    found.push({
      title: slide.querySelector("h1, h2").textContent,
      at: `${h}/${v}`,
      bottom: Math.max(...places.map((place) => place.bottom)) - top.top,
      right: Math.max(...places.map((place) => place.right)) - top.left,
      size: Math.min(...[...slide.querySelectorAll("p, li, td, pre")]
        .filter((part) => !part.closest("aside"))
        .map((part) => parseFloat(getComputedStyle(part).fontSize))),
      broken: [...slide.querySelectorAll("img")].filter((one) => !one.naturalWidth).length,
      faults: slide.querySelectorAll("[data-mjx-error]").length,
    });
  }
  return found;
}
"""


@pytest.fixture
def tab(chromium):
    """A page of 1280 x 720 that must not complain, and asks for nothing but files."""
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    complaints = []
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda asked: complaints.append(asked.url))
    page.on("request", lambda asked: asked.url.startswith("http") and complaints.append(asked.url))
    yield page
    page.close()
    assert complaints == []


def show(tab, deck: Path) -> None:
    tab.goto(deck.as_uri())
    tab.wait_for_function("window.Reveal && Reveal.isReady()")
    tab.evaluate("MathJax.startup.promise.then(() => true)")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_slide_fits_the_screen_and_can_be_read(tab, decks, chapter):
    show(tab, decks / f"{chapter}.html")
    measured = tab.evaluate(MEASURE)
    assert len(measured) == len(slides(chapter))
    assert [slide for slide in measured if slide["bottom"] > 720 or slide["right"] > 1280] == []
    assert min(slide["size"] for slide in measured if slide["size"]) >= 18
    assert sum(slide["broken"] + slide["faults"] for slide in measured) == 0


def test_keys_lead_through_a_deck_and_show_the_answer(tab, decks):
    show(tab, decks / f"{CHAPTERS[0]}.html")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("Reveal.getIndices().h") == 1
    column = "Reveal.getSlides().find(s => s.textContent.includes('Quiz, question 1'))"
    tab.evaluate(f"(() => {{ const i = Reveal.getIndices({column}); Reveal.slide(i.h, i.v); }})()")
    visible = "Reveal.getCurrentSlide().querySelector('.fragment').classList.contains('visible')"
    assert not tab.evaluate(visible)
    tab.keyboard.press("Space")
    assert tab.evaluate(visible)


def test_a_deck_prints_one_page_for_each_slide(tab, decks):
    tab.goto((decks / f"{CHAPTERS[0]}.html").as_uri() + "?print-pdf")
    tab.wait_for_selector(".pdf-page")
    pages = tab.evaluate("document.querySelectorAll('.pdf-page').length")
    assert pages == len(slides(CHAPTERS[0]))
