"""Follows one pass of a network below its modules, at torch's own operators, so that any forward() can be read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from pipeline.costs.layers import WEIGHTED, Kind, Layer, Operation, Source

# Activations that are no more than a clamp are fused into what comes before them, by both families of runtimes.
_SMOOTH: dict[str, Kind] = {
    "gelu": "gelu", "sigmoid": "sigmoid", "silu": "sigmoid", "hardswish": "sigmoid", "hardsigmoid": "sigmoid",
    "tanh": "sigmoid", "erf": "sigmoid", "exp": "sigmoid", "elu": "sigmoid", "softplus": "sigmoid", "mish": "sigmoid",
    "_softmax": "softmax", "native_layer_norm": "norm", "native_group_norm": "norm",
}  # fmt: skip
_TWO_TENSORS = {"add", "sub", "mul", "div", "maximum", "minimum"}
_POOLS = {"mean", "_adaptive_avg_pool2d", "avg_pool2d", "max_pool2d_with_indices", "avg_pool1d", "max_pool1d"}
_MOVES = {"transpose", "permute"}
_NORMS = {"native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit"}


def trace(network: nn.Module, example: Tensor | tuple[Tensor, ...]) -> list[Operation]:
    """Every layer of one pass over `example` (a batch of 1), with where its channels come from. Nothing is changed."""
    inputs = example if isinstance(example, tuple) else (example,)
    was_training = network.training
    network.eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    # One fused operator for a whole attention would hide its layers.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _places(network) as place, _Watch(network, place) as seen:
            network(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        network.train(was_training)
    return seen.operations


@contextmanager
def _places(network: nn.Module) -> Iterator[list[str]]:
    """Names of the modules that are running now, the innermost last."""
    running = [""]
    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: running.pop() and None))
    try:
        yield running
    finally:
        for hook in hooks:
            hook.remove()


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operator that takes time, and passes on from tensor to tensor which weight made their channels."""

    def __init__(self, network: nn.Module, running: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._running = running
        self._weights = {
            value.untyped_storage().data_ptr(): (name, value) for name, value in network.named_parameters()
        }
        self._biases = {place for place, (_, value) in self._weights.items() if value.dim() == 1}
        self._made_by: Any = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name.endswith("_") and not name.startswith("_"):
            name = name[:-1]
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in tree_leaves(out) if isinstance(one, Tensor)]
        source = self._note(name, args, tensors, made[0]) if made else None
        if source is not None:
            for one in made:
                self._made_by[one] = source
        return out

    def _note(self, name: str, args: Any, tensors: list[Tensor], out: Tensor) -> Source | None:
        """Notes a layer where the operator is one; what made the output's channels."""
        if name in ("convolution", "mkldnn_convolution", "_convolution"):
            return self._convolution(args, out)
        if name in ("mm", "addmm", "bmm", "baddbmm", "linear"):
            return self._product(name, tensors, out)
        if name == "embedding":
            weight = self._weight(tensors[0])
            return Source(weight[0], 1) if weight else None
        source = next((found for one in tensors if (found := self._made_by.get(one)) is not None), None)
        data = [one for one in tensors if self._weight(one) is None]
        if name in _SMOOTH:
            self._add(_SMOOTH[name], out, source)
        elif name in _TWO_TENSORS and self._sums(tensors, out):
            self._add("add", out, source)
        elif out.is_floating_point() and (name == "cat" or (name in _MOVES and out.dim() == 4 and data)):
            # One pass over memory, as a sum is.
            self._add("add", out, source)
        elif name in _POOLS and data:
            self._pool(data[0], out, source)
        elif name in _NORMS and not self._after_layer(source):
            self._add("add", out, source)
        return source

    def _sums(self, tensors: list[Tensor], out: Tensor) -> bool:
        """Whether two tensors of floats come together, and neither is only the bias of the layer that just ran."""
        if not out.is_floating_point() or sum(one.numel() > 1 for one in tensors) < 2:
            return False
        last = self.operations[-1].layer.kind if self.operations else ""
        return last not in WEIGHTED or not any(one.untyped_storage().data_ptr() in self._biases for one in tensors)

    def _after_layer(self, source: Source | None) -> bool:
        """Whether the last layer made these channels with weights, so that a norm's factors go into them."""
        return bool(self.operations) and source is not None and self.operations[-1].makes == source

    def _convolution(self, args: Any, out: Tensor) -> Source | None:
        x, kernel, _, stride, _, _, transposed, _, groups = args[:9]
        weight = self._weight(kernel)
        makes = Source(weight[0], 1 if transposed else 0) if weight else None
        reads = Source(weight[0], 0 if transposed else 1) if weight else None
        inputs, outputs = int(x.shape[1]), int(out.shape[1])
        depthwise = groups == inputs > 1
        if depthwise:
            reads = makes
        layer = Layer(
            "depthwise" if depthwise else "conv",
            inputs,
            outputs,
            tuple(out.shape[2:]),
            tuple(kernel.shape[2:]),
            tuple(int(one) for one in stride),
            inputs if depthwise else int(groups),
        )
        self._take(layer, reads, makes, makes if depthwise else None)
        return makes

    def _product(self, name: str, tensors: list[Tensor], out: Tensor) -> Source | None:
        a, b = tensors[-2:] if name != "linear" else tensors[:2]
        source = self._made_by.get(a)
        weight = self._weight(b)
        if weight is None:
            *batch, rows, inner = a.shape
            layer = Layer("matmul", inner, int(b.shape[-1]), (rows,), groups=max(1, math.prod(batch)))
            self._take(layer, None, None, source)
            return source
        full, value = weight
        # Torch keeps [out, in] and multiplies by its transpose; transformers' Conv1D keeps [in, out].
        as_kept = b.stride() == value.stride() and b.shape[-2] == value.shape[-2]
        makes = Source(full, 1 if as_kept and name != "linear" else 0)
        reads = Source(full, 1 - makes.axis)
        outputs, inputs = int(out.shape[-1]), int(a.shape[-1])
        self._take(Layer("linear", inputs, outputs, (max(1, a.numel() // inputs),)), reads, makes, None)
        return makes

    def _pool(self, given: Tensor, out: Tensor, source: Source | None) -> None:
        channels = int(out.shape[1]) if out.dim() > 1 else 1
        positions = max(1, given.numel() // channels)
        self._take(Layer("pool", channels, channels, (positions,)), source, source, None)

    def _add(self, kind: Kind, out: Tensor, source: Source | None) -> None:
        if kind not in ("softmax", "norm"):  # it does the same with each number, whatever the shape
            self._take(Layer(kind, out.numel(), out.numel()), source, source, None)
            return
        row = int(out.shape[-1])
        rows = max(1, out.numel() // max(1, row))
        if kind == "norm":
            self._take(Layer(kind, row, row, (rows,)), source, source, None)
            return
        # Of an attention's rows, those of a head go with it.
        heads = int(out.shape[1]) if out.dim() == 4 else 1
        self._take(Layer(kind, row, row, (rows // heads,), groups=heads), None, None, source)

    def _take(self, layer: Layer, reads: Source | None, makes: Source | None, parts: Source | None) -> None:
        self.operations.append(Operation(layer, self._running[-1], reads, makes, parts))

    def _weight(self, tensor: Tensor) -> tuple[str, Tensor] | None:
        if tensor.is_sparse:
            return None
        found = self._weights.get(tensor.untyped_storage().data_ptr())
        return found if found is not None and found[1].dim() >= 2 else None
