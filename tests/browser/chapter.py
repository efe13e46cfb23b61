"""What is tried in every chapter; a file for each chapter says which."""

import re
from typing import ClassVar

from cyclegan_course.exercises import get

from . import controls
from .notebook import Notebook, comes_true, errors_of

# Of one rendered text cell: what is neither code nor a formula that has been set.
PLAIN_TEXT = """node => {
  const copy = node.querySelector('.jp-MarkdownOutput').cloneNode(true);
  copy.querySelectorAll('code, pre, mjx-container').forEach(part => part.remove());
  return copy.textContent;
}"""
MATH_IS_SET = """node => {
  const copy = node.querySelector('.jp-MarkdownOutput').cloneNode(true);
  copy.querySelectorAll('code, pre, mjx-container').forEach(part => part.remove());
  return !copy.textContent.includes('$');
}"""
# Pictures in an output: words, whether it is loaded, and whether it is wholly inside.
PICTURES = """output => {
  const area = output.getBoundingClientRect();
  return [...output.querySelectorAll('img')].filter(image => image.offsetParent).map(image => {
    const place = image.getBoundingClientRect();
    return { alt: image.alt, width: image.naturalWidth, loaded: image.complete,
             inside: place.right <= area.right + 1 && place.left >= area.left - 1 };
  });
}"""
# Texts in an output that are hard to read, with the ratio of their luminances (WCAG 2.1).
FAINT = """(output, least) => {
  const read = colour => {
    const found = colour.match(/[\\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = node => {
    for (; node; node = node.parentElement) {
      const { rgb, alpha } = read(getComputedStyle(node).backgroundColor);
      if (alpha > 0.99) return rgb;
    }
    return [255, 255, 255];
  };
  const found = [], walker = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) {
    const node = text.parentElement;
    if (!/[\\p{L}\\d]/u.test(text.data) || !node.offsetParent) continue;
    const [one, other] = [light(read(getComputedStyle(node).color).rgb), light(ground(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < least) found.push([text.data.trim().slice(0, 60), Math.round(10 * ratio) / 10]);
  }
  return found;
}"""
CONTRAST = 4.5  # WCAG 2.1, level AA


class Text:
    """What holds for every notebook.

    Attributes:
        stem: the notebook's name.
    """

    stem: ClassVar[str]

    def test_runs_to_its_end_without_an_error(self, notebook: Notebook):
        code = [cell for cell in notebook.cells if cell["cell_type"] == "code" and cell["source"]]
        assert all(cell["execution_count"] for cell in code)
        assert [error for cell in code for error in errors_of(cell)] == [], (
            notebook.lab.last_words()
        )

    def test_text_and_formulas_are_set(self, notebook: Notebook):
        for place, cell in enumerate(notebook.cells):
            if cell["cell_type"] != "markdown":
                continue
            shown = notebook.cell(place)
            shown.locator(".jp-MarkdownOutput").wait_for()
            if "$" in cell["source"]:
                is_set = comes_true(notebook.page, MATH_IS_SET, shown.element_handle())
                assert is_set, f"formulas left as they are written: {cell['source']}"
                assert shown.locator("mjx-container").count(), f"no formula in cell {place}"
                assert not shown.locator("mjx-merror, [data-mjx-error]").count(), cell["source"]
            assert not re.findall(r"[$\\].*", shown.evaluate(PLAIN_TEXT)), cell["source"]
            for image in shown.locator("img").all():
                assert image.get_attribute("alt"), f"a picture without words in cell {place}"

    def test_scripts_have_not_failed(self, notebook: Notebook):
        assert notebook.errors == []


class Chapter(Text):
    """What holds for every chapter.

    Attributes:
        figures: how many of its figures can be moved.
        exercise: the number of one of its exercises.
        mistake: the name of a mistake there.
        attempt: a learner's answer with this mistake.
    """

    figures: ClassVar[int]
    exercise: ClassVar[str]
    mistake: ClassVar[str]
    attempt: ClassVar[str]

    def test_every_figure_is_seen_whole_and_has_its_words(self, notebook: Notebook, screenshots):
        count = 0
        for place, cell in enumerate(notebook.cells):
            kinds = {kind for out in cell.get("outputs", []) for kind in out.get("data", {})}
            if not any(kind.startswith("image/") for kind in kinds):
                continue
            output = notebook.output(place)
            pictures = output.evaluate(PICTURES)
            drawings = output.locator("svg[role=img][aria-label]").count()
            assert pictures or drawings, f"cell {place} shows no picture"
            for picture in pictures:
                assert picture["loaded"], f"cell {place}: {picture}"
                assert picture["width"] > 0, f"cell {place}: {picture}"
                assert len(picture["alt"]) >= 15, f"cell {place}: {picture}"
                assert picture["inside"], f"cell {place} is cut off: {picture}"
            count += 1
            notebook.picture(screenshots / f"{self.stem[:2]}_cell_{place:03d}.png", output)
        captions = [c for c in notebook.cells if c["source"].startswith("**Figure ")]
        assert count == len(captions) > 0

    def test_outputs_can_be_read_on_light_and_on_dark_ground(self, notebook: Notebook, screenshots):
        faint = {}
        for theme in ("JupyterLab Dark", "JupyterLab Light"):
            change_theme(notebook, theme)
            for place, cell in enumerate(notebook.cells):
                kinds = {kind for out in cell.get("outputs", []) for kind in out.get("data", {})}
                if "text/html" in kinds or any("widget" in kind for kind in kinds):
                    output = notebook.output(place)
                    found = output.evaluate(FAINT, CONTRAST)
                    faint |= {(theme, place): found} if found else {}
                    if theme.endswith("Dark"):
                        file = f"{self.stem[:2]}_dark_{place:03d}.png"
                        notebook.picture(screenshots / file, output)
        assert faint == {}

    def test_the_keyboard_moves_every_control_and_its_figure(self, notebook: Notebook, screenshots):
        places = controls.interactive(notebook)
        assert len(places) == self.figures
        for place in places:
            output = notebook.output(place)
            found = controls.controls(output)
            assert found, f"cell {place} has nothing to move"
            for role, control in found:
                assert controls.move(control, role, output), f"cell {place}: {control}"
            notebook.picture(screenshots / f"{self.stem[:2]}_moved_{place:03d}.png", output)

    def test_tab_reaches_every_control_and_each_has_a_name(self, notebook: Notebook):
        for place in controls.interactive(notebook):
            output = notebook.output(place)
            for role in controls.MOVES:
                named = output.get_by_role(role, name=re.compile(r"\w"))
                assert named.count() == output.get_by_role(role).count(), f"cell {place}, {role}"
            for with_focus, without in controls.looks_when_reached(notebook, place):
                assert with_focus, f"Tab does not reach all of cell {place}"
                assert with_focus != without, f"the focus is not seen in cell {place}"

    def test_the_keyboard_opens_the_answers_of_the_quiz(self, notebook: Notebook):
        (place,) = (i for i, c in enumerate(notebook.cells) if c["source"].startswith("## Quiz"))
        quiz = notebook.cell(place)
        for answer in quiz.locator("details").all():
            text = answer.locator("p").first
            assert not text.is_visible()
            answer.locator("summary").press("Enter")
            text.wait_for()
            assert "\n" not in answer.locator("summary").inner_text()

    def test_an_exercise_wrong_then_right_and_the_chapter_goes_on(
        self, notebook: Notebook, screenshots
    ):
        task = get(self.exercise)
        head = f'@exercise("{task.number}")\n'
        place = notebook.find(re.escape(head))
        assert "not attempted" in notebook.text(place)

        notebook.write(place, head + self.attempt.strip())
        said = notebook.run(place)
        assert f"{task.title}: not right yet." in said
        assert task.mistakes[self.mistake].message in said
        assert errors_of(notebook.cells[place]) == []
        notebook.picture(screenshots / f"{self.stem[:2]}_wrong.png", notebook.cell(place))

        notebook.write(place, head + task.solution)
        said = notebook.run(place)
        assert f"{task.title}: passed." in said
        using = notebook.find(rf"\b{task.reference.__name__}\b", after=place)
        notebook.run(using)
        assert errors_of(notebook.cells[using]) == []
        notebook.picture(screenshots / f"{self.stem[:2]}_right.png", notebook.cell(place))


def change_theme(notebook: Notebook, theme: str) -> None:
    notebook.page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
    )
    wanted = "false" if theme.endswith("Dark") else "true"
    notebook.page.locator(f'body[data-jp-theme-light="{wanted}"]').wait_for(state="attached")
