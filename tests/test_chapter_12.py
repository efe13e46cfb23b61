"""Chapter 12: its functions equal the package's, its claims in closed form, its figures."""

import ast
import csv
import math
import statistics
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from cyclegan_course import cyclegan, networks
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.datasets import TensorPool
from cyclegan_course.exercises import REGISTRY, assess
from cyclegan_course.exercises.chapter_12 import (
    SimulatedMachine,
    amdahl,
    four_calls,
    in_turns,
    judged,
    pool_step,
    six_calls,
)
from cyclegan_course.losses import discriminator_loss, generator_loss
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.plots.number_formats import dead_biases, magnitudes, memory_order, spacing
from cyclegan_course.plots.speed import (
    amdahl_bars,
    call_times,
    ladder,
    throughput,
    timelines,
    work_of_step,
)
from cyclegan_course.training.sides import generator_side

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "12_making_it_fast.ipynb"


def make_model() -> CycleGAN:
    return CycleGAN(
        partial(ResnetGenerator, ngf=4, n_blocks=1, n_down=1, edge_kernel=3),
        partial(PatchDiscriminator, ndf=4, n_layers=1),
    ).double()


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    shape = (2, count, 3, 16, 16)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1).unbind()


def from_notebook(*names: str) -> dict:
    """Functions and classes of the chapter, taken out of its cells."""
    found = {"torch": torch, "np": np, "Tensor": torch.Tensor, "Path": Path}
    found |= {"csv": csv, "statistics": statistics, "Blocks": list}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type != "code" or cell.source.startswith("# On Colab"):
            continue
        for node in ast.parse(cell.source.replace("\n%", "\n#")).body:
            if getattr(node, "name", None) in names:
                exec(ast.get_source_segment(cell.source, node), found)
    assert set(names) <= set(found)
    return found


# The chapter's functions equal the package's -----------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_four_calls_and_the_judge_give_the_packages_terms_and_gradients(count):
    found = []
    for own in (True, False):
        model, (a, b) = make_model(), batch(count)
        if own:
            made = four_calls(model, a, b)
            terms = {
                "G_AB": generator_loss(judged(model.D_B, made["fake_B"])),
                "G_BA": generator_loss(judged(model.D_A, made["fake_A"])),
                "cycle_A": 10 * (made["rec_A"] - a).abs().mean(),
                "cycle_B": 10 * (made["rec_B"] - b).abs().mean(),
                "idt_A": 5 * (made["idt_A"] - a).abs().mean(),
                "idt_B": 5 * (made["idt_B"] - b).abs().mean(),
            }
        else:
            terms, *_ = generator_side(model, a, b, Objective())
        sum(terms.values()).backward()
        assert all(p.grad is None for p in model.discriminator_parameters())
        grads = torch.cat([p.grad.flatten() for p in model.generator_parameters()])
        found.append(({name: term.item() for name, term in terms.items()}, grads))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-11)


def test_four_calls_make_the_six_pictures():
    model, (a, b) = make_model(), batch(3)
    made, wanted = four_calls(model, a, b), six_calls(model, a, b)
    assert made.keys() == wanted.keys()
    for name, picture in wanted.items():
        torch.testing.assert_close(made[name], picture, rtol=0, atol=1e-12)


def test_three_calls_are_enough_as_the_quiz_says():
    model, (a, b) = make_model(), batch(2)
    fake_A, idt_A = model.G_BA(torch.cat([b, a])).split(2)
    fake_B, idt_B, rec_B = model.G_AB(torch.cat([a, b, fake_A])).split(2)
    made = {"fake_A": fake_A, "idt_A": idt_A, "fake_B": fake_B, "idt_B": idt_B, "rec_B": rec_B}
    wanted = six_calls(model, a, b)
    for name, picture in (made | {"rec_A": model.G_BA(fake_B)}).items():
        torch.testing.assert_close(picture, wanted[name], rtol=0, atol=1e-12)


def test_the_judge_gives_the_gradients_of_a_frozen_discriminator():
    found = []
    for own in (True, False):
        D = make_model().D_A
        fake, real = (x.clone() for x in batch(2))
        fake.requires_grad_()
        if own:  # one backward pass for both losses
            loss_D = discriminator_loss(D(real), D(fake.detach()))
            (generator_loss(judged(D, fake)) + loss_D).backward()
        else:
            with cyclegan.frozen(list(D.parameters())):
                generator_loss(D(fake)).backward()
            discriminator_loss(D(real), D(fake.detach())).backward()
        found.append([fake.grad, *(p.grad for p in D.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_pool_is_the_packages_pool():
    size, count = 5, 300
    generator = torch.Generator().manual_seed(0)
    fakes = torch.rand(count, 3, 2, 2, generator=generator)
    draws = torch.rand(count, 2, generator=generator)
    pool = TensorPool(size, (3, 2, 2), torch.device("cpu"))
    pictures, held = torch.zeros(size, 3, 2, 2), torch.zeros((), dtype=torch.int64)
    for fake, draw in zip(fakes, draws, strict=True):
        assert torch.equal(pool_step(pictures, held, fake, *draw), pool(fake[None], draw[None])[0])
    assert torch.equal(pictures, pool.pictures)
    assert held == pool.count == size


# What the chapter claims -------------------------------------------------------------------------


def test_the_warm_up_may_go_round_the_functions():
    def answer(functions, clock, rounds=5, warm_up=1):
        for _ in range(warm_up):
            for function in functions.values():
                function()
        return in_turns(functions, clock, rounds, 0)

    assert assess(REGISTRY["12.1"], answer).status == "passed"


def test_a_slow_start_and_a_machine_that_gets_slower_do_not_fool_measuring_in_turns():
    costs = {"old": 2.0, "new": 1.0}
    machine = SimulatedMachine(costs, cold=50.0, drift=0.1)
    seconds = in_turns(machine.functions, machine.clock, rounds=9, warm_up=1)
    ratios = [old / new for old, new in zip(*seconds.values(), strict=True)]
    assert statistics.median(ratios) == pytest.approx(2.0, rel=0.1)
    # The same numbers, one function after the other and without warm-up, say the opposite.
    machine = SimulatedMachine(costs, cold=50.0, drift=0.1)
    means = {}
    for name, function in reversed(machine.functions.items()):
        start = machine.clock()
        for _ in range(3):
            function()
        means[name] = (machine.clock() - start) / 3
    assert means["old"] / means["new"] < 1.2


def test_amdahl_in_closed_form():
    shares = {"convolutions": 0.9, "rest": 0.1}
    assert amdahl(shares, {}) == pytest.approx(1)
    assert amdahl(shares, {"convolutions": math.inf}) == pytest.approx(10)
    assert amdahl(shares, {"convolutions": 3, "rest": 3}) == pytest.approx(3)
    assert amdahl({"optimizer": 4 / 160, "rest": 156 / 160}, {"optimizer": 5}) == pytest.approx(
        160 / 156.8
    )


def test_the_simulated_queue_in_closed_form():
    simulate, end_of = (from_notebook("simulate", "end_of")[n] for n in ("simulate", "end_of"))
    for kernel in (1.0, 5.0, 12.0):
        n, launch = 7, 5.0
        free = end_of(simulate([kernel] * n, launch, reads=False))
        asking = end_of(simulate([kernel] * n, launch, reads=True))
        assert free == pytest.approx(max(launch + n * kernel, n * launch + kernel))
        assert asking == pytest.approx(n * (launch + kernel))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_norm_of_the_chapter_keeps_the_order_and_equals_the_librarys(layout):
    layout_norm = from_notebook("layout_norm")["layout_norm"]
    x = batch(2)[0].contiguous(memory_format=layout)
    y = layout_norm(x)
    assert y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(y, torch.nn.InstanceNorm2d(3)(x), rtol=0, atol=1e-12)
    own = networks.LayoutInstanceNorm(3)(x)
    torch.testing.assert_close(y, own, rtol=0, atol=1e-12)


def test_biases_in_front_of_a_norm_are_dead():
    model, (a, b) = make_model(), batch(1)
    terms, _ = cyclegan.generator_losses(model, a, b, Objective())
    sum(terms.values()).backward()
    named = [(name, p.grad) for name, p in model.G_AB.named_parameters() if "bias" in name]
    *dead, (_, alive) = named
    assert dead
    assert max(float(grad.abs().max()) for _, grad in dead) < 1e-12
    assert float(alive.abs().max()) > 1e-3


def test_the_stored_table_is_read_from_the_benchmark(tmp_path):
    stored_table = from_notebook("stored_table")["stored_table"]
    file = tmp_path / "train_step_cpu.csv"
    file.write_text(
        "size,n_blocks,ngf,batch,variant,round,ms,memory,error\n"
        "128,6,64,1,textbook,1,1000,,\n128,6,64,1,textbook,2,3000,,\n"
        "128,6,64,1,fast step,1,500,,\n128,6,64,1,fast step,2,1000,,\n"
        "128,6,64,1,broken,1,,,out of memory\n",
        encoding="utf-8",
    )
    table = stored_table(file)
    assert "| 128 px, 6 blocks, batch 1 | textbook | 2,000 | 1.00 |" in table
    assert "| 128 px, 6 blocks, batch 1 | fast step | 750 | 2.50 |" in table
    assert "broken" not in table


# The figures -------------------------------------------------------------------------------------


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_work_of_step_says_the_sum_and_the_shares():
    figure = work_of_step({"forward": 1.0, "backward": 3.0})
    assert "together 4" in figure.axes[0].get_title()
    assert texts(figure) == [" 1 (25%)", " 3 (75%)"]


def test_call_times_compares_means_on_the_left_and_medians_on_the_right():
    left, right = call_times(
        {"a": [9, 1, 1], "b": [1, 1, 1]}, {"a": [1, 1, 9], "b": [1, 1, 1]}
    ).axes
    assert "3.67" in left.get_title()
    assert "1.00" in right.get_title()
    assert list(left.lines[2].get_xdata()) == [4, 5, 6]
    assert list(right.lines[2].get_xdata()) == [2, 4, 6]


def test_amdahl_bars_shrink_the_part_that_is_faster():
    figure = amdahl_bars({"one": 0.6, "two": 0.4}, {"one": 3.0}, 1 / 0.6)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([0.6, 0.2, 0.4, 0.4])
    assert "1.67" in figure.axes[0].get_title()


def test_timelines_write_the_end_of_each_run():
    blocks = [(0.0, 5.0)]
    figure = timelines({"one": (blocks, [], [(5.0, 7.0)]), "two": (blocks, [(5.0, 3.0)], [])})
    assert [text.strip() for text in texts(figure)] == ["12 µs", "8 µs"]


def test_throughput_and_ladder_show_their_numbers():
    assert "2.5" in texts(throughput({1: 2.5, 2: 3.0}, {1: 100, 2: 50}))
    figure = ladder({"slow": [0.2, 0.4], "fast": [0.1, 0.1]}, floor=0.05)
    assert "300 ms" in texts(figure)[0]
    assert "100 ms, 3.00 times" in texts(figure)[1]
    assert "floor" in texts(figure)[2]


def test_spacing_and_magnitudes_draw_what_they_are_given():
    values = np.array([1.0, 2.0])
    (axis,) = spacing({"float32": (values, values), "float16": (values, values)}).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["float32", "float16"]
    figure = magnitudes(np.array([0.0, 1e-8, 1e-5, 1.0, -1.0]), {"a": 1e-7, "b": 1e-3}, "size")
    assert "25.0% are below" in texts(figure)[0]
    assert "50.0% are below" in texts(figure)[1]


def test_memory_order_and_dead_biases():
    figure = memory_order({"first": [(0, 1), (1, 1)], "last": [(0, 1), (0, 2)]}, channels=2)
    assert texts(figure) == ["1", "1", "1", "2"]
    left, right = dead_biases({"a": [1.0, 2.0]}, {"b": [0.0, 1.0, 2.0]}).axes
    assert list(left.lines[0].get_xdata()) == [1, 2]
    assert list(right.lines[0].get_ydata()) == [0, 1, 2]
