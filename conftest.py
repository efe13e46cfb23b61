"""Settings of every test process; pytest reads this file before it starts any."""

import importlib.util
import os
from pathlib import Path

import pytest

# Threads of several processes wait for each other and make a step many times slower, so each
# process computes with one. Test workers and notebook kernels inherit this, and torch reads it
# when it is imported; a value that was set on purpose stays.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class NeedsKeras(pytest.File):
    """Stands for a notebook that cannot run here."""

    def collect(self):
        pytest.skip("needs Keras and TensorFlow: uv sync --extra keras")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector):
    found = yield
    installed = importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow")
    if file_path.name == "appendix_keras.ipynb" and not installed:
        return [NeedsKeras.from_parent(parent, path=file_path)]
    return found
