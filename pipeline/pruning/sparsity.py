"""Exact zeros in the weights: anywhere (unstructured) or two in every four (2:4), and what keeps them zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from edgewright.errors import EdgewrightError
from pipeline.pruning.plan import Zeros

if TYPE_CHECKING:
    from torch import Tensor, nn

Pattern = Literal["unstructured", "2:4"]
Scope = Literal["local", "global"]
RUN, STAY = 4, 2
"""Of every RUN weights in a row, STAY are left by the pattern 2:4."""


class CantSparsify(EdgewrightError):
    """A share, a pattern or scores that these weights can't have."""


def sparsify(
    network: nn.Module,
    share: float,
    pattern: Pattern = "unstructured",
    scope: Scope = "global",
    names: Iterable[str] | None = None,
    scores: Mapping[str, Tensor] | None = None,
) -> list[Zeros]:
    """Sets the least important weights to exact zero in place, until `share` of each tensor (scope local) or of all
    (global) is zero: to one weight. The last weight of a tensor never goes. Zeros stay zero in a later call.

    names: parameters; all weights of convolutions and linear layers where left out. scores: importance by name, of the
    parameter's shape; |w| where left out (magnitude pruning: Han et al. 2015). Of equal scores, the first goes first.
    2:4 (share 0.5) leaves the best two of every four input channels, per output and per place of the kernel: what
    sparse tensor cores need (create_mask of NVIDIA's apex.contrib.sparsity: rows of in_channels for each of out x kh x
    kw); `unfit` names the weights that it leaves as they are. Returns the zeros of each tensor as they are now.
    Raises CantSparsify; the network is unchanged then.
    """
    import torch

    chosen = _chosen(network, names)
    _possible(share, pattern, scope, chosen)
    if pattern == "2:4":
        reasons = unfit(network, chosen)
        chosen = {name: weight for name, weight in chosen.items() if name not in reasons}
        if not chosen:
            name, reason = next(iter(reasons.items()))
            raise CantSparsify(
                f"No weight can have the pattern 2:4; {name!r}: {reason}",
                where="sparsity",
                remedy='take pattern = "unstructured", or layers whose inputs are a multiple of 4',
            )
    ranked = {name: _importance(name, weight, scores) for name, weight in chosen.items()}
    if pattern == "2:4":
        gone = {name: _two_of_four(value) for name, value in ranked.items()}
    elif scope == "local":
        gone = {name: _least(value, _count(share, [value])) for name, value in ranked.items()}
    else:
        together = torch.cat([_with_best_kept(value) for value in ranked.values()])
        mask = _least(together, _count(share, list(ranked.values())))
        parts = torch.split(mask, [value.numel() for value in ranked.values()])
        gone = {name: part.view(ranked[name].shape) for name, part in zip(ranked, parts, strict=True)}
    with torch.no_grad():
        for name, mask in gone.items():
            chosen[name].masked_fill_(mask.to(chosen[name].device), 0.0)
    counts = {name: int((weight == 0).sum()) for name, weight in chosen.items()}
    return [Zeros(name, pattern, counts[name], chosen[name].numel()) for name in chosen if counts[name]]


def unfit(network: nn.Module, names: Iterable[str] | None = None) -> dict[str, str]:
    """The weights that can't have the pattern 2:4, by name, with the reason."""
    from torch import nn

    transposed = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    }
    found = {}
    for name, weight in _chosen(network, names).items():
        if id(weight) in transposed:
            found[name] = "a transposed convolution has its inputs first"
        elif weight.dim() < 2:
            found[name] = "it has one axis only"
        elif weight.shape[1] % RUN:
            found[name] = f"{weight.shape[1]} inputs a group are no multiple of {RUN}"
    return found


def hold(network: nn.Module, names: Iterable[str]) -> Callable[[], None]:
    """A function that sets again to zero what is zero now in the parameters `names`: call it after every step.

    An optimiser's momentum and weight decay would move them. Raises CantSparsify where a name is unknown.
    """
    import torch

    masks = [(weight, weight.detach() == 0) for weight in _chosen(network, names).values()]

    def again() -> None:
        with torch.no_grad():
            for weight, mask in masks:
                weight.masked_fill_(mask, 0.0)

    return again


def share_of_zeros(network: nn.Module, names: Iterable[str] | None = None) -> float:
    """Exact zeros over all numbers of the parameters `names` (as in `sparsify`); 0 where there are none."""
    weights = list(_chosen(network, names).values())
    return sum(int((weight == 0).sum()) for weight in weights) / max(1, sum(weight.numel() for weight in weights))


def lost(network: nn.Module, actions: Iterable[Zeros]) -> str:
    """The first of a plan's promised zeros that is not there, in words; "" where all are. Later promises hold."""
    for action in {action.tensor: action for action in actions}.values():
        weight = _chosen(network, [action.tensor])[action.tensor]
        zeros = int((weight == 0).sum())
        if zeros < action.zeros:
            return f"{action.tensor!r} has {zeros} zeros, its plan says {action.zeros}"
        if action.pattern == "2:4" and bool(((_runs(weight.detach()) != 0).sum(1) > STAY).any()):
            return f"{action.tensor!r} has runs of four with more than two weights"
    return ""


def sparsifiable(network: nn.Module) -> list[str]:
    """Names of the weights of convolutions, linear layers and attention projections, each shared one once.

    A weight that an embedding shares is none of them: its rows are looked up, not multiplied.
    """
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    embedded = {
        id(value) for module in network.modules() if isinstance(module, nn.Embedding) for value in module.parameters()
    }
    found, seen = [], embedded
    for path, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            own = ["in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"]
        else:
            own = ["weight"] if isinstance(module, _ConvNd | nn.Linear) else []
        for name in own:
            weight = module._parameters.get(name)
            if weight is not None and weight.dim() >= 2 and weight.numel() and id(weight) not in seen:
                seen.add(id(weight))
                found.append(f"{path}.{name}" if path else name)
    return found


def _chosen(network: nn.Module, names: Iterable[str] | None) -> dict[str, nn.Parameter]:
    known = dict(network.named_parameters(remove_duplicate=False))
    found = {}
    for name in dict.fromkeys(sparsifiable(network) if names is None else names):
        if name not in known:
            raise CantSparsify(
                f"The network has no weight {name!r}", where="sparsity", remedy="name weights that it has"
            )
        found[name] = known[name]
    return found


def _possible(share: float, pattern: str, scope: str, chosen: Mapping[str, Tensor]) -> None:
    """Raises CantSparsify where the request makes no sense whatever the weights hold."""
    what, remedy = "", "give a share from 0 to below 1, e.g. sparsity = 0.9"
    if pattern not in ("unstructured", "2:4"):
        what, remedy = f"There is no pattern {pattern!r}", 'take "unstructured" or "2:4"'
    elif scope not in ("local", "global"):
        what, remedy = f"There is no scope {scope!r}", 'take "local" or "global"'
    elif not 0 <= share < 1:
        what = f"A share of {share:g} of the weights can't be zero"
    elif pattern == "2:4" and share != STAY / RUN:
        what, remedy = f"2:4 sets half of the weights to zero, not {share:g}", "give sparsity = 0.5"
    elif not chosen:
        what, remedy = "The network has no weight of a convolution or linear layer", "leave `sparsity` out"
    if what:
        raise CantSparsify(what, where="sparsity", remedy=remedy)


def _importance(name: str, weight: Tensor, scores: Mapping[str, Tensor] | None) -> Tensor:
    """float32 of the weight's shape on the CPU; weights that are zero already are the least of all."""
    import torch

    given = weight.detach().abs() if scores is None else scores.get(name)
    if given is None or given.shape != weight.shape:
        got = "none" if given is None else f"the shape {list(given.shape)}"
        raise CantSparsify(
            f"{name!r} of shape {list(weight.shape)} needs a score a weight and has {got}",
            where="sparsity",
            remedy="give scores for every named weight",
        )
    value = given.detach().to("cpu", torch.float32, copy=True)
    if not bool(torch.isfinite(value).all()):
        raise CantSparsify(
            f"{name!r} has weights or scores that are no numbers",
            where="sparsity",
            remedy="train with a lower learning rate: this network has diverged",
        )
    return value.masked_fill_(weight.detach().cpu() == 0, -math.inf)


def _count(share: float, values: list[Tensor]) -> int:
    """How many are to be zero, so that every tensor keeps one weight."""
    total = sum(value.numel() for value in values)
    wanted = round(share * total)
    if wanted > total - len(values) and len(values) > 1:
        raise CantSparsify(
            f"A share of {share:g} leaves {total - wanted} weights for {len(values)} layers",
            where="sparsity",
            remedy="ask for a smaller share",
        )
    return min(wanted, total - len(values))


def _with_best_kept(value: Tensor) -> Tensor:
    """The scores in a row, the largest above all others: a layer that is lost whole would take the network with it."""
    kept = value.flatten().clone()
    best = kept.numel() - 1 - int(kept.flip(0).argmax())  # of equal ones the last stays
    if kept[best] > -math.inf:
        kept[best] = math.inf
    return kept


def _least(value: Tensor, count: int) -> Tensor:
    """True at the `count` least; of equal ones at the first."""
    import torch

    mask = torch.zeros(value.numel(), dtype=torch.bool)
    mask[torch.argsort(value.flatten(), stable=True)[:count]] = True
    return mask.view(value.shape)


def _two_of_four(value: Tensor) -> Tensor:
    """True at the two least of every four along axis 1 (input channels)."""
    import torch

    runs = _runs(value)
    mask = torch.zeros(runs.shape, dtype=torch.bool)
    mask.scatter_(1, torch.argsort(runs, dim=1, stable=True)[:, : RUN - STAY], True)
    return mask.view(value.movedim(1, -1).shape).movedim(-1, 1)


def _runs(value: Tensor) -> Tensor:
    """Every four along axis 1 as a row: [numel / 4, 4]."""
    return value.movedim(1, -1).reshape(-1, RUN)
