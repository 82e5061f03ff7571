"""Bias correction: the mean error of rounding goes, where that is measured to help."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.export.drift import sqnr
from pipeline.quantization.correction import corrected
from pipeline.quantization.ranges import extremes
from pipeline.quantization.static import OnnxForm
from tests.pipeline.quantization import handmade

FIT, HELD = np.abs(handmade.pictures(64)), np.abs(handmade.pictures(32, seed=2))


def _rounded_one_way() -> OnnxForm:
    """The second convolution's weights lie 0.45 of a step above one, so all are rounded down; inputs are >= 0."""
    held = handmade.weights()
    held["first.weight"] = np.abs(held["first.weight"])
    step = 0.01
    held["second.weight"] = step * (np.round(held["second.weight"] / step) + 0.45)
    held["second.weight"][:, 0, 0, 0] = 127 * step
    return OnnxForm(handmade.network(held), "uint8", True, False)


def test_correction_takes_the_mean_error_off_the_layer_that_makes_it() -> None:
    form = _rounded_one_way()
    model = form.quantised(extremes(form.activations(FIT)))
    reference = form.outputs(None, HELD)
    made = corrected(form, model, FIT, HELD, reference)
    assert "second" in made.layers
    assert made.after > made.before + 6
    assert sqnr(reference, form.outputs(made.model, HELD)) == made.after
    fresh = np.abs(handmade.pictures(64, seed=3))  # seen by neither
    before, after = (sqnr(form.outputs(None, fresh), form.outputs(one, fresh)) for one in (model, made.model))
    assert after > before + 6


def test_correction_never_makes_the_outputs_worse() -> None:
    form = OnnxForm(handmade.network(handmade.weights()), "uint8", True, False)
    model = form.quantised(extremes(form.activations(FIT)))
    made = corrected(form, model, FIT, HELD, form.outputs(None, HELD))
    assert made.after >= made.before
    if not made.layers:
        assert made.model == model


def test_shift_that_makes_the_outputs_worse_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    form = _rounded_one_way()
    model = form.quantised(extremes(form.activations(FIT)))
    really = form.shifted
    monkeypatch.setattr(
        form, "shifted", lambda model, shifts: really(model, {one: by + 10 for one, by in shifts.items()})
    )
    made = corrected(form, model, FIT, HELD, form.outputs(None, HELD))
    assert made.layers == () and made.model == model
    assert made.after == made.before


def test_layers_left_in_float_are_not_corrected() -> None:
    form = _rounded_one_way()
    model = form.quantised(extremes(form.activations(FIT)), ["second"])
    made = corrected(form, model, FIT, HELD, form.outputs(None, HELD), ["second"])
    assert "second" not in made.layers
    assert sqnr(form.outputs(None, HELD), form.outputs(model, HELD)) == made.before


def test_shifting_by_nothing_changes_nothing() -> None:
    form = _rounded_one_way()
    model = form.quantised(extremes(form.activations(FIT)))
    assert form.shifted(model, {layer: np.zeros(1) for layer in form.correctable}) == model
