"""The page that translates pictures in a browser: its files, and (where possible) the page itself.

The browser test needs playwright, Chromium and a copy of onnxruntime-web, which the environment
variable CYCLEGAN_COURSE_ORT_WEB names; it is skipped where one of them is missing.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from browsers import served
from PIL import Image

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.networks import ResnetGenerator, init_weights
from cyclegan_course.translate import Translator
from cyclegan_course.translate.onnx import OnnxTranslator
from cyclegan_course.translate.page import (
    CDN,
    PINNED_RUNTIME,
    RUNTIME_SCRIPT,
    RUNTIME_VERSION,
    RUNTIME_WASM,
    STATIC_FILES,
    export_page,
)

RUNTIME_VARIABLE = "CYCLEGAN_COURSE_ORT_WEB"
SHAPE = {"ngf": 4, "n_blocks": 1, "n_down": 1, "edge_kernel": 3}
# Everything that a page of two generators holds when its runtime is on the CDN.
ALL_FILES = {
    "README.md",
    "index.html",
    "models.json",
    "page.css",
    "page.js",
    "worker.js",
    "night_AB.onnx",
    "night_AB_sample.png",
    "night_BA.onnx",
    "night_BA_sample.png",
}


def translator(direction: str) -> Translator:
    net = ResnetGenerator(**SHAPE)
    # Gains near 1, as of a trained network: rounding is then not enlarged beyond 8-bit steps.
    init_weights(net, 0.1, torch.Generator().manual_seed(ord(direction[0])))
    card = {"domain_A": "day", "domain_B": "night", "generator": SHAPE, "working_size": 48}
    return Translator(net, card, "night", direction, device="cpu")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages") / "new" / "page"
    return export_page([translator("AB"), translator("BA")], folder)


@pytest.fixture
def quick(monkeypatch):
    """Exports without the exporter, for what does not depend on the .onnx file."""

    def write(source, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"model")
        return path

    monkeypatch.setattr("cyclegan_course.translate.page.export_onnx", write)
    monkeypatch.setattr("cyclegan_course.translate.page.check_onnx", lambda file, source: {})


@pytest.fixture
def runtime(tmp_path):
    folder = tmp_path / "onnxruntime-web" / "package" / "dist"
    folder.mkdir(parents=True)
    (folder / RUNTIME_SCRIPT).write_bytes(b"export const InferenceSession = null;")
    (folder / RUNTIME_WASM).write_bytes(b"\0asm")
    return folder


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read_models(folder: Path) -> dict:
    return json.loads((folder / "models.json").read_text(encoding="utf-8"))


# --- the static files --------------------------------------------------------------------------


def static(name: str) -> str:
    return (STATIC_FILES / name).read_text(encoding="utf-8")


def test_every_name_in_the_script_and_the_style_is_in_the_page():
    html = static("index.html")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    script = static("page.js")
    used = set(re.findall(r"\bui\.(\w+)", script)) | set(re.findall(r'\bui\["([^"]+)"\]', script))
    assert used
    assert used <= set(ids)
    without_colours = re.sub(r":[^:{}]*;", "", static("page.css"))
    assert set(re.findall(r"#([a-z][\w-]*)", without_colours)) <= set(ids)
    classes = set(re.findall(r"(?<![\w)])\.([a-z]\w*)", without_colours)) - {"dropping"}
    assert classes <= set(" ".join(re.findall(r'class="([^"]+)"', html)).split())


def test_every_control_has_a_name_for_those_who_do_not_see_it():
    html = static("index.html")
    labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', html))
    controls = re.findall(r"<(?:input|select)\b[^>]*\bid=\"([^\"]+)\"", html)
    assert controls
    assert set(controls) <= labelled
    for reference in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', html):
        assert f'id="{reference}"' in html
    assert '<html lang="en">' in html
    assert 'role="alert"' in html
    assert 'role="status"' in html


def test_no_address_but_the_runtimes():
    for file in STATIC_FILES.iterdir():
        if file.suffix in (".html", ".css", ".js"):
            text = file.read_text(encoding="utf-8")
            found = set(re.findall(r"(?:https?:)?//[\w.:-]+\.\w+|https?://\w+", text))
            assert found <= {CDN, "http://localhost"}, file.name
    html = static("index.html")
    (policy,) = re.findall(r'content="(default-src[^"]*)"', html)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"].split() == ["'self'", "blob:", CDN]
    assert "unsafe-inline" not in policy
    # what the policy would block
    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"\son\w+=|\sstyle=", html)
    for linked in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert linked == "data:," or (STATIC_FILES / linked).is_file()


def test_the_runtime_is_pinned_by_version_and_hash():
    for key, name in (("script", RUNTIME_SCRIPT), ("wasm", RUNTIME_WASM)):
        part = PINNED_RUNTIME[key]
        assert part["url"] == f"{CDN}/npm/onnxruntime-web@{RUNTIME_VERSION}/dist/{name}"
        algorithm, digest = part["integrity"].split("-", 1)
        assert algorithm == "sha384"
        assert len(base64.b64decode(digest)) == 48


# --- what an export writes ---------------------------------------------------------------------


def test_the_export_writes_everything(page):
    assert files_in(page) == ALL_FILES
    models = read_models(page)
    assert models["runtime"] == PINNED_RUNTIME
    forth, back = models["generators"]
    assert (forth["from"], forth["to"], forth["label"]) == ("day", "night", "night")
    assert (back["from"], back["to"], back["label"]) == ("night", "day", "day")
    for entry, domain in ((forth, "A"), (back, "B")):
        assert entry["bytes"] == (page / entry["file"]).stat().st_size
        assert entry["workingSize"] == 48
        sample = np.asarray(Image.open(page / entry["sample"]))
        assert (sample == worlds.held_out("night", domain, 1, 48)[0]).all()
        assert OnnxTranslator(page / entry["file"]).direction[0] == domain
    assert (page / "worker.js").read_text(encoding="utf-8") == static("worker.js")


def test_the_readme_names_files_that_are_there():
    for name in re.findall(r"`([\w*]+\.\w+)`", static("README.md")):
        assert any(Path(file).match(name) for file in ALL_FILES), name


def test_a_local_runtime_makes_a_page_that_talks_to_nobody_else(quick, runtime, tmp_path):
    for number, given in enumerate((runtime, runtime.parent, runtime.parent.parent)):
        folder = export_page([translator("AB")], tmp_path / f"page{number}", given)
        models = read_models(folder)
        for key, name in (("script", RUNTIME_SCRIPT), ("wasm", RUNTIME_WASM)):
            data = (runtime / name).read_bytes()
            assert (folder / "runtime" / name).read_bytes() == data
            digest = base64.b64encode(hashlib.sha384(data).digest()).decode()
            assert models["runtime"][key]["integrity"] == f"sha384-{digest}"
            assert models["runtime"][key]["url"] == f"runtime/{name}"
            assert models["runtime"][key]["bytes"] == len(data)
        assert models["runtime"]["version"] != RUNTIME_VERSION  # it is not that file
        text = "".join(path.read_text("utf-8") for path in folder.glob("*.[hjc]*"))
        assert "jsdelivr" not in text
        assert "connect-src 'self' blob:;" in text


def test_a_page_may_be_written_again_and_nothing_else_is_touched(quick, tmp_path):
    folder = export_page([translator("AB")], tmp_path / "page")
    export_page([translator("AB"), translator("BA")], folder)
    assert files_in(folder) == ALL_FILES
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("mine")
    with pytest.raises(CourseError, match="other files"):
        export_page([translator("AB")], other)
    assert [path.read_text() for path in other.iterdir()] == ["mine"]
    with pytest.raises(CourseError, match="is a file"):
        export_page([translator("AB")], other / "index.html")


def test_what_is_missing_is_said_before_anything_is_written(quick, runtime, tmp_path):
    (runtime / RUNTIME_WASM).unlink()
    with pytest.raises(CourseError, match="npm pack onnxruntime-web@"):
        export_page([translator("AB")], tmp_path / "page", runtime)
    with pytest.raises(CourseError, match="at least one generator"):
        export_page([], tmp_path / "page")
    with pytest.raises(CourseError, match="no translation called"):
        export_page(["nothing"], tmp_path / "page")
    assert not (tmp_path / "page").exists()


# --- in a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(page, tmp_path_factory):
    """(address, folder) of the page with the real runtime in it."""
    place = os.environ.get(RUNTIME_VARIABLE)
    if not place:
        pytest.skip(f"{RUNTIME_VARIABLE} does not name a folder with onnxruntime-web")
    with pytest.MonkeyPatch.context() as patch:  # the .onnx files are there already

        def copy(source, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copy(page / path.name, path))

        patch.setattr("cyclegan_course.translate.page.export_onnx", copy)
        translators = [translator("AB"), translator("BA")]
        folder = export_page(translators, tmp_path_factory.mktemp("site"), place)
    with served(folder) as address:
        yield address, folder


# 30 000 at a time: the arguments of a call have a limit.
READ_CANVAS = """id => {
  const canvas = document.getElementById(id);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let text = "";
  for (let i = 0; i < data.length; i += 30000)
    text += String.fromCharCode(...data.subarray(i, i + 30000));
  return [height, width, btoa(text)];
}"""


def canvas(tab, name: str) -> np.ndarray:
    height, width, data = tab.evaluate(READ_CANVAS, name)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)


def over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def choose(tab, picture: Image.Image | bytes, name="cat.png", **options) -> None:
    if isinstance(picture, Image.Image):
        stream = io.BytesIO()
        picture.save(stream, Path(name).suffix[1:], **options)
        picture = stream.getvalue()
    file = {"name": name, "mimeType": "image/png", "buffer": picture}
    tab.evaluate("() => { document.getElementById('status').textContent = '' }")
    tab.set_input_files("#file", file)
    tab.locator("#status:has-text('Translated'), #error:not([hidden])").first.wait_for()


def test_the_browser_gives_what_torch_gives(chromium, site):
    address, folder = site
    tab = chromium.new_page()
    asked, troubles = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("console", lambda message: troubles.append(message.text))
    tab.goto(address)
    tab.wait_for_selector("#sources:not([disabled])")

    exact = translator("AB")
    tab.click("#sample")
    tab.locator("#status:has-text('Translated')").wait_for()
    sample = Image.open(folder / "night_AB_sample.png")
    difference = canvas(tab, "after")[..., :3].astype(int) - np.asarray(exact(sample), int)
    assert np.abs(difference).max() <= 2

    scene = Image.fromarray(worlds.held_out("night", "A", 1, 120, start=1)[0])
    ramp = np.tile(np.linspace(0, 255, 41).astype(np.uint8), (37, 1))
    transparent = scene.crop((0, 30, 41, 67))
    transparent.putalpha(Image.fromarray(ramp))
    for picture in (
        scene.crop((0, 0, 47, 31)),  # odd sides
        scene.crop((0, 0, 120, 97)),  # reduced and enlarged
        scene.crop((0, 0, 96, 49)),  # reduced to a side of 24.5
        transparent,
    ):
        choose(tab, picture)
        found, expected = canvas(tab, "after"), np.asarray(exact(picture).convert("RGBA"))
        assert found.shape == expected.shape
        assert (found[..., 3] == expected[..., 3]).all()
        assert np.abs(over_white(found) - over_white(expected)).max() <= 2

    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    choose(tab, scene.crop((0, 0, 40, 20)), "turned.jpeg", exif=exif)
    assert canvas(tab, "after").shape == (40, 20, 4)

    tab.select_option("#generator", "1")
    tab.click("#translate")
    tab.locator("#status:has-text('Translated')").wait_for()
    tab.wait_for_selector("#stop", state="hidden")
    with tab.expect_download() as download:
        tab.click("#save")
    assert download.value.suggested_filename == "turned_day.png"
    saved = Image.open(download.value.path()).convert("RGBA")
    assert (np.asarray(saved) == canvas(tab, "after")).all()

    # what is no picture leaves the picture before it, and its result
    choose(tab, b"text", "notes.txt")
    assert "not a picture" in tab.locator("#error").text_content()
    assert canvas(tab, "after").shape == (40, 20, 4)
    assert tab.locator("#save").is_enabled()

    assert all(url.startswith((address, "blob:" + address[:-1])) for url in asked)
    assert not troubles
    tab.close()


def test_the_page_is_used_with_the_keyboard_alone(chromium, site):
    tab = chromium.new_page()
    tab.goto(site[0])
    tab.wait_for_selector("#sources:not([disabled])")
    reached = []
    for _ in range(4):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("() => document.activeElement.id"))
    assert reached == ["generator", "working-size", "file", "sample"]
    tab.focus("#sample")
    tab.keyboard.press("Enter")
    tab.locator("#status:has-text('Translated')").wait_for()
    tab.focus("#slider")
    tab.keyboard.press("Home")
    assert tab.evaluate("() => stage.style.getPropertyValue('--shown')") == "0%"
    tab.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "night_AB.onnx").unlink(), "missing on the server"),
        (lambda folder: (folder / "night_AB.onnx").write_bytes(b"cut"), "has 3 bytes instead of"),
        (lambda folder: (folder / "models.json").write_text("<html>"), "models.json.*damaged"),
        (lambda folder: (folder / "models.json").unlink(), "models.json is missing"),
        (
            lambda folder: (folder / "runtime" / RUNTIME_SCRIPT).write_text("other"),
            "runtime could not be loaded",
        ),
    ],
)
def test_what_is_wrong_on_the_server_is_said_in_one_sentence(chromium, site, change, sentence):
    address, folder = site
    kept = {name: (folder / name).read_bytes() for name in files_in(folder)}
    tab = chromium.new_page()
    try:
        change(folder)
        tab.goto(address)
        ready = tab.locator("#sources:not([disabled]), #error:not([hidden])").first
        ready.wait_for()
        if not tab.locator("#error").is_visible():
            tab.click("#sample")
        tab.wait_for_selector("#error:not([hidden])")
        assert re.search(sentence, tab.locator("#error").text_content())
    finally:
        for name, data in kept.items():
            (folder / name).write_bytes(data)
        tab.close()


def test_opened_as_a_file_the_page_says_how_to_serve_it(chromium, page):
    tab = chromium.new_page()
    tab.goto((page / "index.html").as_uri())
    tab.wait_for_selector("#error:not([hidden])")
    assert "python -m http.server" in tab.locator("#error").text_content()
    tab.close()
