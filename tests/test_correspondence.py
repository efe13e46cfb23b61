"""Correspondence must see which scene is shown, and nothing of its colours and light."""

import pytest
import torch

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.metrics.baselines import reinhard
from cyclegan_course.metrics.correspondence import correspondence, edge_directions, own_scene

COUNT = 24


def pairs(world, start=0):
    sides = worlds.open_sealed_pairs(world, COUNT, 64, start)
    return tuple(torch.stack([picture_to_tensor(picture) for picture in side]) for side in sides)


@pytest.fixture(scope="module")
def night():
    return pairs("night")


@pytest.mark.parametrize("world", ["painting", "night"])
def test_both_sides_of_a_world_are_found_to_be_one_scene(world):
    day, other = pairs(world)
    assert correspondence(day, other) == 1
    assert correspondence(other, day) == 1


def test_neither_colour_nor_light_nor_their_exchange_changes_the_answer(night):
    day, dark = night
    for changed in (
        -day,
        0.2 * day - 0.5,
        day[:, [2, 0, 1]],
        day.sign() * day.abs() ** 2,
        reinhard(day, dark),
    ):
        assert correspondence(changed, day) == 1
    torch.testing.assert_close(edge_directions(-day), edge_directions(day), rtol=0, atol=1e-5)


def test_a_translator_that_ignores_its_input_is_right_by_chance(night):
    _, truth = night
    _, others = pairs("night", start=COUNT)
    assert correspondence(others, truth) <= 4 / COUNT
    same = truth[:1].expand_as(truth)
    assert correspondence(same, truth) == pytest.approx(1 / COUNT)


def test_it_counts_the_share_of_scenes_that_were_mixed_up(night):
    day, dark = night
    order = torch.arange(COUNT)
    order[:6] = order[:6].roll(1)
    hits = own_scene(dark[order], day)
    assert hits.tolist() == [False] * 6 + [True] * (COUNT - 6)
    assert correspondence(dark[order], day) == pytest.approx((COUNT - 6) / COUNT)


def test_what_cannot_belong_together_is_named(night):
    day, _ = night
    with pytest.raises(CourseError, match="one scene for each"):
        own_scene(day[:3], day)
    assert torch.isfinite(edge_directions(torch.zeros(1, 3, 32, 32))).all()  # no edge at all
