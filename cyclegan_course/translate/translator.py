"""A trained generator that takes a picture of any size."""

import os

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cyclegan_course.errors import CourseError
from cyclegan_course.images import (
    picture_to_tensor,
    read_picture,
    tensor_to_picture,
    to_array,
)
from cyclegan_course.translate.weights import (
    BACKWARD_WORDS,
    DEFAULT_WORKING_SIZE,
    load_generator,
    resolve_target,
)


class Translator:
    """A trained generator that takes a picture of any size: `translator(picture) -> picture`.

    Attributes:
        net: the generator, in evaluation mode.
        card: its model card.
        name, direction: such as "painting" and "AB".
        label: a word for the target domain, used in file names: "painting", "photograph", ...
        device: where it computes.
    """

    def __init__(
        self,
        net: nn.Module,
        card: dict,
        name: str = "translated",
        direction: str = "AB",
        device: str | torch.device | None = None,
    ) -> None:
        self.device = _device(device)
        self.net = net.to(self.device).eval().requires_grad_(False)
        self.card = card
        self.name = name
        self.direction = direction
        backward = {forward: word for word, forward in BACKWARD_WORDS.items()}
        self.label = name if direction == "AB" else backward.get(name, f"{name}-reverse")
        # Every halving needs even sides, and the innermost map 4x4 pixels: reflection padding and
        # instance norm fail on a single one.
        self.multiple = 2 ** card["generator"].get("n_down", 2)
        self.smallest = max(16, 4 * self.multiple)

    def __call__(
        self,
        picture: Image.Image | np.ndarray | str | os.PathLike,
        working_size: int | str | None = None,
    ) -> Image.Image:
        """Translate one picture; the result has the picture's size.

        A picture whose longest side is larger than the working size is reduced to it (bicubic,
        antialiased), translated and enlarged again (Lanczos): the network has learned brush
        strokes, windows and leaves at that scale. A smaller picture keeps its own size.

        Args:
            picture: a file's path, a picture, or a uint8 array (H, W, 3).
            working_size: pixels; None takes the model card's, 0 or "full" translates at full
                resolution, whose need of memory grows with the number of pixels.

        Raises CourseError for an unreadable picture, a wrong working size and lack of memory.
        """
        if isinstance(picture, str | os.PathLike):
            picture = read_picture(picture)
        picture = Image.fromarray(to_array(picture))
        size = check_working_size(working_size, self.card.get("working_size", DEFAULT_WORKING_SIZE))
        small = _reduce(picture, size)
        result = tensor_to_picture(self.translate_tensor(picture_to_tensor(small)[None]))
        if result.size == picture.size:
            return result
        return result.resize(picture.size, Image.Resampling.LANCZOS)

    def translate_tensor(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1], any H and W from 1 -> the same shape, on the CPU, float32.

        The sides are extended to what the network needs by repeating the edge pixels, and the
        result is cropped. (Reflection would need more pixels than a narrow picture has, and a
        constant border would change the statistics of instance norm more.)
        """
        height, width = x.shape[-2:]
        top, bottom = self._margins(height)
        left, right = self._margins(width)
        try:
            with torch.inference_mode():
                x = x.to(self.device, torch.float32)
                y = self.net(F.pad(x, (left, right, top, bottom), mode="replicate"))
                return y[..., top : top + height, left : left + width].cpu()
        except (MemoryError, RuntimeError) as error:
            if not _is_lack_of_memory(error):
                raise
            raise CourseError(
                f"A picture of {width} x {height} pixels does not fit into the memory of "
                f"{self.device}: choose a lower working size, such as 512."
            ) from error

    def _margins(self, length: int) -> tuple[int, int]:
        needed = max(self.smallest, -(-length // self.multiple) * self.multiple)
        return (needed - length) // 2, (needed - length + 1) // 2


def load_translator(
    name_or_folder: str | os.PathLike,
    direction: str = "AB",
    device: str | torch.device | None = None,
) -> Translator:
    """A trained generator, ready to translate.

    Args:
        name_or_folder: a shipped name ("painting", see `available_names`), the folder of a
            training run, or a folder that holds the three files.
        direction: "AB" or "BA".
        device: where to compute; by default the accelerator if there is one.

    Raises CourseError as `load_generator` does.
    """
    net, card, name = load_generator(name_or_folder, direction)
    return Translator(net, card, name, direction, device)


def translate(
    picture: Image.Image | np.ndarray | str | os.PathLike,
    to: str | os.PathLike = "painting",
    working_size: int | str | None = None,
) -> Image.Image:
    """Translate one picture in one line: `translate("cat.jpg", to="painting")`.

    `to` is what `resolve_target` knows. The weights are loaded at every call: for many pictures
    use `load_translator` once.
    """
    return load_translator(*resolve_target(to))(picture, working_size)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        found = torch.accelerator.current_accelerator(check_available=True)
        return torch.device("cpu") if found is None else found
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except Exception as error:  # a wrong word, a build without CUDA, no such card: many kinds
        raise CourseError(f"The device {device} cannot be used here: try cpu.") from error
    return device


def _is_lack_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError, which only its text tells from the others.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        type(error) is RuntimeError and "memory" in str(error)
    )


def check_working_size(chosen: int | str | None, default: int) -> int:
    """The working size in pixels; 0 for full resolution."""
    if chosen is None:
        return default
    if chosen == "full":
        return 0
    if isinstance(chosen, bool) or not isinstance(chosen, int) or chosen < 0:
        raise CourseError(
            f'The working size is a number of pixels such as 256, 0 or "full", not {chosen!r}.'
        )
    return chosen


def _reduce(picture: Image.Image, longest: int) -> Image.Image:
    """Reduce the longest side to `longest` pixels; 0 and smaller pictures change nothing."""
    scale = longest / max(picture.size)
    if longest == 0 or scale >= 1:
        return picture
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BICUBIC)
