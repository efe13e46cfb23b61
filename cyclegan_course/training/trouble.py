"""What goes wrong in a training: numbers that are none, and memory that is too small."""

import math
import re
import shlex
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from cyclegan_course.errors import CourseError
from cyclegan_course.training.checkpoints import checkpoints_of, state_tensors
from cyclegan_course.training.config import Config
from cyclegan_course.training.state import State

# --- numbers that are none ---------------------------------------------------------------------


def refuse_non_finite(
    state: State, losses: dict[str, float], config: Config, folder: Path | None
) -> None:
    """Stop a run whose losses or state are not finite, and say how to go on.

    The loss of a step is computed before its update, so finite losses do not prove that the
    weights are finite: both are looked at.

    Args:
        losses: terms by name.
        config, folder: of the run; the folder may be none.

    Raises:
        CourseError: names the terms, or else the parts, and the checkpoint to go on from.
    """
    bad = [f"the loss {name}" for name, value in losses.items() if not math.isfinite(value)]
    bad = bad or non_finite_parts(state_tensors(state))
    if bad:
        verb = "is no longer a number" if len(bad) == 1 else "are no longer numbers"
        raise CourseError(
            f"At step {state.step} {' and '.join(bad)} {verb}, so the training stopped, and "
            f"nothing of this was saved. {_way_on(config, folder)}"
        )


def non_finite_parts(tensors: dict[str, Tensor]) -> list[str]:
    """The parts with values that are not finite, or too large to be squared.

    Args:
        tensors: by their names in a checkpoint, see `checkpoints.state_tensors`.

    All norms are computed together and the device is waited for once; only where that shows
    something, each part is looked at alone.
    """
    floats = {name: value for name, value in tensors.items() if value.is_floating_point()}
    if torch.isfinite(get_total_norm(list(floats.values()))):
        return []
    parts = [_part(name) for name, value in floats.items() if not _has_norm(value)]
    return list(dict.fromkeys(parts))


def _has_norm(value: Tensor) -> bool:
    return bool(torch.isfinite(torch.linalg.vector_norm(value)))


def _part(name: str) -> str:
    """In words, the part of a state that holds the tensor of this name."""
    first, second, *_ = name.split(".")
    if first == "model":
        return f"the network {second}"
    return {
        "average": "the averaged generators",
        "optimizer_G": "the generators' optimizer",
        "optimizer_D": "the discriminators' optimizer",
        "pool_A": "the pool of fakes of A",
        "pool_B": "the pool of fakes of B",
    }.get(first, name)


def _way_on(config: Config, folder: Path | None) -> str:
    lr = float(f"{config.lr / 2:.2g}")
    if folder is None:
        return f"Train with a lower learning rate (lr={lr:g})."
    files = checkpoints_of(folder)
    if not files:
        return f"There is no checkpoint yet: start again with a lower learning rate (--lr {lr:g})."
    newest = max(files.values())
    names = " and ".join(file.name for file, step in files.items() if step == newest)
    return (
        f"Go on from the last good checkpoint, step {newest}, with a lower learning rate: "
        f"cyclegan-course train --resume {shlex.quote(str(folder))} --lr {lr:g} "
        f"(in Python: train(replace(config, lr={lr:g}), folder, resume=True)). If it happens "
        f"again at once, delete {names} in its checkpoints first, to go back further."
    )


# --- memory ------------------------------------------------------------------------------------


@contextmanager
def out_of_memory(config: Config, device: torch.device) -> Iterator[None]:
    """Within the block, a lack of memory becomes a CourseError that says which setting to lower.

    Memory goes with batch x size^2 x ngf, so each piece of advice is about half of it.
    """
    try:
        yield
        return
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        sentence = f"There is not enough memory for this training{_numbers(error, device)}. "
        # A notebook keeps the last error, its frames would keep the tensors of the failed step.
        traceback.clear_frames(error.__traceback__)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    raise CourseError(
        f"{sentence}{smaller(config)} If another program took the memory, end that one, and "
        "resume a run that had begun."
    )


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, or of Python, means that memory was too small."""
    # Only CUDA has a kind of its own for it; elsewhere it is a RuntimeError with such a text.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _LACK.search(str(error)) is not None
    )


_LACK = re.compile(r"out of memory|not enough memory|can't allocate memory|_ALLOC_FAILED", re.I)


def smaller(config: Config) -> str:
    """A sentence: which setting to lower, to which value, so that about half the memory is used."""
    multiple = 2**config.n_down
    size = math.floor(config.size / math.sqrt(2) / multiple) * multiple
    if config.batch > 1:
        batch = config.batch // 2
        return (
            f"Start a new run with a batch of {batch} instead of {config.batch} (--batch {batch})."
        )
    if size >= 24:
        # The load size follows by itself unless it was given.
        load = math.ceil(config.loaded_size * size / config.size)
        also = f" --load-size {load}" if config.load_size is not None else ""
        return (
            f"Start a new run with crops of {size} pixels instead of {config.size} "
            f"(--size {size}{also})."
        )
    if config.ngf > 1:
        ngf = config.ngf // 2
        return f"Start a new run with ngf {ngf} instead of {config.ngf} (--ngf {ngf})."
    return "Train on a computer with more memory."


def _numbers(error: BaseException, device: torch.device) -> str:
    """How much was asked for and how much there was, as far as that is known."""
    facts = []
    asked = re.search(r"allocate ([\d.]+) ?(bytes|[KMGT]iB)", str(error))
    if asked:
        number, unit = asked.groups()
        wanted = f"{int(number) / 2**30:.1f} GiB" if unit == "bytes" else f"{number} {unit}"
        facts.append(f"{wanted} more were asked for")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        facts.append(f"{free / 2**30:.1f} of the GPU's {total / 2**30:.1f} GiB were free")
    return f" ({', '.join(facts)})" if facts else ""
