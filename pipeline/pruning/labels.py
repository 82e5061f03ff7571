"""Labels: which atom each position of a tensor stands for, as int64 tensors that go through the same reshaping as it.

A value carries a few labels, each varying along the dimensions that it speaks of: a feature map [N, C, H, W] one that
varies along C alone; a weight [O, I, kh, kw] one along O and one along I.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipeline.pruning.atoms import NOBODY

if TYPE_CHECKING:
    from torch import Tensor

    Labels = list[Tensor]


def along(vector: Tensor, axis: int, shape: Sequence[int]) -> Tensor:
    """A vector of atoms as a label of `shape` that varies along `axis`."""
    view = [1] * len(shape)
    view[axis] = len(vector)
    return vector.view(view).expand(list(shape))


def varies(label: Tensor) -> tuple[int, ...]:
    """The dimensions along which a label is not constant."""
    found = []
    for dim, (size, stride) in enumerate(zip(label.shape, label.stride(), strict=True)):
        if size > 1 and stride != 0 and bool((label != label.narrow(dim, 0, 1)).any()):
            found.append(dim)
    return tuple(found)


def tidy(labels: Iterable[Tensor]) -> Labels:
    """Without labels that say nothing; constant dimensions take no memory."""
    kept = []
    for label in labels:
        if label.numel() == 0 or not (dims := varies(label)):
            continue
        slim = label
        for dim in range(label.dim()):
            if dim not in dims and label.shape[dim] > 1:
                slim = slim.narrow(dim, 0, 1)
        kept.append(slim.contiguous().expand(label.shape))
    return kept


def broadcast(label: Tensor, shape: Sequence[int]) -> Tensor:
    """A label as it lies in a larger value of `shape`, aligned at the last dimension as torch broadcasts."""
    return label.view([1] * (len(shape) - label.dim()) + list(label.shape)).expand(list(shape))


def vector(labels: Labels, axis: int, size: int) -> tuple[Tensor, Labels]:
    """(the label along `axis` alone [size], NOBODY where there is none; the labels that do not vary along it)."""
    import torch

    found, rest = torch.full((size,), NOBODY), []
    for label in labels:
        dims = varies(label)
        if axis not in dims:
            rest.append(label)
        elif dims == (axis,):
            found = line(label, axis)
    return found, rest


def grids(labels: Labels, axis: int) -> Labels:
    """The labels that vary along `axis` and others."""
    return [label for label in labels if axis in (dims := varies(label)) and len(dims) > 1]


def line(label: Tensor, axis: int) -> Tensor:
    """What a label says along one axis, at the first place of all others."""
    return label[tuple(slice(None) if dim == axis else 0 for dim in range(label.dim()))]


def compact(label: Tensor) -> Tensor:
    """The label with its constant dimensions at size 1."""
    dims = varies(label)
    for dim in range(label.dim()):
        if dim not in dims:
            label = label.narrow(dim, 0, 1)
    return label


def atoms_of(label: Tensor) -> list[int]:
    """The distinct atoms of a label."""
    import torch

    found: list[int] = torch.unique(compact(label)).tolist()
    return found
