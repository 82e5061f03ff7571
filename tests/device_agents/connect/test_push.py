"""What a push promises, asked of every way of connecting: whole or untouched, resumed, and not in another's way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from device_agents.connect.base import Connection
from device_agents.connect.local import LocalConnection, base_python
from device_agents.errors import PushFailed
from edgewright.files import sha256_bytes, sha256_file


def _file(path: Path, size: int = 300_000) -> tuple[Path, str]:
    path.write_bytes(os.urandom(size))
    return path, sha256_file(path)


def test_push_then_pull_gives_the_same_bytes(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local")
    remote = str(tmp_path / "on the 'device' $(x)" / "fi le")
    assert connection.push(local, remote, digest) == 300_000
    connection.pull(remote, tmp_path / "back")
    assert sha256_file(tmp_path / "back") == digest


def test_push_of_an_empty_file_arrives(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local", 0)
    connection.push(local, str(tmp_path / "d" / "empty"), digest)
    assert (tmp_path / "d" / "empty").read_bytes() == b""


def test_push_of_what_is_there_sends_nothing(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local")
    remote = str(tmp_path / "d" / "file")
    connection.push(local, remote, digest)
    assert connection.push(local, remote, digest) == 0


def test_push_over_a_damaged_file_heals_it(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    connection.push(local, str(remote), digest)
    damaged = bytearray(remote.read_bytes())
    damaged[1000] ^= 1
    remote.write_bytes(damaged)
    assert connection.push(local, str(remote), digest) == 300_000
    assert sha256_file(remote) == digest


def test_push_with_another_digest_leaves_nothing(connection: Connection, tmp_path: Path) -> None:
    local, _ = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    with pytest.raises(PushFailed, match="other than it was sent"):
        connection.push(local, str(remote), sha256_bytes(b"something else"))
    assert list(remote.parent.iterdir()) == []


def _leave_partial(remote: Path, digest: str, data: bytes | bytearray) -> None:
    remote.parent.mkdir()
    (remote.parent / f".{remote.name}.{digest[:16]}.0123456789abcdef.part").write_bytes(data)


def test_push_goes_on_from_what_a_cut_left(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    _leave_partial(remote, digest, local.read_bytes()[:200_000])
    assert connection.push(local, str(remote), digest) == 100_000
    assert sha256_file(remote) == digest
    assert [path.name for path in remote.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("there", [200_000, 300_000])
def test_push_that_another_one_overtakes_is_no_error(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int
) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    _leave_partial(remote, digest, local.read_bytes()[:there])
    append = connection.append

    def overtaken(local: Path, remote_: str, offset: int, moved: Callable[[int], None]) -> None:
        # The other one is done between our plan and our first byte, and tidies up what ours goes on from.
        monkeypatch.setattr(connection, "append", append)
        connection.push(local, str(remote), digest)
        append(local, remote_, offset, moved)

    monkeypatch.setattr(connection, "append", overtaken)
    connection.push(local, str(remote), digest)
    assert sha256_file(remote) == digest
    assert [path.name for path in remote.parent.iterdir()] == ["file"]


def test_push_that_another_one_joins_before_its_first_byte_is_no_error(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    append = connection.append

    def joined(local: Path, remote_: str, offset: int, moved: Callable[[int], None]) -> None:
        Path(remote_).touch()  # opened, and nothing written yet
        asked = {"path": str(remote), "sha256": digest, "size": 300_000, "token": "f" * 16, "margin": 0}
        connection.place(do="plan", **asked)
        assert Path(remote_).exists()
        append(local, remote_, offset, moved)

    monkeypatch.setattr(connection, "append", joined)
    assert connection.push(local, str(remote), digest) == 300_000
    assert sha256_file(remote) == digest


def test_push_whose_file_is_taken_away_is_sent_once_more(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    append, often = connection.append, [0]

    def taken(local: Path, remote_: str, offset: int, moved: Callable[[int], None]) -> None:
        # As one does that finds little room, and takes this file for a leftover.
        append(local, remote_, offset, moved)
        often[0] += 1
        if often[0] <= times:
            Path(remote_).unlink()

    times = 1
    monkeypatch.setattr(connection, "append", taken)
    assert connection.push(local, str(remote), digest) == 600_000
    assert sha256_file(remote) == digest
    remote.unlink()
    times, often[0] = 9, 0
    with pytest.raises(PushFailed, match="went away"):
        connection.push(local, str(remote), digest)
    assert often[0] < 9
    assert list(remote.parent.iterdir()) == []


def test_pushes_of_one_file_at_once_all_arrive(tmp_path: Path) -> None:
    """Three programs, as two tasks and the night's: each finds what the others have begun, or done."""
    local, digest = _file(tmp_path / "local")
    names = ("one", "two", "three")
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        links = [stack.enter_context(LocalConnection(name, base_python())) for name in names]
        for round_ in range(200):
            remote = tmp_path / f"d{round_}" / "file"
            for push in [pool.submit(link.push, local, str(remote), digest) for link in links]:
                push.result()
            assert sha256_file(remote) == digest
            assert [path.name for path in remote.parent.iterdir()] == ["file"]
            remote.unlink()


def test_push_does_not_trust_a_partial_with_a_hole(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    holed = bytearray(local.read_bytes()[:200_000])
    holed[65536:98304] = bytes(32768)
    _leave_partial(remote, digest, holed)
    assert connection.push(local, str(remote), digest) == 300_000
    assert sha256_file(remote) == digest


def test_push_ignores_a_partial_of_other_content(connection: Connection, tmp_path: Path) -> None:
    local, digest = _file(tmp_path / "local")
    remote = tmp_path / "d" / "file"
    _leave_partial(remote, hashlib.sha256(b"other").hexdigest(), b"x" * 1000)
    assert connection.push(local, str(remote), digest) == 300_000
    assert sha256_file(remote) == digest
