"""Runs the parts of the bench, and keeps what each found: one that is not run again stays as it was."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

from edgewright import extras
from edgewright.files import pretty_json, write_atomically
from pipeline.project import Project
from tests.bench.night.found import Found
from tests.bench.night.setting import Setting

SCHEMA = "edgewright-bench-night/1"
NAMES = ("boards", "simulated", "pages")


@dataclass(frozen=True)
class Part:
    """A part that was run: when, at which size, of which commit, where, and what it found."""

    title: str
    setting: dict[str, Any]
    started: str
    commit: str | None
    machine: str
    found: Found

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Part:
        """As `asdict` has written it."""
        found = given["found"]
        rows = [(str(label), str(figure)) for label, figure in found["rows"]]
        return cls(**given | {"found": Found(found["figures"], rows, found["problems"])})


def run(setting: Setting, project: Project, out: Path, only: str | None, say: Callable[[str], None]) -> dict[str, Part]:
    """All parts that `out` holds then, in their order. Raises MissingExtra where the tests have no packages."""
    extras.check("dev")
    parts = read(out)
    for name in NAMES if only is None else (only,):
        say(f"{name} ({setting.name}) ...")
        started = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        module = _module(name)
        found = module.run(setting, project)
        machine = f"{os.cpu_count()} cores ({platform.machine()})"
        parts[name] = Part(module.TITLE, asdict(setting), started, project.commit(), machine, found)
        # Each at once: an hour of boards is not lost where a later part fails.
        kept = {one: asdict(part) for one, part in parts.items()}
        write_atomically(out, pretty_json({"schema": SCHEMA, "parts": kept}))
    return {name: parts[name] for name in NAMES if name in parts}


def read(out: Path) -> dict[str, Part]:
    """What an earlier run has left; nothing where the file is none of ours."""
    try:
        content = json.loads(out.read_bytes())
        if content["schema"] != SCHEMA:
            return {}
        return {name: Part.from_json(given) for name, given in content["parts"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _module(name: str) -> ModuleType:
    """Imported when it is run: they need the tests' own packages."""
    from tests.bench.night import boards, pages, simulated

    return {"boards": boards, "simulated": simulated, "pages": pages}[name]
