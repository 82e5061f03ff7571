"""What onnxruntime's TensorRT provider is told, and where it keeps the engines that it builds for minutes."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict, List, Sequence, Tuple

from ..digest import sha256_of

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


def engine_key(board: str, tensorrt: str, onnxruntime: str, model: str) -> str:
    """Names the folder of engines: they hold for one kind of board, these versions and this model, and lie elsewhere.

    model: the file's sha256. onnxruntime tells engines apart by the file's name and the graph's, not by weights or
    shapes: a pruned network would get the engine of the one that it came from (onnxruntime issue 6455).
    """
    return hashlib.sha256(json.dumps([board, tensorrt, onnxruntime, model]).encode()).hexdigest()[:16]


def options_for(
    wished: Sequence[str],
    options: Dict[str, Dict[str, Any]],
    available: Sequence[str],
    precision: str = "float32",
    engines: str = "",
) -> Tuple[List[str], List[Dict[str, str]]]:
    """(providers, options of each) for a session: of the wished ones those that are there, the CPU last.

    TensorRT computes in FP16 or INT8 as the variant's precision says, and keeps engines in `engines`
    ("": nowhere). What `options` says itself has the last word. Values are texts, as onnxruntime takes
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
        told.update(options.get(name, {}))
        found.append({key: str(value) for key, value in told.items()})
    return [*names, CPU], found


def engine_folder(engines: str, board: str, onnxruntime: str, model: str) -> str:
    """<engines>/<key>, made, for the file `model`; "" where there is no TensorRT library or nowhere to keep engines."""
    version = tensorrt_version()
    if not engines or not version:
        return ""
    folder = os.path.join(engines, engine_key(board, version, onnxruntime, sha256_of(model)))
    os.makedirs(folder, exist_ok=True)
    return folder
