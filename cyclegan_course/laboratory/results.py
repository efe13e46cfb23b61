"""The stored results of the laboratory: tables of many seeds, and what may be concluded of them."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from PIL import Image
from scipy import stats

from cyclegan_course.errors import CourseError
from cyclegan_course.laboratory.scores import MEASURES
from cyclegan_course.metrics import Interval

FOLDER = Path(__file__).resolve().parents[2] / "data" / "laboratory"
BETTER = {name: +1 for name in ("psnr", "ssim", "blurred_psnr", "correspondence")} | {
    name: -1 for name in ("l1", "distance", "kid", "reconstruction", "checkerboard")
}


class Results:
    """One stored table, `data/laboratory/TABLE.csv`: a row for each run and direction.

    Args:
        table: "grid", "bugs", "listing", "cut" or "recipes".
        folder: where the tables are; by default the course's own.

    Raises:
        CourseError: if there is no such table.
    """

    def __init__(self, table: str, folder: Path | None = None) -> None:
        self.folder = folder or FOLDER
        self.table = table
        file = self.folder / f"{table}.csv"
        if not file.is_file():
            own = {"listing": "listing.py", "cut": "cut.py quality", "recipes": "recipes.py"}
            maker = own.get(table, f"laboratory.py {table}")
            raise CourseError(
                f"There are no stored results {file.name}: make them with python benchmarks/{maker}"
            )
        with file.open(newline="", encoding="utf-8") as stream:
            self.rows = [_typed(row) for row in csv.DictReader(stream)]

    def names(self, world: str = "night") -> list[str]:
        """The runs of a world, in the order of the table."""
        return list(dict.fromkeys(row["name"] for row in self.rows if row["world"] == world))

    def by_seed(
        self, name: str, measure: str, direction: str = "A to B", world: str = "night"
    ) -> dict[int, float]:
        """The values of one measure, by seed; NaN where a run gave no finite pictures."""
        if measure not in MEASURES:
            raise CourseError(f"No measure {measure!r}: choose one of {', '.join(MEASURES)}.")
        found = {
            row["seed"]: row[measure]
            for row in self.rows
            if (row["world"], row["name"], row["direction"]) == (world, name, direction)
        }
        if not found:
            raise CourseError(
                f"{self.table}.csv has no runs {name!r} on {world}: choose one of "
                f"{', '.join(self.names(world))}."
            )
        return found

    def interval(
        self, name: str, measure: str, direction: str = "A to B", world: str = "night"
    ) -> Interval:
        """Mean over the seeds, with its 95 % interval."""
        return t_interval(list(self.by_seed(name, measure, direction, world).values()))

    def difference(
        self, name: str, base: str, measure: str, direction: str = "A to B", world: str = "night"
    ) -> Interval:
        """Mean of `name` minus `base` over the seeds that both have, with its 95 % interval.

        Runs of one seed share the order of their pictures and, as far as their networks are the
        same, their first weights, so they are paired.
        """
        one, other = (self.by_seed(n, measure, direction, world) for n in (name, base))
        if not one.keys() & other.keys():
            raise CourseError(f"{name!r} and {base!r} have no seed in common.")
        return t_interval([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())])

    def pictures(self, name: str, world: str = "night") -> Image.Image:
        """Six held-out scenes of the first seed: a row of A to B above a row of B to A."""
        file = self.folder / self.table / picture_name(name, world)
        if not file.is_file():
            raise CourseError(f"There are no stored pictures of {name!r} on {world}.")
        return Image.open(file).convert("RGB")


def picture_name(name: str, world: str) -> str:
    """The file of a run's pictures."""
    plain = name.replace(" ", "_").replace(",", "").replace("+", "and")
    return f"{world}_{plain}.png"


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of a few independent values with Student's interval.

        mean -+ t * s / sqrt(n), t the quantile of n - 1 degrees of freedom

    No ends for fewer than two values, nor where one is not finite.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return Interval(mean(values))
    reach = stats.t.ppf((1 + level) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(mean(values), mean(values) - reach, mean(values) + reach)


def verdict(difference: Interval, measure: str) -> str:
    """ "better", "worse" or, where the interval of a difference holds 0, "no difference shown"."""
    if difference.low is None:
        return "failed" if not math.isfinite(difference.value) else "one seed"
    if difference.low <= 0 <= difference.high:
        return "no difference shown"
    return "better" if difference.value * BETTER[measure] > 0 else "worse"


def _typed(row: dict[str, str]) -> dict:
    numbers = {name: float(row[name]) if row[name] else math.nan for name in MEASURES}
    return row | {"seed": int(row["seed"]), "seconds": float(row["seconds"])} | numbers
