"""Crops of photos: parts from different photos, labelled by the original network, the same each time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgewright.extras import MissingExtra
from models.data import photos
from models.data.packages import FOOLBOX, LITE0, unpacked
from models.data.parts import Source, to_parts
from tests.models.packaged import fetched

MODULES = ("PIL", "efficientnet_lite_pytorch", "torch")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """The real packages, a cache without answers, and few crops."""
    shared = fetched(FOOLBOX, LITE0, modules=MODULES)
    (tmp_path / "packages").symlink_to(shared.cache / "packages")
    monkeypatch.setattr(photos, "CROPS", {"train": 24, "validation": 6, "test": 10})
    monkeypatch.setattr(photos, "CALIBRATION", 8)
    yield Source(None, tmp_path)


def test_no_photo_is_in_two_parts() -> None:
    numbers = [number for part in photos.PHOTOS.values() for number in part]
    assert sorted(numbers) == list(range(20))


@pytest.mark.slow
def test_load_labels_crops_with_the_original_networks_answers(source: Source) -> None:
    import torch

    from models.architectures.efficientnet import lite0

    parts = to_parts(photos.load(source), "test")
    assert parts.train.x.shape == (24, 3, 224, 224) and parts.train.x.dtype == np.float32
    assert -1 <= parts.train.x.min() < -0.9 and 0.9 < parts.train.x.max() <= 1
    assert len(parts.calibration) == 8
    with torch.no_grad():
        answers = lite0().eval()(torch.from_numpy(parts.test.x)).argmax(-1).numpy()
    assert (answers == parts.test.y).all()
    assert len(set(parts.train.y.tolist())) > 8


@pytest.mark.slow
def test_load_again_asks_nobody(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    first = photos.load(source)
    (kept,) = source.cache.glob("photos-*.npz")
    before = kept.read_bytes()
    with monkeypatch.context() as without:
        without.setattr(photos, "_ask", None)
        again = photos.load(source)
    assert (again.train.x == first.train.x).all() and (again.train.y == first.train.y).all()
    kept.write_bytes(before[:50])
    assert (photos.load(source).train.y == first.train.y).all()


@pytest.mark.slow
def test_load_without_pillow_names_the_extra(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="PIL") as caught:
        photos._crops(unpacked(FOOLBOX, source) / "foolbox" / "data", "test")
    assert "./inv setup vision" in str(caught.value)
