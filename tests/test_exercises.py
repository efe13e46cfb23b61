"""Every exercise of the course, and the engine that checks them."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cyclegan_course import exercises
from cyclegan_course.errors import CourseError
from cyclegan_course.exercises import REGISTRY, Exercise, Mistake, assess, learner
from cyclegan_course.exercises.checking import compare, describe

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
MISTAKES = [(number, name) for number, task in REGISTRY.items() for name in task.mistakes]


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch):
    """No test sees the state or the hints of another one."""
    monkeypatch.setattr(learner, "_status", {})
    monkeypatch.setattr(learner, "_hints", type(learner._hints)())


def defined(source: str, **names):
    """The function or class that a piece of source defines."""
    namespace = {"np": np, "torch": torch, "nn": nn, **names}
    exec(source, namespace)
    return namespace[ast.parse(source).body[-1].name]


def module_of(task: Exercise) -> dict:
    """All names of the module that an exercise stands in."""
    return vars(sys.modules[task.reference.__module__])


# Every exercise ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", REGISTRY)
def test_reference_passes(number):
    outcome = assess(REGISTRY[number], REGISTRY[number].reference)
    assert outcome.status == "passed", outcome.message


@pytest.mark.parametrize("number", REGISTRY)
def test_solution_passes_as_a_learner_would_type_it(number):
    task = REGISTRY[number]
    answer = defined(task.solution, **module_of(task))
    assert assess(task, answer).status == "passed"


@pytest.mark.parametrize("number", REGISTRY)
def test_stub_reads_as_not_attempted_and_hands_out_the_reference(number, capsys):
    task = REGISTRY[number]
    answer = defined(task.cell, **module_of(task), exercise=exercises.exercise)
    assert answer is task.reference
    printed = capsys.readouterr().out
    assert "not attempted" in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize(("number", "name"), MISTAKES)
def test_known_mistake_is_named(number, name):
    outcome = assess(REGISTRY[number], REGISTRY[number].mistakes[name].function)
    assert outcome.status == "wrong"
    assert outcome.mistake == name
    assert outcome.message == REGISTRY[number].mistakes[name].message
    assert {"expected", "found"} <= {row[0] for row in outcome.table}


@pytest.mark.parametrize("number", REGISTRY)
def test_exercise_is_whole(number):
    task = REGISTRY[number]
    assert len(task.mistakes) >= 2
    assert len({mistake.message for mistake in task.mistakes.values()}) == len(task.mistakes)
    assert len(task.hints) >= 2
    assert task.reference.__doc__
    assert task.solution.startswith(("def ", "class "))
    assert "..." in task.stub


@pytest.mark.parametrize("number", REGISTRY)
@pytest.mark.parametrize(
    "result",
    ["None", "'text'", "object()", "np.zeros((2, 3, 5))", "1 / 0", "unknown", "[[1], [2, 3]]"],
)
def test_a_strange_answer_gets_one_sentence(number, result):
    answer = defined(f"def answer(*inputs, **more):\n    value = {result}\n    return value")
    outcome = assess(REGISTRY[number], answer)
    assert outcome.status == "wrong"
    assert "Traceback" not in outcome.message
    assert len(outcome.message.splitlines()) == 1


def test_cells_of_the_notebooks_are_the_stubs():
    found = 0
    for file in NOTEBOOKS.glob("*.ipynb"):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and source.startswith("@exercise("):
                number = ast.parse(source).body[0].decorator_list[0].args[0].value
                assert source == REGISTRY[number].cell, f"{file.name}: {number}"
                found += 1
    assert found == len(REGISTRY)


# The engine -------------------------------------------------------------------------------------


def double(values: np.ndarray) -> np.ndarray:
    """Twice the values."""
    # How it is done.
    return values * 2


def make_exercise(reference=double, **changes) -> Exercise:
    defaults = {
        "number": "99.1",
        "title": "twice",
        "reference": reference,
        "cases": lambda: [(np.array([1.0, 2.0], np.float32),)],
        "hints": ("one", "two"),
        "mistakes": {},
    }
    return Exercise(**(defaults | changes))


@pytest.mark.parametrize(
    "body",
    [
        "...",
        "pass",
        "'''Only words.'''",
        "return",
        "return None",
        "return ...",
        "return NotImplemented",
        "raise NotImplementedError",
        "raise NotImplementedError('to do')",
    ],
)
def test_unattempted(body):
    assert assess(make_exercise(), defined(f"def f(x):\n    {body}")).status == "not attempted"


def test_stub_is_the_reference_without_its_body():
    assert make_exercise().stub.splitlines() == [
        "def double(values: np.ndarray) -> np.ndarray:",
        '    """Twice the values."""',
        "    ...",
    ]


def test_stub_with_gaps_is_recognised_and_an_attempt_at_it_is_not():
    task = make_exercise(blanks="def double(values):\n    factor = ...\n    return values * factor")
    assert assess(task, defined(task.stub)).status == "not attempted"
    assert assess(task, defined(task.stub.replace("= ...", "= 2"))).status == "passed"
    assert assess(task, defined(task.stub.replace("= ...", "= 3"))).status == "wrong"


class Scale(nn.Module):
    """A layer that multiplies."""

    def __init__(self, factor: float) -> None:
        """Keep the factor."""
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N,) -> (N,)."""
        return self.factor * x


def test_a_class_can_be_an_exercise():
    task = make_exercise(
        Scale,
        cases=lambda: [(2.0, torch.arange(3.0))],
        run=lambda layer, factor, x: layer(factor)(x),
    )
    assert assess(task, Scale).status == "passed"
    assert assess(task, defined(task.stub)).status == "not attempted"
    assert "..." in task.stub
    assert "self.factor" not in task.stub
    wrong = defined(task.solution.replace("self.factor * x", "self.factor + x"))
    assert assess(task, wrong).status == "wrong"


def test_learners_function_is_returned_when_right_and_the_reference_when_wrong(monkeypatch, capsys):
    task = make_exercise()
    monkeypatch.setitem(REGISTRY, "99.1", task)

    def right(values):
        return values + values

    def wrong(values):
        return values * 3

    assert exercises.exercise("99.1")(right) is right
    assert "passed" in capsys.readouterr().out
    assert exercises.exercise("99.1")(wrong) is task.reference
    printed = capsys.readouterr().out
    assert "[2., 4.]" in printed
    assert "[3., 6.]" in printed


def test_error_names_the_learners_own_line():
    def stops(values):
        nothing = values[17]
        return nothing

    outcome = assess(make_exercise(), stops)
    assert "IndexError" in outcome.message
    assert "nothing = values[17]" in outcome.message


def test_an_error_of_torch_is_not_taken_for_an_empty_stub():
    def mean_of_booleans(values):
        return (torch.from_numpy(values) > 1).mean()

    outcome = assess(make_exercise(), mean_of_booleans)
    assert outcome.status == "wrong"
    assert "mean_of_booleans" not in outcome.message
    assert "(torch.from_numpy(values) > 1).mean()" in outcome.message


def test_tensors_with_a_graph_in_a_tuple_are_a_sentence():
    def with_graph(values):
        weight = torch.ones(2, requires_grad=True)
        return weight * 2, weight * 3

    outcome = assess(make_exercise(), with_graph)
    assert outcome.status == "wrong"
    assert "tuple" in outcome.message


def test_changed_input_is_noticed():
    def in_place(values):
        values *= 2
        return values

    outcome = assess(make_exercise(), in_place)
    assert outcome.status == "wrong"
    assert "values is changed" in outcome.message
    assert assess(make_exercise(changes_inputs=True), in_place).status == "passed"


def test_extra_check_speaks():
    task = make_exercise(extra=lambda answer: "Too slow." if answer is not double else None)
    assert assess(task, double).status == "passed"
    assert assess(task, lambda values: values + values).message == "Too slow."

    def stumbles(answer):
        return answer(None)

    assert "TypeError" in assess(make_exercise(extra=stumbles), double).message


def test_known_mistake_counts_in_another_float_type_too():
    task = make_exercise(mistakes={"thrice": Mistake(lambda x: x * 3, "Two, not three.")})
    assert assess(task, lambda x: x.astype(np.float64) * 3).mistake == "thrice"
    assert assess(task, lambda x: x * 4).mistake is None


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1.5, np.float64(1.5)),
        (1.5, torch.tensor(1.5)),
        (3, 3.0),
        (True, True),
        ("a", "a"),
        ((1, np.ones(2)), [1, np.ones(2)]),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2)}),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf])),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
        (Image.new("RGB", (2, 3)), Image.new("RGB", (2, 3))),
        (None, None),
    ],
)
def test_equal(expected, found):
    assert compare(expected, found, 1e-5) is None


@pytest.mark.parametrize(
    ("expected", "found", "word"),
    [
        (1.5, 1.6, "values"),
        (1.5, np.nan, "values"),
        (1.5, None, "return"),
        (11_378_179, 11_378_180, "values"),
        (torch.ones(2), np.ones(2, np.float32), "torch.Tensor"),
        (torch.ones(2), torch.ones(3), "shape"),
        (torch.ones(2), torch.ones(2).double(), "float64"),
        (np.ones(2), [1.0, 1.0], "list"),
        ((1, 2), (1, 3), "Value 2"),
        ((1, 2), (1,), "1 values"),
        ({"a": 1}, {"b": 1}, "keys"),
        ({"a": 1}, {"a": 2}, "'a'"),
        (True, False, "wrong"),
        ("a", "b", "text"),
        ("a", np.zeros((2, 3)), "numpy array"),
        ({"a": 1}, 1.0, "dict"),
        ((1, 2), torch.zeros(2), "tuple"),
        (Image.new("RGB", (2, 3)), np.zeros((3, 2, 3)), "PIL picture"),
        (None, 3.0, "NoneType"),
        (np.ones(2), "ones", "str"),
        (Image.new("RGB", (2, 3)), Image.new("L", (2, 3)), "mode"),
        (Image.new("RGB", (2, 3)), Image.new("RGB", (3, 2)), "shape"),
    ],
)
def test_different(expected, found, word):
    assert word in compare(expected, found, 1e-5)


def test_large_arrays_are_described_and_their_first_difference_is_shown():
    text = describe(np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3))
    assert text == "float32 of shape (10, 10, 3), from 0 to 1"
    task = make_exercise(cases=lambda: [(np.ones((5, 5)),)])

    def one_off(values):
        out = values * 2
        out[3, 4] = 7
        return out

    assert ("first at [3, 4]", "expected 2, found 7") in assess(task, one_off).table


def test_hints_come_one_after_another(capsys):
    task = REGISTRY["0.1"]
    for text in task.hints:
        exercises.hint("0.1")
        assert text in capsys.readouterr().out
    exercises.hint("0.1")
    assert 'solution("0.1")' in capsys.readouterr().out


def test_solution_and_progress_in_a_plain_script(capsys):
    exercises.solution("0.1")
    assert REGISTRY["0.1"].solution in capsys.readouterr().out
    exercises.exercise("0.1")(REGISTRY["0.1"].reference)
    exercises.hint("0.2")
    capsys.readouterr()
    exercises.progress()
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("0.1")).split()[-2:] == ["passed", "0"]
    assert next(line for line in lines if line.startswith("0.2")).split()[-2:] == ["attempted", "1"]
    assert lines[-1] == "1 of 2 passed"


def test_progress_of_one_chapter_of_the_session_and_of_the_course(capsys):
    def numbers():
        lines = capsys.readouterr().out.splitlines()
        return [line.split()[0] for line in lines[1:-1]]

    exercises.progress()
    assert numbers() == sorted(REGISTRY, key=lambda number: [int(n) for n in number.split(".")])
    exercises.progress(0)
    assert numbers() == ["0.1", "0.2"]
    exercises.hint("0.2")
    capsys.readouterr()
    exercises.progress()
    assert numbers() == ["0.1", "0.2"]
    with pytest.raises(CourseError, match="no exercises of chapter 77"):
        exercises.progress(77)


@pytest.mark.parametrize("function", [exercises.exercise, exercises.hint, exercises.solution])
def test_unknown_number_is_a_sentence(function):
    with pytest.raises(CourseError, match=r"no exercise '77\.7'"):
        function("77.7")


def test_decorator_without_number_is_a_sentence():
    with pytest.raises(CourseError, match="Write the number"):

        @exercises.exercise
        def anything():
            pass


def test_a_number_is_taken_once():
    with pytest.raises(ValueError, match="already registered"):
        exercises.register(REGISTRY["0.1"])
