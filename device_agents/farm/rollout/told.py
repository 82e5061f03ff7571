"""What the agent says of a device's releases (the writer: agent/trial.py), each with its types and bounds."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError

from device_agents.agent.releases import FOLDER
from device_agents.farm.device import Device
from device_agents.farm.endings import ended_badly, garbled, lost
from device_agents.farm.events import Cleaned, Part, Text, Word, closing
from device_agents.farm.reservation import asked_by
from device_agents.farm.rollout.errors import ReleaseRefused, RolloutBusy
from device_agents.foreign import printable

_Told = TypeVar("_Told", bound=Part)
_MOST = 1000
_ANSWER_S = 600.0
"""Digests of big files on a slow card take their time."""


class ReleaseThere(Part):
    """A release on a device. name: of its folder; damaged: files that are missing or changed, None where that wasn't
    looked at; state: good, trial or staged; when: UTC by the clock of the host that did it."""

    name: Word
    version: Word = "?"
    digest: Word = ""
    bundle: Word = ""
    state: Word = "unknown"
    when: Word = ""
    who: Word = ""
    host: Word = ""
    why: Text = ""
    damaged: Annotated[list[Word], Field(max_length=_MOST, fail_fast=True)] | None = None


class ModelThere(Part):
    """The releases of one model. current, previous: names; failed: the last one that was rolled back, and why."""

    model: Word
    current: Word | None
    previous: Word | None
    failed: ReleaseThere | None
    releases: Annotated[list[ReleaseThere], Field(max_length=_MOST, fail_fast=True)]

    def named(self, name: str | None) -> ReleaseThere | None:
        """The release of that name; None where it isn't there."""
        return next((one for one in self.releases if one.name == name), None)

    @property
    def running(self) -> ReleaseThere | None:
        """The one that apps read."""
        return self.named(self.current)


class Survey(Part):
    """All releases on a device. busy: who works on them now; settled: {model: release} that were rolled back just now,
    because whoever tried them is gone."""

    models: Annotated[list[ModelThere], Field(max_length=_MOST, fail_fast=True)]
    busy: Cleaned | None
    settled: dict[Word, Word]

    def of(self, model: str) -> ModelThere | None:
        """The releases of a model; None where it has none."""
        return next((one for one in self.models if one.model == model), None)


class Staged(Part):
    """name: of the release's folder; missing: paths that must be sent before it can be put together."""

    name: Word
    missing: Annotated[list[Word], Field(max_length=_MOST, fail_fast=True)]


class Switched(Part):
    """The release is current, on trial. before: the one that was, None where none was."""

    kind: Literal["switched"]
    before: Word | None


class Kept(Part):
    """The release is good. removed: older ones that went."""

    kind: Literal["kept"]
    removed: Annotated[list[Word], Field(max_length=_MOST, fail_fast=True)]


class Back(Part):
    """The release was left again. current: what stands in its place, None for nothing."""

    kind: Literal["back"]
    current: Word | None
    why: Text


def survey(device: Device, check: bool = False) -> Survey:
    """What lies on a device; check: with every file's digest. A trial that was left is rolled back by the asking.

    Raises AgentLost, AgentFailed, AgentGarbled, and what a connection raises.
    """
    return _asked(Survey, device, "releases", *["--check"] * check)


def stage(device: Device, *arguments: str) -> Staged:
    """Has a release put together. Raises ReleaseRefused, RolloutBusy, DeviceReserved, NoRoom besides survey's."""
    return _asked(Staged, device, "stage", *arguments)


def read(kind: type[_Told], device: str, what: str, line: bytes) -> _Told:
    """One line of an agent. Raises AgentGarbled."""
    try:
        return kind.model_validate(json.loads(line))
    except (ValueError, RecursionError) as error:
        at = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else "all of it"
        raise garbled(device, f"answered what no agent answers ({what}: {printable(at, 100)})") from None


def badly(device: Device, end: dict[str, Any], what: str) -> NoReturn:
    """Raises what a closing marker that isn't well says. what: "could not do it (stage)"."""
    name, folder = device.entry.name, f"{device.root}/{FOLDER}"
    if end.get("error") == "busy":
        by = {key: printable(str(value), 200) for key, value in (end.get("holder") or {}).items()}
        raise RolloutBusy(
            f"{name} is busy with another rollout: {by.get('what', 'something')}, by {by.get('who', 'someone')} on "
            f"{by.get('host', 'another machine')} since {by.get('since', 'a while')}.",
            where=f"{folder}/lock",
            remedy="wait for it to end, then ./inv rollout --resume",
        )
    if end.get("error") == "refused":
        raise ReleaseRefused(
            f"{name} does not take the release: {printable(str(end.get('message')))}.",
            where=folder,
            remedy=f"./inv fleet --devices {name} --check; then run the same command again",
        )
    raise ended_badly(name, device.root, end, what)


def words(device: Device, command: str, *arguments: str) -> list[str]:
    """What starts one of these commands of the agent on a device."""
    return device.argv(command, "--root", device.root, *asked_by(), *arguments)


def _asked(kind: type[_Told], device: Device, command: str, *arguments: str) -> _Told:
    done = device.connection.run(words(device, command, *arguments), timeout=_ANSWER_S)
    lines = [line for line in done.stdout.splitlines() if line.lstrip().startswith(b"{")]
    end = closing(lines[-1]) if lines else None
    if end is None:
        raise lost(device.entry.name, done)
    if not end["ok"]:
        badly(device, end, f"could not do it ({command})")
    return read(kind, device.entry.name, command, lines[-2] if len(lines) > 1 else b"")
