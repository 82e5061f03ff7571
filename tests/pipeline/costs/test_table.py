"""A network's time is the sum of its layers', brought to networks that were measured whole."""

from __future__ import annotations

import json

import pytest

from pipeline.costs.layers import Layer
from pipeline.costs.table import BadCosts, CostTable, Entry, NotMeasured, Whole
from tests.pipeline.costs.made import EMPTY_MS, by_formula, entry, table

CONV = [Layer("conv", a, b, (14, 14), (3, 3), (1, 1)) for a in (8, 16, 32) for b in (8, 16, 32)]
HEAD = Layer("linear", 32, 10, (1,))


def test_layer_costs_what_its_graph_took_without_the_frame_and_the_sums() -> None:
    assert table(CONV).ms(CONV[4], "float32") == pytest.approx(by_formula(CONV[4]))


def test_width_in_between_is_interpolated() -> None:
    between = Layer("conv", 24, 12, (14, 14), (3, 3), (1, 1))
    assert table(CONV).ms(between, "float32") == pytest.approx(by_formula(between))


def test_prediction_is_the_frame_and_every_layer() -> None:
    layers = [CONV[0], CONV[1], CONV[1], HEAD]
    expected = EMPTY_MS + sum(map(by_formula, layers))
    assert table([*CONV, HEAD]).predict(layers, "float32") == pytest.approx(expected)


def test_layer_of_another_size_is_not_guessed() -> None:
    elsewhere = Layer("conv", 8, 8, (7, 7), (3, 3), (1, 1))
    made = table(CONV)
    assert made.missing([CONV[0], elsewhere], "float32") == [elsewhere]
    with pytest.raises(NotMeasured, match="conv"):
        made.predict([elsewhere], "float32")


def test_with_attention_only_weights_are_integers() -> None:
    matmul, gelu = Layer("matmul", 16, 16, (16,), groups=2), Layer("gelu", 64, 64)
    linear = Layer("linear", 32, 32, (16,))
    entries = [*table([matmul, gelu]).entries, *table([linear], "int8").entries]
    told = CostTable(entries).predict([linear, matmul, gelu], "int8")
    assert told == pytest.approx(EMPTY_MS + sum(map(by_formula, (linear, matmul, gelu))), rel=1e-3)


def test_float16_is_priced_as_what_it_is_computed_in() -> None:
    made = table([*CONV, HEAD])
    assert made.predict([CONV[3], HEAD], "float16") == made.predict([CONV[3], HEAD], "float32")


def test_fit_finds_the_offset_and_the_factor_of_whole_networks() -> None:
    made = table([*CONV, HEAD])
    networks = [[*CONV[:size], HEAD] for size in (1, 3, 5, 9)]
    wholes = [Whole(layers, "float32", 0.03 + 1.5 * made.predict(layers, "float32")) for layers in networks]
    fitted = made.fitted(wholes)
    assert fitted.fits["float32"] == pytest.approx((0.03, 1.5))
    assert made.error(wholes).median > 0.3
    assert fitted.error(wholes).p90 < 1e-6
    assert made.fitted_error(wholes).p90 < 1e-6


def test_one_network_gives_a_factor() -> None:
    made = table(CONV)
    whole = Whole(CONV[:2], "float32", 2 * made.predict(CONV[:2], "float32"))
    assert made.fitted([whole]).fits["float32"] == pytest.approx((0.0, 2.0))


def test_error_of_a_fit_is_told_by_networks_it_has_not_seen() -> None:
    made = table([*CONV, HEAD])
    networks = [[*CONV[:size], HEAD] for size in (1, 3, 5, 9)]
    odd = [1.0, 1.4, 0.8, 1.2]
    wholes = [Whole(one, "float32", made.predict(one, "float32") * by) for one, by in zip(networks, odd, strict=True)]
    assert made.fitted_error(wholes).median > made.fitted(wholes).error(wholes).median


def test_table_is_the_same_in_whatever_order_it_was_measured() -> None:
    made = table([*CONV, HEAD])
    turned = CostTable(list(reversed(made.entries)))
    assert json.dumps(turned.to_json()) == json.dumps(made.to_json())
    assert turned.predict([*CONV, HEAD], "float32") == made.predict([*CONV, HEAD], "float32")


def test_table_comes_back_from_json() -> None:
    made = table([*CONV, HEAD]).fitted([Whole(CONV, "float32", 1.0)])
    again = CostTable.from_json(json.loads(json.dumps(made.to_json())))
    assert again.to_json() == made.to_json()
    assert again.predict(CONV, "float32") == made.predict(CONV, "float32")


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"schema": "edgewright-costs/0", "entries": [], "fits": {}, "failed": {}},
        {"schema": "edgewright-costs/1", "entries": [{"layer": None}], "fits": {}, "failed": {}},
        {"schema": "edgewright-costs/1", "entries": [entry(HEAD).to_json() | {"ms": -1}], "fits": {}, "failed": {}},
        {"schema": "edgewright-costs/1", "entries": [], "fits": {"int8": [1]}, "failed": {}},
    ],
)
def test_what_is_no_table_is_refused(content: object) -> None:
    with pytest.raises(BadCosts, match="no table of costs"):
        CostTable.from_json(content)


def test_doubtful_entries_are_counted() -> None:
    assert CostTable([Entry(HEAD, "float32", 2, 1.0, "r", sound=False), entry(CONV[0])]).doubtful == 1
