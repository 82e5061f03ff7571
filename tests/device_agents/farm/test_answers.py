"""The answers of the agent's short commands: every command has its bounds, and an answer beyond them is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from device_agents.agent.__main__ import _parser
from device_agents.connect.process import Completed
from device_agents.errors import AgentGarbled, AgentLost
from device_agents.farm.answers import _ANSWERS, answer


def _done(*lines: dict[str, Any] | str) -> Completed:
    said = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return Completed(0, said.encode() + b"\n", b"")


END = {"kind": "end", "ok": True}


def test_every_short_command_of_the_agent_has_its_bounds() -> None:
    (commands,) = [action.choices for action in _parser()._actions if isinstance(action.choices, dict)]
    # A job's and a rollout's lines have bounds of their own, and nobody but the agent talks to a worker.
    elsewhere = {"run", "worker", "releases", "stage", "trial"}
    assert set(commands) - elsewhere <= set(_ANSWERS)


def test_canarys_readings_are_let_through() -> None:
    told = {"kind": "canary", "pinned": True, "cpus": [1], "ns": [5, 6]}
    assert answer("pi", "/", "canary", _done(told, END))["ns"] == [5, 6]


@pytest.mark.parametrize("ns", [[], [-1], ["5"], [1.5], "many", None, [2**60]])
def test_canary_that_is_none_is_refused(ns: Any) -> None:
    with pytest.raises(AgentGarbled, match="pi"):
        answer("pi", "/", "canary", _done({"kind": "canary", "pinned": True, "cpus": [1], "ns": ns}, END))


def test_answer_without_its_closing_marker_is_lost() -> None:
    with pytest.raises(AgentLost):
        answer("pi", "/", "canary", _done({"kind": "canary", "pinned": True, "cpus": [1], "ns": [5]}))
