"""Prices follow the measured costs, keep to whole models that were measured, and say how far they were off."""

from __future__ import annotations

import pytest

from pipeline.search.pricing import Pricing, Thumb, Way, errors
from pipeline.search.space import Choice, Space


def test_the_trained_network_has_the_time_that_was_measured(pricing: Pricing) -> None:
    assert [price.ms for price in pricing.all(Choice())] == pytest.approx([0.2, 0.08])
    assert pricing.best(Choice()).way.precision == "int8"


def test_less_is_faster_and_smaller(space: Space, pricing: Pricing) -> None:
    narrow = Choice((), tuple((group.name, 8) for group in space.groups))
    short = Choice((space.layers[0],))
    for choice in (narrow, short):
        assert pricing.best(choice).ms < pricing.best(Choice()).ms
        assert pricing.best(choice).bytes < pricing.best(Choice()).bytes


def test_whole_models_correct_the_prices(space: Space, pricing: Pricing) -> None:
    narrow = Choice((), tuple((group.name, 8) for group in space.groups))
    before = pricing.all(narrow)
    pricing.learn(narrow, "int8", 0.079)  # it gained nothing
    after = pricing.all(narrow)
    assert abs(after[1].ms - 0.079) < abs(before[1].ms - 0.079) / 2
    assert after[0].ms == before[0].ms
    assert pricing.best(Choice()).ms == pytest.approx(0.08)


def test_a_whole_model_s_own_time_counts_for_its_choice(space: Space, pricing: Pricing) -> None:
    short = Choice((space.layers[0],))
    pricing.learn(short, "int8", 0.3)  # less of it, and far slower than the trained network
    assert [price.ms for price in pricing.all(short)][1] == 0.3
    assert pricing.best(short).way.precision == "float32"


def test_rows_of_embeddings_that_go_make_the_file_smaller() -> None:
    tensors: dict[str, tuple[int, ...]] = {"words.weight": (1000, 8), "head.weight": (10, 8)}
    space = Space([], [], {}, [], tensors, rows={"words": 400})
    whole = Way("trained", "litert", "float32", 0.2, 4 * 8080, 8080)
    pricing = Pricing(space, [whole], {"litert": Thumb([], {"float32": 0.2})})
    assert pricing.best(Choice()).bytes == pytest.approx(4 * 8 * 410)


def test_errors_are_relative_to_what_was_measured() -> None:
    assert errors([(1.1, 1.0), (0.8, 1.0), (1.0, 1.0)]) == {"median": pytest.approx(0.1), "p90": pytest.approx(0.18)}
    assert errors([]) == {"median": None, "p90": None}
