"""Makes a model file small for its way to a device and to an app: the smallest of a few forms that the other side's
standard library undoes bit by bit (device_agents/agent/restore.py)."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Collection
from typing import NamedTuple

from device_agents.agent.restore import GZ, MOST_SPARSE, SPARSE, XZ

LEAST_GAIN = 0.02
"""A file that becomes no smaller than by this share travels as it is."""
# A larger file's form is chosen by its middle: weights are much the same all over.
_TRIAL = 1 << 20
_MOST_DICTIONARY = 8 << 20
# (lc, lp, pb) of LZMA: the bits of the last byte, and of the place, that a byte is foretold by. Numbers of one byte
# know nothing of their neighbours (0, 0, 0), text does (3, 0, 0); in floats the place tells exponents from mantissas.
_CONTEXTS = ((0, 0, 0), (3, 0, 0), (0, 2, 0), (1, 2, 2))


class Packed(NamedTuple):
    """A packed file. suffix: how it was done, the end of its name (see agent/restore.py); "" for the file itself."""

    suffix: str
    data: bytes


class _Form(NamedTuple):
    suffix: str
    make: Callable[[bytes], bytes]


def pack(data: bytes, undoes: Collection[str] = (XZ, SPARSE + XZ)) -> Packed:
    """The smallest form of a file among those that a side can undo (`undoes`: suffixes). The same every time."""
    start = max(0, (len(data) - _TRIAL) // 2)
    trial = data[start : start + _TRIAL]
    forms = [form for form in _FORMS if form.suffix in undoes]
    if len(data) > MOST_SPARSE:  # undoing it takes Python about 0.1 s a megabyte, on a small board ten times that
        forms = [form for form in forms if not form.suffix.startswith(SPARSE)]
    tried = [(len(made := form.make(trial)), form, made) for form in forms]
    if not tried:
        return Packed("", data)
    _, form, made = min(tried, key=lambda one: one[0])
    packed = Packed(form.suffix, made if len(trial) == len(data) else form.make(data))
    return packed if len(packed.data) <= (1 - LEAST_GAIN) * len(data) else Packed("", data)


def sparse(data: bytes) -> bytes:
    """The sparse form: a bit for each byte of the file, 1 where that isn't 0 (padded with 0), then those bytes.

    Zeros that lie anywhere cost less so than as matches of LZMA.
    """
    bits = data.translate(_BITS) + b"0" * (-len(data) % 8)
    head = int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""
    return head + data.translate(None, b"\0")


_BITS = b"0" + b"1" * 255


def _xz(data: bytes, context: tuple[int, int, int]) -> bytes:
    lc, lp, pb = context
    # No larger than the file: who undoes it gets memory for all of it.
    dictionary = min(_MOST_DICTIONARY, max(4096, len(data)))
    chain = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}
    return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=[chain])


def _gz(data: bytes) -> bytes:
    # Not gzip.compress, whose header holds the time or, by version, what system wrote it.
    made = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


def _by(context: tuple[int, int, int]) -> Callable[[bytes], bytes]:
    return lambda data: _xz(data, context)


_FORMS = (
    *(_Form(XZ, _by(context)) for context in _CONTEXTS),
    _Form(SPARSE + XZ, lambda data: _xz(sparse(data), (0, 0, 0))),
    _Form(GZ, _gz),
    _Form(SPARSE + GZ, lambda data: _gz(sparse(data))),
)
