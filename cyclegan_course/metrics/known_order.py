"""Translators whose order of quality is known by construction: a test for metrics.

A metric is trusted because it ranks known-better above known-worse. Here the known order comes
from how the "translations" are made, from the sealed truth and growing damage, and from no metric.
All sets are of held-out scenes, so every function here opens the seal: for evaluation only.

Four kinds of ladder, each a dict of (N, 3, size, size) tensors in [-1, 1], best first:

- "main": content and style worsen together, so every honest metric should see it;
- "style": every scene is in its place, the look is wrong by degrees;
- "content": the look is right, a growing share of pictures shows another scene. The set as a whole
  stays the same, so a metric of distributions cannot see it;
- "diversity": ever fewer different pictures stand for all scenes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.metrics.fidelity import blur

KINDS = ("main", "style", "content", "diversity")
MAIN = (0.0, 0.08, 0.16, 0.28, 0.42, 0.58, 0.78, 1.0)
STYLE = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
CONTENT = (0.0, 0.1, 0.25, 0.4, 0.6, 0.8, 1.0)
DIVERSITY = (1, 1 / 2, 1 / 3, 1 / 4, 1 / 8, 1 / 16, 1 / 48)
_PAINTERS = 10_000  # seeds of other painters: k times this, far from the truth's own
_MOST_MOVED = 0.06  # of the side
_STAINS = 0.7  # deviation of the largest colour error, in units of the range [-1, 1]


def ladder(
    world: str,
    count: int = 48,
    size: int = 64,
    kind: str = "main",
    direction: str = "AB",
    start: int = 0,
) -> dict[str, Tensor]:
    """Sets of "translations" of held-out scenes `start` to `start + count - 1`, best first.

    The first set is the truth itself. `direction` "AB" or "BA". Deterministic.
    """
    source, truth = pairs(world, count, size, direction, start)
    if kind == "main":
        return {_percent("damage", t): damaged(truth, source, t) for t in MAIN}
    if kind == "style":
        return {_percent("wrong look", t): wrong_look(truth, t) for t in STYLE}
    if kind == "content":
        return {_percent("other scenes", share): shuffled(truth, share) for share in CONTENT}
    if kind == "diversity":
        numbers = (max(1, round(share * len(truth))) for share in DIVERSITY)
        return {f"{number} different": repeated(truth, number) for number in numbers}
    raise CourseError(f"There is no ladder {kind!r}: choose one of {', '.join(KINDS)}.")


def pairs(
    world: str, count: int, size: int, direction: str = "AB", start: int = 0
) -> tuple[Tensor, Tensor]:
    """Source and truth of held-out scenes: two tensors (count, 3, size, size) in [-1, 1]."""
    if direction not in ("AB", "BA"):
        raise CourseError(f'The direction is "AB" or "BA", not {direction!r}.')
    real_A, real_B = (
        pictures_to_tensor(side) for side in worlds.open_sealed_pairs(world, count, size, start)
    )
    return (real_A, real_B) if direction == "AB" else (real_B, real_A)


def reference(world: str, count: int, size: int, direction: str = "AB", start: int = 0) -> Tensor:
    """Pictures of the target domain of `count` other scenes, the ones after those of `ladder`."""
    return pictures_to_tensor(worlds.held_out(world, direction[1], count, size, start + count))


def damaged(truth: Tensor, source: Tensor, t: float) -> Tensor:
    """The truth at t = 0; towards t = 1 ever nearer to the input, and ever more stained and bent.

    (1 - t) truth + t source, plus smooth wrong colours, with everything moved a little from its
    place: the three grow together.
    """
    mixed = torch.lerp(truth, source, t)
    stained = (mixed + t * _STAINS * _smooth_noise(mixed.shape, 4, seed=1)).clamp(-1, 1)
    return _moved(stained, t * _MOST_MOVED)


def wrong_look(truth: Tensor, t: float) -> Tensor:
    """Blurred by up to 1/24 of the side, up to 60 % nearer to grey; nothing leaves its place."""
    if t == 0:
        return truth
    grey = truth.mean(dim=1, keepdim=True)
    return blur(torch.lerp(truth, grey, 0.6 * t), t * truth.shape[-1] / 24)


def shuffled(truth: Tensor, share: float) -> Tensor:
    """The same set, in which a share of the places (0 or at least 2) show each other's pictures."""
    count = round(share * len(truth))
    if share > 0:
        count = max(2, count)  # one place has nobody to change with
    places = torch.randperm(len(truth), generator=torch.Generator().manual_seed(2))[:count]
    pictures = truth.clone()
    pictures[places] = truth[places.roll(1)]
    return pictures


def repeated(truth: Tensor, different: int) -> Tensor:
    """As many pictures, of which only `different` differ: mode collapse by degrees."""
    count = len(truth)
    return truth[torch.arange(count) * different // count * count // different]


def painters(
    count: int = 48, size: int = 64, start: int = 0, numbers: tuple[int, ...] = (1, 2, 4, 8)
) -> dict[str, Tensor]:
    """The mean of ever more paintings of the same scenes by other painters, for world "painting".

    One other painting is as good an oil painting as the truth. The mean of many is no painting any
    more, since its strokes are blurred; but it is nearer to the truth at every pixel (the mean of k
    guesses with independent errors has the (1 + 1/k) / 2-th part of the squared error of one). So
    the order is best first for distributions, worst first for PSNR: perception against distortion
    (Blau and Michaeli 2018), by construction. Takes about a minute: `max(numbers)` paintings each.
    """
    photographs = worlds.held_out("painting", "A", count, size, start)
    sets, total = {}, torch.zeros(count, 3, size, size)
    for k in range(1, max(numbers) + 1):
        total += pictures_to_tensor(
            worlds.paint(each, _PAINTERS * k + i) for i, each in enumerate(photographs)
        )
        if k in numbers:
            sets["another painter" if k == 1 else f"mean of {k} painters"] = total / k
    return sets


def cheats(
    world: str,
    count: int = 48,
    size: int = 64,
    direction: str = "AB",
    start: int = 0,
    training: int = 200,
) -> dict[str, Tensor]:
    """What translators that do not translate give for the held-out scenes of `ladder`.

    - "copies its input": the input itself;
    - "ignores its input": training pictures of the target domain, whatever the input is;
    - "memorised the training set": the training picture of the target domain whose rough colours,
      after a blur, are nearest to the input's; both domains are compared in units of their own
      deviation.

    Each (count, 3, size, size) in [-1, 1]. `training` pictures of the target domain are known to
    the last two.
    """
    source, _ = pairs(world, count, size, direction, start)
    target = pictures_to_tensor(worlds.training_pictures(world, direction[1], training, size)[:])
    order = torch.randperm(training, generator=torch.Generator().manual_seed(3))
    distances = torch.cdist(_rough(source), _rough(target))
    return {
        "copies its input": source,
        "ignores its input": target[order.repeat(-(-count // training))[:count]],
        "memorised the training set": target[distances.argmin(dim=1)],
    }


def _percent(what: str, share: float) -> str:
    return "truth" if share == 0 else f"{what} {share:.0%}"


def _rough(images: Tensor) -> Tensor:
    """Colours of 8 x 8 blocks, in units of their own deviation over the set: (N, 192)."""
    small = F.interpolate(images, (8, 8), mode="bilinear", antialias=True).flatten(1)
    return (small - small.mean(0)) / small.std(0).clamp_min(1e-3)


def _smooth_noise(shape: torch.Size, cells: int, seed: int) -> Tensor:
    """Noise of deviation about 1 that changes over 1 / cells of the side: (N, C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(*shape[:2], cells, cells, generator=generator)
    smooth = F.interpolate(coarse, shape[-2:], mode="bicubic", align_corners=False)
    return smooth / smooth.std()


def _moved(images: Tensor, amount: float) -> Tensor:
    """Every place moved by about `amount` of the side, smoothly; `amount` 0 changes nothing."""
    if amount == 0:
        return images
    count = len(images)
    straight = torch.eye(2, 3).expand(count, 2, 3)
    grid = F.affine_grid(straight, list(images.shape), align_corners=False)
    bend = _smooth_noise(torch.Size((count, 2, *images.shape[-2:])), 4, seed=4)
    grid = grid + 2 * amount * bend.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
