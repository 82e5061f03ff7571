"""Which layers go: the least important by a criterion, or those without which the metric loses the least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.pruning.criteria import CRITERIA, NEEDS, MissingEvidence, Seen
from pipeline.pruning.evidence import see_layers
from pipeline.pruning.layers import without
from pipeline.pruning.selection import ImpossibleRatio

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.evidence import Evidence

# What a layer's weight-by-weight scores are divided by: its number of weights to this power, so that a wide stage
# isn't important for its size. Norms and distances grow with the root.
_POWERS = {"l2": 0.5, "fpgm": 0.5}

# A layer that is skipped isn't zeroed, it is replaced by its input: the gate's derivative is that change of the loss.
# The weight form would even be 0 where a norm follows, which undoes a factor on the weights before it.
_FOR_LAYERS = {"taylor": "taylor-gate"}


def layer_scores(network: nn.Module, layers: Sequence[str], criterion: str, evidence: Evidence) -> dict[str, float]:
    """Importance of each layer. Weights count per number; activations and gates (also for `taylor`) as they are.

    Raises MissingEvidence, and ImpossibleRatio where a score is not finite.
    """
    import torch

    chosen = _FOR_LAYERS.get(criterion, criterion)
    seen = see_layers(network, list(layers), NEEDS[chosen], evidence)
    scores = CRITERIA[chosen](_side_by_side([seen[name] for name in layers], _POWERS.get(chosen, 1.0), evidence.seed))
    for name, score in zip(layers, scores, strict=True):
        if not torch.isfinite(score):
            raise ImpossibleRatio(
                f"The importance of a layer by {criterion!r} is {float(score)}",
                where=name,
                remedy="look at the weights: was the training sound?",
            )
    return {name: float(score) for name, score in zip(layers, scores, strict=True)}


def _side_by_side(seen: Sequence[Seen], power: float, seed: int) -> Seen:
    """Layers as the units of one group: shorter ones are filled up with zeros, all divided by their length."""
    import torch

    longest = max(one.weights.shape[1] for one in seen)

    def rows(field: str) -> Tensor | None:
        found = [getattr(one, field) for one in seen]
        if any(one is None for one in found):
            return None
        parts = [one / max(one.shape[1], 1) ** power for one in found]
        return torch.cat([torch.nn.functional.pad(one, (0, longest - one.shape[1])) for one in parts])

    def flat(field: str) -> Tensor | None:
        found = [getattr(one, field) for one in seen]
        return None if any(one is None for one in found) else torch.cat(found)

    weights = rows("weights")
    assert weights is not None
    return Seen(
        weights, rows("products"), rows("movement"), rows("start"),
        flat("activations"), flat("zeros"), flat("gates"), seed,
    )  # fmt: skip


def least_important(
    network: nn.Module, layers: Sequence[str], count: int, criterion: str, by: str, evidence: Evidence
) -> list[str]:
    """The `count` layers to remove, by `criterion` or by the metric lost; of equal ones the earlier goes."""
    if by == "metric":
        return _least_missed(network, layers, count, evidence)
    scores = layer_scores(network, layers, criterion, evidence)
    return sorted(layers, key=lambda name: scores[name])[:count]


def _least_missed(network: nn.Module, layers: Sequence[str], count: int, evidence: Evidence) -> list[str]:
    """One by one, the layer without which the metric is best; judged anew after each.

    It costs one evaluation of the metric for each layer that is left, in each of `count` rounds.
    """
    if evidence.metric_of is None:
        raise MissingEvidence(
            "layer_importance = metric has no metric to judge by",
            remedy="give a validation part, or set shrink.layer_importance to criterion",
        )
    gone: list[str] = []
    for _ in range(count):
        metrics = {name: evidence.metric_of(without(network, [*gone, name])) for name in layers if name not in gone}
        gone.append(max(metrics, key=lambda name: metrics[name]))
    return gone
