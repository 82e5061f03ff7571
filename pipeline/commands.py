"""The bodies of the tasks along the road: read what was asked, do it, show it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from device_agents.farm.figures import show_bytes
from edgewright.errors import BadArgument, EdgewrightError
from edgewright.files import sha256_file, write_atomically
from edgewright.progress import for_stream
from pipeline import build as building
from pipeline import table
from pipeline.outcome import step_of
from pipeline.plan import SHARED, Plan, make_plan
from pipeline.project import Project
from pipeline.recipe import read_recipe, recipe_files
from targets.schema import read_target, target_files


def deploy(
    model: str, target: str, device: str | None, json_file: str | None, dry_run: bool, wait: float
) -> dict[str, Any] | None:
    """The main job; the outcome, or None for a dry run."""
    from pipeline.deploy import Deploy
    from pipeline.keeping import write_told
    from pipeline.measuring import where_it_runs
    from pipeline.reach import device_of

    project = Project.here()
    if dry_run:
        plan = _plan(project, model, target)
        entry = device_of(project, plan.target, device)
        print(f"{plan.recipe.name} > {plan.target.name}     device: {where_it_runs(entry, plan.target.name)}")
        _show_reasons(project, plan)
        return None
    shown = _Shown()
    job = Deploy(project, model, target, device, for_stream(), shown, _note, _show_skipped, wait)
    print(
        f"{job.recipe.name} > {job.kind.name}     device: {where_it_runs(job.entry, job.kind.name)}",
        flush=True,
    )
    outcome = job.run()
    shown.close()
    table.show(
        {
            **outcome,
            "bundle": outcome["bundle"] and project.shown(Path(outcome["bundle"])),
            "report": project.shown(Path(outcome["page"])),
        },
        _console(),
    )
    if json_file:
        write_told(json_file, outcome)
    return outcome


def build(model: str, target: str, dry_run: bool, json_file: str | None = None) -> None:
    """Every variant's bundle, without a device; as JSON, their folders by variant."""
    from pipeline.build import builder
    from pipeline.bundles import lay_out
    from pipeline.keeping import write_told

    project = Project.here()
    plan = _plan(project, model, target)
    print(f"{plan.recipe.name} > {plan.target.name}")
    if dry_run:
        _show_reasons(project, plan)
        return
    shown = _Shown()
    done = builder(project, plan, for_stream(), shown, _note).build(plan, [variant.bundle for variant in plan.variants])
    shown.close()
    _show_skipped(plan)
    folders = lay_out(project, plan, done)
    if json_file:
        bundles = {name: {"digest": folder.name, "folder": str(folder)} for name, folder in folders.items()}
        write_told(json_file, {"schema": "edgewright-build/1", "variants": bundles})
    failed = [one for one in done.values() if one.trouble]
    if failed:
        assert failed[0].trouble is not None
        raise failed[0].trouble


def train(model: str, out: str | None) -> None:
    """Trains from nothing and writes the weights where a recipe can name them."""
    from pipeline.build import builder
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
            ways = "; ".join(f"{one.name} ({one.format}: {', '.join(one.precisions)})" for one in target.runtime)
            print(f"  {name:<16} {target.description}\n  {'':<16} {ways}; channels by {target.alignment}")
        except EdgewrightError as error:
            print(f"  {name:<16} can't be read: {error.what} ({error.where})")


def check_target(file: str) -> None:
    """Reads one target file and says what it comes to. Raises UnknownTarget, BadTarget."""
    project = Project.here()
    target = read_target(file if file.endswith(".toml") else f"{file}.toml" if "/" in file else file, project.root)
    print(f"{target.name}: sound")
    for place, one in enumerate(target.runtime):
        wish = f", on {' or '.join(one.providers)}" if one.providers else ""
        where = {"wheel": "brought along", "device": "the device's own", "either": "the device's own, else brought"}
        what = f"{one.name} ({where[one.source]}): {one.format} in {', '.join(one.precisions)}{wish}"
        print(f"  {'and' if place else 'runs'} {what}")
    limits = target.limits.model_dump(exclude_none=True)
    print(
        f"  machines {', '.join(target.machines) or 'any'}; {target.threads} thread(s); channels by {target.alignment}"
    )
    print(f"  limits   {', '.join(f'{key} {value:g}' for key, value in limits.items()) or 'none'}")


def export(model: str, variant: str, format_: str, precision: str, integer_io: bool, out: str | None) -> None:
    """One variant of a model as a file of one format."""
    from pipeline.export_file import export_file

    project = Project.here()
    path = export_file(project, model, format_, precision, variant, Path(out) if out else None, integer_io)
    print(f"  file       {project.shown(path)}  {show_bytes(path.stat().st_size)}  sha256 {sha256_file(path)[:16]}")


# What stands for a target: a program of tests/doubles. A Jetson's double is its processor, without the GPU.
ARM = ("raspberry-pi", "raspberry-pi-32", "jetson", "linux-arm64")


def double(like: str, farm: str, native: bool, count: int, name: str) -> int:
    """Runs doubles of a device until Ctrl-C; the exit status. Raises BadArgument."""
    import subprocess

    project = Project.here()
    read_target(like, project.root)
    program = "loopback" if native else "arm" if like in ARM else "phone" if like == "android" else "loopback"
    if not (project.root / "tests" / "doubles" / "loopback.py").is_file():
        raise BadArgument(
            "The device double comes with a checkout only",
            where=str(project.root),
            remedy="clone Edgewright, type it there",
        )
    if count < 1 or not re.fullmatch(r"[A-Za-z0-9_-]*", name):
        raise BadArgument(
            f"{count} doubles called {name!r} can't be declared",
            where="--count, --name",
            remedy="--count 1 or more; letters, digits, - and _ in --name",
        )
    stands_for = {"loopback": ["--target", like], "arm": ["--like", like], "phone": []}[program]
    words = [sys.executable, "-m", f"tests.doubles.{program}", *stands_for, "--farm", str(project.root / farm)]
    words += ["--count", str(count), *(["--name", name] if name else [])]
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
            if self._variant != SHARED:
                print(f" {self._variant}", flush=True)
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
    _show_skipped(plan)
    print(f"  {runs} of {len(plan.nodes)} steps would run")


def _show_skipped(plan: Plan) -> None:
    for name, reason in plan.skipped.items():
        print(f"  {name}: left out, {reason}", flush=True)


def _note(line: str) -> None:
    print(f"    {line}", file=sys.stderr, flush=True)


def _console() -> Any:
    from rich.console import Console

    return Console()
