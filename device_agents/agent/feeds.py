"""Between samples and model files: samples are channels-first and float, a file may want channels last or integers."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from .runtimes import Input, Model, Runtime

CHANNELS_LAST = "channels-last"
Tensor = Dict[str, Any]


def channels_first(shape: Sequence[Any]) -> List[Any]:
    """[N, ..., C] > [N, C, ...]."""
    return [shape[0], shape[-1], *shape[1:-1]] if len(shape) > 2 else list(shape)


def to_file(array: Any, tensor: Tensor, dtype: str) -> Any:
    """Samples as the file takes them: cast; [N, C, ...] > [N, ..., C] and float > integer where `tensor` says so.

    A float becomes clip(round(x / scale) + zero_point), halves to even, computed in float32.
    """
    import numpy

    if tensor.get("layout") == CHANNELS_LAST and array.ndim > 2:
        array = numpy.moveaxis(array, 1, -1)
    if tensor.get("scale") is not None:
        limits = numpy.iinfo(dtype)
        steps = numpy.rint(array.astype("float32", copy=False) / numpy.float32(tensor["scale"]))
        array = numpy.clip(steps + numpy.float32(tensor.get("zero_point") or 0), limits.min, limits.max)
    return numpy.ascontiguousarray(array, dtype=dtype)


def from_file(array: Any, tensor: Tensor) -> Any:
    """What the file gave, the other way round: float32 = (integer - zero_point) * scale, channels first."""
    import numpy

    if tensor.get("scale") is not None:
        steps = array.astype("float32") - numpy.float32(tensor.get("zero_point") or 0)
        array = steps * numpy.float32(tensor["scale"])
    if tensor.get("layout") == CHANNELS_LAST and array.ndim > 2:
        array = numpy.moveaxis(array, -1, 1)
    return array


def _match(listed: Sequence[Tensor], names: List[str], what: str) -> Dict[str, Tensor]:
    """The manifest's tensor for each of the file's names, in the manifest's order."""
    if len(listed) == len(names) == 1:
        return {names[0]: listed[0]}
    if not listed:
        return {name: {} for name in names}
    known = {str(tensor["name"]): tensor for tensor in listed}
    missing = sorted(set(known) - set(names))
    if missing:
        raise ValueError(
            "the manifest names the %s %s, which the model doesn't have (it has: %s)"
            % (what, missing[0], ", ".join(names))
        )
    left = {name: {} for name in names if name not in known}  # type: Dict[str, Tensor]
    return {**known, **left}


class Fed(Runtime):
    """A runtime seen from the samples' side: its inputs and outputs are as the data set has them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.name = runtime.name
        self._given: Dict[str, Tensor] = {}
        self._gives: Dict[str, Tensor] = {}
        self._order: List[int] = []

    def versions(self) -> Dict[str, str]:
        return self._runtime.versions()

    def available(self) -> List[str]:
        return self._runtime.available()

    def construct(self) -> None:
        self._runtime.construct()

    def load(self, model: Model) -> None:
        """Raises ValueError where the manifest's tensors aren't the model's."""
        self._runtime.load(model)
        self._given = _match(model.inputs, [one.name for one in self._runtime.inputs()], "input")
        names = self._runtime.outputs()
        self._gives = _match(model.outputs, names, "output")
        self._order = [names.index(name) for name in self._gives]

    def inputs(self) -> List[Input]:
        return [self._seen(raw) for raw in self._runtime.inputs()]

    def _seen(self, raw: Input) -> Input:
        tensor = self._given[raw.name]
        shape = channels_first(raw.shape) if tensor.get("layout") == CHANNELS_LAST else list(raw.shape)
        return Input(raw.name, tuple(shape), "float32" if tensor.get("scale") is not None else raw.dtype)

    def outputs(self) -> List[str]:
        return list(self._gives)

    def _prepared(self, arrays: Dict[str, Any]) -> Dict[str, Any]:
        dtypes = {raw.name: raw.dtype for raw in self._runtime.inputs()}
        return {name: to_file(array, self._given[name], dtypes[name]) for name, array in arrays.items()}

    def run(self, arrays: Dict[str, Any]) -> List[Any]:
        found = self._runtime.run(self._prepared(arrays))
        return [from_file(found[place], tensor) for place, tensor in zip(self._order, self._gives.values())]

    def caller(self, arrays: Dict[str, Any]) -> Callable[[], object]:
        """Layout and quantising are done before, once: they are the data's affair, not the model's."""
        return self._runtime.caller(self._prepared(arrays))

    def providers(self) -> List[str]:
        return self._runtime.providers()


def fixed_batch(runtime: Runtime) -> Optional[int]:
    """The batch that the model was exported with; None where it takes any."""
    shape = runtime.inputs()[0].shape
    return shape[0] if shape else None
