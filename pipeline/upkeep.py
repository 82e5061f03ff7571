"""The bodies of the tasks that look after the store."""

from __future__ import annotations

import re

from device_agents.farm.figures import show_bytes
from edgewright.errors import BadArgument
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
