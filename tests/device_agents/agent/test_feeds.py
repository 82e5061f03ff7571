"""Samples into files and outputs back: layout, rounding, clipping, names."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.agent.feeds import Fed, fixed_batch, from_file, to_file
from device_agents.agent.runtimes import Input, Model, Runtime

np = pytest.importorskip("numpy")


class _Sum(Runtime):
    """Gives each input's sum over its last axis, and the inputs as they came: real arithmetic without a library."""

    name = "sum"

    def __init__(self, inputs: list[Input], outputs: list[str]) -> None:
        self._inputs, self._outputs = inputs, outputs
        self.seen: dict[str, Any] = {}

    def load(self, model: Model) -> None:
        pass

    def inputs(self) -> list[Input]:
        return self._inputs

    def outputs(self) -> list[str]:
        return self._outputs

    def run(self, arrays: dict[str, Any]) -> list[Any]:
        self.seen = arrays
        return [array.sum(-1).astype(array.dtype) for array in arrays.values()]


def test_channels_go_last_on_the_way_in_and_first_on_the_way_out() -> None:
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    inside = to_file(x, {"layout": "channels-last"}, "float32")
    assert inside.shape == (2, 4, 5, 3)
    assert inside.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(inside[1, 2, 3], x[1, :, 2, 3])
    np.testing.assert_array_equal(from_file(inside, {"layout": "channels-last"}), x)


def test_floats_become_integers_by_rounding_halves_to_even_and_clipping() -> None:
    x = np.array([[0.25, 0.75, -0.25, 1000.0, -1000.0, 0.5]], np.float32)
    found = to_file(x, {"scale": 0.5, "zero_point": 3}, "int8")
    assert found.dtype == np.int8
    assert found.tolist() == [[3, 5, 3, 127, -128, 4]]
    assert to_file(x, {"scale": 0.5, "zero_point": 3}, "uint8").tolist() == [[3, 5, 3, 255, 0, 4]]


def test_integers_become_floats_by_scale_and_zero_point() -> None:
    found = from_file(np.array([[-128, 0, 127]], np.int8), {"scale": 0.25, "zero_point": -4})
    assert found.dtype == np.float32
    assert found.tolist() == [[-31.0, 1.0, 32.75]]


def test_scale_with_zero_point_nought_counts() -> None:
    assert from_file(np.array([2], np.int8), {"scale": 0.5, "zero_point": 0}).tolist() == [1.0]


def test_inputs_are_seen_as_samples_have_them() -> None:
    raw = Input("x", (None, 4, 5, 3), "int8")
    fed = Fed(_Sum([raw], ["y"]))
    fed.load(Model("", inputs=({"name": "x", "layout": "channels-last", "scale": 0.5, "zero_point": 0},)))
    assert fed.inputs() == [Input("x", (None, 3, 4, 5), "float32")]
    assert fixed_batch(fed) is None


def test_token_numbers_take_the_files_type() -> None:
    inner = _Sum([Input("x", (1, 3), "int32")], ["y"])
    fed = Fed(inner)
    fed.load(Model("", inputs=({"name": "x"},), outputs=({"name": "y"},)))
    (found,) = fed.run({"x": np.array([[1, 2, 40]], np.int64)})
    assert inner.seen["x"].dtype == np.int32
    assert found.tolist() == [43]


def test_outputs_come_in_the_manifests_order() -> None:
    inner = _Sum([Input("a", (1, 2), "float32"), Input("b", (1, 2), "float32")], ["of a", "of b"])
    fed = Fed(inner)
    fed.load(Model("", outputs=({"name": "of b"}, {"name": "of a"})))
    first, second = fed.run({"a": np.float32([[1, 1]]), "b": np.float32([[5, 5]])})
    assert (first.tolist(), second.tolist()) == ([10], [2])
    assert fed.outputs() == ["of b", "of a"]


def test_manifest_that_names_what_the_model_lacks_is_refused() -> None:
    fed = Fed(_Sum([Input("a", (1,), "float32"), Input("b", (1,), "float32")], ["y"]))
    with pytest.raises(ValueError, match=r"input mask, which the model doesn't have \(it has: a, b\)"):
        fed.load(Model("", inputs=({"name": "a"}, {"name": "mask"})))
