"""VADER's movie snippets: what counts as clear, and the published texts as token numbers."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from edgewright.extras import MissingExtra
from models.data import vader
from models.data.packages import MINILM, VADER
from models.data.parts import BadData, Source, to_parts
from tests.models.packaged import fetched


def texts(folder: Path, lines: list[str]) -> None:
    """A folder as the package unpacks to, with other snippets."""
    archive = folder / "vaderSentiment-0" / vader.TEXTS
    archive.parent.mkdir(parents=True)
    content = "\n".join(lines).encode()
    entry = tarfile.TarInfo(vader.SNIPPETS)
    entry.size = len(content)
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(entry, io.BytesIO(content))


def test_snippets_keeps_the_clear_ones_and_tells_their_side(tmp_path: Path) -> None:
    texts(tmp_path, ["1\t0.5\tso so", "2\t0.6\tgood\tvery", "3\t-0.6\tbad", "4\t-0.5\tmeh", "5\t4\tgreat"])
    found, y = vader._snippets(tmp_path)
    assert found == ["good\tvery", "bad", "great"]
    assert y.tolist() == [1, 0, 1]


def test_snippets_of_a_package_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="has no additional_resources"):
        vader._snippets(tmp_path)


@pytest.mark.slow
def test_load_gives_the_published_snippets_as_padded_tokens() -> None:
    source = fetched(VADER, MINILM, modules=("tokenizers",))
    parts = to_parts(vader.load(source), "test")
    sizes = {"train": 7_043, "validation": 1_000, "test": 2_000, "calibration": 256}
    for name, size in sizes.items():
        part = getattr(parts, name)
        assert part.x.shape == (size, vader.TOKENS) and part.x.dtype == np.int64
        assert set(part.y.tolist()) == {0, 1} and 0.4 < part.y.mean() < 0.6
        assert (part.x[:, 0] == 101).all()  # [CLS]
        ends = (part.x != 0).sum(1)
        assert all((row[:end] != 0).all() and row[end - 1] == 102 for row, end in zip(part.x, ends, strict=True))
    assert parts.train.x.max() < 30_522


@pytest.mark.slow
def test_load_again_takes_the_kept_tokens_without_the_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = fetched(VADER, MINILM, modules=("tokenizers",))
    source = Source(None, tmp_path)
    (tmp_path / "packages").symlink_to(shared.cache / "packages")
    first = vader.load(source)
    (kept,) = tmp_path.glob("*.npz")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tokenizers", None)
        again = vader.load(source)
        assert (again.test.x == first.test.x).all() and (again.test.y == first.test.y).all()
        kept.write_bytes(kept.read_bytes()[:5_000])  # damaged: must be made anew, which takes the tokenizer
        with pytest.raises(MissingExtra, match="tokenizers") as caught:
            vader.load(source)
    assert "./inv setup text" in str(caught.value)
    assert (vader.load(source).test.x == first.test.x).all()
