"""What the `[search]` table of a recipe may say: what `./inv deploy` looks for where the recipe names no [[shrink]]."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

LONGEST_S = 7 * 86_400.0


class Search(BaseModel):
    """As the options of `./inv shrink`; what is not given keeps its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_drop: float = Field(1.0, ge=0, lt=100, description="points of the metric that may be lost")
    max_ms: float | None = Field(None, gt=0, description="p50 that the device must reach, ms")
    max_kb: float | None = Field(None, ge=1, description="size that the model file must reach, kB")
    budget: str = Field("30m", description="time for the search, builds included: 90s, 30m, 2h")

    @field_validator("budget")
    @classmethod
    def _readable(cls, value: str) -> str:
        seconds(value)
        return value


def seconds(text: str) -> float:
    """Of `90s`, `30m`, `2h`, `1h30m` or `90`. Raises ValueError."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    total = 0.0
    if found and text.strip():
        total = sum(
            float(given) * unit for given, unit in zip(found.groups(), (3600.0, 60.0, 1.0), strict=True) if given
        )
    if not 1 <= total <= LONGEST_S:
        raise ValueError(f"{text!r} is no budget: say 90s, 30m or 2h")
    return total
