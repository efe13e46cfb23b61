"""Some rows of a network's output, from the rows of the input that they depend on.

A span (first, last + 1) of rows is followed backwards through the modules to the rows of the input
that it needs; these go forwards through the same modules. Where a span touches the border of the
map the module's own padding is applied, and nowhere else.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cyclegan_course.errors import CourseError

Span = tuple[int, int]
Source = Callable[[Span], Tensor]  # the rows of a span of some map: (1, C, rows, W)


class FixedNorm(nn.Module):
    """(x - mean) / sqrt(var + eps) with statistics that are known already: (1, C, 1, 1) each."""

    def __init__(self, mean: Tensor, var: Tensor, eps: float) -> None:
        super().__init__()
        self.mean, self.scale = mean, torch.rsqrt(var + eps)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).mul_(self.scale)


def strips(height: int, rows: int) -> Iterator[Span]:
    """Spans of `rows` rows that follow each other from 0 to `height`; the last may be smaller."""
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def height_after(modules: Sequence[nn.Module], height: int) -> int:
    """Rows of the modules' output for an input of `height` rows."""
    for module in modules:
        height = _height_after(module, height)
    return height


def span_before(modules: Sequence[nn.Module], span: Span, height: int) -> Span:
    """The rows of the input, of `height` rows, that rows `span` of the output depend on."""
    return _spans(modules, span, height)[0]


def output_rows(modules: Sequence[nn.Module], piece: Tensor, span: Span, height: int) -> Tensor:
    """Rows `span` of `modules(x)`.

    Args:
        modules: reflection paddings, convolutions (transposed ones too) and what works on each
            pixel alone, in order.
        piece: rows `span_before(modules, span, height)` of x, (N, C, rows, W).
        span: rows of the output.
        height: rows of x.

    Raises CourseError for a module of another kind.
    """
    spans = _spans(modules, span, height)
    for module, have, want in zip(modules, spans, spans[1:], strict=False):
        piece = _apply(module, piece, have, want, height)
        height = _height_after(module, height)
    return piece


def _spans(modules: Sequence[nn.Module], span: Span, height: int) -> list[Span]:
    """The span before each module, and at the end the one of the output."""
    heights = [height]
    for module in modules:
        heights.append(_height_after(module, heights[-1]))
    spans = [span]
    for module, before in zip(reversed(modules), reversed(heights[:-1]), strict=True):
        spans.append(_span_before(module, spans[-1], before))
    return spans[::-1]


def _height_after(module: nn.Module, height: int) -> int:
    match module:
        case nn.ReflectionPad2d():
            return height + 2 * module.padding[2]
        case nn.Conv2d():
            kernel, stride, padding = _geometry(module)
            return (height + 2 * padding - kernel) // stride + 1
        case nn.ConvTranspose2d():
            kernel, stride, padding = _geometry(module)
            return (height - 1) * stride - 2 * padding + kernel + module.output_padding[0]
        case nn.ReLU() | nn.Tanh() | FixedNorm():
            return height
    raise CourseError(
        f"A picture cannot be translated in strips by a network with a {type(module).__name__}: "
        "set tile=0 and a lower working size."
    )


def _span_before(module: nn.Module, span: Span, height: int) -> Span:
    first, last = span[0], span[1] - 1
    match module:
        case nn.ReflectionPad2d():
            rows = [_mirrored(row - module.padding[2], height) for row in range(*span)]
            return min(rows), max(rows) + 1
        case nn.Conv2d():  # row o sees the rows o * stride - padding + (0 .. kernel - 1)
            kernel, stride, padding = _geometry(module)
            first, last = first * stride - padding, last * stride - padding + kernel - 1
        case nn.ConvTranspose2d():  # row i is added to the rows i * stride - padding + (0 ..)
            kernel, stride, padding = _geometry(module)
            first = -((kernel - 1 - padding - first) // stride)  # rounded up
            last = (last + padding) // stride
    return max(first, 0), min(last, height - 1) + 1


def _apply(module: nn.Module, x: Tensor, have: Span, want: Span, height: int) -> Tensor:
    match module:
        case nn.ReflectionPad2d():
            pad = module.padding[2]
            x = F.pad(x, (pad, pad, 0, 0), mode="reflect")
            rows = [_mirrored(row - pad, height) - have[0] for row in range(*want)]
            if rows == list(range(x.shape[2])):
                return x
            return x.index_select(2, torch.tensor(rows, device=x.device))
        case nn.Conv2d():
            kernel, stride, padding = _geometry(module)
            above = have[0] - (want[0] * stride - padding)
            below = (want[1] - 1) * stride - padding + kernel - have[1]
            x = F.pad(x, (0, 0, above, below))
            return F.conv2d(x, module.weight, module.bias, stride, (0, padding))
        case nn.ConvTranspose2d():
            start = want[0] - have[0] * module.stride[0]
            return module(x)[:, :, start : start + want[1] - want[0]]
    return module(x)


def _mirrored(row: int, height: int) -> int:
    return height - 1 - abs(height - 1 - abs(row))


def _geometry(module: nn.Conv2d | nn.ConvTranspose2d) -> tuple[int, int, int]:
    return module.kernel_size[0], module.stride[0], module.padding[0]
