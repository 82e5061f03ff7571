"""TensorFlow as an independent judge: its interpreter on our .tflite files, and its converter against our quantiser.

Nothing that a user runs needs it; ./inv setup oracle brings it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgewright.quiet import quiet
from models.architectures.resnet import ResNet
from pipeline import data, network
from pipeline.export.drift import sqnr, worst_difference
from pipeline.export.tflite_compare import output_scale
from pipeline.export.tflite_file import operators, tensors
from pipeline.export.tflite_names import leanest
from pipeline.export.tflite_run import fed, read, run_tflite
from pipeline.export.to_tflite import to_tflite
from pipeline.quantization.tflite import quantise_tflite
from pipeline.steps.base import DataSpec, NetworkSpec
from tests.pipeline.conftest import Built
from tests.pipeline.conftest import built as built
from tests.pipeline.export import tflited
from tests.prerequisites import require

pytestmark = pytest.mark.slow
NAMES = ("resnet", "mobile", "concat", "patches", "words")
FORMS: dict[str, dict[str, Any]] = {
    "float32": {}, "int8": {"precision": "int8"}, "int8 in and out": {"precision": "int8", "integer_io": True},
    "dynamic": {"precision": "dynamic"}, "float16": {"precision": "float16"},
}  # fmt: skip


@pytest.fixture(scope="module")
def tensorflow() -> Any:
    require(importlib.util.find_spec("tensorflow"), "tensorflow-cpu is not installed: ./inv setup oracle")
    tflited.installed()
    with quiet():
        import tensorflow
    return tensorflow


def _run(tensorflow: Any, file: bytes, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What tf.lite.Interpreter gives for `x` [N, ...]; see run_tflite."""
    (entering, *_), (leaving, *_) = tensors(file)
    with quiet():
        running = tensorflow.lite.Interpreter(model_content=file, num_threads=1)
        running.allocate_tensors()
    rows = []
    for sample in x:
        running.set_tensor(running.get_input_details()[0]["index"], fed(sample[None], entering))
        running.invoke()
        rows.append(read(running.get_tensor(running.get_output_details()[0]["index"]), leaving))
    return np.concatenate(rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_tensorflows_interpreter_gives_what_litert_gives(tensorflow: Any, name: str, form: str) -> None:
    x = tflited.samples_of(name, 16, seed=3).numpy()
    named = tflited.tflite_of(name)
    file = leanest(quantise_tflite(named, x, **FORMS[form]) if FORMS[form] else named)
    ours, theirs = run_tflite(file, x), _run(tensorflow, file, x)
    step = output_scale(file)
    if step is not None:
        assert np.abs(ours - theirs).max() <= step * 1.001
    else:
        assert worst_difference(ours, theirs) < 1e-5


@pytest.fixture(scope="module")
def trained(built: Built) -> Iterator[tuple[ResNet, Any, Any]]:
    """The trained digits network, its calibration samples and 200 others."""
    parameters = dict(built.plan.nodes["trained/check"].parameters)
    parts = data.load(DataSpec.model_validate(parameters["data"]), built.places)
    spec = NetworkSpec.model_validate(parameters["network"])
    net, _ = network.rebuilt(spec, built.places.recipe, built.inputs("trained/check")["network"])
    assert isinstance(net, ResNet)
    yield net, parts.calibration.x, parts.validation.x[:200]


def test_tensorflows_own_converter_makes_int8_as_close_as_ours(
    tensorflow: Any, trained: tuple[ResNet, Any, Any]
) -> None:
    net, calibration, x = trained
    with torch.no_grad():
        reference = net(torch.from_numpy(x)).numpy()
    model = _in_keras(tensorflow, net, calibration.shape[1:])
    converted = _converted(tensorflow, model, calibration)
    named = to_tflite(net, torch.from_numpy(calibration[:1].copy()))
    ours = leanest(quantise_tflite(named, calibration, "int8"))
    by_hand = model(np.moveaxis(x, 1, -1)).numpy()
    assert worst_difference(reference, by_hand) < 1e-4  # the same network, written once more
    close = sqnr(reference, run_tflite(ours, x))
    theirs = sqnr(reference, run_tflite(converted, x))
    assert abs(close - theirs) < 3
    assert close > 25
    assert operators(ours)["CONV_2D"] + operators(ours)["DEPTHWISE_CONV_2D"] == operators(converted)["CONV_2D"]
    assert len(ours) < 1.1 * len(converted)


def _converted(tensorflow: Any, model: Any, calibration: Any) -> bytes:
    """A Keras model in full-integer INT8 by TensorFlow's converter, floats at its border."""

    def samples() -> Iterator[list[Any]]:
        for one in calibration:
            yield [np.moveaxis(one, 0, -1)[None]]

    with quiet():
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def _in_keras(tensorflow: Any, net: ResNet, shape: tuple[int, ...]) -> Any:
    """The residual network written by hand in Keras, channels last, its batch norms folded into the convolutions."""
    layers = tensorflow.keras.layers

    def convolved(x: Any, conv: nn.Conv2d, norm: nn.BatchNorm2d, relu: bool) -> Any:
        assert norm.running_var is not None and norm.running_mean is not None
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        kernel = (conv.weight * factor[:, None, None, None]).permute(2, 3, 1, 0).detach().numpy()
        bias = (norm.bias - norm.running_mean * factor).detach().numpy()
        if conv.kernel_size == (3, 3):  # "same" pads at the end only where the stride is 2
            x = layers.ZeroPadding2D(1)(x)
        made = layers.Conv2D(conv.out_channels, conv.kernel_size, conv.stride, "valid")
        x = made(x)
        made.set_weights([kernel, bias])
        return layers.ReLU()(x) if relu else x

    x = entering = layers.Input((*shape[1:], shape[0]), batch_size=None)
    x = convolved(x, net.stem, net.norm, True)
    for block in net.blocks:
        if isinstance(block, nn.Identity):
            continue
        assert not isinstance(block, torch.Tensor)
        y = convolved(x, block.conv1, block.norm1, True)  # type: ignore[arg-type]
        y = convolved(y, block.conv2, block.norm2, False)  # type: ignore[arg-type]
        shortcut: Any = block.shortcut
        if isinstance(shortcut, nn.Sequential):
            x = convolved(x, shortcut[0], shortcut[1], False)  # type: ignore[arg-type]
        x = layers.ReLU()(layers.Add()([x, y]))
    head = layers.Dense(net.head.out_features)
    x = head(layers.GlobalAveragePooling2D()(x))
    head.set_weights([net.head.weight.detach().numpy().T, net.head.bias.detach().numpy()])
    return tensorflow.keras.Model(entering, x)
