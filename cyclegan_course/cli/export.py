"""`cyclegan-course export`: generators as ONNX files, or as a web page."""

import argparse
import shutil
from pathlib import Path

from cyclegan_course.cli.commands import Commands
from cyclegan_course.translate import onnx_translator
from cyclegan_course.translate.onnx import check_onnx, export_onnx
from cyclegan_course.translate.page import export_page
from cyclegan_course.translate.translator import Translator, load_translator
from cyclegan_course.translate.weights import resolve_target


def add(commands: Commands) -> None:
    """Add the command `export`."""
    command = commands.add_parser(
        "export", help="write generators as ONNX files, or as a web page that translates pictures"
    )
    command.set_defaults(run=_export)
    command.add_argument(
        "generators",
        nargs="+",
        metavar="NAME",
        help="painting, photograph, monet:reverse, ... or the folder of a training run",
    )
    command.add_argument(
        "--direction",
        choices=("AB", "BA", "both"),
        help="of every generator (default: that of its name, which is AB for a run)",
    )
    place = command.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, metavar="FOLDER", help="write .onnx files here")
    place.add_argument("--page", type=Path, metavar="FOLDER", help="write a page to host here")
    command.add_argument(
        "--runtime",
        type=Path,
        metavar="FOLDER",
        help="for --page: a copy of onnxruntime-web's files to put into the page; "
        "without it the page loads them from a CDN",
    )
    command.add_argument(
        "--float32",
        action="store_true",
        help="for --out: weights in single precision (twice the size)",
    )


def _export(options: argparse.Namespace) -> int:
    translators = [
        load_translator(name, way, device="cpu")
        for text in options.generators
        for name, way in _ways(text, options.direction)
    ]
    if options.page:
        folder = export_page(translators, options.page, options.runtime)
        print(f"{folder}: a page that is ready to host; its README.md says how to try it.")
        return 0
    for translator in translators:
        _write(translator, options.out, half=False if options.float32 else None)
    runner = Path(onnx_translator.__file__)
    shutil.copyfile(runner, options.out.expanduser() / runner.name)
    print(f"{options.out / runner.name}: runs them without torch")
    return 0


def _ways(text: str, direction: str | None) -> list[tuple[str, str]]:
    name, way = resolve_target(text)
    chosen = {None: (way,), "both": ("AB", "BA")}.get(direction, (direction,))
    return [(name, way) for way in chosen]


def _write(translator: Translator, folder: Path, half: bool | None) -> None:
    name = f"{translator.name}_{translator.direction}.onnx"
    path = export_onnx(translator, folder / name, half)
    for (height, width), difference in check_onnx(path, translator).items():
        print(f"{path}: {width} x {height} pixels, at most {difference:.1e} from torch")
