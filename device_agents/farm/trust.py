"""Trusting a device: its host key's fingerprint is shown to a person, who compares it, and then pinned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_agents.connect.link import first_untrusted
from device_agents.errors import DeviceError, HostKeyChanged
from device_agents.farm.inventory import DeviceEntry
from edgewright.files import write_atomically


@dataclass(frozen=True)
class ShownKey:
    """A host key as a server shows it. where: user@host:port; pinned: the other fingerprint that is pinned, or ""."""

    where: str
    name: str
    line: str
    fingerprint: str
    pinned: str

    @property
    def changed(self) -> bool:
        return bool(self.pinned)


def next_untrusted(entry: DeviceEntry) -> ShownKey | None:
    """The first key on the way to a device, jump hosts first, that isn't the pinned one; None where all are.

    Raises DeviceUnreachable, AuthenticationFailed (of a jump host), DeviceError where a local device has no host key.
    """
    if entry.kind == "adb":
        raise DeviceError(
            f"{entry.name} is reached by adb and has no host key: the phone itself asks whether to trust this machine.",
            remedy=f"./inv devices.probe {entry.name}   (and answer the question on the phone)",
        )
    if entry.kind != "ssh":
        raise DeviceError(f"{entry.name} is this machine: it has no host key.", remedy="nothing is left to do")
    found = first_untrusted(entry)
    if found is None:
        return None
    hop, key, known = found
    old = known.get(key.get_name()) or next(iter(known.values()), None)
    return ShownKey(
        where=str(hop),
        name=hop.known_hosts_name,
        line=f"{hop.known_hosts_name} {key.get_name()} {key.get_base64()}",
        fingerprint=f"{key.get_name()} {key.fingerprint}",
        pinned=f"{old.get_name()} {old.fingerprint}" if old is not None else "",
    )


def pin(entry: DeviceEntry, shown: ShownKey, *, replace: bool = False) -> Path:
    """Writes a key into the farm's known_hosts file; returns the file. A pinned key is replaced only where asked for.

    Raises HostKeyChanged where another one is pinned and `replace` is False.
    """
    if shown.changed and not replace:
        raise HostKeyChanged(
            f"Another host key of {entry.name} is pinned already.\n"
            f"  pinned: {shown.pinned}\n  shown:  {shown.fingerprint}",
            where=shown.where,
            remedy=f"check the device; if the new key is its own: ./inv devices.trust {entry.name} --replace",
        )
    path = entry.default_known_hosts
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    kept = [line for line in lines if not _is_about(line, shown.name)]
    write_atomically(path, "".join(f"{line}\n" for line in [*kept, shown.line]).encode())
    return path


def _is_about(line: str, name: str) -> bool:
    """Whether a known_hosts line is about `name` alone or, hashed, about it."""
    import paramiko

    if not line.strip() or line.lstrip().startswith("#"):
        return False
    try:
        parsed = paramiko.HostKeys()
        entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
        if entry is None:
            return False
        for host in entry.hostnames:
            parsed.add(host, entry.key.get_name(), entry.key)
    except (paramiko.SSHException, ValueError):
        return False
    return bool(parsed.lookup(name))
