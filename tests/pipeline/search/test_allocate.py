"""The allocation: the same seed gives the same front, nothing on it is beaten, and picks follow what may be lost."""

from __future__ import annotations

from dataclasses import replace

from pipeline.search.allocate import Proposal, allocate, first_choices, front, one_by_one, pick
from pipeline.search.forecast import Forecast
from pipeline.search.pricing import Price, Pricing
from pipeline.search.sensitivity import Sensitivity
from pipeline.search.space import Choice, Space
from tests.pipeline.search.conftest import WAYS


def _allocated(space: Space, pricing: Pricing, felt: Sensitivity, seed: int) -> list[Proposal]:
    return allocate(space, pricing.best, Forecast(space, felt, 0.93, 8).lost, felt.lost, seed, 120)


def test_the_same_seed_gives_the_same_front(space: Space, pricing: Pricing, felt: Sensitivity) -> None:
    first, again, other = (_allocated(space, pricing, felt, seed) for seed in (1, 1, 2))
    assert first == again
    assert {one.choice for one in first} != {one.choice for one in other}


def test_nothing_on_the_front_is_beaten(space: Space, pricing: Pricing, felt: Sensitivity) -> None:
    found = _allocated(space, pricing, felt, 0)
    assert len(found) > 3
    for one in found:
        assert not one.choice.nothing
        for other in found:
            better = other.price.ms <= one.price.ms and other.lost <= one.lost and other.price.bytes <= one.price.bytes
            assert other is one or not better
    assert front(found) == sorted(found, key=lambda one: one.price.ms)


def test_any_seed_will_do(space: Space, pricing: Pricing, felt: Sensitivity) -> None:
    for seed in (-1, 2**40):
        found = [allocate(space, pricing.best, felt.lost, felt.lost, seed, 30) for _ in range(2)]
        assert found[0] == found[1] != []


def test_where_rows_of_embeddings_go_all_the_rest_may_stay(space: Space, pricing: Pricing, felt: Sensitivity) -> None:
    with_rows = replace(space, rows={"words": 10})
    assert first_choices(with_rows, felt.lost)[0] == Choice()
    found = allocate(with_rows, pricing.best, felt.lost, felt.lost, 0, 30)
    assert Choice() in [one.choice for one in found]


def test_the_first_choices_go_from_little_to_all(space: Space, felt: Sensitivity) -> None:
    found = first_choices(space, felt.lost)
    assert Choice(tuple(space.layers)) in found
    assert len(found) == len(set(found))


def _proposal(ms: float, lost: float, name: str) -> Proposal:
    return Proposal(Choice((name,)), lost, Price(ms, 1000 * ms, WAYS[0]))


def test_picks_are_the_fastest_that_lose_no_more() -> None:
    pool = [_proposal(5, 0.001, "a"), _proposal(3, 0.008, "b"), _proposal(1, 0.03, "c")]
    names = [one.choice.remove[0] for one in pick(pool, [0.01, 0.005, 0.05], [], lambda price: True)]
    assert names == ["b", "a", "c"]
    assert pick(pool, [0.01], [Choice(("b",))], lambda price: True)[0].choice == Choice(("a",))


def test_picks_fit_the_limits_where_anything_does_and_lose_the_least_where_nothing_holds_the_aim() -> None:
    pool = [_proposal(5, 0.02, "a"), _proposal(3, 0.03, "b")]
    assert pick(pool, [0.001], [], lambda price: True)[0].choice == Choice(("a",))
    assert pick(pool, [0.1], [], lambda price: price.ms > 4)[0].choice == Choice(("a",))


def test_one_cut_after_another_the_mildest_for_its_time_first(
    space: Space, pricing: Pricing, felt: Sensitivity
) -> None:
    free = space.groups[-1]
    groups = {**felt.groups, free.name: [(free.units, 0.0), (free.units // 4, 0.0)]}
    felt = Sensitivity(groups, felt.layers)
    found = one_by_one(space, pricing.best, Forecast(space, felt, 0.93, 3).summed)
    assert found == list(dict.fromkeys(found)) and all(not one.nothing for one in found)
    assert [name for name, _ in found[0].widths] == [free.name] and not found[0].remove
    assert felt.lost(found[0]) == 0.0
    only_widths = [one for one in found if not one.remove]
    times = [pricing.best(one).ms for one in only_widths]
    assert times == sorted(times, reverse=True) and len(only_widths) > len(space.groups)
    assert any(one.remove and one.widths for one in found)
    assert found[-1].remove == tuple(space.layers)


def test_what_is_to_be_looked_at_first_is(space: Space, pricing: Pricing, felt: Sensitivity) -> None:
    mild = Choice((), ((space.groups[-1].name, space.options[space.groups[-1].name][1]),))
    forecast = Forecast(space, felt, 0.93, 8)

    def lost(choice: Choice) -> float:
        return 0.0 if choice == mild else 1.0 + forecast.lost(choice)

    found = [allocate(space, pricing.best, lost, felt.lost, 0, 40, first=first) for first in ((), (mild,))]
    assert [any(one.choice == mild for one in front) for front in found] == [False, True]
