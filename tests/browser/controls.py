"""What can be moved in an output, and how the keyboard moves it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .notebook import SECOND, Notebook, comes_true

if TYPE_CHECKING:
    from playwright.sync_api import Locator

# Calls that show something to move, as they stand in the notebooks.
INTERACTIVE = re.compile(r"^(explore|gan_stepper|before_after|field_inspector)\(", re.MULTILINE)
MOVES = {
    "slider": ("ArrowRight", "ArrowLeft"),
    "combobox": ("ArrowDown", "ArrowUp"),
    "button": ("Enter", "Space"),
    "application": ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"),
}
TABS_BETWEEN = 6  # the cell's own buttons and the like
ANSWERS_WITHIN = 60 * SECOND  # the kernel draws a figure again

# What a figure shows: pictures, how far one is laid over another, drawings, and the words beside.
SHOWN = """output => {
  const parts = [...output.querySelectorAll('img')].map(
    image => image.alt + image.getAttribute('src') + image.style.clipPath);
  for (const drawing of output.querySelectorAll('svg')) parts.push(drawing.innerHTML);
  return parts.join('|');
}"""
CHANGED = f"""([output, before]) => ({SHOWN})(output) !== before
  && [...output.querySelectorAll('img')].every(image => image.complete)"""
FOCUSED = "node => node === node.ownerDocument.activeElement"
LOOKS = """node => { const s = getComputedStyle(node);
  return [s.outline, s.boxShadow, s.border, s.backgroundColor].join('; '); }"""


def interactive(notebook: Notebook) -> list[int]:
    """The cells whose output can be moved."""
    return [
        place
        for place, cell in enumerate(notebook.cells)
        if cell["cell_type"] == "code" and INTERACTIVE.search(cell["source"])
    ]


def controls(output: Locator) -> list[tuple[str, Locator]]:
    """Role and element of all that a keyboard can move, with all buttons in their order."""
    return [(role, each) for role in MOVES for each in output.get_by_role(role).all()]


def shown(output: Locator) -> str:
    return output.evaluate(SHOWN)


def wait_for_change(output: Locator, before: str, within: float = ANSWERS_WITHIN) -> bool:
    """Whether the figure becomes another one."""
    return comes_true(output.page, CHANGED, [output.element_handle(), before], within)


def looks_when_reached(notebook: Notebook, place: int) -> list[tuple[str, str]]:
    """Walk from a cell through its output with the Tab key.

    Returns:
        For each control its look with and without the focus; the first is "" if Tab does not
        come by.
    """
    found = [control for _, control in controls(notebook.output(place))]
    notebook.cell(place).locator(".cm-content").first.click()
    notebook.page.keyboard.press("Escape")  # from the text of the cell to the cell
    with_focus = [""] * len(found)
    for _ in range(len(found) + TABS_BETWEEN):
        notebook.page.keyboard.press("Tab")
        for i, control in enumerate(found):
            if control.evaluate(FOCUSED):
                with_focus[i] = control.evaluate(LOOKS)
    notebook.page.evaluate("document.activeElement.blur()")
    return list(zip(with_focus, (control.evaluate(LOOKS) for control in found), strict=True))


def move(control: Locator, role: str, output: Locator) -> bool:
    """Press the keys for this kind of control until the figure changes."""
    is_pressed = control.get_attribute("aria-pressed") == "true"
    if is_pressed:  # this choice is what the figure shows: move away, and come back
        others = control.locator("xpath=..").get_by_role("button", pressed=False)
        before = shown(output)
        others.first.press("Enter")
        if not wait_for_change(output, before):
            return False
    before = shown(output)
    control.focus()
    last = MOVES[role][-1]
    for key in MOVES[role]:
        control.page.keyboard.press(key)
        # At the end of a slider the first key does nothing, and the kernel is not asked.
        if wait_for_change(output, before, ANSWERS_WITHIN if key == last else 5 * SECOND):
            return True
    return False
