"""Operations that move positions about (view, transpose, cat, chunk ...): labels go through the same operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.pruning.atoms import NOBODY
from pipeline.pruning.labels import compact, tidy, varies

if TYPE_CHECKING:
    from torch import fx

    from pipeline.pruning.tracer import Tracer, Value

SAME_SHAPE = ("contiguous", "clone", "detach", "alias", "to", "_to_copy", "type_as", "lift_fresh_copy", "dropout",
              "feature_dropout", "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like",
              "positive", "copy")  # fmt: skip
MOVES = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "transpose", "permute", "movedim", "t", "swapaxes",
         "unsqueeze", "squeeze", "expand", "slice", "select", "narrow", "repeat", "repeat_interleave", "roll", "flip",
         "diagonal", "tile", "channel_shuffle", "unfold", "pixel_unshuffle", "mT", "mH", "T", "H", "adjoint",
         "numpy_T", "swapdims", "expand_as", "view_as", "reshape_as")  # fmt: skip
CUTS = ("chunk", "split", "split_with_sizes", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split")


def move(tracer: Tracer, node: fx.Node) -> Value:
    """One tensor in, the same numbers elsewhere out."""
    moved = []
    for label in tracer.labels(node.args[0]):
        out = tracer.run(node, label)
        if out is None:
            tracer.freeze(node, [label], f"{tracer.operation(node)} moves them in a way that can't be followed")
            continue
        moved.append(out)
    labels = tidy(moved)
    for label in labels:
        if len(varies(label)) > 1:
            tracer.note_grid(node, label)
    return labels


def same(tracer: Tracer, node: fx.Node) -> Value:
    return tracer.labels(node.args[0])


def cut(tracer: Tracer, node: fx.Node) -> Value:
    """One tensor in, several out. Equal pieces stay equal: code that halves its channels will halve what is left."""
    pieces: list[list[Any]] = [[] for _ in tracer.values(node)]
    for label in tracer.labels(node.args[0]):
        parts = tracer.run(node, label)
        if parts is None:
            tracer.freeze(node, [label], f"{tracer.operation(node)} cuts them in a way that can't be followed")
            continue
        axis = _axis(tracer, node, label.dim())
        whole = axis in varies(label)
        if whole and tracer.operation(node) != "unbind" and len({part.shape for part in parts}) == 1:
            for part in parts[1:]:
                tracer.atoms.join_all(parts[0], part)
        for place, part in enumerate(parts):
            pieces[place].append(part)
    tracer.note_counts(node)
    return [tidy(piece) for piece in pieces]


def _axis(tracer: Tracer, node: fx.Node, dims: int) -> int:
    place = 1 if getattr(node.target, "_opname", "") == "unbind" else 2
    axis = tracer.argument(node, place, "dim", 0)
    return int(axis) % dims if isinstance(axis, int) else 0


def join(tracer: Tracer, node: fx.Node) -> Value:
    """cat and stack: along their axis the pieces' atoms follow each other; along the others they go together."""
    import torch

    parts = list(node.args[0])  # type: ignore[arg-type]
    stacks = tracer.operation(node) == "stack"
    axis = tracer.argument(node, 1, "dim", 0)
    out = tracer.value(node)
    axis = int(axis) % out.dim()
    shapes = [tracer.value(part).shape for part in parts]
    empty = [place for place, shape in enumerate(shapes) if len(shape) == 1 and shape[0] == 0 and out.dim() > 1]
    given = [
        ([label.unsqueeze(axis) for label in tracer.labels(part)] if stacks else tracer.labels(part), shape)
        for place, (part, shape) in enumerate(zip(parts, shapes, strict=True))
        if place not in empty
    ]
    sizes = [1 if stacks else shape[axis] for _, shape in given]

    def rows(place: int, wanted: tuple[int, ...]) -> Any:
        """The label of one piece over the dimensions `wanted`, NOBODY where it has none."""
        labels, shape = given[place]
        for label in labels:
            dims = set(varies(label))
            if dims and dims <= set(wanted):
                return label
        full = [*shape[:axis], 1, *shape[axis:]] if stacks else list(shape)
        return torch.full((1,) * len(full), NOBODY).expand(full)

    result = []
    across = {tuple(d for d in varies(label) if d != axis) for labels, _ in given for label in labels} - {()}
    for dims in sorted(across):
        wanted = tuple(sorted({*dims, axis}))
        own = [rows(place, wanted) for place in range(len(given))]
        if any(axis in varies(one) for one in own):
            result.append(torch.cat(own, dim=axis))
            continue
        first = own[0].narrow(axis, 0, 1)
        for other in own[1:]:
            tracer.atoms.join_all(first, other.narrow(axis, 0, 1), "they are put beside tokens that no layer makes")
        result.append(first.expand(out.shape))
    if any((axis,) == varies(label) for labels, _ in given for label in labels):
        lines = [rows(place, (axis,)) for place in range(len(given))]
        narrow = [one[tuple(slice(None) if dim == axis else slice(0, 1) for dim in range(one.dim()))] for one in lines]
        result.append(torch.cat(narrow, dim=axis).expand(out.shape))
    assert sum(sizes) == out.shape[axis]
    return tidy(result)


def pad(tracer: Tracer, node: fx.Node) -> Value:
    """Padding: of dimensions along which nothing varies it changes nothing; new channels are nobody's."""
    import torch

    amounts = list(node.args[1])  # type: ignore[arg-type]
    out, result = tracer.value(node), []
    constant = tracer.operation(node) == "constant_pad_nd" or (
        len(node.args) < 3 or node.args[2] == "constant" or node.args[2] is None
    )
    for label in tracer.labels(node.args[0]):
        padded = [label.dim() - 1 - place for place in range(len(amounts) // 2)]
        touched = [dim for dim in varies(label) if dim in padded and any(_pads(amounts, label.dim(), dim))]
        if not touched:
            result.append(compact(label).expand(out.shape))
        elif constant and all(isinstance(amount, int) for amount in amounts):
            result.append(torch.constant_pad_nd(label.contiguous(), amounts, NOBODY))
        else:
            tracer.freeze(node, [label], "they are padded with each other")
    return tidy(result)


def _pads(amounts: list[Any], dims: int, dim: int) -> tuple[bool, bool]:
    place = 2 * (dims - 1 - dim)
    return bool(amounts[place]), bool(amounts[place + 1])


def pick(tracer: Tracer, node: fx.Node) -> Value:
    """x[:, places]: picked by a tensor of numbers. What varies along a picked dimension can't go, the rest passes."""
    source, out = tracer.value(node.args[0]), tracer.value(node)
    if tracer.operation(node) == "index_select":
        picked = [int(tracer.argument(node, 1, "dim")) % source.dim()]
        width = 1
    else:
        places: Any = node.args[1]
        picked = [dim for dim, place in enumerate(places) if place is not None]
        width = max(tracer.value(place).dim() for place in places if place is not None)
    together = picked == list(range(picked[0], picked[0] + len(picked)))
    passed = []
    for label in tracer.labels(node.args[0]):
        if not together or set(picked) & set(varies(label)):
            tracer.freeze(node, [label], "they are picked by number")
            continue
        rest = label[tuple(0 if dim in picked else slice(None) for dim in range(label.dim()))]
        view = [*rest.shape[: picked[0]], *[1] * width, *rest.shape[picked[0] :]]
        passed.append(rest.contiguous().view(view).expand(out.shape))
    return tidy(passed)


def pixel_shuffle(tracer: Tracer, node: fx.Node) -> Value:
    """[N, C r r, H, W] > [N, C, H r, W r]: the r x r channels that make one go together."""
    out = move(tracer, node)
    result = []
    for label in out:
        if 1 in varies(label):
            tracer.atoms.join_slices(label, 1)
            label = label[:, :, :1, :1].expand(label.shape)
        result.append(label)
    return result


def item(tracer: Tracer, node: fx.Node) -> Value:
    """getitem: one of several outputs."""
    whole = tracer.several(node.args[0])
    place = node.args[1]
    return whole[place] if isinstance(place, int) and place < len(whole) else []


RULES = {
    **dict.fromkeys(SAME_SHAPE, same),
    **dict.fromkeys(MOVES, move),
    **dict.fromkeys(CUTS, cut),
    "cat": join,
    "concat": join,
    "concatenate": join,
    "stack": join,
    "constant_pad_nd": pad,
    "pad": pad,
    "index": pick,
    "index_select": pick,
    "pixel_shuffle": pixel_shuffle,
    "getitem": item,
}
