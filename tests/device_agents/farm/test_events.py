"""What may pass as an agent's event, and what a device may say of itself: anything else is refused or made harmless."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents import foreign
from device_agents.farm.events import MOST_BYTES, Malformed, closing, names_of, parse, read
from tests.device_agents.farm.replay import job_of, stream_of

JOB = job_of("a", "b", canary=True)
BLOCK = next(event for event in stream_of(JOB) if event["kind"] == "block")
FAILED = {"kind": "failed", "name": "a", "message": "x"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _line(event: Any) -> bytes:
    return json.dumps(event).encode()


def test_every_event_of_a_sane_agent_passes_unchanged() -> None:
    for event in stream_of(JOB):
        found = parse(_line(event), JOB)
        assert found is not None, event
        assert {key: found[key] for key in event if key != "cpu_ns"} == {
            k: v for k, v in event.items() if k != "cpu_ns"
        }


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "waiting", "reason": "too hot", "seconds": 3.5},
        {"kind": "refused", "problems": ["too hot"]},
        {"kind": "look", "processes": 2},
        {
            "kind": "accuracy",
            "name": "a",
            "accuracy": {"name": "top-1", "value": 0.5, "n": 9, "outputs_sha256": "0" * 64},
        },
        {"kind": "energy", "name": "a", "calls": 3, "energy": {"mj": 1.5, "seconds": 1.0, "samples": 9}},
        {"kind": "end", "ok": False, "error": "busy", "holder": {"who": "me"}},
    ],
    ids=lambda event: str(event["kind"]),
)
def test_event_of_each_other_kind_passes(event: dict[str, Any]) -> None:
    found = parse(_line(event), JOB)
    assert found is not None
    assert {key: found[key] for key in event} == event


@pytest.mark.parametrize(
    "line",
    [b"", b"welcome", b"\xff\xfe{", b"[1]", b"7", b"null", b"{}", b'{"kind":3}', b'{"kind":"later"}', b"[" * 100_000],
    ids=lambda line: repr(line[:12]),
)
def test_line_that_does_not_say_that_it_is_an_event_is_none(line: bytes) -> None:
    assert read(line, names_of(JOB)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "c"},
        {"name": ""},
        {"name": ["a"]},
        {"process": -1},
        {"process": "0"},
        {"process": True},
        {"process": 0.0},
        {"round": None},
        {"samples_ns": []},
        {"samples_ns": [0]},
        {"samples_ns": [-5]},
        {"samples_ns": [2**53 + 1]},
        {"samples_ns": [1.5]},
        {"samples_ns": ["7"]},
        {"samples_ns": [1] * 10_001},
        {"samples_ns": 7},
        {"samples_ns": [2_500_001]},  # more than the block took in all
        {"batch": 0},
        {"batch": math.inf},
        {"others_ns": math.nan},
        {"attempt": 4},
        {"canary_ratio": math.nan},
        {"canary_ratio": math.inf},
        {"kept": "yes"},
    ],
    ids=str,
)
def test_malformed_block_is_refused(change: dict[str, Any]) -> None:
    line = _line({**BLOCK, **change})
    with pytest.raises(Malformed):
        read(line, names_of(JOB))
    assert parse(line, JOB) is None


@pytest.mark.parametrize("missing", ["name", "process", "round", "position", "samples_ns", "batch", "others_ns"])
def test_block_without_a_field_is_refused(missing: str) -> None:
    assert parse(_line({key: value for key, value in BLOCK.items() if key != missing}), JOB) is None


def test_block_of_an_older_agent_passes() -> None:
    old = {key: value for key, value in BLOCK.items() if key not in ("attempt", "canary_ratio", "kept")}
    found = parse(_line(old), JOB)
    assert found is not None
    assert (found["attempt"], found["canary_ratio"], found["kept"]) == (0, None, True)


def test_canary_models_events_are_refused_where_the_job_has_none() -> None:
    line = _line({**BLOCK, "name": "(canary)"})
    assert parse(line, JOB) is not None
    assert parse(line, job_of("a", "b")) is None


@pytest.mark.parametrize("digits", [5000, 400_000])
def test_endless_number_neither_raises_nor_passes(digits: int) -> None:
    line = _line(BLOCK).replace(b'"batch": 1', b'"batch": ' + b"9" * digits)
    assert parse(line, JOB) is None
    start = _line(stream_of(JOB)[0]).replace(b'"cores": 4', b'"cores": ' + b"9" * digits)
    assert parse(start, JOB) is None


def test_line_that_is_too_long_is_not_even_read() -> None:
    assert parse(b'{"kind":"beat","x":"' + b"x" * MOST_BYTES + b'"}', JOB) is None
    assert parse(b'{"kind":"beat","x":"' + b"x" * 1000 + b'"}', JOB) == {"kind": "beat"}


def test_no_escape_sequence_gets_through() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\n\u202egpj\u2028\x9b31m"
    found = parse(_line({**FAILED, "message": hostile}), JOB)
    assert found is not None
    assert found["message"].isprintable() and "owned" in found["message"]
    start = {**stream_of(JOB)[0], "agent": hostile, "facts": {hostile: hostile, "board": [hostile]}}
    told = parse(_line(start), JOB)
    assert told is not None
    shown = json.dumps([told["agent"], told["facts"]], ensure_ascii=False)
    assert shown.isprintable()


def test_long_message_is_cut_and_not_lost() -> None:
    found = parse(_line({**FAILED, "message": "x" * 100_000}), JOB)
    assert found is not None
    assert len(found["message"]) == foreign.TEXT


def test_state_of_another_type_is_not_known_and_named() -> None:
    given: dict[str, Any] = {"throttled": "0x5", "governor": ["performance"], "temperature_c": math.inf, "sources": []}
    found = foreign.state({**given, "freq_khz": 5, "load1": True, "garbled": ["zone0"]})
    assert found["throttled"] is found["governor"] is found["temperature_c"] is found["load1"] is None
    assert found["freq_khz"] == 5
    assert found["garbled"] == ["governor", "load1", "sources", "throttled", "zone0"]


def test_facts_keep_what_a_device_really_says() -> None:
    told = {
        "machine": "aarch64",
        "cores": 4,
        "power_modes": {"MAXN": 0},
        "android": {"model": "P", "sdk": 33},
        "new": 1,
    }
    assert foreign.facts(told) == told
    assert foreign.facts({"cores": "many", "power_modes": [1], "android": {"model": []}}) == {
        "cores": None,
        "power_modes": None,
        "android": None,
    }


def test_cleaning_is_bounded_in_depth_and_size() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    assert "bottom" not in json.dumps(foreign.clean(deep))
    many = foreign.clean({str(number): [number] * 1000 for number in range(1000)})
    assert len(json.dumps(many)) < 200_000
    assert len(foreign.clean([0] * 1_000_000)) < 5000
    assert foreign.clean(10**400) is None


@given(JSON)
def test_cleaned_values_are_json_that_can_be_shown(value: Any) -> None:
    text = json.dumps(foreign.clean(value), allow_nan=False, ensure_ascii=False)
    assert text.isprintable()


@given(st.binary(max_size=300))
def test_no_bytes_make_parse_raise(line: bytes) -> None:
    parse(line, JOB)
    closing(line)


@given(st.sampled_from(stream_of(JOB)), st.data())
def test_no_value_in_any_field_makes_parse_raise_or_pass_unprintable(
    event: dict[str, Any], data: st.DataObject
) -> None:
    changed = dict(event)
    changed[data.draw(st.sampled_from(sorted(event)))] = data.draw(JSON)
    found = parse(_line(changed), JOB)
    if found is not None:
        assert json.dumps(found, allow_nan=False, ensure_ascii=False).isprintable()


@given(JSON, JSON, JSON)
def test_no_end_crashes_what_says_how_it_ended(message: Any, holder: Any, number: Any) -> None:
    from device_agents.farm.endings import ended_badly

    for error in ("busy", "io", message):
        end = {"kind": "end", "ok": False, "error": error, "message": message, "holder": holder, "errno": number}
        assert str(ended_badly("pi", "/root", end, "could not"))
        if (found := closing(_line(end))) is not None:
            told = str(ended_badly("pi", "/root", found, "could not"))
            assert all(line.isprintable() for line in told.splitlines())
