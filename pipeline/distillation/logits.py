"""Distillation from a teacher's logits (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Teacher:
    """A teacher whose logits on the whole training part are known beforehand.

    logits: float32 [versions, N, classes]; version 0 is of the plain samples, version 1 of the mirrored ones. Taking
    them once costs one pass over the data instead of one an epoch.
    """

    logits: Tensor
    temperature: float
    weight: float

    def mix(
        self, loss: Tensor, outputs: Tensor, rows: Tensor, flipped: Tensor | None, inputs: Tensor | None = None
    ) -> Tensor:
        """(1 - weight) x `loss` + weight x T^2 x KL(teacher || student) for the batch `rows` (int64 [B])."""
        import torch
        import torch.nn.functional as F

        version = torch.zeros_like(rows) if flipped is None else flipped.long()
        wanted = F.log_softmax(self.logits[version, rows] / self.temperature, dim=1)
        got = F.log_softmax(outputs / self.temperature, dim=1)
        divergence = F.kl_div(got, wanted, reduction="batchmean", log_target=True) * self.temperature**2
        return (1 - self.weight) * loss + self.weight * divergence

    def parameters(self) -> Sequence[nn.Parameter]:
        """None: logits are compared as they are."""
        return []

    def close(self) -> None:
        """Nothing to take away: the teacher itself isn't held."""


_newest: list[tuple[str, Tensor]] = []


def teacher_of(
    network: nn.Module, x: Tensor, mirrored: bool, temperature: float, weight: float, known_as: str = ""
) -> Teacher:
    """Runs `network` over `x` ([N, ...]) and, where asked, over its mirror image.

    known_as: names network and samples; the newest answers so named are kept for this process's next student, because
    in a search one teacher has many. "" keeps nothing.
    """
    import torch

    name = f"{known_as} {mirrored}" if known_as else ""
    for known, logits in _newest:
        if name == known:
            return Teacher(logits, temperature, weight)
    versions = [logits_of(network, x)]
    if mirrored:
        versions.append(logits_of(network, x.flip(-1)))
    teacher = Teacher(torch.stack(versions), temperature, weight)
    if name:
        _newest[:] = [(name, teacher.logits)]
    return teacher


def logits_of(network: nn.Module, x: Tensor, batch: int = 512) -> Tensor:
    """Outputs of `network` in evaluation mode, float32 [N, ...]."""
    import torch

    network.eval()
    with torch.no_grad():
        return torch.cat([network(chunk) for chunk in torch.split(x, batch)])
