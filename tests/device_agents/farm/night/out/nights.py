"""A night with one of everything, for the tests of its outputs."""

from __future__ import annotations

from typing import Any

from device_agents.farm.night.record import Build, DeviceNight, JobNight, Night

HOSTILE = "a|b`c`<script>alert(1)</script>\x1b[31m\x00[x](javascript:1) *e* @all \ud800\uffff\n# head"
"""What no output may take for its own markup."""


def verdict(
    word: str = "same", *, device: str = "pi-1", metric: str = "latency", worse: bool = False, **fields: Any
) -> dict[str, Any]:
    """SeriesVerdict.to_json() of the model `net`; a change has the ratio 1.25."""
    return {
        "key": {
            "model": "net",
            "variant": "int8@litert",
            "target": "raspberry-pi",
            "device": device,
            "runtime": "litert",
            "precision": "int8",
        },
        "metric": metric,
        "verdict": word,
        "worse": worse,
        "reason": f"it is {word}",
        "ratio": {"value": 1.25, "low": 1.2, "high": 1.3} if word in ("slower", "faster") else None,
        "seq": 9,
        "report": "20261126T020500Z-net-raspberry-pi-0a1b2c",
        "nights": 30,
        "found_tonight": worse,
        "changes": [],
        "skipped": [],
    } | fields


def job(device: str, state: str = "measured", **fields: Any) -> JobNight:
    given = {"id": f"{device}/net", "device": device, "target": "raspberry-pi", "model": "net", "seconds": 12.5}
    return JobNight.model_validate(given | {"state": state} | fields)


def night(**fields: Any) -> Night:
    """Two devices whose jobs were measured, and nothing to complain of."""
    given: dict[str, Any] = {
        "id": "20261126T020000Z",
        "started": "2026-11-26T02:00:00Z",
        "finished": "2026-11-26T02:30:00Z",
        "commit": "0123abc",
        "host": "bench-pc",
        "status": 0,
        "builds": (Build(model="net", target="raspberry-pi", state="cached", variants=("int8@litert",)),),
        "devices": tuple(
            DeviceNight(name=name, target="raspberry-pi", identity="ab" * 8, jobs=1, measured=1, seconds_busy=12.5)
            for name in ("pi-1", "pi-2")
        ),
        "jobs": (job("pi-1"), job("pi-2", "known")),
        "verdicts": (verdict(), verdict(device="pi-2")),
    }
    return Night.model_validate(given | fields)


def troubled() -> Night:
    """A regression, a device that is slower itself, one that died, a failed build, and a series that is too young."""
    return night(
        status=1,
        builds=(Build(model="big", target="raspberry-pi", state="failed", problem="no memory", remedy="add some"),),
        devices=(
            DeviceNight(name="pi-1", target="raspberry-pi", jobs=1, measured=1, seconds_busy=12.5),
            DeviceNight(name="pi-2", target="raspberry-pi", state="died", problem="it went", jobs=1),
            DeviceNight(name="pi-3", target="raspberry-pi", state="reserved", problem="ann has it", remedy="wait"),
        ),
        jobs=(
            job("pi-1"),
            job("pi-2", "failed", problem="the link broke", remedy="./inv devices.doctor pi-2"),
        ),
        verdicts=(
            verdict("slower", worse=True, reason="25.0 % slower: the model changed"),
            verdict("slower", worse=True, metric="load_time", reason="the device changed"),
            verdict("undecided", metric="memory", reason="only 2 nights so far"),
            verdict("same", metric="size"),
        ),
        regressions=(0,),
    )


def hostile() -> Night:
    """Every name and text in it is HOSTILE."""
    key = dict.fromkeys(("model", "variant", "target", "device", "runtime", "precision"), HOSTILE)
    bad = verdict("slower", worse=True, reason=HOSTILE, metric=HOSTILE, report=HOSTILE) | {"key": key}
    told = {"problem": HOSTILE, "remedy": HOSTILE}
    return night(
        status=1,
        host=HOSTILE,
        commit=HOSTILE,
        builds=(Build.model_validate({"model": HOSTILE, "target": HOSTILE, "state": "failed"} | told),),
        devices=(DeviceNight.model_validate({"name": HOSTILE, "target": HOSTILE, "state": "died"} | told),),
        jobs=(job(HOSTILE, "failed", id=HOSTILE, model=HOSTILE, target=HOSTILE, **told),),
        verdicts=(bad, bad),
        regressions=(0, 1),
    )
