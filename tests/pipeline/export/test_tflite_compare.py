"""Where a .tflite file parts from torch, and a quantised one from its float one: the very layer."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.export.tflite_compare import float_drift, in_integers, output_scale, quantised_drift
from pipeline.export.tflite_file import tensors
from pipeline.export.tflite_names import leanest
from pipeline.export.tflite_run import fed, interpreter, read, run_tflite
from pipeline.quantization.tflite import quantise_tflite
from tests.pipeline import nets
from tests.pipeline.export import tflited

LAYERS = ["norm", "blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.2.norm2", "blocks.2.shortcut.1", "head"]
X = nets.pictures(32).numpy()


@pytest.fixture(scope="module")
def int8() -> bytes:
    return quantise_tflite(tflited.tflite_of("resnet"), nets.pictures(64, seed=2).numpy(), "int8")


@pytest.mark.parametrize(
    "name", ["resnet", "patches", *(pytest.param(one, marks=pytest.mark.slow) for one in ("mobile", "concat", "words"))]
)
def test_float_drift_finds_nothing_where_nothing_drifts(name: str) -> None:
    x = tflited.samples_of(name, 2).numpy()
    found = float_drift(tflited.net_of(name), tflited.tflite_of(name), x, 1e-4)
    assert found.startswith("no single layer drifts")


@pytest.mark.parametrize("layer", LAYERS)
def test_float_drift_names_the_tampered_layer(layer: str) -> None:
    found = float_drift(nets.make("resnet"), tflited.tampered(tflited.tflite_of("resnet"), layer), X, 1e-3)
    assert found.startswith(f"first layer that drifts: {layer} (")


@pytest.mark.parametrize("layer", LAYERS)
def test_quantised_drift_names_the_tampered_layer(int8: bytes, layer: str) -> None:
    found = quantised_drift(tflited.tflite_of("resnet"), tflited.tampered(int8, layer), X)
    assert found.startswith(f"first layer that drifts: {layer} (")


@pytest.mark.parametrize("layer", ["patches", "qkv", "rise", "head"])
def test_drift_names_the_tampered_layer_of_a_transformer(layer: str) -> None:
    named = tflited.tflite_of("patches")
    found = float_drift(tflited.net_of("patches"), tflited.tampered(named, layer), X, 1e-3)
    assert found.startswith(f"first layer that drifts: {layer} (")
    found = quantised_drift(named, tflited.tampered(quantise_tflite(named, X, "int8"), layer), X)
    assert found.startswith(f"first layer that drifts: {layer} (")


def test_quantised_drift_names_the_worst_layer_where_none_falls(int8: bytes) -> None:
    assert quantised_drift(tflited.tflite_of("resnet"), int8, X).startswith("worst layer: ")


def test_all_in_integers_is_told_from_what_has_floats_in_between(int8: bytes) -> None:
    named = tflited.tflite_of("resnet")
    assert in_integers(int8)
    assert in_integers(leanest(quantise_tflite(named, X, "int8", integer_io=True)))
    assert not in_integers(named)
    assert not in_integers(quantise_tflite(named, None, "dynamic"))
    assert not in_integers(quantise_tflite(named, None, "float16"))
    assert not in_integers(quantise_tflite(tflited.tflite_of("patches"), X, "int8"))


def test_output_scale_is_the_step_of_what_comes_out(int8: bytes) -> None:
    step = output_scale(leanest(int8))
    assert step is not None
    steps = run_tflite(int8, X) / step
    assert np.abs(steps - np.round(steps)).max() < 1e-3
    assert output_scale(tflited.tflite_of("resnet")) is None
    calibration = nets.pictures(64, seed=2).numpy()
    whole = quantise_tflite(tflited.tflite_of("resnet"), calibration, "int8", integer_io=True)
    assert output_scale(whole) == step


def test_integers_in_and_out_are_the_floats_of_the_other_form(int8: bytes) -> None:
    calibration = nets.pictures(64, seed=2).numpy()
    whole = quantise_tflite(tflited.tflite_of("resnet"), calibration, "int8", integer_io=True)
    (entering,), (leaving,) = tensors(whole)
    assert (entering["dtype"], leaving["dtype"]) == ("int8", "int8")
    assert (run_tflite(whole, X) == run_tflite(int8, X)).all()
    running = interpreter(whole)
    running.set_tensor(running.get_input_details()[0]["index"], fed(X[:1], entering))
    running.invoke()
    raw = running.get_tensor(running.get_output_details()[0]["index"])
    assert raw.dtype == np.int8
    assert (read(raw, leaving) == run_tflite(int8, X[:1])).all()


def test_a_sample_is_moved_rounded_and_held_within_the_integers() -> None:
    tensor = {"name": "input", "dtype": "int8", "shape": [1, 2, 1, 2], "layout": "channels-last",
              "scale": 0.5, "zero_point": -3}  # fmt: skip
    sample = np.array([[[[0.0], [0.26]], [[1000.0], [-1000.0]]]], np.float32)  # [1, 2 channels, 2, 1]
    assert fed(sample, tensor).tolist() == [[[[-3, 127]], [[-2, -128]]]]
