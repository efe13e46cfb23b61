"""Checking an answer: run it on the cases of its exercise, compare, and put the result in words."""

import dis
import inspect
import linecache
import textwrap
import traceback
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclegan_course.exercises.registry import Exercise, is_blank

Status = Literal["passed", "wrong", "not attempted"]
SHOWN = 16  # arrays up to this many numbers are shown whole


@dataclass(frozen=True)
class Outcome:
    """What the check found.

    Args:
        message: sentences for the learner.
        table: (heading, text) rows: the input, what was expected, what was found.
        mistake: name of the known mistake, if it is one.
    """

    status: Status
    message: str
    table: tuple[tuple[str, str], ...] = ()
    mistake: str | None = None


@dataclass(frozen=True)
class Stopped:
    """The result of an answer that raised."""

    error: Exception


def assess(exercise: Exercise, answer: Callable) -> Outcome:
    """Check an answer. Whatever it does, an Outcome comes back and nothing is raised."""
    if _is_stub(exercise, answer):
        return Outcome("not attempted", "Not attempted yet.")
    results = _results(exercise, answer)
    if any(_is_placeholder(result, answer) for result in results):
        return Outcome("not attempted", "Not attempted yet.")
    expected = _results(exercise, exercise.reference)
    for i, (wanted, found) in enumerate(zip(expected, results, strict=True)):
        if (difference := compare(wanted, found, exercise.tolerance)) is not None:
            return _wrong(exercise, answer, results, expected, i, difference)
    if not exercise.changes_inputs and (name := _changed_input(exercise, answer)):
        return Outcome("wrong", f"The results are right, but {name} is changed: work on a copy.")
    if exercise.extra is not None:
        try:
            sentence = exercise.extra(answer)
        except Exception as error:  # the answer's, in a situation that the cases do not have
            sentence = _describe_error(error, answer)
        if sentence is not None:
            return Outcome("wrong", sentence)
    return Outcome("passed", "Right. Your version is used from here on.")


def compare(expected: Any, found: Any, tolerance: float, *, types: bool = True) -> str | None:
    """What is different, as a sentence, or None. With `types=False` only shapes and values count.

    Knows tensors, arrays, pictures, numbers, text, and lists, tuples and dicts of them.
    """
    if isinstance(found, Stopped):
        return "It stops with an error."
    if expected is None and found is None:
        return None
    if found is None:
        return "It returns None: is there a `return` at the end?"
    if isinstance(expected, Image.Image) and isinstance(found, Image.Image):
        if types and expected.mode != found.mode:
            return f"The picture's mode is {found.mode} and should be {expected.mode}."
        return compare(np.asarray(expected), np.asarray(found), tolerance, types=types)
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            return f"The keys are {list(found)} and should be {list(expected)}."
        pairs = [(f"Entry {key!r}: ", expected[key], found[key]) for key in expected]
    elif isinstance(expected, tuple | list) and isinstance(found, tuple | list):
        if len(expected) != len(found):
            return f"It returns {len(found)} values and should return {len(expected)}."
        pairs = [
            (f"Value {i}: ", *both) for i, both in enumerate(zip(expected, found, strict=True), 1)
        ]
    elif isinstance(expected, str):
        if not isinstance(found, str):
            return f"It returns a {_type_name(found)} and should return a str."
        return None if expected == found else "The text is wrong."
    elif isinstance(expected, bool) and isinstance(found, bool | np.bool_):
        return None if expected == bool(found) else "The value is wrong."
    elif isinstance(expected, dict | tuple | list | Image.Image | None):
        return f"It returns a {_type_name(found)} and should return a {_type_name(expected)}."
    else:
        return _compare_numbers(expected, found, tolerance, types)
    for name, one, other in pairs:
        if (difference := compare(one, other, tolerance, types=types)) is not None:
            return name + difference
    return None


def _compare_numbers(expected: Any, found: Any, tolerance: float, types: bool) -> str | None:
    kinds = [_kind(expected), _kind(found)]
    # A single number may come as a float, a numpy scalar or a tensor of one element.
    if types and kinds[0] != kinds[1] and kinds[0] != "number":
        return f"It returns a {_type_name(found)} and should return a {_type_name(expected)}."
    try:
        wanted, got = _array(expected), _array(found)
    except (RuntimeError, TypeError, ValueError):
        return f"It returns a {_type_name(found)} and should return a {_type_name(expected)}."
    if got.dtype.kind not in "biufc":
        return f"It returns a {_type_name(found)} and should return a {_type_name(expected)}."
    if wanted.shape != got.shape:
        return f"The shape is {got.shape} and should be {wanted.shape}."
    wide = np.result_type(wanted, np.float64)
    if wanted.dtype.kind in "biu":  # whole numbers are counted, not measured
        tolerance = 0.0
    # A NaN is right only where one is expected, an infinity only where the same one is.
    if not np.allclose(
        got.astype(wide), wanted.astype(wide), rtol=tolerance, atol=tolerance, equal_nan=True
    ):
        return "The values are wrong."
    if types and kinds[0] != "number" and wanted.dtype != got.dtype:
        return f"The values are right, but their type is {got.dtype} and should be {wanted.dtype}."
    return None


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, np.ndarray):
        return "array"
    return "number" if isinstance(value, int | float | complex | np.generic) else "other"


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


def _type_name(value: Any) -> str:
    names = {Tensor: "torch.Tensor", np.ndarray: "numpy array", Image.Image: "PIL picture"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), None) or (
        type(value).__name__
    )


# Was it tried at all? -------------------------------------------------------------------------


def _is_stub(exercise: Exercise, answer: Callable) -> bool:
    codes = _codes(answer)
    if all(_is_empty(code) for code in codes):
        return True
    namespace = dict(getattr(exercise.reference, "__globals__", {}))
    namespace |= vars(inspect.getmodule(exercise.reference) or types.SimpleNamespace())
    exec(exercise.stub, namespace)  # the course's own text, from the package
    untouched = _codes(namespace[exercise.reference.__name__])
    return [_skeleton(code) for code in codes] == [_skeleton(code) for code in untouched]


def _codes(answer: Callable) -> list[types.CodeType]:
    """The bodies of a function, or of the methods of a class."""
    members = vars(answer).values() if inspect.isclass(answer) else [answer]
    return [member.__code__ for member in members if inspect.isfunction(member)]


def _is_empty(code: types.CodeType) -> bool:
    """Whether a body is only `...`, `pass`, a docstring, or `return None`."""
    kept = [entry for entry in dis.get_instructions(code) if entry.opname not in ("RESUME", "NOP")]
    return all(
        entry.opname.startswith("RETURN") or entry.opname == "LOAD_CONST" for entry in kept
    ) and all(entry.argval is None for entry in kept)


def _skeleton(code: types.CodeType) -> list:
    """What a body does, without where it stands."""
    return [
        (
            entry.opname,
            _skeleton(entry.argval) if isinstance(entry.argval, types.CodeType) else entry.argrepr,
        )
        for entry in dis.get_instructions(code)
    ]


def _is_placeholder(result: Any, answer: Callable) -> bool:
    if isinstance(result, Stopped):  # torch raises this error too, for a mean of booleans
        own = any("NotImplementedError" in code.co_names for code in _codes(answer))
        return own and isinstance(result.error, NotImplementedError)
    return is_blank(result) and result is not None


# Running it -----------------------------------------------------------------------------------


def _results(exercise: Exercise, answer: Callable) -> list[Any]:
    return [_result(exercise, answer, case) for case in exercise.cases()]


def _result(exercise: Exercise, answer: Callable, case: tuple) -> Any:
    try:
        with np.errstate(all="ignore"):  # a warning about a wrong answer only distracts
            return exercise.run(answer, *case)
    except Exception as error:  # whatever a learner's function may raise
        return Stopped(error)


def _changed_input(exercise: Exercise, answer: Callable) -> str | None:
    for case, untouched in zip(exercise.cases(), exercise.cases(), strict=True):
        _result(exercise, answer, case)
        for i, (used, fresh) in enumerate(zip(case, untouched, strict=True)):
            if isinstance(used, np.ndarray | Tensor) and compare(fresh, used, 0.0) is not None:
                return f"the input {_input_names(exercise, case)[i]}"
    return None


def _input_names(exercise: Exercise, case: tuple) -> list[str]:
    names = list(inspect.signature(exercise.reference).parameters)
    return names if len(names) >= len(case) else [f"input {i}" for i in range(1, len(case) + 1)]


# Putting it in words --------------------------------------------------------------------------


def _wrong(
    exercise: Exercise,
    answer: Callable,
    results: Sequence[Any],
    expected: Sequence[Any],
    place: int,
    difference: str,
) -> Outcome:
    case, found = exercise.cases()[place], results[place]
    table = [
        (f"for {name} =", describe(value))
        for name, value in zip(_input_names(exercise, case), case, strict=False)
    ]
    if isinstance(found, Stopped):
        return Outcome("wrong", _describe_error(found.error, answer), tuple(table))
    table += [("expected", describe(expected[place])), ("found", describe(found))]
    table += _first_difference(expected[place], found, exercise.tolerance)
    name = _known_mistake(exercise, results)
    if name is not None:
        return Outcome("wrong", exercise.mistakes[name].message, tuple(table), name)
    return Outcome("wrong", difference, tuple(table))


def _known_mistake(exercise: Exercise, results: Sequence[Any]) -> str | None:
    """The known mistake with the same results; with the same types if there is one."""
    for strict in (True, False):
        for name, mistake in exercise.mistakes.items():
            wrong = _results(exercise, mistake.function)
            if all(
                not isinstance(one, Stopped)
                and compare(one, other, exercise.tolerance, types=strict) is None
                for one, other in zip(wrong, results, strict=True)
            ):
                return name
    return None


def _describe_error(error: Exception, answer: Callable) -> str:
    """One sentence on what was raised, and the learner's own line that raised it."""
    what = f"It stops with {type(error).__name__}: {str(error).strip() or 'no message'}"
    what = what.splitlines()[0].rstrip(".")
    files = {code.co_filename for code in _codes(answer)}
    lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    source = linecache.getline(lines[-1].filename, lines[-1].lineno).strip() if lines else ""
    return f"{what}. The line is `{source}`." if source else f"{what}."


def describe(value: Any) -> str:
    """A value on one line: small arrays whole, large ones by type, shape and range."""
    if isinstance(value, Stopped):
        return f"{type(value.error).__name__}"
    if isinstance(value, Image.Image):
        return f"picture {value.mode} of {value.width} x {value.height} pixels"
    if isinstance(value, tuple | list):
        ends = "()" if isinstance(value, tuple) else "[]"
        return ends[0] + ", ".join(describe(entry) for entry in value) + ends[1]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {describe(entry)}" for key, entry in value.items()) + "}"
    if not isinstance(value, np.ndarray | Tensor):
        return f"{value:.6g}" if isinstance(value, float) else textwrap.shorten(repr(value), 120)
    array = _array(value)
    kind = str(value.dtype).removeprefix("torch.")
    if array.size <= SHOWN:
        text = np.array2string(array, precision=4, separator=", ", suppress_small=True)
        return f"{' '.join(text.split())} ({kind})"
    return f"{kind} of shape {array.shape}, from {array.min():.4g} to {array.max():.4g}"


def _first_difference(expected: Any, found: Any, tolerance: float) -> list[tuple[str, str]]:
    """For arrays too large to show: the first place where they differ, and both values."""
    if not isinstance(expected, np.ndarray | Tensor) or not isinstance(found, np.ndarray | Tensor):
        return []
    wanted, got = _array(expected), _array(found)
    if wanted.shape != got.shape or wanted.size <= SHOWN:
        return []
    bad = ~np.isclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not bad.any():
        return []
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    place = ", ".join(map(str, index))
    return [(f"first at [{place}]", f"expected {wanted[index]:.6g}, found {got[index]:.6g}")]
