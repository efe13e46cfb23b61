"""Tiles that go through the network alone, to see why they do not fit together.

`tiles` is what to use; this module is what to compare it with, and how to measure a seam.
"""

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cyclegan_course.errors import CourseError
from cyclegan_course.translate.rows import FixedNorm
from cyclegan_course.translate.tiles import is_norm


def blended_tiles(
    net: nn.Module, x: Tensor, tile: int, overlap: int = 32, blend: bool = True
) -> Tensor:
    """Overlapping square tiles, each through the network alone; the usual way.

    Args:
        net: maps (1, 3, h, w) to the same shape.
        x: (1, 3, H, W); H, W, `tile` and `overlap` suit the network's halvings.
        tile: side in pixels; where the picture is smaller, a tile has its side.
        overlap: pixels that neighbours share, less than `tile`.
        blend: fade from one tile to the next over the overlap; otherwise cut in its middle.

    Returns (1, 3, H, W). Raises CourseError for an overlap that leaves nothing of a tile.
    """
    if not 0 <= overlap < tile:
        raise CourseError(
            f"Tiles of {tile} pixels cannot overlap by {overlap}: choose a smaller overlap."
        )
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for rows, row_weight in _along(x.shape[2], tile, overlap, blend):
        for columns, column_weight in _along(x.shape[3], tile, overlap, blend):
            weight = (row_weight[:, None] * column_weight).to(x)
            total[..., rows, columns] += net(x[..., rows, columns]) * weight
            weights[..., rows, columns] += weight
    return total / weights


def tile_edges(length: int, tile: int, overlap: int = 32) -> list[int]:
    """Where neighbouring tiles meet along a side: the middles of their overlaps, in pixels."""
    starts = _starts(length, tile, overlap)
    return [(start + before + tile) // 2 for before, start in itertools.pairwise(starts)]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of the tiles; the last tile ends with the picture, whatever it overlaps."""
    step, last = tile - overlap, max(length - tile, 0)
    return [*range(0, last, step), last]


def _along(length: int, tile: int, overlap: int, blend: bool) -> Iterator[tuple[slice, Tensor]]:
    """Each tile's pixels along one side, and their weights."""
    starts = _starts(length, tile, overlap)
    edges = [0, *tile_edges(length, tile, overlap), length]
    for i, start in enumerate(starts):
        pixels = torch.arange(start, min(start + tile, length), dtype=torch.float64) + 0.5
        if not blend or overlap == 0:
            weight = ((pixels > edges[i]) & (pixels < edges[i + 1])).double()
        else:
            inside = torch.minimum(pixels - start, start + tile - pixels)
            weight = (inside / overlap).clamp(max=1)
        yield slice(start, start + len(pixels)), weight


def with_statistics_of(net: nn.Module, x: Tensor) -> nn.Module:
    """A copy of the network whose instance norms keep the statistics that they have for x.

    With those of a reduced copy of a picture, tiles fit together, but the result is not that of
    the whole picture: a reduced copy has other statistics.
    """
    net = copy.deepcopy(net)
    found: dict[str, FixedNorm] = {}

    def note(name: str, norm: nn.Module, inputs: tuple[Tensor]) -> None:
        var, mean = torch.var_mean(inputs[0], dim=(2, 3), correction=0, keepdim=True)
        found[name] = FixedNorm(mean, var, norm.eps)

    for name, module in net.named_modules():
        if is_norm(module):
            module.register_forward_pre_hook(
                lambda norm, inputs, name=name: note(name, norm, inputs)
            )
    net(x)
    for name, norm in found.items():
        parent, _, last = name.rpartition(".")
        setattr(net.get_submodule(parent), last, norm)
    return net


def seam_visibility(picture: Tensor, rows: list[int], columns: list[int]) -> float:
    """How much larger the steps across the seams are than those beside them; 1 means no seam.

    A step is the mean absolute difference of a row (column) to the one before. Those across the
    seams are divided by those at 4 to 8 pixels' distance, so that what the picture shows there
    counts on both sides.

    Args:
        picture: (1, 3, H, W).
        rows, columns: the first row (column) after each seam.
    """
    across, beside = [], []
    for dim, edges in ((2, rows), (3, columns)):
        steps = picture.diff(dim=dim).abs().mean(dim=(0, 1, 5 - dim)).double()
        for edge in edges:
            across.append(steps[edge - 1])
            near = [edge - 1 + shift * side for shift in range(4, 9) for side in (-1, 1)]
            beside += [steps[i] for i in near if 0 <= i < len(steps)]
    if not across:
        return 1.0
    return float(torch.stack(across).mean() / torch.stack(beside).mean().clamp(min=1e-12))
