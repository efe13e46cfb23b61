"""Pictures to train on: worlds and folders behind one interface, unpaired batches, image pool."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclegan_course import environment, inspection, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.folders import FOLDERS as FOLDERS
from cyclegan_course.folders import DataFolders, Opened, find_folders, read_folders
from cyclegan_course.picture_files import PictureFiles
from cyclegan_course.picture_files import read_all as read_all
from cyclegan_course.picture_files import resize_short_side as resize_short_side


@dataclass(frozen=True)
class Source:
    """Two domains, each a sequence of uint8 arrays (H, W, 3); nothing says who belongs to whom.

    Attributes:
        name: a plain word for the data.
        domain_A, domain_B: what the domains are called.
        train_A, train_B, test_A, test_B: the pictures.
        skipped: one sentence for each file that could not be used.
        opened: what was read of the folders; None for a world.
    """

    name: str
    domain_A: str
    domain_B: str
    train_A: Sequence[np.ndarray]
    train_B: Sequence[np.ndarray]
    test_A: Sequence[np.ndarray]
    test_B: Sequence[np.ndarray]
    skipped: tuple[str, ...] = ()
    opened: Opened | None = None

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the data that are worth saying before a training.

        Made when asked for: looking for copies compares every picture with every other.
        """
        return () if self.opened is None else inspection.make_report(self.opened).sentences()


def open_source(
    data: str | Path | tuple[str, str],
    load_size: int,
    scenes: int = 2000,
    test_scenes: int = 48,
    progress: Callable[[Iterable], Iterable] = iter,
    memory: int | None = None,
) -> Source:
    """Open a world by its name, or pictures in folders.

    Of a domain without test pictures some are held out, see `folders.hold_out`. The pictures are
    kept in memory if all of them fit, and otherwise read again each time they are asked for.
    Either way every file is read once here, so that a broken one is found before the training and
    not in its third hour.

    Args:
        data: one of `worlds.WORLDS`; a folder that holds trainA and trainB (testA, testB if there
            are any); the name of a downloaded set; or two folders, of A and of B.
        load_size: a world is drawn at this size; a folder's pictures get it as their short side.
        scenes: number of training scenes per domain of a world.
        test_scenes: number of held-out scenes per domain of a world.
        progress: wraps the iteration over a folder's files, `tqdm` for instance.
        memory: bytes that a folder's pictures may take; by default `picture_memory()`.

    Raises:
        CourseError: if it is none of these, a folder has no readable pictures of A or of B, or
            both domains are the same pictures.
    """
    if isinstance(data, str) and data in worlds.WORLDS:
        return _world_source(data, load_size, scenes, test_scenes)
    memory = picture_memory() if memory is None else memory
    return _folder_source(find_folders(data), load_size, progress, memory)


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
    where: DataFolders, load_size: int, progress: Callable[[Iterable], Iterable], memory: int
) -> Source:
    opened = read_folders(where, load_size, progress, memory)
    return Source(
        name=where.name,
        domain_A=where.domain_A,
        domain_B=where.domain_B,
        train_A=opened.train("A"),
        train_B=opened.train("B"),
        test_A=opened.test("A"),
        test_B=opened.test("B"),
        skipped=tuple(problem.reason for problem in opened.skipped),
        opened=opened,
    )


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
