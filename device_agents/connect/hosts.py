"""Host keys that are pinned, in the farm's own file or else the user's. Unknown or changed is refused, always."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.connect.route import Hop
from device_agents.errors import HostKeyChanged, UnknownHostKey

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry


def pinned(entry: DeviceEntry, hop: Hop) -> tuple[dict[str, Any], Path]:
    """({key type: paramiko key} that a hop must show, the file that says so).

    The farm's file decides alone where it knows the hop; the user's ~/.ssh/known_hosts is asked only where it doesn't.
    An entry that names a known_hosts file of its own is checked by that file alone.
    """
    import paramiko

    own = entry.default_known_hosts
    files = [own] if entry.known_hosts is not None else [own, Path("~/.ssh/known_hosts").expanduser()]
    for path in files:
        try:
            keys = paramiko.HostKeys(str(path))
        except OSError:
            continue
        found = keys.lookup(hop.known_hosts_name)
        if found:
            return dict(found), path
    return {}, own


def check(entry: DeviceEntry, hop: Hop, shown: Any) -> None:
    """Raises UnknownHostKey or HostKeyChanged unless `shown`, a paramiko key, is the pinned one."""
    known, path = pinned(entry, hop)
    if not known:
        raise UnknownHostKey(
            f"The host key of {entry.name} is not known: {shown.get_name()} {shown.fingerprint}",
            where=f"{hop} ({hop.known_hosts_name} is not in {path})",
            remedy=f"./inv devices.trust {entry.name}   (compare the fingerprint with the device's own first)",
        )
    wanted = known.get(shown.get_name())
    if wanted == shown:
        return
    old = wanted or next(iter(known.values()))
    raise HostKeyChanged(
        f"WARNING: {entry.name} shows another host key than the pinned one. "
        "It was set up anew, or someone sits in between.\n"
        f"  pinned: {old.get_name()} {old.fingerprint}\n"
        f"  shown:  {shown.get_name()} {shown.fingerprint}",
        where=f"{hop} (pinned in {path})",
        remedy=f"check the device; if the new key is its own: ./inv devices.trust {entry.name} --replace",
    )
