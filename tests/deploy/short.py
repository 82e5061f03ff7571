"""`./inv` with its waits cut short: `python -m tests.deploy.short --search-root ROOT nightly ...`.

What is measured, how often it is tried and what is done then stay as they are; only the seconds are fewer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial, partialmethod
from typing import Any
from unittest.mock import patch

from device_agents.connect import process
from device_agents.connect.base import Connection
from device_agents.connect.ssh import SshConnection
from device_agents.farm.job import Job
from device_agents.farm.night import retry
from edgewright import program
from pipeline import measuring, session
from pipeline.gate import measure as gate
from pipeline.measuring import Protocol
from pipeline.nightly import measuring as nights

SILENCE_S = 15.0
"""After which either end gives the other up: three of the agent's beats, so that a busy machine is not taken for it."""
STALL_S = 10.0
SHARE = 0.1
"""What is left of the pauses between attempts."""
SETTLE_S = 0.5
"""How long a device on which others work is waited for: here they always do."""


class Quick(Protocol):
    """A job of seconds, whose agent soon ends where it hears nobody."""

    def fields(self) -> dict[str, Any]:
        """As a job has them."""
        return super().fields() | {"silence_s": SILENCE_S}


PROTOCOL = Quick(processes=2, blocks=3, samples=5, block_seconds=0.05, warmup_seconds=0.05, memory_passes=1)
DEPLOY = {"processes": 1, "blocks": 3, "samples": 5, "block_seconds": 0.03, "warmup_seconds": 0.03}
GATE = replace(gate.PROTOCOL, blocks=3, samples=3, block_seconds=0.01, warmup_seconds=0.02)


@contextmanager
def shorter() -> Iterator[None]:
    """Any task: a deploy's job, what the gate asks, and the wait for a device that others use."""
    with (
        patch.object(session, "Job", partial(Job, settle_s=SETTLE_S, **DEPLOY)),
        patch.object(measuring, "Job", partial(Job, settle_s=SETTLE_S)),
        patch.object(gate, "PROTOCOL", GATE),
    ):
        yield


@contextmanager
def shorter_night() -> Iterator[None]:
    """Its jobs, and its patience with devices that don't answer."""
    patience = tuple(
        (kinds, replace(one, first_s=SHARE * one.first_s, longest_s=SHARE * one.longest_s))
        for kinds, one in retry.PATIENCE
    )
    with (
        patch.object(nights, "PROTOCOL", PROTOCOL),
        patch.object(retry, "PATIENCE", patience),
        patch.object(process, "_ANSWER_S", SILENCE_S),
        patch.object(Connection, "stream", partialmethod(Connection.stream, idle_timeout=SILENCE_S)),
        patch.object(SshConnection, "open", staticmethod(partial(SshConnection.open, stall_s=STALL_S))),
    ):
        yield


def main() -> None:
    """Runs what was typed; ends the process with its exit status."""
    with shorter(), shorter_night() if "nightly" in sys.argv else nullcontext():
        program.main()


if __name__ == "__main__":
    main()
