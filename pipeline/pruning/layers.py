"""Layers that can go whole: what they compute is added to their own input, so that input can stand in for them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.pruning import surgery
from pipeline.pruning.groups import LeftAlone

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass
class _Call:
    """What a module was given and gave in one pass; times: how often it ran."""

    inputs: tuple[Any, ...]
    named: dict[str, Any]
    output: Any
    times: int = 1


def find_layers(network: nn.Module, example: tuple[Tensor, ...]) -> tuple[list[str], list[LeftAlone]]:
    """Names of the removable layers in forward order, and those of the same classes that must stay, with the reason.

    A layer is removable when it adds its first input to what it computes. This is tried, not read from code: a copy
    whose weights are all zero must give back the input that it was given, as it is or through the activation or the
    norm that may follow the sum, and one with random weights must not. Residual blocks, inverted residuals and
    transformer layers (norm first or last) pass; plain, gated and concatenating modules don't. Where such modules are
    nested the innermost count, but a transformer layer is not taken apart into its attention and its MLP.
    `example`: the network's inputs, a batch.
    """
    calls = _watch(network, example)
    residual = [name for name, call in calls.items() if _adds_its_input(network.get_submodule(name), call)]
    chosen = _whole_layers(network, residual)
    removable: list[str] = []
    left: list[LeftAlone] = []
    for name in [name for name in calls if name in chosen]:
        reason = f"it runs {calls[name].times} times in one pass" if calls[name].times > 1 else None
        reason = reason or _trouble(network, name, example)
        if reason is None:
            removable.append(name)
        else:
            left.append(LeftAlone(name, reason))
    kinds = {type(network.get_submodule(name)) for name in chosen if not _container(network.get_submodule(name))}
    for name, call in calls.items():
        if name not in residual and type(network.get_submodule(name)) in kinds:
            left.append(LeftAlone(name, _difference(call)))
    return removable, left


def _watch(network: nn.Module, example: tuple[Tensor, ...]) -> dict[str, _Call]:
    """What each module with children and with matrices of its own or of theirs was given, in forward order."""
    import torch

    calls: dict[str, _Call] = {}

    def hook(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            if name in calls:
                calls[name].times += 1
            else:
                calls[name] = _Call(inputs, named, output)

        return note

    hooks = [
        module.register_forward_hook(hook(name), with_kwargs=True)
        for name, module in network.named_modules()
        if name and next(module.children(), None) is not None and _matrices(module)
    ]
    try:
        with evaluating(network), torch.no_grad():
            network(*example)
    finally:
        for one in hooks:
            one.remove()
    return calls


def _adds_its_input(module: nn.Module, call: _Call) -> bool:
    """Whether the module with all of its weights silenced gives what it was given, and otherwise doesn't."""
    import torch

    x = call.inputs[0] if call.inputs else None
    if not isinstance(x, torch.Tensor) or not isinstance(call.output, torch.Tensor):
        return False
    if not x.is_floating_point() or x.shape != call.output.shape:
        return False
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(x.shape, generator=generator).to(x.device, x.dtype)
    try:
        quiet = _given(module, call, probe, None)
        loud = _given(module, call, probe, generator)
    except Exception:  # a module that can't be copied, or whose forward minds another input: no layer of ours
        return False
    return any(_near(quiet, passed) and not _near(loud, passed) for passed in _passed(probe))


def _given(module: nn.Module, call: _Call, probe: Tensor, random: torch.Generator | None) -> Tensor:
    """The output for `probe` of a copy whose weights are random, or 0; its norms only normalise either way."""
    import torch
    from torch.nn.modules.batchnorm import _NormBase

    made = copy.deepcopy(module).eval()
    with torch.no_grad():
        for part in made.modules():
            norm = all(parameter.dim() < 2 for parameter in part.parameters(recurse=False))
            for leaf, parameter in part.named_parameters(recurse=False):
                if parameter.dim() > 1 and random is not None:
                    parameter.copy_(torch.randn(parameter.shape, generator=random) / parameter.shape[-1] ** 0.5)
                else:
                    # Vectors by other names may scale what is added to the input (layer scale).
                    scales = parameter.dim() < 2 and (random is not None or (norm and leaf == "weight"))
                    parameter.fill_(1.0 if scales else 0.0)
            if isinstance(part, _NormBase):
                part.reset_running_stats()
        output = made(probe.clone(), *call.inputs[1:], **call.named)
    assert isinstance(output, torch.Tensor)
    return output


def _passed(x: Tensor) -> Iterator[Tensor]:
    """The input as it may come out of a sum with nothing: bare, activated or normalised."""
    import torch
    import torch.nn.functional as F

    yield x
    for activation in (F.relu, F.relu6, F.leaky_relu, F.hardswish, F.silu, F.gelu, F.elu):
        yield activation(x)
    for axis in (-1, 1):
        centred = x - x.mean(axis, keepdim=True)
        yield centred * torch.rsqrt(centred.square().mean(axis, keepdim=True) + 1e-6)
        yield x * torch.rsqrt(x.square().mean(axis, keepdim=True) + 1e-6)


def _near(one: Tensor, other: Tensor) -> bool:
    """Equal but for what a norm's epsilon does."""
    import torch

    return bool(torch.isfinite(one).all()) and float((one - other).abs().max()) <= 0.01 * float(other.std())


def _whole_layers(network: nn.Module, residual: list[str]) -> set[str]:
    """The innermost of nested residual modules, but a layer made of unlike parts (attention, MLP) counts as one."""
    chosen: set[str] = set()
    for name in sorted(residual, key=lambda name: -name.count(".")):
        inner = sorted(other for other in chosen if other.startswith(f"{name}."))
        if not inner or _is_one_layer(network, name, inner):
            chosen = chosen.difference(inner) | {name}
    return chosen


def _is_one_layer(network: nn.Module, name: str, inner: list[str]) -> bool:
    module = network.get_submodule(name)
    if _container(module):
        return False
    kinds = {
        (type(part), tuple(key for key, _ in part.named_parameters())) for part in map(network.get_submodule, inner)
    }
    own = set(_matrices(module)).difference(
        f"{part.removeprefix(f'{name}.')}.{key}" for part in inner for key in _matrices(network.get_submodule(part))
    )
    # One residual part alone makes a layer only with more than a norm around it: a stage of one block is that block.
    return len(kinds) == len(inner) and (len(inner) > 1 or bool(own))


def _container(module: nn.Module) -> bool:
    from torch import nn

    return type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def _matrices(module: nn.Module) -> list[str]:
    return [key for key, parameter in module.named_parameters() if parameter.dim() > 1]


def _trouble(network: nn.Module, name: str, example: tuple[Tensor, ...]) -> str | None:
    """What happens to a network without this layer, if it is not that it runs and gives outputs of the same shapes."""
    from pipeline.pruning.trial import outputs

    try:
        with evaluating(network):
            wanted = [one.shape for one in outputs(network, example)]
        got = [one.shape for one in outputs(without(network, [name]), example)]
    except Exception as error:  # the user's forward may raise anything
        return f"without it the forward pass fails: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return None if wanted == got else "without it the outputs change their shapes"


def without(network: nn.Module, names: Sequence[str]) -> nn.Module:
    """A copy without these layers, in evaluation mode. It shares the tensors of `network`."""
    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    made = copy.deepcopy(network, shared).eval()
    for name in names:
        surgery.remove(made, name)
    return made


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode meanwhile."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _difference(call: _Call) -> str:
    import torch

    x, y = (call.inputs[0] if call.inputs else None), call.output
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor) and x.shape != y.shape:
        return f"it changes the shape, {list(x.shape)} to {list(y.shape)}"
    return "it doesn't add its input to what it computes"
