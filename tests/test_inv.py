"""The wrapper, really run: on copies of the project, with real virtual environments and a real pip."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prerequisites import require

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".edgewright", "*.egg-info", "__pycache__", ".*_cache", "build", "dist"
)

# What the tests below type to see what arrives: a collection beside the real tasks.py, chosen by Invoke's --collection.
SHOWING = '''"""Shows what arrived."""
import json, os, sys
from invoke import task

@task
def show(c, text=""):
    print(json.dumps({"argv": sys.argv[1:], "text": text, "cwd": os.getcwd(), "root": os.environ["EDGEWRIGHT_ROOT"]}))
'''

NO_NETWORK = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_RETRIES": "0",
}


def environment(**extra: str) -> dict[str, str]:
    """This process's environment less what belongs to the run that tests, with the interpreter under test named."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EDGEWRIGHT_", "PYTHON")) and k != "VIRTUAL_ENV"}
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return {**kept, "EDGEWRIGHT_PYTHON": str(base), **extra}


def copy_project(root: Path, to: Path) -> Path:
    shutil.copytree(root, to, ignore=LEFT_OUT, symlinks=True)
    (to / "showing.py").write_text(SHOWING)
    return to


def inv(
    program: Path | str, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], cwd=cwd, env=env or environment(), capture_output=True, text=True, timeout=500
    )


def show(program: Path | str, *arguments: str, **how: object) -> dict[str, object]:
    """Runs the showing task and returns what it saw; fails with the output where it did not run."""
    done = inv(program, "--collection=showing", "show", *arguments, **how)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen


# ---- without a virtual environment: quick


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH that holds the POSIX tools the wrapper uses, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cksum", "readlink", "mkdir", "ls", "rm", "du", "date", "tail"):
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


@pytest.fixture
def project(project_root: Path, tmp_path: Path) -> Path:
    return copy_project(project_root, tmp_path / "project")


def without_choice(**extra: str) -> dict[str, str]:
    env = environment(**extra)
    if "EDGEWRIGHT_PYTHON" not in extra:
        del env["EDGEWRIGHT_PYTHON"]
    return env


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_inv_without_python_says_what_to_install(project: Path, bare_path: Path) -> None:
    done = inv(project / "inv", env=without_choice(PATH=str(bare_path)))
    assert done.returncode == 1
    assert "No Python 3.10 or later found" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert not (project / ".venv").exists()


def test_inv_skips_a_shim_that_does_not_run(project: Path, bare_path: Path) -> None:
    write_program(bare_path / "python3.13", '#!/bin/sh\necho "pyenv: python3.13: command not found" >&2\nexit 127\n')
    done = inv(project / "inv", env=without_choice(PATH=str(bare_path)))
    assert done.returncode == 1
    assert "No Python 3.10 or later found" in done.stderr
    assert "pyenv" not in done.stderr


def test_inv_with_a_wrong_chosen_python_names_it(project: Path, bare_path: Path) -> None:
    done = inv(project / "inv", env=without_choice(EDGEWRIGHT_PYTHON="/no such/python"))
    assert done.returncode == 1
    assert "EDGEWRIGHT_PYTHON=/no such/python" in done.stderr
    assert not (project / ".venv").exists()


def test_inv_without_ensurepip_names_the_apt_package(project: Path, tmp_path: Path) -> None:
    """As on Debian without python3-venv: a real Python whose ensurepip can't be imported."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ensurepip.py").write_text("raise ImportError('not packaged')\n")
    done = inv(project / "inv", env=environment(PYTHONPATH=str(hidden)))
    assert done.returncode == 1
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert not (project / ".venv").exists()


def test_inv_in_a_folder_without_the_project_says_so(project_root: Path, tmp_path: Path) -> None:
    shutil.copy(project_root / "inv", tmp_path / "inv")
    done = inv(tmp_path / "inv")
    assert done.returncode == 1
    assert "pyproject.toml" in done.stderr


def test_inv_in_a_folder_it_may_not_write_says_so(project: Path) -> None:
    (project / ".edgewright").write_text("a file where a folder has to be")
    done = inv(project / "inv")
    assert done.returncode == 1
    assert "Can't write in" in done.stderr


# ---- with real virtual environments


@pytest.fixture(scope="module")
def ready(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy, in a folder whose name is hard on shells, after its first `./inv`."""
    project = copy_project(project_root, tmp_path_factory.mktemp("inv") / 'it\'s a "new" $HOME; [x] #1')
    first = inv(project / "inv")
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("first use: making .venv") == 1
    assert "installing into .venv: base" in first.stderr
    assert "MiB" in first.stderr
    assert "deploy" in first.stdout
    yield project


@pytest.mark.slow
def test_inv_first_use_installs_no_framework(ready: Path) -> None:
    (site,) = (ready / ".venv" / "lib").glob("python3.*/site-packages")
    installed = {path.name.lower() for path in site.iterdir()}
    assert "invoke" in installed
    assert installed & {"torch", "onnx", "onnxruntime", "numpy", "sklearn", "pytest"} == set()


@pytest.mark.slow
def test_inv_second_run_installs_nothing_and_starts_no_other_python(ready: Path, bare_path: Path) -> None:
    called = bare_path / "called"
    for name in ("python3.13", "python3.12", "python3.11", "python3.10", "python3", "python", "pip"):
        write_program(bare_path / name, f'#!/bin/sh\necho "$0" >>"{called}"\nexit 1\n')
    done = inv(ready / "inv", "--list", env=without_choice(PATH=str(bare_path), **NO_NETWORK))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "deploy" in done.stdout
    assert not called.exists()


@pytest.mark.slow
def test_inv_second_run_works_without_a_network(ready: Path) -> None:
    unshare = shutil.which("unshare")
    allowed = unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0
    require(allowed, "unshare -rn does not work here: needs Linux, util-linux and user namespaces")
    done = inv(str(unshare), "-rn", str(ready / "inv"), "--list")
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.slow
def test_inv_through_a_symlink_from_another_folder_keeps_the_folder(ready: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()  # of the person's own: must not be taken for ours
    (tmp_path / "one").symlink_to(ready / "inv")
    (tmp_path / "two").symlink_to("one")
    seen = show("./two", cwd=tmp_path)
    assert seen["cwd"] == str(tmp_path)
    assert seen["root"] == str(ready)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["./inv", "sh inv", "../{name}/inv", "PATH"])
def test_inv_called_in_any_way_finds_its_folder(program: str, ready: Path) -> None:
    if program == "PATH":
        env = environment(PATH=f"{ready}{os.pathsep}{os.environ['PATH']}")
        done = subprocess.run(["/usr/bin/env", "inv", "--list"], env=env, cwd="/", capture_output=True, text=True)
    else:
        command = program.format(name=ready.name)
        words = command.split(" ", 1) if command.startswith("sh ") else [command]
        done = subprocess.run([*words, "--list"], env=environment(), cwd=ready, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "deploy" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a b", "it's", 'a "quoted" one', "$HOME", "*", "back\\slash", "two\nlines", "", "ü"])
def test_inv_hands_arguments_on_unchanged(text: str, ready: Path) -> None:
    assert show(ready / "inv", f"--text={text}")["text"] == text


@pytest.mark.slow
def test_inv_hands_the_exit_status_on(ready: Path) -> None:
    done = inv(ready / "inv", "no-such-task")
    assert done.returncode != 0
    assert "no-such-task" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_inv_offline_with_changed_pins_breaks_nothing(ready: Path) -> None:
    constraints = ready / "constraints.txt"
    before = constraints.read_text()
    constraints.write_text(before + "# changed\n")
    try:
        failed = inv(ready / "inv", "--list", env=environment(**NO_NETWORK))
        assert failed.returncode == 1
        assert "pip could not install: base" in failed.stderr
        assert "Nothing is broken" in failed.stderr
        assert "EDGEWRIGHT_PIP_ARGS" in failed.stderr
        assert failed.stdout == ""
    finally:
        constraints.write_text(before)
    again = inv(ready / "inv", "--list", env=environment(**NO_NETWORK))
    assert again.returncode == 0
    assert again.stderr == ""


@pytest.mark.slow
def test_inv_with_changed_pins_installs_them(ready: Path) -> None:
    constraints = ready / "constraints.txt"
    constraints.write_text(constraints.read_text() + "# another\n")
    changed = inv(ready / "inv", "--list")
    assert changed.returncode == 0, changed.stderr
    assert "installing into .venv: base" in changed.stderr
    assert "making .venv" not in changed.stderr
    assert inv(ready / "inv", "--list").stderr == ""


@pytest.mark.slow
def test_inv_in_a_moved_folder_makes_the_environment_anew(ready: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(ready, moved, symlinks=True)
    done = inv(moved / "inv", "--list")
    assert done.returncode == 0, done.stderr
    assert "making .venv anew" in done.stderr
    assert str(ready) not in (moved / ".venv" / "bin" / "invoke").read_text()
    assert show(moved / "inv")["root"] == str(moved)


@pytest.mark.slow
def test_inv_installs_what_the_task_needs_and_no_more(ready: Path) -> None:
    """Without a network, so that nothing is really fetched: what it would install is in the line before."""
    for words, stages in (
        (("setup", "text"), "build, text"),
        (("setup", "vision", "setup", "bench"), "build, vision, bench"),
        (("setup", "build"), "build"),
        (("setup", "tflite"), "build, tflite"),
        (("deploy", "--model", "text"), "build, tflite"),
        (("deploy", "-t", "jetson"), "build"),
        (("build", "--target=raspberry-pi-32"), "build, tflite"),
        (("explain", "--target", "tests/onnx.toml", "train"), "build"),
        (("export", "--format", "tflite"), "build, tflite"),
        (("export", "--format", "onnx"), "build"),
        (("bench.pruning", "--quick"), "build, bench, text, vision, tflite"),
        (("lint", "test"), "build, dev, text, vision, bench, tflite, oracle, postgres, parquet, release, apple"),
        (("release", "--target", "raspberry-pi", "--version", "1.0.0"), "build, release, tflite"),
        (("setup", "apple"), "build, apple"),
        (("setup", "postgres", "setup", "parquet"), "postgres, parquet"),
    ):
        done = inv(ready / "inv", *words, env=environment(**NO_NETWORK))
        assert done.returncode == 1
        (said,) = (line for line in done.stderr.splitlines() if "installing into .venv" in line)
        assert said.partition(": installing into .venv: ")[2].partition(" (")[0] == stages, words


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("setup", "text", "--help"), ("devices.list",), ("release.verify", "a-b-1.0.0"), ("--version", "deploy")]
)
def test_inv_installs_nothing_for_tasks_that_need_the_base_only(words: tuple[str, ...], ready: Path) -> None:
    assert "installing" not in inv(ready / "inv", *words, env=environment(**NO_NETWORK)).stderr


@pytest.mark.slow
def test_inv_whose_python_is_gone_makes_the_environment_anew(project: Path) -> None:
    environment_made = subprocess.run(
        [environment()["EDGEWRIGHT_PYTHON"], "-m", "venv", "--without-pip", project / ".venv"]
    )
    assert environment_made.returncode == 0
    (project / ".venv" / "bin" / "python").unlink()
    (project / ".venv" / "bin" / "python").symlink_to("/no/such/python3.9")
    done = inv(project / "inv", "--list")
    assert done.returncode == 0, done.stderr
    assert "making .venv anew" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("what_dies", ["everything", "only the wrapper"])
def test_inv_killed_while_installing_is_repaired_by_the_next_run(what_dies: str, project: Path) -> None:
    running = subprocess.Popen([project / "inv"], env=environment(), start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (project / ".venv" / ".edgewright-underway").exists(), running)
        time.sleep(1.0)  # some way into it; wherever that is, the next run must put it right
        if what_dies == "everything":
            os.killpg(running.pid, signal.SIGKILL)
        else:
            running.kill()
        running.wait()
        done = inv(project / "inv", "--list")
    finally:
        kill_session(running)
    assert done.returncode == 0, done.stderr
    assert "making .venv anew" in done.stderr
    assert "deploy" in done.stdout
    if what_dies == "only the wrapper":  # its pip went on writing: nobody may have started beside it
        assert "waiting for it" in done.stderr
    assert inv(project / "inv", "--list").stderr == ""


@pytest.mark.slow
def test_inv_killed_while_changing_a_ready_environment_makes_it_anew(ready: Path) -> None:
    """The pins are back as they were, and so the stamps match: still nobody knows what that pip left behind."""
    constraints = ready / "constraints.txt"
    before = constraints.read_text()
    constraints.write_text(before + "# changed for a moment\n")
    running = subprocess.Popen([ready / "inv"], env=environment(), start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_until((ready / ".venv" / ".edgewright-underway").exists, running)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        constraints.write_text(before)
        done = inv(ready / "inv", "--list")
    finally:
        kill_session(running)
    assert done.returncode == 0, done.stderr
    assert "making .venv anew" in done.stderr
    assert inv(ready / "inv", "--list").stderr == ""


@pytest.mark.slow
def test_inv_killed_while_making_the_environment_is_repaired(project: Path) -> None:
    running = subprocess.Popen([project / "inv"], env=environment(), start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_until((project / ".venv" / "pyvenv.cfg").exists, running)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert not (project / ".venv" / ".edgewright-base").exists()
        done = inv(project / "inv", "--list")
    finally:
        kill_session(running)
    assert done.returncode == 0, done.stderr
    assert "making .venv anew" in done.stderr


@pytest.mark.slow
def test_inv_started_twice_at_once_sets_up_once(project: Path) -> None:
    both = [
        subprocess.Popen(
            [project / "inv", "--list"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=500) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("deploy" in out for out, _ in outputs)
    said = "".join(err for _, err in outputs)
    assert said.count("first use: making .venv") == 1
    assert said.count("installing into .venv") == 1
    assert said.count("waiting for it") == 1


@pytest.mark.slow
def test_inv_hands_extra_arguments_to_pip(project: Path) -> None:
    done = inv(project / "inv", env=environment(EDGEWRIGHT_PIP_ARGS="--no-such-option --index-url *"))
    assert done.returncode == 1
    assert "pip could not install" in done.stderr
    assert "no such option: --no-such-option" in (project / ".edgewright" / "setup.log").read_text()


def wait_until(condition: object, running: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None, "ended before it got that far"
        assert time.monotonic() < deadline, "never got that far"
        time.sleep(0.05)


def kill_session(running: subprocess.Popen[bytes]) -> None:
    """Nothing that a test started may go on after it."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
