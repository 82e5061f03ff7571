"""The recipe's metric over the whole test part, taken on this machine: for a bundle whose devices gave no outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_agents.agent.feeds import from_file
from device_agents.bundle import Bundle
from edgewright.progress import Progress, Silent
from pipeline.metrics import metric
from pipeline.release import sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.recipe import Recipe

    Array = NDArray[Any]


def on_host(recipe: Recipe, bundle: Bundle, x: Array, y: Array, progress: Progress | None = None) -> tuple[float, int]:
    """(the metric to six digits, how many samples) of a bundle's answers to x [N, ...], channels first, targets y [N,
    ...]. Raises NoSample where it does not run here, and what a metric of the user's own raises."""
    value = metric(recipe.metric.name, recipe.folder)(answers(bundle, x, progress or Silent()), y)
    return float(f"{value:.6g}"), len(x)


def answers(bundle: Bundle, x: Array, progress: Progress) -> Array:
    """The first output for each sample, as an agent saves it: float32 [N, ...], channels first. Raises NoSample."""
    import numpy as np

    found = []
    for outputs in sample.answered(bundle, x, progress):
        name, array = next(iter(outputs.items()))
        tensor = next((one for one in bundle.manifest.outputs if one.name == name), None)
        found.append(from_file(array[:1], tensor.model_dump(exclude_none=True) if tensor else {}))
    return np.concatenate(found).astype(np.float32)
