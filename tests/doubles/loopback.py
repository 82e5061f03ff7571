"""A device double: a real OpenSSH server on the loopback, unprivileged, with keys and a folder of its own.

In tests: `with Loopback(folder) as double:`. By hand, to try a farm without owning a board:
`python -m tests.doubles.loopback --farm farm.toml --target raspberry-pi` declares it and runs until Ctrl-C.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from device_agents.farm.inventory import DeviceEntry
from tests.doubles import declared


def sshd_path() -> str | None:
    """Where the OpenSSH server is; None where it isn't installed. sshd starts itself again, so the path is absolute."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_key(path: Path) -> Path:
    """A fresh ed25519 key pair at `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "double", "-f", str(path)], check=True)
    return path


class Loopback:
    """One sshd. folder: for its keys, log and configuration, and the home of the device; sftp: whether it serves SFTP;
    options: further lines of sshd_config."""

    def __init__(self, folder: Path, *, sftp: bool = True, options: str = "", port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.user = getpass.getuser()
        self._sftp = sftp
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the server: what it starts for a connection is its child."""
        assert self._process is not None
        return self._process.pid

    @property
    def python(self) -> str:
        """The device's own Python."""
        return _base_python()

    @property
    def key(self) -> Path:
        """The client key that is let in."""
        return self.folder / "client"

    @property
    def root(self) -> Path:
        """The agent's folder on this device."""
        return self.folder / "device"

    @property
    def log(self) -> str:
        """What sshd has logged so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def known_hosts(self, *ports: int) -> Path:
        """A known_hosts file that pins this double's key, also behind other ports (a proxy's)."""
        public = self.folder.joinpath("host.pub").read_text().split()
        path = self.folder / "known_hosts"
        lines = [f"[127.0.0.1]:{port} {public[0]} {public[1]}\n" for port in (self.port, *ports)]
        path.write_text("".join(lines))
        return path

    def entry(self, *, port: int | None = None, name: str = "double", target: str = "raspberry-pi") -> DeviceEntry:
        """The double as farm.toml would name it; port: of a proxy in front of it."""
        return DeviceEntry(
            name=name,
            target=target,
            address="127.0.0.1",
            port=port or self.port,
            user=self.user,
            key=self.key,
            known_hosts=self.known_hosts(*([port] if port else [])),
            root=str(self.root),
            python=sys.executable if sys.prefix == sys.base_prefix else _base_python(),
        )

    def __enter__(self) -> Loopback:
        program = sshd_path()
        if program is None:
            raise FileNotFoundError("sshd is not installed: apt-get install openssh-server")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            new_key(self.folder / "host")
            new_key(self.key)
            shutil.copyfile(f"{self.key}.pub", self.folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # as root it wants its privilege separation folder
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {_quoted(self.folder / 'host')}\n"
            f"PidFile {_quoted(self.folder / 'pid')}\nAuthorizedKeysFile {_quoted(self.folder / 'authorized_keys')}\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nUseDNS no\n"
            "MaxStartups 100:30:200\nPrintMotd no\n"
            + ("PermitRootLogin prohibit-password\n" if os.geteuid() == 0 else "")
            + ("Subsystem sftp internal-sftp\n" if self._sftp else "")
            + self._options
        )
        self._process = subprocess.Popen(
            [program, "-D", "-f", str(config), "-E", str(self.folder / "log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        self.__exit__(None, None, None)
        raise RuntimeError(f"sshd did not start:\n{self.log}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            # Connections that are still open have processes of their own, in the same group.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=10)


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _base_python() -> str:
    from device_agents.connect.local import base_python

    return base_python()


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def table(double: Loopback, target: str, name: str, stand_in: bool = True) -> str:
    """The double as a device of `target` in farm.toml; a stand-in, since its times are this machine's.

    stand_in: False where the target is what this machine really is.
    """
    known_hosts = double.known_hosts()
    return (
        f"[devices.{name}]\n"
        f"target = {_toml(target)}\n"
        'address = "127.0.0.1"\n'
        f"port = {double.port}\n"
        f"user = {_toml(double.user)}\n"
        f"key = {_toml(str(double.key))}\n"
        f"known_hosts = {_toml(str(known_hosts))}\n"
        f"root = {_toml(str(double.root))}\n"
        f"python = {_toml(_base_python())}\n"
        f"stand_in = {'true' if stand_in else 'false'}\n"
    )


def declare(double: Loopback, farm: Path, target: str, name: str, stand_in: bool = True) -> None:
    """Writes a farm.toml that has this double and nothing else."""
    farm.write_text(table(double, target, name, stand_in))


def main() -> int:
    """The command line; returns the exit status."""
    given = declared.options("loopback", __doc__, target="raspberry-pi", name="double")
    with tempfile.TemporaryDirectory(prefix="edgewright-double-") as folder, ExitStack() as opened:
        tables = {
            name: table(opened.enter_context(Loopback(Path(folder) / name)), given.target, name)
            for name in declared.numbered(given.name, given.count)
        }
        return declared.serve(given.farm, tables, f"a {given.target} on the loopback", given.target)


if __name__ == "__main__":
    sys.exit(declared.until_stopped(main))
