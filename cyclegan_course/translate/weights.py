"""Trained generators on disk: three files in one folder.

- `NAME_AB.safetensors`, `NAME_BA.safetensors`: the weights in half precision (safetensors holds
  numbers and names only, so a file from a stranger cannot run code, as a pickle can); CUT has the
  first alone;
- `NAME.json`, the model card: `name`, `domain_A`, `domain_B`, `generator` (the keywords of
  `networks.ResnetGenerator`), `working_size` (pixels), and how it was trained.

The shipped ones lie in `weights_folder()`; a training run keeps its own in `RUN/generator/`.
"""

import contextlib
import json
import os
import re
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from cyclegan_course.errors import CourseError
from cyclegan_course.images import whole_file
from cyclegan_course.networks import ResnetGenerator

WEIGHTS_VARIABLE = "CYCLEGAN_COURSE_WEIGHTS"
DEFAULT_WORKING_SIZE = 256

# Words for a target domain that are not the name of a translation: the way back has a name too.
BACKWARD_WORDS = {"photograph": "painting", "day": "night"}


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
    return Path(__file__).resolve().parents[2] / "data" / "weights"


def available_names(folder: str | os.PathLike | None = None) -> list[str]:
    """Names of the trained generators in a folder (default: the shipped ones), sorted."""
    folder = weights_folder() if folder is None else Path(folder)
    files = [*folder.glob("*_AB.safetensors"), *folder.glob("*_BA.safetensors")]
    return sorted({file.stem[:-3] for file in files if not file.name.startswith(".")})


def find_generator(name_or_folder: str | os.PathLike) -> tuple[Path, str]:
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


def build_generator(card: dict, state: dict[str, Tensor], source: str) -> nn.Module:
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
    folder: str | os.PathLike, name: str, G_AB: nn.Module, G_BA: nn.Module | None, card: dict
) -> Path:
    """Write NAME_AB.safetensors, NAME_BA.safetensors (half precision) and NAME.json.

    `card` needs `generator`, the keywords that build both networks; `name` is added to it. Without
    G_BA there is one direction, and an older NAME_BA.safetensors goes. All files are written
    beside their names first and then moved, so an interruption leaves the older ones. Returns the
    path of the card. Raises CourseError if the networks do not fit the card, if a weight is not
    finite in half precision, or if the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise CourseError(f"{name!r} cannot be the name of a generator: use a single plain word.")
    if not isinstance(card.get("generator"), dict):
        raise CourseError(
            'The card needs the entry "generator" with the keywords of ResnetGenerator.'
        )
    files = {f"{name}.json": json.dumps({**card, "name": name}, indent=2).encode()}
    pair = {"AB": G_AB} if G_BA is None else {"AB": G_AB, "BA": G_BA}
    for direction, net in pair.items():
        net = getattr(net, "_orig_mod", net)  # what torch.compile has wrapped
        state = {
            key: tensor.detach().to("cpu", torch.float16, copy=True).contiguous()
            for key, tensor in net.state_dict().items()
        }
        build_generator(card, state, f"The network G_{direction}")
        files[f"{name}_{direction}.safetensors"] = safetensors.torch.save(state)
    with contextlib.ExitStack() as stack:
        for file_name, data in files.items():
            stack.enter_context(whole_file(folder / file_name)).write_bytes(data)
    if G_BA is None:
        (folder / f"{name}_BA.safetensors").unlink(missing_ok=True)
    return folder / f"{name}.json"


def load_generator(
    name_or_folder: str | os.PathLike, direction: str = "AB"
) -> tuple[nn.Module, dict, str]:
    """Load a trained generator, cast to float32: the network, its model card and its name.

    Args:
        name_or_folder: a shipped name ("painting", see `available_names`), the folder of a
            training run, or a folder that holds the three files.
        direction: "AB" or "BA".

    Raises CourseError for an unknown name, for missing, damaged or unfitting files. Nothing is
    unpickled.
    """
    if direction not in ("AB", "BA"):
        raise CourseError(f'The direction is "AB" or "BA", not {direction!r}.')
    folder, name = find_generator(name_or_folder)
    card = load_card(folder / f"{name}.json")
    file = folder / f"{name}_{direction}.safetensors"
    if not file.is_file():
        raise CourseError(
            f"The weights {file} are missing: there is only the other direction (CUT trains no "
            "other). Copy the file there, or translate the other way."
        )
    try:
        state = safetensors.torch.load(file.read_bytes())
    except OSError as error:
        raise CourseError(f"The weights {file} cannot be read ({error.strerror}).") from error
    except Exception as error:  # SafetensorError for most damages, ValueError, KeyError for some
        raise CourseError(
            f"The weights {file} are damaged or cut off ({error}): copy or download them again."
        ) from error
    net = build_generator(card, {key: tensor.float() for key, tensor in state.items()}, str(file))
    return net, card, name
