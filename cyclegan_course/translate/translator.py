"""A trained generator that takes a picture of any size."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cyclegan_course import environment
from cyclegan_course.errors import CourseError
from cyclegan_course.images import Photo, photo_to_tensor, tensor_to_photo
from cyclegan_course.networks import ResnetGenerator
from cyclegan_course.translate.photos import (
    check_working_size,
    reduced_size,
    resize,
    to_photo,
    to_picture,
)
from cyclegan_course.translate.tiles import translate_in_strips
from cyclegan_course.translate.weights import (
    BACKWARD_WORDS,
    DEFAULT_WORKING_SIZE,
    load_generator,
    resolve_target,
)

PRECISIONS = ("float32", "bfloat16", "auto")
SMALLEST_TILE = 16
# Memory for the maps of a pass in one piece. Strips take no longer, so on a CPU little is enough
# for them to be taken; a GPU is faster with the picture in one piece, and says what it has left.
ROOM_ON_CPU = 2**29
ROOM_ON_ACCELERATOR = 2**31  # where it does not say


class Translator:
    """A trained generator that takes a picture of any size: `translator(picture) -> picture`.

    Attributes:
        net: the generator, in evaluation mode.
        card: its model card.
        name, direction: such as "painting" and "AB".
        label: a word for the target domain, used in file names: "painting", "photograph", ...
        device: where it computes.
        tile: "auto", or the height in pixels of the strips of a large picture, or 0 for none.
        precision: of the convolutions, "float32" or "bfloat16".
    """

    def __init__(
        self,
        net: nn.Module,
        card: dict,
        name: str = "translated",
        direction: str = "AB",
        device: str | torch.device | None = None,
        tile: int | str = "auto",
        precision: str = "float32",
    ) -> None:
        self.device = _device(device)
        self.net = net.to(self.device).eval().requires_grad_(False)
        self.card = card
        self.name = name
        self.direction = direction
        self.tile = check_tile(tile)
        self.precision = _precision(precision, self.device)
        backward = {forward: word for word, forward in BACKWARD_WORDS.items()}
        self.label = name if direction == "AB" else backward.get(name, f"{name}-reverse")
        # Every halving needs even sides, and the innermost map 4x4 pixels: reflection padding and
        # instance norm fail on a single one.
        self.multiple = 2 ** card["generator"].get("n_down", 2)
        self.smallest = max(16, 4 * self.multiple)

    def __call__(
        self,
        picture: Image.Image | np.ndarray | Photo | str | os.PathLike,
        working_size: int | str | None = None,
    ) -> Image.Image:
        """Translate one picture; the result has the picture's size and its transparency.

        A picture whose longest side is larger than the working size is reduced to it (bicubic,
        antialiased), translated and enlarged again (Lanczos). That is the default because the
        network has learned brush strokes, windows and leaves of so many *pixels*. Of a photo of
        4096 pixels the strokes come out as large as in the training pictures, compared with the
        picture, but enlarged and therefore blurred. At full resolution they are sharp and as
        small as a hair: the colours change, and little else can be seen of the style. What lies
        between, such as 1024, is often the best for a large photo; try two or three.

        Args:
            picture: a file's path, a picture of any mode, a photo, or a uint8 array (H, W, 3).
            working_size: pixels; None takes the model card's, 0 or "full" translates at full
                resolution, a large picture in strips (see `tile` and the module `tiles`).

        Returns a picture of mode "RGB", or "RGBA" for one with transparency. Pillow holds no
        colours of 16 bits, so the result of a 16-bit picture is rounded to 8: `translate_photo`
        and `translate_files` keep them.

        Raises CourseError for an unreadable picture, a wrong working size and lack of memory.
        """
        return to_picture(self.translate_photo(to_photo(picture), working_size))

    def translate_photo(self, photo: Photo, working_size: int | str | None = None) -> Photo:
        """As `__call__`, for a photo: 16 bits stay 16 bits, and the transparency is kept."""
        return self.translate_photos([photo], working_size)[0]

    def translate_photos(
        self, photos: Sequence[Photo], working_size: int | str | None = None
    ) -> list[Photo]:
        """Translate photos, those of equal size (after reduction) together; in their order.

        The results are those of one by one, but for the rounding of another order of sums.
        """
        longest = check_working_size(
            working_size, self.card.get("working_size", DEFAULT_WORKING_SIZE)
        )
        groups: dict[tuple[int, int], list[int]] = {}
        for i, photo in enumerate(photos):
            groups.setdefault(reduced_size(photo.size, longest), []).append(i)
        results: dict[int, Photo] = {}
        for size, members in groups.items():
            x = torch.stack(
                [
                    photo_to_tensor(resize(photos[i], size, Image.Resampling.BICUBIC))
                    for i in members
                ]
            )
            for i, y in zip(members, self.translate_tensor(x), strict=True):
                photo = photos[i]
                small = tensor_to_photo(y, photo.rgb.dtype.type)
                large = resize(small, photo.size, Image.Resampling.LANCZOS)
                results[i] = Photo(large.rgb, photo.alpha)
        return [results[i] for i in range(len(photos))]

    def translate_tensor(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1], any H and W from 1 -> the same shape, on the CPU, float32.

        The sides are extended to what the network needs by repeating the edge pixels, and the
        result is cropped. (Reflection would need more pixels than a narrow picture has, and a
        constant border would change the statistics of instance norm more.) What is too large for
        one piece goes through the network in strips, with the same result up to rounding.
        """
        height, width = x.shape[-2:]
        top, bottom = self._margins(height)
        left, right = self._margins(width)
        with _lack_of_memory(x.shape, self.device):
            x = x.to(torch.float32)
            if top + bottom + left + right:
                x = F.pad(x, (left, right, top, bottom), mode="replicate")
            y = self._translate(x)
            return y[..., top : top + height, left : left + width].float().cpu()

    def _translate(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) of sides that the network takes, in one piece or in strips."""
        rows = self._strip_rows(x)
        if rows is not None and len(x) > 1:
            return torch.cat([self._translate(one[None]) for one in x])
        autocast = torch.autocast(self.device.type, torch.bfloat16, self.precision == "bfloat16")
        with torch.inference_mode(), autocast:
            if rows is None:
                return self.net(x.to(self.device))
            return translate_in_strips(self.net, x, rows)

    def _strip_rows(self, x: Tensor) -> int | None:
        """Height of the strips; None for the picture in one piece."""
        pictures, _, height, width = x.shape
        if self.tile != "auto":
            return self.tile if 0 < self.tile < height else None
        # Measured: at its peak a pass keeps about 3.6 maps of full resolution, of 4 * ngf bytes
        # a pixel each (benchmarks/tiles.py).
        row = 16 * self.card["generator"].get("ngf", 64) * width
        room = _room(self.device)
        if pictures * height * row <= room or not isinstance(self.net, ResnetGenerator):
            return None
        return max(SMALLEST_TILE, room // 4 // row)

    def _margins(self, length: int) -> tuple[int, int]:
        needed = max(self.smallest, -(-length // self.multiple) * self.multiple)
        return (needed - length) // 2, (needed - length + 1) // 2


def load_translator(
    name_or_folder: str | os.PathLike,
    direction: str = "AB",
    device: str | torch.device | None = None,
    tile: int | str = "auto",
    precision: str = "float32",
) -> Translator:
    """A trained generator, ready to translate.

    Args:
        name_or_folder: a shipped name ("painting", see `available_names`), the folder of a
            training run, or a folder that holds the three files.
        direction: "AB" or "BA".
        device: where to compute; by default the accelerator if there is one.
        tile: "auto" sends what needs much memory through the network in strips, a number of
            pixels from 16 whatever is higher than that, 0 nothing.
        precision: of the convolutions: "float32", "bfloat16" (half the memory traffic, results
            differ by a few levels of 255) or "auto", bfloat16 where the device is fast at it.

    Raises CourseError as `load_generator` does, and for a wrong device, tile or precision.
    """
    check_tile(tile)
    net, card, name = load_generator(name_or_folder, direction)
    return Translator(net, card, name, direction, device, tile, precision)


def translate(
    picture: Image.Image | np.ndarray | Photo | str | os.PathLike,
    to: str | os.PathLike = "painting",
    working_size: int | str | None = None,
) -> Image.Image:
    """Translate one picture in one line: `translate("cat.jpg", to="painting")`.

    `to` is what `resolve_target` knows; the rest is as in `Translator.__call__`. The weights are
    loaded at every call: for many pictures use `load_translator` once.
    """
    return load_translator(*resolve_target(to))(picture, working_size)


def check_tile(tile: int | str) -> int | str:
    """The tile as it is; CourseError if it is none."""
    is_number = isinstance(tile, int) and not isinstance(tile, bool)
    if tile != "auto" and not (is_number and (tile == 0 or tile >= SMALLEST_TILE)):
        raise CourseError(
            f'The tile is "auto", a number of pixels from {SMALLEST_TILE}, or 0 for the picture '
            f"in one piece, not {tile!r}."
        )
    return tile


def _precision(chosen: str, device: torch.device) -> str:
    if chosen not in PRECISIONS:
        raise CourseError(f"The precision is one of {', '.join(PRECISIONS)}, not {chosen!r}.")
    if chosen == "auto":
        return "bfloat16" if environment.has_fast_bfloat16(device) else "float32"
    return chosen


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


def _room(device: torch.device) -> int:
    """Bytes that a pass in one piece may take."""
    if device.type == "cpu":
        return ROOM_ON_CPU
    with contextlib.suppress(Exception):  # not every kind of device can say it
        return torch.accelerator.get_memory_info(device)[0] // 2
    return ROOM_ON_ACCELERATOR


@contextlib.contextmanager
def _lack_of_memory(shape: Sequence[int], device: torch.device) -> Iterator[None]:
    """Lack of memory for pictures of this shape, (N, 3, H, W), as a CourseError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        many = "A picture" if shape[0] == 1 else f"{shape[0]} pictures at a time"
        raise CourseError(
            f"{many} of {shape[3]} x {shape[2]} pixels does not fit into the memory of {device}: "
            "choose a lower working size (--working-size 512) or smaller strips (--tile 64)."
        ) from error


def _is_lack_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError, which only its text tells from the others.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        type(error) is RuntimeError and "memory" in str(error)
    )
