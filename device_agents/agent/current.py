"""The switch from one release to another: one rename, so that `current` always stands for a whole release.

A release goes from "staged" to "trial" (`switch`), and from there to "good" (`keep`), or the one before is current
again (`back`). Whatever moment the device dies at, `settle` brings what it left to one of the two ends. All of it is
done under the lock of the releases, and what needs room on the disk is written before the switch: no end needs any.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import List, Optional

from .releases import CURRENT, FAILED, PREVIOUS, STATE, State, pointed, read, state_of

# Stands for the release before while another is on trial: renamed, it becomes `previous`, or `current` again.
_BACK = ".back"
# The trial's state.json once it is good.
_GOOD = ".good.json"
_OLD = ".old-"
DIED = "the device, or the agent on it, stopped while it was on trial"
NEW = ".new-"
"""How a release's folder is called until it is whole."""


def switch(folder: str, name: str, stamp: State) -> Optional[str]:
    """Makes a staged release the current one, on trial; the name of the one before. stamp: {"who", "host", "when"}.

    Raises OSError, and then nothing was switched.
    """
    before = pointed(folder, CURRENT)
    told = dict(state_of(folder, name), before=before, **stamp)
    write(os.path.join(folder, name, _GOOD), dict(told, state="good"))
    forget(os.path.join(folder, _BACK))
    if before is not None:
        os.symlink(before, os.path.join(folder, _BACK))
    write(os.path.join(folder, name, STATE), dict(told, state="trial"))
    temporary = os.path.join(folder, "." + CURRENT)
    forget(temporary)
    os.symlink(name, temporary)
    sync(folder)
    os.replace(temporary, os.path.join(folder, CURRENT))
    sync(folder)
    return before


def keep(folder: str) -> None:
    """The release on trial is good, and the one before it is `previous`. Raises OSError."""
    name = pointed(folder, CURRENT)
    assert name is not None
    os.replace(os.path.join(folder, name, _GOOD), os.path.join(folder, name, STATE))
    sync(os.path.join(folder, name))
    _remember(folder, name)
    forget(os.path.join(folder, FAILED))


def back(folder: str, why: str, stamp: State) -> Optional[str]:
    """Makes the release before the current one again; its name, None where there was none. The one on trial goes.

    Raises OSError.
    """
    name = pointed(folder, CURRENT)
    assert name is not None
    tried = state_of(folder, name) or read(os.path.join(folder, name, _GOOD))
    with contextlib.suppress(OSError):  # a full disk: the reason is lost, the way back isn't
        write(os.path.join(folder, FAILED), dict(tried, name=name, why=why[:2000], **stamp))
    before = tried.get("before")
    if pointed(folder, _BACK) is None and before and os.path.isdir(os.path.join(folder, str(before))):
        os.symlink(before, os.path.join(folder, _BACK))  # somebody has tidied it away
    if pointed(folder, _BACK) is not None:
        os.replace(os.path.join(folder, _BACK), os.path.join(folder, CURRENT))
    else:
        os.unlink(os.path.join(folder, CURRENT))  # it was the first
    sync(folder)
    remove(folder, name)
    _forget_dangling(folder)
    return pointed(folder, CURRENT)


def settle(folder: str, stamp: State, why: str = DIED) -> Optional[str]:
    """Ends what a death in mid-switch has left; the name of a release that was on trial and is rolled back, else None.

    why: it was on trial no longer. Raises OSError.
    """
    name = pointed(folder, CURRENT)
    # A state that was lost ends no trial: until it is kept, what takes its state's place lies there.
    good = os.path.join(folder, name or "", _GOOD)
    on_trial = name is not None and (state_of(folder, name).get("state") == "trial" or os.path.exists(good))
    if on_trial:
        back(folder, why, stamp)
    elif name is not None:
        _remember(folder, name)
    for left in (_BACK, "." + CURRENT):
        forget(os.path.join(folder, left))
    for left in os.listdir(folder):
        # On trial, and not current: the switch to it, or the way back from it, was cut short.
        tried = left not in (CURRENT, PREVIOUS) and state_of(folder, left).get("state") == "trial"
        if left.startswith((NEW, _OLD)) or tried:
            remove(folder, left)
        elif left.endswith(".part"):
            forget(os.path.join(folder, left))
    _forget_dangling(folder)
    return name if on_trial else None


def _remember(folder: str, name: str) -> None:
    """`previous` becomes the release that was current before `name`, unless that was done already."""
    before = pointed(folder, _BACK)
    if before is not None and before != name and before == state_of(folder, name).get("before"):
        os.replace(os.path.join(folder, _BACK), os.path.join(folder, PREVIOUS))
        sync(folder)


def _forget_dangling(folder: str) -> None:
    """`previous` may have stood for the release that was tried, and failed, again."""
    if pointed(folder, PREVIOUS) is None:
        forget(os.path.join(folder, PREVIOUS))


def prune(folder: str) -> List[State]:
    """Takes away all releases but `current` and `previous`; what was known of each, and its "name". Raises OSError."""
    kept = {pointed(folder, CURRENT), pointed(folder, PREVIOUS)}
    removed = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isdir(path) or name in kept:
            continue
        removed.append(dict(state_of(folder, name), name=name))
        remove(folder, name)
    return removed


def remove(folder: str, name: str) -> None:
    """Takes a release away; under another name first, so that half of one is never taken for a release."""
    path = os.path.join(folder, name)
    if not name.startswith((NEW, _OLD)):
        old = os.path.join(folder, _OLD + name)
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
        path = old
    shutil.rmtree(path)


def write(path: str, content: State) -> None:
    """A JSON file, whole or not at all, also through a power cut. Raises OSError."""
    temporary = path + ".part"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, sort_keys=True))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        forget(temporary)
        raise
    sync(os.path.dirname(path))


def sync(path: str) -> None:
    """Makes a file, or the names in a folder, last through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def forget(path: str) -> None:
    """A name less, where it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
