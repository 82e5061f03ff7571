"""Bundles: named by their content, checked when read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from device_agents.bundle import MANIFEST, read_bundle, write_bundle
from device_agents.errors import BundleError
from edgewright.files import sha256_bytes
from tests.device_agents.tiny import tiny_manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "some model.onnx"
    path.write_bytes(b"weights" * 1000)
    return path


def test_written_bundle_reads_back(tmp_path: Path, model: Path) -> None:
    made = write_bundle(tmp_path / "bundle", model, tiny_manifest())
    found = read_bundle(tmp_path / "bundle")
    assert found == made
    assert found.manifest.sha256 == sha256_bytes(b"weights" * 1000)
    assert found.manifest.bytes == 7000
    assert found.digest == sha256_bytes((tmp_path / "bundle" / MANIFEST).read_bytes())
    assert found.model_file.read_bytes() == model.read_bytes()


def test_digest_depends_on_content_and_not_on_place_or_time(tmp_path: Path, model: Path) -> None:
    first = write_bundle(tmp_path / "a", model, tiny_manifest())
    assert write_bundle(tmp_path / "b", model, tiny_manifest()).digest == first.digest
    assert write_bundle(tmp_path / "c", model, tiny_manifest(labels=["x"])).digest != first.digest
    model.write_bytes(b"other")
    assert write_bundle(tmp_path / "d", model, tiny_manifest()).digest != first.digest


def test_written_over_another_bundle_replaces_it(tmp_path: Path, model: Path) -> None:
    write_bundle(tmp_path / "bundle", model, tiny_manifest(file="old.onnx"))
    write_bundle(tmp_path / "bundle", model, tiny_manifest(file="new.onnx"))
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == [MANIFEST, "new.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", model.name]


def test_missing_bundle_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No bundle there") as caught:
        read_bundle(tmp_path / "none")
    assert "./inv" in caught.value.remedy


def test_bundle_without_its_model_is_told(tmp_path: Path, model: Path) -> None:
    write_bundle(tmp_path / "bundle", model, tiny_manifest()).model_file.unlink()
    with pytest.raises(BundleError, match="no model file"):
        read_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("damage", ["", "[]", "{}", "not json", '{"schema": "edgewright-bundle/2"}'])
def test_manifest_that_is_none_is_told(tmp_path: Path, model: Path, damage: str) -> None:
    write_bundle(tmp_path / "bundle", model, tiny_manifest())
    (tmp_path / "bundle" / MANIFEST).write_text(damage)
    with pytest.raises(BundleError, match="can't be read"):
        read_bundle(tmp_path / "bundle")


def test_manifest_that_was_reformatted_is_told(tmp_path: Path, model: Path) -> None:
    write_bundle(tmp_path / "bundle", model, tiny_manifest())
    path = tmp_path / "bundle" / MANIFEST
    path.write_text(path.read_text().replace(",", ", "))
    with pytest.raises(BundleError, match="changed by hand"):
        read_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a/b", "", ".hidden", "a b", "x\n"])
def test_manifest_can_not_name_a_file_outside_the_bundle(name: str) -> None:
    with pytest.raises(ValidationError):
        tiny_manifest(file=name)


def test_manifest_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError):
        tiny_manifest(nonsense=1)
