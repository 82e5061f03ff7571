"""Why an exporter refused a network: the operator in its own words, and the layer where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from edgewright.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

OPERATOR = re.compile(r"(?:aten|prims)\.\w+")


class NotExportable(EdgewrightError):
    """The exporter refused the network."""


def refusal(
    module: nn.Module, inputs: tuple[Tensor, ...], error: Exception, by: str, again: Callable[[], Any] | None = None
) -> NotExportable:
    """The error to raise for what the exporter called `by` raised. again: repeats what failed, to find the layer."""
    why = reason(error)
    layer = layer_of(module, inputs, why, again)
    shapes = ", ".join(f"{list(one.shape)} {one.dtype}" for one in inputs)
    return NotExportable(
        f"{by} refused the network: {why}",
        where=f"layer {layer}, input {shapes}" if layer else f"input {shapes}",
        remedy="replace what it names by an operation that can be exported, without a choice that depends on values",
    )


def reason(error: BaseException) -> str:
    """The deepest cause's first line: exporters wrap what matters."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def layer_of(
    module: nn.Module, inputs: tuple[Tensor, ...], why: str, again: Callable[[], Any] | None = None
) -> str | None:
    """The name of the module whose forward() raises as the network is exported, or that holds the operator in `why`."""
    import torch
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    names = {id(one): name or "the network itself" for name, one in module.named_modules()}
    entered: list[str] = []

    def enter(one: nn.Module, given: Any) -> None:
        if id(one) in names:
            entered.append(names[id(one)])

    def leave(one: nn.Module, given: Any, output: Any) -> None:
        if id(one) in names:
            entered.pop()

    # Hooks on the modules themselves would be compiled into a TorchScript file.
    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        with quiet(), torch.no_grad():
            program = again() if again else torch.export.export(module, inputs)
    except Exception:  # the same that was just raised
        return entered[-1] if entered else None
    finally:
        for hook in hooks:
            hook.remove()
    if again is None and (operator := OPERATOR.search(why)) is not None:
        for node in program.run_decompositions().graph.nodes:
            if str(node.target).startswith(operator.group()):
                return module_in(node) or "the network itself"
    return None


def module_in(node: Any) -> str:
    """The module that a node of an exported program came from; "" for the network itself or where it isn't known."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""
