"""sbom.cdx.json: the model, what made it and what runs it, as CycloneDX 1.6 by cyclonedx-python-lib.

The library has no model cards yet (11.12), so that part of the component is added as the specification has it
(https://cyclonedx.org/docs/1.6/json, modelCard); a test holds the whole against the specification's own schema.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from edgewright.extras import extra
from edgewright.files import canonical_json, pretty_json
from pipeline.release.archive import EPOCH
from pipeline.release.content import Content
from pipeline.release.manifest import ReleaseManifest
from pipeline.release.provenance import Source, purl

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

FILE = "sbom.cdx.json"
_SPACE = UUID("6f0e3b0c-4a57-5c0e-9a33-0d6f4f1f6b1e")
RUNS = {
    "litert": "pkg:pypi/ai-edge-litert",
    "tflite-runtime": "pkg:pypi/tflite-runtime",
    "onnxruntime": "pkg:pypi/onnxruntime",
    "torch": "pkg:pypi/torch",
    "benchmark_model": "pkg:maven/com.google.ai.edge.litert/litert",
}
"""By runtime, the package URL of what an app needs; benchmark_model measures on a phone for LiteRT's interpreter."""


def check() -> None:
    """Raises MissingExtra where the library isn't installed, before any work was done."""
    with extra("release", "the SBOM of a release"):
        import cyclonedx  # noqa: F401


def sbom(content: Content, manifest: ReleaseManifest, source: Source) -> bytes:
    """The file, the same for the same content: its serial number is derived, its time fixed."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output.json import JsonV1Dot6

    model = _model(content, manifest)
    made = [_library(purl(name, version), "made") for name, version in sorted(_libraries(content).items())]
    runtime = _runtime(manifest)
    bom = Bom(
        serial_number=uuid5(_SPACE, canonical_json(manifest.model_dump(mode="json", by_alias=True)).decode()),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(EPOCH, timezone.utc),
            tools=ToolRepository(components=[_tool()]),
            component=model,
        ),
        components=[*made, *runtime],
    )
    bom.register_dependency(model, runtime)
    for one in (*made, *runtime):
        bom.register_dependency(one)
    told = json.loads(JsonV1Dot6(bom).output_as_string())
    told["metadata"]["component"]["modelCard"] = _card(content, manifest, source)
    return pretty_json(told)


def _tool() -> Component:
    """What wrote the SBOM; without its version, which says nothing of the model."""
    from cyclonedx.model.component import Component, ComponentType

    return Component(name="edgewright", type=ComponentType.APPLICATION)


def _model(content: Content, manifest: ReleaseManifest) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense

    licence = content.about.weights_licence
    return Component(
        name=content.name,
        version=content.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"{content.name}@{content.version}",
        description=content.about.purpose or None,
        licenses=[DisjunctiveLicense(name=licence)] if licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=manifest.model_file.sha256)],
        properties=[
            Property(name="edgewright:bundle", value=manifest.bundle),
            Property(name="edgewright:file", value=PurePosixPath(manifest.model_file.path).name),
            Property(name="edgewright:precision", value=manifest.precision),
            Property(name="edgewright:variant", value=manifest.variant),
        ],
    )


def _libraries(content: Content) -> dict[str, str]:
    return dict(content.bundle.manifest.origin.get("libraries", {}))


def _runtime(manifest: ReleaseManifest) -> list[Component]:
    """What the device needs, in the version that was measured, if it was and the version is that package's own."""
    found = [one.runtime_version for one in manifest.devices if one.runtime_version and one.worth == "valid"]
    version = f"@{found[0]}" if found and manifest.runtime != "benchmark_model" else ""
    return [_library(RUNS[manifest.runtime] + version, "runs")]


def _library(url: str, role: str) -> Component:
    """role: made (the model, on another machine), or runs (it on the device)."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    package = PackageURL.from_string(url)
    return Component(
        name=package.name,
        group=package.namespace,
        version=package.version,
        type=ComponentType.PLATFORM if package.type == "generic" else ComponentType.LIBRARY,
        bom_ref=f"{role}:{package.name}",
        purl=package,
        # What made the model is no part of an app that ships it.
        scope=ComponentScope.EXCLUDED if role == "made" else ComponentScope.REQUIRED,
        properties=[Property(name="edgewright:role", value=role)],
    )


def _card(content: Content, manifest: ReleaseManifest, source: Source) -> dict[str, Any]:
    """The component's modelCard: parameters, the metric, and what was measured."""
    performance = []
    if manifest.metric is not None:
        performance.append({"type": manifest.metric.name, "value": f"{manifest.metric.value:g}"})
    for one in manifest.devices:
        if one.p50_ms is None or one.worth != "valid":
            continue
        figure: dict[str, Any] = {"type": "latency p50, ms", "value": f"{one.p50_ms.value:g}", "slice": one.device}
        if one.p50_ms.low is not None and one.p50_ms.high is not None:
            bounds = {"lowerBound": f"{one.p50_ms.low:g}", "upperBound": f"{one.p50_ms.high:g}"}
            figure["confidenceInterval"] = bounds
        performance.append(figure)
    tensors = {
        kind: [{"format": f"{tensor.dtype}{tensor.shape}"} for tensor in getattr(manifest.signature, kind)]
        for kind in ("inputs", "outputs")
    }
    card: dict[str, Any] = {
        "bom-ref": f"{content.name}@{content.version}#card",
        "modelParameters": {"datasets": [{"type": "dataset", "name": source.data}], **tensors},
        "quantitativeAnalysis": {"performanceMetrics": performance},
    }
    if content.about.limits:
        card["considerations"] = {"technicalLimitations": list(content.about.limits)}
    return card
