"""Where the course is published: one setting, and every link and badge that follows from it.

    uv run python scripts/set_repository.py https://github.com/me/my-fork --branch main
    uv run python scripts/set_repository.py --check                          # do all agree?
    uv run python scripts/set_repository.py --hub https://hub.example.org    # a link for a class

The setting stands in pyproject.toml, as `[project.urls] Repository` and as `branch` of
`[tool.cyclegan-course]`. The first form changes it there, in the badges and set-up cells of all
notebooks, and in every page.
Colab, Kaggle and Binder open notebooks from GitHub, so the address is one of GitHub.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import nbformat

from cyclegan_course.errors import CourseError

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
PAGES = ("*.md", "docs/**/*.md", ".devcontainer/*.json", "CITATION.cff")

SET_UP = """\
# On Colab and Kaggle this fetches the course. Everywhere else it does nothing.
import os
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
    address = "{address}"
    repository = os.environ.get("CYCLEGAN_COURSE_REPOSITORY", address)
    folder = os.path.expanduser("~/cyclegan-course")
    if not os.path.exists(folder):
        !git clone --quiet --depth 1 --branch {branch} {{repository}} {{folder}}
    assert os.path.exists(folder), "No course: switch on Internet in the notebook's settings."
    sys.path.insert(0, folder)
    from cyclegan_course import hosted

    hosted.prepare()  # hosted.prepare(keep_on_drive=True) keeps results on your Google Drive"""
SET_UP_BEGINS = SET_UP.splitlines()[0]


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, as `owner/name`, and the branch that learners get."""

    slug: str
    branch: str

    @property
    def address(self) -> str:
        return f"https://github.com/{self.slug}"

    def colab(self, path: str) -> str:
        return f"https://colab.research.google.com/github/{self.slug}/blob/{self.branch}/{path}"

    def kaggle(self, path: str) -> str:
        return f"https://kaggle.com/kernels/welcome?src={self.address}/blob/{self.branch}/{path}"

    def binder(self, path: str) -> str:
        return f"https://mybinder.org/v2/gh/{self.slug}/{self.branch}?urlpath=lab/tree/{path}"

    def hub(self, hub: str, path: str) -> str:
        """A link that brings the course into every account of a JupyterHub with nbgitpuller."""
        folder = self.slug.split("/")[1]
        query = {
            "repo": self.address,
            "branch": self.branch,
            "urlpath": f"lab/tree/{folder}/{path}",
        }
        return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query, quote_via=quote)}"

    def badges(self, path: str) -> str:
        """One line of Markdown: badges that open a notebook on Colab, Kaggle and Binder."""
        return " ".join(
            [
                "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
                f"({self.colab(path)})",
                "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
                f"({self.kaggle(path)})",
                f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({self.binder(path)})",
            ]
        )

    def set_up(self) -> str:
        """The set-up cell of every chapter."""
        return SET_UP.format(address=self.address, branch=self.branch)


def read(root: Path = ROOT) -> Repository:
    """The setting in pyproject.toml."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    address = settings["project"]["urls"]["Repository"]
    return parse(address, settings["tool"]["cyclegan-course"]["branch"])


def parse(address: str, branch: str) -> Repository:
    """Check an address and a branch that somebody typed.

    Raises:
        CourseError: if it is no repository on GitHub, or no name of a branch.
    """
    found = ADDRESS.fullmatch(address.strip())
    if found is None:
        raise CourseError(
            f"{address} is not the address of a repository on GitHub; write it like "
            "https://github.com/me/my-fork."
        )
    if not re.fullmatch(r"[\w][\w./-]*", branch):
        raise CourseError(f"{branch!r} cannot be the name of a branch.")
    return Repository(found[1], branch)


def stamp(notebook: nbformat.NotebookNode, path: str, repository: Repository) -> None:
    """Give a notebook its badges, under the title, and its set-up cell; change nothing else."""
    title, *rest = notebook.cells[0].source.split("\n\n")
    if rest and rest[0].startswith("[!["):
        del rest[0]
    notebook.cells[0].source = "\n\n".join([title, repository.badges(path), *rest])
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.startswith(SET_UP_BEGINS):
            cell.source = repository.set_up()


def rewritten(root: Path, old: Repository, new: Repository) -> Iterator[tuple[Path, str, str]]:
    """(file, text, the text that it should have) of everything that holds the address."""
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        stamp(notebook, path.relative_to(root).as_posix(), new)
        yield path, text, nbformat.writes(notebook, indent=1).rstrip("\n") + "\n"
    for path in [root / "pyproject.toml", *sorted(p for glob in PAGES for p in root.glob(glob))]:
        text = path.read_text(encoding="utf-8")
        changed = text
        for form in ("{0.slug}/blob/{0.branch}/", "gh/{0.slug}/{0.branch}", "{0.slug}"):
            changed = changed.replace(form.format(old), form.format(new))
        if path.name == "pyproject.toml":
            changed = changed.replace(f'branch = "{old.branch}"', f'branch = "{new.branch}"')
        yield path, text, changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Change, check or print; returns the exit status."""
    parser = argparse.ArgumentParser(description="Set where the course is published.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("address", nargs="?", help="like https://github.com/me/my-fork")
    what.add_argument("--check", action="store_true", help="say which files disagree")
    what.add_argument("--hub", metavar="ADDRESS", help="print the link for a JupyterHub")
    parser.add_argument("--branch", help="that learners get (default: as it is now)")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        old = read(options.root)
        if options.hub:
            print(old.hub(options.hub, "notebooks/00_start_here.ipynb"))
            return 0
        branch = options.branch or old.branch
        new = old if options.check else parse(options.address, branch)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    stale = [entry for entry in rewritten(options.root, old, new) if entry[1] != entry[2]]
    for path, _, text in stale:
        if not options.check:
            from cyclegan_course.images.files import whole_file  # with torch, which takes seconds

            with whole_file(path) as part:
                part.write_text(text, encoding="utf-8", newline="\n")
        verb = "differs" if options.check else "written"
        print(f"{verb}  {path.relative_to(options.root).as_posix()}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
