"""Blame: the canary is asked first, then what changed on that night."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from device_agents.farm.series import ChangePoint, Settings, judge
from device_agents.farm.series.blame import INGREDIENTS, canary_says, causes
from device_agents.farm.series.lane import Step
from device_agents.farm.series.nights import nights
from tests.device_agents.farm.series.nightly import levels, series

STEP = 60
BUNDLE = {"bundle": "0f12" * 8}
STILL = levels(70, 0, seed="canary", sd=0.005)
ALONG = levels(STEP, 10, 1.08, seed="canary", sd=0.005)


def _change(
    environment: Mapping[int, Mapping[str, str]],
    canary: list[float] | None,
    step: float = 1.08,
    agent_canary: list[float] | None = None,
) -> tuple[ChangePoint, str]:
    given = series(levels(STEP, 7, step), canary=canary, agent_canary=agent_canary, environment=environment)
    (verdict,) = judge([given])
    (change,) = verdict.changes
    assert change.seq == STEP
    return change, verdict.reason


def test_every_ingredient_is_named_as_the_ledger_names_it() -> None:
    from device_agents.farm.ledger.history import ENVIRONMENT

    assert {name for names in INGREDIENTS.values() for name in names} <= set(ENVIRONMENT)


def _blamed(change: ChangePoint) -> list[str]:
    return [cause.what for cause in change.causes]


@pytest.mark.parametrize("canary", [STILL, None])
@pytest.mark.parametrize(
    ("changed", "blamed"),
    [
        (BUNDLE, "model"),
        ({"runtime_version": "2.4"}, "runtime"),
        ({"numpy": "2.3"}, "unknown"),
        ({"kernel": "6.2"}, "kernel"),
        ({"agent_version": "2"}, "agent"),
        ({"identity": "bb"}, "device"),
        ({}, "unknown"),
    ],
)
def test_what_changed_on_the_night_is_blamed(
    changed: Mapping[str, str], blamed: str, canary: list[float] | None
) -> None:
    # numpy wasn't recorded before: what isn't known to be another is no change.
    assert _blamed(_change({STEP: changed}, canary)[0]) == [blamed]


def test_a_canary_that_stood_still_clears_the_device() -> None:
    change, reason = _change({STEP: BUNDLE}, STILL)
    assert "since report-60, the device was fine: the model changed (bundle 7abb7abb > 0f120f12)" in reason
    assert change.canary is not None and change.canary.low < 1 < change.canary.high
    assert change.net is not None and change.net.low < 1.08 < change.net.high


def test_a_canary_that_moved_along_blames_the_device_and_not_the_model() -> None:
    change, reason = _change({STEP: BUNDLE}, ALONG)
    assert _blamed(change) == ["device"]
    assert "the device changed (the canary moved along) (net of the canary 0.9" in reason or "canary 1.0" in reason
    assert change.net is not None and change.net.low < 1 < change.net.high


@pytest.mark.parametrize(
    ("changed", "blamed"),
    [
        ({"runtime_version": "2.4"}, ["runtime"]),
        ({"kernel": "6.2"}, ["kernel"]),
        ({"identity": "bb", "kernel": "6.2"}, ["device", "kernel"]),
    ],
)
def test_a_canary_that_moved_along_blames_what_acts_on_everything(
    changed: Mapping[str, str], blamed: list[str]
) -> None:
    assert _blamed(_change({STEP: {**BUNDLE, **changed}}, ALONG)[0]) == blamed


def test_what_the_canary_does_not_explain_is_the_models() -> None:
    mostly_device = _change({STEP: BUNDLE}, levels(STEP, 10, 1.15, seed="c", sd=0.005), step=1.25)[0]
    assert _blamed(mostly_device) == ["device", "model"]
    assert mostly_device.net is not None and mostly_device.net.value == pytest.approx(1.25 / 1.15, abs=0.02)
    mostly_model = _change({STEP: BUNDLE}, levels(STEP, 10, 1.05, seed="c", sd=0.005), step=1.25)[0]
    assert _blamed(mostly_model) == ["model", "device"]


def test_the_agents_canary_is_asked_where_no_canary_model_ran() -> None:
    assert _blamed(_change({STEP: BUNDLE}, None, agent_canary=ALONG)[0]) == ["device"]
    assert _blamed(_change({STEP: BUNDLE}, None, agent_canary=STILL)[0]) == ["model"]


def test_several_ingredients_are_all_named_the_likeliest_first() -> None:
    changed = {"runtime_version": "2.4", "agent_version": "2", "identity": "bb", **BUNDLE}
    assert _blamed(_change({STEP: changed}, STILL)[0]) == ["model", "runtime", "agent", "device"]
    assert _blamed(_change({STEP: changed}, None)[0]) == ["device", "model", "runtime", "agent"]


def test_what_changed_a_night_off_comes_last() -> None:
    change, _ = _change({STEP: {"kernel": "6.2"}, STEP - 1: BUNDLE}, STILL)
    assert _blamed(change) == ["kernel", "model"]
    assert change.causes[1].how == "bundle 7abb7abb > 0f120f12, a night off"


def test_what_changed_long_ago_is_not_blamed() -> None:
    assert _blamed(_change({STEP - 10: BUNDLE}, STILL)[0]) == ["unknown"]


def test_the_canary_says_nothing_of_memory() -> None:
    values = [5e6] * STEP + [5.5e6] * 3
    given = series(values, "memory", canary=ALONG, agent_canary=ALONG, environment={STEP: BUNDLE})
    (verdict,) = judge([given])
    assert [verdict] == judge([series(values, "memory", environment={STEP: BUNDLE})])
    (change,) = verdict.changes
    assert (_blamed(change), change.canary, change.net) == (["model"], None, None)


def _step(size: float, error: float = 0.002) -> Step:
    return Step(STEP, size, error, 40.0)


@pytest.mark.parametrize(
    ("canary", "net", "says"),
    [
        (None, None, "nothing"),
        (_step(0.001), _step(0.079), "still"),
        (_step(0.079), _step(0.001), "moved"),
        (_step(-0.079), _step(0.159), "nothing"),
        (_step(0.005), _step(0.075), "still"),
        # Unsure of itself, but what it leaves is no step any more.
        (_step(0.06, 0.04), _step(0.02, 0.04), "moved"),
        (_step(0.06, 0.04), _step(0.02, 0.002), "nothing"),
        (_step(0.03, 0.04), _step(0.05, 0.04), "nothing"),
    ],
)
def test_what_the_canary_says(canary: Step | None, net: Step | None, says: str) -> None:
    assert canary_says(0.08, canary, net, Settings()) == says


@pytest.mark.parametrize(
    ("net", "blamed"),
    [
        (_step(0.03), ["device", "model"]),
        (_step(0.03, 0.03), ["device"]),
        (_step(0.015), ["device"]),
        (_step(-0.03), ["device"]),
    ],
)
def test_the_model_is_blamed_for_a_rest_that_is_a_step_itself(net: Step, blamed: list[str]) -> None:
    found, _ = nights(series([1e6] * 70, environment={STEP: BUNDLE}), "latency")
    assert [cause.what for cause in causes(found, STEP, 0.08, _step(0.05), net, Settings())] == blamed
