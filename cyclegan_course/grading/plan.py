"""What of a notebook has to run for its exercises to be graded.

An answer needs its own definition, and the imports, helpers and constants that it names. Nothing
else of the notebook runs: no training, no figure, no cell that fails. That makes grading fast, and
keeps one bad cell from spoiling the rest.
"""

import ast
import json
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager

_NUMBER = re.compile(r"^\s*@\s*(?:\w+\s*\.\s*)*exercise\s*\(\s*[\"'](\d+\.\d+)[\"']", re.MULTILINE)


class NotebookError(ValueError):
    """A file that is no notebook; the message is a sentence for the student."""


@dataclass(frozen=True)
class Statement:
    """One statement at the top level of a code cell.

    Args:
        source: its text, without the decorator `exercise`.
        binds, needs: names of the notebook that it gives a value to, or uses.
        answers: the exercises it answers: number, and name of the function or class.
    """

    source: str
    binds: frozenset[str]
    needs: frozenset[str]
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The statements of a notebook that can be read, in order, and where the answers are.

    Args:
        places: index of the statement with the last answer to each exercise, in order.
        unreadable: what Python says of the cell that answers an exercise, where it says no.
    """

    statements: list[Statement]
    places: dict[str, int]
    unreadable: dict[str, str]

    def needed(self, number: str) -> list[int]:
        """Indexes of all statements to run for an exercise, in order; its own is among them."""
        place = self.places[number]
        chosen = {place}
        waiting = [place]
        while waiting:
            for name in self.statements[waiting.pop()].needs:
                new = self._binding(name, place) - chosen
                chosen |= new
                waiting += new
        return sorted(chosen)

    def _binding(self, name: str, place: int) -> set[int]:
        """What gives a name its value before a place; behind it if nothing does so before."""
        superseded = {
            i
            for i, statement in enumerate(self.statements)
            if statement.answers and not any(self.places[n] == i for n in statement.answers)
        }
        found = {i for i, statement in enumerate(self.statements) if name in statement.binds}
        found -= superseded
        return {i for i in found if i < place} or found


def code_cells(content: bytes) -> list[str]:
    """Sources of the code cells of a notebook file.

    Raises:
        NotebookError: if it is none.
    """
    try:
        cells = json.loads(content.decode("utf-8-sig"))["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return ["".join(source) for source in sources]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotebookError("The file is not a notebook that can be read.") from error


def make_plan(cells: list[str]) -> Plan:
    """The plan of a notebook with these code cells."""
    statements: list[Statement] = []
    places: dict[str, int] = {}
    unreadable: dict[str, str] = {}
    for cell in cells:
        try:
            module = ast.parse(TransformerManager().transform_cell(cell))
            new = [_statement(node) for node in module.body]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            for number in _NUMBER.findall(cell):
                unreadable[number] = _syntax(error)
            continue
        for statement in new:
            for number in statement.answers:
                places[number] = len(statements)
                unreadable.pop(number, None)  # the later cell counts
            statements.append(statement)
    # Where a later cell cannot be read, an earlier answer to the exercise still counts.
    return Plan(statements, places, {n: text for n, text in unreadable.items() if n not in places})


def _syntax(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        where = f" in line {error.lineno} of the cell" if error.lineno else ""
        return f"{type(error).__name__}{where}: {error.msg}"
    return f"{type(error).__name__}: {error}"


def _statement(node: ast.stmt) -> Statement:
    answers = {number: definition.name for definition, number in _take_decorators_off(node)}
    source = ast.unparse(node)
    try:
        table = symtable.symtable(source, "<cell>", "exec")
    except SyntaxError:  # `return` outside a function: it fails when it runs
        return Statement(source, frozenset(), frozenset(), answers)
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    needs = set(_used(table)) - set(answers.values())
    changed = _changed_in_place(node)
    return Statement(source, frozenset(binds | changed), frozenset(needs), answers)


def _take_decorators_off(node: ast.stmt) -> Iterator[tuple[ast.FunctionDef | ast.ClassDef, str]]:
    """Remove `@exercise("2.1")` from all definitions in a statement; yields them and numbers."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for definition in [part for part in ast.walk(node) if isinstance(part, kinds)]:
        for decorator in list(definition.decorator_list):
            if (number := _exercise_number(decorator)) is not None:
                definition.decorator_list.remove(decorator)
                yield definition, number


def _exercise_number(decorator: ast.expr) -> str | None:
    if not isinstance(decorator, ast.Call) or len(decorator.args) + len(decorator.keywords) != 1:
        return None
    name = getattr(decorator.func, "id", getattr(decorator.func, "attr", None))
    value = decorator.args[0] if decorator.args else decorator.keywords[0].value
    number = value.value if isinstance(value, ast.Constant) else None
    fits = isinstance(number, str) and re.fullmatch(r"\d+\.\d+", number, re.ASCII)
    return number if name == "exercise" and fits else None


def _used(table: symtable.SymbolTable) -> Iterator[str]:
    """Names of the notebook that are used in a scope and in those inside it."""
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() if top else symbol.is_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from _used(child)


def _changed_in_place(node: ast.stmt) -> set[str]:
    """Names whose value a statement changes without binding them: `table[0] = 1`, `rows.append(1)`.

    Not `module.name = 1`: an answer has no business changing a module.
    """
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {_root(target) for target in targets if isinstance(target, ast.Subscript)} - {""}
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        method = node.value.func
        if isinstance(method, ast.Attribute) and method.attr in _CHANGING:
            return {_root(method.value)} - {""}
    return set()


_CHANGING = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "sort"}


def _root(node: ast.expr) -> str:
    """The name an expression like `rows[0]` begins with; "" if it begins otherwise."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
