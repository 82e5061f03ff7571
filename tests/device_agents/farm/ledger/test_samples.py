"""Packed samples: the same on the way back, and small."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.farm.ledger.samples import fits, pack, unpack


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=300))
def test_unpack_gives_what_was_packed(samples: list[int]) -> None:
    assert fits(samples)
    assert unpack(pack(samples)) == samples


@pytest.mark.parametrize("samples", [[], None, (1, 2), [True], [1.0], [-1], [2**63], [1, "2"], 7])
def test_fits_refuses_what_would_come_back_otherwise(samples: Any) -> None:
    assert not fits(samples)


def test_packed_samples_are_far_smaller_than_json() -> None:
    rng = random.Random(1)
    samples = [int(60_000 * (1 + rng.expovariate(30))) for _ in range(140)]
    assert len(pack(samples)) < 0.5 * len(json.dumps(samples))


def test_packed_bytes_stay_as_they_are() -> None:
    """What older ledgers hold must be read for ever."""
    assert unpack(bytes.fromhex("789c636060346164601064c0010007e70048")) == [256, 257, 4660]
