"""provenance.json: where a release comes from, as an in-toto statement with SLSA's provenance predicate.

Formats: in-toto Attestation Framework, Statement v1 (https://in-toto.io/Statement/v1); SLSA provenance v1
(https://slsa.dev/provenance/v1).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.files import pretty_json, sha256_bytes, sha256_file
from models.data import SHIPPED
from pipeline import data
from pipeline.release.content import Content
from pipeline.release.history import Made
from pipeline.steps.base import DataSpec

if TYPE_CHECKING:
    from pipeline.recipe import Recipe

FILE = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://edgewright.invalid/release/1"
"""A name and no address: `.invalid` never resolves (RFC 2606)."""
BUILDER = "https://edgewright.invalid/builder/1"
_CHANGED = "+changes"


@dataclass(frozen=True)
class Source:
    """What the recipe brings: its file's name and bytes, the data set's name and digest, the weights that it names."""

    recipe: str
    text: bytes
    data: str
    data_digest: str | None
    weights: str | None = None
    weights_sha256: str | None = None


def source_of(recipe: Recipe) -> Source:
    """What a recipe brings, read from its file, its data set and its weights."""
    name = f"{recipe.name}.toml"
    digest = None
    if recipe.data in SHIPPED:
        digest = str(data.digest(DataSpec(name=recipe.data, arguments=recipe.data_arguments), recipe.folder)["digest"])
    weights = recipe.folder / recipe.weights if recipe.weights else None
    return Source(
        name,
        (recipe.folder / name).read_bytes(),
        recipe.data,
        digest,
        recipe.weights,
        sha256_file(weights) if weights else None,
    )


def provenance(content: Content, files: Mapping[str, str], source: Source, steps: Sequence[Made]) -> bytes:
    """The file. files: SHA-256 by path, of what ships (the model file and the packages)."""
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": path, "digest": {"sha256": files[path]}} for path in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": content.model,
                    "target": content.target,
                    "variant": content.bundle.manifest.name,
                    "version": content.version,
                },
                "internalParameters": {},
                "resolvedDependencies": _dependencies(content, source, steps),
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }
    return pretty_json(statement)


def _dependencies(content: Content, source: Source, steps: Sequence[Made]) -> list[dict[str, Any]]:
    """ResourceDescriptors: the bundle, the recipe whole, the project's commit, data, weights, steps and libraries."""
    bundle = content.bundle.manifest
    found: list[dict[str, Any]] = [
        {"name": "bundle", "digest": {"sha256": content.bundle.digest}},
        {
            "name": source.recipe,
            "digest": {"sha256": sha256_bytes(source.text)},
            "content": base64.b64encode(source.text).decode(),
            "mediaType": "application/toml",
        },
    ]
    if commit := content.evidence.commit:
        one: dict[str, Any] = {"name": "edgewright", "digest": {"gitCommit": commit.removesuffix(_CHANGED)}}
        found.append(one | ({"annotations": {"changed": True}} if commit.endswith(_CHANGED) else {}))
    told = {"annotations": {"digest": source.data_digest}} if source.data_digest else {}
    found.append({"name": f"data {source.data}", **told})
    if source.weights and source.weights_sha256:
        found.append({"name": source.weights, "digest": {"sha256": source.weights_sha256}})
    found += [{"name": f"step {step.name}", "digest": {"sha256": step.fingerprint}} for step in steps]
    libraries = bundle.origin.get("libraries", {})
    found += [{"name": name, "uri": purl(name, libraries[name])} for name in sorted(libraries)]
    return found


def purl(name: str, version: str) -> str:
    """The package URL (ECMA-427) of a library that a bundle names."""
    if name == "python":
        return f"pkg:generic/python@{version}"
    return f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
