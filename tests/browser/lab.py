"""A real `jupyter lab` over a copy of the notebooks, and the browser to open it in."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN = 180  # seconds


@dataclass(frozen=True)
class Lab:
    """A running server.

    Args:
        address: "http://127.0.0.1:8888/".
        token: opens it.
        folder: the copies of the notebooks; kernels work in it.
        log: file with everything that the server and the kernels say.
    """

    address: str
    token: str
    folder: Path
    log: Path

    def last_words(self, lines: int = 30) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(["The server's last words:", *text.splitlines()[-lines:]])


@contextlib.contextmanager
def running_lab(place: Path) -> Iterator[Lab]:
    """Start `jupyter lab` with settings of its own in an empty folder, and stop it in the end.

    The folder of the notebooks has a space and letters that are not Latin in its name: home folders
    do.

    Args:
        place: an empty folder.
    """
    folder = place / "my course 课程" / "notebooks"
    folder.mkdir(parents=True)
    for path in (ROOT / "notebooks").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    settings = place / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}  # else it asks before anything else
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), encoding="utf-8")

    token, log, runtime = "course", place / "server.log", place / "runtime"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root"]
    command += [f"--port={_free_port()}", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}", "--expose-app-in-browser"]
    command += ["--LabApp.extension_manager=readonly"]
    with log.open("wb") as stream:
        server = subprocess.Popen(
            command, env=_environment(place), cwd=folder, stdout=stream, stderr=stream
        )
    try:
        lab = Lab(_address(server, runtime, log), token, folder, log)
        yield lab
    finally:
        server.terminate()  # takes its kernels along
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _environment(place: Path) -> dict[str, str]:
    """Nothing of the user's own settings; the kernel finds the package of this repository."""
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    chosen = {name: str(place / folder) for name, folder in places.items()}
    return {**os.environ, **chosen, "PYTHONPATH": path}


def _free_port() -> int:
    """Free now; if another process is faster, the server takes one of the next."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _address(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """What the server wrote down about itself once it listens."""
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # not yet whole
                return json.loads(file.read_text(encoding="utf-8"))["url"]
        time.sleep(0.1)
    ended = "" if server.poll() is None else f", it ended with {server.returncode}"
    words = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"jupyter lab did not start within {STARTS_WITHIN} s{ended}:\n{words}")
