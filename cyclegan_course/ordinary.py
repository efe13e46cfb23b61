"""The ordinary tool of each application: what stands on every desk, and was never trained.

A translator has to be worth its training, so each of the five worlds has tools to beat that are
decades old: tone curves, median filter, non-local means, Lanczos, unsharp mask, a rule of hue. The
filters are those of scipy, scikit-image and Pillow. What a tool needs to know of a domain, it
takes from the two unpaired training sets, as the translator does. Sizes and strengths are those
that scored best *with* the truth on other held-out scenes (`benchmarks/ordinary_tools.py`): more
help than the translator ever gets.

Every tool is `tool(images, source, reference)`: the pictures to translate (N, 3, H, W), a set of
their domain and a set of the target domain, (M, 3, H', W') each, RGB in [-1, 1]; it returns
(N, 3, H, W) in [-1, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import median_filter
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import unsharp_mask
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

from cyclegan_course.metrics.checks import checked
from cyclegan_course.worlds import SUPERRES_FACTOR

LEVELS = 256


def tone_curves(source: Tensor, reference: Tensor) -> np.ndarray:
    """One curve a channel that gives the pooled pixels of a set the histogram of another set.

    Histogram specification (Gonzalez and Woods, section 3.3): the level that a share q of the
    source's pixels lies below goes to the level that the share q of the reference's lies below.
    One curve for all pictures, unlike a curve of each: a dark picture stays darker than a bright
    one. Both (N, 3, H, W) in [-1, 1]; returns (3, 256), the new value in [-1, 1] of each level.
    """
    curves = []
    for old, new in zip(_levels(source), _levels(reference), strict=True):
        share_old, share_new = (
            np.bincount(c, minlength=LEVELS).cumsum() / len(c) for c in (old, new)
        )
        present = np.bincount(new, minlength=LEVELS) > 0
        curves.append(np.interp(share_old, share_new[present], np.flatnonzero(present)))
    return np.stack(curves) / 127.5 - 1


def best_curves(source: Tensor, truth: Tensor) -> np.ndarray:
    """The curves that no other curve beats on these very pairs: the mean of the truth by level.

    A bound for every tone curve, however it is found: it needs the pairs. Both (N, 3, H, W) in
    [-1, 1], the same scenes; returns (3, 256). Levels that do not occur are interpolated.
    """
    curves = []
    for old, new in zip(_levels(source), _levels(truth), strict=True):
        count = np.bincount(old, minlength=LEVELS)
        present = np.flatnonzero(count)
        means = np.bincount(old, new, LEVELS)[present] / count[present]
        curves.append(np.interp(np.arange(LEVELS), present, means))
    return np.stack(curves) / 127.5 - 1


def apply_curves(images: Tensor, curves: np.ndarray) -> Tensor:
    """Send each value of (N, 3, H, W) in [-1, 1] through its channel's curve (3, 256)."""
    levels = np.linspace(-1, 1, LEVELS)
    values = checked(images).cpu().numpy()
    sent = [np.interp(values[:, c], levels, curve) for c, curve in enumerate(curves)]
    return torch.from_numpy(np.stack(sent, axis=1)).float()


def tone_curve(images: Tensor, source: Tensor, reference: Tensor) -> Tensor:
    """`night`: the tone curves from the one training set to the other."""
    return apply_curves(images, tone_curves(source, reference))


def curve_and_filter(
    images: Tensor, source: Tensor, reference: Tensor, median: int = 1, smooth: float = 0.1
) -> Tensor:
    """`painting`: tone curves, then filters that flatten surfaces and keep edges.

    Args:
        median: side of the median filter's window in pixels, 1 for none.
        smooth: weight of total variation denoising (Chambolle 2004), 0 for none.
    """
    moved = tone_curve(images, source, reference)

    def flatten(picture: np.ndarray) -> np.ndarray:
        flat = _median(picture, median)
        return denoise_tv_chambolle(flat, weight=smooth, channel_axis=2) if smooth else flat

    return _each(flatten, moved)


def clean(
    images: Tensor, source: Tensor, reference: Tensor, median: int = 3, strength: float = 0.04
) -> Tensor:
    """`restoration`: a median filter, non-local means, and then tone curves against the fading.

    The curves are fitted to *cleaned* source pictures: noise widens a histogram, and the curve
    would take that for contrast.

    Args:
        median: side of the median filter's window in pixels, 1 for none. It takes scratches away.
        strength: h of non-local means (Buades et al. 2005), values in [0, 1], 0 for none: patches
            whose difference is well below h are averaged. It takes noise away.
    """

    def both(picture: np.ndarray) -> np.ndarray:
        out = _median(picture, median)
        if not strength:
            return out
        return denoise_nl_means(
            out, patch_size=5, patch_distance=6, h=strength, fast_mode=True, channel_axis=2
        )

    curves = tone_curves(_each(both, checked(source)), reference)
    return apply_curves(_each(both, checked(images)), curves)


def lanczos(images: Tensor, source: Tensor, reference: Tensor) -> Tensor:
    """`superres`: back to the small picture by means over blocks, enlarged with a Lanczos kernel.

    The world's input is a small picture enlarged with the *bicubic* kernel, so the untouched
    input is what a bicubic enlargement gives.
    """
    return _each(_lanczos, checked(images))


def sharpen(
    images: Tensor, source: Tensor, reference: Tensor, radius: float = 2.0, amount: float = 0.75
) -> Tensor:
    """`superres`: unsharp mask, picture + amount * (picture - its blur).

    Args:
        radius: sigma of the Gaussian blur in pixels.
        amount: how much of the difference is added.
    """
    mask = partial(unsharp_mask, radius=radius, amount=amount, channel_axis=2)
    return _each(mask, checked(images))


def recolour(
    images: Tensor,
    source: Tensor,
    reference: Tensor,
    width: float = 0.06,
    saturation: float = 0.6,
    hue: float = 0.6,
) -> Tensor:
    """`editing`: red and saturated pixels turn blue; shapes stay as they are.

    Args:
        width: how far from red a hue may lie, in turns (1 is the whole circle).
        saturation: the least saturation (HSV) of a pixel that is turned.
        hue: what red, whose hue is 0, becomes, in turns; other chosen hues turn by as much.
    """

    def turn(picture: np.ndarray) -> np.ndarray:
        hsv = rgb2hsv(picture)
        away = (hsv[..., 0] + 0.5) % 1 - 0.5
        chosen = (np.abs(away) <= width) & (hsv[..., 1] >= saturation)
        hsv[..., 0] = np.where(chosen, (hsv[..., 0] + hue) % 1, hsv[..., 0])
        return np.where(chosen[..., None], hsv2rgb(hsv), picture)

    return _each(turn, checked(images))


@dataclass(frozen=True)
class Tool:
    """A tool, its name in tables, and the settings that were tried.

    Attributes:
        name: a word or two.
        run: `run(images, source, reference, **settings)`; its defaults are the chosen settings.
        tried: for each setting the values that `benchmarks/ordinary_tools.py` tries.
    """

    name: str
    run: Callable[..., Tensor]
    tried: dict[str, tuple] = field(default_factory=dict)

    def __call__(self, images: Tensor, source: Tensor, reference: Tensor) -> Tensor:
        """The pictures (N, 3, H, W) in [-1, 1], translated with the chosen settings."""
        return self.run(images, source, reference)

    def settings(self) -> list[dict]:
        """Every combination of the values that were tried."""
        return [dict(zip(self.tried, each, strict=True)) for each in product(*self.tried.values())]


# The tools of each world. The last one is the best known; the others are its parts, or rivals.
TOOLS: dict[str, tuple[Tool, ...]] = {
    "painting": (
        Tool(
            "curve and filter",
            curve_and_filter,
            {"median": (1, 3, 5), "smooth": (0.0, 0.03, 0.06, 0.1)},
        ),
    ),
    "night": (Tool("tone curve", tone_curve),),
    "restoration": (
        Tool("median", partial(clean, median=3, strength=0), {"median": (3, 5, 7)}),
        Tool(
            "non-local means",
            partial(clean, median=1, strength=0.1),
            {"strength": (0.06, 0.08, 0.1, 0.12)},
        ),
        Tool("both", clean, {"median": (3, 5), "strength": (0.02, 0.04, 0.06, 0.08)}),
    ),
    "superres": (
        Tool("Lanczos", lanczos),
        Tool(
            "unsharp mask",
            sharpen,
            {"radius": (1.0, 2.0, 3.0, 4.0), "amount": (0.25, 0.5, 0.75, 1.0)},
        ),
    ),
    "editing": (
        Tool(
            "hue rule",
            recolour,
            {
                "width": (0.03, 0.06, 0.09),
                "saturation": (0.5, 0.6, 0.7),
                "hue": (0.58, 0.6, 0.62, 0.66),
            },
        ),
    ),
}


def _levels(images: Tensor) -> np.ndarray:
    """The channels of a set as rows of whole numbers from 0 to 255: (3, pixels)."""
    levels = ((checked(images).cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(1, 0, 2, 3).reshape(3, -1).numpy()


def _each(function: Callable[[np.ndarray], np.ndarray], images: Tensor) -> Tensor:
    """Apply a function of a picture, (H, W, 3) in [0, 1], to each of (N, 3, H, W) in [-1, 1]."""
    pictures = ((images.cpu() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    made = np.stack([np.clip(function(picture), 0, 1) for picture in pictures])
    return torch.from_numpy(made).permute(0, 3, 1, 2).float() * 2 - 1


def _median(picture: np.ndarray, side: int) -> np.ndarray:
    return median_filter(picture, size=(side, side, 1)) if side > 1 else picture


def _lanczos(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    small = (max(1, round(width / SUPERRES_FACTOR)), max(1, round(height / SUPERRES_FACTOR)))
    image = Image.fromarray(np.uint8(np.rint(picture * 255)))
    large = image.resize(small, Image.Resampling.BOX).resize(
        (width, height), Image.Resampling.LANCZOS
    )
    return np.asarray(large) / 255
