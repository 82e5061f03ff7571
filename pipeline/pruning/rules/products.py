"""Products of two values (matmul, einsum) and attention over heads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.pruning.labels import along, atoms_of, broadcast, compact, line, tidy, varies, vector
from pipeline.pruning.rules.passing import meet

if TYPE_CHECKING:
    from torch import Tensor, fx

    from pipeline.pruning.tracer import Tracer, Value


def product(tracer: Tracer, node: fx.Node) -> Value:
    """matmul, mm, bmm: [..., M, K] @ [..., K, N]."""
    place = 1 if tracer.operation(node) in ("addmm", "baddbmm") else 0
    first, second = node.args[place], node.args[place + 1]
    a, b, out = tracer.value(first), tracer.value(second), tracer.value(node)
    if a.dim() < 2 or b.dim() < 2:
        for arg in (first, second):
            tracer.freeze(node, tracer.labels(arg), f"{tracer.operation(node)} runs over them")
        return []
    ours, theirs = tracer.labels(first), tracer.labels(second)
    kept_a, collapsed_a = _contract(tracer, node, ours, a.dim() - 1)
    kept_b, collapsed_b = _contract(tracer, node, theirs, b.dim() - 2)
    _meet_over(tracer, node, (ours, a, a.dim() - 1), (theirs, b, b.dim() - 2))
    batch = range(out.dim() - 2)
    operands = [
        ([broadcast(label[..., :1], (*out.shape[:-1], 1)).expand(out.shape) for label in kept_a + collapsed_a],
         (*a.shape[:-1], 1)),
        ([_over_columns(label, out.shape) for label in kept_b + collapsed_b], (*b.shape[:-2], 1, b.shape[-1])),
    ]  # fmt: skip
    found = meet(tracer, node, operands, out.shape, batch)
    if place:
        bias = node.args[0]
        found = meet(tracer, node, [(found, out.shape), (tracer.labels(bias), tracer.value(bias).shape)], out.shape)
    _count_product(tracer, node, (a, b, out), ours, theirs, found)
    return found


def _over_columns(label: Tensor, shape: tuple[int, ...]) -> Tensor:
    row = label[..., :1, :]
    return broadcast(row, (*shape[:-2], 1, shape[-1])).expand(shape)


def _contract(tracer: Tracer, node: fx.Node, labels: list[Tensor], axis: int) -> tuple[list[Tensor], list[Tensor]]:
    """(labels that do not vary along the summed dimension; those of heads, whose places there go together)."""
    kept, collapsed = [], []
    for label in labels:
        dims = varies(label)
        if axis not in dims:
            kept.append(label)
        elif any(dim < label.dim() - 2 for dim in dims):
            slim = compact(label)
            rows = slim.movedim(axis, -1)
            tracer.atoms.join_all(rows, rows[..., :1].expand_as(rows))
            heads = label.narrow(axis, 0, 1).expand(label.shape)
            tracer.atoms.mark_heads(atoms_of(heads))
            collapsed.append(heads)
        elif len(dims) > 1:
            tracer.freeze(node, [label], tracer.no_label(node))
    return kept, collapsed


def _meet_over(
    tracer: Tracer, node: fx.Node, ours: tuple[list[Tensor], Tensor, int], theirs: tuple[list[Tensor], Tensor, int]
) -> None:
    """What is summed over meets place by place."""
    sides = []
    for labels, value, axis in (ours, theirs):
        other = value.dim() - 1 if axis == value.dim() - 2 else value.dim() - 2
        sides.append([label.select(other, 0) for label in labels if axis in varies(label)])
    if not sides[0] or not sides[1]:
        for side in (ours, theirs):
            tracer.freeze(node, [one for one in side[0] if side[2] in varies(one)], tracer.no_label(node))
        return
    tracer.atoms.join_all(sides[0][0], sides[1][0])
    for labels, value, axis in (ours, theirs):
        tracer.reads(*(line(label, axis) for label in labels if value.dim() == 2 and axis in varies(label)))


def _count_product(
    tracer: Tracer,
    node: fx.Node,
    sides: tuple[Tensor, Tensor, Tensor],
    ours: list[Tensor],
    theirs: list[Tensor],
    found: list[Tensor],
) -> None:
    """MACs of one sample: out x K; heads, K and N take part in it."""
    a, b, out = sides
    k, _ = vector(ours, a.dim() - 1, a.shape[-1])
    n, _ = vector(theirs, b.dim() - 1, out.shape[-1])
    rows, lines = rows_of(found, out.shape)
    tracer.costs(node, rows, [(a.shape[-1], k), (out.shape[-1], n), *lines])


def rows_of(labels: list[Tensor], shape: tuple[int, ...]) -> tuple[int, list[tuple[int, Tensor]]]:
    """How often a product runs along the last dimension: (a fixed number, the labelled dimensions it goes over)."""
    rows, lines = math.prod(shape[:-1]), []
    for dim in range(len(shape) - 1):
        spoken = sorted((len(varies(label)), place) for place, label in enumerate(labels) if dim in varies(label))
        if spoken:
            lines.append((shape[dim], line(labels[spoken[0][1]], dim)))
            rows //= shape[dim]
    return rows, lines


def einsum(tracer: Tracer, node: fx.Node) -> Value:
    """Einstein sums: a letter that is summed over meets in all operands, one that is kept goes on to the result."""
    equation, operands = str(node.args[0]).replace(" ", ""), list(tracer.argument(node, 1, "operands"))
    left, _, right = equation.partition("->")
    terms, out = left.split(","), tracer.value(node)
    if "." in equation or "->" not in equation or any(len(set(term)) < len(term) for term in terms):
        for arg in operands:
            tracer.freeze(node, tracer.labels(arg), f"einsum {equation!r} can't be followed")
        return []
    spoken: dict[str, list[Tensor]] = {}
    sizes: dict[str, int] = {}
    for term, arg in zip(terms, operands, strict=True):
        sizes |= dict(zip(term, tracer.value(arg).shape, strict=True))
    for term, arg in zip(terms, operands, strict=True):
        lines = dict.fromkeys(term, vector([], 0, 0)[0])
        for label in tracer.labels(arg):
            dims = varies(label)
            kept = [dim for dim in dims if term[dim] in right]
            kept = kept if len(kept) == 1 else [dim for dim in kept if equation.count(term[dim]) > 2]
            if len(dims) > 1:
                # Heads by width: the width goes with its head, which all operands have; other grids can't be followed.
                if len(kept) != 1:
                    tracer.freeze(node, [label], f"einsum {equation!r} mixes them")
                    continue
                tracer.atoms.join_slices(compact(label), kept[0])
                tracer.atoms.mark_heads(atoms_of(line(label, kept[0])))
                dims = (kept[0],)
            lines[term[dims[0]]] = line(label, dims[0])
        for letter in term:
            if sizes[letter] > 1 and tracer.value(arg).shape[term.index(letter)] > 1:
                nobody = vector([], 0, sizes[letter])[0]
                spoken.setdefault(letter, []).append(lines[letter] if len(lines[letter]) else nobody)
    for letter, found in spoken.items():
        for other in found[1:] if letter in right or len(found) > 1 else []:
            tracer.atoms.join_all(found[0], other, tracer.no_label(node))
        if letter not in right and len(found) == 1:
            tracer.freeze(node, found, "einsum sums over them")
        if letter not in right:
            tracer.reads(*found[1:])
    labelled = {letter: found[0] for letter, found in spoken.items() if int(found[0].max()) >= 0}
    work = math.prod(size for letter, size in sizes.items() if letter not in labelled)
    tracer.costs(node, work, [(sizes[letter], found) for letter, found in labelled.items()])
    tracer.note_counts(node)
    return tidy([along(spoken[letter][0], place, out.shape) for place, letter in enumerate(right) if letter in spoken])


def attention(tracer: Tracer, node: fx.Node) -> Value:
    """scaled_dot_product_attention of [..., heads, T, width]: all that belongs to one head goes together."""
    values = [tracer.value(arg) for arg in node.args[:3]]
    labels = [tracer.labels(arg) for arg in node.args[:3]]
    q, k, v = values
    out, last = tracer.value(node), q.dim() - 1
    if q.dim() < 4 or len({value.shape[-3] for value in values}) > 1:
        for one in labels:
            tracer.freeze(node, one, "this attention has no heads of its own" if q.dim() < 4 else "heads share keys")
        return []
    heads = q.dim() - 3
    rows: list[Tensor] = []
    for one in labels:
        for label in one:
            dims = set(varies(label))
            if heads in dims:
                slim = compact(label).movedim(heads, 0).flatten(1)
                tracer.atoms.join_all(slim, slim[:, :1].expand_as(slim))
                rows.append(line(label, heads))
            elif dims & {last, q.dim() - 2}:
                tracer.freeze(node, [label], "attention runs over them")
    if len(rows) < 3:
        for row in rows:
            tracer.freeze(node, [row], tracer.no_label(node))
    for row in rows[1:]:
        tracer.atoms.join_all(rows[0], row)
    mask = tracer.argument(node, 3, "attn_mask")
    if tracer.is_tensor(mask) and rows:
        shape = tracer.value(mask).shape
        if len(shape) >= 3 and shape[-3] > 1:
            tracer.freeze(node, rows, "the attention's mask has a part for every head")
    if not rows:
        rows = [vector([], 0, q.shape[heads])[0]]
    tracer.atoms.mark_heads(atoms_of(rows[0]))
    tracer.costs(
        node,
        math.prod(q.shape[:heads]) * q.shape[-2] * k.shape[-2] * (q.shape[-1] + v.shape[-1]),
        [(q.shape[heads], rows[0])],
    )
    tracer.note_counts(node)
    return tidy([along(rows[0], heads, out.shape)])


RULES = {
    **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), product),
    "einsum": einsum,
    "scaled_dot_product_attention": attention,
}
