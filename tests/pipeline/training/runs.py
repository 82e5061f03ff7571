"""A small network, samples and runs that several tests train."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from edgewright.progress import Silent
from models.data.parts import Part
from pipeline.training import Run, Schedule, cross_entropy

SCHEDULE = Schedule(epochs=4, batch=16, threads=1, augment=["flip"])
STEPS = 5  # 80 samples in batches of 16


def small(seed: int = 3) -> nn.Module:
    """Convolution, batch norm and dropout: all that carries state or draws at random."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(512, 4)
    )


def samples(count: int = 80) -> Part:
    random = np.random.default_rng(5)
    return Part(random.standard_normal((count, 1, 8, 8)).astype(np.float32), random.integers(0, 4, count))


def run_of(schedule: Schedule = SCHEDULE, loss: Callable[[Tensor, Tensor], Tensor] | None = None, seed: int = 7) -> Run:
    return Run(small(), samples(), schedule, seed, loss or cross_entropy(schedule.label_smoothing), "train")


class Cut(Exception):
    pass


class CutsAfter(Silent):
    """Ends the run after so many steps, as Ctrl-C would."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.left -= int(amount)
        if amount and self.left <= 0:
            raise Cut


def killed_in_the_third_epoch(module: str, run: str) -> str:
    """A program that trains `run`, an expression with names of `module`, into argv[1] and kills itself midway."""
    return f"""
import os, signal, sys
from pathlib import Path
from edgewright.progress import Silent
from pipeline.training import train
from {module} import *
from tests.pipeline.training.runs import STEPS

class Kills(Silent):
    left = 2 * STEPS + 2  # in the middle of the third epoch
    def advance(self, amount=1.0, note=""):
        self.left -= amount
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

train({run}, Path(sys.argv[1]), Kills())
"""
