"""What several test files need."""

from collections.abc import Iterator

import pytest
from browsers import running_browser
from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def shell():
    """A real IPython session in this process, so that rich output has somewhere to go."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """A browser for one file: while Playwright runs, this process has an event loop, and tests of
    other files start loops of their own."""
    with running_browser() as browser:
        yield browser
