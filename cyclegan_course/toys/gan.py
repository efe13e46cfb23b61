"""Small GANs, small enough to see whole: one number against one number, and clouds in the plane.

`point_gan_path` is the Dirac-GAN of Mescheder, Geiger and Nowozin, "Which Training Methods for GANs
do actually Converge?", ICML 2018. `train_on_ring` trains several GANs with different seeds at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.losses import Adversarial, discriminator_loss, generator_loss
from cyclegan_course.toys.clouds import ManyMLPs, ring_centres

# One number against one number ------------------------------------------------------------------


def point_gan_gradients(
    theta: Tensor, psi: Tensor, *, penalty: float = 0.0, noise: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Slopes of the two losses of the point GAN: by theta for G, by psi for D.

    All data lie at 0 and all fakes at theta; D's score of a point x is psi * x. The losses are
    those of the minimax game: D minimises softplus(score of the fake) + softplus(-score of the
    data), and G minimises -softplus(score of the fake).

    Args:
        theta, psi: any shape, the same for both.
        penalty: gamma of the R1 penalty gamma/2 * |dD/dx|^2 at the data, which is gamma/2 * psi^2.
        noise: deviation of the normal noise that is added to data and fakes before D sees them.

    Returns:
        dL_G/dtheta and dL_D/dpsi, of the shape of theta.
    """
    # Evenly spaced quantiles stand for the noise, so that nothing here is random.
    quantiles = torch.linspace(0.005, 0.995, 100, dtype=theta.dtype)
    shift = noise * torch.special.ndtri(quantiles) if noise else torch.zeros(1, dtype=theta.dtype)
    fake, real = theta[..., None] + shift, shift
    score_fake, score_real = psi[..., None] * fake, psi[..., None] * real
    slope_G = -(psi[..., None] * torch.sigmoid(score_fake)).mean(-1)
    slope_D = (fake * torch.sigmoid(score_fake)).mean(-1)
    slope_D = slope_D - (real * torch.sigmoid(-score_real)).mean(-1)
    return slope_G, slope_D + penalty * psi


def point_gan_path(
    steps: int,
    *,
    start: tuple[float, float] = (1.0, 0.0),
    rate: float = 0.1,
    alternating: bool = True,
    momentum: float = 0.0,
    penalty: float = 0.0,
    noise: float = 0.0,
) -> Tensor:
    """Gradient descent of both players of the point GAN: float64 (steps + 1, 2), theta and psi.

    Args:
        steps: of both players.
        start: theta and psi at the beginning.
        rate: the learning rate of both.
        alternating: G answers the D that has just moved; otherwise both move at once.
        momentum: share of its last move that a player adds to the next one.
        penalty, noise: see `point_gan_gradients`.
    """
    theta, psi = torch.tensor(start, dtype=torch.float64)
    move_G = move_D = torch.zeros((), dtype=torch.float64)
    path = [torch.stack([theta, psi])]
    for _ in range(steps):
        slope_G, slope_D = point_gan_gradients(theta, psi, penalty=penalty, noise=noise)
        move_D = momentum * move_D - rate * slope_D
        psi = psi + move_D
        if alternating:
            slope_G, _ = point_gan_gradients(theta, psi, penalty=penalty, noise=noise)
        move_G = momentum * move_G - rate * slope_G
        theta = theta + move_G
        path.append(torch.stack([theta, psi]))
    return torch.stack(path)


# Clouds in the plane ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How a GAN on the ring is trained.

    Args:
        loss: a kind of `losses.discriminator_loss`.
        rate_G, rate_D: learning rates of Adam.
        beta1: Adam's memory of past gradients; 0.9 is Adam's default, 0.5 that of CycleGAN.
        penalty: gamma of the R1 penalty gamma/2 * |dD/dx|^2 at the data (Mescheder et al. 2018).
        noise: deviation of normal noise on everything that D sees.
        batch_spread: whether D sees, beside each point, how widely its batch is spread
            (a simple form of minibatch discrimination; Karras et al. 2018, section 3).
    """

    loss: Adversarial = "non_saturating"
    rate_G: float = 1e-3
    rate_D: float = 1e-3
    beta1: float = 0.9
    penalty: float = 0.0
    noise: float = 0.0
    batch_spread: bool = False


@dataclass(frozen=True)
class RingRun:
    """What `train_on_ring` found.

    Args:
        points: by step, 2000 fakes of each run: float32 (runs, 2000, 2).
        modes: covered by each run at the end: int64 (runs,).
        good: share of good points of each run at the end: float32 (runs,).
    """

    points: dict[int, Tensor]
    modes: Tensor
    good: Tensor


STD = 0.1  # of each of the eight Gaussians


def train_on_ring(
    recipe: Recipe,
    *,
    runs: int = 8,
    steps: int = 1000,
    batch: int = 128,
    width: int = 64,
    snapshots: Sequence[int] = (),
    seed: int = 0,
) -> RingRun:
    """Train GANs on a ring of eight Gaussians (radius 2, deviation `STD`), several runs at once.

    G turns 2 normal numbers into a point, D a point into a score; both have two hidden layers.

    Args:
        recipe: loss, rates and cures.
        runs: GANs that differ in first weights and in all that is drawn.
        steps: of each player.
        batch: real points and fakes in each step.
        width: of the hidden layers.
        snapshots: steps after which fakes are kept, beside those at the end.
        seed: of everything random.

    Raises:
        CourseError: if there is no run or no step.
    """
    if runs < 1 or steps < 1:
        raise CourseError(f"{runs} runs of {steps} steps cannot be trained: give at least 1 of 1.")
    random = torch.Generator().manual_seed(seed)
    G = ManyMLPs(2, width, width, 2, generators=[random] * runs)
    seen = 3 if recipe.batch_spread else 2
    D = ManyMLPs(seen, width, width, 1, generators=[random] * runs)
    betas = (recipe.beta1, 0.999)
    optimizer_G = torch.optim.Adam(G.parameters(), lr=recipe.rate_G, betas=betas)
    optimizer_D = torch.optim.Adam(D.parameters(), lr=recipe.rate_D, betas=betas)

    def normal(count: int) -> Tensor:
        return torch.randn(runs, count, 2, generator=random)

    def score(points: Tensor) -> Tensor:
        if recipe.noise:
            points = points + recipe.noise * normal(batch)
        return D(with_batch_spread(points) if recipe.batch_spread else points)

    kept = {}
    for step in range(1, steps + 1):
        centre = torch.randint(8, (runs, batch), generator=random)
        real = (ring_centres()[centre] + STD * normal(batch)).requires_grad_(recipe.penalty > 0)
        fake = G(normal(batch))

        # The losses are means over all runs; `runs *` makes of them the sum of each run's own mean.
        score_real = score(real)
        loss_D = runs * discriminator_loss(score_real, score(fake.detach()), recipe.loss)
        if recipe.penalty:
            loss_D = loss_D + recipe.penalty / 2 * runs * _squared_slope(score_real, real)
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()

        D.requires_grad_(False)
        optimizer_G.zero_grad()
        (runs * generator_loss(score(fake), recipe.loss)).backward()
        optimizer_G.step()
        D.requires_grad_(True)

        if step in snapshots or step == steps:
            with torch.no_grad():
                kept[step] = G(normal(2000))
    modes, good = ring_quality(kept[steps])
    return RingRun(kept, modes, good)


def with_batch_spread(points: Tensor) -> Tensor:
    """A third number beside each point: the deviation of its batch, mean of both coordinates.

    Shapes: (runs, N, 2) -> (runs, N, 3).
    """
    spread = points.std(1, keepdim=True, correction=0).mean(2, keepdim=True)
    return torch.cat([points, spread.expand(-1, points.shape[1], 1)], dim=2)


def ring_quality(points: Tensor, std: float = STD, share: float = 0.02) -> tuple[Tensor, Tensor]:
    """How much of the ring is covered, and how many points lie where data lie.

    A point is good if it is nearer than 3 deviations to one of the eight centres. A mode is covered
    if at least 2 % of all points are good ones of that mode; a broad cloud of normal noise, which
    knows nothing of the ring, has 0.8 % in each.

    Args:
        points: (..., N, 2).
        std: deviation of each mode.
        share: of all points that a covered mode has, 0.02 for 2 %.

    Returns:
        Modes covered, int64 of shape (...), and the share of good points, float32 of shape (...).
    """
    distance, nearest = torch.cdist(points, ring_centres()).min(-1)
    good = distance < 3 * std
    of_mode = good[..., None] & (nearest[..., None] == torch.arange(8))
    covered = (of_mode.float().mean(-2) >= share).sum(-1)
    return covered, good.float().mean(-1)


def _squared_slope(score: Tensor, points: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(score.sum(), points, create_graph=True)
    return slope.square().sum(-1).mean()
