"""The hidden inputs of every exercise: right answers pass them, memorised ones do not."""

import inspect

import pytest
from torch import nn

from cyclegan_course.exercises import REGISTRY, Exercise, assess
from cyclegan_course.exercises.checking import compare
from cyclegan_course.toys.cycle import held_out

SEEDS = range(8)
FEWER = range(4)
# Those whose answer returns results; a class and a pair of functions have tests of their own below.
FUNCTIONS = [
    number
    for number, task in REGISTRY.items()
    if inspect.isfunction(task.reference) and number != "4.3"
]
MISTAKES = [(number, name) for number, task in REGISTRY.items() for name in task.mistakes]


class Parrot:
    """Says what the reference said for the published inputs, in the same order, for ever."""

    def __init__(self, task: Exercise) -> None:
        self.heard = []

        def overheard(*inputs, **more):
            self.heard.append(task.reference(*inputs, **more))
            return self.heard[-1]

        for case in task.cases():
            task.run(overheard, *case)
        self.said = 0

    def answer(self):
        def answer(*inputs, **more):
            self.said += 1
            return self.heard[(self.said - 1) % len(self.heard)]

        return answer


@pytest.mark.parametrize("number", REGISTRY)
def test_reference_passes_hidden_inputs(number):
    task = REGISTRY[number]
    for seed in SEEDS:
        outcome = assess(task.drawn(seed), task.reference)
        assert outcome.status == "passed", (seed, outcome.message)


@pytest.mark.parametrize("number", REGISTRY)
def test_hidden_inputs_follow_from_the_seed_and_differ_between_seeds(number):
    task = REGISTRY[number]

    def results(seed):
        return [task.run(task.reference, *case) for case in task.drawn(seed).cases()]

    assert compare(results(1), results(1), 0.0) is None
    assert any(compare(results(1), results(seed), task.tolerance) for seed in (2, 3, 4))


@pytest.mark.parametrize("number", FUNCTIONS)
def test_a_memorised_answer_fails_on_every_seed(number):
    task = REGISTRY[number]
    for seed in FEWER:
        parrot = Parrot(task)
        assert assess(task.drawn(seed), parrot.answer()).status == "wrong", seed


@pytest.mark.parametrize(("number", "name"), MISTAKES)
def test_most_hidden_inputs_catch_a_known_mistake_too(number, name):
    task = REGISTRY[number]
    mistake = task.mistakes[name].function
    caught = sum(assess(task.drawn(seed), mistake).status == "wrong" for seed in FEWER)
    assert caught >= len(FEWER) // 2


def test_a_pair_of_functions_for_the_published_points_alone_fails():
    def pair():
        a, b, _ = held_out(5)
        there = {a.numpy().tobytes(): -2 * a, (-b / 2).numpy().tobytes(): b}
        back = {(-2 * a).numpy().tobytes(): a, b.numpy().tobytes(): -b / 2}
        return (
            lambda x: there.get(x.numpy().tobytes(), -2 * a),
            lambda x: back.get(x.numpy().tobytes(), -b / 2),
        )

    task = REGISTRY["4.3"]
    assert assess(task, pair).status == "passed"
    assert all(assess(task.drawn(seed), pair).status == "wrong" for seed in SEEDS)


def test_a_class_for_the_published_channels_alone_fails():
    task = REGISTRY["3.3"]

    class ResnetBlock(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.channels = channels
            self.inner = task.reference(channels)

        def forward(self, x):
            return self.inner(x) if self.channels in (1, 3) else x

    assert assess(task, ResnetBlock).status == "passed"
    assert all(assess(task.drawn(seed), ResnetBlock).status == "wrong" for seed in SEEDS)
