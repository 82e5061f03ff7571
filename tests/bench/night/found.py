"""What a part of the bench found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Found:
    """figures: raw, in the units that their names end with; rows: what is shown of them; problems: why they are none.

    As in the JSON, so that a part that is not run again keeps its rows.
    """

    figures: dict[str, Any]
    rows: list[tuple[str, str]]
    problems: list[str] = field(default_factory=list)
