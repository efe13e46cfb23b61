"""The instructors' pages: times, numbers and names in them are those of the chapters."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import offline_kit as kit
import pytest
from test_chapters import CHAPTERS, cells, texts

from cyclegan_course import cli
from cyclegan_course.exercises import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "instructors"
OURS = ["README", "schedules", "teaching_notes", "learner_profiles", "installation", "offline"]
LEADS = ["The one idea", "What goes wrong", "Ask", "Time", "To project", "Homework"]
WIDGETS = ["before_after", "explore", "field_inspector", "gan_stepper", "Dashboard", "LivePicture"]
LABS = ["First contact", "Build the losses", "Hunt the bugs", "Half a day"]


# --- what the chapters say -----------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """Minutes of a chapter, from the box in its first cell."""

    reading: int
    exercises: int

    @property
    def whole(self) -> int:
        return self.reading + self.exercises

    def of(self, tasks: list[str], chapter: int) -> float:
        """Minutes for some of the exercises, each the same share of the chapter's."""
        return self.exercises * len(tasks) / len(numbers_of(chapter))


def box(chapter: int) -> Times:
    first = cells(CHAPTERS[chapter])[0].source
    found = [
        re.search(rf"^\| \*\*{row}\*\* \| (?:\w+, )?(\d+) minutes \|$", first, re.M)
        for row in ("Reading", "Exercises")
    ]
    return Times(*(int(match[1]) for match in found))


def title(chapter: int) -> str:
    return cells(CHAPTERS[chapter])[0].source.splitlines()[0].removeprefix("# ")


def numbers_of(chapter: int) -> list[str]:
    return [number for number in REGISTRY if number.split(".")[0] == str(chapter)]


@cache
def figures() -> dict[str, str]:
    """The code that shows each figure, by the figure's number."""
    found = {}
    for name in CHAPTERS:
        shown = ""
        for cell in cells(name):
            caption = re.match(r"\*\*Figure (\d+\.\d+)\.\*\*", cell.source)
            if caption:
                found[caption[1]] = shown
            elif cell.cell_type == "code":
                shown = cell.source
    return found


def headings(chapter: int) -> list[str]:
    return re.findall(r"^#+ (.*)$", "\n\n".join(texts(CHAPTERS[chapter])), re.M)


# --- what the pages say --------------------------------------------------------------------------


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def part(text: str, heading: str) -> str:
    """What stands under the one heading that begins like this, up to the next of its level."""
    (found,) = re.findall(rf"^(#+) ({re.escape(heading)}.*)$", text, re.M)
    start = text.index(f"{found[0]} {found[1]}\n")
    rest = text[start + len(found[0]) :]
    after = re.search(rf"^#{{1,{len(found[0])}}} ", rest.split("\n", 1)[1], re.M)
    body = rest.split("\n", 1)[1]
    return f"{found[1]}\n" + (body[: after.start()] if after else body)


def tables(text: str) -> list[list[dict[str, str]]]:
    """Each table as a list of rows, each row by the words at the top."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.M):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.split("\n")]
        top, _, *body = rows[:-1]
        found.append([dict(zip(top, row, strict=True)) for row in body])
    return found


def named(kind: str, text: str) -> list[str]:
    """Numbers after a word: "figures 5.7 to 5.9 and 4.1" gives 5.7, 5.8, 5.9 and 4.1."""
    found: list[str] = []
    number = r"\d+\.\d+"
    lists = rf"\b{kind}s?\s+({number}(?:(?:,\s+|\s+and\s+|\s+to\s+|,\s+and\s+){number})*)"
    for run in re.findall(lists, text, re.I):
        for first, last in re.findall(rf"({number})(?:\s+to\s+({number}))?", run):
            chapter, start = map(int, first.split("."))
            end = int(last.split(".")[1]) if last else start
            assert not last or last.split(".")[0] == str(chapter), run
            found += [f"{chapter}.{i}" for i in range(start, end + 1)]
    return found


def faults_of(plan: str) -> list[str]:
    """What is wrong with a schedule of one day: its sum, its clock, its minutes for chapters."""
    length = int(re.search(r"(\d+) minutes$", plan.splitlines()[0])[1])
    (rows,) = tables(plan)
    faults, now = [], 0
    for row in rows:
        minutes = int(row["minutes"])
        if row["from"] != f"{now // 60}:{now % 60:02d}":
            faults.append(f"{row['from']} should be {now // 60}:{now % 60:02d}")
        now += minutes
        tasks = named("exercise", row["what"])
        if not row["chapter"]:
            faults += [f"{row['from']}: exercises without a chapter"] if tasks else []
            continue
        chapter, how = re.fullmatch(r"(\d+), (whole|part)", row["chapter"]).groups()
        times = box(int(chapter))
        numbers = tasks + named("figure", row["what"])
        if [number for number in numbers if number.split(".")[0] != chapter]:
            faults.append(f"{row['from']}: something of another chapter")
        if (how == "whole") != (minutes >= times.whole):
            faults.append(f"{row['from']}: {minutes} of {times.whole} minutes is not {how}")
        if how == "part" and not re.search(r"[Ff]igure|[Ee]xercise|listing|fault", row["what"]):
            faults.append(f"{row['from']}: what is done of the chapter?")
        if how == "part" and times.of(tasks, int(chapter)) > minutes:
            faults.append(f"{row['from']}: {len(tasks)} exercises take longer")
    return faults + ([] if now == length else [f"{now} minutes in place of {length}"])


# --- schedules -----------------------------------------------------------------------------------


def test_table_of_times_is_that_of_the_boxes():
    *rows, total = tables(part(page("schedules"), "How long a chapter takes"))[0]
    expected = [
        [title(n), box(n).reading, box(n).exercises, box(n).whole, len(numbers_of(n))]
        for n in range(len(CHAPTERS))
    ]
    found = [[row["chapter"], *map(int, list(row.values())[1:])] for row in rows]
    assert found == expected
    sums = [sum(column) for column in list(zip(*expected, strict=True))[1:]]
    assert [int(value) for value in list(total.values())[1:]] == sums
    hours, minutes = divmod(sums[2], 60)
    assert f"{hours} hours and {minutes} minutes" in page("schedules")


@pytest.mark.parametrize("name", LABS)
def test_plan_of_a_day_adds_up_and_keeps_to_the_boxes(name):
    assert faults_of(part(page("schedules"), name)) == []


GOOD_PLAN = """A lab, 30 minutes

| from | minutes | what | chapter |
|---|---|---|---|
| 0:00 | 5 | Welcome | |
| 0:05 | 25 | All of it | 0, whole |
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("30 minutes", "40 minutes", "30 minutes in place of 40"),
        ("0:05", "0:10", "0:10 should be 0:05"),
        ("| 25 | All", "| 24 | All", "24 of 25 minutes is not whole"),
        ("All of it | 0, whole", "Figure 0.1 | 0, part", "25 of 25 minutes is not part"),
        ("All of it | 0, whole", "All of it | 5, part", "what is done of the chapter"),
        ("All of it | 0, whole", "Figure 4.1 | 5, part", "something of another chapter"),
        ("All of it | 0, whole", "Exercises 5.1 to 5.3 | 5, part", "3 exercises take longer"),
        ("All of it | 0, whole", "Exercise 5.1 | ", "exercises without a chapter"),
    ],
)
def test_faults_of_a_plan_are_found(old, new, fault):
    assert faults_of(GOOD_PLAN) == []
    assert old in GOOD_PLAN
    assert any(fault in found for found in faults_of(GOOD_PLAN.replace(old, new, 1)))


def semester() -> list[dict[str, str]]:
    return tables(part(page("schedules"), "A semester, 14 labs"))[0]


def test_semester_gives_each_chapter_its_minutes():
    rows = semester()
    assert [int(row["week"]) for row in rows] == list(range(1, 15))
    in_a_lab = []
    for row in rows:
        lab, home = int(row["minutes in the lab"]), int(row["at home, chapter"])
        assert lab <= 70, "10 minutes at each end of 90 are for other things"
        if row["chapter"]:
            chapter = int(row["chapter"].removesuffix(", whole"))
            assert lab + home >= box(chapter).whole, row
            in_a_lab.append(chapter)
    assert in_a_lab == [n for n in range(len(CHAPTERS)) if n != 12]
    assert "Chapter 12 is in no lab" in page("schedules")
    for before, row in pairwise(rows):
        chapter = before["chapter"].removesuffix(", whole")
        assert row["due before the lab"].startswith(f"exercises of chapter {chapter}")


def test_sentences_under_the_semester_are_true():
    text = page("schedules")
    at_home = [int(row["at home, chapter"]) + int(row["at home, project"]) for row in semester()]
    assert f"No week asks for more than {max(at_home)} minutes at home" in text
    graded = [number for number in REGISTRY if number.split(".")[0] != "12"]
    assert f"The exercises of the chapters above are {len(graded)}." in text
    assert f"chapter 11 at home ({box(11).whole} minutes)" in text


def test_grades_and_points_add_up_to_a_hundred():
    _, grade, project = tables(part(page("schedules"), "A semester, 14 labs"))
    assert sum(int(row["of the grade"].removesuffix(" %")) for row in grade) == 100
    assert sum(int(row["points"]) for row in project) == 100


# --- teaching notes ------------------------------------------------------------------------------


def notes(chapter: int) -> str:
    return part(page("teaching_notes"), title(chapter))


def led(text: str, lead: str) -> str:
    """The paragraph, with its list, that begins with these words in bold."""
    return re.split(rf"^\*\*{lead}\b.*?\*\*", text, flags=re.M)[1].split("\n**")[0]


@pytest.mark.parametrize("chapter", range(14))
def test_each_chapter_has_all_of_its_notes(chapter):
    text = notes(chapter)
    found = re.findall(r"^\*\*([A-Z][^*]*?)\.?\*\*", text, re.M)
    assert found == [*LEADS, "To the end" if chapter == 13 else "To the next lab"]
    times = box(chapter)
    assert f"reading {times.reading} minutes, exercises {times.exercises}." in text
    assert f"(../../notebooks/{CHAPTERS[chapter]}.ipynb)" in text
    assert led(text, "What goes wrong").count("\n- ") >= 3
    assert len(re.findall(r"^- \*[^*]+\?[^*]*\* |^- \*[^*]+\* ", led(text, "Ask"), re.M)) >= 3
    assert set(numbers_of(chapter)) <= set(named("exercise", text)), "an exercise is not named"


@pytest.mark.parametrize("chapter", range(14))
def test_what_to_project_is_in_the_chapter(chapter):
    text = led(notes(chapter), "To project")
    shown = named("figure", text)
    assert shown or "listing" in text
    for widget in (word for word in WIDGETS if f"`{word}`" in text):
        assert any(re.search(rf"\b{widget}\b", figures()[number]) for number in shown), widget


@pytest.mark.parametrize("chapter", range(14))
def test_what_to_skip_is_in_the_chapter(chapter):
    text = led(notes(chapter), "Time")
    assert "When short" in text
    for quoted in re.findall(r"\"([^\"]+?)\"", text.replace("\n", " ")):
        assert any(heading.startswith(quoted) for heading in headings(chapter)), quoted


@pytest.mark.parametrize("chapter", range(14))
def test_names_of_code_are_known(chapter):
    """A name in the notes stands in the chapter, or somewhere in the package."""
    package = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "cyclegan_course").rglob("*.py")
    )
    known = package + "\n".join(cell.source for cell in cells(CHAPTERS[chapter]))
    for code in re.findall(r"`([^`\n]+)`", notes(chapter)):
        if not code.startswith("cyclegan-course "):
            names = re.findall(r"[A-Za-z_]\w+", code)
            assert all(re.search(rf"\b{name}\b", known) for name in names), code


# --- all pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_figures_and_exercises_that_are_named_exist(name):
    text = page(name)
    assert not set(named("figure", text)) - set(figures())
    assert not set(named("exercise", text)) - set(REGISTRY)
    assert not [n for n in re.findall(r"\bchapter (\d+)", text, re.I) if int(n) > 13]


def test_lists_of_numbers_are_read_whole():
    text = "Figures 5.7 to 5.9, then exercise 4.2 and figures 8.14 and\n8.15, 2.1 pictures"
    assert named("figure", text) == ["5.7", "5.8", "5.9", "8.14", "8.15", "2.1"]
    assert named("exercise", text) == ["4.2"]


def test_ways_of_the_learners_add_up():
    ways = re.findall(r"chapters? ([\d, ]+)(?: whole)? \((\d+) minutes\)", page("learner_profiles"))
    assert len(ways) == 5
    for chapters, minutes in ways:
        assert sum(box(int(n)).whole for n in chapters.split(",")) == int(minutes)
    assert 4 <= len(re.findall(r"^## ", page("learner_profiles"), re.M)) <= 6


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name):
    text = page(name)
    for script in re.findall(r"\bscripts/\w+\.py", text):
        assert (ROOT / script).is_file(), script
    for command in re.findall(r"^(?:uv run )?cyclegan-course (\w.*)$", text, re.M):
        cli.make_parser().parse_args(shlex.split(command, comments=True))
    for command in re.findall(r"`cyclegan-course (\w+)", text):
        assert re.search(rf"^\s+{command}\b", cli.make_parser().format_help(), re.M), command


def test_both_lists_of_pages_are_whole():
    for listed, folder in ((page("README"), FOLDER), (_docs("README"), FOLDER.parent)):
        links = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", listed)}
        pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
        assert not pages - links
    assert {f"instructors/{path.name}" for path in FOLDER.glob("*.md")} <= set(
        re.findall(r"\]\(([^)]+)\)", _docs("README"))
    )


def _docs(name: str) -> str:
    return (FOLDER.parent / f"{name}.md").read_text(encoding="utf-8")


# --- the kit without internet --------------------------------------------------------------------


def test_page_of_the_kit_knows_its_options_and_platforms(capsys):
    with pytest.raises(SystemExit):
        kit.main(["--help"])
    known = capsys.readouterr().out
    text = page("offline")
    assert set(re.findall(r"(?<![\w-])--\w+", text)) - {"--features"} <= set(
        re.findall(r"--\w+", known)
    )
    for platform in kit.PLATFORMS:
        assert f"`{platform}`" in text


def test_page_of_the_kit_quotes_the_installer():
    source = (ROOT / "scripts" / "offline_install.py").read_text(encoding="utf-8")
    rows = tables(part(page("offline"), "Install from it"))[0]
    for row in rows:
        fixed = re.sub(r"3\.\d+|windows|Linux", "{}", row["it says"].strip("*"))
        pattern = ".*".join(re.escape(piece) for piece in fixed.split("{}"))
        assert re.search(pattern, source), row["it says"]


def test_page_of_the_kit_lists_what_is_in_it():
    source = (ROOT / "scripts" / "offline_kit.py").read_text(encoding="utf-8")
    for row in tables(part(page("offline"), "In the kit"))[0]:
        assert f'"{row["file"].strip("`/")}"' in source, row
