"""A whole folder of submissions: several at a time, and what is done stays done."""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from cyclegan_course.errors import CourseError
from cyclegan_course.exercises.registry import REGISTRY, order
from cyclegan_course.grading.results import Graded, fingerprint, load, save, seed_of_run
from cyclegan_course.grading.submissions import Submission, find_submissions
from cyclegan_course.grading.supervisor import LARGEST_NOTEBOOK, Supervisor
from cyclegan_course.grading.watched import Limits, Stopped


@dataclass(frozen=True)
class Settings:
    """How to grade.

    Args:
        limits: of each notebook.
        chapters: those that count; None for all that are handed in.
        whole: also run all cells of each notebook, and say which fail.
        jobs: submissions at a time.
        seed: of the hidden inputs; None for a random one.
    """

    limits: Limits = field(default_factory=Limits)
    chapters: tuple[int, ...] | None = None
    whole: bool = False
    jobs: int = 1
    seed: int | None = None


def check_settings(submissions: Path, out: Path, settings: Settings) -> None:
    """Raises CourseError for chapters that do not exist, and for results among submissions."""
    known = {order(number)[0] for number in REGISTRY}
    if unknown := sorted(set(settings.chapters or ()) - known):
        raise CourseError(
            f"There are no exercises of chapter {unknown[0]}; the chapters with exercises are "
            f"{', '.join(map(str, sorted(known)))}."
        )
    here, there = submissions.resolve(), out.resolve()
    if here == there or here in there.parents:
        raise CourseError(
            f"The results would lie among the submissions: name another folder than {out} with "
            "--out."
        )
    if settings.jobs < 1:
        raise CourseError(f"--jobs is a number of submissions from 1, not {settings.jobs}.")
    limits = settings.limits
    if min(limits.seconds, limits.minutes, limits.memory) <= 0:
        raise CourseError("The limits of time and memory have to be larger than 0.")


def grade_folder(
    submissions: Path, out: Path, settings: Settings, tell: Callable[[str], None] = print
) -> tuple[list[Graded], list[str]]:
    """Grade all submissions in a folder that are not graded yet.

    Args:
        submissions: see `submissions.find_submissions`.
        out: folder of results; those in it are used where nothing has changed.
        tell: gets a line for each submission that is done.

    Returns:
        What is known of each, and the entries of the folder that are no submission.

    Raises:
        CourseError: see `check_settings`.
        KeyboardInterrupt: on Ctrl-C; what was graded by then is kept.
    """
    check_settings(submissions, out, settings)
    found, others = find_submissions(submissions)
    seed = seed_of_run(out, settings.seed, secrets.randbelow(2**48))
    todo = {one.key: one for one in found}
    done = {one.key: kept for one in found if (kept := _kept(one, out, settings))}
    for key in done:
        del todo[key]
    if done:
        tell(f"{len(done)} of {len(found)} are graded already and have not changed.")
    if todo:
        closed = (submissions.resolve(), out.resolve())
        chapters = None if settings.chapters is None else sorted(set(settings.chapters))
        with Supervisor(settings.limits, chapters, closed) as supervisor:
            for graded in _in_parallel(list(todo.values()), supervisor, settings, seed):
                save(graded, out)
                done[graded.key] = graded
                tell(f"{len(done)} of {len(found)}  {_line(graded)}")
    return [done[one.key] for one in found], others


def _in_parallel(
    todo: list[Submission], supervisor: Supervisor, settings: Settings, seed: int
) -> Iterator[Graded]:
    pool = ThreadPoolExecutor(settings.jobs)
    waiting: set[Future] = set()
    try:
        waiting = {pool.submit(_grade, one, supervisor, settings, seed) for one in todo}
        while waiting:
            ready, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
    finally:  # also after Ctrl-C: nothing that was started stays behind
        supervisor.stop.set()
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True)


def _grade(one: Submission, supervisor: Supervisor, settings: Settings, seed: int) -> Graded:
    if supervisor.stop.is_set():
        raise Stopped
    begun = time.monotonic()
    contents, remarks = _read(one)
    asked = fingerprint(list(contents.values()), settings.chapters, settings.whole)
    graded = Graded(one.key, one.student, one.page, asked, remarks=remarks)
    for name, content in contents.items():
        report = supervisor.grade(content, name, seed)
        for number, result in report.results.items():
            graded.add(number, result)
        graded.remarks += report.remarks
        if settings.whole and not report.remarks:
            graded.remarks += supervisor.run_whole(content, name)
    if not contents and not remarks:
        graded.remarks.append("There is no notebook.")
    elif not graded.results and not graded.remarks:
        graded.remarks.append("There is no exercise in what was handed in.")
    graded.results = dict(sorted(graded.results.items(), key=lambda entry: order(entry[0])))
    graded.seconds = round(time.monotonic() - begun, 1)
    return graded


def _read(one: Submission) -> tuple[dict[str, bytes], list[str]]:
    """Contents of a submission's notebooks by name, and sentences on those that have none."""
    contents, remarks = {}, []
    top = one.notebooks[0].parent if len(one.notebooks) == 1 else None
    for path in one.notebooks:
        name = path.name if top else _inside(path, one)
        try:
            with open(path, "rb") as file:  # a byte too much tells that there is more
                contents[name] = file.read(LARGEST_NOTEBOOK + 1)
        except OSError as error:
            remarks.append(f"{name}: the file cannot be read ({error.strerror}).")
    return contents, remarks


def _inside(path: Path, one: Submission) -> str:
    """A notebook's name within the folder of its student."""
    parts = path.parts
    return "/".join(parts[parts.index(one.key) + 1 :]) if one.key in parts[:-1] else path.name


def _kept(one: Submission, out: Path, settings: Settings) -> Graded | None:
    kept = load(one.page, out)
    if kept is None or kept.key != one.key:
        return None
    asked = fingerprint(list(_read(one)[0].values()), settings.chapters, settings.whole)
    return kept if kept.asked == asked else None


def _line(graded: Graded) -> str:
    passed = sum(result.points for result in graded.results.values())
    remark = f"; {graded.remarks[0]}" if graded.remarks else ""
    return (
        f"{graded.student}: {passed} of {len(graded.results)} passed{remark} "
        f"({graded.seconds:.1f} s)"
    )
