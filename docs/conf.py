"""Settings of the course site. The source folder is the repository, not this folder:

    uv run --group site python scripts/build_site.py

Nothing is executed: the pages show the outputs that the notebooks have stored.
"""

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COURSE = SETTINGS["tool"]["cyclegan-course"]
CHINESE = ".zh-CN"  # ends the names of the pages in Chinese

# --- what is read --------------------------------------------------------------------------------

root_doc = "README"
include_patterns = ["README*.md", "CONTRIBUTING.md", "LICENSE-TEXT.md", "notebooks/*.ipynb"]
include_patterns += ["docs/*.md", "docs/instructors/*.md", "data/README.md"]
include_patterns += ["benchmarks/README.md", "benchmarks/metric_ranking.md"]
# Folders that Sphinx need not even look into: environments, caches, what a learner makes.
exclude_patterns = [".*", "**/.*", "*env", "build", "dist", "tests", "node_modules", "**/runs"]
exclude_patterns += ["data/downloads", "data/weights", "cyclegan_course"]

# Shown at the left of each page: files, or patterns for those that are not named before.
CONTENTS = {
    "Chapters": ["notebooks/[0-9]*", "notebooks/appendix*", "notebooks/*"],
    "Teach": ["docs/instructors/README*", "docs/instructors/schedules*", "docs/instructors/*"],
    "Look up": ["docs/platforms*", "docs/README*", "data/*", "benchmarks/*", "C*", "LICENSE*"],
    "中文": ["README.*", "docs/*"],
}


FRONT_DOOR = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=README.html">
<link rel="icon" href="_static/favicon.svg">
<title>CycleGAN, step by step</title>
</head>
<body><p>The course starts at <a href="README.html">its first page</a>.</p></body>
</html>
"""

# --- how it is read ------------------------------------------------------------------------------

extensions = ["myst_nb"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath", "html_image"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.unknown_mime_type"]

# --- how it looks --------------------------------------------------------------------------------

project = "CycleGAN, step by step"
copyright = "CC BY 4.0, code MIT"
language = "en"
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system has it
html_use_index = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "repository_url": SETTINGS["project"]["urls"]["Repository"],
    "repository_branch": COURSE["branch"],
    "use_repository_button": True,
    "use_download_button": False,
    "launch_buttons": {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "jupyterhub_url": COURSE.get("jupyterhub", ""),  # one with nbgitpuller; no line, no button
    },
    "show_navbar_depth": 1,
    "show_toc_level": 2,
}

# One file with the fonts in it, from a wheel, so that formulas need no network either. Without the
# wheel the pages fetch MathJax when they are read.
MATHJAX = importlib.util.find_spec("sphinx-mathjax-offline")
if MATHJAX:
    mathjax_path = "tex-svg.js"
    html_static_path.append(str(Path(MATHJAX.origin).parent / "static/mathjax/tex-svg.js"))


def prepare_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Adapt the text of a page to the site; the file itself stays as it is."""
    if app.env.doc2path(page).suffix == ".ipynb":
        source[0] = json.dumps(_with_alternative_texts(json.loads(source[0])))
    elif page == root_doc:
        source[0] += "".join(_contents(app.env.found_docs - {root_doc}))
    # JupyterLab keeps the case of a heading in its anchor, a site writes it in lower case.
    source[0] = re.sub(r"(?<=\]\()([^)\s:]*#)([^)\s]+)", lambda m: m[1] + m[2].lower(), source[0])


def _contents(pages: set[str]) -> Iterator[str]:
    """A list of pages under each caption, for the end of the first page."""
    left = sorted(pages)
    for caption, patterns in CONTENTS.items():
        found = [page for pattern in patterns for page in left if fnmatchcase(page, pattern)]
        found = list(dict.fromkeys(found))
        left = [page for page in left if page not in found]
        if found:
            lines = "\n".join(found)
            yield f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def _with_alternative_texts(notebook: dict) -> dict:
    """Put the words for a picture where myst-nb looks for them: from the output into the cell."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for kind, metadata in output.get("metadata", {}).items():
                if kind.startswith("image/") and "alt" in metadata:
                    cell["metadata"]["mystnb"] = {"image": {"alt": metadata["alt"]}}
    return notebook


def replace_pictures_of_other_hosts(app: Sphinx, document: nodes.document) -> None:
    """A badge becomes a link of words: the page asks no other host when it is opened."""
    for image in list(document.findall(nodes.image)):
        if urlsplit(image["uri"]).netloc:
            image.parent.replace(image, nodes.inline(text=image["alt"], classes=["badge-words"]))


def set_language(app: Sphinx, page: str, template: str, context: dict, document) -> None:
    """Tell browsers and screen readers which language a page is in."""
    context["language"] = "zh-CN" if page.endswith(CHINESE) else language


def write_front_door(app: Sphinx, error: Exception | None) -> None:
    """A folder is opened at index.html; the first page of the course is README.html."""
    if error is None:
        (Path(app.outdir) / "index.html").write_text(FRONT_DOOR, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("source-read", prepare_source)
    app.connect("doctree-read", replace_pictures_of_other_hosts)
    app.connect("html-page-context", set_language)
    app.connect("build-finished", write_front_door)
