"""What the `[quantise]` table of a recipe may say: how a model becomes INT8, on every target."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from targets.schema import Precision

Calibration = Literal["auto", "minmax", "percentile", "entropy"]


class Quantise(BaseModel):
    """The defaults suit networks of convolutions and of attention alike; what is not given keeps its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration: Calibration = Field(
        "auto", description="how activations' ranges are found; auto: the way whose INT8 departs least from float"
    )
    samples: int = Field(512, ge=16, description="calibration samples that are looked at")
    bias_correction: bool = Field(True, description="mean errors go into the biases, where the outputs gain by it")
    mixed: bool = Field(True, description="the worst layers stay in float until the bounds under check hold")
    equalise: bool = Field(False, description="neighbouring layers share their ranges (cross-layer equalisation)")
    qat_epochs: int = Field(
        0, ge=0, le=1000, description="epochs of training with fake quantisation, where INT8 loses more than it may"
    )
    precisions: tuple[Precision, ...] | None = Field(
        None, min_length=1, description="what to build in place of the targets' own precisions, e.g. dynamic"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Quantise:
        if self.precisions is not None and len(set(self.precisions)) != len(self.precisions):
            raise ValueError("precisions names one twice")
        return self
