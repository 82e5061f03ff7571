"""Prices of layers: the table's, and the rule of thumb's on the same scale where the table has a gap."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.costs.layers import Layer
from pipeline.costs.table import NotMeasured
from pipeline.search.prices import Measured
from pipeline.search.pricing import Thumb

CONV, OTHER = Layer("conv", 8, 8, (4, 4), (3, 3), (1, 1)), Layer("norm", 8, 8, (4,))
WHOLE = [CONV, CONV, OTHER]


class Table:
    """Says 1 ms for each layer; of some kinds nothing."""

    def __init__(self, lacks: str) -> None:
        self.lacks = lacks

    def predict(self, layers: Sequence[Layer], precision: str) -> float:
        # As without attention: what was float is INT8 all at once, and was never measured so.
        if self.lacks == "all" or (self.lacks == "short" and len(layers) < 2):
            raise NotMeasured("No layer of this size was measured", where="norm", remedy="none")
        return float(len(layers))


def test_a_gap_is_answered_on_the_table_s_scale_and_no_other_network_with_it() -> None:
    prices = Measured(Table("short"), thumb := Thumb(WHOLE, {"int8": 0.3}))
    assert prices.predict(WHOLE, "int8") == 3.0
    share = thumb.predict([CONV], "int8") / thumb.predict(WHOLE, "int8")
    assert prices.predict([CONV], "int8") == pytest.approx(3.0 * share)
    assert prices.predict([CONV, OTHER], "int8") == 2.0


def test_where_the_whole_network_is_not_in_the_table_the_rule_of_thumb_answers_for_all() -> None:
    prices = Measured(Table("all"), thumb := Thumb(WHOLE, {"int8": 0.3}))
    assert [prices.predict(one, "int8") for one in (WHOLE, [CONV])] == [
        thumb.predict(one, "int8") for one in (WHOLE, [CONV])
    ]
