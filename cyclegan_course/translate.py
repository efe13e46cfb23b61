"""Translating pictures of any size with a trained generator.

    from cyclegan_course.translate import translate
    translate("cat.jpg", to="painting").save("cat_painting.png")

A trained pair of generators is three files in one folder, `save_generator` writes them:

- `NAME_AB.safetensors`, `NAME_BA.safetensors`: the weights in half precision (safetensors holds
  numbers and names only, so a file from a stranger cannot run code, as a pickle can);
- `NAME.json`, the model card: `name`, `domain_A`, `domain_B`, `generator` (the keywords of
  `networks.ResnetGenerator`), `working_size` (pixels), and how it was trained.

The shipped ones lie in `weights_folder()`; a training run keeps its own in `RUN/generator/`.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cyclegan_course.errors import CourseError
from cyclegan_course.images import (
    find_pictures,
    picture_to_tensor,
    read_picture,
    save_picture,
    tensor_to_picture,
    to_array,
    whole_file,
)
from cyclegan_course.networks import ResnetGenerator

WEIGHTS_VARIABLE = "CYCLEGAN_COURSE_WEIGHTS"
DEFAULT_WORKING_SIZE = 256

# Words for a target domain that are not the name of a translation: the way back has a name too.
BACKWARD_WORDS = {"photograph": "painting", "day": "night"}


# --- names and files ---------------------------------------------------------------------------


def resolve_target(to: str | os.PathLike) -> tuple[str, str]:
    """What to translate to, as (name or folder, direction).

    - a name or a folder means A to B: "painting" -> ("painting", "AB");
    - with ":reverse" it means B to A: "monet:reverse" -> ("monet", "BA");
    - two words name the way back: "photograph" -> ("painting", "BA"), "day" -> ("night", "BA").

    Nothing is looked up here; `load_translator` says whether the files exist.
    """
    to = os.fspath(to)
    if to in BACKWARD_WORDS:
        return BACKWARD_WORDS[to], "BA"
    name = to.removesuffix(":reverse")
    return name, "AB" if name == to else "BA"


def weights_folder() -> Path:
    """Where the shipped weights lie: `data/weights` of the repository, or what the environment
    variable CYCLEGAN_COURSE_WEIGHTS names."""
    chosen = os.environ.get(WEIGHTS_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(__file__).resolve().parent.parent / "data" / "weights"


def available_names(folder: str | os.PathLike | None = None) -> list[str]:
    """Names of the trained generators in a folder (default: the shipped ones), sorted."""
    folder = weights_folder() if folder is None else Path(folder)
    files = [*folder.glob("*_AB.safetensors"), *folder.glob("*_BA.safetensors")]
    return sorted({file.stem[:-3] for file in files if not file.name.startswith(".")})


def _find_generator(name_or_folder: str | os.PathLike) -> tuple[Path, str]:
    """(folder, name) of a shipped name, of a training run, or of a folder with the files."""
    text = os.fspath(name_or_folder)
    shipped = available_names()
    if text in shipped:
        return weights_folder(), text
    folder = Path(text).expanduser()
    if folder.is_dir():
        for place in (folder, folder / "generator"):
            names = available_names(place)
            if len(names) == 1:
                return place, names[0]
            if names:
                raise CourseError(
                    f"{place} holds several generators ({', '.join(names)}): set {WEIGHTS_VARIABLE}"
                    " to that folder and give one of the names."
                )
        raise CourseError(
            f"There is no trained generator (NAME_AB.safetensors) in {folder} or in "
            f"{folder / 'generator'}: give the folder of a training run that has saved one."
        )
    if not shipped:
        raise CourseError(
            f"There is no folder {text}, and no shipped weights in {weights_folder()}: clone the "
            f"whole repository, or set {WEIGHTS_VARIABLE} to the folder that holds the weights."
        )
    raise CourseError(
        f"There is no translation called {text}: choose one of {', '.join(shipped)}, or give the "
        "folder of a training run."
    )


def load_card(file: str | os.PathLike) -> dict:
    """Read a model card and check what translating needs; CourseError for anything else."""
    file = Path(file)
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CourseError(
            f"The model card {file} is missing: it belongs beside the weights, copy it there."
        ) from error
    except OSError as error:
        raise CourseError(f"The model card {file} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8
        raise CourseError(
            f"The model card {file} is damaged ({error}): copy it again from where it came."
        ) from error
    if not isinstance(card, dict) or not isinstance(card.get("generator"), dict):
        raise CourseError(
            f'The model card {file} has no entry "generator" with the shape of the network: copy '
            "it again from where it came."
        )
    size = card.get("working_size", DEFAULT_WORKING_SIZE)
    if not isinstance(size, int) or size < 1:
        raise CourseError(
            f'The model card {file} has the "working_size" {size!r}: it must be a number of pixels.'
        )
    return card


def _build(card: dict, state: dict[str, Tensor], source: str) -> nn.Module:
    """The generator that the card describes, holding `state`; CourseError if they do not fit."""
    try:
        with torch.device("meta"):  # shapes only: nothing is allocated before they are checked
            net = ResnetGenerator(**card["generator"])
    except Exception as error:  # whatever a wrong card makes the constructor raise
        raise CourseError(
            f'{source}: the "generator" entry of the model card, {card["generator"]}, does not '
            f"describe a ResnetGenerator ({error}): use the card that was saved with the weights."
        ) from error
    expected = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
    given = {key: tuple(tensor.shape) for key, tensor in state.items()}
    faults = [f"{key} is missing" for key in expected if key not in given]
    faults += [f"{key} is not in the network" for key in given if key not in expected]
    faults += [
        f"{key} is {given[key]} and not {expected[key]}"
        for key in expected
        if key in given and given[key] != expected[key]
    ]
    faults += [f"{key} is not finite" for key in state if not torch.isfinite(state[key]).all()]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise CourseError(
            f"{source} does not fit its model card ({'; '.join(faults[:3])}{more}): use the card "
            "and the weights of the same training."
        )
    net.load_state_dict(state, assign=True)
    return net


def save_generator(
    folder: str | os.PathLike, name: str, G_AB: nn.Module, G_BA: nn.Module, card: dict
) -> Path:
    """Write NAME_AB.safetensors, NAME_BA.safetensors (half precision) and NAME.json.

    `card` needs `generator`, the keywords that build both networks; `name` is added to it. All
    three files are written beside their names first and then moved, so an interruption leaves
    the older three. Returns the path of the card. Raises CourseError if the networks do not fit
    the card, if a weight is not finite in half precision, or if the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise CourseError(f"{name!r} cannot be the name of a generator: use a single plain word.")
    if not isinstance(card.get("generator"), dict):
        raise CourseError(
            'The card needs the entry "generator" with the keywords of ResnetGenerator.'
        )
    files = {f"{name}.json": json.dumps({**card, "name": name}, indent=2).encode()}
    for direction, net in (("AB", G_AB), ("BA", G_BA)):
        net = getattr(net, "_orig_mod", net)  # what torch.compile has wrapped
        state = {
            key: tensor.detach().to("cpu", torch.float16, copy=True).contiguous()
            for key, tensor in net.state_dict().items()
        }
        _build(card, state, f"The network G_{direction}")
        files[f"{name}_{direction}.safetensors"] = safetensors.torch.save(state)
    with contextlib.ExitStack() as stack:
        for file_name, data in files.items():
            stack.enter_context(whole_file(folder / file_name)).write_bytes(data)
    return folder / f"{name}.json"


def load_translator(
    name_or_folder: str | os.PathLike,
    direction: str = "AB",
    device: str | torch.device | None = None,
) -> "Translator":
    """Load a trained generator, cast to float32.

    Args:
        name_or_folder: a shipped name ("painting", see `available_names`), the folder of a
            training run, or a folder that holds the three files.
        direction: "AB" or "BA".
        device: where to compute; by default the accelerator if there is one.

    Raises CourseError for an unknown name, for missing, damaged or unfitting files. Nothing is
    unpickled.
    """
    if direction not in ("AB", "BA"):
        raise CourseError(f'The direction is "AB" or "BA", not {direction!r}.')
    folder, name = _find_generator(name_or_folder)
    card = load_card(folder / f"{name}.json")
    file = folder / f"{name}_{direction}.safetensors"
    if not file.is_file():
        raise CourseError(
            f"The weights {file} are missing: there is only the other direction. Copy the file "
            "there, or translate the other way."
        )
    try:
        state = safetensors.torch.load(file.read_bytes())
    except OSError as error:
        raise CourseError(f"The weights {file} cannot be read ({error.strerror}).") from error
    except Exception as error:  # SafetensorError for most damages, ValueError, KeyError for some
        raise CourseError(
            f"The weights {file} are damaged or cut off ({error}): copy or download them again."
        ) from error
    net = _build(card, {key: tensor.float() for key, tensor in state.items()}, str(file))
    return Translator(net, card, name, direction, device)


# --- translating -------------------------------------------------------------------------------


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
        size = _working_size(working_size, self.card.get("working_size", DEFAULT_WORKING_SIZE))
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


def _working_size(chosen: int | str | None, default: int) -> int:
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


def translate_files(
    paths: Iterable[str | os.PathLike],
    translator: Translator,
    out_folder: str | os.PathLike,
    working_size: int | str | None = None,
    suffix: str = ".png",
) -> Iterator[tuple[Path, Path | CourseError]]:
    """Translate files and whole folders; an unreadable picture does not stop the others.

    Yields (input, result) after each picture, where the result is the new file
    `out_folder/STEM_LABEL.png`, such as `cat_painting.png`, or the CourseError that says why
    there is none. Where two inputs would get the same name, the later ones get `_2`, `_3`.
    The results of an earlier run are replaced; a file that is itself an input never is. When
    `out_folder` lies inside an input folder, what it holds is not taken as input.

    Raises CourseError, before the first picture, if `out_folder` cannot be made or is itself one
    of the input folders.
    """
    out_folder = Path(out_folder).expanduser()
    _working_size(working_size, 0)  # a wrong one is the caller's fault, not each picture's
    try:
        out_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The folder {out_folder} cannot be made ({error.strerror}): choose another one."
        ) from error
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    inputs = _expand(paths, out_folder)
    return _translate_each(inputs, translator, out_folder, working_size, suffix)


def _expand(
    paths: Iterable[str | os.PathLike], out_folder: Path
) -> list[tuple[Path, CourseError | None]]:
    """The files to translate, folders replaced by their pictures, each once; or why not."""
    out = out_folder.resolve()
    inputs: dict[Path, CourseError | None] = {}
    for path in map(Path, paths):
        path = path.expanduser()
        if not path.is_dir():
            inputs.setdefault(path)
            continue
        if path.resolve() == out:
            raise CourseError(
                f"The results would go into the folder of the pictures, {path}, and be taken for "
                "pictures the next time: choose another folder for them."
            )
        try:
            found = find_pictures(path)
        except CourseError as error:
            inputs[path] = error
            continue
        found = [file for file in found if not file.resolve().is_relative_to(out)]
        inputs.update(dict.fromkeys(found))
        if not found:
            inputs[path] = CourseError(f"There are no pictures in the folder {path}.")
    return list(inputs.items())


def _translate_each(
    inputs: list[tuple[Path, CourseError | None]],
    translator: Translator,
    out_folder: Path,
    working_size: int | str | None,
    suffix: str,
) -> Iterator[tuple[Path, Path | CourseError]]:
    taken = {_key(path) for path, _ in inputs}
    for path, fault in inputs:
        if fault is not None:
            yield path, fault
            continue
        target = _free_name(out_folder, f"{path.stem}_{translator.label}", suffix, taken)
        try:
            yield path, save_picture(translator(path, working_size), target)
        except CourseError as error:
            yield path, error


def _free_name(folder: Path, stem: str, suffix: str, taken: set[str]) -> Path:
    """`folder/stem.suffix`, or with `_2`, `_3`, ... while that is taken; the name is then taken."""
    target = folder / f"{stem}{suffix}"
    number = 2
    while _key(target) in taken:
        target = folder / f"{stem}_{number}{suffix}"
        number += 1
    taken.add(_key(target))
    return target


def _key(path: Path) -> str:
    # Without case: on Windows and macOS Cat.png and cat.png are one file.
    return str(path.resolve()).casefold()
