"""Writes the network as a file for torch itself: TorchScript for libtorch, or a torch.export program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pipeline import data, network
from pipeline.export.drift import worst_difference
from pipeline.export.size import check_macs, download_size, spoken
from pipeline.export.to_torch import FILES, to_torch
from pipeline.export.torch_file import constants, macs_of, run_torch, torch_file_drift
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.checking import CheckFailed

SAMPLES = 16
TOLERANCE = {"pt2": 1e-6, "torchscript": 1e-4}
"""Of the outputs' spread. A .pt2 does what the network does; frozen TorchScript has its batch norms folded, which moved
EfficientNet-Lite0 by 8e-6."""


class TorchExportParameters(StepParameters):
    network: NetworkSpec
    data: DataSpec
    format: Literal["torchscript", "pt2"]


class TorchExport(Step[TorchExportParameters]):
    """From `model`, leaves model.pt or model.pt2, loaded back and compared. The summary is as Export's.

    Raises NotExportable with the layer, CheckFailed, MacsDisagree.
    """

    name: ClassVar[str] = "torch_export"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = TorchExportParameters

    def run(self, inputs: Mapping[str, Input], parameters: TorchExportParameters, work: Work) -> dict[str, Any]:
        import torch

        torch.set_num_threads(1)
        x = data.load(parameters.data, work.places).calibration.first(SAMPLES).x
        net, _ = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        example = torch.from_numpy(x[:1].copy())
        counted = network.measure(net, example)
        made, format_ = to_torch(net, example, parameters.format), parameters.format
        reference = torch.cat(
            [network.forward(net, torch.from_numpy(one[None].copy()), parameters.network) for one in x]
        ).numpy()
        difference = worst_difference(reference, run_torch(made, format_, x))
        if not difference <= TOLERANCE[format_]:
            raise CheckFailed(
                f"The {format_} file departs from torch by {difference:.2g} of the outputs' spread",
                where=torch_file_drift(net, made, format_, x, TOLERANCE[format_]),
                remedy="let forward() choose nothing by the values of a tensor",
            )
        macs = macs_of(made, format_, example)
        check_macs(macs, counted.macs, FILES[format_])
        (work.out / FILES[format_]).write_bytes(made)
        weights = {name: value for name, value in net.named_parameters() if value.dim() > 1}
        held = [value for value in constants(made, format_) if value.dim() > 1]
        shape = list(x[:1].shape)
        return {
            "file": FILES[format_],
            "tensors": {
                "inputs": [{"name": "input", "dtype": str(x.dtype), "shape": shape}],
                "outputs": [{"name": "output", "dtype": "float32", "shape": [1, *reference.shape[1:]]}],
            },
            "bytes": len(made),
            "download": download_size(made),
            "params": counted.params,
            "macs": macs,
            "elements": sum(value.numel() for value in constants(made, format_)),
            "weights": {name: list(value.shape) for name, value in weights.items()},
            "zeros": sum(int((value == 0).sum()) for value in held),
            "weighed": sum(value.numel() for value in held),
            "shape": shape,
            "dtype": str(x.dtype),
            "outputs": [1, *reference.shape[1:]],
            "figure": f"{len(made) / 1024:.1f} KiB, {spoken(macs)} MACs",
        }
