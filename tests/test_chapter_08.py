"""Chapter 8: its functions against closed forms and the laboratory, and its claims."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN, Objective, generator_losses
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_08 import (
    Stripes,
    ablated,
    checkerboard,
    disturbed_losses,
    eight_bits,
    paired_difference,
    reconstructed,
)
from cyclegan_course.exercises.stand_ins import Line
from cyclegan_course.images import picture_to_tensor, tensor_to_picture
from cyclegan_course.laboratory import grid, variants
from cyclegan_course.laboratory.recipe import Recipe, train
from cyclegan_course.laboratory.results import t_interval
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tiny(**changes) -> Recipe:
    """A recipe of a fraction of a second."""
    small = Recipe(
        size=16,
        scenes=4,
        steps=3,
        make_generator=partial(ResnetGenerator, ngf=4, n_blocks=1, n_down=1, edge_kernel=3),
        make_discriminator=partial(PatchDiscriminator, ndf=4, n_layers=1),
    )
    return replace(small, **changes)


def records(*recipes: Recipe) -> list[list[dict[str, float]]]:
    return [train(recipe).record for recipe in recipes]


# 8.1: a paired difference ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_paired_difference_is_that_of_scipy_and_of_the_results(n):
    numbers = np.random.default_rng(n)
    one, other = ({seed: float(v) for seed, v in enumerate(numbers.normal(size=n))} for _ in "ab")
    mean, low, high = paired_difference(one, dict(reversed(other.items())))
    test = stats.ttest_rel(list(one.values()), list(other.values()))
    assert (low, high) == pytest.approx(tuple(test.confidence_interval()))
    assert mean == pytest.approx((low + high) / 2)
    found = t_interval([one[seed] - other[seed] for seed in one])
    assert (mean, low, high) == pytest.approx(tuple(found))
    assert (low <= 0 <= high) == (test.pvalue >= 0.05)


def test_pairs_take_away_what_a_seed_does_to_both():
    """Seeds of spread 1, a gain of 0.2, noise of 0.05: only the pairs see the gain."""
    numbers = np.random.default_rng(0)
    of_seed, noise = numbers.normal(size=5), 0.05 * numbers.normal(size=(2, 5))
    one = {i: float(v) for i, v in enumerate(of_seed + 0.2 + noise[0])}
    other = {i: float(v) for i, v in enumerate(of_seed + noise[1])}
    _, low, _ = paired_difference(one, other)
    assert low > 0
    alone = stats.ttest_ind(list(one.values()), list(other.values())).confidence_interval()
    assert alone.low < 0 < alone.high


def test_a_right_answer_may_use_scipy_or_numpy():
    def with_scipy(one, other):
        seeds = sorted(one)
        a, b = ([scores[seed] for seed in seeds] for scores in (one, other))
        ends = stats.ttest_rel(a, b).confidence_interval(0.95)
        return np.mean(np.subtract(a, b)), ends.low, ends.high

    def with_numpy(one, other):
        d = np.array([one[seed] - other[seed] for seed in one])
        return (d.mean(), *stats.t.interval(0.95, len(d) - 1, d.mean(), stats.sem(d)))

    for answer in (with_scipy, with_numpy):
        assert assess(REGISTRY["8.1"], answer).status == "passed"


def test_scipys_unpaired_test_is_named():
    def unpaired(one, other):
        test = stats.ttest_ind(list(one.values()), list(other.values()))
        ends = test.confidence_interval()
        return (ends.low + ends.high) / 2, ends.low, ends.high

    assert assess(REGISTRY["8.1"], unpaired).mistake == "unpaired"


# 8.2: ablations ----------------------------------------------------------------------------------


def with_weights(**weights: float) -> variants.Step:
    """The step of an ablation as the chapter makes it."""

    def form(model, real_A, real_B, objective):
        terms, made = generator_losses(model, real_A, real_B, objective)
        return ablated(terms, weights), made

    return variants.step_with(form)


@pytest.mark.parametrize("cell", ["cycle only", "cycle A to B to A only"])
def test_ablated_trains_the_cell_of_the_grid(cell):
    recipe = grid.CELLS["terms"][cell](1)
    weights = {
        "cycle only": {"G_AB": 0.0, "G_BA": 0.0},
        "cycle A to B to A only": {"cycle_B": 0.0},
    }[cell]
    changes = {"objective": recipe.objective, "seed": 1}
    stored, own = records(
        tiny(step=recipe.step, **changes), tiny(step=with_weights(**weights), **changes)
    )
    assert own == stored
    assert all(row[name] == 0 for row in own for name in weights)


def test_a_cycle_that_is_off_still_leaves_the_other_one_to_both_generators():
    """cycle_A goes through G_AB and G_BA: one cycle alone trains both."""
    model = tiny().make_model(tiny().make_generator, tiny().make_discriminator)
    terms, _ = generator_losses(model, *random(2, 1, 3, 16, 16, seed=0), Objective())
    off = {"G_AB": 0.0, "G_BA": 0.0, "cycle_B": 0.0, "idt_A": 0.0, "idt_B": 0.0}
    sum(ablated(terms, off).values()).backward()
    for net in (model.G_AB, model.G_BA):
        assert all(p.grad.abs().max() > 0 for p in list(net.parameters())[-1:])


def test_a_misspelt_term_is_named():
    with pytest.raises(ValueError, match=r"no term cycle_C, noise; there are G_AB"):
        ablated({"G_AB": torch.tensor(1.0)}, {"noise": 0.0, "cycle_C": 0.0})


# 8.3: checkerboards ------------------------------------------------------------------------------


def board(size: int) -> Tensor:
    places = torch.arange(size)
    return (1.0 - 2.0 * ((places[:, None] + places) % 2)).expand(1, 3, size, size)


@pytest.mark.parametrize("amplitude", [0.0, 0.01, 0.7])
def test_a_board_measures_its_own_amplitude_on_any_ground(amplitude):
    ground = torch.tensor([-0.3, 0.2, 0.4]).reshape(1, 3, 1, 1)
    for phase in (1, -1):
        pictures = ground + phase * amplitude * board(16)
        assert checkerboard(pictures) == pytest.approx(amplitude, abs=1e-6)


def test_checkerboard_is_the_laboratorys_and_a_plain_loop():
    pictures = random(2, 3, 16, 24, seed=0)
    means = [
        abs(
            np.mean(
                [
                    (-1) ** (row + column) * pictures[n, c, row, column].item()
                    for row in range(top, top + 8)
                    for column in range(left, left + 8)
                ]
            )
        )
        for n in range(2)
        for c in range(3)
        for top in (0, 8)
        for left in (0, 8, 16)
    ]
    assert checkerboard(pictures) == pytest.approx(np.mean(means), rel=1e-5)
    assert checkerboard(pictures) == pytest.approx(variants.checkerboard(pictures), rel=1e-6)


def test_stripes_edges_and_slopes_are_no_checkerboards():
    columns = torch.arange(16.0).expand(1, 3, 16, 16)
    for pictures in (columns / 15, (columns > 8).float(), columns % 2):
        assert checkerboard(pictures) < 1e-6


def test_noise_leaves_what_the_mean_of_a_window_leaves():
    """Of 64 independent values the mean has 1/8 of their spread; E|z| = sqrt(2 / pi)."""
    noise = torch.randn(40, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert checkerboard(noise) == pytest.approx(math.sqrt(2 / math.pi) / 8, rel=0.03)


def test_an_answer_with_reshape_is_accepted():
    def reshaped(images, window=8):
        n, c, height, width = images.shape
        signs = torch.tensor([[(-1.0) ** (i + j) for j in range(width)] for i in range(height)])
        blocks = (images * signs).reshape(n, c, height // window, window, width // window, window)
        return blocks.mean(dim=(3, 5)).abs().mean()

    assert assess(REGISTRY["8.3"], reshaped).status == "passed"


# 8.4: 8 bits -------------------------------------------------------------------------------------


def test_eight_bits_is_what_a_png_file_keeps(tmp_path):
    picture = 1.1 * random(3, 9, 11, seed=0)
    tensor_to_picture(picture.clamp(-1, 1)).save(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        torch.testing.assert_close(eight_bits(picture), picture_to_tensor(saved))


def test_all_256_levels_survive_and_nothing_moves_by_more_than_half_a_level():
    levels = torch.arange(256) / 127.5 - 1
    torch.testing.assert_close(eight_bits(levels), levels, rtol=0, atol=1e-6)
    pictures = random(2, 3, 20, 20, seed=1)
    once = eight_bits(pictures)
    assert (once - pictures).abs().max() <= 1 / 255 + 1e-6
    # Rounding errors spread evenly over a level of 2/255: their deviation is that over sqrt(12).
    assert (once - pictures).std().item() == pytest.approx(2 / 255 / math.sqrt(12), rel=0.05)
    torch.testing.assert_close(eight_bits(once), once, rtol=0, atol=1e-6)


def test_an_answer_through_uint8_is_accepted():
    def through_bytes(pictures):
        levels = ((pictures.clamp(-1, 1) + 1) / 2 * 255 + 0.5).to(torch.uint8)
        return levels.float() / 255 * 2 - 1

    assert assess(REGISTRY["8.4"], through_bytes).status == "passed"


# 8.5: a disturbed way back -----------------------------------------------------------------------


class Hide(nn.Module):
    """A perfect cycle through a grey picture: the colour is carried in hundredths of brightness."""

    def forward(self, x: Tensor) -> Tensor:
        red, green, blue = (x.clamp(-0.9, 0.9) * 10).round().unbind(dim=1)
        return torch.stack([red / 10, red / 10 + green / 1000, red / 10 + blue / 1000], dim=1)


class Seek(nn.Module):
    """Reads what `Hide` wrote."""

    def forward(self, x: Tensor) -> Tensor:
        red = x[:, 0]
        return torch.stack([red, (x[:, 1] - red) * 100, (x[:, 2] - red) * 100], dim=1)


def test_a_hidden_message_shows_only_where_the_disturbance_is_put_right():
    """The reconstruction is perfect, survives noise on both ends, and dies of 8 bits between."""
    real = (random(1, 3, 8, 8, seed=2).clamp(-0.8, 0.8) * 10).round() / 10
    hide, seek = Hide(), Seek()

    def error(rec: Tensor) -> float:
        return (rec - real).abs()[:, 1:].mean().item()

    assert error(reconstructed(hide, seek, real, lambda x: x)) < 1e-4
    assert error(seek(hide(eight_bits(real)))) < 0.01  # on the input
    assert error(eight_bits(seek(hide(real)))) < 0.01  # on the result
    assert error(reconstructed(hide, seek, real, eight_bits)) > 0.1


def test_reconstructed_is_clamped_between_the_ways():
    real = torch.full((1, 3, 2, 2), 0.9)
    found = reconstructed(Line(1.0), Line(2.0), real, Stripes(0.5))
    torch.testing.assert_close(found[..., 0], torch.full((1, 3, 2), 2.0))
    torch.testing.assert_close(found[..., 1], torch.full((1, 3, 2), 0.8))


# 8.6: noise in the cycle -------------------------------------------------------------------------


def same_noise(sigma: float, seed: int):
    """The stream of `variants.noisy_cycle`."""
    generator = torch.Generator().manual_seed(seed)
    return lambda fake: fake + sigma * torch.randn(fake.shape, generator=generator)


def test_disturbed_losses_train_like_the_laboratorys_noisy_cycle():
    own = variants.step_with(partial(disturbed_losses, disturb=same_noise(0.1, seed=4)))
    stored, found, clean = records(
        tiny(step=variants.noisy_cycle(0.1, seed=4)), tiny(step=own), tiny()
    )
    assert found == stored
    assert found != clean


def test_without_a_disturbance_the_losses_are_the_packages():
    model = CycleGAN(tiny().make_generator, tiny().make_discriminator)
    inputs = model, *random(2, 1, 3, 16, 16, seed=3), Objective(3.0, 2.0)
    own, _ = disturbed_losses(*inputs, disturb=lambda fake: fake)
    wanted, _ = generator_losses(*inputs)
    assert {k: v.item() for k, v in own.items()} == {k: v.item() for k, v in wanted.items()}


def test_noise_reaches_neither_the_adversarial_terms_nor_the_discriminators():
    model = CycleGAN(tiny().make_generator, tiny().make_discriminator)
    inputs = model, *random(2, 1, 3, 16, 16, seed=3), Objective()
    own, made = disturbed_losses(*inputs, disturb=Stripes(0.5))
    clean, untouched = generator_losses(*inputs)
    assert {n for n in own if own[n].item() != clean[n].item()} == {"cycle_A", "cycle_B"}
    assert torch.equal(made.fake_A, untouched.fake_A)
    assert torch.equal(made.fake_B, untouched.fake_B)


def test_handing_on_the_disturbed_reconstructions_is_right_too():
    def with_recs(model, real_A, real_B, objective, disturb):
        terms, made = disturbed_losses(model, real_A, real_B, objective, disturb)
        recs = {"rec_A": model.G_BA(disturb(made.fake_B)), "rec_B": model.G_AB(made.fake_A)}
        return terms, made._replace(**recs)

    assert assess(REGISTRY["8.6"], with_recs).status == "passed"


def test_the_chapters_exercises_are_six_with_five_mistakes_and_three_hints_each():
    tasks = [task for number, task in REGISTRY.items() if number.startswith("8.")]
    assert len(tasks) == 6
    assert min(len(task.mistakes) for task in tasks) >= 5
    assert min(len(task.hints) for task in tasks) >= 3
