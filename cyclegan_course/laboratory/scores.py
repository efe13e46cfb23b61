"""What is measured of every run of the laboratory, the same for all."""

from functools import cache

import torch

from cyclegan_course import metrics
from cyclegan_course.cut import CUT
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.laboratory.variants import checkerboard
from cyclegan_course.metrics.evaluation import Task

COUNT = 32  # held-out scenes


@cache
def tasks(world: str, size: int, count: int = COUNT, start: int = 0) -> tuple[Task, Task]:
    """Open the seal: both directions of a world, with the offline features."""
    return metrics.tasks_of_world(world, count, size, metrics.load_features(), start)


def scores(
    model: CycleGAN | CUT, world: str, size: int, count: int = COUNT, start: int = 0
) -> list[dict]:
    """One row a direction: "A to B", then "B to A"; of CUT the first alone.

    Keys: direction; psnr (dB), ssim, l1, blurred_psnr against the sealed truth; distance (sliced
    Wasserstein) and kid against other pictures of the target domain; correspondence, the share
    of translations nearest to their own scene; reconstruction, the mean absolute difference after
    both translations (CUT has none); checkerboard (see `variants.checkerboard`). A model whose
    pictures are not finite gets no numbers, but None.
    """
    rows = []
    G_AB, G_BA = model.G_AB, getattr(model, "G_BA", None)
    ways = zip(tasks(world, size, count, start), (G_AB, G_BA), (G_BA, G_AB), strict=True)
    for task, go, back in ways:
        if go is None:
            continue
        fake = metrics.evaluation.translated(go, task.source)
        rec = None if back is None else metrics.evaluation.translated(back, fake)
        row = dict.fromkeys(MEASURES)
        if torch.isfinite(fake).all() and (rec is None or torch.isfinite(rec).all()):
            fake = fake.clamp(-1, 1)
            of_pictures = metrics.picture_scores(fake, task.truth)
            row = {
                name: of_pictures[name].mean().item()
                for name in ("psnr", "ssim", "l1", "blurred_psnr")
            } | {
                "distance": metrics.sliced_wasserstein(fake, task.reference),
                "kid": metrics.kernel_distance(task.features(fake), task.reference_features),
                "correspondence": metrics.correspondence(fake, task.truth),
                "reconstruction": (
                    None if rec is None else metrics.l1(rec.clamp(-1, 1), task.source).item()
                ),
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
