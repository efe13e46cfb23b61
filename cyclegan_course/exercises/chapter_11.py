"""Exercises of chapter 11: depth, transparency, near-duplicates, any size, seams of tiles."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cyclegan_course.exercises.registry import Exercise, Mistake, register

# 11.1 -----------------------------------------------------------------------------------------


def unit_range(pixels: np.ndarray) -> np.ndarray:
    """Whole numbers of a picture file as what a generator takes.

    Args:
        pixels: uint8 (white is 255) or uint16 (white is 65535), any shape.

    Returns:
        float32 of the same shape: black is -1, white is 1.
    """
    white = np.iinfo(pixels.dtype).max
    return (pixels / white * 2 - 1).astype(np.float32)


def _unit_range_cases() -> list[tuple]:
    return [
        (np.array([0, 300, 25_700, 40_000, 65_535], np.uint16),),
        (np.array([[0, 51], [128, 200]], np.uint8),),
        (np.array([[700, 12_000], [44_444, 60_001]], np.uint16),),
    ]


def _unit_range_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(kind: type, *shape: int) -> tuple:  # darker than white
        return (rng.integers(np.iinfo(kind).max, size=shape, dtype=kind),)

    return [case(np.uint16, 7), case(np.uint8, 3, 4), case(np.uint16, 2, 3, 3)]


def _white(pixels: np.ndarray) -> int:
    return np.iinfo(pixels.dtype).max


def _wraps(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.uint8) / 127.5 - 1).astype(np.float32)


def _drops_the_low_byte(pixels: np.ndarray) -> np.ndarray:
    kept = pixels >> 8 if pixels.dtype == np.uint16 else pixels
    return (kept / 127.5 - 1).astype(np.float32)


register(
    Exercise(
        number="11.1",
        title="8 and 16 bits to one range",
        reference=unit_range,
        cases=_unit_range_cases,
        drawn_cases=_unit_range_drawn,
        hints=(
            "The type of the array says which number is white: look at pixels.dtype.",
            "np.iinfo(pixels.dtype).max is 255 or 65535. Division makes 0 to 1 of it.",
            "From 0..1 to -1..1: times 2, minus 1. Then .astype(np.float32).",
        ),
        mistakes={
            "takes 255 for white": Mistake(
                lambda pixels: (pixels / 127.5 - 1).astype(np.float32),
                "White of a 16-bit picture is 65535, and here it becomes 513. The number of bits "
                "stands in pixels.dtype.",
            ),
            "clips to 255": Mistake(
                lambda pixels: (pixels.clip(0, 255) / 127.5 - 1).astype(np.float32),
                "A 16-bit picture is cut off at 255, so nearly all of it turns white. It has to be "
                "scaled: white is 65535 there.",
            ),
            "lets the type wrap around": Mistake(
                _wraps,
                "astype(np.uint8) keeps the lowest 8 bits only: 300 becomes 44, and bright parts "
                "turn into stripes. Divide by white first, and convert then.",
            ),
            "drops the low byte": Mistake(
                _drops_the_low_byte,
                "Only the upper 8 bits are used: 256 grey levels in place of 65536. Smooth skies "
                "get steps. Divide the 16-bit number itself.",
            ),
            "counts the levels": Mistake(
                lambda pixels: (pixels / (_white(pixels) + 1) * 2 - 1).astype(np.float32),
                "It divides by 256 or 65536, the number of levels. The highest level is one less, "
                "so white would not reach 1.",
            ),
            "forgets the shift": Mistake(
                lambda pixels: (pixels / _white(pixels)).astype(np.float32),
                "The range is 0 to 1. The generator's tanh goes from -1 to 1: times 2, minus 1.",
            ),
            "stretches each picture": Mistake(
                lambda pixels: (pixels / pixels.max() * 2 - 1).astype(np.float32),
                "The brightest pixel of each picture becomes white, so a dark photograph is made "
                "bright. White depends on the type, not on the picture.",
            ),
        },
    )
)


# 11.2 -----------------------------------------------------------------------------------------


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A picture with transparent parts, laid over white paper.

    Args:
        rgb: uint8 (H, W, 3), the colours as they are where the picture is opaque.
        alpha: uint8 (H, W), 0 is transparent, 255 is opaque.

    Returns:
        uint8 (H, W, 3), rounded to the nearest level.
    """
    share = alpha[..., None] / 255
    return np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8)


def _over_white_cases() -> list[tuple]:
    rgb = np.array([[[200, 100, 0], [10, 20, 30]], [[0, 0, 0], [255, 128, 64]]], np.uint8)
    alpha = np.array([[255, 128], [0, 60]], np.uint8)
    rng = np.random.default_rng(0)
    return [
        (rgb, alpha),
        (rng.integers(256, size=(4, 5, 3), dtype=np.uint8),
         rng.integers(256, size=(4, 5), dtype=np.uint8)),
    ]  # fmt: skip


def _over_white_drawn(rng: np.random.Generator) -> list[tuple]:
    def case() -> tuple:
        height, width = rng.integers(3, 7, size=2).tolist()
        alpha = rng.integers(256, size=(height, width), dtype=np.uint8)
        alpha[0, 0], alpha[-1, -1] = 0, 255
        return rng.integers(256, size=(height, width, 3), dtype=np.uint8), alpha

    return [case(), case()]


def _blend(change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """A wrong answer from what it computes with floats: rgb, and the share of the picture."""

    def wrong(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        return np.rint(change(rgb.astype(float), alpha[..., None] / 255)).clip(0, 255).astype("u1")

    return wrong


def _alpha_to_255(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(float)
    return (rgb * share + 255 * (1 - share)).clip(0, 255).astype(np.uint8)


def _alpha_to_255_wraps(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(int)
    return (rgb * share + 255 * (1 - share)).astype(np.uint8)


def _multiplies_in_8_bits(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None]
    return (rgb * share + np.uint8(255) * (np.uint8(255) - share)) // np.uint8(255)


def _rounds_down(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return (rgb * share + 255 * (1 - share)).astype(np.uint8)


register(
    Exercise(
        number="11.2",
        title="transparent parts over white",
        reference=over_white,
        cases=_over_white_cases,
        drawn_cases=_over_white_drawn,
        hints=(
            "Each pixel is a mixture of its own colour and of white. Alpha says how much of each.",
            "share = alpha[..., None] / 255 has the shape (H, W, 1), so it multiplies all three "
            "channels.",
            "rgb * share + 255 * (1 - share), then np.rint(...).astype(np.uint8).",
        ),
        mistakes={
            "drops alpha": Mistake(
                lambda rgb, alpha: rgb.copy(),
                "Alpha is not used. Under transparent parts there is any colour at all, often "
                "black, which nobody was meant to see.",
            ),
            "lays it over black": Mistake(
                _blend(lambda rgb, share: rgb * share),
                "This is the picture over black: the part of the white paper is missing, "
                "255 * (1 - share).",
            ),
            "swaps picture and paper": Mistake(
                _blend(lambda rgb, share: rgb * (1 - share) + 255 * share),
                "Opaque parts become white and transparent ones show: alpha = 255 means opaque.",
            ),
            "does not scale alpha": Mistake(
                _alpha_to_255,
                "Alpha goes from 0 to 255, so it is no share yet: divide it by 255.",
            ),
            "does not scale alpha, and wraps": Mistake(
                _alpha_to_255_wraps,
                "Alpha goes from 0 to 255 here, and the large products wrap around in 8 bits: "
                "divide it by 255 first.",
            ),
            "takes the colours for multiplied": Mistake(
                _blend(lambda rgb, share: rgb + 255 * (1 - share)),
                "White is added to the full colour. This is right for premultiplied files, whose "
                "colours are already multiplied by alpha. Here, as in PNG, they are not.",
            ),
            "multiplies in 8 bits": Mistake(
                _multiplies_in_8_bits,
                "The product of two uint8 arrays is taken modulo 256. Divide alpha by 255 before "
                "you multiply: that makes floats of it.",
            ),
            "makes a hard edge": Mistake(
                lambda rgb, alpha: np.where(alpha[..., None] > 0, rgb, 255).astype(np.uint8),
                "Half transparent pixels count as opaque, so soft edges get a fringe. Mix by the "
                "share of alpha.",
            ),
            "rounds down": Mistake(
                _rounds_down,
                "astype(np.uint8) cuts the fraction off, so the picture gets a little darker. "
                "Round first: np.rint.",
            ),
        },
    )
)


# 11.3 -----------------------------------------------------------------------------------------


def near_duplicates(thumbnails: np.ndarray, threshold: float = 0.93) -> list[tuple[int, int]]:
    """Which pictures are nearly the same, also if one is brighter or mirrored left to right.

    Args:
        thumbnails: float (N, S, S), the pictures in grey, reduced to S x S; none is flat.
        threshold: pictures are nearly the same if their correlation is above it.

    Returns:
        Pairs (i, j) with i < j, in order.
    """

    def normalised(pictures: np.ndarray) -> np.ndarray:
        rows = pictures.reshape(len(pictures), -1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    rows, mirrored = normalised(thumbnails), normalised(thumbnails[:, :, ::-1])
    similar = np.maximum(rows @ rows.T, rows @ mirrored.T)
    return [(int(i), int(j)) for i, j in np.argwhere(similar > threshold) if i < j]


def _near_duplicates_cases() -> list[tuple]:
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 6, 6))
    tiny = np.array([[[0.1, 0.9], [0.3, 0.5]], [[0.9, 0.1], [0.5, 0.3]], [[0.8, 0.1], [0.9, 0.9]]])
    # Symmetric: its mirror image is itself, so only the diagonal or the order can go wrong.
    even = np.array([[0.0, 1.0, 0.0], [0.2, 0.6, 0.2], [1.0, 0.0, 1.0]])
    return [
        (tiny,),
        (np.stack([first, second, 0.4 * first + 0.5, second[:, ::-1], 1 - first, first[::-1]]),),
        # Bright pictures with little contrast: they are alike only in their brightness.
        (0.9 + 0.05 * rng.random((3, 5, 5)),),
        # Dark and bright ones with strong contrast: their products are large, and yet not alike.
        (np.stack([even, 0.5 * even, 20 * rng.random((3, 3)), 20 * rng.random((3, 3))]),),
    ]


def _near_duplicates_drawn(rng: np.random.Generator) -> list[tuple]:
    def case() -> tuple:
        side, strangers = rng.integers([5, 1], [9, 4]).tolist()
        first, second = rng.random((2, side, side))
        relatives = [first, rng.uniform(0.2, 0.5) * first + 0.5, 1 - first, first[::-1]]
        mirrored = [second, second[:, ::-1]]
        faint = 0.9 + 0.05 * rng.random((2, side, side))  # alike only in their brightness
        strong = 20 * rng.random((strangers, side, side))
        # In any order, as the pairs would be the same for all seeds otherwise.
        return (rng.permutation(np.stack([*relatives, *mirrored, *faint, *strong])),)

    return [case(), case()]


def _pairs(similar: np.ndarray, keep: Callable[[int, int], bool] = lambda i, j: i < j) -> list:
    return [(int(i), int(j)) for i, j in np.argwhere(similar) if keep(i, j)]


def _rows(thumbnails: np.ndarray, centre: bool = True, scale: bool = True) -> np.ndarray:
    rows = thumbnails.reshape(len(thumbnails), -1)
    rows = rows - centre * rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if scale else rows


def _similarity(
    thumbnails: np.ndarray, mirror: Callable = lambda x: x[:, :, ::-1], **how: bool
) -> np.ndarray:
    rows = _rows(thumbnails, **how)
    return np.maximum(rows @ rows.T, rows @ _rows(mirror(thumbnails), **how).T)


def _absolute(thumbnails: np.ndarray, threshold: float = 0.93) -> list:
    rows, mirrored = _rows(thumbnails), _rows(thumbnails[:, :, ::-1])
    return _pairs(np.maximum(abs(rows @ rows.T), abs(rows @ mirrored.T)) > threshold)


register(
    Exercise(
        number="11.3",
        title="near-duplicates",
        reference=near_duplicates,
        cases=_near_duplicates_cases,
        drawn_cases=_near_duplicates_drawn,
        hints=(
            "Make one row of numbers of each thumbnail. Two rows are alike if they point in the "
            "same direction after their mean has been taken away.",
            "Subtract each row's mean, divide each row by its length (np.linalg.norm with axis=1 "
            "and keepdims=True). Then rows @ rows.T holds all correlations.",
            "The same against the mirrored thumbnails, thumbnails[:, :, ::-1]; np.maximum of both; "
            "np.argwhere(... > threshold); keep i < j.",
        ),
        mistakes={
            "does not centre": Mistake(
                lambda x, threshold=0.93: _pairs(_similarity(x, centre=False) > threshold),
                "The mean is not taken away, so all bright pictures are alike. Subtract each "
                "thumbnail's mean first.",
            ),
            "does not normalise": Mistake(
                lambda x, threshold=0.93: _pairs(_similarity(x, scale=False) > threshold),
                "This is a product of contrasts: two strong pictures exceed the threshold without "
                "being alike, two weak ones never do. Divide each row by its length.",
            ),
            "neither centres nor normalises": Mistake(
                lambda x, threshold=0.93: _pairs(
                    _similarity(x, centre=False, scale=False) > threshold
                ),
                "The thumbnails are multiplied as they are. Subtract each one's mean, and divide "
                "it by its length.",
            ),
            "forgets the mirror": Mistake(
                lambda x, threshold=0.93: _pairs(_rows(x) @ _rows(x).T > threshold),
                "A picture and its mirror image are not found. Compare with thumbnails[:, :, ::-1] "
                "too.",
            ),
            "mirrors up and down": Mistake(
                lambda x, threshold=0.93: _pairs(
                    _similarity(x, mirror=lambda y: y[:, ::-1]) > threshold
                ),
                "It mirrors top and bottom. Left and right are the last axis: "
                "thumbnails[:, :, ::-1].",
            ),
            "counts each picture with itself": Mistake(
                lambda x, threshold=0.93: _pairs(_similarity(x) > threshold, lambda i, j: i <= j),
                "Every picture is found to be like itself. Keep pairs with i < j only.",
            ),
            "counts each pair twice": Mistake(
                lambda x, threshold=0.93: _pairs(_similarity(x) > threshold, lambda i, j: i != j),
                "Each pair comes twice, (i, j) and (j, i). Keep the one with i < j.",
            ),
            "takes the absolute value": Mistake(
                _absolute,
                "A picture and its negative have the correlation -1. They are not the same: do "
                "not take the absolute value.",
            ),
        },
    )
)


# 11.4 -----------------------------------------------------------------------------------------


class Halving(nn.Module):
    """Stands in for a generator: needs sides that are multiples of 4, looks at the whole picture.

    It halves the picture twice, enlarges it again, and takes the mean away, as a norm does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same shape; H and W multiples of 4."""
        if x.shape[-2] % 4 or x.shape[-1] % 4:
            raise ValueError(f"sides of {x.shape[-2]} x {x.shape[-1]} are no multiples of 4")
        y = F.interpolate(F.avg_pool2d(x, 4), scale_factor=4.0, mode="nearest")
        return x + y - x.mean(dim=(-2, -1), keepdim=True)


def at_own_size(net: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    """A network that needs certain sides, applied to a picture of any size.

    The picture is extended by repeating its edge pixels (`F.pad` with mode "replicate"): no more
    than needed, half of it before and half after; of an odd number, one more after.

    Args:
        net: takes (N, 3, H, W) with H and W multiples of `multiple`, and returns the same shape.
        x: (N, 3, H, W), any H and W.
        multiple: 2 to the power of the number of halvings.

    Returns:
        (N, 3, H, W), the result for the pixels of x.
    """
    height, width = x.shape[-2:]
    rows, columns = -height % multiple, -width % multiple
    top, left = rows // 2, columns // 2
    extended = F.pad(x, (left, columns - left, top, rows - top), mode="replicate")
    return net(extended)[..., top : top + height, left : left + width]


def _at_own_size_cases() -> list[tuple]:
    shapes = [(1, 3, 5, 6), (2, 3, 8, 4), (1, 3, 7, 9), (1, 3, 10, 5)]
    generator = torch.Generator().manual_seed(2)
    return [(Halving(), torch.rand(shape, generator=generator) * 2 - 1, 4) for shape in shapes]


def _at_own_size_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(multiple: int, *missing: int) -> tuple:
        count, *blocks = rng.integers([1, 2, 2], [3, 4, 4]).tolist()
        sides = [multiple * n - less for n, less in zip(blocks, missing, strict=True)]
        x = torch.from_numpy(rng.uniform(-1, 1, (count, 3, *sides))).float()
        return Halving(), x, multiple

    few, many, most = rng.integers([1, 2, 4], [4, 4, 8]).tolist()
    return [case(4, 0, few), case(4, many, 3), case(4, many, 0), case(8, few, most)]


def _extended(
    mode: str = "replicate", before: float = 0.5, crop: str = "same", always: bool = False
) -> Callable:
    """`at_own_size` with another way to extend or to crop."""

    def wrong(net: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = -height % multiple, -width % multiple
        if always:
            rows, columns = multiple - height % multiple, multiple - width % multiple
        top, left = int(rows * before), int(columns * before)
        margins = (left, columns - left, top, rows - top)
        y = net(F.pad(x, margins, mode=mode))
        if crop == "none":
            return y
        if crop == "start":
            top, left = 0, 0
        if crop == "end":
            top, left = rows, columns
        return y[..., top : top + height, left : left + width]

    return wrong


def _cuts_off(net: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    height, width = (side // multiple * multiple for side in x.shape[-2:])
    return net(x[..., :height, :width])


def _resizes(net: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    sides = [-(-side // multiple) * multiple for side in x.shape[-2:]]
    y = net(F.interpolate(x, sides, mode="bilinear"))
    return F.interpolate(y, x.shape[-2:], mode="bilinear")


def _does_nothing(net: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    return net(x)


register(
    Exercise(
        number="11.4",
        title="any size in, the same size out",
        reference=at_own_size,
        cases=_at_own_size_cases,
        drawn_cases=_at_own_size_drawn,
        hints=(
            "How many rows are missing up to the next multiple? -height % multiple says it, and "
            "is 0 where none is.",
            "top = rows // 2 and bottom = rows - top; the same for the columns. F.pad takes "
            '(left, right, top, bottom), from the last axis inwards, and mode="replicate".',
            "Crop where the picture was put: net(...)[..., top : top + height, left : left + "
            "width].",
        ),
        mistakes={
            "extends at the end only": Mistake(
                _extended(before=0.0),
                "All of the extension stands at the right and at the bottom. Put half of it "
                "before: top = rows // 2, left = columns // 2.",
            ),
            "extends in the middle, crops at the start": Mistake(
                _extended(crop="start"),
                "The picture is moved: it was put at (top, left), and is cut out at (0, 0).",
            ),
            "extends at the end, crops at the end": Mistake(
                _extended(before=0.0, crop="end"),
                "It extends at one side and crops at the other, so the picture is moved by the "
                "margin.",
            ),
            "extends even where nothing is missing": Mistake(
                _extended(always=True),
                "A side that already is a multiple gets a whole multiple more: multiple - side % "
                "multiple is not 0 there. Use -side % multiple.",
            ),
            "extends with zeros": Mistake(
                _extended(mode="constant"),
                "The margin is 0, which is mid grey: the network sees a frame, and the picture's "
                'statistics change. Repeat the edge pixels, mode="replicate".',
            ),
            "does not crop": Mistake(
                _extended(crop="none"),
                "The result is as large as the extended picture. Cut the picture out of it again.",
            ),
            "cuts the rest off": Mistake(
                _cuts_off,
                "The picture is cut down to the next smaller multiple, and loses its edge. Extend "
                "it, and crop afterwards.",
            ),
            "resizes": Mistake(
                _resizes,
                "The picture is stretched to the next multiple and back, which blurs it. Extend "
                "it by its edge pixels instead.",
            ),
        },
        extra=lambda answer: (
            None
            if answer(lambda x: x, torch.zeros(1, 3, 3, 5), 1).shape == (1, 3, 3, 5)
            else "With multiple = 1 nothing is to be done, but the shape changes."
        ),
    )
)


# 11.5 -----------------------------------------------------------------------------------------


def blend_weights(starts: Sequence[int], tile: int, length: int) -> np.ndarray:
    """How much each of several overlapping tiles counts at each place of a line.

    Inside its tile a weight rises in a straight line from the end to the middle and falls again:
    1, 2, 3, ..., 3, 2, 1. Where tiles overlap, each gets its share of the sum.

    Args:
        starts: first place of each tile; together the tiles cover the line.
        tile: places in a tile.
        length: places on the line, from 0.

    Returns:
        float64 (tiles, length): 0 outside the tile; at each place the weights of all tiles sum
        to 1.
    """
    places = np.arange(length)
    weights = np.zeros((len(starts), length))
    for row, start in zip(weights, starts, strict=True):
        inside = places - start
        row[:] = np.minimum(inside + 1, tile - inside).clip(min=0)
    return weights / weights.sum(axis=0)


def _blend_weights_cases() -> list[tuple]:
    return [((0, 2), 4, 6), ((0, 3, 5), 5, 10), ((0,), 3, 3), ((0, 6), 8, 14)]


def _blend_weights_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(tiles: int) -> tuple:
        tile = int(rng.integers(5, 10))
        steps = rng.integers(2, tile - 1, size=tiles - 1)  # so at least two places overlap
        starts = (0, *steps.cumsum().tolist())
        return starts, tile, starts[-1] + tile

    return [case(2), case(3), case(4)]


def _tent(starts: Sequence[int], tile: int, length: int, first: int = 1) -> np.ndarray:
    inside = np.arange(length) - np.asarray(starts)[:, None]
    within = (inside >= 0) & (inside < tile)
    return np.where(within, np.minimum(inside + first, tile - 1 + first - inside), 0.0)


def _box(starts: Sequence[int], tile: int, length: int) -> np.ndarray:
    inside = np.arange(length) - np.asarray(starts)[:, None]
    return ((inside >= 0) & (inside < tile)).astype(float)


def _last_wins(starts: Sequence[int], tile: int, length: int) -> np.ndarray:
    weights = np.zeros((len(starts), length))
    for i, start in enumerate(starts):
        weights[:, start : start + tile] = 0
        weights[i, start : start + tile] = 1
    return weights


def _normalised_along(axis: int | None) -> Callable:
    def wrong(starts: Sequence[int], tile: int, length: int) -> np.ndarray:
        weights = _tent(starts, tile, length)
        return weights / (weights.max() if axis is None else weights.sum(axis=axis, keepdims=True))

    return wrong


def _nearest_centre(starts: Sequence[int], tile: int, length: int) -> np.ndarray:
    tents = _tent(starts, tile, length)
    return (np.arange(len(starts))[:, None] == tents.argmax(axis=0)).astype(float)


register(
    Exercise(
        number="11.5",
        title="weights of overlapping tiles",
        reference=blend_weights,
        cases=_blend_weights_cases,
        drawn_cases=_blend_weights_drawn,
        hints=(
            "Begin with one tile: inside = places - start counts 0, 1, 2, ... from its first "
            "place on.",
            "np.minimum(inside + 1, tile - inside) is the tent 1, 2, ..., 2, 1. Outside the tile "
            "it is 0 or negative: clip it at 0.",
            "Stack the tents of all tiles, (tiles, length), and divide by their sum over the "
            "tiles, weights.sum(axis=0).",
        ),
        mistakes={
            "does not share": Mistake(
                _tent,
                "The tents are right, but at a place their sum is not 1: the picture would get "
                "brighter there. Divide by the sum over the tiles.",
            ),
            "sums to one along the line": Mistake(
                _normalised_along(1),
                "Each tile's weights sum to 1 along the line. The weights of all tiles have to "
                "sum to 1 at each place: axis=0.",
            ),
            "divides by the highest": Mistake(
                _normalised_along(None),
                "The middle of a tile counts 1, and the ends of the line almost nothing, although "
                "no other tile is there. Divide by the sum over the tiles at each place.",
            ),
            "counts all tiles alike": Mistake(
                lambda starts, tile, length: (
                    _box(starts, tile, length) / _box(starts, tile, length).sum(axis=0)
                ),
                "The sums are 1, but all tiles of a place count the same: at the end of a tile "
                "its weight jumps, and a jump is a seam. Let it rise from the end.",
            ),
            "starts at zero": Mistake(
                lambda starts, tile, length: (
                    _tent(starts, tile, length, first=0)
                    / _tent(starts, tile, length, first=0).sum(axis=0)
                ),
                "The tent starts with 0. At the ends of the line only one tile is there, and "
                "0 / 0 is not a number. Start with 1.",
            ),
            "the later tile wins": Mistake(
                _last_wins,
                "Every tile is laid over the one before. The sums are 1, but the edges of the "
                "tiles stay visible: mix them where they overlap.",
            ),
            "the nearer tile wins": Mistake(
                _nearest_centre,
                "Each place belongs to one tile only, so there still is a hard edge in the middle "
                "of the overlap. Mix the two there.",
            ),
        },
    )
)


# 11.6 -----------------------------------------------------------------------------------------


def merge_statistics(counts: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a whole picture from those of its tiles, exactly.

    Args:
        counts: (T,), number of pixels of each tile; each pixel belongs to exactly one tile.
        means, variances: (T, C), of each tile and channel; a variance is the mean squared
            deviation, divided by the number of pixels, as instance norm takes it.

    Returns:
        Mean (C,) and variance (C,) over all pixels of all tiles.
    """
    share = (counts / counts.sum())[:, None]
    mean = (share * means).sum(dim=0)
    variance = (share * (variances + (means - mean) ** 2)).sum(dim=0)
    return mean, variance


def _merge_statistics_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(3)
    random = torch.randn(5, 3, generator=generator), torch.rand(5, 3, generator=generator)
    return [
        (
            torch.tensor([2.0, 6.0]),
            torch.tensor([[1.0, 0.0], [5.0, 0.5]]),
            torch.tensor([[1.0, 0.25], [4.0, 2.0]]),
        ),
        (torch.tensor([16.0, 16.0, 8.0, 16.0, 4.0]), *random),
    ]


def _merge_statistics_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(tiles: int) -> tuple:
        shape = tiles, int(rng.integers(2, 5))
        counts = rng.permutation(np.arange(1, 30))[:tiles]
        numbers = counts, rng.normal(size=shape), rng.uniform(0.1, 0.8, shape)
        return tuple(torch.from_numpy(each).float() for each in numbers)

    return [case(2), case(4), case(7)]


def _merged(change: Callable) -> Callable:
    """A wrong answer from (share, means, variances, right mean, counts)."""

    def wrong(counts: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        share = (counts / counts.sum())[:, None]
        return change(share, means, variances, (share * means).sum(dim=0), counts)

    return wrong


register(
    Exercise(
        number="11.6",
        title="statistics of a picture from its tiles",
        reference=merge_statistics,
        cases=_merge_statistics_cases,
        drawn_cases=_merge_statistics_drawn,
        hints=(
            "The mean of the picture is the mean of the tiles' means, each weighted by its share "
            "of the pixels: counts / counts.sum().",
            "A pixel deviates from the picture's mean for two reasons: it deviates from its "
            "tile's mean, and its tile's mean deviates from the picture's.",
            "The squares of both add: share * (variances + (means - mean) ** 2), summed over the "
            "tiles (law of total variance).",
        ),
        mistakes={
            "mean of the variances": Mistake(
                _merged(lambda s, m, v, mean, n: (mean, (s * v).sum(0))),
                "The mean is right. But the variance counts deviations inside the tiles only. A "
                "bright tile beside a dark one varies too: add (means - mean) ** 2.",
            ),
            "variance of the means": Mistake(
                _merged(lambda s, m, v, mean, n: (mean, (s * (m - mean) ** 2).sum(0))),
                "The mean is right. But the variance counts the differences between the tiles "
                "only: add the tiles' own variances.",
            ),
            "counts all tiles alike": Mistake(
                lambda n, m, v: (m.mean(0), (v + (m - m.mean(0)) ** 2).mean(0)),
                "Every tile counts the same here. The tiles at the edge are smaller: weight each "
                "by its number of pixels.",
            ),
            "weights the means only": Mistake(
                _merged(lambda s, m, v, mean, n: (mean, (v + (m - mean) ** 2).mean(0))),
                "The mean is weighted by the pixels, the variance is not. Weight both.",
            ),
            "neither weights nor adds the means": Mistake(
                lambda n, m, v: (m.mean(0), v.mean(0)),
                "These are plain means over the tiles. Weight them by the number of pixels, and "
                "add the spread of the means, (means - mean) ** 2, to the variances.",
            ),
            "divides by n - 1": Mistake(
                _merged(
                    lambda s, m, v, mean, n: (
                        mean,
                        (s * (v + (m - mean) ** 2)).sum(0) * n.sum() / (n.sum() - 1),
                    )
                ),
                "The variance is divided by the number of pixels less one. Instance norm divides "
                "by the number itself.",
            ),
            "adds without squaring": Mistake(
                _merged(lambda s, m, v, mean, n: (mean, (s * (v + (m - mean).abs())).sum(0))),
                "The distances of the means are added as they are. A variance is made of squares: "
                "(means - mean) ** 2.",
            ),
            "returns the standard deviation": Mistake(
                _merged(lambda s, m, v, mean, n: (mean, (s * (v + (m - mean) ** 2)).sum(0).sqrt())),
                "The second value is the standard deviation. Return the variance, without the "
                "root.",
            ),
        },
    )
)
