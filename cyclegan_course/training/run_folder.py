"""The folder of a run, which explains itself: settings, losses, measures, samples, generators."""

import csv
import io
import json
import shlex
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch

from cyclegan_course import environment, worlds
from cyclegan_course.datasets import Source
from cyclegan_course.errors import CourseError
from cyclegan_course.folders import data_name
from cyclegan_course.images import remove_unfinished, write_text
from cyclegan_course.training.config import Config, config_from_dict
from cyclegan_course.training.state import State
from cyclegan_course.translate import load_generator, save_generator

STAGES = "stages"  # folder of the generators that `train(stages=...)` keeps


def prepare_folder(folder: Path, *, resume: bool) -> None:
    """Make the run's folder and the folders in it; what a killed run left half-written goes.

    Raises:
        CourseError: if another run is already there, or the folder cannot be written.
    """
    if not resume and any((folder / "checkpoints").glob("*.safetensors")):
        raise CourseError(
            f"{str(folder)!r} already holds a run; resume it, or name another folder for this one."
        )
    try:
        for name in ("samples", "checkpoints", "generator"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); choose another folder."
        ) from error
    remove_unfinished(folder)


def write_config(config: Config, folder: Path) -> None:
    """Write `config.json`, and the `README.md` that says what everything in the folder is."""
    write_text(json.dumps(asdict(config), indent=2) + "\n", folder / "config.json")
    write_text(readme(config, folder.resolve().name), folder / "README.md")


def readme(config: Config, name: str) -> str:
    """What lies in the folder of a run, and what to do with it; `name` is the folder's own."""
    in_shell = shlex.quote(name)
    test_pictures = (
        "Held-out pictures are scenes that are never trained on."
        if config.data in worlds.WORLDS
        else "Held-out pictures are those of testA and testB. Where there is no such folder, some "
        "of the domain's pictures were set aside and never trained on."
    )
    title, networks, rows, generators, losses, measures = (
        _words_of_cut(config) if config.method == "cut" else _words_of_cyclegan(config)
    )
    way_back = "" if config.method == "cut" else '; direction="BA" for the way back'
    return f"""\
# A {title} run on {data_name(config.data)}

{networks} Trained on crops of {config.size} x {config.size} pixels.

## What is here

| | |
|---|---|
| `config.json` | every setting of the run |
| `losses.csv` | the losses, about twice a second, later less often |
| `metrics.csv` | measures of held-out pictures |
| `samples/` | held-out pictures by step, in rows: {rows} |
| `generator/` | {generators} when the run ended or was stopped, with the card |
| `best/generator/` | the same for the best step so far, by the {config.best} in `metrics.csv` |
| `stages/` | only if they were asked for: the generators at some earlier steps |
| `checkpoints/` | all that is needed to go on: the newest {config.keep} by step, and the best |
| `tensorboard/` | only with `--log tensorboard`; to look at it: `tensorboard --logdir .` |

{test_pictures}

`losses.csv` has the step, the seconds of training, and then:

| | |
|---|---|
{losses}

`metrics.csv` has the step, the seconds, and then, lower being better:

| | |
|---|---|
{measures}

## What to do with it

In a terminal, in the folder that holds this one:

```
cyclegan-course train --resume {in_shell}
cyclegan-course translate PICTURE --to {in_shell}
cyclegan-course evaluate {in_shell}
```

The first goes on from the newest checkpoint, as if the run had not stopped. With `--minutes` or \
`--steps` it becomes longer. To use the best step, give `{name}/best` to the other two.

In Python:

```python
from pathlib import Path

from cyclegan_course.training import load_config, train
from cyclegan_course.translate import load_translator

folder = Path({name!r})
run = train(load_config(folder), folder, resume=True)
translation = load_translator(folder)(picture)  # a PIL picture{way_back}
```
"""


_DISTANCE_AB = (
    "| `distance_AB` | sliced Wasserstein distance of translations A to B from pictures of B |"
)


class _Words(NamedTuple):
    """What the README of a run says of its method."""

    title: str
    networks: str
    rows: str
    generators: str
    losses: str
    measures: str


def _words_of_cyclegan(config: Config) -> _Words:
    losses = [
        "| `G_AB`, `G_BA` | adversarial loss of each generator |",
        f"| `cycle_A`, `cycle_B` | cycle consistency, times {config.lambda_cycle:g} |",
        f"| `idt_A`, `idt_B` | identity, times {config.lambda_identity:g} |",
        "| `D_A`, `D_B` | loss of each discriminator, halved |",
    ]
    return _Words(
        "CycleGAN",
        "G_AB translates pictures of A to B, G_BA those of B to A.",
        "A, A to B, and back; B, B to A, and back",
        "both generators as they were",
        "\n".join(losses if config.lambda_identity > 0 else losses[:2] + losses[3:]),
        f"{_DISTANCE_AB}\n"
        "| `distance_BA` | the same for B to A and pictures of A |\n"
        "| `reconstruction_A`, `reconstruction_B` | mean difference between a picture and itself "
        "after there and back, black to white being 1 |",
    )


def _words_of_cut(config: Config) -> _Words:
    losses = [
        "| `G_AB` | adversarial loss of the generator |",
        f"| `nce_A` | patches of A against their translations, times {config.lambda_nce:g} |",
        "| `nce_B` | the same for pictures of B, which should stay what they are, times "
        f"{config.lambda_nce_identity:g} |",
        "| `D_B` | loss of the discriminator, halved |",
    ]
    return _Words(
        "CUT",
        "G_AB translates pictures of A to B; there is no way back.",
        "A, A to B",
        "the generator as it was",
        "\n".join(losses if config.lambda_nce_identity > 0 else losses[:2] + losses[3:]),
        _DISTANCE_AB,
    )


def load_config(folder: Path) -> Config:
    """The configuration of the run in a folder.

    Raises:
        CourseError: if there is none, or it cannot be read.
    """
    try:
        return config_from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{str(folder)!r} holds no run that can be read (no valid config.json)."
        ) from error


def write_tables(state: State, folder: Path) -> None:
    """Write `losses.csv` and `metrics.csv` anew from the state, so they never run ahead of it."""
    for name, rows in (("losses.csv", state.record), ("metrics.csv", state.measures)):
        if rows:
            text = io.StringIO()
            columns = dict.fromkeys(name for row in rows for name in row)
            writer = csv.DictWriter(text, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(text.getvalue(), folder / name)


def stage_folder(folder: Path, step: int) -> Path:
    """Where the generators of a stage are kept."""
    return folder / STAGES / f"step_{step:07d}"


def write_generators(config: Config, source: Source, state: State, folder: Path) -> None:
    """Write the generators and their card, ready for `translate.load_translator`."""
    save_generator(
        folder / "generator",
        config.name or source.name,
        state.generators["G_AB"],
        state.generators.get("G_BA"),
        model_card(config, source, state),
    )


def step_of_generators(state: State, folder: Path) -> int | None:
    """The step whose generators lie in a run's folder; None if they are not all there and whole."""
    try:
        cards = [load_generator(folder, name.removeprefix("G_"))[1] for name in state.generators]
        (step,) = {card["trained"]["steps"] for card in cards}
    except (CourseError, KeyError, ValueError):
        return None
    return step


def model_card(config: Config, source: Source, state: State) -> dict:
    """What is written beside a generator: its shape, and where it comes from."""
    return {
        "domain_A": source.domain_A,
        "domain_B": source.domain_B,
        "generator": config.generator_shape,
        "working_size": config.loaded_size * (1 if config.data in worlds.WORLDS else 2),
        "trained": {
            # A folder's path means nothing to anyone else: its name is enough.
            "config": asdict(replace(config, data=source.name)),
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "date": date.today().isoformat(),
            "machine": environment.machine(),
            "threads": torch.get_num_threads(),
            "versions": environment.versions(),
        },
    }
