"""One claim a file: `cells(setting)` says what it needs, `judge(setting, found)` what it comes to."""

from __future__ import annotations

from types import ModuleType


def all_claims() -> dict[str, ModuleType]:
    """Every claim by name, in the order in which they are shown."""
    from tests.bench.pruning.claims import (
        budget,
        criteria,
        distilled,
        heads,
        iterative,
        peer,
        stages,
        structured,
        text,
        tickets,
    )

    return {
        "structured": structured,
        "iterative": iterative,
        "criteria": criteria,
        "heads": heads,
        "text": text,
        "tickets": tickets,
        "stages": stages,
        "distilled": distilled,
        "budget": budget,
        "peer": peer,
    }
