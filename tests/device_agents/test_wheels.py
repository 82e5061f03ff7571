"""The table of wheels against the index itself: every row exists, for exactly what it says, and not for older glibc."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from device_agents.runtimes import System, platform_tags
from device_agents.wheels import RECIPES, ROWS, Row, package_of

_TABLE = [(key, row) for key, rows in ROWS.items() for row in rows]


def _names(row: Row) -> str:
    return f"{row.version}-{'+'.join(row.machines)}"


@pytest.mark.parametrize(("key", "rows"), ROWS.items())
def test_rows_of_a_package_go_from_the_newest_down(key: str, rows: tuple[Row, ...]) -> None:
    for row, later in itertools.pairwise(rows):
        if set(row.pythons) & set(later.pythons) and set(row.machines) & set(later.machines):
            assert _version(row) >= _version(later)
            assert row.glibc > later.glibc, "a row that an earlier one always beats"


def _version(row: Row) -> tuple[int, ...]:
    return tuple(map(int, row.version.split(".")))


def test_every_runtime_has_a_numpy_wherever_it_has_a_wheel() -> None:
    for recipe in RECIPES.values():
        for row in ROWS[recipe.package]:
            for minor, machine in itertools.product(row.pythons, row.machines):
                if machine not in recipe.own_numpy:
                    assert any(
                        minor in one.pythons and machine in one.machines and one.glibc <= row.glibc
                        for one in ROWS[recipe.numpy]
                    ), (recipe, minor, machine)


def _pip(package: str, version: str, minor: int, machine: str, glibc: int, folder: Path) -> tuple[str, str]:
    """(the wheel that pip would take, "") or ("", its error); nothing is fetched but the index and the metadata."""
    tags = platform_tags(System((3, minor), "cpython", machine, ("glibc", f"2.{glibc}")))
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--ignore-installed", "--target", str(folder)]
    # pip install compares Requires-Python with the Python that runs it; the tags of the wheel say the same.
    command += ["--ignore-requires-python", "--report", "-"]
    command += ["--implementation", "cp", "--python-version", f"3.{minor}"]
    command += [argument for tag in tags for argument in ("--platform", tag)]
    done = subprocess.run([*command, f"{package}=={version}"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "", done.stderr
    return str(json.loads(done.stdout)["install"][0]["download_info"]["url"].rpartition("/")[2]), ""


@pytest.mark.slow
@pytest.mark.parametrize(("key", "row"), _TABLE, ids=[f"{key}-{_names(row)}-{row.glibc}" for key, row in _TABLE])
def test_row_is_what_the_index_has(key: str, row: Row, tmp_path: Path) -> None:
    package = package_of(key)
    # Every Python and every machine once, not each with each: the index is asked half as often.
    count = max(len(row.pythons), len(row.machines))
    pairs = zip(itertools.cycle(row.pythons), itertools.cycle(row.machines), strict=True)
    for minor, machine in itertools.islice(pairs, count):
        wheel, error = _pip(package, row.version, minor, machine, row.glibc, tmp_path)
        assert wheel, error
        assert f"-cp3{minor}-cp3{minor}-" in wheel
        assert machine in wheel
    for machine in row.machines:
        if row.glibc > 17:  # no wheel is made for less
            wheel, error = _pip(package, row.version, row.pythons[-1], machine, row.glibc - 1, tmp_path)
            assert not wheel
            assert "No matching distribution" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "minor", "machine"),
    [
        ("onnxruntime", 11, "armv7l"),
        ("ai-edge-litert", 11, "armv7l"),
        ("ai-edge-litert", 8, "aarch64"),
        ("tflite-runtime", 12, "aarch64"),
        ("numpy", 11, "armv7l"),
    ],
)
def test_what_the_table_lacks_the_index_lacks(package: str, minor: int, machine: str, tmp_path: Path) -> None:
    assert not any(
        minor in row.pythons and machine in row.machines for key, row in _TABLE if package_of(key) == package
    )
    versions = {row.version for key, row in _TABLE if package_of(key) == package}
    for version in versions:
        wheel, error = _pip(package, version, minor, machine, 40, tmp_path)
        assert not wheel, "the index has it now: add a row"
        assert "No matching distribution" in error
