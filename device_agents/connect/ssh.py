"""A device over SSH: commands and files on one connection that can't hang for ever."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.connect.base import Connection
from device_agents.connect.link import TIMEOUT_S, Link
from device_agents.connect.process import Process
from device_agents.errors import LinkLost

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry

# With its headers this fills one SSH packet of 32 KiB; a whole 32 KiB makes two, at a quarter more CPU time (measured).
_CHUNK = 32600
_SLICE_S = 0.5
_KEPT_ERRORS = 1 << 16
_AGAIN = "run the same command again; what was sent is kept"


class SshProcess(Process):
    """A command on a channel of its own. stderr is drained by a thread: unread, it would stop the command."""

    def __init__(self, channel: Any, stall_s: float, give_up: Callable[[], None]) -> None:
        self._channel = channel
        self._stall_s = stall_s
        self._give_up = give_up
        self._errors = b""
        channel.settimeout(_SLICE_S)
        self._drain = threading.Thread(target=self._drain_errors, daemon=True)
        self._drain.start()

    def _drain_errors(self) -> None:
        while True:
            try:
                data = self._channel.recv_stderr(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            self._errors = (self._errors + data)[-_KEPT_ERRORS:]

    def send(self, data: bytes) -> None:
        import paramiko

        view = memoryview(data)
        moved = time.monotonic()
        while view:
            try:
                count = self._channel.send(view[:_CHUNK])
            except paramiko.SSHException as error:  # a new exchange of keys that got no answer
                raise BrokenPipeError(str(error)) from error
            except TimeoutError:
                # The window is full: the other side has stopped reading, and nothing but us will notice.
                if time.monotonic() - moved > self._stall_s:
                    self._give_up()
                    raise
                continue
            if not count:
                raise BrokenPipeError("the command no longer listens")
            view = view[count:]
            moved = time.monotonic()

    def close_input(self) -> None:
        with suppress(Exception):  # a link that is broken already may object in many ways
            self._channel.shutdown_write()

    def receive(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                data: bytes = self._channel.recv(1 << 20)
                return data
            except TimeoutError:
                if time.monotonic() >= deadline:
                    return None

    def stderr(self) -> bytes:
        self._drain.join(timeout=1.0)
        return self._errors

    def wait(self, timeout: float) -> int:
        self._channel.status_event.wait(timeout)
        if not self._channel.status_event.is_set():
            return -1
        status = int(self._channel.recv_exit_status())
        if status == -1:
            time.sleep(0.2)  # paramiko closes channels first and calls the transport dead a moment later
        return status

    def close(self) -> None:
        with suppress(Exception):
            self._channel.close()


class SshConnection(Connection):
    """One transport; a channel for each command and one for files."""

    def __init__(self, name: str, python: str, link: Link, *, stall_s: float = 30.0) -> None:
        """stall_s: seconds without a byte moved after which a transfer is given up."""
        super().__init__(name, python)
        self._link = link
        self._stall_s = stall_s
        # Set before the link is closed: who is stuck in a transfer wakes up before paramiko calls the transport dead.
        self._closed = False
        self._sftp: Any = None
        self._has_sftp = True

    @classmethod
    def open(cls, entry: DeviceEntry, *, stall_s: float = 30.0) -> SshConnection:
        """Connects. Raises DeviceUnreachable, UnknownHostKey, HostKeyChanged, AuthenticationFailed."""
        return cls(entry.name, entry.python, Link(entry), stall_s=stall_s)

    def start(self, argv: Sequence[str]) -> Process:
        import paramiko

        try:
            channel = self._link.transport.open_session(timeout=TIMEOUT_S)
            # paramiko waits for the answer without end, and nothing else sees a frozen peer.
            watch = threading.Timer(TIMEOUT_S, self.close_link)
            watch.daemon = True
            watch.start()
            try:
                # The device's login shell reads this line: every word is quoted, whatever is in it.
                channel.exec_command(shlex.join(argv))
            finally:
                watch.cancel()
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost("starting a command", argv[0]) from error
        return SshProcess(channel, self._stall_s, self.close_link)

    def append(self, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None:
        import paramiko

        with self._watchdog(moved) as told:
            try:
                sftp = self._open_sftp()
                if sftp is not None:
                    self._append_sftp(sftp, local, remote, offset, told)
                else:
                    self._append_cat(local, remote, offset, told)
            except (EOFError, paramiko.SSHException) as error:
                # paramiko says it in either way, by where in a request the connection went.
                raise self._lost("sending a file", remote) from error
            except OSError as error:
                if not self.alive():
                    raise self._lost("sending a file", remote) from error
                raise

    def _open_sftp(self) -> Any:
        """The SFTP client; None where the device has no SFTP server (a small dropbear, say)."""
        import paramiko

        if self._sftp is None and self._has_sftp:
            try:
                self._sftp = self._link.transport.open_sftp_client()
            except (paramiko.SSHException, EOFError) as error:
                if not self._link.transport.is_active():
                    raise EOFError from error
                self._has_sftp = False
        return self._sftp

    def _append_sftp(self, sftp: Any, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None:
        with local.open("rb") as source, sftp.open(remote, "ab") as target:
            source.seek(offset)
            target.set_pipelined(True)
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                moved(len(chunk))

    def _append_cat(self, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None:
        process = self.start(["sh", "-c", 'cat >> "$1"', "sh", remote])
        try:
            with local.open("rb") as source:
                source.seek(offset)
                while chunk := source.read(_CHUNK):
                    process.send(chunk)
                    moved(len(chunk))
            process.close_input()
            while process.receive(1.0) != b"":
                pass
            status = process.wait(self._stall_s)
            if status == -1 and not self.alive():
                raise EOFError
            if status != 0:
                raise OSError(5, process.stderr().decode(errors="replace").strip() or "cat failed", remote)
        except BrokenPipeError as error:
            said = process.stderr().decode(errors="replace").strip()
            raise OSError(5, said or "the device stopped reading", remote) from error
        finally:
            process.close()

    @contextmanager
    def _watchdog(self, moved: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
        """Closes the connection when nothing moves: neither keepalive nor TCP_USER_TIMEOUT sees a frozen peer."""
        last = time.monotonic()
        done = threading.Event()

        def told(count: int) -> None:
            nonlocal last
            last = time.monotonic()
            moved(count)

        def watch() -> None:
            while not done.wait(min(1.0, self._stall_s / 4)):
                if time.monotonic() - last > self._stall_s:
                    self.close_link()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield told
        finally:
            done.set()

    def _lost(self, what: str, where: str) -> LinkLost:
        self.close_link()
        return LinkLost(
            f"The connection to {self.name} broke while {what}.", where=f"{self._link.hop}: {where}", remedy=_AGAIN
        )

    def alive(self) -> bool:
        return not self._closed and bool(self._link.transport.is_active())

    def close_link(self) -> None:
        self._closed = True
        self._link.close()
