"""Exercises of chapter 5: the terms of the objective, the image pool, the step, the schedule."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN, frozen
from cyclegan_course.exercises.draws import four_lines, two_batches
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.exercises.stand_ins import FourLines, Line
from cyclegan_course.losses import (
    cycle_consistency_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
)

# What the answers are checked with ---------------------------------------------------------------


def small_model() -> FourLines:
    return FourLines(
        Line(0.7, 0.2), Line(1.2, -0.1), Line(1.5, 0.3, colours=True), Line(-0.8, 0.6, colours=True)
    )


def _pictures() -> tuple[Tensor, Tensor]:
    """Two pictures of two pixels: real_A and real_B, each (1, 3, 1, 2)."""
    real_A = torch.tensor([[0.5, -0.2], [0.3, -0.6], [0.1, 0.4]])
    real_B = torch.tensor([[-0.8, 0.1], [-0.3, 0.9], [-0.5, 0.6]])
    return real_A.reshape(1, 3, 1, 2), real_B.reshape(1, 3, 1, 2)


def _gradient(net: nn.Module) -> Tensor:
    """The gradients of a network's parameters in one row, 0 where there is none."""
    return torch.stack([torch.zeros(()) if p.grad is None else p.grad for p in net.parameters()])


# 5.1 ------------------------------------------------------------------------------------------


def generator_terms(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    lambda_cycle: float = 10.0,
    lambda_identity: float = 5.0,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Everything that the generators minimise together.

    Use `generator_loss`, `cycle_consistency_loss` and `identity_loss`.

    Args:
        model: holds the four networks G_AB, G_BA, D_A and D_B.
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        lambda_cycle, lambda_identity: weights of those terms.

    Returns:
        The six terms, scalars, already weighted, by these names and in this order: "G_AB", "G_BA",
        "cycle_A", "cycle_B", "idt_A", "idt_B" (idt_A is a picture of A); then fake_A and fake_B.
    """
    fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    idt_A, idt_B = model.G_BA(real_A), model.G_AB(real_B)
    terms = {
        "G_AB": generator_loss(model.D_B(fake_B)),
        "G_BA": generator_loss(model.D_A(fake_A)),
        "cycle_A": lambda_cycle * cycle_consistency_loss(rec_A, real_A),
        "cycle_B": lambda_cycle * cycle_consistency_loss(rec_B, real_B),
        "idt_A": lambda_identity * identity_loss(idt_A, real_A),
        "idt_B": lambda_identity * identity_loss(idt_B, real_B),
    }
    return terms, fake_A, fake_B


def _generator_terms_cases() -> list[tuple]:
    return [(small_model(), *_pictures(), 10.0, 5.0), (small_model(), *_pictures(), 3.0, 2.0)]


def _generator_terms_drawn(rng: np.random.Generator) -> list[tuple]:
    weights = rng.uniform([2, 0.2], [12, 0.8], (2, 2)).tolist()
    return [(four_lines(rng, colours=True), *two_batches(rng), *pair) for pair in weights]


def _run_generator_terms(answer: Callable, model: CycleGAN, *inputs) -> dict | None:
    found = answer(model, *inputs)
    if is_blank(found):
        return found
    if not isinstance(found, tuple) or len(found) != 3:
        raise TypeError("return three things: the dictionary of the terms, fake_A and fake_B")
    terms, fake_A, fake_B = found
    sum(terms.values()).backward()
    return {
        "terms": terms,
        "fake_A": fake_A,
        "fake_B": fake_B,
        "gradient of G_AB": _gradient(model.G_AB),
        "gradient of G_BA": _gradient(model.G_BA),
    }


def _with_terms(**changed: Callable) -> Callable:
    """`generator_terms` with some terms computed in another way, each from (model, a, b)."""

    def wrong(model, real_A, real_B, lambda_cycle=10.0, lambda_identity=5.0):
        terms, fake_A, fake_B = generator_terms(
            model, real_A, real_B, lambda_cycle, lambda_identity
        )
        weights = {"cycle": lambda_cycle, "idt": lambda_identity}
        for name, make in changed.items():
            terms[name] = weights.get(name.split("_")[0], 1.0) * make(model, real_A, real_B)
        return terms, fake_A, fake_B

    return wrong


_swaps_discriminators = _with_terms(
    G_AB=lambda m, a, b: generator_loss(m.D_A(m.G_AB(a))),
    G_BA=lambda m, a, b: generator_loss(m.D_B(m.G_BA(b))),
)
_swaps_identity = _with_terms(
    idt_A=lambda m, a, b: identity_loss(m.G_AB(a), a),
    idt_B=lambda m, a, b: identity_loss(m.G_BA(b), b),
)
_detaches_inside_the_cycle = _with_terms(
    cycle_A=lambda m, a, b: cycle_consistency_loss(m.G_BA(m.G_AB(a).detach()), a),
    cycle_B=lambda m, a, b: cycle_consistency_loss(m.G_AB(m.G_BA(b).detach()), b),
)
_same_generator_twice = _with_terms(
    cycle_A=lambda m, a, b: cycle_consistency_loss(m.G_AB(m.G_AB(a)), a),
    cycle_B=lambda m, a, b: cycle_consistency_loss(m.G_BA(m.G_BA(b)), b),
)
_compares_with_the_other_picture = _with_terms(
    cycle_A=lambda m, a, b: cycle_consistency_loss(m.G_BA(m.G_AB(a)), b),
    cycle_B=lambda m, a, b: cycle_consistency_loss(m.G_AB(m.G_BA(b)), a),
)
_swaps_identity_names = _with_terms(
    idt_A=lambda m, a, b: identity_loss(m.G_AB(b), b),
    idt_B=lambda m, a, b: identity_loss(m.G_BA(a), a),
)
_detaches_the_fakes = _with_terms(
    G_AB=lambda m, a, b: generator_loss(m.D_B(m.G_AB(a).detach())),
    G_BA=lambda m, a, b: generator_loss(m.D_A(m.G_BA(b).detach())),
)


def _weights_identity_twice(model, real_A, real_B, lambda_cycle=10.0, lambda_identity=5.0):
    return generator_terms(model, real_A, real_B, lambda_cycle, lambda_cycle * lambda_identity)


def _forgets_the_weights(model, real_A, real_B, lambda_cycle=10.0, lambda_identity=5.0):
    return generator_terms(model, real_A, real_B, 1.0, 1.0)


register(
    Exercise(
        number="5.1",
        title="the generators' six terms",
        reference=generator_terms,
        cases=_generator_terms_cases,
        drawn_cases=_generator_terms_drawn,
        run=_run_generator_terms,
        hints=(
            "A name ends in the domain that its picture belongs to. Make six pictures first: "
            "fake_B, fake_A, rec_A, rec_B, idt_A, idt_B.",
            "fake_B = model.G_AB(real_A), rec_A = model.G_BA(fake_B), idt_A = model.G_BA(real_A). "
            "The other three: swap A and B everywhere.",
            '"G_AB" is generator_loss(model.D_B(fake_B)), "cycle_A" is lambda_cycle * '
            'cycle_consistency_loss(rec_A, real_A), "idt_A" is lambda_identity * '
            "identity_loss(idt_A, real_A).",
        ),
        mistakes={
            "swaps the discriminators": Mistake(
                _swaps_discriminators,
                "fake_B should look like a picture of B, so D_B has to score it. Here D_A scores "
                "fake_B and D_B scores fake_A: each generator would learn to stay at home.",
            ),
            "swaps the identity pictures": Mistake(
                _swaps_identity,
                "The identity term asks: is a picture that is already of B left alone by G_AB? So "
                "G_AB gets real_B. Here it gets real_A, which forbids any translation at all.",
            ),
            "detaches inside the cycle": Mistake(
                _detaches_inside_the_cycle,
                "The values are right, but the fakes are detached on the way round, so only the "
                "second generator learns from a cycle. The first one must learn to leave enough "
                "in its picture for the way back: no .detach() here.",
            ),
            "detaches the fakes": Mistake(
                _detaches_the_fakes,
                "The values are right, but the discriminators score detached fakes, so no "
                "generator learns to fool them. The .detach() belongs to the discriminators' side.",
            ),
            "uses one generator for both ways": Mistake(
                _same_generator_twice,
                "The way back takes the other generator: rec_A = G_BA(G_AB(a)). Here it is "
                "G_AB(G_AB(a)), which translates a picture of B once more into B.",
            ),
            "compares with the other picture": Mistake(
                _compares_with_the_other_picture,
                "rec_A started from real_A, so it is compared with real_A. Here it is compared "
                "with real_B, a picture of another scene.",
            ),
            "swaps the names of the identity terms": Mistake(
                _swaps_identity_names,
                "Both identity terms are right, but their names are swapped. In this course idt_A "
                "is the picture of A, G_BA(real_A). The reference code has it the other way round.",
            ),
            "multiplies both weights": Mistake(
                _weights_identity_twice,
                "The identity terms are weighted by lambda_cycle * lambda_identity. In the "
                "reference code lambda_identity is a share (0.5) of lambda_cycle; here it is the "
                "weight itself (5).",
            ),
            "forgets the weights": Mistake(
                _forgets_the_weights,
                "The terms are not weighted yet: multiply the cycle terms by lambda_cycle and the "
                "identity terms by lambda_identity.",
            ),
        },
    )
)


# 5.2 ------------------------------------------------------------------------------------------


def discriminator_terms(
    model: CycleGAN, real_A: Tensor, real_B: Tensor, fake_A: Tensor, fake_B: Tensor
) -> dict[str, Tensor]:
    """What the discriminators minimise: half of `discriminator_loss`, each for its own domain.

    Args:
        model: holds D_A and D_B.
        real_A, real_B: real pictures, (N, 3, H, W) in [-1, 1].
        fake_A, fake_B: translations of the same shape. They may still hang on the generators'
            graph, but no gradient may reach the generators.

    Returns:
        The two terms, scalars: "D_A", "D_B".
    """
    return {
        "D_A": 0.5 * discriminator_loss(model.D_A(real_A), model.D_A(fake_A.detach())),
        "D_B": 0.5 * discriminator_loss(model.D_B(real_B), model.D_B(fake_B.detach())),
    }


def _discriminator_terms_cases() -> list[tuple]:
    real_A, real_B = _pictures()
    fake_A, fake_B = real_B * 0.5 + 0.1, -real_A + 0.2
    return [(small_model(), real_A, real_B, fake_A, fake_B)]


def _discriminator_terms_drawn(rng: np.random.Generator) -> list[tuple]:
    (real_A, real_B), model = two_batches(rng), four_lines(rng, colours=True)
    with torch.no_grad():
        return [(model, real_A, real_B, model.G_BA(real_B), model.G_AB(real_A))]


def _run_discriminator_terms(
    answer: Callable,
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    fake_A: Tensor,
    fake_B: Tensor,
) -> dict:
    fakes = [fake.clone().requires_grad_() for fake in (fake_A, fake_B)]
    terms = answer(model, real_A, real_B, *fakes)
    if is_blank(terms):
        return terms
    sum(terms.values()).backward()
    reached = any(fake.grad is not None for fake in fakes)
    return {
        "terms": terms,
        "gradient of D_A": _gradient(model.D_A),
        "gradient of D_B": _gradient(model.D_B),
        "gradient reaches the fakes": reached,
    }


def _half(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * discriminator_loss(real, fake)


def _does_not_detach(model, real_A, real_B, fake_A, fake_B):
    return {
        "D_A": _half(model.D_A(real_A), model.D_A(fake_A)),
        "D_B": _half(model.D_B(real_B), model.D_B(fake_B)),
    }


def _forgets_the_half(model, real_A, real_B, fake_A, fake_B):
    terms = discriminator_terms(model, real_A, real_B, fake_A, fake_B)
    return {name: 2 * term for name, term in terms.items()}


def _swaps_the_labels(model, real_A, real_B, fake_A, fake_B):
    return {
        "D_A": _half(model.D_A(fake_A.detach()), model.D_A(real_A)),
        "D_B": _half(model.D_B(fake_B.detach()), model.D_B(real_B)),
    }


def _swaps_the_fakes(model, real_A, real_B, fake_A, fake_B):
    return discriminator_terms(model, real_A, real_B, fake_B, fake_A)


def _uses_the_generators_loss(model, real_A, real_B, fake_A, fake_B):
    return {
        "D_A": 0.5 * generator_loss(model.D_A(fake_A.detach())),
        "D_B": 0.5 * generator_loss(model.D_B(fake_B.detach())),
    }


def _detaches_the_scores(model, real_A, real_B, fake_A, fake_B):
    return {
        "D_A": _half(model.D_A(real_A), model.D_A(fake_A).detach()),
        "D_B": _half(model.D_B(real_B), model.D_B(fake_B).detach()),
    }


def _does_not_detach_nor_halve(model, real_A, real_B, fake_A, fake_B):
    terms = _does_not_detach(model, real_A, real_B, fake_A, fake_B)
    return {name: 2 * term for name, term in terms.items()}


register(
    Exercise(
        number="5.2",
        title="the discriminators' two terms",
        reference=discriminator_terms,
        cases=_discriminator_terms_cases,
        drawn_cases=_discriminator_terms_drawn,
        run=_run_discriminator_terms,
        hints=(
            "discriminator_loss(score_real, score_fake) takes scores, not pictures: give the "
            "pictures to the discriminator of their domain first.",
            "A .detach() on the picture cuts the graph in front of the discriminator: "
            "model.D_A(fake_A.detach()).",
            '"D_A" is 0.5 * discriminator_loss(model.D_A(real_A), model.D_A(fake_A.detach())). '
            '"D_B" is the same with B.',
        ),
        mistakes={
            "does not detach": Mistake(
                _does_not_detach,
                "The values are right, but a gradient reaches the fakes, and through them the "
                "generators: it would teach them to be caught. Score fake_A.detach().",
            ),
            "forgets the half": Mistake(
                _forgets_the_half,
                "The terms are twice as large as they should be: the reference takes half of the "
                "discriminators' loss, so that they learn slower than the generators.",
            ),
            "neither detaches nor halves": Mistake(
                _does_not_detach_nor_halve,
                "Two things are missing: the factor 0.5, and .detach() on the fakes, without "
                "which a gradient reaches the generators.",
            ),
            "swaps real and fake": Mistake(
                _swaps_the_labels,
                "Real and fake are swapped: discriminator_loss takes the scores of the real "
                "pictures first. These discriminators would learn to praise the fakes.",
            ),
            "swaps the fakes": Mistake(
                _swaps_the_fakes,
                "D_A gets fake_B. It judges pictures of A: show it real_A and fake_A.",
            ),
            "uses the generators' loss": Mistake(
                _uses_the_generators_loss,
                "This is what the generators want: fakes that score 1. The discriminators want "
                "the opposite, and they need the real pictures too: use discriminator_loss.",
            ),
            "detaches the scores": Mistake(
                _detaches_the_scores,
                "The scores of the fakes are detached, so the discriminators learn nothing from "
                "them. Detach the picture, before the discriminator sees it: "
                "model.D_A(fake_A.detach()).",
            ),
        },
    )
)


# 5.3 ------------------------------------------------------------------------------------------


def exchange(pictures: list[Tensor], fake: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """One fresh fake in, one fake for the discriminator out: fresh or old.

    - As long as the pool holds fewer than `size` pictures: keep the fake, and return it.
    - After that, with probability 1/2: return the fake, and leave the pool as it is.
    - Otherwise: choose a picture of the pool at random, put the fake in its place, and return the
      one that was there.

    Args:
        pictures: what the pool holds. It is changed in place.
        fake: (3, H, W), already detached.
        size: how many pictures the pool can hold.
        generator: of the random numbers. `torch.rand((), generator=generator)` draws a number
            from 0 to 1, `torch.randint(size, (), generator=generator)` a place in the pool.
    """
    if len(pictures) < size:
        pictures.append(fake)
        return fake
    if torch.rand((), generator=generator) < 0.5:
        return fake
    place = int(torch.randint(size, (), generator=generator))
    old, pictures[place] = pictures[place], fake
    return old


def _exchange_cases() -> list[tuple]:
    return [([], torch.arange(1.0, 601.0).reshape(-1, 1, 1, 1), size) for size in (4, 16)]


def _exchange_drawn(rng: np.random.Generator) -> list[tuple]:
    counts = rng.integers([1000, 3], [1500, 20], (2, 2)).tolist()
    return [([], torch.arange(1.0, fakes + 1).reshape(-1, 1, 1, 1), size) for fakes, size in counts]


def _run_exchange(answer: Callable, pictures: list, fakes: Tensor, size: int) -> dict:
    """Send numbered fakes through a pool and say what came out, whatever the random numbers."""
    generator = torch.Generator().manual_seed(0)
    given = []
    for fake in fakes:
        found = answer(pictures, fake, size, generator)
        if not isinstance(found, Tensor):
            return found
        given.append(int(found))
    numbers = list(range(1, len(fakes) + 1))
    later = [(new, out) for new, out in zip(numbers, given, strict=True) if new > size]
    share = sum(new == out for new, out in later) / len(later)
    # Its standard deviation is 0.02: of 10,000 right answers, one falls outside these bounds.
    halves = "about half" if 0.42 < share < 0.58 else f"{share:.0%}"
    old = [out for new, out in later if new != out]
    most = max(Counter(out for _, out in later).values(), default=0)
    return {
        "while filling, fresh ones returned": sum(
            new == out for new, out in zip(numbers[:size], given, strict=False)
        ),
        "pictures held at the end": len(pictures),
        "then, fresh ones returned": halves,
        "most often that one fake is returned": most,
        "places ever exchanged": len({out for _, out in later if out <= size}),
        "old ones in the order of their age": old == sorted(old),
    }


def _is_repeatable(answer: Callable) -> str | None:
    """Whether the same generator gives the same fakes."""
    fakes = torch.arange(100.0).reshape(-1, 1, 1, 1)
    runs = []
    for _ in range(2):
        pictures, generator = [], torch.Generator().manual_seed(0)
        runs.append([float(answer(pictures, fake, 4, generator)) for fake in fakes])
    if runs[0] != runs[1]:
        return (
            "It is right, but with the same generator it gives other fakes each time, so no "
            "training could be repeated: draw all random numbers with generator=generator."
        )
    return None


def _always_the_fresh_one(pictures, fake, size, generator):
    if len(pictures) < size:
        pictures.append(fake)
    elif torch.rand((), generator=generator) >= 0.5:
        pictures[int(torch.randint(size, (), generator=generator))] = fake
    return fake


def _never_replaces(pictures, fake, size, generator):
    if len(pictures) < size:
        pictures.append(fake)
        return fake
    if torch.rand((), generator=generator) < 0.5:
        return fake
    return pictures[int(torch.randint(size, (), generator=generator))]


def _always_an_old_one(pictures, fake, size, generator):
    if len(pictures) < size:
        pictures.append(fake)
        return fake
    place = int(torch.randint(size, (), generator=generator))
    old, pictures[place] = pictures[place], fake
    return old


def _grows_for_ever(pictures, fake, size, generator):
    pictures.append(fake)
    if len(pictures) <= size or torch.rand((), generator=generator) < 0.5:
        return fake
    return pictures[int(torch.randint(len(pictures), (), generator=generator))]


def _never_fills(pictures, fake, size, generator):
    if not pictures or torch.rand((), generator=generator) < 0.5:
        if len(pictures) < size:
            pictures.append(fake)
        return fake
    place = int(torch.randint(len(pictures), (), generator=generator))
    old, pictures[place] = pictures[place], fake
    return old


def _first_in_first_out(pictures, fake, size, generator):
    if len(pictures) < size:
        pictures.append(fake)
        return fake
    if torch.rand((), generator=generator) < 0.5:
        return fake
    pictures.append(fake)
    return pictures.pop(0)


def _always_the_same_place(pictures, fake, size, generator):
    if len(pictures) < size:
        pictures.append(fake)
        return fake
    if torch.rand((), generator=generator) < 0.5:
        return fake
    old, pictures[0] = pictures[0], fake
    return old


register(
    Exercise(
        number="5.3",
        title="the image pool",
        reference=exchange,
        cases=_exchange_cases,
        drawn_cases=_exchange_drawn,
        run=_run_exchange,
        extra=_is_repeatable,
        hints=(
            "Three situations, three returns. Begin with: if len(pictures) < size:",
            "torch.rand((), generator=generator) < 0.5 is true half of the time: then return fake.",
            "To swap, keep the old picture before you overwrite its place: "
            "old, pictures[place] = pictures[place], fake. Then return old.",
        ),
        mistakes={
            "returns the fresh one always": Mistake(
                _always_the_fresh_one,
                "The pool is kept up to date, but nothing ever comes out of it. When the fake "
                "takes a place in the pool, return the picture that was there before.",
            ),
            "does not replace": Mistake(
                _never_replaces,
                "The old picture is returned but stays in the pool, and the fresh one is never "
                "kept: for ever the discriminator sees the first few fakes of the training. Put "
                "the fake in the place of the old one.",
            ),
            "returns an old one always": Mistake(
                _always_an_old_one,
                "Once the pool is full, the discriminator never sees a fake of now. Half of the "
                "time return the fresh one: torch.rand((), generator=generator) < 0.5.",
            ),
            "grows without end": Mistake(
                _grows_for_ever,
                "The pool holds more than `size` pictures: it would fill the memory. Append only "
                "while it is not full, later overwrite a place.",
            ),
            "exchanges while filling": Mistake(
                _never_fills,
                "As long as the pool is not full, every fake is kept and returned. Here old ones "
                "come out already: test len(pictures) < size before anything else.",
            ),
            "first in, first out": Mistake(
                _first_in_first_out,
                "Always the oldest picture comes out, so none is kept for long. Draw the place at "
                "random: then some fakes stay for hundreds of steps.",
            ),
            "uses one place only": Mistake(
                _always_the_same_place,
                "Only one place of the pool is ever exchanged; the others keep the first fakes "
                "for ever. Draw the place: int(torch.randint(size, (), generator=generator)).",
            ),
        },
    )
)


# 5.4 ------------------------------------------------------------------------------------------


def training_step(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    pool_A: Callable[[Tensor], Tensor],
    pool_B: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """One step of all four networks: first the generators, then the discriminators.

    1. Under `with frozen(...)`, the discriminators' parameters frozen: compute `generator_terms`,
       set the generators' gradients to zero, and call backward on the sum of the terms.
    2. Step the generators.
    3. Send the fakes through the pools, and compute `discriminator_terms` with what comes out.
    4. Set the discriminators' gradients to zero, backward on the sum, step the discriminators.

    Args:
        real_A, real_B: (N, 3, H, W) in [-1, 1], not a pair.
        optimizer_G, optimizer_D: hold the parameters of both generators, of both discriminators.
        pool_A, pool_B: fresh fakes in, as many fakes for the discriminator out.

    Returns:
        All eight terms by name, each detached.
    """
    with frozen(model.discriminator_parameters()):
        terms_G, fake_A, fake_B = generator_terms(model, real_A, real_B)
        optimizer_G.zero_grad()
        sum(terms_G.values()).backward()
    optimizer_G.step()

    terms_D = discriminator_terms(model, real_A, real_B, pool_A(fake_A), pool_B(fake_B))
    optimizer_D.zero_grad()
    sum(terms_D.values()).backward()
    optimizer_D.step()
    return {name: term.detach() for name, term in (terms_G | terms_D).items()}


def _training_step_cases() -> list[tuple]:
    return [(small_model(), *_pictures())]


def _training_step_drawn(rng: np.random.Generator) -> list[tuple]:
    return [(four_lines(rng, colours=True), *two_batches(rng))]


def _run_training_step(
    answer: Callable, model: CycleGAN, real_A: Tensor, real_B: Tensor
) -> dict | None:
    """Two steps by plain gradient descent; the pools change the fakes, so that their use shows."""
    optimizer_G = torch.optim.SGD(model.generator_parameters(), lr=0.01)
    optimizer_D = torch.optim.SGD(model.discriminator_parameters(), lr=0.1)
    arrived: list[int] = []  # one entry for each gradient that arrives at D in this step
    leaked: list[bool] = []
    for parameter in model.discriminator_parameters():
        parameter.register_hook(lambda _gradient: arrived.append(1))
    optimizer_G.register_step_pre_hook(lambda *_: leaked.append(bool(arrived)))
    for _ in range(2):
        arrived.clear()
        terms = answer(
            model, real_A, real_B, optimizer_G, optimizer_D, lambda x: x * 0.5, lambda x: x + 0.3
        )
        if is_blank(terms):
            return terms
    networks = {
        f"{name} afterwards": torch.stack([p.detach().clone() for p in net.parameters()])
        for name, net in model.named_children()
    }
    return {
        "terms": terms,
        **networks,
        "the generators' backward reaches D": any(leaked),
        "terms still hang on the graph": any(term.requires_grad for term in terms.values()),
    }


def _step(
    *,
    freeze: bool = True,
    zero: bool = True,
    zero_too_late: bool = False,
    pools: str = "used",
    discriminators_first: bool = False,
    train_D: bool = True,
    fresh_fakes: bool = False,
    detach_terms: bool = True,
) -> Callable:
    """A training step with one fault."""

    def wrong(model, real_A, real_B, optimizer_G, optimizer_D, pool_A, pool_B):
        def update(optimizer, terms):
            if zero and not zero_too_late:
                optimizer.zero_grad()
            sum(terms.values()).backward()
            if zero_too_late:
                optimizer.zero_grad()
            optimizer.step()

        def generators():
            with frozen(model.discriminator_parameters() if freeze else []):
                terms, fake_A, fake_B = generator_terms(model, real_A, real_B)
                update(optimizer_G, terms)
            return terms, fake_A, fake_B

        def discriminators(fake_A, fake_B):
            if pools == "used":
                fake_A, fake_B = pool_A(fake_A), pool_B(fake_B)
            elif pools == "swapped":
                fake_A, fake_B = pool_B(fake_A), pool_A(fake_B)
            terms = discriminator_terms(model, real_A, real_B, fake_A, fake_B)
            if train_D:
                update(optimizer_D, terms)
            return terms

        if discriminators_first:
            terms_D = discriminators(model.G_BA(real_B), model.G_AB(real_A))
            terms_G, _, _ = generators()
        else:
            terms_G, fake_A, fake_B = generators()
            if fresh_fakes:
                fake_A, fake_B = model.G_BA(real_B), model.G_AB(real_A)
            terms_D = discriminators(fake_A, fake_B)
        terms = terms_G | terms_D
        return {k: term.detach() for k, term in terms.items()} if detach_terms else terms

    return wrong


def _one_sum_for_all(model, real_A, real_B, optimizer_G, optimizer_D, pool_A, pool_B):
    terms_G, fake_A, fake_B = generator_terms(model, real_A, real_B)
    terms_D = discriminator_terms(model, real_A, real_B, pool_A(fake_A), pool_B(fake_B))
    model.zero_grad()
    sum((terms_G | terms_D).values()).backward()
    optimizer_G.step()
    optimizer_D.step()
    return {name: term.detach() for name, term in (terms_G | terms_D).items()}


register(
    Exercise(
        number="5.4",
        title="the training step",
        reference=training_step,
        cases=_training_step_cases,
        drawn_cases=_training_step_drawn,
        run=_run_training_step,
        hints=(
            "Four parts, in the order of the list in the docstring. Each side needs three lines: "
            "zero_grad, backward on sum(terms.values()), step.",
            "Only the generators' part stands inside `with frozen(model."
            "discriminator_parameters()):`. For the discriminators: "
            "discriminator_terms(model, real_A, real_B, pool_A(fake_A), pool_B(fake_B)).",
            "The last line: return {name: term.detach() for name, term in "
            "(terms_G | terms_D).items()}",
        ),
        mistakes={
            "forgets zero_grad": Mistake(
                _step(zero=False),
                "The gradients are never set to zero, and backward adds to what is there: each "
                "step also takes all steps before it again. Call zero_grad() before backward().",
            ),
            "sets the gradients to zero too late": Mistake(
                _step(zero_too_late=True),
                "No network moves: zero_grad() comes after backward() and takes the fresh "
                "gradients away. The order is zero_grad, backward, step.",
            ),
            "does not freeze": Mistake(
                _step(freeze=False),
                "The networks end up right, but the generators' backward pass also computes "
                "gradients for the discriminators. That is wasted work, and it is added to their "
                "next step if one zero_grad() is missed. Use "
                "`with frozen(model.discriminator_parameters()):`.",
            ),
            "neither freezes nor sets to zero": Mistake(
                _step(freeze=False, zero=False),
                "The gradients are never set to zero, and the discriminators are not frozen: they "
                "are also trained to please the generators. Call zero_grad() before each "
                "backward(), and freeze them in the first part.",
            ),
            "one sum for all": Mistake(
                _one_sum_for_all,
                "All eight terms go backward in one sum, so the discriminators also follow the "
                "generators' terms: they are trained to let fakes pass. Each side needs a backward "
                "pass of its own, the first one with the discriminators frozen.",
            ),
            "discriminators first": Mistake(
                _step(discriminators_first=True),
                "The discriminators move before the generators. That can be trained too, but it "
                "is another step: here, as in the reference, the generators go first.",
            ),
            "leaves out the pools": Mistake(
                _step(pools="unused"),
                "The discriminators see the fresh fakes only: send them through pool_A and pool_B.",
            ),
            "swaps the pools": Mistake(
                _step(pools="swapped"),
                "fake_A goes into pool_B and fake_B into pool_A: the old fakes that come out "
                "belong to the wrong domain.",
            ),
            "never trains the discriminators": Mistake(
                _step(train_D=False),
                "The discriminators' terms are computed, but they are never trained: after the "
                "second part come zero_grad, backward and step for optimizer_D.",
            ),
            "makes the fakes again": Mistake(
                _step(fresh_fakes=True),
                "The fakes are made a second time, by generators that have already moved. Use the "
                "ones that generator_terms returned: two passes through a generator are saved.",
            ),
            "returns terms with their graph": Mistake(
                _step(detach_terms=False),
                "The networks end up right, but the terms that are returned still hold the whole "
                "graph. Whoever keeps them for a curve fills the memory: return term.detach().",
            ),
        },
    )
)


# 5.5 ------------------------------------------------------------------------------------------


def lr_factor(step: int, steps: int) -> float:
    """What the learning rate is multiplied by: constant, then falling to 0 in a straight line.

    Args:
        step: how many steps have been made, from 0 to `steps`.
        steps: length of the training.

    Returns:
        1 in the first half; from there on a straight line that reaches 0 at the end.
    """
    return min(1.0, 2 * (1 - step / steps))


def _lr_factor_cases() -> list[tuple]:
    return [(step, 200) for step in (0, 50, 100, 125, 150, 199, 200)] + [(60, 80)]


def _lr_factor_drawn(rng: np.random.Generator) -> list[tuple]:
    half = int(rng.integers(20, 400))
    first, second = int(rng.integers(1, half)), int(rng.integers(half + 1, 2 * half - 1))
    return [(first, 2 * half), (second, 2 * half), (second + 1, 2 * half), (2 * half, 2 * half)]


register(
    Exercise(
        number="5.5",
        title="the schedule",
        reference=lr_factor,
        cases=_lr_factor_cases,
        drawn_cases=_lr_factor_drawn,
        hints=(
            "Let p = step / steps. Which straight line is 1 at p = 0.5 and 0 at p = 1?",
            "The line is 2 * (1 - p). Before the middle it is above 1.",
            "min(1.0, ...) cuts off what is above 1.",
        ),
        mistakes={
            "falls from the start": Mistake(
                lambda step, steps: 1 - step / steps,
                "The line falls from the first step on. It should stay at 1 until the middle.",
            ),
            "jumps in the middle": Mistake(
                lambda step, steps: 1.0 if step < steps / 2 else 1 - step / steps,
                "At the middle it jumps from 1 to 0.5. The falling line has to start at 1 there, "
                "so it is twice as steep: 2 * (1 - step / steps).",
            ),
            "ends at one half": Mistake(
                lambda step, steps: min(1.0, 1.5 - step / steps),
                "It ends at 0.5. Over the second half it has to fall by 1, so its slope is "
                "-2 / steps.",
            ),
            "reaches 0 in the middle": Mistake(
                lambda step, steps: max(0.0, 1 - 2 * step / steps),
                "It falls in the first half and is 0 in the second, in which nothing would be "
                "learned any more. The other way round: constant first.",
            ),
            "steps down": Mistake(
                lambda step, steps: 1.0 if step < steps / 2 else 0.1,
                "This is a staircase: one drop to 0.1. Here the rate falls a little with every "
                "step, and ends at 0.",
            ),
            "goes above 1": Mistake(
                lambda step, steps: 2 * (1 - step / steps),
                "The second half is right, but in the first half it is above 1. Cut it off with "
                "min(1.0, ...).",
            ),
            "counts from 1": Mistake(
                lambda step, steps: min(1.0, 1 - (step + 1 - steps / 2) / (steps / 2 + 1)),
                "It is one step off: the reference code counts epochs from 1 and falls over one "
                "more, so it never is 0. Here step 0 is the first, the line starts to fall at "
                "steps / 2 and is 0 at step = steps.",
            ),
            "divides whole numbers": Mistake(
                lambda step, steps: min(1.0, 2.0 * (1 - step // steps)),
                "The operator // drops the rest, so it stays at 1 until the very end. Use /.",
            ),
        },
    )
)
