"""One small class per runtime, all of one shape; `open_runtime` picks by name. No runtime is imported at the top."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple


class Input(NamedTuple):
    """One model input. shape: None where the model leaves an axis open; dtype: numpy's name."""

    name: str
    shape: Tuple[Optional[int], ...]
    dtype: str


class Runtime:
    """What a runtime must offer. Errors of the runtime itself may be of any class."""

    name = ""

    def versions(self) -> Dict[str, str]:
        """{"version": the runtime's, "numpy": numpy's}; imports it."""
        raise NotImplementedError

    def load(self, path: str, threads: int) -> None:
        """Reads a model file."""
        raise NotImplementedError

    def inputs(self) -> List[Input]:
        """Names, shapes and dtypes of the loaded model's inputs."""
        raise NotImplementedError

    def run(self, arrays: Dict[str, Any]) -> List[Any]:
        """One inference on {input name: array}; the outputs as numpy arrays."""
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
    raise ValueError("this agent has no adapter for the runtime %r" % name)
