"""A training run, live in a notebook."""

import math
import time
from collections.abc import Sequence
from html import escape

import ipywidgets
from torch import Tensor

from cyclegan_course.display import bundle
from cyclegan_course.plots.curves import run_figure
from cyclegan_course.plots.style import figure_bytes
from cyclegan_course.training.watching import TimeLeft, Watcher, clock
from cyclegan_course.widgets.busy_kernel import answer_widgets, running_kernel

DRAW_EVERY = 2.0  # seconds between two pictures, at the least
DRAW_SHARE = 0.05  # of the time, at the most
PICTURES = 100  # a long run draws after about each hundredth of its time


class Dashboard(Watcher):
    """Progress, samples, losses and measures of a run in a cell's output, and a button to stop it.

        train(config, folder, watchers=[Dashboard()])

    The button ends the run after the step it is in, with everything saved; so does the notebook's
    own stop button. What stays in the notebook is the last state, as a plain picture and a line
    of text. Outside a notebook nothing is shown, and the training has its progress bar.

    Args:
        lsgan: mark the loss of a discriminator that only guesses, as `plots.loss_curves` does.
    """

    def __init__(self, lsgan: bool = True) -> None:
        self.lsgan = lsgan
        self._kernel = running_kernel()
        self.speaks = self._kernel is not None
        self._notes: list[str] = []
        self._controls: _Controls | None = None

    @property
    def stop_requested(self) -> bool:
        if self._controls is None:
            return False
        if self._kernel is not None:
            try:
                answer_widgets(self._kernel)
            except Exception:
                self._kernel = None  # of a kind that is unknown here
                self.say("If the button does not answer, use the notebook's own stop button.")
        return self._controls.stop_clicked

    def begin(self, title: str, progress: float) -> None:
        self._title, self._progress, self._facts = title, progress, "starting"
        self._record: list[dict] = []
        self._measures: list[dict] = []
        self._grid: Tensor | None = None
        self._time_left = TimeLeft()
        self._drawn, self._cost = -math.inf, 0.0
        if self.speaks:
            self._controls = _Controls()
            self._show_line()
            self._picture = _Place(f"{title}: the first picture comes soon.")

    def resumed(self, record: Sequence[dict], measures: Sequence[dict]) -> None:
        self._record, self._measures = list(record), list(measures)

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        self._record.append(row)
        self._progress = progress
        left = clock(self._time_left(row["seconds"], progress))
        self._facts = (
            f"step {row['step']}, {clock(row['seconds'])} so far, {left} left, "
            f"{images_per_second:.1f} images/s"
        )
        self._show_line()
        pause = max(DRAW_EVERY, self._cost / DRAW_SHARE, row["seconds"] / PICTURES)
        if len(self._record) > 1 and time.perf_counter() - self._drawn >= pause:
            self._draw()

    def samples(self, grid: Tensor, step: int) -> None:
        is_first = self._grid is None
        self._grid = grid
        if is_first:
            self._draw()

    def measures(self, row: dict[str, float]) -> None:
        self._measures.append(row)

    def say(self, sentence: str) -> None:
        self._notes.append(sentence)
        self._show_line()

    def end(self) -> None:
        if self._controls is None:
            return
        if self._progress >= 1 and self._record:
            last = self._record[-1]
            self._facts = f"finished at step {last['step']}, after {clock(last['seconds'])}"
        else:
            self._facts = "ended early"  # at which step, the training says
        self._controls.close()
        self._show_line()
        self._draw()

    def _show_line(self) -> None:
        if self._controls is not None:
            line = f"{self._title}: {100 * self._progress:.0f} %, {self._facts}"
            self._controls.show(line, self._progress, self._notes)

    def _draw(self) -> None:
        if self._controls is None:
            return
        began = time.perf_counter()
        figure = run_figure(self._record, self._measures, self._grid, lsgan=self.lsgan)
        self._picture.show(self._words(), image=figure_bytes(figure, dpi=90))
        self._drawn = time.perf_counter()
        self._cost = self._drawn - began

    def _words(self) -> str:
        """The picture in words."""
        words = [f"Training of {self._title}"]
        if self._grid is not None:
            one_way = bool(self._record) and "G_BA" not in self._record[0]
            way_back = "" if one_way else ", and back; B, B to A, and back"
            words.append(f"Held-out pictures in rows: A, A to B{way_back}")
        for what, rows in (("Losses", self._record), ("Measures", self._measures)):
            if rows:
                values = [
                    f"{k} {v:.3g}" for k, v in rows[-1].items() if k not in ("step", "seconds")
                ]
                words.append(f"{what} at step {rows[-1]['step']}: {', '.join(values)}")
        return ". ".join(words) + "."


class _Controls:
    """The stop button with a line beside it; at the end the line alone, which needs no kernel."""

    def __init__(self) -> None:
        self.stop_clicked = False
        self.button = ipywidgets.Button(
            description="Stop",
            icon="stop",
            tooltip="End the training after this step, with everything saved",
            layout={"width": "auto", "flex": "0 0 auto"},
        )
        self.button.on_click(self._stop)
        self.line = ipywidgets.HTML(layout={"margin": "0 0 0 10px"})
        self.box = ipywidgets.HBox([self.button, self.line])
        self.place = _Place("Training. The notebook's own stop button ends it.", widget=self.box)
        self.is_open = True

    def show(self, line: str, progress: float, notes: Sequence[str]) -> None:
        lines = "<br>".join(escape(each) for each in (line, *notes))
        if self.is_open:
            self.line.value = (
                f'<progress max="1" value="{progress:.4f}" aria-label="share of the training" '
                f'style="width: 14em; vertical-align: middle"></progress> {lines}'
            )
        else:
            self.place.show("\n".join([line, *notes]), html=f"<div>{lines}</div>")

    def close(self) -> None:
        self.is_open = False
        for widget in (self.button, self.line, self.box):
            widget.close()

    def _stop(self, _button: ipywidgets.Button) -> None:
        self.stop_clicked = True
        self.button.description, self.button.disabled = "Stopping", True


class _Place:
    """A place in a cell's output that can be filled again; takes what `display.bundle` takes."""

    def __init__(self, text: str, **forms) -> None:
        from IPython.display import display

        parts = bundle(text, **forms)
        self._handle = display(parts["data"], metadata=parts["metadata"], raw=True, display_id=True)

    def show(self, text: str, **forms) -> None:
        parts = bundle(text, **forms)
        self._handle.update(parts["data"], metadata=parts["metadata"], raw=True)
