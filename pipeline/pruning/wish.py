"""What one round of shrinking shall reach, and what it really did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipeline.pruning.groups import Size

if TYPE_CHECKING:
    from pipeline.pruning.plan import Action


@dataclass(frozen=True)
class Wish:
    """Shares are of the ORIGINAL network's units (or of its budget) and count what is gone after this round.

    remove, widths: layers that go and units that groups keep, by name, whatever the shares would choose; by_now: of
    a share that goes in the end, what shall have gone of such a group after this round;
    budget: a share of the MACs, parameters or bytes, taken from `structures`; ranking: local, global (raw scores of
    all groups of a kind) or group (scores divided by their group's mean magnitude); layer_importance: criterion, or
    metric (the metric lost without the layer); skip: module name prefixes to leave alone; vocabulary: embedding rows
    that the training samples never use go, row `unknown` (default: padding, or 0) stands in for them; final: an
    earlier one of several rounds may miss its goal or take nothing.
    """

    blocks: float = 0.0
    filters: float = 0.0
    heads: float = 0.0
    neurons: float = 0.0
    budget: tuple[Literal["macs", "params", "bytes"], float] | None = None
    structures: tuple[str, ...] = ("filters", "heads", "neurons")
    remove: tuple[str, ...] = ()
    widths: Mapping[str, int] = field(default_factory=dict)
    by_now: Callable[[float], float] = float
    criterion: str = "taylor"
    ranking: str = "local"
    layer_importance: str = "criterion"
    min_width: int = 8
    min_heads: int = 1
    alignment: int = 1
    skip: tuple[str, ...] = ()
    vocabulary: bool = False
    unknown: int | None = None
    final: bool = True


@dataclass
class Outcome:
    """What really went. units: {group: (kind, before, after)}; rows: {embedding: (before, after)}.

    before, after: of the network that this round was given and left; whole: of the original. left_alone: {module:
    reason}.
    """

    before: Size
    after: Size
    whole: Size
    actions: list[Action] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    units: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    left_alone: dict[str, str] = field(default_factory=dict)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
