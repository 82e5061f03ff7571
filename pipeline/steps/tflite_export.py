"""Writes the network as a TensorFlow Lite file, with channels-last inputs and lean enough to ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data, network
from pipeline.export.size import check_macs, download_size
from pipeline.export.tflite_file import file_size, operators, tensors
from pipeline.export.tflite_names import leanest
from pipeline.export.to_tflite import to_tflite
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work

NAMED, MODEL = "named.tflite", "model.tflite"


class TfliteExportParameters(StepParameters):
    network: NetworkSpec
    data: DataSpec


class TfliteExport(Step[TfliteExportParameters]):
    """From `model`, leaves model.tflite (what is shipped) and named.tflite (the same with the modules' names in it).

    Its summary says what Export's does; operators: how often each stands in the file. shape and outputs are torch's,
    tensors says how the file has them.
    """

    name: ClassVar[str] = "tflite_export"
    extra: ClassVar[str | None] = "tflite"
    libraries: ClassVar[tuple[str, ...]] = (
        *("torch", "litert-torch", "litert-converter", "ai-edge-litert", "torchao", "jax", "jaxlib"),
        *("flatbuffers", "numpy", "safetensors"),
    )
    Parameters: ClassVar[type[StepParameters]] = TfliteExportParameters

    def run(self, inputs: Mapping[str, Input], parameters: TfliteExportParameters, work: Work) -> dict[str, Any]:
        import torch

        x = data.load(parameters.data, work.places).calibration.x[:1]
        net, _ = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        example = torch.from_numpy(x.copy())
        counted = network.measure(net, example)
        outputs = list(network.forward(net, example, parameters.network).shape)
        named = to_tflite(net, example)
        shipped = leanest(named)
        written = file_size(named)
        # torch's counter doesn't look into recurrent layers.
        recurrent = any(isinstance(module, torch.nn.RNNBase) for module in net.modules())
        if not recurrent:
            check_macs(written.macs, counted.macs, NAMED)
        (work.out / NAMED).write_bytes(named)
        (work.out / MODEL).write_bytes(shipped)
        return {
            **described(shipped),
            "params": counted.params,
            "macs": written.macs,
            "elements": written.elements,
            "weights": written.weights,
            "zeros": written.zeros,
            "weighed": written.weighed,
            "shape": list(x.shape),
            "dtype": str(x.dtype),
            "outputs": outputs,
            "figure": f"{len(shipped) / 1024:.1f} KiB, {written.macs / 1e6:.2f} M MACs, TensorFlow Lite",
        }


def described(shipped: bytes) -> dict[str, Any]:
    """What a summary says of a file that ships: its name and bytes, its inputs and outputs, its operators."""
    entering, leaving = tensors(shipped)
    return {
        "file": MODEL,
        "bytes": len(shipped),
        "download": download_size(shipped),
        "tensors": {"inputs": entering, "outputs": leaving},
        "operators": operators(shipped),
    }
