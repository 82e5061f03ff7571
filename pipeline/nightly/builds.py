"""The builds of a night: what the store has comes first, all at once; the rest follows one by one, each in a process of
its own, while devices elsewhere measure what is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pipeline
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.night.record import Build
from edgewright.files import write_atomically
from pipeline.nightly.asked import is_here
from pipeline.nightly.child import Answer, Pair, Request
from pipeline.project import Project
from targets.schema import Target

TOO_LATE = "the deadline came before it was built; what was done is kept, and goes on next time"


@dataclass
class Builds:
    """quiet: a block in which nothing is measured on this machine; until: on time.monotonic's clock; built: told of
    each pair as it is done, in the thread that runs `run`."""

    project: Project
    pairs: Sequence[Pair]
    folder: Path
    quiet: Callable[[], AbstractContextManager[None]]
    built: Callable[[Answer], None]
    cores: tuple[int, ...] | None = None
    until: float | None = None
    _process: subprocess.Popen[bytes] | None = None
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Builds all pairs, until it is stopped; every one of them is answered, if not stopped."""
        left = list(self.pairs)
        for answer in self._asked("stored", left, stored=True):
            left = [pair for pair in left if (pair.model, pair.target) != (answer.build.model, answer.build.target)]
            self.built(answer)
        for number, pair in enumerate(left):
            if self._stopped:
                return
            if self._late():
                self.built(_failed(pair, TOO_LATE, "give a later --deadline"))
                continue
            for answer in self._asked(f"build-{number}", [pair]):
                self.built(answer)

    def stop(self) -> None:
        """Ends the build that runs, from any thread: nothing more is built."""
        with self._lock:
            self._stopped = True
            self._kill()

    def _asked(self, name: str, pairs: Sequence[Pair], stored: bool = False) -> list[Answer]:
        """One process over some pairs: its answers."""
        answers = self.folder / name
        log = self.folder / f"{name}.log"
        request = Request(pairs=tuple(pairs), answers=answers, stored=stored, cores=self.cores)
        try:
            for left in answers.glob("*.json"):  # of the same night before it was killed
                left.unlink()
            write_atomically(answers / "request", request.model_dump_json().encode())
            with self.quiet():
                status = self._ran(answers / "request", log)
        except OSError as error:
            said = f"it can't be built: {error.strerror or error}"
            return [] if stored else [_failed(pair, said, "make room on the disk") for pair in pairs]
        found = [(pair, _read(answers / f"{number}.json", pair)) for number, pair in enumerate(pairs)]
        if stored or self._stopped:
            return [answer for _, answer in found if answer is not None]
        why = TOO_LATE if self._late() else f"the build ended without an answer (exit status {status})"
        return [answer or _failed(pair, why, f"read {log}") for pair, answer in found]

    def _ran(self, request: Path, log: Path) -> int | None:
        """The exit status; None where it was not begun."""
        places = {"ROOT": self.project.root, "STATE": self.project.state, "CACHE": self.project.cache}
        if self.project.data is not None:
            places["DATA"] = self.project.data
        environment = os.environ | {f"EDGEWRIGHT_{name}": str(path.resolve()) for name, path in places.items()}
        with self._lock, log.open("wb") as out:
            if self._stopped:
                return None
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.nightly.child", str(request.resolve())],
                # Where -m looks first: no folder of a person's, with a models/ of their own, comes before our packages.
                cwd=Path(pipeline.__file__).parents[1],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return self._process.wait(None if self.until is None else max(0.0, self.until - time.monotonic()))
        except subprocess.TimeoutExpired:
            with self._lock:
                self._kill()
            return self._process.wait()
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _kill(self) -> None:
        """With all that it started: a build can be killed at any moment."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _late(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until


def _read(path: Path, pair: Pair) -> Answer | None:
    try:
        answer = Answer.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return answer if (answer.build.model, answer.build.target) == (pair.model, pair.target) else None


def _failed(pair: Pair, problem: str, remedy: str) -> Answer:
    return Answer(build=Build(model=pair.model, target=pair.target, state="failed", problem=problem, remedy=remedy))


def cores_for_builds(entries: Iterable[DeviceEntry], targets: dict[str, Target]) -> tuple[int, ...] | None:
    """The cores that no device here is measured on by its target's `cpus`; None where they can't be told, or none is
    left: nothing is built while such a device is measured, so that is only less tidy."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = os.sched_getaffinity(0)
    taken: set[int] = set()
    for entry in entries:
        if is_here(entry) and (target := targets.get(entry.target)) is not None and target.cpus != "auto":
            taken |= set(target.cpus)
    return tuple(sorted(cores - taken)) if taken and cores - taken else None
