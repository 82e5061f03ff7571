"""Learning from what a teacher's stages see: attention maps, or hints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pipeline.distillation.stages import Stage, first_tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["attention", "hint"]


class Transfer:
    """Adds `weight` x the mean over the stages of how far the student's outputs are from the teacher's.

    attention (Zagoruyko & Komodakis 2017, arXiv 1612.03928): the squared distance of the two attention maps, 0..2,
    mean over the samples. (Their code takes the mean over the positions as well, so its beta = 1000 is a weight of
    about 1000 / positions here.) hint (FitNets, Romero et al. 2015, arXiv 1412.6550): the mean squared difference;
    where the widths differ, through a linear map of the channels (a 1x1 convolution), which is trained along. FitNets
    trains on hints first; here they are learnt together with the labels.

    The teacher runs on the very inputs of each batch, in evaluation mode and without gradients.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, stages: Sequence[Stage], kind: Kind, weight: float, seed: int = 0
    ) -> None:
        import torch

        self.stages, self.kind, self.weight = list(stages), kind, weight
        self._teacher = teacher.eval()
        generator = torch.Generator().manual_seed(seed)
        self._regressors = [_regressor(stage, generator) if kind == "hint" else None for stage in self.stages]
        self._student_saw: dict[str, Tensor] = {}
        self._teacher_saw: dict[str, Tensor] = {}
        self._hooks = [
            network.get_submodule(name).register_forward_hook(_note(saw, name, training))
            for network, saw, names, training in (
                (student, self._student_saw, {stage.student for stage in self.stages}, True),
                (teacher, self._teacher_saw, {stage.teacher for stage in self.stages}, False),
            )
            for name in sorted(names)
        ]

    def mix(self, loss: Tensor, outputs: Tensor, rows: Tensor, flipped: Tensor | None, inputs: Tensor) -> Tensor:
        """`loss` plus what the stages add, after the student's forward of the same batch `inputs` [B, ...]."""
        import torch

        with torch.no_grad():
            self._teacher(inputs)
        distances = [
            self._distance(stage, regressor, self._student_saw[stage.student], self._teacher_saw[stage.teacher])
            for stage, regressor in zip(self.stages, self._regressors, strict=True)
        ]
        self._student_saw.clear()
        self._teacher_saw.clear()
        return loss + self.weight * torch.stack(distances).mean()

    def parameters(self) -> Sequence[nn.Parameter]:
        """The regressors' matrices [teacher's channels, student's channels], stage by stage."""
        return [regressor for regressor in self._regressors if regressor is not None]

    def close(self) -> None:
        """Takes the hooks from both networks and forgets what they saw."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._student_saw.clear()
        self._teacher_saw.clear()

    def _distance(self, stage: Stage, regressor: nn.Parameter | None, mine: Tensor, wise: Tensor) -> Tensor:
        import torch.nn.functional as F

        if self.kind == "attention":
            apart = attention_map(mine, stage.axis) - attention_map(wise, stage.axis)
            return apart.square().sum(1).mean()
        if regressor is not None:
            mine = F.linear(mine.movedim(stage.axis, -1), regressor).movedim(-1, stage.axis)
        return F.mse_loss(mine, wise)


def attention_map(values: Tensor, axis: int) -> Tensor:
    """The mean of the squared values over the channels `axis`, scaled to length 1: [B, positions]."""
    import torch.nn.functional as F

    return F.normalize(values.square().mean(axis).flatten(1), dim=1)


def _regressor(stage: Stage, generator: Any) -> nn.Parameter | None:
    """A linear map of the channels, drawn as nn.Linear draws; None where the widths are equal."""
    import torch
    from torch import nn

    narrow, wide = stage.channels
    if narrow == wide:
        return None
    bound = narrow**-0.5
    return nn.Parameter((torch.rand(wide, narrow, generator=generator) * 2 - 1) * bound)


def _note(saw: dict[str, Tensor], name: str, training: bool) -> Callable[..., None]:
    import torch

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        # A student that is only judged between two epochs must not fill the memory.
        if tensor is not None and torch.is_grad_enabled() == training:
            saw[name] = tensor

    return hook
