"""Chapter 4: the cloud toy, its figures, and the mathematics that the chapter claims."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan_course import cyclegan, losses
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_04 import (
    cycle_losses,
    generator_objective,
    identity_losses,
    share_right,
    wrong_pair,
)
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.plots import figure_bytes
from cyclegan_course.plots.cycle_diagram import PLACES, cycle_diagram
from cyclegan_course.plots.points import (
    Arrows,
    arrow_panels,
    cloud_panels,
    share_dots,
    turned_ring,
)
from cyclegan_course.toys.cycle import (
    CLUMPS,
    CloudGAN,
    centres,
    cloud_distance,
    clumps_reached,
    draw,
    held_out,
    interval_of_mean,
    train_clouds,
)


def adversarial(model, real_A, real_B):
    return {
        "G_AB": losses.generator_loss(model.D_B(model.G_AB(real_A))),
        "G_BA": losses.generator_loss(model.D_A(model.G_BA(real_B))),
    }


def with_cycle(model, real_A, real_B):
    cycle_A, cycle_B = cycle_losses(model.G_AB, model.G_BA, real_A, real_B)
    terms = adversarial(model, real_A, real_B)
    return terms | {"cycle_A": 3 * cycle_A, "cycle_B": 3 * cycle_B}


# The clouds ---------------------------------------------------------------------------------------


def test_the_pairing_leads_straight_outwards():
    A, B = centres("A"), centres("B")
    assert torch.allclose(A / A.norm(dim=1, keepdim=True), B / B.norm(dim=1, keepdim=True))
    assert torch.allclose(B.norm(dim=1) / A.norm(dim=1), torch.full((CLUMPS,), 2.0))


def test_held_out_pairs_are_pairs_and_all_right():
    real_A, true_B, clump = held_out(each=7)
    assert real_A.shape == true_B.shape == (7 * CLUMPS, 2)
    assert clump.bincount().tolist() == [7] * CLUMPS
    assert torch.allclose(real_A - centres("A")[clump], true_B - centres("B")[clump], atol=1e-6)
    assert share_right(true_B, centres("B"), clump) == 1.0
    assert clumps_reached(true_B) == CLUMPS


def test_drawn_points_come_from_every_clump_and_no_run_is_like_another():
    points = draw("B", 3, 300, torch.Generator().manual_seed(0))
    assert points.shape == (3, 300, 2)
    assert [clumps_reached(run) for run in points] == [CLUMPS] * 3
    assert not torch.equal(points[0], points[1])


def test_cloud_distance_by_hand_and_without_pairing():
    cloud = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert cloud_distance(cloud, cloud.flip(0)) == 0
    # From the one point: 0 to the nearest. From the two: 0 and 5, so 2.5 in the mean.
    assert cloud_distance(cloud[:1], cloud) == pytest.approx((0 + 2.5) / 2)


def test_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).normal(0.4, 0.1, 400)
    low, high = interval_of_mean(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval_of_mean([1.0] * 12) == (1.0, 1.0)


# The networks -------------------------------------------------------------------------------------


def test_a_run_depends_on_its_own_seed_alone():
    x = torch.ones(3, 2)
    together, alone = CloudGAN([0, 5]), CloudGAN([5])
    for name in ("G_AB", "G_BA", "D_A", "D_B"):
        one, other = getattr(together, name), getattr(alone, name)
        assert torch.allclose(one(x)[1], other(x)[0], atol=1e-6)


def test_gradients_of_runs_do_not_mix():
    model = CloudGAN([0, 1])
    real_A, real_B = (draw(d, 2, 8, torch.Generator().manual_seed(0)) for d in "AB")
    rec_A = model.G_BA(model.G_AB(real_A))
    (rec_A - real_A)[0].abs().mean().backward()
    for weight in model.G_AB.weights:
        assert weight.grad[0].abs().max() > 0
        assert weight.grad[1].abs().max() == 0
    assert real_B.shape == real_A.shape


def test_start_near_identity():
    x = held_out(each=3)[0]
    near, far = (CloudGAN(range(4), starts_at_identity=start).G_AB(x) for start in (True, False))
    assert (near - x).abs().mean() < 0.4 * (far - x).abs().mean()


def test_training_is_repeatable_and_moves_points_to_the_ring_of_B():
    first, second = (train_clouds(with_cycle, seeds=range(3), steps=150) for _ in range(2))
    real_A, real_B, _ = held_out()
    assert torch.equal(first.G_AB(real_A), second.G_AB(real_A))
    untrained = CloudGAN(range(3))
    for run in range(3):
        trained = cloud_distance(first.G_AB(real_A)[run], real_B)
        assert trained < cloud_distance(untrained.G_AB(real_A)[run].detach(), real_B)
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_the_cycle_term_opens_the_way_back():
    real_A, _, _ = held_out()
    home = []
    for terms in (adversarial, with_cycle):
        model = train_clouds(terms, seeds=range(6), steps=250)
        home.append((model.G_BA(model.G_AB(real_A)) - real_A).abs().mean().item())
    assert home[1] < home[0] / 3


def test_identity_from_the_start_finds_the_near_partner():
    model = train_clouds(with_cycle, seeds=range(5), steps=250, starts_at_identity=True)
    real_A, _, clump = held_out()
    shares = [share_right(fake_B, centres("B"), clump) for fake_B in model.G_AB(real_A)]
    assert sum(shares) / len(shares) > 0.8


# The mathematics ----------------------------------------------------------------------------------


def test_objective_equals_the_package_in_values_and_gradients():
    model = cyclegan.CycleGAN(
        lambda: ResnetGenerator(ngf=4, n_blocks=1, n_down=1, edge_kernel=3),
        lambda: PatchDiscriminator(ndf=4, n_layers=1),
    )
    generator = torch.Generator().manual_seed(0)
    real_A, real_B = torch.rand(2, 2, 3, 16, 16, generator=generator) * 2 - 1
    own = generator_objective(model, real_A, real_B)
    package, _ = cyclegan.generator_losses(model, real_A, real_B, cyclegan.Objective())
    assert own.keys() == package.keys()
    for name, term in package.items():
        assert own[name].item() == pytest.approx(term.item(), rel=1e-6)
    parameters = model.generator_parameters()
    gradients = [torch.autograd.grad(sum(t.values()), parameters) for t in (own, package)]
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_both_generators_get_the_gradient_of_both_cycles():
    G_AB, G_BA = (nn.Linear(2, 2) for _ in range(2))
    real_A, real_B = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    for loss in cycle_losses(G_AB, G_BA, real_A, real_B):
        for net in (G_AB, G_BA):
            (gradient,) = torch.autograd.grad(loss, [net.weight], retain_graph=True)
            assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    "involution",
    [torch.neg, lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.flip(1)],
)
def test_maps_that_undo_themselves_have_no_cycle_loss_but_an_identity_loss(involution):
    real_A, real_B = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert sum(cycle_losses(involution, involution, real_A, real_B)) == 0
    assert min(identity_losses(involution, involution, real_A, real_B)) > 0.5


def test_the_wrong_pair_is_wrong_and_free():
    G_AB, G_BA = wrong_pair()
    real_A, real_B, clump = held_out()
    assert sum(cycle_losses(G_AB, G_BA, real_A, real_B)) < 1e-5
    assert clumps_reached(G_AB(real_A)) == CLUMPS
    assert share_right(G_AB(real_A), centres("B"), clump) == 0


@pytest.mark.parametrize("degrees", [60, 120, 180, -60])
def test_every_turn_by_whole_places_is_accepted(degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = torch.tensor([[cos, sin], [-sin, cos]])
    answer = lambda: (lambda a: 2 * a @ rotation, lambda b: b @ rotation.T / 2)  # noqa: E731
    assert assess(REGISTRY["4.3"], answer).status == "passed"


def test_absolute_loss_wants_the_median_and_squared_loss_the_mean():
    values = torch.tensor([0.0, 0.0, 1.0, 5.0, 9.0])
    for loss, wanted in ((nn.functional.l1_loss, 1.0), (nn.functional.mse_loss, 3.0)):
        grid = torch.linspace(0, 9, 91)
        best = min(grid, key=lambda x: loss(x.expand(5), values).item())
        assert best.item() == pytest.approx(wanted, abs=1e-4)


# The figures --------------------------------------------------------------------------------------


def test_arrows_are_divided_into_right_and_wrong():
    real_A, true_B, clump = held_out(each=2)
    panel = Arrows("title", real_A, true_B, clump == 0)
    figure = arrow_panels([panel] * 4, centres("A"), centres("B"))
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 4
    right, wrong = (shown[0].collections[i].get_offsets() for i in (1, 3))  # quiver, then ends
    assert (len(right), len(wrong)) == (2, 10)
    assert np.allclose(right, true_B[clump == 0])
    numbers = [text.get_text() for text in shown[0].texts]
    assert numbers == [str(k) for k in range(CLUMPS)] * 2


def test_share_dots_shows_every_seed_and_the_mean():
    shares = {"a": [0.0, 0.5, 1.0], "b": [1.0, 1.0, 1.0]}
    figure = share_dots(shares, {name: (0.2, 0.9) for name in shares}, chance=1 / 6)
    (axis,) = figure.axes
    assert [sorted(dots.get_offsets()[:, 0]) for dots in axis.collections] == list(shares.values())
    offsets = axis.collections[1].get_offsets()[:, 1]
    assert len(set(offsets)) == 3  # equal values lie side by side
    assert {"0.50", "1.00"} <= {text.get_text() for text in axis.texts}


def test_other_figures_can_be_drawn():
    real_A, true_B, _ = held_out(each=2)
    assert figure_bytes(cloud_panels(real_A, true_B, real_A, true_B)).startswith(b"\x89PNG")
    figure = turned_ring(
        Arrows("t", real_A, true_B), centres("A"), centres("B"), {"x": [0.0, 1.0]}, [0, 60], 60
    )
    assert figure.axes[1].get_legend().get_texts()[0].get_text() == "x: 1.00"


def test_cycle_diagram_shows_each_picture_where_it_belongs_and_names_what_is_missing():
    pictures = {name: np.zeros((8, 8, 3), np.uint8) for name, _ in PLACES}
    figure = cycle_diagram(pictures)
    assert len(figure.axes[0].images) == len(PLACES) == 10
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("G_AB") == words.count("G_BA") == 3
    assert "D_B: is it of B?" in words
    del pictures["idt_B"]
    with pytest.raises(CourseError, match="idt_B"):
        cycle_diagram(pictures)
