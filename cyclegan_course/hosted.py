"""The course on Colab and Kaggle, where it is fetched by the notebook itself.

Called by each chapter's set-up cell before anything else is imported, so nothing but the standard
library is imported here until the missing packages are installed.
"""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
NOT_HERE = {"jupyterlab"}  # the host brings a notebook of its own
DRIVE = Path("/content/drive")


def prepare(keep_on_drive: bool = False) -> None:
    """Install what is missing, let new processes find the course, and say what computes here.

    Nothing that the host has installed is replaced: its torch fits its GPU driver, and a package
    that is imported already cannot be changed in a running kernel.

    Args:
        keep_on_drive: on Colab, work in the folder `cyclegan-course` of the learner's Google Drive,
            so that `runs/` is still there when the session ends. Google asks for permission first.

    Raises:
        CourseError: if packages cannot be installed, or there is no Drive to keep results on.
    """
    add_missing(dependencies(ROOT / "pyproject.toml"))
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(ROOT) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), *known]))
    if keep_on_drive:
        work_on_drive()
    print(f"The course is here. {device_sentence()}")


def dependencies(pyproject: Path) -> list[str]:
    """What the course needs on a host, as pyproject.toml has it."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [line for line in project["dependencies"] if _name(line) not in NOT_HERE]


def add_missing(requirements: Sequence[str], pip_options: Sequence[str] = ()) -> None:
    """Install the required packages that are not there, and leave every other one as it is.

    Args:
        requirements: as in pyproject.toml.
        pip_options: more of them, as on a command line.

    Raises:
        CourseError: if pip cannot do that.
    """
    installed = {
        _name(found.metadata["Name"]): found.version
        for found in importlib.metadata.distributions()
        if found.metadata["Name"]
    }
    missing = [line for line in requirements if _name(line) not in installed]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "constraints.txt"
        lines = [f"{name}=={version}\n" for name, version in installed.items()]
        pins.write_text("".join(lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(pins)]
        done = subprocess.run(
            [*command, *pip_options, *missing], capture_output=True, text=True, encoding="utf-8"
        )
    importlib.invalidate_caches()
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise CourseError(
            f"The packages {', '.join(map(_name, missing))} could not be installed: {reason} "
            "On Kaggle, switch on Internet in the notebook's settings (it asks for a verified "
            "phone number). Then run this cell again."
        )


def _name(requirement: str) -> str:
    """The package's name in the one spelling that counts (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def work_on_drive() -> Path:
    """Mount the learner's Google Drive and make its folder `cyclegan-course` the current one."""
    try:
        from google.colab import drive
    except ImportError as error:
        raise CourseError(
            "Results can be kept on Google Drive from Colab only. On Kaggle, what lies in "
            "/kaggle/working is kept when you save a version; here, call hosted.prepare()."
        ) from error
    drive.mount(str(DRIVE))
    folder = DRIVE / "MyDrive" / "cyclegan-course"
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    print(f"Results are kept on your Google Drive, in the folder {folder.name}.")
    return folder


def device_sentence() -> str:
    """What computes, and how to get a GPU where there is none."""
    from cyclegan_course import environment

    if environment.best_device().type != "cpu":
        return f"It computes on {environment.machine()}."
    return (
        "It computes without a GPU, which is enough for every chapter. For long trainings choose "
        "one: on Colab under Runtime, Change runtime type; on Kaggle under Settings, Accelerator."
    )
