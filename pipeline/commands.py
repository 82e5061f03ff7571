"""The bodies of the tasks: read what was asked, do it, show it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from device_agents.farm.figures import show_bytes
from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json, sha256_file, write_atomically
from edgewright.progress import for_stream
from pipeline import build as building
from pipeline import table
from pipeline.outcome import step_of
from pipeline.plan import Plan, make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe, recipe_files
from targets.schema import read_target, target_files


class BadArgument(EdgewrightError):
    """An argument on the command line that means nothing."""


def deploy(
    model: str, target: str, device: str | None, json_file: str | None, dry_run: bool, wait: float
) -> dict[str, Any] | None:
    """The main job; the outcome, or None for a dry run."""
    from device_agents.farm.inventory import Inventory
    from pipeline.deploy import Deploy, where_it_runs

    project = Project.here()
    if dry_run:
        plan = _plan(project, model, target)
        entry = Inventory.read(project.farm_file).choose(plan.target.name, device)
        print(f"{plan.recipe.name} > {plan.target.name}     device: {where_it_runs(entry, plan.target.name)}")
        _show_reasons(project, plan)
        return None
    shown = _Shown()
    job = Deploy(project, model, target, device, for_stream(), shown, _note, wait)
    print(
        f"{job.plan.recipe.name} > {job.plan.target.name}     device: {where_it_runs(job.entry, job.plan.target.name)}",
        flush=True,
    )
    outcome = job.run()
    if json_file:
        write_atomically(Path(json_file), pretty_json(outcome))
    shown.close()
    table.show(
        {
            **outcome,
            "bundle": outcome["bundle"] and project.shown(Path(outcome["bundle"])),
            "report": project.shown(Path(outcome["page"])),
        },
        _console(),
    )
    return outcome


def build(model: str, target: str, dry_run: bool) -> None:
    """Every variant's bundle, without a device."""
    from pipeline.deploy import builder

    project = Project.here()
    plan = _plan(project, model, target)
    print(f"{plan.recipe.name} > {plan.target.name}")
    if dry_run:
        _show_reasons(project, plan)
        return
    shown = _Shown()
    done = builder(project, plan, for_stream(), shown, _note).build(plan, [variant.bundle for variant in plan.variants])
    shown.close()
    failed = [one for one in done.values() if one.trouble]
    if failed:
        assert failed[0].trouble is not None
        raise failed[0].trouble


def train(model: str, out: str | None) -> None:
    """Trains from nothing and writes the weights where a recipe can name them."""
    from pipeline.deploy import builder
    from pipeline.network import WEIGHTS

    project = Project.here()
    plan = make_plan(read_recipe(model, project.root, retrain=True), read_target("host", project.root), retrain=True)
    node = next(node for node in plan.nodes.values() if node.step == "train")
    print(f"{plan.recipe.name}: {plan.recipe.train.epochs} epochs, seed {plan.recipe.seed}", flush=True)
    done = builder(project, plan, for_stream(), _Shown(), _note).build(plan, [node.id])[node.id]
    assert done.artifact is not None
    path = Path(out) if out else project.state / "trained" / f"{plan.recipe.name}.safetensors"
    write_atomically(path, done.artifact.path(WEIGHTS).read_bytes())
    print(f"  weights    {project.shown(path)}  sha256 {sha256_file(path)[:16]}")


def explain(model: str, target: str) -> None:
    """Which steps would run, and what changed since they last did."""
    project = Project.here()
    plan = _plan(project, model, target)
    print(f"{plan.recipe.name} > {plan.target.name}")
    _show_reasons(project, plan)


def models() -> None:
    """The recipes there are, a line each; one that can't be read says so."""
    project = Project.here()
    for name, path in recipe_files(project.root).items():
        try:
            recipe = read_recipe(name, project.root)
            ways = ", ".join(shrink.name for shrink in recipe.shrink)
            weights = "trained weights beside it" if recipe.weights else "trains on first use"
            print(
                f"  {name:<14} {recipe.data:<15} floor {recipe.metric.floor:g} {recipe.metric.name}; "
                f"shrinks: {ways}; {weights}"
            )
        except EdgewrightError as error:
            print(f"  {name:<14} can't be read: {error.what} ({error.where or path})")


def targets() -> None:
    """The kinds of device there are, a line each."""
    project = Project.here()
    for name in target_files(project.root):
        try:
            target = read_target(name, project.root)
            print(
                f"  {name:<14} {target.runtime}, {' and '.join(target.precisions)}, "
                f"channels by {target.alignment}; {target.description}"
            )
        except EdgewrightError as error:
            print(f"  {name:<14} can't be read: {error.what} ({error.where})")


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


def devices_probe(name: str | None, as_json: bool) -> None:
    """What a device is and how it is now."""
    from device_agents.farm.device import open_device
    from device_agents.farm.inventory import Inventory, stand_in

    project = Project.here()
    entry = Inventory.read(project.farm_file).named(name) if name else stand_in("host")
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


def double(target: str, farm: str) -> int:
    """Runs the loopback SSH server of the tests until Ctrl-C; its exit status."""
    import subprocess

    project = Project.here()
    read_target(target, project.root)
    if not (project.root / "tests" / "doubles" / "loopback.py").is_file():
        raise BadArgument(
            "The device double comes with a checkout only",
            where=str(project.root),
            remedy="clone Edgewright, type it there",
        )
    words = [sys.executable, "-m", "tests.doubles.loopback", "--target", target, "--farm", str(project.root / farm)]
    try:
        return subprocess.run(words, cwd=project.root, check=False).returncode
    except KeyboardInterrupt:
        return 0


class _Shown:
    """Prints each step as it is done, under the name of its variant; of a build with nothing to do, one line."""

    def __init__(self) -> None:
        self._variant = ""
        self._ran = 0
        self._cached = 0

    def __call__(self, done: building.Done) -> None:
        step = step_of(done)
        self._cached += done.cached
        self._ran += not done.cached
        if done.node.variant != self._variant:
            self._variant = done.node.variant
            print(
                f" {'' if self._variant == 'shared' else self._variant}".rstrip() or " ", flush=True
            ) if self._variant != "shared" else None
        print(table.step_line(step), flush=True)

    def close(self) -> None:
        if not self._ran:
            print(f"  nothing to build: all {self._cached} steps are in the store", flush=True)
        print(flush=True)


def _plan(project: Project, model: str, target: str) -> Plan:
    return make_plan(read_recipe(model, project.root), read_target(target, project.root))


def _show_reasons(project: Project, plan: Plan) -> None:
    runs = 0
    for node in plan.nodes.values():
        reasons = building.reason(project.store, node, plan)
        runs += bool(reasons)
        state = "would run" if reasons else "in the store"
        print(f"  {node.id:<26} {node.fingerprint[:12]}  {state}" + (f": {reasons[0]}" if reasons else ""))
        for line in reasons[1:]:
            print(f"  {'':<26} {'':<12}             {line}")
    print(f"  {runs} of {len(plan.nodes)} steps would run")


def _note(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


def _console() -> Any:
    from rich.console import Console

    return Console()
