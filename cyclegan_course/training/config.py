"""The settings of a training run, and named sets of them."""

import re
from dataclasses import dataclass, fields

from cyclegan_course import worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.losses import ADVERSARIAL_LOSSES

PRECISIONS = ("auto", "float32", "bfloat16")
COMPILE = ("auto", "on", "off")
# Measures of held-out pictures that need no truth, and may choose the best checkpoint.
BEST_BY = ("distance", "reconstruction")
METHODS = ("cyclegan", "cut")


@dataclass(frozen=True)
class Config:
    """Everything that decides a run; written to `config.json` in its folder.

    Args:
        data: name of a world, folder with trainA and trainB, name of a downloaded set, or two
            folders: the pictures of A and those of B.
        name: of the generator that comes out, a plain word; by default that of the data.
        method: "cyclegan", or "cut", which trains A to B alone (see `cyclegan_course.cut`).
        size: side of the training crops in pixels.
        load_size: size at which pictures are loaded before cropping; by default `size` for a
            world and size * 286 / 256 for a folder, as in the reference.
        n_blocks, ngf, n_down, edge_kernel: shape of the generators.
        ndf, n_layers: shape of the discriminators.
        steps, minutes: the run ends with whichever is reached first; one of them must be given.
        batch: pictures of each domain per step, of all processes together.
        lr: Adam's learning rate, constant for the first half, then falling linearly to 0.
        lambda_cycle, lambda_identity, adversarial: the objective, see `cyclegan.Objective`.
        lambda_nce, lambda_nce_identity, patches: of CUT, in the place of the first two, see
            `cut.ContrastiveObjective` and `cut.CUT`.
        pool_size: fakes kept to show the discriminators, 0 for none; by default 50, and 0 for CUT.
        ema: decay of an exponential moving average of the generators' weights, per step; what is
            sampled, measured and kept is then the average. 0 for none, as in the paper.
        seed: of everything random.
        precision: "float32", "bfloat16", or "auto" for what is faster here.
        compile: "on", "off", or "auto": where it pays within the run's length.
        deterministic: two runs on the same device give equal weights, on a GPU too; slower there.
        sample_every, measure_every, save_every: seconds between sample grids, between measures of
            held-out pictures, and between checkpoints. 0 means after every step.
        keep: number of the newest checkpoints to keep; the best one is kept besides.
        best: the measure that decides which checkpoint is the best: "distance" (sliced
            Wasserstein distance of the translations to the other domain) or "reconstruction"
            (L1 of there and back), mean of both directions. Neither looks behind the seal.
    """

    data: str | tuple[str, str] = "painting"
    name: str = ""
    method: str = "cyclegan"
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
    lambda_nce: float = 1.0
    lambda_nce_identity: float = 1.0
    patches: int = 256
    pool_size: int | None = None
    ema: float = 0.0
    seed: int = 0
    precision: str = "auto"
    compile: str = "auto"
    deterministic: bool = False
    sample_every: float = 60.0
    measure_every: float = 300.0
    save_every: float = 60.0
    keep: int = 3
    best: str = "distance"

    def __post_init__(self) -> None:
        if self.pool_size is None:
            object.__setattr__(self, "pool_size", 0 if self.method == "cut" else 50)
        if not isinstance(self.data, str):  # a list, where it comes from a file
            object.__setattr__(self, "data", tuple(map(str, self.data)))
            if len(self.data) != 2:
                raise CourseError(
                    f"data names one place or two folders, of A and of B, not {len(self.data)}."
                )
        if self.name and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise CourseError(
                f"{self.name!r} cannot be the name of a generator: use a single plain word."
            )
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
        for what in ("steps", "minutes", "batch", "lr", "ngf", "ndf", "patches", "keep"):
            value = getattr(self, what)
            if value is not None and value <= 0:
                raise CourseError(f"{what} must be larger than 0, not {value}.")
        for what in ("pool_size", "sample_every", "measure_every", "save_every"):
            if getattr(self, what) < 0:
                raise CourseError(f"{what} must not be negative.")
        if not 0 <= self.ema < 1:
            raise CourseError(f"ema must be at least 0 and less than 1, not {self.ema}.")
        for what, choices in (
            ("method", METHODS),
            ("adversarial", ADVERSARIAL_LOSSES),
            ("precision", PRECISIONS),
            ("compile", COMPILE),
            ("best", BEST_BY),
        ):
            if getattr(self, what) not in choices:
                raise CourseError(
                    f"Unknown {what} {getattr(self, what)!r}; choose one of {', '.join(choices)}."
                )
        if self.method == "cut" and self.best == "reconstruction":
            raise CourseError(
                "CUT has no way back, so best cannot be reconstruction; choose distance."
            )

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


# What may change when a run is resumed: how long it lasts, what is watched or kept, and the
# learning rate, because a run whose losses were no longer numbers goes on with a lower one.
MAY_CHANGE = ("steps", "minutes", "lr", "sample_every", "measure_every", "save_every", "keep")

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


def config_from_dict(values: dict) -> Config:
    """A configuration from `config.json`; keys of another version are ignored."""
    known = {entry.name for entry in fields(Config)}
    return Config(**{key: value for key, value in values.items() if key in known})


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
