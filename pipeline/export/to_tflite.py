"""torch to .tflite by litert-torch: channels-last inputs, every tensor named after the torch module behind it."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from edgewright.extras import extra
from edgewright.quiet import quiet
from pipeline.export.tflite_names import place, with_module_names

if TYPE_CHECKING:
    from torch import Tensor, nn

WRAPPED = "wrapped"
"""The name that litert_torch.to_channel_last_io gives the network inside its own."""


class NotConvertible(EdgewrightError):
    """The network has an operation that TensorFlow Lite lacks, or that its converter can't bring there."""


def to_tflite(module: nn.Module, example: Tensor | tuple[Tensor, ...]) -> bytes:
    """A .tflite file with the static shapes of `example` (a batch of 1) and tflite_names.with_module_names's names.

    A float input of three to five axes comes as [N, C, ...] and goes into the file as [N, ..., C]; others stay, int64
    ones as int32. Outputs stay torch's. The same network gives the same bytes. Raises NotConvertible, MissingExtra.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    module.eval()
    with quiet(), extra("tflite", "the export to TensorFlow Lite"):
        import litert_torch
    try:
        with quiet(), _places_in_locations():
            network, fed = channels_last(_plain_strides(module), inputs)
            data = bytes(litert_torch.convert(network, fed).model_content())
    except Exception as error:  # the converter raises many kinds, torch.export too
        raise _refused(error, module) from error
    return with_module_names(data, leaves(module))


def channels_last(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network with channels-last inputs, and these inputs so, where they are floats of three to five axes."""
    import litert_torch

    pictures = [number for number, one in enumerate(inputs) if 3 <= one.ndim <= 5 and one.is_floating_point()]
    if not pictures:
        return module, inputs
    # Moved in name only: inside, the network must find the plain strides that a view() in its forward may count on.
    fed = (one.contiguous().movedim(1, -1) if number in pictures else one for number, one in enumerate(inputs))
    return litert_torch.to_channel_last_io(module, args=pictures).eval(), tuple(fed)


def _plain_strides(module: nn.Module) -> nn.Module:
    """The network, as a copy where a weight lies in another order (channels_last): the converter writes such a weight's
    numbers in the order of memory, and the file is wrong without a word (litert-torch 0.10)."""
    if all(tensor.is_contiguous() for tensor in (*module.parameters(), *module.buffers())):
        return module
    plain = copy.deepcopy(module)
    for tensor in (*plain.parameters(), *plain.buffers()):
        tensor.data = tensor.data.contiguous()
    return plain


def leaves(module: nn.Module) -> set[str]:
    """The names of the modules that have none inside."""
    return {name for name, one in module.named_modules() if next(one.children(), None) is None}


@contextlib.contextmanager
def _places_in_locations() -> Iterator[None]:
    """Lets the converter call each tensor by its module's path, where it would write the classes on the way there."""
    from litert_torch.backend import debuginfo

    original = debuginfo.build_mlir_debuginfo
    debuginfo.build_mlir_debuginfo = lambda node: place(
        _module_of(node), debuginfo.build_nodename_debuginfo(node) or ""
    )
    try:
        yield
    finally:
        debuginfo.build_mlir_debuginfo = original


def _module_of(node: Any) -> str:
    """The path of the innermost module whose forward made a node of torch's graph."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = re.sub(r"@\d+$", "", stack[-1][0]) if stack else ""  # a module's second call has @1
    return path.removeprefix(WRAPPED).removeprefix(".")


def _refused(error: BaseException, module: nn.Module) -> NotConvertible:
    """Names the operation and its module: the converter was at a node of torch's graph, or torch inside a forward."""
    from torch import fx, nn

    names = {id(one): name for name, one in module.named_modules()}
    node: Any = None
    inside: str | None = None
    seen: BaseException | None = error
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            values = trace.tb_frame.f_locals
            if isinstance(values.get("node"), fx.Node):
                node = values["node"]
            if isinstance(values.get("self"), nn.Module):
                inside = names.get(id(values["self"]), inside)
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    if node is not None:
        inside = _module_of(node)
    operation = "" if node is None else str(node.target) if node.op == "call_function" else node.name
    lacking = node is not None and "Lowering not found" in str(error)
    what = f"has nothing for {operation}" if lacking else f"can't take {operation or 'the network'}: {_reason(error)}"
    where = (
        f"layer {inside} ({type(module.get_submodule(inside)).__name__})" if inside in names.values() and inside else ""
    )
    return NotConvertible(
        f"TensorFlow Lite {what}",
        where=where or "litert_torch.convert, somewhere in the network's own forward",
        remedy="replace it by what TensorFlow Lite has, or deploy to a target whose runtime is onnxruntime",
    )


def _reason(error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"
