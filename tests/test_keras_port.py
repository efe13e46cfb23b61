"""The Keras port gives PyTorch's numbers; without TensorFlow it says so and nobody else notices."""

import importlib
import importlib.util
import re
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from cyclegan_course import cyclegan, losses, worlds
from cyclegan_course.cyclegan import CycleGAN, Objective
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator, dead_biases
from cyclegan_course.plots.padding import strided_padding
from cyclegan_course.translate import load_generator

ROOT = Path(__file__).resolve().parent.parent
SHAPE = {"ngf": 4, "n_blocks": 1, "n_down": 1, "edge_kernel": 3}
RATE = 2e-4


@pytest.fixture(scope="module")
def kp():
    """The port, imported only here: collecting the tests must not load TensorFlow."""
    if not (importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow")):
        pytest.skip("needs Keras and TensorFlow: uv sync --extra keras")
    return importlib.import_module("cyclegan_course.keras_port")


@pytest.fixture
def float64(kp):
    """Both libraries compute in double precision, where rounding hides nothing."""
    torch.set_default_dtype(torch.float64)
    kp.keras.config.set_floatx("float64")
    yield torch.float64
    kp.keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def as_model(kp, layer, *arguments):
    """A layer of the port, a function of tensors, as a model of its own."""
    picture = kp.keras.Input((None, None, 3))
    return kp.keras.Model(picture, layer(picture, *arguments))


def apart(kp, net: nn.Module, model, x: torch.Tensor) -> float:
    """Largest difference of the outputs for the same pictures; the shapes must be equal."""
    with torch.no_grad():
        ours, theirs = net(x), kp.to_torch(model(kp.to_keras(x)))
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


# --- without TensorFlow --------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch):
    """Import the port anew, with other modules in place of Keras and TensorFlow."""
    for name in [name for name in sys.modules if name.startswith("cyclegan_course.keras_port")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace())

    def load(**modules):
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        importlib.import_module("cyclegan_course.keras_port")

    return load


@pytest.mark.parametrize("missing", ["keras", "tensorflow"])
def test_without_the_extra_one_sentence_says_what_to_install(fresh, missing):
    modules = {"keras": SimpleNamespace(__version__="3.10"), "tensorflow": SimpleNamespace()}
    with pytest.raises(CourseError, match=rf"\({missing} is missing\): pip install"):
        fresh(**{**modules, missing: None})


def test_an_old_keras_and_another_backend_are_refused(fresh):
    with pytest.raises(CourseError, match=r"This is Keras 2\.15, and the port needs Keras 3"):
        fresh(keras=SimpleNamespace(__version__="2.15"), tensorflow=SimpleNamespace())
    jax = SimpleNamespace(__version__="3.10", backend=SimpleNamespace(backend=lambda: "jax"))
    with pytest.raises(CourseError, match=r"Keras runs on jax here"):
        fresh(keras=jax, tensorflow=SimpleNamespace())


def test_a_tensorflow_that_came_first_is_refused_where_triton_would_end_python(fresh, monkeypatch):
    monkeypatch.delitem(sys.modules, "triton")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(CourseError, match="import keras_port first"):
        fresh(tensorflow=SimpleNamespace())


def test_nothing_else_in_the_course_imports_tensorflow_or_keras():
    files = [*(ROOT / "cyclegan_course").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    pattern = re.compile(r"^\s*(?:import|from) (?:tensorflow|keras)\b", re.M)
    found = [path.name for path in files if pattern.search(path.read_text(encoding="utf-8"))]
    assert found == ["framework.py"]


# --- layers and layouts --------------------------------------------------------------------------


def test_pictures_and_weights_come_back_as_they_went(kp):
    x = noise(2, 3, 4, 5)
    assert torch.equal(kp.to_torch(kp.to_keras(x)), x)
    assert kp.to_keras(x)[1, 2, 3, 0] == x[1, 0, 2, 3]
    weights = [noise(5, 3, 2, 4).numpy(), noise(5).numpy()]
    there = kp.from_torch_order(weights)
    assert there[0].shape == (2, 4, 3, 5)
    for one, other in zip(weights, kp.in_torch_order(map(kp.tf.constant, there)), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("size", [(8, 8), (9, 6)])
@pytest.mark.parametrize(
    ("name", "arguments", "torch_layer"),
    [
        ("convolution", (5, 4, 2, 1), lambda: nn.Conv2d(3, 5, 4, 2, 1)),
        ("convolution", (5, 4, 1, 1), lambda: nn.Conv2d(3, 5, 4, 1, 1)),
        ("halving", (5,), lambda: nn.Conv2d(3, 5, 3, 2, 1)),
        ("doubling", (5,), lambda: nn.ConvTranspose2d(3, 5, 3, 2, 1, 1)),
    ],
)
def test_layers_with_weights_equal_those_of_torch(kp, float64, name, arguments, torch_layer, size):
    net = torch_layer()
    model = kp.carry_over(net, as_model(kp, getattr(kp, name), *arguments))
    assert apart(kp, net, model, noise(2, 3, *size)) < 1e-12


def test_padding_and_norm_equal_those_of_torch(kp, float64):
    x = noise(2, 3, 6, 7)
    norm = as_model(kp, kp.instance_norm)
    assert apart(kp, nn.ReflectionPad2d(3), kp.ReflectionPad2D(3), x) == 0
    assert apart(kp, nn.InstanceNorm2d(3), norm, x) < 1e-12
    assert apart(kp, nn.InstanceNorm2d(3), norm, 1e-3 * x) < 1e-10  # where epsilon counts
    assert apart(kp, nn.InstanceNorm2d(3, eps=1e-3), norm, 1e-3 * x) > 0.1


@pytest.mark.parametrize("mistake", ["halve", "double"])
def test_the_habit_of_same_padding_is_noticed(kp, mistake):
    layers = kp.keras.layers
    kind = {"halve": layers.Conv2D, "double": layers.Conv2DTranspose}[mistake]
    wrong = {mistake: lambda x, width: kind(width, 3, strides=2, padding="same")(x)}
    net, card, _ = load_generator("painting")
    model = kp.carry_over(net, kp.resnet_generator(**card["generator"], **wrong))
    x = pictures_to_tensor(worlds.held_out("painting", "A", 1, 32))
    assert apart(kp, net, model, x) > 0.1


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [SHAPE, {"ngf": 3, "n_blocks": 2, "n_down": 2, "edge_kernel": 5, "out_channels": 1}]
)
def test_generators_of_any_shape_are_equal(kp, float64, shape):
    net = ResnetGenerator(**shape)
    model = kp.carry_over(net, kp.resnet_generator(**shape))
    assert apart(kp, net, model, noise(2, 3, 12, 16)) < 1e-10


@pytest.mark.parametrize("n_layers", [1, 3])
def test_discriminators_are_equal(kp, n_layers):
    net = PatchDiscriminator(ndf=4, n_layers=n_layers)
    model = kp.carry_over(net, kp.patch_discriminator(ndf=4, n_layers=n_layers))
    x = noise(2, 3, 37, 48)
    assert apart(kp, net, model, x) < 1e-4
    steep = kp.carry_over(net, kp.patch_discriminator(ndf=4, n_layers=n_layers, slope=0.3))
    assert apart(kp, net, steep, x) > 1e-3


@pytest.mark.parametrize(
    ("name", "direction"), [("painting", "AB"), ("painting", "BA"), ("night", "AB")]
)
def test_shipped_generators_give_the_same_pictures(kp, name, direction):
    net, card, _ = load_generator(name, direction)
    model = kp.carry_over(net, kp.resnet_generator(**card["generator"]))
    x = pictures_to_tensor(worlds.held_out(name, direction[0], 1, 48))
    assert apart(kp, net, model, x) < 1e-4


def test_weights_that_do_not_fit_are_refused(kp):
    net = ResnetGenerator(**SHAPE)
    with pytest.raises(CourseError, match=r"weight 0 is \(3, 3, 3, 4\) and not \(3, 3, 3, 5\)"):
        kp.carry_over(net, kp.resnet_generator(**{**SHAPE, "ngf": 5}))
    with pytest.raises(CourseError, match=r"\(8 weights for 12\)|weight 8 is .* and not"):
        kp.carry_over(net, kp.resnet_generator(**{**SHAPE, "n_blocks": 2}))
    shorter = nn.Sequential(*list(net.layers)[:4])
    with pytest.raises(CourseError, match=r"\(2 weights for 12\)"):
        kp.carry_over(shorter, kp.resnet_generator(**SHAPE))


def test_new_models_start_as_the_course_has_it_and_survive_saving(kp, tmp_path):
    model = kp.resnet_generator(ngf=16, n_blocks=1, n_down=1)
    kernels = [w.numpy() for w in model.trainable_variables if len(w.shape) == 4]
    biases = [w.numpy() for w in model.trainable_variables if len(w.shape) == 1]
    assert all(0.017 < kernel.std() < 0.023 for kernel in kernels)
    assert not any(bias.any() for bias in biases)
    in_block = [kernel for kernel in kernels if kernel.shape == (3, 3, 32, 32)]
    assert len(in_block) == 2
    assert not np.array_equal(*in_block)
    model.save(tmp_path / "generator.keras")
    again = kp.keras.models.load_model(tmp_path / "generator.keras")
    x = kp.to_keras(noise(1, 3, 8, 8))
    assert np.array_equal(model(x), again(x))


# --- losses, gradients, one step -----------------------------------------------------------------


def test_losses_are_equal(kp):
    from cyclegan_course.keras_port import losses as theirs

    real, fake = noise(2, 1, 5, 4), noise(2, 1, 5, 4, seed=1)
    for name, arguments in (
        ("discriminator_loss", (real, fake)),
        ("generator_loss", (fake,)),
        ("cycle_consistency_loss", (real, fake)),
        ("identity_loss", (real, fake)),
    ):
        expected = float(getattr(losses, name)(*arguments))
        found = getattr(theirs, name)(*map(kp.to_keras, arguments))
        assert tuple(found.shape) == ()
        assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def twins(kp, float64):
    """(CycleGAN, the same in Keras, real_A, real_B), small and in double precision."""
    model = CycleGAN(partial(ResnetGenerator, **SHAPE), partial(PatchDiscriminator, ndf=4), seed=0)
    build = {
        "G": partial(kp.resnet_generator, **SHAPE),
        "D": partial(kp.patch_discriminator, ndf=4),
    }
    twin = kp.KerasCycleGAN(
        **{name: kp.carry_over(net, build[name[0]]()) for name, net in model.named_children()}
    )
    return model, twin, noise(1, 3, 32, 32).tanh(), noise(1, 3, 32, 32, seed=1).tanh()


@pytest.mark.parametrize("lambda_identity", [5.0, 0.0])
def test_gradients_of_the_generators_are_equal(kp, twins, lambda_identity):
    from cyclegan_course.keras_port.training import generator_losses

    model, twin, real_A, real_B = twins
    objective = Objective(lambda_identity=lambda_identity)
    terms, _ = cyclegan.generator_losses(model, real_A, real_B, objective)
    ours = torch.autograd.grad(sum(terms.values()), model.generator_parameters())
    with kp.tf.GradientTape() as tape:
        found, _ = generator_losses(twin, kp.to_keras(real_A), kp.to_keras(real_B), objective)
        total = sum(found.values())
    theirs = kp.in_torch_order(tape.gradient(total, twin.generator_variables()))
    assert list(found) == list(terms)
    dead = {id(bias) for net in model.children() for bias in dead_biases(net)}
    for parameter, one, other in zip(model.generator_parameters(), ours, theirs, strict=True):
        # TensorFlow keeps the slope 0.2 of leaky ReLU in float32: hence 1e-6 and not 1e-12.
        scale = 1.0 if id(parameter) in dead else float(one.abs().max())
        assert np.abs(one.numpy() - other).max() < 1e-6 * scale


def test_discriminator_losses_send_no_gradient_to_a_generator(kp, twins):
    from cyclegan_course.keras_port.training import discriminator_losses

    _, twin, real_A, real_B = twins
    real_A, real_B = kp.to_keras(real_A), kp.to_keras(real_B)
    with kp.tf.GradientTape(persistent=True) as tape:
        fake_A, fake_B = twin.G_BA(real_B), twin.G_AB(real_A)
        terms = discriminator_losses(twin, real_A, real_B, fake_A, fake_B)
        total = sum(terms.values())
    assert all(g is None for g in tape.gradient(total, twin.generator_variables()))
    assert all(g is not None for g in tape.gradient(total, twin.discriminator_variables()))


def test_one_step_gives_the_same_losses_and_the_same_update(kp, twins):
    model, twin, real_A, real_B = twins
    parameters = [*model.generator_parameters(), *model.discriminator_parameters()]
    before = [parameter.detach().numpy().copy() for parameter in parameters]
    adam = partial(torch.optim.Adam, lr=RATE, betas=(0.5, 0.999))
    optimizers = adam(model.generator_parameters()), adam(model.discriminator_parameters())
    shown = []

    def pool(fakes):
        shown.append(fakes)
        return fakes

    ours = cyclegan.training_step(
        model, real_A, real_B, *optimizers, lambda x: x, lambda x: x, Objective()
    )
    # Keras adds epsilon before the correction of v, so in step 1 this is PyTorch's 1e-8.
    epsilon = 1e-8 * (1 - 0.999) ** 0.5
    keras_adam = [kp.adam(RATE), kp.adam(RATE)]
    for optimizer in keras_adam:
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.5, 0.999, 1e-8)
        optimizer.epsilon = epsilon
    theirs = kp.training_step(
        twin, kp.to_keras(real_A), kp.to_keras(real_B), *keras_adam, pool, pool, Objective()
    )
    assert list(ours) == list(theirs)
    for name, term in ours.items():
        assert float(theirs[name]) == pytest.approx(float(term), rel=1e-6)
    assert len(shown) == 2
    after = kp.in_torch_order([*twin.generator_variables(), *twin.discriminator_variables()])
    dead = {id(bias) for net in model.children() for bias in dead_biases(net)}
    moved = 0
    for parameter, old, other in zip(parameters, before, after, strict=True):
        ours, theirs = parameter.detach().numpy() - old, other - old
        if id(parameter) not in dead:  # their gradient is noise
            assert np.abs(ours - theirs).max() < 1e-3 * RATE
            moved += int((np.abs(ours) > 0.5 * RATE).sum())
    assert moved > 1000


# --- the appendix --------------------------------------------------------------------------------


def test_the_figure_draws_what_it_is_given():
    figure = strided_padding({"one": (1, 1), "other": (0, 1)}, {"one": (1, 0), "other": (0, 1)})
    left, right = figure.axes
    assert len(left.patches) == 10 + 9
    assert len(right.patches) == 2 * 9
    middles = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"]
    assert middles == [0, 2, 4, 6, 1, 3, 5, 7]
    assert len(right.lines) == 2 * 2  # one cross for each library


def test_the_appendix_has_its_parts():
    cells = nbformat.read(ROOT / "notebooks" / "appendix_keras.ipynb", as_version=4).cells
    assert "pytest notebooks/appendix_keras.ipynb" in cells[0].source
    number = 0
    for cell, following in pairwise(cells):
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            for kind in output.get("data", {}):
                if kind.startswith("image/"):
                    number += 1
                    assert len(output.metadata[kind]["alt"]) >= 25
                    assert following.source.startswith(f"**Figure A.{number}.** ")
    assert number == 2
    asked = sum("**Predict first.**" in cell.source for cell in cells)
    assert asked == sum("Your guess:" in cell.source for cell in cells) == 2
    assert "(vocabulary.ipynb)" in cells[-1].source.splitlines()[-1]
