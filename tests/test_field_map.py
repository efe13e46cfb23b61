"""The map of the field: complete references, a protocol beside every number, and the tables."""

import json
import re
from html.parser import HTMLParser

import pytest

from cyclegan_course import field_map
from cyclegan_course.errors import CourseError

METHODS = field_map.load()
NUMBERS = [(method, number) for method in METHODS for number in method.numbers]


class Cells(HTMLParser):
    """The rows of an HTML table as lists of texts."""

    def __init__(self, html):
        super().__init__()
        self.rows = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.rows[-1][-1] += data


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_has_a_full_reference(method):
    assert 2017 <= method.year <= 2026
    assert re.search(r"\b20\d\d$", method.venue), "venue and year"
    assert int(method.venue[-4:]) == method.year
    assert re.fullmatch(r"\d{4}\.\d{4,5}", method.arxiv)
    # Nobody publishes at a conference before the paper is on arXiv, nor five years later.
    assert 2000 + int(method.arxiv[:2]) <= method.year <= 2000 + int(method.arxiv[:2]) + 2
    assert len(method.authors.split(", ")) >= 2
    assert len(method.title) > 10
    for part in (method.authors, method.title, method.venue, method.arxiv):
        assert part in method.reference


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_says_what_it_assumes_costs_and_gives(method):
    for words in (method.family, method.assumes, method.costs, method.gives):
        assert words.strip()
    # A figure among the costs (a count of networks aside) was read somewhere.
    if re.search(r"\d{2,}", method.costs):
        assert method.cost_source


@pytest.mark.parametrize(("method", "number"), NUMBERS, ids=lambda x: getattr(x, "name", ""))
def test_every_number_has_its_protocol(method, number):
    assert re.search(r"\d", number.value)
    assert re.search(r"\d+ (x \d+ )?px", number.protocol), "the resolution"
    assert number.whose
    assert number.source
    if number.measure == "FID":
        assert re.search(
            r"\d+ (test pictures|horses|cats)|number of pictures not found", number.protocol
        )


def test_the_map_goes_from_2017_to_today_with_all_families():
    assert [method.year for method in METHODS] == sorted(method.year for method in METHODS)
    names = {method.name for method in METHODS}
    wanted = "CycleGAN UNIT MUNIT StarGAN U-GAT-IT CUT FastCUT SDEdit UNSB CycleGAN-Turbo"
    assert set(wanted.split()) <= names
    assert len(names) == len(METHODS)


def test_own_paper_and_measured_again_stand_side_by_side():
    cut = [n.whose for method, n in NUMBERS if method.name == "CUT" and n.task == "horse to zebra"]
    assert any("own" in whose for whose in cut)
    assert any("own" not in whose for whose in cut)


def test_tables_hold_every_method_and_number():
    rows = Cells(field_map.methods_table(METHODS)).rows
    assert len(rows) == len(METHODS) + 1
    assert len({len(row) for row in rows}) == 1
    rows = Cells(field_map.numbers_table(METHODS)).rows
    without = sum(not method.numbers for method in METHODS)
    assert without, "some cells stay empty"
    assert len(rows) == 1 + len(NUMBERS) + without
    assert sum(field_map.EMPTY in row for row in rows) == without
    assert len({len(row) for row in rows}) == 1


def test_one_measure_only():
    rows = Cells(field_map.numbers_table(METHODS, "FID")).rows
    assert len(rows) == 1 + sum(number.measure == "FID" for _, number in NUMBERS)
    assert {row[1] for row in rows[1:]} == {"FID"}


def test_text_is_escaped():
    bad = field_map.Method(
        "<b>", 2020, "f", "A, B", "title", "X 2020", "2001.00001", "a", "c", "", "g & h", ()
    )
    html = field_map.methods_table([bad])
    assert "&lt;b&gt;" in html
    assert Cells(html).rows[1][4] == "g & h"


def test_a_paper_of_two_methods_is_listed_once():
    lines = field_map.references(METHODS).splitlines()
    assert len(lines) == len(set(lines)) == len({method.arxiv for method in METHODS})


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(CourseError, match=r"map nothing\.json is missing"):
        field_map.load(tmp_path / "nothing.json")


def test_an_unknown_field_is_refused(tmp_path):
    rows = json.loads(field_map.FILE.read_text(encoding="utf-8"))
    rows["methods"][0]["number"] = 62.1  # a number without a protocol
    file = tmp_path / "map.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(TypeError):
        field_map.load(file)
