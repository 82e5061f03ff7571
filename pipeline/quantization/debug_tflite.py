"""A TensorFlow Lite file beside its quantised one, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.export.tflite_compare import MOVING
from pipeline.export.tflite_file import dtype_of, name_of, operation_name, operations, parse, scales
from pipeline.quantization.debug import Held
from pipeline.quantization.tflite_values import values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class TflitePair:
    """As pipeline.quantization.debug.Pair asks. Both files have the modules' names."""

    def __init__(self, float_named: bytes, quantised_named: bytes) -> None:
        self._float, self._quantised = float_named, quantised_named
        graph, other = (parse(data).subgraphs[0] for data in (float_named, quantised_named))
        numbers = {name_of(tensor): number for number, tensor in enumerate(other.tensors)}
        found: list[Held] = []
        self._numbers: list[tuple[int, int]] = []
        for one in operations(parse(float_named)):
            tensor = graph.tensors[one.outputs[0]]
            number = numbers.get(name_of(tensor))
            if one.kind in MOVING or number is None or dtype_of(tensor) != "float32":
                continue
            found.append(Held(operation_name(graph, one), *_range(_behind(quantised_named, other, number))))
            self._numbers.append((one.outputs[0], number))
        self.tensors: Sequence[Held] = found

    def values(self, x: Array) -> Iterator[list[tuple[Array, Array]]]:
        """See Pair."""
        float_numbers, numbers = zip(*self._numbers, strict=True)
        both = values(self._float, x, float_numbers), values(self._quantised, x, numbers)
        for reference, other in zip(*both, strict=True):
            yield [(reference[one], other[two]) for one, two in self._numbers]


def _behind(data: bytes, graph: Any, number: int) -> Any:
    """The tensor that holds the integers: itself, or what the DEQUANTIZE that gives it reads."""
    made = next((one for one in operations(parse(data)) if one.kind == "DEQUANTIZE" and number in one.outputs), None)
    return graph.tensors[number if made is None else made.inputs[0]]


def _range(tensor: Any) -> tuple[float | None, float | None]:
    import numpy as np

    found, points = scales(tensor)
    if found is None or len(found) != 1:
        return None, None
    limits = np.iinfo(dtype_of(tensor))
    return float(found[0]) * (limits.min - int(points[0])), float(found[0]) * (limits.max - int(points[0]))
