"""Accuracy on the device: top-1 over the evaluation file, apart from the timing, with a digest of the outputs."""

from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, Optional

from .feeds import fixed_batch
from .runtimes import Runtime
from .samples import Samples


def cast(arrays: Dict[str, Any], runtime: Runtime) -> Dict[str, Any]:
    """The arrays in the dtypes that the model asks for."""
    return {wanted.name: arrays[wanted.name].astype(wanted.dtype, copy=False) for wanted in runtime.inputs()}


def filled(arrays: Dict[str, Any], size: int) -> Dict[str, Any]:
    """The arrays with their last sample repeated up to `size` samples."""
    import numpy

    def fill(array: Any) -> Any:
        short = size - len(array)
        return array if short <= 0 else numpy.concatenate([array, numpy.repeat(array[-1:], short, axis=0)])

    return {name: fill(array) for name, array in arrays.items()}


def measure(
    runtime: Runtime,
    path: str,
    batch: int,
    save: str = "",
    most: Optional[int] = None,
    keep: Optional[int] = None,
) -> Dict[str, Any]:
    """Runs the samples of the .npz at `path`, at most `most`, `batch` at a time (the model's own where that is fixed).

    Returns name "top-1", value (share of samples whose argmax over the first output's last axis is the label, None
    without labels), n, and outputs_sha256 of the first output as little-endian float32 in the samples' order. With
    `save`, that output also goes to that .npy file (float32, [n, ...]); of
    the first `keep` samples where that is given.
    """
    import numpy

    size = fixed_batch(runtime) or batch
    digest = hashlib.sha256()
    kept = []
    right = count = 0
    labelled = True
    with open(path, "rb") as source:
        for arrays, labels in Samples(source, [wanted.name for wanted in runtime.inputs()]).batches(size):
            if most is not None:
                arrays = {name: array[: most - count] for name, array in arrays.items()}
                labels = None if labels is None else labels[: most - count]
            real = len(next(iter(arrays.values())))
            if fixed_batch(runtime):
                arrays = filled(arrays, size)
            output = numpy.asarray(runtime.run(cast(arrays, runtime))[0])[:real]
            digest.update(numpy.ascontiguousarray(output, dtype="<f4").tobytes())
            if save and (keep is None or count < keep):
                kept.append(output.astype("<f4"))
            count += real
            if labels is None:
                labelled = False
            else:
                right += int((output.argmax(axis=-1) == labels).sum())
            if count == most:
                break
    if not count:
        raise ValueError("the evaluation file holds no sample")
    if save:
        _save(save, numpy.concatenate(kept)[:keep])
    return {
        "name": "top-1",
        "value": right / count if labelled else None,
        "n": count,
        "outputs_sha256": digest.hexdigest(),
    }


def _save(path: str, array: Any) -> None:
    import numpy

    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = "%s.%d.part" % (path, os.getpid())
    with open(temporary, "wb") as stream:
        numpy.save(stream, array)
    os.replace(temporary, path)
