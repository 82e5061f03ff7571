"""Doubles that are started side by side share farm.toml; each takes away its own table, and a killed one's goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from device_agents.farm.inventory import Inventory
from tests.doubles.declared import declared, numbered

_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.doubles.declared import declared
with declared(Path(sys.argv[1]), {"killed": sys.argv[2]}):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _table(name: str) -> str:
    return f'[devices.{name}]\ntarget = "host"\naddress = "127.0.0.1"\nuser = "ada"\nport = 22\n'


def _names(farm: Path) -> list[str]:
    return sorted(Inventory.read(farm).entries)


def test_doubles_stand_side_by_side_and_leave_one_by_one(tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    with declared(farm, {"a-1": _table("a-1"), "a-2": _table("a-2")}):
        with declared(farm, {"b": _table("b")}):
            assert _names(farm) == ["a-1", "a-2", "b"]
        assert _names(farm) == ["a-1", "a-2"]
    assert not farm.exists()


def test_name_that_is_taken_is_refused_and_stays(tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    with declared(farm, {"a": _table("a")}):
        before = farm.read_bytes()
        with pytest.raises(ValueError, match="--name"), declared(farm, {"a": _table("a")}):
            pass
        assert farm.read_bytes() == before


def test_file_of_a_person_is_left_alone(tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    farm.write_text(_table("mine"))
    with pytest.raises(ValueError, match="--farm"), declared(farm, {"a": _table("a")}):
        pass
    assert farm.read_text() == _table("mine")


def test_table_of_a_killed_double_goes_with_the_next(tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    subprocess.run([sys.executable, "-c", _KILLED, str(farm), _table("killed")], check=False)
    assert _names(farm) == ["killed"]
    with declared(farm, {"a": _table("a")}):
        assert _names(farm) == ["a"]


def test_several_are_numbered() -> None:
    assert numbered("pi", 1) == ["pi"]
    assert numbered("pi", 3) == ["pi-1", "pi-2", "pi-3"]
