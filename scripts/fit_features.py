"""Fit the units of the course features: mean and deviation of each over a fixed set of pictures.

    OMP_NUM_THREADS=1 python scripts/fit_features.py

The set: pictures of every world and crops of the photographs that scikit-image and scikit-learn
carry, half of them at 64 and half at 128 pixels. About a minute on one core. Writes
`cyclegan_course/metrics/picture_statistics.json`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cyclegan_course import environment, metrics, worlds
from cyclegan_course.images import pictures_to_tensor, write_text
from cyclegan_course.metrics.picture_statistics import names, picture_statistics

FILE = Path(metrics.__file__).with_name("picture_statistics.json")
SIZES = (64, 128)
SCENES = 12  # of each look and size
FIRST_SCENE = 10_000  # training scenes that no run of the course reaches
CROPS = 14  # of each photograph and size


def pictures(size: int, seed: int = 0) -> Iterator[np.ndarray]:
    """The pictures of one size, uint8 (size, size, 3)."""
    for look, (world, domain) in enumerate(worlds.LOOKS):
        first = FIRST_SCENE + look * 2 * SCENES
        for scene in range(first, first + SCENES):
            yield worlds.render(world, scene, domain, size)
    rng = np.random.default_rng(seed)
    for photograph in worlds.photographs().values():
        for _ in range(CROPS):
            yield _crop(photograph, size, rng)


def _crop(photograph: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square of random place and extent, reduced to `size`."""
    side = int(rng.integers(size, min(photograph.shape[:2]) + 1))
    top, left = (int(rng.integers(extent - side + 1)) for extent in photograph.shape[:2])
    crop = Image.fromarray(photograph[top : top + side, left : left + side])
    return np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))


def fit() -> dict:
    """What the file holds."""
    features = torch.cat(
        [picture_statistics(pictures_to_tensor(pictures(size))) for size in SIZES]
    ).double()
    deviation, mean = torch.std_mean(features, dim=0)
    return {
        "command": "python scripts/fit_features.py",
        "pictures": len(features),
        "features": {
            name: {"mean": round(m, 6), "deviation": round(d, 6)}
            for name, m, d in zip(names(), mean.tolist(), deviation.tolist(), strict=True)
        },
    }


def main() -> None:
    environment.prepare_threads()
    write_text(json.dumps(fit(), indent=1) + "\n", FILE)
    print(f"{FILE.name}: {len(names())} features")


if __name__ == "__main__":
    main()
