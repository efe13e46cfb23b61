"""What is known of a submission: results, and the files that keep them between two runs."""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises.registry import order
from cyclegan_course.images.files import whole_file

# The better one counts where a student answers an exercise in several notebooks.
STATES = (
    "passed",
    "wrong",
    "time limit",
    "memory limit",
    "disk limit",
    "process limit",
    "process ended",
    "tampered",
    "unreadable",
    "not attempted",
    "missing",
    "not graded",
)
FORMAT = 1  # of the files; others are graded anew


@dataclass(frozen=True)
class Result:
    """What became of one exercise.

    Args:
        state: one of STATES.
        message: sentences for the student.
        table: (heading, text) rows for published inputs: the input, what was expected, was found.
        hidden: whether it failed with the hidden inputs only.
        mistake: name of the known mistake, "" if it is none.
        notebook: name of the file it stands in.
        seed: of the hidden inputs.
    """

    state: str
    message: str = ""
    table: tuple[tuple[str, str], ...] = ()
    hidden: bool = False
    mistake: str = ""
    notebook: str = ""
    seed: int = 0

    @property
    def points(self) -> int:
        """1 if it passed, 0 otherwise."""
        return int(self.state == "passed")


@dataclass
class Graded:
    """All that is known of a submission.

    Args:
        asked: what it was graded with, as `fingerprint` tells it.
        results: by exercise; those that a notebook does not have are left out.
        remarks: sentences on whole notebooks, for student and instructor.
        seconds: wall time.
    """

    key: str
    student: str
    page: str
    asked: str
    results: dict[str, Result] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, number: str, result: Result) -> None:
        """Note a result, unless there is a better one."""
        old = self.results.get(number)
        if old is None or STATES.index(result.state) < STATES.index(old.state):
            self.results[number] = result


def exercise_seed(seed: int, number: str) -> int:
    """The seed of one exercise's hidden inputs, from the seed of the run.

    One for each, so that an answer that spies out its own learns nothing about the next.
    """
    return int.from_bytes(sha256(f"{seed}/{number}".encode()).digest()[:6])


def fingerprint(contents: list[bytes], chapters: list[int] | None, whole: bool) -> str:
    """What a result depends on, besides seed and limits: the notebooks and what was asked."""
    sums = sorted(sha256(content).hexdigest() for content in contents)
    return sha256(json.dumps([FORMAT, sums, chapters, whole]).encode()).hexdigest()


def save(graded: Graded, folder: Path) -> None:
    """Keep it, whole or not at all, in `folder/results`."""
    with whole_file(folder / "results" / f"{graded.page}.json") as temporary:
        text = json.dumps(asdict(graded), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="replace")


def load(page: str, folder: Path) -> Graded | None:
    """What was kept; None if there is nothing, or nothing that can be used."""
    try:
        text = (folder / "results" / f"{page}.json").read_text(encoding="utf-8")
        found = json.loads(text)
        results = {number: _result(entry) for number, entry in found.pop("results").items()}
        return Graded(**found, results=dict(sorted(results.items(), key=lambda e: order(e[0]))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _result(entry: dict) -> Result:
    rows = tuple((str(name), str(text)) for name, text in entry.pop("table"))
    return Result(**entry, table=rows)


def seed_of_run(folder: Path, wanted: int | None, fresh: int) -> int:
    """The seed of a folder of results: the one asked for, else the one kept there, else `fresh`.

    Raises:
        CourseError: if another one than the kept one is asked for.
    """
    file = folder / "results" / "seed.txt"
    if file.exists():
        kept = int(file.read_text(encoding="utf-8"))
        if wanted not in (None, kept):
            raise CourseError(
                f"{folder} holds results of the seed {kept}: leave --seed out to add to them, or "
                "name another folder with --out."
            )
        return kept
    seed = fresh if wanted is None else wanted
    with whole_file(file) as temporary:
        temporary.write_text(f"{seed}\n", encoding="utf-8")
    return seed
