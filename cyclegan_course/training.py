"""The training run: schedule, precision, progress, samples, loss record, checkpoints."""

import csv
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torchvision.utils import make_grid
from tqdm import tqdm

from cyclegan_course import environment, worlds
from cyclegan_course.cyclegan import CycleGAN, Objective, training_step
from cyclegan_course.datasets import (
    ImagePool,
    Source,
    UnpairedBatches,
    middle_square,
    open_source,
)
from cyclegan_course.errors import CourseError
from cyclegan_course.images import (
    picture_to_tensor,
    save_picture,
    tensor_to_picture,
    whole_file,
    write_text,
)
from cyclegan_course.losses import ADVERSARIAL_LOSSES
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.translate import save_generator


@dataclass(frozen=True)
class Config:
    """Everything that decides a run; written to `config.json` in its folder.

    Args:
        data: name of a world, or folder with trainA and trainB.
        name: of the generator that comes out; by default that of the data.
        size: side of the training crops in pixels.
        load_size: size at which pictures are loaded before cropping; by default `size` for a
            world and size * 286 / 256 for a folder, as in the reference.
        n_blocks, ngf, n_down, edge_kernel: shape of the generators.
        ndf, n_layers: shape of the discriminators.
        steps, minutes: the run ends with whichever is reached first; one of them must be given.
        batch: pictures of each domain per step.
        lr: Adam's learning rate, constant for the first half, then falling linearly to 0.
        precision: "float32", "bfloat16", or "auto" for what is faster here.
        sample_every, save_every: seconds between sample grids, and between checkpoints.
    """

    data: str = "painting"
    name: str = ""
    size: int = 64
    load_size: int | None = None
    n_blocks: int = 4
    ngf: int = 32
    n_down: int = 1
    edge_kernel: int = 7
    ndf: int = 32
    n_layers: int = 3
    steps: int | None = None
    minutes: float | None = None
    batch: int = 1
    lr: float = 5e-4
    lambda_cycle: float = 10.0
    lambda_identity: float = 5.0
    adversarial: str = "lsgan"
    pool_size: int = 50
    seed: int = 0
    precision: str = "auto"
    sample_every: float = 60.0
    save_every: float = 60.0

    def __post_init__(self) -> None:
        multiple = 2**self.n_down
        if self.size % multiple or self.size < 24:
            raise CourseError(
                f"size {self.size} does not work: choose a multiple of {multiple}, at least 24."
            )
        if self.load_size is not None and self.load_size < self.size:
            raise CourseError(
                f"load_size {self.load_size} is smaller than the crops of {self.size} pixels; "
                "make it at least as large."
            )
        if self.steps is None and self.minutes is None:
            raise CourseError("Say how long to train: give steps, minutes, or both.")
        for what in ("steps", "minutes", "batch", "lr", "ngf", "ndf"):
            value = getattr(self, what)
            if value is not None and value <= 0:
                raise CourseError(f"{what} must be larger than 0, not {value}.")
        if self.adversarial not in ADVERSARIAL_LOSSES:
            raise CourseError(
                f"Unknown adversarial loss {self.adversarial!r}; choose one of "
                f"{', '.join(ADVERSARIAL_LOSSES)}."
            )
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise CourseError("precision must be auto, float32 or bfloat16.")

    @property
    def generator_shape(self) -> dict[str, int]:
        """Keywords that build this run's `ResnetGenerator`."""
        return {key: getattr(self, key) for key in ("ngf", "n_blocks", "n_down", "edge_kernel")}

    @property
    def loaded_size(self) -> int:
        """`load_size`, or its default."""
        if self.load_size is not None:
            return self.load_size
        return self.size if self.data in worlds.WORLDS else round(self.size * 286 / 256)


# One minute on two CPU cores shows the idea with the "minute" shape; "reference" is the paper's
# recipe, for a GPU. Everything in a preset can be overruled.
PRESETS: dict[str, dict] = {
    "minute": {"size": 48, "n_blocks": 3, "ngf": 16, "edge_kernel": 3, "lr": 1e-3, "minutes": 1.0},
    "small": {"minutes": 10.0},
    "reference": {
        "size": 256,
        "n_blocks": 9,
        "ngf": 64,
        "n_down": 2,
        "ndf": 64,
        "lr": 2e-4,
        "steps": 200 * 1334,
    },
}


def preset(name: str, /, **changes) -> Config:
    """The configuration of a preset with some of its values changed.

    A length given in `changes` (steps or minutes) takes the place of the preset's own.

    Raises:
        CourseError: for an unknown preset.
    """
    if name not in PRESETS:
        raise CourseError(f"Unknown preset {name!r}; choose one of {', '.join(PRESETS)}.")
    values = dict(PRESETS[name])
    if "steps" in changes or "minutes" in changes:
        values.pop("steps", None)
        values.pop("minutes", None)
    return Config(**(values | changes))


@dataclass
class State:
    """Everything that moves during a run; a checkpoint is this on disk."""

    model: CycleGAN
    optimizer_G: torch.optim.Adam
    optimizer_D: torch.optim.Adam
    pool_A: ImagePool
    pool_B: ImagePool
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """What a training gives back."""

    config: Config
    source: Source
    model: CycleGAN
    steps: int
    seconds: float
    finished: bool
    record: list[dict[str, float]] = field(default_factory=list)
    folder: Path | None = None


def build_state(config: Config, device: torch.device) -> State:
    """Fresh networks, optimizers and pools for a configuration."""
    model = CycleGAN(
        partial(ResnetGenerator, **config.generator_shape),
        partial(PatchDiscriminator, ndf=config.ndf, n_layers=config.n_layers),
        seed=config.seed,
    ).to(device)
    adam = partial(torch.optim.Adam, lr=config.lr, betas=(0.5, 0.999))
    return State(
        model=model,
        optimizer_G=adam(model.generator_parameters()),
        optimizer_D=adam(model.discriminator_parameters()),
        pool_A=ImagePool(config.pool_size, seed=config.seed),
        pool_B=ImagePool(config.pool_size, seed=config.seed + 1),
    )


def run_progress(config: Config, step: int, seconds: float) -> float:
    """How much of the run is over, from 0 to 1, after `step` steps and `seconds` seconds."""
    parts = [0.0]
    if config.steps is not None:
        parts.append(step / config.steps)
    if config.minutes is not None:
        parts.append(seconds / (60 * config.minutes))
    return min(1.0, max(parts))


def learning_rate_factor(progress: float) -> float:
    """1 for the first half of a run, then linearly down to 0 at its end (Zhu 2017, section 4)."""
    return min(1.0, 2.0 * (1.0 - progress))


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where that is asked for, or faster and left to choose."""
    use_bf16 = precision == "bfloat16" or (
        precision == "auto" and environment.has_fast_bfloat16(device)
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=use_bf16)


def train(
    config: Config,
    folder: Path | None = None,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    progress: bool = True,
    on_sample: Callable[[Tensor, int], None] | None = None,
) -> Run:
    """Train a CycleGAN.

    With a folder, the run explains itself there: `config.json`, `losses.csv`, `samples/`,
    `checkpoints/latest.safetensors` and, ready to translate with, `generator/`. Interrupting it
    (Ctrl-C, or the stop button) ends it early with everything saved.

    Args:
        config: what to train, and how.
        folder: where to write; nothing is written without one.
        device: by default the best one here.
        resume: continue from the checkpoint in `folder`, if there is one.
        progress: show a progress bar.
        on_sample: is given each sample grid, (3, H, W) in [-1, 1], and the step.

    Raises:
        CourseError: for data that cannot be used, an unwritable folder, losses that are no
            longer numbers, or a checkpoint that does not fit.
    """
    device = device or environment.best_device()
    bar = partial(tqdm, desc="reading pictures", disable=not progress, leave=False)
    source = open_source(config.data, config.loaded_size, progress=bar)
    for problem in source.skipped:
        tqdm.write(f"skipped: {problem}")
    state = build_state(config, device)
    if folder is not None:
        prepare_folder(folder, resume=resume)
        if resume and checkpoint_file(folder).exists():
            load_checkpoint(checkpoint_file(folder), state, config)
        write_text(json.dumps(asdict(config), indent=2) + "\n", folder / "config.json")
    batches = UnpairedBatches(
        source.train_A, source.train_B, config.size, config.batch, seed=config.seed
    )
    record: list[dict[str, float]] = []
    finished = True
    try:
        _loop(config, state, source, batches, folder, device, record, progress, on_sample)
    except KeyboardInterrupt:
        finished = False
        tqdm.write(f"Stopped at step {state.step}. Everything up to here is kept.")
    if folder is not None:
        save_checkpoint(checkpoint_file(folder), state, config)
        append_losses(folder, record)
        save_generator(
            folder / "generator",
            config.name or source.name,
            state.model.G_AB,
            state.model.G_BA,
            model_card(config, source, state),
        )
    return Run(config, source, state.model, state.step, state.seconds, finished, record, folder)


def _loop(
    config: Config,
    state: State,
    source: Source,
    batches: UnpairedBatches,
    folder: Path | None,
    device: torch.device,
    record: list[dict[str, float]],
    progress: bool,
    on_sample: Callable[[Tensor, int], None] | None,
) -> None:
    """Steps until the run is over, with what happens between them on a schedule of seconds."""
    objective = Objective(config.lambda_cycle, config.lambda_identity, config.adversarial)
    began = time.perf_counter() - state.seconds
    sampled = saved = logged = state.seconds
    written = 0
    mixed_precision = autocast(config.precision, device)
    wants_samples = folder is not None or on_sample is not None
    with tqdm(
        total=100,
        initial=100 * run_progress(config, state.step, state.seconds),
        desc=config.name or source.name,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        disable=not progress,
    ) as bar:
        while (done := run_progress(config, state.step, state.seconds)) < 1.0:
            for group in state.optimizer_G.param_groups + state.optimizer_D.param_groups:
                group["lr"] = config.lr * learning_rate_factor(done)
            real_A, real_B = (images.to(device) for images in batches(state.step))
            with mixed_precision:
                terms = training_step(
                    state.model,
                    real_A,
                    real_B,
                    state.optimizer_G,
                    state.optimizer_D,
                    state.pool_A,
                    state.pool_B,
                    objective,
                )
            state.step += 1
            state.seconds = time.perf_counter() - began

            last = run_progress(config, state.step, state.seconds) >= 1.0
            # Reading the losses makes a device wait, so it is done about twice a second.
            if state.seconds - logged >= 0.5 or last or state.step == 1:
                logged = state.seconds
                losses = {name: float(term) for name, term in terms.items()}
                _refuse_non_finite(losses, state.step)
                record.append({"step": state.step, "seconds": round(state.seconds, 2)} | losses)
                bar.set_postfix_str(_summary(state, losses), refresh=False)
                bar.n = round(100 * run_progress(config, state.step, state.seconds), 1)
                bar.refresh()
            if wants_samples and (state.seconds - sampled >= config.sample_every or last):
                sampled = state.seconds
                grid = sample_grid(state.model, source, device)
                if folder is not None:
                    name = f"step_{state.step:07d}.png"
                    save_picture(tensor_to_picture(grid), folder / "samples" / name)
                if on_sample is not None:
                    on_sample(grid, state.step)
            if folder is not None and (state.seconds - saved >= config.save_every):
                saved = state.seconds
                save_checkpoint(checkpoint_file(folder), state, config)
                append_losses(folder, record[written:])
                written = len(record)


def _summary(state: State, losses: dict[str, float]) -> str:
    cycle = losses["cycle_A"] + losses["cycle_B"]
    return (
        f" step {state.step}, {state.step / state.seconds:.1f}/s, "
        f"G {losses['G_AB']:.2f} {losses['G_BA']:.2f}, cycle {cycle:.2f}, "
        f"D {losses['D_A']:.2f} {losses['D_B']:.2f}"
    )


def _refuse_non_finite(losses: dict[str, float], step: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise CourseError(
            f"At step {step} the loss {' and '.join(bad)} is no longer a number, so the training "
            "stopped; the last checkpoint is still good. Lower the learning rate (lr) and resume."
        )


@torch.inference_mode()
def sample_grid(model: CycleGAN, source: Source, device: torch.device, columns: int = 6) -> Tensor:
    """Rows: A, A to B, there and back; B, B to A, there and back. (3, H, W) in [-1, 1].

    Held-out pictures; their middle square is shown.
    """
    rows: list[Tensor] = []
    for pictures, there, back in (
        (source.test_A, model.G_AB, model.G_BA),
        (source.test_B, model.G_BA, model.G_AB),
    ):
        columns = min(columns, len(pictures))
        shown = [pictures[i] for i in range(columns)]
        # Every generator takes multiples of 8.
        squares = [middle_square(picture, min(picture.shape[:2]) // 8 * 8) for picture in shown]
        real = torch.stack([picture_to_tensor(square) for square in squares]).to(device)
        # One by one: a grid of large pictures would not fit where the training does.
        fake = torch.cat([there(picture[None]) for picture in real])
        rec = torch.cat([back(picture[None]) for picture in fake])
        rows += [real, fake, rec]
    cells = torch.cat([row[:columns] for row in rows]).float().cpu()
    return make_grid(cells, nrow=columns, padding=2, pad_value=1.0)


def model_card(config: Config, source: Source, state: State) -> dict:
    """What is written beside a generator: its shape, and where it comes from."""
    return {
        "domain_A": source.domain_A,
        "domain_B": source.domain_B,
        "generator": config.generator_shape,
        "working_size": config.loaded_size * (1 if config.data in worlds.WORLDS else 2),
        "trained": {
            # A folder's path means nothing to anyone else: its name is enough.
            "config": asdict(replace(config, data=source.name)),
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "date": date.today().isoformat(),
            "machine": environment.machine(),
            "threads": torch.get_num_threads(),
            "versions": environment.versions(),
        },
    }


# The run folder ------------------------------------------------------------------------------


def checkpoint_file(folder: Path) -> Path:
    return folder / "checkpoints" / "latest.safetensors"


def prepare_folder(folder: Path, *, resume: bool) -> None:
    """Make the run's folder and the folders in it.

    Raises:
        CourseError: if another run is already there, or the folder cannot be written.
    """
    if checkpoint_file(folder).exists() and not resume:
        raise CourseError(
            f"{str(folder)!r} already holds a run; resume it, or name another folder for this one."
        )
    try:
        for name in ("samples", "checkpoints", "generator"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); choose another folder."
        ) from error


def append_losses(folder: Path, rows: Iterable[dict[str, float]]) -> None:
    """Add rows to `losses.csv`; a row that is already there (by its step) is not repeated."""
    file = folder / "losses.csv"
    known: set[int] = set()
    if file.exists():
        with file.open(newline="") as stream:
            known = {int(row["step"]) for row in csv.DictReader(stream)}
    new = [row for row in rows if row["step"] not in known]
    if not new:
        return
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(new[0]))
        if not known:
            writer.writeheader()
        writer.writerows(new)


def save_checkpoint(file: Path, state: State, config: Config) -> None:
    """Write the whole state, to a temporary name first: the file is whole or the old one stays.

    Tensors go into the safetensors file, everything else as JSON into its header, so loading
    never runs code from the file.
    """
    tensors: dict[str, Tensor] = {
        f"model.{key}": value for key, value in state.model.state_dict().items()
    }
    for name in ("optimizer_G", "optimizer_D"):
        for index, entries in getattr(state, name).state_dict()["state"].items():
            for key, value in entries.items():
                tensors[f"{name}.{index}.{key}"] = value
    for name in ("pool_A", "pool_B"):
        pool: ImagePool = getattr(state, name)
        tensors[f"{name}.generator"] = pool.generator.get_state()
        if pool.pictures:
            tensors[f"{name}.pictures"] = torch.stack(pool.pictures)
    header = {"step": state.step, "seconds": state.seconds, "config": asdict(config)}
    try:
        with whole_file(file) as temporary:
            safetensors.torch.save_file(
                {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
                temporary,
                metadata={"run": json.dumps(header)},
            )
    except (CourseError, SafetensorError) as error:
        raise CourseError(
            f"The checkpoint {str(file)!r} could not be written ({error}); free some disk space. "
            "The one before it is still whole."
        ) from error


def load_checkpoint(file: Path, state: State, config: Config) -> None:
    """Fill a fresh state from a checkpoint; the run then goes on as if it had not stopped.

    Raises:
        CourseError: if the file is damaged or was made with another shape of networks.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads(opened.metadata()["run"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"The checkpoint {str(file)!r} is damaged ({error}); start a new run."
        ) from error
    before = config_from_dict(header["config"])
    if replace(before, steps=1, minutes=None, sample_every=1, save_every=1) != replace(
        config, steps=1, minutes=None, sample_every=1, save_every=1
    ):
        raise CourseError(
            f"The run in {str(file.parent.parent)!r} was made with other settings; resume it with "
            "those in its config.json, or start a new run."
        )
    state.model.load_state_dict(_part(tensors, "model"))
    _load_adam(state.optimizer_G, _part(tensors, "optimizer_G"))
    _load_adam(state.optimizer_D, _part(tensors, "optimizer_D"))
    device = next(state.model.parameters()).device
    for name in ("pool_A", "pool_B"):
        pool: ImagePool = getattr(state, name)
        entries = _part(tensors, name)
        pool.generator.set_state(entries["generator"])
        pool.pictures = [picture.to(device) for picture in entries.get("pictures", [])]
    state.step, state.seconds = header["step"], header["seconds"]


def load_config(folder: Path) -> Config:
    """The configuration of the run in a folder.

    Raises:
        CourseError: if there is none, or it cannot be read.
    """
    try:
        return config_from_dict(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{str(folder)!r} holds no run that can be read (no valid config.json)."
        ) from error


def config_from_dict(values: dict) -> Config:
    """A configuration from `config.json`; keys of another version are ignored."""
    known = {entry.name for entry in fields(Config)}
    return Config(**{key: value for key, value in values.items() if key in known})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)
    }


def _load_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": entries})
