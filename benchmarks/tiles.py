"""Huge pictures: in strips that share the statistics of the norms, and in tiles that do not.

    uv run python benchmarks/tiles.py                    # on a CPU about 15 minutes, 6 GB of memory
    uv run python benchmarks/tiles.py --sizes 1024x768   # under a minute

Every measurement is a process of its own, so that no peak of memory passes from one to the next.
The result of the pass in one piece is kept in a temporary file, and what the other ways give is
compared with it. Writes `tiles.csv`, one row a measurement, after each; rows of the same picture,
size and way are replaced, so a long one can be measured alone.
"""

import argparse
import csv
import io
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cyclegan_course import worlds
from cyclegan_course.images import picture_to_tensor, write_text
from cyclegan_course.translate import load_translator
from cyclegan_course.translate.seams import (
    blended_tiles,
    seam_visibility,
    tile_edges,
    with_statistics_of,
)
from cyclegan_course.translate.tiles import translate_in_strips

WHOLE = "in one piece"
TILE, OVERLAP, ROWS = 512, 64, 64
REDUCED = 512  # longest side of the copy that the statistics are taken from
CSV = Path(__file__).with_name("tiles.csv")


@dataclass(frozen=True)
class Row:
    """One measurement; differences from the pass in one piece in steps of 1/255."""

    picture: str
    width: int
    height: int
    way: str
    mean_difference: float
    max_difference: float
    seams: float  # steps across the tiles' seams over those beside them; 1: none
    seconds: float  # of the processor
    peak_gb: float  # of the process
    before_gb: float  # its memory before the picture was translated


def reduced_statistics(net: torch.nn.Module, x: Tensor) -> Tensor:
    """Tiles with the statistics of a reduced copy; their halo covers the receptive field."""
    scale = min(1, REDUCED / max(x.shape[2:]))
    size = [round(side * scale / 2) * 2 for side in x.shape[2:]]
    small = F.interpolate(x, size=size, mode="bicubic", antialias=True)
    return blended_tiles(with_statistics_of(net, small), x, TILE, OVERLAP)


WAYS = {
    WHOLE: lambda net, x: net(x),
    "strips": partial(translate_in_strips, rows=ROWS),
    "strips, all in memory": partial(translate_in_strips, rows=ROWS, in_memory=2**40),
    "tiles, cut": partial(blended_tiles, tile=TILE, overlap=OVERLAP, blend=False),
    "tiles, blended": partial(blended_tiles, tile=TILE, overlap=OVERLAP),
    "tiles, reduced copy's statistics": reduced_statistics,
}


def photograph(width: int, height: int) -> Tensor:
    """A real photograph, enlarged."""
    picture = Image.fromarray(np.asarray(worlds.photographs()["china"]))
    return picture_to_tensor(picture.resize((width, height), Image.Resampling.BICUBIC))[None]


def gradient(width: int, height: int) -> Tensor:
    """Each colour grows along another direction: where a seam shows most."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return torch.stack([x, y, (x + y) / 2])[None]


def noise(width: int, height: int) -> Tensor:
    """Every pixel by itself, from -1 to 1."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, height, width, generator=generator) * 2 - 1


PICTURES = {"photograph": photograph, "gradient": gradient, "noise": noise}


def measure(name: str, picture: str, size: tuple[int, int], way: str, reference: Path) -> Row:
    """Translate in this process; the pass in one piece writes the reference, others read it."""
    net = load_translator(name, device="cpu").net
    x = PICTURES[picture](*size)
    before = peak_memory()
    start = time.process_time()
    with torch.inference_mode():
        y = WAYS[way](net, x)
    seconds, peak = time.process_time() - start, peak_memory()
    if way == WHOLE:
        np.save(reference, y.numpy())
    difference = (y - torch.from_numpy(np.load(reference, mmap_mode="c"))).abs_().mul_(127.5)
    edges = [tile_edges(side, TILE, OVERLAP) for side in y.shape[2:]]
    if way.startswith("strips"):  # the strips' edges at full resolution
        edges = [list(range(ROWS, y.shape[2], ROWS)), []]
    return Row(
        picture,
        *size,
        way,
        mean_difference=difference.mean().item(),
        max_difference=difference.max().item(),
        seams=seam_visibility(y, *edges),
        seconds=seconds,
        peak_gb=peak,
        before_gb=before,
    )


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GB."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def read() -> list[Row]:
    """What was measured before."""
    if not CSV.exists():
        return []
    with CSV.open(newline="", encoding="utf-8") as file:
        return [
            Row(**{f.name: f.type(line[f.name]) for f in fields(Row)})
            for line in csv.DictReader(file)
        ]


def write(rows: list[Row]) -> None:
    """Write all rows."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    table.writeheader()
    for row in rows:
        values = asdict(row)
        table.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in values.items()})
    write_text(text.getvalue(), CSV)


def markdown(rows: list[Row]) -> str:
    """The table of `benchmarks/README.md`."""
    lines = [
        "| picture | size | way | mean difference | largest | seams | processor | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.picture} | {r.width}x{r.height} | {r.way} | {r.mean_difference:.2g} "
        f"| {r.max_difference:.2g} | {r.seams:.2f} | {r.seconds:.1f} s | {r.peak_gb:.2f} GB |"
        for r in rows
    ]
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="painting", help="a shipped generator")
    parser.add_argument("--sizes", nargs="+", default=["1024x768", "2048x1536", "4096x3072"])
    parser.add_argument("--pictures", nargs="+", choices=PICTURES, default=list(PICTURES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--table", action="store_true", help="only print the table of tiles.csv")
    parser.add_argument("--reference", type=Path, help=argparse.SUPPRESS)  # in a child process
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    if options.table:
        print(markdown(read()))
        return
    sizes = [tuple(map(int, size.split("x"))) for size in options.sizes]
    if options.reference:
        ((size,), (picture,), (way,)) = sizes, options.pictures, options.ways
        row = measure(options.name, picture, size, way, options.reference)
        old = [r for r in read() if (r.picture, (r.width, r.height), r.way) != (picture, size, way)]
        write([*old, row])
        print(markdown([row]).splitlines()[-1], flush=True)
        return
    for size in options.sizes:
        for picture in options.pictures:
            with tempfile.TemporaryDirectory() as folder:
                for way in dict.fromkeys([WHOLE, *options.ways]):
                    command = [sys.executable, __file__, "--name", options.name]
                    command += ["--sizes", size, "--pictures", picture, "--ways", way]
                    command += ["--reference", os.path.join(folder, "reference.npy")]
                    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
