"""The loss-curve clinic: the step that records, the rules, the stored runs, the figures."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from cyclegan_course.cyclegan import Objective, generator_losses, training_step
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory import clinic, clinic_results
from cyclegan_course.laboratory.recipe import train
from cyclegan_course.plots.clinic import ROWS, Answer, clinic_curves, folded_answers

QUIET = dict.fromkeys(("G_AB", "G_BA", "D_A", "D_B"), 0.25) | dict.fromkeys(
    ("cycle_A", "cycle_B", "idt_A", "idt_B"), 0.08
)


def drawn(count: int = 80, **changed: list[float] | float) -> list[dict[str, float]]:
    """A record of `QUIET` terms, some of them changed: a number, or a value for each quarter."""
    rows = []
    for i in range(count):
        now = {
            name: value[4 * i // count] if isinstance(value, list) else value
            for name, value in changed.items()
        }
        rows.append({"step": i + 1} | QUIET | now)
    return rows


SYNTHETIC = {
    "healthy": {},
    "discriminators_win": {"G_BA": [0.3, 0.3, 0.6, 0.9], "D_A": [0.25, 0.2, 0.1, 0.02]},
    "private_code": {"G_AB": 1.0, "D_B": 0.0, "idt_A": 0.5},
    "lost_input": {"cycle_A": 0.3, "cycle_B": 0.3},
    "rate_too_high": {"D_B": [9.0, 0.3, 0.25, 0.25]},
    "bad_schedule": {"cycle_A": [0.2, 0.1, 0.08, 0.4], "G_AB": [0.3, 0.3, 0.3, 50.0]},
}


def mirrored(record: list[dict[str, float]]) -> list[dict[str, float]]:
    """The same run with A and B exchanged."""
    other = {name: name.translate(str.maketrans("AB", "BA")) for name in clinic.TERMS}
    return [{"step": row["step"]} | {other[n]: row[n] for n in clinic.TERMS} for row in record]


def two_models(**changes):
    """The records and weights of 3 steps, as they are weighted and as the clinic records them."""
    recipe = replace(clinic.PATIENTS["healthy"].recipe(1), steps=3, scenes=4, size=16, **changes)
    return train(recipe), train(replace(recipe, step=training_step))


@pytest.mark.parametrize("objective", [Objective(), Objective(100.0, 0.0), Objective(0.0, 3.0)])
def test_plain_terms_train_like_the_usual_step(objective):
    plain, usual = two_models(objective=objective)
    for one, other in zip(plain.model.parameters(), usual.model.parameters(), strict=True):
        # Weighted in another order, so alike up to rounding; Adam's first steps enlarge it.
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_plain_terms_are_the_terms_before_their_weights():
    plain, usual = two_models(objective=Objective(20.0, 4.0))
    weights = {"cycle": 20.0, "idt": 4.0}
    assert set(plain.record[0]) == {"step", *clinic.TERMS}
    for name in clinic.TERMS:
        weight = weights.get(name.split("_")[0], 1.0)
        first, as_trained = plain.record[0][name], usual.record[0][name]
        assert weight * first == pytest.approx(as_trained, rel=1e-5), name


def test_a_term_of_weight_0_is_recorded_and_trains_nothing():
    model = train(replace(clinic.PATIENTS["lost_input"].recipe(1), steps=1, scenes=4, size=16))
    row = model.record[0]
    assert row["cycle_A"] > 0.01
    assert row["idt_B"] > 0.01

    images = torch.rand(2, 3, 16, 16) * 2 - 1
    none = Objective(0.0, 0.0)
    before = generator_losses(model.model, images, images, none)[0]
    assert before["cycle_A"] == 0
    assert "idt_A" not in before


def test_each_patient_differs_from_the_healthy_one_only_as_it_says():
    healthy = clinic.PATIENTS["healthy"].recipe(3)
    for name, patient in clinic.PATIENTS.items():
        assert patient.name == name
        sick = patient.recipe(3)
        assert replace(healthy, **patient.changes) == sick
        assert (sick == healthy) == (name == "healthy")
        assert sick.seed == 3
        assert patient.sign.endswith(".")
        assert patient.treatment.endswith(".")


def test_the_letters_are_the_patients_in_another_order():
    assert sorted(clinic.LETTERS) == list("ABCDEF")
    assert sorted(clinic.LETTERS.values()) == sorted(clinic.PATIENTS)
    assert list(clinic.LETTERS.values()) != list(clinic.PATIENTS)


def test_thinned_keeps_the_means():
    record = [{"step": i + 1} | QUIET | {"G_AB": float(i)} for i in range(10)]
    thin = clinic.thinned(record, 4)
    assert [row["step"] for row in thin] == [4, 8, 10]
    assert [row["G_AB"] for row in thin] == [1.5, 5.5, 8.5]
    assert thin[0]["D_A"] == pytest.approx(0.25)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_diagnose_knows_drawn_curves(name):
    assert clinic.diagnose(drawn(**SYNTHETIC[name])) == name


@pytest.mark.parametrize("name", SYNTHETIC)
def test_diagnose_does_not_care_which_domain_is_called_A(name):
    assert clinic.diagnose(mirrored(drawn(**SYNTHETIC[name]))) == name


@pytest.mark.parametrize("count", [4, 7, 81, 320])
def test_diagnose_takes_records_of_any_length(count):
    for name, changed in SYNTHETIC.items():
        if count >= 80:
            assert clinic.diagnose(drawn(count, **changed)) == name
    assert clinic.diagnose(drawn(count)) == "healthy"


def test_high_first_steps_alone_are_no_illness():
    record = drawn(320)
    for row in record[:8]:
        row.update(D_A=8.0, D_B=8.0, G_AB=8.0, cycle_A=0.9)
    assert clinic.diagnose(record) == "healthy"


def test_a_run_that_is_not_finite_is_ill():
    assert clinic.diagnose(drawn(D_A=math.nan)) == "rate_too_high"
    late = drawn(cycle_B=[0.2, 0.1, 0.1, math.nan])
    assert clinic.diagnose(late) == "bad_schedule"
    assert clinic.diagnose(drawn(G_AB=math.inf, D_B=math.inf)) == "rate_too_high"


def test_too_short_a_record_is_refused():
    with pytest.raises(CourseError, match="3 steps is too short"):
        clinic.diagnose(drawn(3))


# --- the stored runs


def test_every_patient_is_stored_with_three_seeds():
    curves, scores = clinic_results.stored_curves(), clinic_results.stored_scores()
    wanted = {(name, seed) for name in clinic.PATIENTS for seed in (1, 2, 3)}
    assert set(curves) == wanted
    assert sorted((row["patient"], row["seed"], row["direction"]) for row in scores) == sorted(
        (*key, direction) for key in wanted for direction in ("A to B", "B to A")
    )
    for (name, seed), record in curves.items():
        assert [row["step"] for row in record] == list(range(4, 321, 4)), (name, seed)
        assert len(record) <= 160


def test_the_rules_find_the_illness_of_every_stored_run():
    for (name, seed), record in clinic_results.stored_curves().items():
        assert clinic.diagnose(record) == name, (name, seed)


def test_a_little_noise_on_the_stored_curves_changes_no_diagnosis():
    generator = torch.Generator().manual_seed(0)
    for (name, seed), record in clinic_results.stored_curves().items():
        for _ in range(5):
            factors = torch.empty(len(record), len(clinic.TERMS)).uniform_(
                0.8, 1.2, generator=generator
            )
            noisy = [
                {n: row[n] * f for n, f in zip(clinic.TERMS, many, strict=True)}
                for row, many in zip(record, factors.tolist(), strict=True)
            ]
            assert clinic.diagnose(noisy) == name, (name, seed)


def test_the_adversarial_terms_do_not_tell_collapse_from_health():
    def late(name: str) -> list[float]:
        rows = clinic_results.stored_curves()[name, 1][-20:]
        return [sum(row[t] for row in rows) / 20 for t in ("G_AB", "G_BA", "D_A", "D_B")]

    for value in late("healthy") + late("lost_input"):
        assert abs(value - 0.25) < 0.06


def test_the_sealed_scores_agree_with_the_diagnoses():
    rows = clinic_results.stored_scores()

    def score(name: str, measure: str, direction: str) -> float:
        return clinic_results.mean_score(rows, name, measure, direction)

    for direction in ("A to B", "B to A"):
        healthy = score("healthy", "distance", direction)
        for name in clinic.PATIENTS:
            if name != "healthy":
                assert score(name, "distance", direction) > healthy
        # The private code: as good a reconstruction as the healthy one, and a worse translation.
        code = score("private_code", "reconstruction", direction)
        assert code < 1.5 * score("healthy", "reconstruction", direction)
        assert score("private_code", "psnr", direction) < score("healthy", "psnr", direction) - 0.5


def test_the_seed_decides_which_private_code_is_found():
    found = [
        row["psnr"]
        for row in clinic_results.stored_scores()
        if (row["patient"], row["direction"]) == ("private_code", "B to A")
    ]
    assert min(found) < 10
    assert max(found) > 18


def test_what_is_stored_is_small_and_holds_no_path():
    files = list(clinic_results.FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) < 400_000
    text = "".join(f.read_text(encoding="utf-8") for f in files if f.suffix != ".png")
    assert not re.search(r"/(home|work|tmp|root)\b", text)


def test_pictures_are_two_rows_of_scenes():
    width = clinic.SIZE * len(clinic_results.SHOWN)
    for name in clinic.PATIENTS:
        assert clinic_results.pictures(name).size == (width, 2 * clinic.SIZE)
    given = clinic_results.given()
    assert given.size == (width, 2 * clinic.SIZE)
    day, night = (given.crop((0, top, width, top + clinic.SIZE)) for top in (0, clinic.SIZE))
    assert sum(day.convert("L").histogram()[128:]) > 2 * sum(night.convert("L").histogram()[128:])


def test_missing_runs_are_one_sentence(tmp_path: Path):
    with pytest.raises(CourseError, match=r"no stored runs curves\.csv .* benchmarks/clinic\.py"):
        clinic_results.stored_curves(tmp_path)
    with pytest.raises(CourseError, match=r"no stored runs scores\.csv"):
        clinic_results.stored_scores(tmp_path)


# --- the figures


def test_all_panels_of_a_row_share_their_axes():
    figure = clinic_curves({"A": drawn(), "B": drawn(G_AB=1.0), "C": drawn(cycle_A=0.3)})
    assert len(figure.axes) == 6
    tops = [axis.get_ylim() for axis in figure.axes]
    assert tops == [(0, 1.3)] * 3 + [(0, 0.8)] * 3
    assert [axis.get_title() for axis in figure.axes] == ["A", "B", "C", "", "", ""]


def test_the_lines_are_the_terms():
    levels = {name: 0.05 * (i + 1) for i, name in enumerate(clinic.TERMS)}
    figure = clinic_curves({"A": drawn(**levels)})
    found = [
        line.get_ydata()[-1]
        for axis in figure.axes
        for line in axis.lines
        if len(line.get_ydata()) == 80
    ]
    assert sorted(found) == pytest.approx(sorted(levels.values()))
    assert len(clinic_curves({"A": drawn()}, list(ROWS)[:1]).axes) == 1


def test_a_curve_that_leaves_the_panel_is_marked():
    def marks(record):
        return [
            line.get_xdata()[0]
            for axis in clinic_curves({"A": record}).axes
            for line in axis.lines
            if line.get_marker() == "^"
        ]

    assert marks(drawn()) == []
    assert len(marks(drawn(G_AB=[0.3, 0.3, 0.3, 50.0]))) == 1
    assert marks(drawn(G_AB=[0.3, 0.3, 0.3, 50.0]))[0] > 60
    assert len(marks(drawn(G_AB=[0.3, 0.3, 0.3, math.nan]))) == 1


def test_a_run_behind_is_grey():
    plain, both = (clinic_curves({"A": drawn()}, behind=b) for b in (None, drawn(G_AB=0.9)))
    assert len(both.axes[0].lines) == len(plain.axes[0].lines) + 4
    assert both.axes[0].lines[0].get_ydata()[-1] == pytest.approx(0.9)
    assert both.axes[0].lines[0].get_color() == "#888888"


def test_no_run_is_refused():
    with pytest.raises(CourseError, match="no run"):
        clinic_curves({})


def test_answers_are_folded_and_safe():
    picture = Image.new("RGB", (10, 4), "red")
    answer = Answer("A. <ill>", picture, ["1 dB & 2"], "It climbs.", "Rest.")
    html = folded_answers([answer, answer], picture, "Open")
    assert html.startswith("<details><summary>Open</summary>")
    assert html.endswith("</details>")
    assert "A. &lt;ill&gt;" in html
    assert "1 dB &amp; 2" in html
    assert html.count('src="data:image/jpeg;base64,') == 3
    assert html.count('alt="') == 3
    assert html.count("<div") == html.count("</div>") == 3
