"""What a device says of its releases is checked, whatever it says; and what it refuses is told with a remedy."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from device_agents.connect.process import Completed
from device_agents.errors import AgentFailed, AgentGarbled, AgentLost, NoRoom
from device_agents.farm.reservation import DeviceReserved
from device_agents.farm.rollout.errors import ReleaseRefused, RolloutBusy
from device_agents.farm.rollout.told import stage, survey

GOOD = {"name": "1.0.0-0123456789ab", "version": "1.0.0", "digest": "0" * 64, "state": "good", "damaged": None}
MODEL = {"model": "tiny", "current": GOOD["name"], "previous": None, "failed": None, "releases": [GOOD]}


def device(*lines: Any, status: int = 0) -> Any:
    """A device whose agent writes these lines."""
    out = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    run = lambda argv, timeout: Completed(status, out, b"")  # noqa: E731
    return SimpleNamespace(
        entry=SimpleNamespace(name="pi"),
        root="/root",
        connection=SimpleNamespace(run=run),
        argv=lambda *words: list(words),
    )


def answer(**fields: Any) -> Any:
    told = {"kind": "releases", "models": [MODEL], "busy": None, "settled": {}} | fields
    return device(told, {"kind": "end", "ok": True})


def end(**fields: Any) -> Any:
    return device({"kind": "end", "ok": False, **fields}, status=1)


def test_survey_tells_what_is_current() -> None:
    found = survey(answer())
    model = found.of("tiny")
    assert model is not None and model.running is not None and model.running.version == "1.0.0"
    assert found.of("another") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"models": None},
        {"models": [{}]},
        {"models": [MODEL | {"current": 7}]},
        {"models": [MODEL | {"releases": [{"name": None}]}]},
        {"models": [MODEL | {"releases": [GOOD] * 1001}]},
        {"settled": []},
    ],
)
def test_answers_that_no_agent_gives_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(AgentGarbled, match="answered what no agent answers"):
        survey(answer(**fields))


def test_words_of_a_device_are_made_harmless() -> None:
    found = survey(answer(models=[MODEL | {"failed": GOOD | {"why": "\x1b[2J" + "x" * 9000, "who": "a\nb"}}]))
    failed = found.models[0].failed
    assert failed is not None and failed.why.isprintable() and len(failed.why) == 2000 and failed.who == "a b"


def test_device_that_says_nothing_is_lost() -> None:
    with pytest.raises(AgentLost):
        survey(device())
    with pytest.raises(AgentGarbled):
        survey(device({"kind": "end", "ok": True}))


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"error": "busy", "holder": {"who": "bob", "host": "desk"}}, RolloutBusy, "bob on desk"),
        ({"error": "busy", "holder": None}, RolloutBusy, "someone"),
        ({"error": "refused", "message": "not whole\x1b"}, ReleaseRefused, "not whole"),
        ({"error": "reserved", "holder": {"who": "bob", "left_s": 60}}, DeviceReserved, "bob"),
        ({"error": "io", "errno": 28, "message": "No space left"}, NoRoom, "no room"),
        ({"error": "io", "errno": 5, "message": "Input/output error"}, AgentFailed, "Input/output"),
    ],
)  # fmt: skip
def test_refusals_have_their_own_errors_and_a_remedy(fields: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        stage(end(**fields))
    assert getattr(caught.value, "remedy", "") and str(caught.value).replace("\n", "").isprintable()
