"""Checkpoints carry all that the next epoch depends on: any optimizer, the best epoch, what is trained along."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewright.progress import Silent
from models.data.parts import Part
from pipeline.distillation.lesson import Together, teaching
from pipeline.network import weights_of
from pipeline.training import Run, Schedule, TrainResult, cross_entropy, train
from tests.pipeline.training.runs import (
    SCHEDULE,
    STEPS,
    Cut,
    CutsAfter,
    killed_in_the_third_epoch,
    run_of,
    samples,
    small,
)

KILLED = killed_in_the_third_epoch("tests.pipeline.training.test_checkpoint", "everything(sys.argv[2])")


class Tied(nn.Module):
    """Tokens in, one weight under two names: what safetensors refuses to write as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.decoder = nn.Linear(8, 12, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.embedding(x).mean(1))


def wide() -> nn.Module:
    torch.manual_seed(19)
    return nn.Sequential(nn.Conv2d(1, 12, 3, 1, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(768, 4))


def everything(kind: str) -> Run:
    """A run that uses all there is: held zeros, a judge, a clipped norm, an early checkpoint, regressors."""
    update = {"optimizer": kind, "learning_rate": 0.05 if kind == "sgd" else 2e-3, "clip": 1.0}
    run = run_of(SCHEDULE.model_copy(update=update))
    with torch.no_grad():
        run.network[0].weight[torch.rand(8, 1, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.5] = 0  # type: ignore[index]
    x, y = torch.from_numpy(run.part.x), torch.from_numpy(run.part.y)

    def judge(network: nn.Module) -> float:
        with torch.no_grad():
            torch.rand(3)  # a judge may draw at random: it must not move what comes after
            return -float(cross_entropy(0.0)(network(x[:20]), y[:20]))

    run.masks, run.judge = ["0.weight"], judge
    run.teacher = teaching(
        run.network, wide(), x, mirrored=True, weight=0.5, transfer="hint", transfer_weight=0.3, stages=[("2", "2")]
    )
    return run


def finish(run: Run, scratch: Path) -> tuple[TrainResult, bytes, bytes]:
    """(result, the network's weights, the regressors) of a whole run."""
    assert isinstance(run.teacher, Together)
    result = train(run, scratch, Silent())
    regressors = b"".join(parameter.detach().numpy().tobytes() for parameter in run.teacher.parameters())
    run.teacher.close()
    return result, weights_of(run.network), regressors


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, tuple[TrainResult, bytes, bytes]]]:
    yield request.param, finish(everything(request.param), tmp_path_factory.mktemp("undisturbed"))


def test_checkpoint_of_a_run_of_all_sorts_resumes_to_the_same_bits(
    undisturbed: tuple[str, tuple[TrainResult, bytes, bytes]], tmp_path: Path
) -> None:
    kind, wanted = undisturbed
    for steps in (STEPS + 2, 3 * STEPS):  # cut off twice
        with pytest.raises(Cut):
            train(everything(kind), tmp_path, CutsAfter(steps))
    assert finish(everything(kind), tmp_path) == wanted
    assert finish(everything(kind), tmp_path) == wanted  # and a finished one is only read


def test_checkpoint_outlives_a_kill(
    undisturbed: tuple[str, tuple[TrainResult, bytes, bytes]], tmp_path: Path, project_root: Path
) -> None:
    kind, wanted = undisturbed
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), kind], cwd=project_root, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert finish(everything(kind), tmp_path) == wanted


def test_checkpoint_of_another_optimizer_or_teaching_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(Cut):
        train(everything("sgd"), tmp_path, CutsAfter(2 * STEPS + 1))
    other = finish(everything("adamw"), tmp_path)
    assert other == finish(everything("adamw"), tmp_path / "anew")
    with pytest.raises(Cut):
        train(everything("sgd"), tmp_path / "taught", CutsAfter(2 * STEPS + 1))
    alone, again = everything("sgd"), everything("sgd")
    alone.teacher = again.teacher = None
    train(alone, tmp_path / "taught", Silent())
    train(again, tmp_path / "alone", Silent())
    assert weights_of(alone.network) == weights_of(again.network)


def test_checkpoint_of_tied_weights_and_tokens_resumes_and_keeps_them_tied(tmp_path: Path) -> None:
    def run() -> Run:
        torch.manual_seed(2)
        tokens = torch.randint(0, 12, (80, 5), generator=torch.Generator().manual_seed(4))
        part = Part(tokens.numpy(), tokens[:, 0].numpy())
        schedule = Schedule(epochs=3, batch=16, threads=1, optimizer="adamw", learning_rate=0.01)
        return Run(Tied(), part, schedule, 7, cross_entropy(0.0), "train")

    whole, cut = run(), run()
    losses = [loss for loss, _ in train(whole, tmp_path / "whole", Silent()).history]
    assert losses[-1] < losses[0]
    with pytest.raises(Cut):
        train(run(), tmp_path / "cut", CutsAfter(STEPS + 2))
    train(cut, tmp_path / "cut", Silent())
    assert weights_of(whole.network) == weights_of(cut.network)
    assert isinstance(cut.network, Tied) and cut.network.decoder.weight is cut.network.embedding.weight


def test_samples_of_the_run_are_not_changed(tmp_path: Path) -> None:
    run = everything("sgd")
    finish(run, tmp_path)
    assert (run.part.x == samples().x).all()
    assert weights_of(small()) != weights_of(run.network)
