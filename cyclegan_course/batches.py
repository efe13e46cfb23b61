"""Where the pixels of a training's batches come from, so that the device never waits for them.

`batches_for` chooses: pictures held on the device and cropped there, pictures in memory, or
processes that read files ahead of the training. All give the same numbers, bit for bit, as
`datasets.UnpairedBatches`.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from cyclegan_course import environment
from cyclegan_course.datasets import (
    Crop,
    PictureFiles,
    Source,
    UnpairedCrops,
    cut,
    local_processes,
    to_images,
)
from cyclegan_course.errors import CourseError


class Batches:
    """real_A and real_B of a step: `batches(step)`.

    Attributes:
        says: one sentence, where the pixels come from.
    """

    says: str = ""

    def __init__(self, crops: UnpairedCrops, device: torch.device) -> None:
        self.crops, self.device = crops, device

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Each (n, 3, size, size) in [-1, 1] on the device; n is this process's share.

        The host does not wait for the device.
        """
        real_A, real_B = to_images(self.pixels(step)).chunk(2)
        return real_A, real_B

    def pixels(self, step: int) -> Tensor:
        """The crops of A, then those of B, on the device: uint8, (2 n, size, size, 3)."""
        raise NotImplementedError

    def close(self) -> None:
        """End what was started for these batches."""

    def _sent(self, tensor: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return tensor.to(self.device)
        # From pinned memory, the copy goes on while the host does.
        return tensor.pin_memory().to(self.device, non_blocking=True)


class MemoryBatches(Batches):
    """Cropped in this process from pictures in memory."""

    says = "The pictures are cropped in the computer's memory."

    def pixels(self, step: int) -> Tensor:
        crops_A, crops_B = self.crops(step)
        size = self.crops.size
        return self._sent(
            torch.cat([cut(self.crops.A, crops_A, size), cut(self.crops.B, crops_B, size)])
        )


class DeviceBatches(Batches):
    """Cropped and mirrored on the device, which holds all pictures.

    Pictures of any sizes lie one after the other in one tensor, `store`: uint8, (pixels, 3). A
    crop is then arithmetic: pixel (y, x) of it is row `first + y * width + x * direction` of the
    store, with direction -1 where it is mirrored. A batch is one gather; three numbers a crop are
    all that travels to the device.
    """

    def __init__(self, crops: UnpairedCrops, device: torch.device) -> None:
        super().__init__(crops, device)
        heaps = (crops.A, crops.B)
        shapes = [picture.shape[:2] for heap in heaps for picture in heap]
        ends = np.cumsum([height * width for height, width in shapes])
        self.starts = np.concatenate([[0], ends[:-1]])
        self.widths = [width for _, width in shapes]
        self.store = torch.empty(int(ends[-1]), 3, dtype=torch.uint8, device=device)
        for start, picture in zip(self.starts, chain(*heaps), strict=True):
            rows = torch.tensor(picture).view(-1, 3)
            self.store[start : start + len(rows)] = rows
        # Half as many bytes for the places of the pixels, where 32 bits can name them all.
        self.whole = torch.int32 if len(self.store) < 2**31 else torch.int64
        self.x = torch.arange(crops.size, device=device, dtype=self.whole)
        self.says = (
            f"All {len(shapes):,} pictures ({self.store.nbytes / 1e6:,.0f} MB) are held on the "
            "device and cropped there."
        )

    def pixels(self, step: int) -> Tensor:
        crops_A, crops_B = self.crops(step)
        places = [self._place(crop.picture, crop) for crop in crops_A]
        places += [self._place(len(self.crops.A) + crop.picture, crop) for crop in crops_B]
        numbers = self._sent(torch.tensor(places, dtype=self.whole))
        first, width, direction = numbers.T[..., None, None]
        rows = first + width * self.x[:, None] + direction * self.x
        size = self.crops.size
        return self.store.index_select(0, rows.flatten()).view(-1, size, size, 3)

    def _place(self, picture: int, crop: Crop) -> tuple[int, int, int]:
        """First pixel's row in the store, width of the picture, direction along x."""
        width = self.widths[picture]
        first = int(self.starts[picture]) + crop.top * width + crop.left
        if crop.mirrored:
            return first + self.crops.size - 1, width, -1
        return first, width, 1


class WorkerBatches(Batches):
    """Read from files and cropped by other processes, some steps ahead of the training.

    Asking for a step that is not the next one starts them anew from there.

    Args:
        workers: number of processes; by default the processors that are left, at most 8.
    """

    def __init__(
        self, crops: UnpairedCrops, device: torch.device, workers: int | None = None
    ) -> None:
        super().__init__(crops, device)
        self.workers = workers or min(8, _spare_processors())
        self._ahead: Iterator[Tensor | str] | None = None
        self._next = -1
        self.says = (
            f"The {len(crops.A) + len(crops.B):,} pictures do not fit in memory, so "
            f"{self.workers} {'process reads' if self.workers == 1 else 'processes read'} them "
            "ahead of the training."
        )

    def pixels(self, step: int) -> Tensor:
        if step != self._next:
            self.close()
            pin = self.device.type == "cuda"
            self._ahead = _made_ahead(_Steps(self.crops), count(step), self.workers, pin=pin)
        found = next(self._ahead)
        if isinstance(found, str):
            raise CourseError(found)
        self._next = step + 1
        return found.to(self.device, non_blocking=True)

    def close(self) -> None:
        self._ahead, self._next = None, -1  # the processes end with the iterator


class _Steps(Dataset):
    """The pixels of each step by its number, as `Batches.pixels`; a sentence if that fails."""

    def __init__(self, crops: UnpairedCrops) -> None:
        self.crops = crops

    def __getitem__(self, step: int) -> Tensor | str:
        crops_A, crops_B = self.crops(step)
        size = self.crops.size
        try:
            squares = cut(self.crops.A, crops_A, size), cut(self.crops.B, crops_B, size)
        except CourseError as error:
            return str(error)  # an exception would come out as a traceback of two processes
        return torch.cat(squares)


def batches_for(
    source: Source,
    size: int,
    batch: int,
    seed: int,
    device: torch.device,
    *,
    rank: int = 0,
    processes: int = 1,
    steps: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Batches:
    """The batches of a run, from wherever the training need not wait for them.

    Args:
        source: the pictures.
        size, batch, seed, rank, processes: as for `UnpairedCrops`.
        device: where the batches are needed.
        steps: steps still to come, if known: in a run that would not see all scenes of a world,
            each is drawn when it is first used, otherwise (off the CPU) all in advance.
        progress: wraps the iteration over scenes that are drawn in advance, `tqdm` for instance.

    Raises:
        CourseError: if the batch cannot be shared equally by the processes.
    """
    A, B = source.train_A, source.train_B
    crops = UnpairedCrops(A, B, size, batch, seed, rank=rank, processes=processes)
    if isinstance(A, PictureFiles) or isinstance(B, PictureFiles):
        return WorkerBatches(crops, device)
    if device.type == "cpu":
        return MemoryBatches(crops, device)
    if not all(isinstance(pictures, list | tuple | np.ndarray) for pictures in (A, B)):
        if steps is not None and steps * batch < len(A):
            return MemoryBatches(crops, device)
        crops.A, crops.B = draw_all(A, B, progress)
    fits = bytes_of(crops.A) + bytes_of(crops.B) <= device_memory(device) // 4
    return (DeviceBatches if fits else MemoryBatches)(crops, device)


def bytes_of(pictures: Sequence[np.ndarray]) -> int:
    return sum(picture.nbytes for picture in pictures)


def device_memory(device: torch.device) -> int:
    """Bytes that are free on an accelerator now; 0 where nobody can say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 0


def draw_all(
    A: Sequence[np.ndarray],
    B: Sequence[np.ndarray],
    progress: Callable[[Iterable], Iterable] = iter,
    workers: int | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every picture of two sequences of scenes, drawn by as many processes as there are processors.

    Drawn on first use, a scene of 256 pixels costs a tenth of a second and more, and a GPU would
    wait for it.
    """
    scenes = ConcatDataset([A, B])
    drawn = _made_ahead(scenes, range(len(scenes)), workers or _spare_processors())
    # Copied, or each picture would keep a file of shared memory open.
    pictures = [
        picture.numpy().copy()
        for _, picture in zip(progress(range(len(scenes))), drawn, strict=True)
    ]
    return pictures[: len(A)], pictures[len(A) :]


def _made_ahead(
    items: Dataset, order: Iterable[int], workers: int, pin: bool = False
) -> Iterator[Tensor | str]:
    """`items[i]` for each i of the order, made by other processes before they are asked for."""
    loader = DataLoader(
        items,
        batch_size=None,
        sampler=order,
        num_workers=workers,
        collate_fn=_as_tensor,
        pin_memory=pin,
        # Starting processes anew works on every system, and is safe beside threads and CUDA.
        multiprocessing_context="spawn",
        worker_init_fn=_leave_signals_to_parent,
        generator=torch.Generator(),  # or it would draw from the global one
    )
    try:
        with _same_child_signal():
            ahead = iter(loader)
        yield from ahead
    except (RuntimeError, OSError) as error:  # what the DataLoader says when a process is gone
        raise CourseError(
            "A process that prepares pictures ended without a word. If memory ran out, free some; "
            "if this is a script, put the lines that start the training under "
            '`if __name__ == "__main__":`. Then resume the run.'
        ) from error


def _as_tensor(item: np.ndarray | Tensor | str) -> Tensor | str:
    return torch.tensor(item) if isinstance(item, np.ndarray) else item


@contextmanager
def _same_child_signal() -> Iterator[None]:
    """Keep the handler of SIGCHLD, which the DataLoader sets.

    Its own raises an error for a dead process wherever the training just is. Without it, asking
    for the next item does.
    """
    number = getattr(signal, "SIGCHLD", None)  # Windows has none
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(number)
    try:
        yield
    finally:
        signal.signal(number, handler or signal.SIG_DFL)


def _leave_signals_to_parent(worker: int = 0) -> None:
    """Ctrl-C and a cluster's SIGTERM reach all processes; only the training one answers them.

    It ends these in its own time. If it is killed, they notice and end by themselves.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _spare_processors() -> int:
    """Processors for helpers of this process: one is left for the training itself."""
    return max(1, environment.usable_cpus() // local_processes() - 1)
