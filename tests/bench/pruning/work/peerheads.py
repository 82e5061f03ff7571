"""Torch-Pruning asked to take attention heads, in each of the ways that its examples show; kept as it happens."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.pruning.work.lab import Lab, first

if TYPE_CHECKING:
    from torch import nn

WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "heads only, q/k/v in one layer": (False, {"pruning_ratio": 0.0}),
    "heads only, q/k/v apart": (True, {"pruning_ratio": 0.0}),
    "heads and 10 % of the channels, q/k/v in one layer": (False, {"pruning_ratio": 0.1}),
    "heads and 10 % of the channels, q/k/v apart": (True, {"pruning_ratio": 0.1}),
}
"""Name > (whether q, k and v are layers of their own, as in its Hugging Face example; arguments of the pruner)."""


def heads(lab: Lab, what: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """what: share of the heads asked for, epochs, train, test, seed. Gives one entry a way."""
    return {"ways": {name: _way(lab, what, apart, asked) for name, (apart, asked) in WAYS.items()}}


def _way(lab: Lab, what: Mapping[str, Any], apart: bool, asked: dict[str, Any]) -> dict[str, Any]:
    """heads: left in each layer; crashed: the error, and where; patched: whether it ran only after a patch by hand."""
    import torch_pruning as tp

    net: Any = lab.trained()
    if apart:
        _take_apart(net)
    figures: dict[str, Any] = {"original": lab.size(net)}
    makers = {module: parent.heads for parent in _attentions(net) for module in _makers(parent)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pruner = tp.pruner.BasePruner(
                net,
                lab.example[0],
                importance=tp.importance.MagnitudeImportance(p=2),
                global_pruning=False,
                num_heads=dict(makers),
                prune_num_heads=True,
                head_pruning_ratio=what["share"],
                ignored_layers=[net.head],
                **asked,
            )
            pruner.step()
    except Exception as error:  # a peer may raise anything
        return figures | {"crashed": f"while pruning: {type(error).__name__}: {error}"}
    figures["heads"] = [pruner.num_heads[_makers(parent)[0]] for parent in _attentions(net)]
    figures["width"] = net.head.in_features
    figures["patched"] = False
    try:
        net(lab.example[0])
    except Exception as error:
        figures |= {"crashed": f"in the forward pass: {type(error).__name__}: {error}", "patched": True}
        try:
            _patch(net, pruner)
            net(lab.example[0])
        except Exception as again:
            return figures | {"crashed_again": f"{type(again).__name__}: {again}"}
    part, test = first(lab.parts.train, what["train"]), first(lab.parts.test, what["test"])
    figures |= {**lab.size(net), "before": lab.accuracy(net, test)}
    judged_on = first(lab.parts.validation, what["validation"])
    lab.fine_tune(net, part, lab.schedule(what["epochs"]), what["seed"], judged_on)
    return figures | {"after": lab.accuracy(net, test)}


def _attentions(net: nn.Module) -> list[Any]:
    return [module for module in net.modules() if hasattr(module, "head_dim")]


def _makers(attention: Any) -> list[nn.Module]:
    return [attention.q, attention.k, attention.v] if hasattr(attention, "q") else [attention.qkv]


def _patch(net: nn.Module, pruner: Any) -> None:
    """What its examples have the user do by hand: the modules' own counts, taken from the pruner."""
    for attention in _attentions(net):
        maker: Any = _makers(attention)[0]
        attention.heads = pruner.num_heads[maker]
        outputs = maker.out_features // (1 if hasattr(attention, "q") else 3)
        attention.head_dim = outputs // attention.heads


def _take_apart(net: nn.Module) -> None:
    """Gives every attention module three linear layers in the place of its fused one; the function stays the same."""
    import torch.nn.functional as F
    from torch import Tensor, nn

    class Apart(nn.Module):
        def __init__(self, fused: Any) -> None:
            super().__init__()
            self.heads, self.head_dim, self.out = fused.heads, fused.head_dim, copy.deepcopy(fused.out)
            weights, biases = fused.qkv.weight.chunk(3), fused.qkv.bias.chunk(3)
            self.q, self.k, self.v = (nn.Linear(len(fused.qkv.weight[0]), len(bias)) for bias in biases)
            for layer, weight, bias in zip((self.q, self.k, self.v), weights, biases, strict=True):
                layer.weight = nn.Parameter(weight.detach().clone())
                layer.bias = nn.Parameter(bias.detach().clone())

        def forward(self, x: Tensor) -> Tensor:
            samples, tokens, _ = x.shape
            q, k, v = (
                layer(x).view(samples, tokens, self.heads, self.head_dim).transpose(1, 2)
                for layer in (self.q, self.k, self.v)
            )
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
            return self.out(mixed.reshape(samples, tokens, self.heads * self.head_dim))

    for name, module in list(net.named_modules()):
        if hasattr(module, "qkv"):
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, Apart(module))
