"""Importance: each function against figures worked out by hand, one signature for all."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from pipeline.pruning.criteria import CRITERIA, NEEDS, MissingEvidence, Seen

WEIGHTS = torch.tensor([[3.0, -4.0], [0.5, 0.5], [-3.0, 3.0]])
PRODUCTS = torch.tensor([[2.0, -1.0, 0.5], [-2.0, 1.0, 1.0], [0.0, 0.25, 0.0]])


def all_seen() -> Seen:
    return Seen(
        WEIGHTS,
        products=PRODUCTS,
        movement=torch.tensor([[1.0, -3.0], [0.5, 0.25], [0.0, 2.0]]),
        start=torch.tensor([[2.0, -2.0], [0.5, 0.5], [3.0, 3.0]]),
        activations=torch.tensor([0.5, 2.0, 1.0]),
        zeros=torch.tensor([0.25, 1.0, 0.0]),
        gates=torch.tensor([0.1, 0.0, 0.7]),
        seed=3,
    )


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("l1", [7.0, 1.0, 6.0]),
        ("l2", [5.0, math.sqrt(0.5), math.sqrt(18)]),
        ("activation", [0.5, 2.0, 1.0]),
        ("apoz", [0.75, 0.0, 1.0]),
        # What cancels within a unit counts all the same.
        ("taylor", [3.5, 4.0, 0.25]),
        ("taylor-gate", [0.1, 0.0, 0.7]),
        # Signed: the first unit's weights move towards zero.
        ("movement", [-2.0, 0.75, 2.0]),
        ("displacement", [3.0, 0.0, 6.0]),
    ],
)
def test_criterion_gives_what_is_worked_out_by_hand(name: str, scores: list[float]) -> None:
    assert CRITERIA[name](all_seen()).tolist() == pytest.approx(scores)


def test_fpgm_sums_the_distances_to_the_other_units() -> None:
    far = math.dist((3, -4), (0.5, 0.5)), math.dist((3, -4), (-3, 3)), math.dist((0.5, 0.5), (-3, 3))
    expected = [far[0] + far[1], far[0] + far[2], far[1] + far[2]]
    assert CRITERIA["fpgm"](Seen(WEIGHTS)).tolist() == pytest.approx(expected)


def test_fpgm_sees_small_distances_between_large_weights() -> None:
    # A matrix product would round 1000^2 + 1000^2 - 2 * 1000 * 1000.01 away.
    rows = torch.full((30, 4), 1000.0)
    rows[7, 0] += 0.01
    scores = CRITERIA["fpgm"](Seen(rows))
    assert int(scores.argmax()) == 7
    assert float(scores[7]) == pytest.approx(29 * float(rows[7, 0] - 1000), rel=1e-3)


def test_fpgm_calls_the_unit_in_the_middle_the_least_important_where_l1_calls_it_the_most() -> None:
    middle = torch.tensor([[9.0, 9.0], [10.0, 10.0], [11.0, 7.0], [7.0, 8.0]]) + 1
    middle[0] = middle[1:].mean(dim=0)
    scores = CRITERIA["fpgm"](Seen(middle))
    assert int(scores.argmin()) == 0


def test_random_repeats_with_its_seed_and_differs_with_another() -> None:
    units = torch.zeros(64, 1)
    first, again, other = (CRITERIA["random"](Seen(units, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.argsort().tolist() != list(range(64))


def test_random_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    CRITERIA["random"](Seen(WEIGHTS))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", CRITERIA)
def test_criterion_gives_one_finite_float32_score_a_unit(name: str) -> None:
    scores = CRITERIA[name](all_seen())
    assert scores.shape == (3,)
    assert scores.dtype == torch.float32
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("name", CRITERIA)
def test_criterion_reads_what_it_says_it_needs_and_nothing_else(name: str) -> None:
    whole = all_seen()
    needed = Seen(whole.weights, seed=whole.seed, **{field: getattr(whole, field) for field in NEEDS[name]})
    assert torch.equal(CRITERIA[name](needed), CRITERIA[name](whole))


@pytest.mark.parametrize("name", [name for name, needs in NEEDS.items() if needs])
def test_criterion_without_its_evidence_names_itself_what_is_missing_and_what_to_give(name: str) -> None:
    with pytest.raises(MissingEvidence) as caught:
        CRITERIA[name](Seen(WEIGHTS))
    (missing,) = NEEDS[name]
    assert repr(name) in caught.value.what
    assert missing in caught.value.what
    assert caught.value.remedy.startswith("give ")


def test_every_criterion_says_what_it_needs() -> None:
    assert NEEDS.keys() == CRITERIA.keys()
    assert frozenset().union(*NEEDS.values()) <= {one.name for one in fields(Seen)} - {"weights", "seed"}


@pytest.mark.parametrize("name", CRITERIA)
def test_one_unit_alone_has_a_score(name: str) -> None:
    # A layer is one unit.
    whole = all_seen()
    one = Seen(**{field.name: getattr(whole, field.name)[:1] for field in fields(Seen) if field.name != "seed"})
    assert CRITERIA[name](one).shape == (1,)
