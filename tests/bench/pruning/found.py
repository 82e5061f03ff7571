"""What claims are judged by: the figures of their cells, seed by seed, and the speeds of one session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device_agents.farm.paired import Latency, Ratio
from tests.bench.pruning.cells import Cell
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.speed import Speeds

TEXT = "minilm-sentiment"
"""Too large to be timed beside the others: 90 MB a file."""


@dataclass(frozen=True)
class Found:
    """figures: by a cell's key."""

    figures: Mapping[str, Mapping[str, Any]]
    speeds: Speeds

    def of(self, cell: Cell) -> Mapping[str, Any]:
        return self.figures[cell.key]

    def values(self, cells: Sequence[Cell], name: str) -> list[float]:
        """One figure of several cells (the seeds)."""
        return [self.of(cell)[name] for cell in cells]

    def ratio(self, base: Cell, other: Cell) -> Ratio | None:
        """How much faster `other` runs than `base`."""
        return self.speeds.ratio(base.key, other.key)

    def latency(self, cell: Cell) -> Latency | None:
        return self.speeds.latency(cell.key)


def base(setting: Setting, model: str = "resnet8") -> Cell:
    """The trained network that others are compared with."""
    return Cell("base", {"model": model, "test": setting.test, "onnx": model != TEXT})


def pruned(
    setting: Setting,
    seed: int,
    cut: tuple[str, float],
    criterion: str,
    *,
    by: str = "ours",
    model: str = "resnet8",
    rounds: tuple[int, ...] | None = None,
    taught: bool = False,
    skip: tuple[str, ...] = (),
    ranking: str = "local",
) -> Cell:
    """A network cut and fine-tuned. The file is left for the first seed of what is timed, one-shot and untaught."""
    epochs = (setting.epochs,) if rounds is None else rounds
    timed = seed == setting.seeds[0] and epochs == (setting.epochs,) and not taught
    timed = timed and cut[0] in ("macs", "params") and criterion in ("l1", "l2", "taylor")
    timed = timed or (cut[0] == "heads" and seed == setting.seeds[0] and criterion == "taylor-gate" and model != TEXT)
    return Cell(
        "pruned",
        {
            "model": model, "by": by, "criterion": criterion, "ranking": ranking, "cut": dict([cut]),
            "evidence": setting.evidence, "skip": list(skip), "rounds": list(epochs), "taught": taught,
            "train": setting.train, "validation": setting.validation, "test": setting.test, "seed": seed, "onnx": timed,
        },
        weight=0.5 + sum(epochs) / max(1, setting.epochs) * (2.0 if model != "resnet8" else 1.0),
    )  # fmt: skip


def seeds(setting: Setting, make: Callable[[int], Cell]) -> list[Cell]:
    """The same cell for every seed."""
    return [make(seed) for seed in setting.seeds]
