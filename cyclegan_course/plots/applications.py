"""Applications: what tells two domains apart, one failure, all worlds at a glance."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cyclegan_course.errors import CourseError
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE, bare

Gain = tuple[float, float, float]  # mean, low and high of its interval
LOOKS = (("|", GREY), ("D", GREEN), ("s", PURPLE), ("o", BLUE), ("^", ORANGE))


def telling_apart(
    scores: Mapping[str, float], name: str, a: Sequence[float], b: Sequence[float]
) -> Figure:
    """How well single numbers of a patch tell A from B, and how one of them is distributed.

    Args:
        scores: by statistic, from 0.5 (chance) to 1.
        name: of the statistic on the right.
        a, b: its values in patches of each domain. Where most of them are alike, the counts are
            drawn on a logarithmic axis.
    """
    if name not in scores:
        raise CourseError(f"There is no statistic {name!r}: choose one of {', '.join(scores)}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
        names = list(scores)
        colours = [DARK if each == name else "#bbbbbb" for each in names]
        bars = left.barh(names, [scores[n] - 0.5 for n in names], left=0.5, color=colours)
        left.bar_label(bars, [f" {scores[n]:.2f}" for n in names], color=DARK, fontsize=9)
        left.invert_yaxis()
        left.grid(False, axis="y")
        left.set(xlim=(0.5, 1.08), xticks=[0.5, 0.75, 1.0])
        left.set_xticklabels(["chance", "0.75", "always"])
        left.set_title("one number of a patch: how often right?", fontsize=9)
        edges = np.histogram_bin_edges(np.concatenate([a, b]), bins=40)
        right.hist(a, edges, density=True, color=BLUE, alpha=0.55, label="A")
        right.hist(b, edges, density=True, histtype="step", color=ORANGE, linewidth=1.8, label="B")
        fullest = np.histogram(b, edges)[0].max() / len(b)
        if fullest > 0.5:  # the rest would be too low to be seen
            right.set_yscale("log")
        right.set_yticks([], minor=True)
        right.set_yticks([])
        right.set_title(f"{name}: patches of A and of B", fontsize=9)
        right.legend()
    return figure


def place_in_picture(
    whole: Picture, box: tuple[int, int, int], crops: Mapping[str, Picture], title: str = ""
) -> Figure:
    """A picture with a square marked in it, and the square enlarged, as several methods show it.

    Args:
        whole: the picture.
        box: top, left and side of the square in pixels.
        crops: the square by method.
        title: above the whole picture.
    """
    array = picture_array(whole)
    top, left, side = box
    with matplotlib.rc_context(STYLE | {"axes.titlesize": 9}):
        columns = 1 + len(crops)
        figure = Figure(figsize=(1.45 * columns, 1.75), layout="compressed")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02)
        first, *others = figure.subplots(1, columns, squeeze=False)[0]
        bare(first).imshow(array, interpolation="nearest")
        frame = Rectangle((left - 0.5, top - 0.5), side, side, fill=False, linewidth=3)
        frame.set_edgecolor("white")
        first.add_patch(frame)
        frame = Rectangle((left - 0.5, top - 0.5), side, side, fill=False, linewidth=1.5)
        frame.set_edgecolor(ORANGE)
        first.add_patch(frame)
        first.set_title(title)
        for axis, (name, crop) in zip(others, crops.items(), strict=True):
            bare(axis).imshow(picture_array(crop), interpolation="nearest")
            axis.set_title(name)
    return figure


def at_a_glance(gains: Mapping[str, Mapping[str, Mapping[str, Gain]]]) -> Figure:
    """What each method gains over the untouched input, world by world; right of 0 is better.

    Args:
        gains: title of a panel, such as "PSNR (dB)"; in it the worlds, in each the methods, the
            same and in the same order everywhere, at most five: mean difference to the untouched
            input with the ends of its interval.
    """
    worlds = list(next(iter(gains.values())))
    methods = list(next(iter(next(iter(gains.values())).values())))
    if len(methods) > len(LOOKS):
        raise CourseError(f"There are marks for {len(LOOKS)} methods, not for {len(methods)}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 0.9 + 0.72 * len(worlds)), layout="constrained")
        axes = figure.subplots(1, len(gains), sharey=True, squeeze=False)[0]
        for axis, (title, panel) in zip(axes, gains.items(), strict=True):
            for y, world in enumerate(worlds):
                if y % 2:
                    axis.axhspan(y - 0.5, y + 0.5, color="#f4f4f4", zorder=0)
                for i, (method, (mean, low, high)) in enumerate(panel[world].items()):
                    mark, colour = LOOKS[i]
                    at = y + 0.17 * (i - (len(methods) - 1) / 2)
                    axis.plot([low, high], [at, at], color=colour, linewidth=3, alpha=0.35)
                    label = method if y == 0 else None
                    axis.plot(
                        mean, at, mark, color=colour, label=label, markersize=7, markeredgewidth=1.8
                    )
            axis.axvline(0, color=DARK, linewidth=1)
            axis.set_title(f"{title}, minus untouched")
            axis.set_xlabel("better →", loc="right", fontsize=8, color=GREY)
            axis.grid(False, axis="y")
            axis.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(worlds)), worlds)
        axes[0].set_ylim(len(worlds) - 0.5, -0.5)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(methods), fontsize=9)
    return figure


def near_and_alike(
    points: Mapping[str, Mapping[str, tuple[float, float]]], training: Sequence[str]
) -> Figure:
    """The plane of Blau and Michaeli (2018), a panel a world: best at the lower right.

    Args:
        points: title of a panel; in it, by method, PSNR (dB) and distance to the target domain.
            "truth" has no PSNR: its distance (the second number) is drawn as a line.
        training: the methods that are joined by an arrow, in order.
    """
    with matplotlib.rc_context(STYLE | {"font.size": 9}):
        figure = Figure(figsize=(4.6 * len(points), 3.0), layout="constrained")
        for axis, (title, panel) in zip(
            figure.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True
        ):
            middle = np.mean([across for name, (across, _) in panel.items() if name != "truth"])
            for i, (name, (across, up)) in enumerate(panel.items()):
                if name == "truth":
                    axis.axhline(up, color=DARK, linestyle=":", linewidth=1.2)
                    axis.text(0.01, up, "truth", transform=axis.get_yaxis_transform(), va="bottom")
                    continue
                ours = name in training
                axis.plot(across, up, "o" if ours else "D", color=BLUE if ours else ORANGE)
                right = across > middle  # words lead to the middle, where there is room
                beside = (-7 if right else 7, 5 if i % 2 else -11)
                note = axis.annotate(name, (across, up), beside, textcoords="offset points")
                note.set_horizontalalignment("right" if right else "left")
            path = np.array([panel[name] for name in training if name in panel])
            axis.plot(*path.T, color=BLUE, linewidth=1.2)
            axis.margins(x=0.12, y=0.15)
            axis.set_ylim(bottom=0)
            axis.set(xlabel="PSNR (dB): nearer to this truth →", title=title)
            axis.set_ylabel("← more like the domain: distance")
    return figure
