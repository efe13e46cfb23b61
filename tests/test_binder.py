"""The image that Binder would build: the Dockerfile of repo2docker, with no Docker engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ("environment.yml", "postBuild")


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory) -> str:
    """Made from the two files that Binder reads, for the user that Binder makes."""
    pytest.importorskip("repo2docker", reason="repo2docker is missing: uv sync --group binder")
    folder = tmp_path_factory.mktemp("binder")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug"]
    user = ["--user-id", "1000", "--user-name", "jovyan"]
    done = subprocess.run([*command, *user, str(folder)], capture_output=True, encoding="utf-8")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


def place(dockerfile: str, pattern: str) -> int:
    """Where a pattern stands in the Dockerfile; it must stand there once."""
    found = list(re.finditer(pattern, dockerfile, flags=re.M))
    assert len(found) == 1, (pattern, len(found))
    return found[0].start()


def test_nothing_else_that_binder_reads_is_in_the_way():
    # A folder of this name would hide environment.yml; the others would be built in addition.
    others = ("binder", ".binder", "Dockerfile", "apt.txt", "runtime.txt", "requirements.txt")
    assert not [name for name in (*others, "setup.py", "start") if (ROOT / name).exists()]


def test_environment_is_built_before_the_course_is_copied(dockerfile):
    """So a commit that leaves environment.yml alone reuses the layer with the packages."""
    listed = place(dockerfile, r"^COPY .*src/environment\.yml \$\{REPO_DIR\}/environment\.yml$")
    packages = place(dockerfile, r'env update -p \$\{NB_PYTHON_PREFIX\} --file "environment\.yml"')
    course = place(dockerfile, r"^COPY .*src/ \$\{REPO_DIR\}/$")
    installed = place(dockerfile, r"^RUN \./postBuild$")
    assert listed < packages < course < installed


def test_python_of_the_image_is_that_of_environment_yml(dockerfile):
    wanted = re.search(r"- python=([\d.]+)", (ROOT / "environment.yml").read_text("utf-8"))[1]
    assert f"Building conda environment for python={wanted}" in dockerfile


def test_files_and_post_build_belong_to_the_user_who_runs_the_notebooks(dockerfile):
    course = place(dockerfile, r"^COPY --chown=1000:1000 src/ ")
    user = [match.start() for match in re.finditer(r"^USER \$\{NB_USER\}$", dockerfile, flags=re.M)]
    assert any(course < start < place(dockerfile, r"^RUN \./postBuild$") for start in user)


def test_packages_are_those_for_processors_from_one_channel():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "  - pytorch-cpu>=" in text
    assert not re.search(r"^\s*- (pytorch|pytorch-gpu|cuda\S*|tensorflow\S*)\b(?!-cpu)", text, re.M)
    assert re.findall(r"channels:\n((?:  - .*\n)+)", text) == ["  - conda-forge\n  - nodefaults\n"]


def test_post_build_is_a_script_that_asks_no_registry():
    text = (ROOT / "postBuild").read_bytes().decode()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\r" not in text
    # Without these two, pip fetches what conda has installed, and what hatchling needs.
    assert "--no-deps --no-build-isolation" in text
    if sys.platform != "win32":
        assert subprocess.run(["bash", "-n", ROOT / "postBuild"]).returncode == 0
