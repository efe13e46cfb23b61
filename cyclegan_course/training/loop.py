"""The run: steps until it is over, and between them whatever is due."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import Source, UnpairedBatches, open_source
from cyclegan_course.errors import CourseError
from cyclegan_course.training import checkpoints, run_folder, samples
from cyclegan_course.training.config import Config, learning_rate_factor, run_progress
from cyclegan_course.training.distributed import Workers, joined
from cyclegan_course.training.fast_step import FastStep
from cyclegan_course.training.interruption import StopRequest, stop_requests
from cyclegan_course.training.state import State, build_state
from cyclegan_course.training.watching import OnSample, ProgressBar, SampleFiles, Watcher

LOG_EVERY = 0.5  # seconds: reading the losses makes a device wait
ROWS = 2000  # of the record until it is thinned out: later the moments lie further apart


@dataclass(frozen=True)
class Run:
    """What a training gives back.

    Attributes:
        finished: whether it came to its end; False if it was stopped.
        stopped_by: what asked for the stop, "" if nothing did.
    """

    config: Config
    source: Source
    model: CycleGAN
    steps: int
    seconds: float
    finished: bool
    stopped_by: str = ""
    record: list[dict[str, float]] = field(default_factory=list)
    measures: list[dict[str, float]] = field(default_factory=list)
    folder: Path | None = None


def train(
    config: Config,
    folder: Path | None = None,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    progress: bool = True,
    on_sample: Callable[[Tensor, int], None] | None = None,
    watchers: Sequence[Watcher] = (),
) -> Run:
    """Train a CycleGAN.

    With a folder, the run explains itself there: `config.json`, `losses.csv`, `metrics.csv`,
    `samples/`, `checkpoints/` and, ready to translate with, `generator/`. Stopping it (Ctrl-C, the
    notebook's stop button, SIGTERM) ends it after the step it is in, with everything saved.

    Args:
        config: what to train, and how.
        folder: where to write; nothing is written without one.
        device: by default the best one here.
        resume: continue from the newest whole checkpoint in `folder`, if there is one.
        progress: show a progress bar.
        on_sample: is given each sample grid, (3, H, W) in [-1, 1], and the step.
        watchers: are told what happens, see `watching.Watcher`.

    Raises:
        CourseError: for data that cannot be used, an unwritable folder, losses that are no
            longer numbers, or a checkpoint that does not fit.
    """
    with ExitStack() as stack:
        workers = stack.enter_context(joined())
        device = device or workers.device()
        source = open_source(
            config.data,
            config.loaded_size,
            progress=lambda files: tqdm(
                files, desc="reading pictures", disable=not progress, leave=False
            ),
        )
        for problem in source.skipped:
            tqdm.write(f"skipped: {problem}")
        state = build_state(config, device)
        everyone: list[Watcher] = []
        if workers.is_first:
            everyone += watchers
            if folder is not None:
                run_folder.prepare_folder(folder, resume=resume)
                everyone.append(SampleFiles(folder))
            if on_sample is not None:
                everyone.append(OnSample(on_sample))
            if progress:
                everyone.append(ProgressBar())
        if folder is not None and resume:
            checkpoints.resume(folder, state, config)
        if folder is not None and workers.is_first:
            run_folder.write_config(config, folder)
        stop = stack.enter_context(stop_requests())
        loop = _Loop(config, state, source, folder, device, workers, everyone, stop)
        loop.run()
        if stop.requested:
            tqdm.write(f"Stopped at step {state.step}. Everything up to here is kept.")
        if folder is not None and workers.is_first:
            loop.save()
            run_folder.write_generators(config, source, state, folder)
    return Run(
        config,
        source,
        state.model,
        state.step,
        state.seconds,
        run_progress(config, state.step, state.seconds) >= 1.0,
        stop.reason,
        state.record,
        state.measures,
        folder,
    )


@dataclass
class _Loop:
    config: Config
    state: State
    source: Source
    folder: Path | None
    device: torch.device
    workers: Workers
    watchers: list[Watcher]
    stop: StopRequest

    def run(self) -> None:
        """Steps until the run is over or a stop is asked for."""
        config, state = self.config, self.state
        batches = UnpairedBatches(
            self.source.train_A, self.source.train_B, config.size, config.batch, seed=config.seed
        )
        step = FastStep(state, config)
        began = time.perf_counter() - state.seconds
        self.logged = self.sampled = self.measured = self.saved = state.seconds
        steps_here, seconds_here = state.step, state.seconds
        self._tell("begin", config.name or self.source.name, self._progress())
        try:
            while (done := self._progress()) < 1.0 and not self._stop_asked():
                state.set_learning_rate(config.lr * learning_rate_factor(done))
                real_A, real_B = (images.to(self.device) for images in batches(state.step))
                terms = step(real_A, real_B)
                state.step += 1
                state.update_average()
                state.seconds = time.perf_counter() - began

                last = self._progress() >= 1.0
                if self._log_is_due() or last or state.step == 1:
                    steps, seconds = state.step - steps_here, state.seconds - seconds_here
                    self.log(terms, steps * 2 * config.batch / seconds)
                if self._is_due("sampled", config.sample_every) or last:
                    self.sample()
                if self._is_due("measured", config.measure_every) or last:
                    self.measure()
                if self._is_due("saved", config.save_every):
                    self.save()
        finally:
            self._tell("end")

    def log(self, terms: dict[str, Tensor], images_per_second: float) -> None:
        """Read the losses, keep them in the record and show them."""
        self.logged = self.state.seconds
        losses = {name: float(term) for name, term in terms.items()}
        _refuse_non_finite(losses, self.state.step)
        row = self._moment() | losses
        self.state.record.append(row)
        self._tell("losses", row, self._progress(), images_per_second)

    def sample(self) -> None:
        """Translate some held-out pictures and show them, if anybody looks."""
        self.sampled = self.state.seconds
        if self.watchers:
            grid = samples.sample_grid(self.state.generators, self.source, self.device)
            self._tell("samples", grid, self.state.step)

    def measure(self) -> None:
        """Measure held-out pictures; what is best so far is saved as the best."""
        self.measured = self.state.seconds
        if self.folder is None:
            return
        values = samples.measure_held_out(self.state.generators, self.source, self.device)
        row = self._moment() | values
        self.state.measures.append(row)
        self._tell("measures", row)

    def save(self) -> None:
        """Write a checkpoint and the tables."""
        self.saved = self.state.seconds
        if self.folder is None:
            return
        checkpoints.save_checkpoint(
            checkpoints.checkpoint_file(self.folder, self.state.step), self.state, self.config
        )
        run_folder.write_tables(self.state, self.folder)

    def _progress(self) -> float:
        return run_progress(self.config, self.state.step, self.state.seconds)

    def _stop_asked(self) -> bool:
        if any(watcher.stop_requested for watcher in self.watchers):
            self.stop.ask("stop button")
        return self.stop.requested

    def _moment(self) -> dict[str, float]:
        return {"step": self.state.step, "seconds": round(self.state.seconds, 2)}

    def _log_is_due(self) -> bool:
        return self._is_due("logged", max(LOG_EVERY, self.state.seconds / ROWS))

    def _is_due(self, what: str, every: float) -> bool:
        return self.state.seconds - getattr(self, what) >= every

    def _tell(self, event: str, *facts) -> None:
        for watcher in self.watchers:
            getattr(watcher, event)(*facts)


def _refuse_non_finite(losses: dict[str, float], step: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise CourseError(
            f"At step {step} the loss {' and '.join(bad)} is no longer a number, so the training "
            "stopped; the last checkpoint is still good. Lower the learning rate (lr) and resume."
        )
