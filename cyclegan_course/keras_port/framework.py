"""Keras and TensorFlow, imported once: quietly, on the CPU, with as many threads as PyTorch.

The two frameworks are compared number by number, so both compute in float32 on the same device; a
GPU would round products to fewer bits.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator

import torch

from cyclegan_course.errors import CourseError

INSTALL = "pip install 'cyclegan-course[keras]', or pip install keras tensorflow"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, what compiled code writes to the standard error is dropped.

    TensorFlow remarks on processors and missing GPUs before its own log level counts.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# torch's optimizers import triton, where it is installed, and a triton that comes after TensorFlow
# ends the process ("LLVM ERROR: inconsistency in registered CommandLine options"). So it is first.
if "triton" not in sys.modules and importlib.util.find_spec("triton"):
    if "tensorflow" in sys.modules:
        raise CourseError(
            "TensorFlow was imported before cyclegan_course.keras_port, and then PyTorch's "
            "optimizers would end Python: start it again, and import keras_port first."
        )
    importlib.import_module("triton")

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
try:
    with _quiet():
        import keras
        import tensorflow as tf
except ImportError as error:
    raise CourseError(
        f"The Keras port needs Keras 3 and TensorFlow ({error.name} is missing): {INSTALL}"
    ) from error

if not keras.__version__.startswith("3."):
    raise CourseError(f"This is Keras {keras.__version__}, and the port needs Keras 3: {INSTALL}")
if keras.backend.backend() != "tensorflow":
    raise CourseError(
        f"Keras runs on {keras.backend.backend()} here, and the port on TensorFlow: set the "
        "environment variable KERAS_BACKEND to tensorflow, and start Python again."
    )
with _quiet(), contextlib.suppress(RuntimeError):  # it is at work already, with its own settings
    tf.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")
    tf.config.list_logical_devices()  # starts TensorFlow, which remarks once more
