"""Exercises that check themselves.

In a notebook:

    from cyclegan_course.exercises import exercise, hint, progress, solution

    @exercise("0.1")
    def to_unit_range(picture):
        ...

The check runs when the cell runs. A stub that is still empty says so, and the chapter goes on with
the course's own function under the same name. A right answer passes, and is used from there on. A
wrong one shows what was expected beside what was found, and names the mistake if it is a known one.

Each chapter has one module here, `chapter_NN.py`. It holds everything of its exercises: reference
(the stub is made from it), inputs to check with, hints and known mistakes. `registry.Exercise` says
what belongs to one; `tests/test_exercises.py` tries all of them.
"""

import importlib
import pkgutil

from cyclegan_course.exercises.checking import Outcome, assess
from cyclegan_course.exercises.learner import exercise, hint, progress, solution
from cyclegan_course.exercises.registry import REGISTRY, Exercise, Mistake, get, register

__all__ = [
    "REGISTRY",
    "Exercise",
    "Mistake",
    "Outcome",
    "assess",
    "exercise",
    "get",
    "hint",
    "progress",
    "register",
    "solution",
]

for _module in pkgutil.iter_modules(__path__):
    if _module.name.startswith("chapter_"):
        importlib.import_module(f"{__name__}.{_module.name}")
