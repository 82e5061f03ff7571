"""Archives: equal bytes for equal contents, whatever the clock, the umask and the order."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.release.archive import EPOCH, gz_bytes, tar_bytes, write_tar_gz, write_zip

MEMBERS = {"b/two": b"2" * 1000, "a": b"1", "b/one": b""}


def test_archives_are_equal_whatever_the_order_the_clock_and_the_umask(tmp_path: Path) -> None:
    other = tmp_path / "file"
    other.write_bytes(MEMBERS["b/two"])
    os.utime(other, (1, 1))
    before = os.umask(0o077)
    try:
        write_zip(tmp_path / "1.zip", MEMBERS)
        write_tar_gz(tmp_path / "1.tar.gz", MEMBERS, {"a": 0o755})
    finally:
        os.umask(before)
    write_zip(tmp_path / "2.zip", {"b/one": b"", "b/two": other, "a": b"1"})
    write_tar_gz(tmp_path / "2.tar.gz", {"b/one": b"", "b/two": other, "a": b"1"}, {"a": 0o755})
    for kind in ("zip", "tar.gz"):
        assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"2.{kind}").read_bytes()


def test_zip_stores_what_it_is_told_to_and_packs_the_rest(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", MEMBERS, store=["b/two"])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        infos = archive.infolist()
        assert [info.filename for info in infos] == ["a", "b/one", "b/two"]
        assert infos[2].compress_size == 1000 and infos[2].compress_type == zipfile.ZIP_STORED
        assert all(info.date_time == (1980, 1, 1, 0, 0, 0) for info in infos)
        assert all(info.external_attr >> 16 == 0o100644 for info in infos)
        assert archive.read("b/two") == MEMBERS["b/two"]


def test_tar_has_no_owner_no_time_and_the_modes_that_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes({"./usr/bin/run": b"#!", "./usr/x": b""}, {"./usr/bin/run": 0o755}, folders=True))
    with tarfile.open(path) as archive:
        found = {one.name: one for one in archive.getmembers()}
    assert list(found) == [".", "./usr", "./usr/bin", "./usr/bin/run", "./usr/x"]
    assert [found[name].mode for name in found] == [0o755, 0o755, 0o755, 0o755, 0o644]
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in found.values()} == {(0, 0, "", "", EPOCH)}


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../b", "../a", "a//b", "a/", "", "a\\b", "./../a", "."])
def test_archives_take_no_name_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    for write in (tar_bytes, lambda members: write_zip(tmp_path / "a.zip", members)):
        with pytest.raises(ValueError, match="no name for a member"):
            write({name: b""})
    assert not (tmp_path / "a.zip").exists()


def test_gzip_header_has_no_time_no_name_and_no_system() -> None:
    packed = gz_bytes(b"text")
    assert packed[3:8] == b"\0" * 5 and packed[9] == 255
    assert gzip.decompress(packed) == b"text"
