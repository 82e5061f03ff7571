"""SSH against a real sshd: keys, routes, and links that break or freeze."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from device_agents.connect.ssh import SshConnection
from device_agents.errors import (
    AuthenticationFailed,
    DeviceUnreachable,
    FarmFileError,
    HostKeyChanged,
    UnknownHostKey,
)
from device_agents.farm.inventory import DeviceEntry
from tests.doubles.loopback import Loopback, free_port, new_key
from tests.prerequisites import require

pytestmark = pytest.mark.device

MEGABYTE = 1_000_000


def _say(entry: DeviceEntry) -> bytes:
    with SshConnection.open(entry) as connection:
        return connection.run(["echo", "hello"]).stdout


def test_unknown_host_key_is_refused_with_its_fingerprint(double: Loopback, tmp_path: Path) -> None:
    entry = double.entry().model_copy(update={"known_hosts": tmp_path / "empty"})
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(double.folder / "host.pub")], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    with pytest.raises(UnknownHostKey) as caught:
        SshConnection.open(entry)
    assert shown in str(caught.value)
    assert "./inv devices.trust double" in caught.value.remedy
    assert not (tmp_path / "empty").exists()


def test_changed_host_key_is_refused_with_both_fingerprints(double: Loopback, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    public = Path(f"{other}.pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{double.port} {public[0]} {public[1]}\n")
    entry = double.entry().model_copy(update={"known_hosts": tmp_path / "known"})
    with pytest.raises(HostKeyChanged) as caught:
        SshConnection.open(entry)
    assert str(caught.value).count("SHA256:") == 2
    assert "--replace" in caught.value.remedy


def test_hashed_known_hosts_are_understood(double: Loopback, tmp_path: Path) -> None:
    hashed = tmp_path / "hashed"
    shutil.copyfile(double.known_hosts(), hashed)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(hashed)], check=True, capture_output=True)
    assert "127.0.0.1" not in hashed.read_text()
    assert _say(double.entry().model_copy(update={"known_hosts": hashed})) == b"hello\n"


def test_wrong_key_is_refused(double: Loopback, tmp_path: Path) -> None:
    entry = double.entry().model_copy(update={"key": new_key(tmp_path / "stranger")})
    with pytest.raises(AuthenticationFailed) as caught:
        SshConnection.open(entry)
    assert "stranger" in caught.value.where
    assert "ssh-copy-id" in caught.value.remedy


@pytest.mark.parametrize("content", [None, "not a key"])
def test_key_file_that_is_no_key_is_refused(double: Loopback, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "no key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AuthenticationFailed) as caught:
        SshConnection.open(double.entry().model_copy(update={"key": path}))
    assert "no key" in caught.value.where


def test_key_with_a_passphrase_names_ssh_add(double: Loopback, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(locked)], check=True)
    with pytest.raises(AuthenticationFailed) as caught:
        SshConnection.open(double.entry().model_copy(update={"key": locked}))
    assert "ssh-add" in caught.value.remedy


def test_closed_port_is_unreachable(double: Loopback) -> None:
    with pytest.raises(DeviceUnreachable, match="nothing listens"):
        SshConnection.open(double.entry(port=free_port()))


def test_name_that_does_not_resolve_is_unreachable(double: Loopback) -> None:
    entry = double.entry().model_copy(update={"address": "no-such-host.invalid"})
    with pytest.raises(DeviceUnreachable, match="resolved"):
        SshConnection.open(entry)


def test_server_that_is_no_ssh_server_is_unreachable(double: Loopback) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            client, _ = listener.accept()
            client.sendall(b"220 smtp ready\r\n")
            client.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(DeviceUnreachable, match="SSH server"):
            SshConnection.open(double.entry(port=port))


@pytest.mark.parametrize("name", ["$(touch owned)", "a b", "-oProxyCommand=id", "..", "x" * 300])
def test_hostile_address_reaches_no_shell(double: Loopback, tmp_path: Path, name: str) -> None:
    entry = double.entry().model_copy(update={"address": name})
    with pytest.raises((DeviceUnreachable, FarmFileError)):
        SshConnection.open(entry)
    assert not Path("owned").exists()


def test_ssh_config_gives_what_farm_toml_leaves_out(double: Loopback, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {double.port}\n  User {double.user}\n  IdentityFile {double.key}\n"
        f"  HostKeyAlias 127.0.0.1\n  IdentitiesOnly yes\n"
    )
    entry = DeviceEntry(
        name="board", target="raspberry-pi", address="board", known_hosts=double.known_hosts(), ssh_config=config
    )
    assert _say(entry) == b"hello\n"


def test_jump_hosts_are_gone_through_and_checked(double: Loopback, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {double.key}\n  IdentitiesOnly yes\n")
    with Loopback(tmp_path / "jump") as jump, Loopback(tmp_path / "second") as second:
        for one in (jump, second):
            shutil.copyfile(double.folder / "authorized_keys", one.folder / "authorized_keys")
        known = tmp_path / "known"
        known.write_text(
            double.known_hosts().read_text() + jump.known_hosts().read_text() + second.known_hosts().read_text()
        )
        places = f"{jump.user}@127.0.0.1:{jump.port},ssh://127.0.0.1:{second.port}"
        entry = double.entry().model_copy(update={"jump": places, "known_hosts": known, "ssh_config": config})
        assert _say(entry) == b"hello\n"
        for one in (jump, second):
            assert "Accepted publickey" in one.log
        known.write_text(double.known_hosts().read_text() + jump.known_hosts().read_text())
        with pytest.raises(UnknownHostKey) as caught:
            SshConnection.open(entry)
        assert str(second.port) in str(caught.value)


def test_jump_host_that_reaches_nothing_is_told(double: Loopback, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {double.key}\n")
    entry = double.entry(port=free_port()).model_copy(
        update={"jump": f"127.0.0.1:{double.port}", "ssh_config": config, "known_hosts": double.known_hosts()}
    )
    with pytest.raises(DeviceUnreachable, match="from its jump host"):
        SshConnection.open(entry)


def test_jump_hosts_in_a_circle_are_refused(double: Loopback, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(FarmFileError, match="circle"):
        SshConnection.open(double.entry().model_copy(update={"jump": "a", "ssh_config": config}))


def test_agent_forwarded_keys_are_used_where_farm_toml_names_none(
    double: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(shutil.which("ssh-agent"), "ssh-agent is not installed: apt-get install openssh-client")
    place = tmp_path / "agent"
    running = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        while not place.exists():
            assert running.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        subprocess.run(["ssh-add", "-q", str(double.key)], check=True)
        config = tmp_path / "config"
        config.write_text("")
        entry = double.entry().model_copy(update={"key": None, "ssh_config": config})
        assert _say(entry) == b"hello\n"
    finally:
        running.terminate()
        running.wait()
