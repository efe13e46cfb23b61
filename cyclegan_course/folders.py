"""Two domains of picture files: where they lie, and which of them are held out."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cyclegan_course import duplicates, worlds
from cyclegan_course.downloads import SETS, find_downloaded
from cyclegan_course.errors import CourseError
from cyclegan_course.images import PICTURE_SUFFIXES, shown
from cyclegan_course.images.files import check_folder, find_files
from cyclegan_course.picture_files import (
    PictureFacts,
    Reading,
    Skipped,
    bytes_in_memory,
    choose,
    read_all,
)

FOLDERS = ("trainA", "trainB", "testA", "testB")

# A tenth of a domain without a folder of test pictures is held out, but never more than is
# looked at; of so few pictures none can be spared.
HELD_OUT_SHARE = 0.1
MOST_HELD_OUT = 48
FEWEST_TO_HOLD_OUT = 8
_LONGEST_NAME = 60


@dataclass(frozen=True)
class DataFolders:
    """Where the files of both domains lie.

    Attributes:
        name: a plain word for the data.
        domain_A, domain_B: what the domains are called.
        folders: one for each of `FOLDERS`; None where there is none.
    """

    name: str
    domain_A: str
    domain_B: str
    folders: dict[str, Path | None]

    def files(self) -> dict[str, tuple[list[Path], list[Path]]]:
        """For each of `FOLDERS` its pictures, by their suffix, and its other files, both sorted.

        Raises:
            CourseError: for a folder that may not be read.
        """
        found = {}
        for part, folder in self.folders.items():
            everything = [] if folder is None else find_files(folder)
            taken = [file for file in everything if file.name.lower().endswith(PICTURE_SUFFIXES)]
            found[part] = (taken, sorted(set(everything) - set(taken)))
        return found


def find_folders(data: str | Path | tuple[str, str]) -> DataFolders:
    """Find the folders that data name.

    Args:
        data: a folder that holds trainA and trainB, testA and testB if there are any; the name
            of a downloaded set; or two folders, the pictures of A and those of B.

    Raises:
        CourseError: if there are none, or both domains are the same pictures.
    """
    if isinstance(data, tuple):
        return _two_folders(*map(Path, data))
    folder = Path(data).expanduser()
    if not folder.exists():
        folder = find_downloaded(str(data)) or folder
    if not folder.exists() and str(data) in SETS:
        raise CourseError(f"{data} is not there yet: fetch it with cyclegan-course download {data}")
    if not folder.exists():
        raise CourseError(
            f"There is no folder {shown(folder)!r}, and no world of that name; the worlds are "
            f"{', '.join(worlds.WORLDS)}. A classic set comes with: cyclegan-course download NAME"
        )
    if not folder.is_dir():
        raise CourseError(
            f"{shown(folder)!r} is a file; give the folder that holds trainA and trainB."
        )
    for part in ("trainA", "trainB"):
        if not (folder / part).is_dir():
            raise CourseError(
                f"{shown(folder)!r} has no folder {part}: put pictures of one domain into trainA "
                "and pictures of the other into trainB (and some more into testA and testB), or "
                "name any two folders with --data-A and --data-B."
            )
    _refuse_overlap(folder / "trainA", folder / "trainB")
    parts = {part: folder / part if (folder / part).is_dir() else None for part in FOLDERS}
    return DataFolders(plain_name(folder.resolve().name), "A", "B", parts)


def _two_folders(A: Path, B: Path) -> DataFolders:
    A, B = A.expanduser(), B.expanduser()
    check_folder(A)
    check_folder(B)
    _refuse_overlap(A, B)
    name_A, name_B = plain_name(A.resolve().name), plain_name(B.resolve().name)
    if name_A == name_B:
        name_A, name_B = "A", "B"
    folders = {"trainA": A, "trainB": B, "testA": None, "testB": None}
    return DataFolders(data_name((str(A), str(B))), name_A, name_B, folders)


def _refuse_overlap(A: Path, B: Path) -> None:
    one, other = A.resolve(), B.resolve()
    if one == other:
        raise CourseError(
            f"{shown(A)} and {shown(B)} are one folder: A and B must be two kinds of pictures."
        )
    for inner, outer in ((one, other), (other, one)):
        if inner.is_relative_to(outer):
            raise CourseError(
                f"{shown(inner)} lies inside {shown(outer)}, so its pictures would be in both "
                "domains: move it beside the other one."
            )


def data_name(data: str | Path | tuple[str, str]) -> str:
    """A plain word for data as `find_folders` takes them: "horse2zebra", "photos-paintings"."""
    parts = data if isinstance(data, tuple) else (data,)
    return "-".join(plain_name(Path(part).expanduser().resolve().name) for part in parts)


def plain_name(text: str) -> str:
    """A text as a name for files: letters, digits, `_`, `.` and `-` only, and not too long."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:_LONGEST_NAME] or "pictures"


@dataclass(frozen=True)
class Split:
    """Which pictures of a domain are trained on, which are held out, and which are neither.

    Attributes:
        train, held_out: indices of the pictures, in their order.
        alike: indices of pictures that look like one that is held out.
        sentence: what a learner should know of it; "" if nothing.
    """

    train: list[int]
    held_out: list[int]
    alike: list[int]
    sentence: str = ""


def hold_out(facts: Sequence[PictureFacts], domain: str) -> Split:
    """Set some pictures of a domain aside, to look at and measure, never to train on.

    A picture is held out if the digest of its content, as a number between 0 and 1, is below
    `HELD_OUT_SHARE` (of more than `MOST_HELD_OUT` such pictures the lowest; of none, the lowest
    of all). So neither the order nor the names matter, the same content gives the same choice
    everywhere, and pictures that are added do not move the others, as long as there are not too
    many. Copies and near-duplicates of what is held out are left out of the training too.
    """
    everything = list(range(len(facts)))
    if len(facts) < FEWEST_TO_HOLD_OUT:
        sentence = (
            f"{domain}: {_pictures(len(facts))} are too few to hold any out; samples and measures "
            "show pictures that are trained on."
        )
        return Split(everything, [], [], sentence)
    order = sorted(everything, key=lambda i: facts[i].digest)
    low = [
        i for i in order if int(facts[i].digest, 16) < HELD_OUT_SHARE * 16 ** len(facts[i].digest)
    ]
    held_out = sorted(low[:MOST_HELD_OUT] or order[:1])
    rest = sorted(set(everything) - set(held_out))
    alike = sorted(_alike(facts, rest, held_out))
    train = sorted(set(rest) - set(alike))
    if len(train) < len(rest) / 2:
        sentence = (
            f"{domain}: most pictures are copies or near-duplicates of each other, so none can be "
            "held out; samples and measures show pictures that are trained on."
        )
        return Split(everything, [], [], sentence)
    sentence = (
        f"{domain}: {len(held_out)} of {_pictures(len(facts))} held out for samples and measures, "
        "never trained on"
    )
    if alike:
        sentence += f"; {len(alike)} more left out, because they look like one of these"
    return Split(train, held_out, alike, f"{sentence}.")


def _alike(facts: Sequence[PictureFacts], rest: Sequence[int], held_out: Sequence[int]) -> set[int]:
    """Those of `rest` that show what a picture of `held_out` shows."""
    rows = [
        duplicates.fingerprints([facts[i].thumbnail for i in side]) for side in (rest, held_out)
    ]
    near = {rest[i] for i in np.unique(duplicates.near_pairs(*rows)[:, 0])}
    digests = {facts[i].digest for i in held_out}  # a flat picture is near to none
    return near | {i for i in rest if facts[i].digest in digests}


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Opened:
    """Two domains of picture files after each was read once.

    Attributes:
        where: the folders.
        load_size: pixels of the short side of what was read.
        parts: for each of `FOLDERS` its pictures and what is known of them.
        others: for each of `FOLDERS` the files whose names do not end like a picture's.
        splits: for "A" and "B" what is held out of the training folder; None where there are
            test pictures.
    """

    where: DataFolders
    load_size: int
    parts: dict[str, Reading]
    others: dict[str, list[Path]]
    splits: dict[str, Split | None]

    @property
    def skipped(self) -> list[Skipped]:
        """The files that could not be read."""
        return [problem for part in self.parts.values() for problem in part.skipped]

    def train(self, domain: str) -> Sequence[np.ndarray]:
        """The pictures of "A" or "B" to train on."""
        pictures, split = self.parts[f"train{domain}"].pictures, self.splits[domain]
        return pictures if split is None else choose(pictures, split.train)

    def test(self, domain: str) -> Sequence[np.ndarray]:
        """The pictures of "A" or "B" to look at and measure."""
        split = self.splits[domain]
        if split is None:
            return self.parts[f"test{domain}"].pictures
        pictures = self.parts[f"train{domain}"].pictures
        # Where none can be held out, the samples show pictures that the networks have seen.
        return choose(pictures, split.held_out) if split.held_out else pictures[:MOST_HELD_OUT]


def read_folders(
    where: DataFolders,
    load_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
    memory: int = 0,
) -> Opened:
    """Read every picture of both domains once, and hold some out where there are no test pictures.

    Args:
        load_size: pixels of the short side after resizing.
        progress: wraps the iteration over the files of each folder.
        memory: bytes that the pictures may take; if they need more, none is kept.

    Raises:
        CourseError: if a domain has no readable picture, or both have the same.
    """
    files = where.files()
    needed = sum(bytes_in_memory(path, load_size) for taken, _ in files.values() for path in taken)
    parts: dict[str, Reading] = {}
    for part, (taken, _) in files.items():
        parts[part] = read_all(taken, load_size, progress, keep=needed <= memory)
        if part.startswith("train") and not parts[part].facts:
            problems = parts[part].skipped
            why = f" ({len(problems)} could not be read: {problems[0].reason})" if problems else ""
            raise CourseError(
                f"{shown(where.folders[part])!r} holds no readable picture{why}; put JPEG, PNG or "
                "WebP files there."
            )
    _refuse_same_pictures(parts["trainA"].facts, parts["trainB"].facts)
    splits = {
        domain: None
        if parts[f"test{domain}"].facts
        else hold_out(parts[f"train{domain}"].facts, name)
        for domain, name in (("A", where.domain_A), ("B", where.domain_B))
    }
    return Opened(
        where, load_size, parts, {part: others for part, (_, others) in files.items()}, splits
    )


def _refuse_same_pictures(A: Sequence[PictureFacts], B: Sequence[PictureFacts]) -> None:
    """A few shared files are worth a warning; where they are most of a domain, it is a mistake."""
    digests = [Counter(entry.digest for entry in side) for side in (A, B)]
    shared = set(digests[0]) & set(digests[1])
    smaller = min((sum(side.values()), sum(side[d] for d in shared)) for side in digests)
    if 2 * smaller[1] > smaller[0]:
        example = next(entry.path for entry in A if entry.digest in shared)
        raise CourseError(
            f"{smaller[1]} of the {_pictures(smaller[0])} of the smaller domain are in the other "
            f"one too, {shown(example)} for instance: A and B must be two kinds of pictures."
        )
