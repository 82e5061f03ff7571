"""What a run may ask of the training beside the epochs: the best epoch, a floor, kept weights, zeros, a later start."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from edgewright.progress import Silent
from models.data.parts import Part
from pipeline.network import weights_of
from pipeline.training import FloorOutOfReach, Run, Schedule, TrainingFailed, one_cycle, train
from pipeline.training import floor as floors
from pipeline.training.floor import out_of_reach
from pipeline.training.zeros import NoSuchWeight
from tests.pipeline.training.runs import SCHEDULE, STEPS, Cut, CutsAfter, run_of, samples


class Judge:
    """Gives the figures one after the other, and notes the weights that it saw."""

    def __init__(self, *figures: float) -> None:
        self.figures = list(figures)
        self.saw: list[bytes] = []

    def __call__(self, network: nn.Module) -> float:
        assert not network.training
        self.saw.append(weights_of(network))
        return self.figures[len(self.saw) - 1]


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ((0.1, 0.4, 0.3, 0.2), 2), ((0.1, 0.4, 0.4, 0.2), 3), ((0.1, 0.2, 0.3, 0.4), 4), ((0.4, 0.1, 0.2, 0.3), 1),
        ((math.nan, 0.1, math.nan, 0.05), 2),
    ],
)  # fmt: skip
def test_train_ends_with_the_best_epoch_the_later_of_equals(
    tmp_path: Path, figures: tuple[float, ...], best: int
) -> None:
    run = run_of()
    run.judge = judge = Judge(*figures)
    result = train(run, tmp_path, Silent())
    assert (result.best_epoch, result.best) == (best, figures[best - 1])
    assert weights_of(run.network) == judge.saw[best - 1]
    assert len(set(judge.saw)) == 4
    assert [metric for _, metric in result.history] == pytest.approx(list(figures), nan_ok=True)
    assert result.loss == result.history[-1][0]


def test_train_resumed_remembers_the_best_epoch(tmp_path: Path) -> None:
    run = run_of()
    run.judge = Judge(0.9, 0.1, 0.2, 0.3)
    whole = train(run, tmp_path / "whole", Silent())
    cut, rest = run_of(), run_of()
    cut.judge, rest.judge = Judge(0.9, 0.1), Judge(0.2, 0.3)
    with pytest.raises(Cut):
        train(cut, tmp_path / "cut", CutsAfter(2 * STEPS + 1))
    assert train(rest, tmp_path / "cut", Silent()) == whole
    assert weights_of(rest.network) == weights_of(run.network)


def test_train_judged_learns_as_if_it_were_not(tmp_path: Path) -> None:
    plain, judged = run_of(), run_of()
    judged.judge = Judge(0.1, 0.2, 0.3, 0.4)
    train(plain, tmp_path / "plain", Silent())
    train(judged, tmp_path / "judged", Silent())
    assert weights_of(plain.network) == weights_of(judged.network)


@pytest.mark.parametrize(
    ("floor", "best", "out"),
    [
        (0.9, 0.79, True), (0.9, 0.81, False), (0.9, 0.95, False), (0.5, 0.0, False), (0.51, 0.0, True),
        (1.0, 0.9, True), (25.0, 0.1, False), (-0.1, -0.9, False), (0.9, -3.0, False),
    ],
)  # fmt: skip
def test_out_of_reach_is_more_than_half_of_the_error(floor: float, best: float, out: bool) -> None:
    assert out_of_reach(floor, best) is out


@pytest.fixture
def long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps count as many: half of the epochs that these runs have."""
    monkeypatch.setattr(floors, "LEAST_STEPS", 2 * STEPS)


@pytest.mark.usefixtures("long_enough")
def test_train_stops_at_half_time_where_the_floor_is_out_of_reach(tmp_path: Path) -> None:
    run = run_of()
    run.judge, run.floor = Judge(0.2, 0.3, 0.99, 0.99), 0.9
    with pytest.raises(FloorOutOfReach) as caught:
        train(run, tmp_path, Silent())
    error = caught.value
    assert (error.epoch, error.best, error.floor) == (2, 0.3, 0.9)
    assert "0.9" in error.what and "0.3" in error.what and "2 of 4 epochs" in error.what
    assert "metric.floor" in error.remedy
    with pytest.raises(FloorOutOfReach):  # a second try finds the checkpoint, and the same verdict
        train(run, tmp_path, Silent())
    assert len(run.judge.saw) == 2


@pytest.mark.usefixtures("long_enough")
@pytest.mark.parametrize("figures", [(0.1, 0.81, 0.5, 0.1), (0.85, 0.1, 0.2, 0.3), (0.1, 0.9, 0.91, 0.92)])
def test_train_goes_on_where_the_best_epoch_is_near_enough(tmp_path: Path, figures: tuple[float, ...]) -> None:
    run = run_of()
    run.judge, run.floor = Judge(*figures), 0.9
    assert len(train(run, tmp_path, Silent()).history) == 4


def test_train_of_few_steps_is_not_stopped(tmp_path: Path) -> None:
    run = run_of()
    run.judge, run.floor = Judge(0.1, 0.1, 0.1, 0.92), 0.9
    assert train(run, tmp_path, Silent()).best == 0.92


@pytest.mark.parametrize(
    ("done", "of", "steps", "stops"),
    [
        (2, 4, 200, True), (2, 5, 500, False), (3, 5, 500, True), (3, 5, 199, False), (5, 5, 500, False),
        (0, 0, 0, False),
    ],
)  # fmt: skip
def test_demand_is_made_from_half_time_on_and_never_at_the_end(done: int, of: int, steps: int, stops: bool) -> None:
    try:
        floors.demand("distil", done, of, steps, 0.9, 0.5)
    except FloorOutOfReach:
        assert stops
    else:
        assert not stops
    floors.demand("distil", done, of, steps, None, 0.5)
    floors.demand("distil", done, of, steps, 0.9, None)
    floors.demand("distil", done, of, steps, 0.9, math.nan)


def test_train_keeps_the_weights_of_the_epochs_named_over_a_cut(tmp_path: Path) -> None:
    def run(out: Path) -> Run:
        one = run_of()
        one.keep_at = {0: out / "initial.safetensors", 1: out / "early.safetensors", 4: out / "end.safetensors"}
        return one

    whole = run(tmp_path / "out")
    train(whole, tmp_path / "whole", Silent())
    with pytest.raises(Cut):
        train(run(tmp_path / "lost"), tmp_path / "cut", CutsAfter(3 * STEPS + 1))
    assert not (tmp_path / "lost").exists()  # a build that goes on begins with an empty folder
    train(run(tmp_path / "again"), tmp_path / "cut", Silent())
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("out", "again")]
    assert files[0] == files[1]
    assert files[0]["initial.safetensors"] == weights_of(run_of().network)
    assert files[0]["end.safetensors"] == weights_of(whole.network)
    one = run_of(SCHEDULE)
    one.judge = judge = Judge(0.1, 0.2, 0.3, 0.4)
    train(one, tmp_path / "one", Silent())
    assert load_file(tmp_path / "out/early.safetensors").keys() == one.network.state_dict().keys()
    assert files[0]["early.safetensors"] == judge.saw[0]


def test_train_refuses_to_keep_an_epoch_that_is_not_run(tmp_path: Path) -> None:
    run = run_of(SCHEDULE.model_copy(update={"begin": 2}))
    run.keep_at = {1: tmp_path / "early.safetensors"}
    with pytest.raises(TrainingFailed, match="after epoch 1"):
        train(run, tmp_path, Silent())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_train_holds_zeros_exactly_and_their_momentum_too(tmp_path: Path, optimizer: str) -> None:
    update = {"optimizer": optimizer, "learning_rate": 0.1 if optimizer == "sgd" else 0.01, "weight_decay": 0.1}
    run = run_of(SCHEDULE.model_copy(update=update))
    weight = run.network.get_parameter("0.weight")
    free = run.network.get_parameter("5.weight")
    with torch.no_grad():
        weight[:, :, 1] = 0
        free[0] = 0
    run.masks = ["0.weight"]
    before = weight.detach().clone()
    train(run, tmp_path, Silent())
    assert (weight[:, :, 1] == 0).all()
    assert (weight[:, :, [0, 2]] != before[:, :, [0, 2]]).all()
    assert (free[0] != 0).any()  # only what is named is held
    moments = load_file(tmp_path / "checkpoint.safetensors")
    of_weight = [value for key, value in moments.items() if key.startswith("optimizer.0.") and value.dim() == 4]
    assert len(of_weight) == (1 if optimizer == "sgd" else 2)
    assert all((moment[:, :, 1] == 0).all() and (moment[:, :, 0] != 0).any() for moment in of_weight)


def test_train_names_a_weight_that_is_not_there(tmp_path: Path) -> None:
    run = run_of()
    run.masks = ["0.weight", "9.weight"]
    with pytest.raises(NoSuchWeight, match=r"'9\.weight'"):
        train(run, tmp_path, Silent())


def test_train_from_a_later_epoch_has_the_learning_rates_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def noting(self: torch.optim.SGD, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", noting)
    run = run_of(SCHEDULE.model_copy(update={"begin": 3}))
    assert len(train(run, tmp_path, Silent()).history) == 1
    assert rates == [one_cycle(0.2, place, 4 * STEPS) for place in range(3 * STEPS, 4 * STEPS)]


def test_train_by_adamw_takes_the_step_of_its_paper(tmp_path: Path) -> None:
    network = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    part = Part(np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([0, 0]))
    schedule = Schedule(epochs=1, batch=2, optimizer="adamw", learning_rate=0.25, weight_decay=0.5, threads=1)
    train(Run(network, part, schedule, 0, lambda out, y: out.sum(), "train"), tmp_path, Silent())
    # gradient [[1, 0], [1, 0]]; after its first step Adam moves by the rate against the gradient's sign
    rate = one_cycle(0.25, 0, 1)
    wanted = torch.tensor([[1.0, -2.0], [3.0, 4.0]]) * (1 - rate * 0.5) - rate * torch.tensor([[1.0, 0], [1.0, 0]])
    assert torch.allclose(network.weight, wanted, atol=1e-5)


def test_train_clips_the_norm_of_all_gradients(tmp_path: Path) -> None:
    network = nn.Linear(2, 2, bias=False)
    before = network.weight.detach().clone()
    part = Part(np.full((2, 2), 100, dtype=np.float32), np.array([0, 0]))
    schedule = Schedule(epochs=1, batch=2, learning_rate=0.25, momentum=0, weight_decay=0, clip=0.5, threads=1)
    train(Run(network, part, schedule, 0, lambda out, y: out.sum(), "train"), tmp_path, Silent())
    assert float((network.weight - before).detach().norm()) == pytest.approx(one_cycle(0.25, 0, 1) * 0.5, rel=1e-4)


def test_train_refuses_to_mirror_what_is_no_picture(tmp_path: Path) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum()

    tokens = Part(np.zeros((8, 5), dtype=np.int64), np.zeros(8, dtype=np.int64))
    with pytest.raises(TrainingFailed, match=r"Only pictures can be mirrored; these samples are \[5\], int64"):
        train(Run(nn.Embedding(3, 4), tokens, SCHEDULE, 0, loss, "train"), tmp_path, Silent())
    plain = SCHEDULE.model_copy(update={"augment": [], "epochs": 1})
    assert train(Run(nn.Embedding(3, 4), tokens, plain, 0, loss, "train"), tmp_path, Silent()).history
    assert samples().x.ndim == 4
