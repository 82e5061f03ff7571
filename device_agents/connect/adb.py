"""Android by adb: commands and files over the real adb program, on a phone that has a shell and no Python."""

from __future__ import annotations

import os
import secrets
import select
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from device_agents.connect.adbserver import Adb, find, phone
from device_agents.connect.base import Connection
from device_agents.connect.process import Process
from device_agents.connect.shell import Shell
from device_agents.connect.shellplace import ShellPlacer, os_error
from device_agents.errors import LinkLost

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry

_CHUNK = 1 << 16
_KEPT_ERRORS = 1 << 16
_AGAIN = "plug the phone in again and run the same command again; what was sent is kept"


class AdbProcess(Process):
    """One `adb shell`.

    adb ends with status 0 where the phone is unplugged, so the phone's shell writes the status behind a marker on
    stderr; without it the link was lost.
    """

    def __init__(self, adb: Adb, serial: str, argv: Sequence[str], stall_s: float, lost: Callable[[], None]) -> None:
        """stall_s: seconds without a byte taken after which sending is given up; lost: told when the link broke."""
        self._marker = f"edgewright-{secrets.token_hex(8)} ".encode()
        self._stall_s = stall_s
        self._lost = lost
        self._closed = False
        # The phone's shell reads this line: every word is quoted, whatever is in it.
        line = f"{shlex.join(argv)}; printf '\\n%s%s\\n' {shlex.quote(self._marker.decode())} $? >&2"
        self._process = subprocess.Popen(
            [adb.program, "-s", serial, "shell", "-T", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=adb.environment(),
            # Ctrl-C is for us: the phone hears of it when its stdin closes.
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        os.set_blocking(self._in.fileno(), False)
        self._errors = b""
        self._drain = threading.Thread(target=self._drain_errors, daemon=True)
        self._drain.start()

    def _drain_errors(self) -> None:
        with suppress(OSError, ValueError):
            while data := os.read(self._err.fileno(), 1 << 16):
                # The marker comes on top of what is kept.
                self._errors = (self._errors + data)[-_KEPT_ERRORS - 64 :]

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        moved = time.monotonic()
        while view:
            count = 0
            try:
                if select.select([], [self._in], [], min(1.0, self._stall_s))[1]:
                    count = os.write(self._in.fileno(), view[:_CHUNK])
            except BlockingIOError:
                pass
            except ValueError as error:  # closed by another thread
                raise BrokenPipeError("the command no longer listens") from error
            if count:
                view, moved = view[count:], time.monotonic()
            elif time.monotonic() - moved > self._stall_s:
                # The phone has stopped reading, and nothing but us will notice.
                self._lost()
                self.kill()
                raise BrokenPipeError("the phone stopped reading")

    def close_input(self) -> None:
        with suppress(OSError, ValueError):
            self._in.close()

    def receive(self, timeout: float) -> bytes | None:
        try:
            ready, _, _ = select.select([self._out], [], [], timeout)
            return os.read(self._out.fileno(), 1 << 20) if ready else None
        except ValueError:  # closed by another thread
            return b""

    def stderr(self) -> bytes:
        if self._process.poll() is not None:
            self._drain.join(timeout=1.0)
        kept = self._errors.rpartition(b"\n" + self._marker)[0] if self._marker in self._errors else self._errors
        return kept[-_KEPT_ERRORS:]

    def wait(self, timeout: float) -> int:
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return -1
        self._drain.join(timeout=1.0)
        status = self._errors.rpartition(self._marker)[2].strip() if self._marker in self._errors else b""
        if not status.isdigit():
            if not self._closed:
                self._lost()
            return -1
        # A shell says 128 + n of a command that signal n ended.
        return -1 if int(status) > 128 else int(status)

    def kill(self) -> None:
        """Ends it at once; adb's server then tells the phone, whose shell gets SIGHUP."""
        self._closed = True
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        self.close_input()
        self._closed = True
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._drain.join(timeout=1.0)
        for stream in (self._out, self._err):
            with suppress(OSError):
                stream.close()


class AdbConnection(Connection):
    """A phone by its serial number; every command is an `adb shell` of its own."""

    needs_python: ClassVar[bool] = False

    def __init__(self, name: str, adb: Adb, serial: str, *, stall_s: float = 30.0) -> None:
        """stall_s: seconds without a byte moved after which a transfer is given up."""
        super().__init__(name, "python3")
        self.serial = serial
        self._adb = adb
        self._stall_s = stall_s
        self._gone = False
        self._running: list[AdbProcess] = []
        self._shell_placer: ShellPlacer | None = None

    @classmethod
    def open(cls, entry: DeviceEntry, *, stall_s: float = 30.0) -> AdbConnection:
        """Finds adb, its server and the phone. Raises the errors of adbserver.find and adbserver.phone."""
        adb = find(entry)
        return cls(entry.name, adb, phone(adb, entry), stall_s=stall_s)

    def start(self, argv: Sequence[str]) -> AdbProcess:
        if self._gone:
            raise self._link_lost("starting a command", argv[0])
        process = AdbProcess(self._adb, self.serial, argv, self._stall_s, self._mark_gone)
        self._running = [one for one in self._running if not one._closed] + [process]
        return process

    def _mark_gone(self) -> None:
        self._gone = True

    def append(self, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None:
        process = self.start(["sh", "-c", 'cat >> "$1"', "sh", remote])
        try:
            broken = False
            with local.open("rb") as source, suppress(BrokenPipeError):
                broken = True
                source.seek(offset)
                while chunk := source.read(_CHUNK):
                    process.send(chunk)
                    moved(len(chunk))
                broken = False
            process.close_input()
            quiet = time.monotonic()
            while process.receive(1.0) != b"" and time.monotonic() - quiet < self._stall_s:
                pass
            status = process.wait(self._stall_s)
            if status == -1:
                raise self._link_lost("sending a file", remote)
            if status != 0 or broken:
                raise os_error(process.stderr() or b"the phone stopped reading")
        finally:
            process.close()

    def place(self, **request: Any) -> dict[str, Any]:
        """One request as agent/place.py would answer it, answered by the phone's shell. Raises LinkLost, OSError."""
        if self._shell_placer is None:
            self._shell_placer = ShellPlacer(Shell(self))
        try:
            return self._shell_placer.ask(request)
        except OSError:
            raise  # the shell is still in order
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        if self._shell_placer is not None:
            self._shell_placer.close()
            self._shell_placer = None

    def alive(self) -> bool:
        if self._gone:
            return False
        state = self._adb.run("-s", self.serial, "get-state")
        return state.returncode == 0 and state.stdout.strip() == "device"

    def close_link(self) -> None:
        self._gone = True
        for process in self._running:
            process.kill()

    def _link_lost(self, what: str, where: str) -> LinkLost:
        self._gone = True
        return LinkLost(f"The connection to {self.name} broke while {what}.", where=where, remedy=_AGAIN)
