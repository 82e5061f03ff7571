"""The four parts of a data set, and how they are cut from what a user's own loader gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("train", "validation", "test", "calibration")


class BadData(EdgewrightError):
    """A data set that no network can be trained or measured on."""


@dataclass(frozen=True)
class Part:
    """x: one sample a row, float32 [N, ...], or int64 [N, ...] where the network takes numbers of tokens.

    y: int64 [N] class labels, or float32 [N, ...] where the loss wants it.
    """

    x: NDArray[Any]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int) -> Part:
        """The first `count` samples (all of them where there are fewer)."""
        return Part(self.x[:count], self.y[:count])


@dataclass(frozen=True)
class DataParts:
    """What a data set's loader returns.

    validation chooses, test is reported, calibration sets the ranges of INT8. preprocessing tells an app what to do
    to a raw sample, e.g. {"divide_by": 255, "mean": [0.286], "std": [0.353]}.
    """

    train: Part
    validation: Part
    test: Part
    calibration: Part
    labels: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where a loader may look: `folder` is the user's own copy (or None), `cache` is where downloads are kept."""

    folder: Path | None
    cache: Path


def to_parts(loaded: Any, where: str) -> DataParts:
    """Accepts DataParts, or a mapping with the four names, each an (x, y) pair of arrays. Raises BadData."""
    if isinstance(loaded, DataParts):
        parts = loaded
    elif isinstance(loaded, Mapping):
        missing = [name for name in NAMES if name not in loaded]
        if missing:
            raise BadData(
                f"The data set lacks {', '.join(missing)}",
                where=where,
                remedy="return a mapping with train, validation, test and calibration, each an (x, y) pair",
            )
        labels = tuple(str(label) for label in loaded.get("labels", ()))
        parts = DataParts(
            **{name: _part(loaded[name], name, where) for name in NAMES},
            labels=labels,
            preprocessing=dict(loaded.get("preprocessing", {})),
        )
    else:
        raise BadData(
            f"The data factory returned {type(loaded).__name__}",
            where=where,
            remedy="return models.data.parts.DataParts, or a mapping of the four parts to (x, y) pairs",
        )
    for name in NAMES:
        _check(getattr(parts, name), name, where)
    for name in NAMES[1:]:
        got, want = (f"{list(part.x.shape[1:])} ({part.x.dtype})" for part in (getattr(parts, name), parts.train))
        if got != want:
            raise BadData(
                f"The samples of the part {name!r} have the shape {got}, those of 'train' {want}",
                where=where,
                remedy="mend the data set's loader",
            )
    return parts


def _part(pair: Any, name: str, where: str) -> Part:
    import numpy as np

    try:
        x, y = pair
        x, y = np.asarray(x), np.asarray(y)
        # Pictures of bytes are numbers to calculate with; wider integers are numbers of tokens.
        tokens = np.issubdtype(x.dtype, np.integer) and x.dtype.itemsize > 1
        x = np.ascontiguousarray(x, dtype=np.int64 if tokens else np.float32)
    except (TypeError, ValueError) as error:
        raise BadData(
            f"The part {name!r} is no (x, y) pair of arrays: {error}", where=where, remedy="mend the data set's loader"
        ) from error
    return Part(x, y.astype(np.int64) if np.issubdtype(y.dtype, np.integer) else y.astype(np.float32))


def _check(part: Part, name: str, where: str) -> None:
    import numpy as np

    remedy = "mend the data set's loader"
    if len(part.x) == 0 or len(part.x) != len(part.y):
        what = f"The part {name!r} has {len(part.x)} inputs and {len(part.y)} labels"
        raise BadData(what, where=where, remedy=remedy)
    if np.issubdtype(part.x.dtype, np.floating):
        if not np.isfinite(part.x).all():
            raise BadData(f"The inputs of the part {name!r} hold NaN or infinity", where=where, remedy=remedy)
    elif part.x.min() < 0:
        raise BadData(f"The inputs of the part {name!r} hold token numbers below 0", where=where, remedy=remedy)
