"""Provenance: an in-toto statement over what ships, with all that it came from."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

from edgewright.files import sha256_bytes
from pipeline.release.history import Made
from pipeline.release.provenance import provenance
from tests.pipeline.release.accepted import EVIDENCE
from tests.pipeline.release.contents import SOURCE, content

FILES = {"model/model.onnx": "aa" * 32, "packages/linux/a.deb": "bb" * 32}


def test_statement_names_what_ships_and_what_it_came_from(tmp_path: Path) -> None:
    given = content(tmp_path)
    told = json.loads(provenance(given, FILES, SOURCE, [Made("train", "1" * 64, "", {})]))
    assert (told["_type"], told["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert {one["name"]: one["digest"]["sha256"] for one in told["subject"]} == FILES
    build = told["predicate"]["buildDefinition"]
    assert build["externalParameters"] == {
        "model": "tiny",
        "target": "raspberry-pi",
        "variant": "tiny",
        "version": "1.0.0",
    }
    by_name = {one["name"]: one for one in build["resolvedDependencies"]}
    assert base64.b64decode(by_name["tiny.toml"]["content"]) == SOURCE.text
    assert by_name["tiny.toml"]["digest"]["sha256"] == sha256_bytes(SOURCE.text)
    assert by_name["bundle"]["digest"]["sha256"] == given.bundle.digest
    assert by_name["edgewright"]["digest"] == {"gitCommit": EVIDENCE.commit}
    assert by_name["step train"]["digest"] == {"sha256": "1" * 64}
    assert by_name["torch"]["uri"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert by_name["weights/tiny.safetensors"]["digest"] == {"sha256": "ab" * 32}
    assert told["predicate"]["runDetails"]["builder"]["id"]


def test_changed_and_unknown_commits_are_told(tmp_path: Path) -> None:
    given = content(tmp_path)
    changed = replace(given, evidence=replace(EVIDENCE, commit="c" * 40 + "+changes"))
    told = {one["name"]: one for one in _dependencies(provenance(changed, FILES, SOURCE, []))}
    assert told["edgewright"] == {
        "name": "edgewright",
        "digest": {"gitCommit": "c" * 40},
        "annotations": {"changed": True},
    }
    unknown = replace(given, evidence=replace(EVIDENCE, commit=None))
    assert "edgewright" not in {one["name"] for one in _dependencies(provenance(unknown, FILES, SOURCE, []))}


def _dependencies(written: bytes) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(written)["predicate"]["buildDefinition"]["resolvedDependencies"]
    return found
