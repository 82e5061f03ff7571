"""From figures to causes: each found where the figures show it, and not where they just do not."""

from __future__ import annotations

from typing import Any

import pytest

from device_agents.farm.paired import Ratio
from pipeline.gate.causes import Alignment, Dispatch, Figures, Kernel, Streaming, cause_of


def _figures(**more: Any) -> Figures:
    return Figures(**{"p50_ms": 0.118, "operators": 21, "weighted": 10, "floats": 10, "conversions": 0, **more})


def _dispatch(value: float, low: float) -> Dispatch:
    return Dispatch(empty_ms=0.012, operator_ms=0.0041, share=Ratio(value, low, value + 0.04))


def _aligned(**more: Any) -> Alignment:
    return Alignment(
        **{
            "layer": "3x3 convolution of 11 to 11 channels at 14x14", "wider": "16 to 16 channels", "layers": 4,
            "layer_ms": 0.0213, "wider_ms": 0.015, "empty_ms": 0.001, "ratio": Ratio(1.42, 1.38, 1.46), **more,
        }
    )  # fmt: skip


def test_dispatch_is_told_with_its_figures_and_what_to_do() -> None:
    cause = cause_of(_figures(dispatch=_dispatch(0.84, 0.8)))
    assert cause.kind == "dispatch"
    assert cause.text == (
        "bound by dispatch: 21 operators at 4.10 us and 12 us for an empty graph are 84 % [80 88] of its 0.118 ms"
    )
    assert cause.instead == "remove layers (blocks), not channels"


def test_dispatch_is_no_cause_where_its_interval_reaches_below_the_bound() -> None:
    cause = cause_of(_figures(dispatch=_dispatch(0.84, 0.69)))
    assert (cause.kind, cause.instead) == ("unknown", "")
    assert cause.text == "no cause found: operators by themselves are 84 % [69 88] of its time"


def test_dispatch_is_the_cause_where_operators_alone_take_the_time_that_was_to_beat() -> None:
    given = _figures(dispatch=_dispatch(0.56, 0.52), integers=True, floats=0)
    cause = cause_of(given, "trained", Ratio(0.6, 0.58, 0.62))
    assert cause.text.endswith("are 56 % [52 60] of its 0.118 ms, 93 % [84 100] of that of trained")
    assert cause.instead == "remove layers (blocks), or stay in float"
    assert cause_of(given, "trained", Ratio(0.9, 0.88, 0.92)).kind == "unknown"


def test_a_sum_of_tiny_operators_is_never_told_as_more_than_all() -> None:
    assert "100 % [98 100] of its 0.118 ms" in cause_of(_figures(dispatch=_dispatch(1.2, 0.98))).text


def test_alignment_is_told_with_both_times() -> None:
    cause = cause_of(_figures(alignment=(_aligned(),)))
    assert cause.kind == "alignment"
    assert cause.text == (
        "channels off the alignment: a 3x3 convolution of 11 to 11 channels at 14x14 (4 like it) takes 0.0213 ms, "
        "one of 16 to 16 channels no more than 0.0150 ms (1.42x [1.38 1.46])"
    )
    assert cause.instead == "give such layers 16 to 16 channels"


@pytest.mark.parametrize(
    "more",
    [{"ratio": Ratio(1.05, 0.97, 1.1)}, {"empty_ms": 0.011}],
    ids=["the wider one may be slower", "both are all overhead"],
)
def test_alignment_is_no_cause_without_a_layer_that_shows_it(more: dict[str, Any]) -> None:
    cause = cause_of(_figures(alignment=(_aligned(**more),)))
    assert cause.kind == "unknown"
    assert "as fast with 16 to 16 channels" in cause.text


def test_alignment_is_told_once_a_layer_with_the_fewest_channels_that_do() -> None:
    wider = _aligned(wider="32 to 32 channels", ratio=Ratio(1.5, 1.4, 1.6))
    assert cause_of(_figures(alignment=(_aligned(), wider))).instead == "give such layers 16 to 16 channels"


def test_operators_that_stayed_float_are_counted() -> None:
    cause = cause_of(_figures(integers=True, floats=12, weighted=21, operators=60, conversions=30))
    assert cause.kind == "conversions"
    assert cause.text == (
        "12 of 21 operators with weights stayed float and 30 of 60 operators only convert in its optimised graph"
    )
    elsewhere = cause_of(_figures(integers=True, floats=12, weighted=21, elsewhere=True))
    assert elsewhere.text.endswith("stayed float in the graph optimised here")


@pytest.mark.parametrize(
    "more",
    [
        {"integers": False, "floats": 10, "conversions": 10},
        {"integers": True, "floats": 1, "conversions": 2},
        {"integers": True, "floats": 0, "conversions": 4},
    ],
    ids=["a float variant", "one float layer of ten", "both ends and one mean"],
)
def test_operators_that_stayed_float_are_no_cause_where_few_did_or_none_should_not(more: dict[str, Any]) -> None:
    assert cause_of(_figures(**more)).kind == "unknown"


def test_operators_outside_of_the_delegate_are_counted() -> None:
    cause = cause_of(_figures(partitions=18, outside=17, operators=60))
    assert cause.kind == "fallback"
    assert cause.text.startswith("17 of 60 operators run outside of the delegate, which took 18 parts")
    assert cause_of(_figures(partitions=1, outside=2, operators=60)).kind == "unknown"


@pytest.mark.parametrize(("rate", "kind"), [(1.0e10, "memory"), (2.0e10, "unknown")])
def test_memory_is_the_cause_where_weights_come_as_fast_as_the_device_streams(rate: float, kind: str) -> None:
    # 8 MB in a millisecond: 8 GB/s.
    cause = cause_of(_figures(p50_ms=1.0, streaming=Streaming(weight_bytes=8_000_000, device_rate=rate)))
    assert cause.kind == kind
    assert f"{8e9 / rate * 100:.0f} % of what" in cause.text


def _kernel(high: float, empty_ms: float = 0.001) -> Kernel:
    return Kernel(
        layer="3x3 convolution of 8 to 8 channels at 8x8", layers=2, integer_ms=0.008, float_ms=0.006,
        empty_ms=empty_ms, ratio=Ratio(0.75, 0.7, high),
    )  # fmt: skip


def test_integers_that_are_no_faster_are_told_by_the_main_layer() -> None:
    cause = cause_of(_figures(integers=True, floats=0, kernel=_kernel(0.8)))
    assert (cause.kind, cause.instead) == ("kernels", "stay in float, or take another runtime for INT8")
    assert cause.text == (
        "this runtime is no faster in integers: a 3x3 convolution of 8 to 8 channels at 8x8 (2 like it) takes "
        "0.00800 ms, in float 0.00600 ms (0.75x [0.70 0.80])"
    )


@pytest.mark.parametrize("kernel", [_kernel(1.03), _kernel(0.8, 0.004)], ids=["may be faster", "all overhead"])
def test_integers_are_not_blamed_without_a_layer_that_shows_it(kernel: Kernel) -> None:
    cause = cause_of(_figures(integers=True, floats=0, kernel=kernel))
    assert cause.kind == "unknown" and "as fast in integers" in cause.text


def test_several_causes_are_all_told_each_advice_once() -> None:
    cause = cause_of(
        _figures(
            dispatch=_dispatch(0.9, 0.85),
            alignment=(_aligned(), _aligned(layer="1x1 convolution")),
            integers=True,
            weighted=10,
        )
    )
    assert cause.kind == "conversions+dispatch+alignment"
    assert cause.text.count("; ") == 3
    assert cause.instead.count("give such layers") == 1


def test_no_cause_says_what_was_looked_at() -> None:
    assert cause_of(_figures()).text == "no cause found: nothing could be measured"
    cause = cause_of(_figures(integers=True, floats=0, dispatch=_dispatch(0.3, 0.2)))
    assert cause.text == (
        "no cause found: 10 of 10 operators with weights are in integers, "
        "operators by themselves are 30 % [20 34] of its time"
    )
