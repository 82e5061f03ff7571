"""The bodies of the tasks that attend to devices: list, probe, trust, set up, doctor."""

from __future__ import annotations

import json
import sys

from edgewright.errors import BadArgument
from edgewright.progress import for_stream
from pipeline.project import Project
from pipeline.reach import entry_named, open_named
from pipeline.table import plain
from targets.schema import read_target


def show() -> None:
    """The farm's devices, a line each, without asking them."""
    from device_agents.farm.inventory import Inventory
    from device_agents.farm.quarantine import Quarantine

    project = Project.here()
    inventory, quarantine = Inventory.read(project.farm_file), Quarantine.read(project.state)
    for entry in inventory.entries.values():
        what = ", emulated" if entry.emulated else ", standing in" if entry.stand_in else ""
        print(f"  {entry.name:<16} {entry.target:<14} {entry.where or 'this machine'}{what}")
        if (out := quarantine.of(entry.name)) is not None:
            print(f"      in quarantine since {plain(out.since)}: {plain(out.why)}")
            print(f"      back by ./inv devices.doctor {entry.name}, once that finds it fit")
    if quarantine.problem:
        print(f"  warning: {plain(quarantine.problem)}")
    if not inventory.entries:
        print(f"  no device in {project.shown(project.farm_file)}: this machine stands in (README: your own device)")


def probe(name: str, as_json: bool) -> None:
    """What a device is and how it is now."""
    from device_agents.farm.reserve import reservation_of

    entry, opened = open_named(name)
    with opened as device:
        found = device.probe()
        reservation = reservation_of(device)
    if as_json:
        print(json.dumps(found | {"reservation": reservation and vars(reservation)}, indent=2, sort_keys=True))
        return
    print(f"{entry.name}")
    if reservation is not None:
        print(f"  reserved: {plain(reservation)}")
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


def setup(name: str, undo: bool, trust_key: str | None = None, trust_no_key: bool = False) -> None:
    """Puts agent and runtimes on a device and says what lies where; or takes them off.

    trust_key: a file of public keys whose bundles it shall take from now on, and no others; trust_no_key: it shall take
    every bundle again.
    """
    from device_agents.farm import setup as setting_up

    project, entry = Project.here(), entry_named(name)
    if undo and (trust_key or trust_no_key):
        raise BadArgument(
            "What is taken off trusts nothing", where="--undo", remedy=f"./inv devices.setup {name} --undo"
        )
    if undo:
        lines = setting_up.undo(entry, project.state, project.cache, for_stream())
    else:
        target = read_target(entry.target, project.root)
        lines = setting_up.setup(
            entry, target, project.state, project.cache, for_stream(), _key_lines(trust_key), trust_no_key
        )
    for line in lines:
        print(f"  {line}")


def _key_lines(file: str | None) -> list[str]:
    from pathlib import Path

    from pipeline.release.keys import PublicKey

    return [key.line for key in PublicKey.read(Path(file))] if file else []


def doctor(name: str, as_json: bool) -> bool:
    """What would spoil a measurement on a device; whether it is fit to measure."""
    from device_agents.farm import doctor as doctors
    from device_agents.farm.quarantine import Quarantine
    from device_agents.farm.reserve import finding, reservation_of
    from pipeline.rollout.fleet import findings as release_findings

    project = Project.here()
    entry, opened = open_named(name)
    with opened as device:
        findings, verdict = doctors.doctor(device, read_target(entry.target, project.root))
        if (reservation := reservation_of(device)) is not None:
            findings = [*findings, finding(name, reservation)]
        findings = doctors.ordered([*findings, *release_findings(device)])
    fit = not any(one.level == "blocks" for one in findings)
    quarantine = Quarantine.read(project.state)
    freed = fit and quarantine.passed(name) and not quarantine.problem
    if quarantine.problem:
        print(f"  warning: {plain(quarantine.problem)}", file=sys.stderr)
    if as_json:
        print(json.dumps({"device": name, "verdict": verdict, "findings": [vars(one) for one in findings]}, indent=2))
    else:
        print(name)
        for line in doctors.lines(findings):
            print(f"  {line}")
        print(f"  {verdict}" + ("; out of quarantine" if freed else ""))
    return fit
