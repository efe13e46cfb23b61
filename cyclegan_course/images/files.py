"""Finding picture files, and writing files that are either whole or absent."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from cyclegan_course.errors import CourseError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

# Names of files that are still being written: by `whole_file`, and by safetensors' `save_file`,
# which writes to a name of its own before it gives the file the name that was asked for.
_UNFINISHED = (f".{'?' * 32}.part", ".tmp??????")
_LONGEST_NAME = 200  # characters of a path in a sentence


def shown(path: str | os.PathLike) -> str:
    """A path as it stands in a sentence: on one line, printable everywhere, not endless."""
    text = str(path)
    if not text.isprintable():  # line ends, or bytes that are no text and cannot be printed
        text = repr(text)
    if len(text) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        text = f"{text[:half]}...{text[-half:]}"
    return text


def find_pictures(folder: str | os.PathLike) -> list[Path]:
    """All picture files in `folder` and below, sorted by their path; possibly none.

    A picture is what ends in one of `PICTURE_SUFFIXES`, in upper or lower case. Hidden files and
    folders are skipped (`.ipynb_checkpoints`, macOS's `._` companions). Links to folders are not
    followed. Raises CourseError if the folder is missing or may not be read.
    """
    return [path for path in find_files(folder) if path.name.lower().endswith(PICTURE_SUFFIXES)]


def find_files(folder: str | os.PathLike) -> list[Path]:
    """All files in `folder` and below that are not hidden, in the order of `find_pictures`."""
    folder = Path(folder).expanduser()
    check_folder(folder)

    def refuse(error: OSError) -> None:
        raise CourseError(
            f"The folder {shown(error.filename)} may not be read: change its permissions."
        )

    found = []
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in files if not name.startswith(".")]
    # as_posix: the same order on Windows, where paths compare without case
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def check_folder(folder: Path) -> None:
    """Raises CourseError if there is no such folder."""
    try:
        if not folder.exists():
            raise CourseError(
                f"There is no folder {shown(folder)} (looked in {Path.cwd()}): check the name of "
                "the folder."
            )
        if not folder.is_dir():
            raise CourseError(
                f"{shown(folder)} is not a folder: give the folder that holds the pictures."
            )
    except OSError as error:  # a name that is too long, a folder above that is closed
        raise CourseError(
            f"{shown(folder)} cannot be opened ({error.strerror}): check the name and the "
            "permissions of the folder."
        ) from error


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file that is either whole or absent: `with whole_file(path) as temporary: ...`.

    The block writes to `temporary`, a new name in the same folder; at its end the file is flushed
    to the disk and moved to `path` in one step (`os.replace`). If the block fails or is
    interrupted, an older file at `path` stays as it was and the temporary one is removed; a
    process that is killed leaves it behind (see `remove_unfinished`). Any OSError becomes a
    CourseError.
    """
    path = Path(path).expanduser()
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise CourseError(f"{shown(path)} is a folder: give the name of a file.")
        try:
            yield temporary
            # Without this a power cut after the renaming may leave the new name on empty blocks.
            with open(temporary, "r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # KeyboardInterrupt too: no half-written file stays behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(
            f"{shown(path)} cannot be written ({reason}): choose a folder that is yours, on a disk "
            "with free space."
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make a renaming in the folder last through a power cut, where the platform can."""
    with contextlib.suppress(OSError):  # Windows and some network disks cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_unfinished(folder: str | os.PathLike) -> list[Path]:
    """Remove what killed processes left of files that they were writing in `folder` and below.

    Call it only while nobody writes there. Returns the files that were removed.
    """
    found = [file for name in _UNFINISHED for file in Path(folder).rglob(name) if file.is_file()]
    for file in found:
        with contextlib.suppress(OSError):
            file.unlink()
    return [file for file in found if not file.exists()]


def write_text(text: str, path: str | os.PathLike) -> None:
    """Write a text file that is either whole or absent: UTF-8, the same line ends everywhere."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
