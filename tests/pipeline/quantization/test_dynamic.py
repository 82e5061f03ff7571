"""Dynamic INT8 of ONNX: linear layers and embeddings alone, smaller, near, and loadable."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pipeline.export.compare import run_file
from pipeline.export.drift import sqnr
from pipeline.export.lean import leanest
from pipeline.export.to_onnx import to_onnx
from pipeline.quantization.dynamic import quantise_dynamic
from pipeline.quantization.refusal import AlreadyQuantised, NotQuantisable
from tests.pipeline import nets
from tests.pipeline.export import attentive
from tests.pipeline.export.exported import exported_net

X = nets.pictures(32, seed=3).numpy()


def _kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("per_channel", [True, False])
def test_linear_layers_are_int8_and_convolutions_stay_float(per_channel: bool) -> None:
    made = quantise_dynamic(exported_net("flat"), per_channel)
    assert _kinds(made).count("MatMulInteger") == 2
    assert _kinds(made).count("Conv") == 2
    assert "ConvInteger" not in _kinds(made)
    assert len(leanest(made)) < 0.5 * len(leanest(exported_net("flat")))
    reference, other = (run_file(one.SerializeToString(), X) for one in (exported_net("flat"), made))
    assert 35 < sqnr(reference, other) < 80


def test_embeddings_are_int8_and_products_of_activations_stay_float() -> None:
    net, ids = attentive.made(attentive.Words), attentive.tokens(32)
    model = to_onnx(net, ids[:1], 20)
    made = quantise_dynamic(model, True)
    table = next(one for one in made.graph.initializer if list(one.dims) == [50, 32])
    assert table.data_type == TensorProto.UINT8
    assert _kinds(made).count("MatMul") == 2  # query by key, and their weights by the values
    reference, other = (run_file(one.SerializeToString(), ids.numpy()) for one in (model, made))
    assert sqnr(reference, other) > 30


def test_outputs_keep_their_name_and_shape() -> None:
    made = quantise_dynamic(exported_net("flat"), True)
    assert [one.name for one in made.graph.output] == ["output"]
    assert run_file(leanest(made), X).shape == (32, 10)


def test_nothing_to_quantise_and_quantised_already_are_refused() -> None:
    from onnx import helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["output"])], "g", value[:1], value[1:])
    bare = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(NotQuantisable, match="no linear layer") as caught:
        quantise_dynamic(bare, True)
    assert '"dynamic"' in caught.value.remedy
    with pytest.raises(AlreadyQuantised):
        quantise_dynamic(quantise_dynamic(exported_net("flat"), True), True)
    with pytest.raises(NotQuantisable, match="refused the model"):
        quantise_dynamic(onnx.ModelProto(), True)


def test_same_model_gives_the_same_bytes() -> None:
    one, other = (leanest(quantise_dynamic(exported_net("flat"), True)) for _ in range(2))
    assert one == other
    assert np.isfinite(run_file(one, X)).all()
