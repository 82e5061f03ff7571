"""Measured times of layers on the disk, by device, runtime and settings: a second search measures nothing again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.files import alone, canonical_json, pretty_json, sha256_bytes, write_atomically
from pipeline.costs.table import BadCosts, CostTable, Entry

if TYPE_CHECKING:
    from device_agents.farm.prepare import RuntimeInfo
    from targets.schema import Runtime, Target

FORM = 1
"""Of the one-layer files; another number where they are written otherwise, so that older times count no more."""
_OF_DEVICE = ("identity", "machine", "board", "cpu_model", "cores", "cpu_max_khz", "kernel")


def key_of(facts: Mapping[str, Any], target: Target, runtime: Runtime, info: RuntimeInfo) -> dict[str, Any]:
    """All that a layer's time depends on but the layer and its precision. facts: as the device tells them (probe)."""
    return {
        "form": FORM,
        "device": {name: facts.get(name) for name in _OF_DEVICE},
        "threads": target.threads,
        "cpus": target.cpus if target.cpus == "auto" else list(target.cpus),
        "runtime": {"name": info.name, "version": info.version, "digest": info.digest, "numpy": info.numpy},
        "settings": runtime.model_dump(mode="json", include={"format", "providers", "options", "int8"}),
    }


class Cache:
    """The entries of one key, in one file; written whole after each job, by one process at a time."""

    def __init__(self, state: Path, key: Mapping[str, Any]) -> None:
        """state: the project's folder of that name."""
        self.key = dict(key)
        self.path = state / "costs" / f"{sha256_bytes(canonical_json(self.key))[:32]}.json"

    def read(self) -> list[Entry]:
        """What was measured so far. Raises BadCosts where the file is damaged."""
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise BadCosts(
                f"The measured costs can't be read: {error}",
                where=str(self.path),
                remedy="delete the file: it is measured again",
            ) from error
        return list(CostTable.from_json(content, str(self.path)).entries)

    def add(self, entries: Iterable[Entry]) -> None:
        """Puts entries there beside those of other processes; the newer one of a layer stays. Raises BadCosts."""
        with alone(self.path.with_suffix(".lock")):
            merged = {one.key: one for one in [*self.read(), *entries]}
            content = CostTable(list(merged.values())).to_json() | {"of": self.key}
            write_atomically(self.path, pretty_json(content))
