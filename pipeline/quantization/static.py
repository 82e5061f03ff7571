"""Static INT8 in QDQ form by onnxruntime's quantiser: ranges of our own, and the settings that were found to pay."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.export.compare import feeds, run_file
from pipeline.quantization.qdq import Bias, bias_of, quantised_nodes, session, with_bias
from pipeline.quantization.ranges import Ranges, Sample, extremes
from pipeline.quantization.refusal import AlreadyQuantised, BadCalibration
from pipeline.quantization.refusal import NotQuantisable as NotQuantisable  # looked for here since the first day

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

LINEAR = ["MatMul", "Gemm", "Gather"]
"""What is quantised of a network with attention: linear layers and embeddings.

Quantising the rest too (softmax, norms, products of activations) cost a ViT 4 dB and a text model with a padding mask
30 dB, and took more time than float.
"""
WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "Gather": 0}
"""Operators that are layers, and which of their inputs is the weight."""


def quantise_static(
    model: onnx.ModelProto,
    calibration: Array | tuple[Array, ...],
    activations: str,
    per_channel: bool,
    symmetric: bool,
) -> onnx.ModelProto:
    """INT8 weights, `activations` (uint8 or int8) activations, ranges by min and max over `calibration` [N, ...].

    The model takes a batch of 1; a tuple of arrays calibrates one of several inputs. All operators are quantised, but
    only LINEAR ones where there is attention. Weights are symmetric: zeros stay zero. Raises NotQuantisable.
    """
    form = OnnxForm(model, activations, per_channel, symmetric)
    if not len(calibration[0] if isinstance(calibration, tuple) else calibration):
        raise BadCalibration(
            "There are no calibration samples", where="quantise", remedy="have the data's loader give some"
        )
    with _refusing():
        ranges = extremes(form.activations(calibration))
    return form.quantised(ranges)


class OnnxForm:
    """An ONNX file of a batch of 1 and its INT8 files, as pipeline.quantization.form.Form asks."""

    def __init__(self, model: onnx.ModelProto, activations: str, per_channel: bool, symmetric: bool) -> None:
        """See quantise_static. Raises NotQuantisable."""
        from onnx.helper import tensor_dtype_to_np_dtype

        if quantised_nodes(model):
            raise AlreadyQuantised(
                "The ONNX file is quantised already: it has QuantizeLinear or DequantizeLinear nodes",
                where="quantise",
                remedy="give the float export",
            )
        self.activation_type, self.per_channel, self.symmetric = activations, per_channel, symmetric
        self.float_model = model
        self.attention = has_attention(model)
        with _refusing():
            self._ready = _prepared(model, activations)
        graph = self._ready.graph
        entry = graph.input[0].type.tensor_type
        self.shape = [dim.dim_value for dim in entry.shape.dim][1:]
        self.dtype = str(tensor_dtype_to_np_dtype(entry.elem_type))
        self._nodes = self._layers()
        self.layers = list(self._nodes)
        self._biases = self._biased()
        self.correctable = [layer for layer in self.layers if layer in self._biases]

    def activations(self, x: Array | tuple[Array, ...]) -> Iterator[Sample]:
        """Every float tensor of the float file, sample by sample."""
        import onnx

        graph = self._ready.graph
        made = {output for node in graph.node for output in node.output}  # shapes of others may linger
        given = {value.name for value in graph.input}
        floats = [
            value.name
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and value.name in made | given
        ]
        computed = [name for name in floats if name in made]
        running = session(self._ready, computed, optimised=False)
        for feed in feeds(x):
            yield {
                **{name: feed[name] for name in floats if name in given},
                **dict(zip(computed, running.run(computed, feed), strict=True)),
            }

    def quantised(self, ranges: Ranges, left: Collection[str] = ()) -> onnx.ModelProto:
        """The INT8 file; the layers `left` stay float. Raises NotQuantisable."""
        import numpy as np
        from onnxruntime.quantization import CalibrationMethod, QuantType
        from onnxruntime.quantization.calibrate import TensorData, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        float_nodes = [node for layer in left for node in self._nodes[layer]]
        # The option MatMulConstBOnly says the same, but does nothing in QDQ form (onnxruntime 1.31).
        float_nodes += _products_of_activations(self._ready) if self.attention else []
        told = {
            name: TensorData(lowest=np.float32(least), highest=np.float32(largest))
            for name, (least, largest) in ranges.items()
        }
        with _refusing():
            quantiser = QDQQuantizer(
                copy.deepcopy(self._ready),
                self.per_channel,
                False,
                QuantType.QInt8,
                QuantType.QUInt8 if self.activation_type == "uint8" else QuantType.QInt8,
                TensorsData(CalibrationMethod.MinMax, told),
                [],
                float_nodes,
                LINEAR if self.attention else [*QLinearOpsRegistry, *QDQRegistry],
                {"ActivationSymmetric": self.symmetric},
            )
            quantiser.quantize_model()
            quantiser.model.topological_sort()
            return quantiser.model.model

    def outputs(self, model: onnx.ModelProto | None, x: Array) -> Array:
        """What the INT8 `model`, or else the float file, gives: float32 [N, ...]."""
        return run_file((model or self.float_model).SerializeToString(), x)

    def layer_values(
        self, model: onnx.ModelProto | None, x: Array, layers: Collection[str]
    ) -> Iterator[dict[str, Array]]:
        """What each of `layers` gives before anything that follows it, sample by sample: float32 [positions, channels].

        Of an INT8 file: before it is rounded to eight bits again.
        """
        running = model or self._ready
        wanted = {self._nodes[layer][-1]: layer for layer in layers}
        nodes = {node.name: node for node in running.graph.node if node.name in wanted}
        tensors = [nodes[name].output[0] for name in wanted]
        reading = session(running, tensors, optimised=True)
        for feed in feeds(x):
            yield {
                layer: _by_channel(nodes[name].op_type, values)
                for (name, layer), values in zip(wanted.items(), reading.run(tensors, feed), strict=True)
            }

    def shifted(self, model: onnx.ModelProto, shifts: Mapping[str, Array]) -> onnx.ModelProto:
        """A copy whose biases are larger by `shifts`, in their own steps where they are INT32."""
        made = copy.deepcopy(model)
        for layer, shift in shifts.items():
            with_bias(made, self._biases[layer], shift)
        return made

    def _layers(self) -> dict[str, list[str]]:
        """The weighted nodes that are quantised, by their torch modules' names."""
        constants = {tensor.name for tensor in self._ready.graph.initializer}
        found: dict[str, list[str]] = {}
        for node in self._ready.graph.node:
            weight = WEIGHTED.get(node.op_type)
            if weight is None or node.input[weight] not in constants or (self.attention and node.op_type not in LINEAR):
                continue
            # What onnxruntime fused is called "module/MatMul/MatMulAddFusion".
            found.setdefault(node.name.partition("/")[0] or node.name, []).append(node.name)
        return found

    def _biased(self) -> dict[str, Bias]:
        """Where the bias of each layer of one node lies, if no other layer reads it."""
        found = {}
        for layer, names in self._nodes.items():
            if len(names) == 1 and (bias := bias_of(self._ready, names[0])):
                found[layer] = bias
        shared = [bias.tensor for bias in found.values()]
        return {layer: bias for layer, bias in found.items() if shared.count(bias.tensor) == 1}


def has_attention(model: onnx.ModelProto) -> bool:
    """True where a softmax leads to a product of two activations, with nothing weighted in between."""
    constants = {tensor.name for tensor in model.graph.initializer}
    attention: set[str] = set()
    for node in model.graph.node:
        weighs = any(name in attention for name in node.input)
        if node.op_type == "MatMul" and weighs and not constants.intersection(node.input):
            return True
        if node.op_type == "Softmax" or (weighs and node.op_type not in ("MatMul", "Gemm", "Conv")):
            attention.update(node.output)
    return False


def _products_of_activations(model: onnx.ModelProto) -> list[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name for node in model.graph.node if node.op_type == "MatMul" and not constants.intersection(node.input)
    ]


def _by_channel(kind: str, values: Array) -> Array:
    import numpy as np

    last = np.moveaxis(values, 1, -1) if kind in ("Conv", "ConvTranspose") else values
    return last.reshape(-1, last.shape[-1])


def _prepared(model: onnx.ModelProto, activations: str) -> onnx.ModelProto:
    """The float file as onnxruntime's quantiser wants it: tidied, and with every tensor's shape."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer, update_opset_version
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(model, str(ready))
        kind = QuantType.QUInt8 if activations == "uint8" else QuantType.QInt8
        return update_opset_version(load_model_with_shape_infer(ready), QuantType.QInt8, kind)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What onnxruntime raises in the block becomes NotQuantisable; what it advises on the root logger is not seen."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises to run what was just run
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except EdgewrightError:
        raise
    except Exception as error:  # the quantiser raises many kinds
        raise NotQuantisable(
            f"onnxruntime's quantiser refused the model: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            where="quantise",
            remedy='leave "int8" out of the target\'s precisions for this model',
        ) from error
    finally:
        root.setLevel(level)
