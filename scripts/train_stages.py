"""Train a small CycleGAN and keep its generators at several moments: the stages of one run.

    OMP_NUM_THREADS=1 python scripts/train_stages.py painting night

For each world, `data/weights/stages/WORLD/step_NNNNN/` gets both generators and their card. Chapter
7 measures them one by one: what improves over a run, what gets worse, and when to stop.
"""

import argparse
import time
from pathlib import Path

import torch

from cyclegan_course import environment, worlds
from cyclegan_course.datasets import UnpairedBatches, open_source
from cyclegan_course.training import Config
from cyclegan_course.training.config import learning_rate_factor, run_progress
from cyclegan_course.training.fast_step import FastStep
from cyclegan_course.training.run_folder import write_generators
from cyclegan_course.training.state import build_state

STAGES = Path(__file__).resolve().parent.parent / "data" / "weights" / "stages"
# About threefold from one to the next: a run changes fast at first and slowly later.
MOMENTS = (0, 50, 150, 500, 1500, 5000, 12_000)
SHAPE = {"size": 64, "n_blocks": 3, "ngf": 16, "edge_kernel": 3, "lr": 1e-3}


def train_stages(world: str, moments: tuple[int, ...], seed: int, folder: Path) -> None:
    """One run on `world` up to the last moment; the generators of each moment go to `folder`."""
    lambda_identity = 0.0 if world == "night" else 5.0  # a night is no translation of itself
    config = Config(
        data=world, steps=moments[-1], lambda_identity=lambda_identity, seed=seed, **SHAPE
    )
    source = open_source(world, config.loaded_size)
    state = build_state(config, torch.device("cpu"))
    step = FastStep(state, config)
    batches = UnpairedBatches(source.train_A, source.train_B, config.size, seed=seed)
    began = time.perf_counter()
    while True:
        if state.step in moments:
            state.seconds = time.perf_counter() - began
            write_generators(config, source, state, folder / world / f"step_{state.step:05d}")
            print(f"{world}: step {state.step} after {state.seconds:.0f} s", flush=True)
        if state.step == moments[-1]:
            return
        progress = run_progress(config, state.step, 0.0)
        state.set_learning_rate(config.lr * learning_rate_factor(progress))
        step(*batches(state.step))
        state.step += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", nargs="+", choices=worlds.WORLDS)
    parser.add_argument("--moments", type=int, nargs="+", default=MOMENTS, metavar="STEP")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=STAGES)
    options = parser.parse_args()
    environment.prepare_threads()
    for world in options.worlds:
        train_stages(world, tuple(sorted(options.moments)), options.seed, options.out)


if __name__ == "__main__":
    main()
