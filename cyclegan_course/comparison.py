"""Trained runs compared: last against best, several seeds, baselines, and the stages of one run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclegan_course import environment, worlds
from cyclegan_course.contenders import (
    Contender,
    by_label,
    by_settings,
    contenders,
    load_contender,
)
from cyclegan_course.datasets import middle_square, open_source
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.metrics.evaluation import (
    Task,
    measure_fully,
    tasks_of_pictures,
    tasks_of_world,
    translated,
)
from cyclegan_course.metrics.features import FeatureNetwork, load_features
from cyclegan_course.metrics.intervals import LEVEL, RESAMPLES
from cyclegan_course.metrics.table import Row, over_seeds

Progress = Callable[[Sequence], Iterable]


class Comparison(NamedTuple):
    """The rows of the table, and all that a stranger needs to measure the same."""

    rows: list[Row]
    protocol: dict


def compare(
    names: Sequence[str],
    data: str | None = None,
    count: int = 64,
    size: int = 128,
    features: str = "course",
    seed: int = 0,
    progress: Progress = iter,
) -> Comparison:
    """Measure trained generators, each with the baselines, in both directions.

    Those that share their data share the pictures too, so their rows can be compared; and runs
    that differ in nothing but their seed get one more row, with the mean and range over the seeds.

    Args:
        names: shipped names or folders of runs.
        data: world or folder to measure on; by default what each was trained on.
        count: pictures to translate per direction, and as many of the target domain; a folder may
            have fewer.
        size: their size in pixels: the short side is brought to it, and the middle square taken.
        features: network behind KID and FID as `load_features` knows it, or "none".
        seed: of the bootstrap.
        progress: wraps the list of what is to be measured, `tqdm` for instance.

    Raises:
        CourseError: if there is nothing to measure, or nothing to measure on.
    """
    network = None if features == "none" else load_features(features)
    teams: dict[str, list[Contender]] = {}
    for name in dict.fromkeys(names):
        for contender in contenders(name):
            teams.setdefault(str(data or contender.data), []).append(contender)
    rounds = [_open_round(team, data, count, size, network) for team in teams.values()]
    rows = []
    for each in rounds:
        found = [_run(job, seed) for job in progress(each.jobs())]
        rows += _with_seeds(found, each.team)
    return Comparison(rows, _protocol(rounds, size, network, seed))


def measure_stages(
    folder: str | Path,
    count: int = 48,
    size: int = 64,
    features: FeatureNetwork | None = None,
    data: str | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> list[Row]:
    """The generators of one run at several moments, on the same held-out pictures.

    Args:
        folder: holds a folder `step_NNNNN` for each moment, each with the generators.
        count, size, data, seed, progress: as for `compare`.
        features: network behind KID and FID; None for neither.

    Returns:
        One row for each stage, with its `step`, in the order of the steps: A to B, then B to A.

    Raises:
        CourseError: if the folder has no such folders in it.
    """
    places = sorted(Path(folder).glob("step_*"), key=lambda place: place.name)
    if not places:
        raise CourseError(
            f"{str(folder)!r} has no stages (folders step_NNNNN with generators): train with "
            "stages, as train(config, folder, stages=(0.1, 1)) does, and give folder / 'stages'."
        )
    stages = [load_contender(place.name, "CycleGAN", place) for place in places]
    tasks = _open_round(stages[-1:], data, count, size, features).tasks
    jobs = [_Job(task, "CycleGAN", None, stage) for task in tasks for stage in stages]
    return [_run(job, seed) for job in progress(jobs)]


class _Job(NamedTuple):
    """One row to come: of a contender, of ready-made pictures, or (neither) the floor."""

    task: Task
    method: str
    fake: Tensor | None = None
    contender: Contender | None = None


class _Round(NamedTuple):
    """All who are measured on the same pictures, by what stands for them in the table."""

    label: str
    team: dict[str, Contender]
    tasks: tuple[Task, Task]
    facts: dict

    def jobs(self) -> list[_Job]:
        jobs = []
        for task in self.tasks:
            backward = task.direction.endswith("B to A")
            team = {
                method: one
                for method, one in self.team.items()
                if one.G_BA is not None or not backward
            }
            if team:
                jobs += [_Job(task, method, fake) for method, fake in task.baselines().items()]
                jobs += [_Job(task, method, None, one) for method, one in team.items()]
                jobs += [] if task.real is None else [_Job(task, "floor")]
        return jobs


def _run(job: _Job, seed: int) -> Row:
    task = job.task
    if job.contender is None:
        if job.fake is None:
            return task.floor()
        return measure_fully(task, job.method, job.fake, seed=seed)
    there, back = job.contender.G_AB, job.contender.G_BA
    if task.direction.endswith("B to A"):
        there, back = back, there
    fake = translated(there.translate_tensor, task.source)
    rec = None if back is None else translated(back.translate_tensor, fake)
    return measure_fully(task, job.method, fake, rec, job.contender.step, seed)


def _with_seeds(rows: Sequence[Row], team: dict[str, Contender]) -> list[Row]:
    """The rows, and in each direction one more for runs that differ in their seed alone."""
    result = list(rows)
    for labels in by_settings(team):
        for direction in dict.fromkeys(row.direction for row in rows):
            found = [r for r in rows if r.direction == direction and r.method in labels]
            if not found:
                continue
            method = f"mean of {len(found)} seeds, {team[labels[0]].kind}"
            result.insert(result.index(found[-1]) + 1, over_seeds(found, method))
    return result


def _open_round(
    team: Sequence[Contender],
    data: str | None,
    count: int,
    size: int,
    network: FeatureNetwork | None,
) -> _Round:
    """The pictures of both directions, of `data` or of what the team was trained on."""
    chosen = data or team[0].data
    if chosen in worlds.WORLDS:
        label, pictures = chosen, "held-out scenes of a world; floor: the truth"
        tasks = tasks_of_world(chosen, count, size, network)
    else:
        try:
            source = open_source(chosen, size)
        except CourseError as error:
            if data is not None:
                raise
            raise CourseError(
                f"{team[0].name!r} was trained on pictures that are not here; name a folder that "
                f"holds trainA, trainB, testA and testB with --data. ({error})"
            ) from error
        label = source.name
        pictures = "pictures in folders; floor: training pictures of the target domain"
        test_A, test_B = (_squares(p, size, count) for p in (source.test_A, source.test_B))
        more_A = _others(source.train_A, test_A, size, len(test_B))
        more_B = _others(source.train_B, test_B, size, len(test_A))
        tasks = tasks_of_pictures(test_A, test_B, more_A, more_B, network)
    facts = {
        task.direction: {
            "translated": len(task.source),
            "reference": len(task.reference),
            "floor": 0 if task.real is None else len(task.real),
        }
        for task in tasks
    }
    task_AB, task_BA = (replace(task, direction=f"{label} {task.direction}") for task in tasks)
    return _Round(label, by_label(team), (task_AB, task_BA), {"pictures": pictures} | facts)


def _squares(pictures: Sequence[np.ndarray], size: int, count: int) -> Tensor:
    """The middle squares of the first pictures: (at most `count`, 3, size, size)."""
    return pictures_to_tensor(middle_square(picture, size) for picture in pictures[:count])


def _others(pictures: Sequence[np.ndarray], seen: Tensor, size: int, count: int) -> Tensor | None:
    """Squares of up to `count` pictures that are not among those `seen`; None if of fewer than 2.

    Without test pictures, and too few to hold some out, training pictures stand in for them.
    """
    some = _squares(pictures, size, count + len(seen))
    new = [square for square in some if not (square == seen).flatten(1).all(1).any()]
    return torch.stack(new[:count]) if len(new) >= 2 else None


def _protocol(
    rounds: Sequence[_Round],
    size: int,
    network: FeatureNetwork | None,
    seed: int,
) -> dict:
    """How it was measured. Folders' paths mean nothing to a stranger, so only names are kept."""
    return {
        "data": {each.label: each.facts for each in rounds},
        "size": size,
        "resize": "short side to this size (bicubic, antialiased), middle square",
        "features": None if network is None else network.label,
        "intervals": {
            "level": LEVEL,
            "over": "pictures; over seeds in the rows that have several",
            "means": f"BCa bootstrap, {RESAMPLES} resamples, seed {seed}",
            "correspondence": "Wilson",
            "distance": "potentials of optimal transport",
            "kid, fid": "delete-a-group jackknife",
        },
        "generators": [
            {"data": each.label, "method": method} | one.origin()
            for each in rounds
            for method, one in each.team.items()
        ],
        "versions": environment.versions(),
        "machine": environment.machine(),
        "date": date.today().isoformat(),
    }
