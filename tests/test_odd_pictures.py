"""Files and folders as people have them: the right pixels, or one clear sentence.

Every file is made here. A case of the first table writes one file and says what is to be read
from it; a case of the second one writes folders and says how many pictures are found, or what is
said. In all of them nothing else is written and nothing is lost.
"""

import io
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cyclegan_course.datasets import open_source
from cyclegan_course.errors import CourseError
from cyclegan_course.images import photo_to_tensor, read_photo, read_picture, save_photo
from cyclegan_course.inspection import inspect_data

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (13, 17, 3), dtype=np.uint8)
RGBA = np.dstack([RGB, RNG.integers(0, 256, (13, 17), dtype=np.uint8)])
RGB16 = RNG.integers(0, 65536, (13, 17, 3), dtype=np.uint16)
RGBA16 = np.dstack([RGB16, RNG.integers(0, 65535, (13, 17), dtype=np.uint16)])
GRAY, GRAY16 = RGB[..., 0], RGB16[..., 0]


def three(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def png(array: np.ndarray, colour: int, depth: int = 16, extra: bytes = b"") -> bytes:
    """A PNG written by hand, each row with another filter type (PNG specification, section 9)."""
    height, width = array.shape[:2]
    raw = array.reshape(height, -1).astype(">u2" if depth == 16 else "u1")
    rows = raw.view(np.uint8).reshape(height, -1).astype(np.int64)
    step = rows.shape[1] // width
    up = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left = np.hstack([np.zeros((height, step), np.int64), rows[:, :-step]])
    predicted = [np.zeros_like(rows), left, up, (left + up) // 2]
    data = b"".join(
        bytes([i % 4]) + (rows[i] - predicted[i % 4][i]).astype(np.uint8).tobytes()
        for i in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def pillow(array: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(transparency: int | None = None) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 0, 0, 0, 255])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def lzw(array: np.ndarray) -> bytes:
    """A 16-bit TIFF compressed with LZW, which only Pillow's libtiff knows here.

    libtiff is made to write it as 8 bits of twice the width; the tags are then corrected.
    """
    bytes_8 = array.astype("<u2").view(np.uint8).reshape(len(array), -1, 3)
    buffer = io.BytesIO(pillow(bytes_8, "TIFF", compression="tiff_lzw"))
    with tifffile.TiffFile(buffer) as file:
        tags = file.pages[0].tags
        tags["ImageWidth"].overwrite(array.shape[1])
        tags["BitsPerSample"].overwrite((16, 16, 16))
    return buffer.getvalue()


# A file that is read: its name, its bytes, the pixels and the transparency that come out.
# A uint8 answer means that 8 bits are read, a uint16 one that all 16 are.
READ: dict[str, tuple[str, Callable[[], bytes], np.ndarray, np.ndarray | None]] = {
    "16-bit RGB PNG": ("a.png", lambda: png(RGB16, 2), RGB16, None),
    "16-bit RGBA PNG": ("a.png", lambda: png(RGBA16, 6), RGB16, RGBA16[..., 3]),
    "16-bit gray PNG": ("a.png", lambda: png(GRAY16, 0), three(GRAY16), None),
    "16-bit gray and alpha PNG": (
        "a.png",
        lambda: png(RGBA16[..., 2:], 4),
        three(RGBA16[..., 2]),
        RGBA16[..., 3],
    ),
    "16-bit PNG with an opaque alpha": (
        "a.png",
        lambda: png(np.dstack([RGB16, np.full_like(GRAY16, 65535)]), 6),
        RGB16,
        None,
    ),
    "16-bit RGB PNG with one transparent colour": (
        "a.png",
        lambda: png(RGB16, 2, extra=chunk(b"tRNS", RGB16[3, 4].astype(">u2").tobytes())),
        RGB16,
        np.where((RGB16[3, 4] == RGB16).all(axis=2), 0, 65535).astype(np.uint16),
    ),
    "16-bit gray PNG with one transparent gray": (
        "a.png",
        lambda: png(GRAY16, 0, extra=chunk(b"tRNS", struct.pack(">H", GRAY16[3, 4]))),
        three(GRAY16),
        np.where(GRAY16[3, 4] == GRAY16, 0, 65535).astype(np.uint16),
    ),
    "16-bit PNG turned by EXIF": (
        "a.png",
        lambda: png(RGBA16, 6, extra=chunk(b"eXIf", turned(6).tobytes()[6:])),
        np.rot90(RGB16, -1),
        np.rot90(RGBA16[..., 3], -1),
    ),
    "16-bit RGB TIFF": ("a.tif", lambda: tiff(RGB16, photometric="rgb"), RGB16, None),
    "16-bit RGB TIFF, big-endian": (
        "a.tif",
        lambda: tiff(RGB16, photometric="rgb", byteorder=">"),
        RGB16,
        None,
    ),
    "16-bit RGBA TIFF, deflate": (
        "a.tif",
        lambda: tiff(RGBA16, photometric="rgb", extrasamples=["unassalpha"], compression="zlib"),
        RGB16,
        RGBA16[..., 3],
    ),
    "16-bit RGB TIFF, LZW": ("a.tif", lambda: lzw(RGB16), RGB16, None),
    "16-bit RGB TIFF in tiles": (
        "a.tif",
        lambda: tiff(RGB16, photometric="rgb", tile=(16, 16)),
        RGB16,
        None,
    ),
    "16-bit RGB TIFF in planes": (
        "a.tif",
        lambda: tiff(
            np.ascontiguousarray(RGB16.transpose(2, 0, 1)),
            photometric="rgb",
            planarconfig="separate",
        ),
        RGB16,
        None,
    ),
    "16-bit gray TIFF": ("a.tiff", lambda: tiff(GRAY16), three(GRAY16), None),
    "16-bit gray TIFF, white is zero": (
        "a.tif",
        lambda: tiff(GRAY16, photometric="miniswhite"),
        three(65535 - GRAY16),
        None,
    ),
    "TIFF of floating-point colours": (
        "a.tif",
        lambda: tiff((RGB16 / 65535).astype(np.float32), photometric="rgb"),
        RGB16,
        None,
    ),
    "TIFF of floating-point gray": (
        "a.tif",
        lambda: tiff((GRAY16 / 65535).astype(np.float32)),
        np.where(GRAY16.max() == 0, 0, three(GRAY16)).astype(np.uint16),
        None,
    ),
    "several pages": (
        "a.tif",
        lambda: pillow(RGB, "TIFF", save_all=True, append_images=[Image.new("RGB", (5, 5))]),
        RGB,
        None,
    ),
    "8-bit RGBA PNG": ("a.png", lambda: pillow(RGBA, "PNG"), RGB, RGBA[..., 3]),
    "8-bit RGBA WebP": (
        "a.webp",
        lambda: pillow(RGBA, "WEBP", lossless=True, exact=True),
        RGB,
        RGBA[..., 3],
    ),
    "gray and alpha": (
        "a.png",
        lambda: pillow(Image.fromarray(RGBA[..., 2:], "LA"), "PNG"),
        three(RGBA[..., 2]),
        RGBA[..., 3],
    ),
    "palette": (
        "a.png",
        lambda: pillow(palette(), "PNG"),
        np.array([[[255, 0, 0], [0, 0, 0], [0, 0, 255]]], np.uint8),
        None,
    ),
    "palette with a transparent entry": (
        "a.gif",
        lambda: pillow(palette(2), "GIF", transparency=2),
        np.array([[[255, 0, 0], [0, 0, 0], [0, 0, 255]]], np.uint8),
        np.array([[255, 255, 0]], np.uint8),
    ),
    "one bit": (
        "a.png",
        lambda: pillow(GRAY > 99, "PNG"),
        three((GRAY > 99) * np.uint8(255)),
        None,
    ),
    "animated GIF": (
        "a.gif",
        lambda: pillow(palette(), "GIF", save_all=True, append_images=[Image.new("P", (3, 1), 2)]),
        np.array([[[255, 0, 0], [0, 0, 0], [0, 0, 255]]], np.uint8),
        None,
    ),
    "animated PNG": (
        "a.png",
        lambda: pillow(RGB, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        RGB,
        None,
    ),
    "PNG named .jpg": ("a.jpg", lambda: pillow(RGB, "PNG"), RGB, None),
    "no suffix": ("picture", lambda: pillow(RGB, "PNG"), RGB, None),
    "a name of other scripts": ("猫 – кошка\u00a0🐈.png", lambda: pillow(RGB, "PNG"), RGB, None),
    "a name with a line end": ("a\nb.png", lambda: pillow(RGB, "PNG"), RGB, None),
    "the longest name": ("x" * 251 + ".png", lambda: pillow(RGB, "PNG"), RGB, None),
    "one pixel": ("a.png", lambda: pillow(RGB[:1, :1], "PNG"), RGB[:1, :1], None),
    "bytes after the end": ("a.png", lambda: pillow(RGB, "PNG") + b"more" * 99, RGB, None),
    "PPM": ("a.ppm", lambda: pillow(RGB, "PPM"), RGB, None),
    "BMP": ("a.bmp", lambda: pillow(RGB, "BMP"), RGB, None),
}
if sys.platform == "win32":
    for impossible in ("a name with a line end", "the longest name"):
        del READ[impossible]


@pytest.mark.parametrize("case", READ)
def test_it_is_read_with_the_right_pixels(case, tmp_path):
    name, make, rgb, alpha = READ[case]
    (tmp_path / name).write_bytes(make())
    before = (tmp_path / name).read_bytes()
    photo = read_photo(tmp_path / name)
    assert photo.rgb.dtype == rgb.dtype
    assert np.array_equal(photo.rgb, rgb)
    assert (photo.alpha is None) == (alpha is None)
    if alpha is not None:
        assert photo.alpha.dtype == rgb.dtype
        assert np.array_equal(photo.alpha, alpha)
    # The picture of 8 bits is the same one, over white.
    white = np.iinfo(rgb.dtype).max
    share = 1.0 if alpha is None else alpha[..., None] / white
    expected = (share * (rgb / white) + 1 - share) * 255
    assert np.abs(np.asarray(read_picture(tmp_path / name)) - expected).max() <= 0.51
    assert np.abs(
        photo_to_tensor(photo).numpy().transpose(1, 2, 0) - expected / 127.5 + 1
    ).max() < (1e-5)
    assert (tmp_path / name).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_jpegs_are_close(tmp_path):
    """Gray, CMYK and one with a companion picture (MPO), which lose a little by themselves."""
    smooth = np.mgrid[0:32, 0:48].transpose(1, 2, 0)[..., [0, 1, 1]].astype(np.uint8) * 4
    colour, gray = Image.fromarray(smooth), Image.fromarray(smooth[..., 1])
    for kind, image, expected in (
        ("JPEG", gray, three(smooth[..., 1])),
        ("JPEG", colour.convert("CMYK"), smooth),
        ("MPO", colour, smooth),
    ):
        more = {"save_all": True, "append_images": [gray.convert("RGB")]} if kind == "MPO" else {}
        path = tmp_path / "a.jpg"
        path.write_bytes(pillow(image, kind, quality=98, **more))
        photo = read_photo(path)
        assert np.abs(photo.rgb.astype(int) - expected).mean() < 3
        assert photo.format == "JPEG"


@pytest.mark.parametrize(
    ("case", "notes"),
    [
        ("16-bit RGBA PNG", {"16-bit", "transparent"}),
        ("16-bit gray TIFF", {"gray", "16-bit"}),
        ("16-bit PNG turned by EXIF", {"16-bit", "transparent", "turned upright"}),
        ("several pages", {"several pages (the first)"}),
        ("animated GIF", {"palette", "animated (the first frame)"}),
        ("animated PNG", {"animated (the first frame)"}),
        ("gray and alpha", {"gray", "transparent"}),
        ("one bit", {"black and white"}),
        ("TIFF of floating-point colours", {"32-bit"}),
        ("BMP", set()),
    ],
)
def test_what_is_unusual_is_said(case, notes, tmp_path):
    name, make, *_ = READ[case]
    (tmp_path / name).write_bytes(make())
    assert set(read_photo(tmp_path / name).notes) == notes


# --- files that are not read ---------------------------------------------------------------------


def bomb(path: Path) -> None:
    """200,000 x 200,000 pixels by its header."""
    header = struct.pack(">IIBBBBB", 200_000, 200_000, 16, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 999))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))


def tiff_bomb(path: Path) -> None:
    """Floating-point colours, which Pillow does not open, and 100,000 x 100,000 pixels."""
    buffer = io.BytesIO(tiff(np.zeros((4, 4, 3), np.float32), photometric="rgb"))
    with tifffile.TiffFile(buffer) as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[name].overwrite(60_000)
    path.write_bytes(buffer.getvalue())


def part_of(data: bytes, share: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data[: int(len(data) * share)])


def wrong_checksum(path: Path) -> None:
    data = bytearray(png(RGB16, 2))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def broken_link(path: Path) -> None:
    path.symlink_to(path.with_name("gone.png"))


def forbidden(path: Path) -> None:
    path.write_bytes(pillow(RGB, "PNG"))
    path.chmod(0)


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content, encoding="utf-8")


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "nothing there": ("a.png", lambda path: None, "There is no file"),
    "empty": ("a.jpg", lambda path: path.touch(), "is empty"),
    "text renamed": ("a.jpg", text("no picture\n" * 99), "not a picture"),
    "web page renamed": ("a.png", text("<!DOCTYPE html><title>404</title>"), "not a picture"),
    "SVG": ("a.png", text("<svg xmlns='http://www.w3.org/2000/svg'/>"), "not a picture"),
    "archive renamed": ("a.jpg", lambda path: path.write_bytes(b"PK\3\4" * 99), "not a picture"),
    "HEIC renamed": (
        "a.jpg",
        lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 99),
        "HEIC",
    ),
    "PostScript": ("a.jpg", lambda path: Image.fromarray(RGB).save(path, "EPS"), "not a picture"),
    "folder": ("x.jpg", lambda path: path.mkdir(), "is a folder"),
    "header alone": ("a.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), r"a\.png"),
    "JPEG cut off": ("a.jpg", part_of(pillow(RGB, "JPEG"), 0.8), "damaged or cut"),
    "16-bit PNG cut off": ("a.png", part_of(png(RGB16, 2), 0.6), "damaged or cut"),
    "16-bit PNG with a wrong checksum": ("a.png", wrong_checksum, "damaged or cut"),
    "16-bit TIFF cut off": (
        "a.tif",
        part_of(tiff(RGB16, photometric="rgb", compression="zlib"), 0.6),
        "damaged or cut|not a picture",
    ),
    "floating-point TIFF cut off": (
        "a.tif",
        part_of(tiff(RGB16.astype(np.float32), photometric="rgb"), 0.6),
        "damaged or cut",
    ),
    "decompression bomb": ("a.png", bomb, "too many pixels"),
    "bomb that Pillow cannot open": ("a.tif", tiff_bomb, "too many pixels"),
    "name longer than the disk allows": ("x" * 300 + ".png", lambda path: None, "too long|no file"),
    "name with a null character": ("a\0b.png", lambda path: None, "There is no file"),
}
if os.name == "posix":
    REFUSED |= {
        "pipe": ("a.png", lambda path: os.mkfifo(path), "not an ordinary file"),
        "broken link": ("a.png", broken_link, "link to a file that is not there"),
        "link to itself": ("a.png", lambda path: path.symlink_to(path), r"a\.png"),
        "broken, with a line end in its name": ("a\nb.png", text("x"), r"'.*a\\nb\.png' is not"),
    }
    if os.geteuid():  # the administrator may read everything
        REFUSED["forbidden"] = ("a.png", forbidden, "may not be read")


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_sentence(case, tmp_path):
    name, make, says = REFUSED[case]
    make(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    for read in (read_photo, read_picture):
        with pytest.raises(CourseError, match=says) as caught:
            read(tmp_path / name)
        sentence = str(caught.value)
        assert sentence.isprintable()  # one line
        assert len(sentence) < 500
        sentence.encode()  # it can be printed
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_is_no_text_can_be_printed(tmp_path):
    with pytest.raises(CourseError, match=r"udcff") as caught:
        read_photo(tmp_path / "a\udcff.png")
    str(caught.value).encode()


# --- folders -------------------------------------------------------------------------------------


def fill(folder: Path, count: int, seed: int = 0, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 26, 30, 3), dtype=np.uint8)
    for index, array in enumerate(pixels):
        Image.fromarray(array).save(folder / f"{index}{suffix}")


def nested(root: Path) -> None:
    for index, name in enumerate(("A/2019/May", "A/2020", "B/x/y/z")):
        fill(root / name, 2, index)
    (root / "A/.thumbnails").mkdir()
    fill(root / "A/.thumbnails", 3, 9)


def mixed(root: Path) -> None:
    for name in ("A", "B"):
        for index, suffix in enumerate((".JPG", ".png", ".webp", ".TIFF", ".bmp")):
            fill(root / name / str(index), 1, hash((name, index)) % 1000, suffix)
    (root / "A/depth.png").write_bytes(png(RGB16, 2))
    (root / "A/clear.png").write_bytes(pillow(RGBA, "PNG"))


def plain(root: Path, A: int = 2, B: int = 3) -> None:
    fill(root / "A", A, 1)
    fill(root / "B", B, 2)


def and_then(*more: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        plain(root)
        for step in more:
            step(root)

    return make


def copied(root: Path) -> None:
    plain(root)
    shutil.rmtree(root / "B")
    shutil.copytree(root / "A", root / "B")


# What is made, the two folders, and how many pictures of A and B are found, or what is said.
FOLDERS: dict[str, tuple[Callable[[Path], None], str, str, tuple[int, int] | str]] = {
    "nested, with hidden folders": (nested, "A", "B", (4, 2)),
    "mixed formats and sizes": (mixed, "A", "B", (7, 5)),
    "notes beside the pictures": (
        and_then(lambda root: (root / "A/notes.txt").write_text("x")),
        "A",
        "B",
        (2, 3),
    ),
    "a broken picture among good ones": (
        and_then(lambda root: (root / "B/broken.jpg").write_text("x")),
        "A",
        "B",
        (2, 3),
    ),
    "a folder with a picture's name": (
        and_then(lambda root: fill(root / "A/x.jpg", 1, 5)),
        "A",
        "B",
        (3, 3),
    ),
    "missing": (plain, "A", "nowhere", "There is no folder .*nowhere"),
    "a file": (
        and_then(lambda root: (root / "C").write_text("x")),
        "A",
        "C",
        "C is not a folder",
    ),
    "empty": (and_then(lambda root: (root / "C").mkdir()), "C", "B", "C' holds no readable"),
    "only broken pictures": (
        and_then(
            lambda root: (root / "C").mkdir(), lambda root: (root / "C/x.png").write_text("x")
        ),
        "C",
        "B",
        "1 could not be read",
    ),
    "the same twice": (plain, "A", "A/../A", "one folder"),
    "one inside the other": (nested, "A", "A/2020", "lies inside"),
    "the other way round": (nested, "A/2020", "A", "lies inside"),
    "copies of the same pictures": (copied, "A", "B", "in the other one too"),
    "no folder at all": (plain, "A", "", "lies inside|one folder"),
    "a name that is too long": (plain, "A", "x" * 400, "cannot be opened|no folder"),
}
if os.name == "posix":
    FOLDERS |= {
        "a link to the other folder": (
            and_then(lambda root: (root / "C").symlink_to(root / "A")),
            "A",
            "C",
            "one folder",
        ),
        "a broken link and a pipe among pictures": (
            and_then(
                lambda root: broken_link(root / "A/l.png"), lambda root: os.mkfifo(root / "A/p.png")
            ),
            "A",
            "B",
            (2, 3),
        ),
    }


@pytest.mark.parametrize("case", FOLDERS)
def test_two_folders(case, tmp_path, monkeypatch):
    make, A, B, expected = FOLDERS[case]
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for read in (lambda data: open_source(data, 24), lambda data: inspect_data(data, 24)):
        if isinstance(expected, str):
            with pytest.raises(CourseError, match=expected) as caught:
                read((A, B))
            assert str(caught.value).isprintable()
        else:
            found = read((A, B))
            sides = (
                (found.train_A, found.train_B)
                if hasattr(found, "train_A")
                else (found.parts["trainA"], found.parts["trainB"])
            )
            assert tuple(map(len, sides)) == expected
    assert sorted(tmp_path.rglob("*")) == before


def test_there_are_as_many_cases_as_promised():
    assert len(READ) + len(REFUSED) + len(FOLDERS) >= 70


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_all_16_bits_come_back_after_saving(suffix, tmp_path):
    (tmp_path / "a.png").write_bytes(png(RGBA16, 6))
    saved = read_photo(save_photo(read_photo(tmp_path / "a.png"), tmp_path / f"b{suffix}"))
    assert np.array_equal(saved.rgb, RGB16)
    assert np.array_equal(saved.alpha, RGBA16[..., 3])
