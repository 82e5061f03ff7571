"""A block's raw samples as a few bytes: what is above the least of them, bytes of equal weight together, zlib.

Samples of one block lie close together, so the high bytes of the differences are nearly all zero, and zlib sees that
once they stand side by side (the shuffle filter of HDF5 and Blosc). `python -m tests.bench.ledger --encodings` compares
it with deltas and with JSON.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable
from typing import Any

_WIDTH = 8
_LIMIT = 1 << 63


def fits(samples: Any) -> bool:
    """Whether `pack` can take it: a list of one or more plain integers of 0 to 2^63 - 1."""
    return isinstance(samples, list) and bool(samples) and all(type(x) is int and 0 <= x < _LIMIT for x in samples)


def pack(samples: list[int]) -> bytes:
    """Samples of which `fits` holds as bytes: little-endian int64 [1 + N], the least first, shuffled, deflated."""
    least = min(samples)
    plain = _bytes([least, *(sample - least for sample in samples)])
    return zlib.compress(b"".join(plain[i::_WIDTH] for i in range(_WIDTH)))


def unpack(packed: bytes) -> list[int]:
    """What `pack` was given."""
    shuffled = zlib.decompress(packed)
    count = len(shuffled) // _WIDTH
    plain = bytearray(len(shuffled))
    for i in range(_WIDTH):
        plain[i::_WIDTH] = shuffled[i * count : (i + 1) * count]
    numbers = array("q")
    numbers.frombytes(bytes(plain))
    if sys.byteorder == "big":
        numbers.byteswap()
    least, *above = numbers
    return [least + more for more in above]


def _bytes(numbers: Iterable[int]) -> bytes:
    made = array("q", numbers)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()
