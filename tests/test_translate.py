"""Translating pictures with small, randomly initialised generators."""

import errno
import json
import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor, save_picture, tensor_to_picture
from cyclegan_course.networks import ResnetGenerator, init_weights
from cyclegan_course.translate import (
    Translator,
    available_names,
    load_card,
    load_translator,
    resolve_target,
    save_generator,
    translate,
    translate_files,
    weights_folder,
)

SHAPE = {"ngf": 4, "n_blocks": 1, "n_down": 2, "edge_kernel": 7}
CARD = {
    "domain_A": "photograph",
    "domain_B": "oil painting",
    "generator": SHAPE,
    "working_size": 64,
}


def small_generator(seed: int, **changes) -> ResnetGenerator:
    net = ResnetGenerator(**{**SHAPE, **changes})
    # a larger deviation than in training, so that the output is far from flat gray
    return init_weights(net, std=0.3, generator=torch.Generator().manual_seed(seed))


def random_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of shipped weights that holds one generator, "painting"."""
    folder = tmp_path / "weights"
    save_generator(folder, "painting", small_generator(1), small_generator(2), CARD)
    monkeypatch.setenv("CYCLEGAN_COURSE_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def translator(weights):
    return load_translator("painting", device="cpu")


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "meaning"),
    [
        ("painting", ("painting", "AB")),
        ("photograph", ("painting", "BA")),
        ("night", ("night", "AB")),
        ("day", ("night", "BA")),
        ("monet", ("monet", "AB")),
        ("monet:reverse", ("monet", "BA")),
        ("painting:reverse", ("painting", "BA")),
        ("C:/runs/mine:reverse", ("C:/runs/mine", "BA")),
        ("C:/runs/mine", ("C:/runs/mine", "AB")),
    ],
)
def test_resolve_target(to, meaning):
    assert resolve_target(to) == meaning


def test_weights_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("CYCLEGAN_COURSE_WEIGHTS", raising=False)
    assert weights_folder().parts[-2:] == ("data", "weights")
    monkeypatch.setenv("CYCLEGAN_COURSE_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path


def test_available_names(weights):
    save_generator(weights, "alpha", small_generator(1), small_generator(2), CARD)
    assert available_names() == ["alpha", "painting"]
    assert available_names(weights.parent) == []


def test_shipped_generators_load(monkeypatch):
    """Whatever lies in data/weights works in both directions."""
    monkeypatch.delenv("CYCLEGAN_COURSE_WEIGHTS", raising=False)
    for name in available_names():
        for direction in ("AB", "BA"):
            result = load_translator(name, direction, device="cpu")(random_picture(20, 18))
            assert result.size == (20, 18)


# --- saving and loading --------------------------------------------------------------------------


def test_three_files_in_half_precision(weights):
    assert sorted(file.name for file in weights.iterdir()) == [
        "painting.json",
        "painting_AB.safetensors",
        "painting_BA.safetensors",
    ]
    state = safetensors.torch.load_file(weights / "painting_BA.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    for key, tensor in small_generator(2).state_dict().items():
        assert torch.equal(state[key], tensor.half())
    assert json.loads((weights / "painting.json").read_text()) == {**CARD, "name": "painting"}


@pytest.mark.parametrize(("direction", "seed"), [("AB", 1), ("BA", 2)])
def test_loading_equals_casting(weights, direction, seed):
    """A loaded network is the saved one with its weights rounded to half precision, no more."""
    loaded = load_translator("painting", direction, device="cpu")
    cast = small_generator(seed).half().float().eval()
    assert {p.dtype for p in loaded.net.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in loaded.net.parameters())
    x = picture_to_tensor(random_picture(32, 24))[None]
    with torch.no_grad():
        assert torch.equal(loaded.net(x), cast(x))


def test_transposed_weights_are_saved(tmp_path):
    net = small_generator(1)
    conv = net.layers[1]
    conv.weight = torch.nn.Parameter(conv.weight.detach().to(memory_format=torch.channels_last))
    save_generator(tmp_path, "painting", net, net, CARD)
    loaded = load_translator(tmp_path, device="cpu").net
    assert torch.equal(loaded.layers[1].weight, conv.weight.half().float())


def test_saving_leaves_the_network_as_it_is(tmp_path):
    net = small_generator(1)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    save_generator(tmp_path, "painting", net, net, CARD)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in net.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


def test_compiled_network_is_saved_under_plain_names(tmp_path):
    class Compiled(torch.nn.Module):  # named as torch.compile names it, which takes 10 s to import
        def __init__(self, net):
            super().__init__()
            self._orig_mod = net

    net = small_generator(1)
    save_generator(tmp_path, "painting", Compiled(net), net, CARD)
    loaded = load_translator(tmp_path, device="cpu").net
    assert list(loaded.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize("inner", ["", "generator"])
def test_run_folder_and_plain_folder(tmp_path, monkeypatch, inner):
    monkeypatch.setenv("CYCLEGAN_COURSE_WEIGHTS", str(tmp_path / "nowhere"))
    run = tmp_path / "runs" / "mine"
    save_generator(run / inner, "apples", small_generator(1), small_generator(2), CARD)
    (run / "settings.json").write_text("{}")  # other files of a run do not disturb
    loaded = load_translator(run, "BA", device="cpu")
    assert (loaded.name, loaded.direction, loaded.label) == ("apples", "BA", "apples-reverse")
    assert load_translator(str(run), device="cpu").label == "apples"


def test_labels(weights):
    assert load_translator("painting", "AB", device="cpu").label == "painting"
    assert load_translator("painting", "BA", device="cpu").label == "photograph"


def test_one_direction_is_enough(weights):
    (weights / "painting_BA.safetensors").unlink()
    assert load_translator("painting", "AB", device="cpu").direction == "AB"
    with pytest.raises(CourseError, match=r"painting_BA\.safetensors are missing"):
        load_translator("painting", "BA")


def test_unknown_name_lists_the_known(weights):
    with pytest.raises(CourseError, match="called manet: choose one of painting"):
        load_translator("manet")


def test_no_weights_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("CYCLEGAN_COURSE_WEIGHTS", str(tmp_path))
    with pytest.raises(CourseError, match="no shipped weights"):
        load_translator("painting")


def test_folder_without_generator(weights, tmp_path):
    with pytest.raises(CourseError, match="no trained generator"):
        load_translator(tmp_path)


def test_folder_with_several_generators(weights):
    save_generator(weights, "alpha", small_generator(1), small_generator(2), CARD)
    with pytest.raises(CourseError, match=r"several generators.*alpha, painting"):
        load_translator(weights)


@pytest.mark.parametrize("direction", ["ab", "A", "", None])
def test_wrong_direction(weights, direction):
    with pytest.raises(CourseError, match="direction"):
        load_translator("painting", direction)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "nonsense:1"])
def test_device_that_is_not_there(weights, device):
    with pytest.raises(CourseError, match="device"):
        load_translator("painting", device=device)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_truncated_weights(weights, length):
    file = weights / "painting_AB.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CourseError, match=r"painting_AB\.safetensors are damaged"):
        load_translator("painting")


def test_pickled_weights_are_not_opened(weights, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    (weights / "painting_AB.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CourseError, match="damaged"):
        load_translator("painting")
    torch.save(Trap(), weights / "painting_AB.safetensors")
    with pytest.raises(CourseError, match="damaged"):
        load_translator("painting")
    assert not (tmp_path / "trapped").exists()


def change_weights(weights, change) -> None:
    file = weights / "painting_AB.safetensors"
    state = safetensors.torch.load_file(file)
    change(state)
    file.write_bytes(safetensors.torch.save(state))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("layers.1.weight"), "layers.1.weight is missing"),
        (lambda state: state.update(extra=torch.zeros(2)), "extra is not in the network"),
        (
            lambda state: state.update({"layers.1.bias": torch.zeros(5)}),
            r"layers.1.bias is \(5,\) and not \(4,\)",
        ),
        (
            lambda state: state.update({"layers.1.bias": torch.full((4,), torch.nan)}),
            "layers.1.bias is not finite",
        ),
        (lambda state: state.clear(), "and .* more"),
    ],
)
def test_weights_that_do_not_fit_are_named(weights, change, says):
    change_weights(weights, change)
    with pytest.raises(CourseError, match=says):
        load_translator("painting")


def write_card(weights, **changes) -> None:
    (weights / "painting.json").write_text(json.dumps({**CARD, **changes}))


@pytest.mark.parametrize(
    "generator",
    [
        {**SHAPE, "ngf": 8},
        {**SHAPE, "n_blocks": 2},
        {**SHAPE, "n_downs": 2},
        {**SHAPE, "ngf": "four"},
        {**SHAPE, "ngf": -4},
        {**SHAPE, "n_down": 1.5},
        {},
    ],
)
def test_card_of_another_network(weights, generator):
    write_card(weights, generator=generator)
    with pytest.raises(CourseError, match="model card"):
        load_translator("painting")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"null",
        b"{}",
        b'{"generator": 3}',
        b'{"generator": {}, "working_size": "large"}',
        b'{"generator": {}, "working_size": 0}',
        b"[" * 100_000,
    ],
)
def test_corrupt_card(weights, text):
    (weights / "painting.json").write_bytes(text)
    with pytest.raises(CourseError, match=r"model card .*painting\.json"):
        load_card(weights / "painting.json")
    with pytest.raises(CourseError, match="model card"):
        load_translator("painting")


def test_missing_card(weights):
    (weights / "painting.json").unlink()
    with pytest.raises(CourseError, match=r"painting\.json is missing"):
        load_translator("painting")


def test_interrupted_saving_leaves_the_older_files(weights, monkeypatch):
    before = {file.name: file.read_bytes() for file in weights.iterdir()}

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CourseError, match="No space left"):
        save_generator(weights, "painting", small_generator(3), small_generator(4), CARD)
    assert {file.name: file.read_bytes() for file in weights.iterdir()} == before


def test_saving_networks_that_do_not_fit_the_card(tmp_path):
    with pytest.raises(CourseError, match="G_BA does not fit"):
        save_generator(tmp_path, "painting", small_generator(1), small_generator(2, ngf=8), CARD)
    with pytest.raises(CourseError, match="generator"):
        save_generator(tmp_path, "painting", small_generator(1), small_generator(2), {})
    assert list(tmp_path.iterdir()) == []


def test_saving_a_diverged_network(tmp_path):
    broken = small_generator(1)
    with torch.no_grad():
        broken.layers[1].weight[0, 0, 0, 0] = 1e6  # infinite in half precision
    with pytest.raises(CourseError, match=r"G_AB .*not finite"):
        save_generator(tmp_path, "painting", broken, small_generator(2), CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "day:night", "a b"])
def test_saving_under_an_impossible_name(tmp_path, name):
    with pytest.raises(CourseError, match="name"):
        save_generator(tmp_path, name, small_generator(1), small_generator(2), CARD)


# --- translating ---------------------------------------------------------------------------------

SIZES = [(1, 1), (1, 40), (3, 500), (500, 3), (15, 16), (16, 16), (64, 64), (65, 63), (257, 131)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("working_size", [None, 0])
def test_size_is_kept(translator, size, working_size):
    result = translator(random_picture(*size), working_size)
    assert result.size == size
    assert result.mode == "RGB"


@pytest.mark.parametrize("size", [(64, 64), (48, 20), (16, 64)])
def test_without_padding_it_is_the_network_itself(translator, size):
    picture = random_picture(*size)
    with torch.no_grad():
        direct = translator.net(picture_to_tensor(picture)[None])
    assert np.array_equal(np.asarray(translator(picture)), np.asarray(tensor_to_picture(direct)))
    assert np.asarray(direct).std() > 0.1  # not a flat picture, which would prove little


def test_padding_repeats_the_edge_and_is_cropped(translator):
    """Second implementation with numpy: edge padding on both sides, network, crop."""
    picture = random_picture(33, 18)  # to 36 x 20: one and two columns, one row on each side
    padded = np.pad(np.asarray(picture), ((1, 1), (1, 2), (0, 0)), mode="edge")
    with torch.no_grad():
        direct = tensor_to_picture(translator.net(picture_to_tensor(padded)[None]))
    expected = np.asarray(direct)[1:-1, 1:-2]
    assert np.array_equal(np.asarray(translator(picture)), expected)


@pytest.mark.parametrize("n_down", [0, 1, 2, 3, 4])
def test_every_depth(n_down):
    net = small_generator(1, n_down=n_down, ngf=2)
    translator = Translator(net, {"generator": {**SHAPE, "n_down": n_down}}, device="cpu")
    for size in [(1, 1), (17, 30), (33, 5)]:
        assert translator(random_picture(*size)).size == size


@pytest.mark.parametrize("colour", ["black", "white", (128, 128, 128), (255, 0, 0)])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (50, 70)])
def test_flat_pictures_give_no_nan(translator, colour, size):
    picture = Image.new("RGB", size, colour)
    assert translator(picture).size == size
    assert torch.isfinite(translator.translate_tensor(picture_to_tensor(picture)[None])).all()


def test_larger_pictures_are_reduced_and_enlarged(translator):
    """The card's working size is 64: 160 x 100 goes through the network as 64 x 40."""
    picture = random_picture(160, 100)
    small = picture.resize((64, 40), Image.Resampling.BICUBIC)
    expected = translator(small).resize((160, 100), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(translator(picture)), np.asarray(expected))


def seen_sizes(translator) -> list:
    seen = []
    translator.net.register_forward_pre_hook(lambda _net, args: seen.append(args[0].shape[-2:]))
    return seen


@pytest.mark.parametrize(
    ("size", "working_size", "network_sees"),
    [
        ((160, 100), None, (40, 64)),
        ((160, 100), 80, (52, 80)),  # 50 rows, padded to 52
        ((160, 100), 0, (100, 160)),
        ((160, 100), "full", (100, 160)),
        ((160, 100), 10_000, (100, 160)),  # never enlarged
        ((32, 20), None, (20, 32)),
        ((3, 500), None, (64, 16)),  # one column would be left of 3: padded to 16
        ((1000, 1), 8, (16, 16)),
    ],
)
def test_working_size(translator, size, working_size, network_sees):
    seen = seen_sizes(translator)
    assert translator(random_picture(*size), working_size).size == size
    assert [tuple(shape) for shape in seen] == [network_sees]


@pytest.mark.parametrize("wrong", [-1, 2.5, "large", True, "64"])
def test_wrong_working_size(translator, wrong):
    with pytest.raises(CourseError, match="working size"):
        translator(random_picture(20, 20), wrong)


def test_batch_gives_what_single_pictures_give(translator):
    x = torch.stack([picture_to_tensor(random_picture(37, 21, seed)) for seed in range(3)])
    together = translator.translate_tensor(x)
    alone = torch.cat([translator.translate_tensor(one[None]) for one in x])
    assert together.shape == (3, 3, 21, 37)
    assert (together - alone).abs().max() < 1e-4


def test_path_array_and_picture_are_the_same(translator, tmp_path):
    picture = random_picture(40, 30)
    path = save_picture(picture, tmp_path / "a.png")
    results = [np.asarray(translator(p)) for p in (picture, np.asarray(picture), path, str(path))]
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_no_gradients_and_same_result_twice(translator):
    picture = random_picture(30, 30)
    assert np.array_equal(np.asarray(translator(picture)), np.asarray(translator(picture)))
    assert not translator.translate_tensor(picture_to_tensor(picture)[None]).requires_grad
    assert not translator.net.training


def test_transparent_picture_is_translated_over_white(translator):
    clear = Image.new("RGBA", (24, 24), (0, 0, 0, 0))
    white = Image.new("RGB", (24, 24), "white")
    assert np.array_equal(np.asarray(translator(clear)), np.asarray(translator(white)))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        MemoryError(),
    ],
)
def test_lack_of_memory_says_what_to_do(translator, monkeypatch, error):
    def fail(_x):
        raise error

    monkeypatch.setattr(translator.net, "forward", fail)
    with pytest.raises(CourseError, match="lower working size"):
        translator(random_picture(20, 20))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), torch.AcceleratorError("memory")])
def test_other_errors_are_not_hidden(translator, monkeypatch, error):
    def fail(_x):
        raise error

    monkeypatch.setattr(translator.net, "forward", fail)
    with pytest.raises(type(error)):
        translator(random_picture(20, 20))


def test_translate_in_one_line(weights):
    picture = random_picture(40, 30)
    there = load_translator("painting", "AB")(picture)
    back = load_translator("painting", "BA")(picture)
    assert np.array_equal(np.asarray(translate(picture, to="painting")), np.asarray(there))
    assert np.array_equal(np.asarray(translate(picture, to="photograph")), np.asarray(back))
    assert not np.array_equal(np.asarray(there), np.asarray(back))


def test_network_that_gives_nan(translator):
    with torch.no_grad():
        translator.net.layers[1].weight.fill_(torch.nan)
    with pytest.raises(CourseError, match="NaN"):
        translator(random_picture(20, 20))


# --- many files ----------------------------------------------------------------------------------


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "inputs"
    save_picture(random_picture(20, 30, 1), folder / "cat.png")
    save_picture(random_picture(30, 20, 2), folder / "sub" / "cat.png")
    save_picture(random_picture(24, 24, 3), folder / "Dog.jpg")
    (folder / "broken.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_with_an_unreadable_picture(translator, inputs, tmp_path):
    out = tmp_path / "new" / "out"
    results = dict(translate_files([inputs], translator, out))
    assert list(results) == [
        inputs / "Dog.jpg",
        inputs / "broken.jpg",
        inputs / "cat.png",
        inputs / "sub" / "cat.png",
    ]
    assert isinstance(results.pop(inputs / "broken.jpg"), CourseError)
    assert [path.name for path in results.values()] == [
        "Dog_painting.png",
        "cat_painting.png",
        "cat_painting_2.png",
    ]
    assert sorted(out.iterdir()) == sorted(results.values())
    for source, target in results.items():
        with Image.open(target) as result:
            assert np.array_equal(np.asarray(result), np.asarray(translator(source)))


def test_results_come_one_by_one(translator, inputs, tmp_path):
    results = translate_files([inputs], translator, tmp_path / "out")
    next(results)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_single_path_missing_file_and_empty_folder(translator, inputs, tmp_path):
    (tmp_path / "empty").mkdir()
    ((_, result),) = translate_files(inputs / "cat.png", translator, tmp_path / "out")
    assert result.name == "cat_painting.png"
    results = dict(
        translate_files(["nowhere.png", str(tmp_path / "empty")], translator, tmp_path / "out")
    )
    errors = [str(error) for error in results.values()]
    assert "There is no file nowhere.png" in errors[0]
    assert "no pictures" in errors[1]


def test_the_same_file_twice_is_translated_once(translator, inputs, tmp_path):
    results = list(
        translate_files([inputs / "cat.png", inputs / "cat.png"], translator, tmp_path / "out")
    )
    assert len(results) == 1


def test_second_run_replaces_the_results(translator, inputs, tmp_path):
    first = dict(translate_files([inputs], translator, tmp_path / "out"))
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    second = dict(translate_files([inputs], translator, tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    assert second[inputs / "cat.png"] == first[inputs / "cat.png"]


def test_results_inside_the_input_folder_are_no_inputs(translator, inputs):
    out = inputs / "translated"
    first = list(translate_files([inputs], translator, out))
    second = list(translate_files([inputs], translator, out))
    assert [path for path, _ in first] == [path for path, _ in second]
    assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize("name", ["cat_painting.png", "CAT_Painting.png"])
def test_an_input_is_never_overwritten(translator, tmp_path, name):
    """An input that bears the very name which the result of another one would get."""
    cat = save_picture(random_picture(20, 20, 1), tmp_path / "cat.png")
    other = save_picture(random_picture(20, 20, 2), tmp_path / name)
    before = {path: path.read_bytes() for path in (cat, other)}
    results = dict(translate_files([cat, other], translator, tmp_path))
    assert {path: path.read_bytes() for path in (cat, other)} == before
    assert results[cat].name == "cat_painting_2.png"
    assert results[other].exists()


def test_results_into_the_input_folder_itself_are_refused(translator, inputs):
    before = sorted(inputs.rglob("*"))
    with pytest.raises(CourseError, match="choose another folder"):
        translate_files([inputs], translator, inputs)
    assert sorted(inputs.rglob("*")) == before


def test_place_for_the_results_is_a_file(translator, inputs):
    with pytest.raises(CourseError, match="cannot be made"):
        translate_files([inputs], translator, inputs / "cat.png")


def test_wrong_working_size_is_said_at_once(translator, inputs, tmp_path):
    with pytest.raises(CourseError, match="working size"):
        translate_files([inputs], translator, tmp_path / "out", working_size=-3)


def test_full_disk_is_said_for_each_picture(translator, inputs, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    results = list(translate_files([inputs], translator, tmp_path / "out"))
    assert len(results) == 4
    assert all(isinstance(result, CourseError) for _, result in results)
    assert list((tmp_path / "out").iterdir()) == []


def test_other_suffix(translator, inputs, tmp_path):
    files = [inputs / "cat.png"]
    ((_, path),) = translate_files(files, translator, tmp_path / "out", suffix=".jpg")
    with Image.open(path) as result:
        assert (path.name, result.format) == ("cat_painting.jpg", "JPEG")
