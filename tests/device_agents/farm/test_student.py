"""Student's t against scipy's, over all that the verdicts ask of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.farm.student import quantile, two_sided_p


@settings(deadline=None)  # the first call imports scipy
@given(st.floats(0.01, 60), st.floats(0.5, 1e5))
def test_tail_is_scipys(t: float, freedom: float) -> None:
    from scipy import stats

    expected = 2 * stats.t.sf(t, freedom)
    assert math.isclose(two_sided_p(t, freedom), expected, rel_tol=1e-7, abs_tol=1e-14)
    assert two_sided_p(-t, freedom) == two_sided_p(t, freedom)


@pytest.mark.parametrize("freedom", [0.7, 1, 2.5, 9, 40, 1e4, 1e9])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9967, 0.99999])
def test_quantile_is_scipys(confidence: float, freedom: float) -> None:
    from scipy import stats

    assert math.isclose(quantile(confidence, freedom), stats.t.ppf((1 + confidence) / 2, freedom), rel_tol=1e-6)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, math.nan])
def test_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile(confidence, 5)


def test_nothing_known_is_no_evidence() -> None:
    assert two_sided_p(math.nan, 5) == 1.0
