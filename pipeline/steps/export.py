"""Writes the network as an ONNX file, lean enough to ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data, network
from pipeline.export.lean import leanest, without_metadata
from pipeline.export.size import check_macs, download_size, file_size, spoken
from pipeline.export.to_onnx import tensors_of, to_onnx
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work

NAMED, MODEL = "named.onnx", "model.onnx"


class ExportParameters(StepParameters):
    network: NetworkSpec
    data: DataSpec
    opset: int


class Export(Step[ExportParameters]):
    """From `model`, leaves model.onnx (what is shipped) and named.onnx (the same with the modules' names in it).

    file, tensors: the file that ships, and its inputs and outputs; download: its bytes after xz; zeros: exact zeros
    among the `weighed` numbers of its weights.
    """

    name: ClassVar[str] = "export"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript", "onnx-ir", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = ExportParameters

    def run(self, inputs: Mapping[str, Input], parameters: ExportParameters, work: Work) -> dict[str, Any]:
        import torch

        x = data.load(parameters.data, work.places).calibration.x[:1]
        net, _ = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        example = torch.from_numpy(x.copy())
        counted = network.measure(net, example)
        named = without_metadata(to_onnx(net, example, parameters.opset))
        shipped = leanest(named)
        written = file_size(named)
        check_macs(written.macs, counted.macs, NAMED)
        (work.out / NAMED).write_bytes(named.SerializeToString(deterministic=True))
        (work.out / MODEL).write_bytes(shipped)
        return {
            "file": MODEL,
            "tensors": tensors_of(named),
            "bytes": len(shipped),
            "download": download_size(shipped),
            "params": counted.params,
            "macs": written.macs,
            "elements": written.elements,
            "weights": written.weights,
            "zeros": written.zeros,
            "weighed": written.weighed,
            "shape": list(x.shape),
            "dtype": str(x.dtype),
            "outputs": list(network.forward(net, example, parameters.network).shape),
            "figure": f"{len(shipped) / 1024:.1f} KiB, {spoken(written.macs)} MACs",
        }
