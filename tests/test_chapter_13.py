"""Chapter 13: its functions against the package, closed forms and an assignment; its claims."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from cyclegan_course import cut, losses
from cyclegan_course.cut import CUT, ContrastiveObjective, encode
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_13 import (
    SmallCUT,
    cut_terms,
    least_changes,
    nce_between,
    patch_nce_loss,
    patches_at,
)
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def features(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(numbers(*shape, seed=seed), dim=-1)


def make_model() -> CUT:
    return CUT(
        partial(ResnetGenerator, ngf=4, n_blocks=2, n_down=1, edge_kernel=3),
        partial(PatchDiscriminator, ndf=4, n_layers=1),
        seed=1,
        patches=20,
    )


def make_case(batch: int = 2):
    model = make_model()
    pair = numbers(2, batch, 3, 16, 12, seed=3).tanh().unbind()
    return model, *pair, model.draw_positions(16, 12, torch.Generator().manual_seed(0))


def gradient_of(model: CUT, loss: Tensor) -> Tensor:
    model.zero_grad()
    loss.backward()
    parameters = model.generator_parameters()
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


# 13.1: patches -----------------------------------------------------------------------------------


def test_patches_are_the_packages_and_those_of_plain_indexing():
    maps, places = numbers(2, 3, 5, 4), torch.tensor([0, 19, 6, 3])
    found = patches_at(maps, places)
    assert torch.equal(found, cut.patches_at(maps, places))
    for s, place in enumerate(places.tolist()):
        assert torch.equal(found[:, s], maps[:, :, place // 4, place % 4])


def test_other_ways_to_pick_patches_are_right_too():
    def by_rows_and_columns(maps, positions):
        width = maps.shape[-1]
        return maps[:, :, positions // width, positions % width].permute(0, 2, 1)

    def with_einops_order(maps, positions):
        return maps.permute(0, 2, 3, 1).flatten(1, 2)[:, positions]

    def with_gather(maps, positions):
        n, c = maps.shape[:2]
        index = positions.expand(n, c, -1)
        return maps.flatten(2).gather(2, index).transpose(1, 2)

    for answer in (by_rows_and_columns, with_einops_order, with_gather):
        assert assess(REGISTRY["13.1"], answer).status == "passed"


# 13.2: the loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("shape", [(1, 4, 3), (3, 9, 8)])
def test_loss_is_the_packages_in_value_and_gradient(shape, temperature):
    found = []
    for function in (patch_nce_loss, losses.patch_nce_loss):
        query, key = (features(*shape, seed=seed).requires_grad_() for seed in (1, 2))
        value = function(query, key, temperature)
        value.backward()
        found.append((value.detach(), query.grad, key.grad))
    for own, package in zip(*found, strict=True):
        torch.testing.assert_close(own, package)


def test_other_forms_of_the_loss_are_right_too():
    def with_log_softmax(query, key, temperature=0.07):
        likeness = torch.einsum("nsc,nrc->nsr", query, key) / temperature
        return -likeness.log_softmax(dim=-1).diagonal(dim1=1, dim2=2).mean()

    def classes_in_dimension_one(query, key, temperature=0.07):
        likeness = torch.bmm(key, query.transpose(1, 2)) / temperature  # (N, keys, queries)
        target = torch.arange(query.shape[1]).expand(len(query), -1)
        return F.cross_entropy(likeness, target)

    def picture_by_picture(query, key, temperature=0.07):
        each = [
            F.cross_entropy(q @ k.T / temperature, torch.arange(len(q)))
            for q, k in zip(query, key, strict=True)
        ]
        return sum(each) / len(each)

    def own_patch_first(query, key, temperature=0.07):  # as in the authors' code
        likeness = query @ key.transpose(1, 2)
        own = likeness.diagonal(dim1=1, dim2=2)[..., None]
        diagonal = torch.eye(query.shape[1], dtype=torch.bool)
        others = likeness.masked_fill(diagonal, -10.0)
        rows = (torch.cat([own, others], dim=2) / temperature).flatten(0, 1)
        return F.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.long))

    def normalised_again(query, key, temperature=0.07):
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        return patch_nce_loss(query, key, temperature)

    for answer in (
        with_log_softmax,
        classes_in_dimension_one,
        picture_by_picture,
        own_patch_first,
        normalised_again,
    ):
        assert assess(REGISTRY["13.2"], answer).status == "passed", answer.__name__


def test_the_likely_slip_with_cross_entropy_is_named():
    """(N, S of queries, S of keys) as it is: its dimension 1 are the queries."""

    def not_flattened(query, key, temperature=0.07):
        likeness = query @ key.transpose(1, 2) / temperature
        return F.cross_entropy(likeness, torch.arange(query.shape[1]).expand(len(query), -1))

    def item(query, key, temperature=0.07):
        return patch_nce_loss(query, key, temperature).item()

    assert assess(REGISTRY["13.2"], not_flattened).mistake == "keys ask, queries answer"
    assert assess(REGISTRY["13.2"], item).mistake == "a plain number"


@pytest.mark.parametrize("places", [4, 256])
def test_a_silent_translation_loses_at_least_the_logarithm(places):
    keys, one = features(1, places, 16, seed=1), features(1, 1, 16, seed=2)
    assert patch_nce_loss(one.expand(1, places, 16), keys).item() >= math.log(places)
    found = patch_nce_loss(keys, one.expand(1, places, 16)).item()
    assert found == pytest.approx(math.log(places), rel=1e-5)


def test_without_a_temperature_even_a_perfect_answer_stays_soft():
    """Likenesses end at 1 and -1: the own share is at most e / (e + (S - 1) / e)."""
    keys, places = features(1, 256, 64), 256
    bound = math.log(1 + (places - 1) * math.exp(-2))
    assert patch_nce_loss(keys, keys, 1.0).item() > bound > 3.5
    assert patch_nce_loss(keys, keys, 0.07).item() < 0.1


# 13.3 and 13.4: the terms ------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 0.5)])
def test_terms_are_the_packages_in_value_and_gradient(weights):
    model, real_A, real_B, positions = make_case()
    own, fake_B = cut_terms(model, real_A, real_B, positions, *weights)
    gradient = gradient_of(model, sum(own.values()))
    objective = ContrastiveObjective(*weights)
    package, made = cut.generator_losses(model, real_A, real_B, objective, positions)
    assert list(own) == list(package)
    assert {k: v.item() for k, v in own.items()} == pytest.approx(
        {k: v.item() for k, v in package.items()}, rel=1e-5
    )
    torch.testing.assert_close(fake_B, made)
    assert relative(gradient, gradient_of(model, sum(package.values()))) < 1e-4


def test_a_gradient_through_the_keys_would_be_another_one():
    """So the check of 13.3 looks at something that a training would feel."""
    model, real_A, _, positions = make_case(batch=1)

    def both_sides_learn(real: Tensor, made: Tensor) -> Tensor:
        queries = model.heads(encode(model.G_AB, made, model.taps), positions)
        keys = model.heads(encode(model.G_AB, real, model.taps), positions)
        return torch.stack([patch_nce_loss(*pair) for pair in zip(queries, keys, strict=True)])

    value = nce_between(model, real_A, model.G_AB(real_A), positions)
    other = both_sides_learn(real_A, model.G_AB(real_A)).mean()
    assert value.item() == pytest.approx(other.item(), rel=1e-6)
    assert relative(gradient_of(model, other), gradient_of(model, value)) > 0.1


def test_no_gradient_reaches_the_input():
    model, real_A, _, positions = make_case(batch=1)
    real = real_A.clone().requires_grad_()
    made = model.G_AB(real_A).detach().requires_grad_()
    nce_between(model, real, made, positions).backward()
    assert real.grad is None
    assert made.grad.abs().max() > 0


def test_answers_with_no_grad_or_one_pass_are_right_too():
    def with_no_grad(model, real, made, positions, temperature=0.07):
        with torch.no_grad():
            keys = model.heads(encode(model.G_AB, real, model.taps), positions)
        queries = model.heads(encode(model.G_AB, made, model.taps), positions)
        total = 0.0
        for query, key in zip(queries, keys, strict=True):
            total = total + patch_nce_loss(query, key, temperature)
        return total / len(keys)

    def in_one_pass(model, real_A, real_B, positions, lambda_nce=1.0, lambda_nce_identity=1.0):
        objective = ContrastiveObjective(lambda_nce, lambda_nce_identity)
        return cut.generator_losses(model, real_A, real_B, objective, positions)

    assert assess(REGISTRY["13.3"], with_no_grad).status == "passed"
    assert assess(REGISTRY["13.4"], in_one_pass).status == "passed"


def test_the_small_model_is_a_cut_that_can_be_followed_by_hand():
    model = SmallCUT()
    x = torch.full((1, 3, 1, 2), 0.5)
    expected = math.tanh(1.2 * math.tanh(0.9 * 0.5 + 0.2) - 0.1)
    torch.testing.assert_close(model.G_AB(x), torch.full_like(x, expected))
    maps = encode(model.G_AB, x, model.taps)
    assert len(maps) == len(model.heads) == 3
    found = model.heads(maps, [torch.tensor([1])] * 3)
    assert all(each.norm(dim=-1).item() == pytest.approx(1) for each in found)


# 13.5: balance -----------------------------------------------------------------------------------


def assigned(with_A: int, with_B: int, count: int) -> tuple[float, float]:
    """The cheapest way to turn a set of A into one like B: a matching, where a change costs 1."""
    A, B = (np.arange(count) < number for number in (with_A, with_B))
    rows, columns = linear_sum_assignment(A[:, None] != B[None])
    before, after = A[rows], B[columns]
    invented, removed = (~before & after).sum(), (before & ~after).sum()
    return (
        invented / (count - with_A) if with_A < count else 0.0,
        removed / with_A if with_A else 0.0,
    )


@pytest.mark.parametrize("with_A", [0, 3, 10, 17, 20])
@pytest.mark.parametrize("with_B", [0, 2, 10, 20])
def test_least_changes_are_those_of_the_cheapest_assignment(with_A, with_B):
    found = least_changes(with_A / 20, with_B / 20)
    assert found == pytest.approx(assigned(with_A, with_B, 20))


@pytest.mark.parametrize(("p_A", "p_B"), [(0.2, 0.6), (0.7, 0.1), (0.5, 0.5), (0.0, 1.0)])
def test_they_reach_the_balance_of_B(p_A, p_B):
    """A large set, changed at random by just these shares, shows the feature as often as B."""
    generator = np.random.default_rng(0)
    shows, draw = generator.random((2, 100_000))
    before = shows < p_A
    invented, removed = least_changes(p_A, p_B)
    after = np.where(before, draw >= removed, draw < invented)
    assert after.mean() == pytest.approx(p_B, abs=5 * 0.5 / 100_000**0.5)


@pytest.mark.parametrize(("p_A", "p_B"), [(0.2, 0.6), (0.7, 0.1), (0.5, 0.5), (0.9, 0.95)])
def test_nothing_less_does(p_A, p_B):
    """Of all (invented, removed) that give the share of B, none has fewer of either."""
    invented, removed = np.meshgrid(np.linspace(0, 1, 401), np.linspace(0, 1, 401))
    reached = p_A * (1 - removed) + (1 - p_A) * invented
    fits = np.abs(reached - p_B) < 1e-9
    best = least_changes(p_A, p_B)
    assert (invented[fits] >= best[0] - 1e-9).all()
    assert (removed[fits] >= best[1] - 1e-9).all()
    assert fits.any()


def test_another_form_is_right_too():
    def with_max(p_A, p_B):
        invented = max(0.0, p_B - p_A) / (1 - p_A) if p_A < 1 else 0.0
        removed = max(0.0, p_A - p_B) / p_A if p_A > 0 else 0.0
        return invented, removed

    def forgets_the_edge(p_A, p_B):
        return max(0.0, (p_B - p_A) / (1 - p_A)), max(0.0, (p_A - p_B) / p_A)

    assert assess(REGISTRY["13.5"], with_max).status == "passed"
    outcome = assess(REGISTRY["13.5"], forgets_the_edge)
    assert "ZeroDivisionError" in outcome.message


def test_the_chapters_exercises_are_five_with_seven_mistakes_and_three_hints_each():
    tasks = [task for number, task in REGISTRY.items() if number.startswith("13.")]
    assert len(tasks) == 5
    assert min(len(task.mistakes) for task in tasks) >= 7
    assert min(len(task.hints) for task in tasks) >= 3
