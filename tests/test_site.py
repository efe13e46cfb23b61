"""The course site: built once from what is stored, then its pages, links and pictures are checked.

What a reader sees and searches is tried in Chromium where playwright and Chromium are installed.
"""

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import build_site as script
import pytest
from browsers import served
from bs4 import BeautifulSoup

for needed in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed: uv sync --group site", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY = SETTINGS["project"]["urls"]["Repository"].removeprefix("https://github.com/")
BRANCH = SETTINGS["tool"]["cyclegan-course"]["branch"]
GENERATED = {"index.html", "search.html"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The whole site, without a warning, in a folder with a space and Chinese letters."""
    out = tmp_path_factory.mktemp("site") / "the site 课程"
    assert script.main(["--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name], "something was left behind"
    return out


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Every page of the course by its address on the site."""
    files = {path.relative_to(site).as_posix(): path for path in site.rglob("*.html")}
    return {
        name: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for name, path in files.items()
        if not name.startswith("_")
    }


def course_pages(pages: dict[str, BeautifulSoup]) -> Iterator[tuple[str, BeautifulSoup]]:
    """(address, article) of the pages that somebody wrote."""
    for name, page in pages.items():
        if name not in GENERATED:
            yield name, page.find("article")


def test_the_pages_are_those_of_the_course_and_no_others(pages):
    wanted = {f"notebooks/{name}.html" for name in CHAPTERS}
    wanted |= {f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    wanted |= {
        f"docs/instructors/{path.stem}.html" for path in (ROOT / "docs/instructors").glob("*.md")
    }
    wanted |= {f"{path.stem}.html" for path in ROOT.glob("README*.md")}
    wanted |= {"CONTRIBUTING.html", "LICENSE-TEXT.html", "data/README.html"}
    wanted |= {"benchmarks/README.html", "benchmarks/metric_ranking.html"}
    assert set(pages) == wanted | GENERATED


def test_the_first_page_leads_to_every_other(pages):
    links = pages["README.html"].find("nav", class_="bd-docs-nav").find_all("a")
    listed = {urlsplit(link["href"]).path for link in links}
    assert listed >= set(pages) - GENERATED - {"README.html"}
    assert 'url=README.html"' in str(pages["index.html"])


def test_every_page_has_a_language_a_title_and_headings_in_order(pages):
    for name, article in course_pages(pages):
        page = pages[name]
        assert page.html["lang"] == ("zh-CN" if ".zh-CN" in name else "en"), name
        levels = [int(tag.name[1]) for tag in article.find_all(re.compile(r"^h[1-6]$"))]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, f"{name}: one title a page"
        assert all(b <= a + 1 for a, b in pairwise(levels)), f"{name}: {levels}"
        assert article.h1.get_text().strip("#\n ") in page.title.get_text(), name


def test_every_link_and_anchor_inside_the_site_leads_somewhere(site, pages):
    anchors = {name: {tag["id"] for tag in page.find_all(id=True)} for name, page in pages.items()}
    broken = []
    for name, page in pages.items():
        for link in page.find_all("a", href=True):
            target = urlsplit(urljoin(name, link["href"]))
            if target.scheme:
                assert target.scheme in ("https", "http", "mailto"), f"{name}: {link['href']}"
                assert target.netloc or target.path, f"{name}: {link['href']}"
                continue
            path, anchor = unquote(target.path), unquote(target.fragment)
            known = not anchor or path not in anchors or anchor in anchors[path]
            if not (site / path).is_file() or not known:
                broken.append(f"{name}: {link['href']}")
    assert not broken


def test_nothing_is_fetched_from_elsewhere(site, pages):
    fetched = []
    for name, page in pages.items():
        for tag in page.find_all(["script", "img", "iframe", "source"], src=True):
            fetched.append((name, tag["src"]))
        for tag in page.find_all("link", href=True, rel=["stylesheet", "icon", "preload"]):
            fetched.append((name, tag["href"]))
    assert len(fetched) > 100
    for name, address in fetched:
        if not address.startswith("data:"):
            target = urlsplit(urljoin(name, address))
            assert not target.netloc, f"{name}: {address}"
            assert (site / unquote(target.path)).is_file(), f"{name}: {address}"


def test_every_picture_has_its_words(pages):
    for name, article in course_pages(pages):
        for picture in article.find_all("img"):
            assert len(picture.get("alt", "")) >= 10, f"{name}: {str(picture)[:200]}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_shows_what_its_notebook_has_stored(pages, chapter):
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    article = pages[f"notebooks/{chapter}.html"].find("article")
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    shown = {picture["alt"] for picture in article.find_all("img")}
    for output in outputs:
        if "text/html" not in output.get("data", {}):
            stored = output.get("metadata", {}).values()
            wanted = {kind["alt"] for kind in stored if isinstance(kind, dict) and "alt" in kind}
            assert wanted <= shown
    text = re.sub(r"\s+", "", article.get_text())
    printed = ["".join(output["text"]) for output in outputs if output.get("name") == "stdout"]
    assert [part for part in printed if re.sub(r"\s+", "", part) not in text] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_can_be_launched_from_the_repository_that_is_set(pages, chapter):
    header = pages[f"notebooks/{chapter}.html"].find("div", class_="article-header-buttons")
    links = [link["href"] for link in header.find_all("a", href=True)]
    file = f"notebooks/{chapter}.ipynb"
    place = f"{REPOSITORY}/blob/{BRANCH}/{file}"
    assert f"https://colab.research.google.com/github/{place}" in links
    binder = f"https://mybinder.org/v2/gh/{REPOSITORY}/{BRANCH}?urlpath=lab/tree/{file}"
    assert binder in [unquote(link) for link in links]
    assert f"https://github.com/{REPOSITORY}" in links


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    assert script.main(["--out", str(tmp_path)]) == 1
    assert "something other than a site" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_a_fault_leaves_the_earlier_site_as_it_was(tmp_path, monkeypatch, capsys):
    import sphinx.cmd.build

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "searchindex.js").write_text("before", encoding="utf-8")
    monkeypatch.setattr(sphinx.cmd.build, "build_main", lambda arguments: 1)
    assert script.main(["--out", str(tmp_path / "site")]) == 1
    assert "was not built" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["site", "searchindex.js"]


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(site):
    with served(site) as address:
        yield address


@pytest.fixture
def tab(chromium, address):
    """A page that may not reach anything but the site, and must not complain."""
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    complaints, foreign = [], []
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.route(lambda url: not url.startswith((address, "data:")), lambda route: route.abort())
    page.on("request", lambda asked: foreign.append(asked.url))
    yield page
    page.close()
    assert complaints == []
    assert [url for url in foreign if not url.startswith((address, "data:"))] == []


def test_the_search_finds_a_word(tab, address):
    tab.goto(address + "index.html")
    tab.wait_for_url("**/README.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.type("checkerboard")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=checkerboard*")
    tab.get_by_role("link", name="3. The ResNet generator").first.click()
    tab.wait_for_url("**/notebooks/03_resnet_generator.html*")
    assert "3. The ResNet generator" in tab.inner_text("article h1")


def test_formulas_are_set(tab, address):
    tab.goto(address + "notebooks/01_adversarial_loss.html")
    tab.wait_for_selector("article mjx-container svg", state="attached")
    tab.evaluate("MathJax.startup.promise.then(() => true)")
    count = "document.querySelectorAll('article {}').length"
    assert tab.evaluate(count.format(".math")) == tab.evaluate(count.format("mjx-container")) > 50
    assert tab.evaluate(count.format("[data-mjx-error]")) == 0


@pytest.mark.parametrize("name", ["README.html", "notebooks/05_training_a_cyclegan.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_a_telephone_and_follows_the_scheme(tab, address, name, scheme):
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.emulate_media(color_scheme=scheme)
    tab.goto(address + name)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.get_attribute("html", "data-theme") == scheme
    loaded = (
        "Array.from(document.querySelectorAll('article img'), i => i.naturalWidth > 0 || i.loading)"
    )
    assert all(tab.evaluate(loaded))
