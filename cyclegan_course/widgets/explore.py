"""A figure with controls: move one, and the kernel draws the figure again."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from cyclegan_course.display import in_notebook, picture_html, publish
from cyclegan_course.errors import CourseError
from cyclegan_course.plots.style import figure_bytes

Text = str | Callable[..., str]
_FEW = 4  # up to this many words stand side by side as buttons; more go into a list
_WIDE = {"description_width": "initial"}
_BESIDE = {"width": "max-content", "display": "flex", "margin": "2px 10px"}  # of its label

# Runs in the browser whenever a picture has loaded, and tells screen readers and the keyboard what
# ipywidgets 8.1 leaves out: the name of a slider and its value (not the place of the value in the
# list), the name of a row of buttons and which one is pressed. A list keeps its keys: JupyterLab
# else takes the arrows for itself and moves to another cell, and "x" cuts the cell out. The number
# beside a slider is no field to write in, and a label does not explain itself with "null".
_NAME_CONTROLS = """
const root = this.closest('.widget-vbox');
for (const label of root ? root.querySelectorAll('.widget-label') : []) {
  const control = label.parentNode, words = label.textContent;
  if (label.title === 'null') label.removeAttribute('title');
  const handle = control.querySelector('.noUi-handle, .ui-slider-handle');
  const readout = control.querySelector('.widget-readout');
  if (handle && readout) {
    handle.setAttribute('role', 'slider');
    handle.setAttribute('aria-label', words);
    handle.setAttribute('aria-valuetext', readout.textContent);
    readout.removeAttribute('contenteditable');
  }
  for (const list of control.querySelectorAll('select')) list.dataset.lmSuppressShortcuts = 'true';
  const buttons = control.querySelectorAll('.widget-toggle-button');
  if (buttons.length) {
    control.setAttribute('role', 'group');
    control.setAttribute('aria-label', words);
  }
  for (const button of buttons)
    button.setAttribute('aria-pressed', button.classList.contains('mod-active'));
}
"""


def explore(
    draw: Callable[..., Figure],
    alt: Text,
    *,
    actions: Mapping[str, Callable[[], None]] | None = None,
    start: Mapping[str, Any] | None = None,
    to_bytes: Callable[[Figure], bytes] = figure_bytes,
    **controls: Sequence,
) -> None:
    """Show a figure with a control for each argument of `draw`, and with buttons.

        explore(arrows, alt="Arrows turned by an angle", angle=range(0, 360, 15))

    Where no kernel answers (a web page, paper, a stored notebook) the first state is a plain
    picture. In a plain script the alternative text is printed.

    Args:
        draw: makes the figure; it is called as `draw(**values)`.
        alt: text for those who do not see the figure, or a function of the same values.
        actions: buttons by their words. Each calls its function, then the figure is drawn again.
        start: values to begin with, where it is not the first one.
        to_bytes: makes the image file of a figure.
        controls: argument name and the values it can take: numbers become a slider, words become
            buttons or a list, and a single value nothing. Underscores in the name are shown as
            spaces.

    Raises:
        CourseError: if `start` names a value that its control does not have.
    """
    boxes = {name: _control(name, list(controls[name]), start or {}) for name in controls}
    text, image = _state(draw, alt, boxes, to_bytes)
    if not in_notebook():
        publish(text)
        return
    picture = ipywidgets.HTML(picture_html(text, image, _NAME_CONTROLS))

    def update(action: Callable[[], None] | None = None) -> None:
        try:
            if action is not None:
                action()
            picture.value = picture_html(*_state(draw, alt, boxes, to_bytes), _NAME_CONTROLS)
        except Exception as error:  # otherwise it would only reach a log that nobody opens
            picture.value = f"<p>This could not be drawn: {html.escape(str(error))}</p>"

    for box in boxes.values():
        box.observe(lambda _change: update(), names="value")
    buttons = [_button(words, partial(update, act)) for words, act in (actions or {}).items()]
    movable = [box for box in boxes.values() if len(box.options) > 1]
    row = ipywidgets.HBox([*buttons, *movable], layout={"flex_flow": "row wrap"})
    publish(text, image=image, widget=ipywidgets.VBox([row, picture]))


def _state(
    draw: Callable[..., Figure],
    alt: Text,
    boxes: Mapping[str, Any],
    to_bytes: Callable[[Figure], bytes],
) -> tuple[str, bytes]:
    values = {name: box.value for name, box in boxes.items()}
    figure = draw(**values)
    return (alt(**values) if callable(alt) else alt), to_bytes(figure)


def _control(name: str, options: list, start: Mapping[str, Any]) -> Any:
    value = start.get(name, options[0])
    if value not in options:
        raise CourseError(f"{name} cannot start at {value!r}: choose one of {options}.")
    label = name.replace("_", " ")
    if not all(isinstance(option, str) for option in options):
        return ipywidgets.SelectionSlider(
            options=[(_number(option), option) for option in options],
            value=value,
            description=label,
            continuous_update=False,
            style=_WIDE,
        )
    words = {"options": options, "value": value, "description": label}
    if len(options) > _FEW:
        return ipywidgets.Dropdown(**words, style=_WIDE)
    style = {**_WIDE, "button_width": "auto"}
    return ipywidgets.ToggleButtons(**words, style=style, layout=_BESIDE)


def _number(option: Any) -> str:
    return f"{option:.4g}" if isinstance(option, float) else str(option)


def _button(words: str, press: Callable[[], None]) -> Any:
    button = ipywidgets.Button(description=words, layout={"width": "auto"})
    button.on_click(lambda _button: press())
    return button
