"""The 1,797 handwritten 8x8 digits bundled with scikit-learn (BSD-3): small enough for fast tests."""

from __future__ import annotations

from models.data.parts import DataParts, Part, Source


def digest() -> str:
    """Names the content: it comes inside scikit-learn's wheel, so the version says it all."""
    from importlib.metadata import version

    return f"scikit-learn-{version('scikit-learn')}-digits"


def load(source: Source) -> DataParts:
    """1,237 train, 200 validation, 360 test and 200 calibration samples, float32 [N, 1, 8, 8] in 0..1."""
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    x = (bunch.images[order, None] / 16).astype(np.float32)
    y = bunch.target[order].astype(np.int64)
    test, validation, train = slice(0, 360), slice(360, 560), slice(560, None)
    return DataParts(
        train=Part(x[train], y[train]),
        validation=Part(x[validation], y[validation]),
        test=Part(x[test], y[test]),
        calibration=Part(x[train], y[train]).first(200),
        labels=tuple("0123456789"),
        preprocessing={"divide_by": 16},
    )
