"""How large the bench is: the full one of any shipped model, and the quick one that CI runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.measuring import Protocol

Tool = Literal["torch-pruning", "masks"]
Ranking = Literal["local", "global"]

TRANSFORMERS = ("minilm-sentiment", "vit-tiny")
"""Models that a user of onnxruntime would also try dynamic INT8 on, as its documentation says for transformers."""
HEADLINE = 1.0
"""Points that the headline row may lose: the only floor of which more than one seed is searched."""


@dataclass(frozen=True)
class Cut:
    """A network as a peer makes it. share: of the MACs (Torch-Pruning) or of the weights (masks) that goes.

    taught: fine-tuned under our distillation, which no peer brings: a control, no peer.
    """

    tool: Tool
    criterion: str
    ranking: Ranking
    share: float
    taught: bool = False


@dataclass(frozen=True)
class Setting:
    """Everything that decides which rows there are.

    floors: points that ours may lose, each searched for; seeds: of the headline floor's search, the first one of all
    else; budget: of each search, as `./inv shrink` takes it; target: that it is searched for; epochs: of every peer's
    fine-tuning, None for as many as the search gives its best candidates; cuts: peers' networks; train, calibration,
    test: samples from the front of the parts, None for all; evidence: samples that Taylor's criterion sees; litert:
    also FP32 in LiteRT, which the quick run leaves out; max_kb: of the file that the headline floor is searched for
    once more, in kB, for who wants it small first; None: what is found for speed has to do.
    """

    name: str
    model: str
    floors: tuple[float, ...]
    seeds: tuple[int, ...]
    budget: str
    cuts: tuple[Cut, ...]
    protocol: Protocol
    target: str = "host"
    epochs: int | None = None
    train: int | None = None
    calibration: int = 512
    test: int | None = None
    evidence: int = 2_048
    litert: bool = True
    max_kb: float | None = None


_CUTS = (
    Cut("torch-pruning", "l1", "local", 0.5),
    Cut("torch-pruning", "taylor", "global", 0.5),
    Cut("torch-pruning", "l1", "local", 0.75),
    Cut("torch-pruning", "l1", "local", 0.75, taught=True),
    Cut("masks", "l1", "global", 0.9),
)


def full(model: str = "resnet20") -> Setting:
    """The long run: hours. MiniLM, an epoch of which takes minutes, is searched for at the two points that its aims
    allow too, and has one cut network of a peer's; the control, peers' networks under our distillation, is the
    headline's."""
    text = model == "minilm-sentiment"
    floors = (0.5, 1.0, 2.0, 3.0) if text else (0.5, 1.0, 3.0)
    seeds = (0, 1, 2) if model == "resnet20" else (0,)
    cuts = _CUTS[:1] if text else tuple(cut for cut in _CUTS if model == "resnet20" or not cut.taught)
    protocol = Protocol(processes=6, blocks=10, memory_passes=1)
    max_kb = 58.0 if model == "resnet20" else None  # a twentieth of its FP32 file
    return Setting("full", model, floors, seeds, "30m", cuts, protocol, max_kb=max_kb)


def quick(model: str = "digits") -> Setting:
    """Every kind of row, none of them for its figures: two minutes."""
    return Setting(
        "quick",
        model,
        floors=(HEADLINE,),
        seeds=(0,),
        budget="15s",
        cuts=(_CUTS[1], _CUTS[4]),
        protocol=Protocol(
            processes=2, blocks=2, block_seconds=0.02, warmup_seconds=0.02, memory_passes=1, refuse=False
        ),
        epochs=1,
        calibration=32,
        test=200,
        evidence=256,
        litert=False,
    )
