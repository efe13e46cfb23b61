"""Little landscapes: a scene drawn from an integer seed, and its picture at any size.

A scene is described in unit coordinates (x to the right, y down, both 0..1), so the same scene can
be drawn at any size. The scene and its textures have random streams of their own (`random_stream`):
one never shifts the other.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B, ITU-R BT.601
_SCENE, _TEXTURE, _HUES = 0, 1, 3  # 2 is the damage of `worlds`
_WAVES = 3


@dataclass(frozen=True)
class Tree:
    """A tree: foot (x, y), height, `conifer` or round, and its own texture seed."""

    x: float
    y: float
    height: float
    conifer: bool
    tone: float
    seed: int


@dataclass(frozen=True)
class House:
    """A house: lower left corner (x, y), width, proportions, colours, gable left or right."""

    x: float
    y: float
    width: float
    wall: float
    roof: float
    gable_left: bool
    wall_tone: float
    roof_kind: int


@dataclass(frozen=True)
class Scene:
    """All that decides what a landscape shows, in unit coordinates."""

    seed: int
    sky: int
    sky_tone: float
    clouds: float
    sun: tuple[float, float, float]
    hills: tuple[tuple[float, ...], ...]
    haze: float
    green: float
    snow: float
    lake: tuple[float, float, float] | None
    path: bool
    fence: float
    flowers: int
    houses: tuple[House, ...]
    trees: tuple[Tree, ...]
    far_trees: tuple[Tree, ...]


def random_stream(seed: int, *stream: int) -> np.random.Generator:
    """Random numbers of one seed for one purpose, apart from those of any other purpose."""
    return np.random.Generator(np.random.PCG64([seed, *stream]))


def make_scene(seed: int) -> Scene:
    """Draw the parameters of a scene from the scene stream of a non-negative integer seed."""
    rng = random_stream(seed, _SCENE)

    def u(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    sky, sky_tone, clouds = int(rng.integers(5)), u(0, 1), u(0.1, 0.9)
    sun = (u(0.12, 0.88), u(0.09, 0.24), u(0.036, 0.052))
    hills = []
    for base, spread in ((0.47, 0.035), (0.56, 0.03), (0.66, 0.02)):
        height = u(base - spread, base + spread)
        waves = [
            value
            for k in range(_WAVES)
            for value in (
                u(0.2, 1.0) * (0.05, 0.028, 0.016)[k],
                u(0.6, 1.3) * (1.0, 2.1, 4.0)[k],
                u(0, 1),
            )
        ]
        hills.append((height, *waves))
    haze, green, snow = u(0.25, 0.75), u(0, 1), u(-0.06, 0.05)
    side = int(rng.integers(2))
    lake = (u(0.18, 0.32) if side else u(0.68, 0.82), u(0.755, 0.785), u(0.32, 0.46))
    has_lake = u(0, 1) < 0.36
    path, fence = u(0, 1) < 0.7, u(0.87, 0.93)
    has_fence = u(0, 1) < 0.35
    flowers = int(rng.integers(0, 3)) * 35

    houses: list[House] = []
    spans: list[tuple[float, float]] = []
    for i in range((1, 5, 5)[int(rng.integers(3))]):
        # One house near by; then some tries to place a second one farther away.
        width = u(0.29, 0.36) if i == 0 else u(0.18, 0.23)
        y = u(0.83, 0.88) if i == 0 else u(0.74, 0.765)
        x = u(0.04, 0.96 - width)
        if has_lake and i == 0:
            x = u(0.5, 0.96 - width) if lake[0] < 0.5 else u(0.04, 0.5 - width)
        near_lake = has_lake and abs(x + width / 2 - lake[0]) < (width + lake[2]) / 2 + 0.02
        taken = any(x < b + 0.06 and x + width > a - 0.06 for a, b in spans)
        if i and (taken or near_lake or len(houses) == 2):
            continue
        spans.append((x, x + width))
        houses.append(
            House(
                x,
                y,
                width,
                u(0.4, 0.5),
                u(0.34, 0.46),
                u(0, 1) < 0.5,
                u(0, 1),
                int(rng.integers(5)),
            )
        )

    def tree(x: float, y: float, height: float, p_conifer: float = 0.5) -> Tree:
        conifer = u(0, 1) < p_conifer
        return Tree(x, y, height, conifer, u(0, 1), int(rng.integers(1 << 30)))

    trees = []
    for _ in range(30):
        x, y = u(0.03, 0.97), u(0.72, 0.93)
        height = (0.14 + 0.95 * (y - 0.70)) * u(0.85, 1.25)
        in_lake = has_lake and abs(x - lake[0]) < lake[2] / 2 + 0.03 and y < lake[1] + 0.17
        hidden = any(
            a.x - 0.42 * height < x < a.x + a.width + 0.42 * height and y > a.y - 0.06
            for a in houses
        )
        crowded = any(abs(x - t.x) < 0.10 and abs(y - t.y) < 0.12 for t in trees)
        if not (in_lake or hidden or crowded) and len(trees) < 5:
            trees.append(tree(x, y, height))
    if not trees:
        trees.append(tree(0.06 if houses[0].x > 0.3 else 0.94, 0.8, 0.25))
    far = [
        tree(u(0.0, 1.0), u(0.0, 0.03), u(0.045, 0.075), 0.6)
        for _ in range(4 + int(rng.integers(8)))
    ]
    return Scene(
        seed=seed,
        sky=sky,
        sky_tone=sky_tone,
        clouds=clouds,
        sun=sun,
        hills=tuple(hills),
        haze=haze,
        green=green,
        snow=snow,
        lake=lake if has_lake else None,
        path=path,
        fence=fence if has_fence else 0.0,
        flowers=flowers,
        houses=tuple(sorted(houses, key=lambda a: a.y)),
        trees=tuple(sorted(trees, key=lambda t: t.y)),
        far_trees=tuple(far),
    )


# --- noise ---------------------------------------------------------------------------------------


def _noise(
    rng: np.random.Generator,
    rows: np.ndarray,
    columns: np.ndarray,
    cells: tuple[int, int],
    size: int,
    octaves: int = 5,
    gain: float = 0.5,
) -> np.ndarray:
    """Fractal lattice noise (rows, columns), about -1..1, at coordinates 0..1.

    The lattices depend on the random stream alone; octaves too fine for `size` pixels are left
    out, so every size shows the same pattern, only with less or more detail.
    """
    total = np.zeros((len(rows), len(columns)))
    weight = 1.0
    for octave in range(octaves):
        fy, fx = cells[0] << octave, cells[1] << octave
        lattice = rng.uniform(-1, 1, (fy + 2, fx + 2))
        if max(fy, fx) <= 0.8 * size:
            y, x = np.clip(rows, 0, 1) * fy, np.clip(columns, 0, 1) * fx
            iy, ix = y.astype(np.intp), x.astype(np.intp)
            ty, tx = y - iy, x - ix
            ty, tx = (ty * ty * (3 - 2 * ty))[:, None], tx * tx * (3 - 2 * tx)
            lines = lattice[iy] * (1 - ty) + lattice[iy + 1] * ty
            total += weight * (lines[:, ix] * (1 - tx) + lines[:, ix + 1] * tx)
        weight *= gain
    return total * 1.6 * (1 - gain)


# --- colours -------------------------------------------------------------------------------------

_SKIES = (  # zenith and horizon, two variants each, between which `sky_tone` chooses
    ((52, 112, 196), (78, 140, 214), (190, 218, 240), (214, 230, 240)),
    ((40, 128, 190), (66, 156, 196), (196, 226, 226), (226, 234, 218)),
    ((92, 112, 190), (118, 124, 186), (238, 206, 190), (246, 218, 178)),
    ((104, 136, 178), (128, 154, 184), (212, 220, 224), (232, 230, 222)),
    ((70, 118, 204), (104, 132, 196), (232, 222, 214), (250, 224, 184)),
)
_ROOFS = ((176, 66, 48), (150, 84, 56), (112, 104, 108), (192, 104, 60), (134, 60, 58))
_RED_ROOF, _BLUE_ROOF = (186, 52, 42), (46, 84, 176)

# What an edit makes of all roofs and of all trees; see `draw_scene`.
_ROOF_OF = {"A": _RED_ROOF, "B": _BLUE_ROOF, "blue roofs": _BLUE_ROOF, "conifers": _RED_ROOF}
_CONIFERS = {"A": False, "B": True, "blue roofs": False, "conifers": True}


def rgb(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def mix(a: np.ndarray, b: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    return np.asarray(a, dtype=float) * (1 - t) + np.asarray(b, dtype=float) * t


def _moonlit(colour: np.ndarray) -> np.ndarray:
    """What a sunlit colour looks like by moonlight: dark, bluish, less saturated."""
    grey = colour @ rgb(0.3, 0.59, 0.11)
    return (0.62 * colour + 0.38 * grey[..., None]) * rgb(0.23, 0.31, 0.45) + rgb(4, 6, 15)


# --- drawing -------------------------------------------------------------------------------------


class _Sheet:
    """A supersampled transparent sheet for the things that have outlines, in unit coordinates.

    Beside the colours it carries what shines by itself at night: whatever is drawn over a lit
    window also hides its light.
    """

    def __init__(self, size: int):
        self.size = size
        self.factor = max(2, -(-384 // size)) if size < 192 else 2
        shape = (size * self.factor, size * self.factor)
        self.colour = Image.new("RGB", shape)
        self.cover = Image.new("L", shape)
        self.shine = Image.new("L", shape)
        self.pens = [ImageDraw.Draw(x) for x in (self.colour, self.cover, self.shine)]
        self.scale = size * self.factor

    def polygon(self, points: Sequence[tuple[float, float]], colour, shine: int = 0) -> None:
        flat = [c * self.scale - 0.5 for p in points for c in p]
        for pen, fill in zip(self.pens, (_ink(colour), 255, shine), strict=True):
            pen.polygon(flat, fill=fill)

    def disc(self, x: float, y: float, rx: float, ry: float, colour) -> None:
        s = self.scale
        box = [(x - rx) * s - 0.5, (y - ry) * s - 0.5, (x + rx) * s - 0.5, (y + ry) * s - 0.5]
        for pen, fill in zip(self.pens, (_ink(colour), 255, 0), strict=True):
            pen.ellipse(box, fill=fill)

    def finish(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colour times cover (size, size, 3), cover and shine (size, size, 1) in 0..1."""
        black = Image.new("RGB", self.colour.size)
        black.paste(self.colour, mask=self.cover)
        parts = [np.asarray(x.reduce(self.factor), float) for x in (black, self.cover, self.shine)]
        return parts[0], parts[1][..., None] / 255, parts[2][..., None] / 255


def _ink(colour) -> tuple[int, int, int]:
    return tuple(int(min(255, max(0, c))) for c in colour)


def _draw_conifer(sheet: _Sheet, tree: Tree, light: float, haze: np.ndarray, far: float) -> None:
    rng = random_stream(tree.seed, _TEXTURE)
    h, x, y = tree.height, tree.x, tree.y
    base = mix(rgb(30, 84, 52), rgb(52, 98, 50), tree.tone)
    trunk = mix(rgb(84, 62, 44), haze, far)
    sheet.polygon(
        [(x - 0.03 * h, y), (x + 0.03 * h, y), (x + 0.02 * h, y - 0.3 * h), (x, y - 0.3 * h)], trunk
    )
    tiers = 6
    for i in range(tiers):
        low = y - h * (0.1 + 0.135 * i)
        top = low - h * (0.32 - 0.012 * i) if i < tiers - 1 else y - h
        half = h * (0.265 - 0.039 * i) * rng.uniform(0.92, 1.08)
        colour = mix(base * (0.74 + 0.07 * i), haze, far)
        n = 4
        teeth = [
            (x + half * (2 * k / (2 * n) - 1), low + h * (0.022 if k % 2 else 0.0))
            for k in range(2 * n + 1)
        ]
        sheet.polygon([(x, top), *teeth], colour * 0.8)
        lit = [(x, top)] + [p for p in teeth if (p[0] - x) * light >= -1e-9]
        sheet.polygon(lit, mix(base * (1.02 + 0.09 * i) + 6, haze, far))
        shade = [(x - half, low), (x + half, low), (x + 0.55 * half, low - 0.03 * h)]
        sheet.polygon([*shade, (x - 0.55 * half, low - 0.03 * h)], colour * 0.72)


def _draw_round_tree(sheet: _Sheet, tree: Tree, light: float, haze: np.ndarray, far: float) -> None:
    rng = random_stream(tree.seed, _TEXTURE)
    h, x, y = tree.height, tree.x, tree.y
    base = mix(rgb(62, 118, 44), rgb(112, 132, 40), tree.tone)
    trunk = mix(rgb(98, 72, 50), haze, far)
    sheet.polygon(
        [
            (x - 0.05 * h, y),
            (x + 0.05 * h, y),
            (x + 0.028 * h, y - 0.5 * h),
            (x - 0.028 * h, y - 0.5 * h),
        ],
        trunk,
    )
    sheet.polygon(
        [
            (x + light * 0.05 * h, y),
            (x + light * 0.01 * h, y),
            (x + light * 0.028 * h, y - 0.5 * h),
        ],
        trunk * 1.3,
    )
    cx, cy, r = x, y - 0.63 * h, 0.33 * h
    angles, radii = rng.uniform(0, 2 * np.pi, 26), np.sqrt(rng.uniform(0, 1, 26))
    sizes = rng.uniform(0.30, 0.46, 26)
    blobs = [
        (cx + 0.72 * r * q * np.cos(a), cy + 0.68 * r * q * np.sin(a), r * s)
        for a, q, s in zip(angles, radii, sizes, strict=True)
    ]
    blobs += [(cx, cy, 0.8 * r)]
    # Three passes: the dark inside, the leaves, and the lit side of each clump.
    for bx, by, br in blobs:
        sheet.disc(bx, by, br * 1.05, br, mix(base * 0.58, haze, far))
    for bx, by, br in blobs:
        lift = 1 - 0.42 * (by - cy) / r + 0.2 * light * (bx - cx) / r
        q = 0.82 * br
        sheet.disc(bx + 0.1 * light * br, by - 0.16 * br, q, q, mix(base * 0.86 * lift, haze, far))
    for bx, by, br in blobs[:-1]:
        lift = 1 - 0.42 * (by - cy) / r + 0.28 * light * (bx - cx) / r
        q = 0.46 * br
        sheet.disc(
            bx + 0.3 * light * br, by - 0.4 * br, q, q, mix(base * 1.14 * lift + 8, haze, far)
        )


def _draw_house(sheet: _Sheet, house: House, roof: tuple[int, int, int], light: float) -> None:
    w, x0, y0 = house.width, house.x, house.y
    wall, rise, gable = house.wall * w, house.roof * w, 0.40
    flip = not house.gable_left

    def at(u: float, v: float) -> tuple[float, float]:
        """House coordinates: u 0..1 along the front, v upwards in unit coordinates."""
        return (x0 + w * (1 - u if flip else u), y0 - v)

    gable_lit = (light < 0) == house.gable_left
    paint_colour = mix(rgb(240, 232, 214), rgb(226, 206, 172), house.wall_tone)
    front = paint_colour * (1.0 if gable_lit else 0.74)
    side = paint_colour * (0.76 if gable_lit else 1.0)
    sheet.polygon([at(gable, 0), at(1, 0), at(1, wall), at(gable, wall)], side)
    sheet.polygon(
        [at(0, 0), at(gable, 0), at(gable, wall), at(gable / 2, wall + rise), at(0, wall)], front
    )
    stone = rgb(120, 112, 104)
    sheet.polygon(
        [at(0, 0), at(gable, 0), at(gable, 0.05 * w), at(0, 0.05 * w)],
        stone * (1 if gable_lit else 0.75),
    )
    sheet.polygon(
        [at(gable, 0), at(1, 0), at(1, 0.05 * w), at(gable, 0.05 * w)],
        stone * (0.75 if gable_lit else 1),
    )
    # Chimney first: the roof hides its foot.
    c, top = 0.74, wall + rise + 0.11 * w
    brick = rgb(150, 92, 74)
    sheet.polygon([at(c, wall), at(c + 0.085, wall), at(c + 0.085, top), at(c, top)], brick * 0.9)
    sheet.polygon(
        [
            at(c - 0.012, top),
            at(c + 0.097, top),
            at(c + 0.097, top + 0.025 * w),
            at(c - 0.012, top + 0.025 * w),
        ],
        brick * 0.65,
    )
    # Roof: the plane above the long wall in courses of tiles, with an overhang.
    colour = rgb(*roof) * (0.84 if gable_lit else 1.08)
    low, high = (gable - 0.035, 1.03), (gable / 2 - 0.01, 1 - gable / 2 + 0.03)
    v0, v1 = wall - 0.035 * w, wall + rise + 0.012 * w
    courses = 6
    for k in range(courses):
        t0, t1 = k / courses, (k + 1) / courses
        corner = [mix(np.array(low), np.array(high), t) for t in (t0, t1)]
        a, b = v0 + (v1 - v0) * t0, v0 + (v1 - v0) * t1
        tone = colour * (0.9 + 0.2 * t0)
        sheet.polygon(
            [at(corner[0][0], a), at(corner[0][1], a), at(corner[1][1], b), at(corner[1][0], b)],
            tone,
        )
        m = a + 0.3 * (b - a)
        sheet.polygon(
            [at(corner[0][0], a), at(corner[0][1], a), at(corner[0][1], m), at(corner[0][0], m)],
            tone * 0.84,
        )
    # Bargeboards along the gable, in the roof's colour.
    edge, thick = rgb(*roof) * (1.1 if gable_lit else 0.72), 0.052 * w
    for a, b in (
        ((-0.045, wall - 0.05 * w), (gable / 2, v1)),
        ((gable + 0.02, v0), (gable / 2, v1)),
    ):
        sheet.polygon([at(*a), at(*b), at(b[0], b[1] - thick), at(a[0], a[1] - thick)], edge)

    def window(u: float, v: float, du: float, dv: float, shade: float) -> None:
        frame = rgb(250, 248, 240) * shade
        o = 0.018
        sheet.polygon(
            [
                at(u - o, v - o * w),
                at(u + du + o, v - o * w),
                at(u + du + o, v + dv + o * w),
                at(u - o, v + dv + o * w),
            ],
            frame,
        )
        for i in range(2):
            for j in range(2):
                a, b = u + du * (0.57 * i), v + dv * (0.55 * j)
                c, d = a + 0.43 * du, b + 0.45 * dv
                glass = rgb(58, 76, 98) * (1.0 + 0.45 * j)
                sheet.polygon([at(a, b), at(c, b), at(c, d), at(a, d)], glass, shine=255)

    tall = 0.46 * wall
    shade = 0.8 if gable_lit else 1.0
    for u in (0.5, 0.76):
        window(u, 0.36 * wall, 0.15, tall, shade)
    window(0.145, wall + 0.10 * rise, 0.11, 0.32 * rise, 1.0 if gable_lit else 0.8)
    door = rgb(104, 66, 42) * (1.0 if gable_lit else 0.8)
    sheet.polygon(
        [at(0.115, 0), at(0.285, 0), at(0.285, 0.72 * wall), at(0.115, 0.72 * wall)], door * 0.6
    )
    sheet.polygon([at(0.13, 0), at(0.27, 0), at(0.27, 0.69 * wall), at(0.13, 0.69 * wall)], door)


def _hill_line(hill: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    y = np.full_like(x, hill[0])
    for k in range(_WAVES):
        amplitude, frequency, phase = hill[1 + 3 * k : 4 + 3 * k]
        y = y - amplitude * np.sin(2 * np.pi * (frequency * x + phase))
    return y


def draw_scene(scene: Scene, size: int, night: bool = False, edit: str | None = None) -> np.ndarray:
    """Draw a scene.

    Args:
        scene: from `make_scene`.
        size: side of the square picture in pixels.
        night: by moonlight instead of by day.
        edit: None leaves roofs and trees as the scene has them; "A" makes all roofs red and all
            trees round, "B" all roofs blue and all trees conifers; "blue roofs" and "conifers"
            are "A" with one half of that edit; "hues" gives each roof any hue, all of one
            brightness, and leaves the trees.

    Returns:
        uint8 array (size, size, 3).
    """
    t = (np.arange(size) + 0.5) / size
    y = t[:, None]
    light = 1.0 if scene.sun[0] > 0.5 else -1.0  # the side from which the sun shines
    lit = _moonlit if night else (lambda c: c)

    canvas, haze = _draw_sky(scene, size, t, night)
    far_haze = mix(haze, rgb(150, 176, 206), 0.5)

    # Three rows of hills, the far ones veiled by the air.
    greens = mix(rgb(78, 130, 50), rgb(130, 146, 56), scene.green)
    rows = (mix(rgb(92, 116, 132), greens, 0.16), mix(rgb(62, 104, 62), greens, 0.45), greens)
    for k, hill in enumerate(scene.hills):
        line = _hill_line(hill, t)
        rng = random_stream(scene.seed, _TEXTURE, 10 + k)
        rough = _noise(rng, np.array([0.5]), t, (1, 6), size, octaves=6, gain=0.55)[0]
        line = line + rough * (0.022, 0.006, 0.003)[k]
        cover = np.clip((y - line) * size + 0.5, 0, 1)[..., None]
        depth = np.clip((y - line) / 0.22, 0, 1)
        cells = ((8, 8), (14, 8), (14, 6))[k]
        grain = _noise(rng, t, t, cells, size, octaves=5, gain=0.62)
        slope = np.gradient(gaussian_filter(line, size / 22), 1 / size)
        shade = (
            1 + np.clip(-light * slope * 0.6, -0.22, 0.22)[None, :] + (0.2, 0.26, 0.26)[k] * grain
        )
        shade = shade + (0.08, 0.16, 0.19)[k] - (0.05, 0.30, 0.28)[k] * depth
        colour = rows[k] * shade[..., None]
        if k == 0 and scene.snow > 0:
            cap = np.clip((hill[0] - 0.012 + 0.6 * scene.snow - y + 0.025 * grain) * 130, 0, 1)
            colour = mix(
                colour, rgb(240, 244, 250) * (0.9 + 0.1 * shade[..., None]), cap[..., None]
            )
        if k == 2:
            # Meadows: broad patches of drier grass.
            patch = _noise(rng, np.sqrt(t), t, (7, 2), size, octaves=2)
            dry = np.clip(patch * 1.2, 0, 1)[..., None] * 0.45
            colour = mix(colour, rgb(168, 160, 76) * shade[..., None], dry)
        veil = (0.56, 0.30, 0.0)[k] * (0.55 + 0.6 * scene.haze)
        colour = mix(colour, far_haze, np.clip(veil, 0, 0.85) * (1 - 0.15 * depth[..., None]))
        canvas = mix(canvas, lit(colour), cover)
        if k == 1:
            canvas = _draw_far_trees(scene, size, canvas, t, light, far_haze, lit, edit)

    if scene.lake is not None:
        canvas = _draw_lake(scene, size, canvas, t, night)
    if scene.path:
        canvas = _draw_path(scene, size, canvas, t, lit)
    canvas = _draw_shadows(scene, size, canvas, light, night)
    return _draw_things(scene, size, canvas, t, light, lit, night, edit)


def _draw_sky(scene: Scene, size: int, t: np.ndarray, night: bool) -> tuple[np.ndarray, np.ndarray]:
    """The sky (size, size, 3) and the colour of its horizon by day (the colour of haze)."""
    y, x = t[:, None], t[None, :]
    sun_x, sun_y, sun_r = scene.sun
    zenith_a, zenith_b, low_a, low_b = (rgb(*c) for c in _SKIES[scene.sky])
    zenith, horizon = mix(zenith_a, zenith_b, scene.sky_tone), mix(low_a, low_b, scene.sky_tone)
    down = np.clip(y / 0.55, 0, 1)[..., None] ** 0.85
    distance = np.sqrt((x - sun_x) ** 2 + (y - sun_y) ** 2)[..., None]
    disc = np.clip((sun_r - distance) * size + 0.5, 0, 1)

    # Clouds: rows of the lattice crowd together towards the horizon, as a flat layer would.
    rows = (1 - 0.8 * np.clip(1 - t / 0.72, 0, 1)) ** 1.6
    cloud = _noise(
        random_stream(scene.seed, _TEXTURE, 1), rows, t, (5, 3), size, octaves=6, gain=0.55
    )
    above = _noise(
        random_stream(scene.seed, _TEXTURE, 1),
        np.clip(rows - 0.035, 0, 1),
        t,
        (5, 3),
        size,
        6,
        0.55,
    )
    density = np.clip((cloud + 0.62 * scene.clouds - 0.32) * 2.1, 0, 1)[..., None]
    density = density * density * (3 - 2 * density)
    density = density * np.clip((0.60 - y) / 0.2, 0, 1)[..., None]
    thick = np.clip(0.5 + 1.3 * (above - cloud) + 0.55 * (cloud + 0.1), 0, 1)[..., None]

    if night:
        sky = mix(rgb(7, 10, 34), mix(rgb(30, 44, 88), horizon * rgb(0.2, 0.24, 0.4), 0.4), down)
        glow = 1 / (1 + (distance / (2.2 * sun_r)) ** 2)
        sky = sky + (1 - 0.3 * density) * rgb(66, 76, 104) * glow
        stars = _draw_stars(scene, size) * (1 - 0.85 * density) * np.clip(1 - 2.2 * glow, 0, 1)
        sky = sky + stars * rgb(255, 250, 232)
        bright = mix(rgb(30, 38, 68), rgb(84, 94, 128), np.clip(glow * 1.6, 0, 1))
        sky = mix(sky, bright, density * 0.75 * (1 - 0.45 * thick))
        face = np.ones((size, size))
        for dx, dy, r in ((-0.35, -0.25, 0.30), (0.25, 0.2, 0.36), (-0.15, 0.5, 0.2)):
            away = np.sqrt((x - sun_x - dx * sun_r) ** 2 + (y - sun_y - dy * sun_r) ** 2) / sun_r
            face = face - 0.12 * np.clip((r - away) * 6, 0, 1)
        moon = rgb(244, 240, 218) * face[..., None]
        return mix(sky, moon, disc * (1 - 0.25 * density)), horizon

    sky = mix(zenith, horizon, down)
    glow = 1 / (1 + (distance / (2.0 * sun_r)) ** 2)
    warm = np.clip(1 - distance / 0.62, 0, 1) ** 2
    sky = mix(sky, rgb(255, 240, 206), 0.32 * warm)
    sky = mix(sky, rgb(255, 248, 222), np.clip(glow * 0.85, 0, 1))
    white = mix(rgb(255, 253, 248), mix(rgb(172, 182, 200), horizon, 0.35), thick * 0.85)
    sky = mix(sky, mix(white, rgb(255, 246, 220), 0.3 * warm), density * 0.94)
    return mix(sky, rgb(255, 246, 190), disc * (1 - 0.35 * density)), horizon


def _draw_stars(scene: Scene, size: int) -> np.ndarray:
    """Stars as small soft dots (size, size, 1), 0..1."""
    rng = random_stream(scene.seed, _TEXTURE, 2)
    n = 110
    px, py = rng.uniform(0, 1, n) * size, rng.uniform(0, 0.55, n) * size
    power = rng.uniform(0.15, 1.0, n) ** 2
    width = np.maximum(0.5, size * (0.0028 + 0.0022 * power))
    reach = int(np.ceil(3 * width.max()))
    grid = np.zeros((size + 2 * reach + 2, size + 2 * reach + 2))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    iy, ix = py.astype(np.intp)[:, None, None] + dy, px.astype(np.intp)[:, None, None] + dx
    away = (iy + 0.5 - py[:, None, None]) ** 2 + (ix + 0.5 - px[:, None, None]) ** 2
    spots = power[:, None, None] * np.exp(-away / (2 * width[:, None, None] ** 2))
    np.add.at(grid, (iy + reach, ix + reach), spots)
    return np.clip(grid[reach : reach + size, reach : reach + size, None] * 1.15, 0, 1)


def _draw_far_trees(scene, size, canvas, t, light, haze, lit, edit) -> np.ndarray:
    sheet = _Sheet(size)
    for tree in scene.far_trees:
        foot = float(_hill_line(scene.hills[1], np.array([tree.x]))[0]) + 0.008 + tree.y
        small = Tree(tree.x, foot, tree.height, tree.conifer, tree.tone, tree.seed)
        _draw_tree(sheet, small, light, haze, 0.22 + 0.2 * scene.haze, edit)
    colour, cover, _ = sheet.finish()
    return canvas * (1 - cover) + _lit_sheet(colour, cover, lit)


def _draw_tree(sheet, tree, light, haze, far, edit) -> None:
    conifer = _CONIFERS.get(edit, tree.conifer)
    (_draw_conifer if conifer else _draw_round_tree)(sheet, tree, light, haze, far)


def _lit_sheet(colour: np.ndarray, cover: np.ndarray, lit) -> np.ndarray:
    return lit(colour / np.maximum(cover, 1e-6)) * cover


def _draw_lake(scene: Scene, size: int, canvas: np.ndarray, t: np.ndarray, night: bool):
    """A lake that mirrors what stands above its far shore."""
    cx, cy, width = scene.lake
    y, x = t[:, None], t[None, :]
    rng = random_stream(scene.seed, _TEXTURE, 3)
    edge = _noise(rng, np.array([0.5]), t, (1, 7), size, octaves=3)[0] * 0.012
    ripple = _noise(rng, t, t, (64, 8), size, octaves=2, gain=0.5)
    half = 0.075
    d = np.sqrt(np.clip(1 - ((x - cx) / (width / 2)) ** 2, 0, 1)) * half
    inside = np.minimum(y - (cy - d * 0.6 + edge), (cy + d + edge) - y)
    cover = np.clip(inside * size + 0.5, 0, 1) * (np.abs(x - cx) < width / 2)
    shore = np.clip(inside * size / max(1.0, size * 0.012) + 1.4, 0, 1) * (
        np.abs(x - cx) < width / 2
    )
    canvas = canvas * (1 - 0.35 * (shore[..., None] * (1 - cover[..., None])))
    top = cy - half * 0.6
    mirror = np.clip(2 * top - 1.9 * (y - top) - top + 0.012 * ripple, 0, 1 - 1e-9)
    rows = (mirror * size).astype(np.intp)
    columns = np.broadcast_to(np.arange(size), (size, size))
    image = canvas[rows, columns]
    water = mix(image, rgb(20, 34, 66) if night else rgb(70, 122, 158), 0.34)
    water = water * (1 + 0.10 * ripple[..., None])
    return mix(canvas, water, cover[..., None])


def _draw_path(scene: Scene, size: int, canvas: np.ndarray, t: np.ndarray, lit) -> np.ndarray:
    """A path from the lower edge to the door of the nearest house."""
    house = max(scene.houses, key=lambda a: a.y)
    rng = random_stream(scene.seed, _TEXTURE, 4)
    door = house.x + house.width * (0.2 if house.gable_left else 0.8)
    bend, end = rng.uniform(-0.10, 0.10), door + rng.uniform(-0.22, 0.22)
    y, x = t[:, None], t[None, :]
    along = np.clip((y - house.y) / (1.0 - house.y), 0, 1)
    centre = door + (end - door) * along**1.4 + bend * np.sin(np.pi * along)
    half = 0.026 + 0.055 * along
    rough = _noise(rng, t, t, (40, 20), size, octaves=3)
    cover = np.clip((half - np.abs(x - centre) + 0.006 * rough) * size + 0.5, 0, 1)
    cover = cover * np.clip((y - house.y + 0.004) * size + 0.5, 0, 1)
    sand = rgb(206, 184, 140) * (1 + 0.10 * rough[..., None])
    return mix(canvas, lit(sand), 0.9 * cover[..., None])


def _draw_shadows(
    scene: Scene, size: int, canvas: np.ndarray, light: float, night: bool
) -> np.ndarray:
    """Soft shadows on the grass, away from the sun; the same under round trees and conifers."""
    factor = 2
    s = size * factor
    mask = Image.new("L", (s, s))
    pen = ImageDraw.Draw(mask)
    for tree in scene.trees:
        x, h = tree.x - light * 0.20 * tree.height, tree.height
        box = [x - 0.36 * h, tree.y - 0.055 * h, x + 0.36 * h, tree.y + 0.06 * h]
        pen.ellipse([c * s for c in box], fill=255)
    for a in scene.houses:
        far = -light * 0.38 * a.width
        left, right, up = a.x, a.x + a.width, 0.13 * a.width
        corners = [(left, a.y), (right, a.y), (right + far, a.y - up), (left + far, a.y - up)]
        pen.polygon([c * s for p in corners for c in p], fill=255)
        near = [(left, a.y - 0.01), (right, a.y - 0.01), (right, a.y + 0.012), (left, a.y + 0.012)]
        pen.polygon([c * s for p in near for c in p], fill=200)
    soft = gaussian_filter(np.asarray(mask.reduce(factor), float) / 255, size * 0.006)[..., None]
    tint = rgb(0.5, 0.42, 0.34) if not night else rgb(0.5, 0.48, 0.4)
    return canvas * (1 - soft * tint)


def _draw_things(scene, size, canvas, t, light, lit, night, edit) -> np.ndarray:
    """Houses, trees, fence and flowers, back to front, and the light from the windows."""
    sheet = _Sheet(size)
    things = [*scene.houses, *scene.trees]
    none = rgb(0, 0, 0)
    for thing in sorted(things, key=lambda a: a.y):
        if isinstance(thing, House):
            _draw_house(sheet, thing, _roof(scene, thing, edit), light)
        else:
            _draw_tree(sheet, thing, light, none, 0.0, edit)
    if scene.fence:
        _draw_fence(sheet, scene, light)
    _draw_flowers(sheet, scene)
    colour, cover, shine = sheet.finish()
    grain = _noise(
        random_stream(scene.seed, _TEXTURE, 5), t, t, (48, 48), size, octaves=2, gain=0.7
    )
    colour = colour * (1 + 0.07 * grain[..., None])
    canvas = canvas * (1 - cover) + _lit_sheet(colour, cover, lit)
    if night:
        halo = gaussian_filter(shine[..., 0], size * 0.022)[..., None]
        wide = gaussian_filter(shine[..., 0], size * 0.06)[..., None]
        canvas = canvas + (0.55 * halo + 0.5 * wide) * rgb(255, 176, 84)
        canvas = mix(canvas, rgb(255, 206, 112), shine)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _roof(scene: Scene, house: House, edit: str | None) -> tuple[float, float, float]:
    if edit == "hues":
        place = scene.houses.index(house)
        return hue_of_one_brightness(random_stream(scene.seed, _HUES, place).uniform())
    return {None: _ROOFS[house.roof_kind], **_ROOF_OF}[edit]


def hue_of_one_brightness(hue: float, brightness: float = 100.0) -> tuple[float, float, float]:
    """The strongest colour of a hue in [0, 1) whose grey is the same for all hues.

    Grey is the luma of `LUMA`. Channels stay within 15 to 210:
    the lit side of a roof is drawn lighter, and a channel cut off at 255 would betray the hue.
    """
    pure = np.array(colorsys.hsv_to_rgb(hue, 1.0, 1.0))
    away = pure - pure @ LUMA
    room = np.where(away > 0, 210 - brightness, 15 - brightness)
    strength = min(r / a for r, a in zip(room, away, strict=True) if a)
    return tuple(float(channel) for channel in brightness + strength * away)


def _draw_fence(sheet: _Sheet, scene: Scene, light: float) -> None:
    y, h = scene.fence, 0.058
    left = scene.sun[0] > 0.5
    x0, x1 = (0.0, 0.42) if left else (0.58, 1.0)
    wood = rgb(206, 190, 164)
    for v in (0.35, 0.75):
        top = y - h * v
        sheet.polygon([(x0, top), (x1, top), (x1, top + 0.009), (x0, top + 0.009)], wood * 0.82)
    for x in np.arange(x0 + 0.02, x1, 0.06):
        post = [(x, y), (x, y - h), (x + 0.007, y - h - 0.008), (x + 0.014, y - h), (x + 0.014, y)]
        sheet.polygon(post, wood)


def _draw_flowers(sheet: _Sheet, scene: Scene) -> None:
    rng = random_stream(scene.seed, _TEXTURE, 6)
    kinds = ((238, 214, 84), (232, 120, 130), (244, 240, 232), (176, 130, 206))
    for _ in range(scene.flowers):
        y = 0.885 + 0.11 * float(np.sqrt(rng.uniform(0, 1)))
        x, kind = rng.uniform(0, 1), kinds[int(rng.integers(4))]
        r = 0.0035 + 0.035 * (y - 0.86)
        sheet.disc(x, y, r, 0.85 * r, kind)
