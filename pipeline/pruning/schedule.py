"""How much has gone after each round: one-shot is one round, iterative pruning is several with fine-tuning between."""

from __future__ import annotations

from typing import Literal

Curve = Literal["linear", "cubic", "geometric"]


def share_gone(final: float, round_: int, rounds: int, curve: str = "linear") -> float:
    """Share of the original (0..1) that is gone after `round_` (1-based) of `rounds`; `final` after the last one.

    linear: equal parts of the original; cubic: much at first, little at the end (Zhu & Gupta 2017, arXiv 1710.01878);
    geometric: each round takes the same share of what is left (Frankle & Carbin 2019, arXiv 1803.03635).
    """
    if not 0 <= final <= 1:
        raise ValueError(f"the share {final} lies outside 0..1")
    if not 1 <= round_ <= rounds:
        raise ValueError(f"round {round_} of {rounds}")
    done = round_ / rounds
    if round_ == rounds:
        return final
    if curve == "linear":
        return final * done
    if curve == "cubic":
        return final * (1 - (1 - done) ** 3)
    if curve == "geometric":
        return 1 - (1 - final) ** done
    raise ValueError(f"{curve!r} is no curve: linear, cubic or geometric")
