"""A full training run, and everything that is to be told of it afterwards.

    uv run python benchmarks/full_run.py --preset reference --data painting --out FOLDER

Trains with the options of `cyclegan-course train`, keeps the generators at a few moments, measures
these and the last and best ones, and writes to `FOLDER`: `run/`, as every training; `report.md`;
and `stored/`, what chapter 6 shows of it, which `--store` copies to `data/full_runs/NAME`. Started
again, it goes on where it was.

Of a world all pictures are shown. Of folders none are, unless `--show` says that they may be:
`photographs` are those that scikit-image and scikit-learn carry, in the place of the data's own A.
"""

import argparse
import csv
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from train_step import peak_memory

from cyclegan_course import environment, worlds
from cyclegan_course.cli.train import add_config_options, changes_of, command_for
from cyclegan_course.comparison import compare, measure_stages
from cyclegan_course.datasets import Source, middle_square, open_source, resize_short_side
from cyclegan_course.images import pictures_to_tensor, tensor_to_picture, whole_file, write_text
from cyclegan_course.laboratory import full_runs
from cyclegan_course.metrics.features import load_features
from cyclegan_course.metrics.table import Row, format_by_metric, format_table, row_to_dict
from cyclegan_course.plots.pictures import jpeg_bytes
from cyclegan_course.training import Config, preset, train
from cyclegan_course.training.run_folder import STAGES
from cyclegan_course.translate import load_translator

# Shares of the run: mostly early moments, as most is learned at first; and one half, from which on
# the learning rate falls.
SHARES = (1 / 256, 1 / 64, 1 / 16, 1 / 4, 1 / 2, 1)
SCENES = (0, 3, 5, 9, 12)  # held-out scenes that are shown, and so many pictures of other data
PHOTOGRAPHS = ("china", "flower", "coffee", "astronaut", "rocket")
SHOWABLE = ("photographs", "testA", "testB")
COSTS = "costs.json"
CURVE_ROWS = 300  # of losses and of measures, in what is stored
STAGE_COLUMNS = ("psnr", "blurred_psnr", "reconstruction", "distance", "kid")


def train_in_stages(config: Config, folder: Path, device: torch.device) -> None:
    """Train, or go on; the memory that it took is kept beside the run.

    Raises:
        KeyboardInterrupt: if the training was stopped; it can be gone on with.
    """
    is_new = not (folder / "config.json").exists()
    run = train(config, folder, device=device, resume=True, stages=SHARES)
    if not run.finished:  # the trainer ends a stopped run in good order
        raise KeyboardInterrupt(run.stopped_by)
    if is_new:  # of a run that was gone on with, this process knows a part alone
        write_text(json.dumps({"memory": peak_memory(device)}) + "\n", folder / COSTS)


def costs_of(run: Path, batch: int) -> dict:
    """What the training of a finished run took, and where."""
    trained = card_of(run)["trained"]
    with (run / "losses.csv").open(newline="", encoding="utf-8") as stream:
        *_, last = csv.DictReader(stream)
    rate = 2 * batch * int(last["step"]) / float(last["seconds"])
    memory = run / COSTS
    return {
        **{key: trained[key] for key in ("date", "machine", "threads", "versions", "steps")},
        "minutes": trained["minutes"],
        "images_per_second": round(rate, 2),
        "memory": None,
        **(json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}),
    }


def card_of(folder: Path) -> dict:
    """The card of the generators in a run, or in one of its stages."""
    (card,) = (folder / "generator").glob("*.json")
    return json.loads(card.read_text(encoding="utf-8"))


# --- pictures -------------------------------------------------------------------------------------


def shown_pictures(
    config: Config, source: Source, side: int, show: Sequence[str]
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Squares of `side` pixels by direction: "input", and "truth" where there is one."""
    if config.data in worlds.WORLDS:
        pairs = worlds.open_sealed_pairs(config.data, max(SCENES) + 1, side)
        A, B = ([np.asarray(pictures[i]) for i in SCENES] for pictures in pairs)
        return {"AB": {"input": A, "truth": B}, "BA": {"input": B, "truth": A}}
    found = {}
    if "photographs" in show:
        wheels = (Image.fromarray(worlds.photographs()[name]) for name in PHOTOGRAPHS)
        found["AB"] = {
            "input": [middle_square(np.asarray(resize_short_side(p, side)), side) for p in wheels]
        }
    for domain, direction in (("A", "AB"), ("B", "BA")):
        if f"test{domain}" in show:
            some = (source.test_A if domain == "A" else source.test_B)[: len(SCENES)]
            found[direction] = {"input": [middle_square(picture, side) for picture in some]}
    return found


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> Image.Image:
    """Rows of equal pictures as one picture."""
    return Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows]))


def translations(folder: Path, direction: str, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the generators in a folder make of some pictures."""
    translator = load_translator(folder, direction)
    images = pictures_to_tensor(pictures)
    return [
        np.asarray(tensor_to_picture(translator.translate_tensor(image[None])[0]))
        for image in images
    ]


def stage_folders(run: Path) -> list[Path]:
    return sorted((run / STAGES).iterdir())


def stage_facts(stage: Path) -> dict:
    """Step and minutes, from the card of a stage's generators."""
    trained = card_of(stage)["trained"]
    return {"step": trained["steps"], "minutes": trained["minutes"]}


def write_sheets(run: Path, shown: dict, folder: Path) -> dict[str, list[str]]:
    """A JPEG of rows for each direction; returns the rows' labels by direction."""
    labels = {}
    for direction, given in shown.items():
        rows = {"input": given["input"]}
        for stage in stage_folders(run):
            step = stage_facts(stage)["step"]
            rows[f"step {step:,}"] = translations(stage, direction, given["input"])
        rows |= {"truth": given["truth"]} if "truth" in given else {}
        with whole_file(folder / f"{direction}.jpg") as temporary:
            temporary.write_bytes(jpeg_bytes(sheet(list(rows.values()))))
        labels[direction] = list(rows)
    return labels


# --- what is kept ---------------------------------------------------------------------------------


def thinned(rows: list[dict], count: int) -> list[dict]:
    """At most `count` rows, evenly over all, with the first and the last one."""
    if len(rows) <= count:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, count).round().astype(int)]


def copy_curve(source: Path, target: Path) -> None:
    """A run's table with fewer rows and five digits."""
    if not source.exists():
        return
    with source.open(newline="", encoding="utf-8") as stream:
        rows = thinned(list(csv.DictReader(stream)), CURVE_ROWS)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: v if k == "step" else f"{float(v):.5g}" if v else v for k, v in row.items()}
        )
    write_text(text.getvalue(), target)


def report(record: dict, stages: Sequence[Row], final: Sequence[Row]) -> str:
    """The costs and both tables, in Markdown."""
    memory = f", {record['memory'] / 2**30:.2f} GiB at most" if record["memory"] else ""
    costs = (
        f"{record['steps']:,} steps in {record['minutes']:.1f} minutes, "
        f"{record['images_per_second']:.1f} images/s{memory}. {record['machine']}, "
        f"{record['threads']} thread(s), torch {record['versions']['torch']}, {record['date']}. "
        f"`{record['command']}`"
    )
    by_step = [replace(row, method=f"step {row.step:,}") for row in stages]
    columns = [c for c in STAGE_COLUMNS if any(getattr(row, c) is not None for row in by_step)]
    table = format_table(by_step, columns, intervals=True)
    return "\n\n".join([f"**{record['name']}**", costs, format_by_metric(final), table]) + "\n"


def command_of(config: Config, name: str, show: Sequence[str]) -> str:
    """What makes the same run; a folder is named, as its path means nothing to anyone else."""
    settings = command_for(replace(config, data=name)).removeprefix("cyclegan-course train ")
    shown = f" --show {' '.join(show)}" if show else ""
    return f"python benchmarks/full_run.py {settings}{shown}"


def tell(
    config: Config, run: Path, stored: Path, count: int, side: int, show: Sequence[str]
) -> str:
    """Measure, draw and write what is to be told of a finished run; returns the report."""
    source = open_source(config.data, config.loaded_size)
    stored.mkdir(parents=True, exist_ok=True)
    stages = measure_stages(run / STAGES, count, side, load_features(), config.data)
    final = compare([str(run)], None, count, side)
    record = {
        "name": config.name or source.name,
        "command": command_of(config, source.name, show),
        **costs_of(run, config.batch),
        "moments": [stage_facts(stage) for stage in stage_folders(run)],
        "pictures": write_sheets(run, shown_pictures(config, source, side, show), stored),
        "protocol": {key: final.protocol[key] for key in ("data", "size", "resize", "features")},
        "stages": [row_to_dict(row) for row in stages],
        "final": [row_to_dict(row) for row in final.rows],
    }
    copy_curve(run / "losses.csv", stored / full_runs.LOSSES)
    copy_curve(run / "metrics.csv", stored / full_runs.MEASURES)
    write_text(json.dumps(record, indent=1) + "\n", stored / full_runs.RECORD)
    return report(record, stages, final.rows)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_options(found)
    found.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    found.add_argument("--device", default=environment.best_device().type)
    found.add_argument("--show", nargs="+", choices=SHOWABLE, default=())
    found.add_argument("--count", type=int, default=64, help="held-out pictures to measure on")
    found.add_argument("--side", type=int, help="their size; default: as trained")
    found.add_argument("--store", action="store_true", help="keep it in data/full_runs")
    return found


def side_of(config: Config) -> int:
    """The size to measure at: that of a world's scenes, or of the crops of a folder's pictures."""
    return config.loaded_size if config.data in worlds.WORLDS else config.size


def main() -> None:
    options = parser().parse_args()
    environment.prepare_threads()
    config = preset(options.preset, **changes_of(options))
    run, stored = options.out / "run", options.out / "stored"
    train_in_stages(config, run, torch.device(options.device))
    side = options.side or side_of(config)
    text = tell(config, run, stored, options.count, side, options.show)
    write_text(text, options.out / "report.md")
    print(text)
    if options.store:
        name = json.loads((stored / full_runs.RECORD).read_text(encoding="utf-8"))["name"]
        shutil.copytree(stored, full_runs.FOLDER / name, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
