"""Times every network that the claims compare, in one session of the project's own agent on this machine, in pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device_agents.bundle import Manifest, Tensor, write_bundle
from device_agents.farm.device import open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.paired import Latency, Ratio, latency, speedup
from edgewright.progress import Progress
from pipeline.project import Project
from tests.bench.pruning.setting import Setting

RUNTIME = "onnxruntime"


@dataclass
class Speeds:
    """What one session measured. names: cell key > the variant's name in the report (a file occurs once)."""

    report: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether the machine was fit to be measured while it was."""
        return bool(self.report.get("valid", True))

    def ratio(self, base: str, other: str) -> Ratio | None:
        """Time of the cell `base` over time of the cell `other`; None where either was not measured."""
        one, two = self._result(base), self._result(other)
        return speedup(one, two) if one and two else None

    def latency(self, key: str) -> Latency | None:
        found = self._result(key)
        return latency(found) if found else None

    def _result(self, key: str) -> dict[str, Any] | None:
        name = self.names.get(key)
        return next((one for one in self.report.get("results", []) if one["name"] == name), None)


def measure(models: Mapping[str, Path], setting: Setting, project: Project, progress: Progress) -> Speeds:
    """Measures ONNX files (cell key > path) on this machine. Raises EdgewrightError as a deploy's measuring does."""
    with (
        tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder,
        open_device(stand_in("host"), state=project.state, cache=project.cache, progress=progress) as device,
    ):
        names: dict[str, str] = {}
        variants: list[JobVariant] = []
        for key, path in models.items():
            name = f"m{len(variants)}"
            manifest = Manifest(
                name=name, model="bench", target="host", format="onnx", runtime=RUNTIME, precision="float32",
                file="model.onnx", sha256="0" * 64, bytes=0, inputs=_inputs(path), outputs=[],
            )  # fmt: skip
            bundle = write_bundle(Path(folder, name), path, manifest)
            variants.append(JobVariant(name=name, bundle=device.install(bundle.folder)))
            names[key] = name
        job = Job(
            model="bench",
            target="host",
            variants=variants,
            processes=setting.processes,
            blocks=setting.blocks,
            block_seconds=setting.block_seconds,
            warmup_seconds=2 * setting.block_seconds,
        )
        report = device.measure(job)
    return Speeds(report.to_json(), names)


def _inputs(path: Path) -> list[Tensor]:
    import onnx

    types = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}
    found = []
    for value in onnx.load(path).graph.input:
        kind = value.type.tensor_type
        shape = [one.dim_value for one in kind.shape.dim]
        found.append(Tensor(name=value.name, dtype=types[kind.elem_type], shape=list(shape)))
    return found
