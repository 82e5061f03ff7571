"""The sequential rule: what an interval says, when it stops, and that peeking doesn't cost its error rates."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from device_agents.farm.paired import Ratio
from device_agents.farm.sequential import Looker, Rule, decide


@pytest.mark.parametrize(
    ("low", "value", "high", "said"),
    [
        (0.93, 0.96, 0.99, "slower"),
        (1.01, 1.04, 1.07, "faster"),
        (0.99, 1.00, 1.01, "same"),
        (0.975, 0.985, 0.995, "undecided"),  # a change, but not shown to be smaller or larger than 2 %
        (0.981, 0.990, 0.999, "same"),  # a change that is too small to count
        (0.90, 0.95, 1.01, "undecided"),
        (0.90, 1.00, 1.10, "undecided"),
    ],
)
def test_interval_says(low: float, value: float, high: float, said: str) -> None:
    assert decide(Ratio(value, low, high)) == said


def test_no_ratio_is_undecided() -> None:
    assert decide(None) == "undecided"


class _Session:
    """Two variants on a device of which a process pair takes `seconds`; noise as measured on a shared two-core PC."""

    def __init__(self, seed: int, slower: float, between: float = 0.008, within: float = 0.02) -> None:
        self._dice = random.Random(seed)
        self._slower = slower
        self._between, self._within = between, within
        self.results: list[dict[str, Any]] = [{"blocks": []}, {"blocks": []}]
        self.pairs = 0

    def run(self, rule: Rule, seconds: float = 2.3) -> Looker:
        looker = Looker(rule, clock=lambda: self.pairs * seconds)
        wanted = rule.first
        while wanted:
            for _ in range(wanted):
                self._pair()
            wanted = looker.more(self.results)
        return looker

    def _pair(self) -> None:
        own = [self._dice.gauss(0, self._between) for _ in range(2)]
        for turn in range(8):
            weather = self._dice.gauss(0, 0.1)
            for which, result in enumerate(self.results):
                log = weather + own[which] + self._dice.gauss(0, self._within) + which * math.log1p(self._slower)
                result["blocks"].append(
                    {"process": self.pairs, "round": turn, "samples_ns": [1e6 * math.exp(log)], "batch": 1}
                )
        self.pairs += 1


@pytest.mark.slow
def test_equal_variants_are_never_called_slower_or_faster() -> None:
    said = [_Session(seed, 0.0).run(Rule()).comparison for seed in range(40)]
    assert said.count("same") >= 36
    assert not {"slower", "faster"} & set(said)


@pytest.mark.slow
def test_slow_down_of_three_percent_is_found_within_the_budget() -> None:
    lookers = [_Session(seed, 0.03).run(Rule()) for seed in range(40)]
    assert [looker.comparison for looker in lookers].count("slower") >= 38
    assert all(looker.pairs * 2.3 <= Rule().budget_s for looker in lookers)


def test_change_is_found_either_way_and_none_is_the_same() -> None:
    for slower, said in ((0.05, "slower"), (-0.05, "faster"), (0.0, "same")):
        assert _Session(1, slower).run(Rule()).comparison == said


def test_large_change_takes_fewer_looks_than_none() -> None:
    large, none = (_Session(2, slower).run(Rule()) for slower in (0.2, 0.0))
    assert large.looked == 1 < none.looked


def test_noise_beyond_the_budget_stays_undecided() -> None:
    looker = _Session(3, 0.0, between=0.1).run(Rule(budget_s=30))
    assert looker.comparison == "undecided"
    assert looker.pairs * 2.3 <= 30


def test_looks_are_never_more_than_the_rule_has() -> None:
    looker = _Session(4, 0.0, between=0.5).run(Rule(budget_s=150, looks=3))
    assert looker.looked == 3


@pytest.mark.slow
def test_peeking_keeps_the_error_that_was_asked_for() -> None:
    """With no smallest change to hide behind, the interval alone must leave out the truth in at most 20 % of sessions
    (standard error 4 points), whichever look it stopped at; unadjusted intervals do so in more than 30 %."""

    def share_wrong(error_of_each_look: float) -> float:
        rule = Rule(threshold=1e-9, error=error_of_each_look * 6, budget_s=60)
        said = [_Session(seed, 0.0).run(rule).comparison for seed in range(100)]
        return sum(one in ("slower", "faster") for one in said) / len(said)

    assert share_wrong(0.20 / 6) <= 0.28
    assert share_wrong(0.20) >= 0.30


def test_job_that_gave_nothing_asks_for_no_more() -> None:
    looker = Looker()
    assert looker.more([{"blocks": []}, {"blocks": []}]) == 0
    assert looker.comparison == "undecided"


def test_clock_begins_with_the_job_and_not_with_the_way_to_the_device() -> None:
    now = [0.0]
    looker = Looker(Rule(budget_s=60), clock=lambda: now[0])
    now[0] = 500.0
    looker.heard({"kind": "waiting"})
    looker.heard({"kind": "start"})
    session = _Session(5, 0.0, between=0.1)
    for _ in range(4):
        session._pair()
    now[0] = 510.0
    assert looker.more(session.results) > 0


def test_large_budget_is_behind_the_last_look() -> None:
    looker = _Session(6, 0.0, between=0.3).run(Rule(budget_s=200))
    assert looker.comparison == "undecided"
    assert looker.looked == Rule().looks
    assert 0.8 * 200 <= looker.pairs * 2.3 <= 200


def test_variant_that_failed_ends_the_comparison() -> None:
    session = _Session(7, 0.0, between=0.1)
    session._pair()
    session.results[1]["error"] = "it crashed"
    assert Looker(clock=lambda: 1.0).more(session.results) == 0
