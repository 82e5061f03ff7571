"""Files like those of models, for what packs them."""

from __future__ import annotations

import random
import struct


def int8_weights(count: int, keep: float = 1.0, seed: int = 5) -> bytes:
    """Bytes as of INT8 weights, bell-shaped around 0; all but a share of `keep` are 0, anywhere."""
    seeded = random.Random(seed)
    return bytes(round(seeded.gauss(0, 30)) & 0xFF if seeded.random() < keep else 0 for _ in range(count))


def float_weights(count: int, seed: int = 5) -> bytes:
    """`count` float32 numbers, bell-shaped around 0."""
    seeded = random.Random(seed)
    return struct.pack(f"<{count}f", *(seeded.gauss(0, 0.1) for _ in range(count)))


def noise(count: int, seed: int = 5) -> bytes:
    """What nothing makes smaller."""
    return random.Random(seed).randbytes(count)
