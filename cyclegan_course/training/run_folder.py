"""The folder of a run, which explains itself: settings, losses, measures, samples, generators."""

import csv
import io
import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import torch

from cyclegan_course import environment, worlds
from cyclegan_course.datasets import Source
from cyclegan_course.errors import CourseError
from cyclegan_course.images import write_text
from cyclegan_course.training.config import Config, config_from_dict
from cyclegan_course.training.state import State
from cyclegan_course.translate import save_generator


def prepare_folder(folder: Path, *, resume: bool) -> None:
    """Make the run's folder and the folders in it.

    Raises:
        CourseError: if another run is already there, or the folder cannot be written.
    """
    if not resume and any((folder / "checkpoints").glob("*.safetensors")):
        raise CourseError(
            f"{str(folder)!r} already holds a run; resume it, or name another folder for this one."
        )
    try:
        for name in ("samples", "checkpoints", "generator"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); choose another folder."
        ) from error


def write_config(config: Config, folder: Path) -> None:
    write_text(json.dumps(asdict(config), indent=2) + "\n", folder / "config.json")


def load_config(folder: Path) -> Config:
    """The configuration of the run in a folder.

    Raises:
        CourseError: if there is none, or it cannot be read.
    """
    try:
        return config_from_dict(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{str(folder)!r} holds no run that can be read (no valid config.json)."
        ) from error


def write_tables(state: State, folder: Path) -> None:
    """Write `losses.csv` and `metrics.csv` anew from the state, so they never run ahead of it."""
    for name, rows in (("losses.csv", state.record), ("metrics.csv", state.measures)):
        if rows:
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(text.getvalue(), folder / name)


def write_generators(config: Config, source: Source, state: State, folder: Path) -> None:
    """Write both generators and their card, ready for `translate.load_translator`."""
    save_generator(
        folder / "generator",
        config.name or source.name,
        state.generators["G_AB"],
        state.generators["G_BA"],
        model_card(config, source, state),
    )


def model_card(config: Config, source: Source, state: State) -> dict:
    """What is written beside a generator: its shape, and where it comes from."""
    return {
        "domain_A": source.domain_A,
        "domain_B": source.domain_B,
        "generator": config.generator_shape,
        "working_size": config.loaded_size * (1 if config.data in worlds.WORLDS else 2),
        "trained": {
            # A folder's path means nothing to anyone else: its name is enough.
            "config": asdict(replace(config, data=source.name)),
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "date": date.today().isoformat(),
            "machine": environment.machine(),
            "threads": torch.get_num_threads(),
            "versions": environment.versions(),
        },
    }
