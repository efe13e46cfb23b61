"""Modules of exercises as bytecode, with stubs and checks, without sources and hidden inputs.

Used by student_edition.py.
"""

import ast
import importlib.util
import platform
import py_compile
import tempfile
from pathlib import Path

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
EXERCISES = Path("cyclegan_course") / "exercises"
DRAWS = "cyclegan_course.exercises.draws"
PYTHON = ".".join(platform.python_version_tuple()[:2])

# After the docstring of exercises/__init__.py: Python's own message would be "bad magic number".
GUARD = """
import importlib.util
import platform

from cyclegan_course.errors import CourseError

if importlib.util.MAGIC_NUMBER.hex() != "{magic}":
    raise CourseError(
        f"This student edition is made for Python {python}, and this is Python "
        f"{{platform.python_version()}}: start it with Python {python}, as its README says."
    )
"""


def closed_module(source: str, hints: bool) -> ast.Module:
    """A module of exercises for learners, which needs no source at run time.

    Each exercise brings its stub as text, is closed, and draws no hidden inputs; what drew them is
    gone.

    Args:
        source: of exercises/chapter_NN.py.
        hints: whether the hints stay.

    Raises:
        CourseError: if an exercise is written in a way that is not understood here.
    """
    tree = ast.parse(source)
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Exercise"):
            continue
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if not isinstance(given.get("number"), ast.Constant):
            raise CourseError('Write Exercise(number="2.1", ...) with the number as plain text.')
        given.pop("drawn_cases", None)
        given["blanks"] = ast.Constant(REGISTRY[given["number"].value].stub)
        given["closed"] = ast.Constant(True)
        if not hints:
            given["hints"] = ast.Tuple([], ast.Load())
        call.keywords = [ast.keyword(name, value) for name, value in given.items()]
    while unused := _unused(tree):
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom):
                statement.names = [name for name in statement.names if name.name not in unused]
        tree.body = [
            statement
            for statement in tree.body
            if getattr(statement, "name", "") not in unused and getattr(statement, "names", True)
        ]
    return ast.fix_missing_locations(tree)


def _unused(tree: ast.Module) -> set[str]:
    """Private functions, and imports for drawing, that nothing in a module speaks of any more."""
    candidates = {s.name for s in tree.body if isinstance(s, ast.FunctionDef) and s.name[0] == "_"}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == DRAWS:
            candidates |= {name.name for name in statement.names}
    spoken_of: set[str] = set()
    for statement in tree.body:
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        spoken_of |= names - {getattr(statement, "name", "")}  # a function may call itself
    return candidates - spoken_of


def write_exercises(target: Path, chapters: set[int], hints: bool) -> None:
    """Write the exercises of some chapters as bytecode into a folder of the package."""
    needs_draws = False
    for chapter in sorted(chapters):
        file = ROOT / EXERCISES / f"chapter_{chapter:02d}.py"
        tree = closed_module(file.read_text(encoding="utf-8"), hints)
        needs_draws |= any(getattr(statement, "module", "") == DRAWS for statement in tree.body)
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / file.name
            plain.write_text(ast.unparse(tree), encoding="utf-8")
            py_compile.compile(
                str(plain),
                cfile=str(target / f"{file.stem}.pyc"),
                dfile=f"<exercises of chapter {chapter}>",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
    if not needs_draws:
        (target / "draws.py").unlink(missing_ok=True)
    init = target / "__init__.py"
    text = init.read_text(encoding="utf-8")
    end = ast.parse(text).body[0].end_lineno
    lines = text.splitlines(keepends=True)
    guard = GUARD.format(magic=importlib.util.MAGIC_NUMBER.hex(), python=PYTHON)
    init.write_text("".join([*lines[:end], guard, *lines[end:]]), encoding="utf-8")
