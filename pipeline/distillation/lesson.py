"""One teaching for a training, from what a recipe asks for: logits, stages, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipeline.distillation.logits import teacher_of
from pipeline.distillation.stages import find_stages
from pipeline.distillation.teachers import check_teacher
from pipeline.distillation.transfer import Transfer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.training import Teaching


class Together:
    """Several teachings, one after the other: each mixes what the one before it gave."""

    def __init__(self, parts: Sequence[Teaching]) -> None:
        self.parts = list(parts)

    def mix(self, loss: Tensor, outputs: Tensor, rows: Tensor, flipped: Tensor | None, inputs: Tensor) -> Tensor:
        """The loss (scalar) after all parts."""
        for part in self.parts:
            loss = part.mix(loss, outputs, rows, flipped, inputs)
        return loss

    def parameters(self) -> Sequence[nn.Parameter]:
        """Those of all parts."""
        return [parameter for part in self.parts for parameter in part.parameters()]

    def close(self) -> None:
        """Closes all parts."""
        for part in self.parts:
            part.close()


def teaching(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    *,
    mirrored: bool = False,
    temperature: float = 4.0,
    weight: float = 0.0,
    transfer: Literal["none", "attention", "hint"] = "none",
    transfer_weight: float = 1.0,
    stages: Sequence[Sequence[str]] = (),
    seed: int = 0,
    known_as: str = "",
) -> Together:
    """What `student` learns from `teacher` on the training samples `x` [N, ...]; close() it after the training.

    weight: of the teacher's logits against the labels (0: the labels alone); mirrored: the training flips samples;
    stages: named pairs (student's module, teacher's module), else they are found; known_as: see `teacher_of`.
    Raises WrongTeacher and NoStages before any long work.
    """
    check_teacher(student, teacher, x)
    pairs = find_stages(student, teacher, x, stages) if transfer != "none" else []
    parts: list[Teaching] = []
    if weight > 0:
        parts.append(teacher_of(teacher, x, mirrored, temperature, weight, known_as))
    if transfer != "none":
        parts.append(Transfer(student, teacher, pairs, transfer, transfer_weight, seed))
    return Together(parts)
