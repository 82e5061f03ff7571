"""What was found out about a variant that does not pay, put into its judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from device_agents.farm.candidate import Judgement

UNKNOWN = "unknown"
"""The kind of a cause that no measurement has found; its text says what was looked at."""


@dataclass(frozen=True)
class Cause:
    """Why a variant does not pay. kind: conversions, fallback, dispatch, alignment, kernels or memory, joined by
    "+", or UNKNOWN.

    text: part of a sentence, with the figures that show it; instead: what to do, "" where nothing is known.
    """

    kind: str
    text: str
    instead: str = ""


def asked(judgements: Sequence[Judgement]) -> list[str]:
    """The names whose cause a measurement may find, in their order."""
    return [one.name for one in judgements if one.against]


def explained(judgements: Sequence[Judgement], causes: Mapping[str, Cause]) -> list[Judgement]:
    """The judgements with the causes in their reasons; verdicts stay, and so do judgements without a cause."""
    return [
        replace(one, reason=f"{one.reason}; {cause.text}", instead=cause.instead)
        if (cause := causes.get(one.name))
        else one
        for one in judgements
    ]
