"""What `fleet` prints of what devices say: a row a model, and what is not as it should be under them."""

from __future__ import annotations

from typing import Any

from device_agents.farm.rollout.told import Survey
from pipeline.rollout.fleet import Seen, lines

GOOD: dict[str, Any] = {
    "name": "1.1.0-0123456789ab", "version": "1.1.0", "digest": "0123456789abcdef", "bundle": "b" * 64, "state": "good",
    "when": "2026-11-26T14:05:00Z", "who": "ada", "host": "bench", "damaged": [],
}  # fmt: skip
OLD = GOOD | {"name": "1.0.0-aaaaaaaaaaaa", "version": "1.0.0"}


def seen(name: str = "pi", busy: Any = None, settled: Any = None, **model: Any) -> Seen:
    told = {"model": "tiny", "current": GOOD["name"], "previous": OLD["name"], "failed": None, "releases": [OLD, GOOD]}
    return Seen(name, Survey.model_validate({"models": [told | model], "busy": busy, "settled": settled or {}}))


def test_row_says_version_state_since_when_and_what_was_before() -> None:
    head, row = lines([seen()])
    assert head.split() == ["device", "model", "version", "state", "since", "(UTC)", "by", "digest", "before"]
    assert row.split() == [
        "pi", "tiny", "1.1.0", "good", "2026-11-26", "14:05", "ada@bench", "0123456789ab", "1.0.0",
    ]  # fmt: skip


def test_what_is_wrong_stands_under_the_rows() -> None:
    failed = GOOD | {"version": "1.2.0", "why": "too slow\x1b[2J"}
    shown = "\n".join(
        lines(
            [
                seen("a", failed=failed),
                seen("b", releases=[OLD, GOOD | {"damaged": ["labels.txt"]}]),
                seen("c", settled={"tiny": "1.2.0-cccccccccccc"}, current=OLD["name"]),
                seen("d", busy={"who": "bob", "host": "desk", "what": "rolling out tiny"}),
                Seen("e", problem="e can't be reached.", remedy="ping it"),
                Seen("phone"),
                Seen("new", Survey(models=[], busy=None, settled={})),
            ]
        )
    )
    for said in (
        "a: tiny: 1.2.0 was rolled back 2026-11-26 14:05: too slow",
        "b: tiny: 1.1.0 is damaged: labels.txt",
        "c: tiny: 1.2.0-cccccccccccc was on trial, and whoever tried it is gone: rolled back just now",
        "d: bob on desk: rolling out tiny",
        "e: e can't be reached.   next: ping it",
        "phone: a phone by adb takes no releases",
    ):
        assert said in shown, shown
    assert "\x1b" not in shown
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if ":" not in line.split()[0]}
    states = {name: " ".join(rows[name][3:5]) for name in "abcdef" if name in rows} | {"new": rows["new"][3]}
    assert states["b"].startswith("damaged") and states["a"].startswith("good") and states["new"] == "no"
    assert rows["e"] == ["e", "not", "asked"]


def test_phone_by_adb_and_device_that_is_away_were_not_asked() -> None:
    told = [one.to_json() for one in (seen(), Seen("phone"), Seen("e", problem="e can't be reached."))]
    assert [(one["asked"], one["problem"]) for one in told] == [
        (True, None), (False, None), (False, "e can't be reached."),
    ]  # fmt: skip
    assert told[0].keys() == told[1].keys() == told[2].keys()


def test_first_release_that_failed_leaves_a_device_without_one() -> None:
    shown = lines([seen(current=None, previous=None, releases=[], failed=GOOD | {"why": "wrong"})])
    assert shown[1].split() == ["pi", "-", "-", "no", "release"] and "wrong" in shown[2]
