"""Exercises of chapter 2: sizes, fields and layers of the PatchGAN discriminator."""

import numpy as np
import torch
from torch import nn

from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.networks import count_parameters, init_weights

# (kernel, stride, padding) of each convolution.
SEVENTY = [(4, 2, 1)] * 3 + [(4, 1, 1)] * 2

# 2.1 ------------------------------------------------------------------------------------------


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many numbers a convolution returns along one side.

    Args:
        size: pixels (or cells) along the side of the input.
        kernel: side of the kernel.
        stride: step from one place of the kernel to the next.
        padding: zeros that are added at each of the two ends.

    Returns:
        How many places there are where the whole kernel fits. A last step that would lead beyond
        the end is not taken.
    """
    return (size + 2 * padding - kernel) // stride + 1


def _output_size_cases() -> list[tuple]:
    return [(256, 4, 2, 1), (32, 4, 1, 1), (9, 4, 2, 1), (7, 3, 2, 0), (10, 4, 3, 2)]


def _output_size_drawn(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for fits in (True, False, False, False):  # whether the last step ends at the very end
        stride, kernel, padding = rng.integers([2, 2, 1], [5, 8, 4]).tolist()
        rest = 0 if fits else int(rng.integers(1, stride))
        way = int(rng.integers(5, 60)) * stride + rest
        cases.append((way + kernel - 2 * padding, kernel, stride, padding))
    return cases


def _rounds_up(size, kernel, stride, padding):
    return -(-(size + 2 * padding - kernel) // stride) + 1


def _forgets_the_first_place(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride


def _pads_one_end(size, kernel, stride, padding):
    return (size + padding - kernel) // stride + 1


def _divides_the_size(size, kernel, stride, padding):
    return size // stride


def _keeps_the_fraction(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) / stride + 1


def _ignores_the_stride(size, kernel, stride, padding):
    return size + 2 * padding - kernel + 1


register(
    Exercise(
        number="2.1",
        title="output size of a convolution",
        reference=output_size,
        cases=_output_size_cases,
        drawn_cases=_output_size_drawn,
        hints=(
            "With padding, the kernel slides over size + 2 * padding numbers. How far can its "
            "left end move from the first place to the last one?",
            "It can move by size + 2 * padding - kernel. How many whole steps of `stride` fit "
            "into that way? The operator // divides and drops the rest.",
            "The number of places is the number of steps + 1, for the place where it starts.",
        ),
        mistakes={
            "rounds up": Mistake(
                _rounds_up,
                "A last step that does not fit is counted. The kernel must lie inside the padded "
                "input as a whole, so round down: //.",
            ),
            "forgets the first place": Mistake(
                _forgets_the_first_place,
                "You counted the steps. The kernel stands somewhere before its first step too: "
                "add 1.",
            ),
            "pads one end": Mistake(
                _pads_one_end,
                "Padding is added at both ends, so the input grows by 2 * padding.",
            ),
            "divides the size": Mistake(
                _divides_the_size,
                "size // stride happens to be right for a 4x4 kernel with stride 2 and padding 1 "
                "and an even size. In general the kernel and the padding count too.",
            ),
            "keeps the fraction": Mistake(
                _keeps_the_fraction,
                "There is no half cell: / leaves a fraction where the last step does not fit. "
                "Use //, which drops it.",
            ),
            "ignores the stride": Mistake(
                _ignores_the_stride,
                "This counts every place. With a stride of 2, every second one is left out.",
            ),
        },
    )
)

# 2.2 ------------------------------------------------------------------------------------------


def field_size(convolutions: list[tuple[int, int]]) -> int:
    """How many pixels along one side a single output of a chain of convolutions sees.

    Args:
        convolutions: (kernel, stride) of each layer, the one that sees the picture first.

    Returns:
        The side of the receptive field in pixels.
    """
    field = 1
    for kernel, stride in reversed(convolutions):
        field = (field - 1) * stride + kernel
    return field


def _field_size_cases() -> list[tuple]:
    return [
        ([(4, 2)],),
        ([(4, 2), (4, 1)],),
        ([(3, 1), (5, 3), (2, 2)],),
        ([(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)],),
    ]


def _draw_layers(rng: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    """(kernel, stride, padding) of a chain whose first layer has a stride of 2 or 3.

    No stride is larger than its kernel, so that no pixel in between is left out.
    """
    layers = [tuple(rng.integers([3, 1, 1], [7, 4, 3]).tolist()) for _ in range(count)]
    kernel, _, padding = layers[0]
    return [(kernel, int(rng.integers(2, 4)), padding), *layers[1:]]


def _field_size_drawn(rng: np.random.Generator) -> list[tuple]:
    chains = [_draw_layers(rng, count) for count in (2, 3, 4)]
    return [([(kernel, stride) for kernel, stride, _ in chain],) for chain in chains]


def _walks_forward(convolutions):
    field = 1
    for kernel, stride in convolutions:
        field = (field - 1) * stride + kernel
    return field


def _adds_the_kernels(convolutions):
    return sum(kernel for kernel, _ in convolutions)


def _ignores_strides(convolutions):
    return 1 + sum(kernel - 1 for kernel, _ in convolutions)


def _counts_overlap_twice(convolutions):
    field = 1
    for kernel, stride in reversed(convolutions):
        field = field * stride + kernel
    return field


def _multiplies_kernels(convolutions):
    field = 1
    for kernel, _ in convolutions:
        field *= kernel
    return field


def _uses_its_own_stride(convolutions):
    field, step = 1, 1
    for kernel, stride in convolutions:
        step *= stride
        field += (kernel - 1) * step
    return field


register(
    Exercise(
        number="2.2",
        title="receptive field of a chain",
        reference=field_size,
        cases=_field_size_cases,
        drawn_cases=_field_size_drawn,
        hints=(
            "Begin at the end. One output of the last layer sees `kernel` numbers of the layer "
            "before. How many numbers does that stretch see, one layer further down?",
            "Neighbours are `stride` apart. A stretch of `field` of them begins at some place, "
            "and the last one begins (field - 1) * stride later and is `kernel` long.",
            "for kernel, stride in reversed(convolutions): field = (field - 1) * stride + kernel",
        ),
        mistakes={
            "walks forward": Mistake(
                _walks_forward,
                "The rule is right, but it is applied from the first layer on. It walks back from "
                "one output to the pixels, so it needs reversed(convolutions).",
            ),
            "adds the kernels": Mistake(
                _adds_the_kernels,
                "The kernels are added. Neighbouring kernels overlap, and behind a stride of 2 "
                "they stand two pixels apart: both must be counted.",
            ),
            "ignores strides": Mistake(
                _ignores_strides,
                "This is right if every stride is 1. Behind a stride of 2, neighbouring numbers "
                "stand two pixels apart, so the same kernel covers a longer stretch.",
            ),
            "field instead of field - 1": Mistake(
                _counts_overlap_twice,
                "From the first to the last of `field` neighbours there are field - 1 steps, not "
                "`field`: the stretch is (field - 1) * stride + kernel long.",
            ),
            "multiplies the kernels": Mistake(
                _multiplies_kernels,
                "The kernels are multiplied, as if neighbours saw disjoint pixels. They overlap: "
                "the stretch grows by the stride from one to the next, not by the kernel.",
            ),
            "uses its own stride": Mistake(
                _uses_its_own_stride,
                "Each layer is spread by its own stride. The stride of a layer spreads the "
                "layers *after* it: add (kernel - 1) * step first, then update the step.",
            ),
        },
    )
)

# 2.3 ------------------------------------------------------------------------------------------


def discriminator_layers(in_channels: int, ndf: int) -> nn.Sequential:
    """The 70x70 PatchGAN as one plain chain of layers.

    Five convolutions, all with a 4x4 kernel, padding 1 and a bias:

        strides          2,   2,       2,       1,       1
        output channels  ndf, 2 * ndf, 4 * ndf, 8 * ndf, 1

    nn.InstanceNorm2d follows the second, third and fourth convolution. nn.LeakyReLU(0.2) comes
    after the first convolution and after each norm. The last convolution's numbers are the scores.

    Args:
        in_channels: colour channels of the picture.
        ndf: output channels of the first convolution.

    Returns:
        The chain: (N, in_channels, H, W) -> (N, 1, h, w).
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, ndf, kernel_size=4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(ndf, 2 * ndf, kernel_size=4, stride=2, padding=1),
        nn.InstanceNorm2d(2 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * ndf, 4 * ndf, kernel_size=4, stride=2, padding=1),
        nn.InstanceNorm2d(4 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4 * ndf, 8 * ndf, kernel_size=4, stride=1, padding=1),
        nn.InstanceNorm2d(8 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8 * ndf, 1, kernel_size=4, stride=1, padding=1),
    )


def _discriminator_cases() -> list[tuple]:
    return [(3, 2), (1, 3)]


def _discriminator_drawn(rng: np.random.Generator) -> list[tuple]:
    return [tuple(rng.integers([1, 4], [6, 8]).tolist()) for _ in range(2)]


def _score(answer, in_channels, ndf):
    """What a learner can compare: size of the map, number of parameters, and the scores.

    Weights and input are the same for every answer that has the same convolutions in order.
    """
    net = answer(in_channels, ndf)
    if is_blank(net):
        return net
    if not isinstance(net, nn.Module):
        raise TypeError(f"the function returns a {type(net).__name__}, not an nn.Sequential")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, in_channels, 48, 40, generator=generator)
    with torch.no_grad():
        scores = init_weights(net, std=0.3, generator=generator)(x)
    height, width = scores.shape[-2:]
    return {
        "map of 48 x 40 pixels": f"{height} x {width}",
        "parameters": count_parameters(net),
        "scores": scores,
    }


def _chain(  # the layers of the reference, with one thing changed
    in_channels,
    ndf,
    strides=(2, 2, 2, 1, 1),
    activation=lambda: nn.LeakyReLU(0.2),
    norm=nn.InstanceNorm2d,
    first_norm=False,
    last=(),
):
    widths = [ndf * 2**level for level in range(len(strides) - 1)]
    layers, before = [], in_channels
    for level, width in enumerate(widths):
        layers.append(nn.Conv2d(before, width, 4, strides[level], 1))
        if level > 0 or first_norm:
            layers.append(norm(width))
        layers.append(activation())
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 4, strides[-1], 1), *last)


def _strides_four_times(in_channels, ndf):
    return _chain(in_channels, ndf, strides=(2, 2, 2, 2, 1))


def _leaves_out_the_fourth(in_channels, ndf):
    return _chain(in_channels, ndf, strides=(2, 2, 2, 1))


def _uses_relu(in_channels, ndf):
    return _chain(in_channels, ndf, activation=nn.ReLU)


def _uses_default_slope(in_channels, ndf):
    return _chain(in_channels, ndf, activation=nn.LeakyReLU)


def _normalises_the_first(in_channels, ndf):
    return _chain(in_channels, ndf, first_norm=True)


def _uses_batch_norm(in_channels, ndf):
    return _chain(in_channels, ndf, norm=nn.BatchNorm2d)


def _leaves_out_the_norms(in_channels, ndf):
    return _chain(in_channels, ndf, norm=lambda _: nn.Identity())


def _ends_with_sigmoid(in_channels, ndf):
    return _chain(in_channels, ndf, last=(nn.Sigmoid(),))


register(
    Exercise(
        number="2.3",
        title="the layers of a PatchGAN",
        reference=discriminator_layers,
        cases=_discriminator_cases,
        drawn_cases=_discriminator_drawn,
        run=_score,
        hints=(
            "nn.Sequential(layer, layer, ...) makes a chain. Begin with nn.Conv2d(in_channels, "
            "ndf, kernel_size=4, stride=2, padding=1) and nn.LeakyReLU(0.2).",
            "Then three groups of convolution, norm and activation. Their widths are 2, 4 and 8 "
            "times ndf, their strides 2, 2 and 1.",
            "The last line is nn.Conv2d(8 * ndf, 1, kernel_size=4, stride=1, padding=1), and "
            "nothing comes after it.",
        ),
        mistakes={
            "four strides of 2": Mistake(
                _strides_four_times,
                "The fourth convolution has stride 2. With stride 1 each score sees 70x70 pixels; "
                "with stride 2 it sees 94x94, and the map is half as large.",
            ),
            "no fourth convolution": Mistake(
                _leaves_out_the_fourth,
                "The convolution from 4 * ndf to 8 * ndf with stride 1 is missing. Without it "
                "each score sees only 46x46 pixels.",
            ),
            "ReLU": Mistake(
                _uses_relu,
                "ReLU sets everything negative to 0, and no gradient passes there. The "
                "generator learns through these gradients: use LeakyReLU(0.2).",
            ),
            "default slope": Mistake(
                _uses_default_slope,
                "nn.LeakyReLU() has a slope of 0.01 for negative numbers. It should be 0.2: "
                "nn.LeakyReLU(0.2).",
            ),
            "norm after the first": Mistake(
                _normalises_the_first,
                "There is a norm after the first convolution. It would take away the brightness "
                "and the contrast of the whole picture, which the judge should see.",
            ),
            "batch norm": Mistake(
                _uses_batch_norm,
                "BatchNorm2d mixes the pictures of a batch, and has parameters of its own. Use "
                "nn.InstanceNorm2d, which treats every picture alone.",
            ),
            "no norms": Mistake(
                _leaves_out_the_norms,
                "The norms are missing: nn.InstanceNorm2d(channels) follows the second, third "
                "and fourth convolution.",
            ),
            "sigmoid at the end": Mistake(
                _ends_with_sigmoid,
                "There is a sigmoid at the end. LSGAN compares raw scores with 0 and 1, and "
                "losses that need a sigmoid bring their own.",
            ),
        },
    )
)

# 2.4 ------------------------------------------------------------------------------------------


def patch_box(
    row: int, column: int, layers: list[tuple[int, int, int]]
) -> tuple[int, int, int, int]:
    """The pixels that one cell of the score map sees.

    Args:
        row, column: place of the cell in the map, counted from 0.
        layers: (kernel, stride, padding) of each convolution, the one that sees the picture first.

    Returns:
        (top, left, bottom, right): the cell sees the rows from `top` up to but not including
        `bottom`, and the columns from `left` up to but not including `right`. Numbers below 0 and
        beyond the picture belong to the padding and are kept.
    """
    top = bottom = row
    left = right = column
    for kernel, stride, padding in reversed(layers):
        top, left = top * stride - padding, left * stride - padding
        bottom = bottom * stride - padding + kernel - 1
        right = right * stride - padding + kernel - 1
    return top, left, bottom + 1, right + 1


def _patch_box_cases() -> list[tuple]:
    return [
        (0, 0, [(4, 2, 1)]),
        (2, 5, [(4, 2, 1)]),
        (1, 3, [(3, 1, 1), (5, 3, 0)]),
        (10, 4, SEVENTY),
    ]


def _patch_box_drawn(rng: np.random.Generator) -> list[tuple]:
    places = [rng.permutation(30)[:2].tolist() for _ in range(3)]
    return [(*place, _draw_layers(rng, count)) for count, place in enumerate(places, 2)]


def _spans(row, column, layers, span):
    top, bottom = span(row, layers)
    left, right = span(column, layers)
    return top, left, bottom, right


def _forgets_padding(row, column, layers):
    return patch_box(row, column, [(kernel, stride, 0) for kernel, stride, _ in layers])


def _stops_at_the_last_pixel(row, column, layers):
    top, left, bottom, right = patch_box(row, column, layers)
    return top, left, bottom - 1, right - 1


def _swaps_row_and_column(row, column, layers):
    return patch_box(column, row, layers)


def _box_walks_forward(row, column, layers):
    return patch_box(row, column, layers[::-1])


def _lays_patches_side_by_side(row, column, layers):
    top, _, bottom, _ = patch_box(0, 0, layers)
    field = bottom - top
    return row * field, column * field, (row + 1) * field, (column + 1) * field


def _adds_up_the_padding(row, column, layers):
    def span(cell, layers):
        first, _, last, _ = _forgets_padding(cell, 0, layers)
        shift = sum(padding for _, _, padding in layers)
        return first - shift, last - shift

    return _spans(row, column, layers, span)


register(
    Exercise(
        number="2.4",
        title="the box that a cell sees",
        reference=patch_box,
        cases=_patch_box_cases,
        drawn_cases=_patch_box_drawn,
        hints=(
            "Walk back as in 2.2, but keep the first and the last index of the stretch in place "
            "of its length. Begin with first = last = row.",
            "Without padding, output i reads the inputs i * stride to i * stride + kernel - 1. "
            "Padding shifts both by -padding, at every layer.",
            "for kernel, stride, padding in reversed(layers): first = first * stride - padding; "
            "last = last * stride - padding + kernel - 1. At the end, return last + 1.",
        ),
        mistakes={
            "forgets the padding": Mistake(
                _forgets_padding,
                "The size is right, but the box is too far down and to the right. Index 0 of the "
                "padded input is `padding` pixels before the picture: subtract the padding at "
                "every layer.",
            ),
            "stops at the last pixel": Mistake(
                _stops_at_the_last_pixel,
                "The box is one pixel too small: bottom and right are the first row and column "
                "that are no longer seen, as in picture[top:bottom, left:right]. Add 1.",
            ),
            "swaps row and column": Mistake(
                _swaps_row_and_column,
                "Row and column are swapped: `row` gives top and bottom, `column` gives left and "
                "right.",
            ),
            "walks forward": Mistake(
                _box_walks_forward,
                "The layers are taken in the wrong order. You stand in the map and walk back to "
                "the pixels, so the last layer comes first: reversed(layers).",
            ),
            "lays patches side by side": Mistake(
                _lays_patches_side_by_side,
                "This lays the patches side by side. They overlap: the next cell's patch begins "
                "only a few pixels further, the product of all strides.",
            ),
            "adds up the padding": Mistake(
                _adds_up_the_padding,
                "The paddings are added up as if all were pixels of the picture. A zero that a "
                "later layer adds stands for as many pixels as the strides before it multiply to: "
                "subtract the padding inside the loop.",
            ),
        },
    )
)

# 2.5 ------------------------------------------------------------------------------------------


def inner_cells(size: int, layers: list[tuple[int, int, int]]) -> list[int]:
    """Which cells along one side of the score map see no padding.

    Args:
        size: pixels along the side of the picture.
        layers: (kernel, stride, padding) of each convolution, the one that sees the picture first.

    Returns:
        Indices of the cells whose whole box lies inside the picture, in order.
    """
    cells = size
    for kernel, stride, padding in layers:
        cells = output_size(cells, kernel, stride, padding)
    inner = []
    for cell in range(cells):
        top, _, bottom, _ = patch_box(cell, 0, layers)
        if top >= 0 and bottom <= size:
            inner.append(cell)
    return inner


def _inner_cells_cases() -> list[tuple]:
    return [
        (12, [(4, 2, 1)]),
        (16, [(3, 1, 1), (4, 2, 1)]),
        (127, SEVENTY),
        (128, SEVENTY),
        (64, SEVENTY),
    ]


def _inner_cells_drawn(rng: np.random.Generator) -> list[tuple]:
    cases = [(int(rng.integers(100, 200)), SEVENTY), (int(rng.integers(32, 70)), SEVENTY)]
    for count in (2, 3):
        layers = _draw_layers(rng, count)
        first = next(cell for cell in range(100) if patch_box(cell, 0, layers)[0] >= 0)
        # The box of one cell ends just where the picture ends.
        size = patch_box(first + int(rng.integers(2, 9)), 0, layers)[2]
        cases.append((size, layers))
    return cases


def _boxes_along(size, layers):
    for kernel, stride, padding in layers:
        size = output_size(size, kernel, stride, padding)
    return [(cell, *patch_box(cell, 0, layers)[::2]) for cell in range(size)]


def _leaves_out_touching(size, layers):
    return [c for c, top, bottom in _boxes_along(size, layers) if top > 0 and bottom < size]


def _checks_the_top_only(size, layers):
    return [c for c, top, _ in _boxes_along(size, layers) if top >= 0]


def _checks_the_bottom_only(size, layers):
    return [c for c, _, bottom in _boxes_along(size, layers) if bottom <= size]


def _drops_one_at_each_end(size, layers):
    return [c for c, _, _ in _boxes_along(size, layers)][1:-1]


def _checks_the_middle(size, layers):
    return [c for c, t, b in _boxes_along(size, layers) if 0 <= (t + b) / 2 < size]


def _compares_with_the_map(size, layers):
    boxes = _boxes_along(size, layers)
    return [c for c, top, bottom in boxes if top >= 0 and bottom <= len(boxes)]


register(
    Exercise(
        number="2.5",
        title="cells that see no padding",
        reference=inner_cells,
        cases=_inner_cells_cases,
        drawn_cases=_inner_cells_drawn,
        hints=(
            "Two steps: how many cells has the map (2.1, layer by layer), and what does each of "
            "them see (2.4)?",
            "patch_box(cell, 0, layers) gives (top, left, bottom, right); along one side you need "
            "top and bottom.",
            "Keep the cell if top >= 0 and bottom <= size. `bottom` is the first pixel that is "
            "not seen, so it may be equal to size.",
        ),
        mistakes={
            "leaves out touching boxes": Mistake(
                _leaves_out_touching,
                "A box that touches the border from inside sees no padding: top may be 0, and "
                "bottom may be equal to size.",
            ),
            "checks the top only": Mistake(
                _checks_the_top_only,
                "The last cells see padding too, at the other end: bottom must not be beyond size.",
            ),
            "checks the bottom only": Mistake(
                _checks_the_bottom_only,
                "The first cells see padding too: top must not be below 0.",
            ),
            "drops one at each end": Mistake(
                _drops_one_at_each_end,
                "One cell at each end is left out. That is right for a single layer. The padding "
                "of five layers reaches further in: ask each cell's box.",
            ),
            "checks the middle": Mistake(
                _checks_the_middle,
                "The middle of the box lies inside for most cells. One zero anywhere in the box "
                "changes the score, so the whole box must lie inside.",
            ),
            "compares with the map": Mistake(
                _compares_with_the_map,
                "The boxes are in pixels of the picture: compare bottom with size, not with the "
                "number of cells.",
            ),
        },
    )
)
