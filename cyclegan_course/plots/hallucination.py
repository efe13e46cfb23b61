"""Figures of the hallucination: rates by imbalance, evidence of each scene, and the pictures."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cyclegan_course.laboratory.hallucination import SHARE_A, THRESHOLD
from cyclegan_course.laboratory.hallucination_results import interval, rates
from cyclegan_course.plots.hidden_message import picture_table
from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE

COLOURS = {"hallucinated": ORANGE, "vanished": BLUE}
METHODS = {"cyclegan": "CycleGAN", "cut": "CUT"}


def rates_figure(rows: Sequence[Mapping], words: Mapping[str, str]) -> Figure:
    """Share of translations that are wrong about the moon, against its share in domain B.

    A panel for each stored method. A dot is a seed, a line the mean, a bar its 95 % interval;
    between the two rates the balanced case is marked.

    Args:
        rows: the stored rows.
        words: what "hallucinated" and "vanished" mean, for the legend.
    """
    methods = [method for method in METHODS if any(row["method"] == method for row in rows)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 3.4 * len(methods), 3.7), layout="constrained")
        axes = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axis, method in zip(axes, methods, strict=True):
            found = rates(rows, method)
            shares = 100 * np.array(list(found))
            for shift, (what, colour) in zip((-1.2, 1.2), COLOURS.items(), strict=True):
                ends = [interval(of_seeds, what) for of_seeds in found.values()]
                means = 100 * np.array([end.value for end in ends])
                axis.plot(shares + shift, means, color=colour, label=words[what])
                for at, of_seeds, end in zip(shares + shift, found.values(), ends, strict=True):
                    if end.low is not None:
                        low, high = 100 * max(0, end.low), 100 * min(1, end.high)
                        axis.plot((at, at), (low, high), color=colour, linewidth=1.4, alpha=0.7)
                    dots = [100 * rate[what] for rate in of_seeds.values()]
                    axis.scatter([at] * len(dots), dots, color=colour, s=22, zorder=3)
            axis.axvline(100 * SHARE_A, color=GREY, linestyle=":", linewidth=1.2)
            axis.text(100 * SHARE_A, 104, "balanced", color=DARK, ha="center", fontsize=9)
            axis.set(title=METHODS[method], ylim=(-4, 112), xticks=shares)
            axis.set_xlabel("nights of domain B with a moon, %")
        axes[0].set_ylabel("wrong translations, %")
        entries = axes[0].get_legend_handles_labels()
        figure.legend(*entries, loc="outside upper center", ncols=min(2, len(methods)))
    return figure


def evidence_figure(rows: Sequence[Mapping], method: str, words: Sequence[str]) -> Figure:
    """What each translation shows: the evidence of every scene, a panel for each share of B.

    Args:
        words: for a day without the sun, and for one with it.
    """
    chosen = [row for row in rows if row["method"] == method]
    shares = sorted({row["share_B"] for row in chosen})
    kinds = zip((0, 1), words, (ORANGE, BLUE), strict=True)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(shares), 3.1), layout="constrained")
        axes = figure.subplots(1, len(shares), sharey=True, sharex=True, squeeze=False)[0]
        edges = np.linspace(-1, 2, 31)
        for present, word, colour in kinds:
            for axis, share in zip(axes, shares, strict=True):
                values = [
                    row["evidence"]
                    for row in chosen
                    if (row["share_B"], row["present"]) == (share, present)
                ]
                axis.hist(np.clip(values, -1, 2), edges, color=colour, alpha=0.6, label=word)
        for axis, share in zip(axes, shares, strict=True):
            axis.axvline(THRESHOLD, color=DARK, linestyle=":", linewidth=1.2)
            axis.set(title=f"moon in {100 * share:.0f} % of B", xlabel="evidence of a moon")
        axes[0].set_ylabel("translations")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def strips_figure(
    strips: Mapping[float, np.ndarray], words: tuple[str, str], scenes: Sequence[int]
) -> Figure:
    """Sources, translations by the share in B, and truths, of days without and with the sun.

    Args:
        strips: share of B to what `laboratory.hallucination_results.strips` reads.
        words: for a day without the sun, and for one with it.
        scenes: which of the stored ones.
    """
    any_strip = next(iter(strips.values()))
    chosen = list(scenes)
    rows = {}
    for present, word in enumerate(words):
        rows[f"day, {word}"] = any_strip[3 * present][chosen]
        rows[f"truth for {word}"] = any_strip[6 + present][chosen]
        for share, strip in strips.items():
            rows[f"{word}; moon in\n{100 * share:.0f} % of B"] = strip[3 * present + 1][chosen]
    return picture_table(rows, height=0.8)
