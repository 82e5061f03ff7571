"""Residual blocks that can go whole: what they compute is added to their own input, so an identity can stand in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from pipeline.pruning.criteria import Criterion


@dataclass(frozen=True)
class KeptBlock:
    """A residual block that can't be removed, and why."""

    module: str
    reason: str


def find_blocks(network: nn.Module, example: Tensor) -> tuple[list[str], list[KeptBlock]]:
    """Names of the removable residual blocks in forward order, and those that change the shape. `example`: [N, ...]."""
    import torch

    shapes: dict[str, tuple[Any, Any]] = {}
    hooks = []
    for name, module in network.named_modules():
        if name and next(module.children(), None) is not None and next(module.parameters(), None) is not None:
            hooks.append(module.register_forward_hook(_note(shapes, name)))
    with torch.no_grad():
        network.eval()(example)
    for hook in hooks:
        hook.remove()
    residual = [name for name in shapes if _adds_its_input(network.get_submodule(name))]
    innermost = [name for name in residual if not any(other.startswith(f"{name}.") for other in residual)]
    removable = [name for name in innermost if shapes[name][0] is not None and shapes[name][0] == shapes[name][1]]
    kept = [
        KeptBlock(name, f"it changes the shape, {shapes[name][0]} to {shapes[name][1]}")
        for name in innermost
        if name not in removable
    ]
    return removable, kept


def _note(shapes: dict[str, tuple[Any, Any]], name: str) -> Callable[..., None]:
    import torch

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        single = len(inputs) == 1 and isinstance(inputs[0], torch.Tensor) and isinstance(output, torch.Tensor)
        shapes[name] = (list(inputs[0].shape), list(output.shape)) if single else (None, None)

    return hook


def _adds_its_input(module: nn.Module) -> bool:
    """Whether the module's own forward adds its input (as it is, or through a shortcut module) to what it computes."""
    import operator

    import torch
    from torch import fx

    class Shallow(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
            return True

    try:
        graph = Shallow().trace(module)
    except Exception:  # data-dependent control flow and the like: no block of ours
        return False
    places = [node for node in graph.nodes if node.op == "placeholder"]
    if len(places) != 1:
        return False
    source = places[0]
    direct = {source, *(node for node in graph.nodes if node.op == "call_module" and node.args == (source,))}
    adds = (operator.add, operator.iadd, torch.add, "add", "add_")
    for node in graph.nodes:
        if node.op in ("call_function", "call_method") and node.target in adds:
            operands = node.all_input_nodes
            if len(operands) == 2 and any(operand in direct for operand in operands):
                return True
    return False


def block_scores(
    network: nn.Module,
    blocks: list[str],
    criterion: Criterion,
    loss_of: Callable[[Tensor], Tensor],
    batches: list[Tensor],
) -> dict[str, float]:
    """Mean importance of each block over samples: its contribution (output - input) and the loss's gradient there.

    With Taylor this is the first-order change of the loss when the identity takes the block's place, with L1 the size
    of what the block adds. `loss_of(rows)` runs the network on those samples (int64 [B], one entry of `batches`) and
    gives their mean loss.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in blocks}
    hooks = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            output.retain_grad()
            seen[name].append((inputs[0], output))

        return hook

    for name in blocks:
        hooks.append(network.get_submodule(name).register_forward_hook(watch(name)))
    totals = dict.fromkeys(blocks, 0.0)
    count = 0
    try:
        for rows in batches:
            for pairs in seen.values():
                pairs.clear()
            network.zero_grad(set_to_none=True)
            loss_of(rows).backward()  # type: ignore[no-untyped-call]
            count += len(rows)
            for name in blocks:
                before, after = seen[name][-1]
                contribution = (after - before).detach().flatten(1)
                gradient = after.grad.flatten(1) if after.grad is not None else None
                totals[name] += float(criterion(contribution, gradient).sum())
    finally:
        for hook in hooks:
            hook.remove()
        network.zero_grad(set_to_none=True)
    return {name: total / max(count, 1) for name, total in totals.items()}
