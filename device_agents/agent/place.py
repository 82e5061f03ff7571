"""What a push does on the device, before any agent is there: this file is run by `python3 -I -c`, off stdin.

After it, every line on stdin is a request, {"do": ..., "id": ..., ...}; the answer is one JSON line with the same id:
{"ok": true, ...} or {"ok": false, "errno": ..., "message": ...}. EOF ends it.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from typing import Any, Dict, Optional


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


def plan(request: Dict[str, Any]) -> Dict[str, Any]:
    """Before sending: is it there already? If not: the name to write to, what an earlier try has left, the room."""
    path = request["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    if os.path.isfile(path) and os.path.getsize(path) == request["size"] and _digest(path) == request["sha256"]:
        return {"present": True}
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    # A name of its own for every try: late writes of a try that was cut must not land in this one's file.
    temporary = _partials(request) + request["token"] + ".part"
    left = sorted(glob.glob(glob.escape(_partials(request)) + "*.part"), key=os.path.getsize)
    sent, prefix = 0, hashlib.sha256().hexdigest()
    if left and 0 < os.path.getsize(left[-1]) <= request["size"] and free > 2 * request["size"]:
        prefix = _digest(left[-1], temporary)
        sent = os.path.getsize(temporary)
    elif left:
        for leftover in left:  # no room for a copy: what is left makes room instead
            os.unlink(leftover)
        free = os.statvfs(folder).f_bavail * found.f_frsize
    return {"present": False, "temporary": temporary, "sent": sent, "prefix_sha256": prefix, "free": free}


def commit(request: Dict[str, Any]) -> Dict[str, Any]:
    """After sending: checks the digest, here on the device, then one rename. {"sha256": found, "whole": bool}."""
    temporary, path = request["temporary"], request["path"]
    try:
        found = _digest(temporary)
    except FileNotFoundError:
        # Another push of the same content was done first and tidied up.
        return {"whole": os.path.isfile(path) and _digest(path) == request["sha256"], "sha256": ""}
    if found != request["sha256"]:
        os.unlink(temporary)
        return {"whole": False, "sha256": found}
    # No fsync, which is slower than the transfer on many cards: what a power cut damages, the next digest finds.
    os.replace(temporary, path)
    for leftover in glob.glob(glob.escape(_partials(request)) + "*.part"):
        os.unlink(leftover)
    _tidy(os.path.dirname(path))
    return {"whole": True, "sha256": found}


def _tidy(folder: str, older_s: float = 86400.0) -> None:
    for leftover in glob.glob(os.path.join(glob.escape(folder), ".*.part")):
        try:
            if time.time() - os.path.getmtime(leftover) > older_s:
                os.unlink(leftover)
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
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    return {}


def main() -> None:
    does = {"hello": hello, "plan": plan, "commit": commit, "free": free, "look": look, "make": make, "remove": remove}
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
