"""Which sets are there, and whether they are whole: the record that each one keeps of itself."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from cyclegan_course.downloads.catalogue import SETS, DataSet
from cyclegan_course.errors import CourseError
from cyclegan_course.images import PICTURE_SUFFIXES

VARIABLE = "CYCLEGAN_COURSE_DATA"
RECORD = "download.json"


def data_folder() -> Path:
    """Where downloaded sets lie: the variable CYCLEGAN_COURSE_DATA, else the user's cache folder.

    That is ~/.cache/cyclegan-course/data on Linux, ~/Library/Caches/cyclegan-course/data on macOS,
    %LOCALAPPDATA%\\cyclegan-course\\Cache\\data on Windows: one place for all clones and notebooks.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("cyclegan-course", appauthor=False) / "data"


def find_downloaded(
    name: str, folder: Path | None = None, sets: Mapping[str, DataSet] = SETS
) -> Path | None:
    """The folder of a classic set that was downloaded, or placed by hand; None without one.

    Args:
        name: of the set, `horse2zebra` for instance; any other word gives None.
        folder: where sets lie, `data_folder()` by default.
        sets: the sets that there are.

    Raises:
        CourseError: if files of a downloaded set are missing or have another size.
    """
    if name not in sets:
        return None
    target = (folder or data_folder()).expanduser() / name
    damaged = damaged_files(target)
    if damaged:
        where = f" --folder {folder}" if folder else ""
        raise CourseError(
            f"{str(target)!r} is damaged: {len(damaged)} of its files are missing or changed, "
            f"{damaged[0]} for instance. `cyclegan-course download {name}{where}` repairs it."
        )
    return target if lacking_folder(target, sets[name].needs) is None else None


def lacking_folder(target: Path, needs: tuple[str, ...]) -> str | None:
    """The first needed folder that holds no picture; None if all do."""
    for name in needs:
        files = (target / name).rglob("*")
        if not any(file.suffix.lower() in PICTURE_SUFFIXES for file in files):
            return name
    return None


def damaged_files(target: Path, read: bool = False) -> list[str]:
    """Files that are missing or have changed since they were unpacked; none without a record.

    Args:
        target: the folder of a set.
        read: read every file and compare its CRC-32; otherwise only its size.
    """
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
        files = [(str(path), int(size), int(crc)) for path, (size, crc) in record["files"].items()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [path for path, size, crc in files if not _intact(target / path, size, crc, read)]


def repair(unpacked: Path, target: Path, files: Mapping[str, tuple[int, int]]) -> int:
    """Put back each file that is missing or has changed; what else lies in the target stays.

    Args:
        unpacked: a folder with all files, with its record.
        target: the damaged one.
        files: bytes and CRC-32 by path.

    Returns:
        How many were put back.
    """
    count = 0
    for path, (size, crc) in files.items():
        if not _intact(target / path, size, crc, read=True):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / path).replace(target / path)
            count += 1
    (unpacked / RECORD).replace(target / RECORD)
    return count


def write_record(
    folder: Path,
    data_set: DataSet,
    source: str,
    size: int,
    sha256: str,
    files: Mapping[str, tuple[int, int]],
) -> None:
    """Record beside the pictures where they come from, and what every file must be."""
    record = {
        "name": data_set.name,
        "source": source,
        "bytes": size,
        "sha256": sha256,
        "sum_was_published": data_set.sha256 is not None,
        "files": files,
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def _intact(path: Path, size: int, crc: int, read: bool) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != size:
            return False
        return not read or zlib.crc32(path.read_bytes()) == crc
    except (OSError, ValueError):
        return False
