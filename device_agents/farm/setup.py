"""Puts agent and runtimes on a device ahead of the first job, and says what lies where and whose bundles it takes; or
takes it all off again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.farm.device import Device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.opening import AnyDevice, open_any
from device_agents.farm.phone import Phone
from device_agents.farm.prepare import RuntimeInfo
from device_agents.farm.reserve import open_free
from device_agents.farm.trustkeys import NoTrustThere, shown
from device_agents.pack import agent
from edgewright.progress import Progress, piece
from targets.schema import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def setup(
    entry: DeviceEntry,
    target: Target,
    state: Path,
    cache: Path,
    progress: Progress,
    trust: Sequence[str] = (),
    trust_none: bool = False,
) -> list[str]:
    """Agent and every runtime of the target, each tried there; lines that say what lies where. Twice sends nothing.

    trust: lines of public keys that the device shall trust besides those that it does; trust_none: it shall trust none
    but them. Raises NoTrustThere of a phone by adb, KeysDamaged, RuntimeUnavailable where the device can have none of
    the target's runtimes, NoRoom, and what a connection raises.
    """
    with open_free(entry, state=state, cache=cache, progress=progress) as device:
        if trust or trust_none:
            _change_trust(device, trust, trust_none)
        with piece(progress, f"set up {entry.name}", len(target.runtime) + 1) as shown:
            facts = device.probe()["facts"]
            shown.advance()
            found, left_out = device.available(target.runtime)
            shown.advance(float(len(target.runtime)))
        lines = [*_device(device, facts), *_contents(device, found), *_trust(device)]
        return [*lines, *(f"left out: {why}" for why in left_out.values())]


def _change_trust(device: AnyDevice, lines: Sequence[str], none: bool) -> None:
    if isinstance(device, Phone):
        raise NoTrustThere(
            f"{device.entry.name} can't be told to trust a key: a phone by adb has no Python that could check a "
            "signature.",
            where=device.entry.where,
            remedy="name Termux's SSH server in farm.toml (docs/android.md)",
        )
    if none:
        device.trust.forget(*lines[:1])
    for line in lines[1:] if none else lines:
        device.trust.add(line)


def _trust(device: AnyDevice) -> list[str]:
    keys = None if isinstance(device, Phone) else device.trust.keys()
    if keys is None:
        return ["trusts no key: it takes every bundle"] if isinstance(device, Device) else []
    told = [f"takes only what is signed by {one}" for one in shown(keys)]
    return told or ["takes no bundle: its file of trusted keys is empty"]


def _device(device: AnyDevice, facts: Mapping[str, Any]) -> list[str]:
    model = (facts.get("android") or {}).get("model")
    about = [model or facts.get("board") or facts.get("cpu_model"), facts.get("os"), str(device.system)]
    return [f"{device.entry.name}: {', '.join(one for one in about if one)}", f"folder: {device.root}"]


def _contents(device: AnyDevice, runtimes: Mapping[str, RuntimeInfo]) -> list[str]:
    sizes, free = device.sizes()
    lines = ["no agent: this phone has a shell only"] if isinstance(device, Phone) else [_agent()]
    for info in runtimes.values():
        numpy = f", numpy {info.numpy}" if info.numpy else ""
        providers = f", brings {', '.join(info.providers)}" if info.providers else ""
        if info.source == "device":
            place = "the device's own"
        else:
            place = f"{'sent just now' if info.sent else 'was there'}, {_mb(sizes.get(f'runtimes/{info.digest}', 0))}"
        lines.append(f"{info.name} {info.version}: works ({place}{numpy}{providers})")
    others = {f"runtimes/{info.digest}" for info in runtimes.values()}
    old = sum(size for name, size in sizes.items() if name.startswith("runtimes/") and name not in others)
    if old:
        lines.append(f"other runtimes: {_mb(old)}")
    lines += [f"{name}: {_mb(sizes[name])}" for name in ("bundles", "data", "engines", "outputs") if sizes.get(name)]
    lines.append(f"in all {_mb(sum(sizes.values()))}, {_mb(free) if free is not None else 'an unknown amount'} free")
    return lines


def _agent() -> str:
    return f"agent {agent().sha256[:12]}: works"


def undo(entry: DeviceEntry, state: Path, cache: Path, progress: Progress) -> list[str]:
    """Takes all that is ours off the device; lines that say so. Raises DeviceBusy while a job runs there."""
    with open_any(entry, state=state, cache=cache, progress=progress) as device:
        root = device.root
        trusted = isinstance(device, Device) and device.trust.any
        freed, left = device.erase()
    lines = [f"{entry.name}: removed what was ours in {root}, {_mb(freed)}"]
    if trusted:
        lines.append("the keys that it trusted went too: it takes every bundle again")
    if "releases" in left:
        lines.append("releases stay, since apps read them: rm -r them by hand")
    if left := [name for name in left if name != "releases"]:
        lines.append(f"the folder stays, for what isn't ours in it: {', '.join(left[:5])}{', ...' * (len(left) > 5)}")
    return lines


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
