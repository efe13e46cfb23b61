"""Which students there are in a folder of submissions, and which notebooks each handed in."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclegan_course.errors import CourseError

# Moodle: "Anna Müller_12345_assignsubmission_file_", with or without the last underscore.
_MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_\w+?_?$")
# Canvas: "mulleranna_12345_67890_my notebook-1.ipynb", with "_LATE" behind the name where it was.
_CANVAS = re.compile(r"^(?P<name>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_.+$")
_SKIPPED = ("__MACOSX", "__pycache__")


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Args:
        key: the entry of the folder that it came from; no two submissions have the same.
        student: the name as well as the entry tells it.
        notebooks: files, possibly none.
    """

    key: str
    student: str
    notebooks: tuple[Path, ...]

    @property
    def page(self) -> str:
        """Name of the student's files: readable, and different for each key on every disk."""
        plain = unicodedata.normalize("NFKD", self.student).encode("ascii", "ignore").decode()
        words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40]
        return "-".join(filter(None, [words, digest(self.key.encode("utf-8", "replace"))[:10]]))


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def find_submissions(folder: Path) -> tuple[list[Submission], list[str]]:
    """The submissions in a folder, by name, and the entries that are none.

    A notebook in the folder is a student's, named like the file; several that Canvas wrote for one
    student belong together. A folder in it is a student's, with all notebooks in it and below.
    Hidden entries, copies that Jupyter keeps, and links are passed over.

    Raises:
        CourseError: if there is no such folder, or no submission in it.
    """
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}: name the folder of all submissions.")
    flat: dict[tuple[str, str], list[Path]] = {}
    found, others = [], []
    for entry in sorted(folder.iterdir(), key=lambda path: path.name.casefold()):
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_symlink():
            others.append(entry.name)
        elif entry.is_dir():
            match = _MOODLE.match(entry.name)
            name = match["name"] if match else entry.name
            found.append(Submission(entry.name, name, tuple(_notebooks_below(entry))))
        elif entry.suffix.lower() == ".ipynb":
            match = _CANVAS.match(entry.stem)
            key = (match["name"], match["id"]) if match else (entry.stem, entry.name)
            flat.setdefault(key, []).append(entry)
        else:
            others.append(entry.name)
    found += [Submission(files[0].name, name, tuple(files)) for (name, _), files in flat.items()]
    if not found:
        raise CourseError(
            f"There are no notebooks in {folder}: it should hold one .ipynb file or one folder for "
            "each student. Unpack an archive first."
        )
    return sorted(found, key=lambda one: (one.student.casefold(), one.key)), others


def _notebooks_below(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir(), key=lambda path: path.name.casefold()):
        if entry.name.startswith(".") or entry.name in _SKIPPED or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _notebooks_below(entry)
        elif entry.suffix.lower() == ".ipynb":
            yield entry
