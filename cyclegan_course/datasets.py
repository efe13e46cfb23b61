"""Pictures to train on: worlds and folders behind one interface, unpaired batches, image pool."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclegan_course import environment, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import find_pictures, read_picture

FOLDERS = ("trainA", "trainB", "testA", "testB")


@dataclass(frozen=True)
class Source:
    """Two domains, each a sequence of uint8 arrays (H, W, 3); nothing says who belongs to whom."""

    name: str
    domain_A: str
    domain_B: str
    train_A: Sequence[np.ndarray]
    train_B: Sequence[np.ndarray]
    test_A: Sequence[np.ndarray]
    test_B: Sequence[np.ndarray]
    skipped: tuple[str, ...] = ()


def open_source(
    data: str | Path,
    load_size: int,
    scenes: int = 2000,
    test_scenes: int = 48,
    progress: Callable[[Iterable], Iterable] = iter,
    memory: int | None = None,
) -> Source:
    """Open a world by its name, or a folder that holds trainA and trainB (testA, testB if there).

    A folder's pictures are kept in memory if all of them fit, and otherwise read again each time
    they are asked for. Either way every file is read once here, so that a broken one is found
    before the training and not in its third hour.

    Args:
        data: one of `worlds.WORLDS`, or a folder.
        load_size: a world is drawn at this size; a folder's pictures get it as their short side.
        scenes: number of training scenes per domain of a world.
        test_scenes: number of held-out scenes per domain of a world.
        progress: wraps the iteration over a folder's files, `tqdm` for instance.
        memory: bytes that a folder's pictures may take; by default `picture_memory()`.

    Raises:
        CourseError: if it is neither, or the folder has no readable pictures of A or of B.
    """
    if str(data) in worlds.WORLDS:
        return _world_source(str(data), load_size, scenes, test_scenes)
    return _folder_source(
        Path(data), load_size, progress, picture_memory() if memory is None else memory
    )


def picture_memory() -> int:
    """Bytes that pictures may take in this process: a quarter of the memory, the rest is to train.

    The processes that torchrun starts on one machine share it.
    """
    total = environment.total_memory() or 8 * 2**30  # Windows does not say
    return total // 4 // local_processes()


def local_processes() -> int:
    """Processes of this run on this machine, as torchrun says it; otherwise 1."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _world_source(name: str, size: int, scenes: int, test_scenes: int) -> Source:
    world = worlds.WORLDS[name]
    return Source(
        name=name,
        domain_A=world.domain_A,
        domain_B=world.domain_B,
        train_A=worlds.training_pictures(name, "A", scenes, size),
        train_B=worlds.training_pictures(name, "B", scenes, size),
        test_A=worlds.held_out(name, "A", test_scenes, size),
        # Another block of scenes, so that not even the test pictures of A and B are pairs.
        test_B=worlds.held_out(name, "B", test_scenes, size, start=test_scenes),
    )


def _folder_source(
    folder: Path, load_size: int, progress: Callable[[Iterable], Iterable], memory: int
) -> Source:
    if not folder.exists():
        raise CourseError(
            f"There is no folder {str(folder)!r}, and no world of that name; the worlds are "
            f"{', '.join(worlds.WORLDS)}."
        )
    if not folder.is_dir():
        raise CourseError(
            f"{str(folder)!r} is a file; give the folder that holds trainA and trainB."
        )
    for name in ("trainA", "trainB"):
        if not (folder / name).is_dir():
            raise CourseError(
                f"{str(folder)!r} has no folder {name}: put pictures of one domain into trainA and "
                "pictures of the other into trainB (and some more into testA and testB)."
            )
    paths = {
        name: find_pictures(folder / name) if (folder / name).is_dir() else [] for name in FOLDERS
    }
    bytes_needed = sum(
        _bytes_in_memory(path, load_size) for name in FOLDERS for path in paths[name]
    )
    pictures: dict[str, Sequence[np.ndarray]] = {}
    skipped: list[str] = []
    for name in FOLDERS:
        pictures[name], problems = read_all(
            paths[name], load_size, progress, keep=bytes_needed <= memory
        )
        skipped += problems
        if name.startswith("train") and not pictures[name]:
            reason = f" ({len(problems)} could not be read: {problems[0]})" if problems else ""
            raise CourseError(
                f"{str(folder / name)!r} holds no readable picture{reason}; put JPEG, PNG or WebP "
                "files there."
            )
    return Source(
        name=folder.resolve().name,
        domain_A="A",
        domain_B="B",
        train_A=pictures["trainA"],
        train_B=pictures["trainB"],
        # Without test folders the first training pictures stand in; the samples then show
        # pictures that the networks have seen.
        test_A=pictures["testA"] or pictures["trainA"][:48],
        test_B=pictures["testB"] or pictures["trainB"][:48],
        skipped=tuple(skipped),
    )


def read_all(
    paths: Sequence[Path],
    load_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
    keep: bool = True,
) -> tuple[Sequence[np.ndarray], list[str]]:
    """Read every picture once, its short side resized to `load_size`.

    Args:
        keep: keep the pictures; otherwise only their sizes, to read each again when it is used.

    Returns:
        The pictures as uint8 arrays (H, W, 3): a list if they are kept, else `PictureFiles`. And
        one sentence for each file that was skipped.
    """

    def read(path: Path) -> np.ndarray | tuple[int, int] | str:
        try:
            picture = _read_resized(path, load_size)
        except CourseError as error:
            return str(error)
        return picture if keep else picture.shape[:2]

    with ThreadPoolExecutor(max_workers=4) as workers:
        # The paths first: their number is known, so a progress bar shows the time left.
        found = list(zip(progress(paths), workers.map(read, paths), strict=True))
    good = [(path, what) for path, what in found if not isinstance(what, str)]
    pictures = [picture for _, picture in good]
    if not keep:
        pictures = PictureFiles([path for path, _ in good], pictures, load_size)
    return pictures, [what for _, what in found if isinstance(what, str)]


def _read_resized(path: Path, load_size: int) -> np.ndarray:
    return np.asarray(resize_short_side(read_picture(path), load_size))


def _bytes_in_memory(path: Path, load_size: int) -> int:
    """What a picture will take after resizing, by its header; 0 for a file that is none."""
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
        picture = _read_resized(self.paths[index], self.load_size)
        if picture.shape[:2] != tuple(self.sizes[index]):
            raise CourseError(
                f"{self.paths[index]} has changed its size since the training began; leave the "
                "pictures alone while it runs, then resume it."
            )
        return picture


def resize_short_side(picture: Image.Image, size: int) -> Image.Image:
    """The picture with its shorter side `size` pixels long, aspect kept (bicubic, antialiased)."""
    return picture.resize(_resized(picture.size, size), Image.Resampling.BICUBIC)


def _resized(sides: tuple[int, int], size: int) -> tuple[int, int]:
    """Both sides scaled so that the shorter one is `size`."""
    scale = size / min(sides)
    first, second = (max(size, round(side * scale)) for side in sides)
    return first, second


def middle_square(picture: np.ndarray, side: int) -> np.ndarray:
    """The (side, side, 3) in the middle of an array (H, W, 3) that is at least as large."""
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


class Crop(NamedTuple):
    """A square of one picture of a sequence, mirrored left to right or not; in pixels."""

    picture: int
    top: int
    left: int
    mirrored: bool


class UnpairedCrops:
    """Which crops make up the batch of a step, as a pure function of the step.

    A goes through all its pictures in a new order each epoch; the partner from B is drawn at
    random. Each picture is randomly cropped and mirrored. All random numbers of step t come from
    the seed and t alone, so a training that continues at step t sees what it would have seen.

    Args:
        A, B: sequences of uint8 arrays (H, W, 3), H and W at least `size`; lengths may differ.
        size: side of the crops in pixels.
        batch: pictures of each domain per step, of all processes together.
        seed: of everything random here.
        flip: mirror left and right with probability 1/2.
        rank, processes: this is process `rank` of so many, which share each batch: the first
            gets its first pictures, and so on. All together see what one process alone would.

    Raises:
        CourseError: if the batch cannot be shared equally.
    """

    def __init__(
        self,
        A: Sequence[np.ndarray],
        B: Sequence[np.ndarray],
        size: int,
        batch: int = 1,
        seed: int = 0,
        flip: bool = True,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        if batch % processes:
            raise CourseError(
                f"A batch of {batch} cannot be shared equally by {processes} processes: choose a "
                f"multiple of {processes}, {-(-batch // processes) * processes} for instance."
            )
        self.A, self.B = A, B
        self.size, self.batch, self.seed, self.flip = size, batch, seed, flip
        self.mine = slice(rank * batch // processes, (rank + 1) * batch // processes)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def __call__(self, step: int) -> tuple[list[Crop], list[Crop]]:
        """The crops of A and of B that this process trains on in a step."""
        rng = np.random.default_rng([self.seed, 1, step])
        first = step * self.batch
        # Every process draws the whole batch, or its share would depend on their number.
        crops_A = [self._crop(self.A, self._index_A(first + i), rng) for i in range(self.batch)]
        crops_B = [
            self._crop(self.B, int(rng.integers(len(self.B))), rng) for _ in range(self.batch)
        ]
        return crops_A[self.mine], crops_B[self.mine]

    def _index_A(self, position: int) -> int:
        epoch, place = divmod(position, len(self.A))
        if self._order[0] != epoch:
            shuffled = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.A))
            self._order = (epoch, shuffled)
        return int(self._order[1][place])

    def _crop(self, pictures: Sequence[np.ndarray], index: int, rng: np.random.Generator) -> Crop:
        if isinstance(pictures, PictureFiles):
            height, width = pictures.sizes[index]
        else:
            height, width = pictures[index].shape[:2]
        top = int(rng.integers(height - self.size + 1))
        left = int(rng.integers(width - self.size + 1))
        return Crop(index, top, left, self.flip and bool(rng.random() < 0.5))


def cut(pictures: Sequence[np.ndarray], crops: Sequence[Crop], size: int) -> Tensor:
    """The crops' pixels: uint8, (N, size, size, 3)."""
    squares = np.empty((len(crops), size, size, 3), dtype=np.uint8)
    for square, (index, top, left, mirrored) in zip(squares, crops, strict=True):
        crop = pictures[index][top : top + size, left : left + size]
        square[...] = crop[:, ::-1] if mirrored else crop
    return torch.from_numpy(squares)


def to_images(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1], on the same device: x / 127.5 - 1."""
    images = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    # Divided by a tensor: for a number, CUDA multiplies by the reciprocal, which rounds otherwise.
    return images.div_(torch.full((), 127.5, device=pixels.device)).sub_(1)


class UnpairedBatches:
    """Batches of pictures of A and of B that are not pairs, as a pure function of the step.

    Args:
        A, B, size, batch, seed, flip: as for `UnpairedCrops`, which says what is random.
    """

    def __init__(
        self,
        A: Sequence[np.ndarray],
        B: Sequence[np.ndarray],
        size: int,
        batch: int = 1,
        seed: int = 0,
        flip: bool = True,
    ) -> None:
        self.crops = UnpairedCrops(A, B, size, batch, seed, flip)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: real_A and real_B, each (batch, 3, size, size) in [-1, 1]."""
        crops_A, crops_B = self.crops(step)
        real_A = to_images(cut(self.crops.A, crops_A, self.crops.size))
        real_B = to_images(cut(self.crops.B, crops_B, self.crops.size))
        return real_A, real_B


class ImagePool:
    """A history of fakes, so that a discriminator does not forget what it has already caught.

    Until the pool is full every fake is stored and returned. After that each fake is, with
    probability 1/2, returned as it is, or else swapped for a random one of the pool, which is
    returned in its place (Shrivastava et al. 2017, section 2.3; size 50 in CycleGAN).

    Args:
        size: number of stored pictures; 0 returns every fake as it is.
        seed: of the draws.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)
        self.pictures: list[Tensor] = []

    def __call__(self, fakes: Tensor) -> Tensor:
        """Take fresh fakes (N, 3, H, W), give as many to show the discriminator."""
        return torch.stack([self._exchange(fake) for fake in fakes.detach()])

    def _exchange(self, fake: Tensor) -> Tensor:
        if len(self.pictures) < self.size:
            self.pictures.append(fake.clone())
            return fake
        if self.size == 0 or torch.rand((), generator=self.generator) < 0.5:
            return fake
        place = int(torch.randint(self.size, (), generator=self.generator))
        old, self.pictures[place] = self.pictures[place], fake.clone()
        return old


class TensorPool:
    """The rule of `ImagePool` on one tensor, for the fast step: no list, no waiting for the device.

    The random numbers come from outside, so that a recorded step can be given new ones each time.

    Args:
        size: number of stored pictures; 0 returns every fake as it is.
        picture: shape of one picture, (3, H, W).
        device: where the pictures are kept.

    Attributes:
        pictures: (size, 3, H, W), the first `count` of them stored fakes.
        count: int64 of shape (), on the device.
    """

    def __init__(self, size: int, picture: tuple[int, int, int], device: torch.device) -> None:
        self.size = size
        self.pictures = torch.zeros(size, *picture, device=device)
        self.count = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, fakes: Tensor, draws: Tensor) -> Tensor:
        """Take fresh fakes (N, 3, H, W), give as many to show the discriminator.

        Args:
            draws: (N, 2) uniform in [0, 1): below 1/2 the first number lets the fake through, the
                second chooses the place of the exchange.
        """
        fakes = fakes.detach()
        if self.size == 0:
            return fakes
        shown = []
        for fake, (coin, where) in zip(fakes, draws, strict=True):
            filling = self.count < self.size
            random_place = (where * self.size).long().clamp(max=self.size - 1)
            place = torch.where(filling, self.count, random_place)[None]
            old = self.pictures.index_select(0, place)[0]
            swapped = filling | (coin >= 0.5)
            shown.append(torch.where(swapped & ~filling, old, fake))
            kept = torch.where(swapped, fake, old)
            self.pictures.index_copy_(0, place, kept[None].to(self.pictures.dtype))
            self.count += filling
        return torch.stack(shown)
