"""Stored tables of runs, written as each run ends, and the strips of pictures beside them."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cyclegan_course.laboratory.scores import scores
from cyclegan_course.training import Config, Run, train

SHOWN = (0, 3, 5, 9, 12, 20)  # held-out scenes in the strips of pictures


def has_run(file: Path, key: dict) -> bool:
    """Whether the table has a row with these values."""
    if not file.exists():
        return False
    with file.open(newline="", encoding="utf-8") as stream:
        return any(all(row[k] == str(v) for k, v in key.items()) for row in csv.DictReader(stream))


def add_rows(file: Path, rows: Sequence[dict], decimals: int = 5) -> None:
    """Append rows, their numbers rounded; a new table gets the head of the first row."""
    rounded = [
        {name: round(v, decimals) if isinstance(v, float) else v for name, v in row.items()}
        for row in rows
    ]
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rounded[0]), lineterminator="\n")
        if stream.tell() == 0:
            writer.writeheader()
        writer.writerows(rounded)


def strip(net: nn.Module, pictures: Tensor, shown: Sequence[int] = SHOWN) -> Tensor:
    """The translations of some of (N, 3, H, W) side by side: (3, H, len(shown) W) in [-1, 1].

    What is not a number becomes grey.
    """
    with torch.no_grad():
        fakes = net(pictures[list(shown)]).nan_to_num().clamp(-1, 1)
    return torch.cat(list(fakes), dim=2)


def train_and_keep(file: Path, name: str, settings: Config, **measured: int) -> Run | None:
    """Train with the course's trainer, measure, and add the rows to the table.

    Args:
        file: the table; a run that it has is not made again.
        name: of the run in the table.
        measured: `size`, `count` and `start` of `scores`.

    Returns:
        The run, its model ready to translate; None if the table had it.

    Raises:
        KeyboardInterrupt: if the training was stopped; nothing of it is kept.
    """
    key = {"world": settings.data, "name": name, "seed": settings.seed}
    if has_run(file, key):
        return None
    run = train(settings, progress=False)
    if not run.finished:  # the trainer ends a stopped run in good order
        raise KeyboardInterrupt(run.stopped_by)
    found = scores(run.model.eval(), settings.data, **measured)
    facts = {"steps": run.steps, "seconds": round(run.seconds, 1)}
    add_rows(file, [key | row | facts for row in found])
    print(f"{settings.data}, {name}, seed {settings.seed}: {run.seconds:.0f} s", flush=True)
    return run
