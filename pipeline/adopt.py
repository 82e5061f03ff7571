"""The body of `devices.adopt`: another board has taken a device's place, and a person says that it is meant."""

from __future__ import annotations

from device_agents.errors import DeviceError
from device_agents.farm import identity as identities
from pipeline.project import Project
from pipeline.reach import open_named
from pipeline.table import plain


class NoIdentity(DeviceError):
    """A device tells nothing that would tell it from another."""


def adopt(name: str) -> None:
    """Takes the board that answers under a name for the one that is meant. Raises NoIdentity, BoardsFileError.

    A task of its own, not part of `devices.trust`: that pins a host key, which phones have none of, which a board that
    is installed anew changes, and which a copied card carries to another board.
    """
    state = Project.here().state
    _, opened = open_named(name)
    with opened as device:
        facts = device.probe()["facts"]
    found, meant = identities.identity(facts), identities.known(state, name)
    if found is None:
        raise NoIdentity(
            f"{name} tells no serial number and no id of its installation, so it can't be told from another board.",
            where="identity",
            remedy=f"./inv devices.probe {name}",
        )
    what = plain(facts.get("board") or facts.get("cpu_model") or facts.get("machine") or "a board")
    if found == meant:
        print(f"  {name} is the board that it was: {found[:8]}, {what}")
        return
    identities.remember(state, name, found)
    before = f", known until now {meant[:8]}: its series begin anew" if meant else ""
    print(f"  {name} is {found[:8]} from now on, {what}{before}")
