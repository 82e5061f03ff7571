"""Small farms of board doubles on which whole nights go wrong, and the one check of what must hold after each night.

A night is `./inv nightly` in a process of its own; by tests/deploy/short.py, where its jobs and waits take seconds.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from device_agents.agent.lock import holder
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.night.record import JobNight, Night, newest, status_of
from device_agents.farm.recovery import recover
from device_agents.farm.report import Report
from pipeline.demo import write_model
from pipeline.nightly.builds import Builds
from pipeline.nightly.child import Answer, Pair
from pipeline.project import Project
from tests.deploy.cli import SHORT, Ended, command, environment
from tests.device_agents.farm.jobs import agents_of, wait_until
from tests.doubles.farm import TARGET, Farm, Member, write_target
from tests.doubles.faults import FaultLink
from tests.doubles.loopback import sshd_path
from tests.prerequisites import require

TWO = {"one": 6, "two": 3}
"""Models by name, and how many layers they have."""
ONE = {"one": 6}
LIMIT_S = 900.0
GAVE_A_REPORT = ("measured", "known", "invalid")
"""This machine may be busy with other things, which makes reports invalid; that is not what these nights are about."""
_FINAL = {*GAVE_A_REPORT, "failed", "skipped"}
_TELLS_NOBODY = {"EDGEWRIGHT_LEDGER": "", "EDGEWRIGHT_WEBHOOK": "", "GITHUB_STEP_SUMMARY": ""}


@dataclass
class NightFarm:
    """Boards, and the project that measures on them, so many at once."""

    root: Path
    state: Path
    boards: Farm
    models: tuple[str, ...]
    parallel: int
    over: threading.Event = field(default_factory=threading.Event)
    _started: list[subprocess.Popen[str]] = field(default_factory=list)
    _to_come: list[str] = field(default_factory=list)

    # Nights.

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begins a night, in a process group of its own."""
        given = ["--models", ",".join(self.models), "--parallel", str(self.parallel), *words]
        process = subprocess.Popen(
            command("nightly", *given, program=SHORT),
            env=environment(self.state, EDGEWRIGHT_ROOT=str(self.root), **_TELLS_NOBODY),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        """Waits for the end of a night."""
        text, _ = process.communicate(timeout=LIMIT_S)
        return Ended(process.returncode, text)

    def night(self, *words: str) -> Night:
        """A whole night, checked."""
        return self.checked(self.ended(self.start(*words)))

    def end(self) -> None:
        """Nothing that it started goes on."""
        self.over.set()
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def from_another_host(self, state: Path) -> NightFarm:
        """The same boards, measured on from another state folder, which begins as a copy of this one."""
        shutil.copytree(self.state, state, symlinks=True)
        return dataclasses.replace(self, state=state)

    # What goes wrong, and when.

    def when(self, reached: Callable[[], bool], do: Callable[[], object], what: str) -> None:
        """Does it once, as soon as `reached` says so; `checked` fails where it never came to that."""
        self._to_come.append(what)

        def wait() -> None:
            while not self.over.wait(0.01):
                if reached():
                    do()
                    self._to_come.remove(what)
                    return

        threading.Thread(target=wait, name=what, daemon=True).start()

    def break_link(self, member: Member, fault: str, reached: Callable[[], bool]) -> None:
        """Cuts, freezes ... a device's link at some moment, and heals it once the night has seen an attempt fail."""
        link = link_of(member)
        self.when(reached, getattr(link, fault), f"{fault} of {member.name}")
        self.when(partial(self.in_vain, member), link.heal, f"{member.name} healed")

    def told(self, member: Member, kind: str) -> bool:
        """Whether an agent on this device has told an event of that kind, in a job that has left no report yet."""
        name, event = f'"name":"{member.name}"'.encode(), f'"kind":"{kind}"'.encode()
        for path in (self.state / "journal").glob("*.jsonl"):
            with suppress(OSError):
                head, _, lines = path.read_bytes().partition(b"\n")
                if name in head and event in lines:
                    return True
        return False

    def in_vain(self, member: Member) -> bool:
        """Whether an attempt on this device has failed in the newest night, and no later one has gone well."""
        return any(job.device == member.name and job.problem for job in self.jobs())

    def jobs(self) -> tuple[JobNight, ...]:
        """Those of the newest night, as its record says by now."""
        night = newest(self.state)
        return night.jobs if night is not None else ()

    def reports(self) -> list[Report]:
        """All that were written, oldest first."""
        return [Report.read(path) for path in sorted((self.state / "reports").glob("*.json"))]

    # What must hold.

    def checked(self, ended: Ended) -> Night:
        """The record of a night that came to its end. Nothing is lost, nothing is wrong in the ledger, nothing is left:

        each job has one final state and the report that it names; each report is in the ledger once, as it was written;
        a valid one is whole; the exit status is what jobs and verdicts come to; no process of the night or of an agent
        runs; every device's lock is free. And what was to go wrong in it did.
        """
        night = newest(self.state)
        assert night is not None and night.finished is not None, ended.text
        assert "Traceback" not in ended.text, ended.text
        assert not self._to_come, f"never came to be: {self._to_come}\n{ended.text}"
        wanted = sorted(f"{member.name}/{model}" for member in self.boards for model in self.models)
        assert sorted(job.id for job in night.jobs) == wanted
        assert {job.state for job in night.jobs} <= _FINAL, ended.text
        status = status_of(night.builds, night.jobs, night.regressions)
        assert ended.status == night.status == (status or (2 if night.problem else 0)), ended.text
        self._check_ledger(night)
        wait_until(lambda: not self.left(), "all processes of the night and of its agents end", 90.0)
        assert [member.name for member in self.boards if holder(str(member.double.root)) is not None] == []
        return night

    def _check_ledger(self, night: Night) -> None:
        assert recover(self.state) == [], "a job that was measured to its end has no report"
        assert not list((self.state / "reports").glob("*.unfiled"))
        with Ledger.open(None, self.state) as ledger:
            filed = {entry.id: ledger.report(entry.id) for entry in ledger.reports()}
            assert len(filed) == len(ledger.reports())
        for report in self.reports():
            assert filed.get(report.id) == report
        named = [job for job in night.jobs if job.report is not None]
        assert {job.id for job in named} == {job.id for job in night.jobs if job.state in GAVE_A_REPORT}
        assert len({job.report for job in named}) == len(named), "two jobs name one report"
        for job in named:
            report = filed[str(job.report)]
            assert (report.device["name"], report.model, report.target) == (job.device, job.model, job.target)
            assert {result["name"]: result["bundle"] for result in report.results} == job.variants
            assert report.valid is (job.state != "invalid")
        assert [id for id, report in filed.items() if report.valid and not is_whole(report)] == []

    def left(self) -> list[int]:
        """Processes of its nights, with what those started here, and of agents on its devices."""
        mark = f"EDGEWRIGHT_STATE={self.state}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    if mark in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
        return found + [pid for member in self.boards for pid in agents_of(str(member.double.root))]


class FarmOf(Protocol):
    """Opens a farm of so many boards."""

    def __call__(self, devices: int, models: Mapping[str, int] = ONE, parallel: int = 4) -> NightFarm: ...


def states(night: Night, member: Member | None = None) -> set[str]:
    """How the jobs ended, of a device or of all."""
    return {job.state for job in night.jobs if member is None or job.device == member.name}


def is_whole(report: Report) -> bool:
    """Whether every variant was timed in every round of every process, and gave its answers."""
    job = report.job
    rounds = [(process, number) for process in range(job["processes"]) for number in range(job["blocks"])]
    return all(
        result["error"] is None
        and sorted((block["process"], block["round"]) for block in result["blocks"]) == rounds
        and all(len(block["samples_ns"]) >= 3 for block in result["blocks"])
        and result["accuracy"] is not None
        for result in report.results
    )


def link_of(member: Member) -> FaultLink:
    """The link before a device of a farm with faults."""
    assert member.link is not None
    return member.link


def build(project: Project, models: Iterable[str]) -> list[Answer]:
    """Builds what a night wants of these models for the boards, and as it does."""
    pairs = [Pair(model=name, target=TARGET, recipe=name, kind=TARGET) for name in models]
    answers: list[Answer] = []
    Builds(project, pairs, project.state / "builds", nullcontext, answers.append).run()
    return answers


def build_store(folder: Path, models: Mapping[str, int]) -> Path:
    """A state folder in which all of these models, by their layers, is built; to be copied."""
    project = _project(folder, models)
    write_target(project.root)
    answers = build(project, models)
    assert [answer.build.state for answer in answers] == ["built"] * len(models), answers
    return project.state


@contextmanager
def night_farm(
    folder: Path,
    devices: int,
    models: Mapping[str, int],
    *,
    store: Path | None = None,
    parallel: int = 4,
) -> Iterator[NightFarm]:
    """A farm of board-1 and on, each behind a link that can fail. store: a state folder to begin with."""
    require(sshd_path(), "sshd is not installed: apt-get install openssh-server")
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed: apt-get install openssh-client")
    project = _project(folder, models)
    if store is not None:
        shutil.copytree(store, project.state, symlinks=True, dirs_exist_ok=True)
    with Farm(folder / "farm", devices, faults=True) as boards:
        boards.declare(project.root)
        farm = NightFarm(project.root, project.state, boards, tuple(models), parallel)
        try:
            yield farm
        finally:
            farm.end()


def _project(folder: Path, models: Mapping[str, int]) -> Project:
    project = dataclasses.replace(Project.here(), root=folder / "project", state=folder / "state")
    for name, layers in models.items():
        write_model(project, name, layers)
    return project
