"""farm.toml: read, chosen from, and refused with file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.errors import FarmFileError, UnknownDevice, WrongTarget
from device_agents.farm.inventory import STAND_IN, Inventory

FARM = """
[devices.attic]
target = "raspberry-pi"
address = "192.0.2.7"
user = "pi"
key = "keys/attic"
jump = "gate.example"

[devices.desk]
target = "jetson"
address = "desk.local"
port = 2222
emulated = true
"""


def _read(tmp_path: Path, text: str) -> Inventory:
    path = tmp_path / "farm.toml"
    path.write_text(text)
    return Inventory.read(path)


def test_missing_file_is_an_empty_farm_and_this_machine_stands_in(tmp_path: Path) -> None:
    entry = Inventory.read(tmp_path / "farm.toml").choose("raspberry-pi")
    assert (entry.name, entry.kind, entry.stand_in, entry.target) == (STAND_IN, "local", True, "raspberry-pi")


def test_device_of_the_target_is_chosen(tmp_path: Path) -> None:
    farm = _read(tmp_path, FARM)
    assert farm.choose("raspberry-pi").name == "attic"
    assert farm.choose("jetson", "desk").port == 2222
    assert farm.choose("jetson").emulated
    assert not farm.choose("jetson").stand_in
    assert not farm.choose("host").stand_in
    assert farm.choose("linux-arm64").stand_in


def test_this_machine_can_be_asked_for_by_name(tmp_path: Path) -> None:
    assert _read(tmp_path, FARM).choose("raspberry-pi", STAND_IN).stand_in


def test_paths_are_meant_from_the_farm_files_folder(tmp_path: Path) -> None:
    entry = _read(tmp_path, FARM).named("attic")
    assert entry.key == tmp_path / "keys" / "attic"
    assert entry.default_known_hosts == tmp_path / "farm.known_hosts"


def test_unknown_device_lists_the_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownDevice) as caught:
        _read(tmp_path, FARM).choose("raspberry-pi", "cellar")
    assert "'attic', 'desk'" in str(caught.value)


def test_device_of_another_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongTarget) as caught:
        _read(tmp_path, FARM).choose("raspberry-pi", "desk")
    assert "--target jetson" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[devices.a\n", ["no valid TOML"]),
        ("[device.a]\ntarget = 'x'\n", ["Unknown key 'device'", "[devices.NAME]"]),
        ("devices = 3\n", ["must be a table"]),
        ("[devices]\na = 3\n", ["devices.a must be a table"]),
        ("[devices.a]\ntarget = 'x'\naddress = 'h'\nadress = 'h'\n", ["unknown key 'adress'", "address"]),
        ("[devices.a]\naddress = 'h'\n", ["target", "devices.a.target"]),
        ("[devices.a]\ntarget = 'x'\n", ["address is missing"]),
        ("[devices.a]\ntarget = 'x'\naddress = 'h'\nport = 99999\n", ["devices.a.port"]),
        ("[devices.a]\ntarget = 'x'\naddress = 'h'\nport = '22'\nuser = 3\n", ["devices.a"]),
        ("[devices.a]\ntarget = 'x'\naddress = '-oProxyCommand=id'\n", ["devices.a.address", "dash"]),
        ("[devices.a]\ntarget = 'x'\naddress = \"h\\nx\"\n", ["control characters"]),
        ("[devices.a]\ntarget = 'x'\naddress = 'h'\nkind = 'usb'\n", ["devices.a.kind"]),
        ("[devices.a]\ntarget = 'x'\naddress = 'h'\nserial = 's'\n", ["serial is not for kind = 'ssh'"]),
        ("[devices.a]\ntarget = 'x'\nkind = 'adb'\nuser = 'u'\n", ["user is not for kind = 'adb'"]),
        ("[devices.a]\ntarget = 'x'\nkind = 'adb'\nserial = 's'\naddress = 'h'\n", ["not both"]),
        ("[devices.a]\ntarget = 'x'\nkind = 'adb'\nserial = '-s'\n", ["devices.a.serial", "dash"]),
        ("[devices.a]\ntarget = 'x'\nkind = 'adb'\nserial = \"s\\nx\"\n", ["control characters"]),
        ("[devices.a]\ntarget = 'x'\naddress = 'h'\nname = 'b'\n", ["Unknown key 'name'"]),
    ],
)
def test_bad_farm_files_name_file_key_and_remedy(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(FarmFileError) as caught:
        _read(tmp_path, text)
    message = str(caught.value)
    assert str(tmp_path / "farm.toml") in message
    assert caught.value.remedy
    for word in words:
        assert word in message


def test_phone_needs_no_address_and_its_paths_are_the_farm_file_s(tmp_path: Path) -> None:
    entries = _read(
        tmp_path,
        "[devices.a]\ntarget = 'android'\nkind = 'adb'\n"
        "[devices.b]\ntarget = 'android'\nkind = 'adb'\nserial = 'S1'\nadb = 'tools/adb'\n"
        "adb_server = 'tcp:5038'\nbenchmark_model = 'bin/benchmark_model'\n"
        "[devices.c]\ntarget = 'android'\nkind = 'adb'\naddress = '192.0.2.7:5555'\n",
    ).entries
    assert (entries["a"].adb, entries["a"].serial, entries["a"].where) == ("adb", None, "adb")
    assert entries["b"].adb == str(tmp_path / "tools" / "adb")
    assert entries["b"].benchmark_model == tmp_path / "bin" / "benchmark_model"
    assert (entries["b"].where, entries["c"].where) == ("adb S1", "adb 192.0.2.7:5555")


def test_farm_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FarmFileError):
        Inventory.read(tmp_path / "farm.toml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FarmFileError):
        Inventory.read(tmp_path / "folder")
