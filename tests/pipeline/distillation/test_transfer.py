"""Attention maps and hints: distances as their papers say, and a student that comes nearer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewright.progress import Silent
from pipeline.distillation.stages import Stage, find_stages
from pipeline.distillation.transfer import Kind, Transfer, attention_map
from pipeline.training import train
from tests.pipeline.training.runs import SCHEDULE, run_of

ROWS = torch.arange(4)


def network(width: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * 16, 4),
    )  # fmt: skip


def hooks(*networks: nn.Module) -> int:
    return sum(len(module._forward_hooks) for one in networks for module in one.modules())


def mixed(transfer: Transfer, student: nn.Module, x: Tensor) -> Tensor:
    return transfer.mix(torch.tensor(1.0), student.train()(x), ROWS, None, x)


def test_attention_map_of_pictures_is_what_zagoruyko_writes() -> None:
    values = torch.tensor([[[[1.0, 2.0]], [[2.0, 0.0]]]])  # [1, 2, 1, 2]
    squares = torch.tensor([1 + 4.0, 4 + 0.0])
    assert torch.allclose(attention_map(values, 1), (squares / squares.norm())[None])


def test_attention_map_of_tokens_is_over_their_width() -> None:
    values = torch.tensor([[[1.0, 2.0, 2.0], [0.0, 0.0, 3.0]]])  # [1, 2 tokens, 3]
    assert torch.allclose(attention_map(values, 2), torch.tensor([[9.0, 9.0]]) / 162**0.5)


def test_attention_of_equal_maps_is_nothing_whatever_the_widths() -> None:
    narrow = torch.rand(2, 3, 4, 4)
    wide = torch.cat([narrow, narrow], 1)
    assert torch.allclose(attention_map(narrow, 1), attention_map(wide, 1), atol=1e-6)


def test_mix_adds_the_mean_distance_of_the_attention_maps() -> None:
    student, teacher, x = network(4, 0), network(6, 1), torch.randn(4, 1, 8, 8)
    transfer = Transfer(student, teacher, find_stages(student, teacher, x), "attention", 0.25)
    total = mixed(transfer, student, x)
    transfer.close()
    with torch.no_grad():
        by_hand = []
        for depth in (2, 4):
            maps = [F.normalize(one[:depth](x).pow(2).sum(1).view(4, -1)) for one in (student, teacher)]  # type: ignore[index]
            by_hand.append(float((maps[0] - maps[1]).pow(2).sum(1).mean()))
    assert float(total.detach()) == pytest.approx(1 + 0.25 * sum(by_hand) / 2, rel=1e-5)


def test_mix_adds_the_mean_squared_error_of_hints_through_the_regressor() -> None:
    student, teacher, x = network(4, 0), network(6, 1), torch.randn(4, 1, 8, 8)
    transfer = Transfer(student, teacher, [Stage("1", "1", (4, 6), 1)], "hint", 2.0, seed=3)
    total = mixed(transfer, student, x)
    (regressor,) = transfer.parameters()
    assert regressor.shape == (6, 4)
    with torch.no_grad():
        by_hand = F.mse_loss(F.conv2d(student[:2](x), regressor[:, :, None, None]), teacher[:2](x))  # type: ignore[index]
    assert float(total.detach()) == pytest.approx(1 + 2 * float(by_hand), rel=1e-5)
    transfer.close()


def test_hints_of_equal_widths_need_no_regressor() -> None:
    student, teacher, x = network(4, 0), network(4, 0), torch.randn(4, 1, 8, 8)
    transfer = Transfer(student, teacher, find_stages(student, teacher, x), "hint", 1.0)
    assert transfer.parameters() == []
    assert float(mixed(transfer, student, x).detach()) == pytest.approx(1.0)  # its own teacher
    transfer.close()


def test_regressors_follow_the_seed_alone() -> None:
    student, teacher = network(4, 0), network(6, 1)
    stages = [Stage("1", "1", (4, 6), 1)]

    def drawn(seed: int) -> Tensor:
        transfer = Transfer(student, teacher, stages, "hint", 1.0, seed)
        transfer.close()
        return transfer.parameters()[0].detach()

    first = drawn(1)
    torch.manual_seed(77)
    assert torch.equal(drawn(1), first)
    assert not torch.equal(drawn(2), first)


def test_gradients_reach_the_student_and_the_regressor_never_the_teacher() -> None:
    student, teacher, x = network(4, 0), network(6, 1), torch.randn(4, 1, 8, 8)
    transfer = Transfer(student, teacher, [Stage("1", "1", (4, 6), 1)], "hint", 1.0)
    mixed(transfer, student, x).backward()  # type: ignore[no-untyped-call]
    assert float(transfer.parameters()[0].grad.abs().sum()) > 0  # type: ignore[union-attr]
    assert float(student[0].weight.grad.abs().sum()) > 0  # type: ignore[index]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    transfer.close()


def test_close_takes_every_hook_and_what_was_seen() -> None:
    student, teacher, x = network(4, 0), network(6, 1), torch.randn(4, 1, 8, 8)
    transfer = Transfer(student, teacher, find_stages(student, teacher, x), "attention", 1.0)
    assert hooks(student, teacher) == 4
    student(x)
    transfer.close()
    assert hooks(student, teacher) == 0
    assert not transfer._student_saw


def test_a_student_that_is_judged_leaves_nothing_in_memory() -> None:
    student, teacher, x = network(4, 0), network(6, 1), torch.randn(4, 1, 8, 8)
    transfer = Transfer(student, teacher, find_stages(student, teacher, x), "attention", 1.0)
    with torch.no_grad():
        student.eval()(x)
    assert not transfer._student_saw
    mixed(transfer, student, x)
    assert not transfer._student_saw and not transfer._teacher_saw
    transfer.close()


def test_the_teacher_stays_in_evaluation_mode_and_sees_the_very_batch() -> None:
    student, teacher, x = network(4, 0), network(6, 1).train(), torch.randn(4, 1, 8, 8)
    got: list[Tensor] = []
    teacher[0].register_forward_pre_hook(lambda module, inputs: got.append(inputs[0]))  # type: ignore[index]
    transfer = Transfer(student, teacher, [Stage("1", "1", (4, 6), 1)], "attention", 1.0)
    mixed(transfer, student, x.flip(-1))
    assert not teacher.training
    assert torch.equal(got[0], x.flip(-1))
    transfer.close()


@pytest.mark.parametrize("kind", ["attention", "hint"])
def test_train_with_a_transfer_brings_the_stages_nearer(tmp_path: Path, kind: Kind) -> None:
    def trained(weight: float) -> tuple[float, list[Tensor], list[Tensor]]:
        run = run_of(SCHEDULE.model_copy(update={"epochs": 10, "learning_rate": 0.02}))
        run.network, teacher = network(4, 0), network(6, 1)
        x = torch.from_numpy(run.part.x)
        transfer = Transfer(run.network, teacher, find_stages(run.network, teacher, x), kind, weight)
        start = [parameter.detach().clone() for parameter in transfer.parameters()]
        run.teacher = transfer
        train(run, tmp_path / f"{weight}", Silent())
        outputs = run.network.train()(x)
        far = float(transfer.mix(torch.tensor(0.0), outputs, ROWS, None, x).detach()) / weight
        transfer.close()
        return far, start, [parameter.detach() for parameter in transfer.parameters()]

    idle, before, _ = trained(1e-9)
    taught, _, learnt = trained(5.0)
    assert taught < 0.7 * idle
    assert len(learnt) == (2 if kind == "hint" else 0)
    assert all(not torch.allclose(one, other, atol=1e-3) for one, other in zip(before, learnt, strict=True))
