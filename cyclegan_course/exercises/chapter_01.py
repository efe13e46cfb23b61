"""Exercises of chapter 1: the adversarial loss."""

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan_course.exercises.draws import normal, uniform
from cyclegan_course.exercises.registry import Exercise, Mistake, is_blank, register
from cyclegan_course.losses import discriminator_loss, generator_loss
from cyclegan_course.toys.clouds import mlp

# 1.1 ------------------------------------------------------------------------------------------


def optimal_discriminator(p_data: Tensor, p_g: Tensor) -> Tensor:
    """The best answer a discriminator can give at a point, from 0 (fake) to 1 (real).

    Args:
        p_data: density of the data at some points, any shape, not negative.
        p_g: density of the fakes at the same points, the same shape. Nowhere are both 0.

    Returns:
        The share of real points among all points there, half of which are fakes: the same shape.
    """
    return p_data / (p_data + p_g)


def _optimal_discriminator_cases() -> list[tuple]:
    return [
        (torch.tensor([0.0, 0.1, 0.2, 0.4]), torch.tensor([0.3, 0.3, 0.2, 0.0])),
        (torch.linspace(0.1, 2, 20), torch.linspace(1, 0.1, 20).square()),
    ]


def _optimal_discriminator_drawn(rng: np.random.Generator) -> list[tuple]:
    p_data, p_g = uniform(rng, 0.05, 2, 2, int(rng.integers(5, 12)))
    p_data[0], p_g[-1] = 0, 0
    return [(p_data, p_g), tuple(uniform(rng, 0.05, 2, 2, *rng.integers(3, 8, 2)))]


def _share_of_fakes(p_data, p_g):
    return p_g / (p_data + p_g)


def _ratio(p_data, p_g):
    return p_data / p_g


def _data_alone(p_data, p_g):
    return p_data / p_data.max()


def _difference(p_data, p_g):
    return 0.5 + 0.5 * (p_data - p_g)


def _density_of_the_mixture(p_data, p_g):
    return p_data / (0.5 * (p_data + p_g))


register(
    Exercise(
        number="1.1",
        title="the optimal discriminator",
        reference=optimal_discriminator,
        cases=_optimal_discriminator_cases,
        drawn_cases=_optimal_discriminator_drawn,
        hints=(
            "At a place where data are three times as dense as fakes, three of four points are "
            "real. So the best answer there is 3/4.",
            "The share of the real ones is: real ones divided by all.",
            "The formula stands just above: p_data / (p_data + p_g).",
        ),
        mistakes={
            "share of the fakes": Mistake(
                _share_of_fakes,
                "This is the share of the fakes. D answers 1 for real, so the density of the data "
                "belongs above the line.",
            ),
            "ratio of the densities": Mistake(
                _ratio,
                "The ratio p_data / p_g grows beyond 1, and is infinite where there are no fakes. "
                "Divide by the sum of both densities.",
            ),
            "data alone": Mistake(
                _data_alone,
                "This looks at the data alone. Where data are rare but fakes are rarer still, the "
                "best answer is near 1: only the comparison of both densities counts.",
            ),
            "difference of the densities": Mistake(
                _difference,
                "The difference of the densities depends on the unit of x. Where both are small "
                "it is always near one half. The share of real points needs a division.",
            ),
            "divides by the mean": Mistake(
                _density_of_the_mixture,
                "This is twice too large: it reaches 2 where there are no fakes. Divide by the "
                "sum of both densities, not by their mean.",
            ),
        },
    )
)


# 1.2 ------------------------------------------------------------------------------------------


def loss_of_D(score_real: Tensor, score_fake: Tensor) -> Tensor:
    """What D minimises in the minimax game, from raw scores s, of which D = sigmoid(s) is 0 to 1.

    Args:
        score_real: raw scores of real points, any shape, any size (even 200 or -200).
        score_fake: raw scores of fakes, any shape; there may be more or fewer of them.

    Returns:
        -mean log D(real) - mean log(1 - D(fake)): a tensor with one finite number.
    """
    # softplus(-s) = -log(sigmoid(s)) and softplus(s) = -log(1 - sigmoid(s)), for every s finite.
    return nn.functional.softplus(-score_real).mean() + nn.functional.softplus(score_fake).mean()


def _loss_of_D_cases() -> list[tuple]:
    return [
        (torch.tensor([2.0, -1.0]), torch.tensor([-3.0, 0.5, 1.0])),
        (torch.tensor([-200.0, 3.0]), torch.tensor([200.0, -3.0])),
        (torch.linspace(-4, 6, 18).reshape(2, 1, 3, 3), torch.linspace(-6, 4, 9)),
    ]


def _two_sets_of_scores(rng: np.random.Generator) -> list[tuple]:
    """Real and fake scores, not as many of the one as of the other: points, then maps."""
    few, sides = int(rng.integers(3, 7)), rng.integers(2, 6, 2).tolist()
    return [
        (2 * normal(rng, few), 2 * normal(rng, few + 2)),
        (2 * normal(rng, 2, 1, *sides), 2 * normal(rng, 3, 1, *sides)),
    ]


def _loss_of_D_drawn(rng: np.random.Generator) -> list[tuple]:
    # Large scores of the wrong sign, at which a logarithm of a sigmoid is infinite.
    wrong = torch.stack([-uniform(rng, 120, 300, 1), uniform(rng, 120, 300, 1)])
    both = torch.cat([wrong, 2 * normal(rng, 2, int(rng.integers(2, 6)))], dim=1)
    return [*_two_sets_of_scores(rng), tuple(both)]


def _forgets_the_sigmoid(score_real, score_fake):
    return -score_real.log().mean() - (1 - score_fake).log().mean()


def _swaps_the_labels(score_real, score_fake):
    return nn.functional.softplus(score_real).mean() + nn.functional.softplus(-score_fake).mean()


def _takes_the_logarithm_of_the_sigmoid(score_real, score_fake):
    real, fake = torch.sigmoid(score_real), torch.sigmoid(score_fake)
    return -real.log().mean() - (1 - fake).log().mean()


def _adds_a_small_number(score_real, score_fake):
    real, fake = torch.sigmoid(score_real), torch.sigmoid(score_fake)
    return -(real + 1e-8).log().mean() - (1 - fake + 1e-8).log().mean()


def _leaves_out_the_fakes(score_real, score_fake):
    return nn.functional.softplus(-score_real).mean()


def _treats_both_as_real(score_real, score_fake):
    return nn.functional.softplus(-score_real).mean() + nn.functional.softplus(-score_fake).mean()


def _forgets_the_minus(score_real, score_fake):
    return (
        nn.functional.logsigmoid(score_real).mean() + nn.functional.logsigmoid(-score_fake).mean()
    )


def _halves_it(score_real, score_fake):
    return (
        nn.functional.softplus(-score_real).mean() + nn.functional.softplus(score_fake).mean()
    ) / 2


def _means_over_all_points(score_real, score_fake):
    return torch.cat(
        [
            nn.functional.softplus(-score_real).flatten(),
            nn.functional.softplus(score_fake).flatten(),
        ]
    ).mean()


def _sums(score_real, score_fake):
    return nn.functional.softplus(-score_real).sum() + nn.functional.softplus(score_fake).sum()


register(
    Exercise(
        number="1.2",
        title="the loss of D from raw scores",
        reference=loss_of_D,
        cases=_loss_of_D_cases,
        drawn_cases=_loss_of_D_drawn,
        hints=(
            "One mean over the real scores plus one mean over the fake ones, each with a minus in "
            "front of the logarithm.",
            "torch.sigmoid(200.) is exactly 1 in float32, and log(1 - 1) is minus infinity. So the "
            "logarithm of the sigmoid has to be written as one function.",
            "With softplus = nn.functional.softplus: -log(sigmoid(s)) = softplus(-s), and "
            "-log(1 - sigmoid(s)) = softplus(s).",
        ),
        mistakes={
            "forgets the sigmoid": Mistake(
                _forgets_the_sigmoid,
                "The scores are raw: they can be negative or larger than 1, and the logarithm of a "
                "negative number is NaN. The sigmoid that makes D of a score is missing.",
            ),
            "swaps the labels": Mistake(
                _swaps_the_labels,
                "Real and fake are swapped: this loss is small if real points get low scores. Look "
                "at the signs of the scores inside the softplus.",
            ),
            "takes the logarithm of the sigmoid": Mistake(
                _takes_the_logarithm_of_the_sigmoid,
                "This is right on paper and infinite for large scores: in float32 the sigmoid of "
                "200 is exactly 1 and that of -200 exactly 0. Use nn.functional.softplus, which "
                "does both steps at once.",
            ),
            "adds a small number": Mistake(
                _adds_a_small_number,
                "A small number inside the logarithm avoids infinity, but makes the loss flat "
                "where D is wrong by much: it stops near 18 where it should be 200. "
                "nn.functional.softplus is exact.",
            ),
            "leaves out the fakes": Mistake(
                _leaves_out_the_fakes,
                "The term of the fakes is missing. Without it, a D that calls everything real has "
                "the best loss.",
            ),
            "treats both as real": Mistake(
                _treats_both_as_real,
                "Both terms ask for high scores. For fakes it is log(1 - D), so the sign inside "
                "the softplus changes.",
            ),
            "forgets the minus": Mistake(
                _forgets_the_minus,
                "This is what D makes large. A loss is made small: put a minus in front.",
            ),
            "halves it": Mistake(
                _halves_it,
                "This is half of it. Half is a fair convention (the reference code of CycleGAN "
                "uses it), but here the sum of both means is asked for.",
            ),
            "one mean over all points": Mistake(
                _means_over_all_points,
                "This is one mean over all points together. Take a mean over the real ones and a "
                "mean over the fakes, and add them: then neither counts more if there are more.",
            ),
            "sums": Mistake(
                _sums,
                "This sums over the points. With the mean, the loss does not grow with the number "
                "of points.",
            ),
        },
    )
)


# 1.3 ------------------------------------------------------------------------------------------


def score_gradients(score: Tensor) -> tuple[Tensor, Tensor]:
    """Slope of two losses of G by the raw score s of a fake, with D = sigmoid(s).

    Args:
        score: raw scores of fakes, float32, any shape.

    Returns:
        Two tensors of the shape of score: the derivative by s of log(1 - D), the saturating loss,
        and the derivative by s of -log D, the non-saturating loss.
    """
    D = torch.sigmoid(score)
    return -D, D - 1


def _score_gradients_cases() -> list[tuple]:
    return [(torch.tensor([-4.0, -1.0, 0.0, 2.0]),), (torch.linspace(-12, 12, 30).reshape(5, 6),)]


def _score_gradients_drawn(rng: np.random.Generator) -> list[tuple]:
    shapes = [(int(rng.integers(4, 9)),), tuple(rng.integers(3, 8, 2))]
    return [(uniform(rng, -10, 10, *shape),) for shape in shapes]


def _wrong_way_round(score):
    D = torch.sigmoid(score)
    return D - 1, -D


def _by_D(score):
    D = torch.sigmoid(score)
    return -1 / (1 - D), -1 / D


def _downhill(score):
    D = torch.sigmoid(score)
    return D, 1 - D


def _forgets_the_logarithm(score):
    D = torch.sigmoid(score)
    return -D * (1 - D), -D * (1 - D)


def _the_losses(score):
    return -nn.functional.softplus(score), nn.functional.softplus(-score)


register(
    Exercise(
        number="1.3",
        title="the slope that G feels",
        reference=score_gradients,
        cases=_score_gradients_cases,
        drawn_cases=_score_gradients_drawn,
        hints=(
            "Use the chain rule: first the derivative of the logarithm by D, then dD/ds.",
            "The sigmoid has dD/ds = D (1 - D). The derivative of log(1 - D) by D is -1 / (1 - D), "
            "that of -log D is -1 / D.",
            "Multiply and cancel: -D (1 - D) / (1 - D) = -D, and -D (1 - D) / D = D - 1.",
        ),
        mistakes={
            "wrong way round": Mistake(
                _wrong_way_round,
                "These are the right slopes in the wrong order: first that of log(1 - D), then "
                "that of -log D.",
            ),
            "by D": Mistake(
                _by_D,
                "These are the derivatives by D. By the score they have one more factor, from the "
                "chain rule: dD/ds = D (1 - D).",
            ),
            "points downhill": Mistake(
                _downhill,
                "The size is right and the sign is not: both losses fall as the score rises, so "
                "both slopes are negative.",
            ),
            "forgets the logarithm": Mistake(
                _forgets_the_logarithm,
                "This is the slope of 1 - D and of -D. The derivative of the logarithm is missing: "
                "divide by what stands inside it.",
            ),
            "returns the losses": Mistake(
                _the_losses,
                "These are the two losses. Their derivatives by the score are asked for.",
            ),
        },
    )
)


# 1.4 ------------------------------------------------------------------------------------------


def lsgan_losses(score_real: Tensor, score_fake: Tensor) -> tuple[Tensor, Tensor]:
    """The least-squares losses of D and of G, with the label 1 for real and 0 for fake.

    Args:
        score_real: raw scores of real points or patches, any shape.
        score_fake: raw scores of fakes, any shape.

    Returns:
        Loss of D, mean (score_real - 1)^2 + mean score_fake^2, and the loss of G, which wants
        its fakes to get the label of the real ones. Two tensors with one number each.
    """
    loss_D = (score_real - 1).square().mean() + score_fake.square().mean()
    loss_G = (score_fake - 1).square().mean()
    return loss_D, loss_G


def _lsgan_losses_cases() -> list[tuple]:
    return [
        (torch.tensor([0.9, 0.4]), torch.tensor([0.2, -0.3, 0.7])),
        (torch.linspace(-1, 2, 18).reshape(2, 1, 3, 3), torch.linspace(-2, 1, 9)),
    ]


def _lsgan_swaps_the_labels(score_real, score_fake):
    loss_D = score_real.square().mean() + (score_fake - 1).square().mean()
    return loss_D, score_fake.square().mean()


def _lsgan_with_sigmoid(score_real, score_fake):
    return lsgan_losses(torch.sigmoid(score_real), torch.sigmoid(score_fake))


def _lsgan_halves_D(score_real, score_fake):
    loss_D, loss_G = lsgan_losses(score_real, score_fake)
    return loss_D / 2, loss_G


def _lsgan_halves_both(score_real, score_fake):
    loss_D, loss_G = lsgan_losses(score_real, score_fake)
    return loss_D / 2, loss_G / 2


def _lsgan_G_minimises_the_term_of_D(score_real, score_fake):
    return lsgan_losses(score_real, score_fake)[0], score_fake.square().mean()


def _lsgan_G_negates_the_term_of_D(score_real, score_fake):
    return lsgan_losses(score_real, score_fake)[0], -score_fake.square().mean()


def _lsgan_squares_the_mean(score_real, score_fake):
    loss_D = (score_real.mean() - 1).square() + score_fake.mean().square()
    return loss_D, (score_fake.mean() - 1).square()


def _lsgan_absolute(score_real, score_fake):
    loss_D = (score_real - 1).abs().mean() + score_fake.abs().mean()
    return loss_D, (score_fake - 1).abs().mean()


register(
    Exercise(
        number="1.4",
        title="least squares",
        reference=lsgan_losses,
        cases=_lsgan_losses_cases,
        drawn_cases=_two_sets_of_scores,
        hints=(
            "There is no sigmoid and no logarithm here: a loss is a mean squared distance to a "
            "label.",
            "D wants real scores at 1 and fake scores at 0. G wants the same fake scores at 1.",
            "Loss of G: (score_fake - 1).square().mean().",
        ),
        mistakes={
            "swaps the labels": Mistake(
                _lsgan_swaps_the_labels,
                "The labels are swapped: here real is 1 and fake is 0.",
            ),
            "applies a sigmoid": Mistake(
                _lsgan_with_sigmoid,
                "There is a sigmoid too many. Least squares compares the raw score with the label; "
                "a sigmoid would bring back the flat ends that this loss avoids.",
            ),
            "halves the loss of D": Mistake(
                _lsgan_halves_D,
                "The loss of D is half of what is asked for. The half of CycleGAN's recipe comes "
                "later, in the training step; the loss itself is the sum of both means.",
            ),
            "halves both": Mistake(
                _lsgan_halves_both,
                "Both losses are half of what is asked for. Mao et al. write them with 1/2; here, "
                "as in the package, they stand without it.",
            ),
            "G minimises D's term": Mistake(
                _lsgan_G_minimises_the_term_of_D,
                "This loss of G is small if D gives the fakes 0, so G would help D. G wants its "
                "fakes to get the label 1.",
            ),
            "G negates D's term": Mistake(
                _lsgan_G_negates_the_term_of_D,
                "Minus D's term has no slope at score 0, just where D is sure, and no lower end. G "
                "gets a target of its own: the label 1.",
            ),
            "squares the mean": Mistake(
                _lsgan_squares_the_mean,
                "Mean and square are in the wrong order: scores of 0 and 2 would count as "
                "perfectly real, because their mean is 1. Square each distance, then take the "
                "mean.",
            ),
            "takes absolute values": Mistake(
                _lsgan_absolute,
                "These are absolute distances. Least squares takes the square of each.",
            ),
        },
    )
)


# 1.5 ------------------------------------------------------------------------------------------


def training_step(
    G: nn.Module,
    D: nn.Module,
    optimizer_G: torch.optim.Optimizer,
    optimizer_D: torch.optim.Optimizer,
    real: Tensor,
    z: Tensor,
) -> tuple[Tensor, Tensor]:
    """One step of D, then one step of G, both with the "non_saturating" losses.

    D judges `real` and the fakes G(z). Then G answers the D that has just been changed. When a
    player moves, its own gradients are fresh, and the other player stays as it is.

    Args:
        G, D: the two networks. D returns raw scores, of shape (N, 1).
        optimizer_G, optimizer_D: each moves the parameters of one of them.
        real: points of the data, (N, 2).
        z: normal numbers for G, (N, 2).

    Returns:
        The loss of D and the loss of G, each as it was just before its own step.
    """
    fake = G(z)
    loss_D = discriminator_loss(D(real), D(fake.detach()), "non_saturating")
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_D.step()

    loss_G = generator_loss(D(fake), "non_saturating")
    optimizer_G.zero_grad()
    loss_G.backward()
    optimizer_G.step()
    return loss_D, loss_G


def _training_step_cases() -> list[tuple]:
    return [_tiny_players(seed) for seed in (1, 2)]


def _training_step_drawn(rng: np.random.Generator) -> list[tuple]:
    return [_tiny_players(int(rng.integers(1e6)), int(rng.integers(4, 10))) for _ in range(2)]


def _tiny_players(seed: int, points: int = 6) -> tuple:
    random = torch.Generator().manual_seed(seed)
    G, D = mlp(2, 2, generator=random), mlp(2, 3, 1, generator=random)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.2) for net in (G, D)]
    return (G, D, *optimizers, *torch.randn(2, points, 2, generator=random))


# What torch says when a graph is used wrongly, in words that learners can act on.
_GRAPH_ERRORS = {
    "backward through the graph a second time": "the second backward() finds no graph any more",
    "modified by an inplace operation": "weights changed between the forward pass and backward()",
}


def _run_training_step(step, G, D, *more):
    """Two steps: the losses, and where both players have come to."""
    losses = []
    for _ in range(2):
        try:
            result = step(G, D, *more)
        except RuntimeError as error:
            for text, words in _GRAPH_ERRORS.items():
                if text in str(error):
                    return {"error": words}
            raise
        if is_blank(result):
            return result
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError("the step should return two losses, that of D and that of G")
        losses.append([torch.as_tensor(loss).detach().float() for loss in result])
    loss_D, loss_G = zip(*losses, strict=True)
    return {
        "loss of D": torch.stack(loss_D),
        "loss of G": torch.stack(loss_G),
        "weights of D": nn.utils.parameters_to_vector(D.parameters()).detach(),
        "weights of G": nn.utils.parameters_to_vector(G.parameters()).detach(),
    }


def _step(G, D, optimizer_G, optimizer_D, real, z, *, loss_D=None, loss_G=None, zero=True, back=()):
    """A step with one thing wrong. `back`: also send D's loss back into G."""
    score_fake = (lambda: D(G(z))) if back else (lambda: D(G(z).detach()))
    if zero:
        optimizer_D.zero_grad()
        optimizer_G.zero_grad()
    first = (loss_D or (lambda r, f: discriminator_loss(r, f, "vanilla")))(D(real), score_fake())
    first.backward()
    optimizer_D.step()
    if zero:
        optimizer_D.zero_grad()
    second = (loss_G or (lambda f: generator_loss(f, "non_saturating")))(D(G(z)))
    second.backward()
    optimizer_G.step()
    return first, second


def _forgets_detach(*inputs):
    return _step(*inputs, back=True)


def _forgets_detach_and_reuses_the_fakes(G, D, optimizer_G, optimizer_D, real, z):
    fake = G(z)
    loss_D = discriminator_loss(D(real), D(fake), "non_saturating")
    loss_D.backward()
    loss_G = generator_loss(D(fake), "non_saturating")
    loss_G.backward()
    return loss_D, loss_G


def _scores_for_G_are_too_old(G, D, optimizer_G, optimizer_D, real, z):
    fake = G(z)
    loss_D = discriminator_loss(D(real), D(fake.detach()), "non_saturating")
    loss_G = generator_loss(D(fake), "non_saturating")
    loss_D.backward()
    optimizer_D.step()
    loss_G.backward()
    return loss_D, loss_G


def _least_squares(*inputs):
    return _step(*inputs, loss_D=discriminator_loss, loss_G=generator_loss)


def _least_squares_for_D(*inputs):
    return _step(*inputs, loss_D=discriminator_loss)


def _fakes_are_real(*inputs):
    return _step(
        *inputs,
        loss_D=lambda r, f: (nn.functional.softplus(-r) + nn.functional.softplus(-f)).mean(),
    )


def _swaps_real_and_fake(*inputs):
    return _step(*inputs, loss_D=lambda r, f: discriminator_loss(f, r, "vanilla"))


def _G_helps_D(*inputs):
    return _step(*inputs, loss_G=lambda f: nn.functional.softplus(f).mean())


def _saturating(*inputs):
    return _step(*inputs, loss_G=lambda f: generator_loss(f, "vanilla"))


def _does_not_zero(*inputs):
    return _step(*inputs, zero=False)


def _does_not_zero_D(G, D, optimizer_G, optimizer_D, real, z):
    optimizer_G.zero_grad()
    return _step(G, D, optimizer_G, optimizer_D, real, z, zero=False)


def _clears_D_too_early(G, D, optimizer_G, optimizer_D, real, z):
    loss_D = discriminator_loss(D(real), D(G(z).detach()), "non_saturating")
    loss_G = generator_loss(D(G(z)), "non_saturating")
    optimizer_D.zero_grad()
    optimizer_G.zero_grad()
    loss_D.backward(retain_graph=True)
    loss_G.backward()
    optimizer_D.step()
    optimizer_G.step()
    return loss_D, loss_G


def _both_at_once(G, D, optimizer_G, optimizer_D, real, z):
    loss_D = discriminator_loss(D(real), D(G(z).detach()), "non_saturating")
    loss_G = generator_loss(D(G(z)), "non_saturating")
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_G.zero_grad()
    slopes = torch.autograd.grad(loss_G, list(G.parameters()))
    for parameter, slope in zip(G.parameters(), slopes, strict=True):
        parameter.grad = slope
    optimizer_D.step()
    optimizer_G.step()
    return loss_D, loss_G


def _detaches_for_G(G, D, optimizer_G, optimizer_D, real, z):
    fake = G(z).detach()
    loss_D = discriminator_loss(D(real), D(fake), "non_saturating")
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_D.step()
    loss_G = generator_loss(D(fake), "non_saturating")
    optimizer_G.zero_grad()
    loss_G.backward()
    optimizer_G.step()
    return loss_D, loss_G


register(
    Exercise(
        number="1.5",
        title="one step of D, one step of G",
        reference=training_step,
        cases=_training_step_cases,
        drawn_cases=_training_step_drawn,
        run=_run_training_step,
        hints=(
            "Each player does the same four things: compute its loss, zero_grad() of its own "
            "optimizer, backward(), step().",
            "D learns from D(fake.detach()): the loss of D must not reach G. G learns from D(fake) "
            "without detach, computed again after D has moved.",
            'The losses: discriminator_loss(D(real), D(fake.detach()), "non_saturating") and '
            'generator_loss(D(fake), "non_saturating"). Call zero_grad() just before backward().',
        ),
        mistakes={
            "forgets detach": Mistake(
                _forgets_detach,
                "D moves rightly, G does not: the loss of D has left its gradient in G, which "
                "pushes the fakes to where D spots them. Give D the fakes as fake.detach().",
            ),
            "forgets detach and reuses the fakes": Mistake(
                _forgets_detach_and_reuses_the_fakes,
                "The backward() of D's loss ran through G and freed its graph, so G's own "
                "backward() finds none. D gets the fakes as fake.detach(); then its loss stops "
                "there, and the graph is left for G. (retain_graph=True would only hide this.)",
            ),
            "scores for G are too old": Mistake(
                _scores_for_G_are_too_old,
                "The scores for G's loss were computed before D moved, and backward() needs the "
                "weights that D had then. Compute D(fake) for G after optimizer_D.step().",
            ),
            "least squares": Mistake(
                _least_squares,
                'Without a third argument the losses are those of LSGAN. Write "non_saturating" '
                "in both.",
            ),
            "least squares for D": Mistake(
                _least_squares_for_D,
                "D learns with the least-squares loss, which is the default. Give "
                'discriminator_loss the kind "non_saturating" as its third argument.',
            ),
            "tells D that fakes are real": Mistake(
                _fakes_are_real,
                "The loss of D asks for high scores of the fakes too. The second argument of "
                "discriminator_loss is for the scores of the fakes.",
            ),
            "swaps real and fake": Mistake(
                _swaps_real_and_fake,
                "D learns that the data are fake and the fakes are real. discriminator_loss takes "
                "the scores of the real points first.",
            ),
            "G helps D": Mistake(
                _G_helps_D,
                "G moves so that D scores its fakes lower: it minimises D's term. Use "
                "generator_loss on the scores of the fakes.",
            ),
            "saturating loss": Mistake(
                _saturating,
                'This is the loss log(1 - D) for G, the kind "vanilla". The task asks for '
                '"non_saturating".',
            ),
            "does not zero the gradients": Mistake(
                _does_not_zero,
                "backward() adds to the gradients that are already there. Without zero_grad() each "
                "step repeats the steps before it. Call it for each optimizer before backward().",
            ),
            "does not zero the gradients of D": Mistake(
                _does_not_zero_D,
                "The gradients of D are not cleared. G's loss runs back through D and leaves "
                "gradients there, and those of the last step remain. Call optimizer_D.zero_grad() "
                "just before the backward() of D's loss.",
            ),
            "mixes the gradients in D": Mistake(
                _clears_D_too_early,
                "The loss of G has left its gradient in D before D moved, so D was pulled both "
                "ways. Finish D's step first: loss, zero_grad, backward, step. Then do G's.",
            ),
            "both at once": Mistake(
                _both_at_once,
                "G answers the D of before: it moves first, or its loss comes too early. Here "
                "D moves first, then D(fake) is computed again for G. (Both orders work, and the "
                "code of CycleGAN lets G go first.)",
            ),
            "detaches for G": Mistake(
                _detaches_for_G,
                "G does not move. Its loss comes from a detached fake, so no gradient reaches it. "
                "Detach only where D learns.",
            ),
        },
    )
)
