"""Training, fine-tuning and learning from a teacher: one loop, resumed from its checkpoints bit for bit."""

from __future__ import annotations

from pipeline.training.floor import FloorOutOfReach
from pipeline.training.loop import Run, Teaching, TrainingFailed, TrainResult, cross_entropy, train
from pipeline.training.schedule import Schedule, one_cycle

__all__ = [
    "FloorOutOfReach",
    "Run",
    "Schedule",
    "Teaching",
    "TrainResult",
    "TrainingFailed",
    "cross_entropy",
    "one_cycle",
    "train",
]
