"""Both ends of a model as a wrapper in an app's language needs them: what goes in, by which steps, what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from device_agents.bundle import Manifest, Tensor
from pipeline.release.packages.errors import NotPackaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PIXELS = (255, 256, 127.5, 128)
"""Divisors that tell pictures of bytes from other numbers."""
SIZES = {"float32": 4, "int32": 4, "int64": 8, "int8": 1, "uint8": 1}
BOUNDS = {"int8": (-128, 127), "uint8": (0, 255)}
_OPERATORS: tuple[tuple[str, str], ...] = (("divide_by", "/"), ("subtract", "-"), ("mean", "-"), ("std", "/"))
"""In the order in which data sets use them."""
_WORDS = {"note", "tokenizer", "tokens", "padding"}


@dataclass(frozen=True)
class Step:
    """value = value / by, or value - by; in float32. by: one number for each channel, or one for all of them."""

    operator: Literal["/", "-"]
    by: tuple[float, ...]

    @property
    def many(self) -> bool:
        return len(self.by) > 1


@dataclass(frozen=True)
class Input:
    """What the model file takes. image: [height, width, channels] of one sample, else None. tokens: numbers of words.

    pixels: whether raw values are bytes, 0 to 255. unknown: what the data set's pre-processing says besides, in words
    that no step here stands for: that part is the app's.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    image: tuple[int, int, int] | None
    tokens: bool
    padding: int
    steps: tuple[Step, ...]
    unknown: tuple[str, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        return self.image[2] if self.image else 1

    @property
    def pixels(self) -> bool:
        return bool(self.image and self.steps and self.steps[0].operator == "/" and self.steps[0].by[0] in PIXELS)

    def prepared(self, raw: Array) -> Array:
        """A raw sample, [height, width, channels] or of the model's shape, as the model file takes it."""
        import numpy as np

        if self.tokens:
            flat = np.full(self.elements, self.padding, self.tensor.dtype)
            flat[: raw.size] = raw.ravel()[: self.elements]
            return flat.reshape(self.shape)
        value = raw.astype(np.float32)
        for step in self.steps:
            by = np.array(step.by, np.float32)
            value = value / by if step.operator == "/" else value - by
        if self.image and self.tensor.layout is None:
            value = value.transpose(2, 0, 1)
        return self.quantised(value.reshape(self.shape))

    def quantised(self, value: Array) -> Array:
        import numpy as np

        if self.tensor.scale is None:
            return value.astype(self.tensor.dtype)
        least, most = BOUNDS[self.tensor.dtype]
        steps = np.rint(value / np.float32(self.tensor.scale)) + (self.tensor.zero_point or 0)
        return np.clip(steps, least, most).astype(self.tensor.dtype)


@dataclass(frozen=True)
class Output:
    """What it gives. classes: how many scores, where each is a class's logit; else None."""

    tensor: Tensor
    shape: tuple[int, ...]
    classes: int | None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def ends(manifest: Manifest, classifies: bool) -> tuple[Input, Output]:
    """The only input and the only output. Raises NotPackaged."""
    given, gives = _only("input", manifest.inputs), _only("output", manifest.outputs)
    shape, leaving = _closed(given), _closed(gives)
    tokens = given.dtype in ("int32", "int64") and given.scale is None
    image = None if tokens or len(shape) != 4 else _image(given, shape)
    said = manifest.preprocessing
    padding = said.get("padding", 0)
    if not _number(padding) or padding != int(padding):
        raise _meaningless("padding", padding)
    return (
        Input(
            given,
            shape,
            image,
            tokens,
            int(padding),
            () if tokens else _steps(said, image[2] if image else 1),
            tuple(sorted(set(said) - {key for key, _ in _OPERATORS} - _WORDS)),
        ),
        Output(gives, leaving, math.prod(leaving) if classifies and len(leaving) == 2 and leaving[0] == 1 else None),
    )


def spoken(labels: list[str] | None) -> list[str]:
    """Labels as labels.txt has them: each on one line; none where there are none."""
    return [" ".join(label.split()) for label in labels or []]


def affine(given: Input) -> tuple[list[float], list[float]]:
    """(mean, std) by channel, in raw units: the same as the steps, as (raw - mean) / std."""
    scale, shift = [1.0] * given.channels, [0.0] * given.channels
    for step in given.steps:
        by = step.by * given.channels if len(step.by) == 1 else step.by
        for channel, one in enumerate(by):
            if step.operator == "/":
                scale[channel] /= one
                shift[channel] /= one
            else:
                shift[channel] -= one
    return [-one / factor for one, factor in zip(shift, scale, strict=True)], [1 / one for one in scale]


def _steps(said: Mapping[str, Any], channels: int) -> tuple[Step, ...]:
    steps = []
    for key, operator in _OPERATORS:
        if key not in said:
            continue
        value = said[key]
        by = value if isinstance(value, list | tuple) else [value]
        if len(by) not in (1, channels) or not all(_number(one) for one in by) or (operator == "/" and 0 in by):
            raise _meaningless(key, value)
        steps.append(Step("/" if operator == "/" else "-", tuple(float(one) for one in by)))
    return tuple(steps)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _meaningless(key: str, value: object) -> NotPackaged:
    return NotPackaged(
        f"The pre-processing says {key} = {value!r}, which no app can do",
        where="the bundle's manifest: preprocessing",
        remedy="let the data set's loader give a finite number, or one for each channel, and build again",
    )


def _only(which: str, tensors: list[Tensor]) -> Tensor:
    if len(tensors) != 1:
        raise NotPackaged(
            f"The model has {len(tensors)} {which}s; a wrapper is written for one",
            where=f"the bundle's manifest: {which}s",
            remedy=f"give the network one {which}: concatenate them in a module around it",
        )
    tensor = tensors[0]
    if tensor.dtype not in SIZES:
        raise NotPackaged(
            f"The {which} {tensor.name} is of {tensor.dtype}; wrappers know {', '.join(SIZES)}",
            where=f"the bundle's manifest: {which}s",
            remedy="release a variant of another precision",
        )
    return tensor


def _closed(tensor: Tensor) -> tuple[int, ...]:
    """The shape with a batch of 1 where that is left open. Raises NotPackaged where another axis is."""
    sizes = [1 if axis == 0 and isinstance(size, str) else size for axis, size in enumerate(tensor.shape)]
    closed = tuple(size for size in sizes if isinstance(size, int))
    if len(closed) != len(sizes):
        raise NotPackaged(
            f"{tensor.name} has the shape {tensor.shape}: a wrapper needs to know it",
            where="the bundle's manifest",
            remedy="export the model with a fixed shape",
        )
    return closed


def _image(tensor: Tensor, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if tensor.layout == "channels-last":
        return shape[1], shape[2], shape[3]
    return shape[2], shape[3], shape[1]
