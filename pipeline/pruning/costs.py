"""What a network costs with any choice of units: parameters, bytes and MACs, counted without cutting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.pruning.groups import Group, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Units = NDArray[np.int64]


@dataclass(frozen=True)
class Product:
    """Something that costs `fixed` x the positions that are left along each of `axes`.

    Each axis is an int64 array with, for each position, the number of its unit, or -1 where it stays whatever goes.
    """

    fixed: int | Fraction
    axes: tuple[Units, ...]


@dataclass
class Costs:
    """offsets: group name > number of its first unit. macs, params: what they add up from. widths: bytes a number."""

    offsets: dict[str, int] = field(default_factory=dict)
    units: int = 0
    macs: list[Product] = field(default_factory=list)
    params: list[Product] = field(default_factory=list)
    stored: list[tuple[int, Product]] = field(default_factory=list)

    def size(self, groups: Sequence[Group], kept: Mapping[str, Sequence[int]]) -> Size:
        """The network's size when of each group named in `kept` those units stay, of all others everything."""
        import numpy as np

        alive = np.ones(self.units, dtype=bool)
        for group in groups:
            if group.name in kept:
                first = self.offsets[group.name]
                alive[first : first + group.units] = False
                alive[first + np.asarray(list(kept[group.name]), dtype=np.int64)] = True

        def total(products: Sequence[Product]) -> int:
            return sum(_left(product, alive) for product in products)

        stored = sum(width * _left(product, alive) for width, product in self.stored)
        return Size(total(self.params), total(self.macs), stored)


def _left(product: Product, alive: NDArray[np.bool_]) -> int:
    left = Fraction(product.fixed)
    for axis in product.axes:
        left *= int((axis < 0).sum()) + int(alive[axis[axis >= 0]].sum())
    return int(left)
