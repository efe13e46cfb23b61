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

from cyclegan_course import environment
from cyclegan_course.cli import main
from cyclegan_course.errors import CourseError
from cyclegan_course.images import (
    Photo,
    photo_to_tensor,
    picture_to_tensor,
    read_photo,
    save_photo,
    save_picture,
    tensor_to_photo,
    tensor_to_picture,
)
from cyclegan_course.images.photo import to_depth
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
from cyclegan_course.translate import translator as translator_module
from cyclegan_course.translate.files import plan_files
from cyclegan_course.translate.photos import resize
from cyclegan_course.translate.tiles import translate_in_strips

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
    result = np.asarray(translator(clear))
    assert np.array_equal(result[..., :3], np.asarray(translator(white)))
    assert np.array_equal(result[..., 3], np.zeros((24, 24)))


def deep_photo(width: int, height: int, alpha: bool = False, seed: int = 0) -> Photo:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 65536, (height, width, 3), dtype=np.uint16)
    return Photo(rgb, rng.integers(0, 65536, (height, width), dtype=np.uint16) if alpha else None)


@pytest.mark.parametrize("working_size", [0, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_photo_keeps_depth_size_and_transparency(translator, working_size, dtype, has_alpha):
    deep = deep_photo(37, 20, has_alpha)
    photo = Photo(
        to_depth(deep.rgb, dtype), None if deep.alpha is None else to_depth(deep.alpha, dtype)
    )
    result = translator.translate_photo(photo, working_size)
    assert (result.rgb.dtype, result.size) == (dtype, photo.size)
    assert (result.alpha is None) == (not has_alpha)
    if has_alpha:
        assert np.array_equal(result.alpha, photo.alpha)
        assert result.alpha.dtype == dtype


def test_16_bits_are_not_rounded_to_8(translator):
    """The network's own output, at 65536 levels: more than 256 of them are met."""
    photo = deep_photo(64, 48)
    with torch.no_grad():
        direct = translator.net(photo_to_tensor(photo)[None])
    result = translator.translate_photo(photo, "full").rgb
    assert np.array_equal(result, tensor_to_photo(direct, np.uint16).rgb)
    assert len(np.unique(result % 257)) > 200  # 8-bit values times 257 leave no remainder


def test_16_bit_pictures_are_reduced_and_enlarged_as_8_bit_ones(translator):
    """The same picture at both depths, through working size: equal but for the rounding."""
    picture = random_picture(90, 50).resize((180, 100), Image.Resampling.BICUBIC)
    values = np.asarray(picture)
    deep = translator.translate_photo(Photo(values.astype(np.uint16) * 257)).rgb
    shallow = np.asarray(translator(picture)).astype(int)
    assert np.abs(to_depth(deep, np.uint8).astype(int) - shallow).mean() < 3


def test_resizing_16_bits_is_pillows_filter():
    """A channel at a time in floats: what Pillow gives for the three colours at 8 bits."""
    values = np.asarray(random_picture(60, 40))
    deep = resize(Photo(values.astype(np.uint16) * 257), (23, 17), Image.Resampling.BICUBIC)
    shallow = resize(Photo(values), (23, 17), Image.Resampling.BICUBIC)
    assert np.abs(deep.rgb / 257 - shallow.rgb).max() <= 1
    assert deep.rgb.dtype == np.uint16


def test_modes_of_pillow(translator):
    """Whatever goes in, colour comes out: RGBA for transparency, RGB for the rest."""
    colour = random_picture(24, 20)
    gray16 = Image.fromarray(np.asarray(colour)[..., 0].astype(np.uint16) * 257)
    modes = {"L": "RGB", "1": "RGB", "P": "RGB", "CMYK": "RGB", "RGBA": "RGBA", "LA": "RGBA"}
    for mode, expected in modes.items():
        assert translator(colour.convert(mode)).mode == expected, mode
    assert gray16.mode == "I;16"
    result = np.asarray(translator(gray16))
    gray8 = translator(Image.fromarray(np.asarray(colour)[..., 0]))
    assert np.array_equal(result, np.asarray(gray8))
    assert result.std(axis=2).max() > 0  # gray in, colour out


def test_photos_together_are_photos_one_by_one(translator):
    """Sizes, depths and transparency mixed; the order is kept."""
    photos = [
        Photo(np.asarray(random_picture(40, 30, 1))),
        deep_photo(20, 18, alpha=True),
        Photo(np.asarray(random_picture(40, 30, 2))),
        deep_photo(160, 120),  # reduced to 64 x 48
        Photo(np.asarray(random_picture(128, 96, 3))),  # this one too
    ]
    batches = []
    translator.net.register_forward_pre_hook(lambda _net, args: batches.append(len(args[0])))
    together = translator.translate_photos(photos)
    assert batches == [2, 1, 2]
    for photo, result in zip(photos, together, strict=True):
        alone = translator.translate_photo(photo)
        steps = np.abs(result.rgb.astype(int) - alone.rgb.astype(int)).max()
        assert steps <= photo.white // 255
        assert (result.size, result.rgb.dtype) == (photo.size, photo.rgb.dtype)
    assert translator.translate_photos([]) == []


# --- precision, strips ---------------------------------------------------------------------------


def test_bfloat16_is_near_and_not_the_same(weights):
    picture = random_picture(64, 64)
    exact = np.asarray(load_translator("painting", device="cpu")(picture)).astype(int)
    fast = load_translator("painting", device="cpu", precision="bfloat16")
    rough = np.asarray(fast(picture)).astype(int)
    assert 0 < np.abs(rough - exact).mean() < 6
    assert fast.translate_tensor(picture_to_tensor(picture)[None]).dtype == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_automatic_precision(weights, monkeypatch, fast):
    monkeypatch.setattr(environment, "has_fast_bfloat16", lambda _device: fast)
    chosen = load_translator("painting", device="cpu", precision="auto").precision
    assert chosen == ("bfloat16" if fast else "float32")


def test_wrong_precision(weights):
    with pytest.raises(CourseError, match="precision is one of"):
        load_translator("painting", precision="float16")


@pytest.mark.parametrize("tile", [-1, 1, 15, 2.5, "64", "all", None, True])
def test_wrong_tile(weights, tile):
    with pytest.raises(CourseError, match="tile is"):
        load_translator("painting", tile=tile)


def strips_seen(monkeypatch) -> list[int]:
    """The heights of the strips of every picture that goes through the network in strips."""
    seen = []

    def spy(net, x, rows):
        seen.append(rows)
        return translate_in_strips(net, x, rows)

    monkeypatch.setattr(translator_module, "translate_in_strips", spy)
    return seen


@pytest.mark.parametrize("size", [(64, 200), (200, 64), (61, 131), (5000, 1), (1, 5000)])
def test_strips_change_nothing(weights, monkeypatch, size):
    seen = strips_seen(monkeypatch)
    x = picture_to_tensor(random_picture(*size))[None]
    whole = load_translator("painting", device="cpu", tile=0).translate_tensor(x)
    assert seen == []
    strips = load_translator("painting", device="cpu", tile=32).translate_tensor(x)
    assert seen == ([] if size[1] < 32 else [32])
    assert strips.shape == x.shape
    assert (strips - whole).abs().max() < 1e-3
    assert (strips - whole).abs().mean() < 1e-5


def test_strips_are_taken_when_memory_is_short(weights, monkeypatch):
    """16 * ngf bytes a pixel are counted; with room for two pictures, three go one by one."""
    seen = strips_seen(monkeypatch)
    monkeypatch.setattr(translator_module, "ROOM_ON_CPU", 2 * 64 * 64 * 16 * SHAPE["ngf"])
    translator = load_translator("painting", device="cpu")
    batches = []
    translator.net.register_forward_pre_hook(lambda _net, args: batches.append(len(args[0])))
    for count in (2, 3):
        translator.translate_tensor(torch.zeros(count, 3, 64, 64))
    assert (batches, seen) == ([2, 1, 1, 1], [])
    picture = random_picture(128, 80)
    result = translator(picture, "full")
    assert seen == [16]  # a quarter of the room: 8192 pixels would be 16 rows
    whole = load_translator("painting", device="cpu", tile=0)(picture, "full")
    assert np.abs(np.asarray(result).astype(int) - np.asarray(whole)).max() <= 1


def test_strips_in_bfloat16(weights):
    x = picture_to_tensor(random_picture(64, 96))[None]
    load = lambda tile: load_translator("painting", device="cpu", tile=tile, precision="bfloat16")  # noqa: E731
    whole, strips = load(0).translate_tensor(x), load(32).translate_tensor(x)
    assert (strips - whole).abs().mean() < 0.02


def test_another_kind_of_network_stays_in_one_piece(monkeypatch):
    monkeypatch.setattr(translator_module, "ROOM_ON_CPU", 0)
    card = {"generator": SHAPE}
    picture = random_picture(20, 20)
    plain = Translator(torch.nn.Identity(), card, device="cpu")
    assert np.array_equal(np.asarray(plain(picture)), np.asarray(picture))
    with pytest.raises(CourseError, match="Only a ResnetGenerator"):
        Translator(torch.nn.Identity(), card, device="cpu", tile=16)(picture)


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
    with pytest.raises(CourseError, match=r"lower working size \(--working-size 512\).*--tile"):
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
    assert [path.relative_to(out).as_posix() for path in results.values()] == [
        "Dog_painting.png",
        "cat_painting.png",
        "sub/cat_painting.png",
    ]
    assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(results.values())
    for source, target in results.items():
        with Image.open(target) as result:
            assert np.array_equal(np.asarray(result), np.asarray(translator(source)))


def targets(paths, out, suffix=".png") -> list[str]:
    jobs = plan_files(paths, "painting", out, suffix)
    return [job.target.relative_to(out).as_posix() for job in jobs]


def test_names_of_results(tmp_path):
    """Nothing is read for the plan: the files may be empty."""
    for name in ("a/cat.jpg", "a/cat.png", "a/dog.png", "b/dog.png", "b/sub/dog.png", "a/Eve.PNG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    a, b, out = tmp_path / "a", tmp_path / "b", tmp_path / "out"
    expected = ["Eve_painting.png", "cat_jpg_painting.png", "cat_png_painting.png"]
    assert targets([a], out) == [*expected, "dog_painting.png"]
    both = [*expected, "dog_png_painting.png", "dog_png_painting_2.png", "sub/dog_painting.png"]
    assert targets([a, b], out) == both
    assert targets([a, a / "dog.png"], out) == targets([a], out)  # each picture once
    assert targets(a / "dog.png", out, "TIF") == ["dog_painting.tif"]


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_batches_give_the_same_files(translator, inputs, tmp_path, batch):
    alone = dict(translate_files([inputs], translator, tmp_path / "alone"))
    together = dict(translate_files([inputs], translator, tmp_path / "together", batch=batch))
    assert list(together) == list(alone)
    for source, path in alone.items():
        other = together[source]
        if isinstance(path, CourseError):
            assert str(other) == str(path)
            continue
        assert other.relative_to(tmp_path / "together") == path.relative_to(tmp_path / "alone")
        with Image.open(path) as a, Image.open(other) as b:
            assert np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max() <= 1


def test_a_batch_too_large_for_the_memory_goes_one_by_one(
    translator, inputs, tmp_path, monkeypatch
):
    forward = translator.net.forward

    def small(x):
        if len(x) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return forward(x)

    save_picture(random_picture(24, 24, 4), inputs / "Second.png")
    monkeypatch.setattr(translator.net, "forward", small)
    results = dict(translate_files([inputs], translator, tmp_path / "out", batch=8))
    failed = [path for path, result in results.items() if isinstance(result, CourseError)]
    assert failed == [inputs / "broken.jpg"]


@pytest.mark.parametrize("batch", [0, -1, 1.5, True, "2"])
def test_wrong_batch(translator, inputs, tmp_path, batch):
    with pytest.raises(CourseError, match="batch"):
        translate_files([inputs], translator, tmp_path / "out", batch=batch)


@pytest.mark.parametrize("suffix", ["gif", ".bmp", "", "png.exe", "a/png"])
def test_wrong_suffix(translator, inputs, tmp_path, suffix):
    with pytest.raises(CourseError, match="can be saved as"):
        translate_files([inputs], translator, tmp_path / "out", suffix=suffix)
    assert not (tmp_path / "out").exists()


def test_done_pictures_are_skipped(translator, inputs, tmp_path):
    (inputs / "broken.jpg").unlink()
    out = tmp_path / "out"
    first = dict(translate_files([inputs], translator, out))
    assert list(translate_files([inputs], translator, out, skip_existing=True)) == []
    first[inputs / "cat.png"].unlink()
    later = first[inputs / "Dog.jpg"].stat().st_mtime + 10
    os.utime(inputs / "Dog.jpg", (later, later))  # changed after it was translated
    again = dict(translate_files([inputs], translator, out, skip_existing=True))
    assert again == {path: first[path] for path in (inputs / "Dog.jpg", inputs / "cat.png")}


def test_faults_are_said_when_done_pictures_are_skipped(translator, inputs, tmp_path):
    (tmp_path / "empty").mkdir()
    places = [inputs, tmp_path / "empty", tmp_path / "nowhere.png"]
    for _ in range(2):
        results = translate_files(places, translator, tmp_path / "out", skip_existing=True)
        failed = [path for path, result in results if isinstance(result, CourseError)]
        assert failed == [inputs / "broken.jpg", *places[1:]]


def test_progress_knows_the_number(translator, inputs, tmp_path):
    totals = []

    def progress(results, total):
        totals.append(total)
        return results

    results = list(translate_files([inputs], translator, tmp_path / "out", progress=progress))
    assert totals == [len(results)] == [4]


def test_an_interrupted_run_leaves_whole_files(translator, inputs, tmp_path, monkeypatch):
    """Ctrl-C while the second picture is written: the first is whole, and nothing else is there."""
    out = tmp_path / "out"
    results = translate_files([inputs], translator, out)
    next(results)
    save = Image.Image.save

    def half(self, file, **options):
        save(self, file, **options)
        file.truncate(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(KeyboardInterrupt):
        list(results)
    assert [path.name for path in out.rglob("*")] == ["Dog_painting.png"]
    monkeypatch.undo()
    rest = dict(translate_files([inputs], translator, out, skip_existing=True))
    assert inputs / "Dog.jpg" not in rest
    assert len(rest) == 3


def test_depth_and_transparency_through_files(translator, tmp_path):
    photo = deep_photo(40, 30, alpha=True)
    save_photo(photo, tmp_path / "in" / "deep.tif")
    for suffix in ("png", "tif"):
        ((_, path),) = translate_files(
            tmp_path / "in", translator, tmp_path / suffix, suffix=suffix
        )
        result, expected = read_photo(path), translator.translate_photo(photo)
        assert result.rgb.dtype == np.uint16
        assert np.array_equal(result.rgb, expected.rgb)
        assert np.array_equal(result.alpha, photo.alpha)
    ((_, path),) = translate_files(tmp_path / "in", translator, tmp_path / "webp", suffix="webp")
    assert read_photo(path).alpha is not None
    ((_, path),) = translate_files(tmp_path / "in", translator, tmp_path / "jpg", suffix="jpg")
    assert (read_photo(path).alpha, read_photo(path).white) == (None, 255)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_narrow_files(translator, tmp_path, size):
    path = save_picture(random_picture(*size), tmp_path / "narrow.png")
    for working_size in (None, "full"):
        ((_, result),) = translate_files(path, translator, tmp_path / "out", working_size)
        assert read_photo(result).size == size


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
    names = sorted((tmp_path / "out").rglob("*"))
    second = dict(translate_files([inputs], translator, tmp_path / "out"))
    assert sorted((tmp_path / "out").rglob("*")) == names
    assert second[inputs / "cat.png"] == first[inputs / "cat.png"]


def test_results_inside_the_input_folder_are_no_inputs(translator, inputs):
    out = inputs / "translated"
    first = list(translate_files([inputs], translator, out))
    second = list(translate_files([inputs], translator, out))
    assert [path for path, _ in first] == [path for path, _ in second]
    assert len([path for path in out.rglob("*") if path.is_file()]) == 3


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
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_other_suffix(translator, inputs, tmp_path):
    files = [inputs / "cat.png"]
    ((_, path),) = translate_files(files, translator, tmp_path / "out", suffix=".jpg")
    with Image.open(path) as result:
        assert (path.name, result.format) == ("cat_painting.jpg", "JPEG")


# --- the command ---------------------------------------------------------------------------------


def command(*arguments: object) -> int:
    return main(["translate", "--device", "cpu", *map(str, arguments)])


def test_command_mirrors_folders_and_sums_up(weights, inputs, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(inputs, "--out", out, "--suffix", "jpg", "--batch", 3, "--tile", 16) == 1
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert found == ["Dog_painting.jpg", "cat_painting.jpg", "sub/cat_painting.jpg"]
    printed, errors = capsys.readouterr()
    assert printed.splitlines()[-1] == f"3 translated, 1 failed ({inputs / 'broken.jpg'})."
    assert len(errors.splitlines()) == 1
    assert "broken.jpg" in errors
    again = command(inputs, "--out", out, "--suffix", "jpg", "--skip-existing")
    assert again == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("0 translated, 3 were there already, 1 failed")


def test_command_with_one_picture_needs_no_sum(weights, inputs, tmp_path, capsys):
    assert command(inputs / "cat.png", "--out", tmp_path / "out") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"{inputs / 'cat.png'} -> {tmp_path / 'out' / 'cat_painting.png'}"


def test_command_names_only_some_failures(weights, tmp_path, capsys):
    for i in range(7):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{i}.png").write_text("no picture")
    assert command(tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "4.png and 2 more)." in capsys.readouterr().out


def test_command_has_no_bar_where_there_is_no_terminal(weights, inputs, tmp_path, capsys):
    command(inputs, "--out", tmp_path / "out")
    assert "picture/s" not in capsys.readouterr().err


def test_interrupted_command_says_how_to_go_on(weights, inputs, tmp_path, capsys, monkeypatch):
    forward = Translator.translate_photos
    calls = []

    def third_is_interrupted(self, photos, working_size=None):
        calls.append(photos)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, photos, working_size)

    (inputs / "broken.jpg").unlink()
    monkeypatch.setattr(Translator, "translate_photos", third_is_interrupted)
    assert command(inputs, "--out", tmp_path / "out") == 130
    assert "1 of 3 pictures are left: go on with --skip-existing" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setenv("CYCLEGAN_COURSE_WEIGHTS", str(weights))
    assert command(inputs, "--out", tmp_path / "out", "--skip-existing") == 0
    assert "1 translated, 2 were there already." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--device", "nonsense"], "device nonsense cannot be used"),
        (["--tile", "3"], "tile is"),
        (["--working-size", "-5"], "working size is"),
        (["--batch", "0"], "batch is"),
    ],
)
def test_wrong_options_are_one_sentence(weights, inputs, tmp_path, capsys, options, says):
    assert command(inputs, "--out", tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--tile", "--working-size"])
def test_words_that_are_no_number(weights, inputs, capsys, option):
    with pytest.raises(SystemExit):
        command(inputs, option, "large")
    assert "'large' is neither a number of pixels nor" in capsys.readouterr().err
