"""Checkpoints: a run's whole state in one file that is written whole or not at all.

A checkpoint is a safetensors file, so reading it runs no code. Its header holds `format`, `run`
(JSON: step, seconds, settings, versions, names of the tables' columns) and `sha256`, the checksum
of all of it. Whatever is random in a step is a function of the seed and the step, so the number of
the step is the position of the sampler too; only torch's global generators, which a network with
dropout would use, have a state to be kept.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cyclegan_course import environment
from cyclegan_course.errors import CourseError
from cyclegan_course.images import whole_file
from cyclegan_course.training.config import MAY_CHANGE, Config, config_from_dict
from cyclegan_course.training.state import State

FORMAT = "1"  # of the file; another number is refused
BEST = "best.safetensors"
TABLES = ("record", "measures")

# They stay as they are while a process runs, and reading them takes longer than a small step.
_versions = functools.cache(environment.versions)


class DamagedCheckpoint(CourseError):
    """A checkpoint that is not what was once written."""


# --- files -------------------------------------------------------------------------------------


def checkpoint_file(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step_{step:09d}.safetensors"


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints of a run by their step, the newest first; the best one is not among them."""
    return sorted((folder / "checkpoints").glob("step_*.safetensors"), reverse=True)


def checkpoints_of(folder: Path) -> dict[Path, int]:
    """Every checkpoint of a run, the best one too, with its step, the newest first."""
    found = {file: int(file.stem.removeprefix("step_")) for file in checkpoint_files(folder)}
    best = folder / "checkpoints" / BEST
    if best.exists():
        found[best] = _step_inside(best)
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))


def _step_inside(file: Path) -> int:
    try:
        with safe_open(file, framework="pt") as opened:
            return json.loads(opened.metadata()["run"])["step"]
    except Exception:  # damaged, in whatever way: it will be tried last
        return -1


def prune(file: Path, keep: int) -> None:
    """Remove the checkpoints beside a new one that are not among the `keep` newest.

    Those of later steps go too: the run was resumed from before them, as they were damaged.
    """
    files = checkpoint_files(file.parent.parent)
    later = [other for other in files if other.name > file.name]
    for other in later + files[len(later) :][keep:]:
        with contextlib.suppress(OSError):  # in use on Windows: it is tried again next time
            other.unlink(missing_ok=True)


def _add_name(file: Path, name: Path) -> None:
    """Give a checkpoint one more name: without a second copy on the disk, where it has links."""
    with whole_file(name) as temporary:
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)


# --- writing -----------------------------------------------------------------------------------


def add_checkpoint(folder: Path, state: State, config: Config, *, best: bool = False) -> Path:
    """Write the checkpoint of this step, and only then remove the oldest beyond `config.keep`.

    Args:
        best: keep it as `best.safetensors`, too, until there is a better one.

    Raises:
        CourseError: if it cannot be written; the earlier ones are then as they were.
    """
    file = checkpoint_file(folder, state.step)
    if best:
        # This name first: its measures say that it is the best, so wherever a kill falls, the
        # file that holds them is the one with this name.
        save_checkpoint(file.with_name(BEST), state, config)
        _add_name(file.with_name(BEST), file)
    else:
        save_checkpoint(file, state, config)
    prune(file, config.keep)
    return file


def save_checkpoint(file: Path, state: State, config: Config) -> None:
    """Write the whole state, to a temporary name first: the file is whole or the old one stays.

    Raises:
        CourseError: if the file cannot be written, because the disk is full for instance.
    """
    tables = {name: _table(getattr(state, name)) for name in TABLES}
    tensors = state_tensors(state) | _random_states(state)
    tensors |= {name: table for name, (_, table) in tables.items()}
    # A copy only where the tensor is not on the CPU already: nothing changes it meanwhile.
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    run = json.dumps(
        {
            "step": state.step,
            "seconds": state.seconds,
            "columns": {name: columns for name, (columns, _) in tables.items()},
            "config": asdict(config),
            "versions": _versions(),
        }
    )
    header = {"format": FORMAT, "run": run, "sha256": checksum(run, tensors)}
    try:
        with whole_file(file) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode
            safetensors.torch.save_file(tensors, temporary, metadata=header)
            temporary.chmod(mode)  # save_file makes files that their owner alone may read
    except (CourseError, SafetensorError) as error:
        reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise CourseError(
            f"The checkpoint {str(file)!r} could not be written ({reason}); free some disk space. "
            "The one before it is still whole."
        ) from error


def checksum(run: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 over everything in a checkpoint: a byte that has changed on the disk is found."""
    digest = hashlib.sha256(f"{FORMAT}\n{run}\n".encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


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


def _table(rows: list[dict[str, float]]) -> tuple[list[str], Tensor]:
    """Rows as the names of their columns and a float64 tensor; a value that is not there is NaN.

    They would make the header long, and safetensors refuses headers of more than 100 MB.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    values = [[_number(row.get(name)) for name in columns] for row in rows]
    return columns, torch.tensor(values, dtype=torch.float64).reshape(len(rows), len(columns))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _rows(columns: list[str], table: Tensor) -> list[dict[str, float]]:
    """What `_table` was made of."""
    return [
        {
            name: int(value) if name == "step" else value
            for name, value in zip(columns, values, strict=True)
            if not math.isnan(value)
        }
        for values in table.tolist()
    ]


# --- reading -----------------------------------------------------------------------------------


def resume(folder: Path, state: State, config: Config) -> list[str]:
    """Fill a fresh state from the newest whole checkpoint in a run's folder, if there is one.

    Returns:
        Sentences for whoever watches: damaged checkpoints that were passed over, and what is not
        as it was when the checkpoint was written.

    Raises:
        CourseError: if there are checkpoints but none is whole, or if they do not fit the
            settings.
    """
    said: list[str] = []
    for file, step in checkpoints_of(folder).items():
        try:
            header, tensors = read_checkpoint(file)
        except DamagedCheckpoint as damage:
            said.append(str(damage))
            continue
        if said:
            said.append(f"The run goes on from {file.name}, step {step}.")
        return said + fill_state(state, config, header, tensors, file)
    if said:
        raise CourseError(
            f"No checkpoint in {str(folder / 'checkpoints')!r} is whole: put a copy of one back "
            f"there, or start a new run in another folder. {' '.join(said)}"
        )
    return said


def load_checkpoint(file: Path, state: State, config: Config) -> list[str]:
    """Fill a fresh state from a checkpoint; the run then goes on as if it had not stopped.

    Returns and raises as `resume` does.
    """
    return fill_state(state, config, *read_checkpoint(file), file)


def read_checkpoint(file: Path) -> tuple[dict, dict[str, Tensor]]:
    """The header's facts and the tensors, on the CPU, of a checkpoint that is as it was written.

    Raises:
        DamagedCheckpoint: if it is not: cut off, changed, unreadable.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
            if header.get("format") != FORMAT:
                raise ValueError(f"its format is {header.get('format')}, not {FORMAT}")
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        if checksum(header["run"], tensors) != header["sha256"]:
            raise ValueError("its bytes have changed since they were written")
        return json.loads(header["run"]), tensors
    except MemoryError:
        raise
    except Exception as error:  # OSError, SafetensorError, and many more for a changed header
        raise DamagedCheckpoint(f"The checkpoint {str(file)!r} is damaged ({error}).") from error


def fill_state(
    state: State, config: Config, header: dict, tensors: dict[str, Tensor], file: Path
) -> list[str]:
    """Give a fresh state the values of a checkpoint, on the devices that its own tensors are on.

    Returns and raises as `resume` does.
    """
    before = config_from_dict(header["config"])
    refuse_other_settings(before, config, file.parent.parent)
    try:
        state.model.load_state_dict(_part(tensors, "model"))
        if state.average is not None:
            state.average.load_state_dict(_part(tensors, "average"))
        for name in ("optimizer_G", "optimizer_D"):
            _load_adam(getattr(state, name), _part(tensors, name))
        for name in ("pool_A", "pool_B"):
            pool, entries = getattr(state, name), _part(tensors, name)
            pool.pictures.copy_(entries["pictures"])
            pool.count.copy_(entries["count"])
    except (RuntimeError, KeyError, IndexError) as error:
        raise CourseError(
            f"The checkpoint {str(file)!r} does not fit the networks here: use cyclegan-course "
            f"{header['versions']['cyclegan-course']}, which wrote it, or start a new run."
        ) from error
    _set_random_states(_part(tensors, "random"), state)
    state.step, state.seconds = header["step"], header["seconds"]
    for name in TABLES:
        setattr(state, name, _rows(header["columns"][name], tensors[name]))
    return _changes(before, config, header)


def refuse_other_settings(before: Config, now: Config, folder: Path) -> None:
    """Make sure that a run is resumed with the settings it was made with.

    Raises:
        CourseError: names the settings that differ, those in `MAY_CHANGE` aside.
    """
    others = [
        f"{entry.name} {getattr(before, entry.name)} (now {getattr(now, entry.name)})"
        for entry in fields(Config)
        if entry.name not in MAY_CHANGE and getattr(before, entry.name) != getattr(now, entry.name)
    ]
    if others:
        raise CourseError(
            f"The run in {str(folder)!r} was made with other settings: "
            f"{', '.join(others)}. Resume it with those in its config.json, or start a new run."
        )


def _changes(before: Config, now: Config, header: dict) -> list[str]:
    """Sentences on what makes the run differ, from here on, from one that was never stopped."""
    said = []
    if now.lr != before.lr:
        said.append(
            f"From step {header['step']} on the learning rate is {now.lr:g}; it was {before.lr:g}."
        )
    here = _versions()["torch"]
    if header["versions"]["torch"] != here:
        said.append(
            f"The checkpoint was written with torch {header['versions']['torch']}; with {here} "
            "the run goes on, but not to the very same numbers."
        )
    return said


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)
    }


def _load_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    parameters = [entry for group in optimizer.param_groups for entry in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if value.ndim:  # a moment, not the number of steps
            # The memory format of the parameter, too: the fused update goes through both as they
            # lie in memory.
            value = torch.empty_like(parameter).copy_(value)
        entries.setdefault(int(index), {})[name] = value
    # load_state_dict copies the settings; a recorded step reads the learning rate from the very
    # tensor that is there now.
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(optimizer.state_dict() | {"state": entries})
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = lr


# --- torch's global random generators ----------------------------------------------------------


def _random_states(state: State) -> dict[str, Tensor]:
    """The states of the CPU's generator and of the device's, by name."""
    device = state.pool_A.pictures.device
    states = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["random.mps"] = torch.mps.get_rng_state()
    return states


def _set_random_states(states: dict[str, Tensor], state: State) -> None:
    """Set the generators that there are here; a checkpoint of another kind of device has others."""
    device = state.pool_A.pictures.device
    # set_rng_state wants a tensor that nothing else holds: get_tensor may give one on a file.
    torch.set_rng_state(states["cpu"].clone())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].clone(), device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"].clone())
