"""`cyclegan-course train`: a training run, new or resumed."""

import argparse
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cyclegan_course import worlds
from cyclegan_course.cli.commands import Commands
from cyclegan_course.cli.inspect import add_two_folders, chosen_data
from cyclegan_course.errors import CourseError
from cyclegan_course.folders import data_name
from cyclegan_course.training import PRESETS, Config, load_config, preset, train
from cyclegan_course.training.config import MAY_CHANGE
from cyclegan_course.training.watching import TensorBoard

# Options of `train`: a field of Config, its type and one line of help. Defaults are the preset's.
TRAIN_OPTIONS: tuple[tuple[str, str, Callable, str], ...] = (
    (
        "--data",
        "data",
        str,
        f"a world ({', '.join(worlds.WORLDS)}), a folder with trainA, trainB, or a downloaded set",
    ),
    ("--name", "name", str, "name of the generator that comes out (default: that of the data)"),
    ("--method", "method", str, "cyclegan, or cut: A to B alone, patches in place of the cycle"),
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
    ("--lambda-nce", "lambda_nce", float, "CUT: weight of PatchNCE on pictures of A"),
    ("--lambda-nce-identity", "lambda_nce_identity", float, "CUT: the same on pictures of B"),
    ("--patches", "patches", int, "CUT: patches that are compared in each layer"),
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


def add(commands: Commands) -> None:
    """Add the command `train`."""
    command = commands.add_parser(
        "train",
        help="train a CycleGAN, or CUT; without arguments, ten minutes on the painting world",
    )
    command.set_defaults(run=_train)
    command.add_argument("--out", type=Path, help="folder of the run (default: runs/NAME-TIME)")
    command.add_argument("--resume", type=Path, metavar="RUN", help="continue the run in a folder")
    command.add_argument("--log", choices=["tensorboard"], help="also write a log for TensorBoard")
    add_config_options(command)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add every setting of a run, and the preset that it starts from."""
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="small",
        help="settings to start from (default: small); 'reference' is the paper's, for a GPU",
    )
    for flag, name, kind, text in TRAIN_OPTIONS:
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        parser.add_argument(flag, dest=name, help=text, default=argparse.SUPPRESS, **how)
    add_two_folders(parser)


def changes_of(options: argparse.Namespace) -> dict:
    """The settings that were given; with those of its preset they make a `Config`."""
    changes = {name: getattr(options, name) for _, name, _, _ in TRAIN_OPTIONS if name in options}
    data = chosen_data(changes.get("data"), options)
    return changes if data is None else changes | {"data": data}


def _train(options: argparse.Namespace) -> int:
    changes = changes_of(options)
    if options.resume is not None:
        folder, config = options.resume, _config_of_run(options.resume, changes)
    else:
        config = preset(options.preset, **changes)
        label = config.name or data_name(config.data)
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
    plain = preset("small", minutes=config.minutes, steps=config.steps, method=config.method)
    words = ["cyclegan-course", "train"]
    for flag, name, _, _ in TRAIN_OPTIONS:
        value = getattr(config, name)
        usual = Config.method if name == "method" else getattr(plain, name)
        if value is None or (name not in ("steps", "minutes") and value == usual):
            continue
        if isinstance(value, tuple):
            words += [f"--data-A={value[0]}", f"--data-B={value[1]}"]
        elif isinstance(value, bool):
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
