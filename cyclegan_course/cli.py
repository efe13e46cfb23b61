"""The command line: `cyclegan-course train | translate | evaluate | doctor`."""

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch
from tqdm import tqdm

from cyclegan_course import environment, metrics, worlds
from cyclegan_course.datasets import FOLDERS, middle_square, open_source
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor
from cyclegan_course.training import PRESETS, Config, load_config, preset, train
from cyclegan_course.training.config import MAY_CHANGE
from cyclegan_course.training.watching import TensorBoard
from cyclegan_course.translate import (
    Translator,
    available_names,
    load_translator,
    resolve_target,
    translate_files,
)

# Options of `train`: a field of Config, its type and one line of help. Defaults are the preset's.
TRAIN_OPTIONS: tuple[tuple[str, str, Callable, str], ...] = (
    (
        "--data",
        "data",
        str,
        f"a world ({', '.join(worlds.WORLDS)}) or a folder with trainA, trainB",
    ),
    ("--name", "name", str, "name of the generator that comes out (default: that of the data)"),
    ("--size", "size", int, "side of the training crops in pixels"),
    ("--load-size", "load_size", int, "size at which pictures are loaded before cropping"),
    ("--blocks", "n_blocks", int, "residual blocks of each generator"),
    ("--ngf", "ngf", int, "width of each generator after its first convolution"),
    ("--down", "n_down", int, "halvings in each generator"),
    ("--edge-kernel", "edge_kernel", int, "size of each generator's first and last convolution"),
    ("--ndf", "ndf", int, "width of each discriminator after its first convolution"),
    ("--layers", "n_layers", int, "stride-2 layers of each discriminator"),
    ("--steps", "steps", int, "end after this many steps"),
    ("--minutes", "minutes", float, "end after this many minutes"),
    ("--batch", "batch", int, "pictures of each domain per step"),
    ("--lr", "lr", float, "learning rate of the first half"),
    ("--lambda-cycle", "lambda_cycle", float, "weight of cycle consistency"),
    ("--lambda-identity", "lambda_identity", float, "weight of the identity loss"),
    ("--adversarial", "adversarial", str, "lsgan, vanilla, non_saturating or hinge"),
    ("--pool-size", "pool_size", int, "fakes kept to show the discriminators, 0 for none"),
    ("--seed", "seed", int, "seed of everything random"),
    ("--precision", "precision", str, "float32, bfloat16, or auto: what is faster here"),
    ("--ema", "ema", float, "decay of the generators' moving average, 0.999 for instance"),
    ("--compile", "compile", str, "on, off, or auto: where it pays within the run's length"),
    ("--deterministic", "deterministic", bool, "equal weights from equal runs, on a GPU too"),
    ("--sample-every", "sample_every", float, "seconds between sample grids"),
    ("--measure-every", "measure_every", float, "seconds between measures of held-out pictures"),
    ("--save-every", "save_every", float, "seconds between checkpoints"),
    ("--keep", "keep", int, "number of the newest checkpoints to keep, besides the best"),
    ("--best", "best", str, "what decides the best checkpoint: distance or reconstruction"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0; 1 if something failed; 130 if interrupted by Ctrl-C and 143 by SIGTERM (128 + the signal).
    """
    options = _parser().parse_args(arguments)
    environment.prepare_threads()
    try:
        return options.run(options)
    except CourseError as error:
        print(f"cyclegan-course: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cyclegan-course: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cyclegan-course", description="Unpaired image-to-image translation with CycleGAN."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "train", help="train a CycleGAN; without arguments, ten minutes on the painting world"
    )
    command.set_defaults(run=_train)
    command.add_argument(
        "--preset",
        choices=PRESETS,
        default="small",
        help="settings to start from (default: small); 'reference' is the paper's, for a GPU",
    )
    command.add_argument("--out", type=Path, help="folder of the run (default: runs/NAME-TIME)")
    command.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in a folder")
    command.add_argument("--log", choices=["tensorboard"], help="also write a log for TensorBoard")
    for flag, name, kind, text in TRAIN_OPTIONS:
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        command.add_argument(flag, dest=name, help=text, default=argparse.SUPPRESS, **how)

    command = commands.add_parser("translate", help="translate pictures, or folders of them")
    command.set_defaults(run=_translate)
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--to",
        default="painting",
        help="painting (default), photograph, night, day, monet, monet:reverse, ... or the folder "
        "of a training run",
    )
    command.add_argument("--out", type=Path, default=Path("translated"), help="folder of results")
    command.add_argument(
        "--working-size",
        type=_pixels,
        help="longest side at which pictures are translated; 'full' for their own size",
    )

    command = commands.add_parser(
        "evaluate", help="measure trained generators against the sealed truth"
    )
    command.set_defaults(run=_evaluate)
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="shipped names or run folders (default: worlds)"
    )
    command.add_argument("--data", help="world, or folder with testA and testB, to measure on")
    command.add_argument("--count", type=int, default=64, help="held-out pictures per domain")
    command.add_argument("--size", type=int, default=128, help="their size in pixels")
    command.add_argument("--out", type=Path, help="also write the table, as .csv or .json")

    command = commands.add_parser("doctor", help="print the environment report")
    command.set_defaults(run=_doctor)
    return parser


def _pixels(text: str) -> int | str:
    return text if text == "full" else int(text)


def _train(options: argparse.Namespace) -> int:
    changes = {name: getattr(options, name) for _, name, _, _ in TRAIN_OPTIONS if name in options}
    if options.resume is not None:
        folder, config = options.resume, _config_of_run(options.resume, changes)
    else:
        config = preset(options.preset, **changes)
        label = config.name or Path(config.data).resolve().name
        folder = options.out or Path("runs") / f"{label}-{datetime.now():%Y%m%d-%H%M%S}"
    watchers = [TensorBoard(folder)] if options.log == "tensorboard" else []
    run = train(config, folder, resume=options.resume is not None, watchers=watchers)
    if run.is_first:
        print(f"{run.steps} steps in {run.seconds / 60:.1f} minutes; the run is in {folder}")
        print(f"cyclegan-course translate PICTURE --to {folder}")
    if not run.stopped_by:
        return 0
    # A stop that another process was asked for counts as Ctrl-C.
    return 128 + signal.Signals.__members__.get(run.stopped_by, signal.SIGINT)


def command_for(config: Config) -> str:
    """The command that trains with a configuration: what differs from the default preset's."""
    plain = preset("small", minutes=config.minutes, steps=config.steps)
    words = ["cyclegan-course", "train"]
    for flag, name, _, _ in TRAIN_OPTIONS:
        value = getattr(config, name)
        if value is None or (name not in ("steps", "minutes") and value == getattr(plain, name)):
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            short = f"{value:g}" if isinstance(value, float) else str(value)
            words += [flag, short if type(value)(short) == value else repr(value)]
    return shlex.join(words)


def _config_of_run(folder: Path, changes: dict) -> Config:
    """A run's own configuration; only how long it lasts may change."""
    settled = sorted(set(changes) - set(MAY_CHANGE))
    if settled:
        raise CourseError(
            f"A resumed run keeps its settings: leave out {', '.join(settled)}, or start a new run."
        )
    return replace(load_config(folder), **changes)


def _translate(options: argparse.Namespace) -> int:
    translator = load_translator(*resolve_target(options.to))
    failures = 0
    for path, result in translate_files(
        options.pictures, translator, options.out, options.working_size
    ):
        if isinstance(result, CourseError):
            failures += 1
            print(f"cyclegan-course: {result}", file=sys.stderr)
        else:
            print(f"{path} -> {result}")
    return 1 if failures else 0


def _evaluate(options: argparse.Namespace) -> int:
    if options.count < 2:
        raise CourseError("Measure on at least 2 pictures: --count 48 is the usual number.")
    names = options.names or [name for name in available_names() if name in worlds.WORLDS]
    if not names:
        raise CourseError("There are no shipped weights to measure; give the folder of a run.")
    rows: list[metrics.Row] = []
    for name in tqdm(names, desc="measuring", disable=len(names) == 1):
        rows += evaluate(name, options.data, options.count, options.size)
    print(metrics.format_table(rows))
    if options.out is not None:
        write = {".csv": metrics.write_csv, ".json": metrics.write_json}.get(options.out.suffix)
        if write is None:
            raise CourseError(f"{options.out} must end in .csv or .json.")
        write(rows, options.out)
    return 0


def evaluate(name: str, data: str | None, count: int, size: int) -> list[metrics.Row]:
    """The table's rows for one trained pair of generators, in both directions.

    Args:
        name: a shipped name or the folder of a run.
        data: world or folder to measure on; by default the world that the pair was trained on.

    Raises:
        CourseError: if there is nothing to measure on.
    """
    G_AB, G_BA = load_translator(name, "AB"), load_translator(name, "BA")
    data = data or _trained_on(name, G_AB)
    if data in worlds.WORLDS:
        rows = metrics.evaluate_translation(
            data, G_AB.translate_tensor, G_BA.translate_tensor, count, size
        )
    else:
        rows = _evaluate_folder(data, G_AB, G_BA, count, size)
    return [replace(row, direction=f"{G_AB.name} {row.direction}") for row in rows]


def _trained_on(name: str, translator: Translator) -> str:
    """The data of a run, with its folder's path, or of a shipped pair, whose card has the name."""
    if (Path(name) / "config.json").exists():
        return load_config(Path(name)).data
    return translator.card.get("trained", {}).get("config", {}).get("data", translator.name)


def _evaluate_folder(
    data: str, G_AB: Translator, G_BA: Translator, count: int, size: int
) -> list[metrics.Row]:
    if not Path(data).is_dir():
        raise CourseError(
            f"{G_AB.name!r} was trained on pictures that are not here; name a folder that holds "
            f"{', '.join(FOLDERS)} with --data."
        )
    source = open_source(data, size)
    test_A, test_B = (
        torch.stack(
            [picture_to_tensor(middle_square(picture, size)) for picture in pictures[:count]]
        )
        for pictures in (source.test_A, source.test_B)
    )
    rows = []
    for direction, translator, real, target in (
        ("A to B", G_AB, test_A, test_B),
        ("B to A", G_BA, test_B, test_A),
    ):
        fake = torch.cat([translator.translate_tensor(picture[None]) for picture in real])
        rows += metrics.evaluate_unpaired(fake, target, real, direction)
    return rows


def _doctor(options: argparse.Namespace) -> int:
    print(environment.report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
