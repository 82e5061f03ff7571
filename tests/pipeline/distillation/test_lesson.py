"""A teaching as a recipe asks for it, and teachers of another task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgewright.progress import Silent
from pipeline.distillation.lesson import Together, teaching
from pipeline.distillation.stages import NoStages
from pipeline.distillation.teachers import WrongTeacher, check_teacher
from pipeline.network import weights_of
from pipeline.training import train
from tests.pipeline.distillation.test_transfer import hooks, network
from tests.pipeline.training.runs import run_of, samples, small

X = torch.from_numpy(samples().x)


def outputs_of(count: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, count))


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] * float("nan")


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (outputs_of(10), r"gives outputs \[10\], the student \[4\]"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten()), r"can't take samples \[1, 8, 8\] torch.float32: .*channels"),
        (nn.Embedding(30, 4), r"can't take samples \[1, 8, 8\] torch.float32"),
        (Broken(), "NaN or infinite"),
        (Pair(), "gives tuple"),
    ],
)
def test_teacher_of_another_task_is_refused(teacher: nn.Module, said: str) -> None:
    with pytest.raises(WrongTeacher, match=said):
        check_teacher(small(), teacher, X)
    with pytest.raises(WrongTeacher, match=said):
        teaching(small(), teacher, X, weight=0.5)


def test_teacher_of_the_same_task_passes_whatever_its_architecture() -> None:
    check_teacher(small(), outputs_of(4), X)


def test_teaching_of_logits_alone_runs_without_hooks() -> None:
    student, teacher = network(4, 0), network(6, 1)
    lesson = teaching(student, teacher, X, mirrored=True, temperature=3.0, weight=0.6)
    assert hooks(student, teacher) == 0
    (part,) = lesson.parts
    assert part.logits.shape == (2, 80, 4) and (part.temperature, part.weight) == (3.0, 0.6)  # type: ignore[attr-defined]


def test_teaching_of_both_adds_the_stages_to_the_mixed_logits() -> None:
    student, teacher, rows = network(4, 0), network(6, 1), torch.tensor([3, 1])
    lesson = teaching(student, teacher, X, weight=0.6, transfer="attention", transfer_weight=0.5)
    outputs = student(X[rows])
    whole = lesson.mix(torch.tensor(2.0), outputs, rows, None, X[rows])
    logits, stages = lesson.parts
    outputs = student(X[rows])
    first = logits.mix(torch.tensor(2.0), outputs, rows, None, X[rows])
    assert float(whole.detach()) == float(stages.mix(first, outputs, rows, None, X[rows]).detach())
    assert float(whole.detach()) > float(first.detach())
    lesson.close()
    assert hooks(student, teacher) == 0


def test_teaching_without_common_stages_is_refused_unless_nothing_is_transferred() -> None:
    student, teacher = network(4, 0), outputs_of(4)
    assert teaching(student, teacher, X, weight=0.5).parts
    with pytest.raises(NoStages):
        teaching(student, teacher, X, weight=0.5, transfer="hint")
    assert hooks(student, teacher) == 0


def test_teaching_into_another_architecture_trains_the_student(tmp_path: Path) -> None:
    def trained(weight: float) -> tuple[bytes, float]:
        run, teacher = run_of(), network(6, 1)
        lesson = teaching(run.network, teacher, X, mirrored=True, weight=weight, transfer="hint", stages=[("2", "1")])
        before = weights_of(teacher)
        run.teacher = lesson
        result = train(run, tmp_path / f"{weight}", Silent())
        lesson.close()
        assert weights_of(teacher) == before
        assert isinstance(lesson, Together) and hooks(run.network, teacher) == 0
        return weights_of(run.network), result.loss

    taught, other = trained(0.5), trained(0.0)
    assert taught[0] != other[0]
