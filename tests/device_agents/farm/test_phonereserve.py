"""A reservation by shell commands alone: the file that an agent would write, one winner, nothing left half."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from device_agents.agent import reserve as agents
from device_agents.connect.base import Connection
from device_agents.connect.local import LocalConnection, base_python
from device_agents.connect.shell import Shell
from device_agents.errors import DeviceFolderError
from device_agents.farm import reservation as reservations
from device_agents.farm.phonereserve import refuse, release, reserve, standing
from device_agents.farm.reservation import DeviceReserved, me

HOSTILE = 'it\'s "my" $(reboot) `reboot` \\ %s; -n'


@pytest.fixture
def root(tmp_path: Path) -> str:
    folder = tmp_path / "it's $(a) root"
    folder.mkdir()
    return str(folder)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalConnection("pixel", base_python()) as found:
        yield found


@pytest.fixture
def shell(connection: Connection) -> Iterator[Shell]:
    found = Shell(connection)
    yield found
    found.close()


def test_agent_reads_what_the_shell_wrote_and_the_other_way(connection: Connection, shell: Shell, root: str) -> None:
    made = reserve(connection, root, 7200, HOSTILE)
    found = agents.standing(root, made["until"] - 7200)
    assert found is not None and found["note"] == HOSTILE
    assert (found["boot_id"], found["since_start_s"]) == (made["boot_id"], made["since_start_s"])
    assert made["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert made["since_start_s"] > 0
    assert agents.release(root, me(), made["until"] - 7200) is not None
    assert standing(shell, root) is None
    agents.reserve(root, me(), 7200, HOSTILE, made["until"] - 7200)
    told = refuse(shell, "pixel", root)
    assert told is not None and told["note"] == HOSTILE


def test_somebody_elses_is_refused_until_it_is_taken(
    connection: Connection, shell: Shell, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "user_name", lambda: "ada")
    reserve(connection, root, 7200, "")
    monkeypatch.setattr(reservations, "user_name", lambda: "bob")
    commands: list[Callable[[], object]] = [
        lambda: refuse(shell, "pixel", root),
        lambda: reserve(connection, root, 60, ""),
        lambda: release(connection, root),
    ]
    for refused in commands:
        with pytest.raises(DeviceReserved, match="pixel is reserved: ada on"):
            refused()
    found = release(connection, root, anyway=True)
    assert found is not None and found["who"] == "ada"
    assert standing(shell, root) is None and release(connection, root) is None


def test_garbage_reserves_nothing(connection: Connection, shell: Shell, root: str) -> None:
    path = Path(root, agents.FOLDER, agents.FILE)
    path.parent.mkdir()
    path.write_bytes(b"\xff\x00{" * 100)
    assert standing(shell, root) is None
    reserve(connection, root, 60, "")
    assert json.loads(path.read_text())["seconds"] == 60


def test_write_that_fails_is_said_and_leaves_nothing_half(connection: Connection, root: str) -> None:
    folder = Path(root, agents.FOLDER)
    (folder / f"{agents.FILE}.part").mkdir(parents=True)
    with pytest.raises(DeviceFolderError, match="pixel") as caught:
        reserve(connection, root, 60, "")
    assert caught.value.where.endswith(agents.FILE)
    assert not (folder / agents.FILE).exists()


def test_of_two_hosts_that_ask_at_once_one_gets_it(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    who = threading.local()
    monkeypatch.setattr(reservations, "user_name", lambda: who.name)
    start = threading.Barrier(4)

    def ask(number: int) -> bool:
        who.name = f"host-{number}"
        with LocalConnection("pixel", base_python()) as connection:
            start.wait()
            try:
                reserve(connection, root, 60, "")
            except DeviceReserved:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        won = [f"host-{number}" for number, got in enumerate(pool.map(ask, range(4))) if got]
    found = agents.standing(root, 0.0)
    assert found is not None and [found["who"]] == won
