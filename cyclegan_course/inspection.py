"""A report on two domains of pictures before training: what is there, and what will go wrong."""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cyclegan_course import duplicates, worlds
from cyclegan_course.errors import CourseError
from cyclegan_course.folders import FOLDERS, Opened, find_folders, read_folders
from cyclegan_course.images import shown
from cyclegan_course.picture_files import PictureFacts, Skipped

# The smallest of the classic sets (facades, vangogh2photo) have 400 pictures in a domain.
# Discriminators learn a hundred or so by heart (Karras et al. 2020, "Training GANs with limited
# data", has the curves): then the fakes are judged by memory, not by style.
CLASSIC_COUNT, FEW = 400, 100
# monet2photo, 1072 paintings and 6287 photographs, trains well: a ratio of 6 is no trouble.
UNBALANCED = 8
TINY_TEST = 10  # the mean of fewer pictures moves by half its value with another choice
GRAY_CHROMA = 2.0  # mean distance from gray in CIELAB below which nobody sees a colour
FLAT = 1.0  # deviation of L* (0 to 100): instance norm divides by next to nothing
ENLARGED_SHARE = 0.25
EXAMPLES = 3


@dataclass(frozen=True)
class Part:
    """One folder of the data: "trainA", "testB", ...

    Attributes:
        name: of the part.
        folder: where its files lie; None if it is held out of the training folder, or missing.
        facts: of each picture.
        skipped: files that could not be read.
        others: files whose names do not end like a picture's.
        enlarged: number of pictures whose short side is less than what is trained on.
        gray: number of pictures without colours; `flat`: number without anything in them.
    """

    name: str
    folder: Path | None
    facts: list[PictureFacts]
    skipped: list[Skipped]
    others: list[Path]
    enlarged: int
    gray: int
    flat: int

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def sizes(self) -> np.ndarray:
        """(N, 2) width and height of each picture in pixels."""
        return np.array([entry.size for entry in self.facts], np.int64).reshape(-1, 2)

    @property
    def thumbnails(self) -> np.ndarray:
        """(N, 24, 24, 3) uint8: each picture squeezed into a small square."""
        return np.stack([entry.thumbnail for entry in self.facts])

    @property
    def lab(self) -> np.ndarray:
        """(2, 3): mean and deviation of L*, a*, b* over all pixels of all pictures."""
        each = np.stack([entry.lab for entry in self.facts]).astype(np.float64)
        mean = each[:, 0].mean(0)
        variance = (each[:, 1] ** 2 + (each[:, 0] - mean) ** 2).mean(0)
        return np.stack([mean, np.sqrt(variance)])

    def counts(self, what: str) -> dict[str, int]:
        """How many pictures have each "format", or each of the "notes", most frequent first."""
        found: Counter[str] = Counter()
        for entry in self.facts:
            found.update([entry.format] if what == "format" else entry.notes)
        return dict(found.most_common())


@dataclass(frozen=True)
class Report:
    """What there is to know of two domains before a training; `print(report)` shows it.

    Attributes:
        name, domain_A, domain_B: of the data.
        size: pixels of the short side that is trained on.
        parts: "trainA", "trainB", "testA", "testB"; held-out pictures are the test part of a
            domain that has no test folder.
        held_out: a sentence for each domain without a test folder.
        alike: groups of pictures of one domain's training part that are copies of each other,
            exact, re-encoded or mirrored.
        leaks: pairs of a training picture and a test picture of one domain that are copies.
        shared: pairs of a picture of A and a picture of B that are copies.
        warnings: sentences on what is likely to go wrong, and what to do.
    """

    name: str
    domain_A: str
    domain_B: str
    size: int
    parts: dict[str, Part]
    held_out: tuple[str, ...]
    alike: list[list[Path]]
    leaks: list[tuple[Path, Path]]
    shared: list[tuple[Path, Path]]
    warnings: tuple[str, ...]

    @property
    def colour_distance(self) -> float:
        """Delta E (CIE 1976) between the mean colours of both training parts."""
        A, B = self.parts["trainA"].lab[0], self.parts["trainB"].lab[0]
        return float(np.linalg.norm(A - B))

    def sentences(self) -> tuple[str, ...]:
        """What is worth saying before a training: counts, what is held out, warnings."""
        A, B = self.parts["trainA"], self.parts["trainB"]
        counts = (
            f"Training on {len(A)} pictures of {self.domain_A} and {len(B)} of {self.domain_B}; "
            f"{len(self.parts['testA'])} and {len(self.parts['testB'])} for samples and measures."
        )
        return (counts, *self.held_out, *(f"Warning: {warning}" for warning in self.warnings))

    def rows(self) -> list[tuple[str, ...]]:
        """The table of the report: a heading, then a row for each part that has files."""
        heading = ("", "pictures", "short side", "aspect", "enlarged", "formats", "L*", "a*", "b*")
        rows = [heading]
        for part in self.parts.values():
            if len(part):
                rows.append((part.name, *_row(part)))
        return rows

    def lines(self) -> list[str]:
        """Everything beside the table, a sentence each."""
        lines = [
            f"Enlarged: the short side is below the {self.size} pixels that are trained on. "
            "L*, a*, b*: mean and deviation (CIELAB).",
            f"The mean colours of A and B lie {self.colour_distance:.1f} apart (Delta E).",
        ]
        for part in self.parts.values():
            notes = part.counts("notes")
            if notes:
                found = ", ".join(f"{note}: {count}" for note, count in notes.items())
                lines.append(f"{part.name}: {found}.")
        lines += self.held_out
        lines += _skipped_lines(self.parts.values())
        lines += _pair_lines("Copies in one domain", self.alike)
        lines += _pair_lines("Copies of a training picture among the test pictures", self.leaks)
        lines += _pair_lines("Copies in both domains", self.shared)
        return lines

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        warnings = [f"Warning: {warning}" for warning in self.warnings] or ["No warnings."]
        title = self.name
        if (self.domain_A, self.domain_B) != ("A", "B"):
            title += f": A is {self.domain_A}, B is {self.domain_B}"
        return "\n".join([title, "", *table, "", *self.lines(), "", *warnings])

    def _repr_html_(self) -> str:
        heading, *rows = [[html.escape(cell) for cell in row] for row in self.rows()]
        head = "".join(f"<th>{cell}</th>" for cell in heading)
        body = "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
        )
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self.lines())
        warnings = "".join(f"<li><b>{html.escape(line)}</b></li>" for line in self.warnings)
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<ul>{lines}{warnings}</ul>"
        )

    def to_dict(self) -> dict:
        """All of it as plain values, for JSON; paths as they were found."""
        return {
            "name": self.name,
            "domain_A": self.domain_A,
            "domain_B": self.domain_B,
            "size": self.size,
            "colour_distance": round(self.colour_distance, 3),
            "parts": {name: _part_dict(part) for name, part in self.parts.items()},
            "held_out": list(self.held_out),
            "copies_in_one_domain": [[str(path) for path in group] for group in self.alike],
            "copies_in_training_and_test": [[str(path) for path in pair] for pair in self.leaks],
            "copies_in_both_domains": [[str(path) for path in pair] for pair in self.shared],
            "warnings": list(self.warnings),
        }


def inspect_data(
    data: str | Path | tuple[str, str],
    size: int = 256,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Report:
    """Read all pictures of two domains and report on them; nothing is written.

    Args:
        data: a folder with trainA and trainB, the name of a downloaded set, or two folders.
        size: pixels of the short side that is to be trained on.
        progress: wraps the iteration over the files of each folder, `tqdm` for instance.

    Raises:
        CourseError: for data that cannot be opened, and for a world, which has no files.
    """
    if isinstance(data, str) and data in worlds.WORLDS:
        raise CourseError(
            f"{data!r} is a world: its pictures are drawn, there are no files to inspect. Name a "
            "folder with trainA and trainB, or two folders."
        )
    if size < 1:
        raise CourseError(f"A size of {size} pixels does not work: give the side of the crops.")
    return make_report(read_folders(find_folders(data), size, progress))


def make_report(opened: Opened) -> Report:
    """The report on what was read."""
    parts = {name: _part(opened, name) for name in FOLDERS}
    rows = {
        name: duplicates.fingerprints([entry.thumbnail for entry in part.facts])
        for name, part in parts.items()
    }
    alike, leaks = [], []
    for domain in "AB":
        train, test = parts[f"train{domain}"].facts, parts[f"test{domain}"].facts
        pairs = duplicates.near_pairs(rows[f"train{domain}"])
        pairs = np.concatenate([pairs, _equal_pairs(train, train, inside=True)])
        alike += [[train[i].path for i in group] for group in duplicates.groups(len(train), pairs)]
        if opened.splits[domain] is None:
            leaks += _copies(train, test, rows[f"train{domain}"], rows[f"test{domain}"])
    shared = []
    for one in ("trainA", "testA"):
        for other in ("trainB", "testB"):
            shared += _copies(parts[one].facts, parts[other].facts, rows[one], rows[other])
    splits = [split for split in opened.splits.values() if split is not None]
    report = Report(
        name=opened.where.name,
        domain_A=opened.where.domain_A,
        domain_B=opened.where.domain_B,
        size=opened.load_size,
        parts=parts,
        held_out=tuple(split.sentence for split in splits),
        alike=alike,
        leaks=leaks,
        shared=shared,
        warnings=(),
    )
    return Report(**(vars(report) | {"warnings": tuple(_warnings(report))}))


def _part(opened: Opened, name: str) -> Part:
    domain, split = name[-1], opened.splits[name[-1]]
    reading = opened.parts[name]
    facts = reading.facts
    if split is not None:
        everything = opened.parts[f"train{domain}"].facts
        chosen = split.train if name.startswith("train") else split.held_out
        facts = [everything[i] for i in chosen]
    lab = np.array([entry.lab for entry in facts]).reshape(-1, 2, 3)
    chroma = np.hypot(lab[:, 0, 1], lab[:, 0, 2]) + np.hypot(lab[:, 1, 1], lab[:, 1, 2])
    return Part(
        name=name,
        folder=opened.where.folders[name],
        facts=facts,
        skipped=reading.skipped,
        others=opened.others[name],
        enlarged=sum(min(entry.size) < opened.load_size for entry in facts),
        gray=int((chroma < GRAY_CHROMA).sum()),
        flat=int((lab[:, 1, 0] < FLAT).sum()),
    )


def _copies(
    one: Sequence[PictureFacts],
    other: Sequence[PictureFacts],
    rows_one: np.ndarray,
    rows_other: np.ndarray,
) -> list[tuple[Path, Path]]:
    pairs = np.concatenate([duplicates.near_pairs(rows_one, rows_other), _equal_pairs(one, other)])
    return [(one[i].path, other[j].path) for i, j in np.unique(pairs, axis=0).tolist()]


def _equal_pairs(
    one: Sequence[PictureFacts], other: Sequence[PictureFacts], inside: bool = False
) -> np.ndarray:
    """(P, 2) indices of files of the same content, which flat pictures are found by."""
    places: dict[str, list[int]] = {}
    for j, entry in enumerate(other):
        places.setdefault(entry.digest, []).append(j)
    pairs = [(i, j) for i, entry in enumerate(one) for j in places.get(entry.digest, ())]
    pairs = [(i, j) for i, j in pairs if not inside or i < j]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _warnings(report: Report) -> list[str]:
    A, B = report.parts["trainA"], report.parts["trainB"]
    names = {"A": report.domain_A, "B": report.domain_B}
    found = []
    for domain, part in (("A", A), ("B", B)):
        count, name = len(part), names[domain]
        if count < FEW:
            found.append(
                f"{name} has {count} pictures to train on: the discriminator will learn so few by "
                f"heart. The smallest classic sets have {CLASSIC_COUNT}; gather more, or train "
                "shortly and look at the samples."
            )
        if part.enlarged > ENLARGED_SHARE * count:
            found.append(
                f"{name} has {part.enlarged} of {count} pictures smaller than the {report.size} "
                "pixels that are trained on: enlarged ones are blurred, and the networks learn the "
                "blur. Choose a smaller --size, or leave them out."
            )
        if part.flat:
            found.append(
                f"{name} has {part.flat} flat picture{'' if part.flat == 1 else 's'}, with next to "
                "nothing to see: instance norm enlarges their noise to full strength. Leave them "
                "out."
            )
        test = report.parts[f"test{domain}"]
        if 0 < len(test) < TINY_TEST:
            found.append(
                f"For samples and measures {name} has only {len(test)} of its pictures: they will "
                "depend on which ones these are."
            )
    large, small = max(len(A), len(B)), min(len(A), len(B))
    if large > UNBALANCED * small:
        found.append(
            f"One domain has {large / small:.0f} times as many pictures as the other: the few are "
            "seen that much oftener and are learned by heart first. Gather more of them."
        )
    gray = [part.gray > len(part) / 2 for part in (A, B)]
    if gray[0] != gray[1]:
        found.append(
            f"Most pictures of {names['A' if gray[0] else 'B']} are gray and those of the other "
            "domain are not: to get back from gray, the generators will hide the colours in faint "
            "noise (chapter 8)."
        )
    formats = [next(iter(part.counts("format")), "") for part in (A, B)]
    if formats[0] != formats[1]:
        found.append(
            f"A is mostly {formats[0]} and B mostly {formats[1]}: the traces of compression may "
            "become what tells the domains apart."
        )
    for what, pairs in (
        (
            "Copies of training pictures among the test pictures, which flatter the measures",
            report.leaks,
        ),
        ("Pictures in both domains, which no discriminator can tell apart", report.shared),
    ):
        if pairs:
            found.append(f"{what}: {len({pair[1] for pair in pairs})}. Leave them out of one.")
    extra = sum(len(group) - 1 for group in report.alike)
    if extra > 0.1 * (len(A) + len(B)):
        found.append(
            f"{extra} pictures are copies of others in their domain, so there are fewer pictures "
            "than it seems. Leave the copies out."
        )
    return found


def _row(part: Part) -> tuple[str, ...]:
    short = part.sizes.min(axis=1)
    aspect = part.sizes[:, 0] / part.sizes[:, 1]
    formats = ", ".join(f"{name} {count}" for name, count in part.counts("format").items())
    mean, deviation = part.lab
    return (
        str(len(part)),
        _three(short, "{:.0f}"),
        _three(aspect, "{:.2f}"),
        str(part.enlarged),
        formats,
        *(f"{m:.1f} ± {d:.1f}" for m, d in zip(mean, deviation, strict=True)),
    )


def _three(values: np.ndarray, form: str) -> str:
    """Smallest, median and largest value; one of them if all are the same."""
    three = [form.format(value) for value in (values.min(), np.median(values), values.max())]
    return three[0] if len(set(three)) == 1 else " / ".join(three)


def _part_dict(part: Part) -> dict:
    values = {
        "folder": None if part.folder is None else str(part.folder),
        "pictures": len(part),
        "formats": part.counts("format"),
        "notes": part.counts("notes"),
        "enlarged": part.enlarged,
        "gray": part.gray,
        "flat": part.flat,
        "skipped": {str(problem.path): problem.reason for problem in part.skipped},
        "not_pictures": [str(path) for path in part.others],
    }
    if not len(part):
        return values
    sizes, (mean, deviation) = part.sizes, part.lab
    return values | {
        "width": [int(part.sizes[:, 0].min()), int(part.sizes[:, 0].max())],
        "height": [int(part.sizes[:, 1].min()), int(part.sizes[:, 1].max())],
        "median_short_side": float(np.median(sizes.min(axis=1))),
        "median_aspect": round(float(np.median(sizes[:, 0] / sizes[:, 1])), 3),
        "lab_mean": [round(float(value), 3) for value in mean],
        "lab_deviation": [round(float(value), 3) for value in deviation],
    }


def _skipped_lines(parts: Iterable[Part]) -> list[str]:
    """One line for each reason, with the number of files and some of their names."""
    reasons: dict[str, list[str]] = {}
    endings: Counter[str] = Counter()
    for part in parts:
        for problem in part.skipped:
            # Without the name and the decoder's own words, so that like reasons come together.
            reason = problem.reason.replace(shown(problem.path), "")
            reason = re.sub(r"\(looked in .*?\)|\([^()]*\)", "", reason)
            reason = re.sub(r"\s+([:.,])", r"\1", " ".join(reason.split()))
            reasons.setdefault(reason, []).append(shown(problem.path.name))
        endings.update(path.suffix.lower() or "no ending" for path in part.others)
    lines = [f"Skipped, {_some(names)}: {reason}" for reason, names in reasons.items()]
    if endings:
        found = ", ".join(f"{shown(ending)}: {count}" for ending, count in endings.most_common())
        lines.append(
            f"Not taken for pictures, by the end of their names: {found}. If they are, save them "
            "as JPEG or PNG."
        )
    return lines


def _some(names: Sequence[str]) -> str:
    more = "" if len(names) <= EXAMPLES else ", ..."
    return f"{len(names)} ({', '.join(names[:EXAMPLES])}{more})"


def _pair_lines(title: str, groups: Sequence[Sequence[Path]]) -> list[str]:
    if not groups:
        return []
    examples = [" = ".join(shown(path.name) for path in group) for group in groups[:EXAMPLES]]
    more = "" if len(groups) <= EXAMPLES else "; ..."
    return [f"{title}: {len(groups)} ({'; '.join(examples)}{more})."]
