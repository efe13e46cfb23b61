"""Equal weights from two runs, on a GPU too."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic_mode(on: bool) -> Iterator[None]:
    """Within the block only algorithms that give the same bits each time, if `on`.

    An operation that has none raises. On leaving, everything is as it was before. Reflection
    padding has none on a GPU: `fast_step.FastStep` puts `networks.MirrorPad2d` in its place.
    """
    if not on:
        yield
        return
    # cuBLAS reads this when it is first used; without it two streams may share a workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_deterministic_debug_mode()
    chosen_by_time = torch.backends.cudnn.benchmark
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, nothing here reads it
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = chosen_by_time
        torch.set_deterministic_debug_mode(before)
