"""Which layers are put to the question, and that every probe runs in the runtime that it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.bundle import read_bundle
from pipeline.gate.graph import Graph
from pipeline.gate.layers import Layer
from pipeline.gate.probes import STREAMED, TINY, Kit, dearest, families, streaming_layer, suspects

ODD = Layer("convolution", 11, 11, (3, 3), height=14, width=14)
EVEN = Layer("convolution", 16, 16, (3, 3), height=14, width=14)
HEAD = Layer("linear", 16, 10)


def _graph(*layers: Layer) -> Graph:
    return Graph({"convolution": len(layers)}, layers, 0, len(layers), 0, 0)


def test_suspect_is_the_dearest_layer_off_the_alignment_with_its_channels_filled_up() -> None:
    small = Layer("convolution", 5, 11, (1, 1), height=14, width=14)
    wider = Layer("convolution", 16, 16, (3, 3), height=14, width=14)
    assert suspects(_graph(small, ODD, ODD, EVEN, HEAD), 8) == [(ODD, wider, 2)]


def test_suspects_are_tried_at_the_targets_alignment_and_at_a_whole_block() -> None:
    layer = Layer("convolution", 20, 20, (3, 3), height=14, width=14)
    assert [wider.outputs for _, wider, _ in suspects(_graph(layer, HEAD), 8)] == [24, 32]


def test_layers_on_the_alignment_and_cheap_ones_and_the_classes_are_no_suspects() -> None:
    cheap = Layer("convolution", 11, 11, (1, 1))
    assert suspects(_graph(EVEN, cheap, HEAD), 8) == []
    assert suspects(_graph(Layer("linear", 16, 11)), 8) == []
    assert suspects(_graph(), 8) == []


def test_dearest_layer_is_that_of_all_like_it() -> None:
    large = Layer("convolution", 16, 16, (5, 5), height=14, width=14)
    assert dearest(_graph(large, ODD, *[EVEN] * 3)) == (EVEN, 3)
    assert dearest(_graph()) is None


def test_few_operators_of_a_family_cost_what_a_sum_does() -> None:
    graph = Graph({"convolution": 9, "linear": 2, "sum": 4}, (), 0, 0, 0, 0)
    assert families(graph) == {"convolution": 9, "sum": 6}


def test_channels_of_a_picture_are_not_filled_up() -> None:
    stem = Layer("convolution", 3, 16, (3, 3))
    assert not stem.off(8)
    assert Layer("convolution", 3, 11, (3, 3)).aligned(8) == stem
    assert Layer("depthwise", 11, 11, (3, 3)).aligned(8) == Layer("depthwise", 16, 16, (3, 3))


@pytest.mark.parametrize("integers", [False, True])
def test_streaming_layer_has_the_weights_that_it_says(integers: bool) -> None:
    layer = streaming_layer(integers)
    assert layer.inputs * layer.outputs * (1 if integers else 4) == STREAMED


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
@pytest.mark.parametrize("activations", [None, "uint8"])
def test_every_probe_runs_in_its_runtime(runtime: str, activations: str | None, tmp_path: Path) -> None:
    """Through the agent's own feeding, as on a device."""
    import numpy as np

    from device_agents.agent.feeds import Fed
    from device_agents.agent.runtimes import Model, Runtime
    from device_agents.agent.runtimes.ort import OnnxRuntime
    from device_agents.agent.runtimes.tflite import TfliteRuntime

    kit = Kit(tmp_path, "host")
    for layer in (*TINY.values(), ODD, Layer("depthwise", 11, 11, (3, 3), 2, 6, 6)):
        bundle = read_bundle(kit.bundles[kit.add(runtime, activations, layer, 3)].folder)
        manifest = bundle.manifest
        raw: Runtime = OnnxRuntime() if runtime == "onnxruntime" else TfliteRuntime(runtime)
        fed = Fed(raw)
        fed.load(
            Model(
                path=str(bundle.model_file),
                threads=1,
                precision=manifest.precision,
                inputs=tuple(one.model_dump() for one in manifest.inputs),
                outputs=tuple(one.model_dump() for one in manifest.outputs),
                providers=(),
            )
        )
        (given,) = fed.inputs()
        sample = np.random.default_rng(1).standard_normal([size or 1 for size in given.shape]).astype(np.float32)
        (answer,) = fed.run({given.name: sample})
        assert np.isfinite(answer).all() and np.abs(answer).max() > 0
    assert len(kit.bundles) == 5


def test_a_probe_is_made_once(tmp_path: Path) -> None:
    kit = Kit(tmp_path, "host")
    assert kit.add("onnxruntime", None, ODD, 3) == kit.add("onnxruntime", None, ODD, 3)
    assert kit.add("onnxruntime", "uint8", ODD, 3) != kit.add("onnxruntime", None, ODD, 3)
    assert len(kit.bundles) == 2
    assert {bundle.manifest.model for bundle in kit.bundles.values()} == {"probe"}
