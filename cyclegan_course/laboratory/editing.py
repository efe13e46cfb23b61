"""Colour against shape: the two halves of the world `editing`, each trained and measured alone.

Domain A has red roofs and round trees. `colour` makes the roofs blue and nothing else, `shape`
makes the trees conifers and nothing else, so both start from the same pictures. Their trainings are
in `editing_trainings`.

Pictures are (N, 3, H, W) in [-1, 1].
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclegan_course.cyclegan import CycleGAN
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor
from cyclegan_course.laboratory.results import FOLDER as LABORATORY
from cyclegan_course.scenes import Scene, draw_scene, make_scene
from cyclegan_course.worlds import HELD_OUT_SEED

FOLDER = LABORATORY / "editing"
SIZE = 48
LEVEL = 1 / 127.5
EDITS = {"colour": "blue roofs", "shape": "conifers", "both": "B"}  # domain B for `draw_scene`
DIRECTIONS = ("A to B", "B to A")
LEAVES = ("both leaves", "only round", "only conifer")


def _check(edit: str) -> None:
    if edit not in EDITS:
        raise CourseError(f"There is no edit {edit!r}: choose one of {', '.join(EDITS)}.")


# --- pictures -------------------------------------------------------------------------------------


@cache
def _picture(seed: int, drawn: str, size: int) -> np.ndarray:
    picture = draw_scene(make_scene(seed), size, edit=drawn)
    picture.flags.writeable = False
    return picture


def unpaired_pictures(edit: str, domain: str, count: int, size: int = SIZE) -> list[np.ndarray]:
    """Training pictures as in `worlds.training_pictures`: A of even scenes, B of odd ones."""
    _check(edit)
    drawn, first = ("A", 0) if domain == "A" else (EDITS[edit], 1)
    return [_picture(seed, drawn, size) for seed in range(first, first + 2 * count, 2)]


def paired_pictures(
    edit: str, count: int, size: int = SIZE
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both sides of the even training scenes: what an unpaired training never has."""
    _check(edit)
    seeds = range(0, 2 * count, 2)
    return tuple([_picture(s, drawn, size) for s in seeds] for drawn in ("A", EDITS[edit]))


# --- the sealed truth, zone by zone ---------------------------------------------------------------


class Truth(NamedTuple):
    """Held-out scenes of an edit, with the seal opened.

    Attributes:
        A, B: (N, 3, H, W), the same scenes.
        zones: name to (N, H, W): "changed", where A and B differ; "elsewhere", the rest. Of the
            changed pixels "roofs" and "trees", by which half of the edit changes them, and, where
            trees change, LEAVES: leaves in both pictures, only of the round tree, or only of the
            conifer. Trunks and soft edges are in none of these three.
    """

    A: Tensor
    B: Tensor
    zones: dict[str, Tensor]


@cache
def open_truth(edit: str, count: int, size: int = SIZE, start: int = 0) -> Truth:
    """Open the seal of held-out scenes; what was opened once is kept, so leave it as it is.

    Changed is a pixel with a channel that differs by more than 8 levels. A leaf is what answers,
    by more than 2 levels, when only the tone of the leaves is turned from 0 to 1.
    """
    _check(edit)
    scenes = [make_scene(HELD_OUT_SEED + start + i) for i in range(count)]
    A, B = (_draw(scenes, size, drawn) for drawn in ("A", EDITS[edit]))
    changed = _differ(A, B, 8)
    zones = {"changed": changed, "elsewhere": ~changed}
    if edit in ("colour", "both"):
        zones["roofs"] = changed & _differ(A, _draw(scenes, size, EDITS["colour"]), 8)
    if edit in ("shape", "both"):
        zones["trees"] = changed & _differ(A, _draw(scenes, size, EDITS["shape"]), 8)
        was, will_be = (_leaves(scenes, size, drawn) for drawn in ("A", EDITS["shape"]))
        for name, where in zip(
            LEAVES, (was & will_be, was & ~will_be, ~was & will_be), strict=True
        ):
            zones[name] = changed & where
    return Truth(A, B, zones)


def _differ(one: Tensor, other: Tensor, levels: float) -> Tensor:
    # Pictures have whole levels: half a one more, and rounding decides nothing.
    return (one - other).abs().amax(dim=1) > (levels + 0.5) * LEVEL


def _draw(scenes: Sequence[Scene], size: int, drawn: str) -> Tensor:
    return pictures_to_tensor([draw_scene(scene, size, edit=drawn) for scene in scenes])


def _leaves(scenes: Sequence[Scene], size: int, drawn: str) -> Tensor:
    dark, light = (
        _draw([_with_tone(scene, tone) for scene in scenes], size, drawn) for tone in (0.0, 1.0)
    )
    return _differ(dark, light, 2)


def _with_tone(scene: Scene, tone: float) -> Scene:
    near, far = (
        tuple(replace(tree, tone=tone) for tree in trees)
        for trees in (scene.trees, scene.far_trees)
    )
    return replace(scene, trees=near, far_trees=far)


def edit_scores(
    fake: Tensor, source: Tensor, truth: Tensor, zones: dict[str, Tensor]
) -> list[dict]:
    """How much of the asked change was made, zone by zone.

    Keys of a row: zone; share, of all pixels; asked and left, the mean absolute difference of the
    source and of the translation to the truth, in levels of 255; done = 1 - left / asked, which is
    1 for the truth, 0 for the untouched source and negative for what is further off than that.
    """
    asked = (source - truth).abs().mean(dim=1) / LEVEL
    left = (fake - truth).abs().mean(dim=1) / LEVEL
    rows = []
    for zone, where in zones.items():
        found = {"asked": asked[where].mean().item(), "left": left[where].mean().item()}
        done = 1 - found["left"] / found["asked"] if zone != "elsewhere" else float("nan")
        rows.append({"zone": zone, "share": where.float().mean().item(), **found, "done": done})
    return rows


def model_scores(model: CycleGAN, truth: Truth) -> list[dict]:
    """`edit_scores` of both directions of a model."""
    rows = []
    ways = ((model.G_AB, truth.A, truth.B), (model.G_BA, truth.B, truth.A))
    for direction, (net, source, target) in zip(DIRECTIONS, ways, strict=True):
        with torch.no_grad():
            fake = net(source).clamp(-1, 1)
        scored = edit_scores(fake, source, target, truth.zones)
        rows += [{"direction": direction} | row for row in scored]
    return rows


# --- the stored trainings -------------------------------------------------------------------------

_WORDS = ("edit", "training", "direction", "zone", "picture")


def stored(table: str, folder: Path | None = None) -> list[dict]:
    """The rows of a stored table, "zones", "sets", "blend" or "push"; numbers as float."""
    file = (folder or FOLDER) / f"{table}.csv"
    if not file.is_file():
        raise CourseError(
            f"There is no table {file.name}: make it with python benchmarks/editing.py"
        )
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            {k: v if k in _WORDS else float(v) for k, v in row.items()} | {"seed": int(row["seed"])}
            for row in csv.DictReader(stream)
        ]


def runs(folder: Path | None = None) -> set[tuple[str, str, int]]:
    """(edit, training, seed) of what the tables have."""
    if not ((folder or FOLDER) / "zones.csv").is_file():
        return set()
    return {(row["edit"], row["training"], row["seed"]) for row in stored("zones", folder)}


def by_seed(rows: Sequence[dict], measure: str, **where: object) -> dict[int, float]:
    """One measure of the rows that have these values, such as edit="shape": seed to value."""
    found = {
        row["seed"]: row[measure]
        for row in rows
        if all(row[key] == value for key, value in where.items())
    }
    if not found:
        raise CourseError(f"No stored row has {where}.")
    return found


def picture_name(edit: str, training: str) -> str:
    """The file with the pictures of seed 1."""
    return f"{edit}_{training.replace(', ', '_').replace(' ', '_')}.png"
