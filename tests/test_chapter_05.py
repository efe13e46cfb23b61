"""Chapter 5: its step equals the package's, its claims in closed form, its figures."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from cyclegan_course import cyclegan, training
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.datasets import ImagePool
from cyclegan_course.exercises.chapter_05 import (
    discriminator_terms,
    exchange,
    generator_terms,
    lr_factor,
    small_model,
    training_step,
)
from cyclegan_course.losses import discriminator_loss, generator_loss
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.plots.schedule import learning_rates, turning
from cyclegan_course.plots.training_step import forgetting, gradient_flow, pool_history


def make_model() -> CycleGAN:
    return CycleGAN(
        partial(ResnetGenerator, ngf=4, n_blocks=1, n_down=1, edge_kernel=3),
        partial(PatchDiscriminator, ndf=4, n_layers=1),
    ).double()


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    shape = (2, 1, 3, 16, 16)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1).unbind()


def all_gradients(model: CycleGAN) -> torch.Tensor:
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    return torch.cat([grad.flatten() for grad in grads]).clone()


# The chapter's functions equal the package's -----------------------------------------------------


@pytest.mark.parametrize("weights", [(10.0, 5.0), (3.0, 0.5)])
def test_terms_equal_the_packages_in_value_and_gradient(weights):
    found = []
    for own in (True, False):
        model, (a, b) = make_model(), batch(0)
        if own:
            terms, fake_A, fake_B = generator_terms(model, a, b, *weights)
            terms |= discriminator_terms(model, a, b, fake_A, fake_B)
        else:
            objective = Objective(*weights)
            terms, made = cyclegan.generator_losses(model, a, b, objective)
            fakes = made.fake_A, made.fake_B
            terms |= cyclegan.discriminator_losses(model, a, b, *fakes, objective)
        sum(terms.values()).backward()
        found.append(({k: v.item() for k, v in terms.items()}, all_gradients(model)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-10)


def test_step_equals_the_packages_over_steps_with_pools():
    found = []
    for step_function in (
        training_step,
        partial(cyclegan.training_step, objective=Objective(10.0, 5.0)),
    ):
        model = make_model()
        adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
        optimizers = adam(model.generator_parameters()), adam(model.discriminator_parameters())
        pools = ImagePool(2, seed=1), ImagePool(2, seed=2)
        history = []
        for step in range(6):
            terms = step_function(model, *batch(step), *optimizers, *pools)
            history.append(all_gradients(model))
        found.append((torch.stack(history), {k: v.item() for k, v in terms.items()}))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-8)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-8)


def test_exchange_gives_what_the_packages_pool_gives():
    pool, pictures = ImagePool(5, seed=3), []
    generator = torch.Generator().manual_seed(3)
    for step in range(200):
        fake = torch.full((3, 1, 1), float(step))
        own = exchange(pictures, fake, 5, generator)
        assert torch.equal(own, pool(fake[None])[0])
    assert len(pictures) == 5


@pytest.mark.parametrize("steps", [1, 7, 200])
def test_schedule_equals_the_packages_and_is_two_straight_lines(steps):
    for step in range(steps + 1):
        factor = lr_factor(step, steps)
        assert factor == pytest.approx(training.learning_rate_factor(step / steps))
        line = 1 if step <= steps / 2 else (steps - step) / (steps / 2)
        assert factor == pytest.approx(line)


# What the chapter claims -------------------------------------------------------------------------


def test_every_fake_is_shown_once_and_waits_for_twice_the_size_of_the_pool():
    size, steps = 10, 20_000
    pictures, generator = [], torch.Generator().manual_seed(0)
    given = [int(exchange(pictures, torch.tensor(step), size, generator)) for step in range(steps)]
    shown = Counter(given[size:])
    still_held = {int(picture) for picture in pictures}
    assert {shown[step] for step in range(size, steps) if step not in still_held} == {1}
    waited = np.array([step - out for step, out in enumerate(given) if out < step])
    # Geometric with probability 1 / (2 size): mean 20, deviation 19.5, over about 10,000 values.
    assert waited.mean() == pytest.approx(2 * size, abs=5 * 19.5 / len(waited) ** 0.5)


@pytest.mark.parametrize("score", [0.05, 0.3, 0.5, 0.9])
def test_the_leaked_gradient_is_opposite_to_the_wanted_one(score):
    """Of a fake that scores s: 2 (s - 1) from the generator's loss, s from half of D's."""
    gradients = {}
    for name in ("wanted", "leaked"):
        s = torch.tensor(score, requires_grad=True)
        loss = generator_loss(s) if name == "wanted" else 0.5 * discriminator_loss(s.detach(), s)
        loss.backward()
        gradients[name] = s.grad.item()
    assert gradients["wanted"] == pytest.approx(2 * (score - 1))
    assert gradients["leaked"] == pytest.approx(score)
    assert gradients["wanted"] * gradients["leaked"] < 0


@pytest.mark.parametrize(("beta1", "late"), [(0.9, 6), (0.5, 0)])
def test_adams_move_after_a_turn(beta1, late):
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=1.0, betas=(beta1, 0.999))
    moves = []
    for gradient in [-1.0] * 60 + [1.0] * 12:
        before = x.item()
        x.grad = torch.full_like(x, gradient)
        optimizer.step()
        moves.append(x.item() - before)
    closed_form = [2 * beta1**k - 1 for k in range(1, 13)]
    assert moves[60:] == pytest.approx(closed_form, abs=5e-3)
    assert sum(move > 0.01 for move in moves[60:]) == late


def test_the_small_model_can_be_followed_by_hand():
    model = small_model()
    a = torch.full((1, 3, 1, 2), 0.5)
    fake_B = model.G_AB(a)
    torch.testing.assert_close(fake_B, torch.full_like(a, 0.7 * 0.5 + 0.2))
    torch.testing.assert_close(model.D_B(fake_B), torch.full((1, 1, 1, 2), -0.8 * 0.55 + 0.6))
    assert "G_AB(x) = 0.7x+0.2" in repr(model)
    assert len(model.generator_parameters()) == len(model.discriminator_parameters()) == 4


# The figures -------------------------------------------------------------------------------------


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_gradient_flow_tells_kept_blocked_and_absent_apart():
    before = {"G_AB": {"G_AB": 2.0, "D_B": 3.0}, "D_B": {"G_AB": 1.0, "D_B": 4.0}}
    after = {"G_AB": {"G_AB": 2.0, "D_B": 0.0}, "D_B": {"G_AB": 0.0, "D_B": 4.0}}
    assert texts(gradient_flow(before, after)) == ["2", "blocked", "blocked", "4"]
    assert texts(gradient_flow({"idt": {"D": 0.0}}, {"idt": {"D": 0.0}})) == ["·"]


def test_pool_history_separates_fresh_from_old():
    made = list(range(200))
    given = [step if step % 2 else max(0, step - 7) for step in made]
    left, right = pool_history(made, given, size=5).axes
    lines = {line.get_label(): line.get_xydata() for line in left.lines}
    assert all(x == y for x, y in lines["fresh"])
    assert all(x > y for x, y in lines["out of the pool"])
    assert "7 steps" in right.get_title()
    theory = next(line for line in right.lines if line.get_label() == "in theory").get_ydata()
    assert theory[0] == pytest.approx(0.1)
    assert theory.sum() == pytest.approx(1, abs=0.01)


def test_forgetting_has_a_map_for_each_discriminator():
    values = np.add.outer(np.linspace(0, 1, 9), np.zeros(9))
    points = np.zeros((3, 2))
    figure = forgetting({"one": values, "two": values}, 2.0, points, points, points)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["one", "two"]
    assert "score" in figure.axes[2].get_ylabel()


def test_learning_rates_draws_the_factor_it_is_given():
    figure = learning_rates(lr_factor, {"a": (10, 2e-4, "epoch"), "b": (20, 1e-3, "step")})
    for axis, rate, word in zip(figure.axes, (2e-4, 1e-3), ("epoch", "step"), strict=True):
        y = axis.lines[0].get_ydata()
        assert (y[0], y[-1]) == (pytest.approx(rate), 0)
        assert axis.get_xlabel() == word


def test_turning_counts_steps_from_the_turn():
    axis = turning({0.9: [1, 1, 0.8, 0.6], 0.5: [1, 1, 0, -0.5]}, before=2).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines["the gradient asks for"].get_ydata()) == [1, 1, -1, -1]
    assert list(lines["β₁ = 0.5"].get_xdata()) == [-1, 0, 1, 2]
