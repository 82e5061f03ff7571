"""Atoms: what is joined stays joined, what is frozen stays frozen, with the first reason."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pruning.atoms import NOBODY, Atoms


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_join_makes_the_classes_that_plain_search_finds(pairs: list[tuple[int, int]]) -> None:
    atoms = Atoms()
    atoms.fresh("w", 0, 12)
    for one, other in pairs:
        atoms.join(one, other)
    classes = [{atom} for atom in range(12)]
    for one, other in pairs:
        first = next(c for c in classes if one in c)
        second = next(c for c in classes if other in c)
        if first is not second:
            classes.remove(second)
            first |= second
    for found in classes:
        assert {atoms.root(atom) for atom in found} == {min(found)}


@given(st.permutations([0, 1, 2]))
def test_frozen_atoms_freeze_what_they_are_joined_with_in_any_order(order: list[int]) -> None:
    atoms = Atoms()
    atoms.fresh("w", 0, 4)
    steps = [lambda: atoms.freeze([0], "why"), lambda: atoms.join(0, 1), lambda: atoms.join(2, 1)]
    for place in order:
        steps[place]()
    assert [atoms.frozen(atom) for atom in range(4)] == ["why", "why", "why", None]


def test_first_reason_stays() -> None:
    atoms = Atoms()
    atoms.fresh("w", 0, 2)
    atoms.freeze([0], "first")
    atoms.freeze([0], "second")
    assert atoms.frozen(0) == "first"


def test_join_with_nobody_freezes() -> None:
    atoms = Atoms()
    atoms.fresh("w", 0, 2)
    atoms.join_all(torch.tensor([0, NOBODY]), torch.tensor([NOBODY, NOBODY]))
    assert atoms.frozen(0) is not None
    assert atoms.frozen(1) is None


def test_join_all_broadcasts() -> None:
    atoms = Atoms()
    atoms.fresh("heads", 0, 2)
    atoms.fresh("q", 0, 6)
    atoms.join_all(torch.tensor([0, 1])[:, None], torch.arange(2, 8).view(2, 3))
    assert [atoms.root(atom) for atom in range(8)] == [0, 1, 0, 0, 0, 1, 1, 1]


def test_heads_stay_marked_when_they_are_joined() -> None:
    atoms = Atoms()
    atoms.fresh("w", 0, 3)
    atoms.mark_heads([2])
    atoms.join(2, 0)
    assert [atoms.is_head(atom) for atom in range(3)] == [True, False, True]


def test_origins_name_the_axis() -> None:
    atoms = Atoms()
    atoms.fresh("a", 0, 2)
    atoms.fresh("b", 1, 3)
    origin = atoms.origins[4]
    assert (origin.tensor, origin.axis, origin.position) == ("b", 1, 2)
