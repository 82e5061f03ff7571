"""A farm of three boards for the tests of a night, whose devices, builds and measurements are made up."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.night.diary import Diary
from device_agents.farm.night.expected import Expected
from device_agents.farm.night.record import Build, DeviceNight, JobNight, Night
from device_agents.farm.report import Report
from edgewright.progress import Silent
from pipeline.nightly import tonight as nights
from pipeline.nightly.asked import Asked, read_asked
from pipeline.nightly.child import Answer, Pair, Variant
from pipeline.nightly.known import Known
from pipeline.nightly.tonight import Tonight, job_id
from pipeline.nightly.visit import Seen
from pipeline.project import Project
from targets.schema import Target
from tests.device_agents.farm.ledger import made

FARM = """\
[devices.pi1]
target = "raspberry-pi"
address = "pi1.example"
[devices.pi2]
target = "raspberry-pi"
address = "pi2.example"
[devices.box]
target = "linux-x86_64"
address = "box.example"
"""
MODELS = ("resnet8", "digits")
DIGESTS = {"trained": "1" * 64, "int8": "2" * 64}
NIGHT = "20261126T020000Z"


def answer(model: str, target: str, **build: Any) -> Answer:
    """Two bundles of a model."""
    told = Build(**{"model": model, "target": target, "state": "cached", "variants": tuple(DIGESTS)} | build)
    variants = {name: Variant(digest=digest, folder=Path(digest), runtime="litert") for name, digest in DIGESTS.items()}
    return Answer(build=told, variants=variants if told.variants else {})


def report(device: str, model: str, target: str, **fields: Any) -> Report:
    """What a job over those bundles gives."""
    found = made.report(f"{NIGHT}-{device}-{model}", shapes=2, model=model, target=target, purpose="nightly", **fields)
    found.device["name"] = device
    for result, (name, digest) in zip(found.results, DIGESTS.items(), strict=True):
        result |= {"name": name, "bundle": digest, "error": None}
        result["runtime"] = {"name": "litert", "version": "2", "numpy": None}
    return found


class _Device:
    """Stands for an open connection."""

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass
class Farm:
    """What becomes of looks, builds and jobs is set before `run`; `jobs` is what was measured, in order."""

    project: Project
    asked: Asked
    patch: pytest.MonkeyPatch
    seen: dict[str, Seen | BaseException] = field(default_factory=dict)
    builds: dict[tuple[str, str], Answer] = field(default_factory=dict)
    job: Callable[[str, str, int], Report | BaseException | None] = lambda device, model, attempt: None
    jobs: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def fresh(self) -> Night:
        entries = self.asked.entries
        return Night(
            id=NIGHT,
            started="2026-11-26T02:00:00Z",
            devices=tuple(
                DeviceNight(name=one.name, target=one.target, jobs=len(self.asked.models)) for one in entries
            ),
            jobs=tuple(
                JobNight(id=job_id(one.name, model), device=one.name, target=one.target, model=model)
                for one in entries
                for model in self.asked.models
            ),
        )

    def run(self, known: Known | None = None, **given: Any) -> tuple[bool, Night]:
        """A night to its end: whether it came there, and its record."""
        farm = self

        class Measuring:
            def __init__(self, project: Project, note: object) -> None: ...

            def open(self, entry: DeviceEntry) -> _Device:
                found = farm.seen.get(entry.name)
                if isinstance(found, BaseException):
                    raise found
                return _Device(entry.name)

            def close(self, device: _Device) -> None: ...

            def job(self, entry: DeviceEntry, target: Target, made: Answer) -> Report:
                id = job_id(entry.name, made.build.model)
                farm.tries[id] += 1
                farm.jobs.append(id)
                found = farm.job(entry.name, made.build.model, farm.tries[id])
                if isinstance(found, BaseException):
                    raise found
                return found or report(entry.name, made.build.model, target.name)

            def stop(self) -> None:
                farm.stopped.set()

        class Builds:
            def __init__(
                self, project: Project, pairs: list[Pair], folder: Path, quiet: Any, built: Any, *more: Any
            ) -> None:
                self.pairs, self.built = pairs, built

            def run(self) -> None:
                for pair in self.pairs:
                    if not farm.stopped.is_set():
                        key = (pair.model, pair.target)
                        self.built(farm.builds.get(key) or answer(*key))

            def stop(self) -> None: ...

        def visit(device: _Device, *more: Any) -> Seen:
            found = farm.seen.get(device.name, Seen("healthy", "ab" * 8))
            assert isinstance(found, Seen)
            return found

        self.patch.setattr(nights, "Measuring", Measuring)
        self.patch.setattr(nights, "Builds", Builds)
        self.patch.setattr(nights, "visit", visit)
        with Diary(self.fresh, self.project.state, pytest.fail) as diary:
            done = Tonight(
                self.project, self.asked, diary, Expected([]), known or Known([]), Silent(), self.said.append,
                self.said.append, **given,
            ).run()  # fmt: skip
        return done, diary.night


@contextmanager
def farm_in(root: Path, state: Path, patch: pytest.MonkeyPatch, text: str = FARM) -> Iterator[Farm]:
    """A farm whose project lies in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "farm.toml").write_text(text)
    patch.setenv("EDGEWRIGHT_ROOT", str(root))
    project = dataclasses.replace(Project.here(), state=state)
    yield Farm(project, read_asked(project, MODELS, ()), patch)
