"""What is measured of every run of the laboratory, the same for all."""

from functools import cache

import torch

from cyclegan_course import metrics
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.laboratory.variants import checkerboard
from cyclegan_course.metrics.evaluation import Task

COUNT = 32  # held-out scenes


@cache
def tasks(world: str, size: int, count: int = COUNT) -> tuple[Task, Task]:
    """Open the seal: both directions of a world, with the offline features."""
    return metrics.tasks_of_world(world, count, size, metrics.load_features())


def scores(model: CycleGAN, world: str, size: int, count: int = COUNT) -> list[dict]:
    """One row a direction: "A to B", then "B to A".

    Keys: direction; psnr (dB), ssim, l1, blurred_psnr against the sealed truth; distance (sliced
    Wasserstein) and kid against other pictures of the target domain; correspondence, the share
    of translations nearest to their own scene; reconstruction, the mean absolute difference after
    both translations; checkerboard (see `variants.checkerboard`). A model whose pictures are not
    finite gets no numbers, but None.
    """
    rows = []
    for task, go, back in zip(
        tasks(world, size, count),
        (model.G_AB, model.G_BA),
        (model.G_BA, model.G_AB),
        strict=True,
    ):
        fake = metrics.evaluation.translated(go, task.source)
        rec = metrics.evaluation.translated(back, fake)
        row = dict.fromkeys(MEASURES)
        if torch.isfinite(fake).all() and torch.isfinite(rec).all():
            fake, rec = fake.clamp(-1, 1), rec.clamp(-1, 1)
            of_pictures = metrics.picture_scores(fake, task.truth)
            row = {
                name: of_pictures[name].mean().item()
                for name in ("psnr", "ssim", "l1", "blurred_psnr")
            } | {
                "distance": metrics.sliced_wasserstein(fake, task.reference),
                "kid": metrics.kernel_distance(task.features(fake), task.reference_features),
                "correspondence": metrics.correspondence(fake, task.truth),
                "reconstruction": metrics.l1(rec, task.source).item(),
                "checkerboard": checkerboard(fake),
            }
        rows.append({"direction": task.direction} | row)
    return rows


MEASURES = (
    "psnr",
    "ssim",
    "l1",
    "blurred_psnr",
    "distance",
    "kid",
    "correspondence",
    "reconstruction",
    "checkerboard",
)
