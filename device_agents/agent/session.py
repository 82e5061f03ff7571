"""One job from its first line to its closing marker: lock, reservation, state, the race, the passes after it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any, Dict

from . import __version__, cpus
from .crew import Crew
from .gate import look_here, wait_until_fit
from .handle import kill_all
from .host import Host
from .lines import Lines
from .lock import Busy, Lock
from .passes import Passes
from .power import Sampler
from .probe import facts, state
from .race import Race
from .reserve import Reserved, refuse

# How long nothing runs, where power can be told, to know what the board takes without us.
_IDLE_S = 2.0
_MOST_PROCESSES = 1000


def run(root: str, sysroot: str, out: Lines) -> int:
    """Reads the job, holds the lock for as long as it takes, writes events; the exit status is 0 where it was run."""
    line = sys.stdin.buffer.readline()
    began = time.monotonic()
    try:
        job = json.loads(line.decode())
    except ValueError:
        out.end(False, error="job", message="the first line on stdin is no job")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    host = Host(sys.stdin.fileno(), out, float(job.get("silence_s", 60.0)), kill_all)
    host.watch()
    who = dict(job.get("holder") or {}, pid=os.getpid(), since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    try:
        with Lock(root, who, float(job.get("wait_s", 0.0))):
            # Here again, though the host has asked: somebody may have reserved the device while bundles travelled.
            now = job.get("now")
            refuse(root, who, None if now is None else float(now) + time.monotonic() - began, sysroot)
            _Session(job, root, sysroot, out, host).run()
    except Busy as busy:
        out.end(False, error="busy", holder=busy.holder)
        return 3
    except Reserved as reserved:
        out.end(False, error="reserved", holder=reserved.reservation)
        return 3
    finally:
        kill_all()
    out.end(True)
    return 0


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


class _Session:
    def __init__(self, job: Dict[str, Any], root: str, sysroot: str, out: Lines, host: Host) -> None:
        self._job = job
        self._root = root
        self._sysroot = sysroot
        self._out = out
        self._host = host

    def run(self) -> None:
        """Every pass in turn. A variant that fails leaves the race and is named; the others go on."""
        job = self._job
        wanted = job["cpus"]
        cores = cpus.choose(job["threads"], self._sysroot) if wanted == "auto" else list(wanted)
        # Only time needs a device that is fit: without a race, answers are all that is asked for.
        before, waited, problems = (
            wait_until_fit(job, look_here(self._sysroot, self._root, cores), self._waiting)
            if job["processes"]
            else (state(self._sysroot, self._root), 0.0, [])
        )
        # The job's time begins once the device is fit.
        crew = Crew(job, self._root, self._out, time.monotonic() + job["time_limit_s"])
        found, power = facts(self._sysroot), Sampler(self._sysroot, avoid=cores)
        crew.cpus, crew.board = cores, found.get("board") or found.get("machine") or ""
        race = Race(crew, self._sysroot)
        refused = bool(problems) and job.get("on_bad_state") == "refuse"
        self._out.write(
            "start",
            agent=__version__,
            facts=found,
            state=before,
            cpus=cores,
            waited_s=round(waited, 1),
            problems=problems,
            canary_usual_ns=race.calibrate() if job["processes"] and not refused else None,
            idle_mw=power.idle(_IDLE_S) if power.available and not refused else None,
            steps=len(crew.live()) * (job["processes"] * job["blocks"] + (2 if job["processes"] else 1)),
        )
        if refused:
            self._out.write("refused", problems=problems)
        else:
            self._measure(crew, race, Passes(crew, power))
        self._out.write("state", state=state(self._sysroot, self._root))

    def _waiting(self, reason: str, seconds: float) -> None:
        self._out.write("waiting", reason=reason, seconds=round(seconds, 1))

    def _measure(self, crew: Crew, race: Race, passes: Passes) -> None:
        job = self._job
        crew.verify()
        done, wanted = 0, job["processes"]
        while done < wanted and crew.live():
            race.run(done)
            done += 1
            if done == wanted and job.get("ask") and done < _MOST_PROCESSES and time.monotonic() < crew.deadline:
                self._out.write("look", processes=done)
                wanted += self._host.more()
        if job["processes"]:
            for variant in crew.live():
                passes.cost(variant)
        for variant in crew.live():
            passes.accuracy(variant)
        # Last: it takes the whole GPU, and builds an engine of its own first.
        for variant in crew.live() if job["processes"] else ():
            passes.second_opinion(variant)
