"""A release on trial: one process that switches to it, waits for the host's word, and goes back where none comes.

It holds the lock of the releases meanwhile. Whatever becomes of the host or the link, the release before is current
again within `silence_s`; where the device itself dies, whoever looks at its releases next sees to that (`survey`).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

from . import current, releases, reserve
from .lines import Lines
from .lock import Busy, Lock
from .releases import CURRENT, Refused, State
from .stage import check_signed, stage

_GONE = "the host is gone"
_LONGEST_LINE = 1 << 16


def stamped(who: Mapping[str, Any], now: float) -> State:
    """Who did something, and when by the host's clock: a board's own may stand at the day of its image."""
    return dict(who, when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))


def held(root: str, stamp: State, what: str, wait_s: float = 0.0) -> Lock:
    """The lock of the releases: one rollout at a time changes them, whatever else runs on the device."""
    return Lock(
        os.path.join(root, releases.FOLDER), dict(stamp, since=stamp["when"], what=what, pid=os.getpid()), wait_s
    )


def survey(root: str, stamp: State, check: bool, now: float, sysroot: str) -> Dict[str, Any]:
    """What lies here (releases.survey), and "busy": who works on it now or None, "settled": {model: the release that
    was rolled back because the one who tried it is gone}. Raises OSError.
    """
    settled = {}
    busy: Optional[State] = None
    try:
        if releases.models(root):
            reserve.refuse(root, stamp, now, sysroot)
            with held(root, stamp, "looking at its releases"):
                for model in releases.models(root):
                    left = current.settle(releases.folder_of(root, model), stamp)
                    if left is not None:
                        settled[model] = left
    except Busy as error:
        busy = error.holder
    except reserve.Reserved:
        pass  # somebody else's: it is looked at, and left alone
    return {"models": releases.survey(root, check), "busy": busy, "settled": settled}


def trial(
    root: str, model: str, name: str, stamp: State, requests: int, out: Lines, silence_s: float, wait_s: float
) -> None:
    """Switches to a staged release, then does what the host says on the descriptor `requests`.

    Events: {"kind": "switched", "before": name or None}, then {"kind": "kept", "removed": [names]} or {"kind": "back",
    "current": name or None, "why"}. The host's word is a line {"keep": bool, "why": str}; empty lines show that it
    lives. Raises Busy, Refused where `name` is not whole here, OSError.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    folder = releases.folder_of(root, model)
    with held(root, stamp, "rolling out %s %s" % (model, name), wait_s):
        current.settle(folder, stamp)
        if releases.pointed(folder, CURRENT) == name:
            raise Refused("%s is current already" % name)
        wrong = releases.damaged(os.path.join(folder, name), releases.state_of(folder, name))
        if wrong:
            raise Refused("%s is not whole here: %s" % (name, ", ".join(wrong[:5])))
        check_signed(root, os.path.join(folder, name))
        why = current.DIED
        try:
            out.write("switched", before=current.switch(folder, name, stamp))
            keep, why = _word(requests, silence_s)
            if keep:
                current.keep(folder)
        except SystemExit:
            why = "the agent was told to stop"
            raise
        except BrokenPipeError:
            why = _GONE
            raise
        finally:
            current.settle(folder, stamp, why)  # what isn't good by now is left
        if keep:
            out.write("kept", removed=_tidied(root, folder, stamp))
        else:
            out.write("back", current=releases.pointed(folder, CURRENT), why=why)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _word(requests: int, silence_s: float) -> Tuple[bool, str]:
    """What the host says: whether to keep the release, and why not."""
    rest = b""
    while True:
        ready, _, _ = select.select([requests], [], [], silence_s)
        data = os.read(requests, 4096) if ready else b""
        if not data:
            return False, _GONE if ready else "nothing was heard from the host for %.0f s" % silence_s
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[-_LONGEST_LINE:]
        for line in lines:
            try:
                told = json.loads(line.decode())
                return told["keep"] is True, str(told.get("why") or "the host said so")
            except (ValueError, KeyError, TypeError):
                continue  # empty: it lives


def _tidied(root: str, folder: str, stamp: State) -> List[str]:
    """Takes older releases away, and their bundles where no release and no job uses them; the releases' names."""
    removed = current.prune(folder)
    bundles = {str(one.get("bundle")) for one in removed}
    for model in releases.survey(root):
        bundles -= {str(one.get("bundle")) for one in model["releases"]}
    try:
        with Lock(root, dict(stamp, since=stamp["when"], what="removing old bundles", pid=os.getpid())):
            for bundle in bundles:
                if len(bundle) == 64 and bundle.isalnum():
                    shutil.rmtree(os.path.join(root, "bundles", bundle), ignore_errors=True)
    except Busy:
        pass  # a job runs, perhaps with one of them
    return [str(one["name"]) for one in removed]


def answer(given: Any, out: Lines) -> int:
    """The commands `releases`, `stage` and `trial`; the exit status."""
    me = {"who": given.who, "host": given.host}
    stamp = stamped(me, given.now)
    try:
        if given.command == "releases":
            out.write("releases", **survey(given.root, stamp, given.check, given.now, given.sysroot))
        else:
            reserve.refuse(given.root, me, given.now, given.sysroot)
            if given.command == "stage":
                asked = {name: getattr(given, name) for name in ("version", "digest", "signature", "bundle")}
                with held(given.root, stamp, "installing %s %s" % (given.model, given.version), given.wait):
                    out.write("stage", **stage(given.root, given.model, asked, stamp))
            else:
                trial(given.root, given.model, given.name, stamp, 0, out, given.silence, given.wait)
    except Busy as busy:
        out.end(False, error="busy", holder=busy.holder)
        return 3
    except reserve.Reserved as reserved:
        out.end(False, error="reserved", holder=reserved.reservation)
        return 3
    except Refused as refused:
        out.end(False, error="refused", message=str(refused))
        return 1
    out.end(True)
    return 0
