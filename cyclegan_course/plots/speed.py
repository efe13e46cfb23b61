"""Where the time of a training step goes, and what makes it shorter."""

import statistics
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclegan_course.plots.style import BLUE, DARK, GREEN, GREY, ORANGE, PURPLE, STYLE

Blocks = Sequence[tuple[float, float]]  # (start, length) of each block on a line of time

PART_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", GREY)


def work_of_step(work: Mapping[str, float], unit: str = "GFLOP") -> Figure:
    """How many computations each part of a step needs, as bars with their numbers.

    Args:
        work: by part, in the order of the step.
        unit: of the numbers.
    """
    whole = sum(work.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 0.42 * len(work) + 0.8), layout="constrained")
        axis = figure.subplots()
        bars = axis.barh(list(work), list(work.values()), color=BLUE)
        words = [f" {value:,.0f} ({value / whole:.0%})" for value in work.values()]
        axis.bar_label(bars, words, fontsize=9)
        axis.set(xlabel=unit, xlim=(0, 1.25 * max(work.values())))
        axis.set_title(f"together {whole:,.0f} {unit}")
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.set_axisbelow(True)
    return figure


def call_times(badly: Mapping[str, Sequence[float]], well: Mapping[str, Sequence[float]]) -> Figure:
    """Single times of the same functions, measured one after the other and in turns.

    Args:
        badly: seconds of each call by name; all calls of a name come before those of the next.
        well: seconds by name, one number for each round.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        start = 1
        for (name, seconds), colour, marker in zip(
            badly.items(), PART_COLOURS, "os^Dv<>", strict=False
        ):
            calls = range(start, start + len(seconds))
            left.plot(calls, _ms(seconds), marker, color=colour, label=name)
            _level(left, calls, statistics.mean(seconds), colour)
            start += len(seconds)
        for place, (name, seconds) in enumerate(well.items()):
            calls = range(1 + place, 1 + len(well) * len(seconds), len(well))
            colour, marker = PART_COLOURS[place], "os^Dv<>"[place]
            right.plot(calls, _ms(seconds), marker, color=colour, label=name)
            _level(
                right, range(1, 1 + len(well) * len(seconds)), statistics.median(seconds), colour
            )
        left.set_title(f"one after the other, mean: {_ratio(badly, statistics.mean)}")
        right.set_title(f"warmed up, in turns, median: {_ratio(well, statistics.median)}")
        highest = max(max(seconds) for times in (badly, well) for seconds in times.values())
        left.set(ylabel="milliseconds", xlabel="call", ylim=(0, 1080 * highest))
        right.set(xlabel="call")
        right.legend(fontsize=9, loc="lower right")
    return figure


def _ms(seconds: Sequence[float]) -> list[float]:
    return [1000 * value for value in seconds]


def _level(axis: Axes, calls: Sequence[int], seconds: float, colour: str) -> None:
    axis.plot([calls[0], calls[-1]], [1000 * seconds] * 2, color=colour, alpha=0.6)


def _ratio(times: Mapping[str, Sequence[float]], middle) -> str:
    first, second = list(times)[:2]
    return f"{first} / {second} = {middle(times[first]) / middle(times[second]):.2f}"


def amdahl_bars(
    shares: Mapping[str, float], speed_ups: Mapping[str, float], whole: float
) -> Figure:
    """A step before and after, as two bars of the same parts.

    Args:
        shares: of each part in the time of the step; they sum to 1.
        speed_ups: of the parts that become faster, by name.
        whole: the speed-up of the whole, for the title.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 2.5), layout="constrained")
        axis = figure.subplots()
        ends = [0.0, 0.0]
        for (part, share), colour in zip(shares.items(), PART_COLOURS, strict=False):
            lengths = share, share / speed_ups.get(part, 1.0)
            axis.barh(("before", "after"), lengths, left=ends, color=colour, label=part, height=0.6)
            for row, (end, length) in enumerate(zip(ends, lengths, strict=True)):
                if length > 0.045:
                    middle = end + length / 2
                    axis.text(middle, row, f"{length:.0%}", ha="center", va="center", color="white")
            ends = [end + length for end, length in zip(ends, lengths, strict=True)]
        axis.set_title(f"the whole becomes {whole:.2f} times faster")
        axis.set(xlim=(0, 1.0), xlabel="time, in steps of before", xticks=[0, 0.25, 0.5, 0.75, 1])
        axis.invert_yaxis()
        axis.grid(False, axis="y")
        axis.set_axisbelow(True)
        axis.legend(fontsize=8.5, ncols=len(shares), loc="upper center", bbox_to_anchor=(0.5, -0.3))
    return figure


def timelines(runs: Mapping[str, tuple[Blocks, Blocks, Blocks]]) -> Figure:
    """A host and its device over time, one panel for each way of working.

    Args:
        runs: by title, (what the host launches, where it waits, what the device computes), in
            microseconds.
    """
    end = max(start + length for run in runs.values() for row in run for start, length in row)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.15 * len(runs) + 0.7), layout="constrained")
        axes = figure.subplots(len(runs), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (title, (launches, waits, kernels)) in zip(axes, runs.items(), strict=True):
            axis.grid(False, axis="y")
            axis.set_axisbelow(True)
            for row, blocks, look in (
                (1, launches, {"facecolor": BLUE}),
                (1, waits, {"facecolor": "#f4f4f4", "edgecolor": GREY, "hatch": "///"}),
                (0, kernels, {"facecolor": ORANGE}),
            ):
                axis.broken_barh(blocks, (row - 0.36, 0.72), **({"edgecolor": "white"} | look))
            over = max(start + length for start, length in (*launches, *waits, *kernels))
            axis.axvline(over, color=DARK, linewidth=1, linestyle=":")
            axis.text(over, 1.45, f" {over:.0f} µs", fontsize=9, va="center")
            axis.set_yticks([1, 0], ["host", "device"])
            axis.set_ylim(-0.5, 1.75)
            axis.set_title(title, loc="left", fontsize=9.5)
        axes[-1].set(xlabel="microseconds", xlim=(0, 1.08 * end))
    return figure


def throughput(rates: Mapping[int, float], updates: Mapping[int, int]) -> Figure:
    """Pictures in a second, and updates of the networks in a training, over the batch size.

    Args:
        rates: pictures of each domain per second, by batch size.
        updates: steps in a training of fixed length in epochs, by batch size.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axis, values, colour, title, form in (
            (left, rates, BLUE, "pictures per second, measured", "{:.1f}"),
            (right, updates, ORANGE, "updates in 200 epochs of 1,334 pictures", "{:,.0f}"),
        ):
            bars = axis.bar([str(batch) for batch in values], list(values.values()), color=colour)
            axis.bar_label(bars, fmt=form, fontsize=9)
            axis.set(xlabel="batch size", title=title)
            axis.grid(False, axis="x")
            axis.set_axisbelow(True)
            axis.margins(y=0.15)
    return figure


def ladder(seconds: Mapping[str, Sequence[float]], floor: float | None = None) -> Figure:
    """Times of a step with more and more levers: all rounds as points, their median as a bar.

    Args:
        seconds: by name, one number for each round, the first name being the one to compare with.
        floor: seconds that the arithmetic alone would take, drawn as a line.
    """
    names = list(seconds)
    first = seconds[names[0]]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 0.5 * len(names) + 1.0), layout="constrained")
        axis = figure.subplots()
        highest = max(max(values) for values in seconds.values())
        for row, (name, values) in enumerate(seconds.items()):
            axis.barh(row, 1000 * statistics.median(values), color=BLUE, alpha=0.55, height=0.6)
            axis.plot(_ms(values), [row] * len(values), ".", color=DARK, markersize=4)
            ratios = [one / other for one, other in zip(first, values, strict=True)]
            words = f"  {1000 * statistics.median(values):.0f} ms"
            if name != names[0]:
                words += f", {statistics.median(ratios):.2f} times"
            axis.text(1000 * highest * 1.02, row, words, va="center", fontsize=9)
        if floor is not None:
            axis.axvline(1000 * floor, color=ORANGE, linestyle="--")
            axis.text(1000 * floor, -0.62, " floor", color=ORANGE, fontsize=9)
        axis.set_yticks(range(len(names)), names)
        axis.set(xlabel="milliseconds per step", xlim=(0, 1000 * highest * 1.3))
        axis.set_ylim(len(names) - 0.5, -0.85)
        axis.grid(False, axis="y")
        axis.set_axisbelow(True)
    return figure
