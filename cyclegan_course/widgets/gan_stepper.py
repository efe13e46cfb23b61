"""A GAN on a line that is trained by hand, one press of a button for each step."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.losses import Adversarial, discriminator_loss, generator_loss
from cyclegan_course.plots.adversarial import stepper
from cyclegan_course.toys.clouds import mlp
from cyclegan_course.widgets.explore import explore

LOSSES: dict[str, Adversarial] = {
    "non-saturating": "non_saturating",
    "saturating": "vanilla",
    "LSGAN": "lsgan",
}
DATA_MEAN, DATA_STD = 1.5, 0.5


class LineGAN:
    """Data N(1.5, 0.5) on a line, G(z) = shift + exp(log_width) * z, and D a small network.

    G moves by plain gradient descent, so that its steps are as long as its slopes; D by Adam. z
    and the real points are 64 evenly spaced quantiles: nothing is random but D's first weights.

    Args:
        loss: a kind of `losses.generator_loss`.
        seed: of D's first weights.
    """

    rate_G = 0.05
    rate_D = 0.01

    def __init__(self, loss: Adversarial = "non_saturating", seed: int = 0) -> None:
        self.loss = loss
        self.D = mlp(1, 32, 32, 1, generator=torch.Generator().manual_seed(seed))
        self.shift = torch.tensor(-1.5, requires_grad=True)
        self.log_width = torch.tensor(-0.7, requires_grad=True)
        self.z = torch.special.ndtri((torch.arange(64) + 0.5) / 64)
        self.real = (DATA_MEAN + DATA_STD * self.z)[:, None]
        self._optimizer_D = torch.optim.Adam(self.D.parameters(), lr=self.rate_D)
        self._optimizer_G = torch.optim.SGD([self.shift, self.log_width], lr=self.rate_G)
        self.steps_D = self.steps_G = 0

    def fakes(self) -> Tensor:
        """Places of the fakes, (64,); gradients reach G."""
        return self.shift + self.log_width.exp() * self.z

    def step_D(self, steps: int = 1) -> None:
        """Let D learn from the present fakes, G held fast."""
        fakes = self.fakes().detach()[:, None]
        for _ in range(steps):
            loss = discriminator_loss(self.D(self.real), self.D(fakes), self.loss)
            self._optimizer_D.zero_grad()
            loss.backward()
            self._optimizer_D.step()
        self.steps_D += steps

    def step_G(self, steps: int = 1) -> None:
        """Let G follow the present D, D held fast."""
        for _ in range(steps):
            self._optimizer_G.zero_grad()
            generator_loss(self.D(self.fakes()[:, None]), self.loss).backward()
            self._optimizer_G.step()
        self.steps_G += steps

    def step_both(self, steps: int) -> None:
        """D and G in turn."""
        for _ in range(steps):
            self.step_D()
            self.step_G()

    def answers(self, x: Tensor) -> Tensor:
        """What D says at places x of shape (N,): 1 real, 0 fake. For LSGAN the raw score."""
        with torch.no_grad():
            score = self.D(x[:, None])[:, 0]
        return score if self.loss == "lsgan" else torch.sigmoid(score)

    def pushes(self) -> Tensor:
        """The way each fake is pushed: minus the slope of its own loss by its place, (64,)."""
        fakes = self.fakes().detach().requires_grad_()
        loss = len(fakes) * generator_loss(self.D(fakes[:, None]), self.loss)
        (slope,) = torch.autograd.grad(loss, fakes)
        return -slope


class _Game:
    """What the buttons change, and how it is drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.gan = LineGAN(seed=seed)

    def start_again(self) -> None:
        self.gan = LineGAN(self.gan.loss, self.seed)

    def follow(self, loss: str) -> LineGAN:
        """The present GAN; another loss starts afresh."""
        if LOSSES[loss] != self.gan.loss:
            self.gan = LineGAN(LOSSES[loss], self.seed)
        return self.gan

    def draw(self, loss: str) -> Figure:
        gan = self.follow(loss)
        x = torch.linspace(-4, 4, 321)
        shown = slice(3, None, 8)  # 8 of the 64 fakes
        with torch.no_grad():
            p_g = torch.exp(-0.5 * ((x - gan.shift) / gan.log_width.exp()) ** 2)
            fakes = gan.fakes()[shown]
        p_data = torch.exp(-0.5 * ((x - DATA_MEAN) / DATA_STD) ** 2)
        return stepper(x, p_data, p_g, gan.answers(x), fakes, gan.pushes()[shown], self.words(loss))

    def words(self, loss: str) -> str:
        gan = self.follow(loss)
        fakes = gan.fakes().detach()
        return (
            f"{loss}: D {gan.steps_D} steps, G {gan.steps_G} steps.  D(fakes) = "
            f"{gan.answers(fakes).mean():.3f}, mean push {gan.pushes().abs().mean():.4f}"
        )

    def alt(self, loss: str) -> str:
        centre = self.gan.fakes().detach().mean()
        return (
            f"A line with data around {DATA_MEAN} and fakes around {centre:.1f}, and the curve of "
            f"D. {self.words(loss)}"
        )


def gan_stepper(loss: str = "non-saturating", seed: int = 0) -> None:
    """Show a GAN on a line with buttons that step D and G.

    Without a kernel the first state is a plain picture.

    Args:
        loss: the one to begin with: "non-saturating", "saturating" or "LSGAN".
        seed: of D's first weights.

    Raises:
        CourseError: for another loss.
    """
    if loss not in LOSSES:
        raise CourseError(f"There is no loss {loss!r} here: choose one of {', '.join(LOSSES)}.")
    game = _Game(seed)
    explore(
        game.draw,
        game.alt,
        actions={
            "step D": lambda: game.gan.step_D(),
            "20 of D": lambda: game.gan.step_D(20),
            "step G": lambda: game.gan.step_G(),
            "20 of G": lambda: game.gan.step_G(20),
            "10 of both": lambda: game.gan.step_both(10),
            "start again": game.start_again,
        },
        start={"loss": loss},
        loss=list(LOSSES),
    )
