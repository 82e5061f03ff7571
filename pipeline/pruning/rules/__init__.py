"""How labels go through each operation. A rule takes (Tracer, node) and gives the labels of what the node computes.

An operation without a rule freezes what goes through it, so what is unknown is left alone, never cut wrong.
"""

from __future__ import annotations

from pipeline.pruning.rules import mixing, moving, passing, products

RULES = {**moving.RULES, **passing.RULES, **products.RULES, **mixing.RULES}
