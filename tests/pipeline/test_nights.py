"""`ledger.verdicts` over a ledger of made nights: what is printed, which series, and whether any got worse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.report import Report
from pipeline.nights import verdicts
from tests.device_agents.farm.ledger import made
from tests.device_agents.farm.sample import make_result

HOSTILE = "evil\x1b[31m\nname"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    return tmp_path


def night(number: int, ms: float, **fields: Any) -> Report:
    """One night's report of a steady device: the variant `trained`, and the canary model beside it."""
    report = made.report(purpose="nightly", canary_model=made.canary_model(), **fields)
    told = make_result("trained", ms, 0.93, processes=2, rounds=3, samples=20, noise=0.004, between=0.002, seed=number)
    report.results[0] |= {"blocks": told["blocks"], "loads": [], "peak_bytes": 1 << 22, "bundle": f"{int(ms):064x}"}
    report.started = f"2026-01-{number + 1:02d}T02:00:00Z"
    return report


def nights(times: Sequence[float], **fields: Any) -> list[Report]:
    return [night(number, ms, **fields) for number, ms in enumerate(times)]


def filed(state: Path, reports: Sequence[Report]) -> None:
    with Ledger.open(None, state) as ledger:
        ledger.append_all(reports)


def judged(everything: bool = False, as_json: bool = False, **chosen: str) -> bool:
    return verdicts(chosen.get("model"), chosen.get("target"), chosen.get("device"), everything, as_json)


def test_empty_ledger_has_nothing_to_judge(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not judged()
    out = capsys.readouterr().out
    assert out == f"  nothing to judge yet\n  0 series judged, of 0 in {state / 'ledger.sqlite'}\n"
    assert not judged(as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_steady_nights_are_the_same_and_shown_on_demand(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filed(state, nights([2.0] * 14))
    assert not judged()
    assert "all of them are the same as ever" in capsys.readouterr().out
    assert not judged(everything=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "variant", "target", "device", "metric", "nights", "verdict"]
    assert ["resnet20", "trained", "raspberry-pi", "kitchen-pi", "latency", "14", "same"] in [r.split() for r in lines]


def test_slower_nights_come_first_with_the_reason_and_are_worse(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filed(state, [*nights([2.0] * 14 + [3.0] * 2), *nights([2.0] * 16, model="another")])
    assert judged()
    _, first, *rest = capsys.readouterr().out.splitlines()
    assert first.split()[:1] + first.split()[-3:] == ["resnet20", "latency", "16", "slower"]
    assert any(line.startswith("  trained on kitchen-pi, latency: ") for line in rest)
    assert not any("another" in line for line in rest)
    assert not judged(model="another")
    assert not judged(device="elsewhere")
    assert judged(model="resnet20", target="raspberry-pi", device="kitchen-pi")


def test_json_has_every_chosen_series(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filed(state, nights([2.0] * 14 + [3.0] * 2))
    assert judged(as_json=True)
    told = {one["metric"]: one for one in json.loads(capsys.readouterr().out)}
    assert told["latency"]["verdict"] == "slower" and told["latency"]["worse"]
    assert told["accuracy"]["verdict"] == "same"


def test_comparisons_stand_ins_and_invalid_nights_change_nothing(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steady = nights([2.0] * 14)
    odd = nights([9.0] * 12)
    for place, report in enumerate(odd):
        if place % 3 == 0:
            report.purpose = "compare" if place % 2 else "bisect"
        elif place % 3 == 1:
            report.device = report.device | {"stand_in": True}
        else:
            report.valid = False
    filed(state, [*steady, *odd])
    assert not judged()
    assert "the same as ever" in capsys.readouterr().out


def test_hostile_names_print_no_escape_code(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = nights([2.0] * 14 + [3.0] * 2, model=HOSTILE, target=HOSTILE)
    for place, report in enumerate(reports):
        report.results[0]["name"] = HOSTILE
        report.device = report.device | {"name": HOSTILE}
        report.results[0]["runtime"] = {"name": HOSTILE, "version": HOSTILE * (1 + place // 14), "numpy": None}
    filed(state, reports)
    assert judged(everything=True)
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n")), out
    assert "evil?[31m name" in out
