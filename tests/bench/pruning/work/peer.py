"""The same cut by Torch-Pruning (github.com/VainF/Torch-Pruning), used as its README says: the peer to be held against.

It has no budget in MACs, so its ratio is found by bisection; it ranks locally, with the classifier left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.bench.pruning.work.lab import Lab

if TYPE_CHECKING:
    from torch import nn

    from models.data.parts import Part

HALVINGS = 12


def cut(lab: Lab, net: nn.Module, part: Part, what: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network cut to the asked share of MACs (or parameters), as near as the ratio goes, and the ratio."""
    ((kind, share),) = what["cut"].items()
    whole = lab.size(net)[kind]
    low, high = 0.0, 1.0
    best: tuple[float, float, nn.Module] | None = None
    for _ in range(HALVINGS):
        ratio = (low + high) / 2
        tried = _at(lab, net, part, what, ratio)
        gone = 1 - lab.size(tried)[kind] / whole
        if best is None or abs(gone - share) < best[0]:
            best = abs(gone - share), ratio, tried
        low, high = (ratio, high) if gone < share else (low, ratio)
    assert best is not None
    return best[2], {"ratio": best[1]}


def _at(lab: Lab, net: nn.Module, part: Part, what: Mapping[str, Any], ratio: float) -> nn.Module:
    import torch_pruning as tp

    tried = copy.deepcopy(net).eval()
    importance = {
        "l1": lambda: tp.importance.MagnitudeImportance(p=1),
        "l2": lambda: tp.importance.MagnitudeImportance(p=2),
        "taylor": lambda: tp.importance.TaylorImportance(),
    }[what["criterion"]]()
    pruner = tp.pruner.BasePruner(
        tried,
        lab.example[0],
        importance=importance,
        pruning_ratio=ratio,
        global_pruning=False,
        ignored_layers=[_classifier(tried)],
    )
    if what["criterion"] == "taylor":
        evidence = lab.evidence(part, what["evidence"], what["seed"])
        for rows in evidence.batches:
            evidence.loss_of(tried, rows).backward()  # type: ignore[no-untyped-call]
    pruner.step()
    tried.zero_grad(set_to_none=True)
    return tried


def _classifier(net: nn.Module) -> nn.Module:
    from torch import nn

    return [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
