"""What the agent keeps in its folder on the device: how much room it takes, and taking it all away."""

from __future__ import annotations

import os
import shutil
from typing import Dict

from .lock import Lock

# Everything that host or agent make under the root; what else lies there is somebody's own.
FOLDERS = ("agent", "bundles", "data", "engines", "outputs", "reservation", "runtimes", "trust", "wheels")


def disk_bytes(path: str) -> int:
    """What a file, or a folder with all in it, takes on the disk."""
    try:
        total = os.lstat(path).st_blocks * 512
        if os.path.isdir(path) and not os.path.islink(path):
            total += sum(disk_bytes(os.path.join(path, name)) for name in os.listdir(path))
    except OSError:
        return 0  # it went away meanwhile
    return total


def sizes(root: str) -> Dict[str, int]:
    """Bytes by folder, runtimes each by itself ("runtimes/DIGEST"); folders that aren't there are left out."""
    found = {}
    for name in FOLDERS:
        folder = os.path.join(root, name)
        if name == "runtimes" and os.path.isdir(folder):
            for digest in sorted(os.listdir(folder)):
                found["runtimes/" + digest] = disk_bytes(os.path.join(folder, digest))
        elif os.path.isdir(folder):
            found[name] = disk_bytes(folder)
    return found


def erase(root: str, holder: Dict[str, object]) -> Dict[str, object]:
    """Takes away all that is the agent's, under the device's lock; the root too, where nothing else lies in it.

    {"freed_bytes", "left": names in the root that are not the agent's}. Raises lock.Busy, OSError.
    """
    with Lock(root, dict(holder, pid=os.getpid(), what="removing everything")):
        freed = 0
        for name in FOLDERS:
            folder = os.path.join(root, name)
            if os.path.isdir(folder):
                freed += disk_bytes(folder)
                shutil.rmtree(folder)
        os.unlink(os.path.join(root, "lock"))
    left = sorted(os.listdir(root))
    if not left:
        os.rmdir(root)
    return {"freed_bytes": freed, "left": left}
