"""Each loss against numbers worked out by hand, and its gradient against the formula."""

import math

import pytest
import torch

from cyclegan_course import losses

REAL = torch.tensor([0.5, 2.0])
FAKE = torch.tensor([-1.0, 1.0])


def sigmoid(s: float) -> float:
    return 1 / (1 + math.exp(-s))


BY_HAND_D = {
    # ((0.5-1)^2 + (2-1)^2) / 2 + ((-1)^2 + 1^2) / 2
    "lsgan": 0.625 + 1.0,
    "vanilla": -(math.log(sigmoid(0.5)) + math.log(sigmoid(2))) / 2
    - (math.log(1 - sigmoid(-1)) + math.log(1 - sigmoid(1))) / 2,
    # (0.5 + 0) / 2 + (0 + 2) / 2
    "hinge": 0.25 + 1.0,
}
BY_HAND_D["non_saturating"] = BY_HAND_D["vanilla"]
BY_HAND_G = {
    # ((-2)^2 + 0^2) / 2
    "lsgan": 2.0,
    "vanilla": (math.log(1 - sigmoid(-1)) + math.log(1 - sigmoid(1))) / 2,
    "non_saturating": -(math.log(sigmoid(-1)) + math.log(sigmoid(1))) / 2,
    "hinge": 0.0,
}


@pytest.mark.parametrize("kind", losses.ADVERSARIAL_LOSSES)
def test_adversarial_losses_by_hand(kind):
    assert float(losses.discriminator_loss(REAL, FAKE, kind)) == pytest.approx(BY_HAND_D[kind])
    assert float(losses.generator_loss(FAKE, kind)) == pytest.approx(BY_HAND_G[kind], abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "slope"),
    [
        ("lsgan", lambda s: 2 * (s - 1)),
        ("vanilla", lambda s: -sigmoid(s)),
        ("non_saturating", lambda s: sigmoid(s) - 1),
        ("hinge", lambda s: -1.0),
    ],
)
@pytest.mark.parametrize("score", [-6.0, -0.3, 0.0, 2.5])
def test_generator_gradient_over_the_score(kind, slope, score):
    s = torch.tensor([score], dtype=torch.float64, requires_grad=True)
    losses.generator_loss(s, kind).backward()
    assert float(s.grad) == pytest.approx(slope(score))


def test_saturating_loss_starves_where_the_discriminator_is_sure():
    slopes = {}
    for kind in ("vanilla", "non_saturating"):
        s = torch.tensor([-10.0], requires_grad=True)
        losses.generator_loss(s, kind).backward()
        slopes[kind] = abs(float(s.grad))
    assert slopes["vanilla"] < 1e-4
    assert slopes["non_saturating"] > 0.99


@pytest.mark.parametrize("kind", losses.ADVERSARIAL_LOSSES)
def test_extreme_scores_stay_finite(kind):
    scores = torch.tensor([-1e4, 1e4])
    assert losses.discriminator_loss(scores, scores, kind).isfinite()
    assert losses.generator_loss(scores, kind).isfinite()


@pytest.mark.parametrize("kind", losses.ADVERSARIAL_LOSSES)
def test_a_discriminator_that_is_right_pays_less(kind):
    right = losses.discriminator_loss(torch.ones(4), -torch.ones(4), kind)
    wrong = losses.discriminator_loss(-torch.ones(4), torch.ones(4), kind)
    assert right < wrong


def test_lsgan_under_autocast_is_computed_in_float32():
    scores = torch.full((30 * 30,), 0.2, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert losses.generator_loss(scores).dtype == torch.float32


def test_cycle_and_identity_losses_are_the_mean_absolute_difference():
    a = torch.zeros(2, 3, 4, 4)
    b = torch.zeros(2, 3, 4, 4)
    b[0] = 0.5
    assert float(losses.cycle_consistency_loss(b, a)) == pytest.approx(0.25)
    assert float(losses.identity_loss(b, a)) == pytest.approx(0.25)
    assert float(losses.cycle_consistency_loss(a, a)) == 0


@pytest.mark.parametrize(
    "call", [losses.generator_loss, lambda s, k: losses.discriminator_loss(s, s, k)]
)
def test_unknown_kind_names_the_known_ones(call):
    with pytest.raises(ValueError, match="lsgan, vanilla, non_saturating, hinge"):
        call(torch.zeros(1), "wasserstein")
