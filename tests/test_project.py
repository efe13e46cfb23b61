"""The repository itself: its dependencies, texts, notebooks, weights and code style."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import execute_notebooks as script
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

from cyclegan_course import cli
from cyclegan_course.display import bundle

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WEIGHTS = sorted((ROOT / "data" / "weights").glob("*.safetensors"))
TEXT_ENDINGS = {"", ".cfg", ".css", ".csv", ".html", ".ini", ".ipynb", ".js", ".json", ".md"}
TEXT_ENDINGS |= {".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml"}
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
# Needed to install the course itself from conda packages alone, as postBuild does.
CONDA_EXTRA = {"python", "pip", "hatchling", "editables"}
MEGABYTE = 10**6


@cache
def project_files() -> list[Path]:
    """What git keeps, or would keep; without git (a download), what .gitignore lets through."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
        patterns = [line.strip("/") for line in lines if line and not line.startswith("#")]
        paths = [path for path in ROOT.rglob("*") if not _ignored(path.relative_to(ROOT), patterns)]
    return sorted(path for path in paths if path.is_file())


def _ignored(path: Path, patterns: list[str]) -> bool:
    starts = [path, *path.parents]
    return any(
        fnmatch.fnmatch(start.name, pattern) or start.as_posix() == pattern
        for start in starts
        for pattern in [*patterns, ".git"]
    )


def texts() -> list[tuple[Path, str]]:
    """Every text file of the project, beside its content."""
    files = [path for path in project_files() if path.suffix in TEXT_ENDINGS]
    return [(path.relative_to(ROOT), path.read_text(encoding="utf-8")) for path in files]


def pages() -> list[tuple[Path, str]]:
    """(file, Markdown) of every page, and of every notebook's prose."""
    found = [(path, text) for path, text in texts() if path.suffix == ".md"]
    for path, text in texts():
        if path.suffix == ".ipynb":
            cells = nbformat.reads(text, as_version=4).cells
            prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
            found.append((path, "\n\n".join(prose)))
    return [(path, re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)) for path, text in found]


def test_the_project_is_found():
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}
    assert {
        "README.md",
        ".ci/run",
        "cyclegan_course/cli/__init__.py",
        "tests/test_project.py",
    } <= names
    assert not any(name.startswith((".venv/", ".git/")) for name in names)


# --- code style ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content_with_code_and_notebooks(command):
    run = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr


# --- dependencies --------------------------------------------------------------------------------


def declared() -> dict[str, Requirement]:
    """Dependencies of the package and of its tests, by name, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    found = {}
    waiting = project["dependencies"] + extras["test"]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == project["name"]:  # the course itself with more of its extras
            waiting += [line for extra in requirement.extras for line in extras[extra]]
        else:
            found[requirement.name] = requirement
    return found


def test_environment_yml_names_the_same_packages_and_minimum_versions():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert all(isinstance(line, str) for line in listed), "a pip section makes Binder rebuild"
    found = {re.split(r"[=<>]", line)[0]: line for line in listed}
    expected = {
        CONDA_NAMES.get(name, name): f"{CONDA_NAMES.get(name, name)}{requirement.specifier}"
        for name, requirement in declared().items()
    }
    assert {name: line for name, line in found.items() if name not in CONDA_EXTRA} == expected
    assert set(found) >= CONDA_EXTRA


def test_environment_yml_can_build_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert set(settings["build-system"]["requires"]) <= set(listed)
    python = next(line for line in listed if line.startswith("python="))
    allowed = Requirement(f"python{settings['project']['requires-python']}").specifier
    assert python.removeprefix("python=") in allowed


def test_tested_versions_are_exact_and_satisfy_pyproject():
    lines = (ROOT / "requirements" / "tested.txt").read_text(encoding="utf-8").splitlines()
    pins: dict[str, list[str]] = {}
    for pin in (Requirement(line) for line in lines if not line.startswith("#")):
        assert re.fullmatch(r"==[0-9][\w.]*", str(pin.specifier)), f"{pin} is no exact version"
        assert pin.url is None
        pins.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
    for name, requirement in declared().items():
        assert name in pins, f"{name} is not in requirements/tested.txt"
        assert all(version in requirement.specifier for version in pins[name]), requirement


def test_dev_container_opens_and_installs_what_exists():
    folder = ROOT / ".devcontainer"
    settings = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert (ROOT / settings["postCreateCommand"].split()[-1]).is_file()
    opened = settings["customizations"]["codespaces"]["openFiles"]
    assert opened
    assert all((ROOT / name).is_file() for name in opened)
    python = Requirement(f"python=={settings['image'].split(':')[-1]}").specifier
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert all(
        each.version in Requirement(f"x{project['requires-python']}").specifier for each in python
    )
    script = (folder / "install.sh").read_text(encoding="utf-8")
    (extra,) = re.findall(r'-e "\.\[(\w+)\]"', script)
    assert extra in project["optional-dependencies"]
    assert "--torch-backend cpu" in script


# --- files and texts -----------------------------------------------------------------------------


def test_no_text_names_a_package_registry():
    # Put together here, so that this file does not name them either.
    hosts = ("pypi" + ".org", "python" + "hosted", "anaconda" + ".org", "download.py" + "torch")
    hosts += ("npmjs" + ".org", "index" + "-url", "find" + "-links =")
    named = [(str(path), host) for path, text in texts() for host in hosts if host in text.lower()]
    assert not named


def test_no_lock_file_is_kept():
    assert not [path.name for path in project_files() if path.name.endswith((".lock", "lock.json"))]


def test_no_two_names_differ_only_in_case():
    kept = {path.relative_to(ROOT) for path in project_files()}
    names = {part.as_posix() for path in kept for part in (path, *path.parents)}
    assert len({name.casefold() for name in names}) == len(names)


def test_there_are_no_links_between_files():
    assert not [path for path in project_files() if path.is_symlink()]


def test_links_to_local_files_lead_somewhere():
    pattern = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|\b(?:src|href)=\"([^\"]+)\"")
    broken = []
    for path, text in pages():
        for match in pattern.finditer(text):
            target = (match[1] or match[2]).split("#")[0]
            if not target or re.match(r"[a-z]+:", target):
                continue
            if not (ROOT / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert not broken


def test_links_inside_a_page_lead_to_a_heading():
    broken = []
    for path, text in pages():
        titles = re.findall(r"^#+\s+(.*)$", text, flags=re.M)
        anchors = {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}
        # Hosting sites write anchors in lower case, JupyterLab keeps the case of the heading.
        anchors |= {anchor.lower() for anchor in anchors}
        wanted = re.findall(r"\]\(#([^)]+)\)", text)
        broken += [f"{path}: #{anchor}" for anchor in wanted if anchor not in anchors]
    assert not broken


def test_prose_has_no_control_characters():
    """A tab in a formula is a backslash that a program has eaten: \\text became tab, "ext"."""
    found = [
        (str(path), text) for path, text in pages() if re.search(r"[\x00-\x09\x0b-\x1f]", text)
    ]
    assert not [path for path, _ in found]


def test_every_image_has_an_alternative_text():
    silent = []
    for path, text in pages():
        silent += [f"{path}: {match}" for match in re.findall(r"!\[\s*\]\([^)]*\)", text)]
        for tag in re.findall(r"<img\b[^>]*>", text):
            if not re.search(r"alt=\"[^\"]{10,}\"", tag):
                silent.append(f"{path}: {tag}")
    assert not silent


# --- README --------------------------------------------------------------------------------------


def test_readme_links_every_notebook_and_calls_only_missing_ones_planned():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d) \| (.*?) \|", readme, flags=re.M)
    assert [number for number, _ in rows] == [f"{number:02d}" for number in range(14)]
    written = {path.name[:2]: path.name for path in NOTEBOOKS}
    for number, title in rows:
        if number in written:
            assert f"(notebooks/{written[number]})" in title
        else:
            assert title.endswith("(planned)")


@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md"])
def test_commands_on_the_pages_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = re.findall(r"^(?:uv run )?cyclegan-course (\w.*)$", text, flags=re.M)
    assert commands
    for command in commands:
        cli.make_parser().parse_args(shlex.split(command, comments=True))  # exits if it is unknown


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/README.md"])
def test_scripts_on_the_pages_exist(page):
    scripts = re.findall(r"\bscripts/\w+\.py", (ROOT / page).read_text(encoding="utf-8"))
    assert scripts
    assert not [script for script in scripts if not (ROOT / script).is_file()]


def test_readme_and_ci_give_the_same_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^uv run pytest\s+#", readme, flags=re.M)
    # With more installed, so that fewer tests are skipped.
    assert ci.rstrip().splitlines()[-1] == "uv run --group dev pytest"


# --- notebooks -----------------------------------------------------------------------------------


def notebook_id(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", NOTEBOOKS, ids=notebook_id)
def test_notebook_is_valid_small_and_runs_anywhere(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata, "stored widget state: execute with the script"
    assert path.stat().st_size < 1.5 * MEGABYTE


@pytest.mark.parametrize("path", NOTEBOOKS, ids=notebook_id)
def test_notebook_was_stored_after_one_run_from_top_to_bottom(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1)), "run scripts/execute_notebooks.py"
    for cell in code:
        tags = cell.metadata.get("tags", [])
        kinds = [output.output_type for output in cell.outputs]
        # nbval lets both of these pass: an expected error that never came, nothing to compare.
        assert ("error" in kinds) == ("raises-exception" in tags), cell.source
        assert cell.outputs or "nbval-check-output" not in tags, cell.source


# --- weights -------------------------------------------------------------------------------------


def test_weights_are_small_and_have_their_cards():
    if not WEIGHTS:
        pytest.skip("data/weights holds no weights yet")
    sizes = {path.name: path.stat().st_size for path in WEIGHTS}
    assert {name for name, size in sizes.items() if size > 6 * MEGABYTE} == set()
    assert sum(sizes.values()) <= 30 * MEGABYTE
    for path in WEIGHTS:
        name = re.fullmatch(r"(.+)_(AB|BA)", path.stem)[1]
        card = json.loads((path.parent / f"{name}.json").read_text(encoding="utf-8"))
        assert card["name"] == name
        assert {"domain_A", "domain_B", "generator", "trained"} <= set(card)
        assert card["trained"]["command"], f"{name}.json does not say how to train it again"


# --- scripts/execute_notebooks.py ----------------------------------------------------------------


def write_notebook(path: Path, *sources: str) -> bytes:
    """A notebook of code cells without outputs, as an editor of format 4.4 leaves it: no ids."""
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources)))
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]
    nbformat.write(notebook, path)
    return path.read_bytes()


def test_executing_twice_gives_the_same_file(tmp_path, capsys):
    path = tmp_path / "good.ipynb"
    write_notebook(path, "import os\nprint(os.getcwd() == os.path.abspath('.'))", "", "6 * 7")
    assert script.main([str(path)]) == 0
    first = path.read_bytes()
    assert script.main([str(path)]) == 0
    assert path.read_bytes() == first
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.id for cell in cells] == ["cell-001", "cell-002", "cell-003"]
    assert [cell.execution_count for cell in cells] == [1, None, 2]
    assert cells[0].outputs[0].text == "True\n"
    assert cells[2].outputs[0].data == {"text/plain": "42"}
    assert [file.name for file in tmp_path.iterdir()] == ["good.ipynb"]
    assert "written" in capsys.readouterr().out


def test_the_first_failing_cell_ends_the_script_and_nothing_is_written(tmp_path, capsys):
    path, never = tmp_path / "bad.ipynb", tmp_path / "never.ipynb"
    before = write_notebook(path, "x = 1", "", "raise ValueError(f'x is {x}')", "x = 2")
    untouched = write_notebook(never, "1")
    assert script.main([str(path), str(never)]) == 1
    message = capsys.readouterr().err
    assert "bad.ipynb: cell 3, code cell [2], failed: ValueError: x is 1" in message
    assert path.read_bytes() == before
    assert never.read_bytes() == untouched


def test_check_writes_nothing(tmp_path, monkeypatch, capsys):
    path = tmp_path / "good.ipynb"
    before = write_notebook(path, "1 + 1")
    monkeypatch.setattr(script, "execute", lambda path, timeout: (nbformat.read(path, 4), None))
    assert script.main(["--check", str(path)]) == 0
    assert path.read_bytes() == before
    assert "checked" in capsys.readouterr().out


def test_an_output_that_names_a_folder_of_this_machine_is_refused():
    cell = nbformat.v4.new_code_cell("print(path)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    cell.outputs = [nbformat.v4.new_output("stream", text=str(Path("pictures") / "cat.png"))]
    script.refuse_local_paths(Path("notebook.ipynb"), notebook)
    for folder in (ROOT, Path.home()):
        cell.outputs = [nbformat.v4.new_output("stream", text=str(folder / "cat.png"))]
        with pytest.raises(script.NotebookError, match=r"cell 1 names a folder of this machine"):
            script.refuse_local_paths(Path("notebook.ipynb"), notebook)


def test_what_is_no_notebook_is_refused_in_one_sentence(tmp_path, capsys):
    path = tmp_path / "junk.ipynb"
    path.write_text("{", encoding="utf-8")
    assert script.main([str(path)]) == 1
    assert "junk.ipynb is not a notebook that can be read" in capsys.readouterr().err


def test_a_widget_view_goes_and_the_text_beside_it_stays():
    view = {script.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "IntSlider(value=3)"}
    cell = nbformat.v4.new_code_cell("slider")
    cell.outputs = [nbformat.v4.new_output("display_data", view)]
    cell.metadata["execution"] = {"iopub.execute_input": "2026"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    script.tidy(notebook)
    assert notebook.cells[0].outputs[0].data == {"text/plain": "IntSlider(value=3)"}
    assert notebook.cells[0].metadata == {}
    assert notebook.metadata == {}


def test_a_picture_is_stored_once_and_a_slider_stays(tmp_path):
    jpeg = b"\xff\xd8 a picture"
    plain, slider = bundle("a cat", image=jpeg), bundle("a cat", image=jpeg, html="<div>move</div>")
    cell = nbformat.v4.new_code_cell("show()")
    cell.outputs = [nbformat.v4.new_output("display_data", **each) for each in (plain, slider)]
    assert "text/html" in cell.outputs[0].data
    notebook = nbformat.v4.new_notebook(cells=[cell])
    script.tidy(notebook)
    picture, moved = notebook.cells[0].outputs
    assert set(picture.data) == {"text/plain", "image/jpeg"}
    assert picture.metadata["image/jpeg"]["alt"] == "a cat"
    assert moved.data["text/html"] == "<div>move</div>"
