"""The report of one job: raw samples, the device's state around them, and what the measurement is worth."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from device_agents.errors import AgentFailed
from device_agents.farm.job import CANARY, Job, JobVariant
from edgewright.files import canonical_json, write_atomically

if TYPE_CHECKING:
    from device_agents.farm.journal import Journal

SCHEMA = "edgewright-report/1"


@dataclass
class Report:
    """All that one job gave. `results` and the other dicts have the shape of the JSON (docs: edgewright-report/1).

    purpose: what the job was for; commit: the git commit of the project that measured; canary_model: the result of the
    fixed model that ran along; waited_s: for the device to be fit; canary_usual_ns: what its canary took before a job.
    `journal` is no part of the JSON: the job's lines, kept until the report is on the disk.
    """

    id: str
    started: str
    finished: str
    model: str
    target: str
    device: dict[str, Any]
    valid: bool
    problems: list[str]
    warnings: list[str]
    agent: dict[str, Any]
    runtime: dict[str, Any]
    facts: dict[str, Any]
    state_before: dict[str, Any]
    state_after: dict[str, Any]
    job: dict[str, Any]
    results: list[dict[str, Any]]
    canary: list[dict[str, Any]]
    cpus: list[int] = field(default_factory=list)
    others_cpu_share: float | None = None
    runtimes: list[dict[str, Any]] = field(default_factory=list)
    idle_mw: float | None = None
    purpose: str = "deploy"
    commit: str | None = None
    canary_model: dict[str, Any] | None = None
    waited_s: float | None = None
    canary_usual_ns: int | None = None

    def __post_init__(self) -> None:
        self.journal: Journal | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return {"schema": SCHEMA} | asdict(self)

    def write(self, folder: Path) -> Path:
        """Writes the report into `folder`, whole or not at all; the name sorts by time. Returns the path.

        Raises OSError where it can't; the journal stays then, and `recover` gives the report again.
        """
        path = folder / f"{self.id}.json"
        write_atomically(path, canonical_json(self.to_json()))
        if self.journal is not None:
            self.journal.done()
        return path

    @classmethod
    def read(cls, path: Path) -> Report:
        """Reads a report that `write` wrote. Raises AgentFailed where it is none."""
        try:
            given = json.loads(path.read_bytes())
            if given.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            return cls(**{name.name: given[name.name] for name in fields(cls) if name.name in given})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AgentFailed(
                f"This is no report: {error}", where=str(path), remedy="measure again: ./inv deploy"
            ) from error


def now() -> str:
    """UTC as ISO 8601, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id(started: str, model: str, target: str) -> str:
    """A name that sorts by time, fits a file name whatever the model is called, and doesn't come twice."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{model}-{target}".lower()).strip("-")[:60]
    return f"{re.sub(r'[^0-9TZ]', '', started)}-{slug}-{secrets.token_hex(3)}"


def energies_mj(sections: list[dict[str, Any]], idle_mw: float | None) -> list[float]:
    """Millijoules that one inference takes above the idle board, of each section that was sampled.

    sections: {"calls": inferences in it, "energy": {"mj", "seconds", "samples"} or None}. None of them without a power
    sensor, or where the idle power isn't known.
    """
    if idle_mw is None:
        return []
    return [
        (section["energy"]["mj"] - idle_mw * section["energy"]["seconds"]) / section["calls"]
        for section in sections
        if section["energy"] and section["calls"]
    ]


def energy_mj(sections: list[dict[str, Any]], idle_mw: float | None) -> float | None:
    """The median of energies_mj; None where there is none."""
    return median(found) if (found := energies_mj(sections, idle_mw)) else None


class Collector:
    """Turns the agent's events, in the order in which they come, into results.

    facts, before, after: of the device; problems: what was wrong with it before the job; refused: why nothing was
    measured; granted: processes beyond the job's that the host has asked for.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.began = False
        self.facts: dict[str, Any] = {}
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.idle_mw: float | None = None
        self.agent = ""
        self.cpus: list[int] = []
        self.pinned = True
        self.problems: list[str] = []
        self.refused: list[str] = []
        self.granted = 0
        self.waited_s: float | None = None
        self.canary_usual_ns: int | None = None
        self.canary: list[dict[str, Any]] = []
        self.canary_model = None if job.canary is None else _empty(job.canary)
        self.results = {variant.name: _empty(variant) for variant in job.variants}
        self._shares: list[tuple[int, int]] = []
        self._blocks: set[tuple[Any, ...]] = set()

    def take(self, event: dict[str, Any]) -> bool:
        """One event, as device_agents.farm.events lets it through; False where no agent writes it at this point."""
        kind = event["kind"]
        if kind == "start":
            return self._start(event)
        if kind == "refused":
            self.refused += event["problems"]
        elif kind == "state":
            self.after = event["state"]
        elif kind == "canary":
            if not self._within(event):
                return False
            self.canary.append({name: event[name] for name in ("process", "round", "when", "ns")})
        elif "name" in event:
            return self._within(event) and self._result(kind, self._of(event["name"]), event)
        return True

    def others_cpu_share(self) -> float | None:
        """Share of the measured cores' time that others took, over all blocks: a single one is too short to say."""
        watched = sum(time for _, time in self._shares)
        return round(min(max(sum(others for others, _ in self._shares) / watched, 0.0), 1.0), 4) if watched else None

    def _of(self, name: str) -> dict[str, Any]:
        return self.canary_model if name == CANARY and self.canary_model is not None else self.results[name]

    def _start(self, event: dict[str, Any]) -> bool:
        if self.began:
            return False
        self.began = True
        self.facts, self.before, self.agent = event["facts"], event["state"], event["agent"]
        self.cpus = event["cpus"]
        self.idle_mw = event.get("idle_mw")
        self.problems = event.get("problems") or []
        self.waited_s, self.canary_usual_ns = event.get("waited_s"), event.get("canary_usual_ns")
        return True

    def _within(self, event: dict[str, Any]) -> bool:
        """Nothing is measured before the start, nor in a process or a round that nobody asked for."""
        processes = max(self.job.processes, 1) + self.granted
        return self.began and event.get("process", 0) < processes and event.get("round", 0) < self.job.blocks

    def _result(self, kind: str, result: dict[str, Any], event: dict[str, Any]) -> bool:
        if result["error"] is not None:
            return False  # it has left the race
        if kind == "block":
            return self._block(result, event)
        if kind == "loaded":
            result["loads"].append({name: event[name] for name in ("process", "load_ns", "first_ns")})
            result["providers"] = event["providers"]
            result["runtime"] = {"name": result["runtime"]["name"]} | {
                name: event["versions"].get(name) for name in ("version", "numpy")
            }
            self.pinned &= event["pinned"]
        elif kind == "warmed":
            result["warmups"].append({name: event[name] for name in ("process", "calls", "seconds", "stable")})
        elif kind == "memory":
            result["peaks"] += [event["peak_bytes"]] if event["peak_bytes"] is not None else []
            result |= {"peak_bytes": max(result["peaks"], default=None), "base_bytes": event["base_bytes"]}
        elif kind == "accuracy":
            result["accuracy"] = event["accuracy"]
        elif kind == "energy":
            result["energy"].append({"calls": event["calls"], "energy": event["energy"]})
            result["energy_mj"] = energy_mj(result["energy"], self.idle_mw)
        elif kind == "second_opinion":
            result["second_opinion"] = event["second_opinion"]
        elif kind == "failed":
            result["error"] = event["message"] or "it did not say why"
        return True

    def _block(self, result: dict[str, Any], event: dict[str, Any]) -> bool:
        block = {name: event[name] for name in ("process", "round", "position", "samples_ns", "batch")}
        block |= {"attempt": event.get("attempt", 0), "canary_ratio": event.get("canary_ratio")}
        block["held"] = event.get("held")
        kept = event.get("kept", True)
        place = (result["name"], block["process"], block["round"])
        # Of one turn there is one block that counts, and one a discarded attempt.
        key = place if kept else (*place, block["attempt"])
        if key in self._blocks or block["position"] > len(self.job.variants):
            return False
        self._blocks.add(key)
        others, watched = event["others_ns"], event["watched_ns"]
        block["others_cpu_share"] = None
        if others is not None and watched and self.pinned:
            block["others_cpu_share"] = round(min(max(others / watched, 0.0), 1.0), 4)
            if kept and result is not self.canary_model:
                self._shares.append((others, watched))
        result["blocks" if kept else "redone"].append(block)
        return True


def _empty(variant: JobVariant) -> dict[str, Any]:
    """A variant's result before anything is known of it."""
    return {
        "name": variant.name,
        "bundle": variant.bundle.digest,
        "loads": [],
        "warmups": [],
        "blocks": [],
        "redone": [],
        "peaks": [],
        "peak_bytes": None,
        "base_bytes": None,
        "accuracy": None,
        "runtime": {"name": variant.runtime, "version": None, "numpy": None},
        "providers": [],
        "energy": [],
        "energy_mj": None,
        "second_opinion": None,
        "error": None,
    }
