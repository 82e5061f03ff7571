"""The release's manifest: it reads back, its schema is the published one, and what is no release says why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.release.errors import NoRelease
from pipeline.release.evidence import Evidence
from pipeline.release.manifest import manifest_of, read, schema
from tests.pipeline.release.accepted import MEASURED
from tests.pipeline.release.contents import content, manifest


def test_published_schema_is_this_one(project_root: Path) -> None:
    published = project_root / "docs" / "release.schema.json"
    assert published.read_bytes() == schema(), (
        "write it anew: python -c 'from pipeline.release.manifest import schema; print(schema().decode(), end=\"\")'"
    )


def test_manifest_reads_back_as_it_was(tmp_path: Path) -> None:
    told = manifest(content(tmp_path))
    (tmp_path / "manifest.json").write_bytes(told.written())
    assert read(tmp_path) == told
    assert read(tmp_path).written() == told.written()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "edgewright-release/2"}', '{"schema": "edgewright-bundle/1"}']
)
def test_what_is_no_release_says_why(text: str, tmp_path: Path) -> None:
    with pytest.raises(NoRelease, match="No release there"):
        read(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(NoRelease, match="can't be read") as caught:
        read(tmp_path)
    assert "releases/MODEL-TARGET-VERSION" in caught.value.remedy


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    told = json.loads(manifest(content(tmp_path)).written())
    (tmp_path / "manifest.json").write_text(json.dumps(told | {"more": 1}))
    with pytest.raises(NoRelease, match="more"):
        read(tmp_path)


def test_file_that_ships_may_be_another_than_the_bundles(tmp_path: Path) -> None:
    given = content(tmp_path)
    told = manifest_of(given, b"with metadata", [], 0.5).model_file
    assert told.bundle_sha256 == given.bundle.manifest.sha256 != told.sha256
    assert (told.path, told.bytes) == ("model/model.onnx", 13)


def test_metric_is_the_best_devices_else_the_checks(tmp_path: Path) -> None:
    untold = replace(MEASURED, metric=None)
    stood_in = replace(MEASURED, worth="standing in", metric=("top-1", 0.8, 10))
    for number, (devices, expected) in enumerate(
        [
            ((MEASURED,), (0.93, 1000, "device", "test")),
            ((untold, stood_in), (0.8, 10, "stand-in", "test")),
            ((replace(MEASURED, worth="invalid"),), (0.9, 100, "host", "validation")),
            ((), (0.9, 100, "host", "validation")),
        ]
    ):
        found = manifest(content(tmp_path / str(number), evidence=Evidence(devices))).metric
        assert found is not None and (found.value, found.samples, found.where, found.part) == expected
    tested = manifest(content(tmp_path / "tested", evidence=Evidence((untold,)), on_host=(0.85, 500))).metric
    assert tested is not None and (tested.value, tested.samples, tested.where, tested.part) == (
        0.85,
        500,
        "host",
        "test",
    )
    assert manifest(content(tmp_path / "none", evidence=Evidence(), origin={})).metric is None
