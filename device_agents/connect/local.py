"""This machine as the device: the same agent, the same pushed runtime, and nothing of the host's own environment."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from device_agents.connect.base import Connection
from device_agents.connect.process import Process

_CHUNK = 1 << 20
_KEPT_ERRORS = 1 << 16
# What a login on a device would bring; LD_LIBRARY_PATH because some Pythons don't start without it.
_ENVIRONMENT = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "TZ")


def base_python() -> str:
    """The interpreter under the virtual environment that we run in, so that its packages aren't seen."""
    candidates = [
        getattr(sys, "_base_executable", None),
        str(Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")),
        str(Path(sys.base_prefix, "bin", "python3")),
    ]
    inside = Path(sys.prefix).resolve() if sys.prefix != sys.base_prefix else None
    for candidate in candidates:
        if (
            candidate
            and Path(candidate).is_file()
            and (inside is None or inside not in Path(candidate).absolute().parents)
        ):
            return candidate
    return sys.executable


def scrubbed_environment() -> dict[str, str]:
    """The few variables that a command on a device may count on."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    own = Path(sys.prefix, "bin")
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(place) != own]
    return kept | {"PATH": os.pathsep.join(places)}


class LocalProcess(Process):
    """A child process; its stderr is drained by a thread, since a full pipe would stop it."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=scrubbed_environment(),
            # Ctrl-C is for us: the agent hears of it when its stdin closes, as it would on a device.
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        self._errors = b""
        self._drain = threading.Thread(target=self._drain_errors, daemon=True)
        self._drain.start()

    def _drain_errors(self) -> None:
        with suppress(OSError, ValueError):
            while data := os.read(self._err.fileno(), 1 << 16):
                self._errors = (self._errors + data)[-_KEPT_ERRORS:]

    def send(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def close_input(self) -> None:
        with suppress(OSError):
            self._in.close()

    def receive(self, timeout: float) -> bytes | None:
        ready, _, _ = select.select([self._out], [], [], timeout)
        return os.read(self._out.fileno(), _CHUNK) if ready else None

    def stderr(self) -> bytes:
        if self._process.poll() is not None:
            self._drain.join(timeout=1.0)
        return self._errors

    def wait(self, timeout: float) -> int:
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return -1
        return -1 if status < 0 else status

    def close(self) -> None:
        self.close_input()
        try:
            self._process.wait(timeout=3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drain.join(timeout=1.0)
        for stream in (self._out, self._err):
            with suppress(OSError):
                stream.close()


class _NotThere(Process):
    """A command that isn't on this machine: what a shell would say of it, with the shell's exit status."""

    def __init__(self, name: str, error: OSError) -> None:
        self._status = 127 if isinstance(error, FileNotFoundError) else 126
        self._message = f"{name}: {error.strerror or error}".encode()

    def send(self, data: bytes) -> None:
        raise BrokenPipeError

    def close_input(self) -> None: ...

    def receive(self, timeout: float) -> bytes | None:
        return b""

    def stderr(self) -> bytes:
        return self._message

    def wait(self, timeout: float) -> int:
        return self._status

    def close(self) -> None: ...


class LocalConnection(Connection):
    """Commands and files on this machine."""

    def start(self, argv: Sequence[str]) -> Process:
        try:
            return LocalProcess(argv)
        except OSError as error:
            return _NotThere(argv[0], error)

    def append(self, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None:
        with local.open("rb") as source, Path(remote).open("ab") as target:
            source.seek(offset)
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                moved(len(chunk))

    def alive(self) -> bool:
        return True

    def close_link(self) -> None: ...
