"""Which failures pass by themselves, how often a piece is tried again after one, and how long it waits until then.

The pauses grow exponentially, and each is cut by a random share of up to a half ("equal jitter", M. Brooker,
Exponential backoff and jitter, 2015), so that devices behind one switch that comes back are not all asked in the same
second. The share depends on the seed, the piece and the attempt alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from device_agents.errors import (
    AgentFailed,
    AgentGarbled,
    AgentLost,
    AuthenticationFailed,
    CommandTimedOut,
    DeviceBusy,
    DeviceFolderError,
    DeviceUnreachable,
    EndlessOutput,
    HostKeyChanged,
    LinkLost,
    NoPython,
    NoRoom,
    NotFetched,
    PushFailed,
    UnknownHostKey,
)


@dataclass(frozen=True)
class Patience:
    """How one kind of failure is borne. attempts: in all, the first included; first_s, factor, longest_s: the pauses.

    rests: nothing else is tried there meanwhile, since it would fail likewise; counts: whether it tells against the
    device, which is given up after a row of such.
    """

    attempts: int
    first_s: float
    factor: float
    longest_s: float
    rests: bool = False
    counts: bool = True


@dataclass(frozen=True)
class Again:
    """A piece is to be tried again, in so many seconds. rests: the whole device waits so long."""

    seconds: float
    rests: bool


PATIENCE: tuple[tuple[tuple[type[BaseException], ...], Patience], ...] = (
    # Another host's job, or a person's: minutes as a rule, and no fault of the device.
    ((DeviceBusy,), Patience(12, 30.0, 1.5, 300.0, rests=True, counts=False)),
    # Long enough for a board to start again.
    ((DeviceUnreachable,), Patience(5, 10.0, 3.0, 120.0, rests=True)),
    # AgentLost is also what a restart of the device is told by.
    ((LinkLost, AgentLost, CommandTimedOut, PushFailed), Patience(3, 5.0, 3.0, 60.0)),
    # A package index that is away: the device has nothing to do with it.
    ((NotFetched,), Patience(4, 20.0, 3.0, 300.0, counts=False)),
)
"""The first kind that fits counts. What is not here will not pass by itself: a wrong key, no room, a broken bundle."""

BLAMED = (
    AgentFailed,
    AgentGarbled,
    AuthenticationFailed,
    DeviceFolderError,
    EndlessOutput,
    HostKeyChanged,
    NoPython,
    NoRoom,
    UnknownHostKey,
)
"""What will not pass by itself and tells against the device; the rest may be the bundle's or this machine's fault."""


@dataclass(frozen=True)
class Retry:
    """What to do after a failure; `seed` fixes the pauses."""

    seed: int = 0

    def after(self, error: BaseException, piece: str, attempt: int, rests: int = 0) -> Again | None:
        """attempt: which one of the piece has failed, from 1; rests: how often in a row its device has rested by now.

        None where it is of no use to try again.
        """
        patience = patience_with(error)
        # What is the device's trouble passes, or doesn't, whichever piece happens to ask.
        tried = rests + 1 if patience is not None and patience.rests else attempt
        if patience is None or tried >= patience.attempts:
            return None
        pause = min(patience.first_s * patience.factor ** (tried - 1), patience.longest_s)
        share = random.Random(f"{self.seed} {piece} {tried}").uniform(0.5, 1.0)
        return Again(pause * share, patience.rests)

    def counts(self, error: BaseException) -> bool:
        """Whether a failure tells against the device."""
        patience = patience_with(error)
        return isinstance(error, BLAMED) if patience is None else patience.counts


def patience_with(error: BaseException) -> Patience | None:
    """None where the failure will not pass by itself."""
    return next((patience for kinds, patience in PATIENCE if isinstance(error, kinds)), None)
