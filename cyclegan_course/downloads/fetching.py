"""Fetching one large file: resumed where it broke off, checked, or from the next address."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from cyclegan_course.downloads.transfer import (
    FailedError,
    Job,
    Patience,
    attempt,
    bytes_in,
    drop_part,
)
from cyclegan_course.errors import CourseError


class NotFetchedError(CourseError):
    """No address has the file."""


def fetch(
    addresses: Sequence[str],
    path: Path,
    size: int | None = None,
    sha256: str | None = None,
    largest: int = 2 * 2**30,
    room: float = 2.0,
    patience: Patience | None = None,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> str:
    """Fetch a zip archive from the first address that has it.

    What has come so far stays in PATH.part, also after Ctrl-C, and is continued the next time.
    The file has its own name only after it was checked. Proxies and certificates are those of the
    environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE).

    Args:
        addresses: tried in this order, http or https.
        path: of the file; its folder exists.
        size, sha256: what the file must be; None if unknown.
        largest: bytes that a file of unknown size may have.
        room: free disk space to ask for, in multiples of the file: itself and what it unpacks to.
        patience: `Patience()` by default.
        progress: show a bar.
        say: takes each sentence about what goes wrong on the way.

    Returns:
        The address that the file came from.

    Raises:
        NotFetchedError: if no address has it; one reason for each.
        CourseError: if the disk is too full.
    """
    job = Job(path, size, sha256, largest, room, patience or Patience(), progress)
    reasons = []
    for address in addresses:
        try:
            _fetch_from(address, job, say)
        except FailedError as failed:
            reasons.append(f"{_server(address)}: {failed}")
            if address != addresses[-1]:
                say(f"{reasons[-1]}; trying the next address.")
        else:
            job.part.replace(path)
            drop_part(job.path)
            return address
    raise NotFetchedError("; ".join(reasons))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(path: Path, size: int | None, sha256: str | None) -> str | None:
    """One sentence on how a file differs from what it must be; None if it does not."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes and must have {size:,}"
    if sha256 is not None and (digest := sha256_of(path)) != sha256:
        return f"its {found:,} bytes have the SHA-256 {digest} and must have {sha256}"
    return None


def _fetch_from(address: str, job: Job, say: Callable[[str], None]) -> None:
    """Attempts at one address until the part is whole and right."""
    pauses, best = list(job.patience.pauses), bytes_in(job.part)
    reached = started_anew = job.whole = False
    while True:
        before = bytes_in(job.part)
        try:
            with tqdm(
                desc=job.path.stem,
                unit="B",
                unit_scale=True,
                leave=False,
                disable=not job.progress,
            ) as bar:
                attempt(address, job, bar)
            reached = True
            problem = mismatch(job.part, job.size, job.sha256)
            if problem is None:
                return
            drop_part(job.path)
            # Once more if it came in several parts: perhaps two files were joined.
            again = before > 0 and not started_anew
            started_anew = True
            raise FailedError(f"the file was wrong and was removed: {problem}", again)
        except FailedError as failed:
            now = bytes_in(job.part)
            reached = reached or now > before
            # An attempt that brought much does not count, or a bad line could never deliver.
            if now >= best + job.patience.worthwhile:
                pauses, best = list(job.patience.pauses), now
            silent = isinstance(failed.__cause__, requests.RequestException) and not reached
            if not failed.again or not pauses or silent:
                raise
            pause = pauses.pop(0)
            say(f"{_server(address)}: {failed}; trying again in {pause:g} s.")
            time.sleep(pause)


def _server(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
