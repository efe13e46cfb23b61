"""Whether an answer has changed what checks it.

A check in the same process can always be deceived by somebody who sets out to do it. This finds the
ways that are easily thought of: putting other functions into the checker, numpy or torch.
"""

import sys
import types
from collections.abc import Iterator

from cyclegan_course.exercises.registry import REGISTRY

_WATCHED = ("cyclegan_course.exercises", "cyclegan_course.grading")
_LIBRARIES = ("numpy", "torch", "torch.nn", "torch.nn.functional", "inspect", "dis", "builtins")


class Watch:
    """Remembers functions and values; later says which of them are no longer what they were."""

    def __init__(self) -> None:
        self._functions = list(_functions())
        self._values = [
            (f"{name}.{key}", module, key, value)
            for name, module in list(sys.modules.items())
            if name.startswith(_WATCHED) or name in _LIBRARIES
            for key, value in list(vars(module).items())
            if callable(value) or key.isupper()
        ]
        self._tasks = [(number, task, dict(vars(task))) for number, task in REGISTRY.items()]

    def changes(self) -> list[str]:
        """What was changed, by name."""
        found = [name for name, module, key, value in self._values if _other(module, key, value)]
        found += [f.__qualname__ for f, *parts in self._functions if parts != _parts(f)]
        found += [
            f"exercise {number}"
            for number, task, fields in self._tasks
            if REGISTRY.get(number) is not task
            or any(vars(task).get(key) is not value for key, value in fields.items())
        ]
        return found


def _functions() -> Iterator[list]:
    for name, module in list(sys.modules.items()):
        if name.startswith(_WATCHED):
            for value in list(vars(module).values()):
                if isinstance(value, types.FunctionType) and value.__module__ == name:
                    yield [value, *_parts(value)]


def _parts(function: types.FunctionType) -> list:
    return [function.__code__, function.__defaults__, function.__kwdefaults__]


def _other(module: types.ModuleType, key: str, value: object) -> bool:
    return vars(module).get(key) is not value
