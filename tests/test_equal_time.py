"""The trainer against the textbook loop: they see the same, so they end alike."""

import equal_time
import pytest
import torch
from safetensors.torch import load_file
from training_toys import CPU, TINY

from cyclegan_course.metrics import Row
from cyclegan_course.training import Config

STEPS = 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Both ways on the same settings, without pools, whose random numbers are not the same."""
    config = Config(**TINY | {"data": "editing", "steps": STEPS, "pool_size": 0, "lr": 1e-4})
    folder = tmp_path_factory.mktemp("equal")
    for name, run in equal_time.WAYS.items():
        run(config, folder / name, CPU)
    return folder


def test_stages_after_a_fifth_a_half_and_the_whole(folders):
    for name in equal_time.WAYS:
        found = sorted(stage.name for stage in (folders / name / "stages").iterdir())
        assert found == ["step_0000002", "step_0000005", "step_0000010"]


@pytest.mark.parametrize("step", [2, 5, 10])
def test_equal_pictures_weights_and_rates_give_equal_generators(folders, step):
    """Float32 on the CPU: what remains is the rounding of sums in another order."""
    for direction in ("AB", "BA"):
        one, other = (
            load_file(
                folders / name / f"stages/step_{step:07d}/generator/editing_{direction}.safetensors"
            )
            for name in equal_time.WAYS
        )
        for key, value in one.items():
            if key.endswith("bias") and not other[key].any():
                continue  # in front of a norm: the loop moves it, and no picture changes
            torch.testing.assert_close(value, other[key], atol=5e-5, rtol=2e-3)


def test_lines_say_who_when_and_how_far():
    rows = [Row(way, "CycleGAN", step=s) for way in ("A to B", "B to A") for s in (20, 50, 100)]
    lines = equal_time.named(rows, "trainer", 10.0)
    assert [(line.direction, line.method) for line in lines[:3]] == [
        ("A to B", "trainer, 2 min, 20 steps"),
        ("A to B", "trainer, 5 min, 50 steps"),
        ("A to B", "trainer, 10 min, 100 steps"),
    ]
    assert [line.step for line in lines] == [20, 50, 100] * 2
