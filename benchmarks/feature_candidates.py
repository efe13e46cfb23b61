"""The candidates for the offline features, for `feature_choice.py`.

Untrained random networks, a small trained network, and parts of the course's statistics. Each maps
(N, 3, H, W) in [-1, 1] to (N, D), in units of its deviation over one fixed set of pictures.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import adjust_hue

from cyclegan_course import worlds
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.metrics.features import load_features
from cyclegan_course.metrics.picture_statistics import names, picture_statistics

SIZE = 64
SCENES = 40  # of each look
WIDTHS = (16, 32, 64, 64)
TRAINING_STEPS = 1500
Features = Callable[[Tensor], Tensor]


def candidates(seed: int = 0) -> Iterator[tuple[str, Features]]:
    """Name and features of each candidate; the trained one takes some minutes."""
    pictures, looks = _pictures()
    chosen = {
        "statistics: colours": _only("mean", "contrast", "skewness", " with ", " at "),
        "statistics: detail": _only("detail", "sparseness", "edges"),
        "random, 1 layer": _random((48,), seed),
        "random, 3 layers": _random((16, 32, 48), seed),
        "random, 5 layers": _random((16, 32, 48, 64, 64), seed),
        f"trained, {len(WIDTHS)} layers": trained(pictures, looks, seed),
    }
    yield "course: all statistics", load_features()
    for name, features in chosen.items():
        yield name, _in_units(features, pictures)


def _pictures() -> tuple[Tensor, Tensor]:
    """Training pictures of every look, (N, 3, 64, 64), and the number of their look, (N,)."""
    found = [
        picture_to_tensor(worlds.render(world, 20_000 + 2 * SCENES * look + scene, domain, SIZE))
        for look, (world, domain) in enumerate(worlds.LOOKS)
        for scene in range(SCENES)
    ]
    return torch.stack(found), torch.arange(len(worlds.LOOKS)).repeat_interleave(SCENES)


def _only(*words: str) -> Features:
    columns = [i for i, name in enumerate(names()) if any(word in name for word in words)]
    return lambda images: picture_statistics(images)[:, columns]


def _in_units(features: Features, pictures: Tensor) -> Features:
    with torch.no_grad():
        deviation, mean = torch.std_mean(features(pictures), dim=0)
    alive = deviation > 1e-4 * deviation.max()  # a random unit may never fire
    return lambda images: ((features(images) - mean) / deviation)[:, alive]


def _network(widths: tuple[int, ...]) -> nn.ModuleList:
    """Blocks of a 3x3 convolution with stride 2, norm and ReLU."""
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, padding_mode="reflect"),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )
        for before, after in zip((3, *widths), widths, strict=False)
    )


def _pooled(blocks: nn.ModuleList, images: Tensor) -> Tensor:
    """The mean of every channel of every block: (N, sum of the widths)."""
    found = []
    for block in blocks:
        images = block(images)
        found.append(images.mean(dim=(2, 3)))
    return torch.cat(found, dim=1)


def _random(widths: tuple[int, ...], seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    blocks = _network(widths).eval().requires_grad_(False)
    for convolution, *_ in blocks:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(convolution.bias)
    return lambda images: _pooled(blocks, images)


def trained(pictures: Tensor, looks: Tensor, seed: int, steps: int = TRAINING_STEPS) -> Features:
    """A network that has learned to tell the looks, and which damage a picture has and how much.

    The damages are other ones than those of the ladders that judge it.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        blocks = _network(WIDTHS)
        heads = nn.ModuleList(
            nn.Linear(sum(WIDTHS), n) for n in (len(worlds.LOOKS), len(_DAMAGES), 1)
        )
        parameters = [*blocks.parameters(), *heads.parameters()]
        optimizer = torch.optim.Adam(parameters)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
        for _ in range(steps):
            images, targets, kinds, amounts = _damaged_batch(pictures, looks)
            look, kind, amount = (head(_pooled(blocks, images)) for head in heads)
            loss = F.cross_entropy(look, targets) + F.cross_entropy(kind, kinds)
            loss = loss + 2 * F.mse_loss(amount[:, 0], amounts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    blocks.eval().requires_grad_(False)
    return lambda images: _pooled(blocks, images)


def _damaged_batch(pictures: Tensor, looks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """40 pictures: four damages, ten pictures each."""
    images, targets, kinds, amounts = [], [], [], []
    for kind in torch.randint(len(_DAMAGES), (4,)).tolist():
        chosen = torch.randint(len(pictures), (10,))
        amount = torch.rand(()).item() if kind else 0.0
        images.append(_DAMAGES[kind](pictures[chosen], amount).clamp(-1, 1))
        targets.append(looks[chosen])
        kinds += [kind] * 10
        amounts += [amount] * 10
    return torch.cat(images), torch.cat(targets), torch.tensor(kinds), torch.tensor(amounts)


def _pixels(x: Tensor, t: float) -> Tensor:
    side = round(SIZE / (1.2 + 3 * t))
    return F.interpolate(F.interpolate(x, (side, side), mode="area"), x.shape[-2:])


def _checkerboard(x: Tensor, t: float) -> Tensor:
    rows, columns = torch.meshgrid(*map(torch.arange, x.shape[-2:]), indexing="ij")
    return x + (0.03 + 0.3 * t) * ((rows + columns) % 2 * 2 - 1)


def _contrast(x: Tensor, t: float) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    return mean + (x - mean) * (1.1 + t)


_DAMAGES: tuple[Callable[[Tensor, float], Tensor], ...] = (
    lambda x, t: x,
    lambda x, t: adjust_hue((x + 1) / 2, 0.04 + 0.4 * t) * 2 - 1,
    lambda x, t: ((x + 1) / 2).clamp_min(1e-3) ** (1.1 + t) * 2 - 1,
    _contrast,
    _pixels,
    _checkerboard,
    lambda x, t: x.lerp(x.roll(1, 0), 0.05 + 0.4 * t),  # the ghost of another picture
)
