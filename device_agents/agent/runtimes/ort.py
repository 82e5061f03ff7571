"""onnxruntime, on the CPU or on what else its build brings."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any, Callable, Dict, List

from . import Input, Model, Runtime
from .tensorrt import CPU, TENSORRT, engine_folder, options_for

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
}


# y = Identity(x) on one float32, opset 13 (tests make it again).
SMALLEST = base64.b64decode("CAg6NgoQCgF4EgF5IghJZGVudGl0eRIAWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQDQ==")


class OnnxRuntime(Runtime):
    """One inference session. intra-op threads as asked, one inter-op thread, operators one after the other."""

    name = "onnxruntime"

    def __init__(self) -> None:
        self._session: Any = None

    def versions(self) -> Dict[str, str]:
        import numpy
        import onnxruntime

        return {"version": str(onnxruntime.__version__), "numpy": str(numpy.__version__)}

    def available(self) -> List[str]:
        import onnxruntime

        return [str(name) for name in onnxruntime.get_available_providers()]

    def construct(self) -> None:
        import onnxruntime

        onnxruntime.InferenceSession(SMALLEST, providers=[CPU])

    def load(self, model: Model) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = model.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        there = self.available()
        engines = ""
        if TENSORRT in model.providers and TENSORRT in there:
            engines = engine_folder(model.engines, model.board, str(onnxruntime.__version__), model.path)
        providers, told = options_for(model.providers, model.options or {}, there, model.precision, engines)
        # A provider that can't start is left out with no more than a line on stderr: `providers` tells what is left.
        self._session = onnxruntime.InferenceSession(model.path, options, providers=providers, provider_options=told)

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

    def outputs(self) -> List[str]:
        return [str(found.name) for found in self._session.get_outputs()]

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
