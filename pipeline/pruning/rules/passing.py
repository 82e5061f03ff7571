"""Operations that leave each channel to itself (activations, norms, pools), and those that run over channels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline.pruning.labels import along, broadcast, tidy, varies, vector

if TYPE_CHECKING:
    from torch import Tensor, fx

    from pipeline.pruning.tracer import Tracer, Value

POINTWISE = ("hardswish", "hardsigmoid", "relu6", "hardtanh", "silu", "mish", "gelu", "elu", "selu", "celu",
             "leaky_relu", "softplus", "threshold", "relu", "sigmoid", "tanh", "dropout", "alpha_dropout", "where",
             "masked_fill", "clamp", "softsign", "logsigmoid", "hardshrink", "rrelu", "square")  # fmt: skip
REDUCTIONS = {
    "mean": 1, "sum": 1, "amax": 1, "amin": 1, "max": 1, "min": 1, "var": 1, "std": 1, "softmax": 1, "log_softmax": 1,
    "_softmax": 1, "_log_softmax": 1, "argmax": 1, "argmin": 1, "cumsum": 1, "cumprod": 1, "linalg_vector_norm": 2,
    "logsumexp": 1, "any": 1, "all": 1, "prod": 1, "norm": 2, "sort": 1, "topk": 2, "median": 1, "softmin": 1,
}  # fmt: skip
SPATIAL = ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "upsample", "lp_pool", "reflection_pad",
           "replication_pad", "_upsample", "grid_sampler")  # fmt: skip


def pointwise(tracer: Tracer, node: fx.Node) -> Value:
    """Element-wise: what lies on the same place goes together; where one operand is unlabelled, nothing may go."""
    import torch

    operands = [arg for arg in tracer.inputs(node) if isinstance(tracer.value(arg), torch.Tensor)]
    shape = tracer.value(node).shape
    return meet(tracer, node, [(tracer.labels(arg), tracer.value(arg).shape) for arg in operands], shape)


def meet(
    tracer: Tracer,
    node: fx.Node,
    operands: list[tuple[list[Tensor], Any]],
    shape: Any,
    dims: Iterable[int] | None = None,
) -> list[Tensor]:
    """Labels of operands that are broadcast together to `shape`. dims: along which they meet; default all."""
    counted = set(range(len(shape)) if dims is None else dims)
    placed: list[tuple[Tensor, int]] = []
    for owner, (labels, _) in enumerate(operands):
        placed += [(broadcast(label, shape), owner) for label in labels]
    for label, owner in placed:
        touched = set(varies(label)) & counted
        for other, (_, other_shape) in enumerate(operands):
            if other == owner or not touched:
                continue
            full = {dim for dim in touched if _full(other_shape, shape, dim)}
            spoken = {dim for one, its in placed if its == other for dim in varies(one)}
            if full - spoken:
                tracer.freeze(node, [label], f"{tracer.operation(node)} joins them with what no layer makes")
    result: list[Tensor] = []
    for label, _ in placed:
        for place, known in enumerate(result):
            if set(varies(known)) & set(varies(label)):
                tracer.atoms.join_all(known, label)
                if len(varies(label)) > len(varies(known)):
                    result[place] = label
                break
        else:
            result.append(label)
    return tidy(result)


def _full(own: Any, shape: Any, dim: int) -> bool:
    """Whether an operand of shape `own` has more than one position along `dim` of the broadcast shape."""
    place = dim - (len(shape) - len(own))
    return place >= 0 and own[place] > 1


def prelu(tracer: Tracer, node: fx.Node) -> Value:
    """PReLU: one slope for all, or one a channel."""
    shape, count = tracer.value(node).shape, tracer.value(node.args[1]).numel()
    slopes = [] if count == 1 else [along(vector(tracer.labels(node.args[1]), 0, count)[0], 1, shape)]
    slope_shape = [count if dim == 1 else 1 for dim in range(len(shape))]
    return meet(tracer, node, [(tracer.labels(node.args[0]), shape), (slopes, slope_shape)], shape)


def per_channel_norm(tracer: Tracer, node: fx.Node) -> Value:
    """Batch and instance norm: weight, bias and running statistics go with their channel."""
    import torch

    shape = tracer.value(node).shape if isinstance(tracer.value(node), torch.Tensor) else tracer.values(node)[0].shape
    operands: list[tuple[list[Tensor], Any]] = [(tracer.labels(node.args[0]), shape)]
    for arg in node.args[1:5]:
        if tracer.is_tensor(arg):
            label, _ = vector(tracer.labels(arg), 0, shape[1])
            operands.append(([along(label, 1, shape)] if shape[1] > 1 else [], [1, shape[1]] + [1] * (len(shape) - 2)))
    found = meet(tracer, node, operands, shape)
    return found if isinstance(tracer.value(node), torch.Tensor) else [found, [], []]


def layer_norm(tracer: Tracer, node: fx.Node) -> Value:
    """A norm over channels: without one of them the others' mean and spread change, so none can go."""
    count = len(node.args[1])  # type: ignore[arg-type]
    why = f"the norm {tracer.module(node) or tracer.operation(node)!r} averages over them"
    label_dims = tracer.value(node.args[0]).dim()
    over = set(range(label_dims - count, label_dims))
    rest = []
    for label in tracer.labels(node.args[0]):
        if over & set(varies(label)):
            tracer.freeze(node, [label], why)
        rest.append(label)
    for arg in node.args[2:4]:
        if tracer.is_tensor(arg):
            tracer.freeze(node, tracer.labels(arg), why)
    return rest


def group_norm(tracer: Tracer, node: fx.Node) -> Value:
    groups, channels = node.args[1], tracer.value(node.args[0]).shape[1]
    if groups == channels:
        shape = tracer.value(node).shape
        operands: list[tuple[list[Tensor], Any]] = [(tracer.labels(node.args[0]), shape)]
        for arg in node.args[2:4]:
            if tracer.is_tensor(arg):
                label, _ = vector(tracer.labels(arg), 0, channels)
                operands.append(([along(label, 1, shape)], [1, channels] + [1] * (len(shape) - 2)))
        tracer.note_counts(node)
        return meet(tracer, node, operands, shape)
    why = f"the norm {tracer.module(node)!r} averages over groups of them"
    for arg in (node.args[0], *node.args[2:4]):
        if tracer.is_tensor(arg):
            tracer.freeze(node, [one for one in tracer.labels(arg) if arg is not node.args[0] or 1 in varies(one)], why)
    return tracer.labels(node.args[0])


def reduce(tracer: Tracer, node: fx.Node) -> Value:
    """Runs over some dimensions: what varies along them can't go, the rest passes."""
    import torch
    from torch import fx

    if len(node.args) > 1 and isinstance(node.args[1], fx.Node):  # max(x, y), min(x, y)
        return pointwise(tracer, node)
    place = REDUCTIONS[tracer.operation(node)]
    dims = tracer.argument(node, place, "dim")
    source = tracer.value(node.args[0])
    if isinstance(dims, bool) or dims is None:
        over = set(range(source.dim()))
    else:
        over = {int(dim) % max(source.dim(), 1) for dim in (dims if isinstance(dims, (list, tuple)) else [dims])}
    several = not isinstance(tracer.value(node), torch.Tensor)
    shape = tracer.values(node)[0].shape if several else tracer.value(node).shape
    passed = []
    for label in tracer.labels(node.args[0]):
        if over & set(varies(label)):
            tracer.freeze(node, [label], f"{tracer.operation(node)} runs over them")
            continue
        if len(shape) == label.dim():
            kept = label[tuple(slice(0, 1) if dim in over else slice(None) for dim in range(label.dim()))]
        else:
            kept = label[tuple(0 if dim in over else slice(None) for dim in range(label.dim()))]
        passed.append(kept.expand(shape))
    passed = tidy(passed)
    return [passed for _ in tracer.values(node)] if several else passed


def spatial(tracer: Tracer, node: fx.Node) -> Value:
    """Pools and resizing: work on the last dimensions, leave channels to themselves."""
    import torch

    match = re.search(r"(\d)d", tracer.operation(node))
    count = int(match.group(1)) if match else 2
    several = not isinstance(tracer.value(node), torch.Tensor)
    shape = tracer.values(node)[0].shape if several else tracer.value(node).shape
    passed = []
    for label in tracer.labels(node.args[0]):
        inner = set(range(label.dim() - count, label.dim()))
        if inner & set(varies(label)):
            tracer.freeze(node, [label], f"{tracer.operation(node)} runs over them")
            continue
        passed.append(label[(slice(None),) * (label.dim() - count) + (slice(0, 1),) * count].expand(shape))
    passed = tidy(passed)
    return [passed for _ in tracer.values(node)] if several else passed


def weight_norm(tracer: Tracer, node: fx.Node) -> Value:
    """g v / |v|, the norm over all dimensions but one: only what varies along that one can go."""
    shape, dim = tracer.value(node).shape, int(tracer.argument(node, 2, "dim", 0))
    lengths = []
    for label in tracer.labels(node.args[0]):
        if varies(label) == (dim,):
            lengths.append(label)
        else:
            tracer.freeze(node, [label], "their weight is normalised over them")
    return meet(
        tracer, node, [(lengths, shape), (tracer.labels(node.args[1]), tracer.value(node.args[1]).shape)], shape
    )


def recurrent(tracer: Tracer, node: fx.Node) -> Value:
    """LSTM, GRU, RNN: nothing of them is cut."""
    import torch

    x, work = tracer.value(node.args[0]), 0
    for arg in tracer.inputs(node):
        tracer.freeze(node, tracer.labels(arg), "a recurrent layer's units read each other at every step")
        weight = tracer.value(arg)
        if arg is not node.args[0] and weight.dim() == 2 and arg.op == "placeholder":
            work += weight.numel() * x.shape[0] * x.shape[1]
    tracer.costs(node, work, [])
    return [] if isinstance(node.meta["val"], torch.Tensor) else [[] for _ in tracer.values(node)]


def lookup(tracer: Tracer, node: fx.Node) -> Value:
    """An embedding: rows are looked up by number; its width are channels like any."""
    weight = tracer.labels(node.args[0])
    shape = tracer.value(node).shape
    rows = [label for label in weight if 0 in varies(label)]
    tracer.freeze(node, rows, "its rows are looked up by number")
    width, _ = vector(weight, 1, shape[-1])
    tracer.makes(width)
    return tidy([along(width, len(shape) - 1, shape)])


RULES = {
    **dict.fromkeys(POINTWISE, pointwise),
    **dict.fromkeys(REDUCTIONS, reduce),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), recurrent),
    "_weight_norm": weight_norm,
    "prelu": prelu,
    "batch_norm": per_channel_norm,
    "instance_norm": per_channel_norm,
    "_native_batch_norm_legit_no_training": per_channel_norm,
    "layer_norm": layer_norm,
    "rms_norm": layer_norm,
    "group_norm": group_norm,
    "embedding": lookup,
}
