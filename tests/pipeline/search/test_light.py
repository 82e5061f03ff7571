"""Which network in which form promises the smallest package, and what is learnt from those that were trained."""

from __future__ import annotations

import pytest

from pipeline.search.allocate import Proposal
from pipeline.search.light import (
    CUT,
    DENSE,
    FORMS,
    HOPED,
    SMALLER,
    Light,
    Offer,
    Tried,
    bearable,
    promised,
    rates,
    smallest,
    usual_cost,
)
from pipeline.search.pricing import Price, Way
from pipeline.search.space import Choice

WAY = Way("int8", "onnxruntime", "int8", 1, 1, 1)
SMALL, LARGE, WHOLE = Choice(("a", "b")), Choice(("a",)), Choice()
BITS, ZEROS = Light(5, 0.0), Light(5, 0.75)
RATES = {BITS: 1.0, ZEROS: 1.0}
POOL = [
    Offer(Proposal(WHOLE, 0.0, Price(4.0, 300_000, WAY)), 1.0),
    Offer(Proposal(LARGE, 0.004, Price(2.0, 100_000, WAY)), 0.4),
    Offer(Proposal(SMALL, 0.007, Price(1.0, 60_000, WAY)), CUT),
]
OF_SMALL, OF_LARGE = 0.007 + FORMS[BITS].cost, 0.004 + usual_cost(ZEROS, 0.4)


def test_smallest_within_the_drop_is_found() -> None:
    large, small = (POOL[1].proposal, ZEROS), (POOL[2].proposal, BITS)
    assert OF_LARGE < OF_SMALL
    assert smallest(POOL, RATES, OF_LARGE, None, ()) == large
    assert smallest(POOL[2:], RATES, OF_SMALL, None, ()) == small
    assert smallest(POOL[2:], RATES, FORMS[ZEROS].cost + 0.007, None, ()) == (POOL[2].proposal, ZEROS)


def test_where_nothing_is_within_the_surest_that_may_hold_is_found() -> None:
    near = 1.01 * OF_SMALL / HOPED
    assert near < OF_SMALL
    assert smallest(POOL[2:], RATES, near, None, ()) == (POOL[2].proposal, BITS)
    assert smallest(POOL[2:], RATES, 0.9 * OF_SMALL / HOPED, None, ()) is None


def test_what_was_trained_or_is_no_smaller_is_not_trained_again() -> None:
    best = promised(100_000, ZEROS, 0.0)
    assert smallest(POOL, RATES, OF_LARGE, best, ()) is None
    assert smallest(POOL, RATES, OF_LARGE, best / SMALLER + 1, ()) == (POOL[1].proposal, ZEROS)
    again = smallest(POOL, RATES, OF_LARGE, None, [(LARGE, ZEROS)])
    assert again is not None and again != (POOL[1].proposal, ZEROS)


def test_whole_network_is_not_given_few_values_alone() -> None:
    found = smallest(POOL[:1], rates(()), 0.01, None, ())
    assert found is not None and found[1].sparsity


def test_what_one_form_cost_moves_what_all_are_thought_to_cost() -> None:
    assert set(rates(()).values()) == {1.0}
    dear = rates([Tried(BITS, CUT, 3 * FORMS[BITS].cost)])
    assert dear[ZEROS] == pytest.approx(2.0), "one training is half of what is thought"
    assert 2 < dear[BITS] < 3
    cheap = rates([Tried(BITS, CUT, -0.001)])
    assert 0 < cheap[BITS] < cheap[ZEROS] < 1


def test_larger_network_bears_a_form_better() -> None:
    assert usual_cost(ZEROS, CUT) == FORMS[ZEROS].cost
    assert usual_cost(ZEROS, 1.0) < usual_cost(ZEROS, 0.4) < usual_cost(ZEROS, CUT)
    assert usual_cost(ZEROS, 0.0) < 1
    # So what the whole network lost says the same as what a small one lost, each beside its usual cost.
    assert rates([Tried(ZEROS, 1.0, usual_cost(ZEROS, 1.0))])[ZEROS] == pytest.approx(1.0)


def test_fewer_values_and_more_zeros_promise_less() -> None:
    sizes = [promised(1000, light, 0.0) for light in FORMS]
    assert sizes == sorted(sizes, reverse=True)


def test_embeddings_keep_their_bytes() -> None:
    assert promised(1000, ZEROS, 1.0) == 1000 * DENSE
    assert promised(1000, ZEROS, 0.0) < promised(1000, ZEROS, 0.5) < 1000 * DENSE


def test_so_small_a_drop_that_no_form_can_hold_is_known() -> None:
    assert bearable(0.01) and not bearable(0.0)
    least = min(usual_cost(light, 1.0) for light in FORMS)
    assert bearable(least / HOPED) and not bearable(0.99 * least / HOPED)
