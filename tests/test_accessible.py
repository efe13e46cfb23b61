"""For readers who do not see figures, or not all colours, or use no mouse: everything has words."""

import importlib
import itertools
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab
from test_project import NOTEBOOKS, ROOT, project_files

from cyclegan_course import plots
from cyclegan_course.exercises import learner
from cyclegan_course.plots.style import BLUE, DARK, GREEN, ORANGE, PURPLE

FILES = {path.relative_to(ROOT).as_posix(): path for path in project_files()}
MARKDOWN = sorted(name for name in FILES if name.endswith(".md"))
PAGES = [name for name in MARKDOWN if "/" not in name or name.startswith("docs/")]
NAMES = [path.name for path in NOTEBOOKS]
DEMO_PAGE = "cyclegan_course/translate/demo_page/"
FILLER = re.compile(
    r"(an? )?(image|picture|figure|plot|photo|diagram|graph|screenshot)s?( \d+)?\.?"
)
EMPTY_WORDS = {"here", "this", "link", "click here", "this page", "this link", "more", "read more"}
EMPTY_WORDS |= {"这里", "此处", "点击这里", "链接", "更多"}
WIDGETS = "cyclegan_course/widgets/"
VOID = {"br", "hr", "img", "input", "link", "meta", "progress", "source", "wbr"}
MARKDOWN_READER = MarkdownIt("commonmark").enable("table")


# --- reading -------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements of a piece of HTML: (tag, attributes, text inside, tags around)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict, list[str], tuple[str, ...]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        words: list[str] = []
        around = tuple(name for name, _ in self._open)
        self.found.append((tag, {k: v or "" for k, v in attributes}, words, around))
        if tag not in VOID:
            self._open.append((tag, words))
        if tag == "img":
            self.handle_data(dict(attributes).get("alt") or "")

    def handle_endtag(self, tag):
        while self._open and self._open[-1][0] != tag:
            self._open.pop()
        if self._open:
            self._open.pop()

    def handle_data(self, data):
        for _, words in self._open:
            words.append(data)

    def of(self, tag: str) -> list[tuple[dict, str]]:
        """Attributes and words of each element of this name."""
        return [(a, " ".join("".join(w).split())) for name, a, w, _ in self.found if name == tag]


@cache
def markdown_of(name: str) -> list[str]:
    """The Markdown of a page, or of a notebook: its text cells and its Markdown outputs."""
    if not name.endswith(".ipynb"):
        return [FILES[name].read_text(encoding="utf-8")]
    texts = []
    for cell in cells(name):
        if cell.cell_type == "markdown":
            texts.append(cell.source)
        texts += [data["text/markdown"] for data, _ in outputs(cell) if "text/markdown" in data]
    return texts


@cache
def cells(name: str) -> list:
    return nbformat.read(ROOT / "notebooks" / name, as_version=4).cells


def outputs(cell) -> list[tuple[dict, dict]]:
    return [(o.get("data", {}), o.get("metadata", {})) for o in cell.get("outputs", [])]


@cache
def html_of(name: str) -> str:
    """All HTML of a notebook's outputs, and of the HTML that stands in Markdown."""
    parts = []
    if name.endswith(".ipynb"):
        for cell in cells(name):
            parts += [data["text/html"] for data, _ in outputs(cell) if "text/html" in data]
    elif name.endswith(".html"):
        return FILES[name].read_text(encoding="utf-8")
    for token in tokens(name):
        if token.type in ("html_block", "html_inline"):
            parts.append(token.content)
    return "\n".join(parts)


@cache
def tokens(name: str) -> list[Token]:
    """Blocks of Markdown in order, each followed by what stands in its line."""
    blocks = [token for text in markdown_of(name) for token in MARKDOWN_READER.parse(text)]
    return [part for block in blocks for part in (block, *(block.children or []))]


def alternative_texts(name: str) -> list[str]:
    """The text for each picture: of outputs, of Markdown, of HTML; "" where there is none."""
    found = [
        "".join(part.content for part in token.children or [])
        for token in tokens(name)
        if token.type == "image"
    ]
    elements = Elements(html_of(name))
    found += [a.get("alt", "") for a, _ in elements.of("img")]
    for tag, attributes, _, around in elements.found:
        if tag in ("svg", "canvas") and "svg" not in around and not hidden(attributes):
            found.append(attributes.get("aria-label", ""))
    if name.endswith(".ipynb"):
        for cell in cells(name):
            for data, metadata in outputs(cell):
                kinds = [kind for kind in data if kind.startswith("image/")]
                texts = {metadata.get(kind, {}).get("alt", "") for kind in kinds}
                # The same picture as HTML has been counted; where there is none, this is it.
                if kinds and "<img" not in data.get("text/html", ""):
                    found += sorted(texts)
                else:
                    assert "" not in texts, name
    return found


def hidden(attributes: dict) -> bool:
    return attributes.get("aria-hidden") == "true"


EVERY = [*PAGES, *NAMES, DEMO_PAGE + "index.html"]


# --- words for pictures --------------------------------------------------------------------------


def says_nothing(alt: str) -> bool:
    """Whether a text for a picture is missing, a file's name or a filler."""
    alt = alt.strip()
    return (
        len(alt) < 4
        or bool(re.search(r"\.(png|jpe?g|svg|gif|webp)\b", alt, re.IGNORECASE))
        or bool(FILLER.fullmatch(alt.lower()))
    )


def test_fillers_are_known():
    for alt in ("", " ", "image", "Figure 3", "a picture", "hero.png", "docs/hero.PNG", "plot."):
        assert says_nothing(alt), alt
    for alt in ("Open in Colab", "Six scenes in three rows", "图中五幅画"):
        assert not says_nothing(alt), alt


@pytest.mark.parametrize("name", EVERY)
def test_every_picture_has_words(name):
    assert [alt for alt in alternative_texts(name) if says_nothing(alt)] == []


def test_pictures_are_found_wherever_they_stand():
    assert len(alternative_texts("README.md")) >= 2
    assert len(alternative_texts(DEMO_PAGE + "index.html")) == 2  # two canvases
    assert sum(len(alternative_texts(name)) for name in NAMES) > 150


@pytest.mark.parametrize("name", NAMES)
def test_two_figures_of_a_chapter_have_different_words(name):
    seen = Counter(alternative_texts(name))
    assert {alt: times for alt, times in seen.items() if times > 1} == {}


# --- structure -----------------------------------------------------------------------------------


def headings(name: str) -> list[int]:
    """The level of each heading, in order."""
    if name.endswith(".html"):
        found = Elements(html_of(name)).found
        return [int(tag[1]) for tag, *_ in found if re.fullmatch(r"h[1-6]", tag)]
    return [int(token.tag[1]) for token in tokens(name) if token.type == "heading_open"]


@pytest.mark.parametrize("name", [*EVERY, *sorted(set(MARKDOWN) - set(PAGES))])
def test_headings_are_in_order(name):
    levels = headings(name)
    assert levels[0] == 1, "the first heading is the title"
    assert levels.count(1) == 1, "one title"
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels


@pytest.mark.parametrize("name", [*EVERY, *sorted(set(MARKDOWN) - set(PAGES))])
def test_tables_have_a_row_of_headings(name):
    """The corner above row names may be empty; a table without any column heading may not be."""
    heads: list[list[str]] = []
    inside = False
    for token in tokens(name) if not name.endswith(".html") else ():
        if token.type in ("thead_open", "thead_close"):
            inside = token.type == "thead_open"
            heads += [[]] if inside else []
        elif inside and token.type == "inline":
            heads[-1].append(token.content.strip())
    assert [head for head in heads if head.count("") > 1 or not any(head)] == []
    elements = Elements(html_of(name)).found
    tables = sum(tag == "table" for tag, *_ in elements)
    with_headings = sum(tag == "th" and "table" in around for tag, _, _, around in elements)
    assert with_headings >= tables


@pytest.mark.parametrize("name", EVERY)
def test_links_have_words_of_their_own(name):
    links = [(words, "") for _, words in Elements(html_of(name)).of("a")]
    for text in markdown_of(name) if not name.endswith(".html") else ():
        cell = ""
        for token in MARKDOWN_READER.parse(text):
            cell = {"td_open": "cell", "td_close": ""}.get(token.type, cell)
            words: list[str] | None = None
            for part in token.children or []:
                if part.type == "link_open":
                    words = []
                elif part.type == "link_close" and words is not None:
                    links.append((" ".join("".join(words).split()), cell))
                    words = None
                elif words is not None:
                    inner = [child.content for child in part.children or []]
                    words += inner if part.type == "image" else [part.content]
    for words, cell in links:
        assert words, "a link without words"
        assert words.lower().strip(" .") not in EMPTY_WORDS, words
        assert not re.match(r"(https?://|www\.)", words), f"{words}: an address is read aloud"
        # A number alone says enough under the heading of its column.
        assert not words.isdigit() or cell == "cell", words


@pytest.mark.parametrize("name", EVERY)
def test_what_folds_says_what_is_inside(name):
    elements = Elements(html_of(name))
    assert len(elements.of("details")) == len(elements.of("summary"))
    assert all(words for _, words in elements.of("summary"))


# --- colours -------------------------------------------------------------------------------------

# Dichromats' sight in linear RGB: Machado, Oliveira, Fernandes, "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15 (6), 2009, severity 1.0.
SIGHTS = {
    "all colours": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB
SIGHTS["grey"] = np.tile(LUMINANCE, (3, 1))
# CIEDE2000. 1 is just noticeable between large fields side by side; a legend asks one to recognise
# a thin line elsewhere in the figure. For marks of a third of a degree, the size of a letter, half
# of the viewers notice 7.3 in lightness and 10 and 14 in the two directions of colour (Stone,
# Szafir, Setlur, "An engineering model for color difference as a function of size", CIC 2014).
APART = 10.0
APART_IN_GREY = 7.3
PALETTE = {"blue": BLUE, "orange": ORANGE, "green": GREEN, "purple": PURPLE}
HEX = re.compile(r"#[0-9a-fA-F]{6}")
# Colours without a mark or a line style of their own, and what else tells their things apart.
OTHERWISE = {
    "cut.VERDICTS": "the side of the line at 0, and filled marks",
    "experiments.VERDICTS": "the side of the line at 0",
    "editing.ZONE_COLOURS": "bars, each with its name on the axis",
    "number_formats.FORMAT_COLOURS": "line styles, chosen beside them",
    "resume._COLOURS": "bars, each with its name on the axis",
    "speed.PART_COLOURS": "marks; in bars the order of the legend, and the numbers inside",
    "stages.COLOURS": "MARKERS beside them",
}


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(colour: str, sight: str) -> np.ndarray:
    """What a colour looks like, in CIELAB."""
    light = np.clip(SIGHTS[sight] @ linear(np.array(to_rgb(colour))), 0, 1)
    return rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def distance(one: str, other: str, sight: str) -> float:
    """CIEDE2000 between two colours as somebody sees them."""
    return float(deltaE_ciede2000(seen(one, sight), seen(other, sight)))


def looks() -> dict[str, list[tuple]]:
    """Each list of colours, with line styles or without, that a module of figures keeps."""
    found: dict[str, list[tuple]] = {}

    def add(name: str, value: object) -> None:
        entries = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(entries, list | tuple) or len(entries) < 2:
            return
        if all(isinstance(entry, dict) for entry in entries):
            for key, inner in zip(value, entries, strict=True):
                add(f"{name}.{key}", inner)
            return
        rows = [(entry,) if isinstance(entry, str) else entry for entry in entries]
        if all(isinstance(r, tuple) and any(HEX.fullmatch(str(x)) for x in r) for r in rows):
            found[name] = rows

    for module in pkgutil.iter_modules(plots.__path__):
        for name, value in vars(importlib.import_module(f"{plots.__name__}.{module.name}")).items():
            add(f"{module.name}.{name}", value)
    return found


def told_by_colour_alone(rows: list[tuple]) -> Iterator[tuple[str, str]]:
    """The pairs of looks that differ in nothing but colour (and the words of the legend)."""
    for one, other in itertools.combinations(rows, 2):
        colours = [next(x for x in row if HEX.fullmatch(str(x))) for row in (one, other)]
        marks = [[x for x in row if isinstance(x, str) and len(x) <= 2] for row in (one, other)]
        if marks[0] == marks[1] and colours[0] != colours[1]:
            yield colours[0], colours[1]


def test_the_simulation_finds_what_colour_blind_readers_do_not_see():
    red, green = "#d62728", "#2ca02c"  # matplotlib's own, told apart by hue alone
    assert distance(red, green, "all colours") > 60
    assert distance("#9a6a00", "#6f7d00", "deuteranopia") < APART  # brown and olive
    assert distance(red, green, "grey") < distance(red, green, "all colours") / 5
    for sight in SIGHTS:
        assert distance("#000000", "#ffffff", sight) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("sight", [sight for sight in SIGHTS if sight != "grey"])
def test_the_palette_stays_apart(sight):
    for one, other in itertools.combinations(PALETTE.values(), 2):
        assert distance(one, other, sight) >= APART, (one, other)
    for colour in PALETTE.values():
        assert distance(colour, DARK, sight) >= APART
        assert distance(colour, "white", sight) >= APART


def test_every_list_of_looks_is_found():
    found = looks()
    assert len(found) >= 20
    assert set(OTHERWISE) <= set(found), "no longer there: take it out of OTHERWISE"


@pytest.mark.parametrize("name", sorted(set(looks()) - set(OTHERWISE)))
def test_what_only_colour_tells_apart_is_seen_by_everybody(name):
    for one, other in told_by_colour_alone(looks()[name]):
        for sight in SIGHTS:
            least = APART_IN_GREY if sight == "grey" else APART
            assert distance(one, other, sight) >= least, (one, other, sight)


def colour_maps() -> set[str]:
    """The names of all colour maps that the figures use."""
    maps = set()
    for path in (ROOT / "cyclegan_course").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        maps |= set(re.findall(r'(?:cmap=|colormaps\[|_COLOURS = )"(\w+)"', text))
    return maps


@pytest.mark.parametrize("name", sorted(colour_maps()))
@pytest.mark.parametrize("sight", SIGHTS)
def test_colour_maps_rise_or_fall_in_lightness_for_everybody(name, sight):
    """Then more is lighter, or darker, whatever colours one sees; and print in grey keeps it."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    steps = [seen(to_hex(colormaps[name](x)), sight)[0] for x in np.linspace(0, 1, 33)]
    changes = np.diff(steps)
    assert abs(steps[-1] - steps[0]) > 50
    assert (changes * np.sign(steps[-1] - steps[0]) > -0.3).all()


def test_the_maps_in_use_are_found():
    assert {"cividis", "cividis_r", "magma", "gray"} <= colour_maps()


# --- contrast ------------------------------------------------------------------------------------

GROUNDS = {"white": "#ffffff", "JupyterLab's dark theme": "#111111"}
TEXT, SIGN = 4.5, 3.0  # WCAG 2.2: 1.4.3 text; 1.4.11 what is no text, and large text


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, 1 to 21."""
    lights = sorted(float(LUMINANCE @ linear(np.array(to_rgb(c)))) for c in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("ground", GROUNDS)
def test_signs_of_exercises_are_seen_on_both_grounds(ground):
    """A sign and a border, beside the state in words of the theme's own colour."""
    for sign, colour in learner._LOOK.values():
        assert len(sign) == 1
        assert contrast(colour, GROUNDS[ground]) >= SIGN


def coloured(name: str) -> list[tuple[str, str, str]]:
    """(colour, ground, words) of each element of HTML outputs that sets its colour."""
    found = []
    for _, attributes, words, _ in Elements(html_of(name)).found:
        style = dict(
            (key.strip(), value.strip())
            for key, _, value in (
                part.partition(":") for part in attributes.get("style", "").split(";")
            )
        )
        if "color" in style:
            ground = style.get("background", style.get("background-color", ""))
            found.append((style["color"], ground, "".join(words).strip()))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_coloured_words_can_be_read_on_both_grounds(name):
    for colour, ground, words in coloured(name):
        for under in [ground] if ground else GROUNDS.values():
            least = SIGN if len(words) <= 1 else TEXT
            assert contrast(colour, under) >= least, words


def test_coloured_words_are_found():
    assert sum(len(coloured(name)) for name in NAMES) > 50


def test_a_ground_comes_with_a_colour():
    """White under words of a dark theme would hide them."""
    for name in NAMES:
        for tag, attributes, words, _ in Elements(html_of(name)).found:
            style = attributes.get("style", "")
            if "background" in style and "".join(words).strip():
                assert re.search(r"(^|;)\s*color:", style), (name, tag, style)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_exported_page_can_be_read(theme):
    style = FILES[DEMO_PAGE + "page.css"].read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    assert len(themes) == 2
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", themes[theme]))
    for text in ("text", "soft", "wrong"):
        assert contrast(colours[text], colours["back"]) >= TEXT, text
    assert contrast(colours["text"], colours["panel"]) >= TEXT
    assert contrast(colours["on-main"], colours["main"]) >= TEXT
    assert contrast(colours["line"], colours["back"]) >= SIGN  # borders of controls
    assert contrast(colours["main"], colours["back"]) >= SIGN  # the ring around what has focus


# --- controls, as far as their source shows it ---------------------------------------------------


def test_the_slider_between_two_pictures_is_an_ordinary_control():
    script = FILES[WIDGETS + "before_after.py"].read_text(encoding="utf-8")
    assert "slider.type = 'range'" in script  # so the browser gives it keys, focus ring and role
    assert "setAttribute('aria-label'" in script
    assert "outline" not in script, "the browser's own ring shows the focus"
    assert "slider.focus()" in script  # after a drag the arrow keys go on from there
    assert "slider.oninput = cut" in script


def test_the_score_map_is_used_with_the_keyboard():
    script = FILES[WIDGETS + "field_inspector.py"].read_text(encoding="utf-8")
    assert "holder.tabIndex = 0" in script
    assert "holder.setAttribute('role', 'application')" in script
    assert "holder.setAttribute('aria-label'" in script
    for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"):
        assert key in script
    assert "words.setAttribute('aria-live', 'polite')" in script  # each move is read aloud
    assert "outline" not in script, "the browser's own ring shows the focus"
    for figure in ("view", "patch"):
        made = re.search(rf"const {figure} = svg\('svg', \{{(.*?)\}}", script, flags=re.DOTALL)[1]
        assert "role: 'img'" in made
        assert "'aria-label'" in made
    assert "background:white; color:#222222" in script  # both, for a dark theme


def test_the_dashboard_has_words_for_its_bar_and_its_button():
    source = FILES[WIDGETS + "dashboard.py"].read_text(encoding="utf-8")
    assert 'aria-label="share of the training"' in source
    assert re.search(r'Button\(\s*description="Stop"', source)
    assert "tooltip=" in source


def test_nothing_moves_by_itself():
    """Whoever adds a transition must ask for `prefers-reduced-motion` first."""
    moving = re.compile(
        r"@keyframes|\banimation\b|\btransition\b|requestAnimationFrame|<marquee|<blink"
    )
    for name, path in FILES.items():
        folder = name.startswith((WIDGETS, DEMO_PAGE))
        if folder and path.suffix in (".py", ".js", ".css", ".html"):
            text = path.read_text(encoding="utf-8")
            assert not moving.search(text) or "prefers-reduced-motion" in text, name


def test_the_exported_page_shows_where_the_focus_is():
    style = FILES[DEMO_PAGE + "page.css"].read_text(encoding="utf-8")
    ring = re.search(r":focus-visible,[^{]*\{(.*?)\}", style, flags=re.DOTALL)[1]
    assert "outline: 3px solid" in ring
    assert not re.search(r"outline:\s*(none|0\s*;)", style)
    page = Elements(html_of(DEMO_PAGE + "index.html"))
    roles = {attributes.get("role") for _, attributes, *_ in page.found}
    assert {"status", "alert", "img"} <= roles
    assert 'lang="en"' in html_of(DEMO_PAGE + "index.html")
