"""onnxruntime: what a session is told of its providers, and that only what is there is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.agent.feeds import Fed
from device_agents.agent.runtimes import Model, open_runtime
from device_agents.agent.runtimes.ort import SMALLEST
from device_agents.agent.runtimes.tensorrt import (
    CPU,
    TENSORRT,
    engine_folder,
    engine_key,
    options_for,
    tensorrt_version,
)
from tests.device_agents.tiny import tiny_model

np = pytest.importorskip("numpy")
CUDA = "CUDAExecutionProvider"
JETSON = [TENSORRT, CUDA, CPU]


def test_wished_providers_that_are_absent_are_left_out_and_the_cpu_is_last() -> None:
    assert options_for(JETSON, {}, [CPU, "AzureExecutionProvider"]) == ([CPU], [{}])
    assert options_for([], {}, JETSON) == ([CPU], [{}])
    names, _ = options_for([CPU, CUDA], {}, JETSON)
    assert names == [CUDA, CPU]


@pytest.mark.parametrize(
    ("precision", "half", "integer"),
    [("float32", "False", "False"), ("float16", "True", "False"), ("int8", "False", "True")],
)
def test_tensorrt_computes_in_the_variants_precision(precision: str, half: str, integer: str) -> None:
    names, told = options_for(JETSON, {}, JETSON, precision, "/r/engines/k")
    assert names == JETSON
    assert told == [
        {
            "trt_fp16_enable": half,
            "trt_int8_enable": integer,
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": "/r/engines/k",
        },
        {},
        {},
    ]


def test_what_the_target_says_has_the_last_word() -> None:
    options: dict[str, dict[str, Any]] = {TENSORRT: {"trt_fp16_enable": True, "device_id": 1}, CUDA: {"device_id": 1}}
    _, told = options_for(JETSON, options, JETSON, "int8")
    assert told[0] == {"trt_fp16_enable": "True", "trt_int8_enable": "True", "device_id": "1"}
    assert told[1] == {"device_id": "1"}


def test_engines_of_another_board_version_or_model_lie_elsewhere() -> None:
    keys = {
        engine_key("Orin Nano", "8602", "1.19.2", "a model"),
        engine_key("Orin Nano", "100300", "1.19.2", "a model"),
        engine_key("Orin Nano", "8602", "1.23.2", "a model"),
        engine_key("Orin NX", "8602", "1.19.2", "a model"),
        engine_key("Orin Nano", "8602", "1.19.2", "another model"),
    }
    assert len(keys) == 5
    assert all(len(key) == 16 for key in keys)
    assert engine_key("Orin Nano", "8602", "1.19.2", "a model") in keys


def test_no_engine_folder_without_tensorrt(tmp_path: Path) -> None:
    if tensorrt_version():
        assert Path(engine_folder(str(tmp_path), "board", "1", __file__)).is_dir()
    else:
        assert engine_folder(str(tmp_path), "board", "1", __file__) == ""
        assert list(tmp_path.iterdir()) == []


def test_session_says_what_it_fell_back_to(tmp_path: Path) -> None:
    runtime = open_runtime("onnxruntime")
    absent = [name for name in (TENSORRT, CUDA) if name not in runtime.available()]
    runtime.load(Model(str(tiny_model(tmp_path / "tiny.onnx")), providers=(*absent, CPU)))
    assert runtime.providers() == [CPU]


def test_ort_format_gives_the_same_answers(tmp_path: Path) -> None:
    import onnxruntime

    path = tiny_model(tmp_path / "tiny.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "tiny.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(path), options, providers=[CPU])
    x = {"x": np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)}
    found = []
    for name in ("tiny.onnx", "tiny.ort"):
        runtime = Fed(open_runtime("onnxruntime"))
        runtime.load(Model(str(tmp_path / name)))
        found.append(runtime.run(x)[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_smallest_model_gives_back_a_number() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(SMALLEST, providers=[CPU])
    assert session.run(None, {"x": np.float32([2])})[0].tolist() == [2]
