"""Chapter 1: the one-number GAN, the GANs on the ring, the stepper, and the chapter's claims."""

import math
from itertools import pairwise

import pytest
import torch
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from torch import nn
from torch.distributions import Normal

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises.chapter_01 import (
    loss_of_D,
    lsgan_losses,
    optimal_discriminator,
    score_gradients,
    training_step,
)
from cyclegan_course.losses import discriminator_loss, generator_loss
from cyclegan_course.plots import adversarial
from cyclegan_course.toys.clouds import ManyMLPs, mlp, ring_centres, ring_of_gaussians
from cyclegan_course.toys.gan import (
    STD,
    Recipe,
    point_gan_gradients,
    point_gan_path,
    ring_quality,
    train_on_ring,
    with_batch_spread,
)
from cyclegan_course.widgets import gan_stepper

KINDS = ("non_saturating", "vanilla", "lsgan")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# The mathematics --------------------------------------------------------------------------------


def test_no_answer_is_better_than_the_optimal_one():
    p_data, p_g = torch.rand(2, 50, 1, generator=torch.Generator().manual_seed(0))
    answers = torch.linspace(0.001, 0.999, 999)
    values = p_data * answers.log() + p_g * (1 - answers).log()
    best = answers[values.argmax(1)]
    assert (optimal_discriminator(p_data, p_g)[:, 0] - best).abs().max() < 0.001


@pytest.mark.parametrize("mean", [1.0, 0.0, -4.0])
def test_value_at_the_optimum_is_two_divergences_below(mean):
    grid = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    p, q = Normal(1.0, 0.6).log_prob(grid).exp(), Normal(mean, 0.9).log_prob(grid).exp()
    value = torch.trapezoid(
        p * optimal_discriminator(p, q).log() + q * optimal_discriminator(q, p).log(), grid
    )
    m = (p + q) / 2
    divergence = torch.trapezoid(p * (p / m).log() + q * (q / m).log(), grid) / 2
    assert value.item() == pytest.approx(-math.log(4) + 2 * divergence.item(), abs=1e-6)


def test_solutions_are_the_losses_of_the_package():
    real, fake = 3 * normal(2, 4, 1, 6, 6)
    torch.testing.assert_close(loss_of_D(real, fake), discriminator_loss(real, fake, "vanilla"))
    loss_D, loss_G = lsgan_losses(real, fake)
    torch.testing.assert_close(loss_D, discriminator_loss(real, fake, "lsgan"))
    torch.testing.assert_close(loss_G, generator_loss(fake, "lsgan"))


@pytest.mark.parametrize(("place", "kind"), [(0, "vanilla"), (1, "non_saturating")])
def test_slopes_are_those_of_autograd(place, kind):
    score = torch.linspace(-30, 30, 121, requires_grad=True)
    (slope,) = torch.autograd.grad(score.numel() * generator_loss(score, kind), score)
    torch.testing.assert_close(score_gradients(score.detach())[place], slope)


# The one-number GAN -----------------------------------------------------------------------------


def test_slopes_of_the_point_gan_are_those_of_the_losses():
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    psi = torch.tensor(-1.3, dtype=torch.float64, requires_grad=True)
    quantiles = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)
    shift = 0.4 * torch.special.ndtri(quantiles)
    score_fake, score_real = psi * (theta + shift), psi * shift
    loss_D = discriminator_loss(score_real, score_fake, "vanilla") + 0.3 / 2 * psi**2
    (slope_D,) = torch.autograd.grad(loss_D, psi, retain_graph=True)
    (slope_G,) = torch.autograd.grad(generator_loss(score_fake, "vanilla"), theta)
    found = point_gan_gradients(theta.detach(), psi.detach(), penalty=0.3, noise=0.4)
    torch.testing.assert_close(found, (slope_G, slope_D))


def test_the_field_turns_and_does_not_pull():
    theta, psi = normal(2, 50).double()
    slope_G, slope_D = point_gan_gradients(theta, psi)
    assert (theta * slope_G + psi * slope_D).abs().max() < 1e-12
    slope_G, slope_D = point_gan_gradients(theta, psi, penalty=0.5)
    torch.testing.assert_close(theta * slope_G + psi * slope_D, 0.5 * psi**2)


def test_turns_circle_haste_and_momentum_leave_damping_arrives():
    def far(**change):
        return point_gan_path(400, **change).norm(dim=1)

    circle = far()
    assert circle.min() > 0.95
    assert circle.max() < 1.05
    assert far(alternating=False)[-1] > 1.3
    assert far(momentum=0.5)[-1] > 1.3
    assert far(penalty=0.3)[-1] < 0.05
    assert far(noise=0.7)[-1] < 0.05


# The ring ---------------------------------------------------------------------------------------


def test_networks_side_by_side_are_single_networks():
    many = ManyMLPs(2, 16, 16, 1, generators=[torch.Generator().manual_seed(0)] * 3)
    x = normal(3, 10, 2)
    for run in range(3):
        one = mlp(2, 16, 16, 1)
        linears = [layer for layer in one if isinstance(layer, nn.Linear)]
        for linear, weight, bias in zip(linears, many.weights, many.biases, strict=True):
            linear.weight.data = weight[run].T.contiguous()
            linear.bias.data = bias[run, 0]
        torch.testing.assert_close(many(x)[run], one(x[run]))


def test_runs_differ_and_are_the_same_again():
    first, again = (train_on_ring(Recipe(), runs=2, steps=3, snapshots=(1,)) for _ in range(2))
    assert list(first.points) == [1, 3]
    assert first.points[3].shape == (2, 2000, 2)
    torch.testing.assert_close(first.points[3], again.points[3], rtol=0, atol=0)
    assert (first.points[3][0] - first.points[3][1]).abs().max() > 0.1


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(loss="lsgan"),
        Recipe(penalty=1.0),
        Recipe(noise=0.3),
        Recipe(batch_spread=True),
        Recipe(beta1=0.5),
        Recipe(rate_G=1e-4),
        Recipe(rate_D=4e-3),
    ],
    ids=str,
)
def test_every_part_of_a_recipe_changes_the_training(recipe):
    plain = train_on_ring(Recipe(), runs=1, steps=3).points[3]
    changed = train_on_ring(recipe, runs=1, steps=3).points[3]
    assert changed.isfinite().all()
    assert (plain - changed).abs().max() > 1e-6


def test_nothing_to_train_is_a_sentence():
    with pytest.raises(CourseError, match="at least 1"):
        train_on_ring(Recipe(), runs=0)


def test_quality_counts_modes_and_good_points():
    random = torch.Generator().manual_seed(0)
    data = ring_of_gaussians(2000, std=STD, generator=random)
    three = ring_centres()[torch.arange(999) % 3] + 0.01
    elsewhere = torch.zeros(1000, 2)
    assert ring_quality(data)[0] == 8
    assert ring_quality(data)[1] == pytest.approx(1 - math.exp(-4.5), abs=0.01)  # within 3 std
    modes, good = ring_quality(torch.stack([torch.cat([three, elsewhere[:1]]), elsewhere]))
    assert modes.tolist() == [3, 0]
    assert good.tolist() == pytest.approx([0.999, 0])
    assert ring_quality(1.6 * normal(2000, 2))[0] == 0
    assert ring_quality(three, share=0.4)[0] == 0


def test_batch_spread_is_a_third_number_of_its_own_batch():
    points = normal(2, 500, 2)
    points[1] *= 3
    seen = with_batch_spread(points)
    torch.testing.assert_close(seen[..., :2], points)
    assert seen[0, :, 2].unique().numel() == 1
    assert seen[1, 0, 2] / seen[0, 0, 2] == pytest.approx(3, rel=0.1)


def test_less_momentum_and_a_faster_D_cover_more_of_the_ring():
    plain = train_on_ring(Recipe(), runs=4, steps=600)
    mended = train_on_ring(Recipe(beta1=0.5, rate_D=4e-3), runs=4, steps=600)
    assert mended.modes.float().mean() > plain.modes.float().mean() + 2
    assert mended.good.mean() > 2 * plain.good.mean()


def test_the_step_of_exercise_5_moves_both_players_by_their_own_loss():
    random = torch.Generator().manual_seed(0)
    G, D = mlp(2, 2, generator=random), mlp(2, 3, 1, generator=random)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (G, D)]
    real, z = normal(2, 8, 2)
    slopes = torch.autograd.grad(
        discriminator_loss(D(real), D(G(z)), "vanilla"), list(D.parameters())
    )
    expected = [p.detach() - 0.1 * g for p, g in zip(D.parameters(), slopes, strict=True)]
    before = [p.detach().clone() for p in G.parameters()]
    training_step(G, D, *optimizers, real, z)
    torch.testing.assert_close(list(D.parameters()), [e.requires_grad_() for e in expected])
    assert all((p - q).abs().max() > 0 for p, q in zip(G.parameters(), before, strict=True))


# The stepper ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_button_moves_its_own_player(kind):
    gan = gan_stepper.LineGAN(kind)
    shift, scores = gan.shift.item(), gan.answers(torch.zeros(1))
    gan.step_D(3)
    assert gan.shift.item() == shift
    moved = gan.answers(torch.zeros(1))
    assert moved != scores
    gan.step_G(2)
    assert gan.shift.item() != shift
    assert gan.answers(torch.zeros(1)) == moved
    assert (gan.steps_D, gan.steps_G) == (3, 2)


def test_a_sharp_D_silences_the_saturating_loss_alone():
    push = {}
    for kind in KINDS:
        gan = gan_stepper.LineGAN(kind)
        gan.step_D(40)
        push[kind] = gan.pushes().abs().mean()
    assert push["non_saturating"] > 100 * push["vanilla"]


def test_pushes_move_the_fakes_to_higher_answers():
    gan = gan_stepper.LineGAN()
    gan.step_D(20)
    fakes = gan.fakes().detach()
    assert (gan.answers(fakes + 0.01 * gan.pushes()) > gan.answers(fakes)).all()


def test_G_alone_runs_past_every_distribution_and_narrows():
    gan = gan_stepper.LineGAN()
    gan.step_D(20)
    gan.step_G(200)
    assert gan.answers(gan.fakes().detach()).mean() > 0.95
    assert gan.log_width.exp() < 0.4  # that of the data is 0.5


def test_in_turn_the_fakes_swing_around_the_data():
    gan, places = gan_stepper.LineGAN(), []
    for _ in range(30):
        gan.step_both(10)
        places.append(gan.shift.item())
    turned = [place > gan_stepper.DATA_MEAN for place in places]
    assert sum(a != b for a, b in pairwise(turned)) >= 2
    assert abs(places[-1] - gan_stepper.DATA_MEAN) < 0.5


def test_buttons_loss_choice_and_static_picture(monkeypatch):
    seen = {}
    monkeypatch.setattr(gan_stepper, "explore", lambda *a, **k: seen.update(k, draw=a[0], alt=a[1]))
    gan_stepper.gan_stepper()
    draw, actions = seen["draw"], seen["actions"]
    assert list(seen["loss"]) == ["non-saturating", "saturating", "LSGAN"]
    for words in ("step D", "20 of D", "step G", "20 of G", "10 of both"):
        actions[words]()
    assert isinstance(draw(loss="non-saturating"), Figure)
    assert "D 31 steps, G 31 steps" in seen["alt"](loss="non-saturating")
    assert "LSGAN: D 0 steps" in draw(loss="LSGAN").axes[0].get_title()  # another loss: afresh
    actions["step D"]()
    assert "D 1 steps" in seen["alt"](loss="LSGAN")
    actions["start again"]()
    assert "LSGAN: D 0 steps" in seen["alt"](loss="LSGAN")


def test_without_a_kernel_the_stepper_is_a_picture_with_words(shell):
    with capture_output() as captured:
        gan_stepper.gan_stepper(loss="saturating")
    (output,) = captured.outputs
    assert "saturating: D 0 steps" in output.metadata["image/png"]["alt"]


def test_unknown_loss_of_the_stepper_is_a_sentence():
    with pytest.raises(CourseError, match="choose one of"):
        gan_stepper.gan_stepper("wasserstein")


# Figures ----------------------------------------------------------------------------------------


def test_figures_show_what_they_are_given():
    x = torch.linspace(-1, 1, 20)
    figure = adversarial.densities_and_D(x, x + 2, 2 - x, {"D*": x / 4 + 0.5, "D": x / 4 + 0.4})
    assert [line.get_label() for line in figure.axes[1].lines[:2]] == ["D*", "D"]
    slopes = {"vanilla": -torch.sigmoid(x), "lsgan": 2 * (x - 1)}
    left, right = adversarial.slopes_of_G(x, slopes).axes
    assert left.lines[1].get_ydata().min() >= 0
    assert right.lines[1].get_xdata().min() >= -1e-4  # the part of LSGAN that can be read as D
    travel = adversarial.travel({"vanilla": torch.linspace(-4, 0, 1501)}, goal=0.0, starts=-4.0)
    assert "1,500" in [text.get_text() for text in travel.axes[0].texts]
    assert len(adversarial.point_gan({"a": (point_gan_path(5), {})}).axes) == 1
    clouds = adversarial.clouds({str(i): normal(9, 2) for i in range(4)}, columns=3)
    assert [axis.get_visible() for axis in clouds.axes] == [True] * 4 + [False] * 2
    assert len(clouds.axes[0].patches) == 8
