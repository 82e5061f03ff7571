"""INT8, dynamic range and FP16 of TensorFlow Lite: smaller, close to float, true ranges, refused with reasons."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgewright.files import sha256_bytes
from pipeline import network
from pipeline.export.drift import sqnr
from pipeline.export.tflite_file import (
    constant_tensors,
    dtype_of,
    file_size,
    operations,
    operators,
    parse,
    scales,
    tensors,
)
from pipeline.export.tflite_names import leanest, serialised
from pipeline.export.tflite_run import fed, run_tflite
from pipeline.export.to_tflite import to_tflite
from pipeline.metrics import top1
from pipeline.quantization import tflite
from pipeline.quantization.calibrated import Settings, quantised
from pipeline.quantization.choice import METHODS
from pipeline.quantization.ranges import extremes
from pipeline.quantization.refusal import AlreadyQuantised, BadCalibration, NotQuantisable
from pipeline.quantization.tflite import TfliteForm, has_attention, quantise_tflite
from pipeline.quantization.tflite_values import weighted
from pipeline.steps.base import NetworkSpec
from tests.pipeline import nets
from tests.pipeline.conftest import Built
from tests.pipeline.export import tflited

X = nets.pictures(64, seed=2).numpy()


def _weight_scales(data: bytes) -> list[tuple[str, int, int]]:
    """(operator, scales, output channels) of every INT8 weight."""
    model = parse(data)
    found, constants = [], constant_tensors(model)
    for one in operations(model):
        if one.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
            weight = model.subgraphs[0].tensors[one.inputs[1]]
            assert one.inputs[1] in constants
            if dtype_of(weight) == "int8":
                channels = weight.shape[3] if one.kind == "DEPTHWISE_CONV_2D" else weight.shape[0]
                found.append((one.kind, len(scales(weight)[0]), int(channels)))
    return found


@pytest.mark.parametrize(
    ("precision", "share", "least"), [("int8", 0.45, 30), ("dynamic", 0.4, 35), ("float16", 0.6, 60)]
)
def test_every_precision_is_smaller_and_close_to_float(precision: str, share: float, least: float) -> None:
    named = tflited.tflite_of("resnet")
    made = leanest(quantise_tflite(named, X, precision))
    assert len(made) < len(leanest(named)) * share
    assert sqnr(run_tflite(named, X), run_tflite(made, X)) > least


def test_int8_computes_nothing_in_float_but_the_border() -> None:
    counts = operators(quantise_tflite(tflited.tflite_of("resnet"), X, "int8"))
    assert counts == {**operators(tflited.tflite_of("resnet")), "QUANTIZE": 1, "DEQUANTIZE": 1}
    whole = operators(quantise_tflite(tflited.tflite_of("resnet"), X, "int8", integer_io=True))
    assert whole == operators(tflited.tflite_of("resnet"))


def test_int8_has_one_scale_a_channel_or_one_for_all() -> None:
    per_channel = _weight_scales(quantise_tflite(tflited.tflite_of("resnet"), X, "int8"))
    assert len(per_channel) == 10
    assert all(count == channels for _, count, channels in per_channel)
    per_tensor = _weight_scales(quantise_tflite(tflited.tflite_of("resnet"), X, "int8", per_channel=False))
    assert all(count == 1 for _, count, _ in per_tensor)


def test_dynamic_range_for_tflite_runtime_has_one_scale_a_linear_layer() -> None:
    named = tflited.tflite_of("patches")
    made = quantise_tflite(named, None, "dynamic", per_tensor_linear=True)
    assert {count for kind, count, _ in _weight_scales(made) if kind == "FULLY_CONNECTED"} == {1}
    assert {count for kind, count, _ in _weight_scales(made) if kind == "DEPTHWISE_CONV_2D"} == {32}
    assert sqnr(run_tflite(named, X), run_tflite(made, X)) > 35
    others = _weight_scales(quantise_tflite(named, None, "dynamic"))
    assert all(count == channels for _, count, channels in others)


def test_weights_of_float16_stand_in_the_file_as_such() -> None:
    model = parse(quantise_tflite(tflited.tflite_of("resnet"), None, "float16"))
    large = [model.subgraphs[0].tensors[one] for one, values in constant_tensors(model).items() if values.size > 32]
    assert {dtype_of(one) for one in large} == {"float16"}


def test_attention_is_found_and_only_its_linear_layers_are_quantised() -> None:
    named = tflited.tflite_of("patches")
    assert has_attention(named)
    assert not has_attention(tflited.tflite_of("resnet"))
    linear = quantise_tflite(named, X, "int8")
    model = parse(linear)
    given = {one.kind: dtype_of(model.subgraphs[0].tensors[one.outputs[0]]) for one in operations(model)}
    assert [given[kind] for kind in ("SOFTMAX", "BATCH_MATMUL", "GELU", "RSQRT")] == ["float32"] * 4
    assert given["DEPTHWISE_CONV_2D"] == "int8"
    assert sqnr(run_tflite(named, X), run_tflite(linear, X)) > 35


@pytest.mark.slow
def test_embeddings_of_a_text_network_have_one_scale_where_tflite_runtime_needs_it() -> None:
    named, ids = tflited.tflite_of("words"), tflited.samples_of("words", 64, seed=2).numpy()
    reference = run_tflite(named, ids)
    for options, expected in (
        ({"precision": "int8"}, 1),
        ({"precision": "dynamic", "per_tensor_linear": True}, 1),
        ({"precision": "dynamic"}, 50),
    ):
        made = quantise_tflite(named, ids, **options)
        assert [count for kind, count, _ in _weight_scales(made) if kind == "EMBEDDING_LOOKUP"] == [expected]
        assert sqnr(reference, run_tflite(made, ids)) > 30
        assert file_size(made).elements == file_size(named).elements


def _by_the_library(named: bytes, x: Any, update: str) -> bytes:
    """INT8 with ranges from ai-edge-quantizer's own calibrator, by one of its ways to sum samples up."""
    from ai_edge_quantizer import calibrator, quantizer
    from ai_edge_quantizer.utils import qsv_utils

    made = quantizer.Quantizer(bytearray(named))
    tflite._static(made, False, True, False)
    watched = calibrator.Calibrator(named, num_threads=1, qsv_update_func=getattr(qsv_utils, update))
    entry = tensors(named)[0][0]
    samples = [{entry["name"]: fed(sample[None], entry)} for sample in x]
    watched.calibrate({watched.get_signature_list().popitem()[0]: samples}, made._recipe_manager)
    return serialised(parse(bytes(made.quantize(watched.get_model_qsvs()).quantized_model)))


def test_ranges_are_the_least_and_largest_of_all_samples() -> None:
    named = tflited.tflite_of("resnet")
    form = TfliteForm(named)
    assert extremes(form.activations(X))["input"] == (float(X.min()), float(X.max()))
    assert quantise_tflite(named, X, "int8") == _by_the_library(named, X, "min_max_update")


def test_layers_are_named_after_the_modules_and_can_be_left_in_float() -> None:
    named = tflited.tflite_of("resnet")
    form = TfliteForm(named)
    assert form.layers[0] == "norm"
    assert form.layers[-1] == "head"
    assert form.layers == form.correctable
    left = ["blocks.0.norm1", "head"]
    made = parse(form.quantised(extremes(form.activations(X)), left))
    graph = made.subgraphs[0]
    kinds = [dtype_of(graph.tensors[one.inputs[1]]) for one in weighted(made)]
    assert kinds == ["float32" if layer in left else "int8" for layer in form.layers]


def test_layer_values_of_int8_are_what_its_integers_stand_for() -> None:
    form = TfliteForm(tflited.tflite_of("resnet"))
    made = form.quantised(extremes(form.activations(X)))
    for reference, other in zip(*(form.layer_values(one, X[:4], form.layers) for one in (None, made)), strict=True):
        for layer in form.layers:
            assert reference[layer].ndim == 2
            assert sqnr(reference[layer], other[layer]) > 20


def test_shifted_biases_move_the_layers_mean_by_so_much() -> None:
    form = TfliteForm(tflited.tflite_of("resnet"))
    made = form.quantised(extremes(form.activations(X)))
    shift = np.linspace(-0.3, 0.3, 10)
    moved = form.shifted(made, {"head": shift})
    difference = (form.outputs(moved, X) - form.outputs(made, X)).mean(0)
    assert np.abs(difference - shift).max() < 0.05
    assert parse(moved).subgraphs[0].tensors[0].name == parse(made).subgraphs[0].tensors[0].name
    assert form.shifted(made, {}) == made


def test_a_model_that_is_quantised_already_is_refused() -> None:
    with pytest.raises(AlreadyQuantised, match="quantised already"):
        TfliteForm(quantise_tflite(tflited.tflite_of("resnet"), X, "int8"))


def test_the_whole_of_int8_is_the_same_every_time_and_no_worse_than_min_and_max() -> None:
    named = tflited.tflite_of("resnet")
    form, y = TfliteForm(named), np.zeros(len(X), np.int64)
    one, other = (quantised(TfliteForm(named), X, y, Settings(), top1) for _ in range(2))
    assert one == other
    assert one.report["method"] in METHODS
    plain = quantised(form, X, y, Settings("minmax", bias_correction=False), top1)
    assert one.report["sqnr_db"] >= plain.report["sqnr_db"]


@pytest.fixture(scope="module")
def trained(built: Built) -> tuple[bytes, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The trained digits network as a file, its calibration samples and a hundred others."""
    from pipeline import data
    from pipeline.steps.base import DataSpec

    tflited.installed()
    parameters = dict(built.plan.nodes["trained/check"].parameters)
    parts = data.load(DataSpec.model_validate(parameters["data"]), built.places)
    spec = NetworkSpec.model_validate(parameters["network"])
    net, _ = network.rebuilt(spec, built.places.recipe, built.inputs("trained/check")["network"])
    return (
        to_tflite(net, torch.from_numpy(parts.calibration.x[:1].copy())),
        parts.calibration.x,
        parts.validation.x[:100],
    )


@pytest.mark.slow
def test_true_ranges_beat_the_librarys_moving_average(trained: tuple[bytes, Any, Any]) -> None:
    named, calibration, x = trained
    reference = run_tflite(named, x)
    true = run_tflite(quantise_tflite(named, calibration, "int8"), x)
    assert sqnr(reference, true) > 25
    assert (reference.argmax(1) == true.argmax(1)).mean() >= 0.98
    clipped = run_tflite(_by_the_library(named, calibration, "moving_average_update"), x)
    assert sqnr(reference, true) > 3 + sqnr(reference, clipped)


QUANTISE = """
import sys
from edgewright.files import sha256_bytes
from pathlib import Path
from pipeline.quantization.tflite import quantise_tflite
from tests.pipeline import nets
x = nets.pictures(64, seed=2).numpy()
for precision in ("int8", "dynamic", "float16"):
    print(sha256_bytes(quantise_tflite(Path(sys.argv[1]).read_bytes(), x, precision)))
"""


@pytest.mark.slow
def test_quantising_elsewhere_gives_the_same_bytes(tmp_path: Path, project_root: Path) -> None:
    named = tflited.tflite_of("resnet")
    (tmp_path / "named.tflite").write_bytes(named)
    done = subprocess.run(
        [sys.executable, "-c", QUANTISE, str(tmp_path / "named.tflite")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(project_root), "PYTHONHASHSEED": "7", "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    here = [sha256_bytes(quantise_tflite(named, X, precision)) for precision in ("int8", "dynamic", "float16")]
    assert done.stdout.split() == here


@pytest.mark.parametrize(
    "samples",
    [np.ones((4, 1, 9, 9), np.float32), np.ones((4, 64), np.float32)],
    ids=["shape", "rank"],
)
def test_wrong_calibration_is_refused_in_one_line(samples: Any) -> None:
    with pytest.raises(NotQuantisable, match="refused the model") as caught:
        quantise_tflite(tflited.tflite_of("resnet"), samples, "int8")
    assert "\n" not in caught.value.what
    assert '"int8"' in caught.value.remedy


@pytest.mark.parametrize("samples", [None, X[:0]])
def test_no_calibration_is_refused(samples: Any) -> None:
    with pytest.raises(BadCalibration, match="no calibration samples"):
        quantise_tflite(tflited.tflite_of("resnet"), samples, "int8")


@pytest.mark.slow
def test_int8_file_that_no_interpreter_takes_is_refused() -> None:
    from tests.zoo import ZOO

    tflited.installed()
    x = ZOO["convnext"].samples(4)[0]
    named = to_tflite(ZOO["convnext"].network(), x[:1])
    with pytest.raises(NotQuantisable, match="num_scales"):
        quantise_tflite(named, x.numpy(), "int8")
