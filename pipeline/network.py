"""Networks as steps pass them on: the factory's module, cut by a pruning plan, with weights from safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from edgewright.files import pretty_json
from pipeline import locate
from pipeline.pruning.plan import PruningPlan, replay
from pipeline.steps.base import Input, NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS, PLAN = "weights.safetensors", "pruning.json"


class BadNetwork(EdgewrightError):
    """A factory whose module can't be used, or weights that don't fit it."""


@dataclass(frozen=True)
class Size:
    """params: numbers that are trained; macs: multiply-accumulates of one sample."""

    params: int
    macs: int


def original(spec: NetworkSpec, folder: Path) -> nn.Module:
    """The untrained module of a recipe, seeded. Raises NotFound (the factory raised) or BadNetwork."""
    import torch
    from torch import nn

    torch.manual_seed(spec.seed)
    factory = locate.load(spec.factory, folder, "factory")
    module = locate.call(factory, spec.factory, "factory", **spec.arguments)
    if not isinstance(module, nn.Module):
        raise BadNetwork(
            f"The factory returned {type(module).__name__}, no torch module",
            where=f"factory = {spec.factory!r}",
            remedy="return an nn.Module from it",
        )
    done = next((name for name, one in module.named_modules() if ".quantized" in type(one).__module__), None)
    if done is not None:
        raise BadNetwork(
            f"The network is quantised already: {done or 'all of it'}",
            where=f"factory = {spec.factory!r}",
            remedy="return the float network from it: it is quantised here",
        )
    return module


def rebuilt(spec: NetworkSpec, folder: Path, artifact: Input) -> tuple[nn.Module, PruningPlan]:
    """The network that a step left: original architecture, plan replayed, weights loaded; in evaluation mode."""
    plan = PruningPlan.from_json(json.loads(artifact.path(PLAN).read_bytes()))
    module = original(spec, folder)
    replay(plan, module)
    load_weights(module, artifact.path(WEIGHTS))
    return module.eval(), plan


def keep(module: nn.Module, plan: PruningPlan, folder: Path) -> None:
    """Writes a network as a step's files: weights (safetensors) and the plan that rebuilds its shape (JSON)."""
    (folder / WEIGHTS).write_bytes(weights_of(module))
    (folder / PLAN).write_bytes(pretty_json(plan.to_json()))


def weights_of(module: nn.Module) -> bytes:
    """The module's parameters and buffers as a safetensors file; the same weights give the same bytes."""
    from safetensors.torch import save

    # Shared tensors are written under each of their names: the file must load without knowing who shares.
    return save({name: value.detach().clone().contiguous() for name, value in module.state_dict().items()})


def load_weights(module: nn.Module, path: Path) -> None:
    """Loads a safetensors file into `module`. Raises BadNetwork naming the first tensor that doesn't fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = "name weights that were made for this factory and these arguments, or remove `weights` to train anew"
    try:
        tensors: Mapping[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadNetwork(f"The weights can't be read: {error}", where=str(path), remedy=remedy) from error
    wanted = module.state_dict()
    for name, value in wanted.items():
        if name not in tensors:
            raise BadNetwork(f"The weights lack {name!r}", where=str(path), remedy=remedy)
        if tensors[name].shape != value.shape:
            got, want = list(tensors[name].shape), list(value.shape)
            raise BadNetwork(f"{name!r} has the shape {got}, the network wants {want}", where=str(path), remedy=remedy)
    if extra := sorted(set(tensors) - set(wanted)):
        raise BadNetwork(f"The weights hold {extra[0]!r}, which the network lacks", where=str(path), remedy=remedy)
    module.load_state_dict(dict(tensors))


def forward(module: nn.Module, x: Tensor, spec: NetworkSpec) -> Tensor:
    """One pass in evaluation mode without gradients. Raises BadNetwork with what the forward raised, or gave."""
    import torch

    module.eval()
    try:
        with torch.no_grad():
            outputs: Any = module(x)
    except Exception as error:  # the user's forward may raise anything
        raise BadNetwork(
            f"The forward pass failed: {type(error).__name__}: {error}",
            where=f"factory = {spec.factory!r}, input {list(x.shape)} {x.dtype}",
            remedy="make the network take one batch of the data set's samples",
        ) from error
    if not isinstance(outputs, torch.Tensor):
        raise BadNetwork(
            f"The network gives {type(outputs).__name__}, not one tensor",
            where=f"factory = {spec.factory!r}",
            remedy="return one tensor from forward()",
        )
    return outputs


def measure(module: nn.Module, x: Tensor) -> Size:
    """Parameters and MACs of one sample; `x` is one sample [1, ...]. Counted by torch's own FlopCounterMode."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    module.eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    # The counter knows neither the CPU's fused attention nor the fast path of nn.MultiheadAttention.
    torch.backends.mha.set_fastpath_enabled(False)
    # Its hooks trip over a view of a parameter that wants a gradient.
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module.requires_grad_(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for parameter in trained:
            parameter.requires_grad_(True)
    return Size(sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2)
