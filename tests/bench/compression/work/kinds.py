"""The kinds of cell by name, bound to the model and the project that they work on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.progress import Progress
from pipeline.project import Project
from tests.bench.compression.work import artifacts, networks, searched
from tests.bench.pruning.cells import Cell, Cells
from tests.bench.pruning.work.lab import Lab

LIBRARIES = (
    *("torch", "torch-pruning", "numpy", "onnx", "onnxscript", "onnxruntime", "nncf"),
    *("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "transformers"),
)


def cells_of(project: Project, model: str, folder: Path, progress: Progress) -> Cells:
    """The cells that are kept in `folder`. Another version of a library that makes them makes them anew."""
    from pipeline.fingerprint import libraries
    from pipeline.recipe import read_recipe, recipe_files

    recipe = read_recipe(model, project.root)
    lab = Lab(recipe, project, recipe.train.threads, progress)

    def network(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        return networks.network(lab, what, out)

    def artifact(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        made = Cell("network", what["network"])
        figures = cells.get(made)
        samples = lab.parts.calibration.x[: what["calibration"]]
        return artifacts.artifact(cells.path(made), figures, what["way"], samples, recipe.name, out)

    def search(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        named = Path(model) if model.endswith(".toml") else recipe_files(project.root)[model]
        asked = searched.without_floor(named, folder.parent / "recipe")
        small = f"-{what['max_kb']:g}kB" if "max_kb" in what else ""
        log = folder.parent / f"search-{what['max_drop']:g}{small}-{what['seed']}.log"
        found = searched.searched(project, asked, what, out, log=log)
        for role, entry in found["picked"].items():
            entry["sizes"] = searched.sizes(out / role)
        return found

    kinds = {"network": network, "artifact": artifact, "search": search}
    cells = Cells(folder, kinds, libraries(LIBRARIES), {})
    return cells
