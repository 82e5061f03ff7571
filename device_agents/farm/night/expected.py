"""How long a job will take: as long as it did in the newest night, else what its protocol comes to."""

from __future__ import annotations

from collections.abc import Iterable

from device_agents.farm.job import Job
from device_agents.farm.night.record import Night

PROCESS_S = 2.0
"""A fresh process on a device: Python, the runtime and the model loaded."""
SETUP_S = 15.0
"""Connecting, sending what is not there yet, and the pass for the accuracy."""

_Key = tuple[str, str, int]


class Expected:
    """By device, model and number of variants, the seconds of the newest job that was measured."""

    def __init__(self, nights: Iterable[Night]) -> None:
        """nights: oldest first."""
        self._seconds: dict[_Key, float] = {
            (job.device, job.model, len(job.variants)): job.seconds
            for night in nights
            for job in night.jobs
            if job.state == "measured" and job.seconds > 0  # one that was refused took no time
        }

    def seconds(self, device: str, model: str, variants: int) -> float:
        """What a job with so many variants will take there."""
        known = self._seconds.get((device, model, variants))
        return estimate_s(variants) if known is None else known


def estimate_s(variants: int) -> float:
    """By the fields of a job as they are if nothing else is asked; the canary model is one variant more."""
    default = {name: field.default for name, field in Job.model_fields.items()}
    timed = PROCESS_S + default["warmup_seconds"] + default["blocks"] * default["block_seconds"]
    passes = default["processes"] * timed + (default["memory_passes"] + 1) * PROCESS_S
    return SETUP_S + (variants + 1) * passes
