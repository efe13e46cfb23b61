"""The hidden message: what a translation carries for the way back although nobody sees it.

In the world `grey` all roofs have one luma, so the true grey picture is the same whatever the hue.
A cycle can close only if G_AB writes the hue into its grey picture and G_BA reads it there
(Chu et al. 2017). Two pictures that differ in nothing but the hue of their roofs catch it in the
act: the difference of their translations is the message, and nothing else.

Pictures are (N, 3, H, W) in [-1, 1]. A level is a step of 8 bits, 1/127.5 of that range.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from cyclegan_course import metrics, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.images import picture_to_tensor, pictures_to_tensor, tensor_to_picture
from cyclegan_course.laboratory.results import FOLDER as LABORATORY
from cyclegan_course.scenes import LUMA
from cyclegan_course.translate.weights import load_generator

FOLDER = LABORATORY / "hidden_message"
SIZE = 48  # of the stored trainings
SHOWN = 2  # the seed whose weights are stored: its usual training writes partly with a tint
LEVEL = 1 / 127.5
CHANCE = 90.0  # degrees: mean error of a hue that is guessed

# The stored trainings, by the standard deviation of the noise in their cycle, in [-1, 1].
TRAININGS = {"plain": 0.0, "noise 10": 0.08}

Disturbance = Callable[[Tensor, float], Tensor]


class Scenes(NamedTuple):
    """Held-out scenes of `grey`: A and B (N, 3, H, W), and where A has a roof (N, H, W)."""

    A: Tensor
    B: Tensor
    roofs: Tensor


def open_scenes(count: int, size: int = SIZE, start: int = 0) -> Scenes:
    """Open the seal of `grey`.

    A roof is what differs from the same scene with ordinary roofs, by more than 40 levels, and has
    a colour: more than 60 levels between its strongest and its weakest channel.
    """
    A, B = map(pictures_to_tensor, worlds.open_sealed_pairs("grey", count, size, start))
    ordinary = pictures_to_tensor(worlds.held_out("painting", "A", count, size, start))
    different = (A - ordinary).abs().amax(dim=1) > 40 * LEVEL
    coloured = A.amax(dim=1) - A.amin(dim=1) > 60 * LEVEL
    return Scenes(A, B, different & coloured)


# --- hue ------------------------------------------------------------------------------------------


def hue(images: Tensor) -> Tensor:
    """The hue of every pixel: the angle of its colour around grey, (N, H, W), -180 to 180 degrees.

    Red is 0, green 120, blue -120: the angle of (R - (G + B) / 2, sqrt(3) / 2 (G - B)).
    """
    red, green, blue = images.unbind(dim=1)
    return torch.rad2deg(torch.atan2(math.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2))


def hue_error(rec: Tensor, truth: Tensor, where: Tensor) -> float:
    """Mean angle between two hues over the pixels `where` (N, H, W): 0 to 180, by chance 90."""
    if not where.any():
        raise CourseError("There is no roof in these pictures: take more scenes.")
    apart = (hue(rec) - hue(truth))[where]
    return (180 - (180 - apart.abs()).abs()).mean().item()


def repainted(images: Tensor, where: Tensor, angle: float) -> Tensor:
    """The pixels `where` (N, H, W) in another hue; each keeps its luma, so its true grey.

    Args:
        angle: the new hue, degrees. The colour is as strong as before, or the strongest that
            stays within [-1, 1].
    """
    turn = math.radians(angle)
    pure = torch.tensor([math.cos(turn - shift * math.pi / 3) for shift in (0, 2, 4)])
    weights = torch.tensor(LUMA)
    colour = (pure - (weights * pure).sum()).reshape(1, 3, 1, 1)  # luma 0: it cannot change grey
    luma = (images * weights.reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    strength = (images - luma).norm(dim=1, keepdim=True) / colour.norm()
    room = torch.where(colour > 0, 1 - luma, -1 - luma) / colour
    painted = luma + torch.minimum(strength, room.amin(dim=1, keepdim=True)) * colour
    return torch.where(where[:, None], painted, images)


def message(G_AB: nn.Module, scenes: Scenes, angles: tuple[float, float]) -> Tensor:
    """What changes in the grey picture if nothing but the hue of the roofs does: (N, 3, H, W).

    The true grey of both is the same, so an honest translator gives 0 everywhere.
    """
    with torch.no_grad():
        one, other = (G_AB(repainted(scenes.A, scenes.roofs, angle)) for angle in angles)
    return one - other


def loudness(difference: Tensor, where: Tensor) -> dict[str, float]:
    """How strong a message is on the roofs, in levels, and how much of it has a colour.

    Keys: message, the root mean square over pixels and channels; brightness, that of the mean over
    channels; tint, that of the rest. message^2 = brightness^2 + tint^2.
    """
    pixels = difference.movedim(1, -1)[where] / LEVEL
    grey = pixels.mean(dim=1, keepdim=True)
    parts = {"message": pixels, "brightness": grey, "tint": pixels - grey}
    return {name: part.square().mean().sqrt().item() for name, part in parts.items()}


# --- what may happen to a picture on its way ------------------------------------------------------


def with_noise(images: Tensor, levels: float, seed: int = 0) -> Tensor:
    """Gaussian noise of a standard deviation of `levels`, the same for every call of one seed."""
    generator = torch.Generator().manual_seed(seed)
    return images + levels * LEVEL * torch.randn(images.shape, generator=generator)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of `sigma` pixels."""
    return metrics.blur(images, sigma) if sigma else images


def rounded(images: Tensor, bits: float) -> Tensor:
    """Rounded to 2^bits equal steps from -1 to 1: with 8, what a PNG file keeps."""
    steps = (2**bits - 1) / 2
    return ((images + 1) * steps).round() / steps - 1


def as_jpeg(images: Tensor, quality: float) -> Tensor:
    """Written to a JPEG file of a quality from 1 to 95, and read again."""
    read = []
    for image in images:
        file = io.BytesIO()
        tensor_to_picture(image).save(file, "jpeg", quality=int(quality))
        read.append(picture_to_tensor(Image.open(file)))
    return torch.stack(read)


def without_tint(images: Tensor, share: float = 1.0) -> Tensor:
    """A share of every tint taken away: with 1 all channels are their mean, truly grey."""
    return images + share * (images.mean(dim=1, keepdim=True) - images)


# Name to the disturbance, and the strengths at which it is measured.
DISTURBANCES: dict[str, tuple[Disturbance, Sequence[float]]] = {
    "noise": (with_noise, (0, 1, 2, 5, 10, 20, 40)),
    "blur": (blurred, (0, 0.3, 0.5, 0.7, 1, 1.5)),
    "bits": (rounded, (8, 7, 6, 5, 4, 3)),
    "jpeg": (as_jpeg, (95, 90, 75, 50, 25)),
    "tint": (without_tint, (0, 0.25, 0.5, 0.75, 1)),
}


def reconstruction(G_BA: nn.Module, picture_B: Tensor, scenes: Scenes) -> dict[str, float]:
    """How well the way back finds A again.

    Keys: l1 and roof_l1, the mean absolute difference for pictures in [0, 1] of the whole and of
    the roofs; hue_error, see there.
    """
    with torch.no_grad():
        rec = G_BA(picture_B).clamp(-1, 1)
    apart = (rec - scenes.A).abs().mean(dim=1) / 2
    return {
        "l1": apart.mean().item(),
        "roof_l1": apart[scenes.roofs].mean().item(),
        "hue_error": hue_error(rec, scenes.A, scenes.roofs),
    }


def reconstruction_curve(
    G_BA: nn.Module, fake_B: Tensor, scenes: Scenes, name: str, strengths: Sequence[float] = ()
) -> list[dict]:
    """The reconstruction from translations that something happened to: a row for each strength.

    Args:
        fake_B: what G_AB made of `scenes.A`.
        name: a key of `DISTURBANCES`; its strengths unless others are given.

    Returns:
        Rows with disturbance, strength, and what `reconstruction` measures.
    """
    if name not in DISTURBANCES:
        raise CourseError(f"There is no disturbance {name!r}: choose {', '.join(DISTURBANCES)}.")
    disturb, usual = DISTURBANCES[name]
    return [
        {"disturbance": name, "strength": strength}
        | reconstruction(G_BA, disturb(fake_B, strength), scenes)
        for strength in strengths or usual
    ]


# --- the stored trainings -------------------------------------------------------------------------


def load(training: str, folder: Path | None = None) -> tuple[nn.Module, nn.Module]:
    """(G_AB, G_BA) of the seed `SHOWN` of a stored training, a key of `TRAININGS`."""
    if training not in TRAININGS:
        raise CourseError(f"There is no training {training!r}: choose {', '.join(TRAININGS)}.")
    place = (folder or FOLDER) / weights_name(training)
    return tuple(load_generator(place, direction)[0] for direction in ("AB", "BA"))


def weights_name(training: str) -> str:
    """The name of a training's weights and of their folder."""
    return training.replace(" ", "_")


def stored(table: str, folder: Path | None = None) -> list[dict]:
    """The rows of a stored table, "robustness" or "quality": numbers as float, seeds as int."""
    file = (folder or FOLDER) / f"{table}.csv"
    if not file.is_file():
        raise CourseError(
            f"There is no table {file.name}: make it with python benchmarks/hidden_message.py"
        )
    words = ("training", "disturbance")
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            {k: v if k in words else float(v) for k, v in row.items()} | {"seed": int(row["seed"])}
            for row in csv.DictReader(stream)
        ]


def by_training(rows: list[dict], measure: str, **where) -> dict[str, dict[int, float]]:
    """One measure of the stored rows: training -> seed -> value.

    Args:
        where: what the rows must have, such as disturbance="noise", strength=10.
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if all(row[key] == value for key, value in where.items()):
            found.setdefault(row["training"], {})[row["seed"]] = row[measure]
    if not found:
        raise CourseError(f"No stored row has {where}.")
    return found
