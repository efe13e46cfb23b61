"""Translating files and whole folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cyclegan_course.errors import CourseError
from cyclegan_course.images import find_pictures, save_picture
from cyclegan_course.translate.translator import Translator, check_working_size


def translate_files(
    paths: Iterable[str | os.PathLike],
    translator: Translator,
    out_folder: str | os.PathLike,
    working_size: int | str | None = None,
    suffix: str = ".png",
) -> Iterator[tuple[Path, Path | CourseError]]:
    """Translate files and whole folders; an unreadable picture does not stop the others.

    Yields (input, result) after each picture, where the result is the new file
    `out_folder/STEM_LABEL.png`, such as `cat_painting.png`, or the CourseError that says why
    there is none. Where two inputs would get the same name, the later ones get `_2`, `_3`.
    The results of an earlier run are replaced; a file that is itself an input never is. When
    `out_folder` lies inside an input folder, what it holds is not taken as input.

    Raises CourseError, before the first picture, if `out_folder` cannot be made or is itself one
    of the input folders.
    """
    out_folder = Path(out_folder).expanduser()
    check_working_size(working_size, 0)  # a wrong one is the caller's fault, not each picture's
    try:
        out_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The folder {out_folder} cannot be made ({error.strerror}): choose another one."
        ) from error
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    inputs = _expand(paths, out_folder)
    return _translate_each(inputs, translator, out_folder, working_size, suffix)


def _expand(
    paths: Iterable[str | os.PathLike], out_folder: Path
) -> list[tuple[Path, CourseError | None]]:
    """The files to translate, folders replaced by their pictures, each once; or why not."""
    out = out_folder.resolve()
    inputs: dict[Path, CourseError | None] = {}
    for path in map(Path, paths):
        path = path.expanduser()
        if not path.is_dir():
            inputs.setdefault(path)
            continue
        if path.resolve() == out:
            raise CourseError(
                f"The results would go into the folder of the pictures, {path}, and be taken for "
                "pictures the next time: choose another folder for them."
            )
        try:
            found = find_pictures(path)
        except CourseError as error:
            inputs[path] = error
            continue
        found = [file for file in found if not file.resolve().is_relative_to(out)]
        inputs.update(dict.fromkeys(found))
        if not found:
            inputs[path] = CourseError(f"There are no pictures in the folder {path}.")
    return list(inputs.items())


def _translate_each(
    inputs: list[tuple[Path, CourseError | None]],
    translator: Translator,
    out_folder: Path,
    working_size: int | str | None,
    suffix: str,
) -> Iterator[tuple[Path, Path | CourseError]]:
    taken = {_key(path) for path, _ in inputs}
    for path, fault in inputs:
        if fault is not None:
            yield path, fault
            continue
        target = _free_name(out_folder, f"{path.stem}_{translator.label}", suffix, taken)
        try:
            yield path, save_picture(translator(path, working_size), target)
        except CourseError as error:
            yield path, error


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
