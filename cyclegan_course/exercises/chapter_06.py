"""Exercises of chapter 6: a file whole or not at all, a training packed up, random numbers of a
step, a gradient that several processes share."""

import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course.exercises.draws import normal
from cyclegan_course.exercises.registry import Exercise, Mistake, register
from cyclegan_course.exercises.stand_ins import Line

# 6.1 ------------------------------------------------------------------------------------------


def write_whole(file: Path, write: Callable[[Path], None]) -> None:
    """Write a file that appears under its name whole, or not at all.

    Args:
        file: where it shall be in the end. An older file may be there; until the new one is whole
            it stays as it was.
        write: writes the content to the path that it is given. It may fail half-way, or be
            interrupted by Ctrl-C. Then nothing new is left in the folder, and the error goes on to
            the caller.
    """
    temporary = file.with_name(f".{uuid.uuid4().hex}.part")
    try:
        write(temporary)
        os.replace(temporary, file)
    except BaseException:  # Ctrl-C is no Exception
        temporary.unlink(missing_ok=True)
        raise


class _DiskFull(OSError):
    """What `write` fails with in the check."""


class _CtrlC(KeyboardInterrupt):
    """The check's own, so that a real Ctrl-C still gets through."""


def _content(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else "nothing"


def _fill(path: Path, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")


def _run_write_whole(answer: Callable, name: str) -> dict:
    """Try it: on an empty place, over an older file, with failures, with two writers at once."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        file = folder / name
        old, new = f"old {name}", f"new {name}"
        seen: dict[str, object] = {}

        def write_new(path: Path) -> None:
            _fill(path, new)
            seen["meanwhile"], seen["inode"] = _content(file), Path(path).stat().st_ino
            seen["beside"] = folder in Path(path).resolve().parents

        answer(file, write_new)
        first = _content(file)
        _fill(file, old)
        answer(file, write_new)
        facts = {
            "the first file": first,
            "under its name while the next is written": seen.get("meanwhile", "nothing written"),
            "under its name afterwards": _content(file),
            "written in the same folder": seen.get("beside", False),
            "moved there in one step": file.stat().st_ino == seen.get("inode"),
        }

        for what, error in (("a full disk", _DiskFull(28, "disk full")), ("Ctrl-C", _CtrlC())):

            def write_half(path: Path, error: BaseException = error) -> None:
                _fill(path, new[: len(new) // 2])
                raise error

            _fill(file, old)
            try:
                answer(file, write_half)
                told = False
            except (_DiskFull, _CtrlC):
                told = True
            facts[f"after {what}: under its name"] = _content(file)
            facts[f"after {what}: left behind"] = len([p for p in folder.iterdir() if p != file])
            facts[f"after {what}: the caller is told"] = told
            for path in folder.iterdir():
                path.unlink()
        facts["two writers at once get two names"] = _two_writers(answer, file)
    return facts


def _drawn_file_names(rng: np.random.Generator) -> list[tuple]:
    words, endings = ("step", "G_AB", "my run", "夜"), (".safetensors", ".png", ".tar.gz", "")
    return [(f"{rng.choice(words)} {rng.integers(10**6)}{rng.choice(endings)}",) for _ in range(2)]


def _two_writers(answer: Callable, file: Path) -> bool:
    """Whether a second writer, who comes while the first one writes, gets a name of its own."""
    paths: list[Path] = []

    def second(path: Path) -> None:
        paths.append(Path(path))
        _fill(path, "second")

    def first(path: Path) -> None:
        paths.append(Path(path))
        answer(file, second)
        _fill(path, "first")

    answer(file, first)
    return len(set(paths)) == 2


def _in_place(file, write):
    write(file)


def _deletes_first(file, write):
    file.unlink(missing_ok=True)
    write_whole(file, write)


def _leaves_the_rest(file, write):
    temporary = file.with_name(f"{uuid.uuid4().hex}.part")
    write(temporary)
    os.replace(temporary, file)


def _forgets_ctrl_c(file, write):
    temporary = file.with_name(f"{uuid.uuid4().hex}.part")
    try:
        write(temporary)
        os.replace(temporary, file)
    except Exception:
        temporary.unlink(missing_ok=True)
        raise


def _one_name_for_all(file, write):
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        write(temporary)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _one_name_and_leaves_the_rest(file, write):
    temporary = file.with_name(f"{file.name}.tmp")
    write(temporary)
    os.replace(temporary, file)


def _moves_what_failed(file, write):
    temporary = file.with_name(f"{uuid.uuid4().hex}.part")
    try:
        write(temporary)
    finally:
        os.replace(temporary, file)


def _swallows_the_error(file, write):
    temporary = file.with_name(f"{uuid.uuid4().hex}.part")
    try:
        write(temporary)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)


def _in_the_systems_folder(file, write):
    with tempfile.TemporaryDirectory() as elsewhere:
        temporary = Path(elsewhere) / file.name
        write(temporary)
        shutil.move(temporary, file)


def _copies(file, write):
    temporary = file.with_name(f"{uuid.uuid4().hex}.part")
    try:
        write(temporary)
        shutil.copyfile(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


register(
    Exercise(
        number="6.1",
        title="whole or not at all",
        reference=write_whole,
        cases=lambda: [("checkpoint.safetensors",)],
        drawn_cases=_drawn_file_names,
        run=_run_write_whole,
        hints=(
            "Write under another name first, in the same folder. Only when the file is whole give "
            "it its own name: os.replace(temporary, file) does that in one step, over an older "
            "file too.",
            'A name that nobody else uses: file.with_name(f".{uuid.uuid4().hex}.part"). If '
            "anything goes wrong, delete it with temporary.unlink(missing_ok=True).",
            "try: write(temporary), then os.replace(temporary, file). except BaseException: "
            "unlink the temporary file, then `raise` without anything behind it.",
        ),
        mistakes={
            "writes in place": Mistake(
                _in_place,
                "It writes under the file's own name, so the older file is gone from the first "
                "byte on. If the power fails half-way, there is neither the old nor the new one. "
                "Write under another name and move it at the end.",
            ),
            "deletes the old file first": Mistake(
                _deletes_first,
                "The older file is deleted before the new one is whole: a failure in between "
                "leaves nothing. os.replace takes the place of an older file by itself.",
            ),
            "leaves the rest behind": Mistake(
                _leaves_the_rest,
                "After a failure the half-written file stays in the folder for ever, and a full "
                "disk stays full. Delete the temporary file in `except BaseException:`, then "
                "`raise`.",
            ),
            "cleans up, but not after Ctrl-C": Mistake(
                _forgets_ctrl_c,
                "After Ctrl-C the half-written file stays: KeyboardInterrupt is no Exception. "
                "Catch BaseException, and `raise` it again.",
            ),
            "uses one temporary name for all": Mistake(
                _one_name_for_all,
                "Two writers at the same time get the same temporary name and write into each "
                "other's file. Make a name that nobody else has, with uuid.uuid4() for example.",
            ),
            "uses one name and leaves the rest": Mistake(
                _one_name_and_leaves_the_rest,
                "Two things: the temporary name is the same for all, so two writers would mix "
                "their files, and after a failure the half-written file stays behind. Use "
                "uuid.uuid4() in the name, and delete it in `except BaseException:`.",
            ),
            "moves a half-written file": Mistake(
                _moves_what_failed,
                "After a failure the half-written file takes the place of the older one: what "
                "stands in `finally:` also happens when `write` has failed. Move it right after "
                "`write`, inside `try:`.",
            ),
            "swallows the error": Mistake(
                _swallows_the_error,
                "Nobody hears of the failure: the training would go on and believe that it is "
                "saved. After cleaning up, `raise` the error again.",
            ),
            "writes into the system's folder": Mistake(
                _in_the_systems_folder,
                "The temporary file lies in another folder, perhaps on another disk. From there "
                "it can only be copied, byte by byte, and not moved in one step. Take a name in "
                "the same folder: file.with_name(...).",
            ),
            "copies": Mistake(
                _copies,
                "The whole file is copied under its name, byte by byte. While that goes on it is "
                "half there, just as if it were written in place. os.replace moves it in one step.",
            ),
        },
    )
)


# 6.2 ------------------------------------------------------------------------------------------


class Training:
    """A network, its Adam, and the number of steps they have made."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Adam) -> None:
        """Both are trained in place. Nothing has been trained yet."""
        self.model, self.optimizer, self.step = model, optimizer, 0

    def pack(self) -> dict[str, Tensor]:
        """Everything that moves, as tensors by names of your choice: weights, Adam's state, step.

        They are copies (`.clone()`), which stay as they are while the training goes on.
        """
        packed = {f"model.{name}": value.clone() for name, value in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            for key, value in moments.items():
                packed[f"adam.{index}.{key}"] = value.clone()
        packed["step"] = torch.tensor(self.step)
        return packed

    def unpack(self, packed: dict[str, Tensor]) -> None:
        """Go on from there. Model and optimizer are fresh ones, of the same kind as those packed.

        Adam takes its state from
        `self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": ...})`.
        """
        state = {
            index: {key: packed[f"adam.{index}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for index in range(len(list(self.model.parameters())))
        }
        self.model.load_state_dict({n: packed[f"model.{n}"] for n in self.model.state_dict()})
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        self.step = int(packed["step"])


_TRAINING_BLANKS = '''
class Training:
    """A network, its Adam, and the number of steps they have made."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Adam) -> None:
        """Both are trained in place. Nothing has been trained yet."""
        self.model, self.optimizer, self.step = model, optimizer, 0

    def pack(self) -> dict[str, Tensor]:
        """Everything that moves, as tensors by names of your choice: weights, Adam's state, step.

        They are copies (`.clone()`), which stay as they are while the training goes on.
        """
        ...

    def unpack(self, packed: dict[str, Tensor]) -> None:
        """Go on from there. Model and optimizer are fresh ones, of the same kind as those packed.

        Adam takes its state from
        `self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": ...})`.
        """
        ...
'''


@dataclass(frozen=True)
class _Stop:
    """A line to train, the step after which the training is stopped, and the last one."""

    line: Line
    stop: int = 3
    end: int = 6

    def __repr__(self) -> str:
        return f"{self.line!r}, stopped after step {self.stop} of {self.end}"


def _drawn_stops(rng: np.random.Generator) -> list[tuple]:
    """The lines are steeper or flatter than the one they are trained to be, 2x + 1."""
    return [
        (_Stop(Line(*rng.uniform(-1, 1, 2).tolist()), stop, stop + int(rng.integers(2, 6))),)
        for stop in rng.choice([1, 2, 4, 5, 6, 7, 8, 9], 2, replace=False).tolist()
    ]


def _go_on(training: Training, until: int) -> Tensor:
    """Train up to a step on what belongs to each step; return the weights, copied."""
    while training.step < until:
        x = torch.linspace(-1, 1, 5) + 0.1 * training.step
        training.optimizer.zero_grad()
        (training.model(x) - 2 * x - 1).square().mean().backward()
        training.optimizer.step()
        training.step += 1
    return _weights(training)


def _weights(training: Training) -> Tensor:
    return torch.stack([value.detach().clone() for value in training.model.parameters()])


def _run_training(answer: Callable, plan: _Stop) -> dict | None:
    """Stop, let the first one go on to the end, and make the same of what was packed."""

    def begin(net: nn.Module) -> Training:
        return answer(net, torch.optim.Adam(net.parameters(), lr=0.1, betas=(0.5, 0.999)))

    first = begin(plan.line)
    stopped = _go_on(first, plan.stop)
    packed = first.pack()
    if packed is None or packed is Ellipsis:
        return packed
    whole = _go_on(first, plan.end)
    for name, value in packed.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name!r} is a {type(value).__name__}; pack it as a torch.tensor")
    second = begin(Line(0.0))
    second.unpack({name: value.clone() for name, value in packed.items()})  # as from a file
    step, weights = second.step, _weights(second)
    return {
        "step it goes on with": step,
        "weights it goes on with": weights,
        f"weights after step {plan.end}": _go_on(second, plan.end),
        "without the stop": [stopped, whole],
    }


class _ForgetsAdam(Training):
    def unpack(self, packed):
        self.model.load_state_dict({n: packed[f"model.{n}"] for n in self.model.state_dict()})
        self.step = int(packed["step"])


class _ForgetsTheStep(Training):
    def unpack(self, packed):
        super().unpack(packed)
        self.step = 0


class _WeightsAlone(Training):
    def unpack(self, packed):
        self.model.load_state_dict({n: packed[f"model.{n}"] for n in self.model.state_dict()})


class _References(Training):
    def pack(self):
        state = self.optimizer.state_dict()["state"]
        packed = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, moments in state.items():
            packed |= {f"adam.{index}.{key}": value for key, value in moments.items()}
        return packed | {"step": torch.tensor(self.step)}


class _AdamByReference(Training):
    def pack(self):
        references = _References.pack(self)
        return super().pack() | {k: v for k, v in references.items() if k.startswith("adam")}


class _ForgetsAdamsCount(Training):
    def unpack(self, packed):
        zero = {k: torch.zeros_like(v) for k, v in packed.items() if k.endswith(".step")}
        super().unpack(packed | zero)


class _ForgetsTheSecondMoment(Training):
    def unpack(self, packed):
        zero = {k: torch.zeros_like(v) for k, v in packed.items() if k.endswith("exp_avg_sq")}
        super().unpack(packed | zero)


class _ForgetsTheFirstMoment(Training):
    def unpack(self, packed):
        zero = {k: torch.zeros_like(v) for k, v in packed.items() if k.endswith("exp_avg")}
        super().unpack(packed | zero)


class _OneNameForAllParameters(Training):
    def pack(self):
        packed = super().pack()
        for key in ("step", "exp_avg", "exp_avg_sq"):
            packed[f"adam.0.{key}"] = packed[f"adam.1.{key}"]
        return packed


class _SkipsAStep(Training):
    def unpack(self, packed):
        super().unpack(packed)
        self.step += 1


register(
    Exercise(
        number="6.2",
        title="pack a training up",
        reference=Training,
        blanks=_TRAINING_BLANKS,
        cases=lambda: [(_Stop(Line(0.5, -0.3)),)],
        drawn_cases=_drawn_stops,
        run=_run_training,
        hints=(
            'Three things move: self.model.state_dict(), self.optimizer.state_dict()["state"] and '
            "self.step. Each must be packed and unpacked.",
            "Adam's state is a dictionary of dictionaries: for the parameter number 0, 1, ... the "
            'tensors "step", "exp_avg" and "exp_avg_sq". Make one name of number and key: '
            'packed[f"adam.{index}.{key}"] = value.clone(). The step: torch.tensor(self.step).',
            "To unpack, build {0: {...}, 1: {...}, ...} again, with whole numbers as keys: for "
            "each index in range(len(list(self.model.parameters()))) the three entries by name. "
            'Then self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state}), '
            'and self.step = int(packed["step"]).',
        ),
        mistakes={
            "forgets Adam": Mistake(
                _ForgetsAdam,
                "Weights and step are right, but Adam starts anew: its moments are 0 again, so it "
                "takes other steps than it would have taken. Pack and load "
                'self.optimizer.state_dict()["state"] too.',
            ),
            "forgets the step": Mistake(
                _ForgetsTheStep,
                "Weights and Adam are right, but it begins to count at step 0 again: it would see "
                "the first pictures once more, and the learning rate would fall later. Pack the "
                "step, and set self.step when you unpack.",
            ),
            "packs the weights alone": Mistake(
                _WeightsAlone,
                "Only the weights go on. Adam's moments and the number of the step are missing: "
                "this is a new training that starts from old weights.",
            ),
            "packs references": Mistake(
                _References,
                "What was packed moves on with the training: state_dict() hands out the very "
                "tensors that the optimizer changes in place. Copy each with .clone().",
            ),
            "packs Adam's state as references": Mistake(
                _AdamByReference,
                "The weights are copied, but Adam's moments are not: they move on with the "
                "training. Copy these tensors too, with .clone().",
            ),
            "forgets Adam's own count": Mistake(
                _ForgetsAdamsCount,
                'Adam counts its steps too, under the key "step", and divides by 1 - beta^step. '
                "Counted from 0 again, its moves are too large. Pack all three entries of each "
                "parameter.",
            ),
            "forgets the second moment": Mistake(
                _ForgetsTheSecondMoment,
                'The mean of the squared gradients, "exp_avg_sq", is missing. Adam divides by its '
                "root, so its moves become far too large.",
            ),
            "forgets the first moment": Mistake(
                _ForgetsTheFirstMoment,
                'The mean of the gradients, "exp_avg", is missing: the first moves after the '
                "stop have no memory of the direction.",
            ),
            "gives all parameters one name": Mistake(
                _OneNameForAllParameters,
                "All parameters go on with the moments of the last one: the number of the "
                "parameter is missing in the name, so each overwrites the one before. Use "
                'f"adam.{index}.{key}".',
            ),
            "skips a step": Mistake(
                _SkipsAStep,
                "It goes on one step too late: `step` is the number of steps that are done, and "
                "so the number of the next one, counted from 0. Do not add 1.",
            ),
        },
    )
)


# 6.3 ------------------------------------------------------------------------------------------


def numbers_of_step(seed: int, step: int, count: int) -> np.ndarray:
    """Random numbers that depend on the seed and on the step, and on nothing else.

    Whoever asks, in whatever order and however often, gets the same numbers for the same seed and
    step. Any other seed or step gives other numbers.

    Args:
        seed: of the run, from 0.
        step: from 0; a full run has 266,800.
        count: how many numbers.

    Returns:
        (count,), uniform in [0, 1). `np.random.default_rng(...)` makes a generator of its own; what
        it takes may be a list of whole numbers.
    """
    return np.random.default_rng([seed, step]).random(count)


# Pairs (seed, step) of which no two may share their numbers: neighbours, digits that join to the
# same number, and seeds stretched by a round factor.
_PAIRS = [(seed, step) for seed in range(4) for step in range(4)]
_PAIRS += [(1, 11), (11, 1), *[(0, 10**power) for power in range(1, 6)]]


def _run_numbers_of_step(answer: Callable, seed: int, step: int, count: int) -> dict | None:
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        found = answer(seed, step, count)
        if found is None or isinstance(found, str) or found is Ellipsis:
            return found
        numbers = np.asarray(found, dtype=np.float64)
        touched = (
            random.getstate() != before[0]
            or not np.array_equal(np.random.get_state()[1], before[1][1])
            or np.random.get_state()[2] != before[1][2]
            or not torch.equal(torch.get_rng_state(), before[2])
        )
        drawn = {pair: tuple(np.asarray(answer(*pair, 4)).tolist()) for pair in _PAIRS}
        same = [two for two in combinations(_PAIRS, 2) if drawn[two[0]] == drawn[two[1]]]
        return {
            "shape": numbers.shape,
            "from 0 to below 1": bool(np.all((numbers >= 0) & (numbers < 1))),
            "all different": len(set(numbers.tolist())) == numbers.size,
            "the same when asked again": bool(np.array_equal(answer(seed, step, count), numbers)),
            "others are disturbed": touched,
            "pairs with the same numbers": len(same),
            "for instance": "seed {} step {}, seed {} step {}".format(*same[0][0], *same[0][1])
            if same
            else "none",
        }
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _drawn_steps(rng: np.random.Generator) -> list[tuple]:
    """Few numbers each: of many in single precision two could be equal by chance."""
    return [
        (int(rng.integers(100)), int(rng.integers(266_800)), int(rng.integers(4, 40)))
        for _ in range(3)
    ]


def _from(make_seed: Callable) -> Callable:
    """`numbers_of_step` with another seed for the generator, made from seed and step."""
    return lambda seed, step, count: np.random.default_rng(make_seed(seed, step)).random(count)


def _seeds_the_global_one(seed, step, count):
    np.random.seed([seed, step])
    return np.random.random(count)


def _global_of_torch(seed, step, count):
    torch.manual_seed(1_000_003 * seed + step)
    return torch.rand(count).numpy()


register(
    Exercise(
        number="6.3",
        title="random numbers of a step",
        reference=numbers_of_step,
        cases=lambda: [(0, 5, 3), (7, 1234, 200)],
        drawn_cases=_drawn_steps,
        run=_run_numbers_of_step,
        hints=(
            "A generator that lives on between two steps has a state, which would have to be "
            "saved. Make a new one at each call instead, from seed and step.",
            "Seed and step must not melt into one number too early: 0 + 1 is 1 + 0. "
            "np.random.default_rng takes a list of whole numbers and mixes them well.",
            "np.random.default_rng([seed, step]).random(count)",
        ),
        mistakes={
            "draws from the global generator": Mistake(
                lambda seed, step, count: np.random.random(count),
                "These numbers come from the generator that the whole program shares: they depend "
                "on everything that was drawn before, and after a stop they are others. Make a "
                "generator of seed and step.",
            ),
            "seeds the global generator": Mistake(
                _seeds_the_global_one,
                "The numbers are right, but np.random.seed sets the generator that the whole "
                "program shares: everybody else's random numbers now repeat at each step. Make a "
                "generator of your own with np.random.default_rng.",
            ),
            "a generator without a seed": Mistake(
                _from(lambda seed, step: None),
                "Asked again, it gives other numbers: its generator has no seed, or lives on "
                "between two calls. Make it anew at each call, from seed and step.",
            ),
            "seed alone": Mistake(
                _from(lambda seed, step: seed),
                "Every step draws the same numbers: the step does not take part. Each step would "
                "cut and mirror its pictures in the same way.",
            ),
            "step alone": Mistake(
                _from(lambda seed, step: step),
                "Every seed gives the same numbers, so two runs with different seeds are the same "
                "run. Let the seed take part.",
            ),
            "seed plus step": Mistake(
                _from(lambda seed, step: seed + step),
                "Step 1 of seed 0 draws the same numbers as step 0 of seed 1: the runs are one "
                "run, shifted by a step, and an average over seeds is worth nothing. Give both "
                "numbers to the generator as a list: [seed, step].",
            ),
            "seed times step": Mistake(
                _from(lambda seed, step: seed * step),
                "With seed 0 every step draws the same numbers, and step 2 of seed 3 is step 3 of "
                "seed 2. Give both numbers to the generator as a list: [seed, step].",
            ),
            "joins the digits": Mistake(
                _from(lambda seed, step: int(f"{seed}{step}")),
                "The digits are joined to one number, so step 11 of seed 1 is step 1 of seed 11. "
                "Give both numbers to the generator as a list: [seed, step].",
            ),
            "stretches the seed": Mistake(
                _from(lambda seed, step: 1000 * seed + step),
                "With 1000 * seed + step, step 1000 of seed 0 is step 0 of seed 1, and a run has "
                "more steps than that. A list [seed, step] never meets.",
            ),
            "normal numbers": Mistake(
                lambda seed, step, count: np.random.default_rng([seed, step]).normal(size=count),
                "The generator is right, but the numbers are normal: some are negative or above "
                "1. Its method random(count) gives uniform ones in [0, 1).",
            ),
        },
    )
)


# 6.4 ------------------------------------------------------------------------------------------


def shared_gradient(batch: Tensor, processes: int, gradient: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of a batch, computed by several processes that see a share of it each.

    Here the processes work one after the other. What they compute is the same.

    Args:
        batch: (N, ...), N a multiple of `processes`. Each picture goes to exactly one process.
        processes: how many there are.
        gradient: what one process computes: its pictures (n, ...) -> gradient of their mean loss.

    Returns:
        What every process goes on with: the gradient of the mean loss of the whole batch.
    """
    shares = batch.chunk(processes)
    return torch.stack([gradient(share) for share in shares]).mean(dim=0)


def _shared_gradient_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(6)
    return [
        (torch.randn(n, 2, generator=generator), processes) for n, processes in ((4, 2), (8, 4))
    ]


def _drawn_shared_gradient_cases(rng: np.random.Generator) -> list[tuple]:
    """In the second one the shares are larger than their number."""
    few, many = (sorted(rng.choice(range(2, 7), 2, replace=False).tolist()) for _ in range(2))
    return [
        (normal(rng, processes * share, 2), processes) for processes, share in (few[::-1], many)
    ]


def _run_shared_gradient(answer: Callable, batch: Tensor, processes: int) -> dict | None:
    weight = torch.tensor([0.5, -1.0])
    seen: list[list[int]] = []

    def gradient(share: Tensor) -> Tensor:
        seen.append([row for x in share for row, y in enumerate(batch) if torch.equal(x, y)])
        return (2 * (share @ weight - 1)[:, None] * share).mean(dim=0)

    found = answer(batch, processes, gradient)
    if not isinstance(found, Tensor):
        return found
    all_seen = [row for rows in seen for row in rows]
    return {
        "gradient": found,
        "pictures that each process saw": [len(rows) for rows in seen],
        "pictures that nobody saw": len(batch) - len(set(all_seen)),
        "pictures seen more than once": len(all_seen) - len(set(all_seen)),
    }


def _sums(batch, processes, gradient):
    return torch.stack([gradient(share) for share in batch.chunk(processes)]).sum(dim=0)


def _divides_by_the_batch(batch, processes, gradient):
    return _sums(batch, processes, gradient) / len(batch)


def _whole_batch_for_each(batch, processes, gradient):
    return torch.stack([gradient(batch) for _ in range(processes)]).mean(dim=0)


def _alone(batch, processes, gradient):
    return gradient(batch)


def _first_share_for_all(batch, processes, gradient):
    count = len(batch) // processes
    return torch.stack([gradient(batch[:count]) for _ in range(processes)]).mean(dim=0)


def _shares_overlap(batch, processes, gradient):
    count = len(batch) // processes
    shares = [batch[rank : rank + count] for rank in range(processes)]
    return torch.stack([gradient(share) for share in shares]).mean(dim=0)


def _never_exchanges(batch, processes, gradient):
    gradients = [gradient(share) for share in batch.chunk(processes)]
    return gradients[0]


def _drops_the_last(batch, processes, gradient):
    count = len(batch) // processes
    shares = [batch[rank * count : (rank + 1) * count - 1] for rank in range(processes)]
    return torch.stack([gradient(share) for share in shares]).mean(dim=0)


def _shares_of_that_size(batch, processes, gradient):
    return torch.stack([gradient(share) for share in batch.split(processes)]).mean(dim=0)


register(
    Exercise(
        number="6.4",
        title="a gradient that is shared",
        reference=shared_gradient,
        cases=_shared_gradient_cases,
        drawn_cases=_drawn_shared_gradient_cases,
        run=_run_shared_gradient,
        hints=(
            "Two parts. First cut the batch into as many equal shares as there are processes; "
            "then make one gradient of all their gradients.",
            "batch.chunk(processes) gives the shares. The loss of a batch is a mean, and a mean "
            "of equal shares is the mean of their means.",
            "torch.stack([gradient(share) for share in shares]).mean(dim=0)",
        ),
        mistakes={
            "sums": Mistake(
                _sums,
                "The gradients are summed: the step grows with the number of processes. Each is "
                "the gradient of a mean, so take their mean.",
            ),
            "divides by the batch": Mistake(
                _divides_by_the_batch,
                "The sum is divided by the number of pictures. But each process has already taken "
                "the mean over its own pictures: divide by the number of processes.",
            ),
            "gives each the whole batch": Mistake(
                _whole_batch_for_each,
                "The gradient is right, but every process computes the whole batch: with twice "
                "the machines it takes as long as with one. Give each its share.",
            ),
            "one process does it all": Mistake(
                _alone,
                "The gradient is right, but one process has done it all. Call `gradient` once for "
                "each process, with its share.",
            ),
            "gives all the first share": Mistake(
                _first_share_for_all,
                "All processes work on the same pictures, and the others are never seen. This "
                "happens when each process draws its pictures without asking for its rank.",
            ),
            "shares overlap": Mistake(
                _shares_overlap,
                "The shares overlap: some pictures count twice, others not at all. The share of "
                "process r begins at r * n, where n is the number of pictures of each.",
            ),
            "never exchanges": Mistake(
                _never_exchanges,
                "All processes compute, but only the first one's gradient is returned. Without "
                "the exchange each process goes its own way, and their weights drift apart.",
            ),
            "drops the last": Mistake(
                _drops_the_last,
                "The last picture of each share is left out: the end of a slice does not belong "
                "to it, so there is nothing to subtract.",
            ),
            "mixes number and size": Mistake(
                _shares_of_that_size,
                "batch.split(n) makes shares of n pictures each. Wanted are n shares: "
                "batch.chunk(n).",
            ),
        },
    )
)
