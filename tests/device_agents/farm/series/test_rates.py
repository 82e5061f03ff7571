"""Error rates, by the simulation behind `python -m tests.bench.verdicts.series`: few false alarms, steps seen soon."""

from __future__ import annotations

import pytest

from tests.bench.verdicts.series import KINDS, main, simulate, together


def test_white_nights_raise_few_false_alarms_and_a_step_is_seen_within_three() -> None:
    assert simulate("white 1 %", 30, 0.0, 7).alarms <= 3
    found = simulate("white 1 %", 30, 0.05, 7).to_json()
    assert found["within_3"] >= 0.95
    assert found["never"] == 0


def test_a_canary_takes_the_blame_off_the_model_where_the_device_drifts() -> None:
    without, beside = simulate("season", 10, 0.0, 7), simulate("season", 10, 0.0, 7, canary=True)
    assert without.alarms > 5 and without.device == 0
    assert beside.alarms <= without.alarms / 5
    assert beside.device > 0


def test_a_step_in_a_drift_is_seen_with_a_canary() -> None:
    assert simulate("season", 15, 0.05, 7, canary=True).to_json()["never"] == 0


def test_simulation_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    once, twice, other = (simulate("white 2 %", 5, 0.05, seed).delays for seed in (1, 1, 2))
    assert once == twice != other


@pytest.mark.slow
def test_correction_lowers_the_false_alarms_of_many_series() -> None:
    found = together(128, 5)
    assert found["together"] < found["alone"]


@pytest.mark.slow
def test_the_quick_run_prints_every_kind_of_noise(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in printed[2 : 2 + 2 * len(KINDS)]] == [
        kind for kind in KINDS for _ in range(2)
    ]
    assert printed[-1].startswith("Quick:")
