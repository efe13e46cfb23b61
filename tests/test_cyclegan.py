"""The training step against a second, naive implementation, and who receives which gradient."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from cyclegan_course.cyclegan import (
    CycleGAN,
    Objective,
    discriminator_losses,
    frozen,
    generator_losses,
    training_step,
)
from cyclegan_course.datasets import ImagePool
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator

KINDS = ["lsgan", "vanilla", "non_saturating", "hinge"]


def small_model(seed: int = 0) -> CycleGAN:
    return CycleGAN(
        partial(ResnetGenerator, ngf=4, n_blocks=1),
        partial(PatchDiscriminator, ndf=4, n_layers=2),
        seed=seed,
    ).double()


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(5)
    shape = (2, 2, 3, 32, 32)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1).unbind()


def gradients(net: nn.Module) -> list[torch.Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in net.parameters()]


def some_gradient(net: nn.Module) -> bool:
    return any(g is not None and g.abs().max() > 0 for g in gradients(net))


@pytest.mark.parametrize("term", ["cycle_A", "cycle_B"])
def test_both_generators_receive_the_gradient_of_each_cycle(term, pictures):
    model = small_model()
    terms, _ = generator_losses(model, *pictures, Objective())
    terms[term].backward()
    assert some_gradient(model.G_AB)
    assert some_gradient(model.G_BA)


@pytest.mark.parametrize(
    ("term", "trained", "untouched"),
    [
        ("G_AB", "G_AB", "G_BA"),
        ("G_BA", "G_BA", "G_AB"),
        ("idt_A", "G_BA", "G_AB"),
        ("idt_B", "G_AB", "G_BA"),
    ],
)
def test_each_other_term_trains_one_generator(term, trained, untouched, pictures):
    model = small_model()
    terms, _ = generator_losses(model, *pictures, Objective())
    terms[term].backward()
    assert some_gradient(getattr(model, trained))
    assert not some_gradient(getattr(model, untouched))


def test_generator_step_gives_the_discriminators_no_gradient(pictures):
    model = small_model()
    with frozen(model.discriminator_parameters()):
        terms, _ = generator_losses(model, *pictures, Objective())
        sum(terms.values()).backward()
    assert all(p.grad is None for p in model.discriminator_parameters())
    assert all(p.requires_grad for p in model.discriminator_parameters())


def test_frozen_thaws_after_an_error():
    model = small_model()
    with pytest.raises(RuntimeError), frozen(model.discriminator_parameters()):
        raise RuntimeError
    assert all(p.requires_grad for p in model.discriminator_parameters())


def test_discriminator_losses_give_the_generators_no_gradient(pictures):
    model = small_model()
    real_A, real_B = pictures
    fake_B, fake_A = model.G_AB(real_A), model.G_BA(real_B)
    terms = discriminator_losses(model, real_A, real_B, fake_A, fake_B, Objective())
    sum(terms.values()).backward()
    assert not some_gradient(model.G_AB)
    assert not some_gradient(model.G_BA)
    assert some_gradient(model.D_A)
    assert some_gradient(model.D_B)


def naive_step(model, a, b, optimizer_G, optimizer_D, objective):
    """The same mathematics written out a second time: LSGAN with 1/2 on D, no pool."""
    lam, idt = objective.lambda_cycle, objective.lambda_identity
    fake_B, fake_A = model.G_AB(a), model.G_BA(b)
    loss_G = ((model.D_B(fake_B) - 1) ** 2).mean() + ((model.D_A(fake_A) - 1) ** 2).mean()
    loss_G = loss_G + lam * (model.G_BA(fake_B) - a).abs().mean()
    loss_G = loss_G + lam * (model.G_AB(fake_A) - b).abs().mean()
    loss_G = loss_G + idt * (model.G_AB(b) - b).abs().mean()
    loss_G = loss_G + idt * (model.G_BA(a) - a).abs().mean()
    params_G = [*model.G_AB.parameters(), *model.G_BA.parameters()]
    grads_G = torch.autograd.grad(loss_G, params_G)
    for parameter, gradient in zip(params_G, grads_G, strict=True):
        parameter.grad = gradient
    optimizer_G.step()

    loss_D = 0.5 * (((model.D_A(a) - 1) ** 2).mean() + (model.D_A(fake_A.detach()) ** 2).mean())
    loss_D = loss_D + 0.5 * (
        ((model.D_B(b) - 1) ** 2).mean() + (model.D_B(fake_B.detach()) ** 2).mean()
    )
    params_D = [*model.D_A.parameters(), *model.D_B.parameters()]
    grads_D = torch.autograd.grad(loss_D, params_D)
    for parameter, gradient in zip(params_D, grads_D, strict=True):
        parameter.grad = gradient
    optimizer_D.step()
    return loss_G.item(), loss_D.item()


@pytest.mark.parametrize("lambda_identity", [5.0, 0.0])
def test_step_equals_a_naive_one(pictures, lambda_identity):
    objective = Objective(lambda_identity=lambda_identity)
    ours, theirs = small_model(), small_model()
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))

    def optimizers(model):
        return adam(model.generator_parameters()), adam(model.discriminator_parameters())

    optimizers_ours, optimizers_theirs = optimizers(ours), optimizers(theirs)
    no_pool = ImagePool(0)
    for _ in range(2):
        terms = training_step(ours, *pictures, *optimizers_ours, no_pool, no_pool, objective)
        loss_G, loss_D = naive_step(theirs, *pictures, *optimizers_theirs, objective)
        assert float(sum(terms.values())) == pytest.approx(loss_G + loss_D, rel=1e-10)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12)
            # A bias before InstanceNorm has a gradient of rounding noise alone, and Adam
            # divides noise by noise; the gradients are compared, weights only where they count.
            if one.ndim > 1:
                torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
        theirs.load_state_dict(copy.deepcopy(ours.state_dict()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_adversarial_loss_moves_all_four_networks(kind, pictures):
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    sgd = partial(torch.optim.SGD, lr=1e-2)
    training_step(
        model,
        *pictures,
        sgd(model.generator_parameters()),
        sgd(model.discriminator_parameters()),
        ImagePool(0),
        ImagePool(0),
        Objective(adversarial=kind),
    )
    for name in ("G_AB", "G_BA", "D_A", "D_B"):
        after = getattr(model, name).state_dict()
        assert any(not torch.equal(before[f"{name}.{key}"], after[key]) for key in after)


def test_translations_are_where_their_names_say(pictures):
    model = small_model()
    real_A, real_B = pictures
    _, made = generator_losses(model, real_A, real_B, Objective())
    torch.testing.assert_close(made.fake_B, model.G_AB(real_A))
    torch.testing.assert_close(made.rec_A, model.G_BA(model.G_AB(real_A)))
    torch.testing.assert_close(made.fake_A, model.G_BA(real_B))
    torch.testing.assert_close(made.rec_B, model.G_AB(model.G_BA(real_B)))


def test_same_seed_same_networks_and_the_two_generators_differ():
    one, other = small_model(3), small_model(3)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(one.G_AB.parameters()), next(one.G_BA.parameters()))
