"""Streaming an .npz: the same numbers as numpy reads, and a refusal of what is none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent.samples import Samples

np = pytest.importorskip("numpy")


def _packed(**arrays: Any) -> io.BytesIO:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    stream.seek(0)
    return stream


def test_batches_give_what_numpy_reads() -> None:
    x = np.arange(7 * 2 * 3, dtype=np.float32).reshape(7, 2, 3)
    y = np.arange(7)
    found = list(Samples(_packed(x=x, y=y), ["input"]).batches(3))
    assert [len(arrays["input"]) for arrays, _ in found] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([arrays["input"] for arrays, _ in found]), x)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in found]), y)


def test_first_is_one_sample() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    np.testing.assert_array_equal(Samples(_packed(x=x), ["a"]).first()["a"], x[:1])


def test_several_inputs_are_found_by_name() -> None:
    a, b = np.zeros((5, 2)), np.ones((5, 4))
    arrays, labels = next(Samples(_packed(a=a, b=b), ["a", "b"]).batches(5))
    assert labels is None
    np.testing.assert_array_equal(arrays["b"], b)


def test_compressed_files_are_read(tmp_path: Path) -> None:
    x = np.arange(1000.0).reshape(100, 10)
    np.savez_compressed(tmp_path / "x.npz", x=x)
    with (tmp_path / "x.npz").open("rb") as stream:
        found = [arrays["x"] for arrays, _ in Samples(stream, ["x"]).batches(64)]
    np.testing.assert_array_equal(np.concatenate(found), x)


def test_missing_array_is_named() -> None:
    with pytest.raises(ValueError, match="no array mask"):
        Samples(_packed(ids=np.zeros(3)), ["ids", "mask"])


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        list(Samples(_packed(x=np.zeros((5, 2)), y=np.zeros(4, int)), ["x"]).batches(10))


def test_pickled_objects_are_refused() -> None:
    stream = io.BytesIO()
    np.savez(stream, x=np.array([{"a": 1}], dtype=object))
    stream.seek(0)
    with pytest.raises(ValueError, match="plain"):
        Samples(stream, ["x"]).first()


def test_columns_in_fortran_order_are_refused() -> None:
    with pytest.raises(ValueError, match="plain"):
        Samples(_packed(x=np.asfortranarray(np.zeros((3, 4)))), ["x"]).first()
