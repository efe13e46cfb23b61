"""Colour against shape: pictures, zones, scores, trainings, what D pays, the stored results."""

import json
from dataclasses import replace
from pathlib import Path

import editing as benchmark
import numpy as np
import pytest
import torch
from torch import nn

from cyclegan_course import worlds
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory import editing, editing_trainings
from cyclegan_course.laboratory.editing import LEAVES, LEVEL, Truth
from cyclegan_course.laboratory.editing_trainings import PairedBatches, PixelGenerator
from cyclegan_course.laboratory.recipe import small_discriminator, small_generator, train
from cyclegan_course.plots import editing as plots
from cyclegan_course.plots.style import figure_bytes
from cyclegan_course.scenes import draw_scene, make_scene

ROOT = Path(__file__).resolve().parents[1]
SIZE = 32


@pytest.fixture(scope="module")
def truths():
    return {edit: editing.open_truth(edit, 5, SIZE) for edit in editing.EDITS}


# --- pictures ---


def test_the_two_halves_make_up_the_whole_edit():
    for seed in range(6):
        scene = make_scene(seed)
        A, blue, conifers, B = (
            draw_scene(scene, 48, edit=drawn) for drawn in ("A", "blue roofs", "conifers", "B")
        )
        roofs, trees = ((x != A).any(axis=2) for x in (blue, conifers))
        assert roofs.any()
        assert trees.any()
        np.testing.assert_array_equal(B[~trees], blue[~trees])
        np.testing.assert_array_equal(B[~roofs], conifers[~roofs])
        np.testing.assert_array_equal(A, worlds.render("editing", seed, "A", 48))


def test_unpaired_pictures_share_no_scene_and_start_from_the_world():
    for edit, drawn in editing.EDITS.items():
        A, B = (editing.unpaired_pictures(edit, domain, 3, SIZE) for domain in "AB")
        for i in range(3):
            np.testing.assert_array_equal(A[i], worlds.render("editing", 2 * i, "A", SIZE))
            np.testing.assert_array_equal(B[i], draw_scene(make_scene(2 * i + 1), SIZE, edit=drawn))
    with pytest.raises(CourseError, match="colour, shape, both"):
        editing.unpaired_pictures("size", "A", 1)


def test_paired_batches_cut_and_mirror_both_sides_alike():
    rng = np.random.default_rng(0)
    A = [rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in range(5)]
    batches = PairedBatches(A, [255 - x for x in A], 16, batch=2, seed=3)
    seen = set()
    for step in range(10):
        real_A, real_B = batches(step)
        assert real_A.shape == (2, 3, 16, 16)
        torch.testing.assert_close(real_A, -real_B)
        seen.add(real_A[0, 0, 0, 0].item())
    assert len(seen) > 3


def test_paired_pictures_are_pairs_of_training_scenes():
    A, B = editing.paired_pictures("shape", 2, SIZE)
    for i in range(2):
        scene = make_scene(2 * i)
        np.testing.assert_array_equal(A[i], draw_scene(scene, SIZE, edit="A"))
        np.testing.assert_array_equal(B[i], draw_scene(scene, SIZE, edit="conifers"))


# --- zones and scores ---


def test_zones(truths):
    for edit, truth in truths.items():
        changed = truth.zones["changed"]
        apart = (truth.A - truth.B).abs().amax(dim=1)
        assert apart[~changed].max() < 8.5 * LEVEL < apart[changed].min()
        assert torch.equal(truth.zones["elsewhere"], ~changed)
        assert ("roofs" in truth.zones) == (edit != "shape")
        assert ("both leaves" in truth.zones) == (edit != "colour")
    shape, both, colour = (truths[edit].zones for edit in ("shape", "both", "colour"))
    leaves = torch.stack([shape[name] for name in LEAVES])
    assert (leaves.sum(dim=0) <= 1).all()
    assert not (leaves.any(dim=0) & ~shape["trees"]).any()
    assert leaves.any(dim=0).sum() > 0.75 * shape["trees"].sum()  # the rest: trunks, soft edges
    assert torch.equal(colour["roofs"], colour["changed"])
    assert not (both["changed"] & ~both["roofs"] & ~both["trees"]).any()


def test_leaves_are_where_the_trees_are():
    bare = [replace(make_scene(worlds.HELD_OUT_SEED + i), trees=(), far_trees=()) for i in range(5)]
    assert not editing._leaves(bare, SIZE, "A").any()


def test_scores_of_the_truth_of_the_input_and_of_half_the_way(truths):
    truth = truths["shape"]
    for fake, wanted in ((truth.B, 1.0), (truth.A, 0.0), ((truth.A + truth.B) / 2, 0.5)):
        for row in editing.edit_scores(fake, truth.A, truth.B, truth.zones):
            if row["zone"] != "elsewhere":
                assert row["done"] == pytest.approx(wanted, abs=1e-6)
    further = editing.edit_scores(2 * truth.A - truth.B, truth.A, truth.B, truth.zones)
    assert further[0]["done"] == pytest.approx(-1, abs=1e-5)


def test_scores_in_levels():
    A, B = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    B[:, :, 0] = 30 * LEVEL
    zones = {"changed": torch.zeros(1, 2, 2, dtype=torch.bool)}
    zones["changed"][:, 0] = True
    zones["elsewhere"] = ~zones["changed"]
    fake = torch.full_like(A, 12 * LEVEL)
    on, off = editing.edit_scores(fake, A, B, zones)
    assert (on["share"], on["asked"], on["left"]) == pytest.approx((0.5, 30, 18))
    assert on["done"] == pytest.approx(0.4)
    assert off["left"] == pytest.approx(12)
    assert np.isnan(off["done"])


def test_model_scores_measures_both_directions(truths):
    class Copies(nn.Module):
        G_AB = G_BA = staticmethod(lambda x: x)

    rows = editing.model_scores(Copies(), truths["both"])
    assert [row["direction"] for row in rows[:: len(rows) // 2]] == ["A to B", "B to A"]
    assert all(abs(row["done"]) < 1e-6 for row in rows if row["zone"] != "elsewhere")


# --- trainings ---


def test_one_pixel_has_no_neighbours():
    torch.manual_seed(0)
    net = PixelGenerator(8)
    x = torch.rand(1, 3, 4, 4) - 0.5
    order = torch.randperm(16)
    shuffled = x.flatten(2)[..., order].reshape(x.shape)
    torch.testing.assert_close(net(shuffled).flatten(2), net(x).flatten(2)[..., order])
    assert net(x).abs().max() <= 1
    assert not torch.equal(net(x), x)


def test_paired_step_lowers_the_error_and_leaves_the_discriminators():
    model = CycleGAN(lambda: PixelGenerator(8), small_discriminator, seed=0)
    A = torch.rand(2, 3, 16, 16) - 0.5
    B = A.flip(1)  # red for blue: a colour edit
    before = [p.clone() for p in model.discriminator_parameters()]
    optimizer = torch.optim.Adam(model.generator_parameters(), 2e-3)
    found = [editing_trainings.paired_step(model, A, B, optimizer, None, 0) for _ in range(60)]
    assert found[0]["G_AB"].item() == pytest.approx((A - B).abs().mean().item(), rel=0.05)
    for name in ("G_AB", "G_BA"):
        assert found[-1][name] < 0.5 * found[0][name]
    assert all(map(torch.equal, before, model.discriminator_parameters()))


def test_recipes_replace_what_they_name():
    recipes = {t: editing_trainings.recipe("shape", t, 7) for t in editing_trainings.TRAININGS}
    for training, recipe in recipes.items():
        steps = 1280 if training == "paired, longer" else 320
        assert (recipe.seed, recipe.size, recipe.steps) == (7, 48, steps)
        paired = training in ("paired", "one pixel, paired", "paired, longer")
        assert (recipe.step is editing_trainings.paired_step) == paired
        assert (recipe.make_generator is PixelGenerator) == training.startswith("one pixel")
        assert (recipe.make_generator is small_generator) != training.startswith("one pixel")
    with pytest.raises(CourseError, match="no training 'two pixels'"):
        editing_trainings.recipe("shape", "two pixels", 0)


def test_a_paired_pixel_learns_the_colour_in_seconds():
    recipe = editing_trainings.recipe("colour", "one pixel, paired", 0, steps=150, scenes=12)
    truth = editing.open_truth("colour", 4)
    rows = editing.model_scores(train(recipe).model, truth)
    assert rows[0]["zone"] == "changed"
    assert rows[0]["done"] > 0.6


# --- what D pays ---


class Linear(nn.Module):
    """D(x) = x . w at each pixel, a map as large as the picture."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, x):
        return (x * self.weights).sum(dim=1, keepdim=True)


def test_cost_is_the_generators_least_squares():
    D = Linear(torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1))
    pictures = torch.stack([torch.full((3, 4, 4), value) for value in (1.0, 0.0, -1.0)])
    torch.testing.assert_close(
        editing_trainings.adversarial_cost(D, pictures), torch.tensor([0.0, 1.0, 4.0])
    )


def test_along_the_line_and_pasted(truths):
    truth = truths["shape"]
    assert torch.equal(editing_trainings.half_way(truth, 0.0), truth.A)
    torch.testing.assert_close(editing_trainings.half_way(truth, 1.0), truth.B)
    pasted = editing_trainings.pasted(truth, ("only round", "only conifer"))
    where = truth.zones["only round"] | truth.zones["only conifer"]
    assert torch.equal(pasted.movedim(1, -1)[where], truth.B.movedim(1, -1)[where])
    assert torch.equal(pasted.movedim(1, -1)[~where], truth.A.movedim(1, -1)[~where])


def test_push_of_a_linear_discriminator():
    A = torch.zeros(2, 3, 4, 4)
    B = A.clone()
    B[:, 0, :2] = 0.5  # asked: more red above
    changed = torch.zeros(2, 4, 4, dtype=torch.bool)
    changed[:, :2] = True
    truth = Truth(A, B, {"changed": changed, "elsewhere": ~changed})
    weights = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)
    found = editing_trainings.push(Linear(weights), truth)
    assert found["cosine"] == pytest.approx(1)
    assert found["per_pixel"] == pytest.approx(1)
    here = weights * changed[:1, None]  # looks only where something has to change, and at all of it
    found = editing_trainings.push(Linear(here), truth)
    assert found["per_pixel"] == pytest.approx(2)
    assert editing_trainings.push(Linear(-weights), truth)["cosine"] == pytest.approx(-1)


# --- the stored results ---


def test_benchmark_writes_each_run_once(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "COUNT", 2)
    monkeypatch.setattr(benchmark, "SHOWN", (0, 1))
    monkeypatch.setattr(benchmark, "STEPS", 2)
    monkeypatch.setattr(benchmark, "MOMENTS", (1, 2))
    monkeypatch.setattr(benchmark, "SCENES", 3)
    arguments = ["editing.py", "--out", str(tmp_path), "--seeds", "1", "--edits", "shape"]
    monkeypatch.setattr("sys.argv", [*arguments, "--trainings", "unpaired", "one pixel, paired"])
    benchmark.main()
    before = (tmp_path / "zones.csv").read_text()
    benchmark.main()
    assert (tmp_path / "zones.csv").read_text() == before
    assert editing.runs(tmp_path) == {("shape", "unpaired", 1), ("shape", "one pixel, paired", 1)}
    assert {row["step"] for row in editing.stored("blend", tmp_path)} == {1, 2}
    assert len(editing.stored("push", tmp_path)) == 2
    assert (tmp_path / editing.picture_name("shape", "one pixel, paired")).is_file()
    assert json.loads((tmp_path / "record.json").read_text())["seeds"] == [1]


def test_stored_tables_hold_three_seeds_of_every_training():
    wanted = {
        (edit, training, seed)
        for edit in ("colour", "shape")
        for training in plots.TRAININGS
        for seed in (1, 2, 3)
    }
    assert editing.runs() >= wanted
    for row in editing.stored("zones"):
        if row["zone"] != "elsewhere":
            assert row["done"] == pytest.approx(1 - row["left"] / row["asked"], abs=2e-4)
    record = json.loads((editing.FOLDER / "record.json").read_text(encoding="utf-8"))
    assert {"command", "machine", "torch", "seeds", "steps"} <= record.keys()


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(CourseError, match=r"benchmarks/editing\.py"):
        editing.stored("zones", tmp_path)
    assert editing.runs(tmp_path) == set()
    with pytest.raises(CourseError, match="No stored row"):
        editing.by_seed([{"edit": "shape", "seed": 1}], "done", edit="colour")


# --- figures ---


def test_zone_pictures_paint_the_zones_and_leave_the_rest_grey(truths):
    truth = truths["both"]
    for picture, changed in zip(plots.zone_pictures(truth), truth.zones["elsewhere"], strict=True):
        assert picture.shape == (SIZE, SIZE, 3)
        grey = picture[changed.numpy()]
        assert (grey == grey[:, :1]).all()
    painted = plots.zone_pictures(truth)[0][truth.zones["roofs"][0].numpy()]
    assert len(np.unique(painted, axis=0)) >= 1


def test_blend_costs_start_at_zero_and_keep_the_seeds():
    rows = [
        {"edit": "shape", "seed": seed, "step": 10, "picture": name, "cost": cost * seed}
        for seed in (1, 2)
        for name, cost in (("0", 1.0), ("0.5", 1.5), ("1", 0.5), ("outline", 9.0))
    ]
    alphas, costs = plots.blend_costs(rows, "shape", 10)
    np.testing.assert_allclose(alphas, [0, 0.5, 1])
    np.testing.assert_allclose(costs, [[0, 0.5, -0.5], [0, 1, -1]])
    steps, saved = plots.rewards(rows, "shape")
    np.testing.assert_allclose(steps, [10])
    np.testing.assert_allclose(saved, [[0.5], [1]])


def test_figures_are_drawn_from_the_stored_rows():
    zones = {"roofs": ("colour", "changed"), "trees": ("shape", "changed")}
    done = plots.done_figure(editing.stored("zones"), zones)
    assert [text.get_text() for text in done.axes[0].get_xticklabels()] == list(zones)
    blend = plots.blend_figure(editing.stored("blend"), 320)
    assert {text.get_text() for text in blend.axes[0].get_legend().get_texts()} == set(plots.EDITS)
    assert figure_bytes(done).startswith(b"\x89PNG")
    assert figure_bytes(blend)


def test_strips_are_cut_into_squares():
    strip = np.arange(4 * 12 * 3).reshape(4, 12, 3)
    pieces = plots.cut_strip(strip)
    assert [piece.shape for piece in pieces] == [(4, 4, 3)] * 3
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), strip)
