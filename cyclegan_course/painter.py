"""A painter that works from any picture: layers of curved brush strokes, the largest brush first.

The method is that of A. Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple
Sizes", SIGGRAPH 1998. Two things are added: the direction of a stroke comes from a smoothed
structure tensor, so that neighbouring strokes flow together, and the finished canvas gets a relief
from the edges of the strokes and the hairs of the brush, lit from the upper left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from cyclegan_course.errors import CourseError

_PAINTER_STREAM = 3
_SUPERSAMPLING = 2
# Brush radius as a share of the picture's shorter side, and the error (0..255, mean over RGB)
# above which a layer paints a spot again. The first layer covers everything.
_BRUSHES = ((1 / 18, 0.0), (1 / 36, 9.0), (1 / 64, 13.0), (1 / 105, 17.0), (1 / 170, 20.0))
_SMALLEST_RADIUS = 1.0  # pixels: a thinner stroke would not be seen as a stroke
_STEPS = 6  # a stroke is at most this many radii long
_SHORTEST = 2  # and at least this many
_CURVATURE = 0.6  # share of the new direction in each step (Hertzmann's curvature filter f_c)


@dataclass(frozen=True)
class Strokes:
    """The strokes of one layer, in the order in which they are painted.

    Attributes:
        points: (n, _STEPS + 1, 2) corner points (x, y) in pixels; a stroke that ended early
            repeats its last point.
        lengths: (n,) number of steps that the stroke really took.
        colours: (n, 3) float RGB, 0..255.
        heights: (n,) thickness of the paint, 0..1.
        radius: brush radius in pixels.
    """

    points: np.ndarray
    lengths: np.ndarray
    colours: np.ndarray
    heights: np.ndarray
    radius: float


def paint(picture: np.ndarray, seed: int = 0, relief: float = 1.0) -> np.ndarray:
    """Paint a picture in oil.

    Args:
        picture: uint8 array (H, W, 3), RGB, of any size from 1 x 1.
        seed: a non-negative integer. The same picture and seed give the same painting.
        relief: strength of the light on the canvas; 0 leaves the strokes flat.

    Returns:
        uint8 array (H, W, 3).

    Raises:
        CourseError: the array is not uint8 (H, W, 3), or the seed is negative.
    """
    canvas, height, angle = _painted_canvas(picture, seed)
    canvas = _shrink(canvas)
    if relief > 0:
        light = _light_on_relief(height) + _brush_hair(angle, seed)
        canvas = canvas * (1 + relief * np.clip(light, -0.28, 0.28)[..., None])
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def plan_layers(picture: np.ndarray, seed: int = 0) -> list[Strokes]:
    """All strokes of a painting, one entry a layer, largest brush first (same input as `paint`)."""
    layers: list[Strokes] = []
    _painted_canvas(picture, seed, layers)
    return layers


def _painted_canvas(
    picture: np.ndarray, seed: int, layers: list[Strokes] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Canvas (2H, 2W, 3) and its relief (2H, 2W), both supersampled, and angles (H, W)."""
    if not (isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3):
        raise CourseError(
            "paint needs a picture as a numpy array of shape (height, width, 3): "
            'convert it with np.asarray(picture.convert("RGB")).'
        )
    if picture.dtype != np.uint8 or picture.size == 0:
        raise CourseError(
            f"paint needs at least one pixel of type uint8 (0..255), found {picture.dtype} of "
            f"shape {picture.shape}: scale the values to 0..255 and use .astype(np.uint8)."
        )
    if seed < 0:
        raise CourseError(f"paint cannot use the seed {seed}: choose a whole number from 0 on.")
    rng = np.random.Generator(np.random.PCG64([seed, _PAINTER_STREAM]))
    source = _palette(picture.astype(np.float32))
    h, w = source.shape[:2]
    short = min(h, w)
    angle = _stroke_angles(source, short, rng)
    field = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    canvas = np.zeros((h * _SUPERSAMPLING, w * _SUPERSAMPLING, 3), np.float32)
    height = np.zeros(canvas.shape[:2], np.float32)
    last = np.inf
    for number, (share, threshold) in enumerate(_BRUSHES):
        radius = max(_SMALLEST_RADIUS, short * share)
        if radius > 0.95 * last:
            break  # a tiny picture: the smallest brush has already been used
        last = radius
        sigma = 0.35 * radius
        reference = gaussian_filter(source, (sigma, sigma, 0), truncate=2.5)
        if number == 0:
            # Bare canvas at the border would show as black: start from a thin wash.
            canvas[:] = reference.repeat(_SUPERSAMPLING, 0).repeat(_SUPERSAMPLING, 1)
        strokes = _trace(reference, _shrink(canvas), field, radius, threshold, rng)
        _draw(strokes, canvas, height)
        if layers is not None:
            layers.append(strokes)
    return canvas, height, angle


def _palette(picture: np.ndarray) -> np.ndarray:
    """The colours of the tube: more saturation and contrast, warm lights, cool shadows."""
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    colour = grey[..., None] + 1.42 * (picture - grey[..., None])
    tone = np.clip(grey / 255, 0, 1)
    curve = 255 * (tone * tone * (3 - 2 * tone) - tone)
    colour = colour + 0.35 * curve[..., None]
    warm = (tone - 0.42)[..., None] * np.array([26, 10, -34], np.float32)
    return np.clip(colour + warm + np.array([3, 1, -2], np.float32), 0, 255).astype(np.float32)


def _stroke_angles(source: np.ndarray, short: int, rng: np.random.Generator) -> np.ndarray:
    """Direction of the strokes (H, W) in radians: along the edges, flowing where there are none."""
    h, w = source.shape[:2]
    grey = gaussian_filter(source @ np.array([0.299, 0.587, 0.114], np.float32), 0.008 * short)
    gy = np.gradient(grey, axis=0) if h > 1 else np.zeros_like(grey)
    gx = np.gradient(grey, axis=1) if w > 1 else np.zeros_like(grey)
    # Doubled angles turn directions without a sign into vectors that may be averaged.
    double = np.stack([gy * gy - gx * gx, -2 * gx * gy], axis=-1)
    sigma = max(0.7, short / 50)
    double = gaussian_filter(double, (sigma, sigma, 0), truncate=2.5)
    # Where the picture is flat, a slow wave leads the brush.
    y = (np.arange(h, dtype=np.float32)[:, None] + 0.5) / short
    x = (np.arange(w, dtype=np.float32)[None, :] + 0.5) / short
    a, b, c = rng.uniform(0, 2 * np.pi, 3)
    wave = 0.75 * np.sin(5.1 * x + 2.3 * y + a) + 0.6 * np.sin(3.7 * y - 4.4 * x + b)
    wave = wave + 0.35 * np.sin(9.3 * x + 7.1 * y + c)
    calm = 2.0 * (128 / short) ** 2  # gradients shrink as the same picture grows
    double = double + calm * np.stack([np.cos(wave), np.sin(wave)], axis=-1)
    return 0.5 * np.arctan2(double[..., 1], double[..., 0])


def _trace(
    reference: np.ndarray,
    canvas: np.ndarray,
    field: np.ndarray,
    radius: float,
    threshold: float,
    rng: np.random.Generator,
) -> Strokes:
    """Trace all strokes of a layer, one step at a time for all of them together."""
    h, w = reference.shape[:2]
    error = np.abs(reference - canvas).mean(axis=2)
    error = gaussian_filter(error, 0.5 * radius, truncate=2)
    step = 1.15 * radius
    ys, xs = np.meshgrid(np.arange(step / 2, h, step), np.arange(step / 2, w, step), indexing="ij")
    if ys.size == 0:
        ys, xs = np.array([h / 2]), np.array([w / 2])
    start = np.stack([xs.ravel(), ys.ravel()], axis=1)
    start = start + rng.uniform(-0.5, 0.5, start.shape) * step
    start = np.clip(start, 0, [w - 1e-3, h - 1e-3])
    start = start[rng.permutation(len(start))]
    # All random numbers are drawn for every candidate, before any is left out: where two machines
    # differ in the last bit of a comparison, one stroke differs and not all that come after it.
    m = len(start)
    sign = rng.choice([-1.0, 1.0], (m, 1))
    jitter = rng.uniform(-1, 1, (m, 1)) * 7 + rng.uniform(-1, 1, (m, 3)) * 4
    heights = rng.uniform(0, 1, m)

    def pixel(array: np.ndarray, at: np.ndarray) -> np.ndarray:
        return array[at[:, 1].astype(np.intp), at[:, 0].astype(np.intp)]

    if threshold > 0:
        needed = pixel(error, start) > threshold
        start, sign, jitter, heights = (a[needed] for a in (start, sign, jitter, heights))
    n = len(start)
    colours = pixel(reference, start)
    points = np.repeat(start[:, None, :], _STEPS + 1, axis=1)
    lengths = np.zeros(n, np.intp)
    alive = np.ones(n, bool)
    direction = pixel(field, start) * sign
    at = start
    for i in range(1, _STEPS + 1):
        new = pixel(field, at)
        new = new * np.where((new * direction).sum(1) < 0, -1, 1)[:, None]
        direction = _CURVATURE * new + (1 - _CURVATURE) * direction
        direction = direction / (np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9)
        ahead = np.clip(at + radius * direction, 0, [w - 1e-3, h - 1e-3])
        if i > _SHORTEST:
            here = pixel(reference, ahead)
            better_left = np.abs(here - pixel(canvas, ahead)).mean(1)
            off = np.abs(here - colours).mean(1)
            alive &= off < (12.0 if threshold == 0 else np.maximum(better_left, 6.0))
        at = np.where(alive[:, None], ahead, at)
        lengths += alive
        points[:, i] = at
    return Strokes(points, lengths, np.clip(colours + jitter, 0, 255), heights, radius)


def _draw(strokes: Strokes, canvas: np.ndarray, height: np.ndarray) -> None:
    """Lay the strokes over the canvas and its relief, in place."""
    n = len(strokes.points)
    if n == 0:
        return
    owner = Image.new("I", (canvas.shape[1], canvas.shape[0]))
    draw = ImageDraw.Draw(owner)
    outlines = (_outlines(strokes) * _SUPERSAMPLING - 0.5).reshape(n, -1).tolist()
    for number, outline in enumerate(outlines, start=1):
        draw.polygon(outline, fill=number)
    index = np.asarray(owner, dtype=np.intp)
    covered = index > 0
    mine = index[covered] - 1
    canvas[covered] = strokes.colours[mine]
    height[covered] = strokes.heights[mine]


def _outlines(strokes: Strokes) -> np.ndarray:
    """Closed outlines (n, corners, 2): full in the middle, rounded at both ends."""
    points, radius = strokes.points, strokes.radius
    count = points.shape[1]
    tangent = np.diff(points, axis=1)
    size = np.linalg.norm(tangent, axis=2, keepdims=True)
    tangent = tangent / np.maximum(size, 1e-9)
    for i in range(1, count - 1):  # an ended stroke keeps its last direction
        gone = size[:, i, 0] < 1e-6
        tangent[gone, i] = tangent[gone, i - 1]
    still = np.abs(tangent).sum(axis=2) < 0.5
    tangent[still] = [1.0, 0.0]
    tangent = np.concatenate([tangent[:, :1], tangent, tangent[:, -1:]], axis=1)
    tangent = tangent[:, :-1] + tangent[:, 1:]
    tangent = tangent / np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
    along = np.arange(count)[None, :] / np.maximum(strokes.lengths, 1)[:, None]
    along = np.minimum(along, 1.0)
    half = radius * (0.62 + 0.3 * np.sin(np.pi * along) - 0.12 * along)
    side = normal * half[..., None]
    first = points[:, :1] - tangent[:, :1] * radius * 0.65
    last = points[:, -1:] + tangent[:, -1:] * radius * 0.65
    return np.concatenate([first, points + side, last, (points - side)[:, ::-1]], axis=1)


def _shrink(array: np.ndarray) -> np.ndarray:
    """Mean over supersampled blocks: (2H, 2W, ...) to (H, W, ...)."""
    return 0.25 * (array[::2, ::2] + array[1::2, ::2] + array[::2, 1::2] + array[1::2, 1::2])


def _light_on_relief(height: np.ndarray) -> np.ndarray:
    """Light from the upper left on the edges of the strokes: (2H, 2W) to (H, W)."""
    short = min(height.shape)
    smooth = gaussian_filter(height, max(0.5, short / 420))
    padded = np.pad(smooth, 1, mode="edge")
    slope = padded[2:, 2:] - padded[:-2, :-2]
    return 0.20 * np.sqrt(max(short, 64) / 256) * _shrink(slope)


def _brush_hair(angle: np.ndarray, seed: int) -> np.ndarray:
    """Grooves of the brush's hair: noise smeared along the strokes (H, W), about -0.1..0.1."""
    h, w = angle.shape
    short = min(h, w)
    rng = np.random.Generator(np.random.PCG64([seed, _PAINTER_STREAM, 1]))
    noise = rng.uniform(-1, 1, (h, w)).astype(np.float32)
    if short > 160:
        noise = gaussian_filter(noise, short / 420) * (short / 420) * 3.2
    dx, dy = np.cos(angle), np.sin(angle)
    total = noise.copy()
    reach = max(2, round(short / 26))
    for sign in (-1, 1):
        y, x = np.indices((h, w), dtype=np.float32) + np.float32(0.5)
        for _ in range(reach):
            iy, ix = y.astype(np.intp), x.astype(np.intp)
            x = np.clip(x + sign * dx[iy, ix], 0, w - 1e-2)
            y = np.clip(y + sign * dy[iy, ix], 0, h - 1e-2)
            total += noise[y.astype(np.intp), x.astype(np.intp)]
    return 0.085 * total / np.sqrt(2 * reach + 1)
