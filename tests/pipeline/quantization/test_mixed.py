"""Mixed precision: the layer that ruins INT8 is found, and it alone stays float."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.metrics import top1
from pipeline.quantization import calibrated
from pipeline.quantization.calibrated import Settings, quantised
from pipeline.quantization.correction import Corrected
from pipeline.quantization.mixed import sensitivity
from pipeline.quantization.ranges import extremes
from pipeline.quantization.refusal import AlreadyQuantised, BadCalibration, OutOfBounds
from pipeline.quantization.static import OnnxForm
from tests.pipeline.quantization import handmade

X = handmade.pictures(64)
LAYERS = ["first", "second", "head"]


def _form(ruined: str | None = None) -> OnnxForm:
    """One scale a tensor; of the `ruined` layer, one weight that does nothing (its input is 0) is a thousand times
    as large as the others."""
    held = handmade.weights()
    if ruined == "second":
        held["first.weight"][0], held["first.bias"][0] = 0, -1  # a channel that is always 0
        held["second.weight"][:, 0] = 300
    return OnnxForm(handmade.network(held), "uint8", False, False)


def _labels(form: OnnxForm) -> Any:
    return form.outputs(None, X).argmax(1)


def test_layers_are_named_after_the_modules_in_the_graphs_order() -> None:
    assert _form().layers == _form().correctable == LAYERS


def test_sensitivity_tells_the_layer_that_ruins_int8() -> None:
    form = _form("second")
    found = sensitivity(form, extremes(form.activations(X)), X)
    assert list(found) == LAYERS
    assert min(found, key=lambda layer: found[layer]) == "second"
    assert found["second"] < 15 < min(found["first"], found["head"])


def test_exactly_the_layer_that_ruins_int8_stays_float() -> None:
    form = _form("second")
    made = quantised(form, X, _labels(form), Settings(), top1)
    assert [layer["name"] for layer in made.report["layers"] if layer["float"]] == ["second"]
    assert made.report["bounds"]["hold"] is True
    assert made.report["bounds"]["agreement"] >= 0.95
    assert made.report["sqnr_db"] > 20
    weighted = {node.name: node.input[1] for node in made.model.graph.node if node.op_type in ("Conv", "Gemm")}
    assert weighted["second/Conv"] == "second.weight"
    assert weighted["first/Conv"] != "first.weight"


def test_without_mixed_all_is_int8_and_the_report_says_that_the_bounds_break() -> None:
    form = _form("second")
    made = quantised(form, X, _labels(form), Settings(mixed=False), top1)
    assert not any(layer["float"] for layer in made.report["layers"])
    assert made.report["bounds"]["hold"] is False


def test_nothing_is_left_in_float_where_the_bounds_hold() -> None:
    form = _form()
    made = quantised(form, X, _labels(form), Settings(), top1)
    assert not any(layer["float"] for layer in made.report["layers"])
    assert "alone_db" not in made.report["layers"][0]


def test_bounds_that_only_float_would_hold_are_refused() -> None:
    form = _form()
    with pytest.raises(OutOfBounds, match="as long as any of the 3 layers is INT8") as caught:
        quantised(form, X, _labels(form), Settings(metric_drop=-0.5), top1)
    assert "worst layer: " in caught.value.where
    assert caught.value.remedy


def test_labels_that_the_metric_makes_nothing_of_leave_it_to_the_check() -> None:
    form = _form()
    report = quantised(form, X, _labels(form), Settings(), lambda outputs, y: float("nan")).report
    assert report["bounds"]["hold"] is True and "metric_drop" not in report["bounds"]
    with pytest.raises(OutOfBounds):  # a metric that INT8 alone has none of
        scores = iter([0.9])
        quantised(form, X, _labels(form), Settings(), lambda outputs, y: next(scores, float("nan")))


def test_correction_that_breaks_the_bounds_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    form = _form()

    def broken(form: OnnxForm, model: Any, *_: Any) -> Corrected[Any]:
        return Corrected(form.shifted(model, {"head": np.array([0, 0, 0, 100.0])}), ("head",), 20.0, 21.0)

    monkeypatch.setattr(calibrated, "corrected", broken)
    made = quantised(form, X, _labels(form), Settings("minmax"), top1)
    assert made.report["bounds"]["hold"] is True
    assert made.report["bias_correction"] == {"layers": [], "before_db": 20.0, "after_db": 20.0}
    assert not any(layer["float"] for layer in made.report["layers"])


def test_the_same_samples_give_the_same_file_and_report() -> None:
    one, other = (quantised(form, X, _labels(form), Settings(), top1) for form in (_form("second"), _form("second")))
    assert one.report == other.report
    assert one.model.SerializeToString(deterministic=True) == other.model.SerializeToString(deterministic=True)


def test_the_report_tells_all_figures() -> None:
    form = _form()
    report = quantised(form, X, _labels(form), Settings(agreement=None), top1).report
    assert (report["samples"], report["held_out"]) == (64, 16)
    assert {one["method"] for one in report["candidates"]} >= {"minmax", "entropy"}
    assert report["bias_correction"]["after_db"] >= report["bias_correction"]["before_db"]
    assert set(report["bounds"]) == {"hold", "metric_drop", "metric_drop_allowed"}
    assert all(layer["output_db"] > 15 for layer in report["layers"])
    plain = quantised(form, X, _labels(form), Settings("minmax", bias_correction=False), top1).report
    assert plain["bias_correction"] is None
    assert [one["method"] for one in plain["candidates"]] == ["minmax"]


def test_a_model_that_is_quantised_already_is_refused() -> None:
    form = _form()
    int8 = form.quantised(extremes(form.activations(X)))
    with pytest.raises(AlreadyQuantised, match="quantised already"):
        OnnxForm(int8, "uint8", True, False)


def test_samples_that_the_model_does_not_take_are_refused() -> None:
    form = _form()
    for x in (X[:0], X[:, :, :7], np.where(np.arange(64)[:, None, None, None] == 7, np.nan, X)):
        with pytest.raises(BadCalibration):
            quantised(form, x, np.zeros(len(x), np.int64), Settings(), top1)
