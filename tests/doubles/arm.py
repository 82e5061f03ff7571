"""An ARM board's double: a real aarch64 or armhf userland, run by qemu-user, behind a real sshd on the loopback.

In tests: `with ArmDouble(folder, like="raspberry-pi") as double:`. By hand, to try a board without owning one:
`python -m tests.doubles.arm --like raspberry-pi --farm farm.toml` declares it and runs until Ctrl-C (as root). It
proves that something installs, runs and gives the same answers on ARM; its times mean nothing, and it is declared so.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from device_agents.farm.inventory import DeviceEntry
from edgewright.errors import EdgewrightError
from tests.doubles import declared
from tests.doubles.arm_boards import BOARDS, Board
from tests.doubles.arm_root import missing, root_of
from tests.doubles.loopback import _toml, free_port, new_key, sshd_path

_INIT = Path(__file__).with_name("arm_init.py")
_GIGABYTE = 1 << 30


class ArmDouble:
    """One board. folder: for its keys and log; like: its name in arm_boards.BOARDS; disk_bytes: room for what is put on
    it (it lies in memory). Nothing of it outlives this process, not even when this process is killed.

    Raises RootError where the userland can't be made, RuntimeError where the double doesn't come up.
    """

    def __init__(self, folder: Path, like: str = "raspberry-pi", *, disk_bytes: int = 2 * _GIGABYTE) -> None:
        self.folder = folder.absolute()
        self.like = like
        self.board: Board = BOARDS[like]
        self.port = free_port()
        self._disk_bytes = disk_bytes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> Path:
        """The client key that is let in."""
        return self.folder / "client"

    @property
    def root(self) -> str:
        """The agent's folder on this device."""
        return f"/home/{self.board.user}/.edgewright"

    @property
    def log(self) -> str:
        """What the double and its sshd have said so far."""
        paths = [self.folder / name for name in ("init.log", "sshd.log")]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def known_hosts(self) -> Path:
        """A known_hosts file that pins this double's own key."""
        public = self.folder.joinpath("host.pub").read_text().split()
        path = self.folder / "known_hosts"
        path.write_text(f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n")
        return path

    def entry(self, *, name: str = "double", target: str | None = None) -> DeviceEntry:
        """The double as farm.toml would name it; its target is the board's unless another is named."""
        return DeviceEntry(
            name=name,
            target=target or self.board.target,
            address="127.0.0.1",
            port=self.port,
            user=self.board.user,
            key=self.key,
            known_hosts=self.known_hosts(),
            root=self.root,
            emulated=True,
        )

    def __enter__(self) -> ArmDouble:
        if reason := missing():
            raise RuntimeError(reason)
        lower = root_of(self.board.root, lambda text: print(text, file=sys.stderr, flush=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            new_key(self.folder / "host")
            new_key(self.key)
        Path("/run/sshd").mkdir(exist_ok=True)
        setting = self.folder / "setting.json"
        setting.write_text(json.dumps(self._setting(lower)))
        # --mount-proc: /proc of the new PID namespace, as sshd expects it. The network stays this machine's own.
        command = ["unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc"]
        with (self.folder / "init.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, sys.executable, "-I", str(_INIT), str(setting)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C is for us; the double ends when its stdin does.
                start_new_session=True,
            )
        try:
            self._answer()
            self.wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _setting(self, lower: Path) -> dict[str, Any]:
        board = self.board
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {_quoted(self.folder / 'host')}\nPidFile none\n"
            "AuthorizedKeysFile /mnt/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"UsePAM no\nStrictModes no\nUseDNS no\nMaxStartups 100:30:200\nPrintMotd no\nAllowUsers {board.user}\n"
            f"ChrootDirectory /mnt/root\nSubsystem sftp internal-sftp\nSetEnv QEMU_CPU={board.cpu}\n"
        )
        return {
            "lower": str(lower),
            "disk_bytes": self._disk_bytes,
            "files": board.tree(),
            "scripts": dict(board.scripts),
            "cpuinfo": board.cpuinfo(),
            "user": board.user,
            "hostname": self.like,
            "authorized_keys": Path(f"{self.key}.pub").read_text(),
            "sshd": [sshd_path(), "-D", "-f", str(config), "-E", str(self.folder / "sshd.log")],
        }

    def _answer(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"ok": False, "message": f"it ended:\n{self.log}"}
        if not answer["ok"]:
            raise RuntimeError(f"The ARM double {self.like} could not do it: {answer['message']}")

    def _ask(self, do: str, **request: Any) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
        self._process.stdin.flush()
        self._answer()

    def wait(self, seconds: float = 20.0) -> None:
        """Waits until its sshd answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        raise RuntimeError(f"The ARM double {self.like} does not answer:\n{self.log}")

    def write(self, path: str, text: str) -> None:
        """Puts a file on it, or changes one: `/run/throttled` holds the bits that vcgencmd tells ("0x50005")."""
        self._ask("write", path=path, text=text)

    def reboot(self, seconds: float = 0.0) -> None:
        """Kills everything on it at once; after `seconds`, in which it refuses connections, it is back with a new
        boot_id and the same disk. Returns at once: `wait()` for it."""
        self._ask("reboot", seconds=seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert stream is not None
                stream.close()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()  # --kill-child takes all that is inside with it
            self._process.wait()
        self._process = None


def _quoted(path: Path) -> str:
    return f'"{path}"'


def table(double: ArmDouble, target: str, name: str) -> str:
    """The double as a device of `target` in farm.toml; emulated, so its times are never compared."""
    entry = double.entry(name=name, target=target)
    return (
        f"[devices.{name}]\n"
        f"target = {_toml(target)}\n"
        f"address = {_toml(entry.address)}\n"
        f"port = {entry.port}\n"
        f"user = {_toml(double.board.user)}\n"
        f"key = {_toml(str(double.key))}\n"
        f"known_hosts = {_toml(str(entry.known_hosts))}\n"
        f"root = {_toml(entry.root)}\n"
        "emulated = true\n"
    )


def declare(double: ArmDouble, farm: Path, target: str, name: str) -> None:
    """Writes a farm.toml that has this double and nothing else."""
    farm.write_text(table(double, target, name))


def main() -> int:
    """The command line; returns the exit status."""
    given = declared.options("arm", __doc__, like=sorted(BOARDS))
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    target = given.target or BOARDS[given.like].target
    with tempfile.TemporaryDirectory(prefix="edgewright-double-") as folder, ExitStack() as opened:
        try:
            tables = {
                name: table(opened.enter_context(ArmDouble(Path(folder) / name, given.like)), target, name)
                for name in declared.numbered(given.name or given.like, given.count)
            }
        except (EdgewrightError, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 1
        board = BOARDS[given.like].model or "an ARM board"
        return declared.serve(given.farm, tables, f"{board}, emulated, whose times mean nothing", target)


if __name__ == "__main__":
    sys.exit(declared.until_stopped(main))
