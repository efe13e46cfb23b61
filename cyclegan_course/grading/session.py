"""One notebook, run inside the worker: its answers one by one, or all of its cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclegan_course.exercises import grading
from cyclegan_course.exercises.registry import REGISTRY, order
from cyclegan_course.grading import plan as plans
from cyclegan_course.grading.tampering import Watch

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from cyclegan_course.grading.worker import Talk

LONGEST = 1000  # characters of a text that is passed on
NO_MEMORY = ("MemoryError", "can't allocate memory", "not enough memory")


class Session:
    """A notebook and the shell that runs it.

    Args:
        task: see `supervisor.Task`.
    """

    def __init__(self, shell: "InteractiveShell", talk: "Talk", task: dict) -> None:
        self.shell, self.talk, self.task = shell, talk, task
        self._watch, self._judge, self._plan = Watch(), grading.grade_answer, plans.make_plan
        self._failed: dict[int, str] = {}
        self._ran: set[int] = set()
        self._states: dict[str, str] = task["settled"]
        self._plan(["import math"])  # loads what it needs

    def run(self) -> None:
        """All of the task; says what it finds."""
        try:
            cells = plans.code_cells(Path(self.task["notebook"]).read_bytes())
        except plans.NotebookError as error:
            self.talk.say("unreadable", message=str(error))
            return
        if self.task["whole"]:
            self._run_cells(cells)
        else:
            self._grade(cells)

    def _run_cells(self, cells: list[str]) -> None:
        """Every cell, whatever becomes of those before it."""
        for index, cell in enumerate(cells, 1):
            self.talk.say("cell", index=index)
            error = self._execute(cell)
            if error is not None:
                self.talk.say("failed", index=index, error=_one_line(error))

    def _grade(self, cells: list[str]) -> None:
        plan = self._plan(cells)
        numbers = [number for number in plan.places if self._counts(number)]
        unreadable = {n: text[:LONGEST] for n, text in plan.unreadable.items() if self._counts(n)}
        self.talk.say("found", numbers=numbers, unreadable=unreadable)
        # What is deleted or cannot be read must not spoil the exercises that build on it.
        chapters = {order(number)[0] for number in [*numbers, *unreadable]}
        for number, task in REGISTRY.items():
            if order(number)[0] in chapters:
                self.shell.user_ns[task.reference.__name__] = task.reference
        for number in numbers:
            if number in self._states:
                continue
            self.talk.say("begin", number=number)
            answer = self._define(plan, number)
            self.talk.say("ready", number=number)
            seed = self.talk.hear()["seed"]
            outcome = self._outcome(plan, number, answer, seed)
            self._states[number] = outcome["state"]
            self._settle(plan, plan.places[number])
            self.talk.say("outcome", number=number, **outcome)

    def _counts(self, number: str) -> bool:
        chapters = self.task["chapters"]
        return number in REGISTRY and (chapters is None or order(number)[0] in chapters)

    def _define(self, plan: plans.Plan, number: str) -> Any:
        """Run what an answer needs and its own statement; the answer, or None if that failed."""
        place = plan.places[number]
        for index in plan.needed(number):
            if index in self._ran and index != place:
                continue
            self._ran.add(index)
            error = self._execute(plan.statements[index].source)
            if error is not None:
                self._failed[index] = _one_line(error)
            elif index != place:
                self._settle(plan, index)
        return None if place in self._failed else self._value(plan, number)

    def _value(self, plan: plans.Plan, number: str) -> Any:
        name = plan.statements[plan.places[number]].answers[number]
        return self.shell.user_ns.get(name)

    def _settle(self, plan: plans.Plan, index: int) -> None:
        """Go on as a notebook does: with the course's version where the answer is not right."""
        for number, name in plan.statements[index].answers.items():
            known = number in REGISTRY and plan.places[number] == index and number in self._states
            if known and self._states[number] != "passed":
                self.shell.user_ns[name] = REGISTRY[number].reference

    def _outcome(self, plan: plans.Plan, number: str, answer: Any, seed: int) -> dict:
        failed = [self._failed[i] for i in plan.needed(number) if i in self._failed]
        if answer is None:
            reason = failed[-1] if failed else "it defines nothing"
            return _state("wrong", f"The cell of the answer fails: {reason}.")
        try:
            found = self._judge(REGISTRY[number], answer, seed)
        except BaseException as error:
            if isinstance(error, SystemExit | KeyboardInterrupt):
                return _state("wrong", f"It stops with {type(error).__name__}.")
            return _state("not graded", f"The check itself stops with {_one_line(error)}.")
        if changed := self._watch.changes():
            names = ", ".join(changed[:3])
            return _state("tampered", f"The answer changes what checks it ({names}).")
        message = found.message
        if found.status == "wrong" and failed:
            message += f" A cell that it needs fails: {failed[0]}."
        memory = found.status == "wrong" and any(text in message for text in NO_MEMORY)
        hidden = found.message.startswith(grading.HIDDEN)
        return _state("memory limit" if memory else found.status, message) | {
            "table": [] if hidden else [[name, text[:LONGEST]] for name, text in found.table],
            "hidden": hidden,
            "mistake": found.mistake or "",
        }

    def _execute(self, source: str) -> BaseException | None:
        """Run source as a cell; what it raised."""
        try:
            result = self.shell.run_cell(source)
        except BaseException as error:
            return error
        return result.error_before_exec or result.error_in_exec


def _state(state: str, message: str) -> dict:
    return {"state": state, "message": message[:LONGEST]}


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # an error of the notebook's own, that cannot be put in words
        text = ""
    return f"{type(error).__name__}: {text}"[:200].rstrip(".: ")
