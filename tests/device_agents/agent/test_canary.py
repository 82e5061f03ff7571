"""The canary's usual time, and what of it is over the bound."""

from __future__ import annotations

import random

from device_agents.agent.canary import BOUND, Usual, canary_ns


def test_usual_is_that_of_the_quicker_half() -> None:
    usual = Usual()
    for reading in (100, 102, 101, 150, 160, 170):
        usual.add(reading)
    assert usual.ns == 101


def test_first_reading_is_its_own_usual() -> None:
    assert Usual().ns == 0
    assert Usual().add(500) == 1.0


def test_device_that_was_slow_at_first_is_held_against_its_best_later() -> None:
    usual = Usual()
    for _ in range(15):
        usual.add(200)
    assert usual.add(200) <= BOUND
    for _ in range(40):
        usual.add(100)
    assert usual.add(200) > 1.9


def test_noise_of_a_few_percent_stays_under_the_bound() -> None:
    usual, dice = Usual(), random.Random(3)
    ratios = [usual.add(int(1e6 * dice.uniform(1.0, 1.06))) for _ in range(200)]
    assert max(ratios) <= BOUND


def test_canary_takes_time() -> None:
    assert canary_ns() > 10_000
