"""Huge pictures in strips, with the same result as in one piece.

An instance norm takes its mean and its variance over the whole map. A tile that goes through the
network alone has statistics of its own: a tile of sky gets another contrast and another colour
than its neighbour of trees, and the seam shows, however far the tiles overlap (`seams` does that,
to compare).

So the picture does not go through the network tile by tile, but through *each convolution* strip
by strip. While the strips of a convolution's result are made, their mean and variance are added
up; after the last one those of the whole map are known, and the next convolution can start. A
strip reads the few rows beyond its edges that its convolution needs, so no edge is guessed, and at
the border of the picture the network's own padding is applied.

Between two convolutions a whole map has to wait. The large ones are never kept: they are computed
again, on the way down from the picture, on the way up from the innermost map, which costs a few
hundredths of the arithmetic. Of the innermost maps two are kept, what goes around a residual block
and what goes through it, each of `4 * ngf / 2**n_down` bytes a pixel of the picture: in memory
while they are small, else in a temporary file.

A strip has the whole width of the picture: its rows lie together in the file, and the edges run in
one direction only.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import torch
from torch import Tensor, nn

from cyclegan_course.errors import CourseError
from cyclegan_course.networks import LayoutInstanceNorm, ResnetBlock, ResnetGenerator
from cyclegan_course.translate.rows import (
    FixedNorm,
    Source,
    Span,
    height_after,
    output_rows,
    span_before,
    strips,
)

IN_MEMORY = 2**29  # bytes of kept maps; what is larger waits in a temporary file


def translate_in_strips(
    net: ResnetGenerator, x: Tensor, rows: int, in_memory: int = IN_MEMORY
) -> Tensor:
    """`net(x)` up to rounding, for a picture whose maps do not fit into memory.

    Args:
        net: a generator whose norms are instance norms without parameters.
        x: (1, 3, H, W), H and W multiples of `2**n_down`, on any device: strips of it are moved
            to the network's, and the result is put together beside it.
        rows: height of a strip in pixels, from 1. The result does not depend on it.
        in_memory: bytes up to which the kept maps stay in memory.

    Returns (1, 3, H, W). Raises CourseError for another kind of network, and where the temporary
    file finds no room.
    """
    head, blocks, tail = _parts(net)
    device = next(net.parameters()).device
    height, width = x.shape[2:]
    inner = height_after(_convolutions(head), height)
    shape = (inner, width * inner // height, _channels(head))
    in_file = 2 * x.element_size() * shape[0] * shape[1] * shape[2] > in_memory

    def cut(level: int) -> list[Span]:
        """The strips of a map of `level` rows."""
        return list(strips(level, max(1, rows * level // height)))

    def picture(span: Span) -> Tensor:
        return x[:, :, slice(*span)].to(device)

    with contextlib.ExitStack() as stack, torch.inference_mode():
        around, through = (
            stack.enter_context(_KeptMap(shape, x.dtype, device, in_file)) for _ in range(2)
        )
        # Down. The last norm's statistics are those of the map that is kept.
        *head, last_norm, activation = head
        head = _fix_norms(head, picture, height, cut)
        norm = _fill(through, head, last_norm, picture, height, cut)
        source = _after(through.read, norm, activation)
        for block in blocks:
            source = _block(block, source, around, through, cut)
        # Up.
        tail = _fix_norms(tail, source, inner, cut)
        result = x.new_empty(1, _channels(tail), height, width)
        for span in cut(height):
            piece = source(span_before(tail, span, inner))
            result[:, :, slice(*span)] = output_rows(tail, piece, span, inner)
        return result


Cut = Callable[[int], list[Span]]


def _block(
    block: ResnetBlock, source: Source, around: "_KeptMap", through: "_KeptMap", cut: Cut
) -> Source:
    """x + F(x) of a residual block, where x is in `around` and F's last convolution in `through`.

    The source of the first block reads `through`, which the block's first convolution writes.
    """
    inputs, height = source, around.height
    piece: list[nn.Module] = []
    for module in block.residual:
        if not is_norm(module):
            piece.append(module)
            continue
        norm = _fill(
            through, piece, module, inputs, height, cut, around if inputs is source else None
        )
        inputs, piece = _after(through.read, norm), []
    return lambda span: around.read(span) + inputs(span)


def _fill(
    kept: "_KeptMap",
    modules: Sequence[nn.Module],
    norm: nn.Module,
    source: Source,
    height: int,
    cut: Cut,
    inputs: "_KeptMap | None" = None,
) -> FixedNorm:
    """Write `modules(source)` to `kept`; returns the norm that follows, with its statistics.

    With `inputs`, what the source gives is written there. The source may read the same maps, so
    a strip is written only when the next one, which needs some of its old rows, has been read.
    """
    statistics = _Statistics()
    late: list[tuple[_KeptMap, Span, Tensor]] = []
    for span in cut(height_after(modules, height)):
        needed = span_before(modules, span, height)
        piece = source(needed)
        for old, place, rows in late:
            old.write(place, rows)
        result = output_rows(modules, piece, span, height)
        statistics.add(result)
        late = [(kept, span, result)]
        if inputs is not None:
            late.append((inputs, span, piece[:, :, span[0] - needed[0] : span[1] - needed[0]]))
    for old, place, rows in late:
        old.write(place, rows)
    return statistics.norm(norm)


def _fix_norms(
    modules: Sequence[nn.Module], source: Source, height: int, cut: Cut
) -> list[nn.Module]:
    """The modules with each norm's statistics measured: one pass through those before it."""
    fixed: list[nn.Module] = []
    for module in modules:
        if is_norm(module):
            statistics = _Statistics()
            for span in cut(height_after(fixed, height)):
                piece = source(span_before(fixed, span, height))
                statistics.add(output_rows(fixed, piece, span, height))
            module = statistics.norm(module)
        fixed.append(module)
    return fixed


def _after(source: Source, *modules: nn.Module) -> Source:
    """The rows of a source after modules that work on each pixel alone."""
    return lambda span: nn.Sequential(*modules)(source(span))


class _Statistics:
    """Mean and variance of a map, from its strips.

    Two sets are joined by the formula of Chan, Golub and LeVeque (1979), in double precision:
    sums of squares would lose the variance of a channel whose mean is large.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, strip: Tensor) -> None:
        """Join the pixels of (1, C, rows, W)."""
        exact = strip if strip.dtype == torch.float64 else strip.float()
        var, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        var, mean = var.cpu().double(), mean.cpu().double()  # not every device has doubles
        self.device, self.dtype = exact.device, exact.dtype
        count = strip.shape[2] * strip.shape[3]
        total = self.count + count
        step = mean - self.mean
        self.squares = self.squares + var * count + step**2 * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count = total

    def norm(self, like: nn.Module) -> FixedNorm:
        """The instance norm `like` with these statistics, (1, C, 1, 1) each."""
        mean, var = self.mean, self.squares / self.count
        mean, var = (t.to(self.dtype).to(self.device) for t in (mean, var))
        return FixedNorm(mean, var, like.eps)


class _KeptMap:
    """A map (1, C, H, W) that is written and read by rows, in memory or in a temporary file.

    The channels of a pixel lie together, so rows are one piece of the file, and what is read has
    the layout `channels_last`.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device, in_file: bool
    ) -> None:
        self.height, *self.row_shape = shape  # H, (W, C)
        self.dtype, self.device = dtype, device
        self.row_bytes = self.row_shape[0] * self.row_shape[1] * dtype.itemsize
        self.file = tempfile.TemporaryFile() if in_file else None  # noqa: SIM115
        self.rows = None if in_file else torch.empty(shape, dtype=dtype)

    def __enter__(self) -> "_KeptMap":
        return self

    def __exit__(self, *_error: object) -> None:
        self.rows = None
        if self.file is not None:
            with contextlib.suppress(OSError):  # writing what is left, on a full disk
                self.file.close()  # which removes it

    def write(self, span: Span, strip: Tensor) -> None:
        """Write the rows of a span, (1, C, rows, W)."""
        rows = strip[0].permute(1, 2, 0)
        if self.file is None:
            self.rows[slice(*span)] = rows
            return
        with self._at(span) as file:
            file.write(rows.to("cpu", self.dtype).contiguous().numpy())

    def read(self, span: Span) -> Tensor:
        """The rows of a span, (1, C, rows, W), on the network's device."""
        if self.file is None:
            rows = self.rows[slice(*span)]
        else:
            rows = torch.empty(span[1] - span[0], *self.row_shape, dtype=self.dtype)
            with self._at(span) as file:
                file.readinto(rows.numpy())
        return rows.permute(2, 0, 1)[None].to(self.device)

    @contextlib.contextmanager
    def _at(self, span: Span) -> Iterator[BinaryIO]:
        """The file at a span's place; reading may have to write first."""
        try:
            self.file.seek(span[0] * self.row_bytes)
            yield self.file
        except OSError as error:
            need = 2 * self.height * self.row_bytes / 1e9
            raise CourseError(
                f"The temporary files of a picture this large need {need:.1f} GB in "
                f"{tempfile.gettempdir()}, and cannot be written there ({error.strerror}): choose "
                "a lower working size, or set TMPDIR to a folder on a larger disk."
            ) from error


def _parts(
    net: nn.Module,
) -> tuple[list[nn.Module], list[ResnetBlock], list[nn.Module]]:
    """The modules down to the innermost map, the residual blocks, and the modules up from it."""
    norms = [module for module in net.modules() if is_norm(module)]
    with_parameters = any(getattr(norm, "affine", False) for norm in norms)
    if not isinstance(net, ResnetGenerator) or not norms or with_parameters:
        raise CourseError(
            "Only a ResnetGenerator whose norms are instance norms without parameters translates "
            "pictures in strips: set tile=0 and a lower working size."
        )
    layers = list(net.layers)
    up = (ResnetBlock, nn.ConvTranspose2d, nn.ReflectionPad2d)
    first = next(i for i, layer in enumerate(layers) if i and isinstance(layer, up))
    blocks = [layer for layer in layers if isinstance(layer, ResnetBlock)]
    return layers[:first], blocks, layers[first + len(blocks) :]


def is_norm(module: nn.Module) -> bool:
    """Whether the module takes its statistics from the whole map."""
    return isinstance(module, nn.InstanceNorm2d | LayoutInstanceNorm)


def _convolutions(modules: Sequence[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if not is_norm(module)]


def _channels(modules: Sequence[nn.Module]) -> int:
    """Channels of the modules' output."""
    return [m for m in modules if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1].out_channels
