"""A cell that runs `./inv shrink` as a person would, and takes from its JSON the artifacts that stand in the table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from device_agents.bundle import read_bundle, write_bundle
from device_agents.farm.paired import THRESHOLD
from edgewright.errors import EdgewrightError
from edgewright.files import write_atomically
from pipeline.bundles import find_bundle
from pipeline.project import Project

FOUND, LOG, SCHEMA = "search.json", "search.log", "edgewright-shrink/1"
ROOT = Path(__file__).resolve().parents[4]
COMMAND = (sys.executable, "-m", "edgewright.program", "--search-root", str(ROOT), "shrink")
POINT = 0.01


class SearchFailed(EdgewrightError):
    """A search that ended without saying what it found."""


def searched(
    project: Project,
    recipe: Path,
    what: Mapping[str, Any],
    out: Path,
    command: Sequence[str] = COMMAND,
    log: Path | None = None,
) -> dict[str, Any]:
    """recipe: the model's; what: model, target, max_drop (points), budget, seed, and max_kb where a file so small is
    asked for; all but the model are told.

    Leaves search.json (all that the search tells) and a bundle by role that has one. Gives met, why, seconds, and by
    role its entry of the JSON. Raises SearchFailed; what it prints is in `log`, while it runs too.
    """
    file = out / FOUND
    told = {**what, "model": recipe}
    words = [word for name, value in told.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    where = {"EDGEWRIGHT_ROOT": str(project.root), "EDGEWRIGHT_STATE": str(project.state)}
    log = log or out / LOG
    with log.open("w", encoding="utf-8") as stream:
        status = subprocess.run(
            [*command, *words, "--json", str(file)],
            env={**os.environ, **where},
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if not file.is_file() or (found := json.loads(file.read_bytes())).get("schema") != SCHEMA:
        said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        raise SearchFailed(
            next((line.strip() for line in said if "error:" in line), said[-1].strip() if said else "nothing was said"),
            where=f"./inv shrink {' '.join(words)} (exit status {status})",
            remedy="type it to see all that it says, then ./inv bench.compression --resume",
        )
    picked = picks(found, what["max_drop"])
    for role, entry in picked.items():
        _take(project, entry, out / role)
    summary = {name: found.get(name) for name in ("met", "why", "spent_s", "budget_s")}
    return {**summary, "status": status, "picked": picked}


def picks(found: Mapping[str, Any], points: float) -> dict[str, dict[str, Any]]:
    """By role the best of all candidates that lose at most so many points on validation, less what the search itself
    leaves for chance (`allowed`): test has no say in it.

    They are looked for among every measured candidate that is no slower than the trained network in its runtime: small
    and slow would not be shipped either. What the search itself chose may be another: it drops what fails on test.
    """
    entries = {
        entry["name"]: entry
        for entry in [*found["candidates"], *found["front"]]
        if entry.get("digest") and entry.get("bytes") and entry.get("download") and not entry.get("trouble")
    }
    least = found["base"]["validation"] - min(points * POINT, found["allowed"]) - 1e-9
    measured = [one for one in entries.values() if one.get("speedup")]
    plain = {one["runtime"]: one["speedup"]["value"] for one in measured if _untouched(one)}
    holding = [
        one
        for one in measured
        if (one.get("validation") or 0.0) >= least
        and one["speedup"]["value"] >= plain.get(one["runtime"], 1.0) * (1 - THRESHOLD)
    ]
    in_onnxruntime = [one for one in holding if one["runtime"] == "onnxruntime"]
    best = {
        "fastest": max(holding, key=lambda one: one["speedup"]["value"], default=None),
        "onnxruntime": max(in_onnxruntime, key=lambda one: one["speedup"]["value"], default=None),
        "smallest": min(holding, key=lambda one: one["bytes"], default=None),
        "lightest": min(holding, key=lambda one: one["download"], default=None),
    }
    return {role: entry for role, entry in best.items() if entry is not None}


def _untouched(entry: Mapping[str, Any]) -> bool:
    """Whether it is the trained network as it is."""
    return not entry["shrink"] and entry["precision"] == "float32"


def _take(project: Project, entry: Mapping[str, Any], folder: Path) -> None:
    """Copies a bundle of the project's state: the row must outlive a `store` that is emptied. Raises BundleGone."""
    bundle = find_bundle(project, entry["digest"])
    write_bundle(folder, bundle.model_file, bundle.manifest)


def without_floor(recipe: Path, folder: Path) -> Path:
    """The recipe without its own floor, which would bar what loses more points than it allows; the bench asks for
    points of its own. What lies beside the recipe is linked into `folder`, so that all that it names is found."""
    folder.mkdir(parents=True, exist_ok=True)
    for beside in recipe.parent.iterdir():
        link = folder / beside.name
        if beside.name != recipe.name and not link.is_symlink():
            link.symlink_to(beside.resolve())
    text = re.sub(r"(?m)^floor\s*=.*$", "floor = 0.0", recipe.read_text(encoding="utf-8"))
    write_atomically(folder / recipe.name, text.encode())
    return folder / recipe.name


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of a bundle's file plain, lean and as a package; ours ship lean."""
    from pipeline.export.size import download_size

    content = read_bundle(folder).model_file.read_bytes()
    return {"plain": len(content), "lean": len(content), "package": download_size(content)}
