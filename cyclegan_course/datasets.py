"""Pictures to train on: worlds and folders behind one interface, unpaired batches, image pool."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import find_pictures, picture_to_tensor, read_picture

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
) -> Source:
    """Open a world by its name, or a folder that holds trainA and trainB (testA, testB if there).

    Args:
        data: one of `worlds.WORLDS`, or a folder.
        load_size: a world is drawn at this size; a folder's pictures get it as their short side.
        scenes: number of training scenes per domain of a world.
        test_scenes: number of held-out scenes per domain of a world.
        progress: wraps the iteration over a folder's files, `tqdm` for instance.

    Raises:
        CourseError: if it is neither, or the folder has no readable pictures of A or of B.
    """
    if str(data) in worlds.WORLDS:
        return _world_source(str(data), load_size, scenes, test_scenes)
    return _folder_source(Path(data), load_size, progress)


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
    folder: Path, load_size: int, progress: Callable[[Iterable], Iterable]
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
    pictures: dict[str, list[np.ndarray]] = {}
    skipped: list[str] = []
    for name in FOLDERS:
        paths = find_pictures(folder / name) if (folder / name).is_dir() else []
        pictures[name], problems = read_all(paths, load_size, progress)
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
) -> tuple[list[np.ndarray], list[str]]:
    """Read every picture once, its short side resized to `load_size`.

    Reading everything first costs seconds and finds the one broken file before the training,
    not in its third hour.

    Returns:
        The pictures as uint8 arrays (H, W, 3), and one sentence for each file that was skipped.
    """

    def read(path: Path) -> np.ndarray | str:
        try:
            return np.asarray(resize_short_side(read_picture(path), load_size))
        except CourseError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=4) as workers:
        found = list(progress(workers.map(read, paths)))
    return (
        [picture for picture in found if not isinstance(picture, str)],
        [problem for problem in found if isinstance(problem, str)],
    )


def resize_short_side(picture: Image.Image, size: int) -> Image.Image:
    """The picture with its shorter side `size` pixels long, aspect kept (bicubic, antialiased)."""
    scale = size / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def middle_square(picture: np.ndarray, side: int) -> np.ndarray:
    """The (side, side, 3) in the middle of an array (H, W, 3) that is at least as large."""
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


class UnpairedBatches:
    """Batches of pictures of A and of B that are not pairs, as a pure function of the step.

    A goes through all its pictures in a new order each epoch; the partner from B is drawn at
    random. Each picture is randomly cropped and mirrored. All random numbers of step t come from
    the seed and t alone, so a training that continues at step t sees what it would have seen.

    Args:
        A, B: sequences of uint8 arrays (H, W, 3), H and W at least `size`; lengths may differ.
        size: side of the crops in pixels.
        batch: pictures of each domain per step.
        seed: of everything random here.
        flip: mirror left and right with probability 1/2.
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
        self.A, self.B = A, B
        self.size, self.batch, self.seed, self.flip = size, batch, seed, flip
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: real_A and real_B, each (batch, 3, size, size) in [-1, 1]."""
        rng = np.random.default_rng([self.seed, 1, step])
        first = step * self.batch
        real_A = [self._augment(self.A[self._index_A(first + i)], rng) for i in range(self.batch)]
        real_B = [
            self._augment(self.B[int(rng.integers(len(self.B)))], rng) for _ in range(self.batch)
        ]
        return torch.stack(real_A), torch.stack(real_B)

    def _index_A(self, position: int) -> int:
        epoch, place = divmod(position, len(self.A))
        if self._order[0] != epoch:
            shuffled = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.A))
            self._order = (epoch, shuffled)
        return int(self._order[1][place])

    def _augment(self, picture: np.ndarray, rng: np.random.Generator) -> Tensor:
        height, width, _ = picture.shape
        top = int(rng.integers(height - self.size + 1))
        left = int(rng.integers(width - self.size + 1))
        crop = picture[top : top + self.size, left : left + self.size]
        if self.flip and rng.random() < 0.5:
            crop = crop[:, ::-1]
        return picture_to_tensor(np.ascontiguousarray(crop))


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
