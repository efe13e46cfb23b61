"""The world `grey`: its picture B is the luma of A, and nobody can tell a roof's hue from it."""

import colorsys
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from cyclegan_course import datasets, scenes, worlds
from cyclegan_course.cli import main, train
from cyclegan_course.scenes import hue_of_one_brightness

LUMA = np.array([0.299, 0.587, 0.114])
HUES = np.arange(6) / 6
SIZE = 48


def picture(seed, domain="A", size=SIZE):
    return worlds.render("grey", seed, domain, size)


def with_hue(seed, hue):
    """Scene `seed` with every roof of this hue."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "_roof", lambda *_: hue_of_one_brightness(hue))
        return scenes.draw_scene(scenes.make_scene(seed), SIZE, edit="hues")


@pytest.fixture(scope="module")
def in_each_hue():
    """Six scenes, each with its roofs in each hue: (6, hues, S, S, 3) of uint8."""
    return np.stack([[with_hue(seed, hue) for hue in HUES] for seed in range(6)])


@pytest.fixture(scope="module")
def roofs(in_each_hue):
    """Where the roofs' colour stands, and nothing else: (6, S, S) of bool."""
    return np.ptp(in_each_hue.astype(int), axis=1).max(axis=-1) > 90


@pytest.fixture(scope="module")
def drawn():
    return [scenes.make_scene(seed) for seed in range(700)]


class TestColours:
    def test_one_luma_for_every_hue(self):
        """Within the half level by which each channel may be rounded."""
        found = [np.array(hue_of_one_brightness(hue)) @ LUMA for hue in np.linspace(0, 1, 360)]
        assert np.abs(np.array(found) - 100).max() <= 0.5

    def test_another_luma_can_be_asked_for(self):
        for hue in HUES:
            found = np.array(hue_of_one_brightness(hue, 140.0)) @ LUMA
            assert found == pytest.approx(140, abs=0.5)

    def test_they_are_strong_colours_of_that_hue(self):
        for hue in HUES:
            colour = hue_of_one_brightness(hue)
            assert 14.5 <= min(colour) < max(colour) <= 240.5
            assert max(colour) - min(colour) > 60
            found = colorsys.rgb_to_hsv(*colour)[0]
            assert abs((found - hue + 0.5) % 1 - 0.5) < 0.01

    def test_all_hues_are_equally_likely(self, drawn, monkeypatch):
        monkeypatch.setattr(scenes, "hue_of_one_brightness", lambda hue: hue)
        hues = [scenes._roof(scene, house, "hues") for scene in drawn for house in scene.houses]
        assert min(hues) >= 0
        assert max(hues) < 1
        assert stats.kstest(hues, "uniform").pvalue > 0.01

    def test_they_depend_on_nothing_else_in_the_scene(self, drawn, monkeypatch):
        monkeypatch.setattr(scenes, "hue_of_one_brightness", lambda hue: hue)
        hues = np.array([scenes._roof(scene, scene.houses[-1], "hues") for scene in drawn])
        around = np.stack([np.cos(2 * np.pi * hues), np.sin(2 * np.pi * hues)])
        facts = np.array(
            [
                (
                    *(s.sky, s.sky_tone, s.clouds, s.haze, s.green, s.sun[0], s.path, s.flowers),
                    *(len(s.houses), len(s.trees)),
                    *dataclasses.astuple(s.houses[-1]),
                )
                for s in drawn
            ],
            dtype=float,
        ).T
        correlations = np.corrcoef(around, facts)[:2, 2:]
        assert np.abs(correlations).max() < 4 / np.sqrt(len(drawn))

    def test_two_houses_have_hues_of_their_own(self, drawn, monkeypatch):
        monkeypatch.setattr(scenes, "hue_of_one_brightness", lambda hue: hue)
        pairs = np.array(
            [
                [scenes._roof(scene, house, "hues") for house in scene.houses]
                for scene in drawn
                if len(scene.houses) == 2
            ]
        )
        assert len(pairs) > 100
        apart = (pairs[:, 0] - pairs[:, 1]) % 1
        assert stats.kstest(apart, "uniform").pvalue > 0.01


class TestPictures:
    def test_b_is_the_luma_of_a(self):
        for seed in range(3):
            luma = picture(seed).astype(float) @ LUMA
            grey = picture(seed, "B")
            assert np.abs(grey[..., 0] - luma).max() <= 0.51
            assert (grey == grey[..., :1]).all()

    def test_the_same_at_every_call_and_with_other_pictures_in_between(self):
        first = picture(5)
        worlds.render("night", 5, "B", 32)
        np.testing.assert_array_equal(first, picture(5))

    def test_only_the_roofs_differ_from_the_scene_of_the_other_worlds(self):
        """By night and by day nothing else changes: trees, far and near, keep their shapes."""
        for seed in range(6):
            day = worlds.render("night", seed, "A", 64).astype(int)
            grey = picture(seed, size=64).astype(int)
            roof = np.zeros((64, 64), bool)
            for house in scenes.make_scene(seed).houses:
                top = house.y - (house.wall + house.roof + 0.05) * house.width
                rows = slice(int(top * 64) - 1, int(house.y * 64) + 2)
                left, right = house.x - 0.07 * house.width, house.x + 1.07 * house.width
                roof[rows, max(0, int(left * 64) - 1) : int(right * 64) + 2] = True
            differs = (day != grey).any(axis=2)
            assert differs[roof].any()
            assert not differs[~roof].any(), f"scene {seed}"


class TestNobodyCanTell:
    """What the world is for: from the grey picture the hue cannot be told."""

    def test_the_grey_picture_is_the_same_for_every_hue(self, in_each_hue):
        """Within the rounding of three channels and of their luma."""
        assert np.ptp(in_each_hue.astype(int), axis=1).max() > 90  # the hues are there to be seen
        for seed, pictures in enumerate(in_each_hue):
            grey = np.stack([worlds._grey(each)[..., 0] for each in pictures]).astype(int)
            assert np.ptp(grey, axis=0).max() <= 2, f"scene {seed}"

    def test_the_grey_of_roofs_goes_with_no_hue(self, in_each_hue, roofs):
        levels = np.array(
            [
                [worlds._grey(each)[..., 0][where].mean() for each in pictures]
                for pictures, where in zip(in_each_hue, roofs, strict=True)
            ]
        )
        by_hue = (levels - levels.mean(axis=1, keepdims=True)).mean(axis=0)
        assert np.ptp(by_hue) < 0.35  # of 255 levels
        assert levels.mean(axis=1).std() > 1  # light and weather move it by more than that

    def test_roofs_of_domain_a_do_show_it(self, roofs):
        seen = set()
        for seed, where in enumerate(roofs):
            mean = picture(seed)[where].mean(axis=0)
            assert np.ptp(mean) > 30
            seen.add(int(mean.argmax()))
        assert len(seen) > 1


def test_it_opens_like_any_world():
    source = datasets.open_source("grey", 32, scenes=2, test_scenes=1)
    assert source.domain_B == worlds.WORLDS["grey"].domain_B
    np.testing.assert_array_equal(source.train_A[1], picture(2, "A", 32))
    np.testing.assert_array_equal(source.train_B[1], picture(3, "B", 32))


def test_the_command_trains_on_it(monkeypatch, tmp_path):
    asked = []

    def spy(config, *_, **__):
        asked.append(config)
        return SimpleNamespace(is_first=False, stopped_by=None)

    monkeypatch.setattr(train, "train", spy)
    assert main(["train", "--data", "grey", "--out", str(tmp_path)]) == 0
    assert asked[0].data == "grey"
    assert asked[0].loaded_size == asked[0].size  # a world is drawn at the size that is asked for
