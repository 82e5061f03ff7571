"""Training: what a cut-off run ends with is what an undisturbed one does, to the bit."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from edgewright.progress import Silent
from pipeline.network import weights_of
from pipeline.training import Run, TrainingFailed, TrainResult, cross_entropy, train
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

KILLED = killed_in_the_third_epoch("tests.pipeline.training.runs", "run_of()")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, TrainResult]:
    run = run_of()
    mean = train(run, tmp_path_factory.mktemp("undisturbed"), Silent())
    return weights_of(run.network), mean


def test_train_twice_gives_the_same_bits(undisturbed: tuple[bytes, TrainResult], tmp_path: Path) -> None:
    run = run_of()
    assert (train(run, tmp_path, Silent()), weights_of(run.network)) == undisturbed[::-1]
    assert not run.network.training


@pytest.mark.parametrize("steps", [1, STEPS, STEPS + 2, 2 * STEPS + 1, 3 * STEPS, 4 * STEPS])
def test_train_cut_off_anywhere_resumes_to_the_same_bits(
    undisturbed: tuple[bytes, TrainResult], tmp_path: Path, steps: int
) -> None:
    with pytest.raises(Cut):
        train(run_of(), tmp_path, CutsAfter(steps))
    run = run_of()
    assert (train(run, tmp_path, Silent()), weights_of(run.network)) == undisturbed[::-1]


def test_train_killed_in_mid_epoch_resumes_to_the_same_bits(
    undisturbed: tuple[bytes, TrainResult], tmp_path: Path, project_root: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=project_root, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    run, steps = run_of(), _Counts()
    assert (train(run, tmp_path, steps), weights_of(run.network)) == undisturbed[::-1]
    assert steps.alone == 2 * STEPS  # two epochs were not done again


class _Counts(Silent):
    """Steps really made: what a resumed run already has is reported in one go."""

    def __init__(self) -> None:
        self.alone = 0

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.alone += bool(note)


def test_train_that_was_finished_does_nothing_more(undisturbed: tuple[bytes, TrainResult], tmp_path: Path) -> None:
    train(run_of(), tmp_path, Silent())
    run, steps = run_of(), _Counts()
    assert (train(run, tmp_path, steps), weights_of(run.network)) == undisturbed[::-1]
    assert steps.alone == 0


def _other(kind: str, whole: bytes) -> bytes:
    from safetensors.torch import load, save

    tensors = load(whole)
    if kind == "of another shape":  # the first tensors fit, the last one doesn't
        tensors["model.5.weight"] = tensors["model.5.weight"][:2].contiguous()
        return save(tensors, metadata={"optimizer": "SGD", "reached": "[2, [[0.5, null], [0.5, null]], null, null]"})
    if kind == "without how far it came":
        return save(tensors)
    return {"cut": whole[: len(whole) // 2], "garbage": b"\x00" * 500, "empty": b""}[kind]


@pytest.mark.parametrize("kind", ["cut", "garbage", "empty", "of another shape", "without how far it came"])
def test_train_ignores_a_damaged_checkpoint(undisturbed: tuple[bytes, TrainResult], tmp_path: Path, kind: str) -> None:
    with pytest.raises(Cut):
        train(run_of(), tmp_path, CutsAfter(2 * STEPS + 1))
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(_other(kind, checkpoint.read_bytes()))
    run = run_of()
    assert (train(run, tmp_path, Silent()), weights_of(run.network)) == undisturbed[::-1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_train_stops_at_a_loss_that_is_no_number(tmp_path: Path, value: float) -> None:
    calls = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(1)
        return outputs.sum() * 0 + (value if len(calls) == STEPS + 3 else 1.0)

    with pytest.raises(TrainingFailed) as caught:
        train(run_of(loss=loss), tmp_path, Silent())
    assert f"in epoch 2, step 3 of {STEPS}" in caught.value.what
    assert "learning_rate" in caught.value.remedy


def test_train_by_a_huge_learning_rate_fails_by_itself(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed):
        train(run_of(SCHEDULE.model_copy(update={"learning_rate": 1e30, "epochs": 20})), tmp_path, Silent())


def test_train_flips_follow_the_seed(undisturbed: tuple[bytes, TrainResult], tmp_path: Path) -> None:
    plain = run_of(SCHEDULE.model_copy(update={"augment": []}))
    train(plain, tmp_path / "plain", Silent())
    other = run_of(seed=8)
    train(other, tmp_path / "other", Silent())
    assert len({undisturbed[0], weights_of(plain.network), weights_of(other.network)}) == 3


def test_train_flip_mirrors_about_half_of_the_samples_along_the_width(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return self.linear(x.flatten(1))

    part = samples()
    schedule = SCHEDULE.model_copy(update={"epochs": 1})
    train(Run(Watch(), part, schedule, 7, cross_entropy(0.0), "train"), tmp_path, Silent())
    plain = {row.tobytes() for row in part.x}
    mirrored = {np.ascontiguousarray(row[:, :, ::-1]).tobytes() for row in part.x}
    shown = [row.contiguous().numpy().tobytes() for batch in seen for row in batch]
    assert len(shown) == len(part)
    assert set(shown) <= plain | mirrored
    assert 20 < sum(row in mirrored for row in shown) < 60


def test_train_no_epochs_leaves_the_network_as_it_is(tmp_path: Path) -> None:
    run = run_of(SCHEDULE.model_copy(update={"epochs": 0}))
    assert math.isnan(train(run, tmp_path, Silent()).loss)
    assert weights_of(run.network) == weights_of(small())


def test_train_last_batch_of_one_sample_is_left_out(tmp_path: Path) -> None:
    run = run_of(SCHEDULE.model_copy(update={"batch": 79, "epochs": 1}))
    assert math.isfinite(train(run, tmp_path, Silent()).loss)
