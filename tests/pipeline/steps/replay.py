"""Runs steps of a plan once more, in a process of their own, and tells what they left and which libraries they used.

    python replay.py RECIPE TARGET STORE OUT NODE...

The inputs are taken from STORE; each NODE writes into OUT/<place>/out. Prints one JSON object, by node.
"""

from __future__ import annotations

import builtins
import json
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from edgewright.files import sha256_file
from edgewright.progress import Silent
from pipeline.plan import make_plan
from pipeline.recipe import read_recipe
from pipeline.steps.base import Places, Work
from pipeline.steps.registry import step_class
from pipeline.store import Store
from targets.schema import read_target

ROOT = Path(__file__).resolve().parents[3]
OURS = ("edgewright", "models", "pipeline", "device_agents", "targets")


class Watch:
    """Notes which packages the project's own code imports."""

    def __init__(self) -> None:
        self.real = builtins.__import__
        self.seen: set[str] = set()

    def __call__(self, name: str, *rest: Any, **named: Any) -> Any:
        scope = rest[0] if rest else named.get("globals")
        level = rest[3] if len(rest) > 3 else named.get("level", 0)
        importer = (scope or {}).get("__name__", "").partition(".")[0]
        top = name.partition(".")[0]
        if level == 0 and importer in OURS and top not in sys.stdlib_module_names and top not in OURS:
            self.seen.add(top)
        return self.real(name, *rest, **named)


def main(recipe: str, target: str, store_folder: str, out: str, *nodes: str) -> None:
    builtins.__import__ = watch = Watch()
    plan = make_plan(read_recipe(recipe, Path(out)), read_target(target, Path(out)))
    store, told = Store(Path(store_folder)), {}
    distributions = packages_distributions()
    for place, id_ in enumerate(nodes):
        node = plan.nodes[id_]
        inputs: dict[str, Any] = {name: store.find(plan.nodes[one].fingerprint) for name, one in node.inputs.items()}
        scratch = Path(out) / str(place)
        (scratch / "out").mkdir(parents=True)
        step = step_class(node.step)
        watch.seen.clear()
        places = Places(plan.recipe.folder, Path(out) / "cache")
        parameters = step.Parameters.model_validate(dict(node.parameters))
        summary = step().run(inputs, parameters, Work(scratch / "out", scratch, places, Silent()))
        told[id_] = {
            "summary": summary,
            "files": {path.name: sha256_file(path) for path in sorted((scratch / "out").iterdir())},
            "beside": sorted(path.name for path in scratch.iterdir()),
            "imported": sorted({distributions[name][0] for name in watch.seen}),
            "loaded": sorted({one for name, found in distributions.items() if name in sys.modules for one in found}),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
