"""CUT beside CycleGAN, for chapter 13: cost of a step, and quality on every world.

    uv run python benchmarks/cut.py cost               # two minutes; time and memory of a step
    uv run python benchmarks/cut.py rates              # a few minutes; learning rates
    uv run python benchmarks/cut.py quality            # half an hour on one core
    uv run python benchmarks/cut.py quality --tables   # print the tables, train nothing

`cost` measures both methods in turns, step by step, so what else the machine does falls on both,
and writes `data/laboratory/cut/cost.json`. `rates` tries `LEARNING_RATES` for each method on two
worlds with a seed that is in no other table, and writes `cut/rates.csv`; the middle one is the best
for both, and stands in `SMALL`. `quality` trains the same generator on the same pictures with every
seed and writes `data/laboratory/cut.csv`, one row a run and direction, and strips of pictures of
seed 1 in `data/laboratory/cut/`. "CUT, same time" makes as many more steps as `cost` found a step
to be cheaper. Runs that the table has already are not made again.
"""

import argparse
import itertools
import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path

import torch

from cyclegan_course import environment, worlds
from cyclegan_course.images import tensor_to_picture
from cyclegan_course.laboratory.results import FOLDER, Results, picture_name, verdict
from cyclegan_course.laboratory.scores import tasks
from cyclegan_course.laboratory.stored import strip, train_and_keep
from cyclegan_course.networks import count_parameters
from cyclegan_course.training import Config, FastStep, build_state, preset

METHODS = {"CycleGAN": "cyclegan", "CUT": "cut"}
SMALL = {"size": 48, "n_blocks": 3, "ngf": 16, "edge_kernel": 3, "n_layers": 2, "lr": 1e-3}
SMALL |= {"steps": 400, "precision": "float32", "compile": "off"}
LEARNING_RATES = (5e-4, 1e-3, 2e-3)  # to choose from
TRIED_ON, TRIED_SEED = ("night", "restoration"), 11
# Steps of each method that are timed, after one that is not.
SHAPES = {"small": (SMALL, 30), "reference": ({"steps": 1, "precision": "float32"}, 2)}


def config(shape: dict, **changes) -> Config:
    """The settings of a run: a preset's, of a shape, with some of them changed."""
    return preset("minute" if "size" in shape else "reference", **(shape | changes))


def variants(same_time: float) -> dict[str, dict]:
    """Name in the table -> what differs from the small run of CycleGAN."""
    longer = round(SMALL["steps"] * same_time)
    return {
        "CycleGAN": {},
        "CUT": {"method": "cut"},
        "CUT, same time": {"method": "cut", "steps": longer},
        "FastCUT without flips": {"method": "cut", "lambda_nce": 10.0, "lambda_nce_identity": 0.0},
    }


# --- cost ----------------------------------------------------------------------------------------


class Stepper:
    """One method, ready to make a step on random pictures."""

    def __init__(self, settings: Config) -> None:
        self.state = build_state(settings, torch.device("cpu"))
        self.step = FastStep(self.state, settings)
        draw = torch.Generator().manual_seed(0)
        shape = (2, settings.batch, 3, settings.size, settings.size)
        self.pictures = torch.rand(shape, generator=draw) * 2 - 1

    def __call__(self) -> float:
        """Make a step; its seconds."""
        began = time.perf_counter()
        self.step(*self.pictures)
        self.state.step += 1
        return time.perf_counter() - began

    def kept_bytes(self) -> int:
        """What one step keeps for its backward pass, weights aside: each memory block once."""
        weights = {p.untyped_storage().data_ptr() for p in self.state.model.parameters()}
        kept: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # a freed block's address would come again
            return tensor

        alive: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self()
        return sum(size for place, size in kept.items() if place not in weights)


def cost() -> dict:
    """Time and memory of one step of each method, at each of `SHAPES`."""
    found = {}
    for name, (shape, repeats) in SHAPES.items():
        settings = {label: config(shape, method=method) for label, method in METHODS.items()}
        steppers = {label: Stepper(each) for label, each in settings.items()}
        kept = {label: stepper.kept_bytes() for label, stepper in steppers.items()}
        seconds: dict[str, list[float]] = {label: [] for label in steppers}
        for _ in range(repeats):
            for label, stepper in steppers.items():
                seconds[label].append(stepper())
        pairs = zip(seconds["CycleGAN"], seconds["CUT"], strict=True)
        found[name] = {
            "size": settings["CUT"].size,
            "ratio": round(statistics.median(c / p for c, p in pairs), 3),
        } | {
            label: {
                "seconds": round(statistics.median(seconds[label]), 4),
                "kept_MB": round(kept[label] / 1e6, 1),
                "parameters": count_parameters(steppers[label].state.model),
            }
            for label in steppers
        }
        print(name, found[name], flush=True)
    return found


# --- quality -------------------------------------------------------------------------------------


def run(folder: Path, name: str, settings: Config, draw: bool) -> None:
    """Train and measure, unless the table has it; with a strip of its pictures."""
    done = train_and_keep(folder / "cut.csv", name, settings, size=settings.size)
    if done is not None and draw:
        row = strip(done.model.G_AB, tasks(settings.data, settings.size)[0].source)
        file = folder / "cut" / picture_name(name, settings.data)
        tensor_to_picture(row).save(file, optimize=True)


def tables(results: Results) -> str:
    """For each world, A to B: every variant, and CUT's difference to CycleGAN; in Markdown."""
    digits = {"psnr": 2, "ssim": 3, "blurred_psnr": 2, "distance": 3, "kid": 2}
    lines = [
        f"| world | | seeds | {' | '.join(digits)} |",
        "|---|---|---|" + "---|" * len(digits),
    ]
    for world in dict.fromkeys(row["world"] for row in results.rows):
        for name in results.names(world):
            cells = [
                f"{results.interval(name, measure, world=world).value:.{places}f}"
                for measure, places in digits.items()
            ]
            if name != "CycleGAN":
                for index, measure in enumerate(digits):
                    found = results.difference(name, "CycleGAN", measure, world=world)
                    word = verdict(found, measure)
                    cells[index] += f" ({word})" if word in BETTER_OR_WORSE else ""
            seeds = len(results.by_seed(name, "psnr", world=world))
            lines.append(f"| {world} | {name} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


BETTER_OR_WORSE = ("better", "worse")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("cost", "rates", "quality"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--worlds", nargs="+", default=list(worlds.APPLICATIONS))
    parser.add_argument("--variants", nargs="+", default=list(variants(1.0)))
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--tables", action="store_true", help="only print the tables")
    options = parser.parse_args()
    if options.tables:
        print(tables(Results("cut", options.out)))
        return
    environment.prepare_threads()
    (options.out / "cut").mkdir(parents=True, exist_ok=True)
    facts = {
        "machine": environment.machine(),
        "threads": torch.get_num_threads(),
        "versions": environment.versions(),
    }
    cost_file = options.out / "cut" / "cost.json"
    if options.what == "cost":
        cost_file.write_text(json.dumps(cost() | facts, indent=2) + "\n", encoding="utf-8")
        return
    if options.what == "rates":
        file = options.out / "cut" / "rates.csv"
        for world, (label, method), rate in itertools.product(
            TRIED_ON, METHODS.items(), LEARNING_RATES
        ):
            settings = config(SMALL, data=world, seed=TRIED_SEED, method=method, lr=rate)
            train_and_keep(file, f"{label}, {rate:g}", settings, size=settings.size)
        return
    same_time = json.loads(cost_file.read_text(encoding="utf-8"))["small"]["ratio"]
    chosen = {k: v for k, v in variants(same_time).items() if k in options.variants}
    record = {"settings": asdict(config(SMALL)), "variants": variants(same_time)} | facts
    (options.out / "cut" / "record.json").write_text(
        json.dumps(record, indent=2) + "\n", encoding="utf-8"
    )
    for seed in options.seeds:
        for name, changes in chosen.items():
            for world in options.worlds:
                settings = config(SMALL, data=world, seed=seed, **changes)
                draw = seed == options.seeds[0]
                run(options.out, name, settings, draw)


if __name__ == "__main__":
    main()
