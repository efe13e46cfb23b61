"""A browser for tests that need one, and a small web server for it."""

import contextlib
import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BROWSER_VARIABLE = "CYCLEGAN_COURSE_BROWSER"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing leaves the machine: no look for updates, no lists from anywhere.
ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def running_browser() -> Iterator:
    """Chromium, driven by Playwright; the test is skipped where one of them is missing.

    The program is the one that the environment variable names, else one in the path, else the one
    that `playwright install chromium` has put away.
    """
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = [os.environ.get(BROWSER_VARIABLE), *map(shutil.which, BROWSERS)]
        program = next(filter(None, found), own if Path(own).exists() else None)
        if program is None:
            pytest.skip(
                "needs Chromium or Chrome: install one (Debian: apt install chromium; elsewhere: "
                "playwright install chromium), or name its program in the environment variable "
                f"{BROWSER_VARIABLE}"
            )
        as_root = getattr(os, "geteuid", lambda: 1)() == 0  # Chromium refuses its sandbox to root
        arguments = [*ARGUMENTS, *(["--no-sandbox"] if as_root else [])]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder's files on this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
