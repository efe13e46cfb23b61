"""The kit for labs without internet: made from toy packages, installed without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import offline_kit as script
import pytest
from toy_wheels import wheel

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "{}.{}".format(*sys.version_info)
TARGET = {"linux": "linux", "win32": "windows", "darwin": "macos"}[sys.platform]
PROJECT = """\
[build-system]
requires = ["toy_builder"]
build-backend = "backend"
backend-path = ["."]

[project]
name = "toy-course"
version = "1.0"
"""
# What a build backend is asked by pip to do for `pip install -e` (PEP 660), by hand.
BACKEND = """\
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name, info = "toy_course-1.0-py3-none-any.whl", "toy_course-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as file:
        file.writestr("toy_course.pth", str(pathlib.Path.cwd()) + "\\n")
        text = "Metadata-Version: 2.1\\nName: toy-course\\nVersion: 1.0\\n"
        file.writestr(f"{info}/METADATA", text)
        text = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        file.writestr(f"{info}/WHEEL", text)
        file.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    """A folder of packages in the place of a registry."""
    folder = tmp_path_factory.mktemp("index")
    for name in ("toy_builder", "editables"):
        wheel(folder, name, "1.0")
    for version in ("1.0", "2.0"):
        wheel(folder, "toy_library", version)
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A repository with a course of one module, which needs a library in an older version."""
    root = tmp_path_factory.mktemp("course")
    files = {
        "pyproject.toml": PROJECT,
        "backend.py": BACKEND,
        "toy_course.py": "import toy_library\nprint('library', toy_library.version)\n",
        "requirements/tested.txt": (
            "# tested\ntoy_library==1.0\ntoy_elsewhere==1.0 ; sys_platform == 'aix'\n"
        ),
        "notebooks/größe 课程.md": "text\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "left_behind.txt").write_text("not kept by git", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", *files], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def kit(index, course, tmp_path_factory) -> Path:
    """A kit for machines like this one, made once; tests that harm it take a copy."""
    for program in ("uv", "git"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; it makes the kit.")
    out = tmp_path_factory.mktemp("made") / "kit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_NO_INDEX", "1")
        patch.setenv("UV_FIND_LINKS", str(index))
        script.make_kit(course, out, TARGET, PYTHON, ["--no-index", "--find-links", str(index)])
    return out


def install(kit: Path, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess:
    # A registry that does not exist: whoever asks it fails.
    environment = os.environ | {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PYTHONUTF8": "1"}
    if home is not None:
        environment |= {"HOME": str(home), "USERPROFILE": str(home)}
    return subprocess.run(
        [sys.executable, kit / "install.py", *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )


def test_kit_holds_the_tested_versions_for_its_platform_and_what_builds_the_course(kit):
    wheels = sorted(path.name.split("-")[0] for path in (kit / "wheels").iterdir())
    assert wheels == ["editables", "toy_builder", "toy_library"]
    pins = (kit / "requirements.txt").read_text(encoding="utf-8").split()
    assert pins == ["editables==1.0", "toy-builder==1.0", "toy-library==1.0"]
    assert (kit / "cyclegan-course" / "notebooks" / "größe 课程.md").exists()
    assert not (kit / "cyclegan-course" / "left_behind.txt").exists()


def test_installs_in_a_folder_with_blanks_and_foreign_letters(kit, tmp_path):
    folder = tmp_path / "Mein Kurs 课程"
    done = install(kit, str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    python = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ran = subprocess.run([python, "-c", "import toy_course"], capture_output=True, encoding="utf-8")
    assert ran.stdout.strip() == "library 1.0", ran.stderr
    assert "jupyter lab" in done.stdout
    again = install(kit, str(folder))
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_kit_installs_nothing(kit, tmp_path, harm):
    copy = tmp_path / "kit"
    shutil.copytree(kit, copy)
    (victim,) = copy.glob("wheels/toy_library*")
    if harm == "changed":
        victim.write_bytes(victim.read_bytes()[:-1])
    else:
        victim.unlink()
    done = install(copy, home=tmp_path)
    assert done.returncode == 1
    assert "1 files are missing or damaged, wheels/toy_library" in done.stderr
    assert not (tmp_path / "cyclegan-course").exists()


def test_what_cannot_be_installed_leaves_nothing_behind(kit, tmp_path):
    copy = tmp_path / "kit"
    shutil.copytree(kit, copy)
    (copy / "requirements.txt").write_text("toy_unknown==1.0\n", encoding="utf-8")
    (copy / "SHA256SUMS").unlink()
    script.write_sums(copy)
    done = install(copy, home=tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "cyclegan-course").exists()


@pytest.mark.parametrize(
    ("written", "sentence"),
    [(f"3.7\n{TARGET}\n", "is for Python 3.7"), (f"{PYTHON}\nother\n", "is for other")],
)
def test_another_python_or_system_is_refused_first(kit, tmp_path, written, sentence):
    copy = tmp_path / "kit"
    shutil.copytree(kit, copy)
    (copy / "PYTHON").write_text(written, encoding="utf-8")
    done = install(copy, home=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_cannot_be_fetched_leaves_no_kit(course, index, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    empty = tmp_path / "empty"
    empty.mkdir()
    options = ["--no-index", "--find-links", str(empty)]
    with pytest.raises(CourseError, match=r"-m pip failed: ERROR: .*(editables|toy)"):
        script.make_kit(course, tmp_path / "kit", TARGET, PYTHON, options)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_an_existing_folder_is_left_alone(course, tmp_path):
    (tmp_path / "kept.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CourseError, match="exists already"):
        script.make_kit(course, tmp_path, TARGET, PYTHON)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
