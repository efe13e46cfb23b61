"""Statistics of colour and texture: features of a picture that need no download and no training.

Each picture is described by the numbers that texture synthesis has found to matter (Heeger and
Bergen 1995; Portilla and Simoncelli 2000), in a small choice: what its colours are and where they
lie, and how much detail of each size and direction it holds. Nothing here knows what a horse is:
these features see colours, strokes, noise and blur, not objects.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 4  # sizes of detail: each level's pixels are twice as large as those of the one before
GRID = 2  # places of rough colours a side
# Luma, blue and red difference of BT.601, of RGB in [-1, 1].
_OPPONENT = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
_CHANNELS = ("luma", "blue", "red")
_DIRECTIONS = ("across", "down", "falling", "rising")
_LEAST = 1 / 255  # a step of 8 bits: fainter detail than half of it is taken for none
_SMALLEST_SIDE = 4


def names() -> list[str]:
    """A name for each feature, in the order of `picture_statistics`."""
    found = [f"mean {c}" for c in _CHANNELS] + [f"contrast {c}" for c in _CHANNELS]
    found += [f"skewness {c}" for c in _CHANNELS]
    found += ["luma with blue", "luma with red", "blue with red"]
    found += [f"{c} at {row},{column}" for c in _CHANNELS for row, column in _places()]
    for level in range(LEVELS):
        found += [f"detail {level} {c}" for c in _CHANNELS]
        found += [f"sparseness {level} {c}" for c in _CHANNELS]
        found += [f"edges {level} {direction}" for direction in _DIRECTIONS]
    return found


def picture_statistics(images: Tensor) -> Tensor:
    """(N, 3, H, W) in [-1, 1], at least 16 pixels a side, to (N, D); D = len(names()).

    Colours: mean, log of the deviation and skewness of the luma and both colour differences, their
    correlations, and the mean colours of the four quarters. Details, for each of four levels of a
    Laplacian pyramid (`wasserstein.laplacian_pyramid`): log of the mean absolute value, its
    distance to the log of the root mean square (zero for a flat texture, large for few strong
    edges), and log of the mean absolute luma difference in four directions.
    """
    weights = torch.tensor(_OPPONENT, dtype=images.dtype, device=images.device)
    picture = torch.einsum("dc,nchw->ndhw", weights, images)
    return torch.cat([*_colours(picture), *_details(picture)], dim=1)


class PictureStatistics(nn.Module):
    """The statistics, each in units of its deviation over a fixed set of pictures.

    `mean` and `deviation` (D,) belong to that set; the result has about mean 0 and deviation 1
    there, so no feature counts more than another.
    """

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, images: Tensor) -> Tensor:
        return (picture_statistics(images) - self.mean) / self.deviation


def _colours(picture: Tensor) -> list[Tensor]:
    mean = picture.mean(dim=(2, 3), keepdim=True)
    deviation = (picture - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
    # Five steps of 8 bits keep the noise of a flat picture from looking like a shape.
    standard = (picture - mean) / (deviation + 5 * _LEAST)
    pairs = [
        (standard[:, a] * standard[:, b]).mean(dim=(1, 2)) for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    return [
        mean.flatten(1),
        _log(deviation.flatten(1)),
        standard.pow(3).mean(dim=(2, 3)),
        torch.stack(pairs, dim=1),
        F.adaptive_avg_pool2d(picture, GRID).flatten(1),
    ]


def _details(picture: Tensor) -> list[Tensor]:
    found = []
    for _ in range(LEVELS):
        sides = picture.shape[-2:]
        half = [max(_SMALLEST_SIDE, side // 2) for side in sides]
        small = F.interpolate(picture, half, mode="bilinear", antialias=True)
        band = picture - F.interpolate(small, sides, mode="bilinear")
        strength = _log(band.abs().mean(dim=(2, 3)))
        root_mean_square = _log(band.square().mean(dim=(2, 3)).sqrt())
        found += [strength, root_mean_square - strength, _edges(picture[:, 0])]
        picture = small
    return found


def _edges(luma: Tensor) -> Tensor:
    """(N, H, W) to (N, 4): log of the mean absolute difference of neighbours in each direction."""
    steps = (
        luma[:, :, 1:] - luma[:, :, :-1],
        luma[:, 1:] - luma[:, :-1],
        luma[:, 1:, 1:] - luma[:, :-1, :-1],
        luma[:, 1:, :-1] - luma[:, :-1, 1:],
    )
    return _log(torch.stack([step.abs().mean(dim=(1, 2)) for step in steps], dim=1))


def _log(values: Tensor) -> Tensor:
    return (values + _LEAST).log()


def _places() -> list[tuple[int, int]]:
    return [(row, column) for row in range(GRID) for column in range(GRID)]
