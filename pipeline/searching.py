"""What the `[search]` table of a recipe may say: what `./inv deploy` looks for where the recipe names no [[shrink]]."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Search(BaseModel):
    """As the options of `./inv shrink`; what is not given keeps its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_drop: float = Field(1.0, ge=0, lt=100, description="points of the metric that may be lost")
    max_ms: float | None = Field(None, gt=0, description="p50 that the device must reach, ms")
    max_kb: float | None = Field(None, gt=0, description="size that the model file must reach, kB")
    budget: str = Field("30m", description="time for the search, builds included: 90s, 30m, 2h")
