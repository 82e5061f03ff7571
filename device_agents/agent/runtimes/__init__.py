"""One small class per runtime, all of one shape; `open_runtime` picks by name. No runtime is imported at the top."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

# What the host calls a runtime, and what Python imports.
MODULES = {
    "onnxruntime": "onnxruntime",
    "litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "torch": "torch",
}


class Input(NamedTuple):
    """One model input. shape: None where the model leaves an axis open; dtype: numpy's name."""

    name: str
    shape: Tuple[Optional[int], ...]
    dtype: str


class Model(NamedTuple):
    """A model file and how it shall run.

    inputs, outputs: the manifest's tensors; providers: wished ones, best first, empty for no wish; options: of a
    provider, by its name; engines: folder for what a provider compiles and keeps, "" for none; board: this device.
    """

    path: str
    threads: int = 1
    precision: str = "float32"
    inputs: Tuple[Dict[str, Any], ...] = ()
    outputs: Tuple[Dict[str, Any], ...] = ()
    providers: Tuple[str, ...] = ()
    options: Optional[Dict[str, Dict[str, Any]]] = None
    engines: str = ""
    board: str = ""


class Runtime:
    """What a runtime must offer. Errors of the runtime itself may be of any class."""

    name = ""

    def versions(self) -> Dict[str, str]:
        """{"version": the runtime's, "numpy": numpy's}; imports it."""
        raise NotImplementedError

    def available(self) -> List[str]:
        """The providers that this installation brings; asked before loading. Empty where it can't tell."""
        return []

    def construct(self) -> None:
        """Does as little as shows that this installation works, without a model file. Importing shows too little."""
        raise NotImplementedError

    def load(self, model: Model) -> None:
        """Reads a model file."""
        raise NotImplementedError

    def inputs(self) -> List[Input]:
        """Names, shapes and dtypes of the loaded model's inputs."""
        raise NotImplementedError

    def outputs(self) -> List[str]:
        """Names of the outputs, in the order in which `run` gives them."""
        raise NotImplementedError

    def run(self, arrays: Dict[str, Any]) -> List[Any]:
        """One inference on {input name: array}; the outputs as numpy arrays of the caller's own."""
        raise NotImplementedError

    def caller(self, arrays: Dict[str, Any]) -> Callable[[], object]:
        """One inference as a call without arguments, with as little around it as the runtime allows: what is timed."""
        return lambda: self.run(arrays)

    def providers(self) -> List[str]:
        """What the runtime really runs the model on, asked after loading."""
        raise NotImplementedError


def open_runtime(name: str) -> Runtime:
    """The adapter for a runtime; raises ValueError where this agent has none."""
    if name == "onnxruntime":
        from .ort import OnnxRuntime

        return OnnxRuntime()
    if name in ("litert", "tflite-runtime"):
        from .tflite import TfliteRuntime

        return TfliteRuntime(name)
    if name == "torch":
        from .torch import TorchRuntime

        return TorchRuntime()
    raise ValueError("this agent has no adapter for the runtime %r" % name)
