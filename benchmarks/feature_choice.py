"""Why the offline features are what they are: every candidate on every ladder of known order.

    OMP_NUM_THREADS=1 python benchmarks/feature_choice.py [--photographs FOLDER ...]

Writes `feature_choice.csv` beside this file: one row a candidate, set of pictures, ladder and
distance, with Spearman's rank correlation of the distance with the known order; and prints the
table of `benchmarks/README.md`. About ten minutes on one core. A FOLDER holds real photographs in
trainA, trainB, testA and testB; the photographs that scikit-image and scikit-learn carry are
always among the sets.
"""

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, pairwise, product
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from feature_candidates import Features, candidates
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from cyclegan_course import environment, worlds
from cyclegan_course.images import picture_to_tensor, read_picture, whole_file
from cyclegan_course.metrics import known_order
from cyclegan_course.metrics.distribution import frechet_distance, kernel_distance

FILE = Path(__file__).with_suffix(".csv")
COUNT, SIZE, STARTS = 48, 64, (0, 96, 192)
DISTANCES = {"FID": frechet_distance, "KID": kernel_distance}
AMOUNTS = (0.0, 0.1, 0.2, 0.35, 0.55, 0.8)
KEYS = ("candidate", "features", "seconds", "pictures", "ladder", "distance", "spearman")
# Name of the pictures, name of the ladder, its sets (best first), the reference.
Ladder = tuple[str, str, list[Tensor], Tensor]


def world_ladders() -> Iterator[Ladder]:
    for world, start in product(worlds.APPLICATIONS, STARTS):
        source, truth = known_order.pairs(world, COUNT, SIZE, start=start)
        reference = known_order.reference(world, COUNT, SIZE, start=start)
        main = [known_order.damaged(truth, source, t) for t in known_order.MAIN]
        mixed = [truth.lerp(source, t) for t in known_order.MAIN]
        style = [known_order.wrong_look(truth, t) for t in known_order.STYLE]
        numbers = (max(1, round(COUNT * share)) for share in known_order.DIVERSITY)
        fewer = [known_order.repeated(truth, number) for number in numbers]
        sets = {"main": main, "nearer to the input": mixed, "style": style, "diversity": fewer}
        for ladder, each in sets.items():
            yield world, ladder, each, reference


def photograph_ladders(folders: list[Path]) -> Iterator[Ladder]:
    crops = _crops()
    quarters = crops[::4], crops[1::4], crops[2::4].flip(2)  # the other domain: upside down
    sets = {"six photographs": (quarters[0], quarters[2], quarters[1])}
    for folder in folders:
        for target, source in pairwise("ABA"):
            parts = (f"test{target}", f"test{source}", f"train{target}")
            sets[f"{folder.name} {target}"] = tuple(_folder(folder / part) for part in parts)
    for name, (images, other, reference) in sets.items():
        for ladder, each in _damages(images, other).items():
            yield name, ladder, each, reference


def _damages(images: Tensor, other: Tensor) -> dict[str, list[Tensor]]:
    """Graded damage; `other` are pictures of the other domain."""
    count = len(images)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    tint = torch.tensor([0.3, -0.1, -0.3])[:, None, None]
    shares = [round(t * count) for t in AMOUNTS]
    return {
        "noise": [(images + 0.4 * t * noise).clamp(-1, 1) for t in AMOUNTS],
        "blur": [gaussian_blur(images, [13, 13], [0.1 + 2.4 * t] * 2) for t in AMOUNTS],
        "colour": [(images + t * tint).clamp(-1, 1) for t in AMOUNTS],
        "nearer to another picture": [images.lerp(other, 0.6 * t) for t in AMOUNTS],
        "some of the other domain": [torch.cat([other[:n], images[n:]]) for n in shares],
        "diversity": [known_order.repeated(images, max(1, count // n)) for n in (1, 2, 4, 8, 16)],
    }


def _crops(each: int = 32) -> Tensor:
    rng = np.random.default_rng(1)
    found = []
    for _, photograph in product(range(each), worlds.photographs().values()):
        side = int(rng.integers(2 * SIZE, min(photograph.shape[:2]) + 1))
        top, left = (int(rng.integers(extent - side + 1)) for extent in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + side, left : left + side])
        found.append(picture_to_tensor(crop.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    return torch.stack(found)


def _folder(folder: Path) -> Tensor:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".png"))
    pictures = (Image.fromarray(np.asarray(read_picture(file))) for file in files[:COUNT])
    return torch.stack(
        [picture_to_tensor(p.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for p in pictures]
    )


@torch.no_grad()
def judge(name: str, features: Features, ladder: Ladder) -> Iterator[dict]:
    """One row a distance."""
    pictures, kind, sets, reference = ladder
    began = time.process_time()
    target, found = features(reference), [features(each) for each in sets]
    seconds = (time.process_time() - began) / (len(sets) + 1)
    for label, distance in DISTANCES.items():
        values = [distance(each, target) for each in found]
        rho = spearmanr(values, range(len(values))).statistic
        fields = (name, target.shape[1], f"{seconds:.3f}", pictures, kind, label, f"{rho:.4f}")
        yield dict(zip(KEYS, fields, strict=True))


def write(rows: list[dict]) -> None:
    with whole_file(FILE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, KEYS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def table(rows: list[dict]) -> str:
    """Markdown: a line a ladder and distance, a column a candidate."""
    columns: dict[tuple[str, str], dict] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        kind = "worlds" if row["pictures"] in worlds.WORLDS else "photographs"
        columns[f"{kind}: {row['ladder']}", row["distance"]][row["candidate"]].append(
            float(row["spearman"])
        )
    sizes = {row["candidate"]: row["features"] for row in rows}
    heading = ["ladder", "", *(f"{name} ({size})" for name, size in sizes.items())]
    lines = [heading, ["---"] * len(heading)]
    for (ladder, distance), each in columns.items():
        cells = (f"{mean(each[name]):.2f} ({min(each[name]):.2f})" for name in sizes)
        lines.append([ladder, distance, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", nargs="+", type=Path, default=[], metavar="FOLDER")
    options = parser.parse_args()
    environment.prepare_threads()
    chosen = list(candidates())
    rows: list[dict] = []
    for ladder in chain(world_ladders(), photograph_ladders(options.photographs)):
        for name, features in chosen:
            rows += judge(name, features, ladder)
        write(rows)
        print(*ladder[:2], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
