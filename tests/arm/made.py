"""The files of a recipe that ARM devices get, of every format and precision, with torch's own answers to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.bundle import Manifest, Tensor, write_bundle
from edgewright.errors import EdgewrightError
from edgewright.places import cache_folder
from edgewright.progress import Silent
from pipeline import data, network
from pipeline.recipe import Recipe, read_recipe
from pipeline.steps.base import DataSpec, NetworkSpec, Places

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from models.data.parts import DataParts

    Array = NDArray[Any]

FORMATS = ("onnx", "tflite")
PRECISIONS = ("float32", "int8")
CALIBRATION = 64
"""Samples that the ranges of INT8 are taken from."""


@dataclass(frozen=True)
class Made:
    """One recipe's files. bundles: (format, precision) > bundle; refused: what could not be made, and why; evaluation:
    .npz with x, the samples asked; torch: its answers on x86-64, float32 [N, ...]; whole: (format, precision) of files
    that compute in integers throughout; steps: the output's quantisation step, where it has one.
    """

    name: str
    bundles: Mapping[tuple[str, str], Path]
    refused: Mapping[tuple[str, str], str]
    evaluation: Path
    torch: Array
    whole: frozenset[tuple[str, str]]
    steps: Mapping[tuple[str, str], float]
    trained: str


def make(name: str, folder: Path, samples: int, epochs: int | None = None, most: int | None = None) -> Made:
    """The files of a shipped recipe under `folder`, and the first `samples` of its test part.

    epochs: the most that a network is trained for that comes without weights, most: on at most so many
    samples; None: as its recipe says.
    Raises EdgewrightError where the recipe's own data or network can't be had.
    """
    import numpy as np
    import torch

    from pipeline.distillation import logits_of

    recipe = read_recipe(name, Path())
    places = Places(recipe.folder, cache_folder())
    parts = data.load(DataSpec(name=recipe.data, arguments=recipe.data_arguments), places)
    net, trained = _network(recipe, parts, folder, epochs, most)
    torch.set_num_threads(1)
    x = parts.test.first(samples).x
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = folder / "evaluation.npz"
    np.savez(evaluation, x=x)
    made = _Files(recipe.name, folder, net, parts.calibration.x, list(logits_of(net, torch.from_numpy(x[:1])).shape))
    made.onnx()
    made.tflite()
    answers = logits_of(net, torch.from_numpy(x)).numpy()
    return Made(name, made.bundles, made.refused, evaluation, answers, frozenset(made.whole), made.steps, trained)


def _network(
    recipe: Recipe, parts: DataParts, folder: Path, epochs: int | None, most: int | None
) -> tuple[nn.Module, str]:
    """The network in evaluation mode, and how it came by its weights."""
    import torch

    from pipeline.training import Run, cross_entropy, train

    net = network.original(
        NetworkSpec(factory=recipe.factory, arguments=recipe.arguments, seed=recipe.seed), recipe.folder
    )
    schedule = recipe.train.schedule
    asked = schedule.epochs if epochs is None else min(epochs, schedule.epochs)
    if recipe.weights is not None:
        network.load_weights(net, recipe.folder / recipe.weights)
        return net.eval(), "its own weights"
    if asked == 0:
        return net.eval(), "its own weights" if schedule.epochs == 0 else "not trained"
    scratch = folder / "training"
    scratch.mkdir(parents=True, exist_ok=True)
    shorter = schedule.model_copy(update={"epochs": asked})
    loss = cross_entropy(shorter.label_smoothing)
    part = parts.train.first(most or len(parts.train))
    train(Run(net, part, shorter, recipe.seed, loss, "train"), scratch, Silent())
    # Training left the weights channels-last in memory, and litert-torch then converts them wrongly without a word. A
    # step's network comes out of a file, so it never is.
    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return net.eval(), f"trained for {asked} of {schedule.epochs} epochs on {len(part)} of {len(parts.train)} samples"


class _Files:
    """Makes bundles by the functions that the pipeline's steps call."""

    def __init__(self, name: str, folder: Path, net: nn.Module, calibration: Array, output: list[int]) -> None:
        self._name, self._folder, self._net, self._output = name, folder, net, output
        self._calibration = calibration[:CALIBRATION]
        self.bundles: dict[tuple[str, str], Path] = {}
        self.refused: dict[tuple[str, str], str] = {}
        self.whole: set[tuple[str, str]] = set()
        self.steps: dict[tuple[str, str], float] = {}

    def onnx(self) -> None:
        """float32 and INT8 as the target raspberry-pi has them: unsigned activations, a scale per channel."""
        from pipeline.export.integers import in_integers, output_scale
        from pipeline.export.lean import leanest, without_metadata
        from pipeline.export.to_onnx import INPUT, OUTPUT, to_onnx
        from pipeline.quantization.static import quantise_static

        first = self._calibration[:1]
        inputs = [{"name": INPUT, "dtype": str(first.dtype), "shape": list(first.shape)}]
        outputs = [{"name": OUTPUT, "dtype": "float32", "shape": self._output}]

        def write(model: Any, precision: str) -> None:
            self._bundle(("onnx", precision), leanest(model), inputs, outputs)
            if in_integers(model):
                self.whole.add(("onnx", precision))
            if (scale := output_scale(model)) is not None:
                self.steps["onnx", precision] = scale

        named = self._try(("onnx", "float32"), lambda: without_metadata(to_onnx(self._net, self._example(), 20)))
        if named is None:
            return
        write(named, "float32")
        made = self._try(("onnx", "int8"), lambda: quantise_static(named, self._calibration, "uint8", True, False))
        if made is not None:
            write(without_metadata(made), "int8")

    def tflite(self) -> None:
        """float32 and full-integer INT8 with floats at both ends."""
        from pipeline.export.to_tflite import to_tflite
        from pipeline.quantization.tflite import quantise_tflite

        exported = self._try(("tflite", "float32"), lambda: to_tflite(self._net, self._example()))
        if exported is None:
            return
        self._tflite("float32", exported)
        made = self._try(("tflite", "int8"), lambda: quantise_tflite(exported, self._calibration, "int8"))
        if made is not None:
            self._tflite("int8", made)

    def _tflite(self, precision: str, content: bytes) -> None:
        from pipeline.export.tflite_file import operations, parse, scales, tensors

        self._bundle(("tflite", precision), content, *tensors(content))
        if precision == "float32":
            return
        model = parse(content)
        graph, every = model.subgraphs[0], operations(model)
        joints = {"QUANTIZE", "DEQUANTIZE"}
        last = next((one for one in every if list(one.outputs) == list(graph.outputs)), None)
        if last is not None and last.kind == "DEQUANTIZE":
            scale, _ = scales(graph.tensors[last.inputs[0]])
            if scale is not None and len(scale) == 1:
                self.steps["tflite", precision] = float(scale[0])
        results = [number for one in every if one.kind not in joints for number in one.outputs]
        if all(scales(graph.tensors[number])[0] is not None for number in results):
            self.whole.add(("tflite", precision))

    def _example(self) -> Any:
        import torch

        return torch.from_numpy(self._calibration[:1].copy())

    def _try(self, cell: tuple[str, str], make: Callable[[], Any]) -> Any:
        try:
            return make()
        except EdgewrightError as error:
            self.refused[cell] = f"{error.what} ({error.where})"
            return None

    def _bundle(
        self, cell: tuple[str, str], content: bytes, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]
    ) -> None:
        format_, precision = cell
        name = f"{format_}-{precision}"
        file = self._folder / f"{name}.{format_}"
        file.write_bytes(content)
        manifest = Manifest(
            schema="edgewright-bundle/1",
            name=name,
            model=self._name,
            target="parity",
            format=format_,
            runtime="onnxruntime" if format_ == "onnx" else "litert",
            precision=precision,
            file=f"model.{format_}",
            sha256="0" * 64,
            bytes=0,
            inputs=[Tensor(**tensor) for tensor in inputs],
            outputs=[Tensor(**tensor) for tensor in outputs],
        )
        self.bundles[cell] = write_bundle(self._folder / name, file, manifest).folder
