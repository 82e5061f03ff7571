"""Fashion-MNIST: the places in their order, content checked whichever way, and a way out where there is none."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edgewright.files import sha256_bytes
from models.data import fashion_mnist
from models.data.fashion_mnist import DataMissing, load
from models.data.parts import BadData, Source
from tests.prerequisites import require

COUNTS = {"train": 40, "t10k": 12}


def _contents(shade: int = 0) -> dict[str, bytes]:
    """Four small files in the IDX form; `shade` makes other ones of the same size."""
    random = np.random.default_rng(3)
    files = {}
    for part, count in COUNTS.items():
        images = random.integers(0, 200, (count, 28, 28), np.uint8) + np.uint8(shade)
        files[f"{part}-images-idx3-ubyte"] = bytes(16) + images.tobytes()
        files[f"{part}-labels-idx1-ubyte"] = bytes(8) + (np.arange(count) % 10).astype(np.uint8).tobytes()
    return files


def _put(folder: Path, contents: dict[str, bytes], packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The loader takes the small files for the published ones, and finds no Debian package, apt-get or network."""
    if request.node.get_closest_marker("slow"):  # it wants the published ones
        return
    monkeypatch.setattr(
        fashion_mnist, "CONTENT", {name: sha256_bytes(content) for name, content in _contents().items()}
    )
    monkeypatch.setattr(fashion_mnist, "VALIDATION", 8)
    monkeypatch.setattr(fashion_mnist, "CALIBRATION", 5)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", Path("usr/share/datasets/edgewright-no-such-data-set"))
    monkeypatch.setattr(fashion_mnist, "OFFICIAL", "http://127.0.0.1:9")
    _script(tmp_path / "bin" / "apt-get", 'echo "E: no network here" >&2; exit 100', monkeypatch)


def _script(path: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(None, tmp_path / "cache")


def _cached(source: Source) -> Path:
    return source.cache / "fashion-mnist"


@pytest.mark.parametrize("packed", [True, False])
def test_load_from_the_users_folder_packed_or_not(tmp_path: Path, source: Source, packed: bool) -> None:
    folder = _put(tmp_path / "mine", _contents(), packed)
    parts = load(Source(folder, source.cache))
    assert [len(getattr(parts, name)) for name in ("train", "validation", "test", "calibration")] == [32, 8, 12, 5]
    assert parts.train.x.shape == (32, 1, 28, 28)
    assert [str(parts.train.x.dtype), str(parts.train.y.dtype)] == ["float32", "int64"]
    raw = np.frombuffer(_contents()["t10k-images-idx3-ubyte"], np.uint8, offset=16)
    assert parts.test.x.ravel()[0] == pytest.approx((raw[0] / 255 - 0.2860) / 0.3530, abs=1e-6)
    assert not source.cache.exists()


def test_load_parts_are_disjoint_and_the_same_each_time(tmp_path: Path, source: Source) -> None:
    _put(_cached(source), _contents())
    one, two = load(source), load(source)
    assert (one.train.x == two.train.x).all()
    train, validation = ({row.tobytes() for row in part.x} for part in (one.train, one.validation))
    assert (len(train), len(validation), len(train & validation)) == (32, 8, 0)
    assert {row.tobytes() for row in one.calibration.x} <= train


def test_load_prefers_the_users_folder_then_debians_then_the_cache(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, debian = _put(tmp_path / "mine", _contents()), _put(tmp_path / "debian", _contents())
    _put(_cached(source), _contents(shade=1))  # would be refused if it were looked at
    with pytest.raises(BadData):
        load(source)
    assert len(load(Source(mine, source.cache)).test) == 12
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", debian)
    assert len(load(source).test) == 12


def test_load_users_folder_that_lacks_a_file_is_not_passed_over(tmp_path: Path, source: Source) -> None:
    _put(_cached(source), _contents())
    folder = _put(tmp_path / "mine", _contents())
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataMissing) as caught:
        load(Source(folder, source.cache))
    assert caught.value.where == str(folder)
    assert "t10k-labels-idx1-ubyte.gz" in caught.value.remedy


def test_load_of_other_content_is_refused_by_name(tmp_path: Path, source: Source) -> None:
    folder = _put(tmp_path / "mine", _contents(shade=1))
    with pytest.raises(BadData, match="train-images-idx3-ubyte is not the published file") as caught:
        load(Source(folder, source.cache))
    assert str(folder) in caught.value.remedy


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped"])
def test_load_of_a_damaged_archive_is_refused_by_name(source: Source, damage: str) -> None:
    path = _put(_cached(source), _contents()) / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {"cut": whole[:middle], "garbage": b"no archive", "flipped": whole[:middle] + b"????" + whole[middle + 4 :]}[
            damage
        ]
    )
    with pytest.raises(BadData, match="t10k-images-idx3-ubyte") as caught:
        load(source)
    assert str(path) in caught.value.remedy


def test_load_by_apt_get_unpacks_a_real_package_into_the_cache(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(shutil.which("dpkg-deb"), "dpkg-deb is not installed: apt-get install dpkg")
    _put(tmp_path / "package" / fashion_mnist.DEBIAN_FOLDER, _contents())
    (tmp_path / "package" / "DEBIAN").mkdir()
    (tmp_path / "package" / "DEBIAN" / "control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
        "Description: small\n"
    )
    deb = tmp_path / "small.deb"
    subprocess.run(["dpkg-deb", "--build", tmp_path / "package", deb], check=True, capture_output=True)
    _script(tmp_path / "bin" / "apt-get", f'[ "$1 $2" = "download dataset-fashion-mnist" ] && cp {deb} .', monkeypatch)
    assert len(load(source).test) == 12
    shutil.rmtree(tmp_path / "bin")  # the second time nothing is fetched
    assert len(load(source).test) == 12
    assert [path.name for path in source.cache.iterdir()] == ["fashion-mnist"]


class _Site(http.server.SimpleHTTPRequestHandler):
    cut: ClassVar[bool] = False

    def log_message(self, format: str, *args: object) -> None: ...

    def end_headers(self) -> None:
        super().end_headers()
        if self.cut:
            self.wfile.flush()
            self.connection.shutdown(2)


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None: ...  # it is cut off on purpose


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served on the loopback in the place of the authors' site."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(_Site, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(fashion_mnist, "OFFICIAL", f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join()


def test_load_by_download_where_apt_get_fails(site: Path, source: Source) -> None:
    _put(site, _contents())
    assert len(load(source).test) == 12
    assert [path.name for path in source.cache.iterdir()] == ["fashion-mnist"]


@pytest.mark.parametrize("trouble", ["other content", "a file is missing", "cut off", "nothing there"])
def test_load_that_cannot_be_fetched_says_what_was_tried_and_leaves_nothing(
    site: Path, source: Source, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble != "nothing there":
        _put(site, _contents(shade=trouble == "other content"))
    if trouble == "a file is missing":
        (site / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setattr(_Site, "cut", trouble == "cut off")
    with pytest.raises(DataMissing) as caught:
        load(source)
    if trouble == "other content":
        assert "authors' site: train-images-idx3-ubyte is not the published file" in caught.value.what
    for part in ("apt-get download dataset-fashion-mnist: E: no network here", "authors' site", str(_cached(source))):
        assert part in caught.value.what
    for way in ("apt-get install dataset-fashion-mnist", "EDGEWRIGHT_DATA", "--model digits"):
        assert way in caught.value.remedy
    assert list(source.cache.iterdir()) == []


def test_load_where_there_is_no_apt_get_says_so(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataMissing, match="apt-get"):
        load(source)


def test_load_where_apt_get_leaves_no_package_says_so(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(tmp_path / "bin" / "apt-get", "exit 0", monkeypatch)
    with pytest.raises(DataMissing, match=r"no \.deb"):
        load(source)


@pytest.mark.slow
def test_load_real_data_has_the_published_classes() -> None:
    from pipeline.project import Project

    try:
        parts = load(Source(Project.here().data, Project.here().cache))
    except DataMissing as error:
        require(False, str(error))
        raise
    assert [len(getattr(parts, name)) for name in ("train", "validation", "test", "calibration")] == [
        55_000, 5_000, 10_000, 512,
    ]  # fmt: skip
    counts = np.bincount(parts.train.y) + np.bincount(parts.validation.y)
    assert counts.tolist() == [6000] * 10
    assert np.bincount(parts.test.y).tolist() == [1000] * 10
    assert abs(float(parts.train.x.mean())) < 0.01
    assert float(parts.train.x.std()) == pytest.approx(1.0, abs=0.01)
    assert len(parts.labels) == 10
