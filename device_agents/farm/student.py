"""Student's t: its distribution function and quantiles, exact enough for any tail, without a numerics library.

By the incomplete beta function's continued fraction (Abramowitz & Stegun 26.5.8, 26.7.1), evaluated by Lentz's method
(Press et al., "Numerical Recipes", section 6.4).
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_TINY = 1e-300
_EXACT = 1e-15
_FAR = 1e7
"""Degrees of freedom from which on the normal distribution is the same to eight digits."""


def two_sided_p(t: float, freedom: float) -> float:
    """The chance that |T| > |t| for `freedom` > 0 degrees of freedom."""
    if math.isnan(t):
        return 1.0
    if freedom > _FAR:
        return math.erfc(abs(t) / math.sqrt(2))
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


@lru_cache(maxsize=4096)
def quantile(confidence: float, freedom: float) -> float:
    """t with the central share `confidence` (0..1) between -t and t."""
    if not 0 < confidence < 1:
        raise ValueError("confidence must lie between 0 and 1")
    if freedom > _FAR:
        return NormalDist().inv_cdf((1 + confidence) / 2)
    outside = 1 - confidence
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > outside:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, freedom) > outside else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # The fraction converges fast on one side of the mean only; the other side is its complement.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            result *= d * c
        if abs(d * c - 1) < _EXACT:
            break
    return result


def _away(value: float) -> float:
    """Away from zero, by which Lentz's method would divide."""
    return value if abs(value) > _TINY else _TINY
