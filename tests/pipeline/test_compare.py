"""What `compare` makes of a report of two bundles: the lines that are printed, the JSON, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle, write_bundle
from device_agents.farm.inventory import stand_in
from device_agents.farm.report import Report
from device_agents.farm.sequential import Rule
from edgewright.errors import BadArgument
from pipeline import compare as comparing
from pipeline.bundles import NothingAccepted
from pipeline.compare import Compared, compare_bundles, text
from pipeline.measuring import Bench, Protocol
from tests.device_agents.farm.ledger import made
from tests.device_agents.farm.sample import make_result
from tests.device_agents.tiny import tiny_bundle

HOSTILE = "evil\x1b[31m\nname"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Bundle, Bundle]:
    """Bundles of one size: theirs is no difference that a test doesn't make."""
    one = tiny_bundle(tmp_path / "one")
    manifest = one.manifest.model_copy(update={"name": HOSTILE, "model": one.manifest.model})
    return one, write_bundle(tmp_path / "other", one.model_file, manifest)


def result(name: str, ms: float | None, accuracy: float | None = 0.9, **how: Any) -> dict[str, Any]:
    """A result with three memory passes, whose load times are all equal."""
    told = make_result(name, ms, accuracy, **{"processes": 6, "samples": 20, "noise": 0.001, "between": 0.001} | how)
    told["loads"] = [{"process": p, "load_ns": 10**7, "first_ns": 10**6} for p in range(6)] if ms else []
    return told | {"peaks": [10**7, 10**7 + 1, 10**7] if ms else []}


class _Bench(Bench):
    """Brings a made report back instead of measuring."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.entry = stand_in("host")

    def run(
        self, named: Sequence[tuple[str, Bundle]], protocol: Protocol, more: Any = None, heard: Any = None
    ) -> Report:
        assert [name for name, _ in named] == ["A", "B"]
        assert protocol.ask
        return self.report


def compared(pair: tuple[Bundle, Bundle], a: dict[str, Any], b: dict[str, Any], **fields: Any) -> Compared:
    report = made.report(**{"results": [a, b], "canary_model": made.canary_model(), "warnings": [], **fields})
    return compare_bundles(_Bench(report), *pair, Rule())


def rows(found: Compared) -> dict[str, str]:
    """The lines by how they begin: a metric, `device`, `report`."""
    return {line.strip().partition("  ")[0]: line for line in text(found)}


def test_equal_bundles_are_the_same_in_all_that_was_measured(pair: tuple[Bundle, Bundle]) -> None:
    found = compared(pair, result("A", 1.0), result("B", 1.0))
    assert found.verdict == "same"
    told = rows(found)
    for metric in ("latency", "load time", "memory", "size", "accuracy"):
        assert told[metric].endswith("same"), told[metric]
    assert "no power sensor tells it" in told["energy"]
    assert "equal" in told["size"] and "equal" in told["accuracy"]
    assert "fine, canary model 1" in told["device"] and "6 process pairs, 1 looks" in told["device"]
    assert text(found)[-1] == "  verdict  B is the same"


def test_slower_bundle_is_worse_with_the_interval_that_says_so(pair: tuple[Bundle, Bundle]) -> None:
    found = compared(pair, result("A", 1.0), result("B", 1.3, 0.88))
    assert found.verdict == "worse"
    told = rows(found)
    assert told["latency"].endswith("slower") and "+30" in told["latency"] and "[+" in told["latency"]
    assert told["accuracy"].endswith("lower") and "-2.00 points" in told["accuracy"]
    assert text(found)[-1] == "  verdict  B is worse: latency, accuracy"
    assert compared(pair, result("A", 1.3), result("B", 1.0)).verdict == "better"


def test_noise_that_hides_the_answer_is_undecided(pair: tuple[Bundle, Bundle]) -> None:
    loud = {"noise": 0.2, "between": 0.2, "processes": 4}
    found = compared(pair, result("A", 1.0, **loud), result("B", 1.05, **loud))
    assert found.verdict == "undecided"
    assert rows(found)["latency"].endswith("undecided")
    assert text(found)[-1] == "  verdict  B is undecided"


def test_invalid_report_gives_no_verdict_whatever_its_figures_say(pair: tuple[Bundle, Bundle]) -> None:
    found = compared(pair, result("A", 1.0), result("B", 1.3), valid=False, problems=[f"hot {HOSTILE}"])
    assert found.verdict is None
    lines = text(found)
    assert "  INVALID: these figures can't be trusted: hot evil?[31m name" in lines
    assert "not fit to measure" in rows(found)["device"]
    assert not any(line.startswith("  verdict") for line in lines)
    assert found.to_json()["verdict"] is None


def test_refused_job_says_of_every_metric_that_it_is_not_known(pair: tuple[Bundle, Bundle]) -> None:
    found = compared(
        pair, result("A", None, None), result("B", None, None), valid=False, problems=["refused"], canary_model=None
    )
    told = rows(found)
    for metric, why in (
        ("latency", "too few blocks"),
        ("load time", "it isn't told"),
        ("memory", "it isn't told"),
        ("energy", "no power sensor"),
        ("accuracy", "no labelled samples"),
    ):
        assert why in told[metric] and told[metric].split().count("-") == 2, told[metric]
    assert "0 process pairs" in told["device"]


def test_energy_is_judged_where_a_sensor_tells_it(pair: tuple[Bundle, Bundle]) -> None:
    def powered(name: str, mj: float) -> dict[str, Any]:
        sections = [{"calls": 10, "energy": {"mj": mj + turn, "seconds": 1.0, "samples": 9}} for turn in range(6)]
        return result(name, 1.0) | {"energy": sections}

    found = compared(pair, powered("A", 1000), powered("B", 1500), idle_mw=100.0)
    assert rows(found)["energy"].endswith("more")
    assert found.verdict == "worse"


def test_names_problems_and_metrics_print_no_escape_code(pair: tuple[Bundle, Bundle], root: Path) -> None:
    a, b = result("A", 1.0), result("B", 1.0)
    for one in (a, b):
        one["accuracy"]["name"] = HOSTILE
    found = compared(pair, a, b, warnings=[HOSTILE])
    from device_agents.farm.inventory import stand_in
    from pipeline.project import Project
    from targets.schema import read_target

    bench = Bench(Project.here(), stand_in("host"), read_target("host", root))
    lines = [*text(found), *comparing._heads(*pair, bench)]
    assert all(line.isprintable() for line in lines), lines
    assert "  warning: evil?[31m name" in lines


def test_blocks_done_again_and_the_worst_canary_are_told(pair: tuple[Bundle, Bundle]) -> None:
    a, b = result("A", 1.0), result("B", 1.0)
    a["blocks"][0]["canary_ratio"] = 1.04
    b["redone"] = [made.block(9.0, canary_ratio=1.9)]
    device = rows(compared(pair, a, b))["device"]
    assert "canary up to 1.04x" in device and "1 blocks done again" in device


def test_json_has_both_bundles_every_metric_and_the_rule(pair: tuple[Bundle, Bundle]) -> None:
    found = compared(pair, result("A", 1.0), result("B", 1.3))
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (told["schema"], told["a"], told["b"]) == ("edgewright-comparison/1", pair[0].digest, pair[1].digest)
    assert set(told["metrics"]) == {"latency", "load time", "memory", "energy", "size", "accuracy"}
    latency = told["metrics"]["latency"]
    assert latency["low"] <= latency["change"] <= latency["high"]
    assert (latency["word"], latency["verdict"], told["verdict"]) == ("slower", "worse", "worse")
    assert told["metrics"]["energy"]["word"] == "not judged"
    assert told["rule"]["budget_s"] == 60.0 and 0.98 < told["rule"]["confidence"] < 1
    assert (told["valid"], told["report"], told["pairs"]) == (True, found.report.id, 6)


@pytest.mark.parametrize("budget", [0.0, -1.0, 1e6, float("nan")])
def test_budget_that_means_nothing_is_refused(budget: float) -> None:
    with pytest.raises(BadArgument, match="is no budget"):
        comparing.compare("aaaaaa", "bbbbbb", None, None, budget, False, None)


def test_bundles_of_two_models_and_nothing_accepted_are_refused(pair: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "third", pair[0].model_file, pair[0].manifest.model_copy(update={"model": "small"}))
    with pytest.raises(BadArgument, match="They are of different models: tiny and small"):
        comparing.compare(str(pair[0].folder), str(other.folder), None, None, 60.0, False, None)
    with pytest.raises(NothingAccepted, match="was accepted yet"):
        comparing.compare("accepted", str(other.folder), None, None, 60.0, False, None)
