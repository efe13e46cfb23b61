"""Stored tables: written as runs end, and no run twice; the comparisons that are made of them."""

import csv
import json
import types

import cut
import pytest
import recipes

from cyclegan_course.laboratory import stored
from cyclegan_course.laboratory.results import Results
from cyclegan_course.laboratory.scores import MEASURES
from cyclegan_course.laboratory.stored import add_rows, has_run, train_and_keep
from cyclegan_course.training import Config

TINY = {"data": "night", "size": 24, "n_blocks": 1, "ngf": 4, "edge_kernel": 3, "ndf": 4}
TINY |= {"n_layers": 1, "steps": 2, "precision": "float32", "compile": "off"}


class TestTable:
    def test_rows_are_appended_under_one_head(self, tmp_path):
        file = tmp_path / "t.csv"
        add_rows(file, [{"name": "a, b", "seed": 1, "psnr": 1.2345678, "kid": None}])
        add_rows(file, [{"name": "c", "seed": 1, "psnr": 2.0, "kid": 3.0}])
        with file.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows[0] == {"name": "a, b", "seed": "1", "psnr": "1.23457", "kid": ""}
        assert rows[1]["name"] == "c"

    def test_a_run_is_found_by_all_of_its_key(self, tmp_path):
        file = tmp_path / "t.csv"
        assert not has_run(file, {"name": "a", "seed": 1})
        add_rows(file, [{"name": "a", "seed": 1, "psnr": 1.0}])
        assert has_run(file, {"name": "a", "seed": 1})
        assert not has_run(file, {"name": "a", "seed": 2})


class TestTrainAndKeep:
    @pytest.mark.parametrize(
        ("method", "directions"), [("cyclegan", ["A to B", "B to A"]), ("cut", ["A to B"])]
    )
    def test_a_run_is_made_once_and_read_again(self, tmp_path, capsys, method, directions):
        file = tmp_path / "cut.csv"
        settings = Config(**TINY, method=method, seed=3)
        run = train_and_keep(file, "one", settings, size=24, count=3, start=7)
        assert run.steps == 2
        assert not run.model.training
        assert train_and_keep(file, "one", settings, size=24, count=3, start=7) is None
        assert "night, one, seed 3" in capsys.readouterr().out
        results = Results("cut", tmp_path)
        assert [row["direction"] for row in results.rows] == directions
        assert set(MEASURES) < results.rows[0].keys()
        assert results.by_seed("one", "psnr")[3] > 0

    def test_a_stopped_run_is_not_kept(self, tmp_path, monkeypatch):
        def stopped(settings, **_):
            return types.SimpleNamespace(finished=False, stopped_by="SIGTERM")

        monkeypatch.setattr(stored, "train", stopped)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            train_and_keep(tmp_path / "t.csv", "one", Config(**TINY), size=24)
        assert not (tmp_path / "t.csv").exists()


class TestCutBenchmark:
    def test_variants_differ_in_what_their_names_say(self):
        found = cut.variants(1.5)
        settings = {name: cut.config(cut.SMALL, **changes) for name, changes in found.items()}
        assert settings["CycleGAN"].method == "cyclegan"
        assert settings["CUT"].steps == settings["CycleGAN"].steps == cut.SMALL["steps"]
        assert settings["CUT, same time"].steps == round(1.5 * cut.SMALL["steps"])
        assert settings["FastCUT without flips"].lambda_nce == 10
        assert {each.generator_shape["ngf"] for each in settings.values()} == {16}

    def test_the_reference_shape_is_the_papers(self):
        settings = cut.config(cut.SHAPES["reference"][0], method="cut")
        assert (settings.size, settings.n_blocks, settings.ngf) == (256, 9, 64)

    def test_what_a_step_keeps_grows_with_the_pictures_and_not_with_the_weights(self):
        def kept(**changes):
            return cut.Stepper(Config(**(TINY | {"size": 48} | changes))).kept_bytes()

        one = kept(batch=1)
        assert one > 48 * 48 * 3 * 4
        assert 1.9 < kept(batch=2) / one < 2.1
        # Twice the width: twice the maps, four times the weights.
        assert kept(ngf=8, ndf=8) / one < 2.1
        assert kept(method="cut", patches=16) < one < kept(method="cut", patches=10_000)

    def test_the_table_says_only_what_the_interval_shows(self, tmp_path):
        rows = [
            dict.fromkeys(MEASURES, 1.0)
            | {"world": "night", "name": name, "seed": seed, "direction": "A to B", "seconds": 1}
            | {"psnr": 20.0 + seed + gain, "distance": 0.1 - 0.01 * (seed == 1) * (gain > 0)}
            for name, gain in (("CycleGAN", 0.0), ("CUT", 2.0))
            for seed in (1, 2, 3)
        ]
        add_rows(tmp_path / "cut.csv", rows)
        text = cut.tables(Results("cut", tmp_path))
        row = next(line for line in text.splitlines() if "| CUT |" in line)
        assert "24.00 (better)" in row
        assert row.count("better") == 1
        assert "worse" not in row


class TestStoredComparison:
    def test_three_seeds_of_every_variant_on_every_world(self):
        results = Results("cut")
        for world in ("painting", "night", "restoration", "superres", "editing"):
            assert set(results.names(world)) == set(cut.variants(1.0))
            for name in results.names(world):
                assert len(results.by_seed(name, "psnr", world=world)) >= 3

    def test_steps_are_those_that_the_record_names(self):
        cost = json.loads((cut.FOLDER / "cut" / "cost.json").read_text())
        longer = cut.variants(cost["small"]["ratio"])["CUT, same time"]["steps"]
        steps = {(row["name"], int(row["steps"])) for row in Results("cut").rows}
        assert ("CUT, same time", longer) in steps
        assert ("CUT", cut.SMALL["steps"]) in steps

    def test_the_middle_learning_rate_is_the_best_for_both_methods(self, tmp_path):
        (tmp_path / "rates.csv").write_text((cut.FOLDER / "cut" / "rates.csv").read_text())
        results = Results("rates", tmp_path)
        for method in cut.METHODS:
            means = {
                rate: sum(
                    results.interval(f"{method}, {rate:g}", "psnr", world=world).value
                    for world in cut.TRIED_ON
                )
                for rate in cut.LEARNING_RATES
            }
            assert max(means, key=means.get) == cut.SMALL["lr"]


class TestRecipes:
    def test_choices_are_measured_on_scenes_of_no_table(self):
        measured = recipes.MEASURED
        assert measured["start"] >= 2 * 64 + 64  # tables take the first scenes

    def test_every_choice_is_stored(self):
        results = Results("recipes")
        for world in recipes.WORLDS:
            assert set(results.names(world)) == set(recipes.CHOICES)
