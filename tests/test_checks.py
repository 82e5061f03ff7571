"""`./inv test` and `./inv lint` on small real projects: what runs, what the exit status says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.checks import run_lint, run_tests

PYPROJECT = """
[project]
name = "small"
version = "1"

[tool.ruff]
line-length = 100

[tool.mypy]
strict = true
files = ["small"]

[tool.pytest.ini_options]
addopts = "-m 'not slow and not device and not bench' -p no:cacheprovider"
markers = ["slow: s", "device: d", "bench: b", "alone: a"]

[tool.importlinter]
root_package = "small"

[[tool.importlinter.contracts]]
name = "low knows nothing of high"
type = "forbidden"
source_modules = ["small.low"]
forbidden_modules = ["small.high"]
"""

TESTS = """import pytest


def test_quick():
    pass


@pytest.mark.slow
def test_slow():
    pass


@pytest.mark.device
def test_device():
    pass


@pytest.mark.bench
def test_bench():
    pass
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that passes every check; EDGEWRIGHT_ROOT names it."""
    files = {
        "pyproject.toml": PYPROJECT,
        "tests/test_small.py": TESTS,
        "tests/bench/test_speed.py": TESTS,
        "small/__init__.py": "",
        "small/low.py": '"""Low."""\n',
        "small/high.py": '"""High."""\n\nimport small.low\n\n__all__ = ["small"]\n',
        "device_agents/agent/__main__.py": '"""Old."""\n',
        "pipeline/release/packages/templates/linux/run.py": '"""Old, too."""\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_tests_by_default_leaves_the_marked_ones_out(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_tests(paths=["tests/test_small.py"]) == 0
    assert "1 passed, 3 deselected" in capfd.readouterr().out


def test_run_tests_all_runs_slow_and_device_ones(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_tests(all=True, paths=["tests/test_small.py"]) == 0
    assert "3 passed, 1 deselected" in capfd.readouterr().out


def test_run_tests_of_benchmarks_runs_them(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_tests(paths=["tests/bench"]) == 0
    assert "4 passed" in capfd.readouterr().out


def test_run_tests_keyword_selects(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_tests(all=True, keyword="slow", paths=["tests/test_small.py"]) == 0
    assert "1 passed" in capfd.readouterr().out


def test_run_tests_takes_paths_from_the_current_folder(
    small: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small / "tests")
    assert run_tests(paths=["test_small.py::test_quick"]) == 0
    assert "1 passed" in capfd.readouterr().out


@pytest.mark.parametrize("wrong", [None, "shared", "alone"])
def test_run_tests_of_everything_runs_each_part_whatever_became_of_the_other(
    small: Path, wrong: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    for part, mark in (("shared", ""), ("alone", "@pytest.mark.alone\n")):
        test = f"import pytest\n\n\n{mark}def test_{part}():\n    assert {part != wrong}\n"
        (small / "tests" / f"test_{part}.py").write_text(test)
    assert run_tests() == (1 if wrong else 0)
    said = capfd.readouterr().out
    # Both are in the parts' sums: the quick one is beside the shared one.
    assert said.count(" passed") == (1 if wrong == "alone" else 2) and said.count(" failed") == bool(wrong)


def test_run_tests_returns_the_failure(small: Path) -> None:
    (small / "tests" / "test_small.py").write_text("def test_wrong():\n    assert False\n")
    assert run_tests(paths=["tests/test_small.py"]) == 1


def test_run_tests_without_any_test_fails(small: Path) -> None:
    assert run_tests(keyword="nothing_is_called_so") != 0


def test_run_lint_of_a_clean_project_passes(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_lint() == 0
    assert "all checks passed" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("file", "text", "check"),
    [
        ("small/low.py", "import os\n", "ruff check"),
        ("small/low.py", "x = {  'a':1 }\n", "ruff format"),
        ("small/low.py", "def f(x):\n    return x\n", "mypy"),
        ("small/low.py", 'import small.high\n\n__all__ = ["small"]\n', "import-linter"),
        ("device_agents/agent/__main__.py", 'print("a".removeprefix("b"))\n', "vermin (Python 3.8)"),
        (
            "pipeline/release/packages/templates/linux/run.py",
            "match 1:\n    case 1:\n        pass\n",
            "vermin (Python 3.8)",
        ),
    ],
)
def test_run_lint_names_the_check_that_failed(
    file: str, text: str, check: str, small: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (small / file).write_text(text)
    assert run_lint() == 1
    assert capfd.readouterr().out.splitlines()[-1] == f"lint: failed: {check}"


def test_run_lint_goes_on_after_a_failure(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (small / "small" / "low.py").write_text("import os\ndef f(x):\n    return x\n")
    assert run_lint() == 1
    assert "failed: ruff check, ruff format, mypy" in capfd.readouterr().out
