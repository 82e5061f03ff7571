"""Loads the data set that a recipe names, and tells its digest without loading it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from models.data import SHIPPED
from models.data.parts import BadData, DataParts, Source, to_parts
from pipeline import locate
from pipeline.steps.base import DataSpec, Places


def load(spec: DataSpec, places: Places) -> DataParts:
    """The four parts, checked. Raises BadData, DataMissing, NotFound."""
    if spec.name in SHIPPED:
        source = Source(places.data, places.cache)
        module = importlib.import_module(SHIPPED[spec.name])
        return to_parts(locate.call(module.load, spec.name, "data", source, **spec.arguments), f"data = {spec.name!r}")
    factory = locate.load(spec.name, places.recipe, "data")
    loaded = locate.call(factory, spec.name, "data", **spec.arguments)
    return to_parts(loaded, f"data = {spec.name!r}")


def digest(spec: DataSpec, folder: Path) -> dict[str, Any]:
    """What names the content in a fingerprint: the loader's code, and for our own sets a digest of the files."""
    from pipeline.fingerprint import ROOT, code_of

    if spec.name in SHIPPED:
        module = SHIPPED[spec.name]
        code = code_of(ROOT.joinpath(*module.split(".")).with_suffix(".py"))
        return {"name": spec.name, "digest": importlib.import_module(module).digest(), "code": code}
    return {"name": spec.name, "code": code_of(locate.source_of(spec.name, folder, "data"), folder)}


def check_labels(parts: DataParts, classes: int, where: str) -> None:
    """Labels must be class numbers that the network has outputs for. Raises BadData."""
    import numpy as np

    for name in ("train", "validation", "test"):
        y = getattr(parts, name).y
        if not np.issubdtype(y.dtype, np.integer):
            raise BadData(
                f"The labels of {name!r} are {y.dtype}, not class numbers", where=where, remedy="give int64 labels"
            )
        if y.ndim != 1:
            raise BadData(
                f"The labels of {name!r} have the shape {list(y.shape)}", where=where, remedy="give one number a sample"
            )
        if y.min() < 0 or y.max() >= classes:
            raise BadData(
                f"The labels of {name!r} run from {y.min()} to {y.max()}, the network has {classes} outputs",
                where=where,
                remedy="number the classes from 0, and give the factory as many classes as the data has",
            )
        if name == "train" and y.min() == y.max():
            raise BadData("The training part has only one class", where=where, remedy="mend the data set's loader")
