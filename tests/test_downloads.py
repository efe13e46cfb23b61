"""Downloads of the classic sets: bad servers, bad archives, and what is on the disk afterwards."""

import argparse
import hashlib
import io
import json
import random
import re
import shutil
import stat
import threading
import warnings
import zipfile
from collections import namedtuple
from dataclasses import dataclass, field, replace
from pathlib import Path

import bad_server as be
import numpy as np
import pytest
from PIL import Image

from cyclegan_course import datasets
from cyclegan_course.cli import download as command
from cyclegan_course.downloads import (
    SETS,
    DataSet,
    Limits,
    Patience,
    download,
    find_downloaded,
    installing,
    transfer,
    unpacking,
)
from cyclegan_course.downloads import data_folder as default_folder
from cyclegan_course.errors import CourseError

FOLDERS = ("trainA", "trainB", "testA", "testB")
# No pauses; only the cases that are about waiting wait less, so that a busy machine fails no test.
HASTY = Patience(connect=10.0, silence=20.0, pauses=(0.0, 0.0))


def picture(seed: int) -> bytes:
    """A PNG of noise, which cannot be compressed: 12 kB."""
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(seed) for seed in range(8)]
ENTRIES = {
    f"toy/{folder}/{i}.png": PICTURES[2 * number + i]
    for number, folder in enumerate(FOLDERS)
    for i in range(2)
}


def packed(
    entries: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """A zip archive; the names go into it as they are."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # about a name that comes twice
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def as_is(name: str, mode: int = 0o644 | stat.S_IFREG, system: int = 3) -> zipfile.ZipInfo:
    """An entry whose name zipfile does not tidy up."""
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    entry.create_system = system
    entry.external_attr = mode << 16
    return entry


ARCHIVE = packed(ENTRIES)
OTHER_ARCHIVE = packed(dict(reversed(ENTRIES.items())))  # as many bytes, another order


def patience_for(case: str) -> Patience:
    if case.startswith("silent"):
        return replace(HASTY, silence=0.5)
    if case.startswith("dripping"):
        return replace(HASTY, window=0.2, slowest=1000)
    return HASTY


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder: contents of files, and where links lead; no lock files."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = "folder"
    return {name: what for name, what in found.items() if not name.endswith(".lock")}


@dataclass
class Place:
    """A folder for sets with surroundings, and a server."""

    root: Path
    server: be.BadServer
    said: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "home" / "data"

    def set_of(self, *addresses: str, archive: bytes = ARCHIVE, known: bool = True) -> DataSet:
        digest = hashlib.sha256(archive).hexdigest()
        size = len(archive)
        return DataSet("toy", "a, b", addresses, *((size, digest) if known else (None, None)))

    def download(self, data_set: DataSet, **options) -> Path:
        options = {"progress": False, "patience": HASTY, "say": self.said.append, **options}
        return download("toy", self.data, sets={"toy": data_set}, **options)

    def scripted(self, *script: be.Behaviour, **of) -> DataSet:
        return self.set_of(self.server.add("toy.zip", *script), **of)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The data folder lies in the middle of a tree, so that an escape in any direction is seen."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "home" / "data" / "other" / "trainA").mkdir(parents=True)
    (tmp_path / "home" / "data" / "other" / "trainA" / "mine.png").write_bytes(PICTURES[0])
    (tmp_path / "home" / "precious.txt").write_text("precious")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with be.bad_server() as server:
        yield Place(tmp_path, server)


def assert_only_toy_came(place: Place, before: dict, extra: tuple[str, ...] = ()) -> None:
    """The set is whole, and nothing else of the whole tree has changed."""
    after = tree(place.root)
    expected = {f"home/data/{name}": content for name, content in ENTRIES.items()}
    assert {name: after[name] for name in expected} == expected
    new = {name for name in after if after[name] != before.get(name)} - set(expected)
    allowed = {"home/data/toy", "home/data/toy/download.json", *extra}
    assert new == allowed | {f"home/data/toy/{folder}" for folder in FOLDERS}
    assert set(before) <= set(after)


# --- servers -------------------------------------------------------------------------------------

HALF = len(ARCHIVE) // 2
ANY = "any"
PAGE = b"<!DOCTYPE html><html><body>Please log in.</body></html>"

# What the only address does, one request after the other, and the Range of each request.
COMES_WELL = {
    "good": ([be.good(ARCHIVE)], [None]),
    "without a length": ([be.no_length(ARCHIVE)], [None]),
    "in chunks": ([be.chunked(ARCHIVE)], [None]),
    "cut off, then the rest": (
        [be.cut_off(ARCHIVE, HALF), be.good(ARCHIVE)],
        [None, f"bytes={HALF}-"],
    ),
    "cut off twice": (
        [be.cut_off(ARCHIVE, 1000), be.cut_off(ARCHIVE, 2000), be.good(ARCHIVE)],
        [None, "bytes=1000-", "bytes=3000-"],
    ),
    "reset in the middle": (
        [be.cut_off(ARCHIVE, HALF, reset=True), be.good(ARCHIVE)],
        [None, ANY],  # a reset throws away what has not been read yet
    ),
    "silent in the middle": (
        [be.silent(ARCHIVE, HALF), be.good(ARCHIVE)],
        [None, f"bytes={HALF}-"],
    ),
    "ignores ranges": (
        [be.cut_off(ARCHIVE, HALF), be.no_ranges(ARCHIVE)],
        [None, f"bytes={HALF}-"],
    ),
    "answers a wrong range": (
        [be.cut_off(ARCHIVE, HALF), be.wrong_range(ARCHIVE)],
        [None, f"bytes={HALF}-", None],
    ),
    "refuses ranges": (
        [be.cut_off(ARCHIVE, HALF), be.no_such_range(ARCHIVE)],
        [None, f"bytes={HALF}-", None],
    ),
    "changes between two parts, with a tag": (
        [be.cut_off(OTHER_ARCHIVE, HALF, tag='"0"'), be.good(ARCHIVE)],
        [None, f"bytes={HALF}-"],
    ),
    "changes between two parts, without a word": (
        [be.cut_off(OTHER_ARCHIVE, HALF, tag=""), be.good(ARCHIVE, tag="")],
        [None, f"bytes={HALF}-", None],
    ),
    "500, then good": ([be.status(500), be.good(ARCHIVE)], [None, None]),
    "503 twice, then good": ([be.status(503), be.status(503), be.good(ARCHIVE)], [None] * 3),
    "500 in the middle": (
        [be.cut_off(ARCHIVE, HALF), be.status(500), be.good(ARCHIVE)],
        [None, f"bytes={HALF}-", f"bytes={HALF}-"],
    ),
}


def test_the_two_archives_can_be_mixed_up():
    assert len(ARCHIVE) == len(OTHER_ARCHIVE)
    assert ARCHIVE != OTHER_ARCHIVE


@pytest.mark.parametrize("case", COMES_WELL)
def test_the_set_comes_well(place, case):
    script, ranges = COMES_WELL[case]
    before = tree(place.root)
    folder = place.download(place.scripted(*script), patience=patience_for(case))
    assert folder == place.data / "toy"
    assert len(place.server.ranges()) == len(ranges)
    for asked, expected in zip(place.server.ranges(), ranges, strict=True):
        assert expected in (asked, ANY)
    assert_only_toy_came(place, before)


# What the only address does, the reason that is given, and whether a part stays to be continued.
COMES_NOT = {
    "truncated for ever": (be.cut_off(ARCHIVE, 0), "no zip archive|broke off", False),
    "short": (be.no_length(ARCHIVE[:-100]), f"broke off after {len(ARCHIVE) - 100:,} of", True),
    "other bytes": (be.good(OTHER_ARCHIVE), "SHA-256 [0-9a-f]{64} and must have", False),
    "another length": (be.good(ARCHIVE + b"x"), f"offers {len(ARCHIVE) + 1:,} bytes", False),
    "longer than it says": (be.no_length(ARCHIVE + b"x" * 99), "sent more than", False),
    "endless": (be.endless(b"PK\x03\x04"), "sent more than", False),
    "404": (be.status(404), "HTTP 404 Not Found", False),
    "500 for ever": (be.status(500), "HTTP 500", False),
    "dripping": (be.drip(ARCHIVE), "too slow", True),
    "silent": (be.silent(ARCHIVE, 0), "no answer in time", False),
    "login page": (be.no_length(PAGE, Content_Type="text/html"), "login page", False),
    "login page with a length": (be.good(PAGE), "offers|login page", False),
    "to a file": (be.status(302, Location="file:///etc/passwd"), "not on the web", False),
    "to no address": (be.status(302, Location="http://[::1"), "not on the web", False),
    "to no host": (be.status(302, Location="http://.x/"), "not on the web", False),
    "in a circle": (be.status(302, Location="/toy.zip"), "in a circle", False),
    "no HTTP": (be.nonsense, "cannot be reached|broke off", False),
    "no zip": (be.no_length(b"%PDF-1.7 and so on"), "no zip archive", False),
    "compressed on the way": (
        be.no_length(b"\x1f\x8b\x08" + ARCHIVE, Content_Encoding="gzip"),
        "no zip archive",
        False,
    ),
}


@pytest.mark.parametrize("case", COMES_NOT)
def test_one_sentence_and_no_trace_if_the_set_does_not_come(place, case):
    behaviour, reason, part = COMES_NOT[case]
    before = tree(place.root)
    with pytest.raises(CourseError, match=reason) as caught:
        place.download(place.scripted(behaviour), patience=patience_for(case))
    # What to do by hand: both ways, with the places.
    sentence = str(caught.value)
    assert f"fetch {place.server.root}/toy.zip" in sentence
    assert str(place.data / "toy.zip") in sentence
    assert "trainA, trainB, testA, testB into" in sentence
    after = tree(place.root)
    left = {name: after.pop(f"home/data/toy.zip.{name}", None) for name in ("part", "part.json")}
    assert after == before
    assert [what is not None for what in left.values()] == [part, part]
    if part:
        assert ARCHIVE.startswith(left["part"])


@pytest.mark.parametrize("case", COMES_NOT)
def test_the_next_address_is_tried(place, case):
    before = tree(place.root)
    bad = place.server.add("toy.zip", COMES_NOT[case][0])
    good = place.server.add("mirror.zip", be.good(ARCHIVE))
    place.download(place.set_of(bad, good), patience=patience_for(case))
    assert any("trying the next address" in sentence for sentence in place.said)
    assert_only_toy_came(place, before)
    assert json.loads((place.data / "toy/download.json").read_text())["source"] == good


def test_a_redirect_is_followed(place):
    place.server.add("elsewhere.zip", be.good(ARCHIVE))
    before = tree(place.root)
    place.download(place.scripted(be.status(302, Location="/elsewhere.zip")))
    assert_only_toy_came(place, before)


def test_an_address_where_nobody_listens_is_left_at_once(place):
    good = place.server.add("toy.zip", be.good(ARCHIVE))
    place.download(place.set_of("http://127.0.0.1:9/toy.zip", good))
    assert "127.0.0.1:9: it cannot be reached; trying the next address." in place.said[0]
    with pytest.raises(CourseError, match="cannot be reached"):
        download(
            "toy",
            place.root / "new",
            progress=False,
            patience=HASTY,
            sets={"toy": place.set_of("http://127.0.0.1:9/toy.zip")},
        )


def test_the_part_of_one_address_is_continued_at_the_next(place):
    bad = place.server.add("toy.zip", be.cut_off(ARCHIVE, HALF), be.status(404))
    good = place.server.add("mirror.zip", be.good(ARCHIVE))
    before = tree(place.root)
    place.download(place.set_of(bad, good))
    assert place.server.ranges() == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    assert_only_toy_came(place, before)


def test_a_login_page_does_not_cost_the_part(place):
    page = be.no_length(PAGE, Content_Type="text/html")
    data_set = place.scripted(be.cut_off(ARCHIVE, HALF), page, be.good(ARCHIVE))
    with pytest.raises(CourseError, match="login page"):
        place.download(data_set)
    assert (place.data / "toy.zip.part").read_bytes() == ARCHIVE[:HALF]
    place.download(data_set)
    assert place.server.ranges()[-1] == f"bytes={HALF}-"


def test_ctrl_c_keeps_the_part(place, monkeypatch):
    data_set = place.scripted(be.good(ARCHIVE))
    before = tree(place.root)
    read = transfer._read
    left = iter([1, 1])

    def interrupted(response):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return read(response)

    monkeypatch.setattr(transfer, "_CHUNK", 20_000)
    monkeypatch.setattr(transfer, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.download(data_set)
    monkeypatch.undo()
    part = (place.data / "toy.zip.part").read_bytes()
    assert 0 < len(part) < len(ARCHIVE)
    assert ARCHIVE.startswith(part)
    place.download(data_set)
    assert place.server.ranges() == [None, f"bytes={len(part)}-"]
    assert_only_toy_came(place, before)


def test_a_spoilt_part_costs_one_more_download(place):
    (place.data / "toy.zip.part").write_bytes(b"PK\x03\x04" + b"?" * 1000)
    place.download(place.scripted(be.good(ARCHIVE)))
    assert place.server.ranges() == ["bytes=1004-", None]
    assert any("the file was wrong and was removed" in sentence for sentence in place.said)
    assert find_downloaded("toy", place.data, {"toy": place.set_of()}) == place.data / "toy"


def test_a_whole_part_is_only_checked(place):
    (place.data / "toy.zip.part").write_bytes(ARCHIVE)
    before = tree(place.root)
    del before["home/data/toy.zip.part"]
    place.download(place.scripted(be.status(404)))
    assert place.server.ranges() == []
    assert_only_toy_came(place, before)


def test_without_a_sum_only_the_same_file_of_the_same_address_is_continued(place):
    data_set = place.scripted(be.cut_off(ARCHIVE, HALF), be.good(ARCHIVE), known=False)
    place.download(data_set)
    assert place.server.seen[1][1]["If-Range"] == '"1"'
    assert place.server.ranges()[1] == f"bytes={HALF}-"
    shutil.rmtree(place.data / "toy")
    (place.data / "toy.zip.part").write_bytes(ARCHIVE[:HALF])  # of unknown origin
    place.download(data_set)
    assert place.server.ranges()[2] is None


def test_without_a_sum_the_found_one_is_recorded_and_said(place):
    place.download(place.scripted(be.good(ARCHIVE), known=False))
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    record = json.loads((place.data / "toy/download.json").read_text())
    assert (record["sha256"], record["sum_was_published"]) == (digest, False)
    assert [sentence for sentence in place.said if digest in sentence]


def test_without_a_sum_a_large_file_is_refused(place, monkeypatch):
    fetch = installing.fetch
    monkeypatch.setattr(installing, "fetch", lambda *a, **kw: fetch(*a, **kw, largest=1000))
    for behaviour in (be.good(ARCHIVE), be.no_length(ARCHIVE), be.endless(b"PK\x03\x04")):
        with pytest.raises(CourseError, match="more than"):
            place.download(place.scripted(behaviour, known=False))
        assert not list(place.data.glob("toy*"))


def test_a_proxy_is_used(place, monkeypatch):
    place.server.add("toy.zip", be.good(ARCHIVE))
    monkeypatch.setenv("HTTP_PROXY", place.server.root)
    place.download(place.set_of("http://sets.example/toy.zip"))
    assert place.server.seen[0][0] == "http://sets.example/toy.zip"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    shutil.rmtree(place.data / "toy")
    with pytest.raises(CourseError, match="proxy cannot be reached"):
        place.download(place.set_of("http://sets.example/toy.zip"))


def test_a_full_disk_is_noticed_before(place, monkeypatch):
    usage = namedtuple("usage", "total used free")
    before = tree(place.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(CourseError, match="make room") as caught:
        place.download(place.scripted(be.good(ARCHIVE)))
    assert "By hand" not in str(caught.value)
    assert tree(place.root) == before


def test_two_processes_download_once(place):
    go = threading.Event()

    def waits(request):
        go.wait(5)
        be.good(ARCHIVE)(request)

    data_set = place.scripted(waits)
    before = tree(place.root)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(place.download(data_set))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if sum("Another process" in sentence for sentence in place.said) == 2:
            break
        threading.Event().wait(0.01)
    go.set()
    for thread in threads:
        thread.join()
    assert found == [place.data / "toy"] * 3
    assert place.server.ranges() == [None]
    assert sum("Another process is downloading toy" in sentence for sentence in place.said) == 2
    assert_only_toy_came(place, before)


# --- archives ------------------------------------------------------------------------------------


def with_entry(entry: zipfile.ZipInfo | str, content: bytes = b"evil") -> bytes:
    return packed({**ENTRIES, entry: content})


def encrypted() -> bytes:
    """The flag of every entry set, in both of its places."""
    data = bytearray(ARCHIVE)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(mark), ARCHIVE):
            data[found.start() + offset] |= 1
    return bytes(data)


def wrong_crc() -> bytes:
    plain = packed(ENTRIES, zipfile.ZIP_STORED)
    at = plain.index(PICTURES[3]) + 5000
    return plain[:at] + bytes([plain[at] ^ 1]) + plain[at + 1 :]


def lying_size() -> bytes:
    """The head of one entry says that it is small; what comes is ten megabytes."""
    name = "toy/trainA/large.png"
    data = bytearray(with_entry(name, b"\0" * 10**7))
    for mark, offset, at in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        for found in re.finditer(re.escape(mark), bytes(data)):
            start = found.start()
            if data[start + at : start + at + len(name)] == name.encode():
                data[start + offset : start + offset + 4] = (100).to_bytes(4, "little")
    return bytes(data)


def only(*folders: str) -> dict[str, bytes]:
    return {name: data for name, data in ENTRIES.items() if name.split("/")[1] in folders}


BAD_ARCHIVES = {
    "up and away": (with_entry(as_is("../evil.png")), "leads out"),
    "up from inside": (with_entry(as_is("toy/trainA/../../../evil.png")), "leads out"),
    "up, not a picture": (with_entry(as_is("../precious.txt")), "leads out"),
    "absolute": (with_entry(as_is("/tmp/evil.png")), "leads out"),
    "two slashes": (with_entry(as_is("//server/share/evil.png")), "leads out"),
    "drive letter": (with_entry(as_is("C:/evil.png")), "leads out"),
    "drive without slash": (with_entry(as_is("C:evil.png")), "leads out"),
    "backslashes": (with_entry(as_is("toy\\trainA\\..\\..\\evil.png")), "leads out"),
    "zero byte": (with_entry(as_is("toy/trainA/good.png\0/../../evil.png")), "leads out"),
    "no name": (with_entry(as_is("")), "leads out|no intact"),
    "link": (with_entry(as_is("toy/trainA/l.png", stat.S_IFLNK | 0o777), b"/etc"), "a link or"),
    "linked folder": (with_entry(as_is("toy/trainC", stat.S_IFLNK | 0o777), b"/etc"), "a link or"),
    "device": (with_entry(as_is("toy/trainA/null.png", stat.S_IFCHR | 0o666), b""), "a device"),
    "pipe": (with_entry(as_is("toy/trainA/pipe.png", stat.S_IFIFO | 0o666), b""), "a device"),
    "bomb": (with_entry("toy/trainA/bomb.png", b"\0" * 3 * 10**6), "zip bomb"),
    "lying size": (lying_size(), "no intact zip archive|zip bomb"),
    "twice the same name": (with_entry(as_is("toy/trainA/0.png")), "more than once"),
    "same name but for case": (
        packed({**ENTRIES, "toy/trainA/x.png": b"1", "toy/trainA/X.PNG": b"2"}),
        "more than once",
    ),
    "same name but for accents": (
        packed({**ENTRIES, "toy/trainA/\u00e9.png": b"1", "toy/trainA/e\u0301.png": b"2"}),
        "more than once",
    ),
    "file and folder": (
        packed({**ENTRIES, "toy/trainA/a.png": b"1", "toy/trainA/a.png/b.png": b"2"}),
        "a file and a folder",
    ),
    "long name": (with_entry(f"toy/trainA/{'x' * 300}.png"), "too long a name"),
    "encrypted": (encrypted(), "encrypted"),
    "unusual compression": (packed(ENTRIES, zipfile.ZIP_BZIP2), "unusual way"),
    "wrong CRC": (wrong_crc(), "no intact zip archive"),
    "no trainB": (packed(only("trainA", "testA", "testB")), "no pictures in a folder trainB"),
    "trainB without pictures": (
        packed({**only("trainA"), "toy/trainB/readme.txt": b"none"}),
        "no pictures in a folder trainB",
    ),
    "empty": (packed({}), "no pictures in a folder trainA"),
    "several sets": (
        packed({**ENTRIES, "more/trainA/1.png": b"1"}),
        r"several sets \(more, toy\)",
    ),
    "cut off at the end": (ARCHIVE[:-300], "no intact zip archive"),
    "its list only": (ARCHIVE[ARCHIVE.index(b"PK\x01\x02") :], "no intact|no zip archive"),
}


@pytest.mark.parametrize("earlier", ["none", "damaged"])
@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_gives_one_sentence_and_leaves_no_trace(place, case, earlier):
    archive, reason = BAD_ARCHIVES[case]
    if earlier == "damaged":  # what is left of an earlier set must not be harmed
        place.download(place.scripted(be.good(ARCHIVE), known=False))
        (place.data / "toy/trainA/0.png").unlink()
    before = tree(place.root)
    with pytest.raises(CourseError, match=reason):
        place.download(place.scripted(be.no_ranges(archive), known=False))
    assert tree(place.root) == before


def test_limits(place):
    for limits, reason in (
        (Limits(files=7), "8 entries, more than the 7"),
        (Limits(bytes=50_000), "more than"),
        (Limits(ratio=0.1, bytes=10**9), None),  # below one megabyte no ratio is minded
    ):
        if reason is None:
            place.download(place.scripted(be.good(ARCHIVE)), limits=limits)
            continue
        with pytest.raises(CourseError, match=reason):
            place.download(place.scripted(be.good(ARCHIVE)), limits=limits)
        assert not (place.data / "toy").exists()


def test_bytes_are_counted_and_not_believed(tmp_path, monkeypatch):
    """Were the sizes in the archive's list wrong, the limit would still hold."""
    (tmp_path / "a.zip").write_bytes(ARCHIVE)
    monkeypatch.setattr(
        unpacking,
        "plan",
        lambda entries, *_: [(entry, unpacking.PurePosixPath(entry.filename)) for entry in entries],
    )
    with pytest.raises(CourseError, match="unpacks to more than"):
        unpacking.unpack(tmp_path / "a.zip", tmp_path / "new", limits=Limits(bytes=50_000))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("top", ["", "a/b/c/", "toy/", "./", "Schöne Bilder/"])
def test_folders_around_the_set_are_understood(place, top):
    entries = {name.replace("toy/", top): data for name, data in ENTRIES.items()}
    extra = {
        f"{top}trainA/.DS_Store": b"x",
        f"{top}trainA/Thumbs.db": b"x",
        f"{top}train/both.png": b"x",
        f"{top}readme.txt": b"x",
        f"__MACOSX/{top}trainA/._0.png": b"x",
    }
    before = tree(place.root)
    archive = packed({**entries, **extra})
    place.download(place.scripted(be.good(archive), archive=archive))
    assert_only_toy_came(place, before)


def test_names_are_made_harmless(place):
    names = {
        "2014-08-01 17:41:55.jpg": "2014-08-01 17_41_55.jpg",  # as in monet2photo
        "con.png": "_con.png",
        "LPT1.x.png": "_LPT1.x.png",
        "what?.png": "what_.png",
        "\u65e5\u672c e\u0301.png": "\u65e5\u672c \u00e9.png",
        "in a folder ./one.png": "in a folder/one.png",
    }
    archive = packed({**ENTRIES, **{f"toy/trainA/{name}": b"x" for name in names}})
    folder = place.download(place.scripted(be.good(archive), archive=archive)) / "trainA"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"0.png", "1.png", *names.values()}


def test_random_damage_never_escapes(tmp_path):
    """120 archives with a few bytes changed: the right pictures, or one sentence and no trace."""
    rng = random.Random(0)
    plain = packed({name: data[:300] for name, data in ENTRIES.items()})
    contents = {data[:300] for data in ENTRIES.values()}
    outcomes = {True: 0, False: 0}
    for _ in range(120):
        data = bytearray(plain)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "a.zip").write_bytes(data)
        try:
            unpacking.unpack(tmp_path / "a.zip", tmp_path / "new")
        except CourseError:
            assert {path.name for path in tmp_path.iterdir()} == {"a.zip"}
            outcomes[False] += 1
        else:
            assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "new"}
            files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
            assert {path.read_bytes() for path in files} <= contents
            shutil.rmtree(tmp_path / "new")
            outcomes[True] += 1
    assert min(outcomes.values()) > 5


def test_unpack_does_not_touch_a_folder_that_is_there(tmp_path):
    (tmp_path / "a.zip").write_bytes(ARCHIVE)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").write_text("mine")
    with pytest.raises(CourseError, match="cannot be written"):
        unpacking.unpack(tmp_path / "a.zip", tmp_path / "new")
    assert (tmp_path / "new" / "mine.txt").read_text() == "mine"


# --- what is on the disk -------------------------------------------------------------------------


def test_a_set_that_is_there_is_left_alone(place):
    data_set = place.scripted(be.good(ARCHIVE), be.status(404))
    place.download(data_set)
    before = tree(place.root)
    place.said.clear()
    assert place.download(data_set) == place.data / "toy"
    assert place.said == [f"toy is there already: {place.data / 'toy'}"]
    assert tree(place.root) == before
    assert len(place.server.seen) == 1


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "folder gone"])
def test_a_damaged_set_is_repaired_and_own_files_stay(place, damage):
    data_set = place.scripted(be.good(ARCHIVE))
    before = tree(place.root)
    folder = place.download(data_set)
    (folder / "trainA" / "mine.txt").write_text("mine")
    victim = folder / "trainB" / "1.png"
    if damage == "missing":
        victim.unlink()
    elif damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif damage == "changed":
        victim.write_bytes(bytes(len(victim.read_bytes())))
    else:
        shutil.rmtree(folder / "testB")
    if damage != "changed":  # that is only seen by reading all files
        with pytest.raises(
            CourseError, match=r"cyclegan-course download toy --folder .* repairs it"
        ):
            find_downloaded("toy", place.data, {"toy": data_set})
    place.download(data_set)
    assert place.said[-1] == f"toy: files put back: {2 if damage == 'folder gone' else 1}."
    assert_only_toy_came(place, before, extra=("home/data/toy/trainA/mine.txt",))
    assert find_downloaded("toy", place.data, {"toy": data_set}) == folder


def test_what_a_killed_process_left_is_cleared_away(place):
    (place.data / ".toy-0123.unpacking" / "trainA").mkdir(parents=True)
    before = tree(place.root)
    place.download(place.scripted(be.good(ARCHIVE)))
    left = {name for name in before if ".unpacking" in name}
    assert_only_toy_came(place, {n: what for n, what in before.items() if n not in left})


def test_an_archive_that_was_placed_by_hand_is_taken_and_kept(place):
    (place.data / "toy.zip").write_bytes(ARCHIVE)
    before = tree(place.root)
    place.download(place.scripted(be.status(404)))
    assert place.server.seen == []
    assert_only_toy_came(place, before)


def test_a_wrong_archive_that_was_placed_by_hand_is_refused_and_kept(place):
    for content in (OTHER_ARCHIVE, ARCHIVE[:-1], PAGE, b""):
        (place.data / "toy.zip").write_bytes(content)
        before = tree(place.root)
        with pytest.raises(CourseError, match="is not the published file: it"):
            place.download(place.scripted(be.good(ARCHIVE)))
        assert tree(place.root) == before


def test_folders_that_were_placed_by_hand_are_taken(place):
    for name, content in only("trainA", "trainB").items():
        (place.data / name).parent.mkdir(parents=True, exist_ok=True)
        (place.data / name).write_bytes(content)
    before = tree(place.root)
    assert place.download(place.scripted(be.status(404))) == place.data / "toy"
    assert find_downloaded("toy", place.data, {"toy": place.set_of()}) == place.data / "toy"
    assert tree(place.root) == before


def test_another_folder_of_that_name_is_not_touched(place):
    (place.data / "toy" / "trainA").mkdir(parents=True)
    (place.data / "toy" / "trainA" / "mine.png").write_bytes(PICTURES[0])
    before = tree(place.root)
    with pytest.raises(CourseError, match="no pictures in trainB"):
        place.download(place.scripted(be.good(ARCHIVE)))
    assert tree(place.root) == before
    assert find_downloaded("toy", place.data, {"toy": place.set_of()}) is None


def test_an_empty_folder_of_that_name_is_filled(place):
    (place.data / "toy").mkdir()
    before = tree(place.root)
    del before["home/data/toy"]
    place.download(place.scripted(be.good(ARCHIVE)))
    assert_only_toy_came(place, before)


def test_a_file_in_place_of_the_folder(place):
    with pytest.raises(CourseError, match="cannot be used"):
        download("toy", place.root / "home" / "precious.txt", sets={"toy": place.set_of()})
    (place.data / "toy").write_text("a file")
    with pytest.raises(CourseError, match="is no such set"):
        place.download(place.scripted(be.good(ARCHIVE)))
    assert (place.data / "toy").read_text() == "a file"


def test_keep_archive(place):
    place.download(place.scripted(be.good(ARCHIVE)), keep_archive=True)
    assert (place.data / "toy.zip").read_bytes() == ARCHIVE
    shutil.rmtree(place.data / "toy")
    place.download(place.scripted(be.status(404)))
    assert (place.data / "toy.zip").read_bytes() == ARCHIVE


def test_a_record_that_was_tampered_with_leads_nowhere(place):
    data_set = place.scripted(be.good(ARCHIVE))
    folder = place.download(data_set)
    before = tree(place.root)
    record = json.loads((folder / "download.json").read_text())
    record["files"]["../../precious.txt"] = [1, 1]
    (folder / "download.json").write_text(json.dumps(record))
    place.download(data_set)
    assert tree(place.root) == before
    (folder / "download.json").write_text("{ no json")
    assert place.download(data_set) == folder


def test_the_folder_is_the_users_cache_or_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("CYCLEGAN_COURSE_DATA", raising=False)
    assert default_folder().parts[-1] == "data"
    assert "cyclegan-course" in default_folder().parts
    monkeypatch.setenv("CYCLEGAN_COURSE_DATA", str(tmp_path / "sets"))
    assert default_folder() == tmp_path / "sets"
    assert find_downloaded("horse2zebra") is None
    for folder in ("trainA", "trainB"):
        (tmp_path / "sets" / "horse2zebra" / folder).mkdir(parents=True)
        (tmp_path / "sets" / "horse2zebra" / folder / "1.jpg").write_bytes(b"x")
    assert find_downloaded("horse2zebra") == tmp_path / "sets" / "horse2zebra"
    assert find_downloaded("painting") is None
    assert find_downloaded("../sets") is None


def test_a_downloaded_set_can_be_trained_on(place):
    folder = place.download(place.scripted(be.good(ARCHIVE)))
    source = datasets.open_source(folder, load_size=32)
    assert [len(source.train_A), len(source.train_B), len(source.test_A), len(source.test_B)] == (
        [2] * 4
    )
    assert not source.skipped


# --- the catalogue and the command ---------------------------------------------------------------


def test_the_catalogue():
    assert len(SETS) == 11
    for name, data_set in SETS.items():
        assert data_set.name == name
        assert data_set.addresses[0].endswith(f"edu/cyclegan/datasets/{name}.zip")
        assert len(data_set.addresses) >= 2
        for address in data_set.addresses:
            assert re.fullmatch(r"https?://[\w.-]+/[\w./%-]+\.zip", address)
        if name != "ae_photos":
            assert re.fullmatch("[0-9a-f]{64}", data_set.sha256)
            assert data_set.size > 10**7
    assert SETS["horse2zebra"].size == 116_867_962
    assert SETS["monet2photo"].sha256.startswith("88f91b00fc228f97")
    assert len({data_set.sha256 for data_set in SETS.values()}) == len(SETS)


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    options = parser.parse_args(["download", *arguments])
    return options.run(options)


def test_the_command(place, monkeypatch, capsys):
    toy = place.scripted(be.good(ARCHIVE))
    for module in (command, installing):
        monkeypatch.setattr(module, "SETS", {"toy": toy})
    monkeypatch.setattr(command, "download", lambda *a: download(*a, sets={"toy": toy}))
    monkeypatch.setattr(command, "find_downloaded", lambda *a: find_downloaded(*a, {"toy": toy}))
    monkeypatch.setenv("CYCLEGAN_COURSE_DATA", str(place.data))
    assert run("--list") == 0
    assert re.search(r"^toy +0 MB  no +a, b$", capsys.readouterr().out, re.M)
    assert run("toy") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "cyclegan-course train --data toy"
    assert run("--list") == 0
    assert re.search(r"^toy +0 MB  yes +a, b$", capsys.readouterr().out, re.M)
    (place.data / "toy/testA/0.png").unlink()
    assert run("--list") == 0
    assert "damaged" in capsys.readouterr().out
    assert run("toy", "--folder", "here", "--keep-archive") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("train --data here/toy")
    assert Path("here/toy.zip").read_bytes() == ARCHIVE
    with pytest.raises(CourseError, match="--list"):
        run()


def test_names_that_there_are_not(tmp_path):
    with pytest.raises(CourseError, match="no set 'zebra2horse' to download; there are horse2zeb"):
        download("zebra2horse", tmp_path)
    with pytest.raises(CourseError, match="cityscapes may not be passed on"):
        download("cityscapes", tmp_path)
    assert not list(tmp_path.iterdir())
