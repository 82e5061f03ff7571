"""Evaluation samples streamed out of an .npz: a data set bigger than the device's memory can still be scored."""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Tuple


class Column:
    """One array of an .npz, read a few rows at a time. shape: [N, ...]; dtype: numpy's; object arrays are refused."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        from numpy.lib import format as npy

        self._stream = archive.open(name + ".npy")
        version = npy.read_magic(self._stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, fortran, self.dtype = read(self._stream)  # type: Tuple[int, ...], bool, Any
        if fortran or self.dtype.hasobject or not self.shape:
            raise ValueError("%s: must be a plain C-ordered array with samples along the first axis" % name)

    def rows(self, count: int) -> Any:
        """The next `count` rows, fewer at the end."""
        import numpy

        row = self.dtype.itemsize
        for size in self.shape[1:]:
            row *= size
        data = _read_up_to(self._stream, count * row)
        if len(data) % max(row, 1):
            raise ValueError("the evaluation file ends in the middle of a sample")
        found = len(data) // row if row else 0
        return numpy.frombuffer(data, dtype=self.dtype).reshape((found, *self.shape[1:]))


def _read_up_to(stream: Any, size: int) -> bytes:
    parts: List[bytes] = []
    while size > 0:
        part = stream.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Samples:
    """An .npz with `x` [N, ...] (or one array per input name) and, optionally, `y` [N] integer labels."""

    def __init__(self, source: BinaryIO, inputs: List[str]) -> None:
        self._archive = zipfile.ZipFile(source)
        there = {name[:-4] for name in self._archive.namelist() if name.endswith(".npy")}
        if "x" in there and len(inputs) == 1:
            self._keys = {inputs[0]: "x"}
        else:
            self._keys = {name: name for name in inputs}
        missing = sorted(set(self._keys.values()) - there)
        if missing:
            raise ValueError(
                "the evaluation file has no array %s (it has: %s)" % (missing[0], ", ".join(sorted(there)))
            )
        self._labelled = "y" in there

    def first(self) -> Dict[str, Any]:
        """The first sample as {input name: array [1, ...]}."""
        return {name: Column(self._archive, key).rows(1) for name, key in self._keys.items()}

    def batches(self, size: int) -> Iterator[Tuple[Dict[str, Any], Optional[Any]]]:
        """({input name: array [n, ...]}, labels [n] or None), n <= size."""
        columns = {name: Column(self._archive, key) for name, key in self._keys.items()}
        labels = Column(self._archive, "y") if self._labelled else None
        while True:
            arrays = {name: column.rows(size) for name, column in columns.items()}
            counts = {len(array) for array in arrays.values()}
            targets = labels.rows(size) if labels is not None else None
            if targets is not None:
                counts.add(len(targets))
            if len(counts) != 1:
                raise ValueError("the arrays of the evaluation file differ in length")
            if not counts.pop():
                return
            yield arrays, targets
