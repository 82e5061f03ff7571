"""Causes in judgements: which are asked for, and where what was found is put."""

from __future__ import annotations

from device_agents.farm.candidate import Judgement
from device_agents.farm.why import Cause, asked, explained

SLOW = Judgement("slow", "does not pay", "slower: 0.80x", against="trained")
QUICK = Judgement("quick", "pays: shipped", "2.00x")


def test_asked_are_those_that_say_so() -> None:
    assert asked([SLOW, QUICK]) == ["slow"]


def test_explained_reason_has_the_cause_and_what_to_do_instead() -> None:
    found = explained([SLOW, QUICK], {"slow": Cause("dispatch", "bound by dispatch: 84 %", "remove layers")})
    assert found[0] == Judgement(
        "slow", "does not pay", "slower: 0.80x; bound by dispatch: 84 %", "remove layers", "trained"
    )
    assert found[1] is QUICK


def test_explained_without_a_cause_leaves_all_as_it_was() -> None:
    assert explained([SLOW, QUICK], {}) == [SLOW, QUICK]
