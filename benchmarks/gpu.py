"""Everything in this course that needs a GPU, in one call. No network, nothing installed.

    PYTHONPATH=. python benchmarks/gpu.py --out gpu_results --data FOLDER     # about 90 minutes
    python benchmarks/gpu.py --out tried --try                                # on a CPU, 8 minutes

`FOLDER` holds the real sets `photo2monet` and `horse2zebra`; a set that is not there is left out.
Four parts, each in processes of their own:

    speed    gpu_speed.py: resuming, deterministic pairs, tests, the table of steps, a profile
    equal    equal_time.py: the trainer against the textbook loop on photo2monet, 10 minutes each
    runs     full_run.py at 256 px: painting, photo2monet, horse2zebra, 10 minutes each
    distil   scripts/distil.py: small generators from the runs, and how good they are

`--minutes` scales all of it, `--parts` chooses. A step that is done is not done again, so the same
call goes on after an interruption; one that fails or takes too long does not stop the rest.
`gpu_results/report.md` holds all reports. What to keep of it: see benchmarks/README.md.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cyclegan_course.images import write_text

HERE = Path(__file__).resolve().parent
SETS = ("photo2monet", "horse2zebra")
# What the generators are called: those of the course for 128 px keep their names.
NAMES = {"painting": "painting_256", "photo2monet": "monet_256", "horse2zebra": "horse2zebra_256"}
PARTS = ("speed", "equal", "runs", "distil")
WHOLE = 90.0  # minutes of everything at scale 1
SMALL_NGF = 32  # 9 blocks of this width are 5.7 MB in half precision
TINY = [
    "--size",
    "32",
    "--blocks",
    "1",
    "--ngf",
    "4",
    "--ndf",
    "4",
    "--compile",
    "off",
    "--measure-every",
    "2",
]
TRIED = {"photo2monet": "night", "horse2zebra": "editing"}  # worlds in their place with --try


@dataclass(frozen=True)
class Step:
    """One process: its part, a name that is its folder too, the command, its minutes, its data."""

    part: str
    name: str
    command: list[str]
    minutes: float
    data: str = ""


def steps(out: Path, data: Path, scale: float, is_try: bool) -> list[Step]:
    """Everything, in the order in which it is worth having."""
    device = ["--device", "cpu" if is_try else "cuda"]
    # Compiled however short they are: they stand for runs of hours.
    recipe = TINY if is_try else ["--preset", "reference", "--compile", "on"]
    count = ["--count", "8"] if is_try else []

    def minutes(length: float) -> list[str]:
        return ["--minutes", f"{length * scale:.3g}"]

    def set_folder(name: str) -> str:
        return TRIED[name] if is_try else str(data / name)

    def to(name: str) -> list[str]:
        return ["--out", str(out / name)]

    speed = ["gpu_speed.py", *device, *to("speed")]
    if is_try:  # its processes need more time to start than is scaled down here
        speed += ["--minutes", "3", "--sizes", "32", "--batches", "1", "--ngf", "4"]
    else:
        speed += minutes(15)
    found = [Step("speed", "speed", speed, 3 if is_try else 15 * scale)]
    equal = ["equal_time.py", "--data", set_folder("photo2monet")]
    equal += [*minutes(10), *recipe, *device, *count, *to("equal_time")]
    found.append(Step("equal", "equal_time", equal, 22 * scale, "photo2monet"))
    shown = {"photo2monet": [] if is_try else ["--show", "photographs", "testB"]}
    for name, own_name in NAMES.items():
        folder = set_folder(name) if name in SETS else name
        run = ["full_run.py", "--data", folder, "--name", own_name, *shown.get(name, [])]
        run += [*minutes(10), *recipe, *device, *count, *to(name)]
        found.append(Step("runs", name, run, 12 * scale, name))
    for name in ("painting", "photo2monet"):
        large, small = out / name / "run", f"small_{name}"
        ngf = "4" if is_try else str(SMALL_NGF)
        distil = ["../scripts/distil.py", str(large), "--ngf", ngf]
        distil += [*minutes(4), *device, *to(small)]
        found.append(Step("distil", small, distil, 5 * scale, name))
        measured = ["-m", "cyclegan_course", "evaluate", str(out / small), str(large)]
        measured += ["--data", set_folder(name) if name in SETS else name, *count]
        measured += ["--size", "32" if is_try else "256", *to(f"{small}_measured")]
        found.append(Step("distil", f"{small}_measured", measured, 1.5 * scale, name))
    return found


def run_step(step: Step, out: Path, limit: float) -> str:
    """Run one step in a process of its own; one sentence on how it ended."""
    first, *rest = step.command
    program = [first, *rest] if first == "-m" else [str((HERE / first).resolve()), *rest]
    began = time.monotonic()
    log = out / "logs" / f"{step.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                [sys.executable, *program],
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=max(1.0, limit),
            )
        except subprocess.TimeoutExpired:
            return f"ended after {limit:.0f} s, its limit"
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"failed: {lines[-1][:300] if lines else f'exit code {done.returncode}'}"
    (out / "done").mkdir(exist_ok=True)
    write_text("", out / "done" / step.name)
    return f"done in {(time.monotonic() - began) / 60:.1f} minutes"


def report(out: Path, said: dict[str, str]) -> str:
    """How each step ended, then the reports of those that wrote one."""
    parts = ["\n".join(f"- {name}: {words}" for name, words in said.items())]
    for name in said:
        for file in (out / name / "report.md", out / "logs" / f"{name}.txt"):
            # The table of an evaluation stands in its log.
            if file.is_file() and (file.suffix == ".md" or name.endswith("_measured")):
                parts.append(f"## {name}\n\n{file.read_text(encoding='utf-8').strip()}")
    return "\n\n".join(parts) + "\n"


def run_all(plan: Sequence[Step], out: Path) -> dict[str, str]:
    """All steps, one after the other; the report is written after each."""
    said: dict[str, str] = {}
    for step in plan:
        if (out / "done" / step.name).exists():
            said[step.name] = "was done before"
        else:
            # Half as long again as planned; what starts a process is not scaled.
            said[step.name] = run_step(step, out, 60 * (1.5 * step.minutes + 2))
        print(f"{step.name}: {said[step.name]}", flush=True)
        write_text(report(out, said), out / "report.md")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu_results"), metavar="FOLDER")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, help=f"of everything; default: {WHOLE:g}")
    parser.add_argument("--try", action="store_true", dest="is_try", help="tiny, on the CPU")
    options = parser.parse_args()
    if not options.is_try and not torch.cuda.is_available():
        print("torch finds no GPU here; --try goes through everything on the CPU, in tiny")
        return 1
    scale = (options.minutes or (3 if options.is_try else WHOLE)) / WHOLE
    out = options.out.resolve()
    plan = [
        step
        for step in steps(out, options.data.resolve(), scale, options.is_try)
        if step.part in options.parts
    ]
    if not options.is_try:
        missing = [name for name in SETS if not (options.data / name).is_dir()]
        for name in missing:
            print(f"{name}: left out, as there is no folder {options.data / name}")
        plan = [step for step in plan if step.data not in missing]
    said = run_all(plan, out)
    print(out / "report.md")
    return int(any(words.startswith(("failed", "ended")) for words in said.values()))


if __name__ == "__main__":
    sys.exit(main())
