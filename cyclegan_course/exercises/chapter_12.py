"""Exercises of chapter 12: timing, Amdahl's law, fewer calls, a frozen judge, a pool of tensors."""

import statistics
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.losses import discriminator_loss, generator_loss
from cyclegan_course.networks import init_weights

# 12.1 -----------------------------------------------------------------------------------------


class SimulatedMachine:
    """A machine with a clock of its own, as hard to measure as a real one, and the same each time.

    The first call of each function takes `cold` seconds more, and every call makes the machine
    slower by `drift` of its first speed.

    Args:
        costs: seconds that each function would take on a machine without these two faults.
    """

    def __init__(self, costs: Mapping[str, float], cold: float = 5.0, drift: float = 0.05) -> None:
        self.costs, self.cold, self.drift = costs, cold, drift
        self.now = 0.0
        self.called: list[str] = []

    @property
    def functions(self) -> dict[str, Callable[[], None]]:
        """The functions, by name; each only lets the clock go on."""

        def make(name: str) -> Callable[[], None]:
            def function() -> None:
                first = 0.0 if name in self.called else self.cold
                self.now += first + self.costs[name] * (1 + self.drift * len(self.called))
                self.called.append(name)

            return function

        return {name: make(name) for name in self.costs}

    def clock(self) -> float:
        """Seconds since the machine was switched on."""
        return self.now


def in_turns(
    functions: dict[str, Callable[[], object]],
    clock: Callable[[], float],
    rounds: int = 5,
    warm_up: int = 1,
) -> dict[str, list[float]]:
    """Measure several functions fairly: warmed up, and in turns.

    First every function is called `warm_up` times, and none of these calls counts. Then come the
    rounds: in each round every function is called once, in the order of `functions`.

    Args:
        functions: what to measure, by name. Each is called without arguments.
        clock: gives the time in seconds, as `time.perf_counter` does.
        rounds: how often each function is measured.
        warm_up: calls of each function before the first round.

    Returns:
        For each name the seconds of its calls, one number for each round.
    """
    for function in functions.values():
        for _ in range(warm_up):
            function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = clock()
            function()
            seconds[name].append(clock() - start)
    return seconds


CLOCK = "the clock of a simulated machine"


def _in_turns_cases() -> list[tuple]:
    return [
        ({"old": 2.0, "new": 1.0}, CLOCK, 3, 1),
        ({"one": 1.0, "two": 2.0, "three": 3.0}, CLOCK, 2, 2),
    ]


def _in_turns_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(*names: str) -> tuple:
        names = rng.permutation(names).tolist()
        costs = {name: round(float(rng.uniform(0.5, 4)), 2) for name in names}
        rounds, warm_up = rng.integers([2, 1], [6, 4]).tolist()
        return costs, CLOCK, rounds, warm_up

    return [case("old", "new"), case("one", "two", "three")]


def _run_in_turns(
    answer: Callable, costs: dict[str, float], _clock: str, rounds: int, warm_up: int
) -> dict | None:
    machine = SimulatedMachine(costs)
    found = answer(machine.functions, machine.clock, rounds, warm_up)
    if is_blank(found):
        return found
    first = warm_up * len(costs)  # calls, in any order: only how many there are of each is asked
    order = [*sorted(machine.called[:first]), *machine.called[first:]]
    return {"seconds": found, "order of the calls": " ".join(order)}


def _warmed(functions, warm_up):
    for function in functions.values():
        for _ in range(warm_up):
            function()


def _timed(function, clock):
    start = clock()
    function()
    return clock() - start


def _does_not_warm_up(functions, clock, rounds=5, warm_up=1):
    return in_turns(functions, clock, rounds, 0)


def _one_after_the_other(functions, clock, rounds=5, warm_up=1):
    _warmed(functions, warm_up)
    return {name: [_timed(f, clock) for _ in range(rounds)] for name, f in functions.items()}


def _warms_up_just_before(functions, clock, rounds=5, warm_up=1):
    seconds = {}
    for name, function in functions.items():
        _warmed({name: function}, warm_up)
        seconds[name] = [_timed(function, clock) for _ in range(rounds)]
    return seconds


def _counts_the_warm_up(functions, clock, rounds=5, warm_up=1):
    return in_turns(functions, clock, rounds + warm_up, 0)


def _warms_up_the_first_alone(functions, clock, rounds=5, warm_up=1):
    first = next(iter(functions))
    _warmed({first: functions[first]}, warm_up)
    return in_turns(functions, clock, rounds, 0)


def _one_start_for_the_round(functions, clock, rounds=5, warm_up=1):
    _warmed(functions, warm_up)
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        start = clock()
        for name, function in functions.items():
            function()
            seconds[name].append(clock() - start)
    return seconds


def _start_minus_end(functions, clock, rounds=5, warm_up=1):
    seconds = in_turns(functions, clock, rounds, warm_up)
    return {name: [-value for value in values] for name, values in seconds.items()}


def _only_the_median(functions, clock, rounds=5, warm_up=1):
    seconds = in_turns(functions, clock, rounds, warm_up)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _only_the_sum(functions, clock, rounds=5, warm_up=1):
    seconds = in_turns(functions, clock, rounds, warm_up)
    return {name: sum(values) for name, values in seconds.items()}


register(
    Exercise(
        number="12.1",
        title="measure in turns",
        reference=in_turns,
        cases=_in_turns_cases,
        drawn_cases=_in_turns_drawn,
        run=_run_in_turns,
        hints=(
            "There are two loops, one after the other: first the warm-up of every function, then "
            "the rounds. In a round, go once through `functions.items()`.",
            "Read the clock right before and right after the call: `start = clock()`, "
            "`function()`, and the time is `clock() - start`.",
            "Begin with `seconds = {name: [] for name in functions}`. The rounds are "
            "`for _ in range(rounds): for name, function in functions.items(): ...`, and the last "
            "line in them is `seconds[name].append(clock() - start)`.",
        ),
        mistakes={
            "does not warm up": Mistake(
                _does_not_warm_up,
                "There is no warm-up: the first call of each function is slow, and it counts here. "
                "Call every function `warm_up` times before the first round.",
            ),
            "measures one after the other": Mistake(
                _one_after_the_other,
                "All rounds of one function come before those of the next one. A machine that gets "
                "slower meanwhile then makes the last function look worst: put the loop over the "
                "functions inside the loop over the rounds.",
            ),
            "finishes one function before the next": Mistake(
                _warms_up_just_before,
                "Each function is warmed up and measured before the next one has its turn. Warm up "
                "all of them first; then measure in rounds, so that a machine that gets slower "
                "hits all alike.",
            ),
            "counts the warm-up": Mistake(
                _counts_the_warm_up,
                "The calls of the warm-up are among the times. They are there to be thrown away: "
                "call the functions without reading the clock.",
            ),
            "warms up only the first": Mistake(
                _warms_up_the_first_alone,
                "Only the first function is warmed up. Every function has a slow first call of "
                "its own.",
            ),
            "one start for the round": Mistake(
                _one_start_for_the_round,
                "The clock is started once for the whole round, so each time holds the functions "
                "before it too. Read the clock right before every call.",
            ),
            "start minus end": Mistake(
                _start_minus_end,
                "The times are negative: it is the later reading minus the earlier one, "
                "`clock() - start`.",
            ),
            "returns only the median": Mistake(
                _only_the_median,
                "Return all times of each function as a list. The median comes later: whoever "
                "sees only one number cannot tell how much it swings.",
            ),
            "returns only the sum": Mistake(
                _only_the_sum,
                "The times of a function are added up. Return them one by one, as a list.",
            ),
        },
    )
)


# 12.2 -----------------------------------------------------------------------------------------


def amdahl(shares: dict[str, float], speed_ups: dict[str, float]) -> float:
    """How many times faster the whole becomes if some of its parts become faster (Amdahl's law).

    Args:
        shares: what each part takes of the time of the whole, by name; they sum to 1.
        speed_ups: how many times faster a part becomes, by its name. A part that is not named
            stays as it is. `math.inf` means that it takes no time any more.

    Returns:
        The old time of the whole divided by the new one; 1 if nothing changes.
    """
    return 1 / sum(share / speed_ups.get(part, 1.0) for part, share in shares.items())


def _amdahl_cases() -> list[tuple]:
    parts = {"convolutions": 0.5, "norm": 0.3, "rest": 0.2}
    return [
        (parts, {"convolutions": 5.0}),
        (parts, {"convolutions": 4.0, "norm": 1.5}),
        (parts, {"rest": 1.0}),
        (parts, {"convolutions": float("inf"), "norm": 3.0}),
    ]


def _amdahl_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(faster: int, factor: float | None = None) -> tuple:
        """So many parts become faster, the first by a factor if one is given."""
        names = rng.permutation(["convolutions", "norm", "loss", "data", "rest"]).tolist()
        shares = dict(zip(names, rng.dirichlet([4.0] * len(names)).tolist(), strict=True))
        speed_ups = dict(zip(names, rng.uniform(1.5, 8, size=faster).tolist(), strict=False))
        return shares, speed_ups if factor is None else speed_ups | {names[0]: factor}

    return [case(1), case(2), case(3), case(2, float("inf")), case(1, 1.0)]


def _after(shares, speed_ups):
    return 1 / amdahl(shares, speed_ups)


def _weights_the_speed_ups(shares, speed_ups):
    return sum(share * speed_ups.get(part, 1.0) for part, share in shares.items())


def _forgets_the_rest(shares, speed_ups):
    return 1 / sum(shares[part] / factor for part, factor in speed_ups.items())


def _multiplies(shares, speed_ups):
    whole = 1.0
    for factor in speed_ups.values():
        whole *= factor
    return whole


def _takes_the_mean(shares, speed_ups):
    return sum(speed_ups.get(part, 1.0) for part in shares) / len(shares)


def _saves_the_wrong_part(shares, speed_ups):
    return 1 / (1 - sum(shares[part] / factor for part, factor in speed_ups.items()))


def _what_is_saved(shares, speed_ups):
    return 1 - _after(shares, speed_ups)


def _mean_without_shares(shares, speed_ups):
    return len(shares) / sum(1 / speed_ups.get(part, 1.0) for part in shares)


register(
    Exercise(
        number="12.2",
        title="Amdahl's law",
        reference=amdahl,
        cases=_amdahl_cases,
        drawn_cases=_amdahl_drawn,
        hints=(
            "Let the whole take 1 second. How long does each part take afterwards? Add these "
            "times up.",
            "A part that takes the share s and becomes f times faster takes s / f afterwards. "
            "`speed_ups.get(part, 1.0)` is f, and 1 for a part that is not named.",
            "Return 1 / sum(share / speed_ups.get(part, 1.0) for part, share in shares.items()).",
        ),
        mistakes={
            "averages the speed-ups": Mistake(
                _weights_the_speed_ups,
                "The speed-ups are averaged with the shares as weights. But times add up, "
                "speed-ups do not: compute the new time of each part, add, and divide at the end.",
            ),
            "forgets the rest": Mistake(
                _forgets_the_rest,
                "Only the parts that became faster are added up. The others still take their "
                "time: go through all of `shares`.",
            ),
            "multiplies the speed-ups": Mistake(
                _multiplies,
                "The speed-ups are multiplied. That would be right for one part that is made "
                "faster twice; these are different parts, and each is only a share of the whole.",
            ),
            "ignores the shares": Mistake(
                _takes_the_mean,
                "This is the mean of the speed-ups, whatever the parts take. A part that takes 1 % "
                "of the time can hardly change anything: use `shares`.",
            ),
            "adds times without the shares": Mistake(
                _mean_without_shares,
                "The new times are added up as if every part took equally long. Weight them with "
                "`shares`.",
            ),
            "saves the wrong part": Mistake(
                _saves_the_wrong_part,
                "A part with share s that becomes f times faster takes s / f from now on. Here "
                "s / f is what it saves.",
            ),
            "returns the time": Mistake(
                _after,
                "This is the new time, as a part of the old one. How many times faster is that? "
                "Divide 1 by it.",
            ),
            "returns what is saved": Mistake(
                _what_is_saved,
                "This is the share of the time that is saved. How many times faster it becomes is "
                "old time divided by new time.",
            ),
        },
    )
)


# 12.3 -----------------------------------------------------------------------------------------


def four_calls(model: CycleGAN, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
    """The six pictures of the generators' losses, from four calls of generators.

    Pictures that go through the same generator at the same time share a call: they are stacked
    with `torch.cat`, and the result is taken apart again with `.split`.

    Args:
        model: holds G_AB and G_BA, which take any number of pictures.
        real_A, real_B: (N, 3, H, W) each, in [-1, 1]. N can be more than 1.

    Returns:
        "fake_B", "fake_A", "rec_A", "rec_B", "idt_A", "idt_B", each (N, 3, H, W).
    """
    count = len(real_A)
    fake_B, idt_B = model.G_AB(torch.cat([real_A, real_B])).split(count)
    fake_A, idt_A = model.G_BA(torch.cat([real_B, real_A])).split(count)
    return {
        "fake_B": fake_B,
        "fake_A": fake_A,
        "rec_A": model.G_BA(fake_B),
        "rec_B": model.G_AB(fake_A),
        "idt_A": idt_A,
        "idt_B": idt_B,
    }


def six_calls(model: CycleGAN, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
    """The same six pictures, each with a call of its own, as in chapter 5."""
    fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    return {
        "fake_B": fake_B,
        "fake_A": fake_A,
        "rec_A": model.G_BA(fake_B),
        "rec_B": model.G_AB(fake_A),
        "idt_A": model.G_BA(real_A),
        "idt_B": model.G_AB(real_B),
    }


def _small_generator() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, kernel_size=3, padding=1), nn.InstanceNorm2d(3), nn.Tanh())


def small_model(seed: int = 1) -> CycleGAN:
    """Generators of one convolution with a norm, large weights, and no discriminators to speak of.

    The norm treats each picture alone, and the padding sees its border, as in the real ones.
    """
    model = CycleGAN(_small_generator, nn.Identity)
    init_weights(model, std=0.5, generator=torch.Generator().manual_seed(seed))
    return model


def _noise(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _four_calls_cases() -> list[tuple]:
    return [
        (small_model(), _noise(n, 3, 4, 4, seed=n), _noise(n, 3, 4, 4, seed=n + 7)) for n in (1, 2)
    ]


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _four_calls_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(count: int) -> tuple:
        shape = count, 3, *rng.integers(4, 7, size=2).tolist()
        pictures = (_noise(*shape, seed=_seed(rng)) for _ in "AB")
        return small_model(_seed(rng)), *pictures

    return [case(1), case(int(rng.integers(2, 5)))]


def _run_four_calls(
    answer: Callable, model: CycleGAN, real_A: Tensor, real_B: Tensor
) -> dict | None:
    calls = []
    for generator in (model.G_AB, model.G_BA):
        generator.register_forward_hook(lambda *_: calls.append(1))
    found = answer(model, real_A, real_B)
    if is_blank(found):
        return found
    pictures = {name: found[name] for name in sorted(found)}
    # Each picture gets a weight of its own, so that a gradient that is cut somewhere shows. The
    # mean keeps them small: the gradients of biases before a norm are nothing but rounding.
    sum(i * picture.square().mean() for i, picture in enumerate(pictures.values(), 1)).backward()
    return {
        "pictures": pictures,
        "calls of generators": "four or fewer" if len(calls) <= 4 else str(len(calls)),
        **{f"gradient of {name}": _one_row(net) for name, net in model.named_children()},
    }


def _one_row(net: nn.Module) -> Tensor:
    """All gradients of a network in one row, 0 where there is none."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]
    return torch.cat([grad.flatten() for grad in found]) if found else torch.zeros(0)


def _swaps_the_halves(model, real_A, real_B):
    pictures = four_calls(model, real_A, real_B)
    pictures["fake_B"], pictures["idt_B"] = pictures["idt_B"], pictures["fake_B"]
    pictures["fake_A"], pictures["idt_A"] = pictures["idt_A"], pictures["fake_A"]
    return pictures | {
        "rec_A": model.G_BA(pictures["fake_B"]),
        "rec_B": model.G_AB(pictures["fake_A"]),
    }


def _same_order_for_both(model, real_A, real_B):
    count, both = len(real_A), torch.cat([real_A, real_B])
    fake_B, idt_B = model.G_AB(both).split(count)
    fake_A, idt_A = model.G_BA(both).split(count)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    return dict(fake_B=fake_B, fake_A=fake_A, rec_A=rec_A, rec_B=rec_B, idt_A=idt_A, idt_B=idt_B)


def _cuts_after_one_picture(model, real_A, real_B):
    AB, BA = model.G_AB(torch.cat([real_A, real_B])), model.G_BA(torch.cat([real_B, real_A]))
    fake_B, idt_B, fake_A, idt_A = AB[:1], AB[1:], BA[:1], BA[1:]
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    return dict(fake_B=fake_B, fake_A=fake_A, rec_A=rec_A, rec_B=rec_B, idt_A=idt_A, idt_B=idt_B)


def _side_by_side(model, real_A, real_B):
    width = real_A.shape[-1]
    fake_B, idt_B = model.G_AB(torch.cat([real_A, real_B], dim=-1)).split(width, dim=-1)
    fake_A, idt_A = model.G_BA(torch.cat([real_B, real_A], dim=-1)).split(width, dim=-1)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    return dict(fake_B=fake_B, fake_A=fake_A, rec_A=rec_A, rec_B=rec_B, idt_A=idt_A, idt_B=idt_B)


def _detaches_on_the_way_round(model, real_A, real_B):
    pictures = four_calls(model, real_A, real_B)
    return pictures | {
        "rec_A": model.G_BA(pictures["fake_B"].detach()),
        "rec_B": model.G_AB(pictures["fake_A"].detach()),
    }


def _goes_back_from_the_identity(model, real_A, real_B):
    pictures = four_calls(model, real_A, real_B)
    return pictures | {
        "rec_A": model.G_BA(pictures["idt_B"]),
        "rec_B": model.G_AB(pictures["idt_A"]),
    }


def _swaps_identity_names(model, real_A, real_B):
    pictures = four_calls(model, real_A, real_B)
    return pictures | {"idt_A": pictures["idt_B"], "idt_B": pictures["idt_A"]}


register(
    Exercise(
        number="12.3",
        title="four calls for six pictures",
        reference=four_calls,
        cases=_four_calls_cases,
        drawn_cases=_four_calls_drawn,
        run=_run_four_calls,
        hints=(
            "Which pictures go through G_AB before anything else is known? real_A becomes fake_B, "
            "and real_B becomes idt_B: these two can share a call. G_BA has two as well.",
            "torch.cat([real_A, real_B]) is (2 * N, 3, H, W), and .split(N) cuts along the first "
            "axis. The way back needs the fakes, so it comes after, with a call for each.",
            "fake_B, idt_B = model.G_AB(torch.cat([real_A, real_B])).split(len(real_A)). For G_BA "
            "swap A and B. Then rec_A = model.G_BA(fake_B), rec_B = model.G_AB(fake_A).",
        ),
        mistakes={
            "makes six calls": Mistake(
                six_calls,
                "The pictures are right, but the generators are called six times. Let fake_B and "
                "idt_B share a call of G_AB, and fake_A and idt_A one of G_BA.",
            ),
            "swaps the halves": Mistake(
                _swaps_the_halves,
                "The two halves are swapped: what went in first comes out first. With "
                "torch.cat([real_A, real_B]) the first half is fake_B, the second idt_B.",
            ),
            "the same order for both": Mistake(
                _same_order_for_both,
                "Both generators get [real_A, real_B], so the first half that comes from G_BA is "
                "idt_A, not fake_A. Give it [real_B, real_A], or name the halves the other way.",
            ),
            "cuts after one picture": Mistake(
                _cuts_after_one_picture,
                "The result is cut after one picture. A batch can hold more: cut after "
                "len(real_A) pictures.",
            ),
            "side by side": Mistake(
                _side_by_side,
                "The pictures are joined side by side into one broad picture. The norm then mixes "
                "both, and the padding sees a neighbour where the border should be. Stack them "
                "along the first axis, the one that counts pictures.",
            ),
            "detaches on the way round": Mistake(
                _detaches_on_the_way_round,
                "The pictures are right, but the fakes are detached before the way back, so each "
                "cycle trains one generator instead of two.",
            ),
            "goes back from the identity picture": Mistake(
                _goes_back_from_the_identity,
                "The way back starts from idt_B, which was made from real_B. rec_A comes from "
                "fake_B.",
            ),
            "swaps the identity names": Mistake(
                _swaps_identity_names,
                "The names of the identity pictures are swapped: idt_A is a picture of A, "
                "G_BA(real_A).",
            ),
        },
    )
)


# 12.4 -----------------------------------------------------------------------------------------


def judged(D: nn.Module, pictures: Tensor) -> Tensor:
    """The scores of a frozen discriminator: gradients flow through it, but not into it.

    Nothing about D itself changes, so that it can be trained in the same graph. Use
    `functional_call(D, tensors, (pictures,))`: it runs D with other tensors in the place of its
    parameters, given by name in a dictionary.

    Args:
        D: scores pictures. `D.named_parameters()` gives its parameters with their names.
        pictures: (N, 3, H, W), which may hang on a generator's graph.

    Returns:
        What `D(pictures)` returns.
    """
    fixed = {name: parameter.detach() for name, parameter in D.named_parameters()}
    return functional_call(D, fixed, (pictures,))


def small_judge(seed: int = 2) -> nn.Module:
    """Two convolutions with biases, at first as PyTorch draws them from a fixed seed."""
    D = nn.Sequential(nn.Conv2d(3, 2, 3), nn.LeakyReLU(0.2), nn.Conv2d(2, 1, 2))
    init_weights(D, std=0.5, generator=torch.Generator().manual_seed(seed))
    nn.init.constant_(D[0].bias, 0.2)
    nn.init.constant_(D[2].bias, -0.3)
    return D


def _judged_cases() -> list[tuple]:
    return [(small_judge(), _noise(2, 3, 5, 5, seed=3))]


def _judged_drawn(rng: np.random.Generator) -> list[tuple]:
    return [
        (small_judge(_seed(rng)), _noise(count, 3, height, width, seed=_seed(rng)))
        for count, height, width in rng.integers([1, 4, 4], [4, 8, 8], size=(3, 3)).tolist()
    ]


def _run_judged(answer: Callable, D: nn.Module, pictures: Tensor) -> dict | None:
    """The answer within a small step: one backward pass for the generator's loss and for D's."""
    fake = pictures.clone().requires_grad_()
    scores = answer(D, fake)
    if is_blank(scores) or not isinstance(scores, Tensor):
        return scores
    trainable = all(parameter.requires_grad for parameter in D.parameters())
    loss_D = discriminator_loss(D(-pictures), D(fake.detach()))
    loss = generator_loss(scores) + loss_D
    if loss.requires_grad:
        loss.backward()
    return {
        "scores": scores,
        "gradient of the pictures": torch.zeros_like(fake) if fake.grad is None else fake.grad,
        "gradient of D, from its own loss alone": _one_row(D),
        "D can still be trained": trainable,
    }


def _does_not_freeze(D, pictures):
    return D(pictures)


def _no_grad(D, pictures):
    with torch.no_grad():
        return D(pictures)


def _detaches_the_pictures(D, pictures):
    return D(pictures.detach())


def _stays_frozen(D, pictures):
    D.requires_grad_(False)
    return D(pictures)


def _forgets_the_biases(D, pictures):
    fixed = {name: p.detach() for name, p in D.named_parameters() if name.endswith("weight")}
    return functional_call(D, fixed, (pictures,))


def _puts_zeros(D, pictures):
    fixed = {name: torch.zeros_like(p) for name, p in D.named_parameters()}
    return functional_call(D, fixed, (pictures,))


def _returns_the_loss(D, pictures):
    return generator_loss(judged(D, pictures))


register(
    Exercise(
        number="12.4",
        title="a judge that does not learn",
        reference=judged,
        cases=_judged_cases,
        drawn_cases=_judged_drawn,
        run=_run_judged,
        hints=(
            "A gradient stops where a tensor is detached. Which tensors should it not reach: the "
            "pictures, or the parameters of D?",
            "parameter.detach() holds the same numbers as the parameter, but no gradient flows "
            "back through it. Collect them in a dictionary by name.",
            "fixed = {name: parameter.detach() for name, parameter in D.named_parameters()}, then "
            "return functional_call(D, fixed, (pictures,)).",
        ),
        mistakes={
            "does not freeze": Mistake(
                _does_not_freeze,
                "The scores are right, but the generator's loss sends a gradient into D: it would "
                "learn to praise the fakes. Run D with detached copies of its parameters.",
            ),
            "switches gradients off": Mistake(
                _no_grad,
                "No gradient reaches the pictures, so no generator learns. It must flow through D; "
                "only its parameters are cut off. Use neither `torch.no_grad()` nor a .detach() on "
                "the pictures or the scores.",
            ),
            "detaches the pictures": Mistake(
                _detaches_the_pictures,
                "The wrong side is detached. The gradient has to reach the pictures, and must not "
                "reach the parameters of D; here it is the other way round.",
            ),
            "stays frozen": Mistake(
                _stays_frozen,
                "D stays frozen afterwards, so its own loss cannot train it. Do not touch "
                "`requires_grad`: hand detached tensors to functional_call.",
            ),
            "forgets the biases": Mistake(
                _forgets_the_biases,
                "The weights are frozen, but the biases are not: a gradient still reaches them. "
                "Take everything that D.named_parameters() gives.",
            ),
            "puts zeros": Mistake(
                _puts_zeros,
                "D runs with zeros in the place of its parameters. Put the same numbers there: "
                "parameter.detach().",
            ),
            "returns the loss": Mistake(
                _returns_the_loss,
                "This is already the generator's loss. Return the scores; the loss comes later.",
            ),
        },
    )
)


# 12.5 -----------------------------------------------------------------------------------------


def pool_step(pictures: Tensor, count: Tensor, fake: Tensor, coin: Tensor, where: Tensor) -> Tensor:
    """One fake through the image pool, without a question: only arithmetic on tensors.

    - As long as the pool is not full, put the fake at place `count`, let `count` grow by one, and
      return the fake.
    - When it is full and the coin is below 1/2, return the fake, and leave the pool as it is.
    - Otherwise put the fake at place `where * size`, rounded down, and return the picture that was
      there.

    Nothing may ask a tensor for its value: no `if`, `int(...)`, `bool(...)` or `.item()`, and no
    `pictures[place]` with a single number on the device as `place`. These help:
    `torch.where(condition, this, that)`; `pictures.index_select(0, places)` and
    `pictures.index_copy_(0, places, new)`, where `places` has shape (1,).

    Args:
        pictures: the pool, (size, 3, H, W), changed in place.
        count: how many pictures it holds, int64 of shape (), changed in place.
        fake: (3, H, W), already detached.
        coin, where: random numbers in [0, 1), of shape ().

    Returns:
        The picture to show the discriminator, (3, H, W).
    """
    size = len(pictures)
    filling = count < size
    swapped = ~filling & (coin >= 0.5)
    place = torch.where(filling, count, (where * size).long())[None]
    old = pictures.index_select(0, place)[0]
    pictures.index_copy_(0, place, torch.where(filling | swapped, fake, old)[None])
    count += filling
    return torch.where(swapped, old, fake)


def _empty_pool(size: int) -> tuple[Tensor, Tensor]:
    """Its pictures, of one pixel, and their number."""
    return torch.zeros(size, 1, 1, 1), torch.zeros((), dtype=torch.int64)


def _pool_cases() -> list[tuple]:
    fakes = torch.arange(1.0, 13.0).reshape(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(4)
    return [
        (
            *_empty_pool(size),
            fakes.clone(),
            torch.rand(len(fakes), generator=generator),
            torch.rand(len(fakes), generator=generator),
        )
        for size in (3, 5)
    ]


def _pool_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(size: int) -> tuple:
        count = 4 * size
        fakes = rng.uniform(-1, 1, (count, 1, 1, 1))
        # Inside the places, not at their ends, where rounding could decide.
        wheres = (rng.integers(size, size=count) + rng.uniform(0.1, 0.9, count)) / size
        drawn = fakes, rng.random(count), wheres
        return *_empty_pool(size), *(torch.from_numpy(each).float() for each in drawn)

    return [case(size) for size in rng.permutation([2, 3, 4, 5, 6])[:3].tolist()]


def _run_pool(
    answer: Callable, pictures: Tensor, count: Tensor, fakes: Tensor, coins: Tensor, wheres: Tensor
) -> dict | None:
    shown = []
    for fake, coin, where in zip(fakes, coins, wheres, strict=True):
        found = answer(pictures, count, fake, coin, where)
        if not isinstance(found, Tensor):
            return found
        shown.append(found)
    return {
        "shown": torch.stack(shown).flatten(),
        "pool afterwards": pictures.flatten(),
        "count afterwards": count,
        "asks for the value of a tensor": _asks(answer),
    }


def _asks(answer: Callable) -> bool:
    """Whether a function reads the value of a tensor. Tensors on "meta" have a shape, no values."""
    number = torch.zeros((), device="meta")
    try:
        answer(
            torch.zeros(4, 1, 1, 1, device="meta"),
            torch.zeros((), dtype=torch.int64, device="meta"),
            torch.zeros(1, 1, 1, device="meta"),
            number,
            number,
        )
    except (RuntimeError, NotImplementedError):
        return True
    return False


def _asks_with_if(pictures, count, fake, coin, where):
    if count < len(pictures):
        pictures[count] = fake
        count += 1
        return fake
    if coin < 0.5:
        return fake
    place = int(where * len(pictures))
    old = pictures[place].clone()
    pictures[place] = fake
    return old


def _pool_variant(
    *,
    through: Callable[[Tensor], Tensor] = lambda coin: coin < 0.5,
    fills: bool = True,
    counts: Callable[[Tensor], Tensor | int] = lambda filling: filling,
    always_stores: bool = False,
    reads_after_writing: bool = False,
) -> Callable:
    """`pool_step` with one of its parts done in another way."""

    def wrong(pictures, count, fake, coin, where):
        size = len(pictures)
        filling = count < size if fills else torch.zeros_like(count, dtype=torch.bool)
        swapped = ~filling & ~through(coin)
        place = torch.where(filling, count, (where * size).long())[None]
        old = pictures.index_select(0, place)[0]
        stored = torch.where(filling | swapped | always_stores, fake, old)
        pictures.index_copy_(0, place, stored[None])
        count += counts(count < size)
        if reads_after_writing:
            old = pictures.index_select(0, place)[0]
        return torch.where(swapped, old, fake)

    return wrong


def _changes_a_copy(pictures, count, fake, coin, where):
    return pool_step(pictures.clone(), count, fake, coin, where)


register(
    Exercise(
        number="12.5",
        title="the pool without a question",
        reference=pool_step,
        cases=_pool_cases,
        drawn_cases=_pool_drawn,
        run=_run_pool,
        changes_inputs=True,
        hints=(
            "Turn each question into a tensor of True or False: filling = count < size. Compute "
            "both answers, and let torch.where choose.",
            "The place is torch.where(filling, count, (where * size).long()). Read the old picture "
            "there first; then write torch.where(..., fake, old) back, which changes nothing if "
            "the old one is written.",
            "swapped = ~filling & (coin >= 0.5). Store the fake if filling | swapped, show the old "
            "picture if swapped, and add filling to count: True counts as 1.",
        ),
        mistakes={
            "asks with if": Mistake(
                _asks_with_if,
                "The pool is right, but something asks a tensor for its value (an `if`, `int()`, "
                "`.item()`, or a single number as index). On a GPU the program would stop there "
                "until the device has caught up. Let torch.where choose.",
            ),
            "the coin the other way": Mistake(
                _pool_variant(through=lambda coin: coin >= 0.5),
                "The coin is read the other way round: below 1/2 the fake goes straight through.",
            ),
            "never fills": Mistake(
                _pool_variant(fills=False, counts=lambda filling: 0),
                "The pool is treated as full from the beginning, so the discriminator is shown "
                "empty places. As long as count < size, store the fake and show it.",
            ),
            "does not count": Mistake(
                _pool_variant(counts=lambda filling: 0),
                "`count` never grows, so every fake goes to place 0. Add `filling` to it in place: "
                "`count += filling`. `count = count + filling` would make a new tensor.",
            ),
            "counts on for ever": Mistake(
                _pool_variant(counts=lambda filling: 1),
                "`count` grows even when the pool is full. Add `filling`, which is then 0.",
            ),
            "always stores": Mistake(
                _pool_variant(always_stores=True),
                "The fake is stored even when the coin lets it through; then it can be shown a "
                "second time. Write the old picture back in that case.",
            ),
            "reads after writing": Mistake(
                _pool_variant(reads_after_writing=True),
                "The old picture is read after the fake was written over it, so what is shown is "
                "always the fake. Read first.",
            ),
            "changes a copy": Mistake(
                _changes_a_copy,
                "The pool itself stays empty: a copy was changed. Use `index_copy_`, with the "
                "underscore, on `pictures`.",
            ),
        },
    )
)
