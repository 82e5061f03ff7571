"""One job on a phone: rounds of benchmark_model, interleaved as agent/session.py does; gives the events of an agent."""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from shlex import quote
from typing import Any

from device_agents.agent.canary import BOUND, Usual
from device_agents.agent.crew import CANARY_PROCESSES
from device_agents.agent.gate import wait_until_fit
from device_agents.agent.race import LASTING, MOST_AGAIN
from device_agents.connect.shell import Shell
from device_agents.farm import benchmark_model
from device_agents.farm.benchmark_model import Failed
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.phonecpus import Ticks, choose, cpu_ns, pin, spent, ticks
from device_agents.farm.phonelock import HELD
from device_agents.farm.phoneprobe import probe_phone

Json = dict[str, Any]
NEEDS_PYTHON = "needs Python on the phone: use Termux over SSH (docs/android.md)"
_TICK_NS = 10_000_000
_CANARY_STEPS = 10_000
_LOAD_S = 60.0


@dataclass
class _Racer:
    variant: JobVariant
    path: str = ""
    error: str | None = None
    peak_bytes: int | None = None


class PhoneSession:
    """shell: the one that holds the phone's lock; program: benchmark_model there; tell: gets every event; ask: how many
    processes more, once so many are done (Job.ask)."""

    def __init__(
        self,
        shell: Shell,
        job: Job,
        root: str,
        program: str,
        tell: Callable[[Json], None],
        ask: Callable[[int], int] = lambda done: 0,
    ) -> None:
        self._shell = shell
        self._job = job
        self._root = root
        self._program = program
        self._tell = tell
        self._ask = ask
        self._deadline = time.monotonic() + job.time_limit_s
        self._racers = [_Racer(variant) for variant in job.variants]
        self._canary_model = _Racer(job.canary) if job.canary else None
        self._usual = Usual()
        self._spoilt = 0
        self._cpus: list[int] = []
        self._pinned = False
        self._bounded = False

    def run(self) -> None:
        """A variant that fails leaves the race and is named; the others go on. Raises LinkLost, CommandTimedOut."""
        job = self._job
        facts, _ = probe_phone(self._shell, self._root)
        before, waited, problems = wait_until_fit(job.model_dump(), self._look, self._waiting)
        self._deadline = time.monotonic() + job.time_limit_s
        refused = bool(problems) and job.on_bad_state == "refuse"
        self._cpus = choose(self._shell, job.threads) if job.cpus == "auto" else list(job.cpus)
        self._bounded = self._shell.run("command -v timeout")[0] == 0
        steps = len(self._racers) * (job.processes * job.blocks + 2)
        self._tell(
            {
                "kind": "start",
                "agent": "",
                "facts": facts,
                "state": before,
                "cpus": self._cpus,
                "idle_mw": None,
                "steps": steps,
                "waited_s": round(waited, 1),
                "problems": problems,
            }
        )
        if refused:
            self._tell({"kind": "refused", "problems": problems})
        else:
            self._measure()
        self._tell({"kind": "state", "state": probe_phone(self._shell, self._root)[1]})

    def _look(self) -> tuple[Json, None]:
        """The phone's state; how busy others keep its cores, a shell without root can't say of the moment."""
        return probe_phone(self._shell, self._root)[1], None

    def _waiting(self, reason: str, seconds: float) -> None:
        self._tell({"kind": "waiting", "reason": reason, "seconds": round(seconds, 1)})

    def _measure(self) -> None:
        job = self._job
        self._pinned = pin(self._shell, self._cpus)
        for racer in self._racing(0):
            try:
                if racer.variant.runtime != benchmark_model.NAME:
                    raise Failed(f"{racer.variant.runtime} {NEEDS_PYTHON}")
                racer.path = self._checked(racer.variant)
            except Failed as failed:
                self._failed(racer, str(failed))
        done, wanted = 0, job.processes
        while done < wanted and self._live():
            self._race(done)
            done += 1
            if done == wanted and job.ask and time.monotonic() < self._deadline:
                wanted += self._ask(done)
        for racer in self._live():
            self._tell(
                {"kind": "memory", "name": racer.variant.name, "peak_bytes": racer.peak_bytes, "base_bytes": None}
            )

    def _race(self, process: int) -> None:
        """One round of blocks; benchmark_model is a fresh process for every block anyway."""
        for number in range(self._job.blocks):
            ratio = self._canary(process, number, "before")
            order = self._racing(process)
            for position, racer in enumerate(order if number % 2 == 0 else order[::-1]):
                ratio = self._block(racer, process, number, position, ratio)
            self._canary(process, number, "after")

    def _live(self) -> list[_Racer]:
        return [racer for racer in self._racers if racer.error is None]

    def _racing(self, process: int) -> list[_Racer]:
        """Those, and the canary model behind them, as agent/crew.py has it."""
        canary = self._canary_model
        runs = canary is not None and canary.error is None and process < CANARY_PROCESSES
        return self._live() + ([canary] if canary and runs and self._live() else [])

    def _failed(self, racer: _Racer, message: str) -> None:
        racer.error = message
        self._tell({"kind": "failed", "name": racer.variant.name, "message": message})

    def _checked(self, variant: JobVariant) -> str:
        """The model's path on the phone, once manifest and model were checked there against their digests."""
        folder = variant.bundle.path
        manifest = posixpath.join(folder, "manifest.json")
        status, data = self._shell.run(f"cat {quote(manifest)}", timeout=_LOAD_S)
        if status != 0:
            raise Failed(f"the bundle can't be read on the phone: {_line(data)}")
        if hashlib.sha256(data).hexdigest() != variant.bundle.digest:
            raise Failed(f"the bundle's manifest on the phone is not the one that was sent: {manifest}")
        listed = json.loads(data)
        path = posixpath.join(folder, listed["file"])
        status, said = self._shell.run(f"sha256sum < {quote(path)}", timeout=600.0)
        if status != 0:
            raise Failed(f"the bundle can't be read on the phone: {_line(said)}")
        if said.split()[0].decode() != listed["sha256"]:
            raise Failed(f"the model file on the phone is corrupted (its digest is not the manifest's): {path}")
        return path

    def _block(self, racer: _Racer, process: int, number: int, position: int, before: float | None) -> float | None:
        """One block, done again while the canary is over its bound; before: what it took at last, over the usual one.

        Returns what it took after it.
        """
        job = self._job
        for attempt in range(MOST_AGAIN + 1):
            try:
                began = time.monotonic_ns()
                run = self._run(racer.path)
                wall = time.monotonic_ns() - began
            except Failed as failed:
                self._failed(racer, str(failed))
                return before
            after = self._read()
            found = [ratio for ratio in (before, after and after[1]) if ratio is not None]
            ratio = max(found) if found else None
            over = ratio is not None and ratio > BOUND
            # As agent/race.py has it: not for ever, and not in the half of the time that is for what is done once.
            last = attempt == MOST_AGAIN or self._spoilt >= LASTING
            last |= time.monotonic() > self._deadline - job.time_limit_s / 2
            kept = not over or last
            self._told(
                racer, process, number, position, run, wall, {"attempt": attempt, "canary_ratio": ratio, "kept": kept}
            )
            before = after and after[1]
            if kept:
                self._spoilt = self._spoilt + 1 if over else 0
            if kept or racer.error is not None:
                break
        return before

    def _told(
        self,
        racer: _Racer,
        process: int,
        number: int,
        position: int,
        told: tuple[benchmark_model.Run, Ticks, Ticks, int | None],
        wall: int,
        worth: Json,
    ) -> None:
        """One run of benchmark_model: its mean over `count` calls is one sample."""
        job, name = self._job, racer.variant.name
        run, before, after, own = told
        if job.memory_limit_bytes is not None and (run.peak_bytes or 0) > job.memory_limit_bytes:
            self._failed(racer, f"it took {run.peak_bytes} bytes of memory; the limit is {job.memory_limit_bytes}")
            return
        racer.peak_bytes = max((peak for peak in (racer.peak_bytes, run.peak_bytes) if peak is not None), default=None)
        if number == 0 and worth["attempt"] == 0:
            self._tell(
                {
                    "kind": "loaded",
                    "name": name,
                    "process": process,
                    "load_ns": run.init_ns,
                    "first_ns": run.first_ns,
                    "providers": [run.delegate],
                    "versions": {},
                    "pinned": self._pinned,
                    "base_bytes": None,
                }
            )
        watched = spent(before, after, self._cpus)
        self._tell(
            {
                "kind": "block",
                "name": name,
                "process": process,
                "round": number,
                "position": position,
                "samples_ns": [round(run.mean_ns * run.count)],
                "batch": run.count,
                "wall_ns": wall,
                "energy": None,
                "others_ns": watched[0] * _TICK_NS - own if watched is not None and own is not None else None,
                "watched_ns": watched[1] * _TICK_NS if watched is not None else 0,
                **worth,
            }
        )

    def _run(self, path: str) -> tuple[benchmark_model.Run, Ticks, Ticks, int | None]:
        """(what it said, the cores' ticks before, after, CPU time of the run itself). Raises Failed."""
        job = self._job
        limit = min(2 * job.block_limit_seconds + _LOAD_S, self._deadline - time.monotonic())
        if limit <= 0:
            raise Failed(f"the job's time limit of {job.time_limit_s:.0f} s was reached")
        words = benchmark_model.arguments(
            path,
            threads=job.threads,
            warmup_runs=job.warmup_runs,
            warmup_seconds=job.warmup_seconds,
            runs=job.samples,
            seconds=job.block_seconds,
            most_seconds=job.block_limit_seconds,
        )
        command = " ".join(quote(word) for word in (self._program, *words))
        # Ended there, not here: a run that nobody hears any more must not keep the phone busy for long.
        bound = f"timeout {math.ceil(limit)} " if self._bounded else ""
        status, said = self._shell.run(
            f"cat /proc/stat 2>/dev/null; printf '\\n@run\\n'; {bound}{command} {HELD}; ended=$?\n"
            "printf '\\n@stat\\n'; cat /proc/stat 2>/dev/null; printf '\\n@times\\n'; times; exit $ended",
            timeout=limit + 20.0,
        )
        parts = re.split(r"\n@(?:run|stat|times)\n", said.decode(errors="replace"))
        if len(parts) != 4:
            raise Failed(f"benchmark_model's output can't be understood: {_line(said)}")
        return benchmark_model.parse(parts[1], status), ticks(parts[0]), ticks(parts[2]), cpu_ns(parts[3])

    def _canary(self, process: int, number: int, when: str) -> float | None:
        """The canary, told; what it took over its usual time."""
        found = self._read()
        if found is None:
            return None
        self._tell({"kind": "canary", "process": process, "round": number, "when": when, "ns": found[0]})
        return found[1]

    def _read(self) -> tuple[int, float] | None:
        """(ns, over the usual one) of a fixed loop of the shell's own, the quickest of three; None where the phone's
        clock has only seconds."""
        loop = f"i=0; while [ $i -lt {_CANARY_STEPS} ]; do i=$((i+1)); done"
        _, said = self._shell.run(f"for go in 1 2 3; do date +%s%N; {loop}; date +%s%N; done")
        times = [int(text) for text in said.split() if re.fullmatch(rb"\d{18,20}", text)]
        took = min((end - begin for begin, end in zip(times[::2], times[1::2], strict=False)), default=0)
        return (took, round(self._usual.add(took), 4)) if len(times) == 6 and took > 0 else None


def _line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "nothing was said"
