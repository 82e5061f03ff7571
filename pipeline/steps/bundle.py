"""Makes the folder that a device accepts: the checked model file and a manifest that says where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from device_agents.bundle import Manifest, Tensor, write_bundle
from pipeline import data
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work


class BundleParameters(StepParameters):
    """origin: fingerprints of the steps behind the file, by step."""

    name: str
    model: str
    target: str
    data: DataSpec
    runtime: str
    format: str
    precision: str
    alignment: int
    origin: dict[str, Any]


class Bundle(Step[BundleParameters]):
    """From `model` (what ships), `float` (its float export) and `check`, leaves the model file and manifest.json.

    The file's name and its inputs and outputs are what the summary of `model` says: file, tensors.
    """

    name: ClassVar[str] = "bundle"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    Parameters: ClassVar[type[StepParameters]] = BundleParameters

    def run(self, inputs: Mapping[str, Input], parameters: BundleParameters, work: Work) -> dict[str, Any]:
        model, parts = inputs["model"].summary, data.load(parameters.data, work.places)
        widths = inputs["float"].summary["weights"]
        checked = {key: value for key, value in inputs["check"].summary.items() if key != "figure"}
        manifest = Manifest(
            schema="edgewright-bundle/1",
            name=parameters.name,
            model=parameters.model,
            target=parameters.target,
            format=parameters.format,
            runtime=parameters.runtime,
            precision=parameters.precision,
            file=model["file"],
            sha256="0" * 64,
            bytes=0,
            inputs=[Tensor.model_validate(one) for one in model["tensors"]["inputs"]],
            outputs=[Tensor.model_validate(one) for one in model["tensors"]["outputs"]],
            labels=list(parts.labels) or None,
            preprocessing=dict(parts.preprocessing),
            params=model["params"],
            macs=model["macs"],
            download=model["download"],
            misaligned=misaligned(widths, parameters.alignment),
            origin={**parameters.origin, "check": checked},
        )
        made = write_bundle(work.scratch / "bundle", inputs["model"].path(model["file"]), manifest)
        for path in made.folder.iterdir():
            path.replace(work.out / path.name)
        return {"digest": made.digest, "bytes": made.manifest.bytes, "figure": made.digest[:16]}


def misaligned(weights: Mapping[str, list[int]], alignment: int) -> list[str]:
    """Layers whose outputs are off the chip's alignment; the last one's are the classes, so it doesn't count."""
    names = list(weights)[:-1]
    return [
        f"{name} ({weights[name][0]})" for name in names if len(weights[name]) == 4 and weights[name][0] % alignment
    ]
