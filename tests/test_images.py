"""Reading good, unusual and broken picture files; tensors; atomic writing.

Every file is made by the test itself. The 16-bit RGB PNG is written by hand, since Pillow writes
none; all others come from Pillow.
"""

import contextlib
import errno
import io
import os
import shutil
import stat
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from cyclegan_course import images
from cyclegan_course.errors import CourseError
from cyclegan_course.images import (
    PICTURE_SUFFIXES,
    Photo,
    find_pictures,
    photo_to_picture,
    photo_to_tensor,
    picture_to_tensor,
    profiles,
    read_photo,
    read_picture,
    remove_unfinished,
    save_photo,
    save_picture,
    shown,
    tensor_to_photo,
    tensor_to_picture,
    to_array,
    what_is_lost,
    whole_file,
)


def random_array(height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth_array(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 7, y * 9, 255 - x * 4 - y * 3], axis=-1).astype(np.uint8)


def read(path) -> np.ndarray:
    picture = read_picture(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


# --- files that cannot be read -------------------------------------------------------------------


def write_empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("This is no picture.\n" * 50, encoding="utf-8")


def write_html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>404</body></html>", encoding="utf-8")


def write_folder(path: Path) -> None:
    path.mkdir()


def write_nothing(path: Path) -> None:
    pass


def write_header_only(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n")


def write_broken_checksum(path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_array()).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def write_postscript(path: Path) -> None:
    Image.fromarray(random_array()).save(path, "EPS")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (write_nothing, "There is no file"),
        (write_folder, "is a folder"),
        (write_empty, "is empty"),
        (write_text, "not a picture"),
        (write_html, "not a picture"),
        (write_header_only, "bad.jpg"),
        (write_broken_checksum, "damaged"),
        (write_postscript, "not a picture"),
    ],
)
def test_unreadable_file_is_named(tmp_path, write, says):
    path = tmp_path / "bad.jpg"
    write(path)
    with pytest.raises(CourseError, match=says) as caught:
        read_picture(path)
    assert "bad.jpg" in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_truncated_file_is_refused(tmp_path, kind, part):
    buffer = io.BytesIO()
    Image.fromarray(random_array(64, 64)).save(buffer, kind)
    data = buffer.getvalue()
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CourseError, match="cut"):
        read_picture(path)


def test_every_truncation_of_small_files_is_read_or_refused(tmp_path):
    """Whatever the decoder raises for a cut file, the learner gets a CourseError or a picture."""
    path = tmp_path / "cut"
    warnings.simplefilter("ignore")  # Pillow warns of odd metadata; pytest restores the filters
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(random_array(6, 7)).save(buffer, kind)
        data = buffer.getvalue()
        refused = 0
        for length in range(0, len(data), 3):
            path.write_bytes(data[:length])
            try:
                assert read_picture(path).size == (7, 6)
            except CourseError:
                refused += 1
        assert refused > len(data) // 6


def test_flipped_bytes_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "flipped"
    warnings.simplefilter("ignore")
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(random_array(8, 8)).save(buffer, kind)
        for _ in range(60):
            data = bytearray(buffer.getvalue())
            for place in rng.integers(0, min(len(data), 80), 3):
                data[place] ^= int(rng.integers(1, 256))
            path.write_bytes(data)
            with contextlib.suppress(CourseError):
                assert read_picture(path).mode == "RGB"


def test_forbidden_file(tmp_path, monkeypatch):
    path = tmp_path / "mine.png"
    path.write_bytes(b"x")

    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything: chmod is no test
    with pytest.raises(CourseError, match=r"mine\.png may not be read"):
        read_picture(path)


def test_failing_disk(tmp_path, monkeypatch):
    path = tmp_path / "mine.png"
    path.write_bytes(b"x")

    def fail(self):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(CourseError, match=r"mine\.png cannot be read"):
        read_picture(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(CourseError, match="not an ordinary file"):
        read_picture(tmp_path / "pipe.png")


@pytest.mark.parametrize("limit", [100, 250])  # Pillow: an error above twice the limit, else warns
def test_decompression_bomb(tmp_path, monkeypatch, limit):
    Image.fromarray(random_array(20, 20)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with pytest.raises(CourseError, match=r"bomb\.png has too many pixels"):
            read_picture(tmp_path / "bomb.png")


def test_out_of_memory(tmp_path, monkeypatch):
    Image.fromarray(random_array()).save(tmp_path / "large.png")

    def fail(image):
        raise MemoryError

    monkeypatch.setattr(images.reading, "split", fail)
    with pytest.raises(CourseError, match="memory"):
        read_picture(tmp_path / "large.png")


# --- unusual files -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif"])
def test_gray(tmp_path, suffix):
    gray = smooth_array()[..., 0]
    Image.fromarray(gray).save(tmp_path / f"g{suffix}")
    assert np.array_equal(read(tmp_path / f"g{suffix}"), np.stack([gray] * 3, axis=-1))


RAMP = np.linspace(0, 65535, 1024).round().astype(np.uint16)[None].repeat(2, 0)
RAMP_8 = (RAMP / 257.0).round().astype(np.uint8)  # 65535 / 257 = 255


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, suffix):
    Image.fromarray(RAMP).save(tmp_path / f"ramp{suffix}")
    array = read(tmp_path / f"ramp{suffix}")
    assert np.array_equal(array, np.stack([RAMP_8] * 3, axis=-1))
    assert array.min() == 0
    assert array.max() == 255
    assert len(np.unique(array)) == 256


def test_16_bit_gray_dark_picture_stays_dark(tmp_path):
    """The scale is that of the format: a dark 16-bit picture is not stretched."""
    Image.fromarray(RAMP // 4).save(tmp_path / "dark.png")
    assert read(tmp_path / "dark.png").max() == 64


def test_16_bit_gray_big_endian_tiff(tmp_path):
    Image.frombytes("I;16B", (1024, 2), RAMP.astype(">u2").tobytes()).save(tmp_path / "b.tif")
    assert np.array_equal(read(tmp_path / "b.tif")[..., 0], RAMP_8)


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (RAMP.astype(np.int32), 65535),
        ((RAMP // 257).astype(np.int32), 255),
        (RAMP.astype(np.int32) * 1000, 65535000),
        ((RAMP / 65535).astype(np.float32), 1),
        ((RAMP / 257).astype(np.float32), 255),
        (RAMP.astype(np.float32), 65535),
    ],
)
def test_32_bit_gray_takes_the_range_that_holds_it(tmp_path, values, white):
    Image.fromarray(values).save(tmp_path / "deep.tif")
    expected = (values.astype(np.float64) / white * 255).round()
    assert np.array_equal(read(tmp_path / "deep.tif")[..., 1], expected)


def test_float_gray_with_nan_and_nothing_else(tmp_path):
    Image.fromarray(np.array([[np.nan, np.inf, -3, 0]], np.float32)).save(tmp_path / "nan.tif")
    assert read(tmp_path / "nan.tif").max() == 0


def write_png16(path: Path, array: np.ndarray) -> None:
    """A PNG of 16 bits a channel, colour type 2 (RGB) or 6 (RGBA)."""
    height, width, channels = array.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_rgb_png(tmp_path, channels):
    """Read at 16 bits and rounded once."""
    values = np.stack([RAMP, RAMP[:, ::-1], RAMP // 2, np.full_like(RAMP, 65535)], axis=-1)
    write_png16(tmp_path / "deep.png", values[..., :channels])
    array = read(tmp_path / "deep.png").astype(float)
    assert np.array_equal(array, (values[..., :3] / 257).round())


def test_palette(tmp_path):
    array = smooth_array()
    image = Image.fromarray(array).quantize(32)
    image.save(tmp_path / "p.png")
    assert np.array_equal(read(tmp_path / "p.png"), np.asarray(image.convert("RGB")))


def test_palette_with_transparency_is_laid_over_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 0, 0, 0, 255])
    image.save(tmp_path / "p.png", transparency=1)
    assert read(tmp_path / "p.png").tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


def test_gif_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 0, 0, 0, 255])
    image.save(tmp_path / "p.gif", transparency=1)
    assert read(tmp_path / "p.gif").tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_rgba_is_laid_over_white(tmp_path, suffix):
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / f"a{suffix}", lossless=True)
    assert read(tmp_path / f"a{suffix}").tolist() == [[[200, 0, 0], [255] * 3, [127] * 3]]


def test_la_is_laid_over_white(tmp_path):
    Image.fromarray(np.array([[[40, 255], [40, 0]]], np.uint8), "LA").save(tmp_path / "la.png")
    assert read(tmp_path / "la.png").tolist() == [[[40] * 3, [255] * 3]]


def test_rgb_with_a_transparent_colour(tmp_path):
    array = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    Image.fromarray(array).save(tmp_path / "t.png", transparency=(1, 2, 3))
    assert read(tmp_path / "t.png").tolist() == [[[255] * 3, [9] * 3]]


def test_cmyk_jpeg(tmp_path):
    array = np.zeros((32, 32, 3), np.uint8)
    array[:] = (200, 60, 30)
    Image.fromarray(array).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    assert np.abs(read(tmp_path / "c.jpg").astype(int) - array).max() < 6  # not inverted


def test_one_bit(tmp_path):
    bits = np.array([[True, False, True]])
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert read(tmp_path / "bits.png").tolist() == [[[255] * 3, [0] * 3, [255] * 3]]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"film{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert np.array_equal(read(path), np.asarray(frames[0]))


# What a viewer does with each EXIF orientation, written with numpy as a second implementation.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_exif_orientation(tmp_path, orientation, suffix):
    array = random_array(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(array).save(path, exif=exif, lossless=True)
    assert np.array_equal(read(path), UPRIGHT[orientation](array))


def test_exif_orientation_of_a_jpeg(tmp_path):
    array = np.zeros((32, 64, 3), np.uint8)
    array[:, :32] = (255, 0, 0)  # stored: left half red; orientation 6: turn clockwise, red on top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(array).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    picture = read_picture(tmp_path / "phone.jpg")
    assert picture.size == (32, 64)
    assert picture.getpixel((16, 10))[0] > 240
    assert picture.getpixel((16, 54))[0] < 15
    save_picture(picture, tmp_path / "again.jpg")
    assert read_picture(tmp_path / "again.jpg").size == (32, 64)  # not turned twice


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_senseless_orientation_turns_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(random_array()).save(tmp_path / "t.png", exif=exif)
    assert np.array_equal(read(tmp_path / "t.png"), random_array())


def test_broken_exif_is_ignored(tmp_path):
    Image.fromarray(random_array()).save(tmp_path / "t.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(read(tmp_path / "t.png"), random_array())


def test_orientation_beside_a_malformed_entry(tmp_path):
    """A bad entry of the EXIF block (here 0xA005, text for a number) must not hide the good one."""
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    malformed = struct.pack("<HHII", 0xA005, 2, 4, 0x41414141)
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + orientation + malformed + b"\0\0\0\0"
    Image.new("RGB", (6, 4)).save(tmp_path / "t.jpg", exif=b"Exif\0\0" + block)
    assert read_picture(tmp_path / "t.jpg").size == (4, 6)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (3, 4, 5)).save(tmp_path / "one.png")
    assert read(tmp_path / "one.png").tolist() == [[[3, 4, 5]]]


@pytest.mark.parametrize("wrong", ["photo.jpg", "photo", "photo.png.txt"])
def test_the_content_decides_not_the_suffix(tmp_path, wrong):
    Image.fromarray(random_array()).save(tmp_path / wrong, "PNG")
    assert np.array_equal(read(tmp_path / wrong), random_array())


def test_file_name_with_spaces_and_other_scripts(tmp_path):
    path = tmp_path / "mein Bild – 猫 кошка é.png"
    save_picture(random_array(), path)
    assert np.array_equal(read(path), random_array())
    assert find_pictures(tmp_path) == [path]


def test_home_folder_sign(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda p: str(p).replace("~", str(tmp_path), 1))
    save_picture(random_array(), "~/a.png")
    assert np.array_equal(read("~/a.png"), random_array())


# --- colour profiles -----------------------------------------------------------------------------


def swapped_profile() -> bytes:
    """An RGB profile of a display whose red and green primaries are exchanged.

    It is sRGB's own profile with the contents of the tags rXYZ and gXYZ exchanged, so a correct
    reader must exchange red and green.
    """
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for i in range(struct.unpack_from(">I", data, 128)[0]):
        kind, offset, size = struct.unpack_from(">4sII", data, 132 + 12 * i)
        places[kind] = slice(offset, offset + size)
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    data[red], data[green] = data[green], data[red]
    at = data.find("sRGB".encode("utf-16-be"), places[b"desc"].start)
    data[at : at + 8] = "test".encode("utf-16-be")  # it must not pass as sRGB by its name
    return bytes(data)


def test_colour_profile_is_converted_to_srgb(tmp_path):
    array = smooth_array()
    Image.fromarray(array).save(tmp_path / "icc.png", icc_profile=swapped_profile())
    result = read(tmp_path / "icc.png").astype(int)
    assert np.abs(result - array[..., [1, 0, 2]]).max() <= 2


def test_colour_profile_with_transparency(tmp_path):
    rgba = np.array([[[200, 20, 10, 255], [200, 20, 10, 0]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "icc.png", icc_profile=swapped_profile())
    result = read(tmp_path / "icc.png").astype(int)
    assert np.abs(result - [[[20, 200, 10], [255, 255, 255]]]).max() <= 2


def test_srgb_profile_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(random_array()).save(tmp_path / "icc.png", icc_profile=profile)
    assert np.array_equal(read(tmp_path / "icc.png"), random_array())


@pytest.mark.parametrize("length", [0, 50, 300])
def test_broken_colour_profile_is_ignored(tmp_path, length):
    profile = swapped_profile()[:length] + b"junk"
    Image.fromarray(random_array()).save(tmp_path / "icc.png", icc_profile=profile)
    assert np.array_equal(read(tmp_path / "icc.png"), random_array())


def test_colour_profile_of_another_mode_is_ignored(tmp_path):
    gray = random_array()[..., 0]
    Image.fromarray(gray).save(tmp_path / "icc.png", icc_profile=swapped_profile())
    assert np.array_equal(read(tmp_path / "icc.png")[..., 2], gray)


def test_no_metadata_is_carried_on(tmp_path):
    """A saved result must not carry the profile it was converted from, nor the place of a photo."""
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    Image.fromarray(random_array()).save(
        tmp_path / "a.png", icc_profile=swapped_profile(), exif=exif
    )
    picture = read_picture(tmp_path / "a.png")
    assert picture.info == {}
    save_picture(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as saved:
        assert "icc_profile" not in saved.info
        assert not dict(saved.getexif())


# Profiles of a matrix and curves, as cameras and programs embed them.
ADOBE_LIKE = {
    "rXYZ": (0.60974, 0.31111, 0.01947),
    "gXYZ": (0.20528, 0.62567, 0.06087),
    "bXYZ": (0.14919, 0.06322, 0.74457),
}


def matrix_profile(curve: bytes) -> bytes:
    """An RGB display profile with the primaries of Adobe RGB and the same curve three times."""
    xyz = {
        name: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))
        for name, values in (ADOBE_LIKE | {"wtpt": (0.9642, 1.0, 0.8249)}).items()
    }
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + b"\0" * 78
    tags = {"desc": text, "cprt": b"text\0\0\0\0none\0"} | xyz
    tags |= dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)
    place, table, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", place + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s", place + len(body), b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def parametric(kind: int, *values: float) -> bytes:
    fixed = struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed


def sampled(points: np.ndarray) -> bytes:
    values = (points * 65535).round().astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()


CURVES = {
    "gamma": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)),
    "identity": b"curv\0\0\0\0" + struct.pack(">I", 0),
    "table": sampled(np.linspace(0, 1, 500) ** 1.8),
    "parametric 0": parametric(0, 2.2),
    "parametric 1": parametric(1, 2.2, 1.1, -0.1),
    "parametric 2": parametric(2, 2.0, 1.05, -0.05, 0.0),
    "parametric 3": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "parametric 4": parametric(4, 2.4, 0.95, 0.04, 0.07, 0.05, 0.01, 0.0),
}


@pytest.mark.parametrize("name", CURVES)
def test_profile_at_16_bits_agrees_with_littlecms_at_8(name):
    """The second implementation: Pillow's, on the 8-bit values, which both can represent."""
    coarse = smooth_array()
    profile = matrix_profile(CURVES[name])
    converted = profiles.to_srgb(Photo(coarse.astype(np.uint16) * 257), profile)
    image = Image.fromarray(coarse)
    image.info["icc_profile"] = profile
    expected = np.asarray(images.to_rgb(image)).astype(float)
    assert np.abs(expected - coarse).mean() > 2  # it does something
    assert np.abs(converted.rgb / 257 - expected).max() <= 1.5
    assert converted.notes == ()


def test_profile_at_16_bits_keeps_what_8_bits_cannot_tell_apart():
    values = np.arange(30000, 30064, dtype=np.uint16)[None, :, None].repeat(3, 2)
    converted = profiles.to_srgb(Photo(values), matrix_profile(CURVES["gamma"]))
    assert len(np.unique(converted.rgb[..., 1])) > 50


def test_16_bit_png_with_a_profile(tmp_path):
    write_png16(tmp_path / "plain.png", RAMP[..., None].repeat(3, 2))
    data = (tmp_path / "plain.png").read_bytes()
    content = b"wide\0\0" + zlib.compress(swapped_profile())
    extra = struct.pack(">I", len(content)) + b"iCCP" + content
    extra += struct.pack(">I", zlib.crc32(b"iCCP" + content))
    values = np.stack([RAMP, RAMP[:, ::-1], RAMP // 2], axis=-1)
    write_png16(tmp_path / "plain.png", values)
    data = (tmp_path / "plain.png").read_bytes()
    (tmp_path / "icc.png").write_bytes(data[:33] + extra + data[33:])
    photo = read_photo(tmp_path / "icc.png")
    assert np.abs(photo.rgb.astype(int) - values[..., [1, 0, 2]]).max() < 40  # of 65535
    assert "colour profile" in photo.notes


@pytest.mark.parametrize("cut", [0, 50, 140, 300])
def test_broken_profile_at_16_bits_is_ignored(cut):
    photo = Photo(RAMP[..., None].repeat(3, 2))
    profile = matrix_profile(CURVES["gamma"])
    assert profiles.to_srgb(photo, profile[:cut]).rgb is photo.rgb
    assert profiles.to_srgb(photo, None) is photo


def test_profile_of_tables_is_applied_at_8_bits_and_keeps_the_rest():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = Photo(RAMP[..., None].repeat(3, 2))
    result = profiles._by_tables(photo, lab, is_gray=False)
    assert np.abs(result.rgb.astype(int) - photo.rgb).max() <= 257
    assert any("8 bits" in note for note in result.notes)


# --- photos --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_of_a_photo_survives_the_tensor(dtype):
    count = np.iinfo(dtype).max + 1
    values = np.arange(count, dtype=dtype).reshape(16, -1, 1).repeat(3, 2)
    tensor = photo_to_tensor(Photo(values))
    assert (float(tensor.min()), float(tensor.max())) == (-1, 1)
    assert np.array_equal(tensor_to_photo(tensor, dtype).rgb, values)


def test_8_bit_photo_and_picture_give_the_same_tensor():
    assert torch.equal(photo_to_tensor(Photo(random_array())), picture_to_tensor(random_array()))


@pytest.mark.parametrize("white", [255, 65535])
def test_transparency_over_white(white):
    dtype = np.uint8 if white == 255 else np.uint16
    rgb = np.full((1, 3, 3), white // 5, dtype)
    alpha = np.array([[white, 0, white // 3]], dtype)
    photo = Photo(rgb, alpha)
    expected = torch.tensor([-0.6, 1.0, 1 - 1.6 / 3])
    assert torch.allclose(photo_to_tensor(photo)[0, 0], expected, atol=1e-4)
    assert np.asarray(photo_to_picture(photo))[0, :, 0].tolist() == [51, 255, 187]


def test_alpha_takes_the_depth_of_the_result():
    alpha = np.array([[0, 128, 255]], np.uint8)
    photo = tensor_to_photo(torch.zeros(3, 1, 3), np.uint16, alpha)
    assert photo.alpha.tolist() == [[0, 128 * 257, 65535]]
    assert photo.rgb.dtype == np.uint16
    back = tensor_to_photo(torch.zeros(3, 1, 3), np.uint8, photo.alpha)
    assert np.array_equal(back.alpha, alpha)
    with pytest.raises(CourseError, match="size"):
        tensor_to_photo(torch.zeros(3, 2, 3), np.uint8, alpha)


DEEP = np.random.default_rng(3).integers(0, 65536, (9, 11, 4), dtype=np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".webp", ".jpg"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_saved_photo_keeps_what_the_format_can_hold(tmp_path, suffix, bits, with_alpha):
    values = DEEP if bits == 16 else (DEEP >> 8).astype(np.uint8)
    photo = Photo(values[..., :3], values[..., 3] if with_alpha else None)
    path = save_photo(photo, tmp_path / "new" / f"a{suffix}")
    saved, lost = read_photo(path), what_is_lost(photo, path)
    lossless = suffix not in (".webp", ".jpg")
    assert (saved.rgb.dtype == np.uint16) == (bits == 16 and lossless)
    assert (saved.alpha is not None) == (with_alpha and suffix != ".jpg")
    assert ("bits" in lost) == (bits == 16 and not lossless)
    assert ("transparency" in lost) == (with_alpha and suffix == ".jpg")
    if lossless:
        assert np.array_equal(saved.rgb, photo.rgb)
        assert not with_alpha or np.array_equal(saved.alpha, photo.alpha)
        with Image.open(path) as image:  # another reader agrees about the size
            assert image.size == (11, 9)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_photo_with_another_suffix_is_refused(tmp_path):
    with pytest.raises(CourseError, match="has to end in"):
        save_photo(Photo(random_array()), tmp_path / "a.gif")


def test_a_path_is_shown_on_one_line():
    assert shown("plain/name é.png") == "plain/name é.png"
    assert shown("two\nlines") == r"'two\nlines'"
    assert len(shown("x" * 5000)) < 250


# --- tensors -------------------------------------------------------------------------------------


def test_round_trip_is_exact_for_every_value():
    array = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    array[..., 1] = array[::-1, :, 1]
    tensor = picture_to_tensor(array)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert tensor.min() == -1
    assert tensor.max() == 1
    assert np.array_equal(np.asarray(tensor_to_picture(tensor)), array)
    assert np.array_equal(np.asarray(tensor_to_picture(tensor[None])), array)


def test_channels_and_axes_are_in_order():
    array = np.zeros((2, 3, 3), np.uint8)
    array[1, 2] = (255, 0, 128)
    tensor = picture_to_tensor(Image.fromarray(array))
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 1, 2].tolist() == pytest.approx([1, -1, 128 / 127.5 - 1], abs=1e-6)


def test_tensor_does_not_share_memory_with_the_array():
    array = random_array()
    tensor = picture_to_tensor(array)
    before = tensor.clone()
    array[:] = 0
    assert torch.equal(tensor, before)


def test_values_are_rounded_and_clipped():
    levels = torch.tensor([-0.4, 0.4, 0.6, 254.6, 255.4, 300.0])
    tensor = (levels / 127.5 - 1).expand(3, 1, 6)
    assert np.asarray(tensor_to_picture(tensor))[0, :, 0].tolist() == [0, 0, 1, 255, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_float_types_and_gradients_are_taken(dtype):
    tensor = torch.full((3, 4, 4), 0.5, dtype=dtype, requires_grad=True)
    assert np.asarray(tensor_to_picture(tensor)).max() == 191


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_not_a_number_is_refused(bad):
    tensor = torch.zeros(3, 4, 4)
    tensor[1, 2, 3] = bad
    with pytest.raises(CourseError, match="NaN"):
        tensor_to_picture(tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 3, 4, 4),
        torch.zeros(1, 4, 4),
        torch.zeros(4, 4),
        torch.zeros(4, 4, 3),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
    ],
)
def test_tensor_of_another_shape_or_type_is_refused(tensor):
    with pytest.raises(CourseError, match="shape"):
        tensor_to_picture(tensor)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_array_of_another_shape_or_type_is_refused(array):
    with pytest.raises(CourseError, match="shape"):
        picture_to_tensor(array)


def test_pictures_of_other_modes_are_converted():
    gray = Image.fromarray(random_array()[..., 0])
    assert to_array(gray).shape == (20, 30, 3)
    assert to_array(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).min() == 255


def test_the_callers_picture_stays_as_it_is():
    picture = Image.fromarray(random_array())
    picture.info["dpi"] = (72, 72)
    images.to_rgb(picture)
    assert picture.info == {"dpi": (72, 72)}
    to_array(picture)[:] = 0
    assert np.array_equal(np.asarray(picture), random_array())


# --- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_png_is_lossless(tmp_path, suffix):
    path = save_picture(random_array(), tmp_path / "new" / "folders" / f"a{suffix}")
    assert np.array_equal(read(path), random_array())


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".jpeg", "JPEG"), (".JPG", "JPEG"), (".webp", "WEBP")]
)
def test_lossy_formats_are_close(tmp_path, suffix, kind):
    path = save_picture(Image.fromarray(smooth_array()), tmp_path / f"a{suffix}")
    with Image.open(path) as saved:
        assert saved.format == kind
    assert np.abs(read(path).astype(float) - smooth_array()).mean() < 6


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.gif", "a.eps", ".png"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(CourseError, match="has to end in"):
        save_picture(random_array(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "side"), [(".jpg", 65501), (".webp", 16384)])
def test_too_large_for_the_format(tmp_path, suffix, side):
    with pytest.raises(CourseError, match=r"suffix \.png"):
        save_picture(np.zeros((1, side, 3), np.uint8), tmp_path / f"long{suffix}")
    path = save_picture(np.zeros((1, side - 1, 3), np.uint8), tmp_path / f"long{suffix}")
    assert read_picture(path).width == side - 1


def test_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(CourseError, match="cannot be written"):
        save_picture(random_array(), tmp_path / "taken" / "a.png")


def test_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(CourseError, match="is a folder"):
        save_picture(random_array(), tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def full_disk(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(*_args, **_options):
    raise KeyboardInterrupt


def half_then(fail):
    """An Image.save that writes a few bytes and then fails."""

    def save(self, file, **_options):
        file.write(b"half a picture")
        fail()

    return save


@pytest.mark.parametrize(
    ("fail", "raised"), [(full_disk, CourseError), (interrupt, KeyboardInterrupt)]
)
@pytest.mark.parametrize("where", ["while writing", "while renaming"])
def test_failed_save_leaves_the_older_file_and_no_other(tmp_path, monkeypatch, fail, raised, where):
    path = save_picture(random_array(seed=1), tmp_path / "a.png")
    if where == "while writing":
        monkeypatch.setattr(Image.Image, "save", half_then(fail))
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(raised):
        save_picture(random_array(seed=2), path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert np.array_equal(read(path), random_array(seed=1))


def test_full_disk_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(CourseError, match=r"a\.png cannot be written \(No space left on device\)"):
        save_picture(random_array(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_whole_file_passes_other_errors_on(tmp_path):
    def write_half():
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_whole_file_moves_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_whole_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """A power cut after the renaming must not leave the new name on blocks never written."""
    happened = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle):
        happened.append(("flush", stat.S_ISDIR(os.fstat(handle).st_mode), os.fstat(handle).st_size))
        real_fsync(handle)

    def replace(source, target):
        happened.append(("rename",))
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_bytes(b"12345")
    assert happened[:2] == [("flush", False, 5), ("rename",)]
    if os.name == "posix":  # then the folder: the new name itself
        assert happened[2][:2] == ("flush", True)


def test_a_disk_that_turns_out_full_when_flushed_keeps_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with whole_file(path) as temporary:
            temporary.write_text("new")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CourseError, match=r"a\.txt cannot be written \(No space left on device\)"):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", full_disk)  # as Windows, and some network disks
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    """`whole_file`'s own temporary name, and that of safetensors' save_file."""
    kept = [
        "a.txt",
        "mine.part",
        ".mine.part",
        ".tmp",
        ".tmp_mine",
        "sub/.hidden.png",
        "sub/step_1.safetensors",
    ]
    left = [f".{'0a' * 16}.part", f"sub/.{'1b' * 16}.part", "sub/.tmpVeo1Co"]
    for name in kept + left:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(remove_unfinished(tmp_path)) == sorted(tmp_path / name for name in left)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {str(Path(name)) for name in kept}
    assert remove_unfinished(tmp_path / "nowhere") == []


def test_the_name_that_is_removed_is_the_one_that_is_used(tmp_path):
    def killed():
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            shutil.copy(temporary, tmp_path / "copy")
            left = temporary.name
            raise KeyError(left)

    with pytest.raises(KeyError) as caught:
        killed()
    left = tmp_path / caught.value.args[0]
    (tmp_path / "copy").rename(left)
    assert remove_unfinished(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []


# --- finding -------------------------------------------------------------------------------------


def test_find_pictures(tmp_path):
    wanted = ["B.JPG", "a.png", "sub/c.TiFf", "sub/deeper/d.webp", "z.gif"]
    unwanted = [
        "notes.txt",
        "._a.png",
        ".hidden.png",
        ".ipynb_checkpoints/a.png",
        "sub/._c.tiff",
        "__MACOSX/._a.png",
        "png",
        "video.mp4",
    ]
    for name in wanted + unwanted:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()  # a folder with a picture's name
    found = find_pictures(tmp_path)
    assert found == [tmp_path / name for name in wanted]
    assert find_pictures(str(tmp_path)) == found


def test_every_suffix_is_found(tmp_path):
    for suffix in PICTURE_SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").write_bytes(b"")
    assert len(find_pictures(tmp_path)) == len(PICTURE_SUFFIXES) == 9


def test_pictures_below_a_hidden_folder_are_found_when_it_is_asked_for(tmp_path):
    path = tmp_path / ".cache" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"")
    assert find_pictures(path.parent) == [path]


def test_empty_folder(tmp_path):
    assert find_pictures(tmp_path) == []


def test_missing_folder(tmp_path):
    with pytest.raises(CourseError, match="There is no folder"):
        find_pictures(tmp_path / "nowhere")


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(CourseError, match="is not a folder"):
        find_pictures(tmp_path / "a.png")


def test_forbidden_folder(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CourseError, match="may not be read"):
        find_pictures(tmp_path)
