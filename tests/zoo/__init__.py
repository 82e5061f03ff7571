"""Small networks of every kind, as their users write them: what pruning must cut right, leave alone or refuse."""

from __future__ import annotations

from tests.zoo import (
    bert,
    concat,
    efficientnet,
    encoder,
    many,
    mobile,
    plain,
    raw,
    refused,
    residual,
    shuffle,
    traps_mixed,
    traps_rows,
    traps_shaped,
    vit,
    words,
)

ZOO = {
    **residual.ENTRIES, **mobile.ENTRIES, **efficientnet.ENTRIES, **concat.ENTRIES, **shuffle.ENTRIES, **vit.ENTRIES,
    **encoder.ENTRIES, **bert.ENTRIES, **plain.ENTRIES, **many.ENTRIES, **words.ENTRIES, **raw.ENTRIES,
    **traps_mixed.ENTRIES, **traps_shaped.ENTRIES, **traps_rows.ENTRIES,
}  # fmt: skip
REFUSED = refused.ENTRIES
