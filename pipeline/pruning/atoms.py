"""Atoms: one for each position of each tensor axis. What can only go together is joined; some can't go at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NOBODY = -1
"""The label of positions that no layer makes: the network's inputs, padding, constants."""


@dataclass(frozen=True)
class Origin:
    """The tensor axis that an atom was made for."""

    tensor: str
    axis: int
    position: int


@dataclass
class Atoms:
    """Disjoint sets (union-find) with the reason why a set can't go, if it can't."""

    origins: list[Origin] = field(default_factory=list)
    _parents: list[int] = field(default_factory=list)
    _frozen: dict[int, str] = field(default_factory=dict)
    _heads: set[int] = field(default_factory=set)

    def fresh(self, tensor: str, axis: int, size: int) -> range:
        """New atoms for every position of one axis."""
        start = len(self._parents)
        self._parents += range(start, start + size)
        self.origins += [Origin(tensor, axis, position) for position in range(size)]
        return range(start, start + size)

    def root(self, atom: int) -> int:
        parents = self._parents
        while parents[atom] != atom:
            parents[atom] = parents[parents[atom]]
            atom = parents[atom]
        return atom

    def join(self, one: int, other: int, why: str = "") -> None:
        """From now on both go together. An atom joined with NOBODY can't go."""
        if one == NOBODY or other == NOBODY:
            self.freeze([max(one, other)], why or "it meets positions that no layer makes")
            return
        one, other = self.root(one), self.root(other)
        if one == other:
            return
        low, high = min(one, other), max(one, other)
        self._parents[high] = low
        reason = self._frozen.pop(high, None)
        if reason is not None:
            self._frozen.setdefault(low, reason)
        if high in self._heads:
            self._heads.add(low)

    def freeze(self, atoms: Iterable[int], why: str) -> None:
        """These can't go. The first reason stays."""
        for atom in atoms:
            if atom != NOBODY:
                self._frozen.setdefault(self.root(atom), why)

    def frozen(self, atom: int) -> str | None:
        return self._frozen.get(self.root(atom))

    def mark_heads(self, atoms: Iterable[int]) -> None:
        self._heads.update(self.root(atom) for atom in atoms if atom != NOBODY)

    def heads(self) -> set[int]:
        """The roots of all sets that were marked as heads."""
        return {self.root(head) for head in self._heads}

    def is_head(self, atom: int) -> bool:
        return self.root(atom) in self.heads()

    def join_all(self, one: Tensor, other: Tensor, why: str = "") -> None:
        """Joins two label tensors (int64, of one shape after broadcasting) position by position."""
        import torch

        one, other = torch.broadcast_tensors(one, other)  # type: ignore[no-untyped-call]
        for dim in range(one.dim()):
            if one.stride(dim) == other.stride(dim) == 0:  # constant in both
                one, other = one.narrow(dim, 0, 1), other.narrow(dim, 0, 1)
        pairs = torch.stack([one.reshape(-1), other.reshape(-1)], dim=1)
        for first, second in torch.unique(pairs, dim=0).tolist():
            if first != second:
                self.join(first, second, why)

    def join_slices(self, labels: Tensor, axis: int) -> None:
        """All that has the same place along `axis` goes together."""
        rows = labels.movedim(axis, 0).flatten(1)
        self.join_all(rows, rows[:, :1].expand_as(rows))
