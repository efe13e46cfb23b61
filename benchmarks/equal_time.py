"""Equal pictures, equal time: the course's trainer against the textbook loop.

    uv run python benchmarks/equal_time.py --preset reference --data photo2monet --out FOLDER

Both start with the same weights, see the same crops in the same order, and lower the learning rate
as time runs out. The textbook loop is `cyclegan.training_step` with torch's own defaults, crops
made in the same process, and lists as pools. Neither samples, measures or saves meanwhile. After a
fifth, a half and the whole of `--minutes` (by default 2, 5 and 10) the generators are kept. In the
end all are measured on the same held-out pictures: `FOLDER/report.md` and `results.csv`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from full_run import side_of

from cyclegan_course import environment, worlds
from cyclegan_course.batches import draw_all
from cyclegan_course.cli.train import add_config_options, changes_of
from cyclegan_course.comparison import measure_stages
from cyclegan_course.cyclegan import Objective, training_step
from cyclegan_course.datasets import ImagePool, UnpairedBatches, open_source
from cyclegan_course.images import write_text
from cyclegan_course.metrics.features import load_features
from cyclegan_course.metrics.table import Row, format_table, write_csv
from cyclegan_course.training import Config, learning_rate_factor, preset, run_progress, train
from cyclegan_course.training.run_folder import STAGES, stage_folder, write_generators
from cyclegan_course.training.state import build_state

SHARES = (0.2, 0.5, 1.0)
NEVER = 1e9  # seconds
SEEN_EVERY = 0.5  # seconds: as often as the trainer, the loop reads its losses and waits for them
COLUMNS = ("psnr", "blurred_psnr", "reconstruction", "distance", "kid", "fid")


def textbook_loop(config: Config, folder: Path, device: torch.device) -> None:
    """Train as a first program would, and keep the generators of each stage in `folder`."""
    source = open_source(config.data, config.loaded_size)
    A, B = source.train_A, source.train_B
    if config.data in worlds.WORLDS and device.type != "cpu":  # as the trainer does beforehand
        A, B = draw_all(A, B)
    batches = UnpairedBatches(A, B, config.size, config.batch, config.seed)
    state = build_state(config, device)
    parameters = state.model.generator_parameters(), state.model.discriminator_parameters()
    optimizers = [torch.optim.Adam(some, lr=config.lr, betas=(0.5, 0.999)) for some in parameters]
    state.optimizer_G, state.optimizer_D = optimizers
    pools = ImagePool(config.pool_size, 1), ImagePool(config.pool_size, 2)
    objective = Objective(config.lambda_cycle, config.lambda_identity, config.adversarial)
    began = time.perf_counter()
    seen = 0.0
    while (done := run_progress(config, state.step, state.seconds)) < 1:
        state.set_learning_rate(config.lr * learning_rate_factor(done))
        real_A, real_B = (images.to(device) for images in batches(state.step))
        terms = training_step(state.model, real_A, real_B, *optimizers, *pools, objective)
        state.step += 1
        state.seconds = time.perf_counter() - began
        now = run_progress(config, state.step, state.seconds)
        if state.seconds - seen > SEEN_EVERY or now >= 1:
            if not all(torch.isfinite(term) for term in terms.values()):
                raise RuntimeError(f"the losses are no longer numbers at step {state.step}")
            seen = state.seconds
        if any(done < share <= now for share in SHARES):
            write_generators(config, source, state, stage_folder(folder, state.step))


def trainer(config: Config, folder: Path, device: torch.device) -> None:
    """The same with the course's trainer."""
    quiet = dict.fromkeys(("sample_every", "measure_every", "save_every"), NEVER)
    train(replace(config, **quiet), folder, device=device, stages=SHARES)


WAYS = {"textbook loop": textbook_loop, "trainer": trainer}


def named(rows: Sequence[Row], way: str, minutes: float) -> list[Row]:
    """Rows of stages as lines of the table: who, after which time, in how many steps.

    Of each direction the stages come in the order of their steps, which is that of `SHARES`.
    """
    lines = []
    for direction in dict.fromkeys(row.direction for row in rows):
        some = [row for row in rows if row.direction == direction]
        for row, share in zip(some, SHARES, strict=True):
            method = f"{way}, {share * minutes:.3g} min, {row.step:,} steps"
            lines.append(replace(row, method=method))
    return lines


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_options(found)
    found.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    found.add_argument("--device", default=environment.best_device().type)
    found.add_argument("--count", type=int, default=64, help="held-out pictures to measure on")
    found.add_argument("--side", type=int, help="their size; default: as trained")
    return found


def main() -> None:
    options = parser().parse_args()
    environment.prepare_threads()
    minutes = getattr(options, "minutes", 10.0)
    config = preset(options.preset, **changes_of(options) | {"minutes": minutes})
    side = options.side or side_of(config)
    rows = []
    for way, run in WAYS.items():
        folder = options.out / way.replace(" ", "_")
        run(config, folder, torch.device(options.device))
        stages = measure_stages(folder / STAGES, options.count, side, load_features(), config.data)
        rows += named(stages, way, minutes)
    rows.sort(key=lambda row: row.direction)
    write_csv(rows, options.out / "results.csv")
    facts = {"machine": environment.machine(), "versions": environment.versions()}
    write_text(json.dumps(facts, indent=1) + "\n", options.out / "machine.json")
    columns = [name for name in COLUMNS if any(getattr(row, name) is not None for row in rows)]
    report = (
        f"{environment.machine()}, torch {torch.__version__}, {side} px.\n\n"
        f"{format_table(rows, columns, intervals=True)}\n"
    )
    write_text(report, options.out / "report.md")
    print(report)


if __name__ == "__main__":
    main()
