"""The bodies of the tasks around releases: make one, hold two side by side, drop old ones."""

from __future__ import annotations

from device_agents.farm.figures import show_bytes, show_metric
from edgewright.progress import for_stream
from pipeline.keeping import on_stderr, write_told
from pipeline.project import Project
from pipeline.release.diff import Difference
from pipeline.release.places import typed
from pipeline.table import plain


def release(
    model: str | None,
    target: str,
    version: str,
    out: str | None,
    key: str | None,
    allow_unmeasured: bool,
    json_file: str | None,
) -> None:
    """Makes a release and says what it holds. Raises what pipeline.release.release.release and load_key do."""
    from pipeline.release.keys import load_key
    from pipeline.release.release import release as make

    project, opened = Project.here(), load_key(key)
    folder = typed(out) if out else None
    made = make(project, model, target, version, folder, opened, allow_unmeasured, on_stderr, for_stream())
    told = made.manifest
    again = "" if made.new else ", there already, and equal"
    print(f"{plain(told.model)} > {plain(told.target)}     {told.version}{again}")
    if told.unmeasured:
        print("  NOT MEASURED on a real device; the model card says so")
    print(f"  model      {told.model_file.path}, {plain(told.variant)}, {show_bytes(told.model_file.bytes)}")
    if told.metric is not None:
        print(f"  metric     {show_metric(told.metric.name, told.metric.value)} {plain(told.metric.name)}")
    for package in told.packages:
        print(f"  package    {package.name}, {f'{len(package.files)} files' if package.files else 'none'}")
        for note in package.notes:
            print(f"             {plain(note)}")
    print(f"  signed by  {opened.keyid[:16]} {plain(opened.comment)}".rstrip())
    print(f"  release    {project.shown(made.folder)}")
    if made.draft is not None:
        print(f"  changelog  {project.shown(made.draft)} (a draft, for you to finish)")
    if json_file:
        write_told(json_file, made.to_json())


def diff(a: str, b: str, json_file: str | None) -> Difference:
    """Shows one release beside another. Raises NoRelease, BadVersion, and what opening the ledger does."""
    from pipeline.ledger import open_ledger
    from pipeline.release.diff import diff as compare

    with open_ledger(Project.here()) as ledger:
        found = compare(typed(a), typed(b), ledger)
    print("\n".join(found.lines()))
    if json_file:
        write_told(json_file, found.to_json())
    return found


def prune(out: str | None, keep: int, remove: bool, json_file: str | None) -> None:
    """Shows which old releases may go, and removes them where that is asked. Raises BadArgument, NotWritten."""
    from pipeline.release.release import FOLDER
    from pipeline.release.retention import prune as drop

    project = Project.here()
    found = drop(typed(out) if out else project.root / FOLDER, project.state, keep, remove)
    print("\n".join(found.lines()))
    if json_file:
        write_told(json_file, found.to_json())
