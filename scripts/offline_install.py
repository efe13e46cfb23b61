"""Install the course from this folder, without a network.

    python install.py            # into the folder cyclegan-course in your home
    python install.py FOLDER     # into a folder of your choice

Needs the version of Python that the kit was made for, and nothing else. scripts/offline_kit.py
copies this file into the kit.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

KIT = Path(__file__).resolve().parent
SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}


def main():
    """Check, copy, install, say what to do next."""
    if len(sys.argv) > 2 or "-h" in sys.argv or "--help" in sys.argv:
        sys.exit(__doc__.strip())
    folder = Path(sys.argv[1] if len(sys.argv) == 2 else Path.home() / "cyclegan-course").resolve()
    version, target = (KIT / "PYTHON").read_text(encoding="utf-8").split()
    running = ".".join(map(str, sys.version_info[:2]))
    if running != version:
        sys.exit(f"This kit is for Python {version}, and this is {running}: start it with that.")
    if SYSTEMS.get(platform.system()) != target:
        sys.exit(f"This kit is for {target}, and this is {platform.system()}: make one for it.")
    if folder.exists():
        sys.exit(f"{folder} exists already: remove it, or name another folder.")
    check_files()
    print(f"Installing into {folder} ...", flush=True)
    try:
        install(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # all or nothing, so that it can be tried again
        raise
    activate = r".venv\Scripts\activate" if os.name == "nt" else "source .venv/bin/activate"
    print(f"Done. In {folder}:\n    {activate}\n    jupyter lab notebooks/00_start_here.ipynb")


def check_files():
    """Compare every file with the sum that was written when the kit was made."""
    bad = []
    for line in (KIT / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        try:
            with (KIT / name).open("rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest() == digest
        except OSError:
            right = False
        if not right:
            bad.append(name)
    if bad:
        sys.exit(f"{len(bad)} files are missing or damaged, {bad[0]} first: copy the kit again.")


def install(folder):
    """Copy the course, and install it in place, in an environment of its own."""
    shutil.copytree(KIT / "cyclegan-course", folder)
    venv.create(folder / ".venv", with_pip=True)
    python = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-index", "--find-links", str(KIT / "wheels")]
    # Nothing of the user's own settings may send pip to a network that is not there.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    clean["PIP_CONFIG_FILE"] = os.devnull
    for what in (["--requirement", str(KIT / "requirements.txt")], ["--no-deps", "-e", "."]):
        subprocess.run([*pip, *what], cwd=folder, env=clean, check=True)


if __name__ == "__main__":
    main()
