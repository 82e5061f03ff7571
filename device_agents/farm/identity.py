"""Which board answers under a name: known from its first answer on, and told where another one answers.

A board is told by a digest of its serial number, else of its firmware's id, else of its installation's (`identity` of
the agent's facts, agent/probes/linux.py; of a phone, Android's serial number). So another installation of a board that
has no serial number is another board too: its times need not be the old one's either. Which board is meant by a name
is kept here, on the host, since nothing on a board can say what it replaces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device_agents.errors import DeviceError
from device_agents.farm.inventory import HOST, STAND_IN
from device_agents.farm.report import Report
from edgewright.files import alone, pretty_json, write_atomically

FILE = "boards.json"
SCHEMA = "edgewright-boards/1"
_DIGEST = re.compile(r"[0-9a-f]{16}")


class BoardsFileError(DeviceError):
    """The file that says which boards are meant can't be read or written."""


def identity(facts: Mapping[str, Any]) -> str | None:
    """16 hex digits that tell a board from every other, of the facts that it gave; None where it gives none."""
    told = facts.get("identity")
    return told if isinstance(told, str) and _DIGEST.fullmatch(told) else None


def known(state: Path, name: str) -> str | None:
    """The board that is meant by a device's name; None before its first answer. Raises BoardsFileError."""
    return _read(state / FILE).get(name)


def remember(state: Path, name: str, identity: str) -> None:
    """From now on this board is meant by the name. Raises BoardsFileError."""
    path = state / FILE
    try:
        with alone(path.with_name(f"{FILE}.lock")):
            boards = _read(path) | {name: identity}
            write_atomically(path, pretty_json({"schema": SCHEMA, "boards": boards}))
    except OSError as error:
        raise BoardsFileError(
            f"Which board is meant by {name} can't be written down: {error.strerror or error}",
            where=str(path),
            remedy=f"make room there, then: ./inv devices.adopt {name}",
        ) from error


def met(state: Path, name: str, found: str | None) -> str | None:
    """The board that is meant, where another one answers; None where all is well. The first answer is remembered.

    A board that gives no identity is taken for the one that is meant. Raises BoardsFileError.
    """
    if found is None:
        return None
    meant = known(state, name)
    if meant is None:
        remember(state, name, found)
    return None if meant in (None, found) else meant


def replaced(name: str, meant: str, found: str) -> tuple[str, str]:
    """(what to say of a name under which another board answers than the one that is meant, the command to type)."""
    return (
        f"another board answers as {name}: {found[:8]}, known until now {meant[:8]}",
        f"./inv devices.adopt {name}  (where it has taken the old one's place)",
    )


def check(state: Path, report: Report) -> None:
    """Puts into a report, before it is kept, that another board gave it than the one that is meant. Never raises.

    What this machine is called is no board's name, and what is emulated or stands in for a board is none.
    """
    name, found = report.device.get("name"), identity(report.device)
    if not isinstance(name, str) or name in (STAND_IN, HOST) or found is None:
        return
    if report.device.get("emulated") or report.device.get("stand_in"):
        return
    try:
        meant = met(state, name, found)
    except BoardsFileError as error:
        report.warnings.append(error.what)
        return
    if meant is not None:
        what, remedy = replaced(name, meant, found)
        if report.purpose == "nightly":  # its look at the device has seen the board that is meant
            report.valid = False
            report.problems.append(what)
        report.warnings.append(f"{what}; next: {remedy}")


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
        boards = found["boards"]
        if found["schema"] != SCHEMA or not all(_DIGEST.fullmatch(board) for board in boards.values()):
            raise ValueError("it is none of this version's")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BoardsFileError(
            f"The file that says which board is meant by which name can't be read: {error}",
            where=str(path),
            remedy=f"rm {path}   (the boards that answer next are the ones that are meant then)",
        ) from error
    return dict(boards)
