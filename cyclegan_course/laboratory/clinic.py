"""The loss-curve clinic of chapter 8: six short trainings, five of them ill.

`PATIENTS` says what each illness is and how to give it to a training; `LETTERS` is the order in
which the learner meets them; `diagnose` finds an illness from the curves alone. The stored runs
are in `clinic_results`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from torch import Tensor

from cyclegan_course.cyclegan import (
    CycleGAN,
    Objective,
    Translations,
    generator_losses,
    training_step,
)
from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.bugs.schedules import below_zero
from cyclegan_course.laboratory.recipe import Recipe

SIZE = 32  # pixels; smaller than the minute of chapter 5, so that 18 runs do not take long
TERMS = ("G_AB", "G_BA", "D_A", "D_B", "cycle_A", "cycle_B", "idt_A", "idt_B")
Record = Sequence[Mapping[str, float]]


def plain_terms(model: CycleGAN, real_A: Tensor, real_B: Tensor, *others: Any) -> dict[str, Tensor]:
    """The training step, with every term in its record as it is before it is weighted.

    The training is that of `cyclegan.training_step`, and so are the arguments. But with other
    weights the curves of two runs could not be compared, and a term of weight 0 would have none.
    """
    plain: dict[str, Tensor] = {}

    def form(
        model: CycleGAN, real_A: Tensor, real_B: Tensor, objective: Objective
    ) -> tuple[dict[str, Tensor], Translations]:
        ones = replace(objective, lambda_cycle=1.0, lambda_identity=1.0)
        terms, made = generator_losses(model, real_A, real_B, ones)
        plain.update({name: term.detach() for name, term in terms.items()})
        weights = {"cycle": objective.lambda_cycle, "idt": objective.lambda_identity}
        return {n: weights.get(n.split("_")[0], 1.0) * term for n, term in terms.items()}, made

    return training_step(model, real_A, real_B, *others, generator_losses=form) | plain


@dataclass(frozen=True)
class Patient:
    """An illness of a training, and how to give it to one.

    Attributes:
        name: key in `PATIENTS`.
        diagnosis: in a few words.
        changes: fields of `Recipe` that differ from the healthy run.
        sign: what in the curves says so.
        treatment: what to do.
    """

    name: str
    diagnosis: str
    changes: dict[str, Any]
    sign: str
    treatment: str

    def recipe(self, seed: int) -> Recipe:
        """A fresh training with this illness: the minute of chapter 5, at `SIZE` pixels."""
        return replace(Recipe(seed=seed, size=SIZE, step=plain_terms), **self.changes)


HEALTHY = "healthy"
PATIENTS: dict[str, Patient] = {
    patient.name: patient
    for patient in (
        Patient(
            HEALTHY,
            "healthy",
            {},
            "G and D settle at the level of guessing, and cycle and identity fall together.",
            "None. Train longer.",
        ),
        Patient(
            "discriminators_win",
            "the discriminators win",
            {"learning_rate": 1e-4, "factor_D": 20.0},
            "D goes to 0 and G back up to 1 in one direction at least, while cycle and identity "
            "look healthy. The generator no longer learns how the other domain looks.",
            "The discriminators learn 20 times as fast as the generators here. Give both sides "
            "one learning rate, or the discriminators less: a smaller network, an image pool.",
        ),
        Patient(
            "lost_input",
            "collapse: the generators lose their input",
            {
                "learning_rate": 5e-3,
                "factor_D": 0.04,
                "pool_size": 0,
                "objective": Objective(0.0, 0.0),
            },
            "G and D are at the level of guessing, as in the healthy run. But cycle and identity "
            "stay high: the way back does not find the scene.",
            "The generators run after discriminators that are 25 times slower, and nothing holds "
            "them to their input. Put back the cycle, and one learning rate for both sides.",
        ),
        Patient(
            "private_code",
            "a private code: perfect reconstruction, wrong translation",
            {"objective": Objective(1000.0, 0.0)},
            "D goes to 0 and G to 1, as where the discriminators win, and cycle is as good as in "
            "the healthy run. But identity stays above cycle: the partner can read what it "
            "is sent, and it is no picture of the other domain. Which code, the first weights "
            "decide: compare the seeds.",
            "lambda_cycle is 1000, and there is no identity term. Put back 10 and 5, so that the "
            "adversarial terms have a say.",
        ),
        Patient(
            "rate_too_high",
            "the learning rate is too high",
            {"learning_rate": 2e-2},
            "G and D shoot up again and again in the first half, far out of the panel, and cycle "
            "jumps with them.",
            "The learning rate is ten times that of the healthy run. Divide it by 3 until the "
            "first steps are quiet.",
        ),
        Patient(
            "bad_schedule",
            "the schedule has a fault",
            {"schedule": below_zero},
            "Healthy for a long time, and then everything climbs at once, at one step.",
            "Look at what the code does at that step. Here the learning rate runs below 0, so "
            "every step goes uphill. Plot the schedule before you train, and stop it at 0.",
        ),
    )
}


def thinned(record: Record, every: int) -> list[dict[str, float]]:
    """Means over `every` steps each; `step` is the last one of each group."""
    groups = [record[i : i + every] for i in range(0, len(record), every)]
    return [
        {"step": group[-1]["step"]} | {n: mean(row[n] for row in group) for n in TERMS}
        for group in groups
    ]


def diagnose(record: Record) -> str:
    """The illness of a run, from the means of its terms over parts of the run.

    In this order, "worst" being the larger of the two directions and G, D, cycle, idt the terms:

    1. worst D above 1 in the first half: "rate_too_high"
    2. cycle in the last quarter above 1.5 times that of the quarter before: "bad_schedule"
    3. in the last quarter G above 0.6 and D below 0.1 in one direction: the discriminators win.
       With idt above 1.25 times the cycle "private_code", otherwise "discriminators_win"
    4. cycle in the last quarter above 0.17: "lost_input"
    5. otherwise "healthy"

    The thresholds are for LSGAN and for terms without their weights, on pictures in [-1, 1].

    Args:
        record: rows in order, each with the `TERMS`.

    Raises:
        CourseError: for fewer than four rows.
    """
    if len(record) < 4:
        raise CourseError(f"A record of {len(record)} steps is too short for a diagnosis: give 4.")
    half, quarter = len(record) // 2, len(record) // 4
    start, before, end = record[:half], record[-2 * quarter : -quarter], record[-quarter:]

    # "not below" and not "above", so that a term that is not a number counts as ill.
    if not max(_mean(start, "D_A"), _mean(start, "D_B")) <= 1:
        return "rate_too_high"
    cycle = _mean(end, "cycle_A", "cycle_B")
    if not cycle <= 1.5 * _mean(before, "cycle_A", "cycle_B"):
        return "bad_schedule"
    if any(
        _mean(end, G) > 0.6 and _mean(end, D) < 0.1 for G, D in (("G_AB", "D_B"), ("G_BA", "D_A"))
    ):
        identity = _mean(end, "idt_A", "idt_B")
        return "private_code" if identity > 1.25 * cycle else "discriminators_win"
    return "lost_input" if cycle > 0.17 else HEALTHY


def _mean(rows: Record, *names: str) -> float:
    return mean(row[name] for row in rows for name in names)


# The order in which the learner meets the patients.
LETTERS = {
    "A": "lost_input",
    "B": "bad_schedule",
    "C": HEALTHY,
    "D": "private_code",
    "E": "rate_too_high",
    "F": "discriminators_win",
}
