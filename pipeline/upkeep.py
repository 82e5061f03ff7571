"""The bodies of the tasks that look after the store and the devices."""

from __future__ import annotations

import json
import re
import sys

from device_agents.farm.figures import show_bytes
from edgewright.errors import BadArgument
from edgewright.progress import for_stream
from pipeline.project import Project


def store_list() -> None:
    """Every artifact, what was used last at the end."""
    store = Project.here().store
    everything = list(store.all())
    for artifact in everything:
        size = show_bytes(artifact.bytes)
        print(
            f"  {artifact.fingerprint[:12]}  {artifact.node:<24} {size:>10}  "
            f"{artifact.made[:16].replace('T', ' ')}  {artifact.summary.get('figure', '')}"
        )
    print(f"  {len(everything)} artifacts, {show_bytes(store.size())} in {Project.here().shown(store.folder)}")


def store_verify(remove: bool) -> None:
    """Compares every file with its digest. Raises CorruptArtifact where one is damaged and stays."""
    from pipeline.store import CorruptArtifact

    project = Project.here()
    broken = project.store.broken()
    for fingerprint, what in broken:
        print(f"  {fingerprint[:12]}  {what}")
    if broken and remove:
        with project.store.alone():
            for fingerprint, _ in broken:
                project.store.drop_broken(fingerprint)
        print(f"  {len(broken)} removed; the next build makes them anew")
    elif broken:
        raise CorruptArtifact(
            f"{len(broken)} artifacts are damaged",
            where=str(project.store.folder),
            remedy="./inv store.verify --remove",
        )
    else:
        print(f"  {sum(1 for _ in project.store.all())} artifacts are whole")


def store_gc(budget: str) -> None:
    """Shrinks the store to a budget such as 500M."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", budget, re.IGNORECASE)
    if not found:
        raise BadArgument(f"{budget!r} is no size", where="--budget", remedy="write it like 500M or 2G")
    size = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
    dropped, freed = Project.here().store.collect(size)
    print(f"  {dropped} artifacts dropped, {show_bytes(freed)} freed")


def devices() -> None:
    """The farm's devices, a line each."""
    from device_agents.farm.inventory import Inventory

    project = Project.here()
    inventory = Inventory.read(project.farm_file)
    for entry in inventory.entries.values():
        what = ", emulated" if entry.emulated else ", standing in" if entry.stand_in else ""
        print(f"  {entry.name:<16} {entry.target:<14} {entry.address or 'this machine'}{what}")
    if not inventory.entries:
        print(f"  no device in {project.shown(project.farm_file)}: this machine stands in (README: your own device)")


def devices_probe(name: str, as_json: bool) -> None:
    """What a device is and how it is now."""
    from device_agents.farm.device import open_device
    from device_agents.farm.inventory import HOST, Inventory, stand_in

    project = Project.here()
    inventory = Inventory.read(project.farm_file)
    here = name == HOST and name not in inventory.entries
    entry = stand_in(HOST) if here else inventory.named(name)
    with open_device(entry, state=project.state, cache=project.cache, progress=for_stream()) as device:
        found = device.probe()
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    print(f"{entry.name}")
    for part in ("facts", "state"):
        for key, value in found[part].items():
            print(f"  {key:<24} {'unknown' if value is None else value}")


def devices_trust(name: str, yes: bool, replace: bool) -> None:
    """Shows the fingerprint of each key on the way to a device, asks, pins."""
    from device_agents.farm import trust
    from device_agents.farm.inventory import Inventory

    project = Project.here()
    entry = Inventory.read(project.farm_file).named(name)
    while (shown := trust.next_untrusted(entry)) is not None:
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
        print(f"  pinned in {project.shown(trust.pin(entry, shown, replace=replace))}")
    print(f"  {name} is trusted")
