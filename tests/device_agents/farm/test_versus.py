"""Two results held against each other: each metric by its own measure, and what they come to together."""

from __future__ import annotations

import random
from typing import Any

import pytest

from device_agents.farm.paired import Ratio
from device_agents.farm.sequential import Looker
from device_agents.farm.versus import Line, compare_results, overall


def _result(ns: float = 1e6, accuracy: float | None = 0.9, **changes: Any) -> dict[str, Any]:
    dice = random.Random(ns)
    return {
        "name": "x",
        "blocks": [
            {"process": process, "round": turn, "batch": 1, "samples_ns": [ns * dice.uniform(0.999, 1.001)] * 3}
            for process in range(4)
            for turn in range(4)
        ],
        "loads": [{"process": process, "load_ns": 5e6 + process, "first_ns": 1} for process in range(4)],
        "peaks": [10_000_000, 10_004_096, 10_000_000],
        "energy": [],
        "accuracy": None if accuracy is None else {"name": "top-1", "value": accuracy, "n": 1000},
    } | changes


def _lines(a: dict[str, Any], b: dict[str, Any], sizes: tuple[int, int] = (1000, 1000)) -> dict[str, Line]:
    looker = Looker()
    looker.look([a, b])
    return {line.metric: line for line in compare_results(a, b, looker, sizes, idle_mw=500.0)}


def test_equal_results_are_the_same_in_all_that_is_known() -> None:
    lines = _lines(_result(), _result())
    judged = {metric: line.verdict for metric, line in lines.items()}
    assert judged == dict.fromkeys(("latency", "load time", "memory", "size", "accuracy"), "same") | {"energy": None}
    assert overall(list(lines.values())) == "same"
    assert lines["energy"].word == "not judged"
    assert lines["energy"].why


def test_slower_one_is_worse_by_how_much_with_its_interval() -> None:
    line = _lines(_result(1e6), _result(1.05e6))["latency"]
    assert (line.verdict, line.word) == ("worse", "slower")
    assert line.change == pytest.approx(0.05, abs=0.005)
    assert line.low is not None and line.change is not None and line.high is not None
    assert 0.03 < line.low < line.change < line.high < 0.07


def test_faster_one_is_better() -> None:
    lines = _lines(_result(1e6), _result(0.8e6))
    assert lines["latency"].word == "faster"
    assert overall(list(lines.values())) == "better"


def test_size_is_exact_but_for_some_bytes_of_metadata() -> None:
    found = {b: _lines(_result(), _result(), (1000, b))["size"].word for b in (1000, 1010, 1030, 970)}
    assert found == {1000: "same", 1010: "same", 1030: "larger", 970: "smaller"}


@pytest.mark.parametrize(("value", "word"), [(0.9, "same"), (0.899, "lower"), (0.901, "higher")])
def test_accuracy_is_exact(value: float, word: str) -> None:
    lines = _lines(_result(), _result(accuracy=value))
    assert lines["accuracy"].word == word
    assert overall(list(lines.values())) == {"same": "same", "lower": "worse", "higher": "better"}[word]


def test_memory_is_judged_by_every_pass() -> None:
    more = _result(peaks=[12_000_000, 12_001_000, 12_003_000])
    assert _lines(_result(), more)["memory"].word == "more"
    assert _lines(more, _result())["memory"].word == "less"
    noisy = _result(peaks=[9_000_000, 12_000_000, 11_000_000])
    assert _lines(_result(), noisy)["memory"].verdict == "undecided"


def test_energy_is_what_an_inference_takes_above_the_idle_board() -> None:
    def sections(mj: float) -> list[dict[str, Any]]:
        return [{"calls": 100, "energy": {"mj": 500.0 + mj + i, "seconds": 1.0, "samples": 20}} for i in range(3)]

    line = _lines(_result(energy=sections(100)), _result(energy=sections(200)))["energy"]
    assert line.word == "more"
    assert line.a == pytest.approx(1.01)


def test_metric_that_was_not_taken_is_named_with_the_reason() -> None:
    lines = _lines(_result(accuracy=None, peaks=[], loads=[]), _result())
    for metric in ("accuracy", "memory", "load time"):
        assert lines[metric].verdict is None
        assert lines[metric].why


def test_results_without_blocks_are_undecided() -> None:
    lines = _lines(_result(blocks=[]), _result(blocks=[]))
    assert lines["latency"].verdict is None
    assert overall(list(lines.values())) == "undecided"


def test_one_metric_that_is_worse_outweighs_the_better_ones() -> None:
    lines = _lines(_result(1e6), _result(0.5e6, accuracy=0.8), (1000, 100))
    assert overall(list(lines.values())) == "worse"


def test_json_has_every_field() -> None:
    looker = Looker(ratio=Ratio(1.0, 0.99, 1.01), comparison="same")
    told = [line.to_json() for line in compare_results(_result(), _result(), looker, (1, 1), None)]
    assert {"metric", "a", "b", "change", "low", "high", "verdict", "word", "why"} == set(told[0])
