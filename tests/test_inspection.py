"""The report before a training: what it counts, finds and warns of; and how copies are told."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage.color import rgb2lab

from cyclegan_course import duplicates, inspection
from cyclegan_course.cli import inspect as command
from cyclegan_course.errors import CourseError
from cyclegan_course.inspection import inspect_data


def bumps(count: int, seed: int = 0, size: int = 40) -> list[Image.Image]:
    """Smooth random pictures, no two alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((size, size)) for one in coarse]


def save_all(folder, pictures, suffix=".png", first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures, start=first):
        picture.save(folder / f"{index}{suffix}")


@pytest.fixture
def data(tmp_path):
    """A good set as far as it goes: 120 pictures a domain, 12 test pictures."""
    for seed, (part, count) in enumerate(
        (("trainA", 120), ("trainB", 120), ("testA", 12), ("testB", 12))
    ):
        save_all(tmp_path / "set" / part, bumps(count, seed))
    return tmp_path / "set"


def thumbnail(picture):
    return np.asarray(picture.resize((24, 24), Image.Resampling.BOX).convert("RGB"))


class TestCopies:
    def test_fingerprints_multiply_to_the_correlation(self):
        pictures = [thumbnail(picture) for picture in bumps(5)]
        rows = duplicates.fingerprints(pictures)
        gray = [picture @ np.array([0.299, 0.587, 0.114]) for picture in pictures]
        expected = np.corrcoef(np.stack(gray).reshape(5, -1))
        assert np.allclose(rows @ rows.T, expected, atol=1e-5)

    @pytest.mark.parametrize("change", ["jpeg", "half", "brighter", "paler", "gray", "mirrored"])
    def test_changed_copies_are_found_and_others_are_not(self, change):
        def changed(picture):
            if change == "jpeg":
                buffer = io.BytesIO()
                picture.save(buffer, "JPEG", quality=40)
                return Image.open(buffer)
            return {
                "half": lambda: picture.resize((48, 48)),
                "brighter": lambda: ImageEnhance.Brightness(picture).enhance(1.1),
                "paler": lambda: ImageEnhance.Contrast(picture).enhance(0.5),
                "gray": lambda: picture.convert("L"),
                "mirrored": lambda: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            }[change]()

        pictures = bumps(30, size=96)
        one = duplicates.fingerprints([thumbnail(picture) for picture in pictures])
        other = duplicates.fingerprints([thumbnail(changed(p)) for p in reversed(pictures)])
        pairs = duplicates.near_pairs(one, other)
        assert pairs.tolist() == [[i, 29 - i] for i in range(30)]

    def test_the_same_sky_over_another_ground_is_no_copy(self):
        """Light above, dark below: the luminances correlate, what is to be seen does not."""
        rng = np.random.default_rng(0)
        ramp = np.linspace(250, 20, 24)[:, None, None] + np.zeros((24, 24, 3))
        pictures = [(ramp + rng.normal(0, 12, (24, 24, 1))).clip(0, 255) for _ in range(6)]
        rows = duplicates.fingerprints([picture.astype(np.uint8) for picture in pictures])
        assert (rows @ rows.T).min() > duplicates.SAME
        assert len(duplicates.near_pairs(rows)) == 0

    def test_flat_pictures_are_like_none(self):
        rows = duplicates.fingerprints([np.full((24, 24, 3), value, np.uint8) for value in (5, 9)])
        assert len(duplicates.near_pairs(rows)) == 0

    def test_blocks_make_no_difference(self, monkeypatch):
        rows = duplicates.fingerprints([thumbnail(p) for p in [*bumps(9), *bumps(9)]])
        whole = duplicates.near_pairs(rows)
        monkeypatch.setattr(duplicates, "_ROWS", 4)
        assert np.array_equal(duplicates.near_pairs(rows), whole)
        assert whole.tolist() == [[i, i + 9] for i in range(9)]

    def test_nothing_against_nothing(self):
        none = duplicates.fingerprints([])
        assert (
            duplicates.near_pairs(none).shape == duplicates.near_pairs(none, none).shape == (0, 2)
        )

    def test_groups(self):
        pairs = np.array([[0, 3], [3, 5], [1, 2]])
        assert duplicates.groups(7, pairs) == [[0, 3, 5], [1, 2]]


class TestReport:
    def test_a_good_set_has_no_warnings(self, data):
        report = inspect_data(data, 32)
        assert report.warnings == ()
        assert [len(part) for part in report.parts.values()] == [120, 120, 12, 12]
        assert report.alike == report.leaks == report.shared == []
        assert "No warnings." in str(report)

    def test_colours_are_those_of_all_pixels(self, data):
        report = inspect_data(data, 32)
        files = sorted((data / "testA").iterdir())
        pixels = np.concatenate(
            [
                rgb2lab(np.asarray(Image.open(file).resize((64, 64), 4))).reshape(-1, 3)
                for file in files
            ]
        )
        lab = report.parts["testA"].lab
        assert np.allclose(lab, [pixels.mean(0), pixels.std(0)], atol=1e-3)
        A, B = (report.parts[name].lab[0] for name in ("trainA", "trainB"))
        assert report.colour_distance == pytest.approx(np.sqrt(((A - B) ** 2).sum()))

    def test_sizes_and_thumbnails(self, data):
        Image.new("RGB", (100, 50)).save(data / "testA" / "wide.png")
        part = inspect_data(data, 45).parts["testA"]
        assert part.sizes.max(0).tolist() == [100, 50]
        assert part.enlarged == 12
        assert part.thumbnails.shape == (13, 24, 24, 3)

    @pytest.mark.parametrize("copy", ["same", "mirrored", "flat"])
    def test_copies_inside_between_and_leaked(self, data, copy):
        first = Image.open(data / "trainA" / "0.png")
        if copy == "mirrored":
            first = first.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if copy == "flat":
            first = Image.new("RGB", (40, 40), (9, 9, 9))
            first.save(data / "trainA" / "0.png")
        for part in ("trainA", "testA", "trainB"):
            first.save(data / part / "copy.png")
        report = inspect_data(data, 32)
        copies = {data / "trainA" / "0.png", data / "trainA" / "copy.png"}
        assert [set(group) for group in report.alike] == [copies]
        assert {pair[0] for pair in report.leaks} == copies
        assert {pair[1] for pair in report.leaks} == {data / "testA" / "copy.png"}
        assert {pair[1] for pair in report.shared} == {data / "trainB" / "copy.png"}
        assert sum("Copies" in warning for warning in report.warnings) == 1
        assert any("both domains" in warning for warning in report.warnings)

    def test_what_is_skipped_is_grouped_with_its_reason(self, data):
        for i in range(5):
            (data / "trainA" / f"empty{i}.jpg").touch()
        (data / "trainB" / "page.png").write_text("<html>")
        (data / "trainB" / "phone.HEIC").touch()
        (data / "trainB" / "README").touch()
        text = str(inspect_data(data, 32))
        assert "Skipped, 5 (empty0.jpg, empty1.jpg, empty2.jpg, ...): is empty" in text
        assert "Skipped, 1 (page.png): is not a picture" in text
        assert ".heic: 1" in text
        assert "no ending: 1" in text

    def test_formats_and_modes_are_counted(self, data):
        Image.open(data / "trainA" / "0.png").convert("CMYK").save(data / "trainA" / "c.jpg")
        Image.new("RGBA", (40, 40), (1, 2, 3, 4)).save(data / "trainA" / "t.png")
        part = inspect_data(data, 32).parts["trainA"]
        assert part.counts("format") == {"PNG": 121, "JPEG": 1}
        assert part.counts("notes") == {"CMYK": 1, "transparent": 1}


class TestWarnings:
    """Each warning appears for its fault, and the good set above has none."""

    def said(self, data, size=32):
        return " ".join(inspect_data(data, size).warnings)

    def remove(self, folder, keep):
        for file in sorted(folder.iterdir())[keep:]:
            file.unlink()

    def test_few_pictures_and_unbalanced(self, data):
        self.remove(data / "trainB", 14)
        said = self.said(data)
        assert "B has 14 pictures to train on" in said
        assert "9 times as many" in said

    def test_too_small(self, data):
        assert "A has 120 of 120 pictures smaller than the 64 pixels" in self.said(data, 64)

    def test_gray(self, data):
        for file in (data / "trainA").iterdir():
            Image.open(file).convert("L").convert("RGB").save(file)
        assert "Most pictures of A are gray" in self.said(data)

    def test_flat(self, data):
        Image.new("RGB", (40, 40), "white").save(data / "trainB" / "0.png")
        assert "B has 1 flat picture" in self.said(data)

    def test_tiny_test_set(self, data):
        self.remove(data / "testA", 2)
        assert "measures A has only 2 of its" in self.said(data)

    def test_other_formats(self, data):
        for file in sorted((data / "trainB").iterdir()):
            Image.open(file).save(file.with_suffix(".jpg"), quality=90)
            file.unlink()
        assert "A is mostly PNG and B mostly JPEG" in self.said(data)

    def test_many_copies(self, data):
        for i in range(30):
            Image.open(data / "trainA" / "0.png").save(data / "trainA" / f"copy{i}.png")
        assert "30 pictures are copies" in self.said(data)


class TestForms:
    def test_json_holds_all_of_it(self, data):
        (data / "trainA" / "bad.png").touch()
        report = inspect_data(data, 32)
        values = json.loads(json.dumps(report.to_dict()))
        assert values["parts"]["trainA"]["pictures"] == 120
        assert list(values["parts"]["trainA"]["skipped"]) == [str(data / "trainA" / "bad.png")]
        assert np.allclose(
            values["parts"]["trainB"]["lab_mean"], report.parts["trainB"].lab[0], atol=1e-3
        )

    def test_html_escapes_names(self, data):
        (data / "trainA" / "<b>&.png").touch()
        page = inspect_data(data, 32)._repr_html_()
        assert "&lt;b&gt;&amp;.png" in page
        assert "<b>&.png" not in page

    def test_two_folders_hold_some_out_and_say_so(self, data):
        report = inspect_data((str(data / "trainA"), str(data / "trainB")), 32)
        sentences = report.sentences()
        assert len(report.parts["trainA"]) + len(report.parts["testA"]) == 120
        assert sum("held out" in sentence for sentence in sentences) == 2
        assert sentences[0].startswith("Training on ")

    def test_worlds_and_senseless_sizes_are_refused(self, data):
        with pytest.raises(CourseError, match="is a world"):
            inspect_data("painting")
        with pytest.raises(CourseError, match="size of 0"):
            inspect_data(data, 0)


class TestCommand:
    def run(self, *arguments):
        import argparse

        parser = argparse.ArgumentParser()
        command.add(parser.add_subparsers())
        options = parser.parse_args(["inspect", *map(str, arguments)])
        return options.run(options)

    def test_prints_and_writes(self, data, tmp_path, capsys):
        assert self.run(data, "--size", "32", "--json", tmp_path / "new" / "report.json") == 0
        assert "trainA  120" in capsys.readouterr().out
        assert json.loads((tmp_path / "new" / "report.json").read_text())["size"] == 32

    def test_two_folders(self, data, capsys):
        assert self.run("--data-A", data / "trainA", "--data-B", data / "trainB") == 0
        assert "A is trainA, B is trainB" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "Name what to inspect"),
            (["--data-A", "x"], "Name both folders"),
            (["x", "--data-A", "x", "--data-B", "y"], "not both"),
        ],
    )
    def test_wrong_words(self, arguments, says):
        with pytest.raises(CourseError, match=says):
            self.run(*arguments)


def test_a_run_is_told_before_it_starts(data):
    """What `train` says is the short form of the report."""
    from cyclegan_course.datasets import open_source

    assert open_source(data, 32).notes == inspect_data(data, 32).sentences()
    assert inspection.FEW < inspection.CLASSIC_COUNT
