"""Picture worlds: little landscapes drawn from an integer seed, each scene in two domains.

Training sees domain A of even seeds and domain B of odd seeds, so never the same scene twice: the
data are unpaired. Since the renderer knows both sides of every scene, the truth of held-out scenes
exists all the same. It stays sealed until evaluation calls `open_sealed_pairs`.

Separate random streams of one seed feed the scene, its textures (see `scenes`), the damage of
`restoration` and the painter: one never shifts the other.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cyclegan_course.errors import CourseError
from cyclegan_course.painter import paint
from cyclegan_course.scenes import draw_scene, make_scene, mix, random_stream, rgb

__all__ = [
    "APPLICATIONS",
    "LOOKS",
    "WORLDS",
    "World",
    "damage",
    "held_out",
    "low_resolution",
    "open_sealed_pairs",
    "paint",
    "photographs",
    "render",
    "training_pictures",
]

HELD_OUT_SEED = 1_000_000  # training seeds stay below, held-out seeds start here
SMALLEST_SIZE = 16
SUPERRES_FACTOR = 4
_DAMAGE = 2  # random stream; the scene and its textures have 0 and 1


@dataclass(frozen=True)
class World:
    """A pair of picture domains.

    Attributes:
        name: key in `WORLDS`.
        title: short title, A to B.
        domain_A: what the pictures of domain A show.
        domain_B: what the pictures of domain B show.
        family: the family of applications that the world stands for, or what it shows.
        summary: one or two sentences on what a translator has to learn.
    """

    name: str
    title: str
    domain_A: str
    domain_B: str
    family: str
    summary: str


WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        World(
            "painting",
            "Photograph to oil painting",
            "landscape like a photograph",
            "oil painting with visible brush strokes",
            "style transfer",
            "Everything stays where it is; colours grow stronger and surfaces turn into strokes.",
        ),
        World(
            "night",
            "Day to night",
            "landscape by day",
            "the landscape by night, with moon, stars and lit windows",
            "cross-domain translation",
            "The light changes, the moon stands where the sun was, and windows light up.",
        ),
        World(
            "restoration",
            "Damaged to clean",
            "picture with noise, scratches and dust",
            "clean picture",
            "restoration",
            "Noise, scratches and dust have to go, and what they hid has to be filled in.",
        ),
        World(
            "superres",
            "Low resolution to sharp",
            "picture of a quarter of the resolution, enlarged",
            "sharp picture",
            "super-resolution",
            "Edges and textures that the small picture has lost have to be invented plausibly.",
        ),
        World(
            "editing",
            "Red roofs and round trees to blue roofs and conifers",
            "red roofs, round trees",
            "blue roofs, conifers",
            "editing of colour and of shape",
            "Roofs change their colour, trees change their shape, all else has to stay.",
        ),
        World(
            "grey",
            "Roofs of any colour to grey",
            "landscape with roofs of any hue",
            "the landscape in grey",
            "information that is lost",
            "All roofs have one grey, so nobody can tell their hue from the grey picture.",
        ),
    )
}

# The worlds of the applications; `grey` is for one experiment.
APPLICATIONS = ("painting", "night", "restoration", "superres", "editing")

# Each look of their pictures once, as world and domain: the worlds share their clean pictures.
LOOKS = (
    ("painting", "A"),
    ("painting", "B"),
    ("night", "B"),
    ("restoration", "A"),
    ("superres", "A"),
    ("editing", "A"),
    ("editing", "B"),
)


def damage(picture: np.ndarray, seed: int) -> np.ndarray:
    """Noise, scratches, dust and fading of an old print; uint8 (S, S, 3) to the same."""
    size = picture.shape[0]
    rng = random_stream(seed, _DAMAGE)
    faded = picture.astype(float) * 0.86 + 16
    grain = Image.fromarray(rng.normal(0, 1, (256, 256)).astype(np.float32))
    grain = np.asarray(grain.resize((size, size), Image.Resampling.BOX), float)
    faded = faded + 15 * (grain / max(grain.std(), 1e-6))[..., None]

    factor = 3
    s = size * factor
    layers = {kind: Image.new("L", (s, s)) for kind in ("bright", "dark")}
    pens = {kind: ImageDraw.Draw(image) for kind, image in layers.items()}
    for _ in range(int(rng.integers(5, 9))):
        kind = "bright" if rng.uniform() < 0.7 else "dark"
        x, lean, curl = rng.uniform(0, 1), rng.uniform(-0.35, 0.35), rng.uniform(-0.3, 0.3)
        start, length, wave = rng.uniform(-0.2, 0.6), rng.uniform(0.35, 1.1), rng.uniform(0, 6.3)
        along = np.linspace(0, 1, 24)
        px = x + lean * along + curl * np.sin(3.0 * along + wave) * along
        py = start + length * along
        if rng.uniform() < 0.25:
            px, py = py, px
        points = (np.stack([px, py], axis=1) * s).ravel().tolist()
        pens[kind].line(points, fill=235, width=max(2, round(s * rng.uniform(0.0045, 0.0085))))
    for _ in range(int(rng.integers(14, 30))):
        kind = "bright" if rng.uniform() < 0.6 else "dark"
        x, y, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.003, 0.011)
        flat = rng.uniform(0.6, 1.0)
        box = [(x - r) * s, (y - r * flat) * s, (x + r) * s, (y + r * flat) * s]
        pens[kind].ellipse(box, fill=240)
    for kind, colour in (("bright", rgb(246, 243, 234)), ("dark", rgb(38, 32, 28))):
        cover = np.asarray(layers[kind].reduce(factor), float)[..., None] / 255
        faded = mix(faded, colour, cover)
    return np.clip(np.rint(faded), 0, 255).astype(np.uint8)


def low_resolution(picture: np.ndarray) -> np.ndarray:
    """Mean over blocks of 4 x 4 pixels, enlarged again with the bicubic kernel."""
    size = picture.shape[0]
    small = max(1, round(size / SUPERRES_FACTOR))
    image = Image.fromarray(picture).resize((small, small), Image.Resampling.BOX)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)).copy()


def _grey(picture: np.ndarray) -> np.ndarray:
    """The luma of ITU-R BT.601 in all three channels."""
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB")).copy()


def _check(world: str, size: int, domain: str = "A") -> None:
    if world not in WORLDS:
        raise CourseError(f"There is no world {world!r}: choose one of {', '.join(WORLDS)}.")
    if domain not in ("A", "B"):
        raise CourseError(f"There is no domain {domain!r}: choose A or B.")
    if not isinstance(size, int | np.integer) or size < SMALLEST_SIZE:
        raise CourseError(
            f"A picture of size {size!r} is not possible: choose a whole number of at least "
            f"{SMALLEST_SIZE} pixels."
        )


def render(world: str, seed: int, domain: str, size: int) -> np.ndarray:
    """Render scene `seed` of a world in one domain.

    Args:
        world: a key of `WORLDS`.
        seed: non-negative integer, the number of the scene; the worlds share their scenes.
        domain: "A" or "B".
        size: side of the picture in pixels, at least 16.

    Returns:
        uint8 array (size, size, 3), RGB.

    Raises:
        CourseError: unknown world or domain, size below 16, or negative seed.
    """
    _check(world, size, domain)
    if seed < 0:
        raise CourseError(f"Scene {seed} does not exist: scenes are numbered from 0.")
    size, seed = int(size), int(seed)
    scene = make_scene(seed)
    if world == "night":
        return draw_scene(scene, size, night=domain == "B")
    if world == "editing":
        return draw_scene(scene, size, edit=domain)
    if world == "grey":
        coloured = draw_scene(scene, size, edit="hues")
        return _grey(coloured) if domain == "B" else coloured
    clean = draw_scene(scene, size)
    if world == "painting":
        return paint(clean, seed) if domain == "B" else clean
    if world == "restoration":
        return damage(clean, seed) if domain == "A" else clean
    return low_resolution(clean) if domain == "A" else clean


class _LazyPictures(Sequence):
    """Pictures that are rendered when they are first asked for, and then kept."""

    def __init__(self, world: str, domain: str, seeds: range, size: int):
        self._arguments = (world, domain, size)
        self._seeds = seeds
        self._cache: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._seeds)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        seed = self._seeds[index]  # raises IndexError where a list would
        if seed not in self._cache:
            world, domain, size = self._arguments
            picture = render(world, seed, domain, size)
            picture.flags.writeable = False  # shared between all who ask for it
            self._cache[seed] = picture
        return self._cache[seed]


def training_pictures(world: str, domain: str, count: int, size: int) -> Sequence[np.ndarray]:
    """Unpaired training pictures: domain A of scenes 0, 2, 4..., domain B of scenes 1, 3, 5...

    Args:
        world: a key of `WORLDS`.
        domain: "A" or "B".
        count: number of pictures, 1 to 500 000.
        size: side in pixels, at least 16.

    Returns:
        A sequence of read-only uint8 arrays (size, size, 3), each rendered on first access.

    Raises:
        CourseError: as for `render`, or a count out of range.
    """
    _check(world, size, domain)
    if not 0 < count <= HELD_OUT_SEED // 2:
        raise CourseError(f"count is {count}: choose 1 to {HELD_OUT_SEED // 2} pictures.")
    first = 0 if domain == "A" else 1
    return _LazyPictures(world, domain, range(first, first + 2 * count, 2), size)


def _held_out_seeds(count: int, start: int) -> range:
    if count < 1 or start < 0:
        raise CourseError(
            f"count is {count} and start is {start}: ask for at least one picture, from 0 on."
        )
    return range(HELD_OUT_SEED + start, HELD_OUT_SEED + start + count)


def held_out(world: str, domain: str, count: int, size: int, start: int = 0) -> np.ndarray:
    """Pictures of scenes that training never uses.

    Args:
        world, domain, size: as for `render`.
        count: number of pictures.
        start: number of the first held-out scene, to get blocks that do not overlap.

    Returns:
        uint8 array (count, size, size, 3).
    """
    _check(world, size, domain)
    return np.stack([render(world, s, domain, size) for s in _held_out_seeds(count, start)])


def open_sealed_pairs(
    world: str, count: int, size: int, start: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of the same held-out scenes. For evaluation only.

    This is the only function that hands out a pairing. Training, and any choice made during
    training, must not call it: the course is about learning without pairs.

    Args:
        world, size: as for `render`.
        count, start: as for `held_out`, which gives the same scenes.

    Returns:
        (A, B), each a uint8 array (count, size, size, 3); A[i] and B[i] show the same scene.
    """
    return held_out(world, "A", count, size, start), held_out(world, "B", count, size, start)


# --- real photographs ----------------------------------------------------------------------------


def photographs() -> dict[str, np.ndarray]:
    """The photographs that the scikit-image and scikit-learn wheels carry, without any download.

    Returns:
        uint8 arrays (H, W, 3), RGB, each at its own size, by name: astronaut, chelsea, coffee,
        rocket (scikit-image) and china, flower (scikit-learn).

    Raises:
        CourseError: one of the two libraries, or a picture in it, is missing.
    """
    return {name: array.copy() for name, array in _load_photographs().items()}


@cache
def _load_photographs() -> dict[str, np.ndarray]:
    places = {
        "astronaut": ("skimage", "data/astronaut.png"),
        "chelsea": ("skimage", "data/chelsea.png"),
        "coffee": ("skimage", "data/coffee.png"),
        "rocket": ("skimage", "data/rocket.jpg"),
        "china": ("sklearn", "datasets/images/china.jpg"),
        "flower": ("sklearn", "datasets/images/flower.jpg"),
    }
    found = {}
    for name, (library, inside) in places.items():
        spec = importlib.util.find_spec(library)
        path = Path(spec.origin).parent / inside if spec and spec.origin else None
        if path is None or not path.is_file():
            raise CourseError(
                f"The photograph {name!r} of {library} is missing: "
                "reinstall with pip install --force-reinstall scikit-image scikit-learn."
            )
        with Image.open(path) as image:
            found[name] = np.asarray(image.convert("RGB"))
    return found
