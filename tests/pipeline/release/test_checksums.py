"""SHA256SUMS: every file but itself and the signature, in one order."""

from __future__ import annotations

from pathlib import Path

from edgewright.files import sha256_bytes
from pipeline.release.checksums import differing, paths, sums


def filled(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_every_file_is_listed_but_the_list_and_its_signature(tmp_path: Path) -> None:
    filled(tmp_path, b="1", a__c="2", a__B="3", SHA256SUMS="x")
    (tmp_path / "signature.json").write_text("y")
    digests = {path: sha256_bytes(text) for path, text in (("a/B", b"3"), ("a/c", b"2"), ("b", b"1"))}
    assert sums(tmp_path).decode() == "".join(f"{digest}  {path}\n" for path, digest in digests.items())
    assert paths(tmp_path) == ["SHA256SUMS", "a/B", "a/c", "b", "signature.json"]


def test_folders_differ_where_a_file_is_missing_or_changed(tmp_path: Path) -> None:
    one = filled(tmp_path / "1", same="1", changed="1", only="1")
    other = filled(tmp_path / "2", same="1", changed="2", more="1")
    assert differing(one, other) == ["changed", "more", "only"]
    assert differing(one, one) == []
