"""The table of an evaluation: its rows, as Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from cyclegan_course.images import write_text


@dataclass(frozen=True)
class Row:
    """One line of the table: means over the pictures; None where there is no truth to compare with.

    `psnr` and `blurred_psnr` in dB, `l1` and `blurred_l1` in [0, 1], `distance` the sliced
    Wasserstein distance to pictures of the target domain.
    """

    direction: str
    method: str
    psnr: float | None
    ssim: float | None
    l1: float | None
    blurred_psnr: float | None
    blurred_ssim: float | None
    blurred_l1: float | None
    distance: float


# The columns of the table, with their decimals (0: words).
_COLUMNS = {"direction": 0, "method": 0, "PSNR (dB)": 2, "SSIM": 3, "L1": 4}
_COLUMNS |= {"blurred PSNR (dB)": 2, "blurred SSIM": 3, "blurred L1": 4, "distance": 4}


def format_table(rows: Iterable[Row]) -> str:
    """The rows as an aligned Markdown table; '-' where there is no value."""
    columns = []
    values = zip(*(astuple(row) for row in rows), strict=True)
    for (heading, decimals), column in zip(_COLUMNS.items(), values, strict=True):
        cells = [heading, *(_cell(value, decimals) for value in column)]
        width = max(map(len, cells))
        cells.insert(1, "-" * (width - 1) + ":" if decimals else "-" * width)
        columns.append([cell.rjust(width) if decimals else cell.ljust(width) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows as CSV in UTF-8 with a heading; a missing value is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(text.getvalue(), path)


def write_json(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows as a JSON list of objects; a missing value is null."""
    write_text(json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False) + "\n", path)


def _cell(value: str | float | None, decimals: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{decimals}f}" if decimals else str(value)
