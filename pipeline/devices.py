"""The bodies of the tasks that attend to devices: list, probe, trust, set up, doctor."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from edgewright.errors import BadArgument
from edgewright.progress import for_stream
from pipeline.project import Project
from targets.schema import read_target

if TYPE_CHECKING:
    from device_agents.farm.inventory import DeviceEntry
    from device_agents.farm.opening import AnyDevice


def _entry(name: str) -> DeviceEntry:
    """A device of farm.toml, or this machine by the name `host`."""
    from device_agents.farm.inventory import HOST, Inventory, stand_in

    inventory = Inventory.read(Project.here().farm_file)
    return stand_in(HOST) if name == HOST and name not in inventory.entries else inventory.named(name)


def _open(name: str) -> tuple[DeviceEntry, AnyDevice]:
    from device_agents.farm.opening import open_any

    project, entry = Project.here(), _entry(name)
    return entry, open_any(entry, state=project.state, cache=project.cache, progress=for_stream())


def show() -> None:
    """The farm's devices, a line each."""
    from device_agents.farm.inventory import Inventory

    project = Project.here()
    inventory = Inventory.read(project.farm_file)
    for entry in inventory.entries.values():
        what = ", emulated" if entry.emulated else ", standing in" if entry.stand_in else ""
        print(f"  {entry.name:<16} {entry.target:<14} {entry.where or 'this machine'}{what}")
    if not inventory.entries:
        print(f"  no device in {project.shown(project.farm_file)}: this machine stands in (README: your own device)")


def probe(name: str, as_json: bool) -> None:
    """What a device is and how it is now."""
    entry, opened = _open(name)
    with opened as device:
        found = device.probe()
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    print(f"{entry.name}")
    for part in ("facts", "state"):
        for key, value in found[part].items():
            print(f"  {key:<24} {'unknown' if value is None else value}")


def trust(name: str, yes: bool, replace: bool) -> None:
    """Shows the fingerprint of each key on the way to a device, asks, pins."""
    from device_agents.farm import trust as trusting
    from device_agents.farm.inventory import Inventory

    project = Project.here()
    entry = Inventory.read(project.farm_file).named(name)
    while (shown := trusting.next_untrusted(entry)) is not None:
        print(
            f"  {shown.where}\n  {shown.fingerprint}"
            + (f"\n  pinned until now: {shown.pinned}" if shown.changed else "")
        )
        if not yes:
            if not sys.stdin.isatty():
                raise BadArgument(
                    "Nobody is there to compare the fingerprint", where=name, remedy=f"./inv devices.trust {name} --yes"
                )
            if input("  Is this the device's own key? [y/N] ").strip().lower() not in ("y", "yes"):
                raise BadArgument(
                    "The key was not pinned",
                    where=name,
                    remedy="compare it on the device: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
                )
        print(f"  pinned in {project.shown(trusting.pin(entry, shown, replace=replace))}")
    print(f"  {name} is trusted")


def setup(name: str, undo: bool) -> None:
    """Puts agent and runtimes on a device and says what lies where; or takes them off."""
    from device_agents.farm import setup as setting_up

    project, entry = Project.here(), _entry(name)
    if undo:
        lines = setting_up.undo(entry, project.state, project.cache, for_stream())
    else:
        target = read_target(entry.target, project.root)
        lines = setting_up.setup(entry, target, project.state, project.cache, for_stream())
    for line in lines:
        print(f"  {line}")


def doctor(name: str, as_json: bool) -> bool:
    """What would spoil a measurement on a device; whether it is fit to measure."""
    from device_agents.farm import doctor as doctors

    entry, opened = _open(name)
    with opened as device:
        findings, verdict = doctors.doctor(device, read_target(entry.target, Project.here().root))
    if as_json:
        print(json.dumps({"device": name, "verdict": verdict, "findings": [vars(one) for one in findings]}, indent=2))
    else:
        print(name)
        for line in doctors.lines(findings):
            print(f"  {line}")
        print(f"  {verdict}")
    return not any(one.level == "blocks" for one in findings)
