"""Checkpoints: a run's whole state in one file that is written whole or not at all."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cyclegan_course.errors import CourseError
from cyclegan_course.images import whole_file
from cyclegan_course.training.config import MAY_CHANGE, Config, config_from_dict
from cyclegan_course.training.state import State

BEST = "best.safetensors"


def checkpoint_file(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step_{step:09d}.safetensors"


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints of a run by their step, the newest first; the best one is not among them."""
    return sorted((folder / "checkpoints").glob("step_*.safetensors"), reverse=True)


def save_checkpoint(file: Path, state: State, config: Config) -> None:
    """Write the whole state, to a temporary name first: the file is whole or the old one stays.

    Tensors go into the safetensors file, everything else as JSON into its header, so loading
    never runs code from the file.
    """
    tensors = state_tensors(state)
    header = {
        "step": state.step,
        "seconds": state.seconds,
        "record": state.record,
        "measures": state.measures,
        "config": asdict(config),
    }
    try:
        with whole_file(file) as temporary:
            safetensors.torch.save_file(
                {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
                temporary,
                metadata={"run": json.dumps(header)},
            )
    except (CourseError, SafetensorError) as error:
        raise CourseError(
            f"The checkpoint {str(file)!r} could not be written ({error}); free some disk space. "
            "The one before it is still whole."
        ) from error


def state_tensors(state: State) -> dict[str, Tensor]:
    """Every tensor of the state by a name of its own, on whatever device it is."""
    tensors = {f"model.{key}": value for key, value in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average.{key}": value for key, value in state.average.state_dict().items()}
    for name in ("optimizer_G", "optimizer_D"):
        for index, entries in getattr(state, name).state_dict()["state"].items():
            for key, value in entries.items():
                tensors[f"{name}.{index}.{key}"] = value
    for name in ("pool_A", "pool_B"):
        pool = getattr(state, name)
        tensors[f"{name}.pictures"], tensors[f"{name}.count"] = pool.pictures, pool.count
    return tensors


def resume(folder: Path, state: State, config: Config) -> None:
    """Fill a fresh state from the newest checkpoint in a run's folder, if there is one."""
    for file in checkpoint_files(folder):
        load_checkpoint(file, state, config)
        return


def load_checkpoint(file: Path, state: State, config: Config) -> None:
    """Fill a fresh state from a checkpoint; the run then goes on as if it had not stopped.

    Raises:
        CourseError: if the file is damaged or was made with another shape of networks.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads(opened.metadata()["run"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"The checkpoint {str(file)!r} is damaged ({error}); start a new run."
        ) from error
    before = config_from_dict(header["config"])
    if replace(before, **{name: getattr(config, name) for name in MAY_CHANGE}) != config:
        raise CourseError(
            f"The run in {str(file.parent.parent)!r} was made with other settings; resume it with "
            "those in its config.json, or start a new run."
        )
    state.model.load_state_dict(_part(tensors, "model"))
    if state.average is not None:
        state.average.load_state_dict(_part(tensors, "average"))
    _load_adam(state.optimizer_G, _part(tensors, "optimizer_G"))
    _load_adam(state.optimizer_D, _part(tensors, "optimizer_D"))
    for name in ("pool_A", "pool_B"):
        pool, entries = getattr(state, name), _part(tensors, name)
        pool.pictures.copy_(entries["pictures"])
        pool.count.copy_(entries["count"])
    state.step, state.seconds = header["step"], header["seconds"]
    state.record, state.measures = header["record"], header["measures"]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)
    }


def _load_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": entries})
