"""What the choice of ranges, bias correction and mixed precision ask of a file format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pipeline.quantization.ranges import Ranges, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Model = TypeVar("Model")


class Form(Protocol, Generic[Model]):
    """One float file, and how INT8 files are made of it. Samples `x` are [N, ...] as the network takes them."""

    @property
    def shape(self) -> Sequence[int]:
        """Of one sample."""
        ...

    @property
    def dtype(self) -> str:
        """Of the samples: float32 or int64."""
        ...

    @property
    def layers(self) -> Sequence[str]:
        """What has weights and would be INT8, in the graph's order, by the torch modules' names."""
        ...

    @property
    def correctable(self) -> Sequence[str]:
        """The layers whose bias can be shifted."""
        ...

    def activations(self, x: Array) -> Iterator[Sample]:
        """Every float tensor that the float file computes, its input among them, sample by sample."""
        ...

    def quantised(self, ranges: Ranges, left: Collection[str] = ()) -> Model:
        """The INT8 file with these ranges; the layers `left` stay float. Raises NotQuantisable."""
        ...

    def outputs(self, model: Model | None, x: Array) -> Array:
        """What a file gives for `x`: float32 [N, ...]; None is the float file."""
        ...

    def layer_values(self, model: Model | None, x: Array, layers: Collection[str]) -> Iterator[dict[str, Array]]:
        """What each of `layers` gives, sample by sample: float32 [positions, channels]."""
        ...

    def shifted(self, model: Model, shifts: Mapping[str, Array]) -> Model:
        """A copy whose biases are larger by `shifts`: {layer: float [channels]}; layers without INT8 bias are left."""
        ...
