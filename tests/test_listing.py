"""The article's listing and its repair in stages: each repair mends its fault and no other."""

import csv
import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from cyclegan_course.cyclegan import CycleGAN, Objective, generator_losses
from cyclegan_course.laboratory import listing
from cyclegan_course.laboratory.bugs.data import FromZeroToOne
from cyclegan_course.laboratory.listing import STAGES, ListingDiscriminator
from cyclegan_course.laboratory.listing_checks import (
    CHECKS,
    MENDED,
    adversarial_term,
    unused_weights,
)
from cyclegan_course.laboratory.recipe import Recipe, small_discriminator, train, two_adams
from cyclegan_course.laboratory.results import FOLDER
from cyclegan_course.laboratory.scores import MEASURES
from cyclegan_course.networks import (
    PatchDiscriminator,
    ResnetGenerator,
    convolutions_of,
    count_parameters,
    receptive_field,
    receptive_field_by_autograd,
)
from cyclegan_course.plots import listing as figures

NAMES = list(STAGES)


def short(name, **changes):
    """A stage with little to compute."""
    return replace(STAGES[name](1), **{"steps": 3, "scenes": 4, "size": 24} | changes)


def built(recipe):
    return recipe.make_model(recipe.make_generator, recipe.make_discriminator, seed=recipe.seed)


def weights(parameters):
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


@pytest.fixture(scope="module")
def passed():
    """The checks that each stage passes."""
    return {
        name: {check for check, passes in CHECKS.items() if passes(make(1))}
        for name, make in STAGES.items()
    }


class TestPrintedShape:
    def test_parameters(self):
        """Counted by hand: kernel area x channels in x channels out + channels out."""
        by_hand = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256) + 64 + 128 + 256 + 1
        assert count_parameters(ListingDiscriminator()) == by_hand == 662_977
        assert count_parameters(ResnetGenerator(n_blocks=6)) == 7_837_699

    @pytest.mark.parametrize(
        ("net", "field", "scores"), [(ListingDiscriminator, 46, 31), (PatchDiscriminator, 70, 30)]
    )
    def test_field_and_map(self, net, field, scores):
        assert receptive_field(convolutions_of(net())) == field
        assert net()(torch.zeros(1, 3, 256, 256)).shape == (1, 1, scores, scores)

    @pytest.mark.parametrize(("shape", "field"), [((8, 3), 46), ((8, 2), 22)])
    def test_field_by_autograd(self, shape, field):
        net = ListingDiscriminator(*shape)
        convolutions = nn.Sequential(
            *[layer for layer in net.layers if not isinstance(layer, nn.InstanceNorm2d)]
        )
        assert receptive_field_by_autograd(convolutions, size=96) == (field, field)

    def test_it_is_the_patchgan_without_one_layer(self):
        one, other = (
            [
                (m.in_channels, m.out_channels, m.stride)
                for m in net.modules()
                if isinstance(m, nn.Conv2d)
            ]
            for net in (ListingDiscriminator(), PatchDiscriminator())
        )
        assert one[:3] == other[:3]
        assert (len(one), len(other)) == (4, 5)
        assert one[3] == (256, 1, (1, 1))


class TestRawLogarithm:
    def test_a_score_above_one_is_not_a_number(self):
        recipe = STAGES["as printed"](0)
        assert adversarial_term(recipe, 0.5) == pytest.approx(math.log(0.5))
        assert math.isnan(adversarial_term(recipe, 1.5))

    def test_its_gradient_still_is_a_number_so_nothing_stops(self):
        """1 / x is what autograd computes for log x, also where there is no logarithm."""
        x = torch.tensor([-0.5], requires_grad=True)
        torch.log(x).sum().backward()
        assert x.grad.item() == -2

    def test_training_goes_on_with_a_loss_that_is_not_a_number(self):
        run = train(short("as printed", steps=8))
        assert any(math.isnan(row["G_AB"] + row["G_BA"]) for row in run.record)
        assert weights(run.model.parameters()).isfinite().all()

    def test_sigmoid_and_least_squares_in_closed_form(self):
        for score in (-3.0, 0.5, 2.0):
            probability = 1 / (1 + math.exp(-score))
            with_sigmoid = adversarial_term(STAGES["sigmoid"](0), score)
            assert with_sigmoid == pytest.approx(math.log(1 - probability), rel=1e-4)
            least_squares = adversarial_term(STAGES["stable loss"](0), score)
            assert least_squares == pytest.approx((score - 1) ** 2)

    def test_with_a_sigmoid_there_is_no_floor(self):
        recipe = STAGES["sigmoid"](0)
        paid = [adversarial_term(recipe, score) for score in (1.0, 10.0, 100.0, 1000.0)]
        assert all(later < earlier for earlier, later in pairwise(paid))
        assert paid[-1] == pytest.approx(-1000)


class TestOneOfEach:
    def test_the_cycle_goes_twice_through_the_one_generator(self):
        model = built(short("stable loss"))
        assert model.G_AB is model.G_BA
        a, b = torch.rand(2, 1, 3, 24, 24)
        terms, _ = generator_losses(model, a, b, Objective(lambda_identity=0))
        twice = model.G_AB(model.G_AB(a))
        assert terms["cycle_A"].item() == pytest.approx(10 * (twice - a).abs().mean().item())

    def test_each_weight_is_updated_once(self):
        """A weight that an optimizer gets twice would be moved twice in a step."""
        for name in NAMES:
            for optimizer in two_adams(built(STAGES[name](0)), 1e-3, 0.5, 1.0):
                given = [p for group in optimizer.param_groups for p in group["params"]]
                assert len({id(p) for p in given}) == len(given)

    def test_all_networks_are_trained_by_someone(self):
        for name in NAMES:
            model = built(STAGES[name](0))
            given = [*model.generator_parameters(), *model.discriminator_parameters()]
            assert {id(p) for p in given} == {id(p) for p in model.parameters()}

    def test_copying_makes_the_cycle_of_one_generator_perfect(self):
        model = built(short("stable loss"))
        model.G_AB = model.G_BA = nn.Identity()
        a, b = torch.rand(2, 1, 3, 24, 24)
        terms, _ = generator_losses(model, a, b, Objective(lambda_identity=0))
        assert terms["cycle_A"] == terms["cycle_B"] == 0


class TestTraining:
    @pytest.mark.parametrize("name", NAMES)
    def test_the_discriminator_learns_from_its_stage_on(self, name):
        recipe = short(name)
        before = weights(built(recipe).discriminator_parameters())
        after = weights(train(recipe).model.discriminator_parameters())
        assert torch.equal(before, after) == (NAMES.index(name) < NAMES.index("trained D"))

    @pytest.mark.parametrize("name", NAMES)
    def test_the_generators_learn_in_every_stage(self, name):
        recipe = short(name)
        before = weights(built(recipe).generator_parameters())
        assert not torch.equal(before, weights(train(recipe).model.generator_parameters()))

    def test_the_last_stage_is_chapter_5_bit_for_bit(self):
        few = {"steps": 3, "scenes": 4}
        one = train(replace(STAGES["chapter 5"](7), **few))
        other = train(replace(Recipe(seed=7), **few))
        assert one.record == other.record
        for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(mine, theirs)

    def test_the_last_stage_is_the_recipe_of_chapter_5(self):
        assert STAGES["chapter 5"](7) == Recipe(seed=7)

    def test_all_stages_are_as_long_and_see_as_many_pictures(self):
        for make in STAGES.values():
            recipe = make(2)
            shared = (recipe.steps, recipe.scenes, recipe.size, recipe.batch, recipe.seed)
            assert shared == (320, 400, 48, 1, 2)


class TestChecks:
    def test_each_repair_mends_its_faults_and_no_other(self, passed):
        mended = set()
        for name in NAMES:
            mended |= set(MENDED[name])
            assert passed[name] == mended, name

    def test_every_check_belongs_to_one_stage(self):
        found = [check for checks in MENDED.values() for check in checks]
        assert sorted(found) == sorted(CHECKS)
        assert list(MENDED) == NAMES

    @pytest.mark.parametrize(
        ("broken", "fails"),
        [
            ({"pool_size": 0}, "D is shown old fakes too"),
            ({"schedule": listing.constant}, "the learning rate falls"),
            ({"make_batches": FromZeroToOne}, "pictures have the range of tanh"),
            ({"step": listing.generators_only}, "a step changes D"),
            ({"objective": Objective(lambda_identity=0.0)}, "there is an identity term"),
            ({"objective": Objective(adversarial="vanilla")}, "the loss has a floor"),
            (
                {"make_discriminator": lambda: ListingDiscriminator(32, 2)},
                "D sees as much as a PatchGAN",
            ),
        ],
    )
    def test_one_fault_in_the_right_recipe_fails_its_check_only(self, broken, fails):
        recipe = replace(Recipe(seed=1), **broken)
        assert [name for name, check in CHECKS.items() if not check(recipe)] == [fails]

    def test_the_weights_that_do_nothing(self):
        assert unused_weights(STAGES["as printed"](1)) == ["lambda_B"]
        assert unused_weights(Recipe(seed=1)) == []


class TestRange:
    def test_a_stage_is_fed_and_read_in_its_own_range(self):
        recipe = STAGES["stable loss"](1)
        model = built(recipe)
        model.G_AB = model.G_BA = nn.Identity()
        x = torch.rand(1, 3, 8, 8) * 2 - 1
        torch.testing.assert_close(listing.in_their_range(recipe, model).G_AB(x), x)

    def test_a_network_sees_what_it_was_trained_on(self):
        seen = []

        class Looks(nn.Module):
            def forward(self, x):
                seen.append((x.min().item(), x.max().item()))
                return x

        x = torch.linspace(-1, 1, 12).view(1, 3, 2, 2)
        for name in ("missing layer", "right range"):
            model = CycleGAN(nn.Identity, nn.Identity)
            model.G_AB = Looks()
            listing.in_their_range(STAGES[name](1), model).G_AB(x)
        assert seen == [(0, 1), (-1, 1)]


class TestStored:
    def test_the_table_has_every_stage_with_every_seed(self):
        with (FOLDER / "listing.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        record = json.loads((FOLDER / "listing.json").read_text(encoding="utf-8"))
        found = [(row["name"], int(row["seed"]), row["direction"]) for row in rows]
        assert len(set(found)) == len(found)
        assert set(found) == {
            (name, seed, direction)
            for name in NAMES
            for seed in record["seeds"]
            for direction in ("A to B", "B to A")
        }
        assert all(row[measure] for row in rows for measure in MEASURES)

    def test_there_are_pictures_of_every_stage(self):
        stored = {path.stem for path in (FOLDER / "listing").glob("*.png")}
        assert stored == {f"night_{name.replace(' ', '_')}" for name in NAMES}


class TestFigures:
    def test_staircase_says_what_is_mended_passes_and_fails(self):
        passed = {"one": {"x": False, "y": True}, "two": {"x": True, "y": True}}
        (axis,) = figures.staircase(passed).axes
        texts = [text.get_text() for text in axis.texts]
        assert texts == ["fails", "mended", "mended", "passes"]

    def test_a_loss_that_is_not_a_number_is_shaded(self):
        losses = {"root": lambda s: math.sqrt(s) if s >= 0 else math.nan, "flat": lambda s: 1.0}
        (axis,) = figures.price_of_a_score(losses).axes
        assert [text.get_text().strip() for text in axis.texts] == ["root: not a number"]
        assert len(axis.patches) == 1

    def test_story_has_a_picture_in_each_place(self):
        picture = torch.zeros(3, 8, 8)
        figure = figures.story({"in": [picture] * 2, "out": [picture] * 2}, ["up", "down"])
        assert len([axis for axis in figure.axes if axis.images]) == 4
        assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["in", "out"]

    def test_curves_and_pictures_have_the_same_names(self):
        picture = torch.zeros(3, 8, 8)
        figure = figures.loss_beside_pictures(
            {"run": [0.5, 0.25, 0.125]}, {"input": [picture], "run": [picture]}, "cycle_A"
        )
        curve, *grid = figure.axes
        assert curve.get_ylabel() == "cycle_A"
        assert [text.get_text() for text in curve.get_legend().get_texts()] == ["run"]
        assert [axis.get_ylabel() for axis in grid] == ["input", "run"]


def test_the_small_discriminator_of_the_listing_sees_less_than_that_of_chapter_5():
    fields = [
        receptive_field(convolutions_of(net))
        for net in (ListingDiscriminator(32, 2), small_discriminator())
    ]
    assert fields == [22, 34]
