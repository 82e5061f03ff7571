"""How much has gone after each round: one-shot is one round, iterative pruning is several with fine-tuning between."""

from __future__ import annotations


def share_after(round_: int, rounds: int) -> float:
    """Share of the whole removal that is done after `round_` (1-based) of `rounds`, in equal parts."""
    if not 1 <= round_ <= rounds:
        raise ValueError(f"round {round_} of {rounds}")
    return round_ / rounds
