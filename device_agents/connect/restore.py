"""What a device is asked about a packed file: whether its content is there already, and to unpack what was pushed."""

from __future__ import annotations

import errno
import re
import secrets
from dataclasses import dataclass
from shlex import quote
from typing import Protocol

from device_agents.agent.restore import GZ, SPARSE, XZ
from device_agents.connect.base import Connection
from device_agents.connect.shell import Shell
from device_agents.connect.shellplace import os_error

# As printf's octal escapes: nothing at all, compressed.
_EMPTY_GZ = "\\037\\213\\010\\0\\0\\0\\0\\0\\0\\003\\003" + 9 * "\\0"
_FORMS = frozenset({XZ, GZ, SPARSE + XZ, SPARSE + GZ})
# Unpacking and taking the digest of a big file on slow storage take their time.
_ANSWER_S = 600.0


@dataclass(frozen=True)
class Seen:
    """whole: whether the file is there with its size and digest; undoes: the forms that can be undone there.

    Forms by their suffixes (agent/restore.py).
    """

    whole: bool
    undoes: frozenset[str]


class Restorer(Protocol):
    """One device's answers. Raises LinkLost, CommandTimedOut, OSError as the device saw it."""

    def seek(self, path: str, sha256: str, size: int) -> Seen:
        """Whether the file is there already, and what to pack it by where it isn't."""

    def restore(self, packed: str, suffix: str, path: str, sha256: str, size: int) -> str:
        """Puts what is in `packed` at `path`, checked and by one rename; "" where it is there, else what was wrong.

        `packed` goes, unless OSError is raised.
        """


class PlaceRestorer:
    """Answered by a Python on the device (agent/place.py)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seek(self, path: str, sha256: str, size: int) -> Seen:
        found = self._connection.place(do="seek", path=path, sha256=sha256, size=size)
        return Seen(found["whole"] is True, _FORMS & set(map(str, found["undoes"])))

    def restore(self, packed: str, suffix: str, path: str, sha256: str, size: int) -> str:
        token = secrets.token_hex(8)
        found = self._connection.place(
            do="restore", packed=packed, suffix=suffix, path=path, sha256=sha256, size=size, token=token
        )
        return "" if found["whole"] else str(found.get("damage") or "its content is another")


class ShellRestorer:
    """Answered by the device's shell, where there is no Python: gzip is what toybox undoes, by `zcat`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seek(self, path: str, sha256: str, size: int) -> Seen:
        _, said = self._run(
            f'[ -f {quote(path)} ] && [ "$(stat -c %s {quote(path)})" = {size} ] && sha256sum < {quote(path)}\n'
            # Tried, not only looked for: some builds have the name and not the program.
            f"printf '{_EMPTY_GZ}' | zcat && echo undoes; exit 0"
        )
        whole = re.search(rb"^([0-9a-f]{64})\b", said, re.MULTILINE)
        able = re.search(rb"^undoes$", said, re.MULTILINE) is not None
        return Seen(whole is not None and whole.group(1).decode() == sha256, frozenset({GZ} if able else ()))

    def restore(self, packed: str, suffix: str, path: str, sha256: str, size: int) -> str:
        folder, _, name = path.rpartition("/")
        # As a push names what is under way (agent/place.py), so that its tidying finds what a cut leaves.
        start = f"{folder}/.{name[:40]}.{sha256[:16]}."
        temporary = quote(f"{start}{secrets.token_hex(8)}.part")
        status, said = self._run(
            f"zcat < {quote(packed)} > {temporary} || {{ rm -f {temporary} {quote(packed)}; exit 3; }}\n"
            f"found=$(sha256sum < {temporary}); found=${{found%% *}}\n"
            f'[ "$found" = {sha256} ] || {{ rm -f {temporary} {quote(packed)}; exit 4; }}\n'
            f"mv -f {temporary} {quote(path)} && rm -f {quote(packed)} {quote(start)}*.part"
        )
        if status == 0:
            return ""
        if status == 4:
            return "its content is another"
        error = os_error(said)
        if status == 3 and error.errno == errno.EIO:  # zcat names no cause of the system's: the stream is to blame
            return str(error.strerror)
        raise error

    def _run(self, script: str) -> tuple[int, bytes]:
        shell = Shell(self._connection)
        try:
            return shell.run(script, timeout=_ANSWER_S)
        finally:
            shell.close()
