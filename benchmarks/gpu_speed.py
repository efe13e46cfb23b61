"""How fast a GPU trains, and whether it trains right; results in one folder. No network.

    PYTHONPATH=. python benchmarks/gpu_speed.py --out results      # 15 minutes

Writes `report.md` (the targets with reached or missed, the tables), `results.json`,
`train_step_cuda.csv`, `profile.txt` (operations of the fastest step) and `tests.txt`. Each piece is
a process of its own with a time limit, so that one failure does not lose the rest, and the report
is written again after each of them.
"""

import argparse
import gc
import importlib.util
import json
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from train_step import (
    FAST,
    Job,
    Shape,
    Variant,
    ceiling,
    make_plan,
    measure,
    run_job,
    setting,
    step_flops,
    summarise,
    tables,
    variants,
    write_csv,
)

from cyclegan_course import environment
from cyclegan_course.images import write_text
from cyclegan_course.training import Config, Run, train
from cyclegan_course.training.watching import Watcher

ROOT = Path(__file__).resolve().parents[1]
STEPS = 200 * 1334  # 200 epochs of horse2zebra, batch 1
TARGETS = (
    ("times the textbook's float32 step, batch 1", "ratio", 3.0, False),
    ("of the measured bf16 rate, batch 1", "share", 0.35, False),
    ("of the measured bf16 rate, best batch", "best_share", 0.45, False),
    ("minutes for 200 epochs of 1,334 steps, batch 1", "minutes", 25.0, True),
)


@dataclass
class Results:
    """Everything found so far."""

    device: str
    shapes: list[Shape]
    pieces: dict[str, dict] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    rates: list[dict[str, float]] = field(default_factory=list)

    def values(self) -> dict[str, float]:
        """The numbers of the targets, as far as they were measured."""
        found: dict[str, float] = {}
        bf16 = ceiling(self.rates).get("bfloat16")
        shares = {}
        for shape in self.shapes:
            # The fastest form that trains as the course does; several are measured.
            lines = [
                line
                for name, variant in variants(self.device).items()
                if is_whole(variant)
                and (line := summarise(self.rows, shape, name, step_flops(shape), self.rates))
            ]
            if not lines:
                continue
            best = min(lines, key=lambda line: line.ms)
            if bf16:
                shares[shape] = step_flops(shape) / (best.ms / 1000) / bf16
            if shape == self.shapes[0]:
                found |= {"ratio": best.ratio} if best.ratio else {}
                found |= {"minutes": best.ms * STEPS / 60_000}
                found |= {"share": shares[shape]} if bf16 else {}
        of_size = [share for s, share in shares.items() if s.size == self.shapes[0].size]
        return found | ({"best_share": max(of_size)} if of_size else {})

    def report(self, command: str) -> str:
        """`report.md`: targets, pieces, tables."""
        values = self.values()
        lines = [f"| target, {self.shapes[0].size} px | wanted | found | |", "|---|---|---|---|"]
        for what, key, wanted, at_most in TARGETS:
            sign = "at most" if at_most else "at least"
            if key not in values:
                lines.append(f"| {what} | {sign} {wanted:g} | | not measured |")
                continue
            reached = values[key] <= wanted if at_most else values[key] >= wanted
            verdict = "reached" if reached else "missed"
            lines.append(f"| {what} | {sign} {wanted:g} | {values[key]:.3g} | {verdict} |")
        pieces = [f"- {name}: {piece['says']}" for name, piece in self.pieces.items()]
        return "\n\n".join(
            ["\n".join(lines), "\n".join(pieces), tables(self.rows, self.rates, command)]
        )

    def write(self, out: Path, command: str) -> None:
        write_csv(self.rows, out / f"train_step_{self.device}.csv")
        write_text(self.report(command), out / "report.md")
        everything = {
            "command": command,
            "machine": environment.machine(),
            "setting": setting(),
            "values": self.values(),
            "rates": self.rates,
            "pieces": self.pieces,
            "rows": [row | {"shape": asdict(row["shape"])} for row in self.rows],
        }
        write_text(json.dumps(everything, indent=1) + "\n", out / "results.json")


def is_whole(variant: Variant) -> bool:
    """All levers, nothing that costs for another purpose: a step as a run makes it."""
    plain = variant.levers == "best" and not (variant.deterministic or variant.also)
    return plain and variant.pictures != "list"


# --- pieces: each is called in a process of its own and returns what the report says --------------


class StopAfter(Watcher):
    """Presses the stop button after some steps: the training asks before each."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def stop_requested(self) -> bool:
        self.left -= 1
        return self.left < 0


def tiny(data: Path, size: int, **changes) -> Config:
    values = {"n_blocks": 2, "ngf": 8, "ndf": 8, "n_down": 2, "steps": 24, "sample_every": 1e9}
    values |= {"measure_every": 1e9, "save_every": 1e9, "batch": 2, "pool_size": 8}
    return Config(data=str(data), size=size, **(values | changes))


def noise_folder(folder: Path, size: int, count: int = 24) -> Path:
    """trainA and trainB with pictures of noise, a little larger than the crops."""
    rng = np.random.default_rng(0)
    side = round(size * 286 / 256)
    for name in ("trainA", "trainB"):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def trained(
    config: Config, device: torch.device, folder: Path | None = None, resume=False, watchers=()
):
    """A run and its weights, on the CPU."""
    run = train(config, folder, device=device, resume=resume, progress=False, watchers=watchers)
    return run, {name: value.cpu().clone() for name, value in run.model.state_dict().items()}


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest difference of any weight; 0 if all bits are equal."""
    if all(torch.equal(one[name], other[name]) for name in one):
        return 0.0
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def resume_piece(device: torch.device, shape: Shape) -> dict:
    """A run that was stopped and resumed against one that was not."""
    with tempfile.TemporaryDirectory() as temporary:
        data = noise_folder(Path(temporary) / "data", 64)
        config = tiny(data, 64, deterministic=True, steps=12)
        whole = trained(config, device)[1]
        folder = Path(temporary) / "run"
        first, _ = trained(config, device, folder, watchers=[StopAfter(5)])
        second, weights = trained(config, device, folder, resume=True)
        off = difference(whole, weights)
    if first.finished or not second.finished or not 0 < first.steps < second.steps:
        return {"good": False, "says": f"did not stop and go on: {first.steps}, {second.steps}"}
    words = "bit-identical to" if off == 0 else f"up to {off:.1e} away from"
    says = f"stopped at step {first.steps} and resumed, the weights are {words} an unbroken run's"
    return {"good": off == 0, "difference": off, "says": says}


def deterministic_piece(device: torch.device, shape: Shape) -> dict:
    """Two runs with `deterministic`, and two without."""
    with tempfile.TemporaryDirectory() as temporary:
        data = noise_folder(Path(temporary) / "data", 64)
        found = {}
        for on in (True, False):
            config = tiny(data, 64, deterministic=on)
            found[on] = difference(trained(config, device)[1], trained(config, device)[1])
    says = f"two runs differ by {found[True]:.1e} with --deterministic, {found[False]:.1e} without"
    return {"good": found[True] == 0, "differences": list(found.values()), "says": says}


def loop_piece(device: torch.device, shape: Shape) -> dict:
    """`train` itself, as a run of the course is: with loading, record and schedule."""
    with tempfile.TemporaryDirectory() as temporary:
        data = noise_folder(Path(temporary) / "data", shape.size, count=48)
        config = tiny(
            data,
            shape.size,
            n_blocks=shape.n_blocks,
            ngf=shape.ngf,
            ndf=shape.ngf,
            batch=shape.batch,
            pool_size=50,
            steps=None,
            minutes=0.3 if device.type == "cuda" else 0.05,
        )
        run = train(config, device=device, progress=False)
    if (ms := pace(run)) is None:
        return {"good": False, "says": f"only {run.steps} steps: too few to say how fast"}
    minutes = ms * STEPS / 60_000
    says = f"{ms:.2f} ms a step in `train` itself, so {STEPS:,} steps in {minutes:.1f} minutes"
    return {"good": True, "ms": ms, "minutes": minutes, "says": says}


def pace(run: Run) -> float | None:
    """Milliseconds of a step after the first third of a run, in which kernels are chosen."""
    rows = [row for row in run.record if row["seconds"] > run.seconds / 3]
    if len(rows) < 2:
        return None
    return 1000 * (rows[-1]["seconds"] - rows[0]["seconds"]) / (rows[-1]["step"] - rows[0]["step"])


def cut_piece(device: torch.device, shape: Shape, minutes: float = 0.2) -> dict:
    """CUT: equal weights from equal runs, and its time and memory beside CycleGAN's."""
    costs = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = noise_folder(Path(temporary) / "data", shape.size)
        config = tiny(data, min(64, shape.size), deterministic=True, method="cut", pool_size=0)
        off = difference(trained(config, device)[1], trained(config, device)[1])
        real = {"n_blocks": shape.n_blocks, "ngf": shape.ngf, "ndf": shape.ngf, "batch": 1}
        real |= {"steps": None, "minutes": minutes}
        for method in ("cyclegan", "cut"):
            run = None
            gc.collect()  # the networks of the run before are not to be counted
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            run, _ = trained(tiny(data, shape.size, method=method, **real), device)
            peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
            costs[method] = {"ms": pace(run), "memory": peak}
    says = f"two runs of CUT differ by {off:.1e}"
    if all(cost["ms"] for cost in costs.values()):
        ratio = costs["cyclegan"]["ms"] / costs["cut"]["ms"]
        says += f"; a step of CycleGAN takes {ratio:.2f} times as long"
    return {"good": off == 0, "difference": off, "costs": costs, "says": says}


PIECES: dict[str, Callable[[torch.device, Shape], dict]] = {
    "resume": resume_piece,
    "deterministic": deterministic_piece,
    "loop": loop_piece,
    "cut": cut_piece,
}


# --- running them ---------------------------------------------------------------------------------


def run_piece(name: str, device: str, shape: Shape, limit: float) -> dict:
    """What a piece returns, from a process of its own; a sentence if it fails."""
    command = [sys.executable, __file__, "--device", device, "--piece", name]
    command += ["--shape", json.dumps(asdict(shape))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=max(1.0, limit)
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"good": False, "says": f"took longer than {limit:.0f} s"}
    except (IndexError, ValueError):
        words = (done.stderr.strip() or f"ended with code {done.returncode}").splitlines()
        return {"good": False, "says": f"failed: {words[-1][:300]}", "error": words[-30:]}


def run_tests(out: Path, limit: float) -> dict:
    """The tests that need a GPU, which are skipped everywhere else."""
    if importlib.util.find_spec("pytest") is None:
        return {"good": False, "says": "not run: pytest is not installed here"}
    command = [sys.executable, str(Path(__file__).resolve()), "--tests"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=max(1.0, limit),
        )
    except subprocess.TimeoutExpired as error:
        write_text(str(error.stdout or ""), out / "tests.txt")
        return {"good": False, "says": f"took longer than {limit:.0f} s"}
    write_text(done.stdout + done.stderr, out / "tests.txt")
    last = (done.stdout.strip() or "nothing came out").splitlines()[-1].strip("= ")
    return {"good": done.returncode == 0, "says": last}


class OnlyGpuTests:
    """For pytest: of all tests found, those that are skipped where there is no GPU."""

    def pytest_collection_modifyitems(self, config, items: list) -> None:
        items[:] = [
            item
            for item in items
            for mark in item.iter_markers("skipif")
            if any(word in mark.kwargs.get("reason", "") for word in ("GPU", "CUDA"))
        ]


def tests_here() -> int:
    """Run the tests that need a GPU in this process; pytest's exit code."""
    import pytest  # may be missing

    # The other files, and the project's own options and fixtures, need packages that a GPU machine
    # may lack.
    files = [
        str(file)
        for file in sorted((ROOT / "tests").glob("test_training*.py"))
        if any(word in file.read_text(encoding="utf-8") for word in ("needs a GPU", "needs a CUDA"))
    ]
    options = ["-o", "addopts=", "--noconftest", "-q", "-rs", "-p", "no:cacheprovider"]
    return int(pytest.main([*options, "--rootdir", str(ROOT), *files], [OnlyGpuTests()]))


def guarded(results: Results, name: str, piece: Callable[[], dict]) -> None:
    """Keep what a piece says, or why it failed."""
    began = time.monotonic()
    try:
        found = piece()
    except Exception as error:
        found = {"good": False, "says": f"failed: {error}", "error": traceback.format_exc()}
    results.pieces[name] = found | {"seconds": round(time.monotonic() - began, 1)}
    print(f"{name}: {found['says']}", flush=True)


def run_all(
    out: Path, device: str, sizes: list[int], batches: list[int], ngf: int, minutes: float
) -> Results:
    """Every piece within the time; the report is written after each."""
    out.mkdir(parents=True, exist_ok=True)
    command = "PYTHONPATH=. python benchmarks/gpu_speed.py " + shlex.join(sys.argv[1:])
    end = time.monotonic() + 60 * minutes

    def left(share: float = 1.0) -> float:
        return share * (end - time.monotonic())

    plan = make_plan(device, sizes, batches, None, ngf)
    results = Results(device, list(dict.fromkeys(shape for shape, _ in plan)))
    first = results.shapes[0]
    for name in PIECES:
        guarded(results, name, lambda name=name: run_piece(name, device, first, min(90, left(0.2))))
        results.write(out, command)
    guarded(results, "tests", lambda: run_tests(out, min(90, left(0.25))))
    results.write(out, command)

    def table() -> dict:
        # The last tenth is for the profile.
        deadline = time.monotonic() + left(0.9)
        seconds = 1.0 if device == "cuda" else 0.1
        measured = measure(device, plan, 3, seconds, deadline, limit=min(150, left(0.4)))
        for rows, rates in measured:
            results.rows, results.rates = rows, rates
            results.write(out, command)
        bad = sorted({row["variant"] for row in results.rows if "error" in row})
        good = sum("ms" in row for row in results.rows)
        says = f"{good} measurements" + (f"; failed: {', '.join(bad)}" if bad else "")
        return {"good": good > 0 and not bad, "says": says}

    def profile() -> dict:
        if left() < 10:
            return {"good": False, "says": "not made: no time was left"}
        whole = [name for name, variant in variants(device).items() if is_whole(variant)]
        ms = {
            row["variant"]: median(row["ms"])
            for row in results.rows
            if row["shape"] == first and "ms" in row and row["variant"] in whole
        }
        name = min(ms, key=ms.get, default=FAST)
        file = out / "profile.txt"
        found = run_job(Job(device, first, name, 0.1, str(file.resolve())), left())
        return {"good": "error" not in found, "says": found.get("error", f"of {name}: {file.name}")}

    for name, piece in (("table", table), ("profile", profile)):
        guarded(results, name, piece)
        results.write(out, command)
    return results


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("--out", type=Path, default=Path("gpu_results"))
    found.add_argument("--device", default="cuda", help="cpu: to try this script")
    found.add_argument("--sizes", type=int, nargs="+", default=[256, 128])
    found.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    found.add_argument("--ngf", type=int, default=64)
    found.add_argument("--minutes", type=float, default=15.0)
    found.add_argument("--piece", choices=PIECES, help=argparse.SUPPRESS)
    found.add_argument("--shape", help=argparse.SUPPRESS)
    found.add_argument("--tests", action="store_true", help=argparse.SUPPRESS)
    return found


def main() -> int:
    options = parser().parse_args()
    if options.tests:
        return tests_here()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no GPU here; --device cpu with small --sizes and --ngf tries the script")
        return 1
    if options.piece:
        environment.prepare_threads()
        shape = Shape(**json.loads(options.shape))
        print(json.dumps(PIECES[options.piece](torch.device(options.device), shape)))
        return 0
    run_all(
        options.out, options.device, options.sizes, options.batches, options.ngf, options.minutes
    )
    print((options.out / "report.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
