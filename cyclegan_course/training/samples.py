"""What a run shows and measures of its held-out pictures while it goes on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.utils import make_grid

from cyclegan_course import metrics
from cyclegan_course.datasets import Source, middle_square
from cyclegan_course.images import pictures_to_tensor

# Pictures per domain behind each measure during a run: enough to see a trend, quick to translate.
MEASURED = 24


@torch.no_grad()
def sample_grid(
    generators: dict[str, nn.Module], source: Source, device: torch.device, columns: int = 6
) -> Tensor:
    """Rows: A, A to B, there and back; B, B to A, there and back. (3, H, W) in [-1, 1].

    The first held-out pictures of each domain, at most `columns`; their middle square is shown.
    With G_AB alone: A, A to B.
    """
    rows: list[Tensor] = []
    columns = min(columns, len(source.test_A), len(source.test_B))
    reals = _squares(source.test_A[:columns], source.test_B[:columns], device)
    ways = zip(reals, ("G_AB", "G_BA"), ("G_BA", "G_AB"), strict=True)
    for real, there, back in ways:
        if there in generators:
            fake = _translate(generators[there], real)
            rows += [real, fake]
            rows += [_translate(generators[back], fake)] if back in generators else []
    cells = torch.cat(rows).float().cpu()
    return make_grid(cells, nrow=columns, padding=2, pad_value=1.0)


@torch.no_grad()
def measure_held_out(
    generators: dict[str, nn.Module], source: Source, device: torch.device
) -> dict[str, float]:
    """Measures that need no truth, of up to `MEASURED` held-out pictures of each domain.

    Returns:
        distance_AB, distance_BA: sliced Wasserstein distance of the translations to the pictures
        of the target domain. reconstruction_A, reconstruction_B: mean |there and back - start|,
        in [0, 1] as `metrics.l1`. With G_AB alone distance_AB alone. One picture of each domain
        is enough. The distance between smaller sets is larger, so follow it through a run, and
        compare no runs on other pictures.
    """
    values: dict[str, float] = {}
    squares = _squares(source.test_A[:MEASURED], source.test_B[:MEASURED], device)
    reals = dict(zip("AB", squares, strict=True))
    for start, goal in ("AB", "BA"):
        there, back = f"G_{start}{goal}", f"G_{goal}{start}"
        if there not in generators:
            continue
        fake = _translate(generators[there], reals[start])
        values[f"distance_{start}{goal}"] = metrics.sliced_wasserstein(fake, reals[goal])
        if back in generators:
            rec = _translate(generators[back], fake)
            values[f"reconstruction_{start}"] = float(metrics.l1(rec, reals[start]))
    return values


def score(measures: dict[str, float], best: str) -> float:
    """One number from `measure_held_out`, lower is better: the mean of its directions."""
    chosen = [value for name, value in measures.items() if name.startswith(best)]
    return sum(chosen) / len(chosen)


def _squares(
    A: Sequence[np.ndarray], B: Sequence[np.ndarray], device: torch.device
) -> tuple[Tensor, Tensor]:
    # Every generator takes multiples of 8. One side for all: the smallest picture's.
    side = min(min(picture.shape[:2]) for picture in (*A, *B)) // 8 * 8
    both = (
        pictures_to_tensor(middle_square(picture, side) for picture in pictures)
        for pictures in (A, B)
    )
    squares_A, squares_B = (squares.to(device) for squares in both)
    return squares_A, squares_B


def _translate(generator: nn.Module, pictures: Tensor) -> Tensor:
    # One by one: a batch of large pictures would not fit where the training does.
    return torch.cat([generator(picture[None]) for picture in pictures])
