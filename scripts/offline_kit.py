"""Everything a lab without internet needs to install the course, in one folder.

    uv run python scripts/offline_kit.py                    # for machines like this one
    uv run python scripts/offline_kit.py --platform windows --python 3.12
    uv run python scripts/offline_kit.py -- OPTIONS OF PIP  # another index, a proxy

Run it where there is a network, on any system, and carry build/offline_kit to the lab. In it,
`python install.py FOLDER` checks every file, makes an environment and installs; it needs the named
version of Python and nothing else. The versions are those of requirements/tested.txt.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
INSTALLER = Path(__file__).with_name("offline_install.py")
# What hatchling asks for, beside itself, to install a folder that stays where it is.
TO_INSTALL_IN_PLACE = ("editables",)


@dataclass(frozen=True)
class Platform:
    """A kind of machine, in uv's word and in those of the wheels that run on it."""

    resolver: str
    wheels: tuple[str, ...]


MACOS = ("14_0", "13_0", "12_0", "11_0", "10_13", "10_12", "10_9")

PLATFORMS = {
    "linux": Platform(
        "x86_64-manylinux_2_28",
        (*(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)), "manylinux2014_x86_64"),
    ),
    "windows": Platform("windows", ("win_amd64",)),
    "macos": Platform(
        "aarch64-apple-darwin",
        tuple(f"macosx_{version}_{chip}" for version in MACOS for chip in ("arm64", "universal2")),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the kit; returns the exit status."""
    here = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}.get(platform.system())
    parser = argparse.ArgumentParser(description="Make a folder to install the course from.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "offline_kit")
    parser.add_argument("--platform", choices=PLATFORMS, default=here, help="of the lab's machines")
    parser.add_argument(
        "--python",
        default="{}.{}".format(*sys.version_info),
        metavar="3.N",
        help="version of Python in the lab (default: that of this one)",
    )
    parser.add_argument("pip_options", nargs="*", help="after --, handed on to pip download")
    options = parser.parse_args(arguments)
    try:
        make_kit(ROOT, options.out, options.platform, options.python, options.pip_options)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"{options.out}: {size / 1e9:.2f} GB for {options.platform}, Python {options.python}.")
    return 0


def make_kit(
    root: Path, out: Path, target: str, python: str, pip_options: Sequence[str] = ()
) -> None:
    """Write the kit: pins, wheels, the course, the installer, and the sums of all files.

    Args:
        root: of the course's repository, a git clone.
        target: a key of PLATFORMS.
        python: like "3.12".

    Raises:
        CourseError: if `out` exists, or uv or pip cannot get what is needed.
    """
    if out.exists():
        raise CourseError(f"{out} exists already: remove it, or choose another folder with --out.")
    with tempfile.TemporaryDirectory(dir=_existing(out.parent)) as folder:
        kit = Path(folder) / "kit"
        (kit / "wheels").mkdir(parents=True)
        pins = resolve(root, PLATFORMS[target], python)
        (kit / "requirements.txt").write_text(pins, encoding="utf-8", newline="\n")
        download(kit, PLATFORMS[target], python, pip_options)
        copy_course(root, kit / "cyclegan-course")
        shutil.copy(INSTALLER, kit / "install.py")
        (kit / "PYTHON").write_text(f"{python}\n{target}\n", encoding="utf-8", newline="\n")
        write_sums(kit)
        kit.rename(out)


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def resolve(root: Path, target: Platform, python: str) -> str:
    """The tested versions that apply to a platform, and what builds the course, one a line."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    tools = [*settings["build-system"]["requires"], *TO_INSTALL_IN_PLACE]
    command = ["uv", "pip", "compile", "--no-header", "--no-annotate", "--quiet"]
    command += ["--python-platform", target.resolver, "--python-version", python]
    return _run([*command, "requirements/tested.txt", "-"], cwd=root, input="\n".join(tools))


def download(kit: Path, target: Platform, python: str, pip_options: Sequence[str]) -> None:
    """Fetch the wheel of each pin, made for the platform and the Python of the lab."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)  # an environment made by uv has no pip
        program = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        command = [str(program), "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", "wheels"]
        command += ["--python-version", python, "--implementation", "cp"]
        for tag in target.wheels:
            command += ["--platform", tag]
        _run([*command, *pip_options, "--requirement", "requirements.txt"], cwd=kit)


def copy_course(root: Path, folder: Path) -> None:
    """Every file that the repository keeps, as it is now."""
    listed = _run(["git", "ls-files", "-z"], cwd=root)
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, target)


def write_sums(kit: Path) -> None:
    """SHA256SUMS: one line a file, in the form that `sha256sum --check` reads."""
    files = sorted(path for path in kit.rglob("*") if path.is_file())
    lines = []
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(kit).as_posix()}\n")
    (kit / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def _run(command: Sequence[str], cwd: Path, input: str | None = None) -> str:
    """What a program prints; CourseError with its last line if it is missing or fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": MACOS[0].replace("_", ".")},
            input=input,
            capture_output=True,
            encoding="utf-8",
        )
    except FileNotFoundError as error:
        raise CourseError(f"{command[0]} is needed to make the kit: install it first.") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise CourseError(f"{' '.join(command[:3])} failed: {reason}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
