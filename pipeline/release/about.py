"""What only a person can say of a model, the table [about] of its recipe: what for, what not, under which licence."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

GROUP = "edgewright.models"


class About(BaseModel):
    """Words for the model card, and a name for Android's packages; nothing of it enters a fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: str = Field("", description="what the model does, in a sentence or two")
    limits: tuple[str, ...] = Field((), description="what it was not tested on, or is known to do badly")
    data_licence: str = Field("", description="of the data it was trained on, as SPDX spells it where it can")
    weights_licence: str = Field("", description="of the weights")
    group: str = Field(GROUP, description="Maven group and Java package of the Android library")
