"""Networks small enough to compute by hand, to check answers that take networks."""

import torch
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN


class Line(nn.Module):
    """x -> scale * x + shift, two numbers that are trained like those of any network.

    Args:
        scale, shift: to begin with.
        colours: average over the channels first, as a discriminator's scores have one channel.

    Shapes: any -> the same, or (N, C, H, W) -> (N, 1, H, W) with `colours`.
    """

    def __init__(self, scale: float, shift: float = 0.0, colours: bool = False) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.tensor(value)) for value in (scale, shift))
        self.colours = colours

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x.mean(dim=1, keepdim=True) if self.colours else x) + self.shift

    def __repr__(self) -> str:
        return f"{self.scale.item():.3g}x{self.shift.item():+.3g}"


class FourLines(CycleGAN):
    """A line in the place of each of the four networks."""

    def __init__(self, G_AB: Line, G_BA: Line, D_A: Line, D_B: Line) -> None:
        nn.Module.__init__(self)
        self.G_AB, self.G_BA, self.D_A, self.D_B = G_AB, G_BA, D_A, D_B

    def __repr__(self) -> str:
        return ", ".join(f"{name}(x) = {net!r}" for name, net in self.named_children())
