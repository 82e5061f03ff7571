"""INT8 simulated in torch: weights and activations rounded as a quantiser rounds them, gradients passing through.

No module is swapped: torch's own functions are intercepted while the network runs, so functional calls, sums and
nn.MultiheadAttention are seen too, and names, weights and buffers stay what they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pipeline.distillation import logits_of

OUTPUT = "output"
LEAST_STEP = 1e-12
_PER_TENSOR = None
_WEIGHTED: Mapping[Any, tuple[str, int | None]] = {
    F.linear: ("weight", 0), F.conv1d: ("weight", 0), F.conv2d: ("weight", 0), F.conv3d: ("weight", 0),
    F.conv_transpose1d: ("weight", 1), F.conv_transpose2d: ("weight", 1), F.conv_transpose3d: ("weight", 1),
    F.embedding: ("weight", _PER_TENSOR), torch.matmul: ("other", -1), Tensor.matmul: ("other", -1),
    Tensor.__matmul__: ("other", -1),
}  # fmt: skip
"""What multiplies by weights: the weight's name among the arguments (it is the second), its output channels' axis."""
_ATTENTION = (F.softmax, torch.softmax, Tensor.softmax, F.scaled_dot_product_attention, F.multi_head_attention_forward)
_SUMS = ("add", "__add__", "__radd__", "__iadd__")


class FakeQuant(TorchFunctionMode):
    """Rounds what `net` computes, in its forward pass.

    Weights: symmetric, -127..127, a scale per output channel; so a batch norm that will be folded in changes nothing.
    Activations: asymmetric, 8 bits, one scale per tensor: what convolutions and linear layers take, what sums of two
    activations take, what the network gives. Where there is attention sums stay float, as our quantisers have
    it (static.LINEAR). Jacob et al. 2018, arXiv 1712.05877; the straight-through estimator is Bengio et al. 2013,
    arXiv 1308.3432.

    weight_bits: weights of 2^bits - 1 values for each output channel instead, as a small download has them (Han et al.
    2016, arXiv 1510.00149); INT8 says each of them exactly enough. Tables that are looked up, also where an output head
    shares them, and weights that are no parameter as it is (a slice, weight norm) keep all their values. activations:
    whether those are rounded at all; where not, nothing is but weights of few values.

    In evaluation mode ranges are those of `observe`. In training each batch has its own: then nothing is remembered
    from step to step, and a training that was killed goes on to the same bit.

    ranges: {what is rounded, as the weight's name or "add#2 of 1": (its least and its largest value)}.
    """

    def __init__(self, net: nn.Module, weight_bits: int | None = None, activations: bool = True) -> None:
        super().__init__()
        self.net, self.weight_bits, self.activations = net, weight_bits, activations
        self.ranges: dict[str, tuple[float, float]] = {}
        self._names = {id(parameter): name for name, parameter in net.named_parameters()}
        self._seen: Counter[str] = Counter()
        self._tables = {
            id(one)
            for module in net.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag)
            for one in module.parameters(recurse=False)
        }
        self._few: dict[int, tuple[Tensor, int]] = {}
        self._observing = self._attention = False

    def observe(self, x: Tensor) -> None:
        """Takes the ranges anew: least and largest values over `x` [N, ...] of the network in float."""
        self.ranges, self._observing = {}, True
        try:
            logits_of(self.net, x)
        finally:
            self._observing = False

    def weights_of_few_values(self, x: Tensor) -> list[tuple[Tensor, int]]:
        """Which weights those are, and their output channels' axes: of what a pass over `x` [N, ...] reads."""
        self._few.clear()
        logits_of(self.net, x)
        return list(self._few.values())

    def settle(self, x: Tensor) -> None:
        """Rounds them in place to `weight_bits`."""
        assert self.weight_bits is not None
        for weight, axis in self.weights_of_few_values(x):
            weight.data.copy_(rounded_weight(weight.detach(), axis, self.weight_bits))

    def passes(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The network's forward() with this at work in it."""

        def simulated(*args: Any, **named: Any) -> Any:
            self._seen.clear()
            with self:
                outputs = forward(*args, **named)
            return self._activation(OUTPUT, outputs)

        return simulated

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if func in _ATTENTION:
            self._attention = True
        if func is F.multi_head_attention_forward:
            args = self._in_attention(args)
        elif func in _WEIGHTED:
            args = self._weighted(func, args, named)
        elif not self._attention and getattr(func, "__name__", "") in _SUMS and _of_activations(args):
            name = self._place("add")
            # What a sum gives is rounded where it is next read: behind its ReLU, as a runtime that fuses both does.
            args = [self._activation(f"{name} of {place}", one) for place, one in enumerate(args, 1)]
        return func(*args, **named)

    def _weighted(self, func: Any, args: Any, named: dict[str, Any]) -> Any:
        key, axis = _WEIGHTED[func]
        weight = args[1] if len(args) > 1 else named.get(key)
        # A product of two activations has no weight; one made anew at each pass (weight norm) has no name.
        if not args or weight is None or (key == "other" and not isinstance(weight, nn.Parameter)):
            return args
        place = self._place(self._names.get(id(weight), getattr(func, "__name__", key)))
        given, rounded = self._activation(place, args[0]), self._weight(weight, axis)
        if len(args) > 1:
            return (given, rounded, *args[2:])
        named[key] = rounded
        return (given, *args[1:])

    def _in_attention(self, args: Any) -> tuple[Any, ...]:
        """nn.MultiheadAttention's matrices, and the query, key and value that it takes (often the same tensor)."""
        made: dict[int, Any] = {}
        for place, one in enumerate(args):
            if isinstance(one, nn.Parameter) and one.dim() == 2:
                made[id(one)] = self._weight(one, 0)
            elif place < 3 and id(one) not in made:
                made[id(one)] = self._activation(self._place("attention"), one)
        return tuple(made.get(id(one), one) for one in args)

    def _place(self, name: str) -> str:
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}#{self._seen[name]}"

    def _weight(self, weight: Tensor, axis: int | None) -> Tensor:
        if self._observing or not weight.is_floating_point() or weight.dim() < 2:
            return weight
        known = id(weight) in self._names and id(weight) not in self._tables
        if self.weight_bits is None or axis is None or not known:
            return rounded_weight(weight, axis) if self.activations else weight
        self._few[id(weight)] = weight, axis
        return rounded_weight(weight, axis, self.weight_bits)

    def _activation(self, place: str, x: Any) -> Any:
        if not self.activations or not isinstance(x, Tensor) or not x.is_floating_point() or not x.numel():
            return x
        if self.net.training or self._observing:
            low, high = (float(one) for one in x.detach().aminmax())
            if not self._observing:
                return rounded(x, low, high)
            before = self.ranges.get(place, (low, high))
            self.ranges[place] = min(low, before[0]), max(high, before[1])
        elif place in self.ranges:
            return rounded(x, *self.ranges[place])
        return x


@contextmanager
def fake_quantised(net: nn.Module, weight_bits: int | None = None, activations: bool = True) -> Iterator[FakeQuant]:
    """`net` computes in simulated INT8 meanwhile, in training as in evaluation; after it, it is as it was."""
    quant, before = FakeQuant(net, weight_bits, activations), net.__dict__.get("forward")
    net.forward = quant.passes(net.forward)
    try:
        yield quant
    finally:
        del net.forward
        if before is not None:
            net.forward = before


def simulated(net: nn.Module, x: Tensor, calibration: Tensor) -> Tensor:
    """What `net` will give in INT8 for `x` [N, ...], float32 [N, ...]; ranges are those over `calibration` [M, ...]."""
    with fake_quantised(net) as quant:
        quant.observe(calibration)
        return logits_of(net, x)


def rounded(x: Tensor, low: float, high: float) -> Tensor:
    """`x` as 256 steps from `low` to `high` can say it; zero is one of them. As it is where a limit is no number."""
    if not (torch.isfinite(torch.tensor([low, high])).all()):
        return x
    low, high = min(low, 0.0), max(high, 0.0)
    step = max((high - low) / 255, LEAST_STEP)
    return torch.fake_quantize_per_tensor_affine(x, step, round(-low / step), 0, 255)


def rounded_weight(weight: Tensor, axis: int | None, bits: int = 8) -> Tensor:
    """A weight as 2^bits - 1 steps around zero, which stays zero; a scale per position along `axis`, or one for all."""
    magnitude, most = weight.detach().abs(), 2 ** (bits - 1) - 1
    if axis is None:
        step = max(float(magnitude.max()) / most, LEAST_STEP)
        return torch.fake_quantize_per_tensor_affine(weight, step, 0, -most, most)
    axis %= weight.dim()
    steps = magnitude.amax([one for one in range(weight.dim()) if one != axis]).div(most).clamp_min(LEAST_STEP)
    return torch.fake_quantize_per_channel_affine(
        weight, steps, torch.zeros_like(steps, dtype=torch.int32), axis, -most, most
    )


def _of_activations(args: Any) -> bool:
    """Two tensors of one shape, neither of them trained: a residual sum, no bias and no table of positions."""
    pair = args[:2]
    return (
        len(pair) == 2
        and all(isinstance(one, Tensor) and not isinstance(one, nn.Parameter) for one in pair)
        and pair[0].shape == pair[1].shape
        and pair[0].dim() > 1
        and all(one.is_floating_point() for one in pair)
    )
