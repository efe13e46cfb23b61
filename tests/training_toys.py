"""Training runs that cost next to nothing, for the tests of the trainer."""

from pathlib import Path

import torch

from cyclegan_course.images import save_picture
from cyclegan_course.training import Config, Run, train
from cyclegan_course.training.watching import Watcher

CPU = torch.device("cpu")
# A step takes a few milliseconds.
TINY = {
    "size": 24,
    "load_size": 26,
    "n_blocks": 1,
    "ngf": 2,
    "ndf": 2,
    "edge_kernel": 3,
    "n_layers": 1,
    "pool_size": 3,
    "precision": "float32",
    "compile": "off",
    "lr": 1e-3,
}


def write_pictures(folder: Path) -> Path:
    """Fill a folder with three pictures of noise for each of trainA, trainB, testA and testB."""
    generator = torch.Generator().manual_seed(0)
    for name in ("trainA", "trainB", "testA", "testB"):
        for i in range(3):
            pixels = torch.randint(0, 256, (30, 26, 3), generator=generator, dtype=torch.uint8)
            save_picture(pixels.numpy(), folder / name / f"{i}.png")
    return folder


def run_it(config: Config, folder: Path | None = None, **options) -> Run:
    return train(config, folder, device=CPU, progress=False, **options)


def assert_same_weights(one: Run, other: Run) -> None:
    others = other.model.state_dict()
    assert all(torch.equal(value, others[key]) for key, value in one.model.state_dict().items())


class StopAfter(Watcher):
    """Presses the stop button after some steps; the losses have to be logged at each step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def losses(self, row, progress, images_per_second) -> None:
        self.stop_requested = row["step"] >= self.steps
