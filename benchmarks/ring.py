"""Chapter 1's table of cures for mode collapse, with more seeds.

    uv run python benchmarks/ring.py            # about 2 minutes on one core

Trains every recipe in four sets of six runs on the ring of eight Gaussians, and prints the table of
`benchmarks/README.md`. The first set (seed 0) is the one of the chapter.
"""

import torch

from cyclegan_course import environment
from cyclegan_course.toys.gan import Recipe, train_on_ring

SEEDS, RUNS = (0, 1, 2, 3), 6
RECIPES = {
    "Adam's defaults": Recipe(),
    "noise": Recipe(noise=0.3),
    "R1 penalty": Recipe(penalty=1.0),
    "LSGAN": Recipe(loss="lsgan"),
    "slower G": Recipe(rate_G=2.5e-4),
    "faster D": Recipe(rate_D=4e-3),
    "batch spread": Recipe(batch_spread=True),
    "beta1 = 0.5": Recipe(beta1=0.5),
    "beta1 = 0.5, faster D": Recipe(beta1=0.5, rate_D=4e-3),
}


def main() -> None:
    environment.prepare_threads()
    print(f"{environment.machine()}, torch {torch.__version__}")
    print(f"| recipe | {' | '.join(f'set {seed}' for seed in SEEDS)} | good points |")
    print("|---|" + "---|" * (len(SEEDS) + 1))
    for name, recipe in RECIPES.items():
        sets = [train_on_ring(recipe, runs=RUNS, seed=seed) for seed in SEEDS]
        modes = " | ".join(f"{found.modes.float().mean():.1f}" for found in sets)
        good = torch.cat([found.good for found in sets])
        spread = f"{good.mean():.0%} ({good.min():.0%} to {good.max():.0%})"
        print(f"| {name} | {modes} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
