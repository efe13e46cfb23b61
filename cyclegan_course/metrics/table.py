"""The table of an evaluation: its rows, as text, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from cyclegan_course.errors import CourseError
from cyclegan_course.images import write_text


@dataclass(frozen=True)
class Row:
    """One line of the table: one method in one direction. None where a number does not apply.

    `psnr` and `blurred_psnr` in dB, `l1`, `blurred_l1` and `reconstruction` in [0, 1],
    `correspondence` the share of pictures that are most like their own scene, `distance` the sliced
    Wasserstein distance to pictures of the target domain, `kid` and `fid` the same question asked
    through the features of a network.

    `intervals` has (low, high) by the name of the number: its 95 % interval over pictures, or, in
    the row of several `seeds`, the range over them. `step`: of the training.
    """

    direction: str
    method: str
    psnr: float | None = None
    ssim: float | None = None
    l1: float | None = None
    blurred_psnr: float | None = None
    blurred_ssim: float | None = None
    blurred_l1: float | None = None
    distance: float | None = None
    correspondence: float | None = None
    reconstruction: float | None = None
    kid: float | None = None
    fid: float | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    step: int | None = None
    seeds: int | None = None


class Column(NamedTuple):
    """How a number is shown; without `decimals` the largest value gets three digits."""

    heading: str
    decimals: int | None
    better: str


# In the order in which they are shown.
COLUMNS = {
    "psnr": Column("PSNR (dB)", 2, "higher"),
    "ssim": Column("SSIM", 3, "higher"),
    "l1": Column("L1", 4, "lower"),
    "blurred_psnr": Column("blurred PSNR (dB)", 2, "higher"),
    "blurred_ssim": Column("blurred SSIM", 3, "higher"),
    "blurred_l1": Column("blurred L1", 4, "lower"),
    "correspondence": Column("correspondence", 3, "higher"),
    "reconstruction": Column("reconstruction", 4, "lower"),
    "distance": Column("distance", 4, "lower"),
    "kid": Column("KID", None, "lower"),
    "fid": Column("FID", None, "lower"),
}


def format_table(
    rows: Iterable[Row], columns: Sequence[str] | None = None, intervals: bool = False
) -> str:
    """The rows as an aligned Markdown table; '-' where there is no value.

    Args:
        columns: names of numbers, such as "psnr"; by default all that some row has.
        intervals: show them too, as "20.96 ± 0.31", half of the width after ±, or, where the two
            sides are very unequal, as "1.000 (0.943 to 1.000)".
    """
    rows = list(rows)
    words = [["direction", *(row.direction for row in rows)]]
    words.append(["method", *(row.method for row in rows)])
    numbers = [
        [COLUMNS[name].heading, *_cells(rows, name, intervals)]
        for name in (_present(rows) if columns is None else columns)
    ]
    return _markdown(words, numbers)


def format_by_metric(rows: Iterable[Row]) -> str:
    """The rows with their intervals turned on their side: a block a direction, a line a metric.

    With intervals a line of eleven metrics is wider than a terminal; this stays narrow.
    """
    blocks = []
    for direction, found in groupby(rows, lambda row: row.direction):
        block = list(found)
        names = _present(block)
        words = [
            [direction, *(COLUMNS[name].heading for name in names)],
            ["better", *(COLUMNS[name].better for name in names)],
        ]
        lines = [_cells(block, name, intervals=True) for name in names]
        columns = [
            [row.method, *(line[index] for line in lines)] for index, row in enumerate(block)
        ]
        blocks.append(_markdown(words, columns))
    return "\n\n".join(blocks)


def over_seeds(rows: Sequence[Row], method: str) -> Row:
    """One row for the same method trained with several seeds: means, and as intervals the ranges.

    A number that one of the rows lacks is None.
    """
    if not rows:
        raise CourseError("There are no rows to sum up: give the rows of at least one seed.")
    means: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name in COLUMNS:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        if len(values) == len(rows):
            means[name], ranges[name] = mean(values), (min(values), max(values))
    return Row(rows[0].direction, method, **means, intervals=ranges, seeds=len(rows))


def row_to_dict(row: Row) -> dict:
    """Flat, for CSV and JSON: each number with its `_low` and `_high`, None where there is none."""
    flat: dict = {name: getattr(row, name) for name in ("direction", "method", "step", "seeds")}
    for name in COLUMNS:
        flat[name] = getattr(row, name)
        flat[f"{name}_low"], flat[f"{name}_high"] = row.intervals.get(name, (None, None))
    return flat


def row_from_dict(flat: dict) -> Row:
    """What `row_to_dict` has made flat, or the rows of older files, which have no intervals."""
    known = {entry.name for entry in fields(Row)} - {"intervals"}
    intervals = {
        name: (flat[f"{name}_low"], flat[f"{name}_high"])
        for name in COLUMNS
        if flat.get(f"{name}_low") is not None
    }
    return Row(**{key: flat[key] for key in known & set(flat)}, intervals=intervals)


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows as CSV in UTF-8 with a heading; a missing value is an empty cell."""
    text = io.StringIO()
    flat = [row_to_dict(row) for row in rows]
    names = list(row_to_dict(Row("", "")))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    write_text(text.getvalue(), path)


def write_json(rows: Iterable[Row], path: str | Path, protocol: dict | None = None) -> None:
    """Write {"protocol": how it was measured, "rows": a list of objects}; null for no value."""
    content = {"protocol": protocol or {}, "rows": [row_to_dict(row) for row in rows]}
    write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", path)


def _present(rows: Iterable[Row]) -> list[str]:
    rows = list(rows)
    return [name for name in COLUMNS if any(getattr(row, name) is not None for row in rows)]


def _cells(rows: Sequence[Row], name: str, intervals: bool) -> list[str]:
    decimals = COLUMNS[name].decimals
    if decimals is None:
        largest = max((abs(getattr(row, name) or 0.0) for row in rows), default=0.0)
        decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 2
    return [_cell(row, name, decimals, intervals) for row in rows]


def _cell(row: Row, name: str, decimals: int, intervals: bool) -> str:
    value = getattr(row, name)
    if value is None:
        return "-"
    text = f"{value:.{decimals}f}"
    if not intervals or name not in row.intervals:
        return text
    low, high = row.intervals[name]
    lopsided = abs(low + high - 2 * value) > (high - low) / 2
    if row.seeds or lopsided:  # a share of 1 that may be 0.94, but not 1.06
        return f"{text} ({low:.{decimals}f} to {high:.{decimals}f})"
    return f"{text} ± {(high - low) / 2:.{decimals}f}"


def _markdown(words: Sequence[list[str]], numbers: Sequence[list[str]]) -> str:
    """Columns with their headings as an aligned table: words to the left, numbers to the right."""
    columns = []
    for cells, is_number in [*((w, False) for w in words), *((n, True) for n in numbers)]:
        width = max(map(len, cells))
        rule = "-" * (width - 1) + ":" if is_number else "-" * width
        columns.append(
            [
                cell.rjust(width) if is_number else cell.ljust(width)
                for cell in (cells[0], rule, *cells[1:])
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))
