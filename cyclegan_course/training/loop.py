"""The run: steps until it is over, and between them whatever is due."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cyclegan_course.batches import Batches, WorkerBatches, batches_for
from cyclegan_course.cut import CUT
from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.datasets import Source, open_source
from cyclegan_course.display import in_notebook
from cyclegan_course.errors import CourseError
from cyclegan_course.training import checkpoints, run_folder, samples, trouble
from cyclegan_course.training.config import Config, learning_rate_factor, run_progress
from cyclegan_course.training.deterministic import deterministic_mode
from cyclegan_course.training.distributed import Workers, joined
from cyclegan_course.training.fast_step import FastStep
from cyclegan_course.training.interruption import StopRequest, stop_requests
from cyclegan_course.training.state import State, build_state
from cyclegan_course.training.watching import (
    Audience,
    OnSample,
    ProgressBar,
    RecentRate,
    SampleFiles,
    Watcher,
)

LOG_EVERY = 0.5  # seconds: reading the losses makes a device wait
SPEED_OVER = 5.0  # seconds: images per second are those of the last moments, not since the start
SAVING_SHARE = 0.02  # of the run's time, at most
LOOKING_SHARE = 0.1  # the same for samples, and for measures: large pictures on a CPU take minutes
SKIPPED_SHOWN = 20
# Rows of the record, and sample grids, until they are thinned out: later they lie further apart.
ROWS, GRIDS = 2000, 100


@dataclass(frozen=True)
class Run:
    """What a training gives back.

    Attributes:
        generators: G_AB and G_BA, averaged if the run keeps an average, else those of `model`;
            of CUT G_AB alone.
        finished: whether it came to its end; False if it was stopped.
        stopped_by: what asked for the stop, "" if nothing did.
        is_first: whether this process speaks for all, see `distributed.Workers`.
    """

    config: Config
    source: Source
    model: CycleGAN | CUT
    generators: dict[str, nn.Module]
    steps: int
    seconds: float
    finished: bool
    stopped_by: str = ""
    record: list[dict[str, float]] = field(default_factory=list)
    measures: list[dict[str, float]] = field(default_factory=list)
    folder: Path | None = None
    is_first: bool = True


def train(
    config: Config,
    folder: Path | None = None,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    progress: bool = True,
    on_sample: Callable[[Tensor, int], None] | None = None,
    watchers: Sequence[Watcher] = (),
    stages: Sequence[float] = (),
) -> Run:
    """Train a CycleGAN, or with `config.method` another translator.

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
        stages: shares of the run, from 0 (before the first step) to 1 (its end), after which the
            generators are kept, in `stages/step_NNNNNNN/`; with a folder only.

    Raises:
        CourseError: for data that cannot be used, an unwritable folder, losses that are no
            longer numbers, or a checkpoint that does not fit.
    """
    with ExitStack() as stack:
        workers = stack.enter_context(joined())
        workers.share(config.batch)  # says at once what is wrong with it
        device = device or workers.device()
        # Not into a log file, where a bar would be one endless line.
        seen = progress and workers.is_first and (in_notebook() or sys.stderr.isatty())
        bar = partial(tqdm, disable=not seen, leave=False)
        source = open_source(
            config.data,
            config.loaded_size,
            progress=partial(bar, desc="reading pictures"),
        )
        stack.enter_context(deterministic_mode(config.deterministic))
        stack.enter_context(trouble.out_of_memory(config, device))
        state = build_state(config, device)
        everyone: list[Watcher] = []
        if workers.is_first:
            everyone += watchers
            if folder is not None:
                run_folder.prepare_folder(folder, resume=resume)
                everyone.append(SampleFiles(folder))
            if on_sample is not None:
                everyone.append(OnSample(on_sample))
            if progress and not any(watcher.speaks for watcher in watchers):
                everyone.append(ProgressBar())
        audience = Audience(everyone)
        for problem in source.skipped[:SKIPPED_SHOWN]:
            audience.say(f"skipped: {problem}")
        if len(source.skipped) > SKIPPED_SHOWN:
            audience.say(f"skipped: {len(source.skipped) - SKIPPED_SHOWN} more")
        for sentence in source.notes if audience else ():
            audience.say(sentence)
        if folder is not None and resume:
            for sentence in checkpoints.resume(folder, state, config):
                audience.say(sentence)
        workers.require_equal(
            step=state.step,
            pictures_of_A=len(source.train_A),
            pictures_of_B=len(source.train_B),
        )
        if folder is not None and workers.is_first:
            run_folder.write_config(config, folder)
            # What was recorded after the checkpoint is made again.
            run_folder.write_tables(state, folder)
        batches = batches_for(
            source,
            config.size,
            config.batch,
            config.seed,
            device,
            rank=workers.rank,
            processes=workers.size,
            steps=None if config.steps is None else config.steps - state.step,
            progress=partial(bar, desc="drawing scenes"),
        )
        stack.callback(batches.close)
        if device.type != "cpu" or isinstance(batches, WorkerBatches):
            audience.say(batches.says)
        # From here on Ctrl-C ends the run after a step; before, there was nothing to keep.
        stop = stack.enter_context(stop_requests())
        written = folder if workers.is_first else None
        loop = _Loop(
            config, state, source, batches, written, device, workers, audience, stop, tuple(stages)
        )
        began_at = state.step
        loop.run()
        if stop.requested:
            audience.say(f"Stopped at step {state.step}. Everything up to here is kept.")
        if folder is not None and workers.is_first:
            loop.save()
            # A card says where and when its generators were trained: not anew, if nothing was.
            if state.step > began_at or run_folder.step_of_generators(state, folder) != state.step:
                run_folder.write_generators(config, source, state, folder)
    return Run(
        config,
        source,
        state.model,
        state.generators,
        state.step,
        state.seconds,
        run_progress(config, state.step, state.seconds) >= 1.0,
        stop.reason,
        state.record,
        state.measures,
        folder,
        workers.is_first,
    )


@dataclass
class _Loop:
    config: Config
    state: State
    source: Source
    batches: Batches
    folder: Path | None
    device: torch.device
    workers: Workers
    watchers: Audience
    stop: StopRequest
    stages: tuple[float, ...] = ()

    def run(self) -> None:
        """Steps until the run is over or a stop is asked for."""
        config, state = self.config, self.state
        step = FastStep(state, config, workers=self.workers)
        began = time.perf_counter() - state.seconds
        self.logged = self.sampled = self.measured = self.saved = state.seconds
        steps_per_second = RecentRate(SPEED_OVER)
        steps_per_second(state.seconds, state.step)
        self.watchers.begin(config.name or self.source.name, self._progress())
        if state.step:
            self.watchers.resumed(state.record, state.measures)
        elif 0 in self.stages:
            self.keep_stage()
        try:
            while not self._stop_agreed() and (done := self._progress()) < 1.0:
                state.set_learning_rate(config.lr * learning_rate_factor(done))
                terms = step(*self.batches(state.step))
                while step.notes:
                    self.watchers.say(step.notes.pop(0))
                state.step += 1
                state.update_average()
                state.seconds = time.perf_counter() - began

                now = self._progress()
                last = now >= 1.0
                log_is_due = self._log_is_due() or last or state.step == 1
                if log_is_due and self.workers.is_first:
                    speed = steps_per_second(state.seconds, state.step) or 0.0
                    self.log(terms, 2 * config.batch * speed)
                if self._is_due("sampled", self._thinned(config.sample_every, GRIDS)) or last:
                    self.sample()
                if self._is_due("measured", config.measure_every) or last:
                    self.measure()
                if any(done < share <= now for share in self.stages):
                    self.keep_stage()
                if self._is_due("saved", config.save_every):
                    self.save()
        finally:
            self.watchers.end()

    def log(self, terms: dict[str, Tensor], images_per_second: float) -> None:
        """Read the losses, keep them in the record and show them."""
        self.logged = self.state.seconds
        losses = {name: float(term) for name, term in terms.items()}
        trouble.refuse_non_finite(self.state, losses, self.config, self.folder)
        row = self._moment() | losses
        self.state.record.append(row)
        self.watchers.losses(row, self._progress(), images_per_second)

    def sample(self) -> None:
        """Translate some held-out pictures and show them, if anybody looks."""
        began = time.perf_counter()
        if self.watchers:
            grid = samples.sample_grid(self.state.generators, self.source, self.device)
            self.watchers.samples(grid, self.state.step)
        self.sampled = self._looked(self.config.sample_every, began)

    def measure(self) -> None:
        """Measure held-out pictures; what is best so far is saved as the best."""
        self.measured = self.state.seconds
        if self.folder is None:
            return
        trouble.refuse_non_finite(self.state, {}, self.config, self.folder)
        began = time.perf_counter()
        values = samples.measure_held_out(self.state.generators, self.source, self.device)
        row = self._moment() | values
        self.state.measures.append(row)
        self.watchers.measures(row)
        *earlier, score = (samples.score(row, self.config.best) for row in self.state.measures)
        if math.isfinite(score) and not any(other <= score for other in earlier):
            self.save(best=True)
        self.measured = self._looked(self.config.measure_every, began)

    def keep_stage(self) -> None:
        """Keep the generators of this step; without room for them the run goes on."""
        if self.folder is None:
            return
        place = run_folder.stage_folder(self.folder, self.state.step)
        try:
            run_folder.write_generators(self.config, self.source, self.state, place)
        except CourseError as error:
            self.watchers.say(f"{error} The run goes on without this stage.")

    _saved_step = -1
    _has_warned = False

    def save(self, best: bool = False) -> None:
        """Write a checkpoint and the tables; the best one's generators too.

        A full disk ends the run only if there is no later step to try it again.
        """
        self.saved = now = self.state.seconds
        if self.folder is None or self._saved_step == self.state.step:
            return
        trouble.refuse_non_finite(self.state, {}, self.config, self.folder)
        began = time.perf_counter()
        try:
            checkpoints.add_checkpoint(self.folder, self.state, self.config, best=best)
            run_folder.write_tables(self.state, self.folder)
            if best:
                best_folder = self.folder / "best"
                run_folder.write_generators(self.config, self.source, self.state, best_folder)
            self._saved_step = self.state.step
        except CourseError as error:
            if self.stop.requested or self._progress() >= 1.0:
                raise
            if not self._has_warned:
                self.watchers.say(f"{error} The run goes on and tries it again later.")
            self._has_warned = True
        # On a slow disk less often than asked for: saving takes a small share of the time.
        pause = (time.perf_counter() - began) / SAVING_SHARE
        if self.config.save_every > 0:
            self.saved = now + max(0.0, pause - self.config.save_every)

    def _looked(self, every: float, began: float) -> float:
        """From when on to count to the next look: less often than asked for if looking is slow."""
        pause = (time.perf_counter() - began) / LOOKING_SHARE
        return self.state.seconds + (max(0.0, pause - every) if every > 0 else 0.0)

    def _progress(self) -> float:
        return run_progress(self.config, self.state.step, self.state.seconds)

    def _stop_agreed(self) -> bool:
        """Whether any process was asked to stop; all now have the time of the first one."""
        if self.watchers.stop_requested:
            self.stop.ask("stop button")
        stop, self.state.seconds = self.workers.agree(self.stop.requested, self.state.seconds)
        if stop:
            self.stop.ask("another process")
        return stop

    def _moment(self) -> dict[str, float]:
        return {"step": self.state.step, "seconds": round(self.state.seconds, 2)}

    def _log_is_due(self) -> bool:
        return self._is_due("logged", self._thinned(LOG_EVERY, ROWS))

    def _thinned(self, every: float, count: int) -> float:
        """Seconds between moments: longer later, so that a long run does not fill the disk."""
        return max(every, self.state.seconds / count) if every > 0 else 0.0

    def _is_due(self, what: str, every: float) -> bool:
        return self.state.seconds - getattr(self, what) >= every
