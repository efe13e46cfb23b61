"""Does translation i show scene i? A question that the likeness to a style cannot answer.

Each translation is compared with every scene, and it is right if the most similar one is its own.
What is compared is where edges run and in which direction, since colours and light are what a
translator should change. From day to night even the sign of an edge turns over, the bright sky
becoming the darker side; so a direction here has no sign: 10 degrees and 190 are one. (The
directions are doubled, as in the structure tensor of Bigün and Granlund 1987.) Each edge counts by
its contrast against that of its neighbourhood, so faint hills weigh as much as a bright window.

A translator that ignores its input is right by chance, 1 in N. One that copies it is always right.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from cyclegan_course.errors import CourseError
from cyclegan_course.metrics.checks import checked
from cyclegan_course.metrics.fidelity import blur

NEIGHBOURHOOD = 8  # the shorter side / 8 is the sigma of the neighbourhood
_FLAT = 1e-3  # contrast per pixel below which there is no edge: 1/8 of a level of 8 bits


def correspondence(fake: Tensor, scenes: Tensor) -> float:
    """Share of translations that are most like their own scene, 0 to 1; see `own_scene`."""
    return own_scene(fake, scenes).float().mean().item()


def own_scene(fake: Tensor, scenes: Tensor) -> Tensor:
    """Whether each translation is more like its own scene than like any other: (N,) booleans.

    `fake` and `scenes`, both (N, 3, H, W) in [-1, 1], row i of both of one scene. `scenes` are the
    truths or, where nobody knows them, the pictures that were translated.
    """
    if fake.shape != scenes.shape:
        raise CourseError(
            f"Translations of shape {tuple(fake.shape)} and scenes of shape {tuple(scenes.shape)} "
            "do not belong together: give one scene for each, at the same size."
        )
    similarity = edge_directions(fake) @ edge_directions(scenes).T
    return similarity.argmax(dim=1) == torch.arange(len(fake), device=similarity.device)


def edge_directions(images: Tensor) -> Tensor:
    """What is compared: unit vectors (N, 2 H W), whose products say how alike two pictures are.

    `images` (N, 3, H, W) in [-1, 1]. A change of brightness, of contrast or of all colours, and
    the exchange of light and dark, leave them nearly as they are.
    """
    light = rgb_to_grayscale(blur(checked(images)))
    down, across = torch.gradient(light, dim=(2, 3))
    contrast = torch.hypot(down, across)
    sigma = min(images.shape[-2:]) / NEIGHBOURHOOD
    nearby = blur(contrast.expand(-1, 3, -1, -1), sigma)[:, :1]
    doubled = torch.cat([across.square() - down.square(), 2 * across * down], dim=1)
    relative = doubled / (contrast + _FLAT) / (nearby + _FLAT)
    return F.normalize(relative.flatten(1), dim=1)
