"""Undoes what device_agents.packing did to a file before it travelled, by the standard library alone.

How it was packed is the end of its name, read from the right: "model.tflite.sparse.xz" is xz around the sparse form,
which is a bit for each byte of the file, 1 where that isn't 0 (the first byte is the highest bit), then those bytes.
"""

from __future__ import annotations

import importlib
from typing import BinaryIO, Iterator, List

SPARSE = ".sparse"
XZ = ".xz"
GZ = ".gz"
MOST_SPARSE = 8 << 20
"""Bytes of the largest file that has a sparse form: undoing it takes all of the form in memory."""
_CHUNK = 1 << 20
# Bytes of the sparse form's bits that are undone at a time: in between they take eighty times their room.
_BITS = 1 << 13
# What an xz stream may ask for to be undone; ours ask for the file's size, at most 8 MiB, and a little.
_MEMORY = 64 << 20


class Damaged(Exception):
    """A packed file is cut short, changed, or holds more than it should; str() says which."""


def known() -> List[str]:
    """The forms that this Python can undo: small systems are built without one module or the other."""
    found = []
    for suffix, module in ((XZ, "lzma"), (GZ, "zlib")):
        try:
            importlib.import_module(module)
        except ImportError:
            continue
        found += [suffix, SPARSE + suffix]
    return found


def restored(packed: BinaryIO, suffix: str, size: int) -> Iterator[bytes]:
    """The file again, in pieces, `size` bytes at most; whether they are the right ones only their digest tells.

    Raises Damaged instead of giving a byte more than that; OSError where `packed` can't be read.
    """
    if suffix.startswith(SPARSE):
        if size > MOST_SPARSE:
            raise Damaged("no file of more than %d bytes has a sparse form" % MOST_SPARSE)
        form = _bounded(_undone(packed, suffix[len(SPARSE) :]), -(-size // 8) + size)
        return _filled(b"".join(form), size)
    return _bounded(_undone(packed, suffix), size)


def _filled(form: bytes, size: int) -> Iterator[bytes]:
    """The file that a sparse form stands for, in pieces."""
    head = -(-size // 8)
    if len(form) < head:
        raise Damaged("it holds fewer bits than the file has bytes")
    values = iter(memoryview(form)[head:])
    for start in range(0, head, _BITS):
        stop = min(start + _BITS, head)
        bits = format(int.from_bytes(form[start:stop], "big"), "0%db" % (8 * (stop - start)))
        try:
            yield bytes([next(values) if bit == "1" else 0 for bit in bits[: size - 8 * start]])
        except StopIteration:
            raise Damaged("it holds fewer bytes than its bits promise") from None


def _bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    left = most
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise Damaged("it holds more than the %d bytes that it should" % most)
        yield piece


def _undone(packed: BinaryIO, suffix: str) -> Iterator[bytes]:
    """The stream without its compression, a mebibyte at most at a time, however little it came as."""
    if suffix == XZ:
        import lzma

        try:
            yield from _from_xz(packed)
        except lzma.LZMAError as error:
            raise Damaged(str(error)) from error
    elif suffix == GZ:
        import zlib

        try:
            yield from _from_gz(packed)
        except zlib.error as error:
            raise Damaged(str(error)) from error
    elif suffix == "":
        yield from iter(lambda: packed.read(_CHUNK), b"")
    else:
        raise Damaged("it is packed in a way that is not known here: %s" % suffix)


def _from_xz(packed: BinaryIO) -> Iterator[bytes]:
    import lzma

    undo = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY)
    while not undo.eof:
        data = packed.read(_CHUNK) if undo.needs_input else b""
        if undo.needs_input and not data:
            raise Damaged("it is cut short")
        yield undo.decompress(data, _CHUNK)


def _from_gz(packed: BinaryIO) -> Iterator[bytes]:
    import zlib

    undo = zlib.decompressobj(16 + zlib.MAX_WBITS)
    while not undo.eof:
        data = undo.unconsumed_tail or packed.read(_CHUNK)
        yield undo.decompress(data, _CHUNK) if data else undo.flush()
        if not data and not undo.eof:
            raise Damaged("it is cut short")
