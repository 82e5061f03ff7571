"""How a network is trained, as data: optimizer, epochs, learning rates."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# What AdamW starts from where the recipe says nothing; SGD's own are the fields' defaults.
_ADAMW = {"learning_rate": 1e-3, "weight_decay": 0.01}


class Schedule(BaseModel):
    """An optimizer under a one-cycle learning rate (arXiv 1708.07120).

    SGD has Nesterov momentum; AdamW (arXiv 1711.05101) is for transformers, and its learning rate and weight decay
    are 0.001 and 0.01 where none are given. `begin` leaves out the first epochs of the cycle and so trains with the
    learning rates of its last ones: learning-rate rewinding (Renda et al. 2020, arXiv 2003.02389).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(6, ge=0, le=10_000)
    batch: int = Field(128, ge=2)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.2, gt=0, description="the peak, reached after a quarter of the steps")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; AdamW keeps its own betas, 0.9 and 0.999")
    weight_decay: float = Field(5e-4, ge=0)
    clip: float | None = Field(None, gt=0, description="the largest norm that all gradients together may have")
    begin: int = Field(0, ge=0, description="epochs of the cycle that are left out; epochs - begin are run")
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    augment: list[Literal["flip"]] = Field(default_factory=list)
    loss: str = Field("cross-entropy", description="cross-entropy, or an importable function of (outputs, targets)")
    threads: int = Field(2, ge=1, description="fixed, since another number gives other roundings")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_optimizer(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("optimizer") == "adamw":
            return {**_ADAMW, **given}
        return given

    @model_validator(mode="after")
    def _begins_within(self) -> Schedule:
        if self.begin > self.epochs:
            raise ValueError(f"begin = {self.begin} is past the last of {self.epochs} epochs")
        return self


def one_cycle(peak: float, step: int, steps: int) -> float:
    """The learning rate at `step` of `steps`: from peak/25 to the peak in the first quarter, then down to about 0."""
    warm = max(1, steps // 4)
    if step < warm:
        low, high, share = peak / 25, peak, step / warm
    else:
        low, high, share = peak, peak / 25e4, (step - warm) / max(1, steps - warm)
    return low + (high - low) * (1 - math.cos(math.pi * share)) / 2
