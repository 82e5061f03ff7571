"""Every rule of the judge, each with the figures that call for it and with those that just do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from device_agents.farm.verdict import Candidate, Judgement, Latency, Limits, Metric, Ratio, Sparsity, judge
from tests.device_agents.farm.sample import make_outcome, make_report

FLOOR = 0.90


def _ratio(value: float, spread: float = 0.01) -> Ratio:
    return Ratio(value, value * (1 - spread), value * (1 + spread))


def _candidate(name: str, speed: float = 1.0, *, of_parent: float | None = None, **more: Any) -> Candidate:
    defaults: dict[str, Any] = {
        "parent": "trained",
        "precision": "float32",
        "bytes": 50_000,
        "macs": 1_000_000,
        "metric": Metric("top-1", 0.92),
        "latency": Latency(0.2 / speed, 0.22 / speed, 0.3 / speed, 900),
        "speedup": _ratio(speed),
        "speedup_parent": _ratio(of_parent if of_parent is not None else speed),
    }
    return Candidate(name, **{**defaults, **more})


BASE = _candidate("trained", parent=None, bytes=100_000, speedup=None, speedup_parent=None)


def _judge(*others: Candidate, base: Candidate = BASE, **limits: Any) -> tuple[dict[str, Judgement], str | None]:
    judged, shipped = judge([base, *others], Limits(**limits), FLOOR)
    assert [j.name for j in judged] == [base.name, *(c.name for c in others)]
    assert all(j.reason and "\n" not in j.reason for j in judged)
    assert [j.name for j in judged if j.verdict.endswith(": shipped")] == ([shipped] if shipped else [])
    return {j.name: j for j in judged}, shipped


def test_judge_ships_the_fastest_that_pays() -> None:
    judged, shipped = _judge(_candidate("quick", 1.5), _candidate("quicker", 2.0))
    assert shipped == "quicker"
    assert judged["quicker"].verdict == "pays: shipped"
    assert "2.00x [1.98 2.02] against trained" in judged["quicker"].reason
    assert (judged["quick"].verdict, judged["trained"].verdict) == ("pays", "the base")


def test_judge_ships_the_smaller_file_where_two_cannot_be_told_apart() -> None:
    fat = _candidate("fat", 2.01, bytes=60_000)
    slim = _candidate("slim", 2.0, bytes=30_000)
    judged, shipped = _judge(fat, slim)
    assert shipped == "slim"
    assert "not told apart from fat" in judged["slim"].reason


def test_judge_believes_a_direct_comparison_over_overlapping_intervals() -> None:
    fat, slim = _candidate("fat", 2.01, bytes=60_000), _candidate("slim", 2.0, bytes=30_000)
    asked = []

    def between(one: str, other: str) -> Ratio:
        asked.append((one, other))
        return _ratio(0.95, 0.005)

    _, shipped = judge([BASE, fat, slim], Limits(), FLOOR, between)
    assert (shipped, asked) == ("fat", [("fat", "slim")])


def test_judge_ships_the_base_where_nothing_pays() -> None:
    judged, shipped = _judge(_candidate("slow", 0.8))
    assert shipped == "trained"
    assert judged["trained"].verdict == "the base: shipped"
    assert judged["slow"].verdict == "does not pay"
    assert "0.80x" in judged["slow"].reason


def test_judge_does_not_let_an_undecided_variant_pay() -> None:
    judged, shipped = _judge(_candidate("noisy", 1.05, speedup=Ratio(1.05, 0.95, 1.15)))
    assert shipped == "trained"
    assert judged["noisy"].verdict == "does not pay"
    assert "not shown to be faster" in judged["noisy"].reason


@pytest.mark.parametrize(("low", "verdict"), [(1.021, "pays: shipped"), (1.02, "does not pay")])
def test_judge_takes_the_interval_and_not_the_estimate(low: float, verdict: str) -> None:
    judged, _ = _judge(_candidate("edge", 1.2, speedup=Ratio(1.2, low, 1.4)))
    assert judged["edge"].verdict == verdict


def test_judge_ships_the_same_speed_and_smaller_only_where_nothing_is_faster() -> None:
    light = _candidate("light", 1.0, bytes=40_000)
    judged, shipped = _judge(light)
    assert (shipped, judged["light"].verdict) == ("light", "pays in size only: shipped")
    assert "2.5x smaller" in judged["light"].reason
    judged, shipped = _judge(light, _candidate("quick", 1.5))
    assert (shipped, judged["light"].verdict) == ("quick", "pays in size only")


def test_judge_lets_the_same_speed_and_size_not_pay() -> None:
    judged, shipped = _judge(_candidate("twin", 1.0, bytes=100_000))
    assert (shipped, judged["twin"].verdict) == ("trained", "does not pay")
    assert "no faster" in judged["twin"].reason


def test_judge_rejects_a_failed_variant_and_one_without_samples() -> None:
    failed = _candidate("failed", 3.0, error="killed:\nover the memory limit", latency=None, speedup=None)
    silent = _candidate("silent", 3.0, latency=None, speedup=None)
    judged, shipped = _judge(failed, silent)
    assert shipped == "trained"
    assert judged["failed"] == Judgement("failed", "failed", "it failed: killed: over the memory limit")
    assert judged["silent"].verdict == "failed"


@pytest.mark.parametrize("value", [0.8999, float("nan")])
def test_judge_rejects_what_is_below_the_floor(value: float) -> None:
    judged, shipped = _judge(_candidate("poor", 3.0, metric=Metric("top-1", value)))
    assert (shipped, judged["poor"].verdict) == ("trained", "below the floor")
    assert "90.0 %" in judged["poor"].reason


def test_judge_accepts_what_is_exactly_on_the_floor() -> None:
    assert _judge(_candidate("edge", 3.0, metric=Metric("top-1", FLOOR)))[1] == "edge"


def test_judge_rejects_what_has_no_metric_where_there_is_a_floor() -> None:
    blind = _candidate("blind", 3.0, metric=None)
    assert _judge(blind)[0]["blind"].verdict == "failed"
    assert judge([BASE, blind], Limits(), None)[1] == "blind"


@pytest.mark.parametrize(
    ("limits", "over", "said"),
    [
        ({"latency_ms": 0.1}, {"latency": Latency(0.1001, 0.2, 0.3, 9)}, "p50 is 0.100 ms, the limit 0.100 ms"),
        ({"memory_bytes": 1 << 20}, {"peak_bytes": 3 << 20}, "peak memory is 3 MiB, the limit 1 MiB"),
        ({"size_bytes": 49_999}, {}, "the file is 48.8 KiB"),
        ({"metric_drop": 0.004}, {"metric": Metric("top-1", 0.915)}, "top-1 lost 0.5 points, the limit is 0.4 points"),
    ],
    ids=["latency", "memory", "size", "drop"],
)
def test_judge_rejects_what_is_over_a_limit(limits: dict[str, Any], over: dict[str, Any], said: str) -> None:
    fine = replace(BASE, bytes=10, latency=Latency(0.01, 0.01, 0.01, 9))
    judged, shipped = _judge(_candidate("over", 3.0, **over), base=fine, **limits)
    assert (shipped, judged["over"].verdict) == ("trained", "over the limit")
    assert said in judged["over"].reason


def test_judge_ships_the_fastest_that_fits_where_the_base_does_not() -> None:
    small = _candidate("small", 0.7, bytes=20_000)
    smaller = _candidate("smaller", 0.5, bytes=10_000)
    judged, shipped = _judge(small, smaller, size_bytes=60_000)
    assert shipped == "small"
    assert judged["small"].verdict == "holds the limits: shipped"
    assert judged["trained"].verdict == "over the limit"


def test_judge_ships_nothing_where_nothing_holds_the_floor() -> None:
    poor = Metric("top-1", 0.5)
    judged, shipped = _judge(_candidate("poor", 2.0, metric=poor), base=replace(BASE, metric=poor))
    assert shipped is None
    assert {j.verdict for j in judged.values()} == {"below the floor"}


def test_judge_names_int8_that_is_slower_than_its_float_parent() -> None:
    pruned = _candidate("pruned", 2.0)
    int8 = _candidate("pruned + int8", 1.24, of_parent=0.62, parent="pruned", precision="int8", bytes=20_000)
    judged, shipped = _judge(pruned, int8)
    assert shipped == "pruned"
    assert judged["pruned + int8"].verdict == "does not pay"
    assert judged["pruned + int8"].reason == "INT8 is slower here (0.62x of pruned)"


def test_judge_ships_int8_of_the_same_speed_for_its_size() -> None:
    int8 = _candidate("int8", 2.0, of_parent=1.0, parent="pruned", precision="int8", bytes=20_000)
    judged, shipped = _judge(_candidate("pruned", 2.0), int8)
    assert shipped == "int8"
    assert "INT8 gains no time here (1.00x of pruned), but a file 2.5x smaller" in judged["int8"].reason


def test_judge_rejects_int8_that_gains_neither_time_nor_size() -> None:
    int8 = _candidate("int8", 2.0, of_parent=1.0, parent="pruned", precision="int8")
    judged, _ = _judge(_candidate("pruned", 2.0), int8)
    assert judged["int8"].verdict == "does not pay"
    assert judged["int8"].reason.startswith("INT8 gains no time here")


def test_judge_does_not_hold_int8_against_a_parent_that_may_not_ship() -> None:
    pruned = _candidate("pruned", 2.0, bytes=70_000)
    int8 = _candidate("int8", 1.24, of_parent=0.62, parent="pruned", precision="int8", bytes=20_000)
    assert _judge(pruned, int8, size_bytes=60_000)[1] == "int8"


def test_judge_rejects_a_fall_back_to_another_provider() -> None:
    fell = _candidate("fell", 2.0, wanted_providers=["CUDAExecutionProvider"], providers=["CPUExecutionProvider"])
    kept = replace(fell, name="kept", providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    judged, shipped = _judge(fell, kept)
    assert shipped == "kept"
    assert judged["fell"].verdict == "does not pay"
    assert "fell back to CPUExecutionProvider" in judged["fell"].reason


@pytest.mark.parametrize("speed", [0.7, 1.0])
def test_judge_does_not_guess_why_fewer_macs_did_not_help(speed: float) -> None:
    judged, _ = _judge(_candidate("odd", speed, bytes=100_000), base=replace(BASE, macs=2_000_000))
    assert judged["odd"].reason.endswith("50 % fewer MACs did not help")
    assert judged["odd"].against == "trained" and not judged["odd"].instead


def test_judge_asks_why_only_of_what_a_stage_has_made_no_faster() -> None:
    quick, slow = _candidate("quick", 1.5), _candidate("slow", 0.8)
    int8 = _candidate("int8", 1.2, of_parent=0.8, parent="quick", precision="int8", bytes=20_000)
    sibling = _candidate("trained@other", 0.8, stage=False)
    # It helped in its own runtime, which is the slower one.
    helped = _candidate("quick@other", 0.9, of_parent=1.2, parent="trained@other")
    failed = _candidate("failed", 0.8, error="it crashed")
    poor = _candidate("poor", 0.8, metric=Metric("top-1", 0.5))
    judged, _ = _judge(quick, slow, int8, sibling, helped, failed, poor)
    asked = {name: one.against for name, one in judged.items() if one.against}
    assert asked == {"slow": "trained", "int8": "quick"}


HEAVY = replace(BASE, download_bytes=90_000)


def _sparse(speedup: Ratio, **more: Any) -> Candidate:
    given: dict[str, Any] = {"bytes": 100_000, "download_bytes": 18_750, "sparsity": Sparsity("unstructured", 0.9)}
    return _candidate("sparse", speedup=speedup, speedup_parent=speedup, **{**given, **more})


def test_judge_says_that_zeros_are_computed_all_the_same_and_what_the_download_gained() -> None:
    judged, shipped = _judge(_sparse(Ratio(1.01, 0.995, 1.015)), base=HEAVY)
    assert judged["sparse"].verdict == "pays in download only: shipped"
    assert judged["sparse"].reason.startswith(
        "90 % zeros, but this runtime computes them all: no faster (1.01x [0.99 1.01]); the download is 4.8x smaller"
    )
    assert shipped == "sparse"


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(Ratio(1.01, 0.9, 1.1), "not shown to be faster (1.01x"), (Ratio(0.9, 0.88, 0.92), "slower (0.90x")],
)
def test_judge_lets_zeros_that_are_not_as_fast_not_pay(ratio: Ratio, said: str) -> None:
    judged, shipped = _judge(_sparse(ratio), base=HEAVY)
    assert (shipped, judged["sparse"].verdict) == ("trained", "does not pay")
    assert f"computes them all: {said}" in judged["sparse"].reason
    assert "the download is 4.8x smaller" in judged["sparse"].reason


def test_judge_ships_what_is_faster_or_smaller_before_what_only_has_zeros() -> None:
    sparse = _sparse(Ratio(1.0, 0.99, 1.01))
    assert _judge(sparse, _candidate("quick", 1.5), base=HEAVY)[1] == "quick"
    assert _judge(sparse, _candidate("light", 1.0, bytes=40_000), base=HEAVY)[1] == "light"


def test_judge_does_not_blame_the_runtime_where_the_target_says_that_it_skips_zeros() -> None:
    sparse = _sparse(Ratio(1.0, 0.99, 1.01), sparsity=Sparsity("2:4", 0.5, skipped=True))
    judged, _ = _judge(sparse, base=HEAVY)
    assert judged["sparse"].reason.startswith("50 % zeros in the pattern 2:4, which gained nothing here: no faster")


def test_judge_lets_zeros_without_a_smaller_download_not_pay() -> None:
    judged, shipped = _judge(_sparse(Ratio(1.0, 0.99, 1.01), download_bytes=89_000), base=HEAVY)
    assert (shipped, judged["sparse"].verdict) == ("trained", "does not pay")
    assert "download" not in judged["sparse"].reason


def test_judge_says_what_few_values_gained() -> None:
    few: dict[str, Any] = {"bytes": 100_000, "download_bytes": 45_000, "weight_bits": 5}
    alike = Ratio(1.0, 0.99, 1.01)
    judged, shipped = _judge(_candidate("few", speedup=alike, speedup_parent=alike, **few), base=HEAVY)
    assert (shipped, judged["few"].verdict) == ("few", "pays in download only: shipped")
    assert judged["few"].reason.startswith("weights of 5 bits, as large as others here: no faster")
    assert "the download is 2.0x smaller" in judged["few"].reason
    judged, _ = _judge(_candidate("quick", 2.0, **few), base=HEAVY)
    assert "2.00x" in judged["quick"].reason and "the download is 2.0x smaller" in judged["quick"].reason


def test_judge_of_a_pruned_and_sparse_variant_that_pays_tells_of_the_download() -> None:
    pruned = _candidate("pruned", 2.0, download_bytes=45_000)
    both = _candidate("both", 2.0, download_bytes=9_000, sparsity=Sparsity("unstructured", 0.8))
    judged, shipped = _judge(pruned, both, base=HEAVY)
    assert shipped == "both"
    assert judged["both"].reason.endswith("not told apart from pruned by time, and the smaller download")
    assert "the download is 10.0x smaller" in judged["both"].reason


def test_judge_says_when_there_is_nothing_to_compare_with() -> None:
    broken = replace(BASE, error="it crashed", latency=None)
    judged, shipped = _judge(_candidate("alone", speedup=None, speedup_parent=None), base=broken)
    assert shipped == "alone"
    assert judged["alone"].verdict == "holds the limits: shipped"
    assert "too few paired blocks" in judged["alone"].reason


def test_judge_of_nothing_is_nothing() -> None:
    assert judge([]) == ([], None)


def test_judge_reads_a_whole_report_as_a_person_would() -> None:
    outcome = make_outcome(make_report())
    verdicts = {v["name"]: v["verdict"] for v in outcome["variants"]}
    assert outcome["shipped"] == "pruned + int8"
    assert verdicts == {
        "trained": "the base",
        "int8": "pays",
        "filters": "does not pay",
        "pruned": "pays",
        "pruned + int8": "pays: shipped",
        "tiny": "below the floor",
    }
