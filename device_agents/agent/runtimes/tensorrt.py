"""What onnxruntime's TensorRT provider is told, and where it keeps the engines that it builds for minutes."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict, List, Sequence, Tuple

TENSORRT = "TensorrtExecutionProvider"
CPU = "CPUExecutionProvider"
_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so")


def tensorrt_version() -> str:
    """The version of this device's TensorRT library as it numbers itself (8602, 100300); "" where there is none."""
    import ctypes

    for name in _LIBRARIES:
        try:
            return str(int(ctypes.CDLL(name).getInferLibVersion()))
        except (OSError, AttributeError):
            continue
    return ""


def engine_key(board: str, tensorrt: str, onnxruntime: str) -> str:
    """Names the folder of engines: they hold for one kind of board and these versions, and crash or lie elsewhere."""
    return hashlib.sha256(json.dumps([board, tensorrt, onnxruntime]).encode()).hexdigest()[:16]


def options_for(
    wished: Sequence[str],
    options: Dict[str, Dict[str, Any]],
    available: Sequence[str],
    precision: str = "float32",
    engines: str = "",
) -> Tuple[List[str], List[Dict[str, str]]]:
    """(providers, options of each) for a session: of the wished ones those that are there, the CPU last.

    TensorRT computes in FP16 or INT8 as the variant's precision says, and keeps engines and the times of their kernels
    in `engines` ("": nowhere). What `options` says itself has the last word. Values are texts, as onnxruntime takes
    them. https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
    """
    names = [name for name in wished if name in available and name != CPU]
    found = []
    for name in [*names, CPU]:
        told: Dict[str, Any] = {}
        if name == TENSORRT:
            told["trt_fp16_enable"] = precision == "float16"
            told["trt_int8_enable"] = precision == "int8"
            if engines:
                told["trt_engine_cache_enable"] = True
                told["trt_engine_cache_path"] = engines
                told["trt_timing_cache_enable"] = True
        told.update(options.get(name, {}))
        found.append({key: str(value) for key, value in told.items()})
    return [*names, CPU], found


def engine_folder(engines: str, board: str, onnxruntime: str) -> str:
    """<engines>/<key>, made; "" where there is no TensorRT library or nowhere to keep engines."""
    version = tensorrt_version()
    if not engines or not version:
        return ""
    folder = os.path.join(engines, engine_key(board, version, onnxruntime))
    os.makedirs(folder, exist_ok=True)
    return folder
