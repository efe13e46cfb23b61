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
