"""Two clouds of points with a hidden pairing, and a CycleGAN between them.

Domain A is a small ring of six clumps, domain B a larger ring around it. Clump k of A belongs to
clump k of B, straight outwards; training never sees this. Points stand where pictures stand in the
real thing, and everything else is the same: two generators, two discriminators, LSGAN.

One run says little, so many are trained at once. A layer holds the weights of all runs, and a batch
has the shape (runs, N, 2). The runs share nothing: each has its own weights and its own points.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course import losses
from cyclegan_course.cyclegan import frozen
from cyclegan_course.toys.clouds import ManyMLPs, ring_centres

CLUMPS = 6
RADIUS_A, RADIUS_B = 1.0, 2.0
STD = 0.05

Terms = Mapping[str, Tensor]


def centres(domain: str) -> Tensor:
    """The centres of the clumps of domain "A" or "B": float32 (6, 2). Row k of both is a pair."""
    return ring_centres(CLUMPS, {"A": RADIUS_A, "B": RADIUS_B}[domain])


def draw(domain: str, runs: int, count: int, generator: torch.Generator) -> Tensor:
    """Unpaired points of a domain, for every run its own: float32 (runs, count, 2)."""
    clump = torch.randint(CLUMPS, (runs, count), generator=generator)
    return centres(domain)[clump] + STD * torch.randn(runs, count, 2, generator=generator)


def held_out(each: int = 20, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs with the seal open, to measure with.

    Returns:
        real_A (6 * each, 2), the true partners of these points in B, with the same shape, and the
        number of the clump of each pair, int64 (6 * each,).
    """
    generator = torch.Generator().manual_seed(seed)
    clump = torch.arange(CLUMPS).repeat_interleave(each)
    offset = STD * torch.randn(len(clump), 2, generator=generator)
    return centres("A")[clump] + offset, centres("B")[clump] + offset, clump


def clumps_reached(fake_B: Tensor) -> int:
    """How many of the six clumps of B are the nearest one of some point. fake_B: (N, 2)."""
    return len(torch.cdist(fake_B, centres("B")).argmin(dim=1).unique())


def cloud_distance(points: Tensor, cloud: Tensor) -> float:
    """Mean distance to the nearest point of the other cloud, over both clouds (Chamfer distance).

    Shapes (N, 2) and (M, 2). It knows no pairing, and is 0 for equal clouds in any order.
    """
    distances = torch.cdist(points, cloud)
    both = distances.min(dim=1).values.mean() + distances.min(dim=0).values.mean()
    return both.item() / 2


def interval_of_mean(
    values: Sequence[float], level: float = 0.95, draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Where the mean lies, with this confidence: the bootstrap's percentile interval (Efron 1979).

    Of the values, as many are drawn with replacement as there are, again and again; the interval
    holds the middle 95 % of the means of these samples. If all values are equal it is one point.
    """
    generator = np.random.default_rng(seed)
    means = generator.choice(np.asarray(values), (draws, len(values))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class NearIdentity(ManyMLPs):
    """x + f(x), where the last layer of f begins with a tenth of its weights.

    At the start such a network returns nearly what it is given.
    """

    def __init__(self, *widths: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(*widths, generators=generators)
        self.weights[-1].data /= 10

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class CloudGAN(nn.Module):
    """Two generators and two discriminators of points, for each seed its own four networks.

    The names are those of `cyclegan.CycleGAN`. Discriminators return (runs, N, 1).
    """

    def __init__(
        self, seeds: Sequence[int], width: int = 48, starts_at_identity: bool = False
    ) -> None:
        super().__init__()
        self.runs = len(seeds)

        def generators(number: int) -> list[torch.Generator]:
            # One for each run, and no two networks share one: a run depends on its seed alone.
            return [torch.Generator().manual_seed(4 * seed + number) for seed in seeds]

        kind = NearIdentity if starts_at_identity else ManyMLPs
        self.G_AB = kind(2, width, width, 2, generators=generators(0))
        self.G_BA = kind(2, width, width, 2, generators=generators(1))
        self.D_A = ManyMLPs(2, width, width, 1, generators=generators(2))
        self.D_B = ManyMLPs(2, width, width, 1, generators=generators(3))


def train_clouds(
    generator_terms: Callable[[CloudGAN, Tensor, Tensor], Terms],
    seeds: Sequence[int] = range(12),
    *,
    starts_at_identity: bool = False,
    steps: int = 600,
    batch: int = 32,
    learning_rate: float = 4e-3,
) -> CloudGAN:
    """Train one CloudGAN for each seed, all at once.

    Each step is that of `cyclegan.training_step` without the image pool: the generators, then the
    discriminators. Adam with betas (0.5, 0.99), the learning rate falls to 0 from half-way on.

    Args:
        generator_terms: takes the model and a batch of both domains, (runs, batch, 2), and gives
            the terms by name whose sum the generators make small.
        seeds: one run for each.
    """
    model = CloudGAN(seeds, starts_at_identity=starts_at_identity)
    generators = [*model.G_AB.parameters(), *model.G_BA.parameters()]
    discriminators = [*model.D_A.parameters(), *model.D_B.parameters()]
    optimizers = [
        torch.optim.Adam(parameters, lr=learning_rate, betas=(0.5, 0.99), fused=True)
        for parameters in (generators, discriminators)
    ]
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / steps))
        for optimizer in optimizers
    ]
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        real_A, real_B = (draw(domain, model.runs, batch, random) for domain in "AB")
        with frozen(discriminators):
            loss_G = sum(generator_terms(model, real_A, real_B).values())
            _step(optimizers[0], loss_G * model.runs)  # a mean over runs becomes their sum
        with torch.no_grad():
            fake_A, fake_B = model.G_BA(real_B), model.G_AB(real_A)
        loss_D = losses.discriminator_loss(model.D_A(real_A), model.D_A(fake_A))
        loss_D = loss_D + losses.discriminator_loss(model.D_B(real_B), model.D_B(fake_B))
        _step(optimizers[1], 0.5 * loss_D * model.runs)
        for schedule in schedules:
            schedule.step()
    return model.requires_grad_(False)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
