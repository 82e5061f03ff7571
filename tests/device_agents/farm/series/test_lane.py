"""Lanes and tracks from within: what a comparison's noise is made of, and what a found step resets."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from importlib import import_module

import pytest

from device_agents.farm.series import Settings
from device_agents.farm.series.lane import Lane
from device_agents.farm.series.nights import Figure, nights
from device_agents.farm.series.replay import Track, replay
from tests.device_agents.farm.series.nightly import levels, series

HOW = Settings()


def _lane(logs: list[float], spreads: list[float] | None = None, spans: tuple[int, ...] = HOW.spans) -> Lane:
    lane = Lane(HOW, spans)
    for place, log in enumerate(logs):
        lane.add(place, Figure(log, spreads[place] if spreads else 0.0))
    return lane


def _logs(count: int, step: float = 0.0, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(0, 0.01) + (step if night >= count - 10 else 0.0) for night in range(count)]


@pytest.mark.parametrize("unsure", [range(40), range(40, 50)])
def test_unsure_nights_on_either_side_widen_a_step(unsure: range) -> None:
    sure = _lane(_logs(50)).between(0, 40, 50)
    wide = _lane(_logs(50), [0.05 if night in unsure else 0.0 for night in range(50)]).between(0, 40, 50)
    assert sure is not None and wide is not None
    assert wide.error > 2 * sure.error


def test_the_interval_of_a_step_is_that_of_a_t_test() -> None:
    stats = import_module("scipy.stats")
    step = _lane(_logs(60, 0.05)).between(0, 50, 60)
    assert step is not None
    assert step.p == pytest.approx(2 * stats.t.sf(abs(step.size / step.error), step.freedom), rel=1e-6)
    assert step.reach == pytest.approx(stats.t.ppf(0.975, step.freedom) * step.error, rel=1e-6)
    # Ten nights against the fourteen before them, of 1 % each.
    assert step.error == pytest.approx(0.01 * math.sqrt(1 / 10 + 1 / 14), rel=0.35)


def test_found_steps_are_no_scatter() -> None:
    # A step every five nights: more than clipping copes with.
    logs = [0.5 * (night // 5) + log for night, log in enumerate(_logs(60))]
    found, unknown = _lane(logs, spans=()), _lane(logs, spans=())
    for place in range(5, 60, 5):
        found.begin(place)
    known, other = found.between(55, 58, 60), unknown.between(55, 58, 60)
    assert known is not None and other is not None
    assert known.error < other.error / 1.5


def test_a_canary_costs_half_the_p() -> None:
    rng = random.Random(1)
    given = series(levels(60, 3, 1.1, seed=3))
    beside = series(levels(60, 3, 1.1, seed=3), canary=[1e5 * (1 + rng.gauss(0, 0.03)) for _ in range(63)])
    found = []
    for one in (given, beside):
        track = Track(nights(one, "latency")[0], HOW)
        replay([track], HOW)
        found.append(track.found)
    assert [one[0].place for one in found] == [60, 60]
    assert found[1][0].p == pytest.approx(2 * found[0][0].p)


def test_what_the_device_did_alone_resets_the_raw_level_only() -> None:
    given = series(levels(60, 3, 1.1), canary=levels(60, 3, 1.1, sd=0.002))
    model = series(levels(60, 3, 1.1), canary=levels(63, 0, sd=0.002))
    starts = []
    for one in (given, model):
        track = Track(nights(one, "latency")[0], HOW)
        replay([track], HOW)
        starts.append((track.raw.start, track.net.start))
    assert starts == [(60, 0), (60, 60)]


def test_nights_without_a_canary_are_left_out_of_its_lane() -> None:
    given = series(levels(60, 4, 1.1), canary=levels(64, 0, sd=0.002))
    points = [replace(p, canary_blocks=()) if p.seq % 3 == 0 else p for p in given.points]
    track = Track(nights(replace(given, points=tuple(points)), "latency")[0], HOW)
    replay([track], HOW)
    assert [found.place for found in track.found] == [60]
    assert track.net.places == [night for night in range(64) if night % 3]
    assert track.net.places[track.net.start] == 61
