"""A small residual network as the tests' space, and made prices and sensitivities for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.search.pricing import Pricing, Thumb, Way
from pipeline.search.rungs import Rungs
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space, find_space
from tests.pipeline.nets import make, pictures
from tests.pipeline.search import trainer
from tests.pipeline.search.trainer import Started, Trainer

WAYS = (
    Way("trained", "litert", "float32", 0.2, 160_000, 30_000),
    Way("int8", "litert", "int8", 0.08, 60_000, 30_000),
)


@pytest.fixture(scope="session")
def space() -> Space:
    """resnet8 of the tests: widths 16, 16, 32; one block can go."""
    torch.set_num_threads(1)
    return find_space(make("resnet"), (pictures(2),), alignment=8)


@pytest.fixture
def pricing(space: Space) -> Pricing:
    return Pricing(space, WAYS, {"litert": Thumb(space.left(Choice()), {"float32": 0.2, "int8": 0.08})})


@pytest.fixture(scope="session")
def felt(space: Space) -> Sensitivity:
    """Every group loses 1 point at half, 4 at a quarter of its width; each layer 3."""
    groups = {one.name: [(one.units, 0.0), (one.units // 2, 0.01), (one.units // 4, 0.04)] for one in space.groups}
    return Sensitivity(groups, dict.fromkeys(space.layers, 0.03))


@pytest.fixture
def started(space: Space, felt: Sensitivity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Rungs over a folder: started(folder name, seconds, **of the trainer)."""
    for module in ("rungs", "untrained"):
        monkeypatch.setattr(f"pipeline.search.{module}.trials", lambda budget_s: 60)

    def start(name: str, seconds: float, clock: list[float] | None = None, **told: Any) -> tuple[Rungs, Trainer]:
        pricing = Pricing(space, WAYS, {"litert": Thumb(space.left(Choice()), {"float32": 0.2, "int8": 0.08})})
        return trainer.started(tmp_path / name, space, pricing, felt, seconds, clock, **told)

    return start
