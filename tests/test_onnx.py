"""Generators as ONNX files: what onnxruntime computes is what torch computes, at every size."""

import argparse
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from cyclegan_course.cli import export as command
from cyclegan_course.errors import CourseError
from cyclegan_course.networks import ResnetGenerator, init_weights
from cyclegan_course.translate import Translator, load_translator, save_generator
from cyclegan_course.translate import onnx as export
from cyclegan_course.translate import onnx_translator as runner
from cyclegan_course.translate.onnx import OPSET, OnnxTranslator, check_onnx, export_onnx

CARD = {"domain_A": "photograph", "domain_B": "oil painting", "working_size": 64}


def small_translator(n_down=1, edge_kernel=3, seed=0, **shape) -> Translator:
    shape = {"ngf": 4, "n_blocks": 1, "n_down": n_down, "edge_kernel": edge_kernel, **shape}
    net = init_weights(ResnetGenerator(**shape), 0.3, torch.Generator().manual_seed(seed))
    return Translator(net, {**CARD, "generator": shape}, "small", device="cpu")


def in_half_precision(translator: Translator) -> Translator:
    """As after `save_generator` and `load_generator`."""
    for weight in translator.net.parameters():
        weight.data = weight.data.half().float()
    return translator


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def picture(width: int, height: int, channels: int = 3) -> Image.Image:
    rng = np.random.default_rng(1)
    return Image.fromarray(rng.integers(0, 256, (height, width, channels), dtype=np.uint8))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(translator, its file), the weights exact in half precision, as saved ones are."""
    translator = in_half_precision(small_translator(n_down=2, edge_kernel=7))
    folder = tmp_path_factory.mktemp("onnx")
    return translator, export_onnx(translator, folder / "new" / "small_AB.onnx")


def same(file, translator, *sizes) -> None:
    exported = OnnxTranslator(file)
    for size in sizes:
        x = noise(*size)
        expected = translator.translate_tensor(torch.from_numpy(x)).numpy()
        found = exported.translate_array(x)
        assert found.shape == x.shape
        assert np.abs(found - expected).max() < 1e-3, size


def test_equals_torch_at_every_size_and_batch(small):
    translator, file = small
    same(file, translator, (1, 3, 64, 64), (1, 3, 63, 65), (2, 3, 17, 130), (1, 3, 1, 40))


@pytest.mark.parametrize(("n_down", "edge_kernel", "half"), [(0, 3, None), (3, 7, True)])
def test_every_shape_of_generator(n_down, edge_kernel, half, tmp_path):
    translator = small_translator(n_down, edge_kernel)
    file = export_onnx(translator, tmp_path / "small.onnx", half)
    kinds = {tensor.data_type for tensor in onnx.load(file).graph.initializer}
    if half:  # the weights are rounded, and nothing else
        translator = in_half_precision(translator)
        assert onnx.TensorProto.FLOAT not in kinds
    else:  # these weights would lose digits
        assert onnx.TensorProto.FLOAT16 not in kinds
    same(file, translator, (1, 3, 64, 64), (3, 3, 41, 70), (1, 3, 7, 99))


def test_the_file_says_what_it_is(small):
    model = onnx.load(small[1])
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["name"] == "small"
    assert facts["direction"] == "AB"
    assert (facts["from"], facts["to"]) == ("photograph", "oil painting")
    assert (facts["multiple"], facts["smallest"], facts["working_size"]) == ("4", "16", "64")
    assert facts["weights"] == "float16"
    assert facts["licence"] == "not stated"
    assert "x / 127.5 - 1" in facts["input"]
    assert [entry.version for entry in model.opset_import] == [OPSET]
    for value, name in ((model.graph.input, "picture"), (model.graph.output, "translation")):
        (value,) = value
        sides = value.type.tensor_type.shape.dim
        assert value.name == name
        assert [side.dim_param or side.dim_value for side in sides] == [
            "batch",
            3,
            "height",
            "width",
        ]


def test_one_file_with_two_bytes_a_weight_without_this_machines_folders(small):
    translator, file = small
    assert list(file.parent.iterdir()) == [file]
    weights = sum(weight.numel() for weight in translator.net.parameters())
    assert 2 * weights < file.stat().st_size < 2 * weights + 16_000
    assert b"forward" not in file.read_bytes()
    assert str(export.__file__).encode() not in file.read_bytes()


def test_the_other_direction_of_a_saved_generator(tmp_path):
    nets = [small_translator(n_down=1, seed=seed).net for seed in (1, 2)]
    shape = small_translator(n_down=1).card["generator"]
    save_generator(tmp_path / "mine", "mine", *nets, {**CARD, "generator": shape})
    source = f"{tmp_path / 'mine'}:reverse"
    file = export_onnx(source, tmp_path / "mine_BA.onnx")
    assert OnnxTranslator(file).label == "mine-reverse"
    assert OnnxTranslator(file).metadata["from"] == "oil painting"
    differences = check_onnx(file, source, sizes=[(32, 32), (20, 51), (33, 17)])
    assert list(differences) == [(32, 32), (20, 51), (33, 17)]
    assert max(differences.values()) < 1e-3
    with pytest.raises(CourseError, match="differs from mine AB"):
        check_onnx(file, tmp_path / "mine", sizes=[(32, 32)])


@pytest.mark.parametrize("size", [(40, 30), (201, 130), (128, 129)])
def test_pictures_as_the_translator_gives_them(small, size):
    translator, file = small
    exported = OnnxTranslator(file)
    for channels in (3, 4):
        given = picture(*size, channels)
        expected = translator(given)
        found = exported(given)
        assert (found.mode, found.size) == (expected.mode, given.size)
        assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= 1
    array = np.asarray(picture(*size))
    assert exported(array).tobytes() == exported(picture(*size)).tobytes()


def test_working_sizes(small):
    translator, file = small
    exported, given = OnnxTranslator(file), picture(90, 70)
    for size in (32, 0, "full", 500):
        expected = np.asarray(translator(given, size), int)
        assert np.abs(np.asarray(exported(given, size), int) - expected).max() <= 1
    for wrong in ("large", -1, 2.5, True):
        with pytest.raises(CourseError, match="working size"):
            exported(given, wrong)


def test_files_turned_transparent_and_deep(small, tmp_path):
    translator, file = small
    exported = OnnxTranslator(file)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture(50, 30).save(tmp_path / "turned.png", exif=exif)
    picture(30, 40).convert("P").save(tmp_path / "palette.gif")
    picture(30, 40, 4).save(tmp_path / "alpha.png")
    gray = np.asarray(picture(30, 40).convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "deep.png")  # 255 -> 65535
    assert exported(tmp_path / "turned.png").size == (30, 50)
    for path in sorted(tmp_path.iterdir()):
        found, expected = exported(path), translator(path)
        assert found.mode == expected.mode
        assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= 1, path


def test_what_is_no_picture(small, tmp_path):
    exported = OnnxTranslator(small[1])
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(CourseError, match="not a picture"):
        exported(tmp_path / "text.png")
    with pytest.raises(CourseError, match="no file"):
        exported(tmp_path / "missing.png")
    for wrong in (np.zeros((4, 4)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(CourseError, match="uint8"):
            exported(wrong)


def test_damaged_foreign_and_missing_files(small, tmp_path):
    file = tmp_path / "file.onnx"
    with pytest.raises(CourseError, match="no file"):
        OnnxTranslator(file)
    data = small[1].read_bytes()
    for damaged in (b"", b"no model", data[: len(data) // 2], data[:200] + bytes(4000)):
        file.write_bytes(damaged)
        with pytest.raises(CourseError, match="damaged or no ONNX file"):
            OnnxTranslator(file)
    numbers = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in "xy"
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "foreign", numbers[:1], numbers[1:]
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), file)
    with pytest.raises(CourseError, match="not one of this course"):
        OnnxTranslator(file)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_a_package_there_is_one_sentence(package, small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CourseError, match=f"{package} is missing.*pip install onnx onnxscript"):
        export_onnx(small[0], tmp_path / "file.onnx")
    assert not list(tmp_path.iterdir())
    if package == "onnxruntime":
        with pytest.raises(CourseError, match="pip install onnxruntime"):
            OnnxTranslator(small[1])


def test_a_failed_export_leaves_the_older_file(tmp_path, monkeypatch):
    file = tmp_path / "file.onnx"
    file.write_bytes(b"older")

    def fail(model, full_check):
        raise onnx.checker.ValidationError("wrong")

    monkeypatch.setattr(export, "_trace", lambda net: onnx.ModelProto())
    monkeypatch.setattr(export, "_rename_sides", lambda model: None)
    monkeypatch.setattr(onnx.checker, "check_model", fail)
    with pytest.raises(onnx.checker.ValidationError):
        export_onnx(small_translator(), file)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_the_translator_alone_needs_neither_torch_nor_the_course(small, tmp_path):
    picture(40, 33).save(tmp_path / "cat.png")
    script = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['cyclegan_course'] = None; "
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    command = [sys.executable, "-c", script, runner.__file__, str(small[1])]
    for name, status in (("cat.png", 0), ("dog.png", 1)):
        done = subprocess.run(
            [*command, str(tmp_path / name), str(tmp_path / "result.png")],
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.returncode == status, done.stderr
    assert done.stderr.strip().endswith("check the name.")
    expected = OnnxTranslator(small[1])(tmp_path / "cat.png")
    assert Image.open(tmp_path / "result.png").tobytes() == expected.tobytes()


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    options = parser.parse_args([str(argument) for argument in arguments])
    return options.run(options)


def test_the_command_writes_a_shipped_generator_checked_at_three_sizes(tmp_path, capsys):
    assert run("export", "night", "--direction", "BA", "--out", tmp_path / "out") == 0
    file = tmp_path / "out" / "night_BA.onnx"
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(str(file))]) == 3
    assert (tmp_path / "out" / "onnx_translator.py").is_file()
    assert OnnxTranslator(file).metadata["licence"].startswith("MIT")
    assert OnnxTranslator(file).metadata["weights"] == "float16"
    with pytest.raises(CourseError, match="no translation called nothing"):
        run("export", "nothing", "--out", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_wrapper_is_the_extension_of_the_translator():
    """Sides: `AnySize` extends to the same margins as `Translator.translate_tensor`."""

    class Recorder(nn.Module):
        def forward(self, x):
            self.seen = x
            return x

    translator = small_translator(n_down=3)
    recorder = translator.net = Recorder()
    for height, width in ((1, 1), (31, 33), (64, 40), (65, 8)):
        x = torch.from_numpy(noise(1, 3, height, width))
        translator.translate_tensor(x)
        expected = recorder.seen
        y = export.AnySize(recorder, translator.multiple, translator.smallest)(x)
        assert torch.equal(recorder.seen, expected)
        assert torch.equal(y, x)


def test_shipped_names_only_are_called_shipped(tmp_path):
    painting = load_translator("painting", device="cpu")
    mine = Translator(painting.net, {**painting.card, "remark": "mine"}, "painting", device="cpu")
    assert export._facts(painting)["licence"].startswith("MIT")
    assert export._facts(mine)["licence"] == "not stated"
    mine.card["licence"] = "CC0"
    assert export._facts(mine)["licence"] == "CC0"
