"""Which network in which form promises the smallest package, and what is learnt from those that were trained."""

from __future__ import annotations

import pytest

from pipeline.search.allocate import Proposal
from pipeline.search.light import FORMS, SMALLER, Light, costs, promised, smallest
from pipeline.search.pricing import Price, Way
from pipeline.search.space import Choice

WAY = Way("int8", "onnxruntime", "int8", 1, 1, 1)
SMALL, LARGE, WHOLE = Choice(("a", "b")), Choice(("a",)), Choice()
BITS, ZEROS = Light(5, 0.0), Light(5, 0.75)
COSTS = {BITS: 0.001, ZEROS: 0.0065}
POOL = [
    Proposal(WHOLE, 0.0, Price(4.0, 300_000, WAY)),
    Proposal(LARGE, 0.004, Price(2.0, 100_000, WAY)),
    Proposal(SMALL, 0.0085, Price(1.0, 60_000, WAY)),
]


def test_smallest_within_the_drop_is_found() -> None:
    found = smallest(POOL, COSTS, 0.01, None, ())
    assert found == (POOL[2], BITS), "75 % zeros of the large one would break the drop"
    found = smallest(POOL, COSTS, 0.0106, None, ())
    assert found == (POOL[1], ZEROS)
    assert smallest(POOL, COSTS, 0.0005, None, ()) is None


def test_what_was_trained_or_is_no_smaller_is_not_trained_again() -> None:
    best = promised(60_000, BITS)
    assert smallest(POOL, COSTS, 0.01, best, ()) is None
    assert smallest(POOL, COSTS, 0.01, best / SMALLER + 1, ()) == (POOL[2], BITS)
    again = smallest(POOL, COSTS, 0.01, None, [(SMALL, BITS)])
    assert again is not None and again != (POOL[2], BITS)


def test_whole_network_is_not_given_few_values_alone() -> None:
    found = smallest(POOL[:1], costs(()), 0.01, None, ())
    assert found is not None and found[1].sparsity


def test_what_one_form_cost_moves_what_the_others_are_thought_to_cost() -> None:
    expected = {light: worth.cost for light, worth in FORMS.items()}
    assert costs(()) == expected
    dear = costs([(BITS, 3 * expected[BITS])])
    assert dear[BITS] == pytest.approx(3 * expected[BITS])
    assert dear[ZEROS] == pytest.approx(3 * expected[ZEROS])
    cheap = costs([(BITS, -0.001)])
    assert 0 < cheap[BITS] < expected[BITS] and 0 < cheap[ZEROS] < expected[ZEROS]
    assert costs([(BITS, float("nan"))]) == expected


def test_fewer_values_and_more_zeros_promise_less() -> None:
    sizes = [promised(1000, light) for light in FORMS]
    assert sizes == sorted(sizes, reverse=True)
