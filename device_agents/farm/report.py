"""The report of one job: raw samples, the device's state around them, and what the measurement is worth."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from device_agents.errors import AgentFailed
from device_agents.farm.job import Job
from edgewright.files import canonical_json, write_atomically

SCHEMA = "edgewright-report/1"


@dataclass
class Report:
    """All that one job gave. `results` and the other dicts have the shape of the JSON (docs: edgewright-report/1)."""

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

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return {"schema": SCHEMA} | asdict(self)

    def write(self, folder: Path) -> Path:
        """Writes the report into `folder`, whole or not at all; the name sorts by time. Returns the path."""
        path = folder / f"{self.id}.json"
        write_atomically(path, canonical_json(self.to_json()))
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


def energy_mj(sections: list[dict[str, Any]], idle_mw: float | None) -> float | None:
    """Millijoules that one inference takes above the idle board: the median over the sections that were sampled.

    sections: {"calls": inferences in it, "energy": {"mj", "seconds", "samples"} or None}. None without a power sensor,
    or where the idle power isn't known.
    """
    if idle_mw is None:
        return None
    found = [
        (section["energy"]["mj"] - idle_mw * section["energy"]["seconds"]) / section["calls"]
        for section in sections
        if section["energy"] and section["calls"]
    ]
    return median(found) if found else None


class Collector:
    """Turns the agent's events, in the order in which they come, into results."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.facts: dict[str, Any] = {}
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.idle_mw: float | None = None
        self.agent = ""
        self.cpus: list[int] = []
        self.pinned = True
        self.canary: list[dict[str, Any]] = []
        self.shares: dict[str, list[tuple[int, int]]] = {}
        self.results: dict[str, dict[str, Any]] = {
            variant.name: {
                "name": variant.name,
                "bundle": variant.bundle.digest,
                "loads": [],
                "blocks": [],
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
            for variant in job.variants
        }

    def take(self, event: dict[str, Any]) -> None:
        """One event. Raises KeyError where it isn't what an agent of this version writes."""
        kind = event["kind"]
        if kind == "start":
            self.facts, self.before, self.agent = event["facts"], event["state"], event["agent"]
            self.cpus = event["cpus"]
            self.idle_mw = event.get("idle_mw")
        elif kind == "state":
            self.after = event["state"]
        elif kind == "canary":
            self.canary.append({name: event[name] for name in ("process", "round", "when", "ns")})
        elif kind == "loaded":
            result = self.results[event["name"]]
            result["loads"].append({name: event[name] for name in ("process", "load_ns", "first_ns")})
            result["providers"] = event["providers"]
            result["runtime"] = {"name": result["runtime"]["name"]} | {
                name: event["versions"].get(name) for name in ("version", "numpy")
            }
            self.pinned &= event["pinned"]
        elif kind == "block":
            self._block(event)
        elif kind == "memory":
            self.results[event["name"]] |= {"peak_bytes": event["peak_bytes"], "base_bytes": event["base_bytes"]}
        elif kind == "accuracy":
            self.results[event["name"]]["accuracy"] = event["accuracy"]
        elif kind == "energy":
            result = self.results[event["name"]]
            result["energy"].append({"calls": event["calls"], "energy": event["energy"]})
            result["energy_mj"] = energy_mj(result["energy"], self.idle_mw)
        elif kind == "second_opinion":
            self.results[event["name"]]["second_opinion"] = event["second_opinion"]
        elif kind == "failed":
            self.results[event["name"]]["error"] = event["message"]

    def _block(self, event: dict[str, Any]) -> None:
        others, watched = event["others_ns"], event["watched_ns"]
        share = None
        if others is not None and watched and self.pinned:
            self.shares.setdefault(event["name"], []).append((others, watched))
            share = round(min(max(others / watched, 0.0), 1.0), 4)
        kept = {name: event[name] for name in ("process", "round", "position", "samples_ns", "batch")}
        self.results[event["name"]]["blocks"].append(kept | {"others_cpu_share": share})

    def others_cpu_share(self) -> float | None:
        """Share of the measured cores' time that others took, over all blocks: a single one is too short to say."""
        pairs = [pair for found in self.shares.values() for pair in found]
        watched = sum(time for _, time in pairs)
        return round(min(max(sum(others for others, _ in pairs) / watched, 0.0), 1.0), 4) if watched else None
