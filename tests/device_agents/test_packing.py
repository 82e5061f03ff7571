"""Packing: the smallest form that the other side can undo, bit by bit, the same every time."""

from __future__ import annotations

import io
import lzma

import pytest

from device_agents import packing
from device_agents.agent.restore import GZ, SPARSE, XZ, restored
from device_agents.packing import Packed, pack, sparse
from tests.device_agents.weights import float_weights, int8_weights, noise

FILES = {
    "int8": int8_weights(60_001),
    "sparse": int8_weights(60_001, keep=0.2),
    "floats": float_weights(20_000) + b"odd",
    "zeros": bytes(50_000),
    "text": b"model graph node " * 3000,
    "noise": noise(40_000),
    "one": b"x",
    "nothing": b"",
}


def back(packed: Packed, size: int) -> bytes:
    return b"".join(restored(io.BytesIO(packed.data), packed.suffix, size))


@pytest.mark.parametrize("undoes", [(XZ, SPARSE + XZ), (GZ,), (XZ, GZ, SPARSE + GZ), ()], ids=str)
@pytest.mark.parametrize("name", FILES)
def test_what_is_packed_is_restored_bit_by_bit(name: str, undoes: tuple[str, ...]) -> None:
    data = FILES[name]
    packed = pack(data, undoes)
    assert back(packed, len(data)) == data
    assert len(packed.data) <= len(data)
    assert packed == pack(data, undoes)
    assert packed.suffix in ("", *undoes)


def test_no_gain_travels_as_it_is() -> None:
    assert pack(FILES["noise"]) == Packed("", FILES["noise"])
    assert pack(FILES["int8"], ()) == Packed("", FILES["int8"])


def test_weights_that_are_mostly_zero_take_the_sparse_form_and_less_than_xz() -> None:
    data = FILES["sparse"]
    packed = pack(data)
    assert packed.suffix == SPARSE + XZ
    assert len(packed.data) < 0.95 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def test_floats_take_less_than_at_xz_s_defaults() -> None:
    data = FILES["floats"]
    assert len(pack(data).data) < 0.95 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def test_sparse_form_is_the_bits_and_then_the_bytes() -> None:
    assert sparse(b"\0\x05\0\0\0\0\0\0\x07") == b"\x40\x80\x05\x07"


def test_large_file_is_packed_by_what_its_middle_is_best_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_TRIAL", 4000)
    data = noise(10_000) + int8_weights(60_000, keep=0.1) + noise(10_000)
    packed = pack(data)
    assert packed.suffix == SPARSE + XZ
    assert back(packed, len(data)) == data
    monkeypatch.setattr(packing, "MOST_SPARSE", 70_000)
    assert pack(data).suffix == XZ
