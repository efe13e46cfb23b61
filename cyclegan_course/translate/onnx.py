"""Generators as ONNX files, and the proof that they give what torch gives.

    export_onnx("painting", "painting_AB.onnx")
    check_onnx("painting_AB.onnx", "painting")             # the largest difference, by size
    OnnxTranslator("painting_AB.onnx")("cat.jpg").save("cat_painting.png")

The graph takes `picture`, float32 (batch, 3, height, width) in [-1, 1], and gives `translation`
of the same shape. Batch, height and width are free, from 1: the extension to the sides that the
network needs, and the crop, are part of the graph, as in `Translator.translate_tensor`.

"ONNX gives other outputs" has one of these causes, nearly always outside the network:

- the range: the network wants x / 127.5 - 1, not x / 255 and not ImageNet's mean and deviation;
- the channels: RGB and planes (3, H, W); OpenCV reads BGR and rows of pixels (H, W, 3);
- the resize: Pillow antialiases when it reduces, OpenCV, canvas and `F.interpolate` by default
  do not, and bicubic has two definitions (a = -0.5 and a = -0.75);
- the rounding: a cast to uint8 cuts off and wraps around; round, then clip;
- the size: exported without dynamic axes, the graph is right for one size, or fails;
- the mode: a network exported while training keeps its dropout, and batch norm its batch;
- the sides: without the extension, an odd side comes back as another size;
- the picture: an EXIF orientation or a colour profile that one of the two programs ignores.

What remains is rounding: float32 sums in another order. Instance norm enlarges it where a channel
is nearly flat, up to 1 / sqrt(eps) = 316 times a layer, so a picture of a single colour is the
one input on which the two may differ visibly.
"""

import contextlib
import copy
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cyclegan_course import __version__, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import whole_file
from cyclegan_course.translate.onnx_translator import OnnxTranslator
from cyclegan_course.translate.translator import Translator, load_translator
from cyclegan_course.translate.weights import (
    DEFAULT_WORKING_SIZE,
    available_names,
    load_card,
    resolve_target,
    weights_folder,
)

__all__ = ["OPSET", "OnnxTranslator", "as_translator", "check_onnx", "export_onnx"]

# The lowest that torch's exporter writes by itself; every onnxruntime since 1.14 (2023) knows it.
OPSET = 18
TOLERANCE = 1e-3
CHECKED_SIZES = ((64, 64), (63, 97), (150, 101))


class AnySize(nn.Module):
    """A generator for every size: the sides are extended to multiples, the result is cropped.

    As `Translator.translate_tensor`, written with operations that the exporter keeps symbolic.

    Args:
        net: maps (N, 3, H, W) to the same shape where H and W are multiples of `multiple`.
        multiple, smallest: of the sides that `net` can take.
    """

    def __init__(self, net: nn.Module, multiple: int, smallest: int) -> None:
        super().__init__()
        self.net = net
        self.multiple = multiple
        self.smallest = smallest

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        more_height, more_width = self._missing(height), self._missing(width)
        top, left = more_height // 2, more_width // 2
        margins = (left, more_width - left, top, more_height - top)
        y = self.net(F.pad(x, margins, mode="replicate"))
        return y[..., top : top + height, left : left + width]

    def _missing(self, length: int) -> int:
        whole = (length + self.multiple - 1) // self.multiple * self.multiple
        return torch.sym_max(whole, self.smallest) - length


def export_onnx(
    source: Translator | str | os.PathLike,
    path: str | os.PathLike,
    half: bool | None = None,
) -> Path:
    """Write a generator as one .onnx file, whole or not at all; returns the path.

    The weights are stored in half precision, as the course's own files are, and the arithmetic
    is in float32: every weight is cast when the file is loaded.

    Args:
        source: a translator, or what `resolve_target` knows ("painting", "painting:reverse",
            the folder of a run).
        path: the file; missing folders are made.
        half: False stores float32 (twice the size), True half precision whatever is lost; None
            takes half precision if every weight survives it exactly, as the saved ones do.

    Raises CourseError without the packages for it, and as `load_translator` and `whole_file` do.
    """
    onnx = _exporter()
    translator = as_translator(source)
    net = getattr(translator.net, "_orig_mod", translator.net)  # what torch.compile has wrapped
    net = copy.deepcopy(net).to("cpu", torch.float32)
    model = _trace(AnySize(net, translator.multiple, translator.smallest).eval())
    if half is None:
        half = all(torch.equal(w, w.half().float()) for w in net.parameters())
    if half:
        _store_in_half_precision(model, onnx)
    _rename_sides(model)
    _drop_traces(model)
    facts = _facts(translator) | {"weights": "float16" if half else "float32"}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return Path(path).expanduser()


def check_onnx(
    path: str | os.PathLike,
    source: Translator | str | os.PathLike,
    sizes: Sequence[tuple[int, int]] = CHECKED_SIZES,
) -> dict[tuple[int, int], float]:
    """The largest difference between the file and torch on the same pictures, by their size.

    The pictures are held-out scenes of the generator's own world (of `painting` for a generator
    without one), in the domain that it translates from.

    Args:
        path: the .onnx file.
        source: the translator, or its name, that the file was made from.
        sizes: (height, width) of the pictures.

    Returns:
        Absolute differences in the range [-1, 1] of the outputs, where 2 / 255 is one step of an
        8-bit picture.

    Raises CourseError if a difference is 1e-3 or more, and for a damaged or foreign file.
    """
    translator = copy.copy(as_translator(source))
    translator.precision = "float32"  # as the file computes
    exported = OnnxTranslator(path, threads=torch.get_num_threads())
    world = translator.name if translator.name in worlds.WORLDS else "painting"
    side = max(max(size) for size in sizes)
    scene = worlds.held_out(world, translator.direction[0], 1, max(side, worlds.SMALLEST_SIZE))
    x = scene.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    found = {}
    for height, width in sizes:
        part = np.ascontiguousarray(x[..., :height, :width])
        expected = translator.translate_tensor(torch.from_numpy(part)).numpy()
        found[height, width] = float(np.abs(exported.translate_array(part) - expected).max())
    worst = max(found, key=found.get)
    if not found[worst] < TOLERANCE:
        raise CourseError(
            f"{path} differs from {translator.name} {translator.direction} by {found[worst]:.2g} "
            f"at {worst[0]} x {worst[1]} pixels, more than rounding explains: it was made from "
            "another generator, so export it again."
        )
    return found


def _exporter():
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise CourseError(
            f"Exporting needs three more packages ({error.name} is missing): "
            "pip install onnx onnxscript onnxruntime"
        ) from error
    return onnx


def as_translator(source: Translator | str | os.PathLike) -> Translator:
    """A translator as it is, or the one that `resolve_target` finds, on the CPU."""
    if isinstance(source, Translator):
        return source
    return load_translator(*resolve_target(source), device="cpu")


def _trace(net: AnySize):
    """The graph of `net` as an ONNX model, with free batch, height and width."""
    free = torch.export.Dim.DYNAMIC
    # An example with 1 in a free dimension, or with two equal ones, could be taken for a rule.
    example = torch.zeros(2, 3, 2 * net.smallest + 1, 3 * net.smallest - 1)
    with warnings.catch_warnings(), open(os.devnull, "w", encoding="utf-8") as nowhere:
        warnings.simplefilter("ignore")  # about the exporter's own insides
        with contextlib.redirect_stdout(nowhere):
            program = torch.onnx.export(
                net,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["picture"],
                output_names=["translation"],
                dynamic_shapes=({0: free, 2: free, 3: free},),
                external_data=False,
                verbose=False,
            )
    return program.model_proto


def _store_in_half_precision(model, onnx) -> None:
    """Keep every float32 weight as float16, with a cast before its use.

    onnxruntime does the casts once, when it loads the file, and computes as with float32.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(
            onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _rename_sides(model) -> None:
    """The exporter's names for the free dimensions (s77, u0) become words."""
    for value in (*model.graph.input, *model.graph.output):
        for index, word in ((0, "batch"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[index].dim_param = word


def _drop_traces(model) -> None:
    """Leave out what the exporter noted for debugging: the folders and the code of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    del graph.value_info[:]  # shapes between the layers, which onnxruntime finds by itself


def _facts(translator: Translator) -> dict[str, str]:
    """What the file says about itself; ONNX keeps words only."""
    card, source, target = translator.card, *translator.direction
    shipped = translator.name in available_names() and (
        load_card(weights_folder() / f"{translator.name}.json") == card
    )
    return {
        "made_with": f"cyclegan-course {__version__}, torch {torch.__version__}",
        "name": translator.name,
        "direction": translator.direction,
        "label": translator.label,
        "from": str(card.get(f"domain_{source}", f"domain {source}")),
        "to": str(card.get(f"domain_{target}", f"domain {target}")),
        "input": "float32 (batch, 3, height, width), RGB, x / 127.5 - 1 of 8-bit values",
        "output": "as the input, values in [-1, 1]; round((y + 1) * 127.5) gives 8-bit values",
        "multiple": str(translator.multiple),
        "smallest": str(translator.smallest),
        "working_size": str(card.get("working_size", DEFAULT_WORKING_SIZE)),
        "licence": card.get("licence", "MIT, as cyclegan-course" if shipped else "not stated"),
        "data": str(card.get("data", "")),
    }
