"""The training step: the textbook form against every lever alone, and all of them together.

    uv run python benchmarks/train_step.py              # on a CPU about 15 minutes
    uv run python benchmarks/train_step.py --help

Measures on the GPU if there is one. Each measurement is a process of its own, so that neither peak
memory nor settings of the allocator pass from one to the next. All variants are measured in
turn, several rounds of them: whatever slows the machine for a while hits all alike, and a ratio
compares two processes of the same round. Writes `train_step_<device>.csv` (one row a measurement)
and `train_step_<device>.md` (the tables of `benchmarks/README.md`) after every round.
"""

import argparse
import csv
import io
import json
import math
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cyclegan_course import environment
from cyclegan_course.batches import DeviceBatches
from cyclegan_course.cyclegan import CycleGAN, Objective, training_step
from cyclegan_course.datasets import ImagePool, UnpairedBatches, UnpairedCrops
from cyclegan_course.images import write_text
from cyclegan_course.networks import PatchDiscriminator, ResnetGenerator
from cyclegan_course.training.config import Config
from cyclegan_course.training.deterministic import deterministic_mode
from cyclegan_course.training.fast_step import FastStep
from cyclegan_course.training.levers import Levers, best_levers
from cyclegan_course.training.state import build_state

BLOCKS = {128: 6, 256: 9}  # residual blocks of the reference's generators; else 6
TEXTBOOK, FAST = "textbook", "fast step"
FAST_FROM_DEVICE = f"{FAST}, pictures held on the device"
FAST_COMPILED = f"{FAST}, compiled"
MAIN = (TEXTBOOK, FAST, FAST_COMPILED)
PICTURES = 64  # of each domain, where batches are made too
GIB = 2**30


@dataclass(frozen=True)
class Shape:
    """What is trained: crops of `size` pixels, `batch` of them, generators of so many blocks."""

    size: int
    batch: int
    n_blocks: int
    ngf: int = 64

    def __str__(self) -> str:
        return f"{self.size} px, {self.n_blocks} blocks, batch {self.batch}"


@dataclass(frozen=True)
class Variant:
    """How a step is made.

    Args:
        levers: of the fast step; "best" for `best_levers`, None for `cyclegan.training_step`.
        also: levers that are on besides.
        compile, deterministic: settings of the run, see `Config`.
        tf32: cuDNN may round float32 to 10 bits in convolutions, as torch allows it by default.
        pictures: "fixed" for the same batch again, "list" and "device" for a new batch each step
            from pictures in memory, or held on the device.
    """

    levers: Levers | str | None = "best"
    also: tuple[str, ...] = ()
    compile: str = "off"
    deterministic: bool = False
    tf32: bool = False
    pictures: str = "fixed"


def variants(device: str) -> dict[str, Variant]:
    """Every variant that exists on this kind of device, by its name in the table."""
    found = {TEXTBOOK: Variant(None)}
    if device == "cuda":
        found[f"{TEXTBOOK} with TF32 (torch's default)"] = Variant(None, tf32=True)
    found["fast step, no lever"] = Variant(Levers())
    for lever in fields(Levers):
        for value in lever_values(lever.name, device):
            name = lever.name.replace("_", " ") if value is True else value
            found[f"{name} alone"] = Variant(Levers(**{lever.name: value}))
    found[FAST] = Variant()
    found[FAST_COMPILED] = Variant(compile="on")
    if device == "cuda":  # a lever that a CPU's runs use, and a GPU's not: would it pay?
        found[f"{FAST_COMPILED}, edge folded"] = Variant(also=("fold_edge",), compile="on")
    found[f"{FAST}, deterministic"] = Variant(deterministic=True)
    found[f"{FAST}, pictures from a list"] = Variant(pictures="list")
    found[FAST_FROM_DEVICE] = Variant(pictures="device")
    return found


def lever_values(lever: str, device: str) -> tuple:
    """What a lever can be set to on this kind of device, other than off."""
    if lever == "precision":
        tf32 = ("tf32",) if device == "cuda" else ()
        bf16 = environment.has_fast_bfloat16(torch.device(device))
        return (*tf32, "bfloat16") if bf16 else tf32
    only = {"cuda_graph": "cuda", "keep_memory": "cpu"}.get(lever, device)
    return (True,) if only == device else ()


# --- one measurement, in a process of its own -----------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One measurement: a variant, or the rate of matrix products if there is none."""

    device: str
    shape: Shape | None = None
    variant: str = ""
    seconds: float = 3.0
    profile: str = ""


def do_job(job: Job) -> dict:
    """Carry out a measurement here.

    Returns:
        For a variant: "ms" of a step in each window, "memory" in bytes, "warm_up" in seconds,
        "notes". For none: operations per second by precision.
    """
    environment.prepare_threads()
    device = torch.device(job.device)
    if job.shape is None:
        return matrix_rates(device)
    variant = variants(job.device)[job.variant]
    with deterministic_mode(variant.deterministic):
        return time_steps(job, variant, job.shape, device)


def time_steps(job: Job, variant: Variant, shape: Shape, device: torch.device) -> dict:
    """What `do_job` returns for a variant."""
    step, notes = make_step(variant, shape, device)
    began = time.perf_counter()
    for done in range(1, 9):
        terms = step()
        wait_for(device)
        warm_up = time.perf_counter() - began
        if device.type == "cuda" and done == 3:
            # What cuDNN tried out before is no longer needed; a recording is still to come.
            torch.cuda.reset_peak_memory_stats()
        if device.type != "cuda" and warm_up > job.seconds / 2 and done >= 2:
            break
    if job.profile:
        write_profile(step, device, Path(job.profile))
    began = time.perf_counter()
    terms = step()
    wait_for(device)
    once = time.perf_counter() - began
    # On a GPU, steps are timed many at a time: waiting after each would be part of the time.
    steps = 1 if device.type == "cpu" else max(1, math.ceil(0.1 / once))
    ms: list[float] = []
    began = time.perf_counter()
    while len(ms) < 3 or time.perf_counter() - began < job.seconds:
        start = time.perf_counter()
        for _ in range(steps):
            terms = step()
        wait_for(device)
        ms.append(1000 * (time.perf_counter() - start) / steps)
    if not all(math.isfinite(float(term)) for term in terms.values()):
        raise RuntimeError("the losses are no longer numbers")
    return {"ms": ms, "memory": peak_memory(device), "warm_up": warm_up, "notes": notes}


def make_step(
    variant: Variant, shape: Shape, device: torch.device
) -> tuple[Callable[[], dict], list[str]]:
    """A function that makes the next training step, and what the fast step says about itself."""
    config = Config(
        size=shape.size,
        n_blocks=shape.n_blocks,
        ngf=shape.ngf,
        ndf=shape.ngf,
        n_down=2,
        batch=shape.batch,
        lr=2e-4,
        steps=10**6,
        compile=variant.compile,
        deterministic=variant.deterministic,
    )
    # torch lets a GPU's convolutions round float32 to TF32 by default; the textbook's do not.
    allow_tf32(variant.tf32)
    batches = make_batches(variant.pictures, shape, device)
    state = build_state(config, device)
    if variant.levers is None:
        adam = {"lr": config.lr, "betas": (0.5, 0.999)}
        optimizer_G = torch.optim.Adam(state.model.generator_parameters(), **adam)
        optimizer_D = torch.optim.Adam(state.model.discriminator_parameters(), **adam)
        pools = ImagePool(config.pool_size, 1), ImagePool(config.pool_size, 2)

        def textbook() -> dict:
            state.step += 1
            real = batches(state.step)
            return training_step(state.model, *real, optimizer_G, optimizer_D, *pools, Objective())

        return textbook, []

    levers = best_levers(config, device) if variant.levers == "best" else variant.levers
    levers = replace(levers, **dict.fromkeys(variant.also, True))
    fast_step = FastStep(state, config, levers=levers)

    def fast() -> dict:
        terms = fast_step(*batches(state.step))
        if fast_step.notes:  # another step than the one that is asked for, and slower
            raise RuntimeError(fast_step.notes[0])
        state.step += 1
        return terms

    on = [name for name, value in asdict(levers).items() if value not in (False, "float32")]
    return fast, [*(str(getattr(levers, name)) if name == "precision" else name for name in on)]


def allow_tf32(is_allowed: bool) -> None:
    """Whether a GPU may round float32 to TF32, in convolutions and in matrix products.

    By the older names: torch refuses a mix with the newer ones, and the fast step's `cudnn.flags`
    reads the older.
    """
    torch.backends.cudnn.allow_tf32 = is_allowed
    torch.backends.cuda.matmul.allow_tf32 = is_allowed


def make_batches(kind: str, shape: Shape, device: torch.device) -> Callable[[int], tuple]:
    """Batches of noise by the step."""
    rng = np.random.default_rng(0)
    if kind == "fixed":
        real = torch.from_numpy(rng.uniform(-1, 1, (2, shape.batch, 3, shape.size, shape.size)))
        real_A, real_B = real.to(device, torch.float32)
        return lambda step: (real_A, real_B)
    side = round(shape.size * 286 / 256)
    A, B = rng.integers(0, 256, (2, PICTURES, side, side, 3), dtype=np.uint8)
    if kind == "device":
        return DeviceBatches(UnpairedCrops(A, B, shape.size, shape.batch), device)
    batches = UnpairedBatches(A, B, shape.size, shape.batch)
    return lambda step: tuple(images.to(device) for images in batches(step))


def matrix_rates(device: torch.device, side: int = 0) -> dict[str, float]:
    """Operations per second of a large matrix product, by precision: the device's ceiling.

    Args:
        side: of the matrices; by default one that fills the device.
    """
    side = side or (8192 if device.type == "cuda" else 2048)
    rates = {}
    for name in ("float32", *lever_values("precision", device.type)):
        allow_tf32(name == "tf32")
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        # Random numbers: on zeros a GPU computes faster than on any real data.
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in "ab")
        seconds = []
        for _ in range(13):
            wait_for(device)
            start = time.perf_counter()
            torch.mm(a, b)
            wait_for(device)
            seconds.append(time.perf_counter() - start)
        rates[name] = 2 * side**3 / median(seconds[3:])
    return rates


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Most bytes at a time: of tensors on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if platform.system() == "Windows":
        return None
    import resource  # Windows has none

    unit = 1 if platform.system() == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def write_profile(step: Callable[[], dict], device: torch.device, file: Path) -> None:
    """Write the operations that take most of a step."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(3):
            step()
        wait_for(device)
    by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    write_text(profile.key_averages().table(sort_by=by, row_limit=40) + "\n", file)


# --- many measurements ----------------------------------------------------------------------------


@cache
def step_flops(shape: Shape) -> int:
    """Floating-point operations of one step, counted by torch on the textbook step itself.

    On the "meta" device nothing is computed, but every operation is seen. Levers change how they
    are done, not how many a step needs.
    """
    with torch.device("meta"):
        networks = nn.ModuleDict(
            {
                "G_AB": ResnetGenerator(n_blocks=shape.n_blocks, ngf=shape.ngf),
                "G_BA": ResnetGenerator(n_blocks=shape.n_blocks, ngf=shape.ngf),
                "D_A": PatchDiscriminator(ndf=shape.ngf),
                "D_B": PatchDiscriminator(ndf=shape.ngf),
            }
        )
        real = torch.empty(shape.batch, 3, shape.size, shape.size)
    model = CycleGAN.__new__(CycleGAN)  # its weights are drawn when it is made: not here
    nn.Module.__init__(model)
    for name, network in networks.items():
        setattr(model, name, network)
    optimizers = (
        torch.optim.SGD(model.generator_parameters()),
        torch.optim.SGD(model.discriminator_parameters()),
    )
    with FlopCounterMode(display=False) as counter:
        training_step(model, real, real, *optimizers, ImagePool(0), ImagePool(0), Objective())
    return counter.get_total_flops()


def run_job(job: Job, limit: float) -> dict:
    """Carry out a measurement in a new process; {"error": sentence} if it fails or takes longer."""
    command = [sys.executable, str(Path(__file__).resolve()), "--job", json.dumps(asdict(job))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=max(1.0, limit)
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {limit:.0f} s"}
    if done.returncode:
        words = (done.stderr.strip() or f"ended with code {done.returncode}").splitlines()
        return {"error": words[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def measure(
    device: str,
    plan: list[tuple[Shape, list[str]]],
    rounds: int,
    seconds: float,
    deadline: float,
    limit: float = 300.0,
    say: Callable[[str], None] = lambda sentence: print(sentence, file=sys.stderr, flush=True),
) -> Iterator[tuple[list[dict], list[dict[str, float]]]]:
    """All rows and all matrix rates so far, again after each measurement.

    Args:
        plan: shapes, and the variants to measure of each.
        deadline: by `time.monotonic()`; no measurement starts that would probably pass it.
        limit: seconds that one measurement may take.
    """
    rows: list[dict] = []
    rates: list[dict[str, float]] = []
    took: dict[tuple[Shape, str], float] = {}
    failed: set[tuple[Shape, str]] = set()
    for turn in range(rounds):
        if time.monotonic() < deadline:
            found = run_job(Job(device), limit)
            rates += [found] if "error" not in found else []
            yield rows, rates
        for shape, names in plan:
            for name in names:
                key = (shape, name)
                left = deadline - time.monotonic()
                # Not known yet: as long as the longest so far of this shape.
                likely = took.get(
                    key, max((t for (s, _), t in took.items() if s == shape), default=0)
                )
                if left < max(likely, 1.0) or key in failed:
                    continue
                began = time.monotonic()
                found = run_job(Job(device, shape, name, seconds), min(limit, left))
                took[key] = time.monotonic() - began
                if "error" in found:
                    failed.add(key)
                rows.append({"shape": shape, "variant": name, "round": turn} | found)
                say(
                    f"round {turn + 1}, {shape}, {name}: "
                    + (found.get("error") or f"{median(found['ms']):.1f} ms")
                    + f" ({took[key]:.0f} s)"
                )
                yield rows, rates


# --- what comes out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One variant of one shape over all rounds; medians of the rounds' medians, and their range."""

    ms: float
    ms_range: tuple[float, float]
    images_per_second: float
    ratio: float | None
    ratio_range: tuple[float, float] | None
    memory: int | None
    share: float | None
    rounds: int


def ceiling(rates: list[dict[str, float]]) -> dict[str, float]:
    """The median of each precision's rate over the rounds."""
    return {name: median(rate[name] for rate in rates) for name in (rates[0] if rates else {})}


def summarise(
    rows: list[dict], shape: Shape, name: str, flops: int, rates: list[dict[str, float]]
) -> Line | None:
    """One line of a table; None if nothing was measured."""

    def by_round(variant: str) -> dict[int, float]:
        return {
            row["round"]: median(row["ms"])
            for row in rows
            if row["shape"] == shape and row["variant"] == variant and "ms" in row
        }

    here, base = by_round(name), by_round(TEXTBOOK)
    if not here:
        return None
    ratios = [base[turn] / here[turn] for turn in here if turn in base]
    memory = [
        row["memory"]
        for row in rows
        if row["shape"] == shape and row["variant"] == name and row.get("memory")
    ]
    ms, highest = median(here.values()), max(ceiling(rates).values(), default=None)
    return Line(
        ms=ms,
        ms_range=(min(here.values()), max(here.values())),
        images_per_second=2000 * shape.batch / ms,
        ratio=median(ratios) if ratios else None,
        ratio_range=(min(ratios), max(ratios)) if ratios else None,
        memory=max(memory) if memory else None,
        share=flops / (ms / 1000) / highest if highest else None,
        rounds=len(here),
    )


def tables(rows: list[dict], rates: list[dict[str, float]], command: str) -> str:
    """Everything in Markdown, ready for `benchmarks/README.md`."""
    best = ceiling(rates)
    highest = max(best, key=best.get, default="")
    parts = [
        f"{date.today().isoformat()}, {environment.machine()}, {setting()}. `{command.strip()}`"
    ]
    if best:
        parts.append(
            "Matrix products here: "
            + ", ".join(f"{rate / 1e12:,.2f} TFLOP/s in {name}" for name, rate in best.items())
            + "."
        )
    for shape in dict.fromkeys(row["shape"] for row in rows):
        flops = step_flops(shape)
        here = [row for row in rows if row["shape"] == shape]
        lines = [
            f"**{shape}** ({gflop(flops)} GFLOP a step)",
            "",
            f"| step | ms | images/s | times the textbook | memory, GiB | of the {highest} rate |",
            "|---|---|---|---|---|---|",
        ]
        notes = []
        for name in dict.fromkeys(row["variant"] for row in here):
            line = summarise(rows, shape, name, flops, rates)
            if line is None:
                error = next(row["error"] for row in here if row["variant"] == name)
                lines.append(f"| {name} | {error.replace('|', '/')} | | | | |")
                continue
            lines.append(f"| {name} | " + " | ".join(cells(line)) + " |")
            levers = next(row["notes"] for row in here if row["variant"] == name and "ms" in row)
            if levers and not name.endswith(" alone"):
                notes.append(f"{name}: {', '.join(levers)}")
        parts.append("\n".join(lines))
        if notes:
            parts.append("Levers in use. " + "; ".join(notes) + ".")
    return "\n\n".join(parts) + "\n"


def gflop(flops: int) -> str:
    return f"{flops / 1e9:,.0f}" if flops >= 1e10 else f"{flops / 1e9:.2g}"


def cells(line: Line) -> list[str]:
    """A line of the table; empty where nothing is known."""
    ratio = ""
    if line.ratio is not None and line.ratio_range is not None:
        ratio = f"{line.ratio:.2f} ({line.ratio_range[0]:.2f} to {line.ratio_range[1]:.2f})"
    return [
        f"{line.ms:.1f} ({line.ms_range[0]:.1f} to {line.ms_range[1]:.1f})",
        f"{line.images_per_second:.2f}",
        ratio,
        f"{line.memory / GIB:.2f}" if line.memory else "",
        f"{line.share:.1%}" if line.share else "",
    ]


def setting() -> str:
    """Versions and threads, for the record."""
    return (
        f"torch {torch.__version__}, Python {platform.python_version()}, "
        f"{environment.prepare_threads()} threads"
    )


def write_csv(rows: list[dict], file: Path) -> None:
    """One row for each measurement: the median window, and how many windows there were."""
    columns = ("size", "n_blocks", "ngf", "batch", "variant", "round")
    columns += ("ms", "ms_least", "ms_most", "windows", "memory", "warm_up_s", "error")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        ms = row.get("ms", [])
        writer.writerow(
            asdict(row["shape"])
            | {"variant": row["variant"], "round": row["round"], "windows": len(ms)}
            | ({"ms": round(median(ms), 3)} if ms else {})
            | ({"ms_least": round(min(ms), 3), "ms_most": round(max(ms), 3)} if ms else {})
            | {"memory": row.get("memory"), "error": row.get("error", "")}
            | ({"warm_up_s": round(row["warm_up"], 2)} if ms else {})
        )
    write_text(text.getvalue(), file)


def make_plan(
    device: str, sizes: list[int], batches: list[int], names: list[str] | None, ngf: int = 64
) -> list[tuple[Shape, list[str]]]:
    """Shapes with their variants: by default all of the first shape, and of the others the main."""
    known = variants(device)
    if names == ["all"]:
        names = list(known)
    for name in names or ():
        if name not in known:
            sys.exit(f"Unknown variant {name!r}; choose from: {'; '.join(known)}.")
    shapes = [Shape(size, batch, BLOCKS.get(size, 6), ngf) for size in sizes for batch in batches]
    if names:
        return [(shape, names) for shape in shapes]
    # The main ones of all shapes first: the time may not be enough for the others.
    others = [name for name in known if name not in MAIN]
    return [*((shape, list(MAIN)) for shape in shapes), (shapes[0], others)]


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--device", default=environment.best_device().type)
    found.add_argument("--sizes", type=int, nargs="+", help="default: 128 256; on a GPU 256 128")
    found.add_argument("--batches", type=int, nargs="+", help="default: 1; on a GPU 1 4 16")
    found.add_argument("--variants", nargs="+", help="names in the table, or all")
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--seconds", type=float, help="of timed steps in a measurement")
    found.add_argument("--minutes", type=float, default=30, help="nothing is begun after these")
    found.add_argument("--ngf", type=int, default=64, help="width of the networks; small to try")
    found.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder")
    found.add_argument("--job", help=argparse.SUPPRESS)
    return found


def main() -> None:
    options = parser().parse_args()
    if options.job:
        values = json.loads(options.job)
        values["shape"] = values["shape"] and Shape(**values["shape"])
        print(json.dumps(do_job(Job(**values))))
        return
    on_gpu = options.device == "cuda"
    plan = make_plan(
        options.device,
        options.sizes or ([256, 128] if on_gpu else [128, 256]),
        options.batches or ([1, 4, 16] if on_gpu else [1]),
        options.variants,
        options.ngf,
    )
    command = "python benchmarks/train_step.py " + shlex.join(sys.argv[1:])
    seconds = options.seconds or (1.5 if on_gpu else 5.0)
    deadline = time.monotonic() + 60 * options.minutes
    file = options.out / f"train_step_{options.device}.csv"
    for rows, rates in measure(options.device, plan, options.rounds, seconds, deadline):
        if rows:
            write_csv(rows, file)
            write_text(tables(rows, rates, command), file.with_suffix(".md"))
    print(file.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
