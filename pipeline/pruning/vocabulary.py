"""Embedding rows that a task never looks up: which tables can lose rows, which rows are used, and the action."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.pruning.groups import LeftAlone
from pipeline.pruning.plan import Rows

if TYPE_CHECKING:
    from torch import Tensor, nn


class NoSuchRow(EdgewrightError):
    """A row that an embedding doesn't have, named as the one for what is unknown."""


def find_embeddings(network: nn.Module, at_least: int = 1000) -> tuple[list[str], list[LeftAlone]]:
    """Names of the embeddings of `at_least` rows that can lose some, in the modules' order, and the others with why."""
    from torch import nn

    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(parameter.data_ptr(), []).append(name)
    found, left = [], []
    for name, module in network.named_modules():
        if not isinstance(module, nn.Embedding) or module.num_embeddings < at_least:
            continue
        others = [one for one in names[module.weight.data_ptr()] if one != f"{name}.weight"]
        if others:
            left.append(LeftAlone(name, f"its weight is also {others[0]!r}, whose outputs would go with the rows"))
        elif type(module) is not nn.Embedding:
            left.append(LeftAlone(name, f"it is a {type(module).__name__}, which may do more than look rows up"))
        elif module.max_norm is not None:
            left.append(LeftAlone(name, "it changes its rows while it looks them up (max_norm)"))
        else:
            found.append(name)
    return found, left


def used_rows(
    network: nn.Module,
    embeddings: Sequence[str],
    inputs_of: Callable[[Tensor], tuple[Tensor, ...]],
    batches: Sequence[Tensor],
) -> tuple[dict[str, list[int]], list[LeftAlone]]:
    """The rows (sorted) that each embedding really looks up in the batches, and those that must not lose any, with why.

    Noted at the lookup itself, so padding and special tokens count. Give batches (int64 [B]) over ALL training samples:
    what they never use is what can go. Inputs of the same shapes must go the same way through the network, as they do
    where it can be traced. Left alone: a table that is looked up with the same numbers for every sample (positions),
    one whose weight other operations read too (tied by a function), one that is never looked up. The network runs in
    evaluation mode and stays as it is.
    """
    import torch

    from pipeline.pruning.watching import Enough, watch_lookups

    tables = {name: Table() for name in embeddings}
    whole: dict[Any, int] = {}
    training = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        with torch.no_grad(), watch_lookups(network, tables) as lookups:
            for rows in batches:
                given = inputs_of(rows)
                shapes = tuple(one.shape[1:] for one in given)
                lookups.count, lookups.last = 0, whole.get(shapes)
                # Inputs of the same shapes go the same way: what comes after the last lookup was seen once.
                with suppress(Enough):
                    network(*given)
                whole[shapes] = max(lookups.count, whole.get(shapes, 0))
    finally:
        for module, flag in training:
            module.training = flag
    left = [LeftAlone(name, reason) for name, table in tables.items() if (reason := table.trouble)]
    return {name: sorted(table.used) for name, table in tables.items() if not table.trouble}, left


@dataclass
class Table:
    """What was seen of one embedding. used: rows looked up; other: an operation that reads its weight whole."""

    used: set[int] = field(default_factory=set)
    other: str = ""
    varies: bool = False
    _first: Tensor | None = None

    def look_up(self, numbers: Tensor) -> None:
        """Notes row numbers, [..., T] with one sequence a row, or [T]."""
        import torch

        self.used.update(torch.unique(numbers).tolist())
        for sequence in numbers.reshape(-1, numbers.shape[-1] if numbers.dim() else 1):
            if self.varies:
                return
            first = sequence if self._first is None else self._first
            length = min(len(first), len(sequence))
            self.varies = bool((first[:length] != sequence[:length]).any())
            self._first = first if len(first) >= len(sequence) else sequence

    @property
    def trouble(self) -> str:
        """Why no row may go; empty where some may."""
        if self.other:
            return f"its weight is also read by {self.other!r}, whose outputs would go with the rows"
        if not self.used:
            return "it is never looked up on the training samples"
        return "" if self.varies else "it is looked up with the same numbers for every sample, as positions are"


def rows_action(network: nn.Module, module: str, used: Iterable[int], unknown: int | None = None) -> Rows | None:
    """The action that leaves `module` (an nn.Embedding) the rows `used`; None where that is all of them.

    unknown: the row that numbers of rows that went read from then on, e.g. 100, [UNK], in BERT's vocabulary; without
    it the padding row, or 0. It stays, as the padding row does. Raises NoSuchRow.
    """
    embedding: nn.Embedding = network.get_submodule(module)  # type: ignore[assignment]
    count, padding = embedding.num_embeddings, embedding.padding_idx
    reads = unknown if unknown is not None else padding if padding is not None else 0
    if not 0 <= reads < count:
        raise NoSuchRow(
            f"The embedding has {count} rows, so none is row {reads}",
            where=module,
            remedy=f"name a row of 0 to {count - 1} for what is unknown",
        )
    kept = sorted({*used, reads, *([] if padding is None else [padding])})
    return None if len(kept) == count else Rows(module, tuple(kept), count, reads)
