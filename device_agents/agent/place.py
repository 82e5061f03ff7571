"""What a push does on the device, before any agent is there: run by `python3 -I -c`, off stdin, behind restore.py.

After them, every line on stdin is a request, {"do": ..., "id": ..., ...}; the answer is one JSON line with the same id:
{"ok": true, ...} or {"ok": false, "errno": ..., "message": ...}. EOF ends it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import sys
import threading
import time
from typing import Any, Dict, Optional

if __package__:  # as one program with it, that is there already (device_agents.pack)
    from .restore import Damaged, known, restored


def hello(request: Dict[str, Any]) -> Dict[str, Any]:
    """Makes the agent's folder; says where it is and what Python this is (what wheels are chosen by)."""
    root = os.path.abspath(os.path.expanduser(request["root"]))
    os.makedirs(root, exist_ok=True)
    if not os.access(root, os.W_OK):
        raise PermissionError(13, "not writable", root)
    return {
        "root": root,
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "libc": list(platform.libc_ver()),
        # What agent/trust.py keeps: is a signature to be sent with a bundle?
        "trusts": os.path.lexists(os.path.join(root, "trust", "keys")),
    }


def _digest(path: str, copy_to: Optional[str] = None) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as source, open(copy_to or os.devnull, "wb") as copy:
        for chunk in iter(lambda: source.read(1 << 20), b""):
            digest.update(chunk)
            if copy_to:
                copy.write(chunk)
    return digest.hexdigest()


def _partials(request: Dict[str, Any]) -> str:
    folder, name = os.path.split(request["path"])
    # The wanted content is part of the name: what is left of another file is never gone on with.
    return os.path.join(folder, ".%s.%s." % (name[:40], request["sha256"][:16]))


class _Follower(threading.Thread):
    """Takes the digest of a file while it arrives: so it takes no time of its own."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._whole = threading.Event()
        self._digest = hashlib.sha256()
        self._read: Any = None

    def run(self) -> None:
        try:
            while not os.path.exists(self._path) and not self._whole.wait(0.01):
                pass
            with open(self._path, "rb") as stream:
                while True:
                    last = self._whole.is_set()
                    for chunk in iter(lambda: stream.read(1 << 20), b""):
                        self._digest.update(chunk)
                    if last:
                        self._read = os.fstat(stream.fileno())
                        return
                    self._whole.wait(0.01)
        except OSError:
            pass

    def finish(self) -> Optional[str]:
        """The digest of the whole file, once nothing more will come; None where it could not be read.

        None too where another push, done first, removed it: what came later is a new file.
        """
        self._whole.set()
        self.join()
        with contextlib.suppress(FileNotFoundError):
            if self._read and os.path.samestat(self._read, os.stat(self._path)):
                return self._digest.hexdigest()
        return None


_following: Dict[str, _Follower] = {}


def _finish(temporary: str) -> Optional[str]:
    follower = _following.pop(temporary, None)
    return follower.finish() if follower else None


# Another push of the same content may be under way: what is seen here now can be gone a moment later.


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _whole(request: Dict[str, Any]) -> bool:
    path = request["path"]
    if not os.path.isfile(path) or os.path.getsize(path) != request.get("size", os.path.getsize(path)):
        return False
    try:
        return _digest(path) == request["sha256"]
    except OSError:  # a worn card
        return False


def seek(request: Dict[str, Any]) -> Dict[str, Any]:
    """Whether `path` is there with that size and digest, and which forms can be undone here."""
    return {"whole": _whole(request), "undoes": known()}


def plan(request: Dict[str, Any]) -> Dict[str, Any]:
    """Before sending: is it there already? If not: the name to write to, what an earlier try has left, the room."""
    path = request["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    if _whole(request):
        return {"present": True}
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    # A name of its own for every try: late writes of a try that was cut must not land in this one's file.
    temporary = _partials(request) + request["token"] + ".part"
    left = sorted(glob.glob(glob.escape(_partials(request)) + "*.part"), key=_size)
    sent, prefix = 0, hashlib.sha256().hexdigest()
    most = _size(left[-1]) if left else 0
    if 0 < most <= request["size"] < free / 2:
        try:
            prefix = _digest(left[-1], temporary)
            sent = os.path.getsize(temporary)
        except FileNotFoundError:
            pass
        _tidy(folder, 60.0)  # not at once: what still grows belongs to another push
    elif most:  # no room for a copy: what is left makes room instead; an empty one is being opened
        for leftover in left:
            _unlink(leftover)
        free = os.statvfs(folder).f_bavail * found.f_frsize
    _following[temporary] = _Follower(temporary)
    _following[temporary].start()
    return {"present": False, "temporary": temporary, "sent": sent, "prefix_sha256": prefix, "free": free}


def commit(request: Dict[str, Any]) -> Dict[str, Any]:
    """After sending: checks the digest, here on the device, then one rename. {"sha256": found, "whole": bool}."""
    temporary = request["temporary"]
    try:
        found = _finish(temporary) or _digest(temporary)
        if found != request["sha256"]:
            _unlink(temporary)
            # Where another push of the same content was done first, it tidied up what this one had gone on from.
            return {"whole": _whole(request), "sha256": found}
        _in_place(request, temporary)
    except FileNotFoundError:
        # Another push of the same content was done first and tidied up.
        return {"whole": _whole(request), "sha256": ""}
    return {"whole": True, "sha256": found}


def _in_place(request: Dict[str, Any], temporary: str) -> None:
    """The one rename, and what earlier tries have left goes."""
    # No fsync, which is slower than the transfer on many cards: what a power cut damages, the next digest finds.
    os.replace(temporary, request["path"])
    for leftover in glob.glob(glob.escape(_partials(request)) + "*.part"):
        _unlink(leftover)
    _tidy(os.path.dirname(request["path"]))


def restore(request: Dict[str, Any]) -> Dict[str, Any]:
    """Unpacks `packed`, which was pushed, and puts what is in it at `path` as `commit` does; `packed` goes.

    {"sha256": found, "whole": bool}, and why it is damaged where it is. Raises OSError; ENOSPC before it is tried.
    """
    temporary = _partials(request) + request["token"] + ".part"
    folder = os.statvfs(os.path.dirname(request["path"]))
    if request["size"] > folder.f_bavail * folder.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), request["path"])
    digest = hashlib.sha256()
    try:
        with open(request["packed"], "rb") as source, open(temporary, "wb") as stream:
            for piece in restored(source, request["suffix"], request["size"]):
                digest.update(piece)
                stream.write(piece)
        if digest.hexdigest() != request["sha256"]:
            raise Damaged("its content is another")
        _in_place(request, temporary)
    except Damaged as damage:
        _unlink(request["packed"])
        return {"whole": False, "sha256": digest.hexdigest(), "damage": str(damage)}
    except FileNotFoundError:
        # Another one who installed the same content was done first and tidied up.
        return {"whole": _whole(request), "sha256": "", "damage": "it went away"}
    except MemoryError as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), request["packed"]) from error
    finally:
        _unlink(temporary)
    _unlink(request["packed"])
    return {"whole": True, "sha256": digest.hexdigest()}


def _tidy(folder: str, older_s: float = 86400.0) -> None:
    """Removes what tries that nobody goes on with have left."""
    for leftover in glob.glob(os.path.join(glob.escape(folder), ".*.part")):
        try:
            if time.time() - os.path.getmtime(leftover) > older_s:
                _unlink(leftover)
        except OSError:
            pass


def free(request: Dict[str, Any]) -> Dict[str, Any]:
    """Room left where `path` is."""
    found = os.statvfs(request["path"])
    return {"free": found.f_bavail * found.f_frsize}


def look(request: Dict[str, Any]) -> Dict[str, Any]:
    """Whether `path` is there, and its size."""
    path = request["path"]
    there = os.path.exists(path)
    return {"exists": there, "size": os.path.getsize(path) if there else None}


def make(request: Dict[str, Any]) -> Dict[str, Any]:
    """A folder and its parents."""
    os.makedirs(request["path"], exist_ok=True)
    return {}


def remove(request: Dict[str, Any]) -> Dict[str, Any]:
    """A file, or a folder with all in it; nothing where it isn't there."""
    path = request["path"]
    _finish(path)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    return {}


def main() -> None:
    doers = (hello, seek, plan, commit, restore, free, look, make, remove)
    does = {do.__name__: do for do in doers}
    for line in iter(sys.stdin.buffer.readline, b""):
        request = json.loads(line.decode())
        try:
            answer = dict(does[request["do"]](request), ok=True)
        except OSError as error:
            answer = {"ok": False, "errno": error.errno, "message": str(error)}
        sys.stdout.write(json.dumps(dict(answer, id=request["id"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
