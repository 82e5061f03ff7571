"""The SBOM: the specification's own schema takes it, it names what it must, and it is the same every time."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

from pipeline.release.about import About
from pipeline.release.content import Content
from pipeline.release.evidence import Evidence
from pipeline.release.sbom import RUNS, sbom
from targets.schema import FORMATS
from tests.pipeline.release import accepted
from tests.pipeline.release.contents import SOURCE, content, manifest
from tests.prerequisites import require


def written(given: Content) -> bytes:
    accepted.needed()
    return sbom(given, manifest(given), SOURCE)


def test_schema_of_the_specification_takes_it(tmp_path: Path) -> None:
    require(importlib.util.find_spec("jsonschema"), "jsonschema: pip install 'cyclonedx-python-lib[json-validation]'")
    about = About(purpose="Reads digits.", limits=("No letters",), weights_licence="MIT")
    unmeasured = Evidence((replace(accepted.MEASURED, worth="emulated", p50_ms=None),), True)
    for given in (content(tmp_path / "a", about=about), content(tmp_path / "b", evidence=unmeasured)):
        found = written(given)
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(found.decode()) is None


def test_it_names_the_model_what_made_it_and_what_runs_it(tmp_path: Path) -> None:
    given = content(tmp_path)
    told = json.loads(written(given))
    model = told["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", given.name, "1.0.0")
    assert model["hashes"] == [{"alg": "SHA-256", "content": given.bundle.manifest.sha256}]
    by_ref = {one["bom-ref"]: one for one in told["components"]}
    assert by_ref["made:torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert by_ref["made:torch"]["scope"] == "excluded"
    assert by_ref["runs:onnxruntime"]["purl"] == "pkg:pypi/onnxruntime@1.31.1"
    needs = {one["ref"]: one.get("dependsOn") for one in told["dependencies"]}
    assert needs[model["bom-ref"]] == ["runs:onnxruntime"]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [one["type"] for one in metrics] == ["top-1", "latency p50, ms"]
    assert metrics[1]["confidenceInterval"] == {"lowerBound": "1.4", "upperBound": "1.6"}
    assert told["metadata"]["timestamp"].startswith("1980-01-01T00:00:00")


def test_phone_needs_the_interpreter_that_its_apps_load(tmp_path: Path) -> None:
    accepted.needed()
    given = content(tmp_path)
    told = json.loads(sbom(given, manifest(given).model_copy(update={"runtime": "benchmark_model"}), SOURCE))
    (runs,) = (one for one in told["components"] if one["bom-ref"].startswith("runs:"))
    assert runs["purl"] == "pkg:maven/com.google.ai.edge.litert/litert" and "version" not in runs


def test_every_runtime_of_a_target_is_known() -> None:
    assert set(RUNS) == set(FORMATS)


def test_serial_number_is_of_the_content(tmp_path: Path) -> None:
    given = content(tmp_path)
    assert written(given) == written(given)
    other = replace(given, version="1.0.1")
    assert json.loads(written(given))["serialNumber"] != json.loads(written(other))["serialNumber"]
