"""FP16 storage: half the bytes, float32 computation, and nothing that FP16 can't hold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from pipeline.export.compare import run_file
from pipeline.export.drift import sqnr
from pipeline.export.lean import leanest
from pipeline.quantization.float16 import LEAST, store_float16
from pipeline.quantization.refusal import NotQuantisable
from tests.pipeline import nets
from tests.pipeline.export.exported import exported_net

X = nets.pictures(32, seed=3).numpy()


@pytest.mark.parametrize("name", ["resnet", "mobile", "flat"])
def test_file_is_half_as_large_and_answers_the_same(name: str) -> None:
    model = exported_net(name)
    made = store_float16(model)
    onnx.checker.check_model(made, full_check=True)
    assert len(leanest(made)) < 0.65 * len(leanest(model))
    reference, other = (run_file(leanest(one), X) for one in (model, made))
    assert 60 < sqnr(reference, other) < 150


def test_weights_are_rounded_once_and_computed_in_float32() -> None:
    model = exported_net("flat")
    rounded = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in rounded.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size >= LEAST:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name))
    expected, found = (run_file(one.SerializeToString(), X) for one in (rounded, store_float16(model)))
    assert np.array_equal(expected, found)


def test_runtime_folds_the_cast_when_it_loads(tmp_path: object) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path) + "/optimised.onnx"
    made = store_float16(exported_net("flat"))
    assert "Cast" in {node.op_type for node in made.graph.node}
    onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert "Cast" not in {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}


def test_constant_beyond_float16_stays_as_it_is() -> None:
    model = onnx.ModelProto.FromString(exported_net("flat").SerializeToString())
    weight = next(one for one in model.graph.initializer if len(one.dims) == 2)
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] = 1e5
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    made = store_float16(model)
    kept = next(one for one in made.graph.initializer if one.name == weight.name)
    assert kept.data_type == TensorProto.FLOAT
    assert np.isfinite(run_file(made.SerializeToString(), X)).all()


def test_model_of_small_constants_alone_is_refused() -> None:
    model = onnx.ModelProto.FromString(exported_net("flat").SerializeToString())
    del model.graph.initializer[:]
    with pytest.raises(NotQuantisable, match="no constant"):
        store_float16(model)
