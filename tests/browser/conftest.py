"""One real JupyterLab and one browser for each file; skipped where there is no browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import lab as labs

# The helpers assert: say what was compared, as in a test file.
pytest.register_assert_rewrite(
    *(f"{__package__}.{name}" for name in ("chapter", "notebook", "controls"))
)
SCREENSHOTS_VARIABLE = "CYCLEGAN_COURSE_SCREENSHOTS"
WINDOW = {"width": 1300, "height": 1400}  # as wide as that of a small laptop


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    # One for each file, not for all: while Playwright runs, this process has an event loop, and
    # tests of other files start loops of their own.
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path  # where `playwright install chromium` puts it
        program = labs.browser_program() or (own if Path(own).exists() else None)
        if program is None:
            pytest.skip(
                "needs Chromium or Chrome: install one (Debian: apt install chromium; elsewhere: "
                "playwright install chromium), or name its program in the environment variable "
                f"{labs.BROWSER_VARIABLE}"
            )
        browser = playwright.chromium.launch(executable_path=program, args=labs.browser_arguments())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory) -> Iterator[labs.Lab]:
    with labs.running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory) -> Path:
    """Folder for what was seen; the environment variable keeps it where it can be found."""
    named = os.environ.get(SCREENSHOTS_VARIABLE)
    return Path(named) if named else tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="class")
def notebook(request, chromium, lab, screenshots) -> Iterator:
    """The notebook that the class names, opened in JupyterLab, and run to its end."""
    from .notebook import Notebook

    with chromium.new_context(viewport=WINDOW, reduced_motion="reduce") as context:
        # Nothing outside this machine is asked for: the pictures of badges stay empty.
        context.route(
            lambda address: not address.startswith(lab.address), lambda route: route.abort()
        )
        opened = Notebook(lab, context, request.cls.stem)
        opened.picture(screenshots / f"{opened.stem[:2]}_opened.png")
        opened.run_all()
        yield opened
