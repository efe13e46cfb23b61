"""One request for a file, or for what is missing of it, and how to judge the answer.

HTTP's means for this (RFC 9110): `Range` asks for the rest of a file (section 14.2), and `If-Range`
for the whole of it if the file has changed since (section 13.1.5).
"""

import contextlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from cyclegan_course.downloads.unpacking import check_space

# Answers after which the same request may succeed.
_TRY_AGAIN = {408, 416, 425, 429, 500, 502, 503, 504}
_CHUNK = 2**16


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Args:
        connect: seconds until it must have taken the call.
        silence: seconds between two bytes.
        window, slowest: bytes that must come in each window of so many seconds.
        pauses: seconds to wait before each further attempt at one address.
        worthwhile: bytes that an attempt must bring so that all pauses are open again.
    """

    connect: float = 15.0
    silence: float = 30.0
    window: float = 60.0
    slowest: int = 2**18
    pauses: tuple[float, ...] = (1.0, 5.0, 20.0)
    worthwhile: int = 2**20


class FailedError(Exception):
    """One attempt failed; `again`: another at the same address may succeed."""

    def __init__(self, reason: str, again: bool) -> None:
        super().__init__(reason)
        self.again = again


@dataclass
class Job:
    """What stays the same during all attempts."""

    path: Path
    size: int | None
    sha256: str | None
    largest: int
    room: float
    patience: Patience
    progress: bool
    whole: bool = False  # ask this address for no range: it answers wrongly

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    @property
    def note(self) -> Path:
        """Where the part came from, so that only the same file is continued."""
        return self.path.with_name(self.path.name + ".part.json")


def attempt(address: str, job: Job, bar: tqdm) -> None:
    """One request for what is missing of the part, which is whole afterwards.

    Raises:
        FailedError: if it is not.
    """
    have, validator = _resumable(address, job)
    if have and have == job.size:
        return
    # Compressed on the way, the bytes could not be counted.
    headers = {"Accept-Encoding": "identity", "User-Agent": "cyclegan-course"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = requests.get(
            address,
            headers=headers,
            stream=True,
            timeout=(job.patience.connect, job.patience.silence),
        )
    # Some bad addresses of a redirection come as errors of urllib3, or of urllib.
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        again = isinstance(error, requests.ConnectionError | requests.Timeout)
        again = again and not isinstance(error, requests.exceptions.SSLError)
        raise FailedError(_why(error), again) from error
    with response:
        have, total = _accepted(response, have, job)
        head = b"" if have else _zip_head(response)
        if not have:
            drop_part(job.path)
        _write_note(address, response, job)
        bar.reset(total)
        bar.initial = bar.n = have
        _receive(response, head, have, total, job, bar)


def _resumable(address: str, job: Job) -> tuple[int, str | None]:
    """Bytes of the part that can be continued from this address, and what the file must match."""
    have = 0 if job.whole else bytes_in(job.part)
    try:
        note = json.loads(job.note.read_text(encoding="utf-8"))
        source, validator = str(note["address"]), note["validator"]
    except (OSError, ValueError, LookupError, TypeError):
        source, validator = "", None
    same = source == address and isinstance(validator, str)
    # With a published sum every address must have the same bytes; a mixture would be found out.
    known = job.size is not None and job.sha256 is not None and have <= job.size
    return (have if same or known else 0), (validator if same else None)


def _accepted(response: requests.Response, have: int, job: Job) -> tuple[int, int | None]:
    """Check the head of an answer; returns where its bytes begin and the file's size."""
    if response.status_code == 206:
        pattern = r"bytes (\d+)-\d+/(\d+|\*)"
        found = re.fullmatch(pattern, response.headers.get("Content-Range", "").strip())
        if not found or int(found[1]) != have:
            job.whole = True
            raise FailedError("it sent another part of the file than it was asked for", again=True)
        total = None if found[2] == "*" else int(found[2])
    elif response.status_code == 200:
        have, total = 0, None  # it knows no ranges, or the file has changed
    else:
        job.whole = job.whole or response.status_code == 416
        reason = f"HTTP {response.status_code} {response.reason or ''}".strip()
        raise FailedError(reason, again=response.status_code in _TRY_AGAIN)
    length = response.headers.get("Content-Length", "")
    if total is None and length.isdecimal():
        total = have + int(length)
    if job.size is not None and total not in (None, job.size):
        page = _page_hint(response, b"")
        raise FailedError(
            f"it offers {page}{total:,} bytes and {job.size:,} are expected", again=False
        )
    if total is not None and total > (job.size or job.largest):
        raise FailedError(f"it offers {total:,} bytes, more than allowed", again=False)
    check_space(job.path.parent, job.room * (total or 0) - have)
    return have, total


def _zip_head(response: requests.Response) -> bytes:
    """The first bytes, which must be those of a zip archive, before any part is given up."""
    head = b""
    while len(head) < 4 and (chunk := _read(response)):
        head += chunk
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        page = _page_hint(response, head) or "something that is no zip archive, "
        raise FailedError(f"it sent {page}in place of the file", again=not head)
    return head


def _receive(
    response: requests.Response, head: bytes, have: int, total: int | None, job: Job, bar: tqdm
) -> None:
    """Write the body of an answer, which begins with `head`, behind `have` bytes of the part."""
    largest = total or job.size or job.largest
    window_end, window_bytes = time.monotonic() + job.patience.window, 0
    with job.part.open("ab") as part:
        while chunk := head or _read(response):
            head = b""
            have += len(chunk)
            if have > largest:
                part.close()
                drop_part(job.path)
                raise FailedError(
                    f"it sent more than {largest:,} bytes; all were removed", again=False
                )
            part.write(chunk)
            bar.update(len(chunk))
            window_bytes += len(chunk)
            if time.monotonic() > window_end:
                if window_bytes < job.patience.slowest:
                    raise FailedError("it is too slow", again=False)
                window_end, window_bytes = time.monotonic() + job.patience.window, 0
    wanted = total or job.size
    if wanted is not None and have < wanted:
        raise FailedError(f"it broke off after {have:,} of {wanted:,} bytes", again=True)


def _read(response: requests.Response) -> bytes:
    """The bytes that are there by now, at most 64 KiB; none at the end."""
    try:
        # `iter_content` would wait until a whole chunk has come, from a slow server for hours.
        return response.raw.read1(_CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, requests.RequestException, ConnectionError) as error:
        raise FailedError(_why(error), again=True) from error


def _write_note(address: str, response: requests.Response, job: Job) -> None:
    tag = response.headers.get("ETag", "")
    # If-Range takes no weak tags: they promise a like file, not the same bytes.
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    text = json.dumps({"address": address, "validator": validator})
    job.note.write_text(text, encoding="utf-8")


def _page_hint(response: requests.Response, head: bytes) -> str:
    kind = response.headers.get("Content-Type", "")
    if "html" in kind.lower() or head.lstrip().startswith(b"<"):
        return "a web page (perhaps the login page of your network), "
    return ""


def _why(error: Exception) -> str:
    """What went wrong on the line, without the innards of the libraries."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate could not be checked"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "it cannot be reached"
    if isinstance(error, requests.TooManyRedirects):
        return "it sends us in a circle"
    if isinstance(error, ValueError):
        return "it sends us to an address that is not on the web"
    return "the connection broke off"


def drop_part(path: Path) -> None:
    """Remove what an unfinished `fetch` of a file has left."""
    for ending in (".part", ".part.json"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def bytes_in(path: Path) -> int:
    """Size of a file; 0 if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
