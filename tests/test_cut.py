"""CUT: its loss in closed form, the features that it compares, its terms and its step."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclegan_course import cut
from cyclegan_course.cut import CUT, ContrastiveObjective, PatchHeads
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.losses import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    generator_loss,
    patch_nce_loss,
)
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator

OBJECTIVE = ContrastiveObjective(lambda_nce=2.0, lambda_nce_identity=3.0)
small_generator = partial(ResnetGenerator, ngf=4, n_blocks=2, n_down=1, edge_kernel=3)
small_discriminator = partial(PatchDiscriminator, ndf=4, n_layers=1)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def features(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(numbers(*shape, seed=seed), dim=-1)


def pictures(batch: int = 1, height: int = 16, width: int = 12, seed: int = 0) -> Tensor:
    return numbers(batch, 3, height, width, seed=seed).tanh()


def make_model(seed: int = 0, patches: int = 20) -> CUT:
    return CUT(small_generator, small_discriminator, seed=seed, patches=patches)


def make_case(batch: int = 1, seed: int = 0):
    """A model, two batches, and places."""
    model = make_model(seed)
    positions = model.draw_positions(16, 12, torch.Generator().manual_seed(seed))
    return model, pictures(batch, seed=1), pictures(batch, seed=2), positions


def gradients(parameters) -> Tensor:
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


# The loss ----------------------------------------------------------------------------------------


def plain_loss(query: Tensor, key: Tensor, temperature: float) -> float:
    """The formula of the paper, number by number."""
    terms = []
    for q, k in zip(query.double().tolist(), key.double().tolist(), strict=True):
        for s, one in enumerate(q):
            likeness = [sum(map(float.__mul__, one, other)) / temperature for other in k]
            total = math.fsum(math.exp(value) for value in likeness)
            terms.append(-math.log(math.exp(likeness[s]) / total))
    return math.fsum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
@pytest.mark.parametrize("shape", [(1, 6, 4), (3, 5, 7), (2, 1, 3)])
def test_patch_nce_is_the_formula(shape, temperature):
    query, key = features(*shape, seed=1), features(*shape, seed=2)
    found = patch_nce_loss(query, key, temperature)
    assert found.shape == ()
    assert found.item() == pytest.approx(plain_loss(query, key, temperature), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("places", [2, 7, 256])
def test_keys_that_are_all_equal_leave_the_logarithm_of_their_number(places):
    query, one = features(2, places, 8), features(2, 1, 8, seed=5)
    found = patch_nce_loss(query, one.expand(2, places, 8))
    assert found.item() == pytest.approx(math.log(places), rel=1e-5)


def test_a_translation_that_says_nothing_loses_at_least_that():
    """One answer p for all places: the mean of -log p_s is at least log S (Jensen)."""
    keys, one = features(1, 64, 16), features(1, 1, 16, seed=3)
    assert patch_nce_loss(one.expand(1, 64, 16), keys).item() > math.log(64) + 1


def test_the_best_and_the_worst_answer():
    """Keys at right angles: own place 1/t, others 0; a neighbour's place the other way round."""
    keys, t, places = torch.eye(9)[None], 0.1, 9
    best = math.log(1 + (places - 1) * math.exp(-1 / t))
    assert patch_nce_loss(keys, keys, t).item() == pytest.approx(best, abs=1e-6)
    found = patch_nce_loss(keys.roll(1, dims=1), keys, t).item()
    assert found == pytest.approx(1 / t + best, rel=1e-6)


def test_each_picture_has_its_own_patches():
    query, key = features(3, 5, 4, seed=1), features(3, 5, 4, seed=2)
    alone = [patch_nce_loss(q[None], k[None]) for q, k in zip(query, key, strict=True)]
    assert patch_nce_loss(query, key).item() == pytest.approx(float(sum(alone)) / 3, rel=1e-5)


def test_its_gradient_is_the_softmax_minus_the_own_place():
    t, (n, s) = 0.3, (2, 5)
    query, key = (features(n, s, 4, seed=seed).requires_grad_() for seed in (1, 2))
    patch_nce_loss(query, key, t).backward()
    with torch.no_grad():
        wrong = (query @ key.transpose(1, 2) / t).softmax(dim=2) - torch.eye(s)
        of_query, of_key = wrong @ key / (n * s * t), wrong.transpose(1, 2) @ query / (n * s * t)
    torch.testing.assert_close(query.grad, of_query, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(key.grad, of_key, rtol=1e-4, atol=1e-7)


def test_autocast_leaves_the_loss_exact():
    query, key = features(2, 40, 16, seed=1), features(2, 40, 16, seed=2)
    expected = patch_nce_loss(query, key)
    with torch.autocast("cpu", torch.bfloat16):
        found = patch_nce_loss(query, key)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


# The features ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"n_blocks": 9, "n_down": 2}, (0, 5, 8, 11, 15)),  # the reference, as in the paper
        ({"n_blocks": 6, "n_down": 2}, (0, 5, 8, 11, 13)),
        ({"n_blocks": 4, "n_down": 1}, (0, 5, 8, 9)),
        ({"n_blocks": 3, "n_down": 1, "edge_kernel": 3}, (0, 5, 8, 9)),
        ({"n_blocks": 2, "n_down": 2}, (0, 5, 8, 11)),
        ({"n_blocks": 1, "n_down": 1}, (0, 5, 8)),
        ({"n_blocks": 0, "n_down": 1}, (0, 5)),
        ({"n_blocks": 3, "n_down": 0}, (0, 5, 6)),
    ],
)
def test_taps_are_picture_halvings_first_and_middle_block(shape, expected):
    net = ResnetGenerator(ngf=2, **shape)
    assert cut.tap_layers(net) == expected
    kinds = [type(net.layers[tap - 1]).__name__ for tap in expected[1:]]
    halvings = shape["n_down"]
    assert kinds == ["Conv2d"] * halvings + ["ResnetBlock"] * (len(kinds) - halvings)


@pytest.mark.parametrize("size", [(16, 16), (15, 22), (17, 13), (24, 9)])
@pytest.mark.parametrize("n_down", [0, 1, 2])
def test_tap_shapes_are_those_of_the_maps(n_down, size):
    net = ResnetGenerator(ngf=3, n_blocks=3, n_down=n_down, edge_kernel=5)
    taps = cut.tap_layers(net)
    with torch.no_grad():
        maps = cut.encode(net, pictures(2, *size), taps)
    assert cut.tap_shapes(net, taps, *size) == [tuple(each.shape[1:]) for each in maps]


def test_encode_gives_what_the_layers_hold_and_stops_after_the_last():
    net, x = make_model().G_AB, pictures()
    computed = []
    for number, layer in enumerate(net.layers, 1):
        layer.register_forward_hook(lambda *_, number=number: computed.append(number))
    taps = (0, 5, 9)
    maps = cut.encode(net, x, taps)
    assert computed == list(range(1, 10))
    assert maps[0] is x
    for tap, each in zip(taps, maps, strict=True):
        assert torch.equal(each, net.layers[:tap](x))


def test_one_pass_translates_and_encodes():
    model, x = make_model(), pictures(2)
    translation, maps = cut.translate_and_encode(model.G_AB, x, model.taps)
    assert torch.equal(translation, model.G_AB(x))
    for found, expected in zip(maps, cut.encode(model.G_AB, x, model.taps), strict=True):
        assert torch.equal(found, expected)


def test_patches_are_those_of_the_places_row_by_row():
    maps = numbers(2, 3, 5, 4)
    places = torch.tensor([7, 0, 19, 6])
    found = cut.patches_at(maps, places)
    assert found.shape == (2, 4, 3)
    for s, place in enumerate(places.tolist()):
        row, column = divmod(place, 4)
        assert torch.equal(found[:, s], maps[:, :, row, column])


class TestHeads:
    def test_features_have_length_one_in_float32(self):
        heads = PatchHeads([3, 6], out=8)
        maps = [numbers(2, 3, 4, 5), 100 * numbers(2, 6, 2, 3)]
        positions = [torch.arange(12), torch.tensor([5, 1])]
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                found = heads(maps, positions)
            assert [each.shape for each in found] == [(2, 12, 8), (2, 2, 8)]
            for each in found:
                assert each.dtype == torch.float32
                torch.testing.assert_close(each.norm(dim=-1), torch.ones(each.shape[:2]))

    def test_each_layer_has_its_own_two_maps_with_a_relu(self):
        heads = PatchHeads([3, 6], out=8)
        x = numbers(1, 6, 2, 3)
        first, _, second = heads.heads[1]
        at_place = x[0, :, 1, 0]  # place 3
        hidden = (first.weight @ at_place + first.bias).clamp(min=0)
        expected = second.weight @ hidden + second.bias
        found = heads([numbers(1, 3, 2, 2), x], [torch.tensor([0]), torch.tensor([3])])[1]
        torch.testing.assert_close(found[0, 0], expected / expected.norm())

    def test_they_start_small_and_without_bias(self):
        heads = PatchHeads([64, 128], generator=torch.Generator().manual_seed(0))
        for name, value in heads.named_parameters():
            if name.endswith("bias"):
                assert not value.any()
            else:
                assert value.std().item() == pytest.approx(0.02, rel=0.05)
                assert abs(value.mean().item()) < 0.001

    def test_a_black_place_gives_numbers(self):
        """Without bias it has no direction: its feature stays 0, and its gradient is finite."""
        heads = PatchHeads([3], out=4)
        (found,) = heads([torch.zeros(1, 3, 2, 2)], [torch.tensor([0, 1])])
        found.sum().backward()
        assert not found.any()
        assert all(p.grad.isfinite().all() for p in heads.parameters())

    def test_a_layer_too_few_is_no_silence(self):
        with pytest.raises(ValueError, match="zip"):
            PatchHeads([3, 6], out=8)([numbers(1, 3, 2, 2)], [torch.tensor([0])])


# The model ---------------------------------------------------------------------------------------


def test_a_seed_decides_all_start_weights():
    one, again, other = (make_model(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    drawn = [name for name in one if name.endswith("weight")]
    assert drawn
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


def test_a_seed_gives_the_generator_of_cyclegan():
    """So runs of both methods with one seed are a pair."""
    pair = CycleGAN(small_generator, small_discriminator, seed=5).G_AB.state_dict()
    found = make_model(seed=5).G_AB.state_dict()
    assert all(torch.equal(found[name], pair[name]) for name in found)


def test_features_are_as_wide_as_the_paper_has_them_for_its_generator():
    def width(**settings) -> int:
        return CUT(small_generator, small_discriminator, **settings).heads.heads[0][2].out_features

    assert width() == 4 * 4
    assert width(features=24) == 24
    with torch.device("meta"):
        reference = PatchHeads([3]).heads[0][2].out_features
    assert reference == 4 * 64  # the reference generator is 64 wide


def test_both_sides_hold_every_parameter_once():
    model = make_model()
    sides = [*model.generator_parameters(), *model.discriminator_parameters()]
    assert len(sides) == len(set(sides))
    assert set(sides) == set(model.parameters())
    assert set(model.discriminator_parameters()) == set(model.D_B.parameters())
    assert set(model.heads.parameters()) < set(model.generator_parameters())


def test_positions_are_different_places_of_each_map():
    model = make_model(patches=60)
    drawn = model.draw_positions(16, 12, torch.Generator().manual_seed(0))
    places = [192, 48, 48]  # 16 x 12, then halved
    assert [len(each) for each in drawn] == [60, 48, 48]
    for each, count in zip(drawn, places, strict=True):
        assert each.dtype == torch.int64
        assert len(each.unique()) == len(each)
        assert 0 <= each.min() <= each.max() < count
    assert not torch.equal(drawn[1], drawn[2])
    again = model.draw_positions(16, 12, torch.Generator().manual_seed(0))
    assert all(torch.equal(*pair) for pair in zip(drawn, again, strict=True))
    assert not torch.equal(model.draw_positions(16, 12)[0], drawn[0])


def test_every_place_is_drawn_as_often_as_any_other():
    model, generator = make_model(patches=12), torch.Generator().manual_seed(1)
    drawn = torch.cat([model.draw_positions(8, 6, generator)[0] for _ in range(2000)])
    counts = drawn.bincount(minlength=48).float()
    # Each with probability 1/4 in each of 2000 draws: 500, with a deviation of 19.4.
    assert (counts - 500).abs().max() < 5 * 19.4


# The generator's side ----------------------------------------------------------------------------


def plain_terms(
    model: CUT, real_A: Tensor, real_B: Tensor, objective: ContrastiveObjective, positions
) -> tuple[dict[str, Tensor], Tensor]:
    """The objective written down once more: picture by picture, layer by layer, place by place."""

    def maps(x: Tensor) -> list[Tensor]:
        return [model.G_AB.layers[:tap](x) for tap in model.taps]

    def feature(layer: int, x: Tensor, place: int) -> Tensor:
        row, column = divmod(place, x.shape[-1])
        first, _, second = model.heads.heads[layer]
        out = second(first(x[0, :, row, column]).relu())
        return out / out.norm()

    def nce(x: Tensor) -> Tensor:
        made, means = model.G_AB(x), []
        pairs = zip(maps(made), maps(x), positions, strict=True)
        for layer, (of_made, of_real, places) in enumerate(pairs):
            keys = [feature(layer, of_real, place).detach() for place in places.tolist()]
            losses = []
            for s, place in enumerate(places.tolist()):
                query = feature(layer, of_made, place)
                shares = torch.stack([query @ key for key in keys]) / objective.temperature
                losses.append(shares.logsumexp(0) - shares[s])
            means.append(sum(losses) / len(losses))
        return sum(means) / len(means)

    fake_B = torch.cat([model.G_AB(x[None]) for x in real_A])
    scores = torch.cat([model.D_B(fake[None]) for fake in fake_B])
    terms = {
        "G_AB": generator_loss(scores, objective.adversarial),
        "nce_A": objective.lambda_nce * sum(nce(x[None]) for x in real_A) / len(real_A),
    }
    if objective.lambda_nce_identity > 0:
        mean = sum(nce(x[None]) for x in real_B) / len(real_B)
        terms["nce_B"] = objective.lambda_nce_identity * mean
    return terms, fake_B


class TestGeneratorLosses:
    @pytest.mark.parametrize("identity", [3.0, 0.0])
    @pytest.mark.parametrize("batch", [1, 2])
    def test_equal_the_plain_ones_in_value_and_gradient(self, batch, identity):
        """Of a batch too: pictures that share a pass are pictures one by one."""
        objective = ContrastiveObjective(2.0, identity)
        found = []
        for make in (cut.generator_losses, plain_terms):
            model, *inputs, positions = make_case(batch)
            terms, fake_B = make(model, *inputs, objective, positions)
            sum(terms.values()).backward()
            values = {name: term.item() for name, term in terms.items()}
            found.append((values, fake_B.detach(), gradients(model.generator_parameters())))
        (values, fake_B, gradient), expected = found
        assert list(values) == ["G_AB", "nce_A", *(["nce_B"] if identity else [])]
        assert values == pytest.approx(expected[0], rel=1e-5)
        torch.testing.assert_close(fake_B, expected[1], rtol=0, atol=1e-5)
        assert relative(gradient, expected[2]) < 1e-4

    @pytest.mark.parametrize("kind", ADVERSARIAL_LOSSES)
    def test_the_adversarial_term_is_that_of_the_fakes_alone(self, kind):
        model, real_A, real_B, positions = make_case(2)
        objective = ContrastiveObjective(adversarial=kind)
        terms, fake_B = cut.generator_losses(model, real_A, real_B, objective, positions)
        expected = generator_loss(model.D_B(model.G_AB(real_A)), kind)
        assert terms["G_AB"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert fake_B.shape == real_A.shape

    def test_weights_are_factors(self):
        model, *inputs, positions = make_case()
        plain, _ = cut.generator_losses(model, *inputs, ContrastiveObjective(), positions)
        found, _ = cut.generator_losses(model, *inputs, OBJECTIVE, positions)
        for name, factor in (("G_AB", 1.0), ("nce_A", 2.0), ("nce_B", 3.0)):
            assert found[name].item() == pytest.approx(factor * plain[name].item(), rel=1e-6)

    def test_without_identity_pictures_of_B_play_no_part(self):
        model, real_A, real_B, positions = make_case()
        objective = ContrastiveObjective(lambda_nce_identity=0.0)
        pairs = [
            cut.generator_losses(model, real_A, b, objective, positions)
            for b in (real_B, torch.full_like(real_B, math.nan))
        ]
        (terms, _), (others, _) = pairs
        assert list(terms) == list(others) == ["G_AB", "nce_A"]
        assert all(torch.equal(terms[name], others[name]) for name in terms)

    def test_each_term_sees_its_own_domain(self):
        model, real_A, real_B, positions = make_case()
        base, _ = cut.generator_losses(model, real_A, real_B, OBJECTIVE, positions)
        new = pictures(seed=9)
        for inputs, same in (((real_A, new), {"G_AB", "nce_A"}), ((new, real_B), {"nce_B"})):
            found, _ = cut.generator_losses(model, *inputs, OBJECTIVE, positions)
            unchanged = {n for n in found if found[n].item() == pytest.approx(base[n].item())}
            assert unchanged == same

    def test_the_gradient_comes_through_the_translation_and_through_the_features(self):
        """Each way alone gives another gradient than both, and the two add up."""
        model, real_A, _, positions = make_case()

        def gradient_of(translate: bool, encode: bool) -> Tensor:
            translator, encoder = (
                model.G_AB if on else copy.deepcopy(model.G_AB).requires_grad_(False)
                for on in (translate, encode)
            )
            model.zero_grad()
            made = translator(real_A)
            queries = model.heads(cut.encode(encoder, made, model.taps), positions)
            maps = cut.encode(model.G_AB, real_A, model.taps)
            keys = [key.detach() for key in model.heads(maps, positions)]
            layers = [patch_nce_loss(*pair) for pair in zip(queries, keys, strict=True)]
            torch.stack(layers).mean().backward()
            return gradients(model.G_AB.parameters())

        both, first, second = (gradient_of(*on) for on in ((1, 1), (1, 0), (0, 1)))
        assert min(relative(first, both), relative(second, both)) > 0.05
        assert relative(first + second, both) < 1e-4
        model.zero_grad()
        objective = ContrastiveObjective(lambda_nce_identity=0.0)
        terms, _ = cut.generator_losses(model, real_A, real_A, objective, positions)
        terms["nce_A"].backward()
        assert relative(gradients(model.G_AB.parameters()), both) < 1e-4

    def test_the_keys_are_numbers(self):
        """Its gradient is the slope of the loss with the keys held fast, by differences."""
        model, real_A, _, positions = make_case()
        parameters = list(model.generator_parameters())
        maps = cut.encode(model.G_AB, real_A, model.taps)
        keys = [key.detach() for key in model.heads(maps, positions)]

        @torch.no_grad()
        def loss(moving_keys: bool = False) -> float:
            made, maps = cut.translate_and_encode(model.G_AB, real_A, model.taps)
            queries = model.heads(cut.encode(model.G_AB, made, model.taps), positions)
            others = model.heads(maps, positions) if moving_keys else keys
            layers = [patch_nce_loss(*pair) for pair in zip(queries, others, strict=True)]
            return float(torch.stack(layers).double().mean())

        objective = ContrastiveObjective(lambda_nce_identity=0.0)
        terms, _ = cut.generator_losses(model, real_A, real_A, objective, positions)
        terms["nce_A"].backward()
        gradient = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
        length = torch.cat([g.flatten() for g in gradient]).norm()

        def slope(**how) -> float:
            """Along the gradient, by which the slope should be its length."""
            values, reach = [], 3e-6
            for sign in (1, -2, 1):  # there, to the other side, and back
                for p, g in zip(parameters, gradient, strict=True):
                    p.data += sign * reach * g / length
                values.append(loss(**how))
            return (values[0] - values[1]) / (2 * reach)

        assert slope() == pytest.approx(length.item(), rel=0.02)
        assert slope(moving_keys=True) != pytest.approx(length.item(), rel=0.05)


# The step ----------------------------------------------------------------------------------------


class TestStep:
    def test_the_discriminator_learns_from_fakes_without_their_graph(self):
        model, real_A, real_B, _ = make_case()
        fake_B = model.G_AB(real_A)
        terms = cut.discriminator_losses(model, real_B, fake_B, ContrastiveObjective())
        terms["D_B"].backward()
        assert list(terms) == ["D_B"]
        expected = 0.5 * discriminator_loss(model.D_B(real_B), model.D_B(fake_B))
        assert terms["D_B"].item() == pytest.approx(expected.item())
        assert not gradients(model.generator_parameters()).any()
        assert gradients(model.D_B.parameters()).any()

    def test_equals_a_step_written_by_hand(self):
        found = []
        for by_hand in (False, True):
            model, real_A, real_B, _ = make_case()
            adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
            G, D = model.generator_parameters(), model.discriminator_parameters()
            optimizers, draws = (adam(G), adam(D)), torch.Generator().manual_seed(0)

            def old(fake):  # the pool changes the fakes, so that its use shows
                assert not fake.requires_grad
                return fake * 0.5

            for _ in range(3):
                positions = model.draw_positions(16, 12, draws)
                if not by_hand:
                    terms = cut.training_step(
                        model, real_A, real_B, *optimizers, old, OBJECTIVE, positions
                    )
                    assert not any(term.requires_grad for term in terms.values())
                    continue
                terms, fake_B = cut.generator_losses(model, real_A, real_B, OBJECTIVE, positions)
                slopes = torch.autograd.grad(sum(terms.values()), G, allow_unused=True)
                for parameter, slope in zip(G, slopes, strict=True):
                    parameter.grad = slope
                optimizers[0].step()
                scores = model.D_B(real_B), model.D_B(fake_B.detach() * 0.5)
                terms["D_B"] = 0.5 * discriminator_loss(*scores)
                for parameter, slope in zip(D, torch.autograd.grad(terms["D_B"], D), strict=True):
                    parameter.grad = slope
                optimizers[1].step()
            values = {name: term.item() for name, term in terms.items()}
            found.append((values, torch.cat([p.detach().flatten() for p in model.parameters()])))
        assert list(found[0][0]) == ["G_AB", "nce_A", "nce_B", "D_B"]
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
        assert torch.allclose(found[0][1], found[1][1], rtol=0, atol=1e-6)

    def test_the_discriminator_is_frozen_for_the_generator_and_free_afterwards(self):
        model, real_A, real_B, positions = make_case()
        arrived = []
        for parameter in model.D_B.parameters():
            parameter.register_hook(lambda gradient: arrived.append(gradient))
        G, D = model.generator_parameters(), model.discriminator_parameters()
        optimizer_G, optimizer_D = (torch.optim.SGD(side, lr=0.01) for side in (G, D))
        before = []
        optimizer_G.register_step_pre_hook(lambda *_: before.append(len(arrived)))
        cut.training_step(
            model, real_A, real_B, optimizer_G, optimizer_D, lambda x: x, OBJECTIVE, positions
        )
        assert before == [0]
        assert len(arrived) == len(D)
        assert all(parameter.requires_grad for parameter in D)

    def test_training_brings_patches_home(self):
        """On one picture of each domain, the own patch is found more and more often."""
        model, real_A, real_B, _ = make_case()
        optimizer_G = torch.optim.Adam(model.generator_parameters(), lr=2e-3)
        optimizer_D = torch.optim.Adam(model.discriminator_parameters(), lr=1e-4)
        draws, history = torch.Generator().manual_seed(0), []
        for _ in range(60):
            terms = cut.training_step(
                model,
                real_A,
                real_B,
                optimizer_G,
                optimizer_D,
                lambda x: x,
                ContrastiveObjective(),
                model.draw_positions(16, 12, draws),
            )
            history.append(terms["nce_A"].item())
        assert sum(history[-5:]) / 5 < min(0.6 * history[0], math.log(20))
