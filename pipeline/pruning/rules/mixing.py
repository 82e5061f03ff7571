"""Layers that make new channels from all old ones: convolution, linear, and GLU, which pairs them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.pruning.labels import along, grids, line, tidy, varies, vector
from pipeline.pruning.rules.products import rows_of

if TYPE_CHECKING:
    from torch import Tensor, fx

    from pipeline.pruning.tracer import Tracer, Value


def convolution(tracer: Tracer, node: fx.Node) -> Value:
    """conv1d..3d and their transposed kin: input channels meet the weight's, the weight's outputs are the result's."""
    transposed = "transpose" in tracer.operation(node)
    groups = int(tracer.argument(node, 6, "groups", 1))
    if tracer.operation(node) == "convolution":
        transposed, groups = bool(node.args[6]), int(tracer.argument(node, 8, "groups"))
    x, weight = tracer.value(node.args[0]), tracer.value(node.args[1])
    out = tracer.value(node)
    channels = out.dim() - (weight.dim() - 2) - 1
    labels = tracer.labels(node.args[1])
    for label in labels:  # a kernel's places are nobody's channels
        tracer.reads(*(line(label, dim) for dim in varies(label) if dim > 1))
    ins, rest = _channels_of(tracer, node, channels)
    if transposed:
        read, _ = vector(labels, 0, weight.shape[0])
        made, _ = vector(labels, 1, weight.shape[1])
        made = _grouped_outputs(tracer, made, groups)
        tracer.atoms.join_all(ins, read, tracer.no_label(node))
        _together(tracer, ins, groups)
        tracer.reads(read)
        tracer.makes(vector(labels, 1, weight.shape[1])[0])
        axes = [read, vector(labels, 1, weight.shape[1])[0]]
    else:
        made, _ = vector(labels, 0, weight.shape[0])
        read, _ = vector(labels, 1, weight.shape[1])
        if groups > 1 and weight.shape[1] == 1:
            # Depthwise: each input channel has its own outputs, which go with it.
            tracer.atoms.join_all(ins.repeat_interleave(weight.shape[0] // groups), made, tracer.no_label(node))
            axes = [made]
        else:
            # Every group must lose the same places, or the groups would differ in size.
            tracer.atoms.join_all(ins, read.repeat(groups), tracer.no_label(node))
            _together(tracer, made, groups)
            axes = [made, read]
            tracer.reads(read)
        tracer.makes(made)
    if tracer.is_tensor(node.args[2] if len(node.args) > 2 else None):
        bias, _ = vector(tracer.labels(node.args[2]), 0, len(made))
        tracer.atoms.join_all(made, bias)
    spatial = (x if transposed else out).shape[channels + 1 :]
    samples = out.shape[0] if channels else 1
    sizes = weight.shape[:1] if len(axes) == 1 else weight.shape[:2]
    work = samples * math.prod(spatial) * math.prod(weight.shape[2:])
    tracer.costs(node, work, list(zip(sizes, axes, strict=True)))
    return tidy([along(made, channels, out.shape), *(_spread(label, out.shape, channels) for label in rest)])


def _channels_of(tracer: Tracer, node: fx.Node, axis: int) -> tuple[Tensor, list[Tensor]]:
    """The input's labels along its channels, and those along the batch; what varies along anything else can't go."""
    labels = tracer.labels(node.args[0])
    for label in labels:
        dims = varies(label)
        if dims not in ((axis,), (0,)):
            tracer.freeze(node, [label], f"{tracer.operation(node)} runs over them")
    found, rest = vector(labels, axis, tracer.value(node.args[0]).shape[axis])
    return found, [label for label in rest if varies(label) == (0,)]


def _spread(label: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    return line(label, 0).view(-1, *[1] * (len(shape) - 1)).expand(shape)


def _together(tracer: Tracer, atoms: Tensor, groups: int) -> None:
    """The same place in every group goes together."""
    if groups > 1:
        tracer.atoms.join_slices(atoms.view(groups, -1), 1)


def _grouped_outputs(tracer: Tracer, made: Tensor, groups: int) -> Tensor:
    """A transposed convolution's weight names a group's outputs once; all groups have them."""
    return made.repeat(groups) if groups > 1 else made


def linear(tracer: Tracer, node: fx.Node) -> Value:
    """x W^T + b along the last dimension."""
    x, weight, out = tracer.value(node.args[0]), tracer.value(node.args[1]), tracer.value(node)
    labels = tracer.labels(node.args[1])
    made, _ = vector(labels, 0, weight.shape[0])
    read, _ = vector(labels, 1, weight.shape[1])
    source, last = tracer.labels(node.args[0]), x.dim() - 1
    for label in grids(source, last):
        tracer.atoms.join_all(label, along(read, last, x.shape))
    if not any(last in varies(label) for label in source):
        tracer.freeze(node, [read], tracer.no_label(node))
    else:
        tracer.atoms.join_all(vector(source, last, x.shape[-1])[0] if not grids(source, last) else
                              line(grids(source, last)[0], last), read)  # fmt: skip
    tracer.reads(read)
    tracer.makes(made)
    if tracer.is_tensor(node.args[2] if len(node.args) > 2 else None):
        tracer.atoms.join_all(made, vector(tracer.labels(node.args[2]), 0, len(made))[0])
    rest = [label for label in source if last not in varies(label)]
    passed = [label[..., :1].expand(out.shape) for label in rest]
    rows, lines = rows_of(passed, out.shape)
    tracer.costs(node, rows, [(len(made), made), (len(read), read), *lines])
    return tidy([along(made, out.dim() - 1, out.shape), *passed])


def gated(tracer: Tracer, node: fx.Node) -> Value:
    """GLU: one half gates the other, so the halves' channels go in pairs."""
    x = tracer.value(node.args[0])
    axis = int(tracer.argument(node, 1, "dim", -1)) % x.dim()
    passed = []
    for label in tracer.labels(node.args[0]):
        first, second = label.chunk(2, dim=axis)
        if axis in varies(label):
            tracer.atoms.join_all(first, second)
        passed.append(first)
    return tidy(passed)


RULES = {
    **dict.fromkeys(
        ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution"),
        convolution,
    ),
    "linear": linear,
    "glu": gated,
}
