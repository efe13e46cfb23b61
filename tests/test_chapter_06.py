"""Chapter 6: what its exercises promise, its claims in closed form, its figures."""

import itertools
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from cyclegan_course import cyclegan
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_06 import (
    Training,
    numbers_of_step,
    shared_gradient,
    write_whole,
)
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.plots.resume import checkpoint_parts, moves_after_stop


def tiny_networks(seed: int = 0, **discriminator) -> CycleGAN:
    return CycleGAN(
        partial(ResnetGenerator, ngf=4, n_blocks=1, n_down=1, edge_kernel=3),
        partial(PatchDiscriminator, ndf=4, n_layers=1, **discriminator),
        seed=seed,
    )


# 6.1: a file is whole or not there ---------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "disk full"), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failed_write_changes_nothing(tmp_path, error, before):
    file = tmp_path / "file.bin"
    if before is not None:
        file.write_bytes(before)

    def write(path: Path) -> None:
        path.write_bytes(b"ne")
        raise error

    with pytest.raises(type(error)):
        write_whole(file, write)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_a_renaming_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise PermissionError("in use")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "file.bin", lambda path: path.write_bytes(b"new"))
    assert not list(tmp_path.iterdir())


def test_the_check_lets_a_real_ctrl_c_through():
    """Somebody who interrupts a hanging answer must not wait for the check."""

    def hangs(file, write):
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as it is in a notebook
    try:
        with pytest.raises(KeyboardInterrupt):
            assess(REGISTRY["6.1"], hangs)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_right_ways_to_write_are_accepted():
    import tempfile

    def in_a_folder_beside_it(file, write):
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            write(Path(folder) / "new")
            (Path(folder) / "new").replace(file)

    def with_flush(file, write):
        handle, name = tempfile.mkstemp(dir=file.parent)
        os.close(handle)
        try:
            write(Path(name))
            with open(name, "r+b") as stream:
                os.fsync(stream.fileno())
            os.replace(name, file)
        finally:
            Path(name).unlink(missing_ok=True)

    for answer in (in_a_folder_beside_it, with_flush):
        outcome = assess(REGISTRY["6.1"], answer)
        assert outcome.status == "passed", (answer.__name__, outcome.message, outcome.table)


# 6.2: everything that moves ----------------------------------------------------------------------


def train(training: Training, until: int) -> torch.Tensor:
    while training.step < until:
        numbers = torch.from_numpy(numbers_of_step(3, training.step, 3 * 16 * 16)).float()
        batch = 2 * numbers.reshape(1, 3, 16, 16) - 1
        training.optimizer.zero_grad()
        (training.model(batch) - batch).abs().mean().backward()
        training.optimizer.step()
        training.step += 1
    return parameters_to_vector(training.model.parameters()).detach().clone()


def begin(seed: int) -> Training:
    model = tiny_networks(seed).G_AB
    return Training(model, torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.999)))


def test_a_packed_network_goes_on_to_the_same_bits():
    first = begin(0)
    at_stop = train(first, 4)
    packed = first.pack()
    whole = train(first, 9)
    second = begin(1)
    second.unpack(packed)
    assert second.step == 4
    assert torch.equal(parameters_to_vector(second.model.parameters()), at_stop)
    assert torch.equal(train(second, 9), whole)


def test_a_fresh_adam_moves_every_weight_by_a_learning_rate():
    """Figure 6.5: the first move is lr * g / (|g| + eps), so its rms is 1 where g is not 0."""
    first = begin(0)
    before = train(first, 6)
    alone = begin(1)
    alone.model.load_state_dict(first.model.state_dict())
    alone.step = first.step
    move = (train(alone, 7) - before) / 1e-3
    gradient = torch.cat([p.grad.flatten() for p in alone.model.parameters()])
    expected = -gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(move, expected, rtol=0, atol=2e-3)
    felt = gradient.abs() > 1e-5
    assert move[felt].square().mean().sqrt() == pytest.approx(1, abs=5e-3)
    assert felt.float().mean() > 0.5


# 6.3: random numbers of a step -------------------------------------------------------------------


def test_numbers_of_steps_are_uniform_and_unrelated():
    count = 20_000
    rows = np.array([numbers_of_step(5, step, count) for step in range(4)])
    assert rows.shape == (4, count)
    # Mean 1/2 and variance 1/12; five standard deviations of each estimate.
    assert abs(rows.mean(axis=1) - 0.5).max() < 5 * (1 / 12 / count) ** 0.5
    related = np.corrcoef(rows)[~np.eye(4, dtype=bool)]
    assert abs(related).max() < 5 / count**0.5


def test_numbers_do_not_depend_on_the_order_of_asking():
    pairs = list(itertools.product(range(3), range(3)))
    forward = {pair: numbers_of_step(*pair, 4).tolist() for pair in pairs}
    backward = {pair: numbers_of_step(*pair, 4).tolist() for pair in reversed(pairs)}
    assert forward == backward
    assert len({tuple(numbers) for numbers in forward.values()}) == len(pairs)


def test_other_right_generators_are_accepted_and_the_global_one_is_put_back():
    def of_torch(seed, step, count):
        mixed = int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
        return torch.rand(count, generator=torch.Generator().manual_seed(mixed))

    def of_python(seed, step, count):
        import random

        generator = random.Random(f"{seed} {step}")
        return [generator.random() for _ in range(count)]

    def disturbs(seed, step, count):
        np.random.seed(step)
        torch.manual_seed(step)
        return np.random.random(count)

    for answer in (of_torch, of_python):
        outcome = assess(REGISTRY["6.3"], answer)
        assert outcome.status == "passed", (answer.__name__, outcome.message)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    assert assess(REGISTRY["6.3"], disturbs).status == "wrong"
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


# 6.4: a shared gradient --------------------------------------------------------------------------


def gradient_with(model: CycleGAN):
    def gradient(pairs: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        terms, _ = cyclegan.generator_losses(model, pairs[:, 0], pairs[:, 1], Objective())
        sum(terms.values()).backward()
        return torch.cat([p.grad.flatten() for p in model.generator_parameters()])

    return gradient


def pairs_of_pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.rand(4, 2, 3, 16, 16, generator=generator, dtype=torch.float64) - 1


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_shared_gradient_is_that_of_the_batch(processes):
    gradient = gradient_with(tiny_networks().double())
    batch = pairs_of_pictures()
    torch.testing.assert_close(
        shared_gradient(batch, processes, gradient), gradient(batch), rtol=1e-10, atol=1e-12
    )


def test_with_batch_normalisation_it_is_not():
    gradient = gradient_with(tiny_networks(norm=torch.nn.BatchNorm2d).double())
    batch = pairs_of_pictures()
    whole = gradient(batch)
    shared = shared_gradient(batch, 2, gradient)
    assert (shared - whole).norm() > 1e-3 * whole.norm()


def test_shares_by_stride_are_accepted():
    def by_stride(batch, processes, gradient):
        return sum(gradient(batch[rank::processes]) for rank in range(processes)) / processes

    assert assess(REGISTRY["6.4"], by_stride).status == "passed"


# The figures -------------------------------------------------------------------------------------


def test_moves_are_drawn_at_their_steps():
    axis = moves_after_stop([0.4, 0.3], {"all": [0.4, 0.5], "alone": [1.0, 0.7]}, stop=10).axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines["before the stop"] == [[9, 0.4], [10, 0.3]]
    assert lines["all"] == [[11, 0.4], [12, 0.5]]
    assert lines["alone"] == [[11, 1.0], [12, 0.7]]
    assert axis.get_ylim()[1] > 1


def test_parts_of_a_checkpoint_are_as_long_as_they_are_large():
    sizes = {"Adam: means": 6_000_000, "weights": 3_000_000, "image pools": 500_000, "rest": 10}
    axis = checkpoint_parts(sizes).axes[0]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([6, 3, 0.5, 1e-5])
    assert [label.get_text() for label in axis.get_yticklabels()] == list(sizes)
    assert len({bar.get_facecolor() for bar in axis.patches}) == 4
    assert [text.get_text().strip() for text in axis.texts][:2] == ["6.00 MB", "3.00 MB"]
