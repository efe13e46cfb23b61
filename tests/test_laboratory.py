"""The laboratory of chapters 8 and 9: short trainings, what replaces their parts, what is measured.

`test_results.py` reads the stored tables; the bugs have tests of their own.
"""

import copy
import csv
import json
import math
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import laboratory as script
import minute
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cyclegan_course import metrics
from cyclegan_course.cyclegan import CycleGAN, Objective, generator_losses, training_step
from cyclegan_course.datasets import ImagePool
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory import grid, variants
from cyclegan_course.laboratory.recipe import Recipe, train
from cyclegan_course.laboratory.results import Results, picture_name
from cyclegan_course.laboratory.scores import COUNT as SCENES_MEASURED
from cyclegan_course.laboratory.scores import MEASURES, scores, tasks
from cyclegan_course.laboratory.variants import TERMS
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

tiny_generator = partial(ResnetGenerator, ngf=4, n_blocks=1, n_down=1, edge_kernel=3)
tiny_discriminator = partial(PatchDiscriminator, ndf=4, n_layers=1)
TINY = Recipe(
    size=16,
    scenes=4,
    steps=3,
    pool_size=2,
    make_generator=tiny_generator,
    make_discriminator=tiny_discriminator,
)


def tiny_model(seed=0):
    return CycleGAN(tiny_generator, tiny_discriminator, seed=seed)


def pictures(seed=0, batch=2, size=16):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(batch, 3, size, size, generator=generator) * 2 - 1 for _ in "AB")


def no_pool(fakes):
    return fakes


def one_step(step, model, objective, lr=1.0, batch=None, pools=(no_pool, no_pool)):
    """One step by plain gradient descent: with rate 1, a weight moves by minus its gradient."""
    optimizers = (
        torch.optim.SGD(model.generator_parameters(), lr=lr),
        torch.optim.SGD(model.discriminator_parameters(), lr=lr),
    )
    return step(model, *(batch or pictures()), *optimizers, *pools, objective)


def moved(before, after, part="generator"):
    """What each weight moved by, for the generators or the discriminators."""
    old, new = (getattr(model, f"{part}_parameters")() for model in (before, after))
    return [(b - a).detach() for a, b in zip(old, new, strict=True)]


def same_weights(one, other):
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


class TestTraining:
    def test_the_defaults_are_the_minute_of_chapter_5_bit_for_bit(self, monkeypatch):
        steps, terms = minute.STEPS, []

        def spy(*arguments):
            terms.append(training_step(*arguments))
            return terms[-1]

        monkeypatch.setattr(minute, "STEPS", 3)
        monkeypatch.setattr(minute, "training_step", spy)
        theirs = minute.train_minute(seed=2)
        ours = train(Recipe(seed=2, steps=3))
        assert [{k: v for k, v in row.items() if k != "step"} for row in ours.record] == [
            {name: term.item() for name, term in row.items()} for row in terms
        ]
        assert same_weights(ours.model, theirs)
        assert (minute.WORLD, minute.SIZE, minute.SCENES) == ("night", 48, 400)
        assert Recipe().steps == steps

    def test_the_same_recipe_gives_the_same_weights_and_another_seed_does_not(self):
        one, again, other = (train(each) for each in (TINY, TINY, replace(TINY, seed=1)))
        assert one.record == again.record
        assert same_weights(one.model, again.model)
        assert one.record != other.record

    def test_the_record_and_the_watcher(self):
        seen = []
        run = train(TINY, watch=lambda step, model: seen.append((step, model)))
        assert [row["step"] for row in run.record] == [1, 2, 3] == [step for step, _ in seen]
        assert all(model is run.model for _, model in seen)
        assert run.record[0].keys() == {"step", *TERMS, "D_A", "D_B"}
        assert not run.model.training

    def test_the_learning_rates(self):
        """The schedule multiplies both; `factor_D` is the discriminators' alone."""
        rates = []

        def spy(model, A, B, optimizer_G, optimizer_D, *rest):
            rates.append([o.param_groups[0]["lr"] for o in (optimizer_G, optimizer_D)])
            assert {o.param_groups[0]["betas"] for o in (optimizer_G, optimizer_D)} == {
                (0.25, 0.999)
            }
            return training_step(model, A, B, optimizer_G, optimizer_D, *rest)

        halving = lambda step, steps: 0.5**step  # noqa: E731
        train(replace(TINY, step=spy, schedule=halving, learning_rate=0.8, beta1=0.25, factor_D=2))
        assert rates == [[0.8, 1.6], [0.4, 0.8], [0.2, 0.4]]

    def test_the_reference_schedule_is_flat_and_then_falls_in_a_line(self):
        found = [TINY.schedule(step, 320) for step in (0, 159, 160, 240, 319)]
        assert found == pytest.approx([1, 1, 1, 0.5, 1 / 160])

    def test_every_part_is_used(self):
        """Each field, changed alone, changes the run (`world` and `make_model` included)."""
        changes = {
            "world": "editing",
            "size": 20,
            "scenes": 3,
            "steps": 2,
            "batch": 2,
            "seed": 1,
            "learning_rate": 1e-3,
            "beta1": 0.9,
            "factor_D": 0.1,
            "pool_size": 0,
            "objective": Objective(lambda_cycle=1.0),
            "make_generator": partial(tiny_generator, n_blocks=2),
            "make_discriminator": partial(tiny_discriminator, n_layers=2),
            "make_model": lambda *makers, seed: CycleGAN(*makers, seed=seed + 1),
            "make_batches": partial(TINY.make_batches, flip=False),
            "make_pools": lambda size, seed: (no_pool, no_pool),
            "schedule": lambda step, steps: 0.5,
            "step": variants.weighted(G_AB=0.5),
        }
        assert changes.keys() == {field.name for field in fields(Recipe)}
        base = replace(TINY, steps=5, pool_size=1)
        record = train(base).record
        for name, value in changes.items():
            assert train(replace(base, **{name: value})).record != record, name

    def test_pools_are_apart(self):
        pool_A, pool_B = TINY.make_pools(3, 7)
        assert isinstance(pool_A, ImagePool)
        pool_A(torch.zeros(3, 1, 1, 1))
        assert len(pool_A.pictures) == 3
        assert pool_B.pictures == []


WEIGHTS = {"G_AB": 0.0, "G_BA": 0.5, "cycle_A": 2.0, "cycle_B": 0.0, "idt_B": 3.0}


class TestWeighted:
    @staticmethod
    def gradients(model, names):
        """By autograd, term by term: {name: gradients of all generator weights}."""
        terms, _ = generator_losses(model, *pictures(), Objective())
        weights = model.generator_parameters()
        return {
            name: torch.autograd.grad(
                terms[name], weights, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for name in names
        }

    def test_it_descends_the_weighted_sum(self):
        model = tiny_model()
        parts = self.gradients(model, TERMS)
        expected = [
            -sum(WEIGHTS.get(name, 1.0) * part for name, part in zip(TERMS, each, strict=True))
            for each in zip(*(parts[name] for name in TERMS), strict=True)
        ]
        before = copy.deepcopy(model)
        one_step(variants.weighted(**WEIGHTS), model, Objective())
        for found, wanted in zip(moved(before, model), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-5)

    def test_the_record_holds_the_weighted_terms(self):
        plain = one_step(training_step, tiny_model(), Objective())
        found = one_step(variants.weighted(**WEIGHTS), tiny_model(), Objective())
        for name in TERMS:
            assert found[name].item() == pytest.approx(WEIGHTS.get(name, 1.0) * plain[name].item())
        for name in ("D_A", "D_B"):
            assert torch.equal(found[name], plain[name])

    def test_without_adversarial_terms_the_discriminators_do_not_matter(self):
        one, other = tiny_model(), tiny_model()
        for weight in other.discriminator_parameters():
            weight.data.mul_(5)
        step = variants.weighted(G_AB=0.0, G_BA=0.0)
        before = copy.deepcopy(one)
        for model in (one, other):
            one_step(step, model, Objective())
        for a, b in zip(moved(before, one), moved(before, other), strict=True):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("left", ["cycle_A", "cycle_B"])
    def test_one_cycle_alone_still_reaches_both_generators(self, left):
        model = tiny_model()
        before = copy.deepcopy(model)
        only = dict.fromkeys(TERMS, 0.0) | {left: 1.0}
        one_step(variants.weighted(**only), model, Objective())
        for name in ("G_AB", "G_BA"):
            old, new = getattr(before, name), getattr(model, name)
            first, last = "layers.1.weight", "layers.12.weight"
            for place in (first, last):
                assert not torch.equal(old.state_dict()[place], new.state_dict()[place]), name

    def test_a_mistyped_term_is_named(self):
        with pytest.raises(CourseError, match="cycle_C"):
            variants.weighted(cycle_C=0.0)


class TestNoisyCycle:
    def test_without_noise_it_is_the_plain_step(self):
        plain, noisy = tiny_model(), tiny_model()
        terms = one_step(training_step, plain, Objective())
        found = one_step(variants.noisy_cycle(0.0), noisy, Objective())
        assert found.keys() == terms.keys()
        for name, term in terms.items():
            assert found[name].item() == pytest.approx(term.item(), rel=1e-6), name
        before = tiny_model()
        for a, b in zip(moved(before, plain), moved(before, noisy), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)

    def test_its_size(self):
        """Generators that change nothing leave the noise: E|sigma n| = sigma sqrt(2 / pi)."""
        model = tiny_model()
        model.G_AB = model.G_BA = nn.Identity()
        step = variants.noisy_cycle(0.3)
        form = step.keywords["generator_losses"]
        real_A, real_B = pictures(size=96)
        terms, made = form(model, real_A, real_B, Objective(lambda_cycle=1.0))
        for name, rec, real in (("A", made.rec_A, real_A), ("B", made.rec_B, real_B)):
            noise = rec - real
            assert terms[f"cycle_{name}"].item() == pytest.approx(noise.abs().mean().item())
            expected = 0.3 * math.sqrt(2 / math.pi)
            assert noise.abs().mean().item() == pytest.approx(expected, rel=0.03)
            assert noise.mean().item() == pytest.approx(0, abs=0.01)
        both = torch.stack([(made.rec_A - real_A).flatten(), (made.rec_B - real_B).flatten()])
        assert torch.corrcoef(both)[0, 1].abs() < 0.02

    def test_only_the_cycle_sees_it(self):
        real_A, real_B = pictures()
        model, shown = tiny_model(), {}

        def pool(name):
            return lambda fakes: shown.setdefault(name, fakes)

        with torch.no_grad():
            clean = {"B": model.G_AB(real_A), "A": model.G_BA(real_B)}
        plain = one_step(training_step, tiny_model(), Objective())
        found = one_step(
            variants.noisy_cycle(0.5), model, Objective(), lr=0.0, pools=(pool("A"), pool("B"))
        )
        for name, fake in clean.items():
            torch.testing.assert_close(shown[name], fake)
        for name in ("G_AB", "G_BA", "idt_A", "idt_B"):
            assert found[name].item() == pytest.approx(plain[name].item(), rel=1e-5)
        for name in ("cycle_A", "cycle_B"):
            assert abs(found[name].item() - plain[name].item()) > 1e-4

    def test_it_is_fresh_in_each_step_and_its_own_stream(self):
        model = tiny_model()

        def cycles(seed):
            torch.manual_seed(len(found))  # must not matter
            step = variants.noisy_cycle(0.5, seed)
            return [one_step(step, model, Objective(), lr=0.0)["cycle_A"].item() for _ in range(3)]

        found = []
        for seed in (4, 4, 5):
            found.append(cycles(seed))
        assert found[0] == found[1] != found[2]
        assert len(set(found[0])) == 3

    def test_the_way_there_is_still_told_by_the_cycle(self):
        """Unlike `detached_cycle`: the gradient of cycle_A passes the noise into G_AB."""
        model = tiny_model()
        form = variants.noisy_cycle(0.1).keywords["generator_losses"]
        terms, _ = form(model, *pictures(), Objective())
        (gradient,) = torch.autograd.grad(terms["cycle_A"], model.G_AB.layers[1].weight)
        assert gradient.abs().sum() > 0


UPSAMPLINGS = {
    "nearest": partial(variants.ResizeConv2d, mode="nearest"),
    "bilinear": partial(variants.ResizeConv2d, mode="bilinear"),
    "shuffle": variants.ShuffleConv2d,
    "transposed 4": variants.transposed_4,
    "transposed 3": lambda channels, out: nn.ConvTranspose2d(
        channels, out, 3, stride=2, padding=1, output_padding=1
    ),
}


class TestUpsampling:
    @pytest.mark.parametrize("name", UPSAMPLINGS)
    def test_twice_the_size(self, name):
        layer = UPSAMPLINGS[name](6, 5)
        assert layer(torch.randn(2, 6, 7, 9)).shape == (2, 5, 14, 18)

    @pytest.mark.parametrize("name", ["nearest", "bilinear"])
    def test_resize_convolutions_keep_a_constant_constant_whatever_their_weights(self, name):
        torch.manual_seed(0)
        made = UPSAMPLINGS[name](3, 4)(torch.full((1, 3, 8, 8), 0.7)).detach()
        assert made.std(dim=(2, 3)).max() < 1e-6

    @pytest.mark.parametrize(
        ("name", "even"), [("transposed 3", False), ("transposed 4", True), ("shuffle", True)]
    )
    def test_equal_weights_cover_each_pixel_equally_often_or_not(self, name, even):
        """Odena et al. 2016: kernel 3 with stride 2 covers by 1, 2 or 4 weights, kernel 4 by 4."""
        layer = UPSAMPLINGS[name](1, 1)
        for weight in layer.parameters():
            nn.init.ones_(weight) if weight.ndim == 4 else nn.init.zeros_(weight)
        made = layer(torch.ones(1, 1, 8, 8)).detach()[0, 0, 2:-2, 2:-2]
        assert made.unique().tolist() == ([made[0, 0].item()] if even else [1, 2, 4])

    def test_random_weights_of_any_of_the_others_do_make_a_pattern(self):
        for name in ("transposed 3", "transposed 4", "shuffle"):
            torch.manual_seed(0)
            made = UPSAMPLINGS[name](3, 1)(torch.full((1, 3, 8, 8), 0.7)).detach()[..., 2:-2, 2:-2]
            assert made.std() > 1e-3, name

    def test_the_layout_of_pixel_shuffle(self):
        """out[o, 2i + a, 2j + b] is channel 4 o + 2 a + b of the convolution at (i, j)."""
        torch.manual_seed(0)
        layer, x = variants.ShuffleConv2d(3, 2), torch.randn(2, 3, 5, 4)
        maps = F.conv2d(F.pad(x, [1] * 4, mode="reflect"), layer[1].weight, layer[1].bias)
        found = layer(x)
        for o in range(2):
            for a in range(2):
                for b in range(2):
                    assert torch.equal(found[:, o, a::2, b::2], maps[:, 4 * o + 2 * a + b])

    def test_resize_convolution_against_a_second_implementation(self):
        torch.manual_seed(0)
        layer, x = UPSAMPLINGS["nearest"](2, 3), torch.randn(1, 2, 4, 4)
        large = F.pad(x.repeat_interleave(2, 2).repeat_interleave(2, 3), [1] * 4, mode="reflect")
        conv = layer[-1]
        torch.testing.assert_close(layer(x), F.conv2d(large, conv.weight, conv.bias))

    def test_only_the_transposed_convolutions_are_replaced(self):
        make = partial(ResnetGenerator, ngf=4, n_blocks=1, n_down=2)
        plain, net = make(), variants.generator_with(variants.ShuffleConv2d, make)
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)
        changed = 0
        for old, new in zip(plain.layers, net.layers, strict=True):
            if isinstance(old, nn.ConvTranspose2d):
                assert isinstance(new, variants.ShuffleConv2d)
                changed += 1
            else:
                assert type(old) is type(new)
        assert changed == 2

    def test_the_course_draws_their_weights_too(self):
        make = variants.small_generator_with(UPSAMPLINGS["nearest"])
        model = CycleGAN(make, tiny_discriminator, seed=3)
        (layer,) = (m for m in model.G_AB.layers if isinstance(m, variants.ResizeConv2d))
        assert layer[-1].weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert same_weights(model, CycleGAN(make, tiny_discriminator, seed=3))


class TestCheckerboard:
    @staticmethod
    def board(size=16):
        rows, columns = torch.meshgrid(*[torch.arange(size)] * 2, indexing="ij")
        return rows, columns, 1.0 - 2.0 * ((rows + columns) % 2)

    @pytest.mark.parametrize("contrast", [0.01, 0.5, 1.0])
    def test_a_chess_board(self, contrast):
        picture = contrast * self.board()[2].expand(2, 3, -1, -1)
        assert variants.checkerboard(picture) == pytest.approx(contrast)
        assert variants.checkerboard(-picture) == pytest.approx(contrast)
        half = picture.clone()
        half[..., :8] = 0  # one half of the windows
        assert variants.checkerboard(half) == pytest.approx(contrast / 2)

    def test_on_top_of_something_smooth(self):
        rows, columns, board = self.board()
        picture = 0.1 * board + 0.03 * rows - 0.02 * columns
        assert variants.checkerboard(picture.expand(1, 3, -1, -1)) == pytest.approx(0.1, rel=1e-4)

    def test_what_is_no_chess_board(self):
        rows, columns, _ = self.board()
        for each in (
            torch.ones(16, 16),
            0.1 * rows + 0.05 * columns,
            (-1.0) ** rows,  # stripes
            (-1.0) ** columns,
            (-1.0) ** (rows // 2 + columns // 2),  # squares of two pixels
        ):
            assert variants.checkerboard(each.expand(1, 3, -1, -1).float()) < 1e-6

    def test_noise_gives_little(self):
        """64 pixels of a window average: sigma / 8, times sqrt(2 / pi) for the absolute value."""
        noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        expected = math.sqrt(2 / math.pi) / 8
        assert variants.checkerboard(noise) == pytest.approx(expected, rel=0.05)


# Of each cell: the fields that differ from the unchanged recipe, and the objective if it does.
CHANGES = {
    "full": {},
    "adversarial only": {"objective": Objective(0.0, 0.0)},
    "adversarial + identity": {"objective": Objective(0.0, 5.0)},
    "adversarial + cycle": {"objective": Objective(10.0, 0.0)},
    "cycle only": {"objective": Objective(10.0, 0.0), "step": {"G_AB", "G_BA"}},
    "cycle + identity": {"step": {"G_AB", "G_BA"}},
    "cycle A to B to A only": {"step": {"cycle_B"}},
    "cycle B to A to B only": {"step": {"cycle_A"}},
    "lambda 1": {"objective": Objective(1.0, 5.0)},
    "lambda 100": {"objective": Objective(100.0, 5.0)},
    "no pool": {"pool_size": 0},
    "vanilla": {"objective": Objective(adversarial="vanilla")},
    "non-saturating": {"objective": Objective(adversarial="non_saturating")},
    "hinge": {"objective": Objective(adversarial="hinge")},
    "batch norm, batch 1": {"make_generator": nn.BatchNorm2d, "make_discriminator": nn.BatchNorm2d},
    "batch norm, batch 8": {
        "make_generator": nn.BatchNorm2d,
        "make_discriminator": nn.BatchNorm2d,
        "batch": 8,
        "steps": 40,
    },
    "no norm": {"make_generator": nn.Identity, "make_discriminator": nn.Identity},
    "batch 8, as many pictures": {"batch": 8, "steps": 40},
    "batch 8, as many steps": {"batch": 8},
    "transposed, kernel 4": {"make_generator": nn.ConvTranspose2d},
    "nearest + convolution": {"make_generator": variants.ResizeConv2d},
    "bilinear + convolution": {"make_generator": variants.ResizeConv2d},
    "pixel shuffle": {"make_generator": variants.ShuffleConv2d},
}
CELLS = [(group, name) for group, cells in grid.CELLS.items() for name in cells]


class TestGrid:
    @pytest.mark.parametrize(("group", "name"), CELLS)
    def test_a_cell_changes_what_its_name_says(self, group, name):
        base, recipe = Recipe(seed=3), grid.CELLS[group][name](3)
        changed = {
            field.name
            for field in fields(Recipe)
            if getattr(base, field.name) != getattr(recipe, field.name)
        }
        expected = CHANGES[name]
        assert changed == expected.keys()
        for key, value in expected.items():
            if key == "step":
                assert self.left_out(recipe.step) == value
            elif key.startswith("make_"):
                kinds = {type(layer) for layer in getattr(recipe, key)().modules()}
                assert value in kinds
                assert nn.InstanceNorm2d not in kinds or group == "upsampling"
            else:
                assert getattr(recipe, key) == value

    @staticmethod
    def left_out(step):
        terms = one_step(step, tiny_model(), Objective())
        return {name for name in TERMS if terms[name].item() == 0}

    def test_the_upsamplings_are_what_they_are_called(self):
        made = {
            name: cell(0).make_generator()
            for name, cell in grid.CELLS["upsampling"].items()
            if name != grid.BASE
        }
        kernels = [
            m.kernel_size
            for m in made["transposed, kernel 4"].modules()
            if isinstance(m, nn.ConvTranspose2d)
        ]
        assert kernels == [(4, 4)]
        for mode in ("nearest", "bilinear"):
            net = made[f"{mode} + convolution"]
            assert [m.mode for m in net.modules() if isinstance(m, nn.Upsample)] == [mode]

    def test_every_group_holds_the_unchanged_recipe_and_no_name_means_two_things(self):
        for cells in grid.CELLS.values():
            assert cells[grid.BASE](4) == Recipe(seed=4)
        names = [name for _, name in CELLS if name != grid.BASE]
        assert len(names) == len(set(names))
        files = {picture_name(name, "night") for name in (*names, grid.BASE)}
        assert len(files) == len(names) + 1

    def test_as_many_pictures_are_as_many_pictures(self):
        base = Recipe()
        for name in ("batch norm, batch 8", "batch 8, as many pictures"):
            group = "norm" if "norm" in name else "batch"
            recipe = grid.CELLS[group][name](0)
            assert recipe.batch * recipe.steps == base.batch * base.steps

    def test_world_and_seed(self):
        found = grid.recipes("terms", "painting", 7)
        assert found.keys() == grid.CELLS["terms"].keys()
        assert {(each.world, each.seed) for each in found.values()} == {("painting", 7)}


WORLD, SIZE, COUNT = "night", 32, 6


def perfect():
    """Looks up the truth of the picture that it is given."""

    def translator(task):
        def translate(batch):
            nearest = torch.cdist(batch.flatten(1), task.source.flatten(1)).argmin(1)
            return task.truth[nearest]

        return translate

    go, back = tasks(WORLD, SIZE, COUNT)
    return SimpleNamespace(G_AB=translator(go), G_BA=translator(back))


class TestScores:
    def test_a_perfect_translator(self):
        found = scores(perfect(), WORLD, SIZE, COUNT)
        assert [row["direction"] for row in found] == ["A to B", "B to A"]
        for row, task in zip(found, tasks(WORLD, SIZE, COUNT), strict=True):
            assert list(row) == ["direction", *MEASURES]
            assert row["psnr"] == row["blurred_psnr"] == pytest.approx(metrics.PSNR_CEILING)
            assert row["ssim"] == pytest.approx(1)
            assert row["l1"] == row["reconstruction"] == 0
            assert row["correspondence"] == 1
            assert row["distance"] == metrics.sliced_wasserstein(task.truth, task.reference)
            assert row["kid"] == metrics.kernel_distance(
                task.features(task.truth), task.reference_features
            )
            assert row["checkerboard"] == variants.checkerboard(task.truth)

    def test_one_that_changes_nothing(self):
        model = SimpleNamespace(G_AB=nn.Identity(), G_BA=nn.Identity())
        found, best = (scores(each, WORLD, SIZE, COUNT) for each in (model, perfect()))
        for row, top, task in zip(found, best, tasks(WORLD, SIZE, COUNT), strict=True):
            difference = (task.source - task.truth).abs().mean().item()
            assert row["l1"] == pytest.approx(difference / 2)  # of a range of 1
            assert row["reconstruction"] == 0
            for name in ("psnr", "blurred_psnr", "ssim"):
                assert row[name] < top[name]
            for name in ("distance", "kid"):
                assert row[name] > 2 * abs(top[name])

    def test_the_numbers_of_evaluate_translation(self):
        model = tiny_model().eval()
        rows = metrics.evaluate_translation(WORLD, model.G_AB, model.G_BA, COUNT, SIZE)
        theirs = [row for row in rows if row.method == "CycleGAN"]
        for ours, row in zip(scores(model, WORLD, SIZE, COUNT), theirs, strict=True):
            for name in ("psnr", "ssim", "l1", "blurred_psnr", "distance"):
                assert ours[name] == pytest.approx(getattr(row, name), rel=1e-5), name

    def test_values_out_of_range_are_cut_off(self):
        far = SimpleNamespace(G_AB=lambda x: 7 * x.sign(), G_BA=lambda x: 7 * x.sign())
        near = SimpleNamespace(G_AB=torch.sign, G_BA=torch.sign)
        assert scores(far, WORLD, SIZE, COUNT) == scores(near, WORLD, SIZE, COUNT)

    def test_what_is_no_number_gets_none(self):
        """Already if the way there or the way back gives one pixel that is not finite."""

        def broken(x):
            made = x.clone()
            made[0, 0, 0, 0] = math.nan
            return made

        model = SimpleNamespace(G_AB=broken, G_BA=nn.Identity())
        for row in scores(model, WORLD, SIZE, COUNT):
            assert list(row) == ["direction", *MEASURES]
            assert {row[name] for name in MEASURES} == {None}


class TestBenchmark:
    @pytest.fixture
    def laboratory(self, monkeypatch):
        """The script, with trainings of two steps in place of a minute, and few held-out scenes."""
        assert max(script.SHOWN) < SCENES_MEASURED
        monkeypatch.setattr(script, "SHOWN", (0, 3, 5))
        monkeypatch.setattr(script, "scores", partial(scores, count=COUNT))
        monkeypatch.setattr(script, "tasks", partial(tasks, count=COUNT))
        short = partial(replace, size=SIZE, scenes=4, steps=2, make_generator=tiny_generator)
        monkeypatch.setattr(grid, "Recipe", lambda seed: short(Recipe(seed=seed)))
        monkeypatch.setattr(script.environment, "prepare_threads", lambda: 1)
        return script

    def call(self, script, monkeypatch, *options):
        monkeypatch.setattr(sys, "argv", ["laboratory.py", *map(str, options)])
        script.main()

    def test_runs_once_and_writes_what_results_reads(self, laboratory, monkeypatch, tmp_path):
        options = ("grid", "--groups", "pool", "--seeds", 1, 2, "--out", tmp_path)
        self.call(laboratory, monkeypatch, *options)
        results = Results("grid", tmp_path)
        assert results.names() == ["full", "no pool"]
        assert len(results.rows) == 2 * 2 * 2  # runs, seeds, directions
        assert results.rows[0].keys() == {
            "world",
            "name",
            "seed",
            "direction",
            *MEASURES,
            "seconds",
        }
        for name in MEASURES:
            assert results.by_seed("full", name).keys() == {1, 2}
            assert results.interval("no pool", name, "B to A").low is not None
        recipe = grid.recipes("pool", "night", 2)["no pool"]
        (row, _) = scores(train(recipe).model, "night", SIZE, COUNT)
        assert results.by_seed("no pool", "psnr")[2] == pytest.approx(row["psnr"], abs=1e-4)
        assert results.pictures("full").size == (3 * SIZE, 2 * SIZE)
        (record,) = json.loads((tmp_path / "record.json").read_text()).items()
        assert record[0] == "grid"
        assert record[1]["seeds"] == {"night": [1, 2]}
        assert record[1].keys() >= {"machine", "torch"}

        before = (tmp_path / "grid.csv").read_bytes()
        monkeypatch.setattr(laboratory, "train", self.refuse)
        self.call(laboratory, monkeypatch, *options)
        assert (tmp_path / "grid.csv").read_bytes() == before

    @staticmethod
    def refuse(recipe):
        raise AssertionError(f"trained again: {recipe}")

    def test_a_run_that_broke_is_in_the_table_without_numbers(self, laboratory, tmp_path):
        def broken(model):
            model.G_AB = nn.Sequential(model.G_AB, nn.Threshold(9, math.nan))
            return model

        recipe = grid.recipes("pool", "night", 1)["full"]
        laboratory.run(tmp_path, "grid", [("broken", recipe, broken)], draw=True)
        with (tmp_path / "grid.csv").open(newline="") as stream:
            row, _ = csv.DictReader(stream)
        assert {row[name] for name in MEASURES} == {""}
        results = Results("grid", tmp_path)
        assert math.isnan(results.by_seed("broken", "psnr")[1])
        assert results.pictures("broken").size == (3 * SIZE, 2 * SIZE)

    def test_jobs(self, laboratory):
        jobs = laboratory.grid_jobs(list(grid.CELLS), "painting", 2)
        assert len(jobs) == len({name for name, _, _ in jobs}) == len(CHANGES)
        assert {(recipe.world, recipe.seed) for _, recipe, _ in jobs} == {("painting", 2)}

    def test_jobs_of_the_bugs(self, laboratory):
        jobs = laboratory.bug_jobs(2)
        names = [name for name, _, _ in jobs]
        assert len(names) == len(set(names))
        assert {recipe.seed for _, recipe, _ in jobs} == {2}
        assert set(laboratory.BUGS) < set(names)
        assert {bug.repaired for bug in laboratory.BUGS.values()} < set(names)
        by_name = {name: recipe for name, recipe, _ in jobs}
        assert by_name["minute of chapter 5"] == Recipe(seed=2)
        for bug in laboratory.BUGS.values():
            assert by_name[bug.name] == replace(by_name[bug.repaired], **bug.changes)
