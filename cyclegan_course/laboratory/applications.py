"""One application from end to end: its unpaired sets, every method, and what each is worth.

sets = training_sets("night")                      # what a method may learn from
net = train_here("night", sets, "short")           # a short training on them
measured = measure("night", sets, {"short run": net, ...})   # opens the seal
print(measured.table(), *measured.verdicts("long run"), sep="\\n")
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from cyclegan_course import metrics, training, worlds
from cyclegan_course.datasets import UnpairedBatches, middle_square
from cyclegan_course.errors import CourseError
from cyclegan_course.images import pictures_to_tensor, tensor_to_picture
from cyclegan_course.laboratory.recipe import Recipe, reference_schedule, small_generator, train
from cyclegan_course.laboratory.results import verdict
from cyclegan_course.metrics import Interval, Row
from cyclegan_course.networks import init_weights
from cyclegan_course.ordinary import TOOLS
from cyclegan_course.training.config import config_from_dict
from cyclegan_course.translate import load_card, weights_folder

SIZE, SCENES, HELD_OUT = 128, 24, 12
STEPS, CROP = 80, 48
PAIRS_RATE = 1e-3  # Adam's learning rate where there are pairs
MEASURES = ("psnr", "ssim", "blurred_psnr")
BASELINES = ("untouched", "Reinhard")
Translate = Callable[[Tensor], Tensor]


class Sets(NamedTuple):
    """Unpaired training pictures, (N, 3, H, W) in [-1, 1]: no scene is in both."""

    A: Tensor
    B: Tensor


def training_sets(world: str, scenes: int = SCENES, size: int = SIZE) -> Sets:
    """The first training scenes of both domains of a world."""
    return Sets(
        *(pictures_to_tensor(worlds.training_pictures(world, d, scenes, size)) for d in "AB")
    )


def train_here(
    world: str, sets: Sets, mode: str = "short", steps: int = STEPS, seed: int = 0
) -> Translate | None:
    """G_AB, trained now.

    Args:
        mode: "short": `steps` steps of chapter 5's recipe on crops of 48 pixels of `sets`;
            "full": the settings of the shipped weights, minutes to hours; "load": nothing, None.
    """
    if mode == "load":
        return None
    if mode == "full":
        config = shipped_config(world)
        return training.train(config, device=torch.device("cpu")).generators["G_AB"].eval()
    if mode != "short":
        raise CourseError(f'TRAIN is "short", "full" or "load", not {mode!r}.')
    heaps = [as_arrays(side) for side in sets]

    def crops(_A: object, _B: object, size: int, batch: int, seed: int) -> UnpairedBatches:
        return UnpairedBatches(*heaps, size, batch, seed)

    recipe = Recipe(world=world, size=CROP, steps=steps, seed=seed, make_batches=crops)
    with tqdm(total=steps, desc=world, mininterval=1) as bar:
        return train(recipe, watch=lambda step, model: bar.update()).model.G_AB


def shipped_config(world: str) -> training.Config:
    """The settings that the shipped weights of a world were trained with."""
    return config_from_dict(load_card(weights_folder() / f"{world}.json")["trained"]["config"])


class Change(nn.Module):
    """A small generator that says what has to be added to a picture; without instance norm.

    Instance norm forgets how bright and how contrasted a picture was; with pairs nobody needs it.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        net = small_generator(norm=lambda channels: nn.Identity())
        self.net = init_weights(net, std=0.05, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> the same shape, a little outside [-1, 1] at most."""
        return x + self.net(x)


def train_with_pairs(
    images: Tensor, targets: Tensor, steps: int = 350, batch: int = 1, seed: int = 0
) -> Translate:
    """`Change`, trained to make each target from its image: mean absolute difference.

    `images` and `targets` (N, 3, H, W), pairs. Crops of 48 pixels; Adam, and the schedule of
    `Recipe`. No discriminator, and no way back.
    """
    generator = torch.Generator().manual_seed(seed)
    net = Change(generator)
    optimizer = torch.optim.Adam(net.parameters(), lr=PAIRS_RATE)
    both = torch.cat([images, targets], dim=1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = PAIRS_RATE * reference_schedule(step, steps)
        chosen = torch.randint(len(both), (batch,), generator=generator)
        top, left = torch.randint(both.shape[-1] - CROP + 1, (2,), generator=generator).tolist()
        crops = both[chosen, :, top : top + CROP, left : left + CROP]
        loss = F.l1_loss(net(crops[:, :3]), crops[:, 3:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def ordinary(world: str, sets: Sets, images: Tensor) -> dict[str, Tensor]:
    """What needs no training, by name: both baselines, then each tool of the world."""
    made = {"untouched": images, "Reinhard": metrics.reinhard(images, sets.B)}
    return made | {tool.name: tool(images, *sets) for tool in TOOLS[world]}


@dataclass(frozen=True)
class Measured:
    """Every method of a world on held-out scenes, scored against the opened truth.

    Attributes:
        world: its name.
        pictures: by method, (N, 3, H, W) in [-1, 1]; the first is "untouched", the last "truth".
        scores: by method (but the truth), each of `MEASURES`, one value a scene: (N,).
        distance: by method, sliced Wasserstein distance to other pictures of the target domain.
    """

    world: str
    pictures: dict[str, Tensor]
    scores: dict[str, dict[str, Tensor]]
    distance: dict[str, float]

    @property
    def tools(self) -> list[str]:
        """The names of the world's ordinary tools."""
        return [tool.name for tool in TOOLS[self.world]]

    @property
    def rivals(self) -> list[str]:
        """What a translator has to beat."""
        return [*BASELINES, *self.tools]

    def mean(self, method: str, measure: str) -> float:
        """Over the scenes; `measure` one of `MEASURES`."""
        return self.scores[method][measure].mean().item()

    def best_rival(self, measure: str = "psnr") -> str:
        """The baseline or tool with the highest mean."""
        return max(self.rivals, key=lambda name: self.mean(name, measure))

    def best_tool(self, measure: str = "psnr") -> str:
        """The ordinary tool with the highest mean."""
        return max(self.tools, key=lambda name: self.mean(name, measure))

    def difference(self, method: str, other: str, measure: str) -> Interval:
        """Mean of `method` minus `other` over the same scenes, with its 95 % interval."""
        return metrics.paired_interval(self.scores[method][measure], self.scores[other][measure])

    def wins(self, method: str) -> list[str]:
        """Which of PSNR and SSIM find it better than every rival, beyond chance."""
        return [
            measure
            for measure in ("psnr", "ssim")
            if all(
                verdict(self.difference(method, rival, measure), measure) == "better"
                for rival in self.rivals
            )
        ]

    def rows(self) -> list[Row]:
        """The lines of the table, with intervals over the scenes; the truth has its distance."""
        rows = []
        for method, distance in self.distance.items():
            found = (
                {name: metrics.mean_interval(each) for name, each in self.scores[method].items()}
                if method in self.scores
                else {}
            )
            means = {name: each.value for name, each in found.items()}
            ends = {name: (each.low, each.high) for name, each in found.items()}
            rows.append(Row("A to B", method, **means, distance=distance, intervals=ends))
        return rows

    def table(self) -> str:
        """The rows in Markdown."""
        return metrics.format_table(self.rows(), intervals=True)

    def verdicts(self, method: str = "long run") -> list[str]:
        """Sentences that say against whom it wins and loses, computed from the scores."""
        says = []
        for measure, unit, digits in (("psnr", " dB", 1), ("ssim", "", 3)):
            rival = self.best_rival(measure)
            found = self.difference(method, rival, measure)
            says.append(
                f"{measure.upper()}: {method} minus {rival}, the best rival: "
                f"{found.value:+.{digits}f}{unit} ({found.low:+.{digits}f} to "
                f"{found.high:+.{digits}f}): {verdict(found, measure)}."
            )
        nearest = min(self.rivals, key=self.distance.get)
        word = "nearer" if self.distance[method] < self.distance[nearest] else "not nearer"
        says.append(
            f"distance: {method} {self.distance[method]:.3f}, {nearest} "
            f"{self.distance[nearest]:.3f}, truth {self.distance['truth']:.3f}: "
            f"{word} to the target domain than every rival."
        )
        won = " and ".join(measure.upper() for measure in self.wins(method))
        says.append(
            f"So it beats both baselines and every ordinary tool in {won}."
            if won
            else "So it beats all of them in neither PSNR nor SSIM."
        )
        return says


def measure(
    world: str, sets: Sets, translators: Mapping[str, Translate | None], count: int = HELD_OUT
) -> Measured:
    """Open the seal: both baselines, the ordinary tools and some translators, A to B.

    Held-out scenes 0 to `count` - 1 are translated and compared with their truth; the distance is
    to the next `count` of the target domain. `sets` is all that the ordinary tools learn from. A
    translator that is None is left out.
    """
    size = sets.A.shape[-1]
    source, truth = (
        pictures_to_tensor(side) for side in worlds.open_sealed_pairs(world, count, size)
    )
    others = pictures_to_tensor(worlds.held_out(world, "B", count, size, start=count))
    pictures = ordinary(world, sets, source)
    for name, translator in translators.items():
        if translator is not None:
            with torch.no_grad():
                pictures[name] = translator(source).clamp(-1, 1)
    pictures["truth"] = truth
    scores = {
        name: {key: found[key] for key in MEASURES}
        for name, each in pictures.items()
        if name != "truth"
        for found in [metrics.picture_scores(each, truth)]
    }
    distance = {name: metrics.sliced_wasserstein(each, others) for name, each in pictures.items()}
    return Measured(world, pictures, scores, distance)


def as_arrays(images: Tensor) -> list[np.ndarray]:
    """(N, 3, H, W) in [-1, 1] -> uint8 arrays (H, W, 3)."""
    return [np.asarray(tensor_to_picture(picture)) for picture in images]


class Place(NamedTuple):
    """A square of a scene: scene, upper left corner and side in pixels."""

    scene: int
    top: int
    left: int
    side: int

    def cut(self, images: Tensor) -> Tensor:
        """This square of (N, 3, H, W): (3, side, side)."""
        below, right = self.top + self.side, self.left + self.side
        return images[self.scene, :, self.top : below, self.left : right]


def worst_place(fake: Tensor, truth: Tensor, side: int = 40) -> Place:
    """The square with the largest mean squared error in all scenes, found by trying every one.

    Both (N, 3, H, W).
    """
    error = (fake - truth).square().mean(dim=1, keepdim=True)
    means = F.avg_pool2d(error, side, stride=1)
    scene, rest = divmod(int(means.argmax()), means[0].numel())
    top, left = divmod(rest, means.shape[-1])
    return Place(scene, top, left, side)


def square_photographs(size: int = 192) -> dict[str, Tensor]:
    """The photographs of the wheels, the middle square of each, reduced: (3, size, size)."""
    made = {}
    for name, array in worlds.photographs().items():
        square = Image.fromarray(middle_square(array, min(array.shape[:2])))
        made[name] = pictures_to_tensor([square.resize((size, size), Image.Resampling.LANCZOS)])[0]
    return made
