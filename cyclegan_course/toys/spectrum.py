"""How much of a picture repeats every two pixels: the trace that a checkerboard leaves."""

import torch
from torch import Tensor


def power_spectrum(pictures: Tensor) -> Tensor:
    """Mean power of pictures at every frequency, frequency 0 in the middle.

    Each picture's mean is removed and a Hann window fades it out towards its border: otherwise the
    jump from the right border to the left one, and from bottom to top, would count as detail.

    Shapes: (N, C, H, W) -> (H, W). Row i stands for the frequency (i - H // 2) / H in periods a
    pixel, and row 0, for even H, for one period in two pixels, the highest there is.
    """
    height, width = pictures.shape[-2:]
    window = torch.outer(
        torch.hann_window(height, dtype=pictures.dtype),
        torch.hann_window(width, dtype=pictures.dtype),
    )
    # The weighted mean: with it the power at frequency 0 is 0.
    mean = (pictures * window).sum((-2, -1), keepdim=True) / window.sum()
    power = torch.fft.fft2((pictures - mean) * window).abs().square().mean((0, 1))
    return torch.fft.fftshift(power)


def checkerboard_peak(power: Tensor) -> float:
    """How far the checkerboard stands out of a spectrum.

    A checkerboard has a period of two pixels along the rows and along the columns: one corner of
    the spectrum. The power there is divided by the median of the frequencies three to five steps
    away. About 1 means that nothing stands out.

    Args:
        power: from `power_spectrum`, with even height and width of at least 16.
    """
    height, width = power.shape
    steps = torch.arange(-5, 6)
    ring = (steps[:, None].abs().maximum(steps.abs()) >= 3).flatten()
    near = power[(steps % height)[:, None], steps % width].flatten()[ring]
    return float(power[0, 0] / near.median())
