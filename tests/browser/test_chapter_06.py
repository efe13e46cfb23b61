"""Chapter 6 in a real browser: a training is watched, stopped in two ways, and goes on."""

import re

from .chapter import Chapter
from .notebook import Notebook, comes_true, errors_of

STOPPED = r"Stopped at step (\d+)\. Everything up to here is kept\."
# The step in the line of a training that runs.
STEP = """(node => Number((node.innerText.match(/, step (\\d+), /) ?? [0, 0])[1]))"""


class TestChapter06(Chapter):
    stem = "06_full_training"
    figures = 0
    exercise = "6.1"
    mistake = "writes in place"
    attempt = """
def write_whole(file, write):
    write(file)
"""

    def test_a_training_is_stopped_and_goes_on(self, notebook: Notebook, screenshots):
        notebook.run(notebook.find(r"^if TRAIN == .short.:\n    shutil\.rmtree"))
        place = notebook.find(r"^def train_or_go_on")

        notebook.start(place)
        wait_for_step(notebook, place, 30)
        notebook.picture(screenshots / "06_training.png", notebook.cell(place))
        button = notebook.cell(place).get_by_role("button", name="Stop")
        button.focus()
        notebook.page.keyboard.press("Enter")
        first = stopped_at(notebook, place)
        assert 30 <= first < 200
        notebook.picture(screenshots / "06_stopped.png", notebook.cell(place))

        notebook.start(place)
        assert wait_for_step(notebook, place, first + 1) > first
        notebook.page.keyboard.press("Escape")
        notebook.page.keyboard.press("i")
        notebook.page.keyboard.press("i")  # the notebook's own stop button
        second = stopped_at(notebook, place)
        assert first < second < 240

        said = notebook.run(place)
        assert "100 %, finished at step 240" in said
        assert not re.search(STOPPED, said)
        assert errors_of(notebook.cells[place]) == []
        losses = notebook.run(notebook.find(r"losses\.csv", after=place))
        assert "240 steps in" in losses


def wait_for_step(notebook: Notebook, place: int, step: int) -> int:
    """Wait until the training has passed a step. Returns the one that it is at."""
    output = notebook.cell(place).locator(".jp-Cell-outputArea")
    output.get_by_role("button", name="Stop").wait_for()
    line = output.element_handle()
    ran = comes_true(notebook.page, f"([node, step]) => {STEP}(node) >= step", [line, step])
    assert ran, f"no step {step} was seen.\n{notebook.lab.last_words()}"
    return output.evaluate(STEP)


def stopped_at(notebook: Notebook, place: int) -> int:
    """Wait for the end of the cell. Returns the step at which it says that it was stopped."""
    said = notebook.wait(place)
    assert errors_of(notebook.cells[place]) == []
    assert "ended early" in said
    return int(re.search(STOPPED, said)[1])
