"""onnxruntime on the CPU."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, List

from . import Input, Runtime

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
}


class OnnxRuntime(Runtime):
    """One inference session. intra-op threads as asked, one inter-op thread, operators one after the other."""

    name = "onnxruntime"

    def __init__(self) -> None:
        self._session: Any = None

    def versions(self) -> Dict[str, str]:
        import numpy
        import onnxruntime

        return {"version": str(onnxruntime.__version__), "numpy": str(numpy.__version__)}

    def load(self, path: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def inputs(self) -> List[Input]:
        return [
            Input(
                found.name,
                # An open axis is a name or None, a fixed one an integer.
                tuple(size if isinstance(size, int) and size > 0 else None for size in found.shape),
                _dtype(found.type),
            )
            for found in self._session.get_inputs()
        ]

    def run(self, arrays: Dict[str, Any]) -> List[Any]:
        outputs: List[Any] = self._session.run(None, arrays)
        return outputs

    def caller(self, arrays: Dict[str, Any]) -> Callable[[], object]:
        return partial(self._session.run, None, arrays)

    def providers(self) -> List[str]:
        return [str(name) for name in self._session.get_providers()]


def _dtype(onnx_type: str) -> str:
    """numpy's name of `tensor(float)` and the like."""
    inner = onnx_type[len("tensor(") : -1] if onnx_type.startswith("tensor(") else onnx_type
    return _DTYPES.get(inner, inner)
