"""What the experiments of chapter 8 put in the place of a part of the recipe."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course import losses
from cyclegan_course.cyclegan import (
    CycleGAN,
    GeneratorLosses,
    Objective,
    Translations,
    generator_losses,
    training_step,
)
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.recipe import small_generator
from cyclegan_course.networks import ResnetGenerator

Step = Callable[..., dict[str, Tensor]]
TERMS = ("G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B")  # of `generator_losses`


def step_with(form: GeneratorLosses) -> Step:
    """The training step with another form of the generators' losses."""
    return partial(training_step, generator_losses=form)


def weighted(**weights: float) -> Step:
    """The step with some of the generators' terms multiplied: `weighted(G_AB=0, G_BA=0)`.

    Terms by the names of `cyclegan.generator_losses`; a weight of 0 leaves the term out of the
    training, and it is still in the record as 0.

    Raises:
        CourseError: a name is that of no term.
    """
    unknown = weights.keys() - TERMS
    if unknown:
        raise CourseError(f"No term is called {min(unknown)!r}: choose of {', '.join(TERMS)}.")

    def form(
        model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
    ) -> tuple[dict[str, Tensor], Translations]:
        terms, made = generator_losses(model, real_A, real_B, objective)
        return {name: weights.get(name, 1.0) * term for name, term in terms.items()}, made

    return step_with(form)


def noisy_cycle(sigma: float, seed: int = 0) -> Step:
    """The step with Gaussian noise on the fakes before they are translated back.

    A message in small differences of brightness does not survive it, so hiding one no longer pays.
    The discriminators see the fakes without noise. Each call makes a step with its own stream,
    which goes on from one training to the next: for equal weights make a new step.

    Args:
        sigma: standard deviation in units of the range [-1, 1]; 1/255 of the range is 0.0078.
    """
    generator = torch.Generator().manual_seed(seed)

    def disturbed(fake: Tensor) -> Tensor:
        return fake + sigma * torch.randn(fake.shape, generator=generator)

    def form(
        model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
    ) -> tuple[dict[str, Tensor], Translations]:
        clean, made = generator_losses(model, real_A, real_B, objective)
        rec_A = model.G_BA(disturbed(made.fake_B))
        rec_B = model.G_AB(disturbed(made.fake_A))
        cycle = {
            "cycle_A": objective.lambda_cycle * losses.cycle_consistency_loss(rec_A, real_A),
            "cycle_B": objective.lambda_cycle * losses.cycle_consistency_loss(rec_B, real_B),
        }
        return clean | cycle, made._replace(rec_A=rec_A, rec_B=rec_B)

    return step_with(form)


class ResizeConv2d(nn.Sequential):
    """Enlarge twofold, then convolve: every output pixel is covered by equally many weights.

    Odena et al. 2016. Shapes: (N, C, H, W) -> (N, out, 2H, 2W).

    Args:
        mode: "nearest" or "bilinear".
    """

    def __init__(self, channels: int, out: int, mode: str) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode=mode),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, out, 3),
        )


class ShuffleConv2d(nn.Sequential):
    """Convolve to four times as many channels, then lay them out as blocks of 2 x 2 pixels.

    Shi et al. 2016. Shapes: (N, C, H, W) -> (N, out, 2H, 2W).
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.ReflectionPad2d(1), nn.Conv2d(channels, 4 * out, 3), nn.PixelShuffle(2))


def transposed_4(channels: int, out: int) -> nn.Module:
    """A transposed convolution whose kernel, 4, is a multiple of its stride."""
    return nn.ConvTranspose2d(channels, out, kernel_size=4, stride=2, padding=1)


def generator_with(
    make_upsampling: Callable[[int, int], nn.Module], make: Callable[[], ResnetGenerator]
) -> ResnetGenerator:
    """A generator with its transposed convolutions replaced.

    Args:
        make_upsampling: from the numbers of channels before and after to a layer.
        make: builds the generator.
    """
    net = make()
    for place, layer in enumerate(net.layers):
        if isinstance(layer, nn.ConvTranspose2d):
            net.layers[place] = make_upsampling(layer.in_channels, layer.out_channels)
    return net


def small_generator_with(make_upsampling: Callable[[int, int], nn.Module]) -> Callable:
    return partial(generator_with, make_upsampling, small_generator)


def checkerboard(images: Tensor, window: int = 8) -> float:
    """How strongly pictures alternate from pixel to pixel, like the fields of a chess board.

    Mean over windows of |mean of (-1)^(row + column) x|: texture and edges nearly cancel within a
    window, a regular pattern adds up. (N, C, H, W) -> a number in units of the pictures' range.
    """
    rows, columns = (torch.arange(n) for n in images.shape[-2:])
    signs = 1.0 - 2.0 * ((rows[:, None] + columns) % 2)
    return F.avg_pool2d(images * signs, window).abs().mean().item()
