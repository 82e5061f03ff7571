"""A fake adb server on the loopback: speaks the host protocol to the real adb client, for phones that are folders.

Commands are run for real, as adbd would, by the phone double's shell. Protocol: AOSP, packages/modules/adb,
SERVICES.TXT and shell_protocol.h. What it leaves out: sync (push and pull), forwarding, pty shells.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
FEATURES = "shell_v2,cmd,stat_v2"


class FakePhone:
    """What the server knows of one phone. state: as `adb devices` lists it, or "absent"; cut_at: unplug it after so
    many bytes of stdin from now on; environment: of its commands."""

    def __init__(self, serial: str, home: Path, environment: dict[str, str], shell: str) -> None:
        self.serial = serial
        self.home = home
        self.environment = environment
        self.shell = shell
        self.state = "device"
        self.features = FEATURES
        self.frozen = threading.Event()
        self.cut_at: int | None = None
        self.received = 0
        self._links: list[socket.socket] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def unplug(self) -> None:
        """Gone at once: its streams break, and adbd on the phone hangs up on its shells."""
        self.state = "absent"
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        """Back again, as it was."""
        self.state = "device"

    def end(self) -> None:
        """Nothing that it started is left."""
        self.unplug()
        with self._lock:
            processes, self._processes = self._processes, []
        for process in processes:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def serve_shell(self, link: socket.socket, command: str) -> None:
        """`shell,v2,raw:`: packets of one byte of kind, four of length (little-endian), then the data."""
        process = subprocess.Popen(
            [self.shell, "-c", command] if command else [self.shell],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home,
            env=self.environment,
            start_new_session=True,
        )
        with self._lock:
            self._links.append(link)
            self._processes.append(process)
        sending = threading.Lock()

        def forward(source: BinaryIO, kind: int) -> None:
            while data := os.read(source.fileno(), 1 << 16):
                while self.frozen.is_set():
                    threading.Event().wait(0.05)
                try:
                    with sending:
                        link.sendall(struct.pack("<BI", kind, len(data)) + data)
                except OSError:
                    return

        assert process.stdin and process.stdout and process.stderr
        threads = [
            threading.Thread(target=forward, args=(process.stdout, _STDOUT), daemon=True),
            threading.Thread(target=forward, args=(process.stderr, _STDERR), daemon=True),
        ]
        for thread in threads:
            thread.start()
        reader = threading.Thread(target=self._feed, args=(link, process), daemon=True)
        reader.start()
        status = process.wait()
        for thread in threads:
            thread.join()
        with suppress(OSError), sending:
            link.sendall(struct.pack("<BIB", _EXIT, 1, 128 - status if status < 0 else status))
        with suppress(OSError):
            link.shutdown(socket.SHUT_WR)
        reader.join(timeout=5)
        for stream in (process.stdin, process.stdout, process.stderr):
            with suppress(OSError):
                stream.close()
        with self._lock:
            if process in self._processes:
                self._processes.remove(process)
            if link in self._links:
                self._links.remove(link)

    def _feed(self, link: socket.socket, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        while (head := _exactly(link, 5)) is not None:
            kind, size = struct.unpack("<BI", head)
            data = _exactly(link, size)
            if data is None:
                break
            while self.frozen.is_set():
                threading.Event().wait(0.05)
            if kind == _STDIN:
                self.received += len(data)
                if self.cut_at is not None:
                    self.cut_at -= len(data)
                    if self.cut_at <= 0:
                        self.cut_at = None
                        self.unplug()
                        break
                with suppress(OSError, ValueError):
                    process.stdin.write(data)
                    process.stdin.flush()
            elif kind == _CLOSE_STDIN:
                with suppress(OSError, ValueError):
                    process.stdin.close()
        if process.poll() is None:  # the other side is gone: adbd hangs up on the shell, on it alone
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)
            with suppress(OSError, ValueError):
                process.stdin.close()


class FakeAdb:
    """The server. `address` is what ADB_SERVER_SOCKET shall be. version: what it says; adb 1.0.41 wants 41."""

    def __init__(self, *phones: FakePhone, version: int = 41) -> None:
        self.phones = {phone.serial: phone for phone in phones}
        self.version = version
        self.killed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        return f"tcp:127.0.0.1:{self.port}"

    def __enter__(self) -> FakeAdb:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for phone in self.phones.values():
            phone.end()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with link, suppress(OSError, ValueError):
            phone: FakePhone | None = None
            while (size := _exactly(link, 4)) is not None:
                asked = (_exactly(link, int(size, 16)) or b"").decode()
                if phone is not None:
                    self._local(link, phone, asked)
                    return
                phone = self._host(link, asked)
                if phone is None:
                    return

    def _host(self, link: socket.socket, asked: str) -> FakePhone | None:
        """One request to the server; the phone where it switches the link over to one."""
        if asked == "host:version":
            _say(link, f"{self.version:04x}")
        elif asked in ("host:devices", "host:devices-l"):
            shown = [phone for phone in self.phones.values() if phone.state != "absent"]
            _say(link, "".join(f"{phone.serial}\t{phone.state}\n" for phone in shown))
        elif asked.startswith("host:connect:"):
            _say(link, self._connect(asked[len("host:connect:") :]))
        elif asked == "host:kill":
            self.killed = True
            link.sendall(b"OKAY")
        elif asked in ("host:features", "host:host-features"):
            _say(link, FEATURES)
        elif asked.startswith("host-serial:"):
            serial, _, what = asked[len("host-serial:") :].rpartition(":")
            phone = self._there(link, serial)
            if phone is not None:
                _say(link, {"get-state": phone.state, "features": phone.features}.get(what, ""))
        elif asked.startswith(("host:tport:serial:", "host:transport:")):
            with_id = asked.startswith("host:tport:")
            phone = self._there(link, asked[len("host:tport:serial:" if with_id else "host:transport:") :])
            if phone is not None and phone.state != "device":
                _refuse(link, f"device {phone.state}")
                return None
            if phone is not None:
                link.sendall(b"OKAY" + (struct.pack("<Q", 1) if with_id else b""))
            return phone
        else:
            _refuse(link, f"unknown host service {asked!r}")
        return None

    def _there(self, link: socket.socket, serial: str) -> FakePhone | None:
        phone = self.phones.get(serial)
        if phone is None or phone.state == "absent":
            _refuse(link, f"device '{serial}' not found")
            return None
        return phone

    def _connect(self, address: str) -> str:
        phone = self.phones.get(address)
        if phone is None:
            return f"failed to connect to '{address}': Connection refused"
        if phone.state == "unauthorized":
            return f"failed to authenticate to {address}"
        if phone.state == "absent":
            phone.plug()
            return f"connected to {address}"
        return f"already connected to {address}"

    def _local(self, link: socket.socket, phone: FakePhone, asked: str) -> None:
        head, _, command = asked.partition(":")
        if not head.startswith("shell,v2"):
            _refuse(link, f"unknown service {asked!r}")
            return
        link.sendall(b"OKAY")
        phone.serve_shell(link, command)


def _exactly(link: socket.socket, size: int) -> bytes | None:
    """`size` bytes; None where the other side is gone."""
    data = b""
    while len(data) < size:
        try:
            more = link.recv(size - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def _say(link: socket.socket, text: str) -> None:
    link.sendall(b"OKAY%04x" % len(text.encode()) + text.encode())


def _refuse(link: socket.socket, text: str) -> None:
    link.sendall(b"FAIL%04x" % len(text.encode()) + text.encode())
