"""A classic set by its name: fetched, checked, unpacked, put into its place in one step."""

import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import filelock

from cyclegan_course.downloads.catalogue import SETS, DataSet
from cyclegan_course.downloads.fetching import (
    NotFetchedError,
    fetch,
    mismatch,
    sha256_of,
)
from cyclegan_course.downloads.installed import (
    RECORD,
    VARIABLE,
    damaged_files,
    data_folder,
    lacking_folder,
    repair,
    write_record,
)
from cyclegan_course.downloads.transfer import Patience, drop_part
from cyclegan_course.downloads.unpacking import FOLDERS, Limits, unpack
from cyclegan_course.errors import CourseError


@dataclass(frozen=True)
class _Manner:
    """How `download` goes about it; its arguments of the same names."""

    keep_archive: bool
    progress: bool
    say: Callable[[str], None]
    patience: Patience | None
    limits: Limits | None


def download(
    name: str,
    folder: Path | None = None,
    keep_archive: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
    patience: Patience | None = None,
    limits: Limits | None = None,
    sets: Mapping[str, DataSet] = SETS,
) -> Path:
    """Have a classic set ready: nothing to do, repaired, taken from an archive, or downloaded.

    An archive NAME.zip that lies in the folder already is taken in place of a download. The set
    comes to FOLDER/NAME in one step, so it is whole or not there. Two processes that want the same
    set do not disturb each other: the second waits.

    Args:
        name: of the set.
        folder: where sets lie, `data_folder()` by default.
        keep_archive: keep the archive beside the set.
        progress: show bars.
        say: takes each sentence for the learner.
        patience: with servers.
        limits: of what an archive may unpack to.
        sets: the sets that there are.

    Returns:
        FOLDER/NAME, which holds trainA, trainB, testA and testB.

    Raises:
        CourseError: if there is no such set, it cannot be had, or it is not what it should be.
    """
    data_set = _known(name, sets)
    folder = (folder or data_folder()).expanduser()
    manner = _Manner(keep_archive, progress, say, patience, limits)
    try:
        # Before anything is written: a set that an instructor shares may not be writable.
        if _is_there(folder / name, data_set):
            say(f"{name} is there already: {folder / name}")
            return folder / name
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f".{name}.lock")
        try:
            held = lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"Another process is downloading {name}; waiting for it.")
            held = lock.acquire()
        with held:
            return _install(data_set, folder, manner)
    except OSError as error:
        raise CourseError(
            f"{str(folder)!r} cannot be used ({error.strerror or error}); choose another folder "
            f"with --folder, or with the variable {VARIABLE}."
        ) from error


def _known(name: str, sets: Mapping[str, DataSet]) -> DataSet:
    if name in sets:
        return sets[name]
    if name == "cityscapes":
        raise CourseError(
            "cityscapes may not be passed on: get it from cityscapes-dataset.com and put its "
            "pictures into trainA and trainB of a folder of your own."
        )
    raise CourseError(f"There is no set {name!r} to download; there are {', '.join(sets)}.")


def _is_there(target: Path, data_set: DataSet) -> bool:
    whole = lacking_folder(target, data_set.needs) is None
    return whole and not damaged_files(target, read=True)


def _install(data_set: DataSet, folder: Path, manner: _Manner) -> Path:
    """What `download` does while it holds the lock."""
    target, archive = folder / data_set.name, folder / f"{data_set.name}.zip"
    if _is_there(target, data_set):  # the process that was waited for has done it
        return target
    for leftover in folder.glob(f".{data_set.name}-*.unpacking"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    damaged = bool(damaged_files(target, read=True))
    if target.exists() and not damaged and not _is_empty_folder(target):
        raise CourseError(
            f"{str(target)!r} is there and is no such set: it has no pictures in "
            f"{lacking_folder(target, data_set.needs)}. Put them there, or move it away; then run "
            "the command again."
        )
    given = archive.exists()
    source = _checked(archive, data_set) if given else _fetch(data_set, archive, manner)
    unpacked = folder / f".{data_set.name}-{uuid.uuid4().hex}.unpacking"
    try:
        files = unpack(archive, unpacked, data_set.needs, manner.limits, manner.progress)
        sha256 = data_set.sha256 or sha256_of(archive)
        write_record(unpacked, data_set, source, archive.stat().st_size, sha256, files)
        if damaged:
            manner.say(f"{data_set.name}: files put back: {repair(unpacked, target, files)}.")
        else:
            if target.exists():
                target.rmdir()  # empty; Windows renames nothing onto a folder
            unpacked.rename(target)
    except CourseError:
        # Without a published sum nothing says that the archive is worth keeping.
        if not given and data_set.sha256 is None:
            archive.unlink()
        raise
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    if data_set.sha256 is None:
        manner.say(
            f"No sum of {archive.name} is published, so only its limits and CRCs were checked; its "
            f"SHA-256 is {sha256}, recorded in {RECORD}."
        )
    drop_part(archive)
    if not given and not manner.keep_archive:
        archive.unlink()
    return target


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _checked(archive: Path, data_set: DataSet) -> str:
    """The source of an archive that was placed by hand, or kept, after it was checked."""
    problem = mismatch(archive, data_set.size, data_set.sha256)
    if problem:
        raise CourseError(
            f"{str(archive)!r} is not the published file: {problem}. Move it away, then run the "
            "command again."
        )
    return archive.name


def _fetch(data_set: DataSet, archive: Path, manner: _Manner) -> str:
    try:
        return fetch(
            data_set.addresses,
            archive,
            data_set.size,
            data_set.sha256,
            patience=manner.patience,
            progress=manner.progress,
            say=manner.say,
        )
    except NotFetchedError as error:
        raise CourseError(
            f"{data_set.name} could not be downloaded ({error}). By hand: fetch "
            f"{data_set.addresses[0]} on any computer and put it as {str(archive)!r}, or put its "
            f"folders {', '.join(FOLDERS)} into {str(archive.with_suffix(''))!r}; then run the "
            "command again, which checks and takes what it finds."
        ) from error
