"""What Windows, macOS and odd places ask of the project, as far as one system can show it."""

import ast
import json
import os
import shutil
import stat
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from test_project import ROOT, project_files

PATHS = [path.relative_to(ROOT) for path in project_files()]
SOURCES = [path for path in PATHS if path.suffix == ".py"]
LONGEST = 120  # Windows takes 260 for a whole path unless it was told otherwise
RESERVED = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in "123456789"
}
BINARY = {".safetensors", ".png", ".jpg"}

# Modules and names that only Unix has (ctypes.CDLL(None) and the like fail elsewhere too), and
# where they may stand: each file beside the reason why it still works, or is not needed, elsewhere.
UNIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
UNIX_NAMES = {
    "os": {"fork", "forkpty", "geteuid", "getuid", "getgid", "getpgid", "killpg", "setsid", "nice"}
    | {"sched_getaffinity", "sched_setaffinity", "mkfifo", "getloadavg", "sysconf", "wait4"}
    | {"setpgid", "setrlimit", "uname"},
    "signal": {"SIGKILL", "SIGALRM", "SIGCHLD", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGSTOP"}
    | {"SIGXCPU", "alarm", "setitimer", "pthread_sigmask", "pthread_kill"},
}
ALLOWED = {
    ("benchmarks/tiles.py", "resource"): "a measurement for Linux and macOS, run by hand",
    ("benchmarks/train_step.py", "resource"): "imported after a return on Windows",
    ("cyclegan_course/environment.py", "os.sched_getaffinity"): "AttributeError is caught",
    ("cyclegan_course/environment.py", "os.sysconf"): "AttributeError is suppressed",
    ("cyclegan_course/grading/nursery.py", "os.fork"): "on Linux only, see `can_fork`",
    ("cyclegan_course/grading/nursery.py", "os.setsid"): "on Linux only, see `can_fork`",
    ("cyclegan_course/grading/nursery.py", "signal.SIGCHLD"): "on Linux only, see `can_fork`",
    ("cyclegan_course/grading/processes.py", "os.killpg"): "asked for with hasattr first",
    ("cyclegan_course/grading/processes.py", "signal.SIGKILL"): "beside os.killpg",
    ("cyclegan_course/grading/worker.py", "resource"): "ImportError is caught",
    ("tests/test_images.py", "os.mkfifo"): "skipped where there is none",
    ("tests/test_odd_pictures.py", "os.geteuid"): "rights of a file; a test of Unix",
    ("tests/test_odd_pictures.py", "os.mkfifo"): "pipes among pictures; a test of Unix",
    ("tests/test_portable.py", "os.geteuid"): "after a skip on Windows",
    ("tests/test_training_kill.py", "resource"): "a kill and a full disk as Unix has them",
    ("tests/test_training_kill.py", "signal.SIGKILL"): "a kill as Unix has it",
    ("tests/test_training_pictures.py", "signal.SIGCHLD"): "a handler that Unix has",
    ("tests/test_training_pictures.py", "signal.SIGKILL"): "a kill as Unix has it",
}


# --- names and bytes -----------------------------------------------------------------------------


def refused_by_windows(name: str) -> bool:
    return (
        bool(set(name) & set('<>:"|?*\\'))
        or any(ord(letter) < 32 for letter in name)
        or name.endswith((".", " "))
        or name.split(".")[0].casefold() in RESERVED
    )


def test_what_windows_refuses_is_known():
    for name in ("aux.py", "NUL", "com1.txt", "a:b", "why?", "end.", "end ", 'say "no"', "a\tb"):
        assert refused_by_windows(name), name
    for name in ("auxiliary.py", "common.py", ".gitignore", "night_non-saturating.png", "课程.md"):
        assert not refused_by_windows(name), name


def test_every_name_can_stand_on_windows_and_macos():
    assert len(PATHS) > 400
    for path in PATHS:
        assert not [part for part in path.parts if refused_by_windows(part)], path
        assert len(path.as_posix()) <= LONGEST, path
        assert path.as_posix() == unicodedata.normalize("NFC", path.as_posix()), path


def test_no_two_paths_are_one_where_case_does_not_count():
    every = {start for path in PATHS for start in [path, *path.parents]}
    seen = Counter(unicodedata.normalize("NFD", path.as_posix()).casefold() for path in every)
    assert [name for name, times in seen.items() if times > 1] == []


def test_nothing_is_a_symbolic_link():
    assert [path for path in PATHS if (ROOT / path).is_symlink()] == []


def test_text_has_line_feeds_and_git_keeps_it_so():
    for path in PATHS:
        if path.suffix not in BINARY:
            content = (ROOT / path).read_bytes()
            assert b"\0" not in content, f"{path} is binary: add its ending to BINARY"
            assert b"\r" not in content, f"{path} has carriage returns"
    rules = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert "* text=auto eol=lf" in rules
    assert {f"*{ending} binary" for ending in BINARY} <= set(rules)


# --- what the code asks of a system --------------------------------------------------------------


def test_every_text_file_is_opened_with_an_encoding():
    run = [sys.executable, "-m", "ruff", "check", "--preview", "--select", "PLW1514", "--no-cache"]
    done = subprocess.run(
        [*run, "--output-format", "concise", *sorted({path.parts[0] for path in SOURCES})],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def without_encoding(source: str) -> list[int]:
    """Lines that read or write text and leave the encoding to the system, which ruff overlooks.

    It follows a `Path` within one function only, and does not look at `subprocess.run(text=True)`.
    """
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        words = {word.arg for word in call.keywords}
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        given = len(call.args) + ("data" in words)
        text = (
            (method == "read_text" and not call.args)
            or (method == "write_text" and given == 1)
            or (method == "open" and "newline" in words)
            or bool({"text", "universal_newlines"} & words and {"stdout", "capture_output"} & words)
        )
        if text and "encoding" not in words:
            found.append(call.lineno)
    return found


def unix_only(source: str) -> set[str]:
    """Modules and names in the source that only Unix has: "fcntl", "os.fork"."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & UNIX_MODULES
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {node.module} & UNIX_MODULES
            names = {alias.name for alias in node.names} & UNIX_NAMES.get(node.module, set())
            found |= {f"{node.module}.{name}" for name in names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {
                f"{node.value.id}.{name}"
                for name in UNIX_NAMES.get(node.value.id, set()) & {node.attr}
            }
    return found


def starts_processes_otherwise(source: str) -> list[str]:
    """Calls that take the system's way to start a process (a fork on Linux), not "spawn"."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        place, _, name = ast.unparse(call.func).rpartition(".")
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        wrong = (
            (name in ("Process", "Pool") and place in ("", "multiprocessing", "mp"))
            or (name == "ProcessPoolExecutor" and "mp_context" not in words)
            or (name == "get_context" and "'spawn'" not in ast.unparse(call))
            or (
                name == "DataLoader"
                and words.get("num_workers", "0") != "0"
                and words.get("multiprocessing_context") != "'spawn'"
            )
        )
        if wrong:
            found.append(ast.unparse(call.func))
    return found


def test_the_three_searches_find_what_they_are_for():
    assert without_encoding("run(a, text=True, capture_output=True)\n") == [1]
    assert without_encoding("a.read_text()\na.write_text(b)\na.open(newline='')") == [1, 2, 3]
    right = "run(a, text=True, capture_output=True, encoding='utf-8')\na.read_text('utf-8')\n"
    right += "a.write_text(b, encoding='utf-8')\na.open(newline='', encoding='utf-8')"
    assert without_encoding(right) == []
    assert unix_only("import fcntl\nfrom os import fork\nos.nice(5)") == {
        "fcntl",
        "os.fork",
        "os.nice",
    }
    assert unix_only("import os, signal\nsignal.SIGTERM") == set()
    assert starts_processes_otherwise("multiprocessing.Process(target=f)")
    assert starts_processes_otherwise("ProcessPoolExecutor(2)")
    assert starts_processes_otherwise("get_context('fork')")
    assert starts_processes_otherwise("DataLoader(a, num_workers=2)")
    right = "c = get_context('spawn')\nc.Process(target=f)\nProcessPoolExecutor(mp_context=c)\n"
    right += "DataLoader(a)\nDataLoader(a, num_workers=n, multiprocessing_context='spawn')"
    assert starts_processes_otherwise(right) == []


def test_no_text_is_left_to_the_encoding_of_the_system():
    for path in SOURCES:
        if path.parts[0] != "tests":  # which write the letters that every encoding has
            source = (ROOT / path).read_text(encoding="utf-8")
            assert without_encoding(source) == [], path


def test_only_listed_files_use_what_only_unix_has():
    found = {
        (path.as_posix(), name)
        for path in SOURCES
        for name in unix_only((ROOT / path).read_text(encoding="utf-8"))
    }
    assert found - set(ALLOWED) == set(), "guard it, and say why it is safe in ALLOWED"
    assert set(ALLOWED) - found == set(), "no longer used: take it out of ALLOWED"


def test_the_package_starts_processes_the_way_every_system_can():
    for path in SOURCES:
        if path.parts[0] in ("cyclegan_course", "scripts"):
            source = (ROOT / path).read_text(encoding="utf-8")
            assert starts_processes_otherwise(source) == [], path


# --- the course in odd places --------------------------------------------------------------------

ODD = "Kurs Übung 课程 ä"
SHAPE = {"size": 32, "blocks": 1, "ngf": 4, "ndf": 4, "layers": 2, "edge-kernel": 3}
TINY = [word for name, value in SHAPE.items() for word in (f"--{name}", str(value))]
SHORT = ["train", "--data", "editing", "--steps", "2", *TINY]

# Runs commands in one process, which has imported torch once, and tells how each ended.
COMMANDS = """
import json, multiprocessing, sys, warnings
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    warnings.filterwarnings("error", category=EncodingWarning, module="cyclegan_course")
    import cyclegan_course
    from cyclegan_course.cli import main
    ended = [main(arguments) for arguments in json.loads(sys.argv[1])]
    print("where " + ascii(cyclegan_course.__file__))
    sys.exit(max(ended))
"""
# Process users of the package, with the way of starting processes that macOS and Windows have.
PROCESSES = """
import multiprocessing
from pathlib import Path
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    from cyclegan_course import worlds
    from cyclegan_course.batches import draw_all
    from cyclegan_course.training import Config
    from cyclegan_course.training.launcher import launch
    from training_toys import TINY, write_pictures
    A, B = (worlds.training_pictures("editing", domain, 2, 24) for domain in "AB")
    drawn = draw_all(A, B, workers=1)
    assert all((one == other).all() for one, other in zip(drawn[0], A, strict=True))
    data = write_pictures(Path("Bilder 图片 ä"))
    config = Config(data=str(data), steps=2, batch=1, **TINY)
    print("ended", launch(config, Path("Lauf 训练 ö"), 1))
"""
EXERCISES = """
import sys
sys.argv = ["x"]
from cyclegan_course.cli import main
from cyclegan_course.exercises import REGISTRY, exercise, hint, progress, solution
for number, task in REGISTRY.items():
    if number.startswith(("0.", "2.")):
        exercise(number)(task.reference)
        exercise(number)(next(iter(task.mistakes.values())).function)
        hint(number)
        solution(number)
progress(2)
sys.exit(main({arguments}))
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A copy of the project, with chapter 0 alone, in a folder with spaces and other letters."""
    folder = tmp_path_factory.mktemp("odd") / ODD
    for path in PATHS:
        if path.parts[0] != "notebooks" or path.name.startswith("00_"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)
    yield folder
    shutil.rmtree(folder)


def environment(project: Path, **settings: str) -> dict[str, str]:
    """The variables of a process that takes the package from this copy, in a plain console."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONUTF8", "FORCE_COLOR")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join((str(project), str(project / "tests"))),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONIOENCODING": "utf-8",
        **settings,
    }


def python(*arguments: str, cwd: Path, env: dict[str, str], before: tuple[str, ...] = ()) -> str:
    """What a fresh Python writes; no process may leave a traceback."""
    done = subprocess.run(
        [*before, sys.executable, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    written = (done.stdout + done.stderr).decode(env["PYTHONIOENCODING"], errors="replace")
    assert done.returncode == 0, written
    assert "Traceback" not in written
    return written


def commands(folder: Path, *lines: list[str], **options) -> str:
    script = folder / "Befehle 命令.py"
    script.write_text(COMMANDS, encoding="utf-8")
    return python("-X", "warn_default_encoding", str(script), json.dumps(lines), **options)


def test_the_commands_in_a_folder_with_spaces_and_other_letters(odd, tmp_path):
    pytest.importorskip("onnxscript", reason="the export needs the extra onnx")
    sys.path.insert(0, str(ROOT / "tests"))
    from training_toys import write_pictures

    data = write_pictures(odd / "Bilder 图片 ä")
    picture = data / "testA" / "Kätzchen 猫.png"
    shutil.copyfile(data / "testA" / "0.png", picture)
    run = "runs/Läufe 训练 1"
    written = commands(
        tmp_path,
        ["doctor"],
        ["inspect", data.name, "--size", "24", "--json", "Bericht 报告.json"],
        ["train", "--data", data.name, "--steps", "2", "--out", run, *TINY],
        ["train", "--resume", run, "--steps", "3"],
        ["translate", str(picture), "--to", run],
        ["translate", str(picture), "--to", "painting", "--out", "Ergebnis 结果"],
        ["evaluate", run, "--count", "2", "--features", "none"],
        ["export", run, "--out", "ONNX ö"],
        cwd=odd,
        env=environment(odd),
    )
    assert ascii(str(odd))[1:-1] in written, "another copy of the package was used"
    assert (odd / run / "checkpoints" / "step_000000003.safetensors").exists()
    assert (odd / run / "evaluation.csv").exists()
    assert json.loads((odd / "Bericht 报告.json").read_text(encoding="utf-8"))
    assert len(list((odd / "translated").iterdir())) == 1
    assert len(list((odd / "Ergebnis 结果").iterdir())) == 1
    assert len(list((odd / "ONNX ö").glob("*.onnx"))) == 1


def test_processes_started_anew_as_macos_and_windows_do(odd, tmp_path):
    script = tmp_path / "Prozesse 进程.py"
    script.write_text(PROCESSES, encoding="utf-8")
    written = python(str(script), cwd=tmp_path, env=environment(odd))
    assert "ended True" in written
    assert "Lauf 训练 ö" in written  # through the pipe of the launcher, letter by letter


def test_chapter_0_runs_in_such_a_folder(odd):
    place = odd / "notebooks"
    notebook = nbformat.read(place / "00_start_here.ipynb", as_version=4)
    asked = "import cyclegan_course; print(ascii(cyclegan_course.__file__))"
    notebook.cells.append(nbformat.v4.new_code_cell(asked))
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(place)}},
        extra_arguments=["--log-level=50"],
    )
    client.execute(env=environment(odd))
    assert ascii(str(odd))[1:-1] in notebook.cells[-1].outputs[0].text


def test_a_console_that_knows_few_letters(odd, tmp_path):
    """A pipe on Windows has the code page of the system: no ✓ there, and no Chinese."""
    run = tmp_path / "Lauf 训练"
    written = python(
        "-c",
        EXERCISES.format(arguments=[*SHORT, "--out", str(run)]),
        cwd=tmp_path,
        env=environment(odd, PYTHONIOENCODING="cp1252", LC_ALL="C", PYTHONCOERCECLOCALE="0"),
    )
    assert "\\u2713 Exercise 2.1" in written
    assert "Lauf \\u8bad\\u7ec3" in written
    assert (run / "config.json").exists()


def set_writable(folder: Path, writable: bool) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR if writable else mode & ~0o222)


def test_a_package_and_a_home_that_cannot_be_written(odd, tmp_path):
    """A course that an administrator installed, for users whose home is full or locked."""
    if sys.platform == "win32":
        pytest.skip("rights of folders are another matter on Windows")
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:  # the administrator may write everywhere, unless he gives that up
        if not shutil.which("setpriv"):
            pytest.skip("run by the administrator, and there is no setpriv to give up his rights")
        kept = "-dac_override,-dac_read_search"
        before = ("setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}")
    home, work = tmp_path / "home", tmp_path / "Arbeit 工作"
    home.mkdir(), work.mkdir()
    locked = environment(odd, HOME=str(home), XDG_CACHE_HOME="", XDG_CONFIG_HOME="")
    locked.pop("MPLCONFIGDIR", None)
    for folder in (odd, home):
        set_writable(folder, False)
    try:
        tried = "import pathlib, sys; pathlib.Path(sys.argv[1], 'x').touch()"
        for folder in (odd / "cyclegan_course", home):
            with pytest.raises(AssertionError, match="PermissionError"):
                python("-c", tried, str(folder), cwd=work, env=locked, before=before)
        commands(
            work,
            ["doctor"],
            [*SHORT, "--out", "run"],
            ["translate", str(odd / "docs" / "pictures" / "hero.png"), "--to", "run"],
            ["download", "--list"],
            cwd=work,
            env=locked,
            before=before,
        )
    finally:
        for folder in (odd, home):
            set_writable(folder, True)
    assert (work / "run" / "config.json").exists()
    assert len(list((work / "translated").iterdir())) == 1
    assert list(home.iterdir()) == []
