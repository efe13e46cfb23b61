"""What several test files need."""

import pytest
from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def shell():
    """A real IPython session in this process, so that rich output has somewhere to go."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()
