"""Links that break, freeze or lead to a full disk, with and without an SFTP server at the other end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.connect.ssh import SshConnection
from device_agents.errors import (
    LinkLost,
    NoRoom,
)
from edgewright.files import sha256_file
from tests.doubles.faults import FaultLink
from tests.doubles.loopback import Loopback

pytestmark = pytest.mark.device

MEGABYTE = 1_000_000


def test_many_commands_do_not_use_up_the_sessions(double: Loopback) -> None:
    with SshConnection.open(double.entry()) as connection:
        for number in range(25):
            assert connection.run(["echo", str(number)]).stdout == f"{number}\n".encode()


def test_link_cut_in_mid_command_is_lost_not_done(double: Loopback) -> None:
    with FaultLink(double.port) as proxy, SshConnection.open(double.entry(port=proxy.port)) as connection:
        threading.Timer(1.0, proxy.cut).start()
        with pytest.raises(LinkLost):
            connection.run(["sleep", "20"], timeout=15)


def test_link_cut_in_mid_stream_is_lost_not_done(double: Loopback) -> None:
    with FaultLink(double.port) as proxy, SshConnection.open(double.entry(port=proxy.port)) as connection:
        lines: list[bytes] = []

        def hear(line: bytes) -> None:
            lines.append(line)
            if len(lines) == 3:
                proxy.cut()

        with pytest.raises(LinkLost):
            connection.stream(["sh", "-c", "while sleep 0.1; do echo x; done"], b"", hear)
    assert len(lines) >= 3


@pytest.fixture(params=["sftp", "cat"])
def server(request: pytest.FixtureRequest) -> Iterator[Loopback]:
    """With and without an SFTP server."""
    yield request.getfixturevalue("double" if request.param == "sftp" else "bare_double")


def test_push_cut_in_the_middle_goes_on_where_it_was(server: Loopback, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(20 * MEGABYTE))
    digest, remote = sha256_file(local), tmp_path / "d" / "file"
    with FaultLink(server.port) as proxy:
        entry = server.entry(port=proxy.port)
        with SshConnection.open(entry) as connection:
            proxy.at_byte(proxy.sent + 12 * MEGABYTE, proxy.cut)
            with pytest.raises(LinkLost) as caught:
                connection.push(local, str(remote), digest)
        assert "run the same command again" in caught.value.remedy
        assert not remote.exists()
        before = proxy.sent
        with SshConnection.open(entry) as connection:
            sent = connection.push(local, str(remote), digest)
        assert 0 < sent < 12 * MEGABYTE
        assert proxy.sent - before < 12 * MEGABYTE
    assert sha256_file(remote) == digest
    assert [path.name for path in remote.parent.iterdir()] == ["file"]


def test_push_on_a_frozen_link_ends_by_the_watchdog_and_late_writes_do_no_harm(
    server: Loopback, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(20 * MEGABYTE))
    digest, remote = sha256_file(local), tmp_path / "d" / "file"
    with FaultLink(server.port) as proxy:
        with SshConnection.open(server.entry(port=proxy.port), stall_s=3.0) as connection:
            proxy.at_byte(proxy.sent + 8 * MEGABYTE, proxy.freeze)
            with pytest.raises(LinkLost):
                connection.push(local, str(remote), digest)
        # The second try writes while what the first had under way may still arrive.
        with SshConnection.open(server.entry()) as connection:
            proxy.thaw()
            connection.push(local, str(remote), digest)
    assert sha256_file(remote) == digest


def test_two_pushes_of_one_file_at_a_time_both_succeed(server: Loopback, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(10 * MEGABYTE))
    digest, remote = sha256_file(local), tmp_path / "d" / "file"
    ready = threading.Barrier(2)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            with SshConnection.open(server.entry()) as connection:
                connection.place(do="free", path=str(tmp_path))
                ready.wait(30)
                connection.push(local, str(remote), digest)
        except BaseException as error:
            failed.append(error)

    senders = [threading.Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert failed == []
    assert sha256_file(remote) == digest
    assert [path.name for path in remote.parent.iterdir()] == ["file"]


def test_push_that_will_not_fit_is_not_begun(server: Loopback, tmp_path: Path, small_disk: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(20 * MEGABYTE))
    with SshConnection.open(server.entry()) as connection, pytest.raises(NoRoom, match="has no room"):
        connection.push(local, str(small_disk / "d" / "file"), sha256_file(local))
    assert list((small_disk / "d").iterdir()) == []


def test_push_onto_a_disk_that_fills_up_says_so_and_tidies(
    server: Loopback, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(14 * MEGABYTE))
    with SshConnection.open(server.entry()) as connection:
        really, hog = connection.append, small_disk / "hog"

        def append(*given: object) -> None:
            hog.write_bytes(bytes(18 * MEGABYTE))  # someone else was quicker
            really(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(connection, "append", append)
        with pytest.raises(NoRoom):
            connection.push(local, str(small_disk / "d" / "file"), sha256_file(local))
    assert list((small_disk / "d").iterdir()) == []
