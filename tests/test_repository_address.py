"""Where the course is published: one setting, one command, and everything agrees."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
import set_repository as script

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "set_repository.py"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def project(tmp_path):
    """A copy of the files that the command may change."""
    for name in ("pyproject.toml", "README.md", "README.zh-CN.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    for folder in ("notebooks", "docs", ".devcontainer"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_everything_agrees_with_the_setting(capsys):
    assert script.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_its_three_badges_under_the_title(path):
    repository = script.read()
    line = nbformat.read(path, as_version=4).cells[0].source.splitlines()[2]
    place = f"notebooks/{path.name}"
    assert re.findall(r"\[!\[(.+?)\]", line) == [
        "Open in Colab",
        "Open in Kaggle",
        "Open in Binder",
    ]
    for link in (repository.colab(place), repository.kaggle(place), repository.binder(place)):
        assert f"]({link})" in line
        assert (ROOT / link.split("notebooks/")[-1]).name == path.name


def test_a_fork_is_named_everywhere_and_nothing_else_changes(project, capsys):
    old, before = script.read(), content(project)
    fork = script.Repository("someone-else/my.fork", "teaching/2027")
    command = [fork.address + ".git", "--branch", fork.branch, "--root", str(project)]
    assert script.main(command) == 0
    assert script.main(["--check", "--root", str(project)]) == 0
    assert script.read(project) == fork
    after = content(project)
    assert not [name for name, data in after.items() if old.slug.encode() in data]
    changed = [name for name in after if after[name] != before[name]]
    assert {f"notebooks/{path.name}" for path in NOTEBOOKS} | {"pyproject.toml"} <= set(changed)
    for name in changed:
        if name.endswith(".ipynb"):
            one, other = (
                nbformat.reads(text[name].decode(), as_version=4).cells for text in (before, after)
            )
            assert [cell.get("outputs") for cell in one] == [cell.get("outputs") for cell in other]
            assert sum(a.source != b.source for a, b in zip(one, other, strict=True)) <= 2
    assert script.main([old.address, "--branch", old.branch, "--root", str(project)]) == 0
    assert content(project) == before


def test_a_notebook_left_behind_is_found(project, capsys):
    path = project / "notebooks" / "05_training_a_cyclegan.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("--branch main", "--branch old"), encoding="utf-8", newline="\n")
    assert script.main(["--check", "--root", str(project)]) == 1
    assert capsys.readouterr().out == f"differs  notebooks/{path.name}\n"


@pytest.mark.parametrize(
    ("address", "branch"),
    [
        ("git@github.com:me/fork.git", "main"),
        ("https://example.org/me/fork", "main"),
        ("https://github.com/me", "main"),
        ("https://github.com/me/fork/tree/main", "main"),
        ("https://github.com/me/fork; rm -rf x", "main"),
        ("https://github.com/me/fork", "$(whoami)"),
        ("https://github.com/me/fork", "--upload-pack=x"),
    ],
)
def test_what_is_no_address_is_refused_and_nothing_is_written(project, address, branch, capsys):
    before = content(project)
    assert script.main([address, f"--branch={branch}", "--root", str(project)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert content(project) == before


def test_link_for_a_hub_says_where_from_and_where_to():
    link = script.Repository("me/fork", "main").hub("https://hub.example.org/", "notebooks/a.ipynb")
    assert link == (
        "https://hub.example.org/hub/user-redirect/git-pull"
        "?repo=https%3A%2F%2Fgithub.com%2Fme%2Ffork&branch=main"
        "&urlpath=lab%2Ftree%2Ffork%2Fnotebooks%2Fa.ipynb"
    )
