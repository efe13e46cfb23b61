"""How far the optimizer steps, and how long it remembers."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE

_LINES = ((ORANGE, "--", "o"), (BLUE, "-", "s"))


def learning_rates(
    factor: Callable[[int, int], float], runs: Mapping[str, tuple[int, float, str]]
) -> Figure:
    """The learning rate over a training, a panel for each.

    Args:
        factor: from (step, steps), as in exercise 5.5.
        runs: title, and (number of steps, learning rate at the beginning, word for a step).
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * len(runs), 2.7), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(runs)))
        for axis, (title, (steps, rate, word)) in zip(axes, runs.items(), strict=True):
            at = np.arange(steps + 1)
            rates = np.array([rate * factor(int(step), steps) for step in at])
            axis.plot(at, rates, color=BLUE)
            axis.fill_between(at, rates, color=BLUE, alpha=0.12)
            axis.axvline(steps / 2, color=GREY, linestyle=":")
            axis.text(steps / 2, 0.06 * rate, " half-way", color=DARK, fontsize=9)
            axis.set(xlabel=word, ylabel="learning rate", ylim=(0, 1.15 * rate))
            axis.set_yticks([0, rate / 2, rate], ["0", f"{rate / 2:.0e}", f"{rate:.0e}"])
            axis.set_title(title)
    return figure


def turning(directions: Mapping[float, Sequence[float]], before: int) -> Figure:
    """The direction that Adam takes, around the step at which the gradient turns.

    Args:
        directions: for each beta1, the moves in units of the learning rate, step by step.
        before: number of these steps that lie before the turn.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.0), layout="constrained")
        axis = figure.subplots()
        axis.axhline(0, color=DARK, linewidth=0.8)
        count = len(next(iter(directions.values())))
        at = np.arange(1, count + 1) - before
        wanted = np.where(at <= 0, 1.0, -1.0)
        axis.step(at, wanted, where="mid", color=GREY, linestyle=":", label="the gradient asks for")
        for (beta1, moves), (colour, style, marker) in zip(
            directions.items(), _LINES, strict=False
        ):
            axis.plot(
                at, moves, style, marker=marker, markersize=4, color=colour, label=f"β₁ = {beta1:g}"
            )
        axis.set(xlabel="steps after the turn", ylabel="move / learning rate")
        axis.legend(fontsize=9)
    return figure
