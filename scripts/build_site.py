"""Build the course site: every chapter with its stored outputs, search, instructors' pages.

    uv run --group site python scripts/build_site.py                 # writes build/site
    uv run --group site python scripts/build_site.py --out FOLDER

Nothing is executed and no network is needed. Open `index.html` of the result in a browser, or put
the folder on any web space. What Sphinx warns about, say a link that leads nowhere, ends the build,
and what was there before stays. Settings: docs/conf.py. Buttons lead to the repository that
`scripts/set_repository.py` sets; a line `jupyterhub = "https://hub.example.org"` below
`[tool.cyclegan-course]` in pyproject.toml adds one for a JupyterHub with nbgitpuller.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme")
MARK = "searchindex.js"  # a folder that holds it is an earlier site


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; the exit code is 0, or 1 with the reason printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", metavar="FOLDER")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        build(options.out)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    pages = len(list(options.out.rglob("*.html")))
    print(f"{options.out}: {pages} pages in {time.monotonic() - start:.0f} s")
    return 0


def build(out: Path) -> None:
    """Write the site to the folder `out`, whole or not at all; an earlier site there is replaced.

    Raises:
        CourseError: if Sphinx is not installed, `out` holds something else, or a page has a fault.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CourseError(
            f"The site needs {', '.join(missing)}. Run this script with "
            '"uv run --group site python scripts/build_site.py".'
        )
    if out.exists() and not (out.is_dir() and ((out / MARK).exists() or not any(out.iterdir()))):
        raise CourseError(f"{out} holds something other than a site. Name a new folder with --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    # myst-nb writes its pictures beside the folder of the pages, hence a folder for both.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".site-") as work:
        _run_sphinx(Path(work) / "site", Path(work) / "doctrees")
        if out.exists():
            shutil.rmtree(out)
        shutil.move(Path(work) / "site", out)


def _run_sphinx(out: Path, doctrees: Path) -> None:
    from sphinx.cmd.build import build_main

    settings = ["-c", str(ROOT / "docs"), "-d", str(doctrees), "-b", "html"]
    strict = ["--fail-on-warning", "--keep-going", "--quiet", "--no-color"]
    if build_main([*settings, *strict, str(ROOT), str(out)]) != 0:
        raise CourseError("The site was not built. Mend what is listed above, then try again.")


if __name__ == "__main__":
    sys.exit(main())
