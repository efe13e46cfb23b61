"""A web page that translates pictures in the reader's browser, ready to host.

    export_page(["painting", "painting:reverse"], "my_page")

The folder holds plain files and needs no server program, so that any free web space can host it.
(A gradio app needs a machine that runs Python all the time.) The arithmetic is done by
onnxruntime-web, so no picture leaves the reader's device.
"""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import save_picture, whole_file
from cyclegan_course.translate.onnx import as_translator, check_onnx, export_onnx
from cyclegan_course.translate.translator import Translator
from cyclegan_course.translate.weights import DEFAULT_WORKING_SIZE

STATIC_FILES = Path(__file__).with_name("demo_page")

# The part of onnxruntime-web without GPU: a script and its WebAssembly.
RUNTIME_VERSION = "1.30.0"
RUNTIME_SCRIPT = "ort.wasm.bundle.min.mjs"
RUNTIME_WASM = "ort-wasm-simd-threaded.wasm"
CDN = "https://cdn.jsdelivr.net"
_ON_CDN = f"{CDN}/npm/onnxruntime-web@{RUNTIME_VERSION}/dist"

# Size and hash of the two files in the released package: a browser refuses any others.
PINNED_RUNTIME = {
    "version": RUNTIME_VERSION,
    "script": {
        "url": f"{_ON_CDN}/{RUNTIME_SCRIPT}",
        "bytes": 73054,
        "integrity": "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    },
    "wasm": {
        "url": f"{_ON_CDN}/{RUNTIME_WASM}",
        "bytes": 14239897,
        "integrity": "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
    },
}


def export_page(
    sources: Sequence[Translator | str | os.PathLike],
    folder: str | os.PathLike,
    runtime: str | os.PathLike | None = None,
) -> Path:
    """Write the page with one or more generators; returns the folder.

    Every generator is checked against torch (`check_onnx`) and gets a sample picture of the
    domain that it translates from. `models.json`, which the page reads first, is written last:
    after an interruption the page of an earlier export still names what it needs.

    Args:
        sources: translators, or what `resolve_target` knows ("painting", "painting:reverse",
            the folder of a run).
        folder: a new or empty folder, or one that holds such a page, which is replaced.
        runtime: a folder with `ort.wasm.bundle.min.mjs` and `ort-wasm-simd-threaded.wasm` (the
            `dist` of the package onnxruntime-web), copied into the page for networks that reach
            no CDN; None loads the pinned version from the CDN.

    Raises CourseError for another folder with files, for an incomplete runtime, and as
    `export_onnx` does.
    """
    folder = _page_folder(folder)
    local = None if runtime is None else _find_runtime(Path(runtime).expanduser())
    generators = {_stem(t): t for t in map(as_translator, sources)}
    if not generators:
        raise CourseError("A page needs at least one generator: name one, such as painting.")
    entries = [_add_generator(t, stem, folder) for stem, t in generators.items()]
    described = PINNED_RUNTIME if local is None else _copy_runtime(local, folder)
    for file in STATIC_FILES.iterdir():
        data = file.read_bytes()
        if local is not None:  # then the page need not talk to anyone else
            data = data.replace(f" {CDN}".encode(), b"")
        _write(data, folder / file.name)
    models = {"runtime": described, "generators": entries}
    _write(json.dumps(models, indent=2, ensure_ascii=False).encode(), folder / "models.json")
    return folder


def _page_folder(folder: str | os.PathLike) -> Path:
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise CourseError(f"{folder} is a file: give the name of a folder for the page.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "models.json").is_file():
        raise CourseError(
            f"{folder} holds other files, which the page would be mixed with: choose an empty "
            "folder, or a new name."
        )
    return folder


def _stem(translator: Translator) -> str:
    return f"{translator.name}_{translator.direction}"


def _add_generator(translator: Translator, stem: str, folder: Path) -> dict:
    """Write one generator and its sample picture; returns its entry of models.json."""
    file = export_onnx(translator, folder / f"{stem}.onnx")
    check_onnx(file, translator)
    sample = save_picture(sample_picture(translator), folder / f"{stem}_sample.png")
    source, target = translator.direction
    return {
        "file": file.name,
        "bytes": file.stat().st_size,
        "label": translator.label,
        "from": str(translator.card.get(f"domain_{source}", f"domain {source}")),
        "to": str(translator.card.get(f"domain_{target}", f"domain {target}")),
        "workingSize": translator.card.get("working_size", DEFAULT_WORKING_SIZE),
        "sample": sample.name,
    }


def sample_picture(translator: Translator) -> Image.Image:
    """A held-out scene of the generator's world, in the domain that it translates from.

    A generator without a world gets one of `painting`. Its side is the working size.
    """
    world = translator.name if translator.name in worlds.WORLDS else "painting"
    side = max(worlds.SMALLEST_SIZE, translator.card.get("working_size", DEFAULT_WORKING_SIZE))
    return Image.fromarray(worlds.held_out(world, translator.direction[0], 1, side)[0])


def _find_runtime(folder: Path) -> Path:
    """The folder with the two files: `folder`, its `dist`, or that of an unpacked package."""
    for place in (folder, folder / "dist", folder / "package" / "dist"):
        if all((place / name).is_file() for name in (RUNTIME_SCRIPT, RUNTIME_WASM)):
            return place
    raise CourseError(
        f"{folder} does not hold {RUNTIME_SCRIPT} and {RUNTIME_WASM}: run "
        f"`npm pack onnxruntime-web@{RUNTIME_VERSION}` where there is a network, unpack the file, "
        "and give the folder."
    )


def _copy_runtime(place: Path, folder: Path) -> dict:
    described: dict = {"version": "(a local copy)"}
    for key, name in (("script", RUNTIME_SCRIPT), ("wasm", RUNTIME_WASM)):
        data = (place / name).read_bytes()
        _write(data, folder / "runtime" / name)
        digest = base64.b64encode(hashlib.sha384(data).digest()).decode()
        described[key] = {
            "url": f"runtime/{name}",
            "bytes": len(data),
            "integrity": f"sha384-{digest}",
        }
        if described[key]["integrity"] == PINNED_RUNTIME[key]["integrity"]:
            described["version"] = RUNTIME_VERSION
    return described


def _write(data: bytes, path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
