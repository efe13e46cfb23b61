"""Chapter 9: the invariants judge right, and the exercise says on whom a wrong verdict was."""

import inspect

import pytest
import torch

from cyclegan_course.exercises import assess, chapter_09, get
from cyclegan_course.exercises.chapter_09 import adds_to_its_input, keeps_the_scale

NUMBERS = [f"9.{i}" for i in range(1, 10)]
CASES = [
    pytest.param(number, place, id=f"{number}, {case[0]!r}")
    for number in NUMBERS
    for place, case in enumerate(get(number).cases())
]


@pytest.mark.parametrize(("number", "place"), CASES)
def test_the_reference_knows_right_from_wrong(number, place):
    suspect, *more = get(number).cases()[place]
    torch.manual_seed(5)  # other numbers than the check draws
    assert get(number).reference(suspect, *more) is suspect.right


@pytest.mark.parametrize("number", NUMBERS)
def test_right_code_comes_in_several_guises_and_so_does_wrong_code(number):
    suspects = [case[0] for case in get(number).cases()]
    assert sum(suspect.right for suspect in suspects) >= 3
    assert sum(not suspect.right for suspect in suspects) >= 4
    assert len({repr(suspect) for suspect in suspects}) == len(suspects)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("constant", [True, False])
def test_a_constant_answer_is_not_right(number, constant):
    task = get(number)
    outcome = assess(task, lambda *inputs: constant)
    assert outcome.status == "wrong"
    first = next(case[0] for case in task.cases() if case[0].right is not constant)
    assert (f"for {parameter(task)} =", repr(first)) in outcome.table


@pytest.mark.parametrize("number", NUMBERS)
def test_one_wrong_verdict_is_enough_and_is_named(number):
    task = get(number)
    for i in range(len(task.cases())):
        answer = all_but(task, i)
        outcome = assess(task, answer)
        assert outcome.status == "wrong"
        assert (f"for {parameter(task)} =", repr(task.cases()[i][0])) in outcome.table
        if outcome.mistake is None:
            assert repr(task.cases()[i][0]) in outcome.message


def all_but(task, place: int):
    """An answer with the right verdict on every suspect but one."""
    names = [repr(case[0]) for case in task.cases()]

    def answer(suspect, *more):
        return suspect.right is not (repr(suspect) == names[place])

    return answer


def parameter(task) -> str:
    return next(iter(inspect.signature(task.reference).parameters))


@pytest.mark.parametrize("number", NUMBERS)
def test_every_exercise_has_hints_and_mistakes_enough(number):
    task = get(number)
    assert len(task.hints) >= 3
    assert len(task.mistakes) >= 5


@pytest.mark.parametrize("kind", [bool, torch.tensor, lambda verdict: torch.tensor([verdict])])
def test_a_verdict_may_be_a_tensor(kind):
    assert assess(get("9.2"), lambda make: kind(adds_to_its_input(make))).status == "passed"


def test_a_verdict_must_be_one_value():
    outcome = assess(get("9.2"), lambda make: torch.tensor([True, True]))
    assert outcome.status == "wrong"
    assert "shape" in outcome.message


def test_an_answer_that_draws_numbers_gets_the_same_ones_each_time():
    drawn: list[float] = []

    def answer(make_norm):
        drawn.append(torch.rand(()).item())
        return keeps_the_scale(make_norm)

    before = torch.get_rng_state()
    assert assess(get("9.3"), answer).status == "passed"
    assert len(set(drawn)) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_courses_own_answers_are_remembered():
    calls = []

    def answer(make_block):
        calls.append(make_block)
        return adds_to_its_input(make_block)

    suspect = get("9.2").cases()[0][0]
    for _ in range(2):
        chapter_09._judge(answer, suspect)
    assert len(calls) == 2


# Other right answers -----------------------------------------------------------------------------


def test_a_block_may_be_silenced_by_its_gradient_in_place_of_its_weights():
    """The derivative of x + F(x) by x, where F is constant, is 1 for every number."""

    def answer(make_block):
        block = make_block(8)
        for p in block.parameters():
            p.data.mul_(0)
        x = torch.linspace(-3, 3, 2 * 8 * 36).reshape(2, 8, 6, 6).requires_grad_()
        y = block(x.clone())
        (gradient,) = torch.autograd.grad(y.sum(), x)
        return bool((gradient == 1).all()) and bool(((y - x).abs() < 1e-6).all())

    assert assess(get("9.2"), answer).status == "passed"
