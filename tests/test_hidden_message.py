"""The hidden message: hue, disturbances, what is stored, and the figures."""

import colorsys
import csv
import json
import math
from pathlib import Path

import hidden_message as benchmark
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cyclegan_course import metrics
from cyclegan_course.cyclegan import CycleGAN, training_step
from cyclegan_course.errors import CourseError
from cyclegan_course.images import tensor_to_picture
from cyclegan_course.laboratory import hidden_message as hm
from cyclegan_course.laboratory.recipe import small_generator
from cyclegan_course.plots import hidden_message as plots
from cyclegan_course.plots.style import figure_bytes

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def scenes():
    return hm.open_scenes(6)


@pytest.fixture(scope="module")
def many():
    return hm.open_scenes(32)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 3, 16, 16, generator=generator) * 1.6 - 0.8


class Nothing(nn.Module):
    """An honest translator to grey: luma, in which no hue is left."""

    def forward(self, images):
        weights = torch.tensor(hm.LUMA).reshape(1, 3, 1, 1)
        return (images * weights).sum(dim=1, keepdim=True).expand_as(images)


class TestScenes:
    def test_a_roof_is_coloured_and_has_one_grey(self, scenes):
        assert scenes.roofs.sum() > 100
        spread = (scenes.A.amax(dim=1) - scenes.A.amin(dim=1))[scenes.roofs]
        assert spread.min() > 60 * hm.LEVEL
        # Shadows and edges aside, every roof is drawn with the luma 100, whatever its hue.
        middle = scenes.B[:, 0][scenes.roofs].median() / hm.LEVEL + 127.5
        assert 75 < middle < 115

    def test_nothing_but_roofs(self, scenes):
        """No roof lies in the sky, the upper quarter of every picture."""
        assert not scenes.roofs[:, : scenes.roofs.shape[1] // 4].any()

    def test_further_scenes_are_others(self, scenes):
        later = hm.open_scenes(2, start=4)
        assert torch.equal(later.A, scenes.A[4:])
        assert torch.equal(later.roofs, scenes.roofs[4:])


class TestHue:
    @pytest.mark.parametrize(
        ("rgb", "angle"),
        [((1, -1, -1), 0), ((1, 1, -1), 60), ((-1, 1, -1), 120), ((-1, -1, 1), -120)],
    )
    def test_of_pure_colours(self, rgb, angle):
        colour = torch.tensor(rgb, dtype=torch.float32).reshape(1, 3, 1, 1)
        assert hm.hue(colour).item() == pytest.approx(angle, abs=1e-4)

    def test_is_near_the_hue_of_colorsys(self, images):
        """The hexagon of colorsys and this circle differ by at most 1.12 degrees."""
        for pixel, angle in zip(
            images[0].flatten(1).T.tolist(), hm.hue(images[:1]).flatten().tolist(), strict=True
        ):
            hexagon = 360 * colorsys.rgb_to_hsv(*((value + 1) / 2 for value in pixel))[0]
            assert abs((angle - hexagon + 180) % 360 - 180) < 1.2

    def test_brightness_and_strength_of_a_colour_do_not_change_it(self, images):
        assert torch.allclose(hm.hue(0.5 * images + 0.1), hm.hue(images), atol=0.05)

    def test_error_takes_the_short_way_round(self):
        where = torch.ones(1, 1, 1, dtype=torch.bool)

        def colour(angle):
            return hm.repainted(torch.tensor([0.5, -0.2, -0.2]).reshape(1, 3, 1, 1), where, angle)

        for one, other, apart in ((0, 90, 90), (170, -170, 20), (-120, 120, 120), (30, 30, 0)):
            assert hm.hue_error(colour(one), colour(other), where) == pytest.approx(apart, abs=0.01)

    def test_a_guessed_hue_is_wrong_by_90_degrees(self):
        generator = torch.Generator().manual_seed(1)
        one, other = (torch.randn(4, 3, 64, 64, generator=generator) for _ in range(2))
        where = torch.ones(4, 64, 64, dtype=torch.bool)
        assert hm.hue_error(one, other, where) == pytest.approx(hm.CHANCE, abs=2)

    def test_no_roof_is_one_sentence(self, images):
        with pytest.raises(CourseError, match="no roof"):
            hm.hue_error(images, images, torch.zeros(3, 16, 16, dtype=torch.bool))


class TestRepainted:
    @pytest.mark.parametrize("angle", [0.0, 45.0, 120.0, -120.0, 180.0])
    def test_new_hue_same_luma_in_range_and_nothing_else(self, scenes, angle):
        painted = hm.repainted(scenes.A, scenes.roofs, angle)
        honest = Nothing()
        assert torch.allclose(honest(painted), honest(scenes.A), atol=1e-5)
        assert painted.abs().max() <= 1 + 1e-5
        off = (hm.hue(painted)[scenes.roofs] - angle + 180) % 360 - 180
        assert off.abs().max() < 0.1
        outside = ~scenes.roofs[:, None].expand_as(painted)
        assert torch.equal(painted[outside], scenes.A[outside])

    def test_an_honest_translator_leaves_no_message(self, scenes):
        difference = hm.message(Nothing(), scenes, (0.0, -120.0))
        assert hm.loudness(difference, scenes.roofs)["message"] < 1e-3

    def test_a_copier_hides_nothing_but_a_tint(self, scenes):
        found = hm.loudness(hm.message(nn.Identity(), scenes, (0.0, -120.0)), scenes.roofs)
        assert found["tint"] > 3 * found["brightness"] > 0

    def test_loudness_splits_by_pythagoras(self, images):
        found = hm.loudness(images, torch.ones(3, 16, 16, dtype=torch.bool))
        assert found["message"] == pytest.approx(math.hypot(found["brightness"], found["tint"]))
        assert found["message"] == pytest.approx(127.5 * images.square().mean().sqrt().item())

    def test_loudness_looks_at_the_roofs_alone(self):
        difference = torch.zeros(1, 3, 4, 4)
        difference[..., 0, 0] = 3 * hm.LEVEL
        where = torch.zeros(1, 4, 4, dtype=torch.bool)
        where[0, 0, 0] = True
        assert hm.loudness(difference, where)["brightness"] == pytest.approx(3)
        assert hm.loudness(difference, ~where)["message"] == 0


class TestDisturbances:
    def test_noise_has_its_strength_and_its_seed(self):
        still = torch.zeros(2, 3, 64, 64)
        noise = hm.with_noise(still, 5)
        assert noise.std() / hm.LEVEL == pytest.approx(5, rel=0.03)
        assert torch.equal(noise, hm.with_noise(still, 5))
        assert not torch.equal(noise, hm.with_noise(still, 5, seed=1))

    def test_rounding_to_8_bits_is_what_a_file_keeps(self, images):
        kept = [np.asarray(tensor_to_picture(image)) for image in images]
        bytes_ = ((hm.rounded(images, 8) + 1) * 127.5).round().to(torch.uint8)
        assert np.array_equal(bytes_.permute(0, 2, 3, 1).numpy(), np.stack(kept))

    def test_rounding_leaves_so_many_values(self):
        ramp = torch.linspace(-1, 1, 1000).reshape(1, 1, 1, -1)
        for bits in (1, 3, 5):
            assert len(hm.rounded(ramp, bits).unique()) == 2**bits
        assert hm.rounded(ramp, 1).unique().tolist() == [-1, 1]

    def test_blur(self, images):
        assert torch.equal(hm.blurred(images, 0), images)
        variances = [hm.blurred(images, sigma).var().item() for sigma in (0.3, 0.7, 1.5)]
        assert images.var() >= variances[0] > variances[1] > variances[2]

    def test_jpeg_keeps_brightness_better_than_colour(self):
        """JPEG stores colour at half the resolution: a stripe of tint goes, one of light stays."""
        stripes = (torch.arange(32) % 2 * 2.0 - 1).expand(1, 32, 32)
        bright = 0.2 * stripes.expand(3, 32, 32)[None]
        tint = bright * torch.tensor([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
        kept = {
            name: (hm.as_jpeg(images, 90) * images).sum() / images.square().sum()
            for name, images in (("bright", bright), ("tint", tint))
        }
        assert kept["bright"] > 0.8 > 0.3 > kept["tint"]

    def test_worse_jpeg_is_further_off(self, scenes):
        off = [(hm.as_jpeg(scenes.A, q) - scenes.A).abs().mean().item() for q in (95, 75, 25)]
        assert off[0] < off[1] < off[2]

    def test_without_tint(self, images):
        grey = hm.without_tint(images)
        assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)
        assert torch.allclose(grey.mean(dim=1), images.mean(dim=1), atol=1e-6)
        half = hm.without_tint(images, 0.5)
        assert torch.allclose(half, (images + grey) / 2, atol=1e-6)


class TestReconstruction:
    def test_a_perfect_way_back(self, scenes):
        found = hm.reconstruction(nn.Identity(), scenes.A, scenes)
        assert found == {"l1": 0, "roof_l1": 0, "hue_error": pytest.approx(0, abs=1e-3)}

    def test_whole_and_roofs(self, scenes):
        """Pictures in [0, 1]: off by 0.1 at the roofs alone."""
        moved = torch.where(scenes.roofs[:, None], scenes.A - 0.2 * scenes.A.sign(), scenes.A)
        found = hm.reconstruction(nn.Identity(), moved, scenes)
        share = scenes.roofs.float().mean().item()
        assert found["roof_l1"] == pytest.approx(0.1, rel=0.01)
        assert found["l1"] == pytest.approx(0.1 * share, rel=0.01)
        every = hm.reconstruction(nn.Identity(), -scenes.A, scenes)
        assert every["l1"] == pytest.approx(metrics.l1(-scenes.A, scenes.A).item(), rel=1e-5)

    def test_curve_of_a_way_back_that_copies(self, scenes):
        rows = hm.reconstruction_curve(nn.Identity(), scenes.A, scenes, "noise", (0, 10, 40))
        assert [(row["disturbance"], row["strength"]) for row in rows] == [
            ("noise", 0), ("noise", 10), ("noise", 40),
        ]  # fmt: skip
        assert rows[0]["l1"] == 0 < rows[1]["l1"] < rows[2]["l1"]
        assert rows[0]["hue_error"] < rows[1]["hue_error"] < rows[2]["hue_error"]
        # The mean of |x| for a normal x is sqrt(2 / pi) sd; 10 levels of 255 in [0, 1] are 10/255.
        assert rows[1]["l1"] == pytest.approx(math.sqrt(2 / math.pi) * 10 / 255, rel=0.05)

    def test_usual_strengths(self, scenes):
        rows = hm.reconstruction_curve(nn.Identity(), scenes.A, scenes, "bits")
        assert [row["strength"] for row in rows] == list(hm.DISTURBANCES["bits"][1])

    def test_unknown_disturbance(self, scenes):
        with pytest.raises(CourseError, match=r"'fog'.*noise, blur"):
            hm.reconstruction_curve(nn.Identity(), scenes.A, scenes, "fog")


class TestStored:
    """The facts of the chapter, on the stored weights and tables."""

    @pytest.mark.parametrize("training", hm.TRAININGS)
    def test_weights_give_what_the_table_says(self, training, many):
        """Half precision, another machine: the row of the same seed within a margin."""
        G_AB, G_BA = hm.load(training)
        with torch.no_grad():
            fake_B = G_AB(many.A).clamp(-1, 1)
        found = hm.reconstruction(G_BA, fake_B, many)
        for measure, margin in (("roof_l1", 0.005), ("hue_error", 2.0)):
            rows = hm.by_training(hm.stored("robustness"), measure, disturbance="noise", strength=0)
            assert found[measure] == pytest.approx(rows[training][hm.SHOWN], abs=margin)

    def test_the_hue_is_found_in_the_translation_but_not_in_the_truth(self):
        rows = hm.stored("robustness")
        hidden = hm.by_training(rows, "hue_error", disturbance="noise", strength=0)
        truth = hm.by_training(rows, "hue_error", disturbance="truth")
        for training in hm.TRAININGS:
            for seed, error in hidden[training].items():
                assert error < truth[training][seed] - 20

    def test_eight_bits_keep_it_and_a_blur_does_not(self):
        rows = hm.stored("robustness")
        as_it_is, rounded, blurred = (
            hm.by_training(rows, "hue_error", disturbance=name, strength=strength)
            for name, strength in (("noise", 0), ("bits", 8), ("blur", 1))
        )
        for training in hm.TRAININGS:
            for seed, error in as_it_is[training].items():
                assert rounded[training][seed] == pytest.approx(error, abs=2)
                assert blurred[training][seed] > error + 15

    def test_tables_are_whole(self):
        record = json.loads((hm.FOLDER / "record.json").read_text(encoding="utf-8"))
        points = sum(len(strengths) for _, strengths in hm.DISTURBANCES.values()) + 1
        runs = len(hm.TRAININGS) * len(record["seeds"])
        assert len(hm.stored("quality")) == runs
        assert len(hm.stored("robustness")) == runs * points

    def test_unknown_names(self, tmp_path):
        with pytest.raises(CourseError, match=r"'quiet'.*plain, noise 10"):
            hm.load("quiet")
        with pytest.raises(CourseError, match=r"python benchmarks/hidden_message.py"):
            hm.stored("quality", tmp_path)
        with pytest.raises(CourseError, match="fog"):
            hm.by_training(hm.stored("robustness"), "l1", disturbance="fog")


class TestBenchmark:
    def test_recipes_differ_in_the_step_alone(self):
        plain, noisy = (benchmark.recipe(training, 2) for training in hm.TRAININGS)
        assert plain.step is training_step
        assert noisy.step.func is training_step
        assert (plain.world, plain.steps, plain.seed) == ("grey", benchmark.STEPS, 2)
        assert {**vars(plain), "step": 0} == {**vars(noisy), "step": 0}

    def test_store_writes_what_the_chapter_reads(self, tmp_path, monkeypatch):
        tasks = metrics.tasks_of_world("grey", 4, hm.SIZE)
        monkeypatch.setattr(benchmark, "tasks", lambda world, size: tasks)
        monkeypatch.setattr(benchmark, "COUNT", 4)
        model = CycleGAN(small_generator, nn.Identity, seed=1)
        assert benchmark.done(tmp_path) == set()
        benchmark.store(tmp_path, "plain", hm.SHOWN, model, 12.34)
        benchmark.store(tmp_path, "noise 10", hm.SHOWN + 1, model, 5.0)
        benchmark.write_record(tmp_path)
        assert benchmark.done(tmp_path) == {("plain", hm.SHOWN), ("noise 10", hm.SHOWN + 1)}
        assert not (tmp_path / "noise_10").exists()  # weights of one seed only
        G_AB, _ = hm.load("plain", tmp_path)
        some = hm.open_scenes(4)
        with torch.no_grad():
            assert torch.allclose(G_AB(some.A), model.G_AB(some.A), atol=5e-3)
        rows = hm.stored("quality", tmp_path)
        assert rows[0]["seconds"] == 12.3
        assert rows[0]["psnr"] == rows[1]["psnr"]
        truth = hm.by_training(hm.stored("robustness", tmp_path), "l1", disturbance="truth")
        assert set(truth) == {"plain", "noise 10"}
        with (tmp_path / "quality.csv").open(encoding="utf-8") as stream:
            assert len(list(csv.reader(stream))) == 3  # one head


class TestFigures:
    @pytest.fixture
    def rows(self):
        return [
            {"training": training, "seed": seed, "disturbance": name, "strength": strength}
            | {"hue_error": 20.0 * level + seed + 5 * (training != "plain")}
            for training in hm.TRAININGS
            for seed in (1, 2, 3)
            for name, (_, strengths) in hm.DISTURBANCES.items()
            for level, strength in enumerate(strengths)
        ]

    def test_table_keeps_pictures_and_words(self):
        white, black = torch.ones(3, 8, 8), -torch.ones(3, 8, 8)
        figure = plots.picture_table({"one": [white, black], "two": [black, white]})
        assert [axis.get_ylabel() for axis in figure.axes] == ["one", "two"]
        first = figure.axes[0].images[0].get_array()
        assert first.shape == (8, 16, 3)
        assert (first[0, 0, 0], first[0, 15, 0]) == (255, 0)
        for rows in ({}, {"one": []}, {"one": [white], "two": [white, black]}):
            with pytest.raises(CourseError, match="same number"):
                plots.picture_table(rows)

    def test_words_stand_inside_the_figure(self):
        figure = plots.picture_table(
            {"back, after\nnoise of 10 levels": [torch.zeros(3, 8, 8)] * 3}
        )
        figure_bytes(figure)
        assert figure.axes[0].yaxis.label.get_window_extent().x0 > 0

    def test_residual_is_amplified(self):
        one, other = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
        one[:, 0] += 4 * hm.LEVEL
        (picture,) = plots.residual(one, other)
        assert picture[0, 0].tolist() == [160, 128, 128]

    def test_curves_are_seeds_and_their_mean(self, rows):
        figure = plots.robustness_curves(rows, ["noise", "jpeg"])
        assert len(figure.axes) == 2
        starts = [line.get_ydata()[0] for line in figure.axes[0].lines]
        assert starts == [1, 2, 3, 2, 6, 7, 8, 7, hm.CHANCE]
        assert figure.axes[0].lines[3].get_ydata()[:3].tolist() == [2, 22, 42]
        ticks = [label.get_text() for label in figure.axes[1].get_xticklabels()]
        assert ticks == [f"{s:g}" for s in hm.DISTURBANCES["jpeg"][1]]

    def test_cost_says_the_paired_difference(self):
        rows = [
            {"training": training, "seed": seed, "psnr": 30.0 + 3 * seed - loss}
            for training, losses in (("plain", (0, 0, 0)), ("noise 10", (1, 2, 3)))
            for seed, loss in zip((1, 2, 3), losses, strict=True)
        ]
        figure = plots.cost_figure(rows, {"psnr": "PSNR"})
        # mean -2, s 1, t(2) 4.303: 2 -+ 4.303 / sqrt(3) = 2.48
        assert figure.axes[0].get_xlabel() == "−2.0 (−4.5 to +0.5)"
        assert figure.axes[0].lines[0].get_ydata().tolist() == [33, 32]

    def test_one_seed_has_no_interval(self):
        rows = [
            {"training": training, "seed": 1, "psnr": value}
            for training, value in (("plain", 31.0), ("noise 10", 30.5))
        ]
        assert plots.cost_figure(rows, {"psnr": "PSNR"}).axes[0].get_xlabel() == "−0.50"

    def test_pictures_of_strips(self):
        picture = Image.new("RGB", (5, 4), (9, 8, 7))
        assert plots.strip([picture, np.zeros((4, 3, 3), np.uint8)]).shape == (4, 8, 3)
