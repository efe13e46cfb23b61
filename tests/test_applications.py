"""The applications of chapter 10: sets, scores, verdicts, squares; what tells two domains apart."""

import types

import numpy as np
import pytest
import torch
from torch import Tensor

from cyclegan_course import metrics, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.laboratory import applications
from cyclegan_course.laboratory.applications import Measured, Place, Sets
from cyclegan_course.laboratory.telling import patch_statistics, telling, telling_scores
from cyclegan_course.ordinary import TOOLS


@pytest.fixture(scope="module")
def sets() -> Sets:
    return applications.training_sets("night", scenes=4, size=48)


@pytest.fixture(scope="module")
def measured(sets) -> Measured:
    truth = iter([pictures_to_tensor(worlds.open_sealed_pairs("night", 6, 48)[1])])
    translators = {"perfect": lambda _: next(truth), "none": None, "copy": lambda x: x}
    return applications.measure("night", sets, translators, count=6)


# --- sets and methods -----------------------------------------------------------------------------


def test_the_sets_are_the_training_pictures_of_the_world(sets):
    for side, domain in zip(sets, "AB", strict=True):
        wanted = pictures_to_tensor(worlds.training_pictures("night", domain, 4, 48))
        assert torch.equal(side, wanted)


@pytest.mark.parametrize("world", worlds.APPLICATIONS)
def test_a_full_training_has_the_settings_of_the_shipped_weights(world):
    config = applications.shipped_config(world)
    assert config.data == world
    assert (config.steps or 60 * config.minutes) > 300  # steps, or seconds


def test_a_full_training_is_run_with_them(monkeypatch, sets):
    seen = []

    def train(config, device):
        seen.append(config)
        net = torch.nn.Identity()
        return types.SimpleNamespace(generators={"G_AB": net})

    monkeypatch.setattr(applications.training, "train", train)
    assert applications.train_here("night", sets, "full")(sets.A) is sets.A
    assert seen == [applications.shipped_config("night")]


def test_methods_stand_in_the_order_of_the_table(measured):
    tools = [tool.name for tool in TOOLS["night"]]
    wanted = ["untouched", "Reinhard", *tools, "perfect", "copy", "truth"]
    assert list(measured.pictures) == list(measured.distance) == wanted
    assert [row.method for row in measured.rows()] == wanted
    assert list(measured.scores) == wanted[:-1]
    assert measured.table().count("\n") == len(wanted) + 1


def test_scores_are_those_of_the_metrics(measured):
    truth = measured.pictures["truth"]
    for name in ("untouched", "Reinhard"):
        fake = measured.pictures[name]
        assert measured.mean(name, "psnr") == pytest.approx(metrics.psnr(fake, truth).item())
        assert measured.mean(name, "ssim") == pytest.approx(metrics.ssim(fake, truth).item())
    assert measured.mean("perfect", "ssim") == pytest.approx(1.0)
    assert measured.distance["perfect"] == measured.distance["truth"]


def test_a_perfect_translator_wins_and_a_copy_does_not(measured):
    assert measured.wins("perfect") == ["psnr", "ssim"]
    assert measured.wins("copy") == []
    assert measured.verdicts("perfect")[-1].endswith("ordinary tool in PSNR and SSIM.")
    assert measured.verdicts("copy")[-1].endswith("in neither PSNR nor SSIM.")
    assert "better." in measured.verdicts("perfect")[0]
    assert "worse." in measured.verdicts("copy")[0]
    assert "not nearer to the target" in measured.verdicts("copy")[2]


def test_the_best_rival_is_never_a_translator(measured):
    for measure in ("psnr", "ssim"):
        best = measured.best_rival(measure)
        assert best in measured.rivals
        assert all(
            measured.mean(best, measure) >= measured.mean(name, measure) for name in measured.rivals
        )
    assert measured.best_tool() in {tool.name for tool in TOOLS["night"]}


def test_a_difference_is_paired(measured):
    found = measured.difference("perfect", "copy", "ssim")
    gains = measured.scores["perfect"]["ssim"] - measured.scores["copy"]["ssim"]
    assert found.value == pytest.approx(gains.mean().item())
    assert found.low <= found.value <= found.high


# --- training -------------------------------------------------------------------------------------


def test_a_short_training_is_deterministic_and_load_trains_nothing(sets):
    one, other = (applications.train_here("night", sets, "short", steps=2) for _ in range(2))
    with torch.no_grad():
        assert torch.equal(one(sets.A), other(sets.A))
    assert applications.train_here("night", sets, "load") is None
    with pytest.raises(CourseError, match="short"):
        applications.train_here("night", sets, "shortly")


def test_with_pairs_the_error_falls(sets):
    targets = sets.A.flip(1)  # channels in reverse: easy to learn
    untrained, trained = (
        applications.train_with_pairs(sets.A, targets, steps=steps) for steps in (1, 30)
    )
    with torch.no_grad():
        errors = [(net(sets.A) - targets).abs().mean() for net in (untrained, trained)]
    assert errors[1] < 0.5 * errors[0]


# --- squares and photographs ----------------------------------------------------------------------


def test_the_worst_square_is_where_the_error_is():
    truth = torch.zeros(3, 3, 40, 48)
    fake = truth.clone()
    fake[1, :, 20:28, 30:38] = 0.5
    fake[2, :, 0:4, 0:4] = 0.6  # larger, but a smaller area
    place = applications.worst_place(fake, truth, side=8)
    assert place == Place(1, 20, 30, 8)
    assert torch.equal(place.cut(fake), fake[1, :, 20:28, 30:38])


def test_photographs_become_squares_and_arrays_go_back():
    photos = applications.square_photographs(32)
    assert set(photos) == set(worlds.photographs())
    stack = torch.stack(list(photos.values()))
    assert stack.shape == (6, 3, 32, 32)
    assert torch.equal(pictures_to_tensor(applications.as_arrays(stack)), stack)


# --- what can be told -----------------------------------------------------------------------------


def test_statistics_of_flat_patches():
    images = torch.tensor([[0.9, 0.3, 0.2], [0.5, 0.5, 0.5]]).reshape(2, 3, 1, 1) * 2 - 1
    found = patch_statistics(images.expand(2, 3, 64, 32).contiguous())
    assert all(values.shape == (4,) for values in found.values())
    wanted = {
        "brightness": (1.4 / 3, 0.5),
        "colour": (0.7, 0.0),
        "blue minus red": (-0.7, 0.0),
        "red pixels": (1.0, 0.0),
        "fine detail": (0.0, 0.0),
    }
    for name, (first, second) in wanted.items():
        values = [first, first, second, second]
        torch.testing.assert_close(found[name], torch.tensor(values), atol=1e-5, rtol=0)
    assert found["contrast"].max() < 1e-3


def test_contrast_and_detail_of_a_checkerboard():
    y, x = np.indices((32, 32))
    board = torch.from_numpy((((y + x) % 2) * 2.0 - 1).astype(np.float32)).expand(1, 3, 32, 32)
    found = patch_statistics(board.contiguous())
    assert found["contrast"].item() == pytest.approx(0.5, abs=1e-4)
    assert found["fine detail"].item() == pytest.approx(0.5, abs=0.06)  # 4/9 or 5/9, half of it


def test_telling_is_one_for_separate_and_a_half_for_equal_sets():
    low, high = torch.arange(5.0), torch.arange(5.0) + 10
    assert telling(low, high) == telling(high, low) == 1.0
    assert telling(low, low) == 0.5
    assert telling(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0])) == 0.75


def test_the_most_telling_number_stands_first():
    generator = torch.Generator().manual_seed(0)

    def grey(level: float) -> Tensor:
        noise = 0.1 * torch.randn(4, 1, 64, 64, generator=generator)
        return (level + noise).clamp(-1, 1).expand(4, 3, 64, 64).contiguous()

    scores = telling_scores(grey(-0.5), grey(0.5))
    assert next(iter(scores)) == "brightness"
    assert scores["brightness"] == 1.0
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
