"""CUT in the trainer: the fast step, a run and its folder, resuming, and what its commands do."""

import csv
import json
import math
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from test_training_fast_step import ALL, BATCHED, ScriptedPool, batches, relative
from training_toys import CPU, TINY, StopAfter, assert_same_weights, run_it, write_pictures

from cyclegan_course import cut, losses, plots
from cyclegan_course.batches import batches_for
from cyclegan_course.cli import main
from cyclegan_course.cli import train as train_command
from cyclegan_course.comparison import compare
from cyclegan_course.contenders import contenders
from cyclegan_course.cut import CUT, ContrastiveObjective
from cyclegan_course.errors import CourseError
from cyclegan_course.networks import dead_biases
from cyclegan_course.training import (
    Config,
    FastStep,
    build_state,
    load_config,
    preset,
    run_folder,
    samples,
)
from cyclegan_course.training.config import learning_rate_factor
from cyclegan_course.training.distributed import Workers
from cyclegan_course.training.levers import TEXTBOOK, Levers, best_levers, step_operations
from cyclegan_course.training.watching import Watcher, summary
from cyclegan_course.translate import load_translator, save_generator
from cyclegan_course.translate.onnx import OnnxTranslator
from cyclegan_course.widgets import Dashboard

TERMS = ("G_AB", "nce_A", "nce_B", "D_B")
CUT_TINY = TINY | {"method": "cut", "pool_size": None, "patches": 30}


# The fast step -----------------------------------------------------------------------------------


def settings(**changes) -> Config:
    shape = {"size": 32, "n_blocks": 1, "ngf": 8, "n_down": 2, "ndf": 8, "n_layers": 2}
    more = {"steps": 100, "pool_size": 2, "patches": 40, "precision": "float32", "compile": "off"}
    return Config(**({"method": "cut"} | shape | more | changes))


class Textbook:
    """`cut.training_step` with plain Adam on the start of a run."""

    def __init__(self, config):
        self.model = build_state(config, CPU).model.requires_grad_(True)
        adam = {"lr": config.lr, "betas": (0.5, 0.999)}
        self.optimizers = [
            torch.optim.Adam(side, **adam)
            for side in (self.model.generator_parameters(), self.model.discriminator_parameters())
        ]
        self.pool = ScriptedPool(config.pool_size)
        weights = config.lambda_nce, config.lambda_nce_identity, config.adversarial
        self.objective = ContrastiveObjective(*weights)

    def __call__(self, real_A, real_B, draws, positions):
        self.pool.draws = draws
        return cut.training_step(
            self.model, real_A, real_B, *self.optimizers, self.pool, self.objective, positions
        )


def worst_differences(config, levers, count=5, batch=1):
    """Of each step from equal weights: the largest relative difference over the parameters."""
    textbook, fast = Textbook(config), FastStep(build_state(config, CPU), config, levers)
    dead = {id(bias) for bias in dead_biases(fast.state.model)}
    for real_A, real_B in batches(count, batch):
        fast.state.model.load_state_dict(textbook.model.state_dict())
        positions = fast.positions(*real_A.shape[-2:])
        expected = textbook(real_A, real_B, fast.pool_draws(batch)[1], positions)
        found = fast(real_A, real_B)
        fast.state.step += 1
        assert list(found) == list(expected)
        for name in found:
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-5)
        pairs = [
            (theirs.grad, ours.grad)
            for theirs, ours in zip(
                textbook.model.parameters(), fast.state.model.parameters(), strict=True
            )
            if id(ours) not in dead
        ]
        assert len(pairs) == len(fast.trained) > 20
        yield max(relative(ours, theirs) for theirs, ours in pairs)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class TestFastStep:
    """The heads compute in float32, so float64 elsewhere leaves differences of its rounding."""

    @pytest.mark.parametrize("identity", [1.5, 0.0])
    @pytest.mark.parametrize("batch", [1, 3])
    @pytest.mark.parametrize("levers", [TEXTBOOK, BATCHED, ALL], ids=["text", "batched", "all"])
    def test_equals_the_readable_step(self, float64, levers, batch, identity):
        # Five steps: the pool of two is full after the second, then both of its answers occur.
        config = settings(lambda_nce=2.0, lambda_nce_identity=identity)
        assert max(worst_differences(config, levers, batch=batch)) < 1e-5

    @pytest.mark.parametrize("adversarial", losses.ADVERSARIAL_LOSSES)
    def test_with_every_adversarial_loss(self, float64, adversarial):
        config = settings(adversarial=adversarial)
        assert max(worst_differences(config, BATCHED, count=2)) < 1e-5

    @pytest.mark.parametrize("levers", [TEXTBOOK, BATCHED, ALL], ids=["text", "batched", "all"])
    def test_in_float32(self, levers):
        # Now and then rounding moves a number across the kink of a ReLU: hence the middle one.
        assert sorted(worst_differences(settings(), levers, 5))[2] < 1e-4

    def test_bfloat16_stays_near(self):
        levers = Levers(batched=True, precision="bfloat16", fold_edge=True, library_pad=True)
        config = settings()
        textbook, fast = Textbook(config), FastStep(build_state(config, CPU), config, levers)
        (real_A, real_B), *_ = batches(1, 2)
        positions = fast.positions(32, 32)
        expected = textbook(real_A, real_B, fast.pool_draws(2)[1], positions)
        found = fast(real_A, real_B)
        for name in found:
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=0.05)
        assert all(p.grad.dtype == torch.float32 for p in fast.trained)

    def test_places_follow_from_seed_and_step_alone(self):
        config = settings()
        fast, other = (FastStep(build_state(config, CPU), config, BATCHED) for _ in "12")
        fast.pool_draws(4)  # what else was drawn does not matter
        first = fast.positions(32, 32)
        assert all(torch.equal(*pair) for pair in zip(first, other.positions(32, 32), strict=True))
        other.state.step = 1
        assert not torch.equal(first[0], other.positions(32, 32)[0])
        changed = replace(config, seed=1)
        elsewhere = FastStep(build_state(changed, CPU), changed, BATCHED)
        assert not torch.equal(first[0], elsewhere.positions(32, 32)[0])
        assert [len(each) for each in first] == [40] * len(first)

    def test_cyclegan_draws_no_places(self):
        config = settings(method="cyclegan")
        assert FastStep(build_state(config, CPU), config, BATCHED).positions(32, 32) == []

    def test_nothing_is_compiled(self):
        config = settings(compile="on")
        asked = replace(ALL, compiled=True)
        fast = FastStep(build_state(config, CPU), config, asked)
        assert not fast.levers.compiled
        assert set(fast(*batches(1)[0])) == set(TERMS)

    def test_one_backward_keeps_the_sides_apart(self):
        config, pair = settings(), batches(1)[0]

        def gradients(without_D: bool) -> dict:
            fast = FastStep(build_state(config, CPU), config, BATCHED)
            if without_D:
                fast.sides = fast.sides._replace(discriminators=lambda *rest: {})
            fast(*pair)
            named = fast.state.model.named_parameters()
            return {name: p.grad for name, p in named if p.grad is not None}

        both, alone = gradients(False), gradients(True)
        assert alone.keys() == {name for name in both if not name.startswith("D_B")}
        assert len(alone) < len(both)
        assert all(torch.equal(alone[name], both[name]) for name in alone)

    def test_work_is_that_of_one_generator(self):
        """Three halves of a pass for each picture of A, and as much for B, against six."""
        cyclegan, cut_, without = (
            step_operations(settings(**changes))
            for changes in ({"method": "cyclegan"}, {}, {"lambda_nce_identity": 0.0})
        )
        assert cut_ == pytest.approx(cyclegan / 2)
        assert without == pytest.approx(cyclegan / 4)
        assert best_levers(settings(), CPU).batched


class Half(Workers):
    """One of two processes, each on its own; the gradients are averaged by the test."""

    def gather(self, pictures):
        return torch.cat([pictures, pictures])

    def average_gradients(self, parameters, terms):
        return terms


def test_two_processes_have_the_gradients_of_one(float64):
    """Both look at the same places, and the mean of theirs is that of the whole batch."""

    def gradients(workers):
        config = settings(batch=4, pool_size=0)
        step = FastStep(build_state(config, CPU), config, BATCHED, workers)
        (real_A, real_B), *_ = batches(1, 4)
        mine = workers.share(config.batch)
        step(real_A[mine], real_B[mine])
        named = step.state.model.named_parameters()
        return {name: p.grad for name, p in named if p.grad is not None}

    whole, *halves = (gradients(workers) for workers in (Workers(), Half(0, 2), Half(1, 2)))
    assert any(name.startswith("heads") for name in whole)
    for name, expected in whole.items():
        assert relative((halves[0][name] + halves[1][name]) / 2, expected) < 1e-5, name
        assert relative(halves[0][name], expected) > 1e-3


# A run and its folder ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "noise")


@pytest.fixture
def config(data, monkeypatch):
    monkeypatch.setattr("cyclegan_course.training.loop.LOG_EVERY", 0.0)  # after every step
    return Config(data=str(data), **CUT_TINY, steps=6, save_every=0)


class Diary(Watcher):
    """Keeps the grids."""

    def __init__(self):
        self.grids = []

    def samples(self, grid, step):
        self.grids.append(grid)


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """A finished run, its folder, and its grids."""
    folder, diary = tmp_path_factory.mktemp("runs") / "my run", Diary()
    config = Config(data=str(data), **CUT_TINY, steps=3, measure_every=0, name="noise")
    return run_it(config, folder, watchers=[diary]), folder, diary.grids


class TestRun:
    def test_has_one_generator_and_its_terms(self, made):
        run, _, _ = made
        assert isinstance(run.model, CUT)
        assert run.finished
        assert list(run.generators) == ["G_AB"]
        assert run.model.patches == 30
        for row in run.record:
            assert set(row) == {"step", "seconds", *TERMS}
            assert all(math.isfinite(value) for value in row.values())

    def test_it_learns_in_both_sides_and_the_heads(self, made):
        run, _, _ = made
        start = build_state(run.config, CPU).model
        for name in ("G_AB", "D_B", "heads"):
            pairs = zip(
                getattr(run.model, name).parameters(),
                getattr(start, name).parameters(),
                strict=True,
            )
            moved = [not torch.equal(*pair) for pair in pairs]
            frozen = {id(bias) for bias in dead_biases(run.model)}
            trained = [id(p) not in frozen for p in getattr(run.model, name).parameters()]
            assert moved == trained, name

    def test_without_identity_there_is_one_term_less(self, config):
        run = run_it(replace(config, lambda_nce_identity=0.0, steps=2))
        assert set(run.record[-1]) == {"step", "seconds", "G_AB", "nce_A", "D_B"}

    def test_the_grid_shows_one_way(self, made):
        run, _, grids = made
        grid = grids[-1]  # 24 px cells with 2 px between them
        assert grid.shape[1:] == (2 * 26 + 2, 3 * 26 + 2)
        again = samples.sample_grid(run.generators, run.source, CPU)
        assert torch.equal(grid, again)
        first = again[:, 2:26, 2:26]
        with torch.no_grad():
            assert torch.allclose(again[:, 28:52, 2:26], run.generators["G_AB"](first[None])[0])

    def test_measures_have_one_direction(self, made):
        run, _, _ = made
        assert set(run.measures[-1]) == {"step", "seconds", "distance_AB"}
        assert samples.score(run.measures[-1], "distance") == run.measures[-1]["distance_AB"]

    def test_average_is_that_of_the_one_generator(self, config):
        run = run_it(replace(config, ema=0.75, steps=3))
        assert list(run.generators) == ["G_AB"]
        name = "layers.1.weight"
        state, seen = build_state(replace(config, steps=3), CPU), []
        step = FastStep(state, config)
        for number, row in enumerate(run.record):  # the same steps once more
            assert row["step"] == number + 1
            state.set_learning_rate(config.lr * learning_rate_factor(number / 3))
            step(*batches_for(run.source, config.size, 1, config.seed, CPU)(number))
            state.step += 1
            seen.append(state.model.G_AB.get_parameter(name).detach().clone())
        last = run.model.G_AB.get_parameter(name)
        torch.testing.assert_close(seen[-1], last.detach(), rtol=0, atol=1e-6)
        expected = seen[0]
        for value in seen[1:]:
            expected = 0.75 * expected + 0.25 * value
        found = run.generators["G_AB"].get_parameter(name)
        torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-6)
        assert not torch.equal(found, last)

    def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(self, tmp_path, config):
        straight = run_it(config)
        stopped = run_it(config, tmp_path, watchers=[StopAfter(3)])
        assert stopped.steps == 3
        resumed = run_it(config, tmp_path, resume=True)
        assert_same_weights(resumed, straight)
        losses_of = [
            [{name: row[name] for name in ("step", *TERMS)} for row in run.record]
            for run in (resumed, straight)
        ]
        assert losses_of[0] == losses_of[1]

    @pytest.mark.parametrize("changes", [{}, {"pool_size": 2, "ema": 0.9}])
    def test_a_run_that_died_in_a_step_goes_on_from_its_checkpoint(
        self, tmp_path, config, changes, monkeypatch
    ):
        config = replace(config, **changes)
        straight = run_it(config)
        real = FastStep.__call__

        def dies(self, *arguments):
            if self.state.step == 4:
                raise KeyError("the machine fell over")
            return real(self, *arguments)

        monkeypatch.setattr(FastStep, "__call__", dies)
        with pytest.raises(KeyError, match="fell over"):
            run_it(config, tmp_path)
        monkeypatch.setattr(FastStep, "__call__", real)
        resumed = run_it(config, tmp_path, resume=True)
        assert_same_weights(resumed, straight)
        for name, net in straight.generators.items():
            for key, value in net.state_dict().items():
                assert torch.equal(resumed.generators[name].state_dict()[key], value)

    def test_a_run_of_one_method_is_not_resumed_with_the_other(self, tmp_path, config):
        run_it(replace(config, steps=1), tmp_path)
        with pytest.raises(CourseError, match="method"):
            run_it(replace(config, method="cyclegan"), tmp_path, resume=True)


class TestFolder:
    def test_readme_names_every_file_and_column_and_no_way_back(self, made):
        _, folder, _ = made
        text = (folder / "README.md").read_text()
        assert text.startswith("# A CUT run on noise")
        for entry in folder.iterdir():
            assert f"`{entry.name}" in text or entry.name == "README.md"
        for table in ("losses.csv", "metrics.csv"):
            with (folder / table).open(newline="") as stream:
                columns = next(csv.reader(stream))
            for column in columns[2:]:
                assert f"`{column}`" in text
        for absent in ("G_BA", "D_A", "cycle_", "reconstruction", '"BA"', "idt_"):
            assert absent not in text

    def test_readme_leaves_out_the_term_that_is_off(self, made):
        run, _, _ = made
        assert "nce_B" not in run_folder.readme(replace(run.config, lambda_nce_identity=0.0), "x")

    def test_its_python_runs(self, made, monkeypatch):
        _, folder, _ = made
        monkeypatch.chdir(folder.parent)
        (code,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
        names = {"picture": Image.new("RGB", (40, 36))}
        exec(code, names)
        assert names["run"].finished
        assert names["translation"].size == (40, 36)

    def test_settings_and_card_name_the_method(self, made):
        run, folder, _ = made
        assert load_config(folder) == run.config
        card = json.loads((folder / "generator" / "noise.json").read_text())
        assert card["trained"]["config"]["method"] == "cut"
        assert card["trained"]["steps"] == 3
        for place in (folder, folder / "best"):
            found = sorted(file.name for file in (place / "generator").iterdir())
            assert found == ["noise.json", "noise_AB.safetensors"]

    def test_one_direction_translates_and_the_other_says_why_not(self, made):
        run, folder, _ = made
        picture = Image.fromarray(run.source.test_A[0])
        assert load_translator(folder)(picture).size == picture.size
        with pytest.raises(CourseError, match="CUT trains no"):
            load_translator(folder, "BA")

    def test_a_generator_of_an_older_pair_goes(self, made, tmp_path):
        run, _, _ = made
        net, card = run.generators["G_AB"], {"generator": run.config.generator_shape}
        save_generator(tmp_path, "x", net, net, card)
        save_generator(tmp_path, "x", net, None, card)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["x.json", "x_AB.safetensors"]


# Its commands ------------------------------------------------------------------------------------


class TestCommands:
    def test_train_translate_evaluate_and_export(self, data, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        tiny = "--size 24 --blocks 1 --ngf 2 --ndf 2 --layers 1 --edge-kernel 3 --steps 2"
        options = [*shlex.split(tiny), "--method", "cut", "--patches", "20", "--name", "noise"]
        assert main(["train", "--data", str(data), "--out", "run", *options]) == 0
        assert load_config(tmp_path / "run").method == "cut"
        capsys.readouterr()

        picture = data / "testA" / "0.png"
        assert main(["translate", str(picture), "--to", "run"]) == 0
        (result,) = (tmp_path / "translated").iterdir()
        assert Image.open(result).size == Image.open(picture).size
        assert main(["translate", str(picture), "--to", "run:reverse"]) == 1
        assert "CUT trains no other" in capsys.readouterr().err

        assert main(["evaluate", "run", "--count", "3", "--size", "24"]) == 0
        rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())["rows"]
        assert {row["direction"] for row in rows} == {"noise A to B"}
        assert {"untouched", "Reinhard", "last"} <= {row["method"] for row in rows}
        (last,) = [row for row in rows if row["method"] == "last"]
        assert last["reconstruction"] is None
        assert "A to B" in capsys.readouterr().out

        assert main(["export", "run", "--out", "onnx"]) == 0
        (file,) = (tmp_path / "onnx").glob("*.onnx")  # the command compares it with torch
        assert OnnxTranslator(file).metadata["direction"] == "AB"
        capsys.readouterr()
        assert main(["export", "run", "--direction", "both", "--out", "more"]) == 1
        assert "CUT trains no other" in capsys.readouterr().err

    def test_a_resumed_run_keeps_its_method(self, made, capsys):
        _, folder, _ = made
        assert main(["train", "--resume", str(folder), "--method", "cyclegan"]) == 1
        assert "leave out method" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"lambda_nce": 10.0, "lambda_nce_identity": 0.0, "patches": 64},
            {"pool_size": 50, "adversarial": "hinge", "ema": 0.999},
        ],
    )
    def test_the_command_of_a_configuration_gives_it_back(self, changes, monkeypatch):
        config = preset("small", steps=7, method="cut", **changes)
        seen = []

        def stand_in(config, folder, **options):
            seen.append(config)
            raise CourseError("that is enough")

        monkeypatch.setattr(train_command, "train", stand_in)
        command = train_command.command_for(config)
        assert "--method cut" in command
        assert main(shlex.split(command)[1:]) == 1
        assert seen == [config]

    def test_both_methods_in_one_table(self, made, data, tmp_path):
        run, folder, _ = made
        other = replace(run.config, method="cyclegan", pool_size=3, measure_every=1e9)
        run_it(other, tmp_path / "cycle")
        rows = compare(
            [str(folder), str(tmp_path / "cycle")], count=3, size=24, features="none"
        ).rows
        by_way = {
            way: {row.method for row in rows if row.direction.endswith(way)}
            for way in ("A to B", "B to A")
        }
        assert {"my run, last", "my run, best", "cycle, last"} <= by_way["A to B"]
        assert not any(method.startswith("my run") for method in by_way["B to A"])
        assert "cycle, last" in by_way["B to A"]

    def test_outside_its_run_the_card_says_what_it_is(self, made, tmp_path):
        run, folder, _ = made
        card = json.loads((folder / "generator" / "noise.json").read_text())
        save_generator(tmp_path, "noise", run.generators["G_AB"], None, card)
        (one,) = contenders(str(tmp_path))
        assert (one.kind, one.G_BA, list(one.sums)) == ("CUT", None, ["AB"])
        last, best = contenders(str(folder))
        assert (last.kind, best.kind, last.G_BA) == ("last", "best", None)


class TestConfig:
    def test_cut_needs_no_pool_unless_one_is_asked_for(self):
        assert Config(method="cut", steps=1).pool_size == 0
        assert Config(steps=1).pool_size == 50
        assert Config(method="cut", steps=1, pool_size=7).pool_size == 7
        state = build_state(Config(method="cut", steps=1, pool_size=7), CPU)
        assert (len(state.pool_A.pictures), len(state.pool_B.pictures)) == (0, 7)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"method": "cut", "best": "reconstruction"}, "no way back"),
            ({"method": "pix2pix"}, "Unknown method 'pix2pix'; choose one of cyclegan, cut"),
            ({"method": "cut", "patches": 0}, "patches must be larger than 0"),
        ],
    )
    def test_mistakes_get_a_sentence(self, changes, words):
        with pytest.raises(CourseError, match=words) as caught:
            Config(steps=1, **changes)
        assert len(str(caught.value).splitlines()) == 1


# What is shown of it -----------------------------------------------------------------------------


def rows(count=3):
    return [
        {"step": step, "seconds": float(step)} | {name: 0.5 + 1 / step for name in TERMS}
        for step in range(1, count + 1)
    ]


class TestFigures:
    def test_a_run_at_a_glance(self):
        measures = [{"step": s, "seconds": 1.0, "distance_AB": 0.3 / s} for s in (1, 3)]
        figure = plots.run_figure(rows(), measures, torch.zeros(3, 62, 32))
        grid, *panels = figure.axes
        assert [label.get_text() for label in grid.get_yticklabels()] == ["A", "A to B"]
        labels = {line.get_label() for panel in panels for line in panel.get_lines()}
        assert labels >= {*TERMS, "distance_AB"}
        assert not labels & {"G_BA", "cycle_A", "distance_BA"}
        assert any("patches" in panel.get_title() for panel in panels)
        assert not any("cycle" in panel.get_title() for panel in panels)
        plots.figure_bytes(figure)

    def test_curves_of_a_folder(self, made):
        run, folder, _ = made
        curves = plots.loss_curves(folder / "losses.csv")
        names = {line.get_label() for axis in curves.axes for line in axis.get_lines()}
        assert names >= set(TERMS)
        (axis,) = plots.measure_curves(folder / "metrics.csv").axes
        (line,) = axis.get_lines()
        expected = [row["distance_AB"] for row in run.measures]
        assert np.allclose(line.get_ydata(), expected)

    def test_a_line_for_the_log(self):
        row = {"step": 8, "G_AB": 0.3, "nce_A": 1.25, "nce_B": 1.5, "D_B": 0.2}
        assert summary(row, 20.0) == "step 8, 20.0 images/s, G 0.30, patches 2.75, D 0.20"

    def test_the_dashboard_in_words(self):
        board = Dashboard()
        board.begin("noise", 0.0)
        for row in rows():
            board.losses(row, 0.5, 20.0)
        board.samples(torch.zeros(3, 62, 32), 3)
        words = board._words()
        assert "in rows: A, A to B. " in words
        assert "and back" not in words
        assert "nce_A" in words
