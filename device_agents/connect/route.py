"""The way to a device: what farm.toml and ssh_config say together, hop by hop. Opens nothing."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.errors import FarmFileError

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry

_DEEPEST = 8


@dataclass(frozen=True)
class Hop:
    """One SSH server on the way. known_as: the name that known_hosts files list it under, without the port."""

    host: str
    port: int
    user: str
    known_as: str
    keys: tuple[Path, ...] = field(default=())
    # With a key of its own a device is offered that one alone: servers give up after a few wrong ones.
    only_these: bool = False

    @property
    def known_hosts_name(self) -> str:
        """As known_hosts spells it: the port is part of the name unless it is 22."""
        return self.known_as if self.port == 22 else f"[{self.known_as}]:{self.port}"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def route(entry: DeviceEntry) -> list[Hop]:
    """The hops to a device, the device last. What farm.toml says wins over ssh_config. Raises FarmFileError."""
    config = _config(entry)
    jumps = entry.jump if entry.jump is not None else config.lookup(entry.address).get("proxyjump")
    last = _hop(config, entry.address)
    last = replace(last, port=entry.port or last.port, user=entry.user or last.user)
    if entry.key is not None:
        last = replace(last, keys=(entry.key.expanduser(),), only_these=True)
    return [*_jumps(config, jumps, entry, _DEEPEST), last]


def _config(entry: DeviceEntry) -> Any:
    import paramiko

    path = (entry.ssh_config or Path("~/.ssh/config")).expanduser()
    try:
        return paramiko.SSHConfig.from_text(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        if entry.ssh_config is not None:
            raise FarmFileError(
                "The ssh_config file isn't there.", where=str(path), remedy="correct ssh_config in farm.toml"
            ) from None
        return paramiko.SSHConfig()
    except (OSError, paramiko.SSHException) as error:
        raise FarmFileError(
            f"The ssh_config file can't be read: {error}", where=str(path), remedy="correct it"
        ) from error


def _hop(config: Any, written: str) -> Hop:
    """`[ssh://][user@]host[:port]`, completed by ssh_config."""
    text = written.removeprefix("ssh://").rstrip("/")
    user, _, place = text.rpartition("@")
    host, port = place, ""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":")
    elif place.count(":") == 1:
        host, _, port = place.partition(":")
    found = config.lookup(host)
    number = port or found.get("port", "22")
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise FarmFileError(f"{written!r} has no valid port.", where=written, remedy="write host or host:port")
    files = [Path(name).expanduser() for name in found.get("identityfile", [])]
    return Hop(
        host=found["hostname"],
        port=int(number),
        user=user or found.get("user") or getpass.getuser(),
        known_as=found.get("hostkeyalias", found["hostname"]),
        keys=tuple(path for path in files if path.is_file()),
        only_these=found.get("identitiesonly", "no") == "yes",
    )


def _jumps(config: Any, written: str | None, entry: DeviceEntry, deepest: int) -> list[Hop]:
    """`a,b` means through a, then b; a's own ProxyJump comes before it, as in OpenSSH."""
    if not written or written.lower() == "none":
        return []
    if not deepest:
        raise FarmFileError(
            f"The jump hosts of {entry.name!r} lead in a circle.",
            where=f"{entry.farm_file or 'farm.toml'}: devices.{entry.name}.jump, and ProxyJump in ssh_config",
            remedy="correct the ProxyJump lines",
        )
    names = [name.strip() for name in written.split(",")]
    first = _hop(config, names[0])
    before = config.lookup(names[0].removeprefix("ssh://").rpartition("@")[2].partition(":")[0]).get("proxyjump")
    return [*_jumps(config, before, entry, deepest - 1), first, *(_hop(config, name) for name in names[1:])]
