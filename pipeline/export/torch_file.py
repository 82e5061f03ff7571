"""Loads and runs torch files of our own, TorchScript (.pt) and torch.export programs (.pt2), and finds what drifts."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.export.drift import first_module, module_outputs
from pipeline.export.refusal import module_in

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Array = NDArray[Any]


@contextmanager
def unwarned() -> Iterator[None]:
    """Without two kinds of warnings that are harmless here.

    TorchScript says at each call that it is no longer developed: libtorch on a device still loads nothing else. The
    tracer warns of shapes taken as numbers and of choices by value: shapes are fixed here, choices show in the check.
    """
    import torch

    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=jit.TracerWarning)
        yield


def loaded(data: bytes, format_: str) -> Callable[[Tensor], Tensor]:
    """What a file of ours computes, as a function of one batch of 1."""
    import torch

    with unwarned():
        if format_ == "torchscript":
            script: Callable[[Tensor], Tensor] = _script(data)
            return script
        program: Callable[[Tensor], Tensor] = torch.export.load(io.BytesIO(data)).module()
        return program


def run_torch(data: bytes, format_: str, x: Array) -> Array:
    """Outputs of a file of ours with a batch of 1 over `x` [N, ...], on one thread: float32 [N, ...]."""
    import torch

    torch.set_num_threads(1)
    network = loaded(data, format_)
    with torch.no_grad(), unwarned():
        rows = [network(torch.from_numpy(sample[None].copy())) for sample in x]
    outputs: Array = torch.cat(rows).numpy()
    return outputs


def macs_of(data: bytes, format_: str, example: Tensor) -> int:
    """Multiply-accumulates of one pass of the file itself, by torch's own counter."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    network = loaded(data, format_)
    with torch.no_grad(), unwarned(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(example)
    return int(counter.get_total_flops() // 2)


def constants(data: bytes, format_: str) -> list[Tensor]:
    """Every tensor that the file holds, in its order; those of a .pt2 without its counters of batches."""
    import torch

    with unwarned():
        if format_ == "pt2":
            return [value for value in torch.export.load(io.BytesIO(data)).state_dict.values() if value.dim() > 0]
        graph = _script(data).inlined_graph
        return [value for _, value in _script_constants(graph)]


def torch_file_drift(net: nn.Module, data: bytes, format_: str, x: Array, bound: float) -> str:
    """The first module whose output in the file departs from the network's by more than `bound` of its spread.

    A TorchScript file has no layers to ask any more: there it is the first whose weights are not the network's.
    """
    import torch

    first = x[:1]
    if format_ == "pt2":
        seen = module_outputs(net, (first,))
        with unwarned(), torch.no_grad():
            return first_module(seen, _every_tensor(data, torch.from_numpy(first.copy())), bound)
    with unwarned(), torch.no_grad():
        jit: Any = torch.jit
        ours = jit.freeze(jit.trace(net, (torch.from_numpy(first.copy()),), check_trace=False)).graph
        found = _script(data).inlined_graph
    for (layer, mine), (_, theirs) in zip(_script_constants(ours), _script_constants(found), strict=False):
        if mine.shape != theirs.shape or not torch.equal(mine, theirs):
            return f"first layer that drifts: {layer or 'the network itself'} (its weights are not the network's)"
    return "no layer's weights drift: forward() chooses by values, and the trace froze the choice"


def _script(data: bytes) -> Any:
    import torch

    jit: Any = torch.jit
    return jit.load(io.BytesIO(data))


def _every_tensor(data: bytes, example: Tensor) -> Iterator[tuple[str, Array]]:
    """(module, what it gives) for every tensor that a .pt2 computes, in its order."""
    import torch
    from torch.fx import Interpreter, Node

    found: list[tuple[str, Array]] = []

    class Noting(Interpreter):
        def run_node(self, n: Node) -> Any:
            value = super().run_node(n)
            if n.op == "call_function" and isinstance(value, torch.Tensor):
                found.append((module_in(n), value.numpy().copy()))
            return value

    program = torch.export.load(io.BytesIO(data))
    Noting(program.module()).run(example)
    return iter(found)


def _script_constants(graph: Any) -> list[tuple[str, Tensor]]:
    """(layer, tensor) for each tensor that nodes of a frozen graph use, in the order of their use."""
    found: list[tuple[str, Tensor]] = []
    taken: set[str] = set()
    for node in graph.nodes():
        for value in node.inputs():
            made = value.node()
            if made.kind() != "prim::Constant" or value.debugName() in taken or not made.hasAttribute("value"):
                continue
            if made.kindOf("value") == "t":
                taken.add(value.debugName())
                found.append((node.scopeName().rpartition("/")[2].removeprefix("__module."), made.t("value")))
    return found
