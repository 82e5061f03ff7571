"""Which channels stay: ranking within a group or over all of them, rounded to what the chip likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.pruning.criteria import Criterion
    from pipeline.pruning.filters import Group


class ImpossibleRatio(EdgewrightError):
    """A ratio that would leave nothing, or take nothing."""


def channel_scores(network: nn.Module, group: Group, criterion: Criterion) -> Tensor:
    """Importance of each channel of a group, float32 [channels], scaled to a mean of 1.

    It is the sum over all that makes the channel. Reads the modules' weights and, where the criterion wants them,
    `weight.grad` as it stands.
    """
    import torch

    total = torch.zeros(group.channels)
    for member in group.members:
        if member.side != "out":
            continue
        module = network.get_submodule(member.module)
        weight: Tensor = module.weight  # type: ignore[assignment]
        values = weight.detach().flatten(1) if weight.dim() > 1 else weight.detach().unsqueeze(1)
        gradients = None if weight.grad is None else weight.grad.reshape(values.shape)
        scores = criterion(values, gradients)
        if not torch.isfinite(scores).all():
            raise ImpossibleRatio(
                "The importance of some channels is NaN or infinite",
                where=member.module,
                remedy="look at the weights: was the training sound?",
            )
        total += torch.stack([scores[list(indices)].sum() for indices in member.indices])
    return total / total.mean().clamp_min(1e-30)


def round_width(wanted: float, channels: int, alignment: int, minimum: int) -> int:
    """The nearest multiple of `alignment` to `wanted` (half goes up), between the aligned minimum and `channels`.

    Never larger for a smaller `wanted`, so a higher ratio never keeps more.
    """
    low = min(channels, -(-minimum // alignment) * alignment)
    return max(low, min(channels, alignment * int(wanted / alignment + 0.5)))


def local_widths(
    current: dict[str, int], original: dict[str, int], ratio: float, alignment: int, minimum: int
) -> dict[str, int]:
    """Channels that each group keeps when each loses the same share `ratio` of its original width."""
    return {
        name: min(current[name], round_width(original[name] * (1 - ratio), original[name], alignment, minimum))
        for name in current
    }


def global_widths(
    scores: dict[str, Tensor],
    current: dict[str, int],
    original: dict[str, int],
    ratio: float,
    alignment: int,
    minimum: int,
) -> dict[str, int]:
    """Channels that each group keeps when the least important of all go, `ratio` of the original number in total."""
    import torch

    pool = torch.cat([scores[name] for name in sorted(scores)])
    stay = max(1, round(sum(original.values()) * (1 - ratio)))
    if stay >= len(pool):
        return dict(current)
    threshold = torch.sort(pool, descending=True).values[stay - 1]
    return {
        name: min(
            current[name], round_width(int((scores[name] >= threshold).sum()), original[name], alignment, minimum)
        )
        for name in current
    }


def most_important(scores: Tensor, count: int) -> list[int]:
    """Indices of the `count` largest scores, sorted; of equal ones the first stay."""
    import torch

    order = torch.argsort(scores, descending=True, stable=True)
    return sorted(int(index) for index in order[:count])
