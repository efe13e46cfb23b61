"""Reading many picture files: at the size to train on, with what there is to say of each."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from cyclegan_course.errors import CourseError
from cyclegan_course.images import photo_to_picture, read_picture, shown
from cyclegan_course.images.reading import decode_photo, read_bytes

THUMBNAIL = 24  # pixels: pictures are compared at this size
_COLOURS = 64  # pixels: colours are measured at this size


@dataclass(frozen=True)
class PictureFacts:
    """What is known of one picture file after it was read once.

    Attributes:
        path: of the file.
        size: width and height in pixels, upright.
        format: "JPEG", "PNG", ... by its content.
        notes: what is unusual about it, see `images.Photo`.
        digest: SHA-256 of the file's content, in hexadecimal digits.
        thumbnail: uint8 (24, 24, 3), the whole picture squeezed into a square.
        lab: (2, 3) float32, mean and deviation of L*, a*, b* (CIELAB, D65) of its pixels, after
            reduction to 64 x 64.
    """

    path: Path
    size: tuple[int, int]
    format: str
    notes: tuple[str, ...]
    digest: str
    thumbnail: np.ndarray
    lab: np.ndarray


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used, and the sentence that says why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Reading:
    """What came of reading many files.

    Attributes:
        pictures: uint8 arrays (H, W, 3), one for each of `facts`: a list, or `PictureFiles`.
        facts: of the files that were read.
        skipped: the others.
    """

    pictures: Sequence[np.ndarray]
    facts: list[PictureFacts]
    skipped: list[Skipped]


def read_all(
    paths: Sequence[Path],
    load_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
    keep: bool = True,
) -> Reading:
    """Read every picture once, its short side resized to `load_size`.

    Args:
        keep: keep the pictures; otherwise only their sizes, to read each again when it is used.
    """

    def read(path: Path) -> tuple[np.ndarray | tuple[int, int], PictureFacts] | Skipped:
        try:
            picture, facts = read_with_facts(path)
            pixels = np.asarray(resize_short_side(picture, load_size))
        except CourseError as error:
            return Skipped(path, str(error))
        return (pixels if keep else pixels.shape[:2]), facts

    with ThreadPoolExecutor(max_workers=4) as workers:
        # The paths first: their number is known, so a progress bar shows the time left.
        found = [what for _, what in zip(progress(paths), workers.map(read, paths), strict=True)]
    good = [what for what in found if not isinstance(what, Skipped)]
    pictures: Sequence = [picture for picture, _ in good]
    facts = [facts for _, facts in good]
    if not keep:
        pictures = PictureFiles([entry.path for entry in facts], pictures, load_size)
    return Reading(pictures, facts, [what for what in found if isinstance(what, Skipped)])


def read_with_facts(path: Path) -> tuple[Image.Image, PictureFacts]:
    """A picture, as `images.read_picture` gives it, and what is known of its file.

    Raises CourseError as `images.read_picture` does.
    """
    data = read_bytes(path)
    photo = decode_photo(data, path)
    picture = photo_to_picture(photo)
    small = picture.resize((_COLOURS, _COLOURS), Image.Resampling.BOX)
    lab = rgb2lab(np.asarray(small)).reshape(-1, 3)
    facts = PictureFacts(
        path=path,
        size=picture.size,
        format=photo.format,
        notes=photo.notes,
        digest=hashlib.sha256(data).hexdigest(),
        thumbnail=np.asarray(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
        lab=np.stack([lab.mean(0), lab.std(0)]).astype(np.float32),
    )
    return picture, facts


def bytes_in_memory(path: Path, load_size: int) -> int:
    """What a picture will take after resizing, by its header; 0 for a file that is none."""
    if not path.is_file():  # opening a pipe would wait for ever
        return 0
    with contextlib.suppress(Exception), Image.open(path) as image:
        width, height = _resized(image.size, load_size)
        return 3 * width * height
    return 0


class PictureFiles(Sequence):
    """Pictures that are read from their files each time they are asked for.

    Args:
        paths: of files that were readable a moment ago.
        sizes: (H, W) of each picture after resizing, known before it is read.
        load_size: pixels of the short side after resizing.
    """

    def __init__(
        self, paths: Sequence[Path], sizes: Sequence[tuple[int, int]], load_size: int
    ) -> None:
        self.paths, self.sizes, self.load_size = paths, sizes, load_size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return PictureFiles(self.paths[index], self.sizes[index], self.load_size)
        picture = np.asarray(resize_short_side(read_picture(self.paths[index]), self.load_size))
        if picture.shape[:2] != tuple(self.sizes[index]):
            raise CourseError(
                f"{shown(self.paths[index])} has changed its size since the training began; leave "
                "the pictures alone while it runs, then resume it."
            )
        return picture


def choose(pictures: Sequence[np.ndarray], indices: Sequence[int]) -> Sequence[np.ndarray]:
    """Some of the pictures: a list of a list, `PictureFiles` of `PictureFiles`."""
    if isinstance(pictures, PictureFiles):
        paths, sizes = (
            [entries[i] for i in indices] for entries in (pictures.paths, pictures.sizes)
        )
        return PictureFiles(paths, sizes, pictures.load_size)
    return [pictures[i] for i in indices]


def resize_short_side(picture: Image.Image, size: int) -> Image.Image:
    """The picture with its shorter side `size` pixels long, aspect kept (bicubic, antialiased)."""
    return picture.resize(_resized(picture.size, size), Image.Resampling.BICUBIC)


def _resized(sides: tuple[int, int], size: int) -> tuple[int, int]:
    """Both sides scaled so that the shorter one is `size`."""
    scale = size / min(sides)
    first, second = (max(size, round(side * scale)) for side in sides)
    return first, second
