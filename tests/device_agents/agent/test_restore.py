"""Restoring: every damage is told, no more is written than was promised, and old Pythons can do it."""

from __future__ import annotations

import gzip
import io
import lzma
import subprocess
import sys

import pytest

from device_agents.agent import restore
from device_agents.agent.restore import GZ, SPARSE, XZ, Damaged, known, restored
from device_agents.packing import pack, sparse
from tests.device_agents.agent.pythons import HOW, python
from tests.device_agents.weights import int8_weights
from tests.prerequisites import require

DATA = int8_weights(30_000, keep=0.2)
PACKED = {
    XZ: lzma.compress(DATA),
    GZ: gzip.compress(DATA),
    SPARSE + XZ: lzma.compress(sparse(DATA)),
    SPARSE + GZ: gzip.compress(sparse(DATA)),
}


def _restored(data: bytes, suffix: str, size: int = len(DATA)) -> bytes:
    return b"".join(restored(io.BytesIO(data), suffix, size))


@pytest.mark.parametrize("suffix", PACKED)
def test_stream_that_is_cut_short_is_damaged(suffix: str) -> None:
    whole = PACKED[suffix]
    assert _restored(whole, suffix) == DATA
    for kept in (0, 1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(Damaged):
            _restored(whole[:kept], suffix)


@pytest.mark.parametrize("suffix", PACKED)
def test_stream_with_a_changed_byte_is_damaged(suffix: str) -> None:
    whole = PACKED[suffix]
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0x55
    with pytest.raises(Damaged):
        _restored(bytes(changed), suffix)


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress])
def test_bomb_ends_at_the_promised_size(compress: object) -> None:
    bomb = compress(bytes(200_000_000))  # type: ignore[operator]
    suffix = XZ if compress is lzma.compress else GZ
    given = 0
    with pytest.raises(Damaged, match="more than the 5000000 bytes"):
        for piece in restored(io.BytesIO(bomb), suffix, 5_000_000):
            given += len(piece)
    assert given <= 5_000_000


def test_stream_that_wants_much_memory_is_damaged() -> None:
    greedy = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}])
    with pytest.raises(Damaged, match=r"(?i)memory"):
        _restored(greedy, XZ)


def test_sparse_form_that_promises_more_bytes_than_it_has_is_damaged() -> None:
    with pytest.raises(Damaged, match="fewer bytes"):
        _restored(gzip.compress(b"\xff\xff" + bytes(9)), SPARSE + GZ, 16)


def test_sparse_form_with_fewer_bits_than_the_file_has_bytes_is_damaged() -> None:
    with pytest.raises(Damaged, match="fewer bits"):
        _restored(gzip.compress(b"\0"), SPARSE + GZ, 16)


def test_sparse_form_of_many_pieces_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "_BITS", 7)
    pieces = list(restored(io.BytesIO(PACKED[SPARSE + XZ]), SPARSE + XZ, len(DATA)))
    assert len(pieces) > 2 and b"".join(pieces) == DATA


def test_sparse_form_of_more_than_is_ever_made_is_damaged_before_it_takes_memory() -> None:
    bomb = lzma.compress(bytes(20_000_000))
    with pytest.raises(Damaged, match="has a sparse form"):
        _restored(bomb, SPARSE + XZ, restore.MOST_SPARSE + 1)


def test_unknown_packing_is_damaged() -> None:
    with pytest.raises(Damaged, match=r"not known here: \.zst"):
        _restored(b"", ".zst")


def test_python_without_lzma_knows_gzip_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known() == [XZ, SPARSE + XZ, GZ, SPARSE + GZ]
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert known() == [GZ, SPARSE + GZ]
    monkeypatch.setitem(sys.modules, "zlib", None)
    assert known() == []


@pytest.mark.parametrize("minor", [8, 9, 10, 11, 12, 13])
def test_every_python_restores_what_this_one_packed(minor: int) -> None:
    found = python(minor)
    require(found, HOW.format(minor))
    assert found is not None
    packed = pack(DATA)
    assert packed.suffix == SPARSE + XZ
    code = f"import sys; sys.path.insert(0, {restore.__file__.rpartition('/')[0]!r}); import restore as r\n"
    code += f"for p in r.restored(sys.stdin.buffer, {packed.suffix!r}, {len(DATA)}): sys.stdout.buffer.write(p)"
    done = subprocess.run([found, "-I", "-c", code], input=packed.data, capture_output=True, check=True)
    assert done.stdout == DATA
