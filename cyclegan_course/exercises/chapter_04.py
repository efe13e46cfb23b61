"""Exercises of chapter 4: cycle consistency and the identity loss."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.exercises.draws import four_lines, line, normal, two_batches, uniform
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.exercises.stand_ins import FourLines, Line
from cyclegan_course.toys.cycle import centres, held_out

# 4.1 ------------------------------------------------------------------------------------------


def share_right(fake_B: Tensor, centres_B: Tensor, clump: Tensor) -> float:
    """Share of the translated points whose nearest clump of B is the one they belong to.

    Args:
        fake_B: (N, 2), translated points.
        centres_B: (K, 2), the centre of every clump of B.
        clump: int64 (N,), for each point the number of the clump of B that it belongs to.

    Returns:
        From 0 (none is right) to 1 (all are).
    """
    distances = torch.cdist(fake_B, centres_B)  # (N, K)
    nearest = distances.argmin(dim=1)
    return (nearest == clump).float().mean().item()


def _share_right_cases() -> list[tuple]:
    corners = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    points = torch.tensor([[0.1, 0.2], [1.8, 0.1], [0.3, 1.9], [1.9, 0.3], [0.2, 1.2]])
    generator = torch.Generator().manual_seed(4)
    many = 3 * torch.randn(40, 2, generator=generator)
    return [
        (points, corners, torch.tensor([0, 1, 0, 2, 2])),
        (points[:4], corners, torch.tensor([1, 2, 0, 0])),
        (many, centres("B"), torch.randint(6, (40,), generator=generator)),
    ]


def _share_right_drawn(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for clumps in rng.integers(3, 8, 3).tolist():
        angles = 2 * math.pi * (torch.arange(clumps) + rng.random()) / clumps
        ring = torch.stack([angles.cos(), angles.sin()], dim=1)
        centres_B = ring * uniform(rng, 1, 2.5, clumps, 1)
        points = 2 * normal(rng, int(rng.integers(30, 60)), 2)
        near, next_near = torch.cdist(points, centres_B).topk(2, largest=False).values.T
        points = points[next_near - near > 0.1]  # no ties, which rounding would decide
        nearest = torch.cdist(points, centres_B).argmin(dim=1)
        other = torch.from_numpy(rng.integers(0, clumps, len(points)))
        is_other = uniform(rng, 0, 1, len(points)) < rng.uniform(0.2, 0.8)
        cases.append((points, centres_B, torch.where(is_other, other, nearest)))
    return cases


def _any_clump_will_do(fake_B, centres_B, clump):
    return (torch.cdist(fake_B, centres_B).min(dim=1).values < 1).float().mean().item()


def _compares_with_the_row(fake_B, centres_B, clump):
    nearest = torch.cdist(fake_B, centres_B).argmin(dim=1)
    return (nearest == torch.arange(len(nearest))).float().mean().item()


def _takes_the_farthest(fake_B, centres_B, clump):
    return (torch.cdist(fake_B, centres_B).argmax(dim=1) == clump).float().mean().item()


def _counts(fake_B, centres_B, clump):
    return (torch.cdist(fake_B, centres_B).argmin(dim=1) == clump).float().sum().item()


def _distance_to_the_own(fake_B, centres_B, clump):
    return (fake_B - centres_B[clump]).norm(dim=1).mean().item()


register(
    Exercise(
        number="4.1",
        title="share of right correspondences",
        reference=share_right,
        cases=_share_right_cases,
        drawn_cases=_share_right_drawn,
        hints=(
            "torch.cdist(fake_B, centres_B) gives the distance of every point to every centre.",
            "Row i holds the distances of point i. argmin(dim=1) gives the nearest centre's "
            "number.",
            "Compare these numbers with `clump`. The mean of True and False, as floats, is the "
            "share.",
        ),
        mistakes={
            "any clump will do": Mistake(
                _any_clump_will_do,
                "This asks whether a point is near some clump of B, whichever it is. The "
                "discriminator asks the same. Here it must be the clump that the point belongs to.",
            ),
            "compares with the row": Mistake(
                _compares_with_the_row,
                "You compare the nearest clump of point i with the number i. The row of a point is "
                "not its clump: `clump` says which clump it belongs to.",
            ),
            "takes the farthest": Mistake(
                _takes_the_farthest,
                "argmax finds the clump that is farthest away. The nearest one has the smallest "
                "distance.",
            ),
            "counts": Mistake(
                _counts,
                "This is the number of right points. A share is that number divided by the number "
                "of points, which is the mean.",
            ),
            "measures a distance": Mistake(
                _distance_to_the_own,
                "This is the mean distance to the right clump. Wanted is how often that clump is "
                "the nearest of all.",
            ),
        },
    )
)


# 4.2 ------------------------------------------------------------------------------------------


def cycle_losses(
    G_AB: nn.Module, G_BA: nn.Module, real_A: Tensor, real_B: Tensor
) -> tuple[Tensor, Tensor]:
    """The cycle-consistency loss of both directions, not weighted.

    Args:
        G_AB, G_BA: translate from A to B, and from B to A.
        real_A, real_B: batches of the two domains, of one shape; they are no pairs.

    Returns:
        (cycle_A, cycle_B): mean absolute difference between real_A and its way there and back,
        and the same for real_B. Two scalars.
    """
    rec_A = G_BA(G_AB(real_A))
    rec_B = G_AB(G_BA(real_B))
    return (rec_A - real_A).abs().mean(), (rec_B - real_B).abs().mean()


def _pair_of_generators_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(3)
    pictures = torch.rand(2, 2, 3, 4, 4, generator=generator) * 2 - 1
    return [
        (Line(2.0, 1.0), Line(0.5), torch.tensor([0.0, 1.0]), torch.tensor([2.0, 5.0])),
        (Line(-0.7, 0.2), Line(0.9, 0.3), pictures[0], pictures[1]),
    ]


def _pair_of_generators_drawn(rng: np.random.Generator) -> list[tuple]:
    return [(line(rng), line(rng), *two_batches(rng)) for _ in range(3)]


def _with_gradients(kind: str) -> Callable[..., Any]:
    """Runs an answer that gives two losses; both get a name, and so does how they pull."""

    def run(answer: Callable, G_AB: nn.Module, G_BA: nn.Module, *batches: Tensor) -> Any:
        result = answer(G_AB, G_BA, *batches)
        if is_blank(result):
            return result
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError("return two losses, first the one of A, then the one of B")
        losses = dict(zip((f"{kind}_A", f"{kind}_B"), result, strict=True))
        return _detached(losses) | _pulls(losses, {"G_AB": G_AB, "G_BA": G_BA})

    return run


def _detached(losses: dict[str, Any]) -> dict[str, Any]:
    return {
        name: loss.detach() if isinstance(loss, Tensor) else loss for name, loss in losses.items()
    }


def _pulls(losses: dict[str, Any], nets: dict[str, nn.Module]) -> dict[str, float]:
    return {
        f"gradient of {name} in {net}": _pull(loss, nets[net])
        for name, loss in losses.items()
        for net in nets
    }


def _pull(loss: Tensor, net: nn.Module) -> float:
    """Length of the gradient of a loss with respect to a network, 0 where none arrives."""
    if not isinstance(loss, Tensor) or not loss.requires_grad or loss.ndim:
        return 0.0
    parts = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, allow_unused=True)
    return math.sqrt(sum(part.square().sum().item() for part in parts if part is not None))


def _cycle_one_generator_twice(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_AB(G_AB(real_A)), G_BA(G_BA(real_B))
    return (rec_A - real_A).abs().mean(), (rec_B - real_B).abs().mean()


def _cycle_article(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_AB(G_AB(real_A)), G_AB(G_AB(real_B))
    return (rec_A - real_A).abs().mean(), (rec_B - real_B).abs().mean()


def _cycle_crossed(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_BA(G_AB(real_A)), G_AB(G_BA(real_B))
    return (rec_A - real_B).abs().mean(), (rec_B - real_A).abs().mean()


def _cycle_no_way_back(G_AB, G_BA, real_A, real_B):
    return (G_AB(real_A) - real_A).abs().mean(), (G_BA(real_B) - real_B).abs().mean()


def _cycle_swapped(G_AB, G_BA, real_A, real_B):
    return cycle_losses(G_AB, G_BA, real_A, real_B)[::-1]


def _cycle_squared(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_BA(G_AB(real_A)), G_AB(G_BA(real_B))
    return (rec_A - real_A).square().mean(), (rec_B - real_B).square().mean()


def _cycle_summed(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_BA(G_AB(real_A)), G_AB(G_BA(real_B))
    return (rec_A - real_A).abs().sum(), (rec_B - real_B).abs().sum()


def _cycle_signed(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_BA(G_AB(real_A)), G_AB(G_BA(real_B))
    return (rec_A - real_A).mean(), (rec_B - real_B).mean()


def _cycle_detached(G_AB, G_BA, real_A, real_B):
    rec_A, rec_B = G_BA(G_AB(real_A).detach()), G_AB(G_BA(real_B).detach())
    return (rec_A - real_A).abs().mean(), (rec_B - real_B).abs().mean()


register(
    Exercise(
        number="4.2",
        title="cycle-consistency loss",
        reference=cycle_losses,
        cases=_pair_of_generators_cases,
        drawn_cases=_pair_of_generators_drawn,
        run=_with_gradients("cycle"),
        hints=(
            "From A the way leads to B with G_AB, and back to A with G_BA.",
            "rec_A = G_BA(G_AB(real_A)) and rec_B = G_AB(G_BA(real_B)).",
            "Each is compared with what it came from: (rec_A - real_A).abs().mean().",
        ),
        mistakes={
            "one generator twice": Mistake(
                _cycle_one_generator_twice,
                "You go there twice: G_AB(G_AB(a)). The second step has to lead back, so it needs "
                "the other generator.",
            ),
            "only G_AB": Mistake(
                _cycle_article,
                "Only G_AB is used, so nothing here ever leads back to A, and G_BA learns nothing. "
                "The way back is the work of G_BA.",
            ),
            "compares across": Mistake(
                _cycle_crossed,
                "rec_A is compared with real_B. The two are different scenes, as there are no "
                "pairs. rec_A came from real_A, so compare it with real_A.",
            ),
            "no way back": Mistake(
                _cycle_no_way_back,
                "You compare the translation with its input, which asks G_AB to change nothing. Go "
                "back with the other generator first.",
            ),
            "returns them in the wrong order": Mistake(
                _cycle_swapped,
                "Both losses are right, in the wrong order: the first is the one that starts and "
                "ends in A.",
            ),
            "squares": Mistake(
                _cycle_squared,
                "This is the squared difference (L2). The cycle loss is the absolute difference "
                "(L1): abs() in place of the square.",
            ),
            "sums": Mistake(
                _cycle_summed,
                "This is the sum over all numbers, which grows with the size of the picture. Take "
                "the mean, so that the weight 10 means the same at every size.",
            ),
            "forgets abs": Mistake(
                _cycle_signed,
                "Differences of both signs cancel: a picture can be wrong everywhere and have the "
                "loss 0. Take abs() before the mean.",
            ),
            "detaches": Mistake(
                _cycle_detached,
                "The values are right, but the gradient stops half-way: with detach() the first "
                "generator never learns that the second one has to find back. Leave it out.",
            ),
        },
    )
)


# 4.3 ------------------------------------------------------------------------------------------


def wrong_pair() -> tuple[Callable, Callable]:
    """A wrong answer that neither the cycle loss nor the discriminators can punish.

    Returns:
        (G_AB, G_BA), two functions from points (N, 2) to points (N, 2), such that

        - G_BA undoes G_AB exactly, so the cycle loss is 0;
        - G_AB brings the ring of A (radius 1) onto the ring of B (radius 2), and reaches every one
          of the six clumps, so the discriminator is content;
        - no point arrives in the clump that it belongs to (straight outwards).
    """
    turn = 2 * math.pi / 6
    cos, sin = math.cos(turn), math.sin(turn)
    rotation = torch.tensor([[cos, sin], [-sin, cos]])  # turns a row (x, y) by 60 degrees
    return lambda a: 2 * a @ rotation, lambda b: b @ rotation.T / 2


def _judge_pair(answer: Callable, each: int = 5, seed: int = 1) -> Any:
    """What the pair does with points that follow from a seed, `each` of them in every clump."""
    pair = answer()
    if is_blank(pair):
        return pair
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(callable, pair)):
        raise TypeError("return two functions, first G_AB, then G_BA")
    G_AB, G_BA = pair
    real_A, real_B, clump = held_out(each, seed)
    fake_B, fake_A = G_AB(real_A.clone()), G_BA(real_B.clone())
    if fake_B.shape != real_A.shape or fake_A.shape != real_B.shape:
        raise ValueError("each function has to return as many points (N, 2) as it is given")
    to_centres = torch.cdist(fake_B, centres("B"))
    nearest = to_centres.argmin(dim=1)
    back = [(G_BA(fake_B) - real_A).abs().max(), (G_AB(fake_A) - real_B).abs().max()]
    return {
        "the cycle loss is 0": bool(max(back) < 1e-4),
        "points land on the ring of B": bool(to_centres.min(dim=1).values.max() < 0.9),
        "all six clumps are reached": len(nearest.unique()) == len(centres("B")),
        "points in a wrong clump": f"{(nearest != clump).sum()} of {len(clump)}",
    }


def _right_pair():
    return lambda a: 2 * a, lambda b: b / 2


def _rotate(points: Tensor, degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ torch.tensor([[cos, sin], [-sin, cos]])


def _turns_twice():
    return lambda a: 2 * _rotate(a, 60), lambda b: _rotate(b, 60) / 2


def _stays_on_the_small_ring():
    return lambda a: _rotate(a, 60), lambda b: _rotate(b, -60)


def _all_to_one_clump():
    return lambda a: 0 * a + centres("B")[0], lambda b: 0 * b + centres("A")[0]


def _mirrors_in_an_axis():
    flip = torch.tensor([1.0, -1.0])
    return lambda a: 2 * a * flip, lambda b: b * flip / 2


register(
    Exercise(
        number="4.3",
        title="a wrong pair that costs nothing",
        reference=wrong_pair,
        cases=lambda: [()],
        drawn_cases=lambda rng: [tuple(rng.integers([6, 2], [40, 10**6]).tolist())],
        run=_judge_pair,
        hints=(
            "The true pair is `lambda a: 2 * a` and `lambda b: b / 2`. What can you add that "
            "leaves both rings as they are?",
            "A rotation by 60 degrees moves every clump to its neighbour. G_BA has to turn back. "
            "(The negative, -2 * a, works too: it turns by 180 degrees.)",
            "A row of coordinates is turned by `a @ rotation` and turned back by `b @ rotation.T`.",
        ),
        mistakes={
            "is right": Mistake(
                _right_pair,
                "The cycle loss is 0 and the ring is met, but these are the true partners. Make "
                "every point arrive in a wrong clump: turn the ring as well.",
            ),
            "does not turn back": Mistake(
                _turns_twice,
                "G_AB is as it should be, but G_BA does not undo it. What was turned to the left "
                "has to be turned to the right on the way back.",
            ),
            "misses the ring": Mistake(
                _stays_on_the_small_ring,
                "The cycle closes and no point is right, but the points do not land on the ring of "
                "B: its radius is 2, that of A is 1. D_B would see this at once.",
            ),
            "collapses": Mistake(
                _all_to_one_clump,
                "All points land in one clump. Then no function can tell on the way back where "
                "each came from. Different points must stay different.",
            ),
            "leaves clumps in place": Mistake(
                _mirrors_in_an_axis,
                "The pair costs nothing, but the clumps on the axis of the mirror stay where they "
                "belong. Choose a map that moves all six, such as a rotation.",
            ),
        },
    )
)


# 4.4 ------------------------------------------------------------------------------------------


def identity_losses(
    G_AB: nn.Module, G_BA: nn.Module, real_A: Tensor, real_B: Tensor
) -> tuple[Tensor, Tensor]:
    """The identity loss of both domains, not weighted.

    A generator that is given what is already of its target domain should leave it as it is.

    Args:
        G_AB, G_BA: translate from A to B, and from B to A.
        real_A, real_B: batches of the two domains, of one shape; they are no pairs.

    Returns:
        (idt_A, idt_B): mean absolute difference between real_A and what the generator whose
        target is A makes of it, and the same for B. Two scalars.
    """
    idt_A, idt_B = G_BA(real_A), G_AB(real_B)
    return (idt_A - real_A).abs().mean(), (idt_B - real_B).abs().mean()


def _identity_wrong_generator(G_AB, G_BA, real_A, real_B):
    return (G_AB(real_A) - real_A).abs().mean(), (G_BA(real_B) - real_B).abs().mean()


def _identity_reference_names(G_AB, G_BA, real_A, real_B):
    return (G_AB(real_B) - real_B).abs().mean(), (G_BA(real_A) - real_A).abs().mean()


def _identity_with_fakes(G_AB, G_BA, real_A, real_B):
    return (G_BA(real_B) - real_A).abs().mean(), (G_AB(real_A) - real_B).abs().mean()


def _identity_is_the_cycle(G_AB, G_BA, real_A, real_B):
    return cycle_losses(G_AB, G_BA, real_A, real_B)


def _identity_squared(G_AB, G_BA, real_A, real_B):
    idt_A, idt_B = G_BA(real_A), G_AB(real_B)
    return (idt_A - real_A).square().mean(), (idt_B - real_B).square().mean()


def _identity_summed(G_AB, G_BA, real_A, real_B):
    idt_A, idt_B = G_BA(real_A), G_AB(real_B)
    return (idt_A - real_A).abs().sum(), (idt_B - real_B).abs().sum()


register(
    Exercise(
        number="4.4",
        title="identity loss",
        reference=identity_losses,
        cases=_pair_of_generators_cases,
        drawn_cases=_pair_of_generators_drawn,
        run=_with_gradients("idt"),
        hints=(
            "Which generator has A as its target? That one is given real_A.",
            "idt_A = G_BA(real_A) and idt_B = G_AB(real_B): each picture already is what the "
            "generator should make.",
            "Compare as in the cycle loss: (idt_A - real_A).abs().mean().",
        ),
        mistakes={
            "gives each generator its usual input": Mistake(
                _identity_wrong_generator,
                "G_AB(real_A) is the translation itself, and this loss would forbid it to change "
                "anything. Give G_AB what is already in B: real_B.",
            ),
            "names of the reference code": Mistake(
                _identity_reference_names,
                "Both losses are right, in the wrong order. The reference code calls G_AB(real_B) "
                "idt_A. Here a name ends in the domain that the picture belongs to: idt_B.",
            ),
            "compares translations": Mistake(
                _identity_with_fakes,
                "You translate real_B and compare with real_A: that needs pairs, and there are "
                "none. Give G_BA a picture of A, and compare with that picture.",
            ),
            "is the cycle": Mistake(
                _identity_is_the_cycle,
                "This is the cycle loss: two generators one after the other. The identity loss "
                "uses one generator, once.",
            ),
            "squares": Mistake(
                _identity_squared,
                "This is the squared difference. The identity loss is the absolute one (L1), like "
                "the cycle loss.",
            ),
            "sums": Mistake(
                _identity_summed,
                "This is the sum over all numbers. Take the mean, so that the weight 5 means the "
                "same at every size of the picture.",
            ),
        },
    )
)


# 4.5 ------------------------------------------------------------------------------------------


def generator_objective(
    model: CycleGAN,
    real_A: Tensor,
    real_B: Tensor,
    lambda_cycle: float = 10.0,
    lambda_identity: float = 5.0,
) -> dict[str, Tensor]:
    """All that the two generators make small together, term by term, each already weighted.

    Args:
        model: has G_AB, G_BA, D_A and D_B.
        real_A, real_B: batches of the two domains, of one shape; they are no pairs.
        lambda_cycle, lambda_identity: weights. The adversarial terms have the weight 1.

    Returns:
        Scalars by name: "G_AB" and "G_BA", the adversarial terms mean (D(fake) - 1)^2 of the two
        generators, then "cycle_A", "cycle_B", "idt_A", "idt_B".
    """
    fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    rec_A, rec_B = model.G_BA(fake_B), model.G_AB(fake_A)
    idt_A, idt_B = model.G_BA(real_A), model.G_AB(real_B)
    return {
        "G_AB": (model.D_B(fake_B) - 1).square().mean(),
        "G_BA": (model.D_A(fake_A) - 1).square().mean(),
        "cycle_A": lambda_cycle * (rec_A - real_A).abs().mean(),
        "cycle_B": lambda_cycle * (rec_B - real_B).abs().mean(),
        "idt_A": lambda_identity * (idt_A - real_A).abs().mean(),
        "idt_B": lambda_identity * (idt_B - real_B).abs().mean(),
    }


def _model() -> FourLines:
    return FourLines(Line(0.8, 0.3), Line(1.1, -0.4), Line(0.7, 0.6), Line(-0.5, 0.2))


def _objective_cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(5)
    pictures = torch.rand(2, 2, 3, 4, 4, generator=generator) * 2 - 1
    return [
        (_model(), torch.tensor([0.0, 1.0]), torch.tensor([0.4, -0.8]), 10.0, 5.0),
        (_model(), pictures[0], pictures[1], 4.0, 1.0),
    ]


def _objective_drawn(rng: np.random.Generator) -> list[tuple]:
    def case(low: float, high: float) -> tuple:
        weights = float(rng.uniform(low, high)), float(rng.uniform(0.2, 0.8))
        return (four_lines(rng), *two_batches(rng), *weights)

    return [case(2, 4), case(5, 12)]


def _run_objective(answer: Callable, model: nn.Module, *inputs: Any) -> Any:
    terms = answer(model, *inputs)
    if is_blank(terms):
        return terms
    if not isinstance(terms, dict) or terms.keys() != _NAMES:
        raise TypeError(f"return a dictionary with the keys {', '.join(sorted(_NAMES))}")
    # The pull of both cycles shows whether a fake was detached.
    cycles = {name: terms[name] for name in ("cycle_A", "cycle_B")}
    return _detached(terms) | _pulls(cycles, {"G_AB": model.G_AB, "G_BA": model.G_BA})


_NAMES = {"G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B"}


def _objective(
    model: Any,
    real_A: Tensor,
    real_B: Tensor,
    lambda_cycle: float,
    lambda_identity: float,
    *,
    cut: Callable = lambda x: x,
    weight: float = 1.0,
    crossed: bool = False,
    label: float = 1.0,
) -> dict[str, Tensor]:
    """The objective with one thing changed."""
    fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    D_B, D_A = (model.D_A, model.D_B) if crossed else (model.D_B, model.D_A)
    terms = generator_objective(model, real_A, real_B, lambda_cycle, lambda_identity)
    return terms | {
        "G_AB": weight * (D_B(fake_B) - label).square().mean(),
        "G_BA": weight * (D_A(fake_A) - label).square().mean(),
        "cycle_A": lambda_cycle * (model.G_BA(cut(fake_B)) - real_A).abs().mean(),
        "cycle_B": lambda_cycle * (model.G_AB(cut(fake_A)) - real_B).abs().mean(),
    }


def _detaches_the_fake(model, real_A, real_B, lambda_cycle, lambda_identity):
    return _objective(model, real_A, real_B, lambda_cycle, lambda_identity, cut=Tensor.detach)


def _weights_the_adversarial_terms(model, real_A, real_B, lambda_cycle, lambda_identity):
    return _objective(model, real_A, real_B, lambda_cycle, lambda_identity, weight=lambda_cycle)


def _asks_the_wrong_discriminator(model, real_A, real_B, lambda_cycle, lambda_identity):
    return _objective(model, real_A, real_B, lambda_cycle, lambda_identity, crossed=True)


def _aims_at_zero(model, real_A, real_B, lambda_cycle, lambda_identity):
    return _objective(model, real_A, real_B, lambda_cycle, lambda_identity, label=0.0)


def _one_weight_for_both(model, real_A, real_B, lambda_cycle, lambda_identity):
    return generator_objective(model, real_A, real_B, lambda_cycle, lambda_cycle)


def _multiplies_the_weights(model, real_A, real_B, lambda_cycle, lambda_identity):
    return generator_objective(model, real_A, real_B, lambda_cycle, lambda_cycle * lambda_identity)


def _forgets_the_weights(model, real_A, real_B, lambda_cycle, lambda_identity):
    return generator_objective(model, real_A, real_B, 1.0, 1.0)


def _identity_in_the_wrong_generator(model, real_A, real_B, lambda_cycle, lambda_identity):
    terms = generator_objective(model, real_A, real_B, lambda_cycle, lambda_identity)
    idt_A, idt_B = _identity_wrong_generator(model.G_AB, model.G_BA, real_A, real_B)
    return terms | {"idt_A": lambda_identity * idt_A, "idt_B": lambda_identity * idt_B}


register(
    Exercise(
        number="4.5",
        title="the generators' objective",
        reference=generator_objective,
        cases=_objective_cases,
        drawn_cases=_objective_drawn,
        run=_run_objective,
        hints=(
            "Make six pictures first: fake_B and fake_A, then rec_A and rec_B from these two, and "
            "idt_A and idt_B as in 4.4.",
            "fake_B claims to be of B, so D_B scores it: (model.D_B(fake_B) - 1).square().mean().",
            "Cycle terms times lambda_cycle, identity terms times lambda_identity, adversarial "
            "terms as they are. Do not detach anything.",
        ),
        mistakes={
            "detaches the fake": Mistake(
                _detaches_the_fake,
                "The values are right, but the cycle's gradient reaches only the second generator. "
                "Each generator must learn from both cycles: do not detach fake_B and fake_A.",
            ),
            "weights the adversarial terms": Mistake(
                _weights_the_adversarial_terms,
                "The adversarial terms are multiplied by lambda_cycle too. They have the weight 1, "
                "and the lambdas say how much more the other terms count.",
            ),
            "asks the wrong discriminator": Mistake(
                _asks_the_wrong_discriminator,
                "fake_B is scored by D_A. It should look like domain B, and only D_B knows that "
                "domain.",
            ),
            "aims at 0": Mistake(
                _aims_at_zero,
                "The generators aim at the score 0, which means fake. That is the discriminator's "
                "aim. A generator wants its fakes to be scored as real: 1.",
            ),
            "one weight for both": Mistake(
                _one_weight_for_both,
                "The identity terms are weighted with lambda_cycle. They have their own weight, "
                "lambda_identity.",
            ),
            "multiplies both weights": Mistake(
                _multiplies_the_weights,
                "The identity terms are weighted with lambda_cycle * lambda_identity. In the "
                "reference code the second is a share of the first (0.5 x 10). Here it is the "
                "weight itself: 5.",
            ),
            "forgets the weights": Mistake(
                _forgets_the_weights,
                "The terms are there, but not weighted: multiply the cycle terms by lambda_cycle "
                "and the identity terms by lambda_identity.",
            ),
            "identity of the wrong generator": Mistake(
                _identity_in_the_wrong_generator,
                "idt_A is made by G_AB from real_A, which is the translation. The generator whose "
                "target is A is G_BA: idt_A = G_BA(real_A), idt_B = G_AB(real_B).",
            ),
        },
    )
)
