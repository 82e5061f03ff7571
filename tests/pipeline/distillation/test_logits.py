"""Distillation: weight 0 is plain training, weight 1 follows the teacher alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from edgewright.progress import Silent
from models.data.parts import Part
from pipeline.distillation import Teacher, logits_of, teacher_of
from pipeline.network import weights_of
from pipeline.training import train
from tests.pipeline.training.runs import SCHEDULE, run_of, samples, small

ROWS = torch.tensor([2, 0, 5])


def _teacher(weight: float, temperature: float = 2.0) -> Teacher:
    return Teacher(torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(1)), temperature, weight)


def _outputs() -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(2))


def test_mix_with_weight_0_is_the_loss_alone() -> None:
    assert float(_teacher(0.0).mix(torch.tensor(1.25), _outputs(), ROWS, None)) == 1.25


def test_mix_is_the_divergence_times_the_squared_temperature() -> None:
    teacher, outputs = _teacher(1.0), _outputs()
    wise = torch.softmax(teacher.logits[0, ROWS] / 2, 1)
    student = torch.softmax(outputs / 2, 1)
    by_hand = (wise * (wise / student).log()).sum(1).mean() * 4
    assert float(teacher.mix(torch.tensor(99.0), outputs, ROWS, None)) == pytest.approx(float(by_hand), rel=1e-5)
    half = _teacher(0.5).mix(torch.tensor(1.0), outputs, ROWS, None)
    assert float(half) == pytest.approx(0.5 + 0.5 * float(by_hand), rel=1e-5)


def test_mix_of_the_teachers_own_outputs_is_nothing() -> None:
    teacher = _teacher(1.0)
    assert float(teacher.mix(torch.tensor(9.0), teacher.logits[0, ROWS], ROWS, None)) == pytest.approx(0, abs=1e-6)


def test_mix_takes_the_mirrored_logits_for_mirrored_samples() -> None:
    teacher = _teacher(1.0)
    flipped = torch.tensor([True, False, True])
    outputs = torch.stack([teacher.logits[1, 2], teacher.logits[0, 0], teacher.logits[1, 5]])
    assert float(teacher.mix(torch.tensor(9.0), outputs, ROWS, flipped)) == pytest.approx(0, abs=1e-6)
    assert float(teacher.mix(torch.tensor(9.0), outputs, ROWS, None)) > 0.01


def test_teacher_of_knows_the_plain_and_the_mirrored_samples() -> None:
    net, x = small().eval(), torch.from_numpy(samples().x)
    teacher = teacher_of(net, x, True, 4.0, 0.7)
    assert teacher.logits.shape == (2, 80, 4)
    with torch.no_grad():
        assert torch.allclose(teacher.logits[0, 3], net(x[3:4])[0], atol=1e-6)
        assert torch.allclose(teacher.logits[1, 3], net(x[3:4].flip(-1))[0], atol=1e-6)
    assert teacher_of(net, x, False, 4.0, 0.7).logits.shape == (1, 80, 4)


def test_answers_that_are_known_are_not_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = small().eval(), torch.from_numpy(samples().x)
    teacher_of(net, x, True, 4.0, 0.7, "net")
    assert teacher_of(small(seed=9), x, False, 4.0, 0.7, "net").logits.shape == (1, 80, 4)  # not the mirrored ones
    first = teacher_of(net, x, True, 4.0, 0.7, "net")
    monkeypatch.setattr("pipeline.distillation.logits.logits_of", lambda network, x: torch.zeros(80, 4))
    assert torch.equal(teacher_of(net, x, True, 2.0, 0.1, "net").logits, first.logits)
    assert not teacher_of(net, x, True, 4.0, 0.7, "another").logits.any()
    assert not teacher_of(net, x, True, 4.0, 0.7).logits.any()


def test_logits_of_do_not_depend_on_the_batch_or_train_the_network() -> None:
    net, x = small().train(), torch.from_numpy(samples().x)
    before = weights_of(net)
    assert torch.allclose(logits_of(net, x, batch=7), logits_of(net, x), atol=1e-6)
    assert weights_of(net) == before
    assert not net.training


def test_train_with_a_teacher_of_weight_0_equals_plain_training(tmp_path: Path) -> None:
    plain, taught = run_of(), run_of()
    taught.teacher = teacher_of(small(seed=11), torch.from_numpy(taught.part.x), True, 4.0, 0.0)
    train(plain, tmp_path / "plain", Silent())
    train(taught, tmp_path / "taught", Silent())
    assert weights_of(plain.network) == weights_of(taught.network)


def test_train_with_a_teacher_of_weight_1_follows_it_whatever_the_labels(tmp_path: Path) -> None:
    part = samples()
    x = torch.from_numpy(part.x)
    wise = small(seed=11)
    with torch.no_grad():
        list(wise.parameters())[-2].mul_(8)  # decided opinions, so that there is something to learn
    teacher = teacher_of(wise, x, True, 4.0, 1.0)
    run = run_of(SCHEDULE.model_copy(update={"epochs": 12, "learning_rate": 0.05}))
    run.teacher = teacher
    run.part = Part(part.x, part.y * 0)  # labels that say something else

    def gap() -> float:
        student, taught = (F.log_softmax(one / 4, 1) for one in (logits_of(run.network, x), teacher.logits[0]))
        return float(F.kl_div(student, taught, reduction="batchmean", log_target=True))

    before = gap()
    train(run, tmp_path, Silent())
    assert gap() < before / 3
