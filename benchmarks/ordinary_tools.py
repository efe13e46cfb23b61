"""The settings of the ordinary tools of chapter 10, chosen with the truth of other scenes.

    uv run python benchmarks/ordinary_tools.py                # a few minutes on one core

Tries every combination of `cyclegan_course.ordinary.TOOLS` on held-out scenes from number 1000 on,
which the chapter's tables never use, and writes `data/laboratory/ordinary.csv`: a row a setting
with its PSNR and SSIM. The best in PSNR is chosen. It has to be the default of the function; the
tests compare the two.
"""

import argparse
import csv
import io
import json
from pathlib import Path

from cyclegan_course import environment, metrics, worlds
from cyclegan_course.images import pictures_to_tensor, write_text
from cyclegan_course.laboratory.results import FOLDER
from cyclegan_course.ordinary import TOOLS

START = 1000  # the tables measure scenes from 0 on


def rows_of(world: str, count: int, size: int) -> list[dict]:
    """Each tool of a world with each of its settings: PSNR in dB and SSIM, means over scenes."""
    source, truth = (
        pictures_to_tensor(side) for side in worlds.open_sealed_pairs(world, count, size, START)
    )
    sets = [
        pictures_to_tensor(worlds.training_pictures(world, domain, count, size)) for domain in "AB"
    ]
    rows = []
    for tool in TOOLS[world]:
        for settings in tool.settings():
            made = tool.run(source, *sets, **settings)
            rows.append(
                {
                    "world": world,
                    "tool": tool.name,
                    "settings": json.dumps(settings),
                    "psnr": round(metrics.psnr(made, truth).item(), 3),
                    "ssim": round(metrics.ssim(made, truth).item(), 4),
                }
            )
        best = max((row for row in rows if row["tool"] == tool.name), key=lambda row: row["psnr"])
        print(", ".join(f"{value}" for value in best.values()), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=12, help="scenes, and pictures of a set")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=FOLDER / "ordinary.csv")
    options = parser.parse_args()
    environment.prepare_threads()
    rows = [row for world in TOOLS for row in rows_of(world, options.count, options.size)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(text.getvalue(), options.out)


if __name__ == "__main__":
    main()
