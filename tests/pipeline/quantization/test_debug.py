"""debug.quant: figures that are right, every format, nothing unescaped, and errors that name what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.errors import BadArgument
from pipeline import debug
from pipeline.export.to_onnx import to_onnx
from pipeline.plan import make_plan
from pipeline.quantization.debug import BINS, Departure, Held, departures, worst_first
from pipeline.quantization.debug_onnx import OnnxPair
from pipeline.quantization.debug_page import outline, render, row
from pipeline.quantization.dynamic import quantise_dynamic
from pipeline.quantization.static import quantise_static
from pipeline.recipe import read_recipe
from targets.schema import read_target
from tests.pipeline import nets
from tests.pipeline.conftest import ONNX, Built
from tests.pipeline.export import attentive, tflited
from tests.pipeline.export.exported import exported_net

X, CALIBRATION = nets.pictures(16, seed=3).numpy(), nets.pictures(32, seed=2).numpy()


class _Given:
    """A pair that computes nothing: float values and what is made of them are given."""

    def __init__(self, held: list[Held], *made: Any) -> None:
        self.tensors: Sequence[Held] = held
        self._made = made

    def values(self, x: Any) -> Iterator[list[tuple[Any, Any]]]:
        for sample in x:
            yield [(sample[None], one(sample[None])) for one in self._made]


def test_figures_of_a_known_departure() -> None:
    x = np.stack([np.linspace(0, 10, 1000, dtype=np.float32), np.linspace(0, 5, 1000, dtype=np.float32)])
    (found,) = departures(_Given([Held("cut", 0.0, 8.0)], lambda one: np.minimum(one, 8.0)), x)
    error = np.maximum(x - 8.0, 0)
    assert found.sqnr_db == pytest.approx(10 * np.log10((x**2).sum() / (error**2).sum()), abs=1e-3)
    assert found.worst == pytest.approx(2.0 / x.std(), rel=1e-3)
    assert found.clipped == pytest.approx(0.1, abs=0.002)  # a fifth of the first sample, none of the second
    assert found.used == 1.0
    assert (found.least, found.largest) == (0.0, 10.0)
    assert len(found.in_float) == BINS
    assert sum(found.in_float) == sum(found.quantised) == 2000
    assert found.quantised[-1] == 0 < found.in_float[-1]


def test_half_used_range_and_infinities() -> None:
    x = np.linspace(0, 1, 100, dtype=np.float32)[None]
    held = [Held("wide", -1.0, 1.0), Held("masked", None, None), Held("float", None, None)]
    found = departures(_Given(held, lambda one: one, lambda one: one + np.inf, lambda one: one), x)
    assert [one.name for one in found] == ["wide", "float"]
    assert found[0].used == pytest.approx(0.5)
    assert found[0].clipped == 0.0
    assert (found[1].used, found[1].clipped) == (None, None)
    assert row(found[1]).sqnr == "exact"


def test_onnx_layers_are_seen_where_the_runtime_fuses_them() -> None:
    float_model = exported_net("resnet")
    found = departures(OnnxPair(float_model, quantise_static(float_model, CALIBRATION, "uint8", True, False)), X)
    names = [one.name for one in found]
    assert "blocks.0/Relu" in names and "head/Gemm" in names
    assert "blocks.0.norm1/Conv" not in names  # its ReLU is fused with it
    convolutions = [one for one in found if one.name.endswith("/Conv")]
    assert convolutions and all(one.low is not None and one.low < 0 for one in convolutions)
    assert all(25 < one.sqnr_db < 50 for one in found)
    assert worst_first(found)[0].sqnr_db == min(one.sqnr_db for one in found)


def test_clipping_layer_is_told_from_a_sound_one() -> None:
    float_model = exported_net("resnet")
    # Calibrated on dark pictures: the first layer clips what is bright, and all that follow it suffer.
    ruined = quantise_static(float_model, CALIBRATION * 0.1, "uint8", True, False)
    found = {one.name: one for one in departures(OnnxPair(float_model, ruined), X)}
    assert found["/Relu"].clipped is not None and found["/Relu"].clipped > 0.05
    assert found["/Relu"].sqnr_db < 15


def test_dynamic_file_has_no_ranges_and_its_convolutions_are_exact() -> None:
    float_model = exported_net("flat")
    found = {one.name: one for one in departures(OnnxPair(float_model, quantise_dynamic(float_model, True)), X)}
    assert row(found["conv1/Conv"]).sqnr == "exact"
    assert found["hidden/Gemm"].low is None and found["hidden/Gemm"].sqnr_db < 60


def test_linear_layers_between_the_quantisers_reshapes_have_their_ranges() -> None:
    net, x = attentive.made(attentive.Patches), nets.pictures(16, seed=3)
    float_model = to_onnx(net, x[:1], 20)
    int8 = quantise_static(float_model, CALIBRATION, "uint8", True, False)
    found = {one.name: one for one in departures(OnnxPair(float_model, int8), X)}
    assert all(found[f"{name}/Add"].low is not None for name in ("qkv", "out", "rise", "fall"))
    assert found["/Softmax"].low is None  # stays float where there is attention


def test_tflite_layers_carry_the_modules_names() -> None:
    from pipeline.quantization.debug_tflite import TflitePair
    from pipeline.quantization.tflite import quantise_tflite

    named = tflited.tflite_of("resnet")
    found = departures(TflitePair(named, quantise_tflite(named, CALIBRATION, "int8")), X)
    names = [one.name for one in found]
    assert "blocks.0.norm1/CONV_2D" in names and "head/FULLY_CONNECTED" in names
    assert all(one.low is not None and 20 < one.sqnr_db < 50 for one in found)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_page_needs_no_network_and_escapes_every_name() -> None:
    bins = (0, 4, *[1] * (BINS - 2))
    evil = "<script>alert(1)</script>"
    found = [Departure(f"a{evil}", 20.0, 0.5, -1.0, 1.0, 0.01, 0.9, -2.0, 2.0, bins, bins)]
    told = dict.fromkeys(("model", "target", "variant", "precision", "runtime", "format", "samples", "output"), evil)
    text = render(told, found)
    page = _Page(text)
    assert "script" not in page.tags
    assert page.links == ["data:,"]
    assert not re.search(r"url\(|@import|https?://", text)
    assert page.tags.count("svg") == 1 and page.tags.count("path") == 2 and page.tags.count("rect") == 1


def test_outline_is_of_the_box_and_as_high_as_the_highest_bin() -> None:
    assert outline([0, 4, 1, 0]) == "M0 100H250.0V6.0H500.0V53.0H750.0V100.0H1000V100Z"
    assert outline([0, 0]) == "M0 100H1000V100Z"


@pytest.fixture
def recipe(built: Built, monkeypatch: pytest.MonkeyPatch) -> str:
    """The small recipe; its artifacts are in the store already."""
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(built.store.folder.parent))
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(built.places.cache))
    return str(built.plan.recipe.folder / "small.toml")


def test_quant_prints_the_worst_first_and_leaves_page_and_json(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = debug.quant(recipe, ONNX, "pruned+int8", 32, str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / debug.JSON).read_text())
    assert told == json.loads(json.dumps(outcome))
    assert told["schema"] == debug.SCHEMA and told["variant"] == "pruned+int8" and told["samples"] == 32
    worst = min(told["layers"], key=lambda one: one["sqnr_db"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("small > onnx")
    assert printed[2].split()[0] == worst["name"]
    assert worst["name"] in (tmp_path / "out" / debug.PAGE).read_text()


def test_quant_takes_the_first_quantised_variant_and_can_keep_the_graphs_order(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = debug.quant(recipe, ONNX, None, 8, str(tmp_path / "out"), in_order=True)
    assert outcome["variant"] == "int8"
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[2 : 2 + len(outcome["layers"])]] == [
        one["name"] for one in outcome["layers"]
    ]


@pytest.mark.parametrize(
    ("variant", "samples", "kind", "says", "remedy"),
    [
        ("nonesuch", 8, debug.NoSuchVariant, "is not there", "int8, pruned+int8"),
        ("pruned", 8, debug.NoSuchVariant, "is in float", "int8, pruned+int8"),
        (None, 0, BadArgument, "say nothing", "1 or more"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    recipe: str, tmp_path: Path, variant: str | None, samples: int, kind: type[Exception], says: str, remedy: str
) -> None:
    with pytest.raises(kind) as caught:
        debug.quant(recipe, ONNX, variant, samples, str(tmp_path / "out"))
    assert says in str(caught.value) and remedy in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_target_of_float_files_alone_is_refused(recipe: str, tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text('[[runtime]]\nname = "onnxruntime"\nprecisions = ["float32"]\n')
    plan = make_plan(read_recipe(recipe, tmp_path), read_target(str(tmp_path / "plain.toml"), tmp_path))
    with pytest.raises(debug.NothingQuantised, match="float files alone") as caught:
        debug.choose(plan, None)
    assert "int8" in caught.value.remedy


def test_folder_that_cannot_be_written_is_said(recipe: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadArgument, match="can't be written"):
        debug.quant(recipe, ONNX, "int8", 2, str(tmp_path / "file"))
