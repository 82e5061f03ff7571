"""Verifies Ed25519 signatures (RFC 8032, section 5.1.7) in plain Python: a device has no library for it as a rule.

Only what is public goes in, so it need not take the same time for every input. Stricter than the RFC asks: one message
and key have no second signature, and keys of small order, for which forged signatures hold, are refused.
"""

from __future__ import annotations

import hashlib
from typing import List, Optional, Tuple

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)

# (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z: RFC 8032, 5.1.4.
Point = Tuple[int, int, int, int]
_ZERO: Point = (0, 1, 1, 0)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is one of `message` by the key `public` (32 bytes). Never raises for bad bytes."""
    key = _decoded(public) if usable(public) else None
    if key is None or len(signature) != 64:
        return False
    shown, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if scalar >= _L:
        return False
    hashed = int.from_bytes(hashlib.sha512(shown + public + message).digest(), "little") % _L
    # R = S B - k A, compared as bytes: an R that is spelt otherwise than the RFC does is none.
    return _encoded(_two_products(scalar, _BASE, hashed, _negative(key))) == shown


def usable(public: bytes) -> bool:
    """Whether these are 32 bytes that spell a point as the RFC does, not one of small order."""
    point = _decoded(public)
    if point is None:
        return False
    for _ in range(3):
        point = _doubled(point)
    return _encoded(point) != _encoded(_ZERO)


def _decoded(data: bytes) -> Optional[Point]:
    """RFC 8032, 5.1.3; None where it is no point, or not spelt canonically."""
    if len(data) != 32:
        return None
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * _SQRT_MINUS_1 % _P
        if (v * x * x - u) % _P:
            return None
    if x & 1 != sign:
        if not x:
            return None
        x = _P - x
    return (x, y, 1, x * y % _P)


def _encoded(point: Point) -> bytes:
    """RFC 8032, 5.1.2."""
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _negative(point: Point) -> Point:
    x, y, z, t = point
    return (_P - x, y, z, _P - t)


def _sum(one: Point, two: Point) -> Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _doubled(point: Point) -> Point:
    a, b = point[0] * point[0] % _P, point[1] * point[1] % _P
    h, g = a + b, a - b
    e = h - (point[0] + point[1]) ** 2 % _P
    f = 2 * point[2] * point[2] % _P + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _two_products(m: int, one: Point, n: int, two: Point) -> Point:
    """m one + n two, bit by bit together (Shamir's trick): half the doublings of two products."""
    both: List[Point] = [_ZERO, one, two, _sum(one, two)]
    found = _ZERO
    for bit in reversed(range(max(m.bit_length(), n.bit_length()))):
        found = _doubled(found)
        which = (m >> bit & 1) | (n >> bit & 1) << 1
        if which:
            found = _sum(found, both[which])
    return found


_BASE = _decoded((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little")) or _ZERO
