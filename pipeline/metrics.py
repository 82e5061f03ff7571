"""What a recipe's metric says of outputs: top-1, or a function of the user's own. Higher is better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import locate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Metric = Callable[[NDArray[np.float32], NDArray[Any]], float]


def metric(name: str, folder: Path) -> Metric:
    """The metric's function of (outputs float32 [N, ...], targets [N, ...]). Raises NotFound."""
    if name == "top-1":
        return top1
    function = locate.load(name, folder, "metric.name")
    # float() inside the call: what gives no number is named like what raises.
    return lambda outputs, targets: locate.call(
        lambda *both: float(function(*both)), name, "metric.name", outputs, targets
    )


def top1(outputs: NDArray[np.float32], targets: NDArray[Any]) -> float:
    """Share of samples whose largest output is the label's; 0..1."""
    return float((outputs.argmax(axis=-1) == targets).mean())
