"""Every stage is held against what it came from: what is slower or larger is never shipped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.farm.verdict import Candidate, Judgement, Latency, Limits, Metric, Ratio, Sparsity, compare, judge

FLOOR = 0.90


def _candidate(name: str, speed: float = 1.0, *, of_parent: float | None = None, **more: Any) -> Candidate:
    given_: dict[str, Any] = {
        "parent": "trained", "precision": "float32", "bytes": 50_000, "metric": Metric("top-1", 0.92),
        "latency": Latency(0.2 / speed, 0.22 / speed, 0.3 / speed, 900), "speedup": _ratio(speed),
        "speedup_parent": _ratio(of_parent or speed),
    }  # fmt: skip
    return Candidate(name, **{**given_, **more})


def _ratio(value: float) -> Ratio:
    return Ratio(value, value * 0.99, value * 1.01)


BASE = _candidate("trained", parent=None, bytes=100_000, speedup=None, speedup_parent=None)


def _judge(*others: Candidate) -> tuple[dict[str, Judgement], str | None]:
    judged, shipped = judge([BASE, *others], Limits(), FLOOR)
    return {one.name: one for one in judged}, shipped


def test_judge_holds_every_variant_against_what_it_came_from() -> None:
    other = _candidate("trained@other", 2.0, stage=False)
    cut = _candidate("cut@other", 1.4, of_parent=0.7, parent="trained@other", bytes=10_000)
    judged, shipped = _judge(other, cut)
    assert shipped == "trained@other"
    assert judged["cut@other"].verdict == "does not pay"
    assert judged["cut@other"].reason == "slower than what it came from (0.70x of trained@other)"


def test_judge_never_ships_a_file_that_is_larger_than_what_it_came_from() -> None:
    judged, shipped = _judge(_candidate("int8", 2.0, precision="int8", bytes=100_001))
    assert (shipped, judged["int8"].verdict) == ("trained", "does not pay")
    assert judged["int8"].reason == "its file is larger than that of trained: 100001 bytes, not 100000"
    assert _judge(_candidate("trained@other", 2.0, bytes=100_001, stage=False))[1] == "trained@other"


def test_judge_calls_dynamic_int8_by_its_name_and_asks_why() -> None:
    judged, _ = _judge(_candidate("dynamic", 0.8, precision="dynamic", bytes=30_000))
    assert judged["dynamic"].reason == "dynamic INT8 is slower here (0.80x of trained)"
    assert judged["dynamic"].against == "trained"
    cut = _candidate("cut", 2.0, bytes=30_000)
    judged, shipped = _judge(cut, _candidate("cut+dynamic", 2.0, of_parent=1.0, parent="cut", precision="dynamic"))
    assert shipped == "cut"
    assert judged["cut+dynamic"].reason == "dynamic INT8 gains no time here (1.00x of cut) and no size"


def test_judge_lets_what_has_no_pairs_with_its_parent_not_pay() -> None:
    cut, int8 = _candidate("cut", 1.5), _candidate("cut+int8", 3.0, parent="cut", precision="int8", bytes=20_000)
    judged, shipped = _judge(cut, replace(int8, speedup_parent=None))
    assert shipped == "cut"
    assert judged["cut+int8"].reason == "too few paired blocks to compare it with cut, which it came from"


def _ratios() -> st.SearchStrategy[Ratio]:
    return st.builds(
        lambda value, below, above: Ratio(value, value * below, value * above),
        st.sampled_from([0.5, 0.9, 0.97, 1.0, 1.03, 1.5]),
        st.sampled_from([0.8, 0.99, 1.0]),
        st.sampled_from([1.0, 1.01, 1.3]),
    )


@st.composite
def _families(draw: st.DrawFn) -> list[Candidate]:
    """A base and up to six that come from it or from one another, some of them unable to ship."""
    found = [replace(BASE, error=draw(st.sampled_from([None, None, None, "it crashed"])))]
    for place in range(draw(st.integers(1, 6))):
        parent = draw(st.sampled_from(found)).name
        speedup = draw(st.none() | _ratios())
        found.append(
            _candidate(
                f"v{place}",
                parent=parent,
                precision=draw(st.sampled_from(["float32", "int8"])),
                bytes=draw(st.sampled_from([30_000, 90_000, 100_000, 100_001, 150_000])),
                macs=draw(st.sampled_from([500_000, 1_000_000])),
                metric=Metric("top-1", draw(st.sampled_from([0.92, 0.92, 0.5]))),
                speedup=speedup,
                speedup_parent=speedup if parent == BASE.name else draw(st.none() | _ratios()),
                error=draw(st.sampled_from([None, None, None, "it crashed"])),
                stage=draw(st.booleans()),
                sparsity=draw(st.sampled_from([None, None, Sparsity("unstructured", 0.9)])),
                download_bytes=draw(st.sampled_from([20_000, 80_000])),
            )
        )
    return found


@given(_families(), st.sampled_from([None, 60_000, 95_000]))
@settings(max_examples=400, deadline=None)
def test_nothing_slower_or_larger_than_what_it_came_from_is_shipped(
    family: list[Candidate], size_bytes: int | None
) -> None:
    judged, shipped = judge(family, Limits(size_bytes=size_bytes), FLOOR)
    barred = {one.name for one in judged if one.verdict in ("failed", "below the floor", "over the limit")}
    known = {one.name: one for one in family}
    if shipped is None:
        assert barred == set(known)
        return
    assert shipped not in barred
    chosen = known[shipped]
    parent = known.get(chosen.parent or "")
    if parent is None or parent.name in barred:
        return
    against = chosen.speedup_parent
    assert against is not None and compare(against) != "slower"
    assert chosen.bytes <= parent.bytes or not chosen.stage
