"""What a push does on a device that has no Python: the requests of agent/place.py, answered by the device's shell.

Only what toybox (Android's commands) and POSIX shells share is used; sizes are compared here, since Android's shell
computes in 32 bits.
"""

from __future__ import annotations

import errno
import hashlib
import posixpath
import re
from collections.abc import Callable
from shlex import quote
from typing import Any

from device_agents.connect.shell import Shell

Answer = dict[str, Any]

_EMPTY = hashlib.sha256().hexdigest()
# Digests of big files on slow storage take their time.
_ANSWER_S = 600.0
_CODES = {
    "No space left": errno.ENOSPC,
    "Disk quota": errno.EDQUOT,
    "Permission denied": errno.EACCES,
    "Read-only file system": errno.EROFS,
    "Not a directory": errno.ENOTDIR,
    "Is a directory": errno.EISDIR,
    "File exists": errno.EEXIST,
    "No such file": errno.ENOENT,
}


def os_error(said: bytes) -> OSError:
    """What a shell command complained of, as an OSError with the errno that its words stand for (else EIO)."""
    lines = said.decode(errors="replace").strip().splitlines()
    text = lines[-1][:300] if lines else "the command failed and said nothing"
    code = next((code for words, code in _CODES.items() if words.lower() in text.lower()), errno.EIO)
    return OSError(code, text)


class ShellPlacer:
    """agent/place.py in shell commands: the same requests, the same answers, the same names of partial files."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def ask(self, request: Answer) -> Answer:
        """The answer to {"do": ..., ...}. Raises OSError as the device saw it, LinkLost, CommandTimedOut."""
        does: dict[str, Callable[[Answer], Answer]] = {
            "hello": self._hello,
            "plan": self._plan,
            "commit": self._commit,
            "free": lambda asked: {"free": self._free(asked["path"])},
            "look": self._look,
            "make": self._make,
            "remove": self._remove,
        }
        return {**does[request["do"]](request), "ok": True}

    def close(self) -> None:
        """Ends the shell."""
        self._shell.close()

    def _run(self, script: str) -> str:
        status, said = self._shell.run(script, timeout=_ANSWER_S)
        if status != 0:
            raise os_error(said)
        return said.decode(errors="replace")

    def _hello(self, request: Answer) -> Answer:
        """Makes the folder; there is no Python to speak of, so python, implementation and libc are None."""
        root = request["root"]
        place = f'"$HOME"/{quote(root[2:])}' if f"{root}/".startswith("~/") else quote(root)
        said = self._run(
            f"mkdir -p {place} && cd {place} && : > .writable && rm -f .writable || exit 1\n"
            "printf 'root=%s\\n' \"$PWD\"; printf 'machine=%s\\n' \"$(uname -m)\""
        )
        found = dict(re.findall(r"^(root|machine)=(.*)$", said, re.MULTILINE))
        machine = found["machine"].strip()
        return {
            "root": posixpath.normpath(found["root"]),
            "python": None,
            "implementation": None,
            "machine": machine,
            "bits": 64 if machine.endswith("64") else 32,
            "libc": None,
        }

    def _free(self, path: str) -> int:
        said = self._run(f"df -kP {quote(path)}")
        # Size, used and available in KiB, whatever stands before (a name with spaces) and after (the mount point).
        found = re.search(r"\s(\d+)\s+(\d+)\s+(\d+)\s+\d+%", said)
        if found is None:
            raise OSError(errno.EIO, f"df said what can't be understood: {said.strip()[-200:]}")
        return int(found.group(3)) * 1024

    def _plan(self, request: Answer) -> Answer:
        path, size = request["path"], int(request["size"])
        folder, start = posixpath.dirname(path), _partials(request)
        said = self._run(
            f"mkdir -p {quote(folder)} || exit 1\n"
            f'if [ -f {quote(path)} ] && [ "$(stat -c %s {quote(path)})" = {size} ]; then\n'
            f"  printf 'there=%s\\n' \"$(sha256sum < {quote(path)})\"\nfi\n"
            f'for left in {quote(start)}*.part; do [ -f "$left" ] && stat -c "part=%s %n" "$left"; done; exit 0'
        )
        if any(digest == request["sha256"] for digest in re.findall(r"^there=([0-9a-f]{64})", said, re.MULTILINE)):
            return {"present": True}
        free = self._free(folder)
        # A name of its own for every try: late writes of a try that was cut must not land in this one's file.
        temporary = start + request["token"] + ".part"
        left = sorted((int(bytes_), name) for bytes_, name in re.findall(r"^part=(\d+) (.+)$", said, re.MULTILINE))
        sent, prefix = 0, _EMPTY
        most = left[-1][0] if left else 0
        if 0 < most <= size and free > 2 * size:
            sent, prefix = self._copy(left[-1][1], temporary)
            self._run(_tidy(folder, 60))  # not at once: what still grows belongs to another push
        elif most:  # an empty one was opened by another push just now
            self._run(f"rm -f {quote(start)}*.part")  # no room for a copy: what is left makes room instead
            free = self._free(folder)
        return {"present": False, "temporary": temporary, "sent": sent, "prefix_sha256": prefix, "free": free}

    def _copy(self, source: str, target: str) -> tuple[int, str]:
        # Another push may tidy the source away at any moment: then there is nothing to go on from.
        said = self._run(
            f"cat {quote(source)} > {quote(target)} || {{ rm -f {quote(target)}; exit 0; }}\n"
            f'stat -c "size=%s" {quote(target)}; sha256sum < {quote(target)}'
        )
        found = re.search(r"^size=(\d+)\n([0-9a-f]{64})", said, re.MULTILINE)
        return (int(found.group(1)), found.group(2)) if found else (0, _EMPTY)

    def _commit(self, request: Answer) -> Answer:
        path, temporary, wanted = request["path"], request["temporary"], request["sha256"]
        try:
            said = self._run(
                f"found=$(sha256sum < {quote(temporary)}) || exit 1\n"
                "found=${found%% *}; printf 'found=%s\\n' \"$found\"\n"
                f'[ "$found" = {quote(wanted)} ] || {{ rm -f {quote(temporary)}; exit 0; }}\n'
                f"[ -d {quote(path)} ] && {{ echo 'Is a directory'; exit 1; }}\n"
                # No sync, which is slower than the transfer: what a flat battery damages, the next digest finds.
                f"mv -f {quote(temporary)} {quote(path)} || exit 1\n"
                f"echo placed\nrm -f {quote(_partials(request))}*.part\n{_tidy(posixpath.dirname(path), 86400)}"
            )
        except FileNotFoundError:
            said = ""
        digest = re.search(r"^found=(\S*)", said, re.MULTILINE)
        # Where another push of the same content was done first, it tidied up this one's file, or its beginning.
        whole = "\nplaced" in said or self._there(path, wanted)
        return {"whole": whole, "sha256": digest.group(1) if digest else ""}

    def _there(self, path: str, sha256: str) -> bool:
        return self._run(f"if [ -f {quote(path)} ]; then sha256sum < {quote(path)}; fi").startswith(sha256)

    def _look(self, request: Answer) -> Answer:
        path = quote(request["path"])
        said = self._run(f'if [ -e {path} ]; then stat -c "size=%s" {path}; fi')
        found = re.search(r"^size=(\d+)", said, re.MULTILINE)
        return {"exists": found is not None, "size": int(found.group(1)) if found else None}

    def _make(self, request: Answer) -> Answer:
        self._run(f"mkdir -p {quote(request['path'])}")
        return {}

    def _remove(self, request: Answer) -> Answer:
        self._run(f"rm -rf {quote(request['path'])}")
        return {}


def _partials(request: Answer) -> str:
    folder, name = posixpath.split(request["path"])
    # The wanted content is part of the name, as in agent/place.py.
    return posixpath.join(folder, f".{name[:40]}.{request['sha256'][:16]}.")


def _tidy(folder: str, older_s: int) -> str:
    """A script that removes what tries that nobody goes on with have left."""
    return (
        f'now=$(date +%s); for left in {quote(folder)}/.*.part; do [ -f "$left" ] || continue\n'
        '  made=$(stat -c %Y "$left" 2>/dev/null) || continue\n'
        f'  if [ $((now - made)) -gt {older_s} ]; then rm -f "$left"; fi\ndone; exit 0'
    )
