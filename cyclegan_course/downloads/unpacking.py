"""Unpacking a zip archive that nobody vouches for: pictures only, into a new folder only."""

import errno
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from cyclegan_course.errors import CourseError
from cyclegan_course.images import PICTURE_SUFFIXES

FOLDERS = ("trainA", "trainB", "testA", "testB")

# What zipfile raises on a damaged or unusual archive (its sources; the tests damage archives).
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,  # a compression that zip has and Python has not
    OverflowError,
    RuntimeError,
    UnicodeError,
    ValueError,
)
_CHUNK = 2**20
_LONGEST_NAME = 200  # bytes; file systems allow 255, and temporary names need some
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_WINDOWS_FORBIDS = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Limits:
    """What an archive may do at most.

    Args:
        files: number of its entries.
        bytes: of all pictures together, counted while they are unpacked.
        ratio: bytes of one picture to its bytes in the archive; pictures are compressed already.
    """

    files: int = 50_000
    bytes: int = 8 * 2**30
    ratio: float = 200.0


def unpack(
    archive: Path,
    folder: Path,
    needs: Sequence[str] = ("trainA", "trainB"),
    limits: Limits | None = None,
    progress: bool = False,
) -> dict[str, tuple[int, int]]:
    """Unpack the pictures of an archive into a new folder: trainA, trainB, testA, testB.

    Nothing is written before all names are checked. After an error the new folder is gone again.

    Args:
        archive: a zip file; its four folders may lie in folders of their own.
        folder: must not exist.
        needs: those of the four that must hold a picture.
        limits: `Limits()` by default.
        progress: show a bar.

    Returns:
        Bytes and CRC-32 of each file, by its path inside `folder` with forward slashes.

    Raises:
        CourseError: if the archive is damaged, encrypted, dangerous, too large, or lacks pictures.
    """
    limits = limits or Limits()
    try:
        with zipfile.ZipFile(archive) as opened:
            places = plan(opened.infolist(), needs, limits)
            check_space(folder.parent, sum(entry.file_size for entry, _ in places))
            folder.mkdir()
            try:
                return _write(opened, places, folder, limits, progress)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    except _BROKEN as error:
        raise CourseError(f"{archive.name} is no intact zip archive: {error}.") from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise CourseError(
            f"{str(folder.parent)!r} cannot be written ({error.strerror or error}): "
            f"{'make room, or ' if full else ''}choose another folder."
        ) from error


def plan(
    entries: Sequence[zipfile.ZipInfo], needs: Sequence[str], limits: Limits
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Which entries are unpacked, and the path of each inside the new folder.

    Every entry is checked, also those that are left in the archive.

    Raises:
        CourseError: if any entry is dangerous, or the needed folders hold no pictures.
    """
    if len(entries) > limits.files:
        raise CourseError(
            f"The archive has {len(entries):,} entries, more than the {limits.files:,} allowed."
        )
    parts = [_checked_parts(entry) for entry in entries]
    top = _top(parts)
    places = []
    for entry, names in zip(entries, parts, strict=True):
        inside = names[len(top) :]
        if entry.is_dir() or names[: len(top)] != top or len(inside) < 2:
            continue
        hidden = any(name.startswith(".") or name == "__MACOSX" for name in inside)
        if inside[0] in FOLDERS and not hidden and inside[-1].lower().endswith(PICTURE_SUFFIXES):
            places.append((entry, PurePosixPath(*map(_harmless, inside))))
    _refuse_collisions([path for _, path in places])
    counts = Counter(path.parts[0] for _, path in places)
    for name in needs:
        if not counts[name]:
            raise CourseError(f"The archive holds no pictures in a folder {name}.")
    total = sum(entry.file_size for entry, _ in places)
    if total > limits.bytes:
        raise _too_large(limits)
    return places


def check_space(folder: Path, needed: float) -> None:
    """Raise `CourseError` unless the disk of a folder has so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CourseError(
            f"The disk of {str(folder)!r} has {free / 1e6:,.0f} MB free and {needed / 1e6:,.0f} MB "
            "are needed: make room, or choose another folder."
        )


def _checked_parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The folders and the name of an entry."""
    # Before zipfile cuts it at a zero byte and, on Windows, turns its backslashes.
    name = entry.orig_filename
    parts = tuple(part for part in name.removesuffix("/").split("/") if part != ".")
    if (
        not name
        or "\\" in name
        or "\0" in name
        or re.match(r"[A-Za-z]:", name)
        or any(part in ("", "..") for part in parts)
    ):
        raise CourseError(f"The archive has an entry that leads out of its folder: {name!r}.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CourseError(f"The archive has an entry that is a link or a device: {name!r}.")
    if entry.flag_bits & 0x41:  # encrypted, by the old or by the strong method
        raise CourseError(f"The archive is encrypted ({name!r}); fetch one without a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CourseError(f"The archive packs {name!r} in an unusual way; fetch another one.")
    return parts


def _top(parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The folders around trainA and the others: the fewest, if there are several."""
    tops = {names[: names.index(name)] for names in parts for name in FOLDERS if name in names}
    fewest = min(map(len, tops), default=0)
    nearest = [top for top in tops if len(top) == fewest]
    if len(nearest) > 1:
        named = ", ".join(sorted("/".join(top) for top in nearest))
        raise CourseError(f"The archive holds several sets ({named}); fetch one with a single set.")
    return nearest[0] if nearest else ()


def _harmless(name: str) -> str:
    """A file name that every system accepts; the photographs of monet2photo have colons."""
    name = unicodedata.normalize("NFC", name)
    name = _WINDOWS_FORBIDS.sub("_", name).rstrip(" .") or "_"
    if _WINDOWS_DEVICES.fullmatch(name):
        name = f"_{name}"
    if len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise CourseError(f"The archive has an entry with too long a name: {name[:40]!r}...")
    return name


def _refuse_collisions(paths: Sequence[PurePosixPath]) -> None:
    """Two entries must not become one file, on a system that ignores case either."""
    counts = Counter(path.as_posix().casefold() for path in paths)
    for path in paths:
        folded = path.as_posix().casefold()
        if counts[folded] > 1:
            raise CourseError(f"The archive holds {path.as_posix()!r} more than once.")
        if any(parent.as_posix().casefold() in counts for parent in path.parents):
            raise CourseError(f"The archive holds a file and a folder of one name: {path.parent}.")


def _write(
    opened: zipfile.ZipFile,
    places: Sequence[tuple[zipfile.ZipInfo, PurePosixPath]],
    folder: Path,
    limits: Limits,
    progress: bool,
) -> dict[str, tuple[int, int]]:
    files: dict[str, tuple[int, int]] = {}
    total = 0
    for entry, place in tqdm(places, "unpacking", leave=False, disable=not progress):
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        allowed = max(_CHUNK, limits.ratio * entry.compress_size)
        written = 0
        # CRC and length are checked by zipfile when it comes to the end of the entry.
        with opened.open(entry) as source, target.open("xb") as sink:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                total += len(chunk)
                if total > limits.bytes:
                    raise _too_large(limits)
                if written > allowed:
                    raise CourseError(
                        f"The archive's entry {entry.filename!r} unpacks to more than "
                        f"{limits.ratio:g} times its size, as a zip bomb does; nothing was kept."
                    )
                sink.write(chunk)
        if written != entry.file_size:
            raise zipfile.BadZipFile(f"{entry.filename!r} ends too early")
        files[place.as_posix()] = written, entry.CRC
    return files


def _too_large(limits: Limits) -> CourseError:
    return CourseError(f"The archive unpacks to more than {limits.bytes / 1e6:,.0f} MB.")
