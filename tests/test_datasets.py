"""Sources, unpaired batches as a pure function of the step, and the image pool's history rule."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cyclegan_course import datasets, folders, worlds
from cyclegan_course.datasets import ImagePool, UnpairedBatches, open_source, resize_short_side
from cyclegan_course.errors import CourseError
from cyclegan_course.picture_files import PictureFacts
from cyclegan_course.training import Config
from cyclegan_course.training.config import config_from_dict


def numbered(count: int, size: int = 8) -> list[np.ndarray]:
    """Flat pictures whose red tells which one it is."""
    return [np.full((size, size, 3), index, dtype=np.uint8) for index in range(count)]


def numbers(batch: torch.Tensor) -> list[int]:
    return [round(float((picture[0, 0, 0] + 1) * 127.5)) for picture in batch]


def write_pictures(folder, count, size=(40, 30), suffix=".png"):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for index in range(count):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}{suffix}")


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "set" / "trainA", 3, suffix=".jpg")
    write_pictures(tmp_path / "set" / "trainB", 5, size=(30, 50), suffix=".webp")
    return tmp_path / "set"


class TestBatches:
    def test_shape_and_range(self):
        pictures = [np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)]
        A, B = UnpairedBatches(pictures, pictures, size=16, batch=2)(0)
        assert A.shape == B.shape == (2, 3, 16, 16)
        assert A.dtype == torch.float32
        assert -1 <= A.min() < A.max() <= 1

    def test_every_picture_of_A_once_an_epoch_in_a_new_order(self):
        batches = UnpairedBatches(numbered(7), numbered(4), size=8)
        epochs = [[numbers(batches(7 * e + i)[0])[0] for i in range(7)] for e in range(3)]
        assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1

    def test_partners_are_random_and_cover_B(self):
        batches = UnpairedBatches(numbered(4), numbered(4), size=8)
        pairs = [tuple(numbers(side)[0] for side in batches(step)) for step in range(400)]
        # All 16 pairings occur, each about equally often (25 expected, sd 4.7).
        counts = {pair: pairs.count(pair) for pair in set(pairs)}
        assert len(counts) == 16
        assert max(counts.values()) < 50

    def test_a_batch_depends_on_seed_and_step_alone(self):
        def make(seed):
            return UnpairedBatches(
                worlds.photographs().values().__iter__().__next__()[None].repeat(3, axis=0),
                numbered(3, 64),
                size=32,
                seed=seed,
            )

        forward = [make(1)(step)[0] for step in range(6)]
        batches = make(1)
        for step in (5, 0, 3):
            assert torch.equal(batches(step)[0], forward[step])
        assert not torch.equal(make(2)(0)[0], forward[0])

    def test_crops_move_and_mirror(self):
        ramp = np.zeros((8, 12, 3), dtype=np.uint8)
        ramp[..., 0] = np.arange(12) * 10
        batches = UnpairedBatches([ramp], [ramp], size=8)
        rows = {
            tuple(np.round((batches(step)[0][0, 0, 0] + 1).numpy() * 12.75)) for step in range(200)
        }
        assert len(rows) == 10  # five places, mirrored or not

    def test_without_flip_nothing_is_mirrored(self):
        ramp = np.zeros((8, 8, 3), dtype=np.uint8)
        ramp[..., 0] = np.arange(8)
        batches = UnpairedBatches([ramp], [ramp], size=8, flip=False)
        assert all((batches(step)[0][0, 0].diff(dim=1) > 0).all() for step in range(20))


class TestPool:
    def test_fills_first_and_returns_what_it_stores(self):
        pool = ImagePool(size=3)
        for value in range(3):
            assert float(pool(torch.full((1, 3, 2, 2), float(value))).mean()) == value
        assert [float(p.mean()) for p in pool.pictures] == [0, 1, 2]

    def test_half_of_the_answers_come_from_history(self):
        pool = ImagePool(size=50, seed=4)
        answers = [float(pool(torch.full((1, 1, 1, 1), float(i)))) for i in range(2050)][50:]
        old = sum(answer != i for i, answer in enumerate(answers, start=50))
        assert 0.46 < old / 2000 < 0.54  # sd 0.011

    def test_a_swapped_picture_leaves_and_never_returns(self):
        pool = ImagePool(size=5, seed=1)
        answers = [float(pool(torch.full((1, 1, 1, 1), float(i)))) for i in range(500)]
        later = [a for i, a in enumerate(answers) if i >= 5 and a != i]
        assert len(later) == len(set(later))

    def test_size_zero_passes_everything(self):
        pool = ImagePool(size=0)
        fakes = torch.randn(4, 3, 2, 2)
        assert torch.equal(pool(fakes), fakes)
        assert pool.pictures == []

    def test_keeps_copies_without_a_graph(self):
        pool = ImagePool(size=2)
        fakes = torch.ones(1, 3, 2, 2, requires_grad=True)
        answer = pool(fakes * 2)
        assert not answer.requires_grad
        answer.zero_()
        assert float(pool.pictures[0].mean()) == 2

    def test_a_batch_is_exchanged_picture_by_picture(self):
        pool = ImagePool(size=4, seed=0)
        pool(torch.zeros(4, 1, 1, 1))
        answers = pool(torch.ones(64, 1, 1, 1))
        assert answers.shape == (64, 1, 1, 1)
        assert 0 < answers.mean() < 1


class TestSources:
    @pytest.mark.parametrize("name", list(worlds.WORLDS))
    def test_worlds_open_by_name(self, name):
        source = open_source(name, load_size=64, scenes=4, test_scenes=2)
        assert len(source.train_A) == len(source.train_B) == 4
        assert source.train_A[0].shape == (64, 64, 3)
        assert len(source.test_A) == len(source.test_B) == 2

    def test_folder_with_unequal_counts_and_formats(self, folder):
        source = open_source(folder, load_size=24)
        assert (len(source.train_A), len(source.train_B)) == (3, 5)
        assert source.train_A[0].shape == (24, 32, 3)
        assert source.train_B[0].shape == (40, 24, 3)
        A, B = UnpairedBatches(source.train_A, source.train_B, size=24)(7)
        assert A.shape == B.shape == (1, 3, 24, 24)

    def test_test_folders_are_used_where_they_exist(self, folder):
        assert len(open_source(folder, 24).test_B) == 5
        write_pictures(folder / "testB", 2)
        assert len(open_source(folder, 24).test_B) == 2

    def test_unreadable_files_are_named_and_skipped(self, folder):
        (folder / "trainA" / "notes.jpg").write_text("not a picture")
        whole = (folder / "trainA" / "0.jpg").read_bytes()
        (folder / "trainA" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
        source = open_source(folder, 24)
        assert len(source.train_A) == 3
        assert len(source.skipped) == 2
        assert {"notes.jpg", "cut.jpg"} == {
            name for name in ("notes.jpg", "cut.jpg") if any(name in s for s in source.skipped)
        }

    def test_missing_folder_lists_the_worlds(self, tmp_path):
        with pytest.raises(CourseError, match=r"no folder .*painting, night"):
            open_source(tmp_path / "nowhere", 24)

    def test_file_instead_of_folder(self, tmp_path):
        (tmp_path / "a.jpg").touch()
        with pytest.raises(CourseError, match="is a file"):
            open_source(tmp_path / "a.jpg", 24)

    def test_folder_with_only_A(self, tmp_path):
        write_pictures(tmp_path / "trainA", 1)
        with pytest.raises(CourseError, match="no folder trainB"):
            open_source(tmp_path, 24)

    @pytest.mark.parametrize("empty", ["trainA", "trainB"])
    def test_empty_domain(self, tmp_path, empty):
        for name in ("trainA", "trainB"):
            (tmp_path / name).mkdir()
            if name != empty:
                Image.new("RGB", (30, 30)).save(tmp_path / name / "one.png")
        with pytest.raises(CourseError, match=f"{empty}.* holds no readable picture"):
            open_source(tmp_path, 24)

    def test_domain_of_broken_files_says_why(self, folder):
        for path in (folder / "trainB").iterdir():
            path.write_bytes(b"")
        with pytest.raises(CourseError, match=r"trainB.*5 could not be read"):
            open_source(folder, 24)

    def test_resize_keeps_the_aspect(self):
        assert resize_short_side(Image.new("RGB", (200, 100)), 50).size == (100, 50)
        assert resize_short_side(Image.new("RGB", (1, 1)), 24).size == (24, 24)
        assert resize_short_side(Image.new("RGB", (1, 300)), 24).size == (24, 7200)


def bumps(count: int, seed: int = 0) -> np.ndarray:
    """(count, 30, 30, 3) uint8: smooth random pictures, no two alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((30, 30))) for one in coarse])


def save_all(folder, pictures, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for index, pixels in enumerate(pictures, start=first):
        Image.fromarray(pixels).save(folder / f"{index}.png")


class TestHoldingOut:
    @pytest.fixture
    def two(self, tmp_path):
        save_all(tmp_path / "my photos", bumps(60, 1))
        save_all(tmp_path / "paintings" / "Monet", bumps(40, 2))
        return tmp_path / "my photos", tmp_path / "paintings"

    def keys(self, pictures):
        return {picture.tobytes() for picture in pictures}

    def test_two_folders_give_parts_that_share_nothing(self, two):
        source = open_source(two, 30)
        assert (source.name, source.domain_A) == ("my-photos-paintings", "my-photos")
        for train, test, count in (
            (source.train_A, source.test_A, 60),
            (source.train_B, source.test_B, 40),
        ):
            assert 1 <= len(test) <= count / 4
            assert len(self.keys(train) | self.keys(test)) == len(train) + len(test) == count
        assert any("held out" in note for note in source.notes)

    def test_the_same_content_gives_the_same_choice_whatever_the_names(self, two, tmp_path):
        before = self.keys(open_source(two, 30).test_A)
        save_all(tmp_path / "other", bumps(60, 1)[::-1], first=500)
        assert self.keys(open_source((tmp_path / "other", two[1]), 30).test_A) == before

    def test_new_pictures_do_not_move_the_others(self, two):
        before = open_source(two, 30)
        save_all(two[0], bumps(50, 3), first=1000)
        after = open_source(two, 30)
        assert self.keys(before.test_A) < self.keys(after.test_A)
        assert not self.keys(before.train_A) & self.keys(after.test_A)

    def test_what_looks_like_a_held_out_picture_is_not_trained_on(self, two):
        held_out = open_source(two, 30).test_A
        mirrored = [picture[:, ::-1] for picture in held_out]
        brighter = [(picture * 0.8 + 40).astype(np.uint8) for picture in held_out]
        save_all(two[0], [*mirrored, *brighter], first=2000)
        source = open_source(two, 30)
        assert self.keys(held_out) <= self.keys(source.test_A)
        copies = self.keys(mirrored) | self.keys(brighter)
        assert not copies & self.keys(source.train_A)
        assert any("look like one of these" in note for note in source.notes)

    def test_files_that_are_read_later_are_split_alike(self, two):
        here, later = open_source(two, 30), open_source(two, 30, memory=0)
        for part in ("train_A", "train_B", "test_A", "test_B"):
            assert isinstance(getattr(later, part), datasets.PictureFiles)
            assert self.keys(getattr(later, part)) == self.keys(getattr(here, part))

    def test_never_more_than_are_looked_at(self):
        facts = [fake_facts(i) for i in range(1000)]
        split = folders.hold_out(facts, "A")
        assert len(split.held_out) == folders.MOST_HELD_OUT
        assert len(split.train) == 1000 - folders.MOST_HELD_OUT

    @pytest.mark.parametrize("count", [8, 9, 12, 20])
    def test_at_least_one(self, count):
        assert len(folders.hold_out([fake_facts(i) for i in range(count)], "A").held_out) >= 1

    def test_of_few_pictures_or_of_copies_none_is_spared_and_it_is_said(self):
        for facts in ([fake_facts(i) for i in range(7)], [fake_facts(0)] * 50):
            split = folders.hold_out(facts, "cats")
            assert (len(split.train), split.held_out) == (len(facts), [])
            assert "cats" in split.sentence
            assert "trained on" in split.sentence

    def test_test_folders_win(self, tmp_path):
        for part, count in (("trainA", 30), ("trainB", 31), ("testA", 3)):
            save_all(tmp_path / part, bumps(count, count))
        source = open_source(tmp_path, 30)
        assert (len(source.train_A), len(source.test_A)) == (30, 3)
        assert len(source.train_B) + len(source.test_B) == 31


def fake_facts(index: int) -> PictureFacts:
    thumbnail = np.random.default_rng(index).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    digest = hashlib.sha256(str(index).encode()).hexdigest()
    lab = np.zeros((2, 3), np.float32)
    return PictureFacts(Path(f"{index}.png"), (30, 30), "PNG", (), digest, thumbnail, lab)


@pytest.mark.parametrize(
    ("text", "name"),
    [("horse2zebra", "horse2zebra"), ("my cats!", "my-cats"), ("..", "pictures"), ("猫", "猫")],
)
def test_a_name_for_files(text, name):
    assert folders.plain_name(text) == name
    assert len(folders.plain_name(text * 100)) <= 60


def test_a_downloaded_set_opens_by_its_name(tmp_path, monkeypatch):
    for part in ("trainA", "trainB"):
        save_all(tmp_path / "horse2zebra" / part, bumps(4, ord(part[-1])))
    monkeypatch.setattr("cyclegan_course.folders.find_downloaded", lambda name: tmp_path / name)
    monkeypatch.chdir(tmp_path / "horse2zebra")
    assert len(open_source("horse2zebra", 24).train_A) == 4


def test_a_run_on_two_folders_knows_its_data(tmp_path):
    config = Config(data=["a", "b"], steps=1)
    assert config.data == ("a", "b")
    again = config_from_dict(json.loads(json.dumps(asdict(config))))
    assert again == config
    assert config.loaded_size == 72
    with pytest.raises(CourseError, match="two folders"):
        Config(data=("a", "b", "c"), steps=1)
    with pytest.raises(CourseError, match="plain word"):
        Config(name="my cats", steps=1)


def test_held_out_scenes_of_a_source_are_not_pairs():
    source = open_source("editing", load_size=64, scenes=2, test_scenes=2)
    A, B = worlds.open_sealed_pairs("editing", 2, 64)
    assert np.array_equal(source.test_A[0], A[0])
    assert not any(np.array_equal(test, truth) for test in source.test_B for truth in B)
    assert datasets.FOLDERS == ("trainA", "trainB", "testA", "testB")
