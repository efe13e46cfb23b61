"""The map of unpaired translation since 2017: what each method assumes, costs and gives.

The facts are in `data/field_map.json`; a number never stands there without the protocol that made
it, who measured it and where that can be read. A method without a number has none in the sources
that were read: the map leaves the cell empty rather than guess.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from html import escape
from pathlib import Path

from cyclegan_course.errors import CourseError

FILE = Path(__file__).resolve().parents[1] / "data" / "field_map.json"
EMPTY = "not found in a source read"


@dataclass(frozen=True)
class Number:
    """A published number.

    Attributes:
        measure: what was measured, such as FID (less is better).
        task: the translation, such as "horse to zebra".
        value: the number or numbers, as words that say which is which.
        protocol: split, number of pictures, resolution, which checkpoint.
        whose: the authors themselves, or who measured again.
        source: where it can be read.
    """

    measure: str
    task: str
    value: str
    protocol: str
    whose: str
    source: str


@dataclass(frozen=True)
class Method:
    """A method, a row of the map.

    Attributes:
        name, year, family: of the method; methods of one family share their idea.
        authors, title, venue: of the paper.
        arxiv: its number there.
        assumes: of the domains and of their relation.
        costs: networks, training, pretrained models; `cost_source` says where that is from, ""
            if it is the paper itself.
        gives: one picture or many for each input, one direction or both, two domains or more.
        numbers: published ones, perhaps none.
    """

    name: str
    year: int
    family: str
    authors: str
    title: str
    venue: str
    arxiv: str
    assumes: str
    costs: str
    cost_source: str
    gives: str
    numbers: tuple[Number, ...]

    @property
    def reference(self) -> str:
        """The full reference of the paper."""
        return f"{self.authors}. {self.title}. {self.venue}. arXiv:{self.arxiv}."


def load(file: Path | None = None) -> list[Method]:
    """The methods in the order of the map, by year.

    Raises:
        CourseError: if the file is missing.
    """
    file = file or FILE
    if not file.is_file():
        raise CourseError(f"The map {file.name} is missing: get it from the course's repository.")
    rows = json.loads(file.read_text(encoding="utf-8"))["methods"]
    return [
        Method(**{**row, "numbers": tuple(Number(**number) for number in row["numbers"])})
        for row in rows
    ]


def methods_table(methods: Sequence[Method]) -> str:
    """What each method assumes, costs and gives, as an HTML table."""
    rows = (
        (
            f"{method.name} ({method.year})",
            method.family,
            method.assumes,
            method.costs,
            method.gives,
        )
        for method in methods
    )
    return _table(("method", "family", "assumes", "costs", "gives"), rows)


def numbers_table(methods: Sequence[Method], measure: str | None = None) -> str:
    """The published numbers, each with its protocol, as an HTML table.

    A method without numbers has a row that says so.

    Args:
        measure: only numbers of this measure, and only methods that have one.
    """
    rows: list[tuple[str, ...]] = []
    for method in methods:
        found = [number for number in method.numbers if measure in (None, number.measure)]
        rows += [(method.name, *astuple(number)) for number in found]
        if not found and measure is None:
            rows.append((method.name, EMPTY, "", "", "", "", ""))
    head = ("method", "measure", "task", "value", "protocol", "whose", "read in")
    return _table(head, rows)


def references(methods: Sequence[Method]) -> str:
    """The full references as a list in Markdown; a paper of two methods once."""
    return "\n".join(dict.fromkeys(f"- {method.reference}" for method in methods))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # Notebooks align the cells of a table to the right unless each of them says otherwise.
    style = 'style="text-align:left;vertical-align:top"'

    def row(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag} {style}>{escape(cell)}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f"<table><thead><tr>{row(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"
