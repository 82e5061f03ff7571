"""Which failures are tried again, how long that is waited for, and which of them tell against a device."""

from __future__ import annotations

import pytest

from device_agents import errors
from device_agents.farm.ledger.errors import ReportNotKept
from device_agents.farm.night.retry import Retry

PASSES = [
    errors.LinkLost, errors.DeviceBusy, errors.DeviceUnreachable, errors.CommandTimedOut, errors.DeviceRestarted,
    errors.AgentLost, errors.PushFailed, errors.NotFetched,
]  # fmt: skip
STAYS = [
    errors.HostKeyChanged, errors.AuthenticationFailed, errors.NoRoom, errors.BundleError, errors.NoPython,
    errors.RuntimeUnavailable, errors.AgentFailed, ReportNotKept,
]  # fmt: skip


@pytest.mark.parametrize("kind", PASSES)
def test_what_passes_is_tried_again_with_growing_pauses_but_not_for_ever(kind: type[errors.DeviceError]) -> None:
    retry = Retry(seed=1)
    pauses: list[float] = []
    while (again := retry.after(kind("x"), "piece", len(pauses) + 1, len(pauses))) is not None:
        pauses.append(again.seconds)
        assert len(pauses) < 20
    assert pauses and all(pause > 0 for pause in pauses)
    assert len(pauses) == 1 or pauses[-1] > pauses[0]


@pytest.mark.parametrize("kind", STAYS)
def test_what_stays_is_not(kind: type[errors.DeviceError]) -> None:
    assert Retry().after(kind("x"), "piece", 1) is None


def test_device_s_trouble_is_waited_for_longer_whichever_piece_asks() -> None:
    pauses = [Retry().after(errors.DeviceUnreachable("x"), f"p{rests}", 1, rests) for rests in range(5)]
    seconds = [again.seconds for again in pauses if again is not None and again.rests]
    assert len(seconds) == 4 and 2 * seconds[0] < seconds[1] < seconds[-1]


def test_pauses_depend_on_seed_and_piece_alone() -> None:
    error = errors.LinkLost("x")
    assert Retry(1).after(error, "a", 1) == Retry(1).after(error, "a", 1)
    assert len({Retry(seed).after(error, piece, 1) for seed in (1, 2) for piece in "ab"}) == 4


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (errors.LinkLost("x"), True),
        (errors.DeviceUnreachable("x"), True),
        (errors.NoRoom("x"), True),
        (errors.DeviceBusy("x"), False),
        (errors.NotFetched("x"), False),
        (errors.BundleError("x"), False),
        (ReportNotKept("x"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_device_is_blamed_only_for_its_own(error: BaseException, counts: bool) -> None:
    assert Retry().counts(error) is counts
