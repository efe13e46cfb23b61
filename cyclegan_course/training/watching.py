"""Those who watch a run: each is told what happens and shows it in its own way."""

import sys
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from cyclegan_course.display import in_notebook
from cyclegan_course.errors import CourseError
from cyclegan_course.images import save_picture, tensor_to_picture


class Watcher:
    """Is told what happens in a run; the base class shows nothing.

    The training calls these methods from its own thread, between steps. A watcher that sets
    `stop_requested` ends the run after the step. One that fails is reported once; the run goes on.

    Attributes:
        speaks: whether it shows the progress and says sentences, so that no bar is needed beside
            it.
        stop_requested: whether the run shall end after this step.
    """

    speaks: bool = False
    stop_requested: bool = False

    def begin(self, title: str, progress: float) -> None:
        """The run starts, or goes on, with this share of it (0 to 1) already done."""

    def resumed(self, record: Sequence[dict], measures: Sequence[dict]) -> None:
        """After `begin`, if the run goes on: its rows of losses and of measures up to here."""

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        """About twice a second: step, seconds and every loss term by name."""

    def samples(self, grid: Tensor, step: int) -> None:
        """A grid of held-out pictures, (3, H, W) in [-1, 1]."""

    def measures(self, row: dict[str, float]) -> None:
        """Measures of held-out pictures: step, seconds and values by name."""

    def say(self, sentence: str) -> None:
        """Something a person should know; it may come before `begin` and after `end`."""

    def end(self) -> None:
        """The run is over, in whatever way."""


class Audience(Watcher):
    """All watchers of a run as one. What one of them does wrong does not stop the run."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self.watchers = list(watchers)
        self._reported: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self.watchers)

    @property
    def stop_requested(self) -> bool:
        return any([self._try(watcher, _asks_to_stop) for watcher in self.watchers])

    def begin(self, title: str, progress: float) -> None:
        self._tell("begin", title, progress)

    def resumed(self, record: Sequence[dict], measures: Sequence[dict]) -> None:
        self._tell("resumed", record, measures)

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        self._tell("losses", row, progress, images_per_second)

    def samples(self, grid: Tensor, step: int) -> None:
        self._tell("samples", grid, step)

    def measures(self, row: dict[str, float]) -> None:
        self._tell("measures", row)

    def say(self, sentence: str) -> None:
        self._tell("say", sentence)

    def end(self) -> None:
        self._tell("end")

    def _tell(self, event: str, *facts) -> None:
        for watcher in self.watchers:
            self._try(watcher, lambda one: getattr(one, event)(*facts))

    def _try(self, watcher: Watcher, call: Callable[[Watcher], object]) -> object:
        try:
            return call(watcher)
        except Exception as error:
            if id(watcher) not in self._reported:
                self._reported.add(id(watcher))
                reason = str(error) if isinstance(error, CourseError) else repr(error)
                sentence = f"{type(watcher).__name__} failed; the training goes on. {reason}"
                if any(one.speaks for one in self.watchers):
                    self.say(sentence)
                else:
                    warnings.warn(sentence, stacklevel=2)
            return None


def _asks_to_stop(watcher: Watcher) -> bool:
    return watcher.stop_requested


class RecentRate:
    """How fast something grows, over the last moments: what is longer ago is forgotten.

    Args:
        window: seconds to look back.
    """

    def __init__(self, window: float) -> None:
        self.window = window
        self._points: deque[tuple[float, float]] = deque()

    def __call__(self, seconds: float, amount: float) -> float | None:
        """Growth per second up to this moment; None at the first call."""
        self._points.append((seconds, amount))
        while len(self._points) > 2 and self._points[1][0] <= seconds - self.window:
            self._points.popleft()
        first_seconds, first_amount = self._points[0]
        if seconds <= first_seconds:
            return None
        return (amount - first_amount) / (seconds - first_seconds)


class TimeLeft:
    """The seconds that a run still needs, from its progress in the last minute.

    At first, also right after a resume, the progress of the whole run so far decides.
    """

    WINDOW, ENOUGH = 60.0, 5.0  # seconds

    def __init__(self) -> None:
        self._rate = RecentRate(self.WINDOW)
        self._first: float | None = None

    def __call__(self, seconds: float, progress: float) -> float | None:
        """Seconds left after `seconds` of training and this share of it; None while unknown."""
        self._first = seconds if self._first is None else self._first
        rate = self._rate(seconds, progress)
        if seconds - self._first < self.ENOUGH and seconds > 0:
            rate = progress / seconds
        return (1 - progress) / rate if rate else None


def clock(seconds: float | None) -> str:
    """25 as "00:25", 5000 as "1:23:20"; unknown as "?"."""
    return "?" if seconds is None else tqdm.format_interval(seconds)


def summary(row: dict[str, float], images_per_second: float) -> str:
    """The losses of one moment in a line."""
    adversarial_G, adversarial_D, content = (
        [value for name, value in row.items() if name.startswith(kinds)]
        for kinds in (("G_",), ("D_",), ("cycle_", "nce_"))
    )
    what = "cycle" if "cycle_A" in row else "patches"
    return (
        f"step {row['step']}, {images_per_second:.1f} images/s, G {_listed(adversarial_G)}, "
        f"{what} {sum(content):.2f}, D {_listed(adversarial_D)}"
    )


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


class ProgressBar(Watcher):
    """Share done, time left, steps, images per second and losses: a bar, or lines in a log file."""

    speaks = True
    BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
    # A log gets a line every 10 seconds, later after each hundredth of the time: some hundred in
    # a day.
    LINE_EVERY, LINES = 10.0, 100

    def begin(self, title: str, progress: float) -> None:
        self.title, self.line, self.printed = title, "", None
        self.time_left = TimeLeft()
        self.is_bar = in_notebook() or sys.stderr.isatty()
        self.bar = tqdm(
            total=100,
            initial=100 * progress,
            desc=title,
            bar_format=self.BAR,
            disable=not self.is_bar,
        )

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        left = f"{clock(self.time_left(row['seconds'], progress))} left"
        text = summary(row, images_per_second)
        if self.is_bar:
            self.bar.set_postfix_str(f"{left}, {text}", refresh=False)
            self.bar.n = round(100 * progress, 1)
            self.bar.refresh()
            return
        self.line = f"{self.title} {100 * progress:3.0f}%, {left}, {text}"
        every = max(self.LINE_EVERY, row["seconds"] / self.LINES)
        if self.printed is None or row["seconds"] - self.printed >= every:
            self.printed = row["seconds"]
            self._print()

    def say(self, sentence: str) -> None:
        tqdm.write(sentence)

    def end(self) -> None:
        self._print()
        self.bar.close()

    def _print(self) -> None:
        if self.line:
            print(self.line, file=sys.stderr, flush=True)
            self.line = ""


class SampleFiles(Watcher):
    """Writes each sample grid to `samples/` in the run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def samples(self, grid: Tensor, step: int) -> None:
        save_picture(tensor_to_picture(grid), self.folder / "samples" / f"step_{step:07d}.png")


class OnSample(Watcher):
    """Hands each sample grid and its step to a function."""

    def __init__(self, function: Callable[[Tensor, int], None]) -> None:
        self.function = function

    def samples(self, grid: Tensor, step: int) -> None:
        self.function(grid, step)


class TensorBoard(Watcher):
    """Writes losses, measures and samples for TensorBoard, into `tensorboard/` of a run's folder.

    To look at them: `tensorboard --logdir runs`.

    Raises:
        CourseError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise CourseError(
                "TensorBoard is not installed: run pip install tensorboard, or train without "
                "--log tensorboard."
            ) from error
        self._open = SummaryWriter
        self.folder = folder / "tensorboard"
        self.writer = None

    def losses(self, row: dict[str, float], progress: float, images_per_second: float) -> None:
        self._scalars("loss", row)
        self._writer(row["step"]).add_scalar("images_per_second", images_per_second, row["step"])

    def measures(self, row: dict[str, float]) -> None:
        self._scalars("held_out", row)

    def samples(self, grid: Tensor, step: int) -> None:
        picture = ((grid + 1) / 2).clamp(0, 1)
        self._writer(step).add_image("held_out/translations", picture, step)

    def end(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _scalars(self, group: str, row: dict[str, float]) -> None:
        writer = self._writer(row["step"])
        for name, value in row.items():
            if name not in ("step", "seconds"):
                writer.add_scalar(f"{group}/{name}", value, row["step"])

    def _writer(self, step: int):
        # Opened at the first step that is told: what an interrupted run wrote from there on is
        # hidden then (purge_step), as those steps are made again.
        if self.writer is None:
            self.writer = self._open(self.folder, purge_step=int(step), flush_secs=10)
        return self.writer
