"""adb: which phone is meant and what each failure is called; phones that are unplugged, freeze or are full."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.connect.adb import AdbConnection
from device_agents.connect.adbserver import (
    AdbMissing,
    AdbServerError,
    PhoneNotFound,
    PhoneOffline,
    PhoneTooOld,
    PhoneUnauthorized,
)
from device_agents.errors import DeviceUnreachable, LinkLost, NoRoom
from device_agents.farm.inventory import DeviceEntry
from edgewright.files import sha256_file
from tests.doubles.fake_adb import FakeAdb
from tests.doubles.faults import FaultLink
from tests.doubles.loopback import free_port
from tests.doubles.phone import PhoneDouble
from tests.prerequisites import require

pytestmark = pytest.mark.device

MEGABYTE = 1_000_000


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[PhoneDouble]:
    """A phone of this test's own, to be spoiled."""
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    with PhoneDouble(tmp_path / "phone") as found:
        yield found


def _entry(phone: PhoneDouble, **changes: object) -> DeviceEntry:
    return phone.entry().model_copy(update=changes)


def _say(entry: DeviceEntry) -> bytes:
    with AdbConnection.open(entry) as connection:
        return connection.run(["echo", "hello"]).stdout


def test_the_only_phone_needs_no_serial(phone: PhoneDouble) -> None:
    assert _say(_entry(phone, serial=None)) == b"hello\n"


def test_missing_program_names_the_package(phone: PhoneDouble) -> None:
    with pytest.raises(AdbMissing) as caught:
        AdbConnection.open(_entry(phone, adb="/nowhere/adb"))
    assert "apt-get install adb" in caught.value.remedy
    assert "/nowhere/adb" in caught.value.where


def test_unknown_serial_lists_what_is_there(phone: PhoneDouble) -> None:
    with pytest.raises(PhoneNotFound) as caught:
        AdbConnection.open(_entry(phone, serial="OTHER"))
    assert f"{phone.phone.serial} (device)" in caught.value.where


def test_no_phone_at_all_says_so(phone: PhoneDouble) -> None:
    phone.phone.state = "absent"
    with pytest.raises(PhoneNotFound, match="No phone is connected") as caught:
        AdbConnection.open(_entry(phone, serial=None))
    assert "USB debugging" in caught.value.remedy


def test_several_phones_and_no_serial_are_listed(phone: PhoneDouble, tmp_path: Path) -> None:
    other = PhoneDouble(tmp_path / "other", serial="SECOND")
    with FakeAdb(phone.phone, other.phone) as server:
        with pytest.raises(PhoneNotFound, match="Several phones") as caught:
            AdbConnection.open(_entry(phone, serial=None, adb_server=server.address))
        assert "SECOND (device)" in caught.value.where
        assert "serial" in caught.value.remedy
        assert _say(_entry(phone, serial="SECOND", adb_server=server.address)) == b"hello\n"


def test_unauthorized_phone_asks_for_the_tap(phone: PhoneDouble) -> None:
    phone.phone.state = "unauthorized"
    with pytest.raises(PhoneUnauthorized, match="does not trust") as caught:
        AdbConnection.open(phone.entry())
    assert "unlock the phone" in caught.value.remedy
    phone.phone.state = "device"
    assert _say(phone.entry()) == b"hello\n"


@pytest.mark.parametrize("state", ["offline", "recovery", "bootloader"])
def test_phone_that_is_no_use_now_is_named(phone: PhoneDouble, state: str) -> None:
    phone.phone.state = state
    with pytest.raises(PhoneOffline, match=state):
        AdbConnection.open(phone.entry())


def test_usb_port_without_permission_names_the_rules(phone: PhoneDouble) -> None:
    phone.phone.state = "no permissions (user in plugdev group; are your udev rules wrong?)"
    with pytest.raises(PhoneUnauthorized, match="may not open the USB port"):
        AdbConnection.open(phone.entry())


def test_phone_without_exit_statuses_is_refused(phone: PhoneDouble) -> None:
    phone.phone.features = "cmd"
    with pytest.raises(PhoneTooOld, match="before 7"):
        AdbConnection.open(phone.entry())


def test_server_of_another_version_is_left_alone(phone: PhoneDouble) -> None:
    phone.server.version = 40
    with pytest.raises(AdbServerError, match="version 40") as caught:
        AdbConnection.open(phone.entry())
    assert "kill-server" in caught.value.remedy
    assert not phone.server.killed


def test_named_server_that_is_not_there_is_not_started(phone: PhoneDouble) -> None:
    port = free_port()
    with pytest.raises(AdbServerError, match="No adb server listens"):
        AdbConnection.open(phone.entry(server=f"tcp:127.0.0.1:{port}"))
    with pytest.raises(AdbServerError, match="No adb server listens"):
        AdbConnection.open(phone.entry(server=f"tcp:127.0.0.1:{port}"))


def test_wireless_phone_is_connected_first(tmp_path: Path) -> None:
    require(shutil.which("adb"), "adb is not installed: apt-get install adb")
    with PhoneDouble(tmp_path / "phone", serial="192.0.2.7:5555") as phone:
        phone.phone.state = "absent"
        assert _say(_entry(phone, serial=None, address="192.0.2.7")) == b"hello\n"
        assert _say(_entry(phone, serial=None, address="192.0.2.7:5555")) == b"hello\n"
        assert _say(_entry(phone, serial=None, address="192.0.2.7", port=5555)) == b"hello\n"
        phone.phone.state = "unauthorized"
        with pytest.raises(PhoneUnauthorized):
            AdbConnection.open(_entry(phone, serial=None, address="192.0.2.7"))
        with pytest.raises(DeviceUnreachable, match="does not let adb connect") as caught:
            AdbConnection.open(_entry(phone, serial=None, address="192.0.2.8"))
        assert "wireless debugging" in caught.value.remedy


def test_phone_unplugged_in_mid_command_is_lost_not_done(phone: PhoneDouble) -> None:
    with AdbConnection.open(phone.entry()) as connection:
        threading.Timer(0.5, phone.phone.unplug).start()
        with pytest.raises(LinkLost):
            connection.run(["sleep", "20"], timeout=15)
        with pytest.raises(LinkLost):
            connection.run(["echo", "hello"])


def test_adb_itself_takes_an_unplugged_phone_for_success(phone: PhoneDouble) -> None:
    """Why every command ends with a marker: the day that adb tells it, the marker can go."""
    entry = phone.entry()
    environment = {**os.environ, "ADB_SERVER_SOCKET": entry.adb_server or ""}
    threading.Timer(0.5, phone.phone.unplug).start()
    done = subprocess.run(["adb", "-s", phone.phone.serial, "shell", "-T", "sleep 20"], env=environment, check=False)
    assert done.returncode == 0


def _big(path: Path, megabytes: int) -> tuple[Path, str]:
    path.write_bytes(os.urandom(megabytes * MEGABYTE))
    return path, sha256_file(path)


def test_push_unplugged_in_the_middle_goes_on_where_it_was(phone: PhoneDouble, tmp_path: Path) -> None:
    local, digest = _big(tmp_path / "local", 20)
    remote = tmp_path / "d" / "file"
    with AdbConnection.open(phone.entry()) as connection:
        phone.phone.cut_at = 12 * MEGABYTE
        with pytest.raises(LinkLost) as caught:
            connection.push(local, str(remote), digest)
    assert "run the same command again" in caught.value.remedy
    assert not remote.exists()
    phone.phone.plug()
    before = phone.phone.received
    with AdbConnection.open(phone.entry()) as connection:
        sent = connection.push(local, str(remote), digest)
    assert 0 < sent < 12 * MEGABYTE
    assert phone.phone.received - before < 12 * MEGABYTE
    assert sha256_file(remote) == digest
    assert [path.name for path in remote.parent.iterdir()] == ["file"]


def test_push_to_a_frozen_phone_ends_by_the_watchdog(phone: PhoneDouble, tmp_path: Path) -> None:
    local, digest = _big(tmp_path / "local", 30)
    remote = tmp_path / "d" / "file"
    with FaultLink(phone.server.port) as proxy:
        entry = phone.entry(server=f"tcp:127.0.0.1:{proxy.port}")
        with AdbConnection.open(entry, stall_s=2.0) as connection:
            proxy.at_byte(proxy.sent + 8 * MEGABYTE, proxy.freeze)
            with pytest.raises(LinkLost):
                connection.push(local, str(remote), digest)
        # The second try writes while what the first had under way may still arrive.
        with AdbConnection.open(phone.entry()) as connection:
            proxy.thaw()
            connection.push(local, str(remote), digest)
    assert sha256_file(remote) == digest


def test_two_pushes_of_one_file_at_a_time_both_succeed(phone: PhoneDouble, tmp_path: Path) -> None:
    local, digest = _big(tmp_path / "local", 10)
    remote = tmp_path / "d" / "file"
    ready = threading.Barrier(2)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            with AdbConnection.open(phone.entry()) as connection:
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


def test_push_that_will_not_fit_is_not_begun(phone: PhoneDouble, tmp_path: Path, small_disk: Path) -> None:
    local, digest = _big(tmp_path / "local", 20)
    with AdbConnection.open(phone.entry()) as connection, pytest.raises(NoRoom, match="has no room"):
        connection.push(local, str(small_disk / "d" / "file"), digest)
    assert list((small_disk / "d").iterdir()) == []


def test_push_onto_a_disk_that_fills_up_says_so_and_tidies(
    phone: PhoneDouble, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, digest = _big(tmp_path / "local", 14)
    with AdbConnection.open(phone.entry()) as connection:
        really, hog = connection.append, small_disk / "hog"

        def append(*given: object) -> None:
            hog.write_bytes(bytes(18 * MEGABYTE))  # someone else was quicker
            really(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(connection, "append", append)
        with pytest.raises(NoRoom):
            connection.push(local, str(small_disk / "d" / "file"), digest)
    assert list((small_disk / "d").iterdir()) == []
