"""Those who watch a run: each is told what happens and shows it in its own way."""

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan_course.images import save_picture, tensor_to_picture


class Watcher:
    """Is told what happens in a run; the base class shows nothing.

    The training calls these methods from its own thread, between steps. A watcher that sets
    `stop_requested` ends the run after the step.
    """

    stop_requested: bool = False

    def begin(self, title: str, progress: float) -> None:
        """The run starts, or goes on, with this share of it (0 to 1) already done."""

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        """About twice a second: step, seconds and every loss term by name."""

    def samples(self, grid: Tensor, step: int) -> None:
        """A grid of held-out pictures, (3, H, W) in [-1, 1]."""

    def measures(self, row: dict[str, float]) -> None:
        """Measures of held-out pictures: step, seconds and values by name."""

    def say(self, sentence: str) -> None:
        """Something a person should know; printed when it is the first of all watchers."""

    def end(self) -> None:
        """The run is over, in whatever way."""


class ProgressBar(Watcher):
    """A tqdm bar: share done, time left, steps, images per second, losses."""

    BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"

    def begin(self, title: str, progress: float) -> None:
        self.bar = tqdm(total=100, initial=100 * progress, desc=title, bar_format=self.BAR)

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        cycle = row["cycle_A"] + row["cycle_B"]
        self.bar.set_postfix_str(
            f" step {row['step']}, {images_per_second:.1f} images/s, "
            f"G {row['G_AB']:.2f} {row['G_BA']:.2f}, cycle {cycle:.2f}, "
            f"D {row['D_A']:.2f} {row['D_B']:.2f}",
            refresh=False,
        )
        self.bar.n = round(100 * progress, 1)
        self.bar.refresh()

    def end(self) -> None:
        self.bar.close()


class SampleFiles(Watcher):
    """Writes each sample grid to `samples/` in the run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def samples(self, grid: Tensor, step: int) -> None:
        save_picture(tensor_to_picture(grid), self.folder / "samples" / f"step_{step:07d}.png")


class OnSample(Watcher):
    """Hands each sample grid and its step to a function."""

    def __init__(self, function) -> None:
        self.function = function

    def samples(self, grid: torch.Tensor, step: int) -> None:
        self.function(grid, step)
