"""Train a small CycleGAN and keep its generators at several moments: the stages of one run.

    OMP_NUM_THREADS=1 python scripts/train_stages.py painting night

For each world, `data/weights/stages/WORLD/step_NNNNN/` gets both generators and their card. Chapter
7 measures them one by one: what improves over a run, what gets worse, and when to stop.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from cyclegan_course import environment, worlds
from cyclegan_course.training import Config, train

STAGES = Path(__file__).resolve().parent.parent / "data" / "weights" / "stages"
# About threefold from one to the next: a run changes fast at first and slowly later.
MOMENTS = (0, 50, 150, 500, 1500, 5000, 12_000)
SHAPE = {"size": 64, "n_blocks": 3, "ngf": 16, "edge_kernel": 3, "lr": 1e-3}
NEVER = 1e9  # seconds: nobody looks at these runs


def train_stages(world: str, moments: tuple[int, ...], seed: int, folder: Path) -> None:
    """One run on `world` up to the last moment; the generators of each moment go to `folder`."""
    config = Config(
        data=world,
        steps=moments[-1],
        lambda_identity=0.0 if world == "night" else 5.0,  # a night is no translation of itself
        seed=seed,
        **SHAPE,
        **dict.fromkeys(("sample_every", "measure_every", "save_every"), NEVER),
    )
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        shares = [moment / moments[-1] for moment in moments]
        train(config, run, device=torch.device("cpu"), stages=shares)
        for stage in (run / "stages").iterdir():
            name = f"step_{int(stage.name.removeprefix('step_')):05d}"
            shutil.copytree(stage, folder / world / name, dirs_exist_ok=True)


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
