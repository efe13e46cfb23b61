"""The results as web pages: one for each student, and one with all of them for the instructor.

Each page is one file without scripts. It can be read with a keyboard and aloud, and printed.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from cyclegan_course.exercises.registry import REGISTRY
from cyclegan_course.grading.results import Graded, Result
from cyclegan_course.grading.tables import points_of, result_of
from cyclegan_course.images.files import write_text

# Sign, colour and words for a state; each says it alone. The colours have contrast 4.5 on white.
_LOOK = {
    "passed": ("✓", "#00694b", "right"),
    "wrong": ("✗", "#b14600", "not right yet"),
    "not attempted": ("○", "#595959", "not attempted"),
    "missing": ("○", "#595959", "no cell"),
    "not graded": ("?", "#595959", "not graded"),
}

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: 0.5rem 0; }
caption { text-align: left; color: #444; padding-bottom: 0.3rem; }
th, td { border: 1px solid #bbb; padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
thead th { background: #f0f0f0; }
.wide { overflow-x: auto; }
code { font-family: ui-monospace, monospace; font-size: 0.9rem; overflow-wrap: anywhere; }
section { border-left: 4px solid; padding-left: 1rem; margin: 1.5rem 0; break-inside: avoid; }
section > * { color: #1a1a1a; }
.number { text-align: right; }
@media print { body { margin: 0; max-width: none; } a { color: inherit; } }
"""


def write_pages(all_graded: Sequence[Graded], numbers: Sequence[str], folder: Path) -> None:
    """Write `index.html` and `students/NAME.html`."""
    for graded in all_graded:
        write_text(student_page(graded, numbers), folder / "students" / f"{graded.page}.html")
    write_text(index_page(all_graded, numbers), folder / "index.html")


def student_page(graded: Graded, numbers: Sequence[str]) -> str:
    """Feedback for one student: no hidden input, and no seed that leads to them."""
    points = points_of(graded, numbers)
    rows = "".join(
        f'<tr><th scope="row"><a href="#exercise-{number}">{number}</a></th>'
        f"<td>{escape(REGISTRY[number].title)}</td><td>{_mark(result_of(graded, number))}</td></tr>"
        for number in numbers
    )
    table = (
        f"<table><caption>Exercises and their state</caption><thead><tr>"
        f'<th scope="col">exercise</th><th scope="col">title</th><th scope="col">state</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
        if numbers
        else ""
    )
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in graded.remarks)
    body = f"<p><strong>{points} of {len(numbers)} exercises passed.</strong></p>{table}"
    if remarks:
        body += f"<h2>Remarks on the notebooks</h2><ul>{remarks}</ul>"
    body += "".join(_exercise(number, result_of(graded, number)) for number in numbers)
    return _page(f"Exercises of {graded.student}", body)


def index_page(all_graded: Sequence[Graded], numbers: Sequence[str]) -> str:
    """All students, and how many passed each exercise."""
    heads = "".join(f'<th scope="col">{number}</th>' for number in numbers)
    rows = []
    for graded in all_graded:
        cells = "".join(f"<td>{_sign(result_of(graded, number))}</td>" for number in numbers)
        rows.append(
            f'<tr><th scope="row"><a href="students/{graded.page}.html">{escape(graded.student)}'
            f'</a></th><td class="number">{points_of(graded, numbers)}</td>{cells}'
            f"<td>{escape(' '.join(graded.remarks))}</td></tr>"
        )
    passed = Counter(n for g in all_graded for n in numbers if result_of(g, n).points)
    share = "".join(f'<td class="number">{passed[number]}</td>' for number in numbers)
    key = "✓ right; ✗ not right yet; ○ not attempted, or no cell; ! stopped, see the student's page"
    table = (
        f'<div class="wide" role="region" aria-label="Results" tabindex="0"><table>'
        f"<caption>Points and exercises of each student. {key}.</caption>"
        f'<thead><tr><th scope="col">student</th><th scope="col">points of {len(numbers)}</th>'
        f'{heads}<th scope="col">remarks</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><th scope="row">passed by</th><td></td>{share}<td></td></tr></tfoot>'
        "</table></div>"
    )
    links = (
        '<p>The same as tables: <a href="grades.csv">grades.csv</a>, '
        '<a href="details.csv">details.csv</a>.</p>'
    )
    return _page(f"Exercises of {len(all_graded)} students", table + links)


def _exercise(number: str, result: Result) -> str:
    colour = _look(result.state)[1]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(text)}</code></td></tr>'
        for name, text in result.table
    )
    table = (
        f"<table><caption>One of the published inputs</caption><tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    message = "" if result.state in ("passed", "not attempted") else result.message
    note = f"<p>{escape(message)}</p>" if message else ""
    source = f"<p>Notebook: {escape(result.notebook)}</p>" if result.notebook else ""
    return (
        f'<section id="exercise-{number}" style="border-color:{colour}">'
        f"<h2>{number}: {escape(REGISTRY[number].title)}</h2>"
        f"<p>{_mark(result)}</p>{note}{table}{source}</section>"
    )


def _look(state: str) -> tuple[str, str, str]:
    return _LOOK.get(state, ("!", "#b14600", state))


def _sign(result: Result) -> str:
    sign, colour, words = _look(result.state)
    return f'<span role="img" aria-label="{escape(words)}" style="color:{colour}">{sign}</span>'


def _mark(result: Result) -> str:
    sign, colour, words = _look(result.state)
    return f'<span style="color:{colour}"><span aria-hidden="true">{sign}</span> {words}</span>'


def _page(title: str, body: str) -> str:
    # Nothing is loaded and no script runs, whatever a student's text might contain.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
