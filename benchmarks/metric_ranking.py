"""Which metric can be trusted? Translators of known order on every world, ranked by every metric.

    OMP_NUM_THREADS=1 python benchmarks/metric_ranking.py      # about 15 minutes on one core

Writes, beside this file, `metric_ranking.csv`: one row a world, direction, block of held-out
scenes, ladder and translator, with every metric; and prints the tables of `benchmarks/README.md`:
Spearman's rank correlation of each metric with the known order (1: the metric ranks as the order
does; 0: it knows nothing of it; -1: it ranks the wrong way round). The spread is over blocks of
scenes that share none. `--tables` prints the tables of the CSV that is there.
"""

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean

import torch
from scipy.stats import spearmanr
from torch import Tensor

from cyclegan_course import environment, metrics, worlds
from cyclegan_course.images import whole_file
from cyclegan_course.metrics import known_order
from cyclegan_course.metrics.correspondence import own_scene
from cyclegan_course.metrics.distribution import fid, kid
from cyclegan_course.translate import available_names, load_translator, weights_folder

FILE = Path(__file__).with_suffix(".csv")
COUNT, SIZE = 48, 64
# Direction and first scene of each block: 48 scenes to translate, and the next 48 as reference.
BLOCKS = (("AB", 0), ("BA", 0), ("AB", 96), ("AB", 192))
SLICES = {"patches": 32, "projections": 64}  # of the Wasserstein distance, to save time
KEYS = ("world", "direction", "start", "ladder", "rank", "translator")


def _decibels(fake: Tensor, truth: Tensor) -> float:
    values = metrics.psnr(fake, truth, reduction="none")
    return values.clamp_max(metrics.PSNR_CEILING).mean().item()


# Name: (metric of translations, truth and reference; 1 where higher is better, else -1).
METRICS: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], float], int]] = {
    "psnr": (lambda fake, truth, _: _decibels(fake, truth), 1),
    "ssim": (lambda fake, truth, _: metrics.ssim(fake, truth).item(), 1),
    "l1": (lambda fake, truth, _: metrics.l1(fake, truth).item(), -1),
    "blurred_psnr": (
        lambda fake, truth, _: _decibels(metrics.blur(fake), metrics.blur(truth)),
        1,
    ),
    "correspondence": (lambda fake, truth, _: own_scene(fake, truth).float().mean().item(), 1),
    "sliced_wasserstein": (
        lambda fake, _, reference: metrics.sliced_wasserstein(fake, reference, **SLICES),
        -1,
    ),
    "fid": (lambda fake, _, reference: fid(fake, reference), -1),
    "kid": (lambda fake, _, reference: kid(fake, reference), -1),
}


def trained(
    world: str, direction: str, source: Tensor, stages: Path
) -> Iterator[tuple[str, Tensor]]:
    """Translations by the shipped generator and by the stages of one run, where there are any."""
    places = {place.name: place for place in sorted((stages / world).glob("step_*"))}
    if world in available_names():
        places["shipped"] = world
    for name, place in places.items():
        translator = load_translator(place, direction, device="cpu")
        batches = [translator.translate_tensor(batch) for batch in source.split(8)]
        yield name, torch.cat(batches).clamp(-1, 1)


def measure_all(world: str, direction: str, start: int, stages: Path) -> Iterator[dict]:
    """The rows of one block of scenes: every ladder, the cheats and the trained generators."""
    where = {"size": SIZE, "direction": direction, "start": start}
    source, truth = known_order.pairs(world, COUNT, **where)
    reference = known_order.reference(world, COUNT, **where)
    sets = {
        kind: known_order.ladder(world, COUNT, kind=kind, **where) for kind in known_order.KINDS
    }
    if (world, direction) == ("painting", "AB"):
        sets["painters"] = known_order.painters(COUNT, SIZE, start)
    sets["cheats"] = known_order.cheats(world, COUNT, **where)
    sets["trained"] = dict(trained(world, direction, source, stages))
    for ladder, translators in sets.items():
        for rank, (name, fake) in enumerate(translators.items()):
            row = dict(zip(KEYS, (world, direction, start, ladder, rank, name), strict=True))
            yield row | {key: each(fake, truth, reference) for key, (each, _) in METRICS.items()}


def correlation(order: list[float], values: list[float], sign: int) -> float | None:
    """Spearman's correlation with the order, best first; None where the metric sees no difference.

    Values are compared to nine digits, so that sums in another order are no difference.
    """
    rounded = [-sign * float(f"{value:.9g}") for value in values]
    if len(set(rounded)) == 1:
        return None
    return spearmanr(order, rounded).statistic


def correlations(rows: list[dict], ladder: str) -> dict[tuple[str, str], dict[str, list]]:
    """For each world and direction, and each metric: one correlation a block of scenes.

    The order of the trained generators is that of the sealed truth: blurred PSNR. A block of one
    or two translators has no order and is left out.
    """
    blocks = defaultdict(list)
    for row in rows:
        if row["ladder"] == ladder:
            blocks[row["world"], row["direction"], row["start"]].append(row)
    found: dict = defaultdict(lambda: defaultdict(list))
    for (world, direction, _), block in blocks.items():
        if len(block) < 3:
            continue
        order = [row["rank"] for row in block]
        if ladder == "trained":
            order = [-row["blurred_psnr"] for row in block]
        for name, (_, sign) in METRICS.items():
            found[world, direction][name].append(
                correlation(order, [row[name] for row in block], sign)
            )
    return found


def table(rows: list[dict], ladder: str) -> str:
    """Markdown: mean over the blocks, in brackets the smallest; 'blind' where nothing is seen."""
    found = correlations(rows, ladder)
    heading = ["world", "direction", *(name.replace("_", " ") for name in METRICS)]
    lines = [heading, ["---"] * len(heading)]
    lines += [[*key, *(_cell(each[name]) for name in METRICS)] for key, each in found.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(values: list[float | None]) -> str:
    seen = [value for value in values if value is not None and not math.isnan(value)]
    return f"{mean(seen):.2f} ({min(seen):.2f})" if len(seen) == len(values) else "blind"


def values_table(rows: list[dict], ladder: str, world: str, direction: str = "AB") -> str:
    """Markdown: every translator of one ladder with every metric, mean over the blocks."""
    chosen = defaultdict(list)
    for row in rows:
        if (row["ladder"], row["world"], row["direction"]) == (ladder, world, direction):
            chosen[row["translator"]].append(row)
    heading = ["translator", *(name.replace("_", " ") for name in METRICS)]
    lines = [heading, ["---"] * len(heading)]
    for name, each in chosen.items():
        lines.append([name, *(f"{mean(row[key] for row in each):.3f}" for key in METRICS)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(rows: list[dict]) -> None:
    with whole_file(FILE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*KEYS, *METRICS), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            numbers = {key: f"{row[key]:.6g}" for key in METRICS}
            writer.writerow(row | numbers)


def read() -> list[dict]:
    with open(FILE, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"rank": int(row["rank"]), "start": int(row["start"])}
        row |= {key: float(row[key]) for key in METRICS}
    return rows


def report(rows: list[dict]) -> str:
    parts = []
    for ladder in ("main", "style", "diversity", "content", "painters", "trained"):
        parts.append(f"**{ladder}**\n\n{table(rows, ladder)}")
    for world in dict.fromkeys(row["world"] for row in rows):
        for ladder in ("main", "cheats", "trained"):
            parts.append(f"**{world}, A to B, {ladder}**\n\n{values_table(rows, ladder, world)}")
    parts.append(f"**painting, painters**\n\n{values_table(rows, 'painters', 'painting')}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--worlds", nargs="+", default=list(worlds.APPLICATIONS), choices=worlds.WORLDS
    )
    parser.add_argument("--stages", type=Path, default=weights_folder() / "stages")
    parser.add_argument("--tables", action="store_true", help="only print, measure nothing")
    options = parser.parse_args()
    environment.prepare_threads()
    if not options.tables:
        rows = []
        for direction, start in BLOCKS:
            for world in options.worlds:
                rows += measure_all(world, direction, start, options.stages)
                write(rows)
                print(f"{world} {direction} from scene {start}", flush=True)
    print(report(read()))


if __name__ == "__main__":
    main()
