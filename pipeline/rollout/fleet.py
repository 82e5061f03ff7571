"""`fleet`: which release of which model runs on which device, as the devices say it; the host's notes are not asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from device_agents.farm.device import Device
from device_agents.farm.doctor import Finding
from device_agents.farm.inventory import HOST, STAND_IN, DeviceEntry, Inventory
from device_agents.farm.opening import AnyDevice, open_any
from device_agents.farm.rollout.told import ModelThere, ReleaseThere, Survey, survey
from edgewright.errors import BadArgument, EdgewrightError
from pipeline.project import Project
from pipeline.reach import entry_named
from pipeline.table import aligned, plain

UNASKED = 2
"""The exit status where a device could not be asked."""
_AT_ONCE = 16
_BY_ADB = "a phone by adb takes no releases"


@dataclass(frozen=True)
class Seen:
    """What one device said. survey: None for a phone by adb, and where it could not be asked, with `problem`."""

    name: str
    survey: Survey | None = None
    problem: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """As --json has it."""
        told = self.survey or Survey(models=[], busy=None, settled={})
        said = {"device": self.name, "asked": self.survey is not None, "problem": self.problem or None}
        return said | {"remedy": self.remedy or None} | told.model_dump(mode="json")


def fleet(devices: Sequence[str], check: bool, as_json: bool) -> int:
    """Asks devices side by side and prints what runs there; the exit status. devices: names, none for all of farm.toml.

    check: every file's digest is taken there. Raises UnknownDevice, FarmFileError, BadArgument.
    """
    project = Project.here()
    entries = _entries(project, devices)
    with ThreadPoolExecutor(min(_AT_ONCE, len(entries))) as pool:
        seen = list(pool.map(lambda name: _ask(project, name, entries[name], check), entries))
    if as_json:
        told = {"schema": "edgewright-fleet/1", "checked": check, "devices": [one.to_json() for one in seen]}
        print(json.dumps(told, indent=2, sort_keys=True))
    else:
        print("\n".join(lines(seen)))
    return UNASKED if any(one.problem for one in seen) else 0


def _entries(project: Project, devices: Sequence[str]) -> dict[str, DeviceEntry]:
    if devices:
        return {name: entry_named(name) for name in devices}
    found = dict(Inventory.read(project.farm_file).entries)
    if not found:
        raise BadArgument(
            f"There is no device in {project.shown(project.farm_file)}.",
            where="--devices",
            remedy=f"./inv fleet --devices {HOST} asks this machine",
        )
    return found


def _ask(project: Project, name: str, entry: DeviceEntry, check: bool) -> Seen:
    if entry.kind == "adb":
        return Seen(name)
    try:
        with open_any(entry, state=project.state, cache=project.cache) as device:
            assert isinstance(device, Device)
            return Seen(name, survey(device, check))
    except EdgewrightError as error:
        return Seen(name, None, error.what, error.remedy)


def lines(seen: Sequence[Seen]) -> list[str]:
    """A row for each model on each device, and under them what is not as it should be."""
    rows = [["device", "model", "version", "state", "since (UTC)", "by", "digest", "before"]]
    notes = []
    for one in seen:
        models = one.survey.models if one.survey is not None else []
        rows += [_row(one.name, model) for model in models if model.current is not None]
        if one.problem:
            rows.append([one.name, "", "", "not asked"])
            notes.append(f"{one.name}: {one.problem}" + (f"   next: {one.remedy}" if one.remedy else ""))
        elif not any(model.current for model in models):
            rows.append([one.name, "-", "-", "no release"])
        notes += [f"{one.name}: {note}" for note in _notes(one)]
    width = max(map(len, rows))
    shown = [[plain(cell) for cell in row] + [""] * (width - len(row)) for row in rows]
    return [*aligned(shown), *(f"  {plain(note)}" for note in notes)]


def _row(device: str, model: ModelThere) -> list[str]:
    found, previous = model.running, model.named(model.previous)
    assert found is not None
    since, by = found.when[:16].replace("T", " "), f"{found.who}@{found.host}".strip("@")
    before = previous.version if previous is not None else "-"
    return [device, model.model, found.version, _state(found), since, by, found.digest[:12], before]


def _state(found: ReleaseThere) -> str:
    return "damaged" if found.damaged else found.state


def _wrong(seen: Survey) -> list[str]:
    """What is not as it should be."""
    found = []
    for model in seen.models:
        if (left := seen.settled.get(model.model)) is not None:
            found.append(f"{model.model}: {left} was on trial, and whoever tried it is gone: rolled back just now")
        for release in model.releases:
            if release.damaged:
                found.append(f"{model.model}: {release.version} is damaged: {', '.join(release.damaged[:3])}")
    return found


def _notes(seen: Seen) -> list[str]:
    if seen.survey is None:
        return [] if seen.problem else [_BY_ADB]
    found = _wrong(seen.survey)
    for model in seen.survey.models:
        if (failed := model.failed) is not None and model.model not in seen.survey.settled:
            when = failed.when[:16].replace("T", " ")
            found.append(f"{model.model}: {failed.version} was rolled back {when}: {failed.why}")
    if (busy := seen.survey.busy) is not None:
        found.append(f"{busy.get('who', 'someone')} on {busy.get('host', 'another machine')}: {busy.get('what', '?')}")
    return found


def findings(device: AnyDevice) -> list[Finding]:
    """What the doctor says of a device's releases: one that was on trial is rolled back by the asking; damaged files.

    Raises what survey raises.
    """
    if not isinstance(device, Device):
        return []
    name = HOST if device.entry.name == STAND_IN else device.entry.name
    return [
        Finding("note", what, f"./inv fleet --devices {name} --check", "releases")
        for what in _wrong(survey(device, check=True))
    ]
