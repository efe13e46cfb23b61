"""The stored experiments of chapter 8: scores with their seeds, paired differences, pictures.

All functions read a `laboratory.results.Results`. A round blue mark is the direction A to B, a
square orange one B to A; where colours mean a verdict, the shapes still tell the directions.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.results import BETTER, Results, verdict
from cyclegan_course.metrics import Interval
from cyclegan_course.plots.pictures import Picture, picture_array
from cyclegan_course.plots.style import BLUE, DARK, GREY, ORANGE, STYLE, bare

LOOKS = {"A to B": ("o", BLUE, -0.17), "B to A": ("s", ORANGE, 0.17)}  # mark, colour, place
TITLES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "l1": "L1",
    "blurred_psnr": "blurred PSNR (dB)",
    "distance": "distance",
    "kid": "KID",
    "correspondence": "correspondence",
    "reconstruction": "there and back",
    "checkerboard": "checkerboard",
}
VERDICTS = {"better": BLUE, "worse": ORANGE, "no difference shown": GREY}


def scores_by_cell(
    results: Results, names: Sequence[str], measures: Sequence[str], *, world: str = "night"
) -> Figure:
    """Each run in a row, each measure in a panel: a dot a seed, a bar for the 95 % interval.

    Every panel is turned so that better lies to the right.

    Args:
        names: of the runs, the reference first: its means are drawn as lines through all rows.
        measures: by the names of `laboratory.scores`.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _panels(names, measures)
        for axis, measure in zip(axes, measures, strict=True):
            for direction, (mark, colour, shift) in LOOKS.items():
                centre = results.interval(names[0], measure, direction, world).value
                axis.axvline(centre, color=colour, linewidth=1, linestyle=":")
                for y, name in enumerate(names):
                    values = list(results.by_seed(name, measure, direction, world).values())
                    found = results.interval(name, measure, direction, world)
                    _bar(axis, found, y + shift, colour)
                    axis.plot([found.value] * 2, [y + shift - 0.13, y + shift + 0.13], color=colour)
                    axis.plot(values, [y + shift] * len(values), mark, color=colour, **_DOT)
            _direction_of(axis, measure)
        _legend(figure, {name: colour for name, (_, colour, _) in LOOKS.items()}, {})
    return figure


def differences(
    results: Results,
    names: Sequence[str],
    base: str,
    measures: Sequence[str],
    *,
    world: str = "night",
) -> Figure:
    """Mean paired difference of each run to `base`, with its 95 % interval and its verdict.

    Blue where the interval says better, orange where it says worse, grey where it holds 0; better
    lies to the right. Where a run has no finite pictures, its row says so.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _panels(names, measures)
        for axis, measure in zip(axes, measures, strict=True):
            axis.axvline(0, color=DARK, linewidth=1)
            for direction, (mark, _, shift) in LOOKS.items():
                for y, name in enumerate(names):
                    found = results.difference(name, base, measure, direction, world)
                    if not np.isfinite(found.value):
                        axis.text(0, y + shift, " failed", va="center", color=ORANGE, fontsize=8)
                        continue
                    colour = VERDICTS.get(verdict(found, measure), GREY)
                    _bar(axis, found, y + shift, colour)
                    axis.plot(found.value, y + shift, mark, color=colour, markersize=6)
            axis.margins(x=0.08)
            _direction_of(axis, measure, f"{TITLES[measure]}, minus {base}")
        _legend(figure, dict.fromkeys(LOOKS, DARK), VERDICTS)
    return figure


def corners(
    results: Results,
    names: Sequence[str],
    inputs: Sequence[Sequence[Picture]],
    truths: Sequence[Sequence[Picture]],
    *,
    scenes: int = 3,
    world: str = "night",
) -> Figure:
    """Pictures of runs, a row each, between the inputs and the truths; A to B left, B to A right.

    Args:
        names: of the runs.
        inputs, truths: for A to B, then for B to A: at least `scenes` pictures each, of the scenes
            that the stored strips show.
    """
    rows = {"input": [list(side[:scenes]) for side in inputs]}
    for name in names:
        rows[name] = [tiles[:scenes] for tiles in strips(results, name, world)]
    rows["truth"] = [list(side[:scenes]) for side in truths]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.0 + 2 * scenes * 1.02, 0.3 + 0.98 * len(rows)))
        figure.set_layout_engine("compressed", w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        grid = figure.subplots(
            len(rows),
            2 * scenes + 1,
            gridspec_kw={"width_ratios": [*[1] * scenes, 0.12, *[1] * scenes]},
        )
        for axes, (name, (left, right)) in zip(grid, rows.items(), strict=True):
            bare(axes[scenes])
            for axis, picture in zip(np.delete(axes, scenes), [*left, *right], strict=True):
                bare(axis).imshow(picture_array(picture), interpolation="nearest")
            axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        grid[0][scenes // 2].set_title("A to B")
        grid[0][scenes + 1 + scenes // 2].set_title("B to A")
    return figure


def strips(results: Results, name: str, world: str = "night") -> tuple[list, list]:
    """The stored pictures of a run, cut apart: uint8 arrays of A to B, and of B to A."""
    strip = np.asarray(results.pictures(name, world))
    size = strip.shape[0] // 2
    upper, lower = (np.split(row, strip.shape[1] // size, axis=1) for row in np.split(strip, 2))
    return upper, lower


def comparison(
    results: Results,
    names: tuple[str, str],
    pictures: Mapping[str, Sequence[Picture]],
    measures: Sequence[str],
    direction: str = "A to B",
    *,
    world: str = "night",
) -> Figure:
    """Two runs side by side: rows of pictures, and each measure with its seeds joined.

    Args:
        names: of the two runs; the second is compared with the first.
        pictures: rows by their label, such as input, both runs and truth.
        measures: a panel each, under which stands what may be concluded.

    Raises:
        CourseError: if both runs are the same.
    """
    one, other = names
    if one == other:
        raise CourseError("Choose two different runs.")
    with matplotlib.rc_context(STYLE | {"font.size": 9, "axes.titlesize": 9}):
        figure = Figure(figsize=(9.6, 1.0 * len(pictures) + 2.5), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.0 * len(pictures), 2.5))
        grid = above.subplots(len(pictures), 1, squeeze=False)[:, 0]
        for axis, (label, row) in zip(grid, pictures.items(), strict=True):
            bare(axis).imshow(_in_a_row(row), interpolation="nearest")
            axis.set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, measure in zip(below.subplots(1, len(measures)), measures, strict=True):
            _joined(axis, results, names, measure, direction, world)
        below.supxlabel(f"1: {one}      2: {other}      a line joins the runs of one seed", size=9)
    return figure


def _in_a_row(pictures: Sequence[Picture]) -> np.ndarray:
    """Pictures of one size side by side, with a white line between them."""
    arrays = [picture_array(picture) for picture in pictures]
    framed = [np.pad(a, ((0, 0), (0, 1), (0, 0)), constant_values=255) for a in arrays]
    return np.concatenate(framed, axis=1)


def _joined(axis: Axes, results: Results, names: tuple, measure: str, *where: str) -> None:
    """One measure of two runs, the dots of a seed joined; below it the paired difference."""
    one, other = (results.by_seed(name, measure, *where) for name in names)
    for seed in sorted(one.keys() & other.keys()):
        axis.plot([0, 1], [one[seed], other[seed]], "-", color=GREY, linewidth=1)
    axis.plot([0] * len(one), list(one.values()), "o", color=DARK, markersize=5)
    axis.plot([1] * len(other), list(other.values()), "D", color=DARK, markersize=5)
    found = results.difference(names[1], names[0], measure, *where)
    said = verdict(found, measure)
    ends = "" if found.low is None else f"\n({_signed(found.low)} to {_signed(found.high)})"
    axis.set_xticks([0, 1], ["1", "2"])
    axis.set(xlim=(-0.4, 1.4), title=f"{TITLES[measure]} {'↑' if BETTER[measure] > 0 else '↓'}")
    axis.grid(False, axis="x")
    axis.margins(y=0.12)
    text = f"{_signed(found.value)}{ends}\n{said}"
    axis.set_xlabel(text, color=VERDICTS.get(said, ORANGE), fontsize=8.5)


def _signed(value: float) -> str:
    if not np.isfinite(value):
        return "not finite"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value) or 1))) - 1) if value else 0
    return f"{value:+.{min(digits, 4)}f}".replace("-", "−")


_DOT = {"markersize": 5, "alpha": 0.75, "markeredgewidth": 0, "linestyle": "none"}


def _bar(axis: Axes, found: Interval, y: float, colour: str) -> None:
    if found.low is not None:
        look = {"color": colour, "linewidth": 4, "alpha": 0.35, "solid_capstyle": "butt"}
        axis.plot([found.low, found.high], [y, y], **look)


def _panels(names: Sequence[str], measures: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    if not names:
        raise CourseError("There is no run to show: the list of names is empty.")
    figure = Figure(figsize=(9.6, 0.95 + 0.44 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for axis in axes:
        axis.grid(False, axis="y")
        axis.tick_params(axis="y", length=0)
        for y in range(1, len(names), 2):
            axis.axhspan(y - 0.5, y + 0.5, color="#f4f4f4", zorder=0)
    return figure, axes


def _direction_of(axis: Axes, measure: str, title: str = "") -> None:
    if BETTER[measure] < 0:
        axis.invert_xaxis()
    axis.set_title(title or TITLES[measure])
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.set_xlabel("better →", loc="right", fontsize=8, color=GREY)


def _legend(figure: Figure, directions: Mapping[str, str], colours: Mapping[str, str]) -> None:
    entries = [
        Line2D([], [], marker=LOOKS[name][0], color=colour, linestyle="none", label=name)
        for name, colour in directions.items()
    ] + [Line2D([], [], color=colour, linewidth=4, label=name) for name, colour in colours.items()]
    figure.legend(handles=entries, loc="outside upper right", ncols=len(entries), fontsize=9)
