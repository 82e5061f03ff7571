"""How far outputs are apart, and which layer drifts first: the same sentences for files of every format (rule 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[Any]
    Arrays = tuple[Array, ...]

INPUT_SQNR = 30.0
"""What the first layer is compared with, dB: eight bits gave 35 to 45 there."""


def sqnr(reference: Array, other: Array) -> float:
    """Signal to quantisation noise in dB: 10 log10(power of the reference / power of the difference)."""
    import numpy as np

    power, noise = (float(np.square(one, dtype=np.float64).sum()) for one in (reference, reference - other))
    return 10 * float(np.log10(max(power, 1e-30) / max(noise, 1e-30)))


def worst_difference(reference: Array, other: Array) -> float:
    """Largest |difference| as a share of the reference's standard deviation."""
    import numpy as np

    return float(np.abs(reference - other).max() / max(float(reference.std(dtype="float64")), 1e-12))


def module_outputs(net: nn.Module, x: Arrays) -> dict[str, Array]:
    """What every module of `net` that gives one tensor gives for the inputs `x`, by the module's name."""
    import torch

    seen: dict[str, Array] = {}
    hooks = []
    for name, module in net.named_modules():

        def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            if isinstance(output, torch.Tensor):
                seen[name] = output.numpy().copy()

        hooks.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            net.eval()(*(torch.from_numpy(one.copy()) for one in x))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def first_module(seen: dict[str, Array], found: Iterable[tuple[str, Array]], bound: float) -> str:
    """The first module whose result departs from torch's by more than `bound` of its spread, with the figure.

    seen: see module_outputs; found: (module, tensor that the file computes for it), in the file's order.
    """
    last: dict[str, Array] = {}
    for module, value in found:
        # In the order of the modules' last tensors: a block is judged by its result, after its layers.
        last.pop(module, None)
        last[module] = value
    order = list(last)
    for place, (module_name, value) in enumerate(last.items()):
        inside = f"{module_name}." if module_name else ""
        if any(later.startswith(inside) for later in order[place + 1 :]):
            continue  # a tensor from its midst: what it gives is made by a layer inside it
        reference = seen.get(module_name)
        if reference is not None and reference.shape == value.shape:
            difference = worst_difference(reference, value)
            if not difference <= bound:
                return (
                    f"first layer that drifts: {module_name or 'the network itself'} ({difference:.2g} of its spread)"
                )
    return "no single layer drifts on its own: the difference builds up"


ALIKE = 100.0
"""Above this SQNR two layers differ by float's own rounding alone, and how much says nothing."""


def first_layer(pairs: Iterable[tuple[str, Array, Array]], fall: float = 6.0) -> str:
    """The first layer whose SQNR falls by more than `fall` dB below the layer before it, or the worst one.

    pairs: (layer, its tensor in the float file, the same tensor in the quantised file), in the file's order.
    """
    before = INPUT_SQNR
    worst: tuple[float, str] | None = None
    for layer, reference, other in pairs:
        ratio = min(sqnr(reference, other), ALIKE)
        if not before - ratio <= fall:
            return f"first layer that drifts: {layer} ({before:.1f} to {ratio:.1f} dB)"
        before = ratio
        worst = min(worst, (ratio, layer)) if worst else (ratio, layer)
    return f"worst layer: {worst[1]} ({worst[0]:.1f} dB)" if worst else "no layer could be compared"
