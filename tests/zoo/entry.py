"""What the zoo says of each of its networks: how to make it, what it reads, and what pruning must find in it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Inputs = Callable[[int, torch.Generator], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Entry:
    """One network as its users write it.

    inputs: (samples, generator) > the network's inputs. kinds: what must be found to cut. left: modules with weights
    that must be left alone, each with a word that its reason must hold; all other weights must be in a group.
    layers: how many layers can go whole. package: a module that it imports, with the command that brings it. large: a
    real network, too slow for what is tried many times. shared: a tensor is made and read by the same units, so that
    "nobody reads it" and "it is zero" are one thing. trained: it comes with weights, which stay as they are.
    """

    make: Callable[[], nn.Module]
    inputs: Inputs
    kinds: frozenset[str]
    left: dict[str, str] = field(default_factory=dict)
    layers: int = 0
    package: tuple[str, str] | None = None
    large: bool = False
    shared: bool = False
    trained: bool = False

    @property
    def missing(self) -> str:
        """What must be installed first, with the command; empty where all is there."""
        if self.package is None or importlib.util.find_spec(self.package[0]):
            return ""
        return f"{self.package[0]} is not installed: {self.package[1]}"

    def network(self, seed: int = 0) -> nn.Module:
        """A seeded network in evaluation mode, with weights that speak up; its norms have statistics of their own."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.make()
            if not self.trained:
                with torch.no_grad():
                    for module in network.modules():
                        _unsettle(module)
        return network.eval()

    def samples(self, count: int = 2, seed: int = 1) -> tuple[Tensor, ...]:
        """Seeded inputs of `count` samples."""
        return self.inputs(count, torch.Generator().manual_seed(seed))


def available(entry: Entry) -> Entry:
    """The entry; ends the test where the package that it needs is not installed."""
    from tests.prerequisites import require

    require(not entry.missing, entry.missing)
    return entry


def _unsettle(module: nn.Module) -> None:
    """Fresh weights often say so little that a wrong cut would not be seen: He's scale, norms that do something."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm) and module.weight is not None:
        module.weight.uniform_(0.5, 1.5)
        module.bias.normal_(0, 0.3)
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
        module.running_mean.normal_(0, 0.3)
        assert module.running_var is not None
        module.running_var.uniform_(0.5, 1.5)
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear | nn.MultiheadAttention | nn.Embedding):
        for parameter in module.parameters(recurse=False):
            if parameter.dim() > 1:
                fan_in = 1 if isinstance(module, nn.Embedding) else parameter[0].numel()
                parameter.normal_(0, (2 / fan_in) ** 0.5)


def pictures(channels: int = 3, size: int = 16) -> Inputs:
    """float32 [N, channels, size, size], normal."""
    return lambda count, generator: (torch.randn(count, channels, size, size, generator=generator),)


def vectors(width: int) -> Inputs:
    """float32 [N, width], normal."""
    return lambda count, generator: (torch.randn(count, width, generator=generator),)


def series(*shape: int) -> Inputs:
    """float32 [N, *shape], normal."""
    return lambda count, generator: (torch.randn(count, *shape, generator=generator),)


def tokens(length: int, vocabulary: int) -> Inputs:
    """int64 [N, length], from 1 (0 is padding)."""
    return lambda count, generator: (torch.randint(1, vocabulary, (count, length), generator=generator),)
