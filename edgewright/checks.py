"""Runs the tests and the linters in this interpreter's environment: one way for `./inv test`, `./inv lint` and CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_AGENT = "device_agents/agent"
_EXAMPLE = "pipeline/release/packages/templates/linux"
_MOST_WORKERS = 8
_NO_TESTS = 5
"""What pytest exits with where no test was left."""


def root() -> Path:
    """The project's folder: what `./inv` exported, else the folder above this package."""
    named = os.environ.get("EDGEWRIGHT_ROOT")
    return Path(named) if named else Path(__file__).resolve().parent.parent


def run_tests(all: bool = False, keyword: str | None = None, paths: Sequence[str] = ()) -> int:
    """Runs pytest and returns its exit status.

    Nothing named: the tests share the cores; then those marked alone, which time things, by themselves.

    all: also the tests marked slow and device (benchmarks only where `paths` names tests/bench).
    keyword: pytest's -k. paths: files, folders or node ids; none means all of tests/.
    """
    command = [sys.executable, "-m", "pytest", "--durations=20", "--durations-min=1"]
    if paths or keyword:
        if any("tests/bench" in Path(path).as_posix() for path in paths):
            command += ["-m", ""]
        elif all:
            command += ["-m", "not bench"]
        if keyword:
            command += ["-k", keyword]
        return _status([*command, *map(_from_here, paths)])
    which = "not bench" if all else "not slow and not device and not bench"
    # What takes minutes to start is shared by a file's tests.
    by_file = "--dist loadfile --no-loadscope-reorder"
    parts = {
        f"{which} and not alone": f"-n {_workers()} {by_file}",
        f"{which} and alone": "",
    }
    statuses = [_status([*command, "-m", marked, *how.split()]) for marked, how in parts.items()]
    wrong = [status for status in statuses if status not in (0, _NO_TESTS)]
    return wrong[0] if wrong else statuses[0]


def _workers() -> int:
    """Processes that share the tests out: one more than cores, since many tests wait for a device double."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, _MOST_WORKERS)


def run_lint() -> int:
    """Runs every checker, also after one has failed, and returns 0 only if all passed."""
    failed = []
    for check in _checks():
        print(f"== {check.name}", flush=True)
        began = time.monotonic()
        status = check.run()
        print(f"   {'ok' if status == 0 else 'FAILED'} in {time.monotonic() - began:.1f} s", flush=True)
        if status:
            failed.append(check.name)
    print(f"lint: {'all checks passed' if not failed else 'failed: ' + ', '.join(failed)}", flush=True)
    return 1 if failed else 0


def run_bench(name: str, words: Sequence[str] = ()) -> int:
    """Runs a benchmark of tests/bench as a program of its own and returns its exit status."""
    if not (root() / "tests" / "bench").is_dir():
        print("The benchmarks come with a checkout only.\n  next:  clone Edgewright, type it there", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", f"tests.bench.{name}", *words]
    try:
        # In the folder where it was typed, so that --out is meant from there; the modules are found by PYTHONPATH.
        found = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(root()), *([found] if found else [])])
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _from_here(path: str) -> str:
    """A path as typed in the current folder, for a pytest that runs in the project's; node ids stay on it."""
    file, separator, node = path.partition("::")
    return f"{Path(file).absolute()}{separator}{node}" if Path(file).exists() else path


@dataclass(frozen=True)
class _Check:
    name: str
    run: Callable[[], int]


def _checks() -> list[_Check]:
    def module(name: str, *arguments: str) -> Callable[[], int]:
        return lambda: _status([sys.executable, "-m", name, *arguments])

    def script(name: str, *arguments: str) -> Callable[[], int]:  # for those that can't be run as a module
        return lambda: _status([_script(name), *arguments])

    return [
        _Check("ruff check", module("ruff", "check", ".")),
        _Check("ruff format", module("ruff", "format", "--check", ".")),
        _Check("mypy", module("mypy")),
        _Check("import-linter", script("lint-imports")),
        # What runs on devices: the agent, and the example in a release.
        _Check(
            "vermin (Python 3.8)",
            script("vermin", "-q", "--violations", "-t=3.8-", _AGENT, _EXAMPLE),
        ),
    ]


def _script(name: str) -> str:
    """A console script of this environment; the PATH's only where it isn't beside the interpreter."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def _status(command: list[str]) -> int:
    """Runs a command in the project's folder and returns its exit status; 127 where it isn't installed."""
    try:
        return subprocess.run(command, cwd=root(), check=False).returncode
    except FileNotFoundError:
        print(f"{command[0]} is not installed here.\n  next:  ./inv lint (it installs what it needs)", file=sys.stderr)
        return 127
