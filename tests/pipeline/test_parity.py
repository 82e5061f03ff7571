"""Parity: what counts as the same answers, by hand and for any outputs."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgewright.files import canonical_json
from pipeline.parity import Parity, compare_outputs, sentence

STEPS = hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12))
SCALES = st.floats(1e-4, 1.0)


def _int8(steps: np.ndarray, scale: float) -> np.ndarray:
    return steps.astype(np.float32) * np.float32(scale)


@given(STEPS, SCALES, st.booleans())
def test_parity_of_equal_integers_is_to_the_bit(steps: np.ndarray, scale: float, one: bool) -> None:
    outputs = _int8(steps, scale)
    found = compare_outputs(outputs, outputs.copy(), exact=True, scale=scale, same_runtime=one, bound=0.0)
    assert (found.same, found.lsb, found.worst, found.agreement, found.samples) == (True, 0, 0, 1, len(steps))
    said = f"({len(steps)} samples, INT8 to the bit)"
    assert sentence(found) == f"the same answers as on this machine {said}"


@given(STEPS, SCALES, st.integers(1, 3), st.data())
def test_parity_of_one_value_off_by_steps_depends_on_the_runtime(
    steps: np.ndarray,
    scale: float,
    off: int,
    data: st.DataObject,
) -> None:
    place = tuple(data.draw(st.integers(0, side - 1)) for side in steps.shape)
    moved = steps.astype(np.int32)
    moved[place] += off
    one, other = _int8(steps, scale), _int8(moved, scale)
    within = compare_outputs(one, other, exact=True, scale=scale, same_runtime=True, bound=1e9)
    across = compare_outputs(one, other, exact=True, scale=scale, same_runtime=False, bound=0.0)
    close = within.agreement >= 0.98 and within.sqnr_db is not None and within.sqnr_db >= 30
    assert within.same == (close and off <= 2)
    assert within.lsb == pytest.approx(off, rel=1e-3)
    assert across.same == (off == 1 or close)
    if off == 1:
        assert sentence(across).endswith("INT8 to one step of the output)")


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-50, 50, width=32)), st.floats(1e-6, 1e-2))
def test_parity_of_floats_is_within_the_bound_of_the_spread(outputs: np.ndarray, bound: float) -> None:
    outputs[0, :2] = 0, 1  # a spread
    spread = float(outputs.std())
    for share, same in ((0.5, True), (2.0, False)):
        other = outputs.astype(np.float64)
        other[1, 1] += share * bound * spread
        found = compare_outputs(outputs, other, exact=False, scale=None, same_runtime=True, bound=bound)
        assert found.same is same
        assert found.worst == pytest.approx(share * bound, rel=1e-3)


@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(-9, 9, width=32)),
    st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans(), st.booleans(), st.sampled_from([None, 0.1]),
)  # fmt: skip
def test_parity_with_a_non_number_is_never_the_same(
    outputs: np.ndarray,
    value: float,
    exact: bool,
    both: bool,
    scale: float | None,
) -> None:
    broken = outputs.copy()
    broken[1, 2] = value
    found = compare_outputs(broken if both else outputs, broken, exact, scale, True, 1e9, quantised=True)
    assert not found.same
    assert "not all of its answers are numbers" in sentence(found)
    assert canonical_json(asdict(found))  # what reports are written as


def test_parity_of_a_partly_quantised_net_is_by_agreement_and_noise() -> None:
    random = np.random.default_rng(0)
    outputs = random.normal(size=(64, 10)).astype(np.float32)
    near = outputs + 0.01 * random.normal(size=outputs.shape).astype(np.float32)  # 40 dB
    far = outputs + 0.1 * random.normal(size=outputs.shape).astype(np.float32)  # 20 dB
    for scale, quantised in ((0.01, None), (None, True)):
        given = {"exact": False, "scale": scale, "same_runtime": True, "bound": 1e-3, "quantised": quantised}
        assert compare_outputs(outputs, near, **given).same  # type: ignore[arg-type]
        found = compare_outputs(outputs, far, **given)  # type: ignore[arg-type]
        assert not found.same
        assert "of the same class, 19.7 dB" in sentence(found)
    assert not compare_outputs(outputs, near, exact=False, scale=None, same_runtime=True, bound=1e-3).same


def test_parity_of_other_classes_is_not_the_same_however_little_they_differ() -> None:
    outputs = np.tile(np.array([[1.0, 1.001]], np.float32), (20, 1))
    swapped = outputs[:, ::-1].copy()
    found = compare_outputs(outputs, swapped, exact=False, scale=None, same_runtime=True, bound=1e-3, quantised=True)
    assert found.agreement == 0
    assert not found.same


def test_parity_of_exact_integers_without_an_output_step_is_to_the_bit_or_by_noise() -> None:
    outputs = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    near = outputs * np.float32(1.0001)
    assert compare_outputs(outputs, outputs, True, None, True, 0.0).same
    assert not compare_outputs(outputs, near, True, None, True, 1.0).same
    assert compare_outputs(outputs, near, True, None, False, 0.0).same


def test_parity_of_another_shape_or_of_nothing_is_not_the_same() -> None:
    outputs = np.ones((4, 3), np.float32)
    assert compare_outputs(outputs, outputs[:, :2], False, None, True, 1.0) == Parity(4, None, None, 0.0, False)
    assert not compare_outputs(outputs[:0], outputs[:0], False, None, True, 1.0).same


def test_sentence_tells_floats_by_their_share_of_the_spread() -> None:
    outputs = np.random.default_rng(0).normal(size=(64, 10))
    found = compare_outputs(outputs, outputs + 1e-7, False, None, True, 1e-3)
    assert sentence(found).startswith("the same answers as on this machine (64 samples, within 1.0e-07 of their spread")
    assert sentence(compare_outputs(outputs[:1], outputs[:1], False, None, True, 1e-3)).endswith(
        "(1 sample, to the bit)"
    )


def test_parity_of_two_roundings_is_held_against_what_rounding_costs() -> None:
    """tflite-runtime and LiteRT round alike in no two layers: a net that INT8 costs 20 dB may differ by as much."""
    seeded = np.random.default_rng(0)
    outputs = _int8(seeded.integers(-100, 100, (64, 10)), 0.1)
    outputs[np.arange(64), outputs.argmax(-1)] += 5.0
    other = outputs + _int8(seeded.integers(-4, 5, (64, 10)), 0.1)
    how = {"exact": True, "scale": 0.1, "same_runtime": False, "bound": 1e-3}
    found = compare_outputs(outputs, other, **how)  # type: ignore[arg-type]
    assert found.sqnr_db is not None and 20 < found.sqnr_db < 30 and found.agreement == 1
    assert not found.same
    assert compare_outputs(outputs, other, **how, own_sqnr_db=20.0).same  # type: ignore[arg-type]
    assert not compare_outputs(outputs, other, **how, own_sqnr_db=40.0).same  # type: ignore[arg-type]
