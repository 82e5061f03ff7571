"""The one interface to a device, whichever way it is reached: commands, a stream of lines, files."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from device_agents.connect.process import PLACE_BOOT, Completed, Placer, Process
from device_agents.errors import CommandTimedOut, DeviceFolderError, EndlessOutput, LinkLost, NoPython, PushFailed
from device_agents.foreign import printable
from edgewright.progress import Progress

PING_S = 5.0
MOST_OUTPUT = 64 << 20
"""Bytes that a command may answer in all; a probe takes a few KiB."""
MOST_LINE = 8 << 20
"""Bytes of one line of a stream; an agent's longest takes 40 KB."""
_ENOENT_STATUS = (126, 127)


class Connection(ABC):
    """A device that is connected. Not for use by several threads at once."""

    needs_python: ClassVar[bool] = True
    """Whether `place` needs a Python on the device."""

    def __init__(self, name: str, python: str) -> None:
        """name: as messages call the device; python: the command that starts Python there."""
        self.name = name
        self.python = python
        self._placer: Placer | None = None

    # What each way of connecting brings.

    @abstractmethod
    def start(self, argv: Sequence[str]) -> Process:
        """Starts a command; no shell of ours looks at `argv`."""

    @abstractmethod
    def append(self, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None:
        """Writes local[offset:] to the end of `remote`, which is made if need be and is `offset` bytes long.

        Calls moved(bytes sent since the last call). Raises OSError where the device can't write, LinkLost.
        """

    @abstractmethod
    def alive(self) -> bool:
        """Whether the link still stands, as far as this side knows."""

    @abstractmethod
    def close_link(self) -> None:
        """Ends the connection and all that runs over it, from any thread; may be called twice."""

    # What is the same for all.

    def run(self, argv: Sequence[str], input: bytes | None = None, timeout: float = 60.0) -> Completed:
        """A command from start to end. Raises CommandTimedOut, LinkLost, EndlessOutput beyond 64 MiB."""
        process = self.start(argv)
        try:
            # In a thread of its own: a command may write much before it reads all.
            sender = threading.Thread(target=_feed, args=(process, input or b""), daemon=True)
            sender.start()
            parts: list[bytes] = []
            size = 0
            deadline = time.monotonic() + timeout
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise CommandTimedOut(
                        f"A command on {self.name} took longer than {timeout:.0f} s.",
                        where=" ".join(argv)[:200],
                        remedy="look at the load of the device: ./inv devices.probe",
                    )
                data = process.receive(min(left, 1.0))
                if data == b"":
                    break
                if data is not None:
                    parts.append(data)
                    size += len(data)
                    if size > MOST_OUTPUT:
                        raise self._endless(f"more than {MOST_OUTPUT >> 20} MiB", argv)
            status = process.wait(max(1.0, deadline - time.monotonic()))
            self._check_link(status, "a command", argv)
            return Completed(status, b"".join(parts), process.stderr())
        finally:
            process.close()

    def stream(
        self,
        argv: Sequence[str],
        first_line: bytes,
        on_line: Callable[[bytes], bytes | None],
        *,
        idle_timeout: float = 60.0,
        time_limit: float | None = None,
    ) -> Completed:
        """A command that reads one line, then talks in lines until it is done; its stdin stays open until then.

        What `on_line` returns goes to it as a line. An empty line goes to it every few seconds, so that it knows that
        we live. Raises LinkLost, also after `idle_timeout` seconds without a byte; CommandTimedOut after `time_limit`
        seconds in all; EndlessOutput for a line of more than 8 MiB.
        """
        process = self.start(argv)
        rest = b""
        began = heard = pinged = time.monotonic()
        try:
            _tell(process, first_line)
            while True:
                data = process.receive(1.0)
                now = time.monotonic()
                if data == b"":
                    break
                if data is not None:
                    heard = now
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        _tell(process, on_line(line))
                    if len(rest) > MOST_LINE:
                        raise self._endless(f"a line of more than {MOST_LINE >> 20} MiB", argv)
                if now - heard > idle_timeout:
                    raise LinkLost(
                        f"Nothing was heard from {self.name} for {idle_timeout:.0f} s.",
                        where=" ".join(argv)[:200],
                        remedy="run the same command again; what was sent is kept",
                    )
                if time_limit is not None and now - began > time_limit:
                    raise CommandTimedOut(
                        f"The job on {self.name} took longer than {time_limit:.0f} s.",
                        where=" ".join(argv)[:200],
                        remedy="give it a higher time limit or fewer variants",
                    )
                if now - pinged > PING_S:
                    pinged = now
                    _tell(process, b"")
            status = process.wait(10.0)
            self._check_link(status, "a job", argv)
            if rest:
                on_line(rest)
            return Completed(status, b"", process.stderr())
        finally:
            process.close()

    def _endless(self, what: str, argv: Sequence[str]) -> EndlessOutput:
        return EndlessOutput(
            f"A command on {self.name} wrote {what}.",
            where=" ".join(argv)[:200],
            remedy="look at what answers there: ./inv devices.probe",
        )

    def _check_link(self, status: int, what: str, argv: Sequence[str]) -> None:
        if status == -1 and not self.alive():
            raise LinkLost(
                f"The connection to {self.name} broke in the middle of {what}.",
                where=" ".join(argv)[:200],
                remedy="run the same command again; what was sent is kept",
            )

    def place(self, **request: Any) -> dict[str, Any]:
        """One request to agent/place.py on the device. Raises NoPython, LinkLost, OSError as the device saw it."""
        if self._placer is None:
            self._placer = Placer(self.start([self.python, "-I", "-c", PLACE_BOOT]))
        try:
            answer = self._placer.ask(request)
            if answer is None:
                done = self._placer.end()
                self._placer = None
                self._check_link(done.status, "a request", [str(request["do"])])
                raise self._no_python(done)
        except BaseException:
            self.release()  # an answer that comes later would be taken for the next one's
            raise
        if not answer["ok"]:
            number, said = answer.get("errno"), printable(str(answer.get("message") or "unknown error"))
            raise OSError(number if isinstance(number, int) and number else 5, said)
        return answer

    def release(self) -> None:
        """Ends what this side keeps running on the device between requests; it starts again by itself."""
        if self._placer is not None:
            self._placer.end()
            self._placer = None

    def _no_python(self, done: Completed) -> NoPython | PushFailed:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if done.status in _ENOENT_STATUS or b"SyntaxError" in done.stderr or b"nknown option" in done.stderr:
            return NoPython(
                f"No Python 3.8 or later runs as {self.python!r} on {self.name}.",
                where=printable(said[-1], 300) if said else f"exit status {done.status}",
                remedy='install python3 on the device, or set python = "/path/to/python3" for it in farm.toml',
            )
        return PushFailed(
            f"A request to Python on {self.name} got no answer (exit status {done.status}).",
            where=printable(said[-1], 300) if said else "",
            remedy="look at the device: ./inv devices.probe",
        )

    def push(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> int:
        """Puts a file on the device, whole and checked there (device_agents.connect.push); returns the bytes sent."""
        from device_agents.connect.push import push

        return push(self, local, remote, sha256, progress)

    def pull(self, remote: str, local: Path) -> None:
        """Fetches a file; `local` appears by one rename. Raises FileNotFoundError, LinkLost."""
        process = self.start(["cat", "--", remote])
        local.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{local.name}.", dir=local.parent)
        try:
            process.close_input()
            with os.fdopen(handle, "wb") as stream:
                quiet = time.monotonic()
                while (data := process.receive(1.0)) != b"":
                    if data is not None:
                        quiet = time.monotonic()
                        stream.write(data)
                    elif time.monotonic() - quiet > 30.0:
                        raise LinkLost(f"{self.name} stopped sending a file.", where=remote, remedy="run it again")
            status = process.wait(10.0)
            self._check_link(status, "fetching a file", ["cat", remote])
            if status != 0:
                raise FileNotFoundError(2, printable(process.stderr().decode(errors="replace").strip()), remote)
            Path(temporary).replace(local)
        finally:
            process.close()
            Path(temporary).unlink(missing_ok=True)

    def exists(self, remote: str) -> bool:
        """Whether a file or folder is there."""
        return bool(self.place(do="look", path=remote)["exists"])

    def mkdir(self, remote: str) -> None:
        """A folder and its parents. Raises DeviceFolderError."""
        try:
            self.place(do="make", path=remote)
        except OSError as error:
            raise DeviceFolderError(
                f"A folder can't be made on {self.name}: {error.strerror or error}",
                where=remote,
                remedy='set root = "/a/writable/folder" for it in farm.toml',
            ) from error

    def remove(self, remote: str) -> None:
        """A file, or a folder with all in it."""
        self.place(do="remove", path=remote)

    def close(self) -> None:
        """Ends the connection; may be called twice."""
        self.release()
        self.close_link()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tell(process: Process, line: bytes | None) -> None:
    # It may have ended already: its answer says why.
    if line is not None:
        with suppress(OSError):
            process.send(line.rstrip(b"\n") + b"\n")


def _feed(process: Process, data: bytes) -> None:
    # A command that ends without reading all its input is no error of ours.
    with suppress(OSError):
        if data:
            process.send(data)
        process.close_input()
