"""Where batches come from: every way gives the same numbers, bit for bit, as the plainest one."""

import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_course import batches, worlds
from cyclegan_course.batches import (
    DeviceBatches,
    MemoryBatches,
    WorkerBatches,
    batches_for,
    draw_all,
)
from cyclegan_course.datasets import (
    PictureFiles,
    Source,
    UnpairedBatches,
    UnpairedCrops,
    open_source,
)
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor

CPU = torch.device("cpu")


def mixed(count, seed, least=20):
    """Pictures of random pixels, each of another size."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (least + 3 * (i % 4), least + 5 * (i % 3), 3), dtype=np.uint8)
        for i in range(count)
    ]


def plain_batch(A, B, size, batch, seed, step):
    """The batch of a step by its definition, one picture and one number at a time."""
    rng = np.random.default_rng([seed, 1, step])

    def square(picture):
        top = int(rng.integers(picture.shape[0] - size + 1))
        left = int(rng.integers(picture.shape[1] - size + 1))
        crop = picture[top : top + size, left : left + size]
        return picture_to_tensor(crop[:, ::-1].copy() if rng.random() < 0.5 else crop)

    real_A = []
    for position in range(step * batch, (step + 1) * batch):
        epoch, place = divmod(position, len(A))
        order = np.random.default_rng([seed, 0, epoch]).permutation(len(A))
        real_A.append(square(A[order[place]]))
    return torch.stack(real_A), torch.stack(
        [square(B[int(rng.integers(len(B)))]) for _ in range(batch)]
    )


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def folder(tmp_path):
    for name, count in (("trainA", 5), ("trainB", 3), ("testA", 2)):
        (tmp_path / name).mkdir()
        for index, pixels in enumerate(mixed(count, count)):
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    return tmp_path


@pytest.fixture
def files(folder):
    """The folder as it is opened where its pictures do not fit into memory."""
    return open_source(folder, 18, memory=0)


def source_of(A, B):
    return Source("made up", "A", "B", A, B, A[:1], B[:1])


class TestEveryWayGivesTheSame:
    @pytest.mark.parametrize("seed", [0, 7])
    @pytest.mark.parametrize("batch", [1, 3])
    def test_as_the_definition(self, seed, batch):
        A, B = mixed(5, 1), mixed(4, 2)
        crops = UnpairedCrops(A, B, 16, batch, seed)
        ways = (
            UnpairedBatches(A, B, 16, batch, seed),
            MemoryBatches(crops, CPU),
            DeviceBatches(crops, CPU),
        )
        for step in (0, 1, 4, 23):
            expected = plain_batch(A, B, 16, batch, seed, step)
            for way in ways:
                found = way(step)
                assert all(images.is_contiguous() for images in found)
                assert equal(found, expected), (way, step)

    def test_all_values_and_mirrored_ones_occur(self):
        """So that the comparison above is of something."""
        crops = UnpairedCrops(mixed(5, 1), mixed(4, 2), 16, 8)
        found = [crop for step in range(4) for side in crops(step) for crop in side]
        assert {crop.mirrored for crop in found} == {True, False}
        assert len({(crop.top, crop.left) for crop in found}) > 20
        A, _ = DeviceBatches(crops, CPU)(0)
        assert len(A.unique()) == 256

    def test_without_flip(self):
        A, B = mixed(3, 1), mixed(3, 2)
        crops = UnpairedCrops(A, B, 16, 4, flip=False)
        assert not any(crop.mirrored for side in crops(0) for crop in side)
        assert equal(DeviceBatches(crops, CPU)(0), UnpairedBatches(A, B, 16, 4, flip=False)(0))

    def test_batches_do_not_share_memory_with_each_other(self):
        batch = DeviceBatches(UnpairedCrops(mixed(3, 1), mixed(3, 2), 16), CPU)
        first = batch(0)[0]
        kept = first.clone()
        batch(1)
        assert torch.equal(first, kept)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_on_a_gpu_without_waiting_for_it(self):
        A, B = mixed(9, 1), mixed(6, 2)
        crops = UnpairedCrops(A, B, 16, 4)
        for way in (DeviceBatches, MemoryBatches):
            on_gpu, here = way(crops, torch.device("cuda")), UnpairedBatches(A, B, 16, 4)
            torch.cuda.set_sync_debug_mode("error")
            try:
                found = [on_gpu(step) for step in range(20)]
            finally:
                torch.cuda.set_sync_debug_mode("default")
            for step, images in enumerate(found):
                assert equal([side.cpu() for side in images], here(step))


class TestShares:
    @pytest.mark.parametrize("processes", [2, 3, 6])
    def test_all_processes_together_see_what_one_would(self, processes):
        A, B = mixed(5, 1), mixed(4, 2)
        alone = UnpairedBatches(A, B, 16, 6)
        shares = [
            DeviceBatches(UnpairedCrops(A, B, 16, 6, rank=rank, processes=processes), CPU)
            for rank in range(processes)
        ]
        for step in (0, 3):
            joined = [torch.cat(sides) for sides in zip(*(s(step) for s in shares), strict=True)]
            assert equal(joined, alone(step))

    def test_unequal_shares_are_refused_with_a_number_that_works(self):
        with pytest.raises(CourseError, match=r"batch of 4 .* by 3 processes.* 6 for instance"):
            UnpairedCrops(mixed(2, 1), mixed(2, 2), 16, 4, processes=3)


class TestFilesThatDoNotFit:
    def test_same_pictures_as_in_memory(self, folder, files):
        here = open_source(folder, 18)
        assert isinstance(here.train_A, list)
        for name in ("train_A", "train_B", "test_A", "test_B"):
            lazy, kept = getattr(files, name), getattr(here, name)
            assert isinstance(lazy, PictureFiles)
            assert [tuple(size) for size in lazy.sizes] == [picture.shape[:2] for picture in kept]
            assert all(np.array_equal(*pair) for pair in zip(lazy, kept, strict=True))

    def test_the_limit_is_that_of_the_resized_pictures(self, folder):
        here = open_source(folder, 18)
        needed = sum(
            picture.nbytes for side in (here.train_A, here.train_B, here.test_A) for picture in side
        )
        assert isinstance(open_source(folder, 18, memory=needed).train_A, list)
        assert isinstance(open_source(folder, 18, memory=needed - 1).train_A, PictureFiles)

    def test_broken_files_are_named_at_the_start(self, folder):
        (folder / "trainB" / "cut.png").write_bytes(
            (folder / "trainB" / "0.png").read_bytes()[:200]
        )
        source = open_source(folder, 18, memory=0)
        assert len(source.train_B) == 3
        assert ["cut.png" in sentence for sentence in source.skipped] == [True]

    def test_the_progress_knows_how_many_there_are(self, folder):
        lengths = []

        def progress(files):
            lengths.append(len(files))
            return files

        open_source(folder, 18, progress=progress, memory=0)
        assert lengths == [5, 3, 2, 0]

    def test_a_file_that_changed_its_size_is_named(self, files):
        Image.new("RGB", (99, 20)).save(files.train_A.paths[1])
        with pytest.raises(CourseError, match=r"1\.png has changed"):
            files.train_A[1]


class TestWorkers:
    """A process is started anew, which takes seconds: one for all that can be seen of it."""

    def test_ahead_of_the_training_from_any_step(self, files):
        crops = UnpairedCrops(files.train_A, files.train_B, 16, 2, seed=3)
        here = UnpairedBatches(list(files.train_A), list(files.train_B), 16, 2, seed=3)
        before = torch.get_rng_state()
        handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
        way = WorkerBatches(crops, CPU, workers=1)
        assert all(equal(way(step), here(step)) for step in range(4, 8))
        assert torch.equal(torch.get_rng_state(), before)
        if handler is not None:
            assert signal.getsignal(signal.SIGCHLD) is handler

        (worker,) = multiprocessing.active_children()
        if os.name == "posix":  # the training answers these, not its helpers
            os.kill(worker.pid, signal.SIGINT)
            os.kill(worker.pid, signal.SIGTERM)
        assert all(equal(way(step), here(step)) for step in range(8, 16))

        files.train_A.paths[2].write_bytes(b"")  # in the middle of the training
        with pytest.raises(CourseError, match=r"2\.png is empty"):
            [way(step) for step in range(16, 30)]
        way.close()
        assert not multiprocessing.active_children()

    @pytest.mark.skipif(os.name != "posix", reason="kill -9 is a thing of POSIX")
    def test_a_worker_that_dies_is_one_sentence(self, files):
        way = WorkerBatches(UnpairedCrops(files.train_A, files.train_B, 16), CPU, workers=1)
        way(0)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        with pytest.raises(CourseError, match="ended without a word"):
            [way(step) for step in range(1, 9)]

    def test_scenes_drawn_in_advance_are_the_same_scenes(self):
        A, B = (worlds.training_pictures("night", d, n, 24) for d, n in (("A", 5), ("B", 3)))
        seen = []

        def progress(jobs):
            for job in jobs:
                seen.append(len(jobs))
                yield job

        drawn = draw_all(A, B, progress, workers=1)
        assert seen == [8] * 8
        for found, lazy in zip(drawn, (A, B), strict=True):
            assert all(np.array_equal(*pair) for pair in zip(found, lazy, strict=True))


class TestChoice:
    """Which way is taken. A GPU is only named here: the pixels stay where they are."""

    GPU = torch.device("cuda")

    @pytest.fixture(autouse=True)
    def no_gpu(self, monkeypatch):
        for name in ("DeviceBatches", "MemoryBatches", "WorkerBatches"):
            taken = lambda crops, device, name=name: (name, crops)  # noqa: E731
            monkeypatch.setattr(batches, name, taken)
        monkeypatch.setattr(batches, "device_memory", lambda device: 40_000)
        monkeypatch.setattr(
            batches, "draw_all", lambda A, B, progress: ([*A], [*progress(list(B))])
        )

    def chosen(self, source, device, **options):
        return batches_for(source, 16, 2, 0, device, **options)[0]

    def test_on_a_cpu_from_memory(self):
        assert self.chosen(source_of(mixed(3, 1), mixed(3, 2)), CPU) == "MemoryBatches"

    def test_a_cpu_never_draws_in_advance(self, monkeypatch):
        monkeypatch.setattr(batches, "draw_all", None)
        assert self.chosen(open_source("night", 24, 4, 1), CPU) == "MemoryBatches"

    def test_on_a_gpu_if_a_quarter_of_its_free_memory_is_enough(self):
        few, many = mixed(2, 1), mixed(12, 1)
        assert self.chosen(source_of(few, few), self.GPU) == "DeviceBatches"
        assert self.chosen(source_of(many, few), self.GPU) == "MemoryBatches"

    def test_files_are_read_by_workers_everywhere(self, files):
        for device in (CPU, self.GPU):
            assert self.chosen(files, device) == "WorkerBatches"

    def test_scenes_are_drawn_in_advance_for_a_gpu(self):
        source = open_source("night", 24, 2, 1)
        way, crops = batches_for(source, 16, 2, 0, self.GPU)
        assert way == "DeviceBatches"
        assert isinstance(crops.A, list)
        # A run of two steps would not see four scenes: it draws what it needs.
        source = open_source("night", 24, 5, 1)
        assert self.chosen(source, self.GPU, steps=2) == "MemoryBatches"

    def test_shares_are_handed_on(self):
        source = source_of(mixed(3, 1), mixed(3, 2))
        _, crops = batches_for(source, 16, 4, 9, CPU, rank=1, processes=2)
        assert len(crops(0)[0]) == 2
        assert crops(0) != UnpairedCrops(source.train_A, source.train_B, 16, 2, 9)(0)


def test_each_way_says_where_the_pixels_are(files):
    crops = UnpairedCrops(mixed(3, 1), mixed(3, 2), 16)
    assert "6 pictures" in DeviceBatches(crops, CPU).says
    assert "device" in DeviceBatches(crops, CPU).says
    assert "memory" in MemoryBatches(crops, CPU).says
    lazy = UnpairedCrops(files.train_A, files.train_B, 16)
    assert (
        "8 pictures do not fit in memory, so 2 processes read" in WorkerBatches(lazy, CPU, 2).says
    )
