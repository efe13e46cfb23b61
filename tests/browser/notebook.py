"""A notebook that is open in a real JupyterLab, as a page with cells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .lab import Lab

if TYPE_CHECKING:  # without Playwright these tests are collected too, and skipped
    from playwright.sync_api import BrowserContext, Locator, Page

SECOND = 1000  # of Playwright's milliseconds
OPENS_WITHIN = 180 * SECOND
RUNS_WITHIN = 1200 * SECOND  # a chapter takes a minute; the machine may be loaded

CONNECTED = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const kernel = panel?.sessionContext?.session?.kernel;
  if (kernel?.connectionStatus !== 'connected' || kernel.status !== 'idle') return false;
  window.panel = panel;
  return true;
}"""
# What is stored goes first: the outputs that are looked at come from this run.
RUN_ALL = """() => {
  window.outcome = null;
  const { commands } = window.jupyterapp;
  commands.execute('notebook:clear-all-cell-outputs')
    .then(() => commands.execute('notebook:run-all-cells'))
    .then(() => { window.outcome = 'ended'; }, error => { window.outcome = String(error); });
}"""
# A notebook draws only the cells near the window; `place` makes it draw this one, at the top.
SHOW = """async place => {
  await window.panel.content.scrollToItem(place, 'start');
  const node = window.panel.content.widgets[place].node;
  node.dataset.place = place;
}"""

LOAD = """node => Promise.all(
  [...node.querySelectorAll('img')].map(image => image.decode().catch(() => 0)))"""


def comes_true(page: Page, expression: str, arg: Any = None, within: float = 60 * SECOND) -> bool:
    """Whether an expression (or function) of JavaScript becomes true, within some milliseconds."""
    from playwright.sync_api import TimeoutError

    try:
        page.wait_for_function(expression, arg=arg, timeout=within, polling=50)
    except TimeoutError:
        return False
    return True


class Notebook:
    """One chapter, opened and with a kernel.

    Attributes:
        page: Playwright's page.
        errors: what scripts of the page stumbled over.
    """

    def __init__(self, lab: Lab, context: BrowserContext, stem: str) -> None:
        self.lab, self.stem = lab, stem
        self.page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(60 * SECOND)
        address = f"{lab.address}lab/tree/{quote(stem)}.ipynb?token={lab.token}"
        self.page.goto(address, timeout=OPENS_WITHIN)
        is_open = comes_true(self.page, CONNECTED, within=OPENS_WITHIN)
        assert is_open, f"{stem} did not get a kernel.\n{lab.last_words()}"

    @property
    def cells(self) -> list[dict]:
        """The cells as they would be saved now."""
        return self.page.evaluate("() => panel.content.model.sharedModel.toJSON().cells")

    def run_all(self) -> None:
        """All cells, to the end."""
        self.page.evaluate(RUN_ALL)
        if not comes_true(self.page, "window.outcome", within=RUNS_WITHIN):
            waiting = [i for i, cell in enumerate(self.cells) if is_unfinished(cell)]
            raise AssertionError(
                f"{self.stem}: Run All came to no end; cells without a number: {waiting}.\n"
                f"{self.lab.last_words()}"
            )
        outcome = self.page.evaluate("window.outcome")
        assert outcome == "ended", f"{outcome}\n{self.lab.last_words()}"

    def cell(self, place: int) -> Locator:
        """A cell, scrolled to the top of the window."""
        self.page.evaluate(SHOW, place)
        found = self.page.locator(f'.jp-Notebook .jp-Cell[data-place="{place}"]')
        found.wait_for()
        return found

    def output(self, place: int) -> Locator:
        """What a cell has put out, with everything loaded."""
        found = self.cell(place).locator(".jp-Cell-outputArea")
        found.evaluate(LOAD)
        return found

    def text(self, place: int) -> str:
        """What a cell has put out, in words."""
        return output_text(self.cells[place])

    def write(self, place: int, source: str) -> None:
        """Put another text into a cell, with the keyboard."""
        self.cell(place).locator(".cm-content").first.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)
        assert self.cells[place]["source"] == source

    def start(self, place: int) -> None:
        """Run a cell with the keyboard, and do not wait."""
        self.cell(place).locator(".cm-content").first.click()
        self.page.evaluate(f"panel.content.model.sharedModel.cells[{place}].execution_count = null")
        self.page.keyboard.press("Control+Enter")

    def wait(self, place: int) -> str:
        """Wait until a cell that was started has got its number. Returns its output in words."""
        number = f"panel.content.model.sharedModel.cells[{place}].execution_count"
        ended = comes_true(self.page, f"{number} !== null", within=RUNS_WITHIN)
        assert ended, f"{self.stem}: cell {place} came to no end.\n{self.lab.last_words()}"
        return self.text(place)

    def run(self, place: int) -> str:
        """Run a cell with the keyboard. Returns its output in words."""
        self.start(place)
        return self.wait(place)

    def find(self, pattern: str, after: int = -1) -> int:
        """The first code cell after a place whose text has the pattern."""
        for place, cell in enumerate(self.cells):
            if place > after and cell["cell_type"] == "code" and re.search(pattern, cell["source"]):
                return place
        raise AssertionError(f"{self.stem} has no code cell with {pattern!r} after cell {after}")

    def picture(self, file: Path, part: Locator | None = None) -> None:
        """Keep how it looks, the window or a part of it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        (part or self.page).screenshot(path=file)


def is_unfinished(cell: dict) -> bool:
    return cell["cell_type"] == "code" and bool(cell["source"]) and not cell["execution_count"]


def output_text(cell: dict) -> str:
    parts = []
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            parts.append(f"{output['ename']}: {output['evalue']}")
        else:
            found = output.get("text", output.get("data", {}).get("text/plain", ""))
            parts.append("".join(found))
    return "\n".join(parts)


def errors_of(cell: dict) -> list[str]:
    return [
        f"{output['ename']}: {output['evalue']}"
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
