"""What the agent's short commands answer, each with its types and bounds (the writer: agent/__main__.py)."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from device_agents.connect.process import Completed
from device_agents.farm.endings import ended_badly, garbled, lost
from device_agents.farm.events import Bytes, Cleaned, Count, Facts, Ns, Part, State, Text, Word, Words, closing
from device_agents.foreign import printable


def _shown_as_it_is(path: str) -> str:
    # A path is used as it stands, on the device; one that can't be printed is no answer of ours.
    if path != printable(path, len(path)):
        raise ValueError("not printable")
    return path


_Path = Annotated[str, Field(max_length=4096), AfterValidator(_shown_as_it_is)]


class _Hello(Part):
    python: Annotated[list[Count], Field(min_length=2, max_length=10)]
    root: _Path
    machine: Word
    bits: Count
    implementation: Word
    libc: Annotated[list[Word], Field(min_length=2, max_length=2)]
    trusts: bool = False


class _Probe(Part):
    facts: Facts
    state: State


class _Canary(Part):
    pinned: bool
    cpus: Annotated[list[Count], Field(max_length=4096)]
    ns: Annotated[list[Ns], Field(min_length=1, max_length=10_000)]


class _Digest(Part):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Holder(Part):
    holder: Cleaned | None


class _Reservation(Part):
    reservation: Cleaned | None


class _Sizes(Part):
    bytes: Annotated[dict[Word, Bytes], Field(max_length=10_000)]
    free_bytes: Bytes | None


class _Erase(Part):
    freed_bytes: Bytes
    left: Annotated[list[Word], Field(max_length=10_000, fail_fast=True)]


class _Versions(Part):
    version: Word
    numpy: Word


class _Runtime(Part):
    versions: _Versions | None
    providers: Words
    problem: Text | None
    remedy: Text


class _Trust(Part):
    keys: Annotated[list[Text], Field(max_length=1000, fail_fast=True)] | None


class _Unpack(Part):
    folder: _Path


_ANSWERS: dict[str, type[Part]] = {
    "hello": _Hello,
    "probe": _Probe,
    "canary": _Canary,
    "sha256": _Digest,
    "holder": _Holder,
    **dict.fromkeys(("reservation", "reserve", "release"), _Reservation),
    "sizes": _Sizes,
    "erase": _Erase,
    "runtime": _Runtime,
    "unpack": _Unpack,
    "trust": _Trust,
}


def answer(device: str, root: str, command: str, done: Completed) -> dict[str, Any]:
    """The line before the closing marker of a command that ended. Raises AgentLost, AgentFailed, AgentGarbled."""
    lines = [line for line in done.stdout.splitlines() if line.lstrip().startswith(b"{")]
    end = closing(lines[-1]) if lines else None
    if end is None:
        raise lost(device, done)
    if not end["ok"]:
        raise ended_badly(device, root, end, f"could not do it ({command})")
    said = lines[-2] if len(lines) > 1 else b""
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        told = None
    return checked(device, command, told)


def checked(device: str, command: str, told: Any) -> dict[str, Any]:
    """An answer with its texts printable and its fields as they must be. Raises AgentGarbled."""
    try:
        return _ANSWERS[command].model_validate(told).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"])) or "all of it"
        raise garbled(device, f"answered what no agent answers ({command}: {printable(at, 100)})") from None
