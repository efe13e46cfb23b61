"""Translating files and whole folders."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclegan_course.errors import CourseError
from cyclegan_course.images import PHOTO_SUFFIXES, find_pictures, read_photo, save_photo, shown
from cyclegan_course.translate.photos import check_working_size
from cyclegan_course.translate.translator import Translator

Result = tuple[Path, Path | CourseError]


@dataclass(frozen=True)
class Job:
    """One picture to translate.

    Attributes:
        source: the file, or a folder in which there is nothing to translate.
        target: the file that the result is written to.
        fault: why there will be no result, if that is known already.
    """

    source: Path
    target: Path
    fault: CourseError | None = None

    def is_done(self) -> bool:
        """Whether there is a result that is not older than the picture."""
        try:
            return self.target.stat().st_mtime_ns >= self.source.stat().st_mtime_ns
        except OSError:
            return False


def translate_files(
    paths: Iterable[str | os.PathLike],
    translator: Translator,
    out_folder: str | os.PathLike,
    working_size: int | str | None = None,
    suffix: str = ".png",
    batch: int = 1,
    skip_existing: bool = False,
    progress: Callable[..., Iterable[Result]] | None = None,
) -> Iterator[Result]:
    """Translate files and whole folders; an unreadable picture does not stop the others.

    Yields (input, result) after each picture, where the result is the new file (see
    `plan_files`) or the CourseError that says why there is none. 16 bits and transparency are
    kept where the format of the results can hold them (.png, .tif). Files appear under their
    names only when they are whole.

    Args:
        paths: files and folders; or one of them.
        translator: see `load_translator`.
        out_folder: is made if it is not there.
        working_size: as in `Translator.__call__`.
        suffix: of the results, one of `images.PHOTO_SUFFIXES`, the dot may be left out.
        batch: pictures that are read, translated and written at a time. Those that have equal
            sizes, once reduced, go through the network together, which is faster on a GPU.
        skip_existing: leave out pictures whose result is there and not older than they are. What
            it was made with is not looked at: after a change of the working size, translate anew.
        progress: wraps the results as `progress(results, total=number)`; `tqdm` for instance.

    Raises CourseError, before the first picture, for wrong settings, if `out_folder` cannot be
    made or is itself one of the input folders.
    """
    check_working_size(working_size, 0)  # a wrong one is the caller's fault, not each picture's
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise CourseError(f"The batch is a number of pictures from 1, not {batch!r}.")
    jobs = plan_files(paths, translator.label, out_folder, suffix)
    if skip_existing:
        jobs = [job for job in jobs if job.fault or not job.is_done()]
    results = translate_jobs(jobs, translator, working_size, batch)
    return iter(results if progress is None else progress(results, total=len(jobs)))


def plan_files(
    paths: Iterable[str | os.PathLike],
    label: str,
    out_folder: str | os.PathLike,
    suffix: str = ".png",
) -> list[Job]:
    """Which picture goes to which file; makes `out_folder`, and reads nothing.

    `photos/sub/cat.jpg` of the input folder `photos` goes to `out_folder/sub/cat_LABEL.png`, such
    as `cat_painting.png`. Where pictures differ only in their suffix, it joins the name,
    `cat_jpg_painting.png`; names that are still taken get `_2`, `_3`. A file of an earlier run
    will be replaced, one that is itself an input never. When `out_folder` lies inside an input
    folder, what it holds is not taken as input.

    Raises CourseError as `translate_files` does.
    """
    out_folder = Path(out_folder).expanduser()
    suffix = _check_suffix(suffix)
    try:
        out_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The folder {shown(out_folder)} cannot be made ({error.strerror}): choose another one."
        ) from error
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    inputs = _expand(paths, out_folder)
    taken = {_key(path) for path in inputs}
    wanted = Counter(_key(out_folder / below / path.stem) for path, (below, _) in inputs.items())
    jobs = []
    for path, (below, fault) in inputs.items():
        folder, stem = out_folder / below, path.stem
        if wanted[_key(folder / stem)] > 1 and path.suffix:
            stem = f"{stem}_{path.suffix[1:]}"
        jobs.append(Job(path, _free_name(folder, f"{stem}_{label}", suffix, taken), fault))
    return jobs


def translate_jobs(
    jobs: Sequence[Job], translator: Translator, working_size: int | str | None, batch: int
) -> Iterator[Result]:
    """Carry out the jobs in their order, `batch` at a time; yields as `translate_files` does."""
    for start in range(0, len(jobs), batch):
        yield from _translate_together(jobs[start : start + batch], translator, working_size)


def _translate_together(
    jobs: Sequence[Job], translator: Translator, working_size: int | str | None
) -> Iterator[Result]:
    found = [job.fault or _or_error(read_photo, job.source) for job in jobs]
    photos = [photo for photo in found if not isinstance(photo, CourseError)]
    together = _or_error(translator.translate_photos, photos, working_size)
    if isinstance(together, CourseError):  # too many for the memory, for instance
        together = [_or_error(translator.translate_photo, one, working_size) for one in photos]
    results = iter(together)
    for job, photo in zip(jobs, found, strict=True):
        result = photo if isinstance(photo, CourseError) else next(results)
        if not isinstance(result, CourseError):
            result = _or_error(save_photo, result, job.target)
        yield job.source, result


def _or_error(function: Callable, *arguments: object) -> object:
    """What the function returns, or the CourseError that it raises."""
    try:
        return function(*arguments)
    except CourseError as error:
        return error


def _expand(
    paths: Iterable[str | os.PathLike], out_folder: Path
) -> dict[Path, tuple[Path, CourseError | None]]:
    """The files to translate, folders replaced by their pictures, each once.

    Beside each file stands its folder, from the input folder on, or why there is none.
    """
    out, here = out_folder.resolve(), Path()
    inputs: dict[Path, tuple[Path, CourseError | None]] = {}
    for path in map(Path, paths):
        path = path.expanduser()
        if not path.is_dir():
            inputs.setdefault(path, (here, None))
            continue
        if path.resolve() == out:
            raise CourseError(
                f"The results would go into the folder of the pictures, {shown(path)}, and be "
                "taken for pictures the next time: choose another folder for them."
            )
        try:
            found = find_pictures(path)
        except CourseError as error:
            inputs[path] = here, error
            continue
        found = [file for file in found if not file.resolve().is_relative_to(out)]
        for file in found:
            inputs.setdefault(file, (file.parent.relative_to(path), None))
        if not found:
            fault = CourseError(f"There are no pictures in the folder {shown(path)}.")
            inputs[path] = here, fault
    return inputs


def _check_suffix(suffix: str) -> str:
    dotted = f".{suffix.removeprefix('.')}".lower()
    if dotted not in PHOTO_SUFFIXES:
        raise CourseError(
            f"Pictures can be saved as {', '.join(PHOTO_SUFFIXES)}, and not as {suffix!r}."
        )
    return dotted


def _free_name(folder: Path, stem: str, suffix: str, taken: set[str]) -> Path:
    """`folder/stem.suffix`, or with `_2`, `_3`, ... while that is taken; the name is then taken."""
    target = folder / f"{stem}{suffix}"
    number = 2
    while _key(target) in taken:
        target = folder / f"{stem}_{number}{suffix}"
        number += 1
    taken.add(_key(target))
    return target


def _key(path: Path) -> str:
    # Without case: on Windows and macOS Cat.png and cat.png are one file.
    return str(path.resolve()).casefold()
