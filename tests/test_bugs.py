"""The bugs of chapter 9: each runs, looks plausible, breaks its invariant and no other; so do the
repairs pass. And each differs from right code in its fault alone."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from cyclegan_course import cyclegan
from cyclegan_course.cyclegan import CycleGAN, Objective, generator_losses
from cyclegan_course.datasets import UnpairedBatches
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import get
from cyclegan_course.laboratory import invariants, probes
from cyclegan_course.laboratory.bugs import BUGS, data, losses, networks, schedules, steps
from cyclegan_course.laboratory.recipe import (
    Recipe,
    reference_schedule,
    small_discriminator,
    small_generator,
    train,
    two_pools,
)
from cyclegan_course.networks import PatchDiscriminator, ResnetBlock, count_parameters

INVARIANTS = [get(f"9.{i}").reference for i in range(1, 10)]
CAUGHT_BY = {bug: name for name, bugs in invariants.CATCHES.items() for bug in bugs}
STEPS = 3


@pytest.fixture(scope="module")
def runs() -> dict:
    """Every bug and its repair, trained for three steps on few pictures."""

    def short(recipe: Recipe) -> Recipe:
        return replace(recipe, steps=STEPS, scenes=4, size=32)

    right = {bug.repaired: train(short(bug.right(1))) for bug in BUGS.values()}
    wrong = {name: train(short(bug.wrong(1))) for name, bug in BUGS.items() if name != "below_zero"}
    # Its decay is a quarter of the run, which has to be a step at least.
    wrong["below_zero"] = train(replace(short(BUGS["below_zero"].wrong(1)), steps=4))
    return {"right": right, "wrong": wrong}


def tiny_model() -> CycleGAN:
    return CycleGAN(
        partial(small_generator, ngf=4, n_blocks=1), partial(small_discriminator, ndf=4), seed=1
    ).double()


def pictures(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 1, 3, 16, 16)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1).unbind()


def gradients(terms: dict[str, torch.Tensor], net: nn.Module) -> dict[str, torch.Tensor]:
    """Of each term alone, in one row; zeros where it does not reach the network."""
    rows = {}
    for name, term in terms.items():
        parameters = list(net.parameters())
        found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        rows[name] = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten()
                for p, g in zip(parameters, found, strict=True)
            ]
        )
    return rows


def after_one_step(step, seed: int = 0) -> dict[str, torch.Tensor]:
    model = tiny_model()
    moved, _ = probes.one_step(step, model, *pictures(seed), Objective(), learning_rate=0.01)
    return {
        name: torch.cat([p.detach().flatten() for p in net.parameters()])
        for name, net in moved.named_children()
    }


# Bugs and invariants -----------------------------------------------------------------------------


def test_there_is_an_invariant_for_each_bug_and_a_part_for_each_invariant():
    assert CAUGHT_BY.keys() == BUGS.keys()
    assert [i.__name__ for i in INVARIANTS] == list(invariants.PARTS) == list(invariants.CATCHES)
    assert len(BUGS) >= 8


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_breaks_its_invariant_and_no_other(name):
    found = invariants.verdicts(INVARIANTS, BUGS[name].wrong(seed=1))
    assert [invariant for invariant, holds in found.items() if not holds] == [CAUGHT_BY[name]]


@pytest.mark.parametrize("name", {bug.repaired: bug.name for bug in BUGS.values()}.values())
@pytest.mark.parametrize("seed", [1, 2])
def test_the_repair_breaks_no_invariant(name, seed):
    assert all(invariants.verdicts(INVARIANTS, BUGS[name].right(seed)).values())


@pytest.mark.parametrize("seed", range(1, 6))
def test_invariants_do_not_depend_on_their_random_numbers(seed):
    torch.manual_seed(seed)
    assert all(invariants.verdicts(INVARIANTS, Recipe(seed=seed)).values())
    for name in ("one_layer_more", "relu_after_sum", "gain_around_zero"):
        asked = [i for i in INVARIANTS if i.__name__ == CAUGHT_BY[name]]
        assert not any(invariants.verdicts(asked, BUGS[name].wrong(seed)).values())


def test_an_invariant_without_a_part_is_refused():
    def my_own(step):
        return True

    with pytest.raises(CourseError, match="sees_exactly"):
        invariants.verdicts([my_own], Recipe())


@pytest.mark.parametrize("name", BUGS)
def test_bug_and_repair_differ_in_one_field(name):
    bug = BUGS[name]
    assert bug.name == name
    assert len(bug.changes) == 1
    right, wrong = bug.right(3), bug.wrong(3)
    (field,) = bug.changes
    assert getattr(wrong, field) is bug.changes[field]
    assert replace(wrong, **{field: getattr(right, field)}) == right
    assert (bug.base == {}) == (bug.repaired == "minute of chapter 5")


# Each runs and looks plausible -------------------------------------------------------------------


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_runs_with_the_same_names_and_finite_losses(name, runs):
    wrong, right = runs["wrong"][name], runs["right"][BUGS[name].repaired]
    assert len(wrong.record) == wrong.recipe.steps
    for found, wanted in zip(wrong.record, right.record, strict=False):
        assert found.keys() == wanted.keys()
        assert all(map(math.isfinite, found.values()))
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        fake = BUGS[name].deploy(wrong.model).G_AB(image)
    assert fake.shape == image.shape
    assert fake.abs().max() <= 1


@pytest.mark.parametrize("name", ["detached_cycle", "own_cycle_only", "kept_gradients", "one_pool"])
def test_the_first_losses_do_not_tell(name, runs):
    """Faults in gradients and in the pool leave every number of the first step as it is."""
    wrong, right = runs["wrong"][name], runs["right"]["minute of chapter 5"]
    assert wrong.record[0] == pytest.approx(right.record[0], rel=1e-5)


# Networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "n_layers", "side"),
    [
        (PatchDiscriminator, 2, 34),
        (PatchDiscriminator, 3, 70),
        (networks.one_layer_more, 2, 70),
        (networks.one_layer_more, 3, 142),
        (networks.one_halving_more, 2, 46),
        (networks.one_halving_more, 3, 94),
    ],
)
def test_fields_are_as_large_as_the_docstrings_say(make, n_layers, side):
    maker = partial(make, ndf=2, n_layers=n_layers)
    sees_exactly = INVARIANTS[0]
    assert sees_exactly(maker, side)
    assert not sees_exactly(maker, side - 2)


def test_one_halving_more_has_the_parameters_of_the_right_one():
    right, wrong = PatchDiscriminator(), networks.one_halving_more()
    assert count_parameters(wrong) == count_parameters(right)
    x = torch.zeros(1, 3, 256, 256)
    assert right(x).shape[-1] == 30
    assert wrong(x).shape[-1] == 15
    assert networks.one_layer_more()(x).shape[-1] == 14


def test_relu_after_sum_is_the_right_block_cut_off_at_0():
    right, wrong = ResnetBlock(4), networks.ReluAfterSum(4)
    wrong.load_state_dict(right.state_dict())
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(wrong(x), right(x).clamp(min=0), rtol=0, atol=0)
        assert (right(x) < 0).any()


def test_only_the_blocks_of_the_generator_are_changed():
    right, wrong = small_generator(), networks.with_relu_after_sum(small_generator)
    assert right.state_dict().keys() == wrong.state_dict().keys()
    for one, other in zip(right.layers, wrong.layers, strict=True):
        assert isinstance(other, networks.ReluAfterSum) == isinstance(one, ResnetBlock)


def test_the_gains_differ_by_their_mean_alone():
    around_0, around_1 = networks.gain_around_zero(16), networks.gain_around_one(16)
    torch.testing.assert_close(around_0.weight + 1, around_1.weight, rtol=0, atol=1e-6)
    assert around_0.weight.abs().max() < 0.1
    assert torch.equal(around_0.bias, around_1.bias)


# Losses and steps --------------------------------------------------------------------------------


def test_detached_cycle_has_equal_values_and_other_gradients():
    model, (a, b) = tiny_model(), pictures()
    right, _ = generator_losses(model, a, b, Objective())
    wrong, _ = losses.detached_cycle(model, a, b, Objective())
    assert list(wrong) == list(right)
    for name in right:
        assert wrong[name].item() == pytest.approx(right[name].item(), rel=1e-12)
    first = {"cycle_A": model.G_AB, "cycle_B": model.G_BA}
    for net in (model.G_AB, model.G_BA):
        one, other = gradients(right, net), gradients(wrong, net)
        for name in right:
            if first.get(name) is net:
                assert other[name].abs().max() == 0 < one[name].abs().max()
            else:
                torch.testing.assert_close(other[name], one[name])
        assert "idt_A" in one


def test_swapped_identity_changes_the_identity_terms_alone():
    model, (a, b) = tiny_model(), pictures()
    right, _ = generator_losses(model, a, b, Objective())
    wrong, _ = losses.swapped_identity(model, a, b, Objective())
    assert list(wrong) == list(right)
    for name in ("G_AB", "G_BA", "cycle_A", "cycle_B"):
        assert wrong[name].item() == right[name].item()
    assert wrong["idt_A"].item() == pytest.approx(5 * (model.G_AB(a) - a).abs().mean().item())
    assert wrong["idt_B"].item() == pytest.approx(5 * (model.G_BA(b) - b).abs().mean().item())
    assert "idt_A" not in losses.swapped_identity(model, a, b, Objective(10.0, 0.0))[0]


def test_own_cycle_only_gives_each_generator_the_loss_that_its_docstring_says():
    """A second implementation: gradients term by term, plain gradient descent by hand."""
    model, (a, b) = tiny_model(), pictures()
    terms, _ = generator_losses(model, a, b, Objective())
    found = after_one_step(steps.own_cycle_only)
    mine = {"G_AB": ("G_AB", "cycle_A", "idt_B"), "G_BA": ("G_BA", "cycle_B", "idt_A")}
    for net, names in mine.items():
        rows = gradients(terms, getattr(model, net))
        before = torch.cat([p.detach().flatten() for p in getattr(model, net).parameters()])
        wanted = before - 0.01 * sum(rows[name] for name in names)
        torch.testing.assert_close(found[net], wanted, rtol=0, atol=1e-12)
        missing = {"G_AB": "cycle_B", "G_BA": "cycle_A"}[net]
        assert rows[missing].abs().max() > 0


@pytest.mark.parametrize(
    ("step", "moved_otherwise"),
    [
        (steps.own_cycle_only, {"G_AB", "G_BA"}),
        (steps.kept_gradients, {"D_A", "D_B"}),
        (BUGS["detached_cycle"].changes["step"], {"G_AB", "G_BA"}),
        (BUGS["swapped_identity"].changes["step"], {"G_AB", "G_BA"}),
    ],
)
def test_a_step_with_a_bug_moves_only_its_own_networks_otherwise(step, moved_otherwise):
    right, wrong = after_one_step(cyclegan.training_step), after_one_step(step)
    changed = {name for name in right if (right[name] - wrong[name]).abs().max() > 1e-9}
    assert changed == moved_otherwise


def test_kept_gradients_adds_what_the_generators_want_to_the_discriminators():
    model, (a, b) = tiny_model(), pictures()
    terms, made = generator_losses(model, a, b, Objective())
    terms |= cyclegan.discriminator_losses(model, a, b, made.fake_A, made.fake_B, Objective())
    found = after_one_step(steps.kept_gradients)
    for net, names in {"D_A": ("D_A", "G_BA"), "D_B": ("D_B", "G_AB")}.items():
        rows = gradients(terms, getattr(model, net))
        before = torch.cat([p.detach().flatten() for p in getattr(model, net).parameters()])
        wanted = before - 0.01 * sum(rows[name] for name in names)
        torch.testing.assert_close(found[net], wanted, rtol=0, atol=1e-12)


# Data --------------------------------------------------------------------------------------------


def heaps(count: int = 5) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return tuple(
        [rng.integers(0, 256, (12, 12, 3), dtype=np.uint8) for _ in range(count)] for _ in "AB"
    )


def test_wrong_range_is_the_right_batch_moved_and_halved():
    right, wrong = UnpairedBatches(*heaps(), 8, seed=2), data.FromZeroToOne(*heaps(), 8, seed=2)
    for step in range(5):
        for one, other in zip(right(step), wrong(step), strict=True):
            torch.testing.assert_close(other, (one + 1) / 2, rtol=0, atol=0)
            assert other.min() >= 0


def test_wrong_range_when_used_feeds_the_networks_what_they_were_trained_on():
    model = CycleGAN(nn.Identity, nn.Identity)
    deployed = data.fed_from_zero_to_one(model)
    x = torch.tensor([-1.0, 0.0, 1.0])
    assert deployed.G_AB(x).tolist() == deployed.G_BA(x).tolist() == [0.0, 0.5, 1.0]


def test_frozen_augmentation_shows_the_right_pictures_in_their_first_crop():
    right, wrong = (
        UnpairedBatches(*heaps(), 8, seed=2),
        data.FrozenAugmentation(*heaps(), 8, seed=2),
    )
    first = {}
    varied = 0
    for step in range(40):
        crops, batch = right.crops(step), wrong(step)
        for domain, (crop,), image, fresh in zip("AB", crops, batch, right(step), strict=True):
            known = first.setdefault((domain, crop.picture), image[0])
            assert torch.equal(known, image[0])
            varied += not torch.equal(known, fresh[0])
    assert len(first) == 10
    assert varied > 40


def test_same_row_shows_the_right_pictures_of_A_and_their_row_of_B():
    A, B = probes.numbered_pictures(5), probes.numbered_pictures(5)
    right, wrong = UnpairedBatches(A, B, 8, seed=2), data.SameRow(A, B, 8, seed=2)
    others = 0
    for step in range(40):
        (right_A, right_B), (wrong_A, wrong_B) = right(step), wrong(step)
        assert torch.equal(right_A, wrong_A)
        assert probes.number_of(wrong_B[0]) == probes.number_of(wrong_A[0])
        others += probes.number_of(right_B[0]) != probes.number_of(right_A[0])
    assert others > 20


def test_one_pool_is_like_two_until_it_is_full():
    right, wrong = two_pools(6, seed=3), data.one_pool(6, seed=3)
    mixed = 0
    for step in range(1, 60):
        for place, sign in enumerate((1.0, -1.0)):
            fake = torch.full((1, 3, 1, 1), sign * step)
            one, other = right[place](fake).mean().item(), wrong[place](fake).mean().item()
            if step <= 3:
                assert one == other == sign * step
            assert one * sign > 0
            mixed += other * sign < 0
    assert mixed > 10


# Schedules ---------------------------------------------------------------------------------------


def test_off_by_one_stays_within_2_over_steps_of_the_right_schedule():
    steps_made = 320
    apart = [
        reference_schedule(step, steps_made) - schedules.off_by_one(step, steps_made)
        for step in range(steps_made)
    ]
    assert max(apart) == pytest.approx(2 / steps_made)
    assert min(apart) == 0
    assert schedules.off_by_one(steps_made - 1, steps_made) == 0
    assert reference_schedule(steps_made - 1, steps_made) == pytest.approx(2 / steps_made)


def test_below_zero_climbs_in_the_last_quarter():
    factors = [schedules.below_zero(step, 320) for step in range(320)]
    assert all(factor == 1 for factor in factors[:161])
    assert min(factors[:240]) > 0
    assert factors[240] == 0
    assert max(factors[241:]) < 0
    assert factors[-1] > -1


# What the invariants are asked with --------------------------------------------------------------


def test_moves_is_plain_gradient_descent_and_leaves_the_model_alone():
    model, (a, b) = tiny_model(), pictures()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = probes.moves(cyclegan.training_step, model, a, b, Objective(), learning_rate=0.01)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
    terms, _ = generator_losses(model, a, b, Objective())
    pull = sum(gradients(terms, model.G_AB).values())
    assert found["G_AB"] == pytest.approx(0.01 * pull.abs().max().item(), rel=1e-9)
    assert list(found) == ["G_AB", "G_BA", "D_A", "D_B"]


def test_a_network_in_two_places_moves_for_itself():
    model, (a, b) = tiny_model(), pictures()
    model.D_B = model.D_A
    found = probes.moves(cyclegan.training_step, model, a, b, Objective())
    assert found["D_A"] > 0 < found["D_B"]
    assert found["D_A"] != found["D_B"]


@pytest.mark.parametrize("scale", [1.0, 127.5])
def test_numbered_pictures_tell_their_number_in_any_range(scale):
    for number, picture in enumerate(probes.numbered_pictures(128)):
        for mirrored in (False, True):
            pixels = picture[:, ::-1] if mirrored else picture
            image = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1) * scale + 3
            assert probes.number_of(image) == number
            assert probes.is_mirrored(image) == mirrored
