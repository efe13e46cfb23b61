"""`cyclegan-course translate`: pictures, or folders of them."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from cyclegan_course.cli.commands import Commands
from cyclegan_course.errors import CourseError
from cyclegan_course.images import PHOTO_SUFFIXES, shown
from cyclegan_course.translate import load_translator, resolve_target
from cyclegan_course.translate.files import plan_files, translate_jobs
from cyclegan_course.translate.photos import check_working_size
from cyclegan_course.translate.translator import PRECISIONS

LISTED = 5  # failures that the last line names


def add(commands: Commands) -> None:
    """Add the command `translate`."""
    command = commands.add_parser("translate", help="translate pictures, or folders of them")
    command.set_defaults(run=_translate)
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--to",
        default="painting",
        help="painting (default), photograph, night, day, monet, monet:reverse, ... or the folder "
        "of a training run",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("translated"),
        help="folder of results; subfolders are made in it as they are in the folders of pictures",
    )
    command.add_argument(
        "--suffix",
        choices=[suffix[1:] for suffix in PHOTO_SUFFIXES],
        default="png",
        help="format of the results; png (default) and tif keep 16 bits and transparency",
    )
    command.add_argument(
        "--working-size",
        type=_working_size,
        metavar="PIXELS",
        help="longest side at which pictures are translated; 'full' for their own size",
    )
    command.add_argument(
        "--tile",
        type=_tile,
        default="auto",
        metavar="PIXELS",
        help="height of the strips in which a large picture goes through the network, with the "
        "same result; 'auto' (default), or 0 for all pictures in one piece",
    )
    command.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="PICTURES",
        help="pictures at a time; those of equal size go through the network together",
    )
    command.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; by default the fastest")
    command.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the convolutions; auto: bfloat16 where the device is fast at it",
    )
    command.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out pictures that have a result that is not older than they are",
    )


def _working_size(text: str) -> int | str:
    return _number_or("full", text)


def _tile(text: str) -> int | str:
    return _number_or("auto", text)


def _number_or(word: str, text: str) -> int | str:
    try:
        return text if text == word else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of pixels nor {word!r}"
        ) from error


def _translate(options: argparse.Namespace) -> int:
    if options.batch < 1:
        raise CourseError(f"The batch is a number of pictures from 1, not {options.batch}.")
    check_working_size(options.working_size, 0)
    name, direction = resolve_target(options.to)
    translator = load_translator(name, direction, options.device, options.tile, options.precision)
    jobs = plan_files(options.pictures, translator.label, options.out, options.suffix)
    todo = [job for job in jobs if job.fault or not (options.skip_existing and job.is_done())]
    results = translate_jobs(todo, translator, options.working_size, options.batch)
    done, failed = 0, []
    # None: no bar where the output is not a terminal
    bar = tqdm(results, total=len(todo), unit="picture", disable=None, leave=False)
    try:
        for path, result in bar:
            if isinstance(result, CourseError):
                failed.append(path)
                bar.write(f"cyclegan-course: {result}", file=sys.stderr)
            else:
                done += 1
                bar.write(f"{shown(path)} -> {shown(result)}")
    except KeyboardInterrupt:
        left = len(todo) - done - len(failed)
        bar.write(f"{left} of {len(jobs)} pictures are left: go on with --skip-existing.")
        raise
    finally:
        bar.close()
    if len(jobs) > 1:
        print(_summary(done, len(jobs) - len(todo), failed))
    return 1 if failed else 0


def _summary(done: int, skipped: int, failed: list[Path]) -> str:
    parts = [f"{done} translated"]
    if skipped:
        parts.append(f"{skipped} were there already")
    if failed:
        names = ", ".join(shown(path) for path in failed[:LISTED])
        more = f" and {len(failed) - LISTED} more" if len(failed) > LISTED else ""
        parts.append(f"{len(failed)} failed ({names}{more})")
    return f"{', '.join(parts)}."
